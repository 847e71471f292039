"""The true posterior p(z|x) of one image, on a grid that also holds the encoder's posterior."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaewidgets.evaluation.marginal_likelihood import log_joint
from vaewidgets.models.vae import in_eval_mode

#: Points along a side of each grid; the largest number of grids, each smaller than the last; points this many
#: nats below the best one are left out of the next grid.
_POINTS, _GRIDS, _DEPTH = 121, 6, 8.0
#: Half the width of the first grid, which holds the mass of the prior.
_HALF_WIDTH = 6.0
#: How much of the encoder's posterior is shown, and how much is integrated, in its sigmas to each side.
_SIGMAS, _TAILS = 2.6, 5.5


class TruePosterior(NamedTuple):
    """p(z|x) on a grid.

    Attributes
    ----------
    centre : tuple of 2 floats
    reach : float
        The grid spans centre +- reach, both ways.
    density : Tensor of shape (n, n)
        Share of the mass at each point. z2 rises along the first axis, z1 along the second.
    mean, sigma : tuple of 2 floats
        Mean and standard deviations of this mass.
    elbo : float
        ELBO of q = N(mu, sigma^2), nats, by quadrature: without noise the gap to log p(x) can be seen.
    """

    centre: tuple[float, float]
    reach: float
    density: Tensor
    mean: tuple[float, float]
    sigma: tuple[float, float]
    elbo: float


@in_eval_mode
def true_posterior(model, x: Tensor, mu: Tensor, sigma: Tensor) -> TruePosterior:
    """Compute the posterior of one image on a square that holds its mass, and N(mu, sigma^2) to 2.6 sigma.

    p(z|x) is p(x|z) p(z) / p(x), normalised on the grid.

    Parameters
    ----------
    model : VAE
        With latent_dim=2.
    x : Tensor of shape (1, C, H, W)
        Zeros and ones under the Bernoulli likelihood.
    mu, sigma : Tensor of shape (2,)
        The encoder's posterior.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> model = vw.VAE(2, (1, 1, 1), trunk="linear", likelihood="gaussian", sigma=1.0, seed=0)
    >>> with torch.no_grad():  # the pixel is z1 + z2
    ...     _ = model.decoder[0].weight.fill_(1.0), model.decoder[0].bias.zero_()
    >>> x = torch.full((1, 1, 1, 1), 0.9)
    >>> posterior = true_posterior(model, x, torch.zeros(2), torch.ones(2))
    >>> [round(m, 3) for m in posterior.mean]
    [0.3, 0.3]
    """
    own = torch.stack([mu - _SIGMAS * sigma, mu + _SIGMAS * sigma])
    low, high = own[0].clamp(max=-_HALF_WIDTH), own[1].clamp(min=_HALF_WIDTH)
    for _ in range(_GRIDS):
        centre, reach = (low + high) / 2, float((high - low).max()) / 2
        axis = torch.linspace(-1, 1, _POINTS, dtype=x.dtype) * reach
        z = centre + torch.cartesian_prod(axis, axis).flip(1)
        log_density = log_joint(model, x, z)[0].double()
        # One point more on every side, because the peak may lie between two points.
        kept, step = z[log_density > log_density.max() - _DEPTH], 2 * reach / (_POINTS - 1)
        low = torch.minimum(kept.amin(0) - step, own[0])
        high = torch.maximum(kept.amax(0) + step, own[1])
        if float((high - low).max()) > 1.6 * reach:
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
