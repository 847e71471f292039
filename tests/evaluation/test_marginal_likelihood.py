"""Log p(x) by quadrature: closed forms of linear models, the slow quadrature of the tests, and the ladder."""

import math

import pytest
import torch
from oracles import LinearGaussian, generator
from oracles import log_evidence as slow_evidence

import vaewidgets as vw
from vaewidgets.evaluation import marginal_likelihood
from vaewidgets.evaluation.marginal_likelihood import ladder, log_evidence, log_joint
from vaewidgets.models.objectives import binarize


def images(n: int, pixels: int = 3) -> torch.Tensor:
    return torch.randn(n, 1, 1, pixels, generator=generator(), dtype=torch.float64)


@pytest.mark.parametrize("variance", [0.5, 1e-2, 1e-4])
def test_linear_models_have_their_evidence(variance):
    """Posteriors of a deviation from .3 to .004, turned against the axes; the first grid's step is .125."""
    model = LinearGaussian([[2.0, 0.5], [0.3, 1.5], [-1.0, 1.0]], variance)
    x = model.decode_parameters(torch.randn(9, 2, generator=generator(), dtype=torch.float64))
    x = x + variance**0.5 * images(9)
    torch.testing.assert_close(log_evidence(model, x), model.log_marginal(x), atol=1e-3, rtol=0)


def test_a_long_narrow_posterior():
    """Ten times as long as wide: one pixel pins z1 + z2, hardly anything pins z1 - z2."""
    model = LinearGaussian([[1.0, 1.0], [0.05, -0.05], [0.0, 0.0]], 1e-3)
    x = model.decode_parameters(torch.randn(5, 2, generator=generator(), dtype=torch.float64))
    torch.testing.assert_close(log_evidence(model, x), model.log_marginal(x), atol=1e-3, rtol=0)


def test_an_encoder_that_is_wrong_changes_nothing():
    w = [[2.0, 0.0], [0.0, 0.5]]
    right, wrong = LinearGaussian(w, 0.5), LinearGaussian(w, 0.5, offset=2.0, q_variance=[1e-3, 9.0])
    x = images(4, 2)
    assert torch.equal(log_evidence(right, x), log_evidence(wrong, x))


def test_a_posterior_outside_the_square_widens_it():
    model = LinearGaussian([[1.0, 0.0], [0.0, 1.0]], 1e-2)
    x = torch.tensor([[[[8.0, -1.0]]]], dtype=torch.float64)
    torch.testing.assert_close(log_evidence(model, x), model.log_marginal(x), atol=1e-3, rtol=0)
    with pytest.raises(ValueError, match="from the origin along one dimension, out of reach"):
        log_evidence(model, x * 2.5)


def test_two_modes_are_both_counted():
    """A decoder that sees |z1| only: the same mass on both sides, so twice that of one."""

    class Even(LinearGaussian):
        def decode_parameters(self, z):
            return super().decode_parameters(torch.stack([z[..., 0].abs(), z[..., 1]], -1))

    one, two = (kind(torch.eye(2), 1e-2) for kind in (LinearGaussian, Even))
    x = torch.tensor([[[[1.5, 0.3]]]], dtype=torch.float64)
    torch.testing.assert_close(log_evidence(two, x), log_evidence(one, x) + math.log(2), atol=1e-3, rtol=0)


def test_a_trained_model_on_zeros_and_ones_agrees_with_the_slow_quadrature(trained, digits):
    x = binarize(digits.test.images[:6], generator())
    found = log_evidence(trained, x)
    torch.testing.assert_close(found, slow_evidence(trained, x).double(), atol=0.01, rtol=0)
    for order in (torch.arange(5, -1, -1), torch.arange(3)):
        torch.testing.assert_close(log_evidence(trained, x[order]), found[order], atol=1e-4, rtol=0)


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_the_joint_is_that_of_the_likelihood_and_the_prior(likelihood):
    model = vw.VAE(2, (1, 4, 4), hidden=(8,), likelihood=likelihood, seed=0).double().requires_grad_(False)
    x = torch.rand(5, 1, 4, 4, generator=generator(), dtype=torch.float64)
    z = torch.randn(7, 2, generator=generator(1), dtype=torch.float64)
    prior = torch.distributions.Normal(0, 1).log_prob(z).sum(1)
    wanted = model.likelihood.log_prob(x[:, None], model.decode_parameters(z)) + prior
    torch.testing.assert_close(log_joint(model, x, z), wanted)


def test_how_the_grid_is_cut_changes_nothing(trained, digits, monkeypatch):
    x = binarize(digits.test.images[:3], generator())
    whole = log_evidence(trained, x)
    monkeypatch.setattr(marginal_likelihood, "_CHUNK", 100)
    torch.testing.assert_close(log_evidence(trained, x), whole, atol=1e-4, rtol=0)


