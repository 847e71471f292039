"""The models that are solved: a linear decoder with Gaussian noise, p(x|z) = N(W z, s^2 I), p(z) = N(0, I).

Posterior, evidence, the ELBO of any Gaussian q and the importance-weighted bound of any k are numbers here,
not estimates. Tipping & Bishop 1999 (probabilistic PCA); Lucas et al. 2019, arXiv 1911.02469 (linear VAE).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_2PI = math.log(2 * math.pi)


class Normal(NamedTuple):
    """A Gaussian over the latent space.

    Attributes
    ----------
    mean : Tensor of shape (d,)
    root : Tensor of shape (d, d)
        Times its transpose, the covariance. z = mean + root @ epsilon is a draw.
    """

    mean: Tensor
    root: Tensor

    @property
    def covariance(self) -> Tensor:
        """Tensor of shape (d, d)."""
        return self.root @ self.root.T


@dataclass(frozen=True)
class LinearModel:
    """p(z) = N(0, I), p(x|z) = N(W z, s^2 I).

    Parameters
    ----------
    weight : Tensor of shape (n, d)
        W, in float64.
    noise : float
        s^2, the variance of a pixel around its mean.
    """

    weight: Tensor
    noise: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """Compute log p(x) = log N(x; 0, W W' + s^2 I), nats, for x of shape (n,) or (B, n)."""
        n = len(self.weight)
        covariance = self.weight @ self.weight.T + self.noise * torch.eye(n, dtype=self.weight.dtype)
        return _log_normal(x, torch.linalg.cholesky(covariance))

    def posterior(self, x: Tensor) -> Normal:
        """Compute p(z|x) = N(M^-1 W'x, s^2 M^-1), M = W'W + s^2 I, for one x of shape (n,)."""
        w = self.weight
        m = w.T @ w + self.noise * torch.eye(w.shape[1], dtype=w.dtype)
        inverse = torch.linalg.inv(m)
        return Normal(inverse @ (w.T @ x), torch.linalg.cholesky(self.noise * inverse))

    def elbo(self, x: Tensor, q: Normal) -> Tensor:
        """Compute E_q[log p(x|z)] - KL(q || p(z)) for x of shape (n,), nats, without noise."""
        w, n = self.weight, len(self.weight)
        # The mean squared error of a draw: that of the mean, and what the spread of q adds.
        error = (x - w @ q.mean).square().sum() + (w @ q.root).square().sum()
        reconstruction = -0.5 * (n * (_LOG_2PI + math.log(self.noise)) + error / self.noise)
        d = len(q.mean)
        bound: Tensor = reconstruction - kl(
            q, Normal(torch.zeros(d, dtype=w.dtype), torch.eye(d, dtype=w.dtype))
        )
        return bound

    def log_weights(self, x: Tensor, q: Normal, epsilon: Tensor) -> Tensor:
        """Compute log p(x, z) / q(z) at z = q.mean + q.root epsilon, nats: epsilon (N, d) gives (N,)."""
        z = q.mean + epsilon @ q.root.T
        spread = math.sqrt(self.noise) * torch.eye(len(self.weight), dtype=self.weight.dtype)
        log_px = _log_normal(x - z @ self.weight.T, spread)
        log_q = _log_normal(epsilon @ q.root.T, torch.linalg.cholesky(q.covariance))
        return log_px + _log_normal(z, torch.eye(z.shape[1], dtype=z.dtype)) - log_q


def kl(q: Normal, p: Normal) -> Tensor:
    """KL(q || p) of two Gaussians, nats."""
    to_p = torch.linalg.inv(p.root)
    ratio = to_p @ q.root
    distance = (to_p @ (q.mean - p.mean)).square().sum()
    log_det = torch.linalg.slogdet(ratio).logabsdet
    divergence: Tensor = 0.5 * (ratio.square().sum() + distance - len(q.mean)) - log_det
    return divergence


def best_diagonal(p: Normal) -> Normal:
    """Find the q with a diagonal covariance that has the least KL(q || p).

    It has the mean of p, and variances 1 / diag(L), where L is the precision of p: narrower than p where
    latents depend on each other given x. (Bishop 2006, section 10.1.2.)
    """
    return Normal(p.mean, _precision(p).diagonal().rsqrt().diag())


def diagonal_gap(p: Normal) -> Tensor:
    """KL(q || p) of the best diagonal q, nats: (sum ln diag(L) - ln|L|) / 2, L the precision of p."""
    precision = _precision(p)
    gap: Tensor = 0.5 * (precision.diagonal().log().sum() - torch.linalg.slogdet(precision).logabsdet)
    return gap


class Estimate(NamedTuple):
    """The mean value of independent draws, and its standard error (nan of a single draw)."""

    value: float
    error: float


def estimate_bound(log_weights: Tensor, k: int) -> Estimate:
    """Estimate the importance-weighted bound L_k (Burda et al. 2016, arXiv 1509.00519, equation 8).

    Parameters
    ----------
    log_weights : Tensor of shape (N,)
        Of independent draws of q. They are taken k at a time; what is left over is not used.
    k : int

    Raises
    ------
    ValueError
        There are not k draws.
    """
    groups = len(log_weights) // k
    if groups < 1:
        raise ValueError(f"L_{k} needs at least {k} draws; got {len(log_weights)}.")
    bounds = log_weights[: groups * k].view(groups, k).logsumexp(1) - math.log(k)
    error = bounds.std().item() / math.sqrt(groups) if groups > 1 else math.nan
    return Estimate(bounds.mean().item(), error)


def shortfall(q: Normal, p: Normal, k: int) -> float:
    """Compute log p(x) - L_k, nats, for one or two latents and p the exact posterior, by quadrature.

    For the mean w of k weights, E[log w] is the integral over u of exp(-e^u) - phi(u)^k, less log k, where
    phi(u) = E_q[exp(-e^u w)] is all that is needed of q. Both terms have left 1, or reached 0, where the sums
    end; on smooth functions such sums converge faster than any power of the step. k = 1 is KL(q || p).

    Returns
    -------
    float
        Within about 1e-5 for a q of the size of p; within 1e-4 of its value where q is far off.

    Raises
    ------
    ValueError
        k < 1, or more than two latents.
    """
    if k < 1 or len(q.mean) > 2:
        raise ValueError(f"shortfall takes k >= 1 and 1 or 2 latents; got k={k} and {len(q.mean)} latents.")
    if k == 1:
        return kl(q, p).item()
    # In q's own units and along the axes of the precision of p, log w is a sum over axes.
    to_q = torch.linalg.inv(q.root)
    stretch, turn = torch.linalg.eigh(q.root.T @ _precision(p) @ q.root)
    offset = turn.T @ to_q @ (p.mean - q.mean)
    epsilon = torch.arange(-160, 161, dtype=stretch.dtype) / 20
    density = torch.softmax(-(epsilon**2) / 2, 0)
    terms = 0.5 * (stretch[:, None].log() - stretch[:, None] * (epsilon - offset[:, None]) ** 2 + epsilon**2)
    log_w, share = terms[0], density
    for term in terms[1:]:
        log_w, share = (log_w[:, None] + term).flatten(), torch.outer(share, density).flatten()
    log_w, share = log_w[share > 1e-16], share[share > 1e-16]
    # Fine steps near 0, where exp(-e^u) falls, and ever longer ones to where even the least weights count.
    end = max(10.0, -log_w.min().item() + 10)
    s = torch.arange(20 * math.asinh(-60 / 20), 20 * math.asinh(end / 20), 0.4, dtype=stretch.dtype)
    u, step = 20 * (s / 20).sinh(), 0.4 * (s / 20).cosh()
    missing = torch.stack([share @ -torch.expm1(-(log_w + v).clamp(max=6).exp()) for v in u])
    power = torch.exp(k * torch.log1p(-missing.clamp(max=1)))
    return math.log(k) - ((torch.exp(-u.clamp(max=6).exp()) - power) * step).sum().item()


def water_filling(eigenvalues: Tensor, level: float) -> Tensor:
    """Rates of the best linear beta-VAE, nats per dimension: max(0, ln(lambda / level) / 2).

    Reverse water-filling (Cover & Thomas 2006, theorem 10.3.3), with the water at beta * s^2: of a dimension
    with the variance lambda, min(lambda, level) is left as squared error, and what stands above the
    water is told. Dimensions with lambda <= level collapse: their q is the prior.

    Parameters
    ----------
    eigenvalues : Tensor of shape (n,)
        Variances of the data along its principal axes.
    level : float
        beta * s^2.
    """
    return 0.5 * (eigenvalues / level).clamp(min=1).log()


def ppca_log_likelihood(eigenvalues: Tensor, weights: Tensor, noise: float) -> float:
    """Mean log p(x) of probabilistic PCA, nats per x.

    Parameters
    ----------
    eigenvalues : Tensor of shape (n,)
        Variances of the data along its principal axes.
    weights : Tensor of shape (n,)
        The model's own along the same axes: the squared lengths of W's columns, 0 for an axis left out.
        max(0, lambda - s^2) is best: the axes that maximum likelihood leaves out are those under s^2.
    noise : float
        s^2.
    """
    variances = weights + noise
    return -0.5 * (_LOG_2PI + variances.log() + eigenvalues / variances).sum().item()


def _precision(p: Normal) -> Tensor:
    precision: Tensor = torch.linalg.inv(p.covariance)
    return precision


def _log_normal(x: Tensor, cholesky: Tensor) -> Tensor:
    """Log N(x; 0, C C') of vectors x, (..., n), for a lower triangular C."""
    white = torch.linalg.solve_triangular(cholesky, x.reshape(-1, x.shape[-1]).T, upper=False).T
    log_det = cholesky.diagonal().log().sum()
    n = x.shape[-1]
    density: Tensor = -0.5 * (white.square().sum(1) + n * _LOG_2PI) - log_det
    return density.view(x.shape[:-1])
