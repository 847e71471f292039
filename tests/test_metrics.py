"""Measurements on held-out images."""

import pytest
import torch
from oracles import generator

import vaewidgets as vw
from vaewidgets.metrics import encode_all, held_out_elbo


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
