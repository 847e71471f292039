"""KL, ELBO and IWAE against closed forms, quadrature and each other, in nats per image."""

import itertools
import math

import pytest
import torch
from oracles import (
    LinearGaussian,
    exact_elbo,
    generator,
    log_evidence,
    normal_quadrature,
    scalar_model,
    turn,
)

import vaewidgets as vw
from vaewidgets.evaluation.metrics import held_out_elbo
from vaewidgets.models import objectives

ONE = torch.ones(1, 1, 1, 1, dtype=torch.float64)

KL_TABLE = [
    (1, 1, 0.5),
    (2, 1, 2),
    (0, 0.5, 0.318147),
    (0, 0.1, 1.807585),
    (1, 0.5, 0.818147),
    (0, 2, 0.806853),
]


def column(value):
    return torch.as_tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("m, s, expected", KL_TABLE)
def test_kl_of_a_gaussian(m, s, expected):
    assert objectives.kl(column(m), column(s).log() * 2).item() == pytest.approx(expected, abs=1e-6)


def test_kl_is_that_of_torch():
    mu, logvar = 3 * torch.randn(2, 1000, generator=generator(), dtype=torch.float64)
    q, p = torch.distributions.Normal(mu, (logvar / 2).exp()), torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(objectives.kl(mu, logvar), torch.distributions.kl_divergence(q, p))


def test_kl_has_the_gradients_of_the_closed_form():
    mu, logvar = (3 * torch.randn(2, 1000, generator=generator(), dtype=torch.float64)).unbind()
    mu.requires_grad_(), logvar.requires_grad_()
    objectives.kl(mu, logvar).sum().backward()
    torch.testing.assert_close(mu.grad, mu.detach())
    torch.testing.assert_close(logvar.grad, torch.expm1(logvar.detach()) / 2)


def test_kl_keeps_its_digits_where_the_posterior_nearly_is_the_prior():
    """For small logvar the KL is logvar^2 / 4: naive float32 returns 0, or less."""
    logvar = torch.tensor([1e-3, -1e-3, 1e-2, -1e-2])
    torch.testing.assert_close(objectives.kl(torch.zeros(4), logvar), logvar**2 / 4, rtol=5e-3, atol=0)


def test_mean_kl_of_the_surgery_example():
    """Four posteriors N(m, 1/16), m = -1.5, -.5, .5, 1.5 (Hoffman & Johnson 2016): 1.295654 + .246891."""
    q = vw.Posterior(column([[-1.5], [-0.5], [0.5], [1.5]]), torch.full((4, 1), math.log(1 / 16)).double())
    assert q.kl().mean().item() == pytest.approx(1.542544, abs=1e-6)


