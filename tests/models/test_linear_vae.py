"""The linear VAE, where everything is known: probabilistic PCA (Tipping & Bishop 1999; Lucas et al. 2019).

The sample covariance of the data has exactly the eigenvalues 9, 4, 1, 1/4, 1/4, 1/4, so the optimum of every
objective is a number and not an estimate.
"""

import math

import pytest
import torch
from oracles import (
    EIGENVALUES,
    NOISE,
    PPCA_LOG_LIKELIHOOD,
    WATER_FILLING,
    drain,
    exact_elbo,
    generator,
    gradients,
    linear_data,
    solve_linear_vae,
)

import vaewidgets as vw

BITS = [math.log2(9 / NOISE) / 2, 2.0, 1.0]


def linear_vae(sigma=0.5, seed=0, latent_dim=3):
    return vw.VAE(latent_dim, (1, 2, 3), trunk="linear", likelihood="gaussian", sigma=sigma, seed=seed)


def bits(model, x):
    """Mean KL per latent dimension in bits, largest first."""
    return model.encode(x).kl().mean(0).sort(descending=True).values / math.log(2)


@pytest.fixture(scope="module")
def solved():
    """The optimum in closed form, in float64."""
    x, basis, mean = linear_data(dtype=torch.float64)
    model = linear_vae().double()
    solve_linear_vae(model, basis, mean)
    return model, x, basis, mean


def log_marginal(model, x):
    w, mean = model.decoder[0].weight, model.decoder[0].bias
    covariance = w @ w.T + model.likelihood.sigma**2 * torch.eye(6)
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(x.flatten(1))


def test_the_data_has_exactly_these_eigenvalues():
    x, _, mean = linear_data(dtype=torch.float64)
    x = x.flatten(1)
    eigenvalues = torch.linalg.eigvalsh((x - mean).T @ (x - mean) / len(x)).flip(0)
    torch.testing.assert_close(eigenvalues, torch.tensor(EIGENVALUES).double())
    torch.testing.assert_close(x.mean(0), mean)


@torch.no_grad()
def test_the_optimum_reaches_the_log_likelihood_of_ppca(solved):
    model, x, _, _ = solved
    assert exact_elbo(model, x).mean().item() == pytest.approx(PPCA_LOG_LIKELIHOOD, abs=1e-6)
    assert bits(model, x).tolist() == pytest.approx([2.584963, 2, 1], abs=1e-6)


@torch.no_grad()
def test_at_the_optimum_the_bound_is_tight_for_every_image(solved):
    model, x, _, _ = solved
    evidence = log_marginal(model, x)
    torch.testing.assert_close(exact_elbo(model, x), evidence, rtol=0, atol=1e-6)
    # The posterior is exact, so no weight varies: one sample is as good as many.
    for k in (1, 3):
        torch.testing.assert_close(vw.iwae(model, x, k, generator=generator(k)), evidence, rtol=0, atol=1e-6)


@torch.no_grad()
def test_at_the_optimum_the_posteriors_add_up_to_the_prior(solved):
    model, x, _, _ = solved
    q = model.encode(x)
    aggregate = q.mu.T @ q.mu / len(x) + torch.diag(q.sigma[0] ** 2)
    torch.testing.assert_close(q.mu.mean(0), torch.zeros(3).double(), rtol=0, atol=1e-9)
    torch.testing.assert_close(aggregate, torch.eye(3).double(), rtol=0, atol=1e-6)


def test_the_optimum_is_stationary(solved):
    """No gradient in any weight, the shared sigma included."""
    _, x, basis, mean = solved
    free = linear_vae(sigma="learned").double()
    solve_linear_vae(free, basis, mean)
    free.likelihood.log_sigma.data.fill_(math.log(0.5))
    assert gradients(exact_elbo(free, x).mean(), free).abs().max() < 1e-6


