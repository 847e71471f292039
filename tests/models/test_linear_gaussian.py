"""The solved models against distributions of torch, quadrature over z, and draws."""

import math

import pytest
import torch
from oracles import EIGENVALUES, NOISE, PPCA_LOG_LIKELIHOOD, WATER_FILLING, generator, scalar_model, turn
from torch.distributions import MultivariateNormal, kl_divergence

import vaewidgets as vw
from vaewidgets.models.linear_gaussian import (
    LinearModel,
    Normal,
    best_diagonal,
    diagonal_gap,
    estimate_bound,
    kl,
    ppca_log_likelihood,
    shortfall,
    water_filling,
)
from vaewidgets.widgets.gaussian.counter_noise import normals, uniforms


def numbers(values):
    return torch.tensor(values, dtype=torch.float64)


def turned(theta):
    """W = diag(2, .5) R(theta), s^2 = .5."""
    return LinearModel(numbers([2.0, 0.5]).diag() @ turn(theta), 0.5)


def as_torch(q):
    return MultivariateNormal(q.mean, q.covariance)


def random_case(seed):
    """A model with three pixels and two latents, an x, and a q that has nothing to do with it."""
    g = generator(seed)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    return LinearModel(draw(3, 2), 0.3 + draw(1).exp().item()), draw(3), Normal(draw(2), draw(2, 2))