class TestScalarModel:
    """p(z) = N(0, 1), x|z ~ N(2z, 1/2), x = 1; q = N(mean + 0.5 sd, (1.3 sd)^2) of the posterior's."""

    log_p = -1.782088

    def test_the_exact_posterior(self):
        q = scalar_model(0, 1).encode(ONE)
        assert q.mu.item() == pytest.approx(0.444444, abs=1e-6)
        assert q.sigma.item() ** 2 == pytest.approx(0.111111, abs=1e-6)

    def test_with_the_exact_posterior_every_weight_is_the_evidence(self):
        values = [vw.iwae(scalar_model(0, 1), ONE, k, generator=generator(k)).item() for k in (1, 1, 2, 50)]
        assert values == pytest.approx([self.log_p] * 4, abs=1e-6)

    def test_elbo(self):
        """By quadrature through the frozen noise: -1.989724, which is log p - KL(q || posterior)."""
        epsilon, weights = normal_quadrature(40)
        terms = vw.elbo(scalar_model(), ONE.expand(40, -1, -1, -1), epsilon=epsilon[:, None])
        assert (weights * terms.total).sum().item() == pytest.approx(-1.989724, abs=1e-6)
        assert self.log_p - (weights * terms.total).sum().item() == pytest.approx(0.207636, abs=1e-6)

    def test_iwae_of_one_and_of_two_samples(self, monkeypatch):
        """By quadrature over the noise of both samples: IWAE_1 is the ELBO, IWAE_2 = -1.855756."""
        nodes, weights = normal_quadrature(80)
        for k, expected in [(1, -1.989724), (2, -1.855756)]:
            pairs = torch.cartesian_prod(*[nodes] * k).view(-1, k, 1)
            chances = torch.stack([w.prod() for w in torch.cartesian_prod(*[weights] * k).view(-1, k)])
            draws = iter(pairs)
            monkeypatch.setattr(objectives, "_noise", lambda like, k, generator, draws=draws: next(draws))
            bounds = vw.iwae(scalar_model(), ONE.expand(len(pairs), -1, -1, -1), k)
            assert (chances * bounds).sum().item() == pytest.approx(expected, abs=1e-6)

    def test_sampled_bounds_agree_with_the_exact_ones(self):
        n = 40_000
        x = ONE.expand(n, -1, -1, -1)
        for bound, expected in [
            (vw.elbo(scalar_model(), x, generator=generator()).total, -1.989724),
            (vw.iwae(scalar_model(), x, 1, generator=generator(1)), -1.989724),
            (vw.iwae(scalar_model(), x, 2, generator=generator(2)), -1.855756),
        ]:
            assert bound.mean().item() == pytest.approx(expected, abs=4 * bound.std().item() / math.sqrt(n))

    def test_the_mean_weight_is_the_evidence(self):
        w = vw.iwae(scalar_model(), ONE.expand(40_000, -1, -1, -1), 1, generator=generator()).exp()
        standard_error = w.std().item() / math.sqrt(len(w))
        assert w.mean().item() == pytest.approx(math.exp(self.log_p), abs=4 * standard_error)

    def test_the_gap_shrinks_like_the_variance_of_the_weight(self):
        """log p - IWAE_k is Var(w / p) / 2k, and what the delta method adds at order 1 / k^2.

        The mean weight, known to be p, is the control variate that makes the small gap visible.
        """
        epsilon, chances = normal_quadrature(100)
        terms = vw.elbo(scalar_model(), ONE.expand(100, -1, -1, -1), epsilon=epsilon[:, None])
        q = scalar_model().encode(ONE)
        z = (q.mu + q.sigma * epsilon[:, None])[:, 0]
        log_w = terms.reconstruction - z**2 / 2 + epsilon**2 / 2 + q.sigma.log().item()
        w = (log_w - self.log_p).exp()
        assert (chances * w).sum().item() == pytest.approx(1, abs=1e-4)
        variance, skew = ((chances * (w - 1) ** power).sum().item() for power in (2, 3))
        k, n = 64, 10_000
        log_ratio = vw.iwae(scalar_model(), ONE.expand(n, -1, -1, -1), k, generator=generator()) - self.log_p
        gaps = log_ratio.expm1() - log_ratio
        gap = variance / (2 * k) + (0.75 * variance**2 - skew / 3) / k**2
        assert gap == pytest.approx(variance / (2 * k), rel=0.02)
        assert gaps.mean().item() == pytest.approx(gap, abs=4 * gaps.std().item() / math.sqrt(n))
        assert gaps.std().item() / math.sqrt(n) < 0.02 * gap, "too few samples to see the gap"


def test_the_gap_of_a_diagonal_posterior():
    """W = diag(2, .5) R(theta), sigma^2 = 1/2: no gap at 0 degrees, .356883 at 45."""
    x = torch.randn(5, 1, 1, 2, generator=generator(), dtype=torch.float64)
    for degrees, expected in [(0, 0.0), (45, 0.356883)]:
        model = LinearGaussian(column([2.0, 0.5]).diag() @ turn(degrees), 0.5)
        gap = model.log_marginal(x) - exact_elbo(model, x)
        torch.testing.assert_close(gap, torch.full_like(gap, expected), rtol=0, atol=1e-6)


