"""The exact log p(x) of a model with two latent dimensions, and the bounds below it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from vaewidgets._utils import old_names
from vaewidgets.models.likelihoods import Bernoulli, ContinuousBernoulli
from vaewidgets.models.objectives import elbo, iwae
from vaewidgets.models.vae import in_eval_mode

from .metrics import standard_error

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Likelihood, LikelihoodDecoder, VariationalModel
    from vaewidgets.models.vae import VAE

#: The prior has 4e-9 of its mass outside this square; a posterior that lies further out widens it.
_HALF_WIDTH = 6.0
_WIDEST = 12.0
#: Step of the first grid, which all images share.
_STEP = 0.25
#: Halvings at most: a step of 1e-4, where trained posteriors are near .04 wide.
_HALVINGS = 10
#: A point so many nats below the best one is left out of the next grid. The first grid may miss a narrow
#: peak by some nats; after it, 1e4 points 20 nats below hold 2e-5 of the mass.
_DEPTHS = (60.0, 20.0)
_CHUNK = 4096
#: More than the cells of a row on the finest grid.
_ROW = 2**20


class Bound(NamedTuple):
    """One bound on log p(x) of one image, or log p(x) itself.

    Attributes
    ----------
    name : str
        "ELBO", "IWAE_5", ..., "log p(x)".
    value, error : float
        In nats: the estimate and its standard error, which is 0 for the quadrature.
    """

    name: str
    value: float
    error: float


@in_eval_mode
def log_joint(model: LikelihoodDecoder, x: Tensor, z: Tensor) -> Tensor:
    """Compute log p(x, z) = log p(x|z) + log p(z) of every image at every point.

    Minus log p(x) this is the log-density of the true posterior p(z|x).

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
    z : Tensor of shape (P, d)

    Returns
    -------
    Tensor of shape (B, P)
        Nats. Apart from the result, the memory does not grow with P.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 2, 2), hidden=(4,), seed=0)
    >>> vw.marginal_likelihood.log_joint(model, torch.zeros(3, 1, 2, 2), torch.zeros(5, 2)).shape
    torch.Size([3, 5])
    """
    prior = -0.5 * (z**2).sum(1) - 0.5 * z.shape[1] * math.log(2 * math.pi)
    parts = [_log_likelihood(model.likelihood, x, model.decode_parameters(part)) for part in z.split(_CHUNK)]
    return torch.cat(parts, 1) + prior


@in_eval_mode
def log_evidence(model: VariationalModel, x: Tensor, *, tolerance: float = 0.01) -> Tensor:
    """Compute log p(x) of a model with two latent dimensions by quadrature.

    log p(x) = log of the integral of p(x|z) p(z) over z, as a sum over a grid on [-6, 6]^2. The step is
    halved, for each image where its posterior has mass, until the sum changes by less than `tolerance` and
    the grid moved by half a step agrees, because one small change can be chance. The result is no bound and
    no estimate from samples, so ELBO and IWAE can be compared with it.

    Parameters
    ----------
    model : VAE
        With latent_dim=2.
    x : Tensor of shape (B, C, H, W)
        Zeros and ones under the Bernoulli likelihood: its value on greys is not a density.
    tolerance : float
        Nats; the rounding of float32 is about 0.001.

    Returns
    -------
    Tensor of shape (B,)
        Nats per image.

    Raises
    ------
    ValueError
        Another latent dimension, greys under the Bernoulli likelihood, or posteriors far outside the prior.
    RuntimeError
        A posterior so narrow that the quadrature does not converge.

    Examples
    --------
    The probabilities of all images of 2 x 2 bits add up to 1:

    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 2, 2), hidden=(4,), seed=0)
    >>> x = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 2, 2)
    >>> round(vw.marginal_likelihood.log_evidence(model, x).exp().sum().item(), 3)
    1.0
    """
    if model.latent_dim != 2:
        raise ValueError(
            f"the quadrature is for two latent dimensions; this model has latent_dim={model.latent_dim}. "
            "vw.iwae with a large k comes near log p(x) in any."
        )
    if isinstance(model.likelihood, Bernoulli) and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "log p(x) under the Bernoulli likelihood needs images of zeros and ones: on greys it is not a "
            "density. Binarise once: vw.objectives.binarize(x, generator)."
        )
    if not len(x):
        return x.new_zeros(0)
    furthest = model.encode(x).mu.abs().max().item()
    # NaN compares false with everything, so this refuses it too.
    if not furthest < _WIDEST - 1:
        raise ValueError(
            f"a posterior of these images is centred {furthest:.3g} from the origin along one dimension, out "
            f"of reach of the quadrature, which goes to {_WIDEST:g}: the prior has no mass there."
        )
    reach = math.ceil(max(_HALF_WIDTH, furthest + 1) / _STEP)
    axis = torch.arange(-reach, reach + 1)
    cells = torch.cartesian_prod(axis, axis)
    coarse = log_joint(model, x, cells.to(x.dtype) * _STEP)
    return torch.stack([_refine(model, x[i : i + 1], cells, coarse[i], tolerance) for i in range(len(x))])


@in_eval_mode
def ladder(
    model: VAE, x: Tensor, ks: tuple[int, ...] = (1, 5, 50), *, repeats: int = 200, seed: int = 0
) -> list[Bound]:
    """Estimate the bounds on log p(x) of one image, from the ELBO up, and log p(x) if latent_dim is 2.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (1, C, H, W)
        Zeros and ones under the Bernoulli likelihood.
    ks : tuple of int
        Samples of each importance-weighted bound; 1 is the ELBO, with its KL in closed form.
    repeats : int
        Independent estimates of each bound, from which mean and standard error are computed.
    seed : int
        Of the draws.

    Returns
    -------
    list of Bound
        One for each k; with latent_dim=2 also log p(x), by quadrature.

    Raises
    ------
    ValueError
        Not one image, no ks, fewer than 2 repeats, greys under the Bernoulli likelihood, an autoencoder.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), equation 3: the ELBO. Burda et al. 2016 (arXiv 1509.00519),
    equation 8: the importance-weighted bound L_k, and theorem 1: it rises with k.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 2, 2), hidden=(4,), seed=0)
    >>> [bound.name for bound in vw.marginal_likelihood.ladder(model, torch.ones(1, 1, 2, 2))]
    ['ELBO', 'IWAE_5', 'IWAE_50', 'log p(x)']
    """
    if not model.has_prior:
        raise ValueError(f"an {type(model).__name__} bounds nothing: ladder takes a VAE.")
    if x.dim() != 4 or len(x) != 1:
        raise ValueError(f"ladder is for one image, of shape (1, C, H, W); got {tuple(x.shape)}.")
    if not ks or repeats < 2:
        raise ValueError(f"ladder takes at least one k and 2 repeats; got ks={ks}, repeats={repeats}.")
    generator = torch.Generator().manual_seed(seed)
    copies = x.expand(repeats, -1, -1, -1)
    bounds = []
    for k in ks:
        values = (
            elbo(model, copies, generator=generator).total
            if k == 1
            else iwae(model, copies, k, generator=generator)
        )
        name = "ELBO" if k == 1 else f"IWAE_{k}"
        bounds.append(Bound(name, values.double().mean().item(), standard_error(values)))
    if model.latent_dim == 2:
        bounds.append(Bound("log p(x)", log_evidence(model, x).item(), 0.0))
    return bounds


def _log_likelihood(likelihood: Likelihood, x: Tensor, parameters: Tensor) -> Tensor:
    """Compute log p(x|z) of every image under every row of parameters: Tensor of shape (B, P)."""
    if isinstance(likelihood, (Bernoulli, ContinuousBernoulli)):
        # The logit is the natural parameter: x enters by x * logit alone, so that all pairs are one product.
        empty = likelihood.log_prob(torch.zeros_like(parameters[:1]), parameters)
        return x.flatten(1) @ parameters.flatten(1).T + empty
    return torch.stack([likelihood.log_prob(image, parameters) for image in x])


def _refine(model: VariationalModel, x: Tensor, cells: Tensor, values: Tensor, tolerance: float) -> Tensor:
    """Halve the step around the points that carry one image's mass until the sum over the grid converges."""
    step = _STEP
    total = _integral(values, step)
    around = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2))
    for halving in range(_HALVINGS):
        kept = cells[values > values.max() - _DEPTHS[min(halving, 1)]]
        halved = (2 * kept[:, None] + around).flatten(0, 1)
        # One number for each cell: sorting rows is slow.
        keys = torch.unique(halved[:, 0] * _ROW + halved[:, 1] + _ROW // 2)
        cells = torch.stack([keys.div(_ROW, rounding_mode="floor"), keys % _ROW - _ROW // 2], 1)
        step /= 2
        values = log_joint(model, x, cells.to(x.dtype) * step)[0]
        before, total = total, _integral(values, step)
        if (total - before).abs() < tolerance:
            moved = _integral(log_joint(model, x, (cells.to(x.dtype) + 0.5) * step)[0], step)
            if (total - moved).abs() < tolerance:
                return total
    change = (total - before).abs().item()
    raise RuntimeError(
        f"the quadrature of log p(x) does not settle: it still changes by {change:.2g} nats at a step of "
        f"{step:.2g}. Ask for a larger tolerance; if the posterior is that narrow, the training diverged."
    )


def _integral(values: Tensor, step: float) -> Tensor:
    """Log of the sum over a grid of this step, in float64."""
    return torch.logsumexp(values.double(), 0) + 2 * math.log(step)


__getattr__ = old_names(__name__)
