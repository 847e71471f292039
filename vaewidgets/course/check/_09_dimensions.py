"""The exercises of notebook 09."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def typical_distance():
    """How far from the origin do draws of a hundred-dimensional standard normal typically lie?

    z has 100 independent coordinates, each from N(0, 1): the root of the mean squared length of z.

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=math.sqrt(100),
        well="All draws lie in a thin shell of that radius. The density is highest at the origin, but hardly "
        "any volume is there: z = 0 decodes to an average, not to a typical image.",
        hint="Squared, the length is the sum of the squares of all coordinates. What is the mean of each?",
        wrong=[
            (0, "There the density is highest, but a draw needs volume too: none of them comes near."),
            (1, "That is how far *one* coordinate strays. The other 99 stray as well."),
            (100, "That is the mean of the *squared* length."),
            (
                math.sqrt(50),
                "Halfway between two draws, z has that length. The question is of one draw.",
            ),
            (
                math.sqrt(200),
                "So far apart are two *draws* from each other. Asked is how far one is from the origin.",
            ),
            (
                100 * math.sqrt(2 / math.pi),
                "You add up the sizes of the coordinates. Lengths add by their squares.",
            ),
            (1 / math.sqrt(100), "That is the error of a *mean* of 100 numbers. Here their squares add up."),
        ],
    )


@exercise
def great_circle():
    """Write ``great_circle(a, b, t)``: the point at the share t of the great circle from a to b.

    With w the angle between a and b it turns by t w, at an even pace, and the length stays (Shoemake 1985;
    White 2016, arXiv 1609.04468).

    Parameters
    ----------
    answer : function
        Takes two Tensors of shape (d,), equally long, and a float from 0 to 1; returns shape (d,).
    """
    cut = "The length is kept, but the pace is uneven: equal steps of t must be equal angles."
    return Function(
        trials=[_ends(5, 0.3, seed=0), _ends(8, 0.8, seed=1)],
        right=_circle,
        well="Between draws from the prior it stays in their shell; the line cuts through the inside, where "
        "the decoder was hardly ever trained. Whether that shows in the pictures, the judge says.",
        hint="Two sines weigh a and b, and a third divides both, so that t = 0 gives a and t = 1 gives b.",
        wrong=[
            (lambda a, b, t: (1 - t) * a + t * b, "That is the straight line: its middle is too short."),
            (lambda a, b, t: t * a + (1 - t) * b, "That is the straight line, and it runs from b to a."),
            (lambda a, b, t: _circle(b, a, t), "Your path runs from b to a: at t = 0 it must be at a."),
            (lambda a, b, t: _stretched(a, b, t, a.norm()), cut),
            (lambda a, b, t: _stretched(a, b, t, torch.tensor(1.0)), "Your points have length 1, not a's."),
            (
                lambda a, b, t: math.sqrt(1 - t) * a + math.sqrt(t) * b,
                "That keeps the length only of a and b at a right angle, and its pace is uneven.",
            ),
            (
                lambda a, b, t: math.cos(t * math.pi / 2) * a + math.sin(t * math.pi / 2) * b,
                "You take the angle for a right one. In many dimensions it nearly is; measure it.",
            ),
            (
                lambda a, b, t: _circle(a / a.norm(), b / b.norm(), t),
                "You walk between the *directions* of a and b. Weigh a and b themselves.",
            ),
            (
                lambda a, b, t: _circle(a, b, t) * torch.sin(_angle(a, b)),
                "At t = 0 you are not at a: the sine of the whole angle divides both weights.",
            ),
            (
                lambda a, b, t: _weigh(a, b, t, (a @ b).clamp(-1, 1).acos()),
                "The cosine of the angle is the dot product of *unit* vectors: divide by both lengths.",
            ),
        ],
    )


@exercise
def label_nats():
    """How many nats of what the decoder must know can the label tell it, at most?

    Ten digits, equally frequent: the entropy of the label. So many nats z need not carry any more.

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=math.log(10),
        well="At most, for z never carried the label perfectly. What it is still paid for is the style: "
        "the same z under another label is another digit in the same hand.",
        hint="The entropy of one of n equally likely cases, with the natural logarithm.",
        wrong=[
            (math.log2(10), "That is in bits. Nats use the natural logarithm."),
            (1, "That is in decimal digits. Nats use the natural logarithm."),
            (10, "That counts the labels. How much does it tell to be told one of them?"),
            (0.1, "That is the probability of each label. How much does it tell to be told one?"),
            (math.log(9), "All ten labels are possible, the right one too."),
            (math.log(10) / 10, "That is one label's share of the sum. The entropy is the whole sum."),
        ],
    )


def _angle(a: Tensor, b: Tensor) -> Tensor:
    return torch.acos(a @ b / (a.norm() * b.norm()))


def _weigh(a: Tensor, b: Tensor, t: float, angle: Tensor) -> Tensor:
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def _circle(a: Tensor, b: Tensor, t: float) -> Tensor:
    return _weigh(a, b, t, _angle(a, b))


def _stretched(a: Tensor, b: Tensor, t: float, length: Tensor) -> Tensor:
    """Return the point of the straight line, scaled to that length."""
    line = (1 - t) * a + t * b
    return line / line.norm() * length


def _ends(d: int, t: float, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    a, b = 0.3 * torch.randn(2, d, generator=noise)
    # Not at a right angle, and so short that the dot product itself has an inverse cosine. Of equal length,
    # for only then do all formulas of the great circle agree.
    b = 0.6 * b + 0.4 * a
    return dict(a=a, b=b * a.norm() / b.norm(), t=t)