def test_the_gap_of_a_diagonal_posterior_for_any_weights():
    """The best diagonal q is short by (sum ln L_ii - ln |L|) / 2, L = (W'W + s^2 I) / s^2, for every x."""
    x = torch.randn(5, 1, 1, 4, generator=generator(), dtype=torch.float64)
    for seed in range(5):
        model = LinearGaussian(torch.randn(4, 3, generator=generator(seed)), 0.3)
        expected = (model.precision.diagonal().log().sum() - torch.logdet(model.precision)) / 2
        gap = model.log_marginal(x) - exact_elbo(model, x)
        assert expected > 0.1
        torch.testing.assert_close(gap, expected.expand(5), rtol=1e-6, atol=0)


def test_bounds_are_ordered_below_the_evidence(trained, digits):
    """ELBO = IWAE_1 < IWAE_5 < IWAE_50 < log p by quadrature, each by more than its sampling error."""
    x = objectives.binarize(digits.test.images[:40], generator())

    def estimate(bound, repeats):
        samples = torch.stack([bound(i) for i in range(repeats)]).double()
        # The images are given: only the noise of the draws is an error.
        return samples.mean().item(), (samples.var(0).sum() / repeats).sqrt().item() / len(x)

    elbo, elbo_error = estimate(lambda i: held_out_elbo(trained, x, seed=i).total, 400)
    bounds = [
        estimate(lambda i, k=k: vw.iwae(trained, x, k, generator=generator(i)), repeats)
        for k, repeats in [(1, 400), (5, 200), (50, 100)]
    ]
    evidence = log_evidence(trained, x).double().mean().item()
    assert bounds[0][0] == pytest.approx(elbo, abs=4 * math.hypot(bounds[0][1], elbo_error))
    for (low, low_error), (high, high_error) in itertools.pairwise([*bounds, (evidence, 0.0)]):
        assert high - low > 4 * math.hypot(low_error, high_error)
    assert evidence - bounds[-1][0] < 0.2 * (evidence - elbo), "fifty samples close most of the gap"


def test_total_is_reconstruction_minus_beta_times_the_summed_kl(trained, digits):
    for beta in (0.0, 1.0, 4.0):
        terms = vw.elbo(trained, digits.test.images[:9], beta=beta, generator=generator())
        assert (terms.reconstruction.shape, terms.kl.shape, terms.total.shape) == ((9,), (9, 2), (9,))
        torch.testing.assert_close(
            terms.total, terms.reconstruction - beta * (terms.kl[:, 0] + terms.kl[:, 1])
        )


def test_noise_comes_from_the_generator_alone(trained, digits):
    x = digits.test.images[:5].round()
    before = torch.get_rng_state()
    for bound in (
        lambda g: vw.elbo(trained, x, generator=g).total,
        lambda g: vw.iwae(trained, x, 3, generator=g),
        lambda g: objectives.binarize(digits.test.images[:5], g),
    ):
        assert torch.equal(bound(generator(1)), bound(generator(1)))
        assert not torch.equal(bound(generator(1)), bound(generator(2)))
    assert torch.equal(torch.get_rng_state(), before)


# Symmetries


@pytest.fixture
def batch():
    """Eight binary images, a model of three latents and one draw of noise for each image."""
    x = objectives.binarize(torch.rand(8, 1, 4, 4, generator=generator()), generator())
    model = vw.VAE(3, (1, 4, 4), hidden=(16,), seed=0).requires_grad_(False)
    return model, x, torch.randn(8, 3, generator=generator(1))


def test_the_terms_of_an_image_are_those_it_has_alone(batch):
    model, x, epsilon = batch
    alone = [vw.elbo(model, x[i : i + 1], epsilon=epsilon[i : i + 1]) for i in range(8)]
    for term, parts in zip(vw.elbo(model, x, epsilon=epsilon), zip(*alone, strict=True), strict=True):
        torch.testing.assert_close(term, torch.cat(parts))


def test_the_bound_that_is_trained_is_the_one_that_is_measured(batch):
    model, x, _ = batch
    noise = generator(4)  # iwae draws a block for each image
    epsilon = torch.stack([torch.randn(7, 3, generator=noise) for _ in x], 1)
    terms = objectives.importance_weighted(model, x, 7, epsilon=epsilon)
    torch.testing.assert_close(terms.total, vw.iwae(model, x, 7, generator=generator(4)))
    ones = [vw.elbo(model, x, epsilon=e) for e in epsilon]
    torch.testing.assert_close(terms.reconstruction, sum(one.reconstruction for one in ones) / 7)
    assert torch.equal(terms.kl, ones[0].kl)