@pytest.mark.parametrize("seed", range(5))
def test_evidence_and_posterior_are_those_of_a_fine_grid(seed):
    model, x, _ = random_case(seed)
    axis = torch.linspace(-8, 8, 401, dtype=torch.float64)
    z = torch.cartesian_prod(axis, axis)
    spread = math.sqrt(model.noise) * torch.eye(3, dtype=torch.float64)
    log_joint = MultivariateNormal(z @ model.weight.T, scale_tril=spread).log_prob(x)
    log_joint += torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
    log_p = log_joint.logsumexp(0) + 2 * math.log(16 / 400)
    assert model.log_evidence(x).item() == pytest.approx(log_p.item(), abs=1e-9)
    weights = torch.softmax(log_joint, 0)
    mean = weights @ z
    posterior = model.posterior(x)
    torch.testing.assert_close(posterior.mean, mean, rtol=0, atol=1e-9)
    centred = z - mean
    covariance = (weights[:, None] * centred).T @ centred
    torch.testing.assert_close(posterior.covariance, covariance, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_elbo_and_gap_add_up_to_the_evidence(seed):
    model, x, q = random_case(seed)
    posterior = model.posterior(x)
    gap = kl(q, posterior)
    assert gap.item() == pytest.approx(kl_divergence(as_torch(q), as_torch(posterior)).item(), rel=1e-9)
    assert (model.elbo(x, q) + gap).item() == pytest.approx(model.log_evidence(x).item(), abs=1e-9)
    # The mean log weight is the ELBO.
    weights = model.log_weights(x, q, torch.randn(40_000, 2, generator=generator(seed), dtype=torch.float64))
    error = weights.std().item() / 200
    assert weights.mean().item() == pytest.approx(model.elbo(x, q).item(), abs=4 * error)


def test_with_the_exact_posterior_every_weight_is_the_evidence():
    model, x, _ = random_case(0)
    weights = model.log_weights(x, model.posterior(x), normals(0, 200).view(-1, 2))
    torch.testing.assert_close(weights, model.log_evidence(x).expand(100))


def test_the_scalar_model():
    model, x = LinearModel(numbers([[2.0]]), 0.5), numbers([1.0])
    p = model.posterior(x)
    q = Normal(p.mean + 0.5 * p.root[0], 1.3 * p.root)
    assert model.log_evidence(x).item() == pytest.approx(-1.782088, abs=1e-6)
    assert kl(q, p).item() == pytest.approx(0.207636, abs=1e-6)
    assert model.elbo(x, q).item() == pytest.approx(-1.989724, abs=1e-6)
    assert model.log_evidence(x).item() - shortfall(q, p, 2) == pytest.approx(-1.855756, abs=1e-6)
    # And against the package's own estimate, with many images that are all the same.
    for k in (2, 20):
        bounds = vw.iwae(
            scalar_model(), x.view(1, 1, 1, 1).expand(20_000, 1, 1, 1), k, generator=generator(k)
        )
        exact = model.log_evidence(x).item() - shortfall(q, p, k)
        assert bounds.mean().item() == pytest.approx(exact, abs=4 * bounds.std().item() / 20_000**0.5)


@pytest.mark.parametrize(("theta", "gap"), [(0, 0), (45, 0.356883), (90, 0)])
def test_the_best_diagonal_q(theta, gap):
    p = turned(theta).posterior(numbers([1.0, 0.5]))
    best = best_diagonal(p)
    assert diagonal_gap(p).item() == pytest.approx(gap, abs=1e-6)
    least = kl(best, p)
    assert least.item() == pytest.approx(gap, abs=1e-6)
    for change in (-0.01, 0.01):
        for i in range(2):
            stretched = best.root.clone()
            stretched[i, i] *= 1 + change
            assert kl(best._replace(root=stretched), p) > least
            moved = best.mean.clone()
            moved[i] += change
            assert kl(best._replace(mean=moved), p) > least


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("k", [2, 30])
def test_the_quadrature_of_the_bound_meets_the_draws(seed, k):
    model, x, q = random_case(seed)
    p = model.posterior(x)
    weights = model.log_weights(
        x, q, torch.randn(30_000 * k, 2, generator=generator(seed), dtype=torch.float64)
    )
    value, error = estimate_bound(weights, k)
    exact = model.log_evidence(x).item() - shortfall(q, p, k)
    assert value == pytest.approx(exact, abs=4 * error)


def test_the_bound_climbs_to_the_evidence_and_not_beyond():
    model, x = turned(45), numbers([1.0, 0.5])
    p = model.posterior(x)
    q = Normal(p.mean, 1.6 * best_diagonal(p).root)  # wide enough for Var(w) to be finite
    missing = [shortfall(q, p, k) for k in (1, 2, 5, 20, 100, 500)]
    assert missing[0] == kl(q, p).item()
    assert missing == sorted(missing, reverse=True) and missing[-1] > 0
    # Burda et al. 2016: for large k the gap is Var(w)/2k, and E[w^2] is a Gaussian integral.
    ratio = 2 * torch.linalg.inv(p.covariance) - torch.linalg.inv(q.covariance)
    log_squares = torch.logdet(q.covariance) / 2 - torch.logdet(p.covariance) - torch.logdet(ratio) / 2
    assert missing[-1] == pytest.approx(math.expm1(log_squares) / 1000, rel=0.03)
    for k in (1, 7, 500):
        assert shortfall(p, p, k) == pytest.approx(0, abs=1e-5)


def test_estimates():
    weights = numbers([-1000.0, -1000 + math.log(3), -2, -2, 5])
    value, error = estimate_bound(weights, 2)
    assert value == pytest.approx((-1000 + math.log(2) - 2) / 2)
    assert error == pytest.approx(abs(-1000 + math.log(2) + 2) / 2)
    assert math.isnan(estimate_bound(weights, 5).error)
    with pytest.raises(ValueError, match="L_6 needs at least 6 draws; got 5"):
        estimate_bound(weights, 6)
    p = Normal(torch.zeros(3).double(), torch.eye(3).double())
    with pytest.raises(ValueError, match="1 or 2 latents; got k=2 and 3"):
        shortfall(p, p, 2)
    with pytest.raises(ValueError, match="k >= 1"):
        shortfall(turned(0).posterior(numbers([0, 0])), p, 0)


@pytest.mark.parametrize("beta", WATER_FILLING)
def test_water_filling(beta):
    bits = water_filling(numbers(EIGENVALUES), beta * NOISE) / math.log(2)
    assert bits.tolist() == pytest.approx([*WATER_FILLING[beta], 0, 0, 0], abs=5e-4)


def test_maximum_likelihood_drops_what_is_under_the_noise():
    variances = numbers(EIGENVALUES)
    best = (variances - NOISE).clamp(min=0)
    assert ppca_log_likelihood(variances, best, NOISE) == pytest.approx(PPCA_LOG_LIKELIHOOD, abs=1e-6)
    for i in range(6):
        for change in (-0.01, 0.01):
            other = best.clone()
            other[i] += change
            if other[i] >= 0:
                assert ppca_log_likelihood(variances, other, NOISE) < PPCA_LOG_LIKELIHOOD


def test_counted_noise():
    u, e = uniforms(7, 100_001), normals(7, 100_001)
    assert u.min() > 0 and u.max() < 1
    assert e.mean().item() == pytest.approx(0, abs=4 / 316)
    assert e.var().item() == pytest.approx(1, abs=4 * 2**0.5 / 316)
    assert (e[1:] * e[:-1]).mean().item() == pytest.approx(0, abs=4 / 316)
    assert e.abs().gt(3).double().mean().item() == pytest.approx(0.0027, abs=4 * 0.0027**0.5 / 316)
    assert torch.equal(normals(7, 10), e[:10]) and torch.equal(normals(7, 7), e[:7])
    assert not torch.isclose(normals(8, 1000), e[:1000]).any()
    assert len(normals(0, 0)) == 0
    with pytest.raises(ValueError, match="seed must be from 0"):
        uniforms(-1, 3)
    with pytest.raises(ValueError, match="count must be"):
        normals(0, -1)
