"""The true posterior p(z|x) of one image on a grid, where it and the encoder's answer can both be seen."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaewidgets.evaluation.marginal_likelihood import log_joint
from vaewidgets.models.vae import in_eval_mode

#: Points along a side of each grid; looks at most, each closer; nats under the best point that count as none.
_POINTS, _LOOKS, _DEPTH = 121, 6, 8.0
#: The first look: the prior's mass, and the encoder's answer wherever that is.
_HALF_WIDTH = 6.0
#: What is shown of the encoder's answer, and what is integrated, in its sigmas.
_SIGMAS, _TAILS = 2.6, 5.5


class TruePosterior(NamedTuple):
    """p(z|x) on a grid.

    Attributes
    ----------
    centre : tuple of 2 floats
    reach : float
        The grid spans centre +- reach, both ways.
    density : Tensor of shape (n, n)
        Share of the mass at each point; z2 rises along the first axis, z1 along the second.
    mean, sigma : tuple of 2 floats
        Of that mass.
    elbo : float
        Of N(mu, sigma^2), nats: the integral over it, so that no noise hides how far it is below log p(x).
    """

    centre: tuple[float, float]
    reach: float
    density: Tensor
    mean: tuple[float, float]
    sigma: tuple[float, float]
    elbo: float


@in_eval_mode
def true_posterior(model, x: Tensor, mu: Tensor, sigma: Tensor) -> TruePosterior:
    """Compute the posterior of one image, on a square that holds it and N(mu, sigma^2) to 2.6 sigma.

    Parameters
    ----------
    model : VAE
        With latent_dim=2.
    x : Tensor of shape (1, C, H, W)
        Zeros and ones under the Bernoulli likelihood.
    mu, sigma : Tensor of shape (2,)
        The encoder's answer.
    """
    own = torch.stack([mu - _SIGMAS * sigma, mu + _SIGMAS * sigma])
    low, high = own[0].clamp(max=-_HALF_WIDTH), own[1].clamp(min=_HALF_WIDTH)
    for look in range(_LOOKS):
        centre, reach = (low + high) / 2, float((high - low).max()) / 2
        axis = torch.linspace(-1, 1, _POINTS, dtype=x.dtype) * reach
        z = centre + torch.cartesian_prod(axis, axis).flip(1)
        log_density = log_joint(model, x, z)[0].double()
        # A point more on every side: the peak may lie between two.
        kept, step = z[log_density > log_density.max() - _DEPTH], 2 * reach / (_POINTS - 1)
        low = torch.minimum(kept.amin(0) - step, own[0])
        high = torch.maximum(kept.amax(0) + step, own[1])
        if look == _LOOKS - 1 or float((high - low).max()) > 1.6 * reach:
            break
    mass = log_density.softmax(0)
    mean = mass @ z.double()
    deviation = (mass @ (z.double() - mean) ** 2).sqrt()
    return TruePosterior(
        tuple(centre.tolist()),
        reach,
        mass.view(_POINTS, _POINTS),
        tuple(mean.tolist()),
        tuple(deviation.tolist()),
        _elbo(model, x, mu, sigma),
    )


def _elbo(model, x: Tensor, mu: Tensor, sigma: Tensor) -> float:
    """Integrate log p(x, z) - log q(z|x) over q, on a grid of its own."""
    axis = torch.linspace(-_TAILS, _TAILS, _POINTS, dtype=x.dtype)
    epsilon = torch.cartesian_prod(axis, axis)
    weights = (-0.5 * epsilon.double().square().sum(1)).softmax(0)
    entropy = 1 + math.log(2 * math.pi) + sigma.double().log().sum()
    return (weights @ log_joint(model, x, mu + sigma * epsilon)[0].double() + entropy).item()