def test_permuting_the_latents_changes_nothing(batch):
    model, x, epsilon = batch
    order = torch.tensor([2, 0, 1])
    other = vw.VAE(3, (1, 4, 4), hidden=(16,), seed=0).requires_grad_(False)
    for head in (other.mu, other.logvar):
        head.weight.copy_(head.weight[order].clone())
        head.bias.copy_(head.bias[order].clone())
    other.decoder[0].weight.copy_(other.decoder[0].weight[:, order].clone())
    a, b = vw.elbo(model, x, epsilon=epsilon), vw.elbo(other, x, epsilon=epsilon[:, order])
    torch.testing.assert_close(a.total, b.total)
    torch.testing.assert_close(a.kl[:, order], b.kl)


@pytest.mark.parametrize("chunk", [1, 16, 100, 10_000])
def test_the_chunk_size_changes_no_value_and_bounds_what_is_decoded(batch, monkeypatch, chunk):
    model, x, _ = batch
    whole = vw.iwae(model, x, 7, generator=generator())
    decoded = []
    monkeypatch.setattr(objectives, "CHUNK_PIXELS", chunk)
    decode = model.decode_parameters
    monkeypatch.setattr(
        model, "decode_parameters", lambda z: decoded.append(z.shape[:-1].numel() * 16) or decode(z)
    )
    torch.testing.assert_close(vw.iwae(model, x, 7, generator=generator()), whole)
    assert max(decoded) <= max(chunk, 16)
    assert sum(decoded) == 7 * x.numel()


def test_no_images_give_no_bounds(batch):
    model, x, _ = batch
    assert vw.iwae(model, x[:0], 5).shape == (0,)
    assert vw.elbo(model, x[:0]).total.shape == (0,)


def test_iwae_can_be_trained_through():
    """With q half a deviation off its mean, d ELBO / d mean is -(1/2) / sd = -1.5; IWAE_1 agrees."""
    model = scalar_model()
    model.offset = torch.tensor(0.5 / 3, dtype=torch.float64, requires_grad=True)
    x, n = ONE.expand(20_000, -1, -1, -1), 20_000
    # Per sample the sampled KL gives (0.5 + 1.3 epsilon) / sd, the exact one a little less noise.
    for bound in (
        vw.elbo(model, x, generator=generator()).total,
        vw.iwae(model, x, 1, generator=generator(1)),
    ):
        (gradient,) = torch.autograd.grad(bound.mean(), model.offset)
        assert gradient.item() == pytest.approx(-1.5, abs=4 * 1.3 * 3 / math.sqrt(n))


def test_greys_are_refused_where_they_are_no_density(trained, digits):
    greys = digits.test.images[:4]
    with pytest.raises(ValueError, match=r"zeros and ones.*Binarise once: vw\.objectives\.binarize"):
        vw.iwae(trained, greys, 2)
    assert vw.iwae(trained, greys, 1).shape == (4,)
    for name in ("continuous-bernoulli", "gaussian"):
        model = vw.VAE(2, (1, 8, 8), hidden=(4,), likelihood=name)
        assert vw.iwae(model, greys, 2).shape == (4,)


@pytest.mark.parametrize("k", [0, -1])
def test_k_counts_samples(trained, digits, k):
    with pytest.raises(ValueError, match=f"must be at least 1; got {k}"):
        vw.iwae(trained, digits.test.images[:1], k)


def test_binarize_draws_each_pixel_with_its_own_chance():
    x = torch.tensor([0.0, 0.2, 0.7, 1.0]).view(1, 1, 2, 2)
    b = objectives.binarize(x.expand(50_000, -1, -1, -1), generator())
    assert ((b == 0) | (b == 1)).all()
    error = 4 * (x * (1 - x) / 50_000).sqrt()
    assert ((b.mean(0) - x[0]).abs() <= error[0]).all()
