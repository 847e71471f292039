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
    """How many latent dimensions say something of the image.

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
    """A mean over independent values, with its standard error; nan for a single value."""

    value: float
    error: float

    @classmethod
    def of(cls, values: Tensor) -> Mean:
        """Average the values, a Tensor of shape (N,)."""
        return cls(values.double().mean().item(), standard_error(values))


class Codes(NamedTuple):
    """What an autoencoder answers, in the place of a `Posterior`.

    Attributes
    ----------
    mu : Tensor of shape (N, d)
        The codes.
    logvar : None
        They have no spread.
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

    Burda et al. 2016 (arXiv 1509.00519), equation 8. With k = 5000 it is the usual estimate of log p(x)
    (their table 1).

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
        Told, about once a second, how many images have been done since it was last told.

    Returns
    -------
    Tensor of shape (N,)
        Nats per image.

    Raises
    ------
    ValueError
        k < 1; greys under the Bernoulli likelihood with k > 1; an autoencoder, which bounds nothing.
    """
    if isinstance(model, Autoencoder):
        raise ValueError("an Autoencoder has no q(z|x) to draw from, so no bound; held_out_iwae takes a VAE.")
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    with_labels(model, labels, len(images))
    if isinstance(model, ConditionalVAE):
        labels = model.check_labels(labels)
        # `iwae` works in pieces of its own, so each part is of one label, with the VAE which that makes.
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
    """Standard error of the mean of independent values, of shape (N,): deviation / sqrt(N); nan of one."""
    if len(values) < 2:
        return math.nan
    return (values.double().std() / math.sqrt(len(values))).item()


def active_units(mu: Tensor, *, threshold: float = 0.01) -> ActiveUnits:
    """Count the latent dimensions that the encoder uses: those where Cov_x(E[z|x]) > threshold.

    Burda et al. 2016 (arXiv 1509.00519), section 5.2. A dimension that has collapsed to the prior has
    one and the same mu for every image.

    Parameters
    ----------
    mu : Tensor of shape (N, d)
        E[z|x] of N images, as `encode_all` gives it.
    threshold : float

    Raises
    ------
    ValueError
        mu is no table of at least two finite rows.
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

    Of an autoencoder mu holds the codes and logvar is None: it knows no spread.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    images : Tensor of shape (N, C, H, W)
    labels : Tensor of shape (N,)
        For a ConditionalVAE, which needs them.
    batch_size : int
        Images at one time; bounds memory.
    """
    parts = [part.encode(x) for part, x in _batches(model, images, labels, batch_size)]
    codes = [part for part in parts if isinstance(part, Tensor)]
    if codes:
        return Codes(torch.cat(codes))
    posteriors = cast(list[Posterior], parts)
    return Posterior(*(torch.cat(terms) for terms in zip(*posteriors, strict=True)))


@in_eval_mode
def reconstruction_error(model: VAE | Autoencoder, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Mean squared error per pixel of each reconstruction, from mu or the code: Tensor of shape (N,).

    Parameters
    ----------
    model : VAE or Autoencoder
    images : Tensor of shape (N, C, H, W)
    batch_size : int
        Images at one time; bounds memory.
    """
    device = next(model.parameters()).device
    parts = [((model(x) - x) ** 2).flatten(1).mean(1) for x in images.to(device).split(batch_size)]
    return torch.cat(parts)


@in_eval_mode
def features_of(judge: Classifier, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """Compute what a judge's last layer is fed: Tensor of shape (N, features).

    Parameters
    ----------
    judge : Classifier
    images : Tensor of shape (N, C, H, W)
    batch_size : int
        Images at one time; bounds memory.
    """
    return torch.cat([judge.layers[:-1](x).flatten(1) for x in images.split(batch_size)])


def feature_distance(a: Tensor, b: Tensor) -> float:
    """Frechet distance of two Gaussians with the mean and covariance of two samples of features.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), as Heusel et al. 2017 (arXiv 1706.08500) compare
    images; not their FID, whose features are those of another network. Comparable only under one judge and
    at one number of images: the fewer, the larger it comes out.

    Parameters
    ----------
    a, b : Tensor of shape (N, features), (M, features)
        As `features_of` gives them.

    Raises
    ------
    ValueError
        Features that do not go together, are not finite, or are of fewer than 2 images.
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
    """Measure how far similar inputs group: the share of points whose neighbours vote for their own label.

    Parameters
    ----------
    codes : Tensor of shape (N, d)
        Codes, mu, or pixels laid flat.
    labels : Tensor of shape (N,)
    k : int
        Neighbours that vote; the point itself does not.

    Returns
    -------
    float
        Leave-one-out accuracy of the k-nearest-neighbour classifier, in 0 .. 1.

    Raises
    ------
    ValueError
        Codes and labels do not go together, or there are not more than k points.
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
