"""The exercises of notebook 05."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise

#: W = diag(4, 1) R(45 degrees): the posterior's precision has 18 twice on its diagonal, and determinant 99.
_SHARPER = 0.5 * math.log(18 * 18 / 99)


@exercise
def evidence():
    """What is log p(x), where the ELBO is -102.8 nats and KL(q(z|x) || p(z|x)) is 12 nats?

    Parameters
    ----------
    answer : float
        Nats, within 1 %.
    """
    return Number(
        right=-90.8,
        well="The bar has one height, log p(x). A better q moves the ELBO and the gap, never their sum.",
        hint="The ELBO is a lower bound. What it lacks is the KL from q to the exact posterior.",
        wrong=[
            (
                -114.8,
                "The ELBO is a *lower* bound, so log p(x) is above it. You went down by the gap.",
            ),
            (-102.8, "That is the ELBO itself. It is not the likelihood: it falls short of it by the gap."),
            (12, "That is the gap alone: the KL from q to the exact posterior."),
            (-90.8 / math.log(2), "That is in bits. The ELBO and the gap are in nats, and so is log p(x)."),
            (0, "p(x) itself is so near to zero that nobody writes it down. Asked is its logarithm."),
        ],
    )


@exercise
def sharper_decoder():
    """How large is the gap of the best diagonal q for a decoder twice as strong, turned by 45 degrees?

    W = diag(4, 1) R(45 degrees) in place of diag(2, .5) R(45 degrees), with the same s^2 = .5.

    Parameters
    ----------
    answer : float
        Nats, within 1 %.
    """
    return Number(
        right=_SHARPER,
        well="A better decoder made the gap larger: it tied the two latents closer together, given x.",
        hint="The precision of the posterior is L = (W'W + s^2 I)/s^2; the gap (sum ln L_ii - ln|L|)/2.",
        wrong=[
            (0, "A better decoder does not close the gap: what is missing is a q that can turn."),
            (0.356883, "That is the gap for diag(2, .5). Another W has another posterior, and another gap."),
            (2 * _SHARPER, "Twice too much: the gap is half of the difference of the logarithms."),
            (_SHARPER / math.log(2), "That is in bits. Nats use the natural logarithm."),
            (
                0.5 * math.log(35 * 35 / 325),
                "You square the noise once more: .5 is s^2 already, a variance.",
            ),
            (
                0.5 * math.log(8.5 * 8.5 / 16),
                "That leaves the prior out: the precision is W'W + s^2 I over s^2, not W'W alone.",
            ),
        ],
    )


@exercise
def importance_bound():
    """Write ``importance_bound(log_w, k)``: the estimate of L_k of each image from its k log weights.

    Parameters
    ----------
    answer : function
        Takes a Tensor of shape (B, k), log p(x, z_i)/q(z_i|x), and k; returns a Tensor of shape (B,).
    """
    images = "You mix the images of the batch. Each has a bound of its own, from its own k weights."
    return Function(
        trials=[_log_weights(5, 7, seed=0), _log_weights(4, 3, seed=1)],
        right=_bound,
        well="With k = 1 this is the ELBO. As k grows it climbs to log p(x), and on average never above it.",
        hint="The weights are averaged, then comes the logarithm; exp of a log weight alone would be 0.",
        symptoms=[
            (
                lambda runs: all((run.result == -math.inf).all() for run in runs),
                "In 32 bits exp(-120) is 0, and log 0 is -inf. Take the largest log weight out first.",
            ),
            (
                lambda runs: all(not run.result.any() for run in runs),
                "In 32 bits exp(-120) is 0: your weights have vanished, and the logarithm is missing.",
            ),
        ],
        wrong=[
            (
                lambda log_w, k: log_w.logsumexp(1),
                "You sum the weights: that grows with k beyond all bounds, log p(x) too. Average them.",
            ),
            (
                lambda log_w, k: log_w.mean(1),
                "You average the logarithms. That is the ELBO, however large k is: average the weights.",
            ),
            (
                lambda log_w, k: log_w.amax(1),
                "The best sample alone is no bound: with k it grows above log p(x).",
            ),
            (
                lambda log_w, k: log_w.logsumexp(1) + math.log(k),
                "An average divides by k: its logarithm is taken away, not added.",
            ),
            (
                lambda log_w, k: log_w.logsumexp(1) - k,
                "To divide by k is to take away log k, not k.",
            ),
            (
                lambda log_w, k: log_w.logsumexp(1) / k,
                "You divide the logarithm by k. It is the weights that are averaged.",
            ),
            (
                lambda log_w, k: (log_w.softmax(1) * log_w).sum(1),
                "You weigh log weights by weights: that is no bound on log p(x).",
            ),
            (lambda log_w, k: -_bound(log_w, k), "That is the loss. The bound itself has the other sign."),
            (lambda log_w, k: _bound(log_w.T, k), images),
            (lambda log_w, k: log_w.flatten().logsumexp(0) - math.log(log_w.numel()), images),
            (lambda log_w, k: _bound(log_w, k).mean(), images),
        ],
    )


def _bound(log_w: Tensor, k: int) -> Tensor:
    return log_w.logsumexp(1) - math.log(k)


def _log_weights(images: int, k: int, seed: int) -> dict:
    # So small that exp gives 0 in float32, as for every real image. The images are not equally likely.
    noise = torch.Generator().manual_seed(seed)
    level = -120 - 100 * torch.rand(images, 1, generator=noise)
    return dict(log_w=level + 3 * torch.randn(images, k, generator=noise), k=k)
