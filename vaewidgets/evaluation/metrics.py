"""Measurements of a trained model."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from vaewidgets.models.conditional import ConditionalVAE, Labelled, with_labels
from vaewidgets.models.objectives import Elbo, autoencoding, elbo, iwae
from vaewidgets.models.vae import VAE, Autoencoder, Posterior, in_eval_mode

if TYPE_CHECKING:
    from vaewidgets.models.classifier import Classifier
    from vaewidgets.models.protocols import Trainable


class ActiveUnits(NamedTuple):
    """How many latent dimensions the encoder uses.

    Attributes
    ----------
    count : int
        Dimensions whose variance is above the threshold.
    variance : Tensor of shape (d,)
        Variance over images of mu, per dimension; float64.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a number
    variance: Tensor


class Mean(NamedTuple):
    """A mean over independent values, `value`, and its standard error, `error`: nan for a single value."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Mean:
        """Average the values, a Tensor of shape (N,).

        Examples
        --------
        >>> import torch, vaewidgets as vw
        >>> mean = vw.metrics.Mean.of(torch.tensor([1.0, 2.0, 3.0, 4.0]))
        >>> mean.value, round(mean.error, 4)
        (2.5, 0.6455)
        """
        return cls(values.double().mean().item(), standard_error(values))


class Codes(NamedTuple):
    """The codes of an autoencoder, with the attributes of a `Posterior`.

    Attributes
    ----------
    mu : Tensor of shape (N, d)
        The codes.
    logvar : None
        A code has no variance.
    """

    mu: Tensor
    logvar: None = None


@in_eval_mode
def held_out_elbo(
    model: Trainable,
    images: Tensor,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    batch_size: int = 1000,
) -> Elbo:
    """Estimate the ELBO of every image, with one sample of z each and fixed noise.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
        Of an autoencoder: log p(x|z) at the code, with no KL.
    images : Tensor of shape (N, C, H, W)
    labels : Tensor of shape (N,)
        For a ConditionalVAE, which needs them; the bound is then one of log p(x|label).
    seed : int
        Of the noise: the same seed gives the same numbers.
    batch_size : int
        Images at one time; bounds memory, and changes no value beyond rounding.

    Returns
    -------
    Elbo
        Terms of all N images, nats per image: average them once, over images.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), equation 7, with one sample of z.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> terms = vw.metrics.held_out_elbo(vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), torch.zeros(5, 1, 8, 8))
    >>> terms.total.shape, terms.kl.shape
    (torch.Size([5]), torch.Size([5, 2]))
    """
    device = next(model.parameters()).device
    batches = _batches(model, images, labels, batch_size)
    if isinstance(model, Autoencoder):
        parts = [autoencoding(model, x) for _, x in batches]
    else:
        # Drawn for all images at once: the noise of an image does not depend on batch_size.
        noise = torch.randn(len(images), model.latent_dim, generator=torch.Generator().manual_seed(seed))
        epsilons = noise.to(device).split(batch_size)
        parts = [
            elbo(cast(VAE | Labelled, part), x, epsilon=e)
            for (part, x), e in zip(batches, epsilons, strict=True)
        ]
    return Elbo(*(torch.cat(terms) for terms in zip(*parts, strict=True)))


@in_eval_mode
def held_out_iwae(
    model: VAE | ConditionalVAE,
    images: Tensor,
    k: int,
    *,
    labels: Tensor | None = None,
    seed: int = 0,
    progress: Callable[[int], object] | None = None,
) -> Tensor:
    """Estimate the importance-weighted bound L_k of every image, with fixed noise.

    With k = 5000 it is the usual estimate of log p(x).

    Parameters
    ----------
    model : VAE or ConditionalVAE
    images : Tensor of shape (N, C, H, W)
        Zeros and ones under the Bernoulli likelihood when k > 1: `objectives.binarize` makes them.
    k : int
        Samples per image; time grows with it, memory does not.
    labels : Tensor of shape (N,)
        For a ConditionalVAE, which needs them.
    seed : int
        Of the noise: on one kind of device the same seed gives the same numbers.
    progress : callable, optional
        Called about once a second with the number of images done since the call before.

    Returns
    -------
    Tensor of shape (N,)
        Nats per image.

    Raises
    ------
    ValueError
        k < 1; greys under the Bernoulli likelihood with k > 1; an autoencoder, which has no bound.

    References
    ----------
    Burda et al. 2016, Importance weighted autoencoders (arXiv 1509.00519), equation 8; table 1 has k = 5000.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    >>> vw.metrics.held_out_iwae(model, torch.zeros(5, 1, 8, 8), k=10).shape
    torch.Size([5])
    """
    if isinstance(model, Autoencoder):
        raise ValueError("an Autoencoder has no q(z|x) to draw from, so no bound; held_out_iwae takes a VAE.")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    with_labels(model, labels, len(images))
    if isinstance(model, ConditionalVAE):
        labels = model.check_labels(labels)
        # `iwae` takes no labels, so each part has one label and the VAE that this label makes.
        parts = [
            (model.given(label), (labels == label).nonzero()[:, 0]) for label in labels.unique().tolist()
        ]
    else:
        parts = [(model, torch.arange(len(images)))]
    bounds = images.new_empty(len(images), device=device)
    for part, rows in parts:
        for some in rows.split(max(1, 100_000 // max(1, k))):
            bounds[some] = iwae(part, images[some].to(device), k, generator=generator)
            if progress is not None:
                progress(len(some))
    return bounds


def _batches(
    model: Trainable, images: Tensor, labels: Tensor | None, batch_size: int
) -> Iterator[tuple[VAE | Autoencoder | Labelled, Tensor]]:
    """Pass images to the model's device part by part, each with the model for its labels."""
    with_labels(model, labels, len(images))
    device = next(model.parameters()).device
    parts: Iterable[Tensor | None] = (
        itertools.repeat(None) if labels is None else labels.to(device).split(batch_size)
    )
    for x, y in zip(images.split(batch_size), parts, strict=False):
        yield with_labels(model, y), x.to(device)


