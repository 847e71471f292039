"""The exercises of notebook 03."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from ._mechanism import Function, Number, exercise


@exercise
def best_sigma():
    """Say which sigma an encoder should answer with, on one axis.

    A cloud of width sigma costs its KL against N(0, 1); and the decoder, fed with samples instead of mu,
    loses 3 sigma^2 / 2 nats of reconstruction. Which sigma makes the sum smallest?

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=1 / math.sqrt(1 + 3),
        well="Wide enough to be cheap, narrow enough to be read: on both sides of it the sum rises.",
        hint="Write the sum as a function of sigma, take its derivative, and find where that is zero.",
        wrong=[
            (
                0,
                "The best sigma is not 0: its KL is infinite, since -ln sigma grows without end. "
                "What the decoder gains by it is finite.",
            ),
            (
                1,
                "That is the prior's width, where the KL is smallest. The decoder has its say too: "
                "not every q should equal the prior.",
            ),
            (1 / 4, "That is sigma^2, the variance. sigma is its square root."),
            (
                1 / math.sqrt(3),
                "You left out the prior's own pull: the KL has a term sigma^2 / 2 beside -ln sigma.",
            ),
            (1 / 3, "The variance, and the KL's own term sigma^2 / 2 is left out as well."),
            (2, "Upside down: a decoder that loses more by noise wants a narrower cloud."),
            (4, "That is 1 / sigma^2, the precision."),
            (math.log(1 / 4), "That is logvar, ln sigma^2. sigma itself is asked for."),
            (math.log(1 / 2), "That is ln sigma. sigma itself is asked for."),
            (
                1 / math.sqrt(1 + 3 / 2),
                "The derivative of sigma^2 is 2 sigma: the decoder's term loses its 1/2 as well.",
            ),
        ],
    )


@exercise
def spread_of_means():
    """Say how far apart the means must lie if the clouds together are to look like the prior.

    On one axis every image has the same sigma = 0.6, and their means mu are normal about 0. What must the
    standard deviation of mu be, so that the average of all q(z|x) is N(0, 1)?

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=math.sqrt(1 - 0.6**2),
        well="Each q is narrower than the prior and elsewhere; their average is the prior. Variances add.",
        hint="z is mu plus noise of that sigma, independent of it. What do the variances of the two sum to?",
        wrong=[
            (
                0,
                "Then every q has its mean at 0 and z says nothing of the image. "
                "Not each q should equal the prior: their average should.",
            ),
            (1, "Then the means alone fill the prior, and with the clouds around them it is overfull."),
            (1 - 0.6**2, "That is the variance of mu. Its square root is asked for."),
            (1 - 0.6, "Standard deviations do not add. Variances do."),
            (0.6**2, "That is the variance of each cloud. What is left of the prior's for the means?"),
            (0.6, "That is the width of each cloud, not the spread of their means."),
            (math.sqrt(1 + 0.6**2), "The clouds widen what the means span: you need less of it, not more."),
        ],
    )


@exercise
def sample():
    """Write ``sample(mu, logvar, epsilon)``: the points of the clouds that standard normal noise picks.

    Parameters
    ----------
    answer : function
        Takes three Tensors of shape (B, d): the encoder's mu and log sigma^2, and noise; returns z, of the
        same shape.
    """
    other = "softplus is another convention: a head that is called logvar means the logarithm of sigma^2."
    return Function(
        trials=[_clouds(5, 3, seed=0), _clouds(4, 2, seed=1)],
        right=lambda mu, logvar, epsilon: mu + (logvar / 2).exp() * epsilon,
        well="Any real number will do for logvar, and sigma is positive: no clamp, no softplus needed.",
        hint="z is mu plus sigma times the noise; and logvar = ln sigma^2 = 2 ln sigma.",
        wrong=[
            (lambda m, lv, e: m + lv.exp() * e, "That stretches the noise by sigma^2, the variance."),
            (lambda m, lv, e: m + softplus(lv) * e, other),
            (lambda m, lv, e: m + softplus(lv).sqrt() * e, other),
            (
                lambda m, lv, e: m + lv * e,
                "You take logvar for sigma. It is log sigma^2, and may be negative.",
            ),
            (lambda m, lv, e: m + lv / 2 * e, "That is ln sigma, and may be negative. One step is missing."),
            (
                lambda m, lv, e: m + (2 * lv).exp() * e,
                "The square root of e^x is e^(x/2): you squared instead.",
            ),
            (lambda m, lv, e: m + (-lv / 2).exp() * e, "That divides by sigma: wide clouds come out narrow."),
            (
                lambda m, lv, e: m + lv.abs().sqrt() * e,
                "You take logvar for the variance. It is its logarithm, and may be negative.",
            ),
            (lambda m, lv, e: m, "That is the middle of each cloud. A sample lies beside it."),
            (
                lambda m, lv, e: m - (lv / 2).exp() * e,
                "As random, but mirrored: the point that this noise picks lies on the other side of mu.",
            ),
            (
                lambda m, lv, e: m + (lv / 2).exp(),
                "Always one sigma to the right: the noise is not used.",
            ),
            (
                lambda m, lv, e: m + (lv / 2).exp() * _own(e.shape),
                "You draw noise of your own. Use the epsilon that is given: then nothing here is random.",
            ),
            (lambda m, lv, e: m + e, "Every cloud comes out as wide as the prior: sigma is not used."),
            (
                lambda m, lv, e: (m + e) * (lv / 2).exp(),
                "You stretch mu as well. First the noise is stretched, then it is moved.",
            ),
        ],
    )


def _own(shape: torch.Size) -> Tensor:
    """Return the first noise that torch.randn_like draws in a student's function: `_call` seeds it with 0."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _clouds(images: int, d: int, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    mu, logvar, epsilon = (torch.randn(images, d, generator=noise) for _ in range(3))
    return dict(mu=mu, logvar=1.5 * logvar - 1, epsilon=epsilon)
