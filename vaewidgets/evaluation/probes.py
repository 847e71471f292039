"""Whether the codes of one class lie together, measured with labels that the training did not use."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .holes import Rate
from .metrics import knn_agreement

NEIGHBOURS = 10


class Grouping(NamedTuple):
    """How far the codes of one class lie together.

    Attributes
    ----------
    neighbours : float
        Leave-one-out accuracy of the 10 nearest neighbours, see `metrics.knn_agreement`.
    probe : Rate
        Held-out accuracy of a linear classifier, see `linear_probe`.
    """

    neighbours: float
    probe: Rate


def grouping(codes: Tensor, labels: Tensor, *, seed: int = 0) -> Grouping:
    """Measure k-NN agreement and linear probe of codes of shape (N, ...), with labels of shape (N,).

    `seed` is that of the probe's split.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> found = vw.probes.grouping(torch.arange(100.0)[:, None], torch.arange(100) // 50)
    >>> found.neighbours > 0.9, found.probe.n
    (True, 50)
    """
    return Grouping(knn_agreement(codes, labels, k=NEIGHBOURS), linear_probe(codes, labels, seed=seed))


def linear_probe(codes: Tensor, labels: Tensor, *, seed: int = 0) -> Rate:
    """Measure how well a linear classifier tells the labels from the codes.

    scikit-learn's multinomial logistic regression on standardised codes is fitted to a random half and scored
    on the other half. The halves depend on the number of codes and the seed only.

    Parameters
    ----------
    codes : Tensor of shape (N, ...)
        Codes, mu, or pixels.
    labels : Tensor of shape (N,)
    seed : int
        Of the split.

    Returns
    -------
    Rate
        Accuracy on the held-out half.

    Raises
    ------
    ValueError
        Codes and labels differ in number, codes are not finite, or the fitted half holds a single class.

    References
    ----------
    Alain & Bengio 2016, Understanding intermediate layers using linear classifier probes (arXiv 1610.01644).

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> labels = torch.arange(100) % 2
    >>> vw.probes.linear_probe(10.0 * labels[:, None], labels).share
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # In float32, as scikit-learn would fit float32 codes, the end of the fit depends on the processor.
    codes, labels = codes.flatten(1).cpu().double(), labels.cpu()
    if labels.shape != (len(codes),):
        raise ValueError(f"{len(codes)} codes need {len(codes)} labels; got shape {tuple(labels.shape)}.")
    if not codes.isfinite().all():
        raise ValueError("codes must be finite; some are not.")
    fitted, held_out = halves(len(codes), seed)
    if len(labels[fitted].unique()) < 2:
        raise ValueError("a linear probe tells classes apart: its half of the codes must have at least two.")
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    probe.fit(codes[fitted].numpy(), labels[fitted].numpy())
    return Rate.of(torch.from_numpy(probe.predict(codes[held_out].numpy())) == labels[held_out])


def baselines(images: Tensor, labels: Tensor, d: int, *, seed: int = 0) -> dict[str, Grouping]:
    """Measure the grouping of codes that need no training, for comparison with a model's.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W)
    labels : Tensor of shape (N,)
    d : int
        Dimensions of the two projections: those of the model's latent space.
    seed : int
        Of the split and of the random projection.

    Returns
    -------
    dict of str to Grouping
        "pixels", "PCA" (the first d principal components) and "random projection" (onto d Gaussian
        directions).

    Raises
    ------
    ValueError
        d is less than 1 or more than the pixels of an image.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> images = torch.rand(100, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    >>> list(vw.probes.baselines(images, torch.arange(100) % 2, d=2))
    ['pixels', 'PCA', 'random projection']
    """
    pixels = images.flatten(1).cpu()
    if not 1 <= d <= pixels.shape[1]:
        raise ValueError(f"d must be from 1 to the {pixels.shape[1]} pixels of an image; got {d}.")
    centred = pixels.double()
    centred = centred - centred.mean(0)
    directions = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -d:]
    random = torch.randn(pixels.shape[1], d, generator=torch.Generator().manual_seed(seed))
    tables = {
        "pixels": pixels,
        "PCA": (centred @ directions).float(),
        "random projection": pixels @ random,
    }
    return {name: grouping(table, labels, seed=seed) for name, table in tables.items()}


def halves(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Split n rows into two random halves, each a Tensor of row numbers; the first has n // 2.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> [len(half) for half in vw.probes.halves(5, seed=0)]
    [2, 3]
    """
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[: n // 2], order[n // 2 :]
