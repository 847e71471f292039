"""Samplers: their moments and densities against those of known distributions, and what they refuse."""

import math

import pytest
import torch
from fakes import Painter
from oracles import generator

import vaewidgets as vw
from vaewidgets.evaluation.samplers import (
    aggregate_posterior,
    code_spread,
    fitted_atlas,
    matched_gaussian,
    mixture,
    prior,
    samplers_for,
)
from vaewidgets.io.checkpoints import EncodedDataset


def blobs(n: int, centres=((-6.0, 0.0), (6.0, 0.0), (0.0, 9.0)), weights=(0.5, 0.3, 0.2)) -> torch.Tensor:
    """Codes from three round Gaussians of deviation 1/2."""
    g = generator()
    chosen = torch.multinomial(torch.tensor(weights), n, replacement=True, generator=g)
    return torch.tensor(centres)[chosen] + 0.5 * torch.randn(n, 2, generator=g)


def test_the_prior_is_a_standard_normal():
    z = prior(3).draw(20_000, generator())
    assert z.shape == (20_000, 3) and z.dtype == torch.float32
    torch.testing.assert_close(z.T.cov(), torch.eye(3), atol=0.04, rtol=0)
    torch.testing.assert_close(z.mean(0), torch.zeros(3), atol=0.03, rtol=0)


def test_the_matched_gaussian_has_the_moments_of_the_codes():
    codes = torch.randn(500, 3, generator=generator()) @ torch.tensor([[9.0, 0, 0], [2, 1, 0], [0, 0, 0.1]])
    codes += torch.tensor([40.0, -3, 0])
    z = matched_gaussian(codes).draw(200_000, generator(1))
    scale = codes.std(0)
    # Six standard errors of the mean and of a covariance of 200,000 draws, in units of the deviations.
    torch.testing.assert_close(z.mean(0) / scale, codes.mean(0) / scale, atol=6 / math.sqrt(2e5), rtol=0)
    wanted, found = (table.T.cov() / torch.outer(scale, scale) for table in (codes, z))
    torch.testing.assert_close(found, wanted, atol=6 * math.sqrt(2 / 2e5), rtol=0)


def test_draws_of_the_matched_gaussian_do_not_hang_on_the_signs_of_eigenvectors(monkeypatch):
    """Either sign is right: which one is returned differs between builds of LAPACK."""
    codes = torch.randn(100, 4, generator=generator()) @ torch.randn(4, 4, generator=generator(1))
    draws = matched_gaussian(codes).draw(20, generator(2))
    eigh, signs = torch.linalg.eigh, torch.tensor([-1.0, 1, 1, -1]).double()

    def turned(table):
        values, vectors = eigh(table)
        return values, vectors * signs

    monkeypatch.setattr(torch.linalg, "eigh", turned)
    torch.testing.assert_close(matched_gaussian(codes).draw(20, generator(2)), draws)


def test_a_dimension_in_which_all_codes_are_equal_stays_there():
    codes = torch.stack([torch.randn(100, generator=generator()), torch.full((100,), 7.0)], 1)
    for sampler in (matched_gaussian(codes), mixture(codes)):
        torch.testing.assert_close(sampler.draw(50)[:, 1], torch.full((50,), 7.0), atol=0.01, rtol=0)


def test_the_mixture_finds_three_groups_and_their_weights():
    codes = blobs(3000)
    for scale in (1.0, 1e-4, 1e4):
        z = mixture(codes * scale, components=3).draw(20_000, generator()) / scale
        centres = torch.tensor([[-6.0, 0], [6, 0], [0, 9]])
        distance, group = torch.cdist(z, centres).min(1)
        shares = torch.bincount(group) / len(z)
        torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.03, rtol=0)
        # Of a round Gaussian in two dimensions: the root mean square distance is sqrt(2) deviations.
        assert (distance**2).mean().sqrt().item() == pytest.approx(0.5 * math.sqrt(2), rel=0.04)


def test_the_number_of_components_is_chosen_on_held_out_codes():
    single = mixture(torch.randn(1000, 2, generator=generator()))
    several = mixture(blobs(3000))
    assert single.how == "1 Gaussian on 1,000 codes, their number by a held-out tenth"
    assert not several.how.startswith("1 Gaussian")
    assert mixture(blobs(300), components=2).how == "2 Gaussians on 300 codes"


