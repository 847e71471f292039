"""Holes: the points of a latent space that decode to nothing a judge knows.

A hole is a decoded point whose best class probability is under tau (`hole_rate`), or one that is further
from every training reconstruction than 95 % of the test reconstructions are (`distance_holes`). Either way
the answer is a share of independent draws, with Wilson's interval.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vaewidgets.models.vae import in_eval_mode

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Decoder, Judge

#: The probability under which a judge is not sure, unless a panel or a table says another.
TAU = 0.9
_BATCH = 1000


class Interval(NamedTuple):
    """Two ends of a confidence interval."""

    low: float
    high: float


class Rate(NamedTuple):
    """A share with its interval.

    Attributes
    ----------
    count, n : int
        So many of so many.
    share, low, high : float
        count / n, and the ends of its 95 % interval.
    """

    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a share
    n: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: Tensor) -> Rate:
        """Count the true ones of a Tensor of bools, of shape (n,)."""
        count, n = int(hits.sum()), len(hits)
        return cls(count, n, count / n, *wilson(count, n))


class PathHoles(NamedTuple):
    """Holes on the lines between pairs of codes.

    Attributes
    ----------
    share, low, high : float
        Share of the points that are holes. The points of one line are alike, so the interval is
        Wilson's for as many draws as there are lines: never too narrow.
    crossing : Rate
        Lines with at least one hole.
    confidence : Tensor of shape (P, steps)
        The judge's, along every line: the profile of a pair is one row.
    """

    share: float
    low: float
    high: float
    crossing: Rate
    confidence: Tensor


def wilson(count: float, n: int, level: float = 0.95) -> Interval:
    """Compute Wilson's interval for a share of count / n.

    Inside [0, 1], and of a width above 0 also where count is 0 or n.

    Parameters
    ----------
    count : number from 0 to n
    n : int
        Independent draws.
    level : float
        How often such intervals hold the true share.

    Raises
    ------
    ValueError
        No draws, a count outside 0 .. n, a level outside (0, 1).

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference; JASA 22, 209-212.

    Examples
    --------
    >>> low, high = wilson(27, 100)
    >>> round(low, 4), round(high, 4)
    (0.1927, 0.3643)
    """
    if n < 1 or not 0 <= count <= n:
        raise ValueError(f"a share is of at least 1 draw, counted from 0 to n; got {count} of {n}.")
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, as 0.95; got {level}.")
    quantile = NormalDist().inv_cdf((1 + level) / 2)
    share, shrink = count / n, 1 + quantile**2 / n
    middle = (share + quantile**2 / (2 * n)) / shrink
    half = quantile / shrink * math.sqrt(share * (1 - share) / n + quantile**2 / (4 * n**2))
    # At the ends the two terms are equal but for their rounding.
    return Interval(0.0 if count == 0 else middle - half, 1.0 if count == n else middle + half)


def hole_rate(confidence: Tensor, tau: float = TAU) -> Rate:
    """Count the draws of which the judge is not sure.

    Parameters
    ----------
    confidence : Tensor of shape (n,)
        Best probability among the real classes, as `confidence_of` gives it.
    tau : float
        A draw below it is a hole; one at tau is none.

    Raises
    ------
    ValueError
        No draws, or what is no probability.
    """
    return Rate.of(_check_probabilities(confidence) < tau)


def reject_threshold(confidence: Tensor, share: float = 0.05) -> float:
    """Find the tau that rejects a share of real reconstructions.

    Parameters
    ----------
    confidence : Tensor of shape (n,)
        The judge's, of reconstructions of real images.
    share : float
        In 0 .. 1, below 1.

    Returns
    -------
    float
        The largest tau of which `hole_rate` is at most `share`: one of the values of `confidence`.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1; got {share}.")
    ordered = _check_probabilities(confidence).sort().values
    # The rounding of 0.29 * 100 must not lose one.
    return ordered[math.floor(share * len(ordered) + 1e-9)].item()


@in_eval_mode
def confidence_of(judge: Judge, images: Tensor, *, batch_size: int = _BATCH) -> Tensor:
    """Ask a judge how sure it is of each image: Tensor of shape (n,).

    Parameters
    ----------
    judge : Classifier
    images : Tensor of shape (n, C, H, W)
    batch_size : int
        Images at one time; bounds memory and changes no value.
    """
    return torch.cat([judge.confidence(x) for x in images.split(batch_size)])


@in_eval_mode
def decode_all(model: Decoder, z: Tensor, *, batch_size: int = _BATCH) -> Tensor:
    """Decode every point: Tensor of shape (n, C, H, W), for z of shape (n, d)."""
    return torch.cat([model.decode(part) for part in z.split(batch_size)])


