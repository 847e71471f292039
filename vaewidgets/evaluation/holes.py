"""Holes: the points of a latent space whose decoded image belongs to no class.

There are two definitions. By a judge, which is a classifier: the highest class probability is below tau
(`hole_rate`). By distance: the image is further from every training reconstruction than 95 % of the test
reconstructions are (`distance_holes`). Both give a share of independent draws with Wilson's interval.
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

#: A judge whose highest class probability is below this is not sure; the default everywhere.
TAU = 0.9
_BATCH = 1000


class Interval(NamedTuple):
    """The two ends, `low` and `high`, of a confidence interval."""

    low: float
    high: float


class Rate(NamedTuple):
    """A share with its confidence interval.

    Attributes
    ----------
    count, n : int
        Hits, and draws in all.
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
        """Count the hits in a Tensor of bools, of shape (n,).

        Examples
        --------
        >>> import torch, vaewidgets as vw
        >>> rate = vw.holes.Rate.of(torch.tensor([True, True, False, True]))
        >>> rate.count, rate.n, rate.share, round(rate.low, 2), round(rate.high, 2)
        (3, 4, 0.75, 0.3, 0.95)
        """
        count, n = int(hits.sum()), len(hits)
        return cls(count, n, count / n, *wilson(count, n))


class PathHoles(NamedTuple):
    """Holes on the lines between pairs of codes.

    Attributes
    ----------
    share, low, high : float
        Share of the points that are holes, and its interval. The points of one line depend on each other, so
        the interval is Wilson's for as many draws as there are lines. It may be too wide but not too narrow:
        no variable in [0, 1] of mean p varies more than a single draw, by p (1 - p).
    crossing : Rate
        Lines with at least one hole.
    confidence : Tensor of shape (P, steps)
        Of the judge, one line in each row.
    """

    share: float
    low: float
    high: float
    crossing: Rate
    confidence: Tensor


def wilson(count: float, n: int, level: float = 0.95) -> Interval:
    """Compute Wilson's score interval for a share of count / n.

    The ends are the two p with |count / n - p| = z sqrt(p (1 - p) / n), z the normal quantile. They lie
    inside [0, 1], and differ also where count is 0 or n.

    Parameters
    ----------
    count : float
        Hits, from 0 to n.
    n : int
        Independent draws.
    level : float
        The share of such intervals that contain the true share.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        No draws, a count outside 0 .. n, a level outside (0, 1).

    References
    ----------
    Wilson 1927, Probable inference, the law of succession, and statistical inference; JASA 22, 209-212.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> low, high = vw.holes.wilson(27, 100)
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
        Highest probability among the real classes, as `confidence_of` returns it.
    tau : float
        A draw with a confidence below it is a hole; one at tau is not.

    Returns
    -------
    Rate

    Raises
    ------
    ValueError
        No draws, or values that are not probabilities.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.hole_rate(torch.tensor([0.25, 0.95, 0.99, 0.5])).count
    2
    """
    return Rate.of(_check_probabilities(confidence) < tau)


