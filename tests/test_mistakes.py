"""Mistakes seen in public code, each with a test that would have caught it.

Named after the rule that was broken; what went wrong elsewhere is in the docstring. Two rules belong to the
panels: the axes are z1 and z2, and a slider that says beta moves trained models.
"""

import math

import pytest
import torch
from oracles import drain, generator

import vaewidgets as vw
from vaewidgets.evaluation.metrics import held_out_elbo
from vaewidgets.models import objectives
from vaewidgets.training import loop


@pytest.fixture
def model():
    return vw.VAE(3, (1, 4, 5), hidden=(16,), seed=0).requires_grad_(False)


@pytest.fixture
def x():
    return objectives.binarize(torch.rand(10, 1, 4, 5, generator=generator()), generator())


def test_reconstruction_sums_over_pixels_kl_over_latents_and_only_images_are_averaged(model, x):
    """A mean over 784 pixels and over d latents silently sets beta = 784 / d."""
    epsilon = torch.randn(10, 3, generator=generator(1))
    terms = vw.elbo(model, x, epsilon=epsilon)
    q = model.encode(x)
    for i in range(10):
        p = model.decode((q.mu + q.sigma * epsilon)[i : i + 1])[0].double().flatten()
        pixels = [math.log(p[j] if x[i].flatten()[j] else 1 - p[j]) for j in range(20)]
        mu, sigma = q.mu[i].double(), q.sigma[i].double()
        latents = [(mu[j] ** 2 + sigma[j] ** 2 - 1 - 2 * math.log(sigma[j])).item() / 2 for j in range(3)]
        assert terms.reconstruction[i].item() == pytest.approx(sum(pixels), rel=1e-5)
        assert terms.kl[i].tolist() == pytest.approx(latents, abs=1e-5)
        assert terms.total[i].item() == pytest.approx(sum(pixels) - sum(latents), rel=1e-5)


def test_sigma_is_exp_of_half_the_logvar():
    """A variance passed where a deviation is expected; softplus of what is read as logvar."""
    sigma = torch.tensor([[0.01, 0.5, 1.0, 3.0]])
    q = vw.Posterior(torch.zeros(1, 4), (sigma**2).log())
    torch.testing.assert_close(q.sigma, sigma)
    torch.testing.assert_close(q.sample(epsilon=torch.ones(1, 4)), sigma)
    assert q.sigma.min() < 1 < q.sigma.max(), "a posterior may be narrower than the prior"


def test_the_kl_that_is_reported_is_never_negative(digits):
    """'KLD': -kld."""
    model = vw.VAE(2, (1, 8, 8), hidden=(16,), seed=0)
    steps = vw.fit(model, digits.train.images, epochs=2, lr=0.01)
    kls = [(s.kl, min(s.terms.kl_per_dimension)) for s in steps]
    assert all(mean > 0 and least >= 0 for mean, least in kls)


def test_iwae_is_the_log_of_the_mean_weight_of_each_image(model, x):
    """A softmax over a loss; the batch summed inside the logsumexp; a mean of logs; a missing log k."""
    k = 6
    g = generator(3)
    noise = torch.stack([torch.randn(k, 3, generator=g) for _ in range(10)]).double()
    q, normal = model.encode(x), torch.distributions.Normal
    expected = []
    for i in range(10):
        posterior = normal(q.mu[i].double(), q.sigma[i].double())
        z = posterior.loc + posterior.scale * noise[i]
        pixels = torch.distributions.Bernoulli(logits=model.decode_parameters(z.float()).double())
        log_w = pixels.log_prob(x[i].double()).sum((1, 2, 3)) + normal(0, 1).log_prob(z).sum(1)
        expected.append((log_w - posterior.log_prob(z).sum(1)).exp().mean().log().item())
    assert vw.iwae(model, x, k, generator=generator(3)).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("k", [1, 2, 100])
def test_k_samples_are_k_samples(model, x, monkeypatch, k):
    """A "1-sample" NLL that drew 100."""
    points = []
    decode = model.decode_parameters
    monkeypatch.setattr(model, "decode_parameters", lambda z: points.append(z.reshape(-1, 3)) or decode(z))
    vw.iwae(model, x, k, generator=generator())
    points = torch.cat(points)
    assert len(points) == k * len(x)
    assert len(points.unique(dim=0)) == k * len(x), "the same sample counted twice"


