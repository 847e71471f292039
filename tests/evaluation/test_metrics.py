"""Measurements on held-out images."""

import math

import pytest
import torch
from oracles import LinearGaussian, generator, scalar_model

import vaewidgets as vw
from vaewidgets.evaluation.metrics import (
    Mean,
    active_units,
    encode_all,
    feature_distance,
    features_of,
    held_out_elbo,
    held_out_iwae,
    reconstruction_error,
    standard_error,
)
from vaewidgets.models import objectives


@pytest.mark.parametrize("batch_size", [1, 7, 100, 1000])
def test_the_batch_size_changes_no_value(trained, digits, batch_size):
    x = digits.test.images[:100]
    whole, parts = held_out_elbo(trained, x, batch_size=100), held_out_elbo(trained, x, batch_size=batch_size)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
    for a, b in zip(trained.encode(x), encode_all(trained, x, batch_size=batch_size), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_terms_are_those_of_elbo_kept_per_image(trained, digits):
    x = digits.test.images[:50]
    terms = held_out_elbo(trained, x, seed=3)
    epsilon = torch.randn(50, 2, generator=generator(3))
    for a, b in zip(terms, vw.elbo(trained, x, epsilon=epsilon), strict=True):
        torch.testing.assert_close(a, b)
    assert (terms.reconstruction.shape, terms.kl.shape, terms.total.shape) == ((50,), (50, 2), (50,))


def test_the_seed_is_the_only_noise_and_no_gradient_is_kept(digits):
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    x = digits.test.images[:50]
    before = torch.get_rng_state()
    a, b, c = (held_out_elbo(model, x, seed=seed).total for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)
    assert not a.requires_grad and not encode_all(model, x).mu.requires_grad


# Importance-weighted bound


@pytest.fixture
def linear():
    """A linear Gaussian model whose posterior is diagonal, so that q is exact, and seven of its images."""
    model = LinearGaussian(torch.diag(torch.tensor([2.0, 0.5])), 0.5)
    model.register_parameter("anchor", torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    return model, torch.randn(7, 1, 1, 2, generator=generator(), dtype=torch.float64)


@pytest.mark.parametrize("k", [1, 2, 50])
def test_with_the_exact_posterior_the_bound_is_the_evidence_whatever_the_noise(linear, k):
    model, x = linear
    for seed in (0, 1):
        torch.testing.assert_close(held_out_iwae(model, x, k, seed=seed), model.log_marginal(x))


def test_with_another_posterior_it_lies_below_and_rises_with_k():
    model = scalar_model()
    model.register_parameter("anchor", torch.nn.Parameter(torch.zeros(1, dtype=torch.float64)))
    x = torch.ones(4000, 1, 1, 1, dtype=torch.float64)
    for k, expected in [(1, -1.989724), (2, -1.855756)]:
        bounds = held_out_iwae(model, x, k)
        assert bounds.mean().item() == pytest.approx(expected, abs=4 * standard_error(bounds))
    assert -1.855756 < held_out_iwae(model, x, 200).mean().item() < -1.782088


def test_how_the_work_is_cut_changes_no_bound(trained, digits, monkeypatch):
    x = objectives.binarize(digits.test.images[:40], generator())
    whole = held_out_iwae(trained, x, 6000, seed=3)
    torch.testing.assert_close(held_out_iwae(trained, x[:23], 6000, seed=3), whole[:23])
    monkeypatch.setattr(objectives, "CHUNK_PIXELS", 64 * 1000)
    torch.testing.assert_close(held_out_iwae(trained, x, 6000, seed=3), whole)
    assert not torch.equal(held_out_iwae(trained, x, 6000, seed=4), whole)
    copies = held_out_iwae(trained, x[:1].expand(40, -1, -1, -1), 6000)
    assert len(copies.unique()) > 30, "pieces of the work share their noise"


def test_progress_counts_every_image_once(trained, digits):
    x = objectives.binarize(digits.test.images[:40], generator())
    told = []
    assert held_out_iwae(trained, x, 6000, progress=told.append).shape == (40,)
    assert sum(told) == 40 and len(told) > 1


def test_the_standard_error_of_a_mean():
    """Of 1, 2, 3, 4: deviation sqrt(5/3), over sqrt(4)."""
    assert standard_error(torch.tensor([1.0, 2, 3, 4])) == pytest.approx(math.sqrt(5 / 3) / 2)
    assert math.isnan(standard_error(torch.tensor([1.0])))


# Active units


def test_a_dimension_is_active_if_mu_varies_by_more_than_the_threshold():
    """Columns of +-a have variance a^2 N / (N - 1): 1.0, just above and just below 0.01, and 0."""
    signs = torch.tensor([1.0, -1.0] * 500, dtype=torch.float64)
    wanted = torch.tensor([1.0, 0.0101, 0.0099, 0.0], dtype=torch.float64)
    mu = signs[:, None] * (wanted * 999 / 1000).sqrt() + 5
    count, variance = active_units(mu)
    assert count == 2
    torch.testing.assert_close(variance, wanted)
    assert active_units(mu, threshold=0.5).count == 1
    assert active_units(mu, threshold=0.001).count == 3


def test_active_units_of_an_encoder_with_a_dead_dimension(trained, digits):
    mu = encode_all(trained, digits.test.images).mu
    assert active_units(mu).count == 2
    mu[:, 1] = 0.7
    assert active_units(mu).count == 1


# Reconstructions and features


def test_the_reconstruction_error_is_squared_and_per_pixel(trained, digits):
    x = digits.test.images[:30]
    wanted = ((trained.decode(trained.encode(x).mu) - x) ** 2).mean((1, 2, 3))
    torch.testing.assert_close(reconstruction_error(trained, x, batch_size=7), wanted)
    model = vw.Autoencoder(2, (1, 8, 8), hidden=(4,))
    torch.nn.init.zeros_(model.decoder[-2].weight)
    torch.nn.init.zeros_(model.decoder[-2].bias)
    assert torch.equal(reconstruction_error(model, torch.ones(3, 1, 8, 8)), torch.full((3,), 0.25))


def features(n: int, covariance, seed: int = 0) -> torch.Tensor:
    """Features of n images whose sample mean is 0 and whose sample covariance is exactly this."""
    covariance = torch.as_tensor(covariance, dtype=torch.float64)
    x = torch.randn(n, len(covariance), generator=generator(seed), dtype=torch.float64)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T


def test_the_feature_distance_of_gaussians_in_closed_form():
    """Covariances that commute: the sum of (mean difference)^2 and of (deviation difference)^2."""
    a, b = (
        features(50, torch.diag(torch.tensor([1.0, 4]))),
        features(70, torch.diag(torch.tensor([9.0, 4])), 1),
    )
    assert feature_distance(a, b) == pytest.approx(4)
    assert feature_distance(a + 3, b) == pytest.approx(4 + 2 * 9)
    assert feature_distance(a, b) == pytest.approx(feature_distance(b, a))
    assert feature_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_the_feature_distance_of_covariances_that_do_not_commute():
    """Of two 2 x 2 matrices, tr (C_a C_b)^(1/2) = sqrt(tr C_a C_b + 2 sqrt(det C_a C_b))."""
    one, two = torch.tensor([[2.0, 1], [1, 3]]), torch.tensor([[5.0, -2], [-2, 1]])
    product = one @ two
    root = (product.trace() + 2 * product.det().sqrt()).sqrt()
    wanted = (one.trace() + two.trace() - 2 * root).item()
    assert feature_distance(features(40, one), features(60, two, 1)) == pytest.approx(wanted, rel=1e-6)


def test_more_features_than_images_still_have_a_distance():
    x = torch.randn(5, 20, generator=generator())
    assert feature_distance(x, x + 1) == pytest.approx(20, rel=1e-4)


def test_features_are_what_the_last_layer_is_fed():
    judge = vw.Classifier((1, 8, 8), hidden=(4,), seed=0)
    x = torch.rand(9, 1, 8, 8, generator=generator())
    found = features_of(judge, x, batch_size=4)
    torch.testing.assert_close(judge.layers[-1](found), judge(x))


def test_a_mean_has_its_standard_error():
    assert Mean.of(torch.tensor([1.0, 2, 3, 4])) == (2.5, pytest.approx(math.sqrt(5 / 3) / 2))


# What they refuse


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _, x: held_out_iwae(vw.Autoencoder(2, (1, 8, 8), hidden=(4,)), x, 1), "Autoencoder has no q"),
        (lambda model, x: held_out_iwae(model, x, 0), "must be at least 1; got 0"),
        (lambda model, x: held_out_iwae(model, x, -1), "must be at least 1; got -1"),
        (lambda model, x: held_out_iwae(model, x, 2), "zeros and ones"),
        (lambda *_: active_units(torch.zeros(3)), "at least 2 images"),
        (lambda *_: active_units(torch.zeros(1, 2)), "at least 2 images"),
        (lambda *_: active_units(torch.tensor([[1.0], [math.nan]])), "at least 2 images"),
        (lambda *_: feature_distance(torch.randn(5, 3), torch.randn(5, 2)), "at least 2 images each"),
        (lambda *_: feature_distance(torch.randn(5, 3), torch.randn(1, 3)), "at least 2 images each"),
        (lambda *_: feature_distance(torch.randn(5, 3), torch.randn(3)), "at least 2 images each"),
        (lambda *_: feature_distance(torch.randn(5, 3), torch.full((5, 3), math.nan)), "finite"),
    ],
)
def test_what_is_refused(trained, digits, call, words):
    with pytest.raises(ValueError, match=words):
        call(trained, digits.test.images[:2])
