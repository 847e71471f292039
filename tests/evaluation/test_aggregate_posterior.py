"""The aggregate posterior against the prior: closed forms, and samples that can or cannot be told apart."""

import math

import pytest
import torch
from oracles import generator

from vaewidgets.evaluation.aggregate_posterior import elbo_surgery, two_sample_test

# ELBO surgery


def four():
    """Four posteriors N(m, .25^2), of which the parts of the mean KL are known by quadrature."""
    return torch.tensor([[-1.5], [-0.5], [0.5], [1.5]]), torch.full((4, 1), 2 * math.log(0.25))


def test_the_parts_of_four_posteriors():
    found = elbo_surgery(*four(), samples=20_000)
    assert found.mean_kl == pytest.approx(1.542544, abs=1e-6)
    for mean, wanted in [
        (found.information, 1.295654),
        (found.marginal_kl, 0.246891),
        (found.total, 1.542544),
    ]:
        assert 0 < mean.error < 0.004
        assert mean.value == pytest.approx(wanted, abs=4 * mean.error)
    assert found.ceiling == math.log(4)
    assert found.information.value + found.marginal_kl.value == pytest.approx(found.total.value)


def test_standard_errors_are_the_spread_over_seeds():
    found = [elbo_surgery(*four(), samples=500, seed=seed) for seed in range(100)]
    for part in ("information", "marginal_kl", "total"):
        values = torch.tensor([getattr(f, part).value for f in found])
        # The spread of 100 seeds is itself known to 7 %.
        assert getattr(found[0], part).error == pytest.approx(values.std().item(), rel=0.3)


def test_posteriors_that_all_are_the_prior_say_nothing():
    zero = torch.zeros(50, 3)
    found = elbo_surgery(zero, zero)
    for value in (found.information.value, found.marginal_kl.value, found.total.value, found.mean_kl):
        assert value == pytest.approx(0, abs=1e-9)


def test_posteriors_that_never_meet_say_which_image_it_was():
    """I(n; z) reaches ln N and no more."""
    mu = 50 * torch.arange(20.0)[:, None]
    found = elbo_surgery(mu, torch.full((20, 1), -4.0))
    # The squares of these distances are 2e7 nats, whose last digit is 4e-9.
    assert found.information.value == pytest.approx(math.log(20), abs=1e-7)
    assert found.ceiling == math.log(20)


def test_independent_dimensions_that_only_repeat_an_image_add_no_information():
    """Two dimensions of one code: the marginal KL takes what the information, at its ceiling, cannot."""
    mu, logvar = 50 * torch.arange(20.0)[:, None], torch.full((20, 1), -4.0)
    one, two = elbo_surgery(mu, logvar), elbo_surgery(mu.repeat(1, 2), logvar.repeat(1, 2))
    assert two.mean_kl == pytest.approx(2 * one.mean_kl)
    assert two.information.value == pytest.approx(one.information.value, abs=1e-7)


def test_narrow_posteriors_far_out_lose_no_digits():
    """z^2 / sigma^2 is 1e8 here, and what is left of the difference is of order 1."""
    mu, logvar = torch.tensor([[100.0], [100.02]]), torch.full((2, 1), 2 * math.log(0.01))
    found = elbo_surgery(mu, logvar, samples=2000)
    shifted = elbo_surgery(mu - 100, logvar, samples=2000)
    assert found.information.value == pytest.approx(shifted.information.value, abs=1e-3)


@pytest.mark.parametrize("pairs", [1, 9, 10**9])
def test_how_the_pairs_are_cut_changes_nothing(pairs, monkeypatch):
    whole = elbo_surgery(*four(), samples=50)
    monkeypatch.setattr("vaewidgets.evaluation.aggregate_posterior._PAIRS", pairs)
    assert elbo_surgery(*four(), samples=50).information.value == pytest.approx(whole.information.value)


# Classifier two-sample test


def test_two_samples_of_one_distribution_are_told_apart_by_chance():
    g = generator()
    rate = two_sample_test(torch.randn(3000, 2, generator=g), torch.randn(3000, 2, generator=g))
    assert rate.n == 3000 and rate.low < 0.5 < rate.high


def test_shifted_normals_are_told_apart_as_often_as_theory_says():
    """At distance 2 the best rule is right with chance Phi(1) = .841."""
    g = generator()
    a, b = torch.randn(2, 5000, 2, generator=g)
    rate = two_sample_test(a, b + torch.tensor([2.0, 0]))
    best = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    assert best - 0.03 < rate.share < best + 0.015


def test_a_hole_in_the_middle_is_seen_though_mean_and_variance_agree():
    """A ring of the variance of a normal: no mean and no covariance tells, the classifier does."""
    g = generator()
    ring = torch.randn(4000, 2, generator=g)
    ring = math.sqrt(2) * ring / ring.norm(dim=1, keepdim=True) + 0.1 * torch.randn(4000, 2, generator=g)
    assert two_sample_test(ring, torch.randn(4000, 2, generator=g)).low > 0.8


# What they refuse


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda mu, logvar: elbo_surgery(mu, logvar[:3]), "must both be"),
        (lambda mu, logvar: elbo_surgery(mu, logvar, samples=1), "at least 2 for a standard error; got 1"),
        (lambda mu, logvar: elbo_surgery(mu, logvar * math.nan), "finite"),
        (lambda *_: two_sample_test(torch.zeros(39, 2), torch.zeros(39, 2)), "at least 40 each"),
        (lambda *_: two_sample_test(torch.zeros(50, 2), torch.zeros(60, 2)), "equally many"),
        (lambda *_: two_sample_test(torch.zeros(50, 2), torch.full((50, 2), math.nan)), "finite"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(*four())