def test_the_image_that_is_encoded_is_scored(model, digits, monkeypatch):
    """Encode the binarised, score the grey."""
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    encoded, scored = [], []
    encode, score = model.encode, model.likelihood.log_prob
    monkeypatch.setattr(model, "encode", lambda x: encoded.append(x) or encode(x))
    monkeypatch.setattr(model.likelihood, "log_prob", lambda x, p: scored.append(x) or score(x, p))
    for binarize in (None, "dynamic"):
        drain(vw.fit(model, digits.train.images[:100], epochs=2, batch_size=30, binarize=binarize))
    assert len(encoded) == len(scored) == 16
    assert all(torch.equal(a, b) for a, b in zip(encoded, scored, strict=True))
    assert all(((x == 0) | (x == 1)).all() for x in encoded[8:])
    assert not ((encoded[0] == 0) | (encoded[0] == 1)).all()


def test_held_out_images_are_held_out(digits, monkeypatch):
    """Training on train + test; validation = test."""
    seen = []

    def spied(model, x, **arguments):
        seen.extend(image.numpy().tobytes() for image in x)
        return vw.elbo(model, x, **arguments)

    monkeypatch.setattr(loop, "elbo", spied)
    drain(vw.fit(vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), digits.train.images, epochs=1))
    assert len(seen) == 1437
    assert not set(seen) & {image.numpy().tobytes() for image in digits.test.images}
    array = torch.arange(50).view(50, 1, 1).expand(50, 4, 4) / 50
    data = vw.load_data(array)
    assert not set(data.train.images[:, 0, 0, 0].tolist()) & set(data.test.images[:, 0, 0, 0].tolist())


def test_images_are_in_0_1_exactly_once():
    """Bytes fed raw; tanh outputs held against [0, 1]; ToTensor twice."""
    levels = torch.arange(256, dtype=torch.uint8).view(16, 1, 4, 4)
    once = vw.load_data(levels)
    assert max(once.train.images.max(), once.test.images.max()) == 1
    # What was divided is a float and is not divided again.
    twice = vw.load_data(torch.cat([once.train.images, once.test.images]))
    assert max(twice.train.images.max(), twice.test.images.max()) == 1
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    for wrong in (levels, levels.float(), levels.float() / 127.5 - 1):
        with pytest.raises((TypeError, ValueError), match=r"bytes|Bytes"):
            vw.fit(model, wrong)
        with pytest.raises((TypeError, ValueError), match=r"bytes|Bytes"):
            vw.Images(wrong)
    for likelihood in ("bernoulli", "continuous-bernoulli"):
        pixels = vw.VAE(2, (1, 4, 4), hidden=(4,), likelihood=likelihood).decode(100 * torch.randn(50, 2))
        assert pixels.min() >= 0 and pixels.max() <= 1


def test_the_mean_is_over_images_and_not_over_batches(model, x):
    """The short last batch weighs as much as a full one."""
    whole = held_out_elbo(model, x, batch_size=10).total.mean().item()
    short_last = held_out_elbo(model, x, batch_size=9).total
    assert short_last.mean().item() == pytest.approx(whole, rel=1e-5)
    over_batches = (short_last[:9].mean() + short_last[9:].mean()).item() / 2
    assert over_batches != pytest.approx(whole, rel=1e-3), "this batch could not tell the two apart"


@pytest.mark.parametrize("mode", [True, False])
def test_reconstructions_use_mu_and_bounds_sample_whatever_the_mode(model, x, mode):
    """Sampling hidden in self.training."""
    model.train(mode)
    assert torch.equal(model(x), model.decode(model.encode(x).mu))
    for bound in (
        lambda g: vw.elbo(model, x, generator=g).total,
        lambda g: vw.iwae(model, x, 2, generator=g),
    ):
        assert not torch.equal(bound(generator(1)), bound(generator(2)))


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_one_bound_on_logvar_for_the_sample_and_the_kl(x, extreme):
    """A clamp in the sample only: the KL still overflows."""
    model = vw.VAE(3, (1, 4, 5), hidden=(16,), seed=0)
    model.logvar.bias.data.fill_(extreme)
    q = model.encode(x)
    sampled_sigma = q.sample(epsilon=torch.ones(10, 3)) - q.mu
    torch.testing.assert_close(sampled_sigma.log(), q.logvar / 2, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(q.kl(), 0.5 * (q.mu**2 + q.logvar.exp() - 1 - q.logvar))
    terms = vw.elbo(model, x, generator=generator())
    (-terms.total.mean()).backward()
    assert terms.total.isfinite().all()
    assert all(p.grad.isfinite().all() for p in model.parameters())
