"""What the tests know independently of the package: closed forms, quadrature, and tiny models."""

import itertools
import math

import numpy as np
import torch
from torch import nn

from vaewidgets.models.likelihoods import Gaussian
from vaewidgets.models.linear_gaussian import LinearModel, Normal
from vaewidgets.models.objectives import elbo
from vaewidgets.models.vae import Posterior

#: Of the covariance of `linear_data`: three directions worth coding, and noise of variance 1/4.
EIGENVALUES = (9.0, 4.0, 1.0, 0.25, 0.25, 0.25)
NOISE = 0.25
#: Mean log-likelihood of probabilistic PCA with three components on such data, nats.
PPCA_LOG_LIKELIHOOD = -8.225949
#: By beta: bits of the best linear beta-VAE on such data, along its three directions.
WATER_FILLING = {1: [2.585, 2, 1], 2: [2.085, 1.5, 0.5], 4: [1.585, 1, 0], 16: [0.585, 0, 0], 36: [0, 0, 0]}


def drain(steps):
    """Run an iterator to its end and return the last item."""
    last = None
    for last in steps:
        pass
    return last


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gradients(loss, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def normal_quadrature(nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Gauss-Hermite nodes and weights for E f(eps), eps ~ N(0, 1)."""
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.from_numpy(x), torch.from_numpy(w / w.sum())


def exact_elbo(model, x: torch.Tensor, beta: float = 1.0) -> torch.Tensor:
    """ELBO without sampling noise, per image, for a decoder that is linear with Gaussian pixels.

    There log p(x|z) is quadratic in the noise, so its mean over the 2^d vectors of signs, which have the
    mean and the covariance of N(0, I), is its expectation.
    """
    signs = itertools.product((-1.0, 1.0), repeat=model.latent_dim)
    totals = [
        elbo(model, x, beta=beta, epsilon=torch.tensor(s, dtype=x.dtype).expand(len(x), -1)).total
        for s in signs
    ]
    return torch.stack(totals).mean(0)


class LinearGaussian(nn.Module):
    """p(x|z) = N(W z, variance), with an encoder N(V x + offset, diag(q_variance)) of any quality."""

    def __init__(self, w, variance: float, v=None, offset=0.0, q_variance=None) -> None:
        super().__init__()
        w = torch.as_tensor(w, dtype=torch.float64)
        precision = (w.T @ w + variance * torch.eye(w.shape[1])) / variance
        self.w, self.precision, self.variance = w, precision, variance
        self.v = torch.linalg.solve(precision, w.T / variance) if v is None else v
        self.offset = offset
        # The best diagonal Gaussian has the precisions of the posterior's diagonal.
        self.q_variance = 1 / precision.diagonal() if q_variance is None else torch.as_tensor(q_variance)
        self.latent_dim, self.image_shape = w.shape[1], (1, 1, w.shape[0])
        self.likelihood = Gaussian(math.sqrt(variance))
        self.likelihood.log_sigma = torch.tensor(0.5 * math.log(variance), dtype=torch.float64)

    def encode(self, x):
        mu = x.flatten(1) @ self.v.T + self.offset
        return Posterior(mu, self.q_variance.double().log().expand_as(mu))

    def decode_parameters(self, z):
        return (z @ self.w.T).unflatten(-1, self.image_shape)

    def log_marginal(self, x):
        """Log p(x), nats per image."""
        covariance = self.w @ self.w.T + self.variance * torch.eye(len(self.w), dtype=self.w.dtype)
        mean = torch.zeros(len(self.w), dtype=self.w.dtype)
        return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x.flatten(1))


def scalar_model(shift: float = 0.5, stretch: float = 1.3) -> LinearGaussian:
    """p(z) = N(0, 1), x|z ~ N(2z, .5); q misses the posterior's mean and deviation by these."""
    sd = math.sqrt(1 / 9)
    return LinearGaussian([[2.0]], 0.5, offset=shift * sd, q_variance=[(stretch * sd) ** 2])


def linear_data(n: int = 512, seed: int = 0, dtype=torch.float32):
    """Images (n, 1, 2, 3) whose sample covariance has exactly `EIGENVALUES`; with basis and mean."""
    g = generator(seed)
    x = torch.randn(n, 6, generator=g, dtype=torch.float64)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / n)).T
    basis = torch.linalg.qr(torch.randn(6, 6, generator=g, dtype=torch.float64)).Q
    mean = torch.randn(6, generator=g, dtype=torch.float64)
    x = white * torch.tensor(EIGENVALUES).sqrt() @ basis.T + mean
    return x.view(n, 1, 2, 3).to(dtype), basis, mean


def solve_linear_vae(model, basis, mean, beta: float = 1.0) -> None:
    """Set a linear VAE with sigma^2 = `NOISE` to its optimum in closed form.

    Tipping & Bishop 1999; Lucas et al. 2019 (arXiv 1911.02469). Under the weight beta everything but the
    score itself is as if the noise were beta * sigma^2.
    """
    noise = beta * NOISE
    eigenvalues = torch.tensor(EIGENVALUES[: model.latent_dim], dtype=torch.float64)
    w = basis[:, : model.latent_dim] * (eigenvalues - noise).clamp(min=0).sqrt()
    m = w.T @ w + noise * torch.eye(model.latent_dim)
    v = torch.linalg.solve(m, w.T)
    logvar = (noise / m.diagonal()).log()
    with torch.no_grad():
        model.decoder[0].weight.copy_(w)
        model.decoder[0].bias.copy_(mean)
        model.mu.weight.copy_(v)
        model.mu.bias.copy_(-v @ mean)
        model.logvar.value.copy_(10 * torch.atanh(logvar / 10))  # the encoder's soft bound, undone


def log_evidence(model, x: torch.Tensor, tolerance: float = 0.01) -> torch.Tensor:
    """Log p(x) for a 2-D latent by quadrature on [-6, 6]^2, nats per image.

    The step is halved until no image changes by more than `tolerance`: trained posteriors are narrow.
    """
    previous, points = None, 101
    while True:
        value = _grid_evidence(model, x, points)
        if previous is not None and (value - previous).abs().max() < tolerance:
            return value
        previous, points = value, 2 * points - 1
        assert points < 2000, "the quadrature does not converge"


def _grid_evidence(model, x, points):
    axis = torch.linspace(-6, 6, points)
    step = 12 / (points - 1)
    sums = []
    for column in torch.cartesian_prod(axis, axis).split(20_000):
        prior = -0.5 * (column**2).sum(1) - math.log(2 * math.pi) + 2 * math.log(step)
        parameters = model.decode_parameters(column)
        # A batch axis for x, so that every image meets every point.
        log_px = torch.stack([model.likelihood.log_prob(image, parameters) for image in x])
        sums.append(torch.logsumexp(log_px + prior, 1))
    return torch.logsumexp(torch.stack(sums), 0)


def turn(degrees):
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)


def solved(theta, x, mean, sigma, angle):
    """The model, x, the posterior and q as Python has them."""
    model = LinearModel(torch.tensor([[2.0, 0.0], [0.0, 0.5]], dtype=torch.float64) @ turn(theta), 0.5)
    x = torch.tensor(x, dtype=torch.float64)
    q = Normal(
        torch.tensor(mean, dtype=torch.float64), turn(angle) * torch.tensor(sigma, dtype=torch.float64)
    )
    return model, x, model.posterior(x), q
