"""What the decoder's output means: p(x|z) per pixel, in nats per image.

Each likelihood turns the decoder's unbounded output into a log-probability (summed over the pixels,
kept per image) and into the mean image; `support` is the range of a pixel. Leading axes broadcast,
so k samples score one batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIXELS = (-3, -2, -1)


class Bernoulli(nn.Module):
    """Bernoulli pixels; the decoder gives logits.

    On greys x in [0, 1] the value x * l - softplus(l) is the expectation of the log-probability over
    b ~ Bernoulli(x): binarised targets with the pixel noise averaged out. It is not a density on greys.
    """

    support = (0.0, 1.0)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for x and logits of shape (..., B, C, H, W)."""
        return (x * logits - F.softplus(logits)).sum(PIXELS)

    def mean(self, logits: Tensor) -> Tensor:
        """Mean image E[x|z], in [0, 1]; the shape is that of the logits, (..., C, H, W)."""
        return torch.sigmoid(logits)


class ContinuousBernoulli(nn.Module):
    """Continuous Bernoulli on [0, 1] (Loaiza-Ganem & Cunningham 2019, arXiv 1907.06845); logits.

    With l the logit of lambda, the normaliser C = 2 atanh(1 - 2 lambda) / (1 - 2 lambda) is
    l / tanh(l / 2). Both it and the mean are 0/0 at l = 0 and continue there by their Taylor series.
    """

    support = (0.0, 1.0)

    def log_prob(self, x: Tensor, logits: Tensor) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for x and logits of shape (..., B, C, H, W)."""
        return (x * logits - F.softplus(logits) + self.log_normalizer(logits)).sum(PIXELS)

    @staticmethod
    def log_normalizer(logits: Tensor) -> Tensor:
        """Log C(lambda) per pixel, nats; log 2 at lambda = 1/2. The shape is that of the logits, (..., W)."""
        small = logits.abs() < 0.3
        # The branch not taken must stay finite too: its gradient is multiplied by zero, not skipped.
        l = torch.where(small, torch.ones_like(logits), logits).abs()
        exact = torch.log(l / torch.tanh(l / 2))
        l2 = torch.where(small, logits, torch.zeros_like(logits)) ** 2
        series = math.log(2) + torch.log1p(l2 / 12 - l2**2 / 720 + l2**3 / 30240)
        return torch.where(small, series, exact)

    def mean(self, logits: Tensor) -> Tensor:
        """Mean image E[x|z], in [0, 1], of the shape of the logits, (..., C, H, W); it is not lambda."""
        small = logits.abs() < 0.3
        l = torch.where(small, torch.ones_like(logits), logits)
        exact = torch.sigmoid(l) / torch.tanh(l / 2) - 1 / l
        l = torch.where(small, logits, torch.zeros_like(logits))
        series = 0.5 + l / 12 - l**3 / 720 + l**5 / 30240
        return torch.where(small, series, exact)


class Gaussian(nn.Module):
    """Gaussian pixels of one shared standard deviation; the decoder gives the mean.

    Parameters
    ----------
    sigma : float, "learned" or "optimal"
        "learned" is a parameter trained by gradient. "optimal" is the maximum-likelihood value for
        the decoder of this moment, sigma^2 = mean squared error (Rybkin et al. 2021,
        arXiv 2006.13202, section 3.2): `fit` moves it there after each step.

    Raises
    ------
    ValueError
        sigma is neither of these names, nor a positive finite number.
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
        """Mean image E[x|z], of shape (..., C, H, W): the decoder's mean as it is."""
        return mean

    @torch.no_grad()
    def update_sigma(self, reconstruction: Tensor, pixels: int, rate: float = 0.1) -> None:
        """Move an "optimal" sigma^2 towards the mean squared error behind `reconstruction`.

        Parameters
        ----------
        reconstruction : Tensor of shape (B,)
            Log-probabilities just computed with the present sigma; they contain the squared error.
        pixels : int
            C * H * W.
        rate : float
            Share of the way: it averages over about 1 / rate batches.
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
    """Build the likelihood called `name`, one of `LIKELIHOODS`; `sigma` belongs to the Gaussian alone.

    Raises
    ------
    ValueError
        There is no such likelihood, or it takes no sigma.
    """
    if name not in LIKELIHOODS:
        raise ValueError(f"likelihood must be one of {', '.join(LIKELIHOODS)}; got {name!r}.")
    if name == "gaussian":
        return Gaussian(1.0 if sigma is None else sigma)
    if sigma is not None:
        raise ValueError(f"sigma={sigma!r} is for the Gaussian likelihood; {name!r} has none.")
    return LIKELIHOODS[name]()