@torch.no_grad()
def test_the_residual_of_the_linear_autoencoder_is_the_sum_of_the_discarded_eigenvalues(solved):
    """Projecting on three components leaves .75; decoding the shrunken posterior means leaves more."""
    model, x, basis, mean = solved
    kept = basis[:, :3] @ basis[:, :3].T
    centred = x.flatten(1) - mean
    assert ((centred - centred @ kept) ** 2).sum(1).mean().item() == pytest.approx(0.75, abs=1e-9)
    # Along direction i the posterior mean keeps (1 - s^2 / lambda_i) of x.
    shrunk = 0.75 + sum(NOISE**2 / eigenvalue for eigenvalue in EIGENVALUES[:3])
    assert (model(x) - x).pow(2).sum((1, 2, 3)).mean().item() == pytest.approx(shrunk, abs=1e-6)


@pytest.mark.parametrize("beta", WATER_FILLING)
def test_beta_fills_water_in_reverse(beta):
    """rate_i = max(0, log2(lambda_i / (beta s^2)) / 2) is the optimum: its rates, and no gradient there."""
    x, basis, mean = linear_data(dtype=torch.float64)
    model = linear_vae().double()
    solve_linear_vae(model, basis, mean, beta)
    assert gradients(exact_elbo(model, x, beta).mean(), model).abs().max() < 1e-6
    with torch.no_grad():
        assert bits(model, x).tolist() == pytest.approx(WATER_FILLING[beta], abs=5e-4)


@pytest.mark.parametrize("sigma, steps", [(0.5, 3000), ("learned", 1500), ("optimal", 1500)])
def test_training_from_random_weights_finds_the_optimum(sigma, steps):
    """Within a thousandth of a nat of the log-likelihood of PPCA; the likelihood's sigma is found too."""
    x, basis, mean = linear_data(256)
    model = linear_vae(sigma)
    drain(vw.fit(model, x, epochs=steps, batch_size=256, lr=0.1, schedule="cosine"))
    with torch.no_grad():
        elbo = exact_elbo(model, x).mean().item()
        assert elbo < PPCA_LOG_LIKELIHOOD + 1e-5, "a bound above the maximum likelihood"
        assert elbo == pytest.approx(PPCA_LOG_LIKELIHOOD, abs=1e-3)
        assert bits(model, x).tolist() == pytest.approx(BITS, abs=0.02)
        # Each step saw 256 * 6 pixels of noise, and the last steps are averaged.
        assert model.likelihood.sigma.item() ** 2 == pytest.approx(NOISE, rel=0.02)
        kept = torch.linalg.qr(model.decoder[0].weight.double()).Q
        assert torch.linalg.matrix_norm(kept.T @ basis[:, 3:], 2).item() < 0.02, "not the principal plane"
        torch.testing.assert_close(model.decoder[0].bias.double(), mean, rtol=0, atol=0.05)


def test_training_with_beta_kills_the_dimensions_that_it_should():
    """beta = 8: water level 2, so the eigenvalues 9 and 4 are coded and 1 is not, 1.085 and .5 bits."""
    x, _, _ = linear_data(256)
    model = linear_vae()
    drain(vw.fit(model, x, epochs=2000, batch_size=256, lr=0.1, beta=8.0, schedule="cosine"))
    with torch.no_grad():
        assert bits(model, x).tolist() == pytest.approx([math.log2(4.5) / 2, 0.5, 0], abs=0.01)


def test_a_latent_too_many_stays_at_the_prior():
    """Five latents for three directions: two carry nothing, and the bound is no better."""
    x, _, _ = linear_data(256)
    model = linear_vae("learned", latent_dim=5)
    drain(vw.fit(model, x, epochs=2000, batch_size=256, lr=0.1, schedule="cosine"))
    with torch.no_grad():
        assert bits(model, x).tolist() == pytest.approx([*BITS, 0, 0], abs=0.03)
        assert exact_elbo(model, x).mean().item() == pytest.approx(PPCA_LOG_LIKELIHOOD, abs=2e-3)
