"""What the decoder's output means, held against torch.distributions and integrals."""

import itertools
import math

import pytest
import torch
from oracles import generator, gradients

import vaewidgets as vw
from vaewidgets.models.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, make_likelihood


def pixels(*shape, scale=1.0, seed=0):
    return scale * torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def one_pixel(value):
    return torch.as_tensor(value, dtype=torch.float64).view(-1, 1, 1, 1)


def test_bernoulli_is_that_of_torch_on_zeros_and_ones():
    logits = pixels(4, 3, 2, 5, scale=5)
    x = torch.bernoulli(torch.full((4, 3, 2, 5), 0.4, dtype=torch.float64), generator=generator())
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(Bernoulli().log_prob(x, logits), expected)
    torch.testing.assert_close(Bernoulli().mean(logits), torch.sigmoid(logits))


def test_bernoulli_on_greys_is_the_expectation_over_binarised_targets():
    logits, x = pixels(1, 1, 2, 2, scale=2), torch.tensor([0.1, 0.5, 0.9, 1.0]).double().view(1, 1, 2, 2)
    expectation = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=4):
        b = torch.tensor(bits, dtype=torch.float64).view(1, 1, 2, 2)
        chance = (x**b * (1 - x) ** (1 - b)).prod()
        expectation += chance * Bernoulli().log_prob(b, logits)
    torch.testing.assert_close(Bernoulli().log_prob(x, logits), expectation)


@pytest.mark.parametrize("likelihood", [Bernoulli(), ContinuousBernoulli()])
@pytest.mark.parametrize("logit", [-1e4, -100.0, 0.0, 100.0, 1e4])
def test_extreme_logits_stay_finite_with_finite_gradients(likelihood, logit):
    for x in (0.0, 0.5, 1.0):
        logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
        value = likelihood.log_prob(torch.full((1, 1, 1, 1), x), logits)
        (value + likelihood.mean(logits).sum()).backward()
        assert value.isfinite().all() and logits.grad.isfinite().all()
        assert 0 <= likelihood.mean(logits).item() <= 1


def test_continuous_bernoulli_at_one_half_and_nine_tenths():
    """C(1/2) = 2, and the mean at lambda = .9 is 0.669880: the parameter is not the mean."""
    logits = torch.logit(torch.tensor([0.5, 0.9], dtype=torch.float64))
    assert ContinuousBernoulli.log_normalizer(logits).exp()[0].item() == pytest.approx(2, rel=1e-12)
    mean = ContinuousBernoulli().mean(logits)
    assert mean[0].item() == pytest.approx(0.5, abs=1e-12)
    assert mean[1].item() == pytest.approx(0.669880, abs=1e-6)


# 0.3 is where the Taylor series takes over.
LOGITS = [-30.0, -4.0, -0.31, -0.3, -0.29, -1e-3, 0.0, 1e-8, 0.05, 0.299999, 0.300001, 1.0, 12.0]


def test_continuous_bernoulli_is_that_of_torch():
    logits = one_pixel(LOGITS)
    x = torch.rand(logits.shape, generator=generator(), dtype=torch.float64)
    other = torch.distributions.ContinuousBernoulli(logits=logits)
    # torch clamps its probabilities and has a shorter series near 1/2: it is good to about 1e-8.
    torch.testing.assert_close(
        ContinuousBernoulli().log_prob(x, logits), other.log_prob(x).sum((1, 2, 3)), rtol=0, atol=1e-7
    )
    torch.testing.assert_close(ContinuousBernoulli().mean(logits), other.mean, rtol=0, atol=1e-7)


@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_is_a_density_with_that_mean(logit):
    x = torch.linspace(0, 1, 100_001, dtype=torch.float64)
    density = ContinuousBernoulli().log_prob(x.view(-1, 1, 1, 1), one_pixel(logit)).exp()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-7)
    mean = ContinuousBernoulli().mean(one_pixel(logit)).item()
    assert torch.trapezoid(x * density, x).item() == pytest.approx(mean, abs=1e-7)


def test_continuous_bernoulli_gradient_vanishes_where_x_is_the_mean():
    """An exponential family: d log p / d logit = x - mean, across the join with the series too."""
    logits = one_pixel(LOGITS).requires_grad_()
    ContinuousBernoulli().log_prob(one_pixel(0.3), logits).sum().backward()
    torch.testing.assert_close(0.3 - logits.grad, ContinuousBernoulli().mean(logits), rtol=0, atol=2e-8)


def test_continuous_bernoulli_in_float32_is_accurate_everywhere():
    logits = torch.linspace(-20, 20, 4001)
    for f in (ContinuousBernoulli.log_normalizer, ContinuousBernoulli().mean):
        torch.testing.assert_close(f(logits).double(), f(logits.double()), rtol=0, atol=2e-6)


def test_gaussian_is_that_of_torch():
    x, mean = pixels(4, 3, 2, 5), pixels(4, 3, 2, 5, seed=1)
    expected = torch.distributions.Normal(mean, 0.3).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(Gaussian(0.3).double().log_prob(x, mean), expected, rtol=1e-6, atol=1e-6)
    assert torch.equal(Gaussian(0.3).mean(mean), mean)


@pytest.mark.parametrize("name", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_leading_axes_broadcast_so_that_k_samples_score_one_batch(name):
    likelihood = make_likelihood(name)
    x, parameters = torch.rand(3, 1, 2, 2), torch.randn(5, 3, 1, 2, 2, generator=generator())
    score = likelihood.log_prob(x, parameters)
    assert score.shape == (5, 3)
    torch.testing.assert_close(score[4], likelihood.log_prob(x, parameters[4]))


def test_the_best_shared_sigma_is_the_root_of_the_mean_squared_error():
    x, mean = pixels(50, 1, 4, 4), pixels(50, 1, 4, 4, seed=1)
    mse = ((x - mean) ** 2).mean()
    likelihood = Gaussian("learned").double()
    likelihood.log_sigma.data.copy_(0.5 * mse.log())
    likelihood.log_prob(x, mean).mean().backward()
    assert likelihood.log_sigma.grad.item() == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("weight", [0.01, 0.3, 2.0])
def test_mean_squared_error_plus_weighted_kl_means_a_sigma(weight):
    """w * KL + MSE trains like a Gaussian of sigma^2 = w D / 2; sum of squares + KL like sigma^2 = 1/2."""
    size = 12
    x, epsilon = torch.rand(5, 1, 3, 4, generator=generator()), torch.randn(5, 2, generator=generator(1))
    for variance, kl_weight, square_weight in [(weight * size / 2, weight, 1 / size), (0.5, 1.0, 1.0)]:
        model = vw.VAE(2, (1, 3, 4), hidden=(8,), likelihood="gaussian", sigma=math.sqrt(variance), seed=0)
        q = model.encode(x)
        squares = (model.decode(q.sample(epsilon=epsilon)) - x).pow(2).sum((1, 2, 3))
        folklore = (square_weight * squares + kl_weight * q.kl().sum(1)).mean()
        ours = -vw.elbo(model, x, epsilon=epsilon).total.mean()
        torch.testing.assert_close(
            gradients(folklore, model), kl_weight * gradients(ours, model), rtol=1e-4, atol=1e-6
        )


def test_a_learned_sigma_is_a_parameter_and_a_given_one_is_not():
    assert [name for name, _ in Gaussian("learned").named_parameters()] == ["log_sigma"]
    for sigma in (0.3, "optimal"):
        assert not list(Gaussian(sigma).parameters())
    assert Gaussian(0.3).sigma.item() == pytest.approx(0.3)
