"""The exercises of notebook 08."""

from __future__ import annotations

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def exact_encoder():
    """An image has an ELBO of -30 nats under the encoder's q, and log p(x) = -24 nats.

    The encoder alone is trained on, until its q *is* the true posterior. What is the ELBO then?

    Parameters
    ----------
    answer : float
        Nats, within 1 %.
    """
    bound, exact = -30, -24
    return Number(
        right=exact,
        well="The gap was KL(q || true posterior), and now it is 0. log p(x) belongs to the decoder alone.",
        hint="log p(x) = ELBO + KL(q || true posterior). Which of the three does q change?",
        wrong=[
            (bound, "ELBO = log-likelihood? It is a lower *bound*, and a better q lifts it."),
            (exact - bound, "That is the gap as it was: a KL, not a bound."),
            (0, "The *gap* becomes 0. The bound is still that of an image which is not certain."),
            (2 * bound - exact, "A better q moves the bound up. You moved it down, by the gap."),
            (2 * exact - bound, "You lifted the bound past log p(x). A bound never passes it."),
            (bound + exact, "You added the two. One bounds the other: they are of the same image."),
            ((bound + exact) / 2, "Halfway? A q that is exact leaves nothing of the gap."),
        ],
    )


@exercise
def seen_by_drawing():
    """Six figures of a model stand on the board: how many of them look at *new* pictures?

    Its loss; its squared error of reconstruction; the k-NN agreement of its codes; a linear probe on them;
    the hole rate of its sampler; the feature distance of that sampler's pictures to real ones.

    Parameters
    ----------
    answer : float
        0 to 6.
    """
    return Number(
        right=2,
        well="Holes and feature distance. A low loss, or codes that group well, say nothing of new pictures.",
        hint="Go through them: does it need a z that belongs to no image, decoded and looked at?",
        wrong=[
            (0, "Some of them do: they decode draws of a sampler. Which?"),
            (1, "One of them is right. Is there another that decodes what a sampler drew?"),
            (
                3,
                "One too many. A lower loss = better samples? It is of images that are there. And k-NN looks "
                "at their codes.",
            ),
            (
                4,
                "Too many. k-NN and the probe look at codes of real images; an autoencoder's group too, "
                "and it has no sampler.",
            ),
            (5, "Too many. Loss, error, k-NN and probe are all of real images."),
            (6, "All of them? Reconstructing, grouping and generating are three things."),
        ],
    )


@exercise
def told_apart():
    """Write ``told_apart(low_a, high_a, low_b, high_b)``: do two intervals leave no point in common?

    Parameters
    ----------
    answer : function
        Takes four Tensors of shape (N,), the ends of N pairs of intervals, which may touch; returns
        shape (N,): 1 (or True) where interval a and interval b share no point, 0 where they do.
    """
    return Function(
        trials=[_intervals(40, seed=0), _intervals(30, seed=1)],
        right=_apart,
        well="No overlap tells two shares apart. An overlap says only: with these draws, one cannot tell.",
        hint="Two intervals share no point when one ends before the other begins. There are two ways round.",
        wrong=[
            (lambda la, ha, lb, hb: 1 - _apart(la, ha, lb, hb), "That says where they *do* overlap."),
            (
                lambda la, ha, lb, hb: (ha < lb).double(),
                "You look at a below b only. b may lie below a as well.",
            ),
            (
                lambda la, ha, lb, hb: (hb < la).double(),
                "You look at b below a only. a may lie below b as well.",
            ),
            (
                lambda la, ha, lb, hb: ((ha <= lb) | (hb <= la)).double(),
                "Where they touch they share that point: they are not apart.",
            ),
            (
                lambda la, ha, lb, hb: ((la + ha) / 2 != (lb + hb) / 2).double(),
                "You compare the middles: shares that differ. The question is whether by more than chance.",
            ),
            (
                lambda la, ha, lb, hb: ((la < lb) & (ha > hb) | (lb < la) & (hb > ha)).double(),
                "That says where one lies *inside* the other.",
            ),
            (
                lambda la, ha, lb, hb: ((ha < lb) & (hb < la)).double(),
                "Both at once cannot be: one of the two ways round is enough.",
            ),
            (
                lambda la, ha, lb, hb: _outside(la, ha, lb, hb),
                "You ask whether the middle of one lies outside the other. Their ends may still overlap.",
            ),
            (
                lambda la, ha, lb, hb: _outside(lb, hb, la, ha),
                "You ask whether the middle of one lies outside the other. Their ends may still overlap.",
            ),
            (lambda la, ha, lb, hb: _apart(la, ha, lb, hb).mean(), "That is a share. Answer pair by pair."),
        ],
    )


def _apart(low_a: Tensor, high_a: Tensor, low_b: Tensor, high_b: Tensor) -> Tensor:
    return ((high_a < low_b) | (high_b < low_a)).double()


def _outside(low_a: Tensor, high_a: Tensor, low_b: Tensor, high_b: Tensor) -> Tensor:
    """Tell whether the middle of a is outside b, which does not suffice."""
    middle = (low_a + high_a) / 2
    return ((middle < low_b) | (middle > high_b)).double()


def _intervals(count: int, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    middle = torch.rand(2, count, generator=noise)
    half = 0.05 + 0.2 * torch.rand(2, count, generator=noise)
    # The ends are multiples of 1/128, so that some pairs touch exactly, and middles are exact too.
    low, high = ((middle - half) * 128).round() / 128, ((middle + half) * 128).round() / 128
    low[1, 0] = high[0, 0]
    high[1, 0] = low[1, 0] + 0.25
    high[1, 1] = low[0, 1]
    low[1, 1] = high[1, 1] - 0.25
    return dict(low_a=low[0], high_a=high[0], low_b=low[1], high_b=high[1])
