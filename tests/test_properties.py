"""Properties that hold for every shape, dtype and range, searched by hypothesis."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from oracles import generator

import vaewidgets as vw
from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.models import objectives
from vaewidgets.models.likelihoods import ContinuousBernoulli, Gaussian, make_likelihood
from vaewidgets.models.vae import LOGVAR_BOUND, TRUNKS

# The same cases on every run, and no clock: a busy machine is no bug.
quick = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
thorough = settings(quick, max_examples=200)

seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from([torch.float32, torch.float64])
shapes = st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9))


@st.composite
def models(draw):
    trunk = draw(st.sampled_from(sorted(TRUNKS)))
    likelihood = draw(st.sampled_from(["bernoulli", "continuous-bernoulli", "gaussian"]))
    sigma = draw(st.sampled_from([0.1, 1, "learned", "optimal"])) if likelihood == "gaussian" else None
    return vw.VAE(
        draw(st.integers(1, 5)),
        draw(shapes),
        trunk=trunk,
        hidden=tuple(draw(st.lists(st.integers(1, 8), min_size=1, max_size=3))),
        likelihood=likelihood,
        sigma=sigma,
        activation=draw(st.sampled_from(["relu", "silu", "gelu", "tanh", "softplus"])),
        seed=draw(st.integers(0, 1000)),
    ).requires_grad_(False)


def zeros_and_ones(n, model, seed):
    return torch.rand(n, *model.image_shape, generator=generator(seed)).round()


def reals(low, high):
    return st.floats(low, high, allow_nan=False)


@thorough
@given(reals(-1e3, 1e3), reals(-LOGVAR_BOUND, LOGVAR_BOUND), dtypes)
def test_kl_is_never_negative_and_zero_only_at_the_prior(mu, logvar, dtype):
    value = objectives.kl(torch.tensor(mu, dtype=dtype), torch.tensor(logvar, dtype=dtype)).item()
    exact = (mu**2 + math.expm1(logvar) - logvar) / 2
    assert value >= 0 and math.isfinite(value)
    assert value == pytest.approx(exact, rel=1e-5, abs=1e-6)
    # Below 1e-3 the square of what is tiny is lost to rounding.
    assert value > 0 or (abs(mu) < 1e-3 and abs(logvar) < 1e-3)


@quick
@given(reals(-1e-2, 1e-2))
def test_kl_near_the_prior_is_never_negative_by_rounding(logvar):
    tiny = torch.tensor([logvar * 10**-i for i in range(8)])
    assert (objectives.kl(torch.zeros(8), torch.cat([tiny[:4], -tiny[4:]])) >= 0).all()


@quick
@given(models(), st.integers(1, 4), dtypes, seeds)
def test_every_model_has_bounds_of_the_promised_shape(model, n, dtype, seed):
    model.to(dtype)
    x = zeros_and_ones(n, model, seed).to(dtype)
    terms = vw.elbo(model, x, generator=generator(seed))
    assert terms.reconstruction.shape == terms.total.shape == (n,)
    assert terms.kl.shape == (n, model.latent_dim)
    assert all(term.isfinite().all() and term.dtype == dtype for term in terms)
    assert (terms.kl >= 0).all()
    if model.config["likelihood"] == "bernoulli":
        assert (terms.reconstruction <= 0).all(), "a probability above 1"
    image = model.decode(model.encode(x).mu)
    low, high = model.likelihood.support
    assert image.shape == x.shape and low <= image.min() and image.max() <= high


@quick
@given(models(), st.integers(1, 5), st.integers(1, 9), st.integers(1, 2000), seeds)
def test_no_chunk_size_changes_iwae(model, n, k, chunk, seed):
    x = zeros_and_ones(n, model, seed)
    whole = vw.iwae(model, x, k, generator=generator(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "CHUNK_PIXELS", chunk)
        parts = vw.iwae(model, x, k, generator=generator(seed))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


@quick
@given(models(), st.integers(2, 6), seeds)
def test_images_are_independent(model, n, seed):
    x, epsilon = zeros_and_ones(n, model, seed), torch.randn(n, model.latent_dim, generator=generator(seed))
    whole = vw.elbo(model, x, epsilon=epsilon).total
    alone = torch.cat([vw.elbo(model, x[i : i + 1], epsilon=epsilon[i : i + 1]).total for i in range(n)])
    torch.testing.assert_close(alone, whole, rtol=1e-4, atol=1e-4)


@quick
@given(st.sampled_from(["bernoulli", "continuous-bernoulli", "gaussian"]), shapes, st.integers(0, 9), seeds)
def test_the_log_probability_of_an_image_is_the_sum_of_its_parts(name, shape, cut, seed):
    likelihood = make_likelihood(name)
    x = torch.rand(3, *shape, generator=generator(seed))
    parameters = 5 * torch.randn(3, *shape, generator=generator(seed + 1))
    parts = [
        likelihood.log_prob(a, b)
        for a, b in zip(x.tensor_split([cut], -1), parameters.tensor_split([cut], -1), strict=True)
    ]
    torch.testing.assert_close(sum(parts), likelihood.log_prob(x, parameters), rtol=1e-4, atol=1e-3)


@thorough
@given(reals(-80, 80), reals(1e-3, 5))
def test_the_mean_of_a_continuous_bernoulli_rises_with_its_logit(logit, step):
    mean = ContinuousBernoulli().mean(torch.tensor([logit, logit + step, -logit], dtype=torch.float64))
    assert 0 < mean[0] < mean[1] < 1
    assert mean[0].item() + mean[2].item() == pytest.approx(1, abs=1e-9)
    # It lies between one half and the parameter.
    assert abs(mean[0] - 0.5) <= abs(torch.sigmoid(torch.tensor(logit)) - 0.5) + 1e-7


@quick
@given(reals(1e-3, 10), reals(1e-3, 10), reals(0.01, 1), seeds)
def test_an_optimal_sigma_moves_its_share_of_the_way(sigma, scale, rate, seed):
    likelihood = Gaussian("optimal").double()
    likelihood.log_sigma.fill_(math.log(sigma))
    x = scale * torch.randn(5, 1, 3, 3, generator=generator(seed), dtype=torch.float64)
    likelihood.update_sigma(likelihood.log_prob(x, torch.zeros_like(x)), 9, rate)
    expected = sigma**2 + rate * ((x**2).mean().item() - sigma**2)
    assert likelihood.sigma.item() ** 2 == pytest.approx(expected, rel=1e-6)


@quick
@given(models(), st.booleans())
def test_every_model_survives_a_checkpoint(model, half):
    path = _scratch / "model.safetensors"
    vw.save(model, path, half=half)
    loaded = vw.load(path)
    assert loaded.config == model.config
    for name, tensor in model.state_dict().items():
        expected = tensor.half().float() if half else tensor
        assert torch.equal(loaded.state_dict()[name], expected)


@pytest.fixture(autouse=True, scope="module")
def _folder(tmp_path_factory):
    # hypothesis gives no fixture to its examples; one file may be written over and over.
    global _scratch
    _scratch = tmp_path_factory.mktemp("checkpoints")


@quick
@given(st.integers(1, 3), st.integers(2, 5), st.integers(1, 2), seeds)
def test_training_keeps_weights_finite_and_counts_steps(epochs, n, batch_size, seed):
    model = vw.VAE(2, (1, 3, 3), hidden=(4,), seed=0)
    x = torch.rand(n, 1, 3, 3, generator=generator(seed))
    steps = list(vw.fit(model, x, epochs=epochs, batch_size=batch_size, lr=0.1, seed=seed))
    assert len(steps) == steps[-1].total_steps == epochs * math.ceil(n / batch_size)
    assert all(p.isfinite().all() for p in model.parameters())


pixel_arrays = st.one_of(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6)),
    hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6)),
    hnp.arrays(
        hnp.floating_dtypes(sizes=(16, 32, 64)),
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=2, max_side=6),
        elements=st.floats(0, 1, width=16),
    ),
)


@pytest.mark.filterwarnings("ignore:The brightest pixel")
@thorough
@given(pixel_arrays, reals(0.01, 0.99), seeds, st.sampled_from([1, -1]))
def test_any_array_of_images_is_split_without_loss(array, fraction, seed, direction):
    array = array[:, :, ::direction]
    data = vw.load_data(array, np.arange(len(array)), test_fraction=fraction, seed=seed)
    images = torch.cat([data.train.images, data.test.images])
    labels = torch.cat([data.train.labels, data.test.labels])
    assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1
    assert sorted(labels.tolist()) == list(range(len(array)))
    assert min(len(data.train), len(data.test)) >= 1
    expected = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    assert torch.equal(images[:, 0], torch.from_numpy(expected)[labels])


@thorough
@given(hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32)), st.sampled_from([torch.float16, None]))
def test_any_pixel_becomes_a_byte_or_a_clear_error(array, dtype):
    image = torch.from_numpy(array).to(dtype)
    if not image.isfinite().all():
        with pytest.raises(ValueError, match="NaN or infinite"):
            to_uint8(image)
        return
    pixels = to_uint8(image)
    assert pixels.dtype == np.uint8
    exact = image.double().clamp(0, 1).numpy() * 255
    # Half a level for rounding; float16 cannot hold the product better than to 1/16.
    assert np.abs(pixels - exact).max() <= 0.5 + (1 / 16 if dtype else 1e-4)


@quick
@given(st.integers(1, 12), shapes, st.integers(1, 14), seeds)
def test_a_tile_holds_every_image_in_its_place(n, shape, columns, seed):
    images = torch.rand(n, *shape, generator=generator(seed))
    _, h, w = shape
    picture = tile(images, columns)
    back = picture.unfold(1, h, h).unfold(2, w, w).permute(1, 2, 0, 3, 4).flatten(0, 1)
    assert torch.equal(back[:n], images) and not back[n:].any()


@quick
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.integers(1, 3), min_size=1, max_size=5),
)
def test_the_convolutional_trunk_meets_every_size(channels, height, width, hidden):
    assume(height * width <= 600)
    model = vw.VAE(2, (channels, height, width), trunk="conv", hidden=tuple(hidden), seed=0)
    assert model(torch.zeros(1, channels, height, width)).shape == (1, channels, height, width)
