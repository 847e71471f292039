"""The exercises of notebook 07."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def kept_dimensions():
    """How many latent dimensions does exact maximum likelihood keep, without any ELBO?

    Probabilistic PCA with up to six latents and the noise s^2 = 2 held fixed, on data with the variances
    9, 4, 1, .25, .25, .25 along its axes.

    Parameters
    ----------
    answer : int
    """
    return Number(
        right=2,
        well="log p(x) itself drops what lies under the noise, as the VAE does: the ELBO is not to blame.",
        hint="Along an axis the model has the square of w plus the noise. What if the data vary less?",
        wrong=[
            (6, "A latent under the noise would only make the model's variance too large: its best w is 0."),
            (3, "No KL is weighed here, and yet an axis under the noise is worth nothing to log p(x)."),
            (4, "Compare each variance with that of the noise."),
            (1, "Every variance above that of the noise is worth a latent."),
            (0, "Collapse is not the end of everything: what stands above the noise is kept."),
        ],
    )


@exercise
def rates():
    """Write ``rates(eigenvalues, beta, noise)``: the bits that the best linear beta-VAE tells per dimension.

    Parameters
    ----------
    answer : function
        Takes variances, a Tensor of shape (n,), and two floats, beta and s^2; returns a Tensor of shape (n,).
    """
    alone = "The decoder's variance and beta are one knob: it is their product that sets the water level."
    return Function(
        trials=[_variances(6, beta=4.0, noise=0.25, seed=0), _variances(5, beta=0.5, noise=1.5, seed=1)],
        right=_rates,
        well="Only beta * s^2 counts: halve one and double the other, and nothing changes.",
        hint="What stands above the water, on a log scale to base 2, counts half; what is under it counts 0.",
        wrong=[
            (lambda v, beta, noise: _rates(v, beta, 1.0), f"You leave s^2 out. {alone}"),
            (lambda v, beta, noise: _rates(v, 1.0, noise), f"You leave beta out. {alone}"),
            (lambda v, beta, noise: _rates(v, 1 / beta, noise), f"beta stands on the wrong side. {alone}"),
            (lambda v, beta, noise: _rates(v, beta, 1 / noise), f"s^2 stands on the wrong side. {alone}"),
            (lambda v, beta, noise: _rates(v, beta, noise**2), f"noise is s^2 already, a variance. {alone}"),
            (lambda v, beta, noise: _rates(v, beta + noise, 1.0), f"You add the two. {alone}"),
            (
                lambda v, beta, noise: 0.5 * (v / (beta * noise)).log2(),
                "Under the water you tell less than nothing. A drowned dimension tells 0 bits.",
            ),
            (
                lambda v, beta, noise: 0.5 * (v / (beta * noise)).log(),
                "That is in nats, not in bits; and a drowned dimension tells 0, not less than nothing.",
            ),
            (lambda v, beta, noise: _rates(v, beta, noise) * math.log(2), "That is in nats, not in bits."),
            (
                lambda v, beta, noise: _rates(v.sqrt(), beta, noise),
                "The eigenvalues are variances already, as beta * s^2 is: take no root of them.",
            ),
            (
                lambda v, beta, noise: 0.5 * v.clamp(min=1).log2(),
                "Where is the water? A variance counts by how far it stands above beta * s^2.",
            ),
            (
                lambda v, beta, noise: 2 * _rates(v, beta, noise),
                "Twice too much: these are variances, and a bit is a factor of two in the deviation.",
            ),
            (
                lambda v, beta, noise: 0.5 * (1 + v / (beta * noise)).log2(),
                "That is the capacity of a noisy channel. Here a dimension at the level tells nothing.",
            ),
            (
                lambda v, beta, noise: (v - beta * noise).clamp(min=0),
                "That is how much variance stands above the water. Bits are counted on a log scale.",
            ),
            (lambda v, beta, noise: _rates(v, beta, noise).sum(), "One number per dimension: do not sum."),
        ],
    )


@exercise
def fair_elbo():
    """Which ELBO has the model whose training ended at the lower loss?

    Trained with beta = 0.25 it reports a loss of 84.9 nats, made of a distortion of 77.9 and a KL of 28 that
    counts a quarter. Another, trained with beta = 1, reports 102.8.

    Parameters
    ----------
    answer : float
        Nats, within 1 %.
    """
    return Number(
        right=-105.9,
        well="Its loss was lower, its ELBO is worse: losses with different beta cannot be compared.",
        hint="The ELBO weighs both terms alike, whatever weight training used: minus distortion minus KL.",
        wrong=[
            (
                -84.9,
                "That is the loss it reports. Its KL counts a quarter there, in the ELBO it counts in full.",
            ),
            (-70.9, "You reward the KL, and count a quarter of it. In the ELBO it is a cost, in full."),
            (-28, "That is the KL alone: what the code costs, without what the decoder loses."),
            (-49.9, "You reward the KL. It is a cost, in the loss and in the ELBO."),
            (-77.9, "That is the reconstruction alone: the code must be paid for too."),
            (-102.8, "That is the other model's loss, which with beta = 1 is its ELBO too."),
        ],
    )


def _rates(eigenvalues: Tensor, beta: float, noise: float) -> Tensor:
    return 0.5 * (eigenvalues / (beta * noise)).clamp(min=1).log2()


def _variances(n: int, beta: float, noise: float, seed: int) -> dict:
    # From far below the water level to far above it.
    spread = torch.linspace(-3, 4, n) + torch.rand(n, generator=torch.Generator().manual_seed(seed))
    return dict(eigenvalues=beta * noise * 2.0**spread, beta=beta, noise=noise)