def test_one_small_change_is_not_believed(monkeypatch):
    """Of 200 images under a shipped model one had two equal sums by chance: the moved grid must agree too."""
    model, x = LinearGaussian([[2.0, 0.0], [0.0, 2.0]], 0.5), images(1, 2)
    grids, wrong = [], set()

    def counted(model, x, z):
        grids.append(z)
        return log_joint(model, x, z) + (len(grids) in wrong)

    monkeypatch.setattr(marginal_likelihood, "log_joint", counted)
    found = log_evidence(model, x)
    assert len(grids) == 3, "the first grid, the halved one, and that one moved"
    moved = grids[2] - grids[1]
    assert (moved == marginal_likelihood._STEP / 4).all()
    grids.clear()
    wrong.add(3)
    torch.testing.assert_close(log_evidence(model, x), found, atol=1e-3, rtol=0)
    assert len(grids) == 5


# The ladder


def test_the_ladder_of_a_linear_model_rises_to_its_evidence():
    model = LinearGaussian([[2.0, 0.0], [0.0, 0.5]], 0.5, offset=0.15, q_variance=[0.15, 0.9])
    x = images(1, 2)
    rungs = ladder(model_with_prior(model), x, repeats=400)
    assert [r.name for r in rungs] == ["ELBO", "IWAE_5", "IWAE_50", "log p(x)"]
    assert rungs[-1].value == pytest.approx(model.log_marginal(x).item(), abs=1e-3)
    assert rungs[-1].error == 0 and all(r.error > 0 for r in rungs[:-1])
    for low, high in zip(rungs, rungs[1:], strict=False):
        assert low.value < high.value + 4 * math.hypot(low.error, high.error)
    assert rungs[0].value < rungs[-1].value - 4 * rungs[0].error
    posterior = torch.distributions.MultivariateNormal(
        *(model.v @ x.flatten(), torch.linalg.inv(model.precision))
    )
    q = model.encode(x)
    gap = torch.distributions.kl_divergence(
        torch.distributions.MultivariateNormal(q.mu[0], torch.diag(q.sigma[0] ** 2)), posterior
    )
    assert rungs[-1].value - rungs[0].value == pytest.approx(gap.item(), abs=4 * rungs[0].error)


def model_with_prior(model):
    model.has_prior = True
    return model


def test_errors_are_the_spread_of_the_mean_and_the_seed_is_the_only_noise(digits):
    model = vw.VAE(3, (1, 8, 8), hidden=(8,), seed=0).requires_grad_(False)
    x = binarize(digits.test.images[:1], generator())
    one, same, other = (ladder(model, x, (1, 5), repeats=100, seed=seed) for seed in (0, 0, 1))
    assert one == same and one != other
    found = [ladder(model, x, (1,), repeats=50, seed=seed)[0] for seed in range(200)]
    spread = torch.tensor([rung.value for rung in found]).std().item()
    # The spread of 200 seeds is itself known to 5 %.
    assert torch.tensor([rung.error for rung in found]).mean().item() == pytest.approx(spread, rel=0.2)


def test_more_dimensions_have_no_quadrature_and_a_ladder_without_its_top(digits):
    model = vw.VAE(3, (1, 8, 8), hidden=(8,), seed=0).requires_grad_(False)
    x = binarize(digits.test.images[:1], generator())
    assert [r.name for r in ladder(model, x, (1, 5), repeats=3)] == ["ELBO", "IWAE_5"]


# What they refuse


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model, x: log_evidence(model, x / 2), "zeros and ones"),
        (lambda model, x: ladder(model, x[:1] / 2), "zeros and ones"),
        (lambda _, x: log_evidence(vw.VAE(3, (1, 8, 8), hidden=(8,)), x), "this model has latent_dim=3"),
        (lambda _, x: ladder(vw.Autoencoder(2, (1, 8, 8), hidden=(4,)), x[:1]), "bounds nothing"),
        (ladder, "one image"),
        (lambda model, x: ladder(model, x[:1], ()), "at least one k and 2 repeats"),
        (lambda model, x: ladder(model, x[:1], repeats=1), "at least one k and 2 repeats"),
    ],
)
def test_what_is_refused(trained, digits, call, words):
    with pytest.raises(ValueError, match=words):
        call(trained, binarize(digits.test.images[:2], generator()))


def test_a_posterior_that_no_grid_resolves():
    """Its width is 2e-6, and the last step 1e-4."""
    model = LinearGaussian([[1e3, 0.0], [0.0, 1e3]], 1e-6)
    with pytest.raises(RuntimeError, match="does not settle"):
        log_evidence(model, torch.full((1, 1, 1, 2), 123.456789, dtype=torch.float64))


def test_no_images_have_no_evidence(trained):
    assert log_evidence(trained, torch.zeros(0, 1, 8, 8)).shape == (0,)
