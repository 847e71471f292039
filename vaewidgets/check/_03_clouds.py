"""The exercises of notebook 03."""

from __future__ import annotations

import math

import torch
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
            (0.6, "That is the width of each cloud, not the spread of their means."),
            (math.sqrt(1 + 0.6**2), "The clouds widen what the means span: you need less of it, not more."),
        ],
    )


@exercise
def sigma():
    """Write ``sigma(logvar)``: the standard deviation that an encoder means by its output logvar.

    Parameters
    ----------
    answer : function
        Takes a Tensor of shape (B, d), log sigma^2; returns a Tensor of the same shape.
    """
    noise = torch.Generator().manual_seed(0)
    return Function(
        trials=[
            dict(logvar=3 * torch.randn(5, 3, generator=noise) - 1),
            dict(logvar=torch.tensor([[-8.0, 0.0, 2.0]])),
        ],
        right=lambda logvar: (logvar / 2).exp(),
        well="Any real number will do for logvar, and sigma is positive: no clamp, no softplus needed.",
        hint="logvar = ln sigma^2 = 2 ln sigma. Solve for sigma.",
        wrong=[
            (lambda lv: lv.exp(), "That is sigma^2, the variance. A standard deviation is its square root."),
            (
                lambda lv: softplus(lv),
                "softplus makes a number positive, but it is another convention: a network whose head is "
                "named logvar means its exponential.",
            ),
            (lambda lv: softplus(lv).sqrt(), "softplus is another convention: logvar is a logarithm."),
            (lambda lv: softplus(lv / 2), "softplus is another convention: logvar is a logarithm."),
            (lambda lv: lv, "That is the logarithm itself, and may be negative. A width is not."),
            (lambda lv: lv / 2, "That is ln sigma, and may be negative. One step is missing."),
            (lambda lv: (2 * lv).exp(), "The square root of e^x is e^(x/2): you squared instead."),
            (lambda lv: (-lv / 2).exp(), "That is 1 / sigma: a narrow cloud has a negative logvar."),
            (
                lambda lv: lv.abs().sqrt(),
                "You take logvar for the variance. It is its logarithm, and may be negative.",
            ),
        ],
    )