def test_the_aggregate_posterior_is_the_average_of_all():
    mu, logvar = torch.tensor([[-3.0], [3.0]]), torch.tensor([[0.5], [0.1]]).log() * 2
    z = aggregate_posterior(mu, logvar).draw(40_000, generator()).squeeze(1)
    low, high = z[z < 0], z[z >= 0]
    assert len(low) / len(z) == pytest.approx(0.5, abs=0.01)
    assert (low.mean().item(), low.std().item()) == pytest.approx((-3, 0.5), abs=0.02)
    assert (high.mean().item(), high.std().item()) == pytest.approx((3, 0.1), abs=0.02)


def test_the_same_seed_draws_the_same_codes():
    codes = blobs(300)
    for make in (lambda: prior(2), lambda: matched_gaussian(codes), lambda: mixture(codes)):
        one, same, other = (make().draw(20, generator(seed)) for seed in (1, 1, 2))
        assert torch.equal(one, same) and not torch.equal(one, other)
    sampler = aggregate_posterior(codes, torch.zeros_like(codes))
    assert torch.equal(sampler.draw(20, generator(1)), sampler.draw(20, generator(1)))
    before = torch.get_rng_state()
    mixture(codes).draw(5, generator())
    assert torch.equal(torch.get_rng_state(), before), "draws from the global generator"


def test_each_kind_of_model_has_its_three():
    vae, ae = vw.pretrained("digits-vae-2d"), vw.pretrained("digits-ae-2d")
    assert [s.name for s in samplers_for(vae)] == ["prior", "mixture", "aggregate posterior"]
    assert [s.name for s in samplers_for(ae)] == ["N(0, I)", "matched Gaussian", "mixture"]
    assert repr(samplers_for(ae)[0]) == "Sampler('N(0, I)', latent_dim=2)"
    assert all(s.draw(7).shape == (7, 2) for s in samplers_for(ae))


def test_training_codes_come_before_held_out_ones():
    model = vw.Autoencoder(2, (1, 2, 2), hidden=(4,))
    model.atlas = EncodedDataset(torch.randn(30, 2), None, None)
    assert fitted_atlas(model) is model.atlas
    model.train_atlas = EncodedDataset(100 + torch.randn(40, 2), None, None)
    assert fitted_atlas(model) is model.train_atlas
    assert samplers_for(model)[1].draw(10).min() > 50
    assert samplers_for(model, model.atlas)[1].draw(10).max() < 50


def test_the_spread_of_codes():
    codes = torch.tensor([[0.0, 5], [2.0, 5], [4.0, 5]])
    assert code_spread(codes).tolist() == [2, 0]


# What they refuse


def test_few_codes_are_one_gaussian():
    assert mixture(torch.randn(15, 2)).how.startswith("1 Gaussian")


HOLED = torch.tensor([[0.0, 0.0]] * 98 + [[0.0, math.nan], [0.0, math.inf]])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: code_spread(torch.zeros(1, 2)), "at least 2 images"),
        (lambda: matched_gaussian(torch.randn(14, 2)), "1 Gaussian in 2 dimensions .* 15 codes; got 14"),
        (lambda: mixture(torch.randn(59, 2), components=4), "4 Gaussians in 2 dim.* 60 codes; got 59"),
        (lambda: matched_gaussian(HOLED), "2 of 100 are not"),
        (lambda: mixture(HOLED), "2 of 100 are not"),
        (lambda: matched_gaussian(torch.randn(100)), r"a table \(N, d\)"),
        (lambda: mixture(torch.randn(100)), r"a table \(N, d\)"),
        (lambda: aggregate_posterior(torch.zeros(3, 2), torch.zeros(3, 1)), r"\(3, 2\) and \(3, 1\)"),
        (lambda: aggregate_posterior(torch.zeros(3, 2), torch.full((3, 2), math.nan)), "finite"),
        (lambda: samplers_for(vw.VAE(3, (1, 2, 2), hidden=(4,))), "this VAE has no atlas"),
        (
            lambda: samplers_for(Painter(torch.randn(100, 3))),
            "codes of 3 dimensions, but this model has latent_dim=2",
        ),
        (lambda: prior(2).draw(0), "at least 1; got 0"),
        (lambda: mixture(torch.randn(100, 2), components=0), "at least 1; got 0"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
