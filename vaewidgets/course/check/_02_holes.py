"""The exercises of notebook 02."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def prior_mass():
    """Which share of the draws from a two-dimensional N(0, I) lies within radius 2 of the origin?

    Parameters
    ----------
    answer : float
        From 0 to 1, within 1 %.
    """
    return Number(
        right=_mass(2),
        well="In a plane two sigma hold less than the 95 % of one dimension: there is more room outside.",
        hint="Half the squared distance from the origin is exponential with mean 1. Or draw, and count.",
        wrong=[
            (math.erf(2 / 2**0.5), "That is two sigma of *one* dimension. In a plane more lies outside."),
            (math.erf(2 / 2**0.5) ** 2, "That is a *square* of half-width 2. Its corners reach further."),
            (_mass(1), "That is what lies within radius 1."),
            (_mass(3), "That is what lies within radius 3."),
            (1 - _mass(2), "That is what lies *outside*."),
            (math.erf(1 / 2**0.5) ** 2, "That is a *square* of half-width 1. Asked is a disc of radius 2."),
            (100 * _mass(2), "That is in percent. Asked is a share between 0 and 1."),
            (1 - math.exp(-1), "Something is not squared: it is the *squared* distance that counts."),
            (1 - math.exp(-4), "The squared distance is not halved in your exponent."),
            (
                (1 + math.erf(2 / 2**0.5)) / 2,
                "That is one tail of *one* dimension cut off. Asked is a disc in the plane.",
            ),
            (math.erf(1 / 2**0.5), "That is one sigma of one dimension. Asked is a disc of radius 2."),
        ],
    )


@exercise
def none_seen():
    """Of 50 draws from a sampler *none* was a hole. Up to which share of holes does Wilson's interval reach?

    Parameters
    ----------
    answer : float
        The upper end of the 95 % interval (z = 1.96), from 0 to 1, within 1 %.
    """
    n, square = 50, 1.96**2
    return Number(
        right=square / (n + square),
        well="None seen is not none there: no gap in 50 draws leaves room for seven in a hundred.",
        hint="Put p = 0 into Wilson's formula: its two terms, the middle and the half width, become equal.",
        wrong=[
            (0, "No hole in 50 draws does not mean that there is none: more draws may find one."),
            (100 * square / (n + square), "That is in percent. Asked is a share between 0 and 1."),
            (3 / n, "The rule of three, a good rule of thumb for one side. Asked is Wilson's interval."),
            (1.5 * square / (n + square), "The first term is z^2 / 2n: a half is missing."),
            (square / n, "The denominator of Wilson's formula is missing."),
            (square / (n + square) / 2, "That is the middle of the interval. Asked is its upper end."),
            (square / n / 2, "That is the half width, and its denominator is missing."),
            (1.96 / n, "A z is left unsquared: at p = 0 the root takes one back out."),
            (1 / n, "That is one hole in all the draws; how many could have hidden by chance?"),
            (1, "So many could not hide: among 50 draws they would have shown."),
        ],
    )


@exercise
def to_codes():
    """Write ``to_codes(epsilon, codes)``: draws with the mean and the spread of an autoencoder's codes.

    ``epsilon`` are draws from N(0, I), ``codes`` the codes of real images. Give every coordinate the mean and
    the standard deviation that the codes have in it.

    Parameters
    ----------
    answer : function
        Takes Tensors of shape (n, d) and (N, d); returns a Tensor of shape (n, d).
    """
    return Function(
        trials=[_trial(7, 3, seed=0), _trial(5, 2, seed=1)],
        right=lambda epsilon, codes: codes.mean(0) + codes.std(0) * epsilon,
        well="So an autoencoder *can* generate, once a density is fitted to its codes. This is the simplest.",
        hint="As mu + sigma epsilon, with the mu and the sigma of the codes, one of each per coordinate.",
        wrong=[
            (
                lambda epsilon, codes: epsilon,
                "That is N(0, I) as it came. Nothing ever asked the autoencoder to put its codes there.",
            ),
            (
                lambda epsilon, codes: codes.std(0) * epsilon,
                "The spread is right, the place is not: your draws lie about the origin.",
            ),
            (
                lambda epsilon, codes: codes.mean(0) + epsilon,
                "The place is right, the spread is not: it is still that of N(0, I).",
            ),
            (
                lambda epsilon, codes: codes.mean(0) + codes.var(0) * epsilon,
                "You multiply by the variance. The spread of a draw is the standard deviation.",
            ),
            (
                lambda epsilon, codes: (epsilon - codes.mean(0)) / codes.std(0),
                "That is the way back: it would make codes into N(0, I).",
            ),
            (
                lambda epsilon, codes: codes.std(0) * (epsilon + codes.mean(0)),
                "The mean is moved before it is spread: then it is multiplied too.",
            ),
            (
                lambda epsilon, codes: codes.mean() + codes.std() * epsilon,
                "One mean and one spread for all coordinates. Each coordinate has its own.",
            ),
            (
                lambda epsilon, codes: (
                    codes.mean(0) + codes.std(0) * (epsilon - epsilon.mean(0)) / epsilon.std(0)
                ),
                "You standardise the draws. They come from N(0, I) already: take them as they are.",
            ),
            (
                lambda epsilon, codes: codes[: len(epsilon)],
                "Those are codes of real images: nothing new is drawn.",
            ),
            (
                lambda epsilon, codes: codes.mean(0).expand_as(epsilon),
                "Every draw is the mean code: n times one picture. Where is epsilon?",
            ),
        ],
    )


def _mass(radius: float) -> float:
    return 1 - math.exp(-(radius**2) / 2)


def _trial(n: int, d: int, seed: int) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(seed)
    # With so many codes it does not matter whether one divides by N or by N - 1. They are uncorrelated, so
    # that the Cholesky factor of their covariance gives the same draws as their standard deviations.
    codes = torch.randn(20_000, d, generator=noise)
    codes = torch.linalg.qr(codes - codes.mean(0)).Q * len(codes) ** 0.5
    codes = torch.tensor([5.0, -8.0, 1.5])[:d] + torch.tensor([12.0, 3.0, 30.0])[:d] * codes
    return dict(epsilon=torch.randn(n, d, generator=noise), codes=codes)
