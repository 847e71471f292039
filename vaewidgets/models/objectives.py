"""The objectives as pure functions, in nats per image.

    log p(x) >= ELBO = E_q[log p(x|z)] - KL(q(z|x) || p(z))
    log p(x) >= L_k = E[log (1/k) sum_i p(x, z_i) / q(z_i|x)] >= ELBO

Pixels and latent dimensions are summed, never averaged. Results are kept per image: the caller takes the only
mean over images, at the very end.
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

#: Pixels that `iwae` decodes at one time: 2 MB in float32, which a processor's cache holds. Eight times as
#: many took 1.3 times as long; with 2**17 or fewer, Python's overhead shows.
CHUNK_PIXELS = 2**19
#: Such chunks at one time on a GPU, which idles on less; its memory stays near 500 MB.
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
        reconstruction - beta * kl.sum(1), which training maximises.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> terms = vw.elbo(vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(5, 1, 8, 8), beta=4.0)
    >>> bool((terms.total == terms.reconstruction - 4 * terms.kl.sum(1)).all())
    True
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
    """Estimate ELBO = E_q[log p(x|z)] - beta KL(q(z|x) || p(z)) with one sample of z per image.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        In [0, 1] for the Bernoulli likelihoods. The same x is encoded and scored.
    beta : float
        Weight of the KL; 1 is the bound itself.
    generator : torch.Generator, optional
        Draws the noise; by default torch's global generator does.
    epsilon : Tensor of shape (B, d), optional
        The noise itself, to hold it fixed.

    Returns
    -------
    Elbo
        ``(reconstruction (B,), kl (B, d), total (B,))``, nats.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), equations 3, 7 and 10, with L = 1; Higgins et al. 2017 (beta-VAE,
    ICLR), equation 4, for beta.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0)
    >>> terms = vw.elbo(model, torch.zeros(5, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    >>> terms.reconstruction.shape, terms.kl.shape, terms.total.shape
    (torch.Size([5]), torch.Size([5, 2]), torch.Size([5]))
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
        ``kl`` has shape (B, 0), since there is no posterior to compare with a prior. ``total`` is the
        reconstruction, and no bound on log p(x).

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> terms = autoencoding(vw.Autoencoder(2, (1, 8, 8), hidden=(4,)), torch.zeros(5, 1, 8, 8))
    >>> terms.kl.shape, bool((terms.total == terms.reconstruction).all())
    (torch.Size([5, 0]), True)
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
    """Estimate the importance-weighted bound of a batch in one piece, for training.

    It is the same estimate as `iwae`, but memory grows with k * B.

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        Zeros and ones under the Bernoulli likelihood; not checked here.
    k : int
        Samples per image.
    generator : torch.Generator, optional
        Draws the noise; by default torch's global generator does.
    epsilon : Tensor of shape (k, B, d), optional
        The noise itself, to hold it fixed.

    Returns
    -------
    Elbo
        ``total`` is L_k. ``reconstruction``, the mean of log p(x|z) over the k samples, and the exact ``kl``
        are for information: their difference is the ELBO, not L_k.

    References
    ----------
    Burda et al. 2016 (arXiv 1509.00519), equation 8; autograd's gradient of it is equation 14.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model, x = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(5, 1, 8, 8)
    >>> importance_weighted(model, x, k=10).total.shape
    torch.Size([5])
    """
    q = model.encode(x)
    if epsilon is None:
        epsilon = _noise(q.mu, k, generator)
    log_likelihood, log_w = _log_weights(model, x, q, epsilon)
    return Elbo(log_likelihood.mean(0), q.kl(), torch.logsumexp(log_w, 0) - math.log(k))


def floor_kl(kl: Tensor, free_bits: float, mean: Tensor | None = None) -> Tensor:
    """Raise the KL of each latent dimension to at least `free_bits` nats on average over the batch.

    The objective takes max(free_bits, mean of KL_j) for each dimension j. Below the floor the gradient is
    zero, so a dimension may use that many nats at no cost.

    Parameters
    ----------
    kl : Tensor of shape (B, d)
        Nats.
    free_bits : float
        The floor per dimension; in nats, despite the name.
    mean : Tensor of shape (d,), optional
        Mean of kl over the whole batch, if `kl` is only a part of it.

    Returns
    -------
    Tensor of shape (B, d)
        Its mean over the batch is the maximum above.

    References
    ----------
    Kingma et al. 2016 (arXiv 1606.04934), appendix C.8.

    Examples
    --------
    >>> floor_kl(torch.tensor([[0.25, 0.5], [0.25, 1.5]]), free_bits=0.5).mean(0)
    tensor([0.5000, 1.0000])
    """
    mean = kl.mean(0) if mean is None else mean
    return torch.where(mean > free_bits, kl, torch.full_like(kl, free_bits))


@unwrap_arguments
def iwae(model: VariationalModel, x: Tensor, k: int, *, generator: torch.Generator | None = None) -> Tensor:
    """Estimate the importance-weighted bound L_k = log (1/k) sum_i p(x, z_i) / q(z_i|x).

    k = 1 is one ELBO sample with a sampled KL. The expectation rises with k towards log p(x).

    Parameters
    ----------
    model : VAE
    x : Tensor of shape (B, C, H, W)
        Zeros and ones under the Bernoulli likelihood when k > 1: its value on greys is not a
        density. `binarize` makes them.
    k : int
        Samples per image.
    generator : torch.Generator, optional
        Draws the noise; by default torch's global generator does.

    Returns
    -------
    Tensor of shape (B,)
        Nats per image. Without gradients, memory is bounded for any k and B. Each image draws its own block
        of noise, so that the bound on memory does not change the value.

    Raises
    ------
    ValueError
        k < 1, or greys under the Bernoulli likelihood with k > 1.

    References
    ----------
    Burda et al. 2016 (arXiv 1509.00519), equation 8.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0).requires_grad_(False)
    >>> vw.iwae(model, torch.zeros(5, 1, 8, 8), k=100).shape
    torch.Size([5])
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
        log_w = [_log_weights(model, part, q, epsilon)[1] for epsilon in noise.split(max(1, chunk // pixels))]
        bounds.append(torch.logsumexp(torch.cat(log_w), 0) - math.log(k))
    return torch.cat(bounds) if bounds else x.new_zeros(0)


def binarize(x: Tensor, generator: torch.Generator | None = None, *, uniform: Tensor | None = None) -> Tensor:
    """Draw b ~ Bernoulli(x) per pixel: zeros and ones.

    Drawn anew at every use it is dynamic binarisation. For evaluation, draw once with a fixed seed.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        In [0, 1].
    generator : torch.Generator, optional
        Draws the noise; by default torch's global generator does.
    uniform : Tensor of shape (B, C, H, W), optional
        The noise itself, in [0, 1).

    Returns
    -------
    Tensor of shape (B, C, H, W)

    References
    ----------
    Salakhutdinov & Murray 2008 (On the quantitative analysis of deep belief networks, ICML).

    Examples
    --------
    >>> binarize(torch.tensor([0.0, 0.5, 0.5, 1.0]), uniform=torch.tensor([0.0, 0.4, 0.6, 0.9]))
    tensor([0., 1., 0., 1.])
    """
    if uniform is None:
        uniform = torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (uniform < x).to(x.dtype)


def _noise(like: Tensor, k: int, generator: torch.Generator | None) -> Tensor:
    return torch.randn(k, *like.shape, generator=generator, device=like.device, dtype=like.dtype)


def _log_weights(model: LikelihoodDecoder, x: Tensor, q: Posterior, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Compute log p(x|z) and log p(x, z) / q(z|x), both of shape (k, B), for noise of shape (k, B, d)."""
    z = q.sample(epsilon=epsilon)
    log_likelihood = model.likelihood.log_prob(x, model.decode_parameters(z))
    # log p(z) - log q(z|x); the constants ln 2 pi cancel.
    return log_likelihood, log_likelihood + 0.5 * (epsilon**2 + q.logvar - z**2).sum(-1)
