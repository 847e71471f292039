"""Likelihoods p(x|z): what the decoder's output means, in nats per image.

Each likelihood turns the decoder's unbounded output into a log-probability (summed over pixels, kept per
image) and into the mean image. `support` is the range of a pixel. Leading axes broadcast, so k samples of z
score one batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIXELS = (-3, -2, -1)


class Bernoulli(nn.Module):
    """Bernoulli pixels; the decoder gives logits l.

    log p(x|z) = sum over pixels of x l - softplus(l) = x ln p + (1 - x) ln(1 - p), with p = sigmoid(l).
    On greys x in [0, 1] it is the expectation of the log-probability over b ~ Bernoulli(x): binarised targets
    with the pixel noise averaged out. It is not a density on greys.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), appendix C.1, equation 11.

    Examples
    --------
    >>> x, logits = torch.ones(5, 1, 8, 8), torch.zeros(5, 1, 8, 8)
    >>> -Bernoulli().log_prob(x, logits) / math.log(2)  # 64 pixels of one bit each
    tensor([64., 64., 64., 64., 64.])
    """

    support = (0.0, 1.0)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for x and logits of shape (..., B, C, H, W)."""
        return (x * logits - F.softplus(logits)).sum(PIXELS)

    def mean(self, logits: Tensor) -> Tensor:
        """Compute the mean image E[x|z], in [0, 1], of the shape of the logits, (..., C, H, W)."""
        return torch.sigmoid(logits)


