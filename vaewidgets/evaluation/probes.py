"""Do similar inputs group? What labels that the training never saw say about a table of codes."""

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
    """Measure both on codes of shape (N, ...), with one label each."""
    return Grouping(knn_agreement(codes, labels, k=NEIGHBOURS), linear_probe(codes, labels, seed=seed))


def linear_probe(codes: Tensor, labels: Tensor, *, seed: int = 0) -> Rate:
    """Measure how well a linear classifier reads the labels off the codes.

    Fitted to a random half (multinomial logistic regression on standardised codes, scikit-learn's), scored
    on the other half: the same halves for the same number of codes and seed, whatever the codes are.

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
        Accuracy on the half that was held out.

    Raises
    ------
    ValueError
        Codes and labels do not go together, are not finite, or a half holds a single class.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    # scikit-learn would fit in float32 what is float32: where its steps end would hang on the processor.
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
    """Measure the grouping of what needs no training: what a model has to beat.

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
    dict
        "pixels", "PCA" (the first d principal components) and "random projection" (onto d Gaussian
        directions), each a `Grouping`.
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
    """Split n rows into two random halves, each a Tensor of row numbers; the first has n // 2."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return order[: n // 2], order[n // 2 :]
