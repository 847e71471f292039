"""Linear Gaussian models, whose integrals are closed forms: p(z) = N(0, I), p(x|z) = N(W z, s^2 I).

Evidence, posterior, the ELBO of any Gaussian q and the importance-weighted bound of any k are computed here,
not estimated. Everything is in nats and in float64.

References
----------
Tipping & Bishop 1999 (J. R. Statist. Soc. B 61:611), probabilistic PCA; Lucas et al. 2019 (arXiv 1911.02469),
the linear VAE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

_LOG_2PI = math.log(2 * math.pi)


class Normal(NamedTuple):
    """A Gaussian over the latent space, N(mean, root root').

    Attributes
    ----------
    mean : Tensor of shape (d,)
    root : Tensor of shape (d, d)
        Times its transpose, the covariance. z = mean + root @ epsilon is a draw.

    Examples
    --------
    >>> Normal(torch.zeros(2), torch.tensor([[1.0, 0.0], [2.0, 1.0]])).covariance
    tensor([[1., 2.],
            [2., 5.]])
    """

    mean: Tensor
    root: Tensor

    @property
    def covariance(self) -> Tensor:
        """Tensor of shape (d, d)."""
        return self.root @ self.root.T

    @property
    def precision(self) -> Tensor:
        """Inverse of the covariance, Tensor of shape (d, d)."""
        return self.covariance.inverse()


@dataclass(frozen=True)
class LinearModel:
    """p(z) = N(0, I), p(x|z) = N(W z, s^2 I).

    Parameters
    ----------
    weight : Tensor of shape (n, d)
        W, in float64.
    noise : float
        s^2, the variance of a pixel around its mean.

    Examples
    --------
    log p(x) is the ELBO of any q plus KL(q || posterior):

    >>> model, x = LinearModel(torch.tensor([[2.0]]).double(), 0.5), torch.ones(1).double()
    >>> q = Normal(torch.zeros(1).double(), torch.eye(1).double())
    >>> round(model.log_evidence(x).item(), 4)
    -1.7821
    >>> round((model.elbo(x, q) + kl(q, model.posterior(x))).item(), 4)
    -1.7821
    """

    weight: Tensor
    noise: float

    def log_evidence(self, x: Tensor) -> Tensor:
        """Compute log p(x) = log N(x; 0, W W' + s^2 I), nats, for x of shape (n,) or (B, n).

        Tipping & Bishop 1999, section 3.1, the marginal of a model without a mean.
        """
        return _log_normal(x, self.weight @ self.weight.T + self.noise * _eye(x))

    def posterior(self, x: Tensor) -> Normal:
        """Compute p(z|x) = N(M^-1 W'x, s^2 M^-1), M = W'W + s^2 I, for one x of shape (n,).

        Tipping & Bishop 1999, section 3.1, the posterior of a model without a mean.
        """
        projected = self.weight.T @ x
        inverse = (self.weight.T @ self.weight + self.noise * _eye(projected)).inverse()
        return Normal(inverse @ projected, torch.linalg.cholesky(self.noise * inverse))

    def elbo(self, x: Tensor, q: Normal) -> Tensor:
        """Compute E_q[log p(x|z)] - KL(q || p(z)) for x of shape (n,), nats, exactly."""
        # The expected squared error: that of the mean, and what the spread of q adds.
        error = (x - self.weight @ q.mean).square().sum() + (self.weight @ q.root).square().sum()
        reconstruction = -0.5 * (len(x) * (_LOG_2PI + math.log(self.noise)) + error / self.noise)
        return reconstruction - kl(q, Normal(torch.zeros_like(q.mean), _eye(q.mean)))

    def log_weights(self, x: Tensor, q: Normal, epsilon: Tensor) -> Tensor:
        """Compute log p(x, z) / q(z) at z = q.mean + q.root epsilon, nats: epsilon (N, d) gives (N,)."""
        spread = epsilon @ q.root.T
        z = q.mean + spread
        log_px = _log_normal(x - z @ self.weight.T, self.noise * _eye(x))
        return log_px + _log_normal(z, _eye(q.mean)) - _log_normal(spread, q.covariance)


def kl(q: Normal, p: Normal) -> Tensor:
    """Compute KL(q || p) = (tr(P^-1 Q) + (m_q - m_p)' P^-1 (m_q - m_p) - d - ln |P^-1 Q|) / 2, nats.

    P and Q are the covariances.

    Examples
    --------
    >>> q = Normal(torch.tensor([1.0]), torch.tensor([[2.0]]))
    >>> round(kl(q, Normal(torch.zeros(1), torch.eye(1))).item(), 4)
    1.3069
    """
    to_p = p.root.inverse()
    ratio = to_p @ q.root
    distance = (to_p @ (q.mean - p.mean)).square().sum()
    return 0.5 * (ratio.square().sum() + distance - len(q.mean)) - ratio.slogdet().logabsdet


def best_diagonal(p: Normal) -> Normal:
    """Find the q with a diagonal covariance that has the least KL(q || p).

    It has the mean of p, and variances 1 / diag(L), where L is the precision of p. So it is narrower than p
    where latents depend on each other given x.

    References
    ----------
    Bishop 2006 (Pattern recognition and machine learning), section 10.1.2.

    Examples
    --------
    >>> p = Normal(torch.zeros(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> best_diagonal(p).covariance.diagonal(), p.covariance.diagonal()
    (tensor([0.5000, 1.0000]), tensor([1., 2.]))
    """
    return Normal(p.mean, p.precision.diagonal().rsqrt().diag())


def diagonal_gap(p: Normal) -> Tensor:
    """Compute KL(q || p) of the best diagonal q, nats: (sum ln diag(L) - ln|L|) / 2, L the precision of p.

    Examples
    --------
    >>> p = Normal(torch.zeros(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> round(diagonal_gap(p).item(), 4), round(kl(best_diagonal(p), p).item(), 4)
    (0.3466, 0.3466)
    """
    return 0.5 * (p.precision.diagonal().log().sum() - p.precision.slogdet().logabsdet)


class Estimate(NamedTuple):
    """The mean of independent draws, and its standard error.

    Attributes
    ----------
    value, error : float
        In the unit of the draws. The error is nan of a single draw.
    """

    value: float
    error: float


def estimate_bound(log_weights: Tensor, k: int) -> Estimate:
    """Estimate the importance-weighted bound L_k of one x from draws, nats.

    Parameters
    ----------
    log_weights : Tensor of shape (N,)
        log p(x, z) / q(z) of independent draws of q. They are taken k at a time; the rest is not used.
    k : int

    Raises
    ------
    ValueError
        There are not k draws.

    References
    ----------
    Burda et al. 2016 (arXiv 1509.00519), equation 8.

    Examples
    --------
    >>> estimate_bound(torch.full((10,), -3.0), k=4)
    Estimate(value=-3.0, error=0.0)
    """
    groups = len(log_weights) // k
    if groups < 1:
        raise ValueError(f"L_{k} needs at least {k} draws; got {len(log_weights)}.")
    bounds = log_weights[: groups * k].view(groups, k).logsumexp(1) - math.log(k)
    error = bounds.std().item() / math.sqrt(groups) if groups > 1 else math.nan
    return Estimate(bounds.mean().item(), error)


def shortfall(q: Normal, p: Normal, k: int) -> float:
    """Compute log p(x) - L_k, nats, for one or two latents and p the exact posterior, by quadrature.

    With weights w = p(z) / q(z), log p(x) - L_k = -E[log (w_1 + ... + w_k) / k]. From
    log a = integral over u of exp(-e^u) - exp(-a e^u) follows

        E[log (w_1 + ... + w_k)] = integral over u of exp(-e^u) - phi(u)^k,   phi(u) = E_q[exp(-w e^u)].

    Sums replace both integrals. They end where each term is 0 or 1, and on smooth functions such sums
    converge faster than any power of the step. k = 1 is KL(q || p).

    Parameters
    ----------
    q, p : Normal
    k : int

    Returns
    -------
    float
        Within about 1e-5 for a q of the size of p; within 1e-4 of its value where q is far off.

    Raises
    ------
    ValueError
        k < 1, or more than two latents.

    Examples
    --------
    >>> p = Normal(torch.zeros(1).double(), torch.eye(1).double())
    >>> q = Normal(p.mean + 0.5, 1.3 * p.root)
    >>> [round(shortfall(q, p, k), 4) for k in (1, 2, 20)]
    [0.2076, 0.0737, 0.0056]
    """
    if k < 1 or len(q.mean) > 2:
        raise ValueError(f"shortfall takes k >= 1 and 1 or 2 latents; got k={k} and {len(q.mean)} latents.")
    if k == 1:
        return kl(q, p).item()
    # In q's own units and along the axes of the precision of p, log w is a sum over axes.
    stretch, turn = torch.linalg.eigh(q.root.T @ p.precision @ q.root)
    offset = turn.T @ q.root.inverse() @ (p.mean - q.mean)
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
    """Compute the rates of the best linear beta-VAE, nats per dimension: max(0, ln(lambda / level) / 2).

    Reverse water-filling with the water at beta * s^2: of a dimension with the variance lambda,
    min(lambda, level) remains as squared error, and the rate codes the rest. Dimensions with
    lambda <= level collapse: their q is the prior.

    Parameters
    ----------
    eigenvalues : Tensor of shape (n,)
        Variances of the data along its principal axes.
    level : float
        beta * s^2.

    Returns
    -------
    Tensor of shape (n,)

    References
    ----------
    Cover & Thomas 2006 (Elements of information theory), theorem 10.3.3.

    Examples
    --------
    >>> water_filling(torch.tensor([16.0, 4.0, 1.0]), level=4.0) / math.log(2)  # bits
    tensor([1., 0., 0.])
    """
    return 0.5 * (eigenvalues / level).clamp(min=1).log()


def ppca_log_likelihood(eigenvalues: Tensor, weights: Tensor, noise: float) -> float:
    """Compute the mean log p(x) of probabilistic PCA, nats per x.

    -(n ln 2 pi + ln|C| + tr(C^-1 S)) / 2 along the principal axes (Tipping & Bishop 1999, section 3.2).

    Parameters
    ----------
    eigenvalues : Tensor of shape (n,)
        Variances of the data along its principal axes.
    weights : Tensor of shape (n,)
        Squared lengths of W's columns along the same axes, 0 for an axis left out. The likelihood is largest
        at max(0, lambda - s^2), so it leaves out the axes with lambda under s^2.
    noise : float
        s^2.

    Examples
    --------
    >>> variances = torch.tensor([9.0, 4.0, 1.0, 0.25])
    >>> round(ppca_log_likelihood(variances, (variances - 0.25).clamp(min=0), 0.25), 4)
    -6.7744
    """
    variances = weights + noise
    return -0.5 * (_LOG_2PI + variances.log() + eigenvalues / variances).sum().item()


def _eye(like: Tensor) -> Tensor:
    """Make the identity for vectors of the length of `like`, whose last axis counts."""
    return torch.eye(like.shape[-1], dtype=like.dtype)


def _log_normal(x: Tensor, covariance: Tensor) -> Tensor:
    """Compute log N(x; 0, covariance), nats: (...) for vectors x of shape (..., n)."""
    density: Tensor = MultivariateNormal(torch.zeros_like(covariance[0]), covariance).log_prob(x)
    return density