def reject_threshold(confidence: Tensor, share: float = 0.05) -> float:
    """Find the tau that rejects a share of the reconstructions of real images.

    Parameters
    ----------
    confidence : Tensor of shape (n,)
        Of the judge, for reconstructions of real images.
    share : float
        From 0 up, below 1.

    Returns
    -------
    float
        The largest tau for which `hole_rate` is at most `share`: one of the values of `confidence`.

    Raises
    ------
    ValueError
        Another share; no draws, or values that are not probabilities.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.reject_threshold(torch.tensor([0.5, 1.0, 0.75, 0.875]), share=0.25)
    0.75
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1; got {share}.")
    ordered = _check_probabilities(confidence).sort().values
    # The rounding of 0.29 * 100 must not lose one.
    return ordered[math.floor(share * len(ordered) + 1e-9)].item()


@in_eval_mode
def confidence_of(judge: Judge, images: Tensor, *, batch_size: int = _BATCH) -> Tensor:
    """Compute the highest probability of a real class for each image: Tensor of shape (n,).

    Parameters
    ----------
    judge : Classifier
    images : Tensor of shape (n, C, H, W)
    batch_size : int
        Images at one time; bounds memory and changes no value.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.confidence_of(vw.pretrained("digits-classifier"), torch.zeros(3, 1, 8, 8)).shape
    torch.Size([3])
    """
    return torch.cat([judge.confidence(x) for x in images.split(batch_size)])


@in_eval_mode
def decode_all(model: Decoder, z: Tensor, *, batch_size: int = _BATCH) -> Tensor:
    """Decode z of shape (n, d) by a model: Tensor of shape (n, C, H, W).

    `batch_size` points are decoded at one time, which bounds memory and changes no value.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.decode_all(vw.pretrained("digits-vae-2d"), torch.zeros(3, 2)).shape
    torch.Size([3, 1, 8, 8])
    """
    return torch.cat([model.decode(part) for part in z.split(batch_size)])


def nearest_distance(images: Tensor, references: Tensor, *, batch_size: int = 2000) -> Tensor:
    """Compute the distance of each image to the nearest reference.

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

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.nearest_distance(torch.zeros(1, 1, 2, 2), torch.ones(5, 1, 2, 2)).tolist()
    [2.0]
    """
    if images.shape[1:] != references.shape[1:] or not len(images) or not len(references):
        raise ValueError(
            f"distances are between images of one shape; got {tuple(images.shape)} and references "
            f"{tuple(references.shape)}."
        )
    x, y = images.flatten(1), references.flatten(1)
    # |x - y|^2 - |x|^2 through one matrix product: |x|^2 does not change which reference is the nearest.
    squares = (y**2).sum(1)
    nearest = torch.cat([(squares - 2 * part @ y.T).min(1).indices for part in x.split(batch_size)])
    # The product loses digits where two images are nearly the same; their difference does not.
    return torch.pairwise_distance(x, y[nearest], eps=0.0)


def distance_threshold(distance: Tensor, share: float = 0.05) -> float:
    """Find the distance that only a share of the reconstructions of real images exceeds: a quantile.

    Parameters
    ----------
    distance : Tensor of shape (n,)
        `nearest_distance` of reconstructions of test images to those of training images.
    share : float
        From 0 up, below 1; 0.05 gives the 95th percentile.

    Raises
    ------
    ValueError
        Another share.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> round(vw.holes.distance_threshold(torch.arange(101.0)), 6)
    95.0
    """
    if not 0 <= share < 1:
        raise ValueError(f"share must be at least 0 and below 1; got {share}.")
    return torch.quantile(distance.double(), 1 - share).item()


def distance_holes(distance: Tensor, threshold: float) -> Rate:
    """Count the decoded draws that are further from every training reconstruction than a threshold.

    This needs no judge and no images, so it is independent of `hole_rate`.

    Parameters
    ----------
    distance : Tensor of shape (n,)
        `nearest_distance` of decoded draws to reconstructions of training images.
    threshold : float
        As `distance_threshold` returns it. A draw at the threshold is no hole.

    Returns
    -------
    Rate

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.holes.distance_holes(torch.tensor([0.5, 3.0, 1.0, 2.0]), threshold=1.0).count
    2
    """
    return Rate.of(distance > threshold)


def interpolate(a: Tensor, b: Tensor, t: Tensor, kind: str = "line") -> Tensor:
    """Interpolate between a and b, on a straight line or along a great circle.

    The midpoint of two draws of the prior has a typical length of sqrt(d / 2), the draws themselves of
    sqrt(d). So in many dimensions the line passes where the prior has almost no mass. The circle does not.

    Parameters
    ----------
    a, b : Tensor of shape (..., d)
    t : Tensor of shape (steps,)
        0 is a, 1 is b.
    kind : "line" or "great-circle"
        The second weighs a by sin((1 - t) w) / sin w and b by sin(t w) / sin w, w the angle between them.
        Where no single such circle exists (a zero vector, equal or opposite directions) it is the line.

    Returns
    -------
    Tensor of shape (..., steps, d)

    Raises
    ------
    ValueError
        Another kind, or points of different shapes.

    References
    ----------
    Shoemake 1985, Animating rotation with quaternion curves. White 2016, Sampling generative networks (arXiv
    1609.04468), section 2.1.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> a, b, half = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 3.0]), torch.tensor([0.5])
    >>> [round(vw.holes.interpolate(a, b, half, kind).norm().item(), 2) for kind in ("line", "great-circle")]
    [2.12, 3.0]
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
    """Measure which share of the way between pairs of codes is holes.

    Parameters
    ----------
    model : VAE or Autoencoder
    judge : Classifier
    a, b : Tensor of shape (P, d)
        The ends of P lines. The lines are independent if no code is an end of two of them.
    steps : int
        Points of each line, including both ends.
    tau : float
        A point with a confidence below it is a hole.
    kind : "line" or "great-circle"
        As `interpolate` takes it.

    Returns
    -------
    PathHoles

    Raises
    ------
    ValueError
        No pairs, fewer than 2 steps, or codes of different shapes.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model, judge = vw.pretrained("digits-vae-2d"), vw.pretrained("digits-classifier")
    >>> found = vw.holes.path_holes(model, judge, model.atlas.mu[:5], model.atlas.mu[5:10])
    >>> found.crossing.n, tuple(found.confidence.shape)
    (5, (5, 21))
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