def nearest_distance(images: Tensor, references: Tensor, *, batch_size: int = 2000) -> Tensor:
    """Measure how far each image is from the nearest reference.

    Parameters
    ----------
    images : Tensor of shape (n, C, H, W)
    references : Tensor of shape (m, C, H, W)
    batch_size : int
        Images at one time; bounds memory.

    Returns
    -------
    Tensor of shape (n,)
        Euclidean distance over all pixels.

    Raises
    ------
    ValueError
        Images of another shape than the references, or none.
    """
    if images.shape[1:] != references.shape[1:] or not len(images) or not len(references):
        raise ValueError(
            f"distances are between images of one shape; got {tuple(images.shape)} and references "
            f"{tuple(references.shape)}."
        )
    x, y = images.flatten(1), references.flatten(1)
    # |x - y|^2 through one matrix product: the nearest only, so |x|^2 waits until the minimum is known.
    squares = (y**2).sum(1)
    nearest = torch.cat([(squares - 2 * part @ y.T).min(1).indices for part in x.split(batch_size)])
    # The product loses digits where two images are nearly one; their difference does not.
    distance: Tensor = (x - y[nearest]).norm(dim=1)
    return distance


def distance_threshold(distance: Tensor, share: float = 0.05) -> float:
    """Find the distance to the nearest reference that all but a share of real reconstructions keep to.

    Parameters
    ----------
    distance : Tensor of shape (n,)
        `nearest_distance` of reconstructions of test images to those of training images.
    share : float
        0.05: the 95th percentile.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1; got {share}.")
    return torch.quantile(distance.double(), 1 - share).item()


def distance_holes(distance: Tensor, threshold: float) -> Rate:
    """Count the decoded draws that are further from every training reconstruction than real ones are.

    Needs no judge and no pixels of the data: a second opinion on `hole_rate`.

    Parameters
    ----------
    distance : Tensor of shape (n,)
        `nearest_distance` of decoded draws to reconstructions of training images.
    threshold : float
        As `distance_threshold` finds it.
    """
    return Rate.of(distance > threshold)


def interpolate(a: Tensor, b: Tensor, t: Tensor, kind: str = "line") -> Tensor:
    """Go from a to b, straight or along a great circle.

    Halfway between two draws of the prior the line has a typical length of sqrt(d / 2), where the draws
    have sqrt(d): in many dimensions it passes where the prior has next to no mass. The circle does not.

    Parameters
    ----------
    a, b : Tensor of shape (..., d)
    t : Tensor of shape (steps,)
        0 is a, 1 is b.
    kind : "line" or "great-circle"
        The second weighs a by sin((1 - t) w) / sin w and b by sin(t w) / sin w, w the angle between them
        (Shoemake 1985; White 2016, arXiv 1609.04468). Where there is no one such circle - a zero, one
        direction, or opposite ones - it is the line.

    Returns
    -------
    Tensor of shape (..., steps, d)

    Raises
    ------
    ValueError
        Another kind, or points of different shapes.
    """
    if kind not in ("line", "great-circle"):
        raise ValueError(f'kind must be "line" or "great-circle"; got {kind!r}.')
    if a.shape != b.shape:
        raise ValueError(f"a and b must have one shape; got {tuple(a.shape)} and {tuple(b.shape)}.")
    a, b, t = a.unsqueeze(-2), b.unsqueeze(-2), t.to(a.dtype).unsqueeze(-1)
    if kind == "line":
        return (1 - t) * a + t * b
    lengths = a.norm(dim=-1, keepdim=True) * b.norm(dim=-1, keepdim=True)
    cosine = ((a * b).sum(-1, keepdim=True) / lengths.clamp(min=1e-12)).clamp(-1, 1)
    is_circle = (lengths > 1e-12) & (cosine.abs() < 1 - 1e-6)
    angle = torch.where(is_circle, cosine, torch.zeros_like(cosine)).acos()
    circle = (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)
    return torch.where(is_circle, circle, (1 - t) * a + t * b)


def path_holes(
    model: Decoder,
    judge: Judge,
    a: Tensor,
    b: Tensor,
    steps: int = 21,
    tau: float = TAU,
    *,
    kind: str = "line",
) -> PathHoles:
    """Measure how much of the way between pairs of codes is holes.

    Parameters
    ----------
    model : VAE or Autoencoder
    judge : Classifier
    a, b : Tensor of shape (P, d)
        The ends of P lines; for independent lines no code takes part in two.
    steps : int
        Points of each line, both ends among them.
    tau : float
    kind : "line" or "great-circle"

    Raises
    ------
    ValueError
        No pairs, fewer than 2 steps, or codes that do not go together.
    """
    if a.dim() != 2 or not len(a):
        raise ValueError(f"a and b must be (P, d), of at least one pair; got {tuple(a.shape)}.")
    if steps < 2:
        raise ValueError(f"steps counts the points of a line, its two ends too: at least 2; got {steps}.")
    z = interpolate(a, b, torch.linspace(0, 1, steps), kind)
    confidence = confidence_of(judge, decode_all(model, z.flatten(0, 1))).view(len(a), steps)
    holes = confidence < tau
    share = holes.double().mean().item()
    return PathHoles(share, *wilson(share * len(a), len(a)), Rate.of(holes.any(1)), confidence)


def _check_probabilities(confidence: Tensor) -> Tensor:
    if confidence.dim() != 1 or not len(confidence) or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError(
            "confidence must be (n,) probabilities from 0 to 1 of at least one draw; "
            f"got shape {tuple(confidence.shape)}."
        )
    return confidence