def standard_error(values: Tensor) -> float:
    """Compute the standard error of the mean of N independent values: deviation / sqrt(N).

    Parameters
    ----------
    values : Tensor of shape (N,)

    Returns
    -------
    float
        nan if N is 1.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> round(vw.metrics.standard_error(torch.tensor([1.0, 2.0, 3.0, 4.0])), 4)
    0.6455
    """
    if len(values) < 2:
        return math.nan
    return (values.double().std() / math.sqrt(len(values))).item()


def active_units(mu: Tensor, *, threshold: float = 0.01) -> ActiveUnits:
    """Count the latent dimensions that the encoder uses: those where Cov_x(E[z|x]) > threshold.

    A dimension that has collapsed to the prior has the same mu for every image.

    Parameters
    ----------
    mu : Tensor of shape (N, d)
        E[z|x] of N images, as `encode_all` gives it.
    threshold : float

    Raises
    ------
    ValueError
        mu has another shape, fewer than two rows, or values that are not finite.

    References
    ----------
    Burda et al. 2016, Importance weighted autoencoders (arXiv 1509.00519), section 5.2; threshold 1e-2.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> units = vw.metrics.active_units(torch.tensor([[-1.0, 0.3], [0.0, 0.3], [1.0, 0.3]]))
    >>> units.count, units.variance.tolist()
    (1, [1.0, 0.0])
    """
    if mu.dim() != 2 or len(mu) < 2 or not mu.isfinite().all():
        raise ValueError(f"mu must be (N, d), finite, of at least 2 images; got shape {tuple(mu.shape)}.")
    variance = mu.cpu().double().var(0)
    return ActiveUnits(int((variance > threshold).sum()), variance)


@in_eval_mode
def encode_all(
    model: Trainable, images: Tensor, *, labels: Tensor | None = None, batch_size: int = 1000
) -> Posterior | Codes:
    """Encode every image: Posterior of mu and logvar, each of shape (N, d).

    For an autoencoder mu holds the codes and logvar is None.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    images : Tensor of shape (N, C, H, W)
    labels : Tensor of shape (N,)
        For a ConditionalVAE, which needs them.
    batch_size : int
        Images at one time; bounds memory.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> q = vw.metrics.encode_all(vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), torch.zeros(5, 1, 8, 8))
    >>> q.mu.shape, q.logvar.shape
    (torch.Size([5, 2]), torch.Size([5, 2]))
    """
    parts = [part.encode(x) for part, x in _batches(model, images, labels, batch_size)]
    codes = [part for part in parts if isinstance(part, Tensor)]
    if codes:
        return Codes(torch.cat(codes))
    posteriors = cast(list[Posterior], parts)
    return Posterior(*(torch.cat(terms) for terms in zip(*posteriors, strict=True)))


