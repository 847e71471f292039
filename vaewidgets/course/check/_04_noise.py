"""The exercises of notebook 04."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise

#: Exact at phi = 1/2: variance of the score function's gradient over that of the pathwise one.
_RATIO = 9.743352


@exercise
def slopes():
    """Write ``slopes(mu, sigma, epsilon)``: how z = mu + sigma * epsilon moves with mu and with sigma.

    Parameters
    ----------
    answer : function
        Takes three Tensors of shape (B, d); returns one of shape (2, B, d), dz/dmu first, then dz/dsigma.
    """
    pair = torch.stack
    return Function(
        trials=[_noise(5, 3, seed=0), _noise(4, 2, seed=1)],
        right=lambda mu, sigma, epsilon: pair([torch.ones_like(mu), epsilon]),
        well="Sampling can be differentiated: with the noise held still, z is linear in mu and sigma.",
        hint="Hold epsilon still, as the knob does, and ask of each input: by how much does z follow it?",
        wrong=[
            (
                lambda m, s, e: pair([0 * m, 0 * m]),
                "Sampling *can* be differentiated: hold epsilon still, and z moves with mu and with sigma.",
            ),
            (
                lambda m, s, e: pair([torch.ones_like(m), 0 * e]),
                "The noise cannot stay outside the gradient: it is what sigma is multiplied by. "
                "With this slope sigma would never learn.",
            ),
            (
                lambda m, s, e: pair([torch.ones_like(m), torch.ones_like(m)]),
                "sigma is not added, it stretches the noise: what stands beside it in z?",
            ),
            (
                lambda m, s, e: pair([torch.ones_like(m), s]),
                "That is the slope along the noise. The slope along sigma is asked for.",
            ),
            (
                lambda m, s, e: pair([torch.ones_like(m), s * e]),
                "That is sigma's whole part of z. Its slope is what sigma is multiplied by.",
            ),
            (
                lambda m, s, e: pair([torch.ones_like(m), e.abs()]),
                "A draw on the other side of mu moves the other way: keep the sign of the noise.",
            ),
            (lambda m, s, e: pair([e, torch.ones_like(m)]), "In the other order: mu first, then sigma."),
            (lambda m, s, e: pair([m, s * e]), "Those are the two parts of z, not their slopes."),
            (lambda m, s, e: m + s * e, "That is z itself. Its two slopes are asked for."),
        ],
    )


@exercise
def score():
    """Write ``score(mu, sigma, epsilon)``: the score-function estimate of d/dmu E[z^2], for each draw.

    Parameters
    ----------
    answer : function
        Takes two floats and a Tensor of shape (n,), the noise of z = mu + sigma * epsilon; returns a
        Tensor of shape (n,): f(z) times the derivative by mu of ln q(z).
    """
    return Function(
        trials=[_line(7, mu=0.5, sigma=0.4, seed=0), _line(9, mu=-1.2, sigma=1.7, seed=1)],
        right=lambda mu, sigma, epsilon: _square(mu, sigma, epsilon) * epsilon / sigma,
        well="f is never differentiated. Its mean is exact, 2 mu; its spread is the price.",
        hint="ln q(z) = -(z - mu)^2 / (2 sigma^2) + ...: its derivative by mu, z held still, times f(z).",
        wrong=[
            (
                lambda m, s, e: 2 * (m + s * e),
                "That is the pathwise gradient, f'(z): the same mean, but here f is not differentiated.",
            ),
            (
                lambda m, s, e: torch.full_like(e, 2 * m),
                "That is what it estimates, the exact gradient. One number per draw is asked for.",
            ),
            (
                lambda m, s, e: _square(m, s, e) * e,
                "ln q changes faster with mu where q is narrow: a division is missing.",
            ),
            (
                lambda m, s, e: _square(m, s, e) * e / s**2,
                "z - mu is sigma times epsilon: one sigma too many.",
            ),
            (lambda m, s, e: _square(m, s, e) * e * s, "Divide by sigma: you multiply."),
            (
                lambda m, s, e: -_square(m, s, e) * e / s,
                "The sign is flipped: q(z) grows when mu comes nearer to z.",
            ),
            (
                lambda m, s, e: _square(m, s, e) * (e**2 - 1) / s,
                "That is the derivative by sigma. The one by mu is asked for.",
            ),
            (
                lambda m, s, e: (m + s * e) * e / s,
                "f(z) is z^2 here; yours is z.",
            ),
            (
                lambda m, s, e: _square(m, s, e) * (-(e**2) / 2 - math.log(s) - math.log(2 * math.pi) / 2),
                "That is f(z) times ln q(z) itself. Its derivative by mu is asked for.",
            ),
            (lambda m, s, e: e / s, "That is the score alone. Where is f(z)?"),
            (
                lambda m, s, e: (_square(m, s, e) * e / s).mean(),
                "You average. One number per draw is asked for: the mean comes last.",
            ),
        ],
    )


@exercise
def draws_needed():
    """Say how many draws the score function needs to be as good as 100 pathwise draws, at phi = 0.5.

    Both estimate 5.728164; one draw has a standard deviation of 7.7228 (pathwise) or 24.1062 (score
    function). As good means: the mean of the draws has the same standard error.

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=100 * _RATIO,
        well="Nothing is wrong with its mean: the score function is unbiased. It is only dear.",
        hint="The standard error of a mean of n draws is sd / sqrt(n). Set the two equal and solve for n.",
        wrong=[
            (
                100,
                "Both have the same mean, so neither is biased. But they do not have the same spread.",
            ),
            (
                100 * math.sqrt(_RATIO),
                "You took the ratio of the standard deviations. An error falls only with the *root* of n.",
            ),
            (100 / _RATIO, "Upside down: the estimator that spreads more needs more draws."),
            (
                100 / math.sqrt(_RATIO),
                "Upside down, and the ratio of standard deviations is not that of draws.",
            ),
            (_RATIO, "That is for each pathwise draw. You have a hundred of them."),
            (math.sqrt(_RATIO), "That is the ratio of the two spreads. How do errors fall with draws?"),
            (100 * _RATIO**2, "The ratio is squared once too often: it already is one of variances."),
            (0, "No draws give no estimate. Or do you hold it for biased? Its mean is exact."),
        ],
        symptoms=[
            (
                lambda n: n >= 1e6,
                "So many would be needed if it were biased, and then they would not help. It is not.",
            )
        ],
    )


def _square(mu: float, sigma: float, epsilon: Tensor) -> Tensor:
    return (mu + sigma * epsilon) ** 2


def _line(n: int, mu: float, sigma: float, seed: int) -> dict:
    return dict(mu=mu, sigma=sigma, epsilon=torch.randn(n, generator=torch.Generator().manual_seed(seed)))


def _noise(images: int, d: int, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    mu, epsilon = (torch.randn(images, d, generator=noise) for _ in range(2))
    return dict(mu=mu, sigma=0.2 + torch.rand(images, d, generator=noise), epsilon=epsilon)
