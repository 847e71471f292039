"""The exercises of notebook 06."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def total():
    """Write ``total(reconstruction, kl, beta)``: what training makes as large as it can, for each image.

    Parameters
    ----------
    answer : function
        Takes log p(x|z) of shape (B,), the KL of shape (B, d) and a float; returns a Tensor of shape (B,).
    """
    loss = "You return the *loss*, which is made small. The objective is made large: its sign is the other."
    batch = "You average over the batch. Return one number per image; the mean over images comes last."
    plus = "The KL is a cost. Here you reward it: q could run away from the prior and be praised for it."
    return Function(
        trials=[_terms(5, 3, beta=3.0, seed=0), _terms(4, 2, beta=0.5, seed=1)],
        right=_total,
        well="This is Elbo.total; at beta 1 it is the bound itself. The mean over images comes at the end.",
        hint="Two terms: what the decoder gains, and, weighted by beta, what the cloud q costs.",
        wrong=[
            (lambda r, kl, beta: r + beta * kl.sum(1), plus),
            (lambda r, kl, beta: r + kl.sum(1), plus),
            (lambda r, kl, beta: r - kl.sum(1), "beta is not used: your function is right only at beta = 1."),
            (
                lambda r, kl, beta: r - beta * kl.mean(1),
                "You average the KL over the latent dimensions. Sum it: a mean shrinks beta in secret.",
            ),
            (
                lambda r, kl, beta: r - beta * kl.sum(),
                "Every image pays for the KL of the whole batch. Sum over latent dimensions only.",
            ),
            (
                lambda r, kl, beta: r - beta * kl.mean(),
                "Every image pays the same mean KL. Sum over latent dimensions, image by image.",
            ),
            (
                lambda r, kl, beta: r[:, None] - beta * kl,
                "You keep the latent dimensions apart. An image has one total: sum its KL over them.",
            ),
            (lambda r, kl, beta: beta * r - kl.sum(1), "beta weighs the KL, not the reconstruction."),
            (lambda r, kl, beta: beta * (r - kl.sum(1)), "beta weighs the KL only, not both terms."),
            (lambda r, kl, beta: -_total(r, kl, beta), loss),
            (lambda r, kl, beta: -_total(r, kl, beta).mean(), loss),
            (lambda r, kl, beta: _total(r, kl, beta).mean(), batch),
            (lambda r, kl, beta: _total(r, kl, beta).sum(), batch),
        ],
    )


@exercise
def hidden_beta():
    """Which beta does this popular demo really train with?

    Its loss is the reconstruction term *averaged* over 784 pixels plus the KL *averaged* over its 2 latent
    dimensions. Written as in this course, with both summed, one of them carries a weight beta.

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    return Number(
        right=784 / 2,
        well="Two means set beta = 784/2 without saying so. Sum both terms, and write beta down.",
        hint="Multiply the loss by what turns the first mean into a sum. What then stands before the KL?",
        wrong=[
            (1, "Both are averaged, but over different counts: their balance has moved."),
            (784, "That undoes the mean over pixels. The KL was averaged too."),
            (2, "That is the KL's own divisor. The reconstruction was divided too, by far more."),
            (1 / 2, "The mean over latents alone makes the KL lighter. What did the other mean do?"),
            (
                2 / 784,
                "Upside down: which of the two terms did its mean make small, and which is left heavy?",
            ),
            (1 / 784, "Upside down, and the mean over the latent dimensions is missing."),
            (784 * 2, "One mean makes beta larger, the other makes it smaller: they do not multiply."),
        ],
    )