@in_eval_mode
def reconstruction_error(model: VAE | Autoencoder, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Compute the mean squared error per pixel of each reconstruction, from mu or the code.

    Parameters
    ----------
    model : VAE or Autoencoder
    images : Tensor of shape (N, C, H, W)
    batch_size : int
        Images at one time; bounds memory.

    Returns
    -------
    Tensor of shape (N,)

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.metrics.reconstruction_error(vw.pretrained("digits-ae-2d"), torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    batches = _batches(model, images, None, batch_size)
    return torch.cat([((model(x) - x) ** 2).flatten(1).mean(1) for _, x in batches])


@in_eval_mode
def features_of(judge: Classifier, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Compute the input of a classifier's last layer: Tensor of shape (N, features).

    Parameters
    ----------
    judge : Classifier
    images : Tensor of shape (N, C, H, W)
    batch_size : int
        Images at one time; bounds memory.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> judge = vw.Classifier((1, 8, 8), hidden=(4,), seed=0)
    >>> len(vw.metrics.features_of(judge, torch.zeros(5, 1, 8, 8)))
    5
    """
    return torch.cat([judge.layers[:-1](x).flatten(1) for x in images.split(batch_size)])


def feature_distance(a: Tensor, b: Tensor) -> float:
    """Compute the squared Frechet distance of two Gaussians, fitted to two samples of features.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), m and C the mean and covariance of a sample. FID is the
    same formula on the features of an Inception network. Compare only values of one judge and of one number
    of images: the fewer images, the larger the value.

    Parameters
    ----------
    a, b : Tensor of shape (N, features), (M, features)
        As `features_of` gives them.

    Raises
    ------
    ValueError
        a and b differ in the number of features, are not finite, or have fewer than 2 images.

    References
    ----------
    Dowson & Landau 1982, The Frechet distance between multivariate normal distributions. Heusel et al. 2017
    (arXiv 1706.08500), equation 6: FID.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> a = torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> round(vw.metrics.feature_distance(a, a + torch.tensor([3.0, 4.0])), 6)
    25.0
    """
    for sample in (a, b):
        if sample.dim() != 2 or len(sample) < 2 or sample.shape[1] != a.shape[1]:
            raise ValueError(
                "features must be tables of as many columns, of at least 2 images each; "
                f"got {tuple(a.shape)} and {tuple(b.shape)}."
            )
        if not sample.isfinite().all():
            raise ValueError("features must be finite; some are not.")
    a, b = a.cpu().double(), b.cpu().double()
    covariance_a, covariance_b = (torch.atleast_2d(sample.T.cov()) for sample in (a, b))
    values, vectors = torch.linalg.eigh(covariance_a)
    root = vectors * values.clamp(min=0).sqrt()
    # C_a C_b has the eigenvalues of the symmetric root' C_b root.
    cross = torch.linalg.eigvalsh(root.T @ covariance_b @ root).clamp(min=0).sqrt().sum()
    distance = ((a.mean(0) - b.mean(0)) ** 2).sum() + covariance_a.trace() + covariance_b.trace() - 2 * cross
    return max(float(distance.item()), 0.0)


def knn_agreement(codes: Tensor, labels: Tensor, *, k: int = 10) -> float:
    """Compute the leave-one-out accuracy of the k-nearest-neighbour classifier.

    It is the share of points whose k neighbours have the point's own label as their most frequent one. It
    tells whether similar inputs have codes that lie together.

    Parameters
    ----------
    codes : Tensor of shape (N, d)
        Codes, mu, or pixels laid flat.
    labels : Tensor of shape (N,)
    k : int
        Neighbours, without the point itself. Of labels that are equally frequent the smallest wins.

    Returns
    -------
    float
        From 0 to 1.

    Raises
    ------
    ValueError
        Codes and labels differ in number, or there are not more than k points.

    References
    ----------
    Cover & Hart 1967, Nearest neighbor pattern classification; IEEE Trans. Inf. Theory 13, 21-27.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> codes, labels = torch.tensor([[0.0], [1.0], [10.0], [11.0]]), torch.tensor([0, 0, 1, 1])
    >>> vw.metrics.knn_agreement(codes, labels, k=1)
    1.0
    """
    from sklearn.neighbors import NearestNeighbors

    table, labels = codes.reshape(len(codes), -1).cpu().numpy(), labels.cpu()
    if labels.shape != (len(codes),):
        raise ValueError(f"{len(codes)} codes need {len(codes)} labels; got shape {tuple(labels.shape)}.")
    if not 1 <= k < len(codes):
        raise ValueError(f"k must be at least 1 and less than the {len(codes)} points; got {k}.")
    # Without a query scikit-learn leaves each point out of its own neighbours.
    neighbours = NearestNeighbors(n_neighbors=k).fit(table).kneighbors(return_distance=False)
    votes = torch.nn.functional.one_hot(labels[torch.from_numpy(neighbours)]).sum(1)
    return (votes.argmax(1) == labels).double().mean().item()
