"""The objectives, as pure functions, in nats per image.

    log p(x) >= ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z))

Pixels and latent dimensions are summed, never averaged; what is returned is kept per image, and the
only mean over images is taken by the caller, at the very end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from .likelihoods import Bernoulli
from .vae import kl as kl
from .vae import unwrap_arguments

if TYPE_CHECKING:
    from .protocols import CodingModel, LikelihoodDecoder, VariationalModel
    from .vae import Posterior

#: Pixels decoded at one time by `iwae`: 2 MB in float32, which a processor's cache holds. Eight times as
#: many took 1.3 times as long, and as few as 2**17 wait for Python.
CHUNK_PIXELS = 2**19
#: Such chunks at one time on a GPU, which idles on less; bounds its memory near 500 MB.
GPU_CHUNKS = 64


class Elbo(NamedTuple):
    """One-sample estimate of the evidence lower bound, per image, in nats.

    Attributes
    ----------
    reconstruction : Tensor of shape (B,)
        log p(x|z) for one z ~ q(z|x).
    kl : Tensor of shape (B, d)
        KL(q(z|x) || N(0, I)), exact, per latent dimension.
    total : Tensor of shape (B,)
        reconstruction - beta * kl.sum(1), to be maximised.
    """

    reconstruction: Tensor
    kl: Tensor
    total: Tensor


@unwrap_arguments
def elbo(
    model: VariationalModel,
    x: Tensor,
    *,
    beta: float | Tensor = 1.0,
    generator: torch.Generator | None = None,
    epsilon: Tensor | None = None,
) -> Elbo:
    """Estimate the ELBO of images x with one sample of z each.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        In [0, 1] for the Bernoulli likelihoods. The same x is encoded and scored.
    beta : float
        Weight of the KL (Higgins et al. 2017); 1 is the bound itself.
    generator : torch.Generator, optional
        Where the noise comes from; torch's global one if None.
    epsilon : Tensor of shape (B, d), optional
        The noise itself, to freeze it.

    Returns
    -------
    Elbo
        ``(reconstruction (B,), kl (B, d), total (B,))``, nats.
    """
    q = model.encode(x)
    z = q.sample(generator, epsilon=epsilon)
    reconstruction = model.likelihood.log_prob(x, model.decode_parameters(z))
    kl_per_dimension = q.kl()
    return Elbo(reconstruction, kl_per_dimension, reconstruction - beta * kl_per_dimension.sum(1))


@unwrap_arguments
def autoencoding(model: CodingModel, x: Tensor) -> Elbo:
    """Compute log p(x|z) at the code of each image: what an `Autoencoder` maximises.

    Parameters
    ----------
    model : Autoencoder
    x : Tensor of shape (B, C, H, W)

    Returns
    -------
    Elbo
        ``kl`` has shape (B, 0), since there is no posterior to compare with a prior: ``total`` is the
        reconstruction. It bounds nothing.
    """
    reconstruction = model.likelihood.log_prob(x, model.decode_parameters(model.encode(x)))
    return Elbo(reconstruction, reconstruction.new_zeros(len(x), 0), reconstruction)


@unwrap_arguments
def importance_weighted(
    model: VariationalModel,
    x: Tensor,
    k: int,
    *,
    generator: torch.Generator | None = None,
    epsilon: Tensor | None = None,
) -> Elbo:
    """Compute the importance-weighted bound of a batch in one piece, as training wants it.

    Burda et al. 2016 (arXiv 1509.00519), equation 8: the same estimate as `iwae`, whose gradient is
    equation 14. Memory grows with k * B.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        Zeros and ones under the Bernoulli likelihood; not checked here.
    k : int
        Samples per image.
    generator : torch.Generator, optional
    epsilon : Tensor of shape (k, B, d), optional
        The noise itself, to freeze it.

    Returns
    -------
    Elbo
        ``total`` is L_k; ``reconstruction``, the mean of log p(x|z) over the k samples, and the exact
        ``kl`` are there to be looked at: their difference is the ELBO, not L_k.
    """
    q = model.encode(x)
    if epsilon is None:
        epsilon = _noise(q.mu, k, generator)
    z = q.sample(epsilon=epsilon)
    log_likelihood = model.likelihood.log_prob(x, model.decode_parameters(z))
    log_w = log_likelihood + _log_prior_ratio(q, z, epsilon)
    return Elbo(log_likelihood.mean(0), q.kl(), torch.logsumexp(log_w, 0) - math.log(k))


def floor_kl(kl: Tensor, free_bits: float, mean: Tensor | None = None) -> Tensor:
    """Let each latent dimension cost at least `free_bits` nats on average, so that using it is free.

    Kingma et al. 2016 (arXiv 1606.04934), appendix C.8: the objective takes max(free_bits, mean of
    KL_j over the batch) for each dimension j; below the floor its gradient is zero.

    Parameters
    ----------
    kl : Tensor of shape (B, d)
        Nats.
    free_bits : float
        The floor per dimension; in nats, whatever its name says.
    mean : Tensor of shape (d,), optional
        Mean of kl over the whole batch, if `kl` is only a part of it.

    Returns
    -------
    Tensor of shape (B, d)
        Its mean over the batch is the maximum above.
    """
    mean = kl.mean(0) if mean is None else mean
    return torch.where(mean > free_bits, kl, torch.full_like(kl, free_bits))


@unwrap_arguments
def iwae(model: VariationalModel, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Estimate the importance-weighted bound L_k = log (1/k) sum_i p(x, z_i) / q(z_i|x).

    Burda et al. 2016 (arXiv 1509.00519), equation 8. k = 1 is one ELBO sample with the sampled KL;
    the expectation rises with k towards log p(x).

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        Zeros and ones under the Bernoulli likelihood when k > 1: its value on greys is not a
        density. `binarize` makes them.
    k : int
        Samples per image.
    generator : torch.Generator, optional

    Returns
    -------
    Tensor of shape (B,)
        Nats per image. Memory is bounded whatever k and B are (without gradients); each image draws
        its own block of noise, so that the bound on memory does not change the value.

    Raises
    ------
    ValueError
        k < 1, or greys under the Bernoulli likelihood with k > 1.
    """
    if k < 1:
        raise ValueError(f"k counts samples and must be at least 1; got {k}.")
    if k > 1 and isinstance(model.likelihood, Bernoulli) and not ((x == 0) | (x == 1)).all():
        raise ValueError(
            "iwae with k > 1 under the Bernoulli likelihood needs images of zeros and ones: "
            "on greys it is not a density. Binarise once: vw.objectives.binarize(x, generator)."
        )
    pixels = math.prod(x.shape[1:])
    chunk = CHUNK_PIXELS * (1 if x.device.type == "cpu" else GPU_CHUNKS)
    images = max(1, chunk // (k * pixels))
    bounds = []
    for first in range(0, len(x), images):
        part = x[first : first + images]
        q = model.encode(part)
        noise = torch.stack([_noise(mu, k, generator) for mu in q.mu], dim=1)
        log_w = [_log_weights(model, part, q, epsilon) for epsilon in noise.split(max(1, chunk // pixels))]
        bounds.append(torch.logsumexp(torch.cat(log_w), 0) - math.log(k))
    return torch.cat(bounds) if bounds else x.new_zeros(0)


def binarize(x: Tensor, generator: torch.Generator | None = None, *, uniform: Tensor | None = None) -> Tensor:
    """Draw b ~ Bernoulli(x) per pixel: zeros and ones of the shape of x.

    Drawn anew at every use it is dynamic binarisation (Salakhutdinov & Murray 2008); for evaluation
    draw once with a fixed seed. ``uniform``, of the shape of x and in [0, 1), is the noise itself;
    else the generator draws it.
    """
    if uniform is None:
        uniform = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (uniform < x).to(x.dtype)


def _noise(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(k, *like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _log_weights(model: LikelihoodDecoder, x: Tensor, q: Posterior, epsilon: Tensor) -> Tensor:
    """Compute log p(x|z) + log p(z) - log q(z|x), Tensor of shape (k, B), for noise (k, B, d)."""
    z = q.sample(epsilon=epsilon)
    return model.likelihood.log_prob(x, model.decode_parameters(z)) + _log_prior_ratio(q, z, epsilon)


def _log_prior_ratio(q: Posterior, z: Tensor, epsilon: Tensor) -> Tensor:
    """Compute log p(z) - log q(z|x), Tensor of shape (k, B); the two constants ln 2 pi cancel."""
    ratio: Tensor = 0.5 * (epsilon**2 + q.logvar - z**2).sum(-1)
    return ratio