class ContinuousBernoulli(nn.Module):
    """Continuous Bernoulli pixels on [0, 1]; the decoder gives the logits l of lambda.

    log p(x|z) = sum over pixels of x l - softplus(l) + ln C. The normaliser
    C = 2 atanh(1 - 2 lambda) / (1 - 2 lambda) is l / tanh(l / 2). It and the mean are 0/0 at l = 0 and are
    computed there by their Taylor series.

    References
    ----------
    Loaiza-Ganem & Cunningham 2019 (arXiv 1907.06845), the density and its normaliser C, and the mean.

    Examples
    --------
    >>> logit = torch.logit(torch.tensor([0.5, 0.9]))
    >>> ContinuousBernoulli.log_normalizer(logit).exp()[0], ContinuousBernoulli().mean(logit)
    (tensor(2.), tensor([0.5000, 0.6699]))
    """

    support = (0.0, 1.0)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for x and logits of shape (..., B, C, H, W)."""
        return (x * logits - F.softplus(logits) + self.log_normalizer(logits)).sum(PIXELS)

    @staticmethod
    def log_normalizer(logits: Tensor) -> Tensor:
        """Compute ln C(lambda) per pixel, nats, of the shape of the logits, (..., W)."""
        small = logits.abs() < 0.3
        # The branch that is not taken must stay finite too: its gradient is multiplied by zero, not skipped.
        l = torch.where(small, torch.ones_like(logits), logits).abs()
        exact = torch.log(l / torch.tanh(l / 2))
        l2 = torch.where(small, logits, torch.zeros_like(logits)) ** 2
        series = math.log(2) + torch.log1p(l2 / 12 - l2**2 / 720 + l2**3 / 30240)
        return torch.where(small, series, exact)

    def mean(self, logits: Tensor) -> Tensor:
        """Compute the mean image E[x|z] = lambda / (2 lambda - 1) + 1 / (2 atanh(1 - 2 lambda)), in [0, 1].

        It has the shape of the logits, (..., C, H, W). The mean is not lambda.
        """
        small = logits.abs() < 0.3
        l = torch.where(small, torch.ones_like(logits), logits)
        exact = torch.sigmoid(l) / torch.tanh(l / 2) - 1 / l
        l = torch.where(small, logits, torch.zeros_like(logits))
        series = 0.5 + l / 12 - l**3 / 720 + l**5 / 30240
        return torch.where(small, series, exact)


class Gaussian(nn.Module):
    """Gaussian pixels with one shared standard deviation sigma; the decoder gives the mean.

    Parameters
    ----------
    sigma : float, "learned" or "optimal"
        "learned" is a parameter trained by gradient. "optimal" is the maximum-likelihood value for the
        present decoder, sigma^2 = mean squared error: `fit` moves it there after each step.

    Raises
    ------
    ValueError
        sigma is neither of these names, nor a positive finite number.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), appendix C.2, equation 12, with a sigma that is not a function of
    z; Rybkin et al. 2021 (arXiv 2006.13202), the sigma-VAE and the optimal sigma-VAE.

    Examples
    --------
    >>> x = torch.zeros(1, 1, 2, 2)
    >>> Gaussian(1.0).log_prob(x, x + 1)  # 4 * (-1 - ln 2 pi) / 2
    tensor([-5.6758])
    >>> Gaussian("learned").sigma.item()
    1.0
    """

    support = (-math.inf, math.inf)
    log_sigma: Tensor

    def __init__(self, sigma: float | str = 1.0) -> None:
        super().__init__()
        self.optimal = sigma == "optimal"
        if sigma == "learned":
            self.log_sigma = nn.Parameter(torch.zeros(()))
            return
        if sigma == "optimal":
            sigma = 1.0
        elif isinstance(sigma, (bool, str)) or not isinstance(sigma, (int, float)):
            raise ValueError(f'sigma must be a positive number, "learned" or "optimal"; got {sigma!r}.')
        if not (math.isfinite(sigma) and sigma > 0):
            raise ValueError(f"sigma must be positive and finite; got {sigma!r}.")
        self.register_buffer("log_sigma", torch.tensor(math.log(sigma)))

    @property
    def sigma(self) -> Tensor:
        """Standard deviation of a pixel, a scalar Tensor."""
        return self.log_sigma.exp()

    def log_prob(self, x: Tensor, mean: Tensor) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for x and the mean of shape (..., B, C, H, W)."""
        squares = ((x - mean) / self.sigma) ** 2
        return (-0.5 * squares - self.log_sigma - 0.5 * math.log(2 * math.pi)).sum(PIXELS)

    def mean(self, mean: Tensor) -> Tensor:
        """Return the mean image E[x|z], of shape (..., C, H, W): the decoder's mean itself."""
        return mean

    @torch.no_grad()
    def update_sigma(self, reconstruction: Tensor, pixels: int, rate: float = 0.1) -> None:
        """Move an "optimal" sigma^2 towards the mean squared error that `reconstruction` contains.

        Parameters
        ----------
        reconstruction : Tensor of shape (B,)
            log p(x|z), nats, computed with the present sigma.
        pixels : int
            C * H * W.
        rate : float
            Share of the way that one call goes: sigma^2 averages over about 1 / rate batches.
        """
        scaled = -2 * (reconstruction.mean() / pixels + self.log_sigma + 0.5 * math.log(2 * math.pi))
        variance = self.sigma**2
        self.log_sigma.copy_(0.5 * torch.log(variance + rate * (variance * scaled - variance)))


LIKELIHOODS: dict[str, type[Bernoulli | ContinuousBernoulli | Gaussian]] = {
    "bernoulli": Bernoulli,
    "continuous-bernoulli": ContinuousBernoulli,
    "gaussian": Gaussian,
}


def make_likelihood(
    name: str, sigma: float | str | None = None
) -> Bernoulli | ContinuousBernoulli | Gaussian:
    """Make the likelihood called `name`, one of `LIKELIHOODS`; `sigma` belongs to the Gaussian alone.

    Raises
    ------
    ValueError
        There is no such likelihood, or it takes no sigma.

    Examples
    --------
    >>> make_likelihood("gaussian", 0.5).sigma.item()
    0.5
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {name!r}.")
    if name == "gaussian":
        return Gaussian(1.0 if sigma is None else sigma)
    if sigma is not None:
        raise ValueError(f"sigma={sigma!r} is for the Gaussian likelihood; {name!r} has none.")
    return LIKELIHOODS[name]()