@exercise
def kl():
    """Write ``kl(mu, logvar)``: the KL from N(mu, sigma^2) to N(0, I), for each image, in nats.

    Parameters
    ----------
    answer : function
        Takes two Tensors of shape (B, d), mu and log sigma^2; returns a Tensor of shape (B,).
    """
    batch = "You mix the images of the batch. Each has a KL of its own: sum over the latent dimensions only."
    return Function(
        trials=[_posterior(5, 3, seed=0), _posterior(4, 2, seed=1)],
        right=lambda mu, logvar: _kl(mu, logvar).sum(1),
        well="Never negative, zero only at mu = 0, sigma = 1: the price of a cloud that is not the prior.",
        hint="Per dimension an offset part in mu and a shape part in sigma, halved; then summed.",
        wrong=[
            (lambda mu, lv: -_kl(mu, lv).sum(1), "A KL is never negative: your sign is flipped."),
            (
                lambda mu, lv: (_kl(mu, lv) + 0.5).sum(1),
                "At mu = 0 and sigma = 1 the KL must be 0; yours is not. A constant is missing.",
            ),
            (
                lambda mu, lv: _kl(mu, 2 * lv).sum(1),
                "You take exp(logvar) for sigma: it is sigma^2, the variance.",
            ),
            (
                lambda mu, lv: _kl(mu, (lv**2).log()).sum(1),
                "You take logvar for sigma. It is log sigma^2, and may be negative.",
            ),
            (
                lambda mu, lv: _kl(mu, lv.log()).sum(1),
                "You take logvar for the variance. It is its logarithm, and may be negative.",
            ),
            (
                lambda mu, lv: 0.5 * (mu**2 + (lv / 2).exp() - 1 - lv).sum(1),
                "sigma stands where its square, the variance, belongs.",
            ),
            (
                lambda mu, lv: (0.5 * (mu**2 + lv.exp() - 1) - lv).sum(1),
                "ln sigma is half of logvar: in your sum the logarithm counts double.",
            ),
            (
                lambda mu, lv: (0.5 * mu**2 + lv.exp() - 1 - lv).sum(1),
                "The 1/2 stands before the offset only. It halves the shape part as well.",
            ),
            (
                lambda mu, lv: 0.5 * (mu + lv.exp() - 1 - lv).sum(1),
                "An offset to the left must cost as much as one to the right: mu is not squared.",
            ),
            (
                lambda mu, lv: 0.5 * (lv + (1 + mu**2) / lv.exp() - 1).sum(1),
                "That is the KL the other way round, from the prior to q. It is not symmetric.",
            ),
            (
                lambda mu, lv: 0.5 * (mu**2).sum(1),
                "That is the offset alone: a cloud pays for its shape, sigma, as well.",
            ),
            (
                lambda mu, lv: 0.5 * (lv.exp() - 1 - lv).sum(1),
                "That is the shape alone: a cloud pays for its offset, mu, as well.",
            ),
            (lambda mu, lv: 2 * _kl(mu, lv).sum(1), "Twice too much: a factor 1/2 is missing."),
            (
                lambda mu, lv: _kl(mu, lv).sum(1) / math.log(2),
                "That is in bits. Nats use the natural logarithm.",
            ),
            (lambda mu, lv: _kl(mu, lv).mean(1), "You average over the latent dimensions. They are summed."),
            (lambda mu, lv: _kl(mu, lv), "One number per dimension. Sum over the dimensions of each image."),
            (lambda mu, lv: _kl(mu, lv).sum(0), batch),
            (lambda mu, lv: _kl(mu, lv).sum(), batch),
            (lambda mu, lv: _kl(mu, lv).sum(1).mean(), batch),
        ],
    )


def _total(reconstruction: Tensor, kl: Tensor, beta: float) -> Tensor:
    return reconstruction - beta * kl.sum(1)


def _kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar)


def _terms(images: int, d: int, beta: float, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    reconstruction = -10 - 5 * torch.rand(images, generator=noise)
    return dict(reconstruction=reconstruction, kl=3 * torch.rand(images, d, generator=noise), beta=beta)


def _posterior(images: int, d: int, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    mu = torch.randn(images, d, generator=noise)
    return dict(mu=mu, logvar=1.5 * torch.randn(images, d, generator=noise) - 0.5)
