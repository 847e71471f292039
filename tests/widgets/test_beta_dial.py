"""BetaDial without a browser: the linear side in closed form, the trained side against the models."""

import math

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation.metrics import active_units
from vaewidgets.io.checkpoints import EncodedDataset

from .conftest import check_not_settable, check_refused, from_page


def make(seed, **options):
    return vw.VAE(**{"latent_dim": 3, "image_shape": (1, 6, 5), "hidden": (8,), "seed": seed} | options)


@pytest.fixture
def models():
    return {4: make(1), 0.5: make(0), 8: make(2)}


@pytest.fixture
def panel(models, images):
    return vw.BetaDial(models, images)


def expected_bits(level):
    return [max(0, math.log2(v / level) / 2) for v in (9, 4, 1, 0.25, 0.25, 0.25)]


def rows_of(panel, stop):
    rows, height, width, _ = panel.view.shape
    pixels = np.frombuffer(panel.view.pixels, np.uint8).reshape(-1, rows, height, width)
    return pixels[stop]


def test_only_the_product_sets_the_water_level(panel):
    for beta, noise in ((4, 0.25), (0.25, 4), (16, 1 / 16)):
        panel.beta, panel.noise = beta, noise
        assert panel.level == 1
        assert panel.bits == pytest.approx(expected_bits(1))
        assert panel.left == (1, 1, 1, 0.25, 0.25, 0.25)
    panel.beta, panel.noise = 36, 0.25
    assert panel.bits == (0,) * 6 and panel.left == (9, 4, 1, 0.25, 0.25, 0.25)
    assert repr(panel) == "BetaDial(beta=36, level=9, bits=0.000, trained=8)"


@pytest.mark.parametrize(
    ("beta", "stop"),
    [(0.25, 0.5), (0.5, 0.5), (1.4, 0.5), (1.42, 4), (2**0.5, 0.5), (5.6, 4), (5.7, 8), (99, 8)],
)
def test_the_nearest_stop_by_its_logarithm(panel, beta, stop):
    panel.beta = beta
    assert panel.stop.beta == stop


def test_every_stop_is_measured(panel, models, images):
    assert [stop.beta for stop in panel.stops] == [0.5, 4, 8]
    for stop, sent in zip(panel.stops, panel.view.stops, strict=True):
        model = models[stop.beta]
        q = model.encode(images.images)
        kl = q.kl().mean(0)
        assert stop.kl == pytest.approx(kl.tolist(), rel=1e-5) and stop.rate == pytest.approx(kl.sum().item())
        noise = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
        logits = model.decode_parameters(q.mu + q.sigma * noise)
        distortion = (
            torch.nn.functional.binary_cross_entropy_with_logits(logits, images.images, reduction="none")
            .sum((1, 2, 3))
            .mean()
        )
        assert stop.distortion == pytest.approx(distortion.item(), rel=1e-5)
        assert sum(stop.active) == active_units(q.mu).count
        assert sent == dict(
            beta=stop.beta,
            rate=stop.rate,
            distortion=stop.distortion,
            kl=list(stop.kl),
            active=list(stop.active),
        )


def test_the_pictures_are_those_of_each_model(panel, models, images):
    panel.row, panel.seed = 5, 2
    assert panel.view.shape == [4, 6, 40, 1] and panel.view.originals
    assert panel.view.caption == "test images 5 to 12"
    z = torch.randn(8, 3, generator=torch.Generator().manual_seed(2))
    for i, stop in enumerate(panel.stops):
        model = models[stop.beta]
        with torch.no_grad():
            reconstructions, means = model(images.images[5:13]), model.decode(z)
        original, reconstruction, mean, drawn = rows_of(panel, i)
        for row, pictures in (
            (original, images.images[5:13]),
            (reconstruction, reconstructions),
            (mean, means),
        ):
            np.testing.assert_array_equal(row, np.hstack([to_uint8(picture) for picture in pictures]))
        assert set(np.unique(drawn)) == {0, 255}
        # Of 240 pixels, as many are white as the mean image says.
        shares, probabilities = drawn.mean() / 255, mean / 255
        error = np.sqrt((probabilities * (1 - probabilities)).sum()) / 240
        assert shares == pytest.approx(probabilities.mean(), abs=4 * error)


def test_other_pictures(wire, panel):
    before = panel.view.pixels
    from_page(panel.view, asked=["samples", 1])
    assert panel.seed == 1 and panel.view.pixels != before
    from_page(panel.view, asked=["images", 2])
    assert panel.row == 8
    panel.row = 32
    panel.other("images")
    assert panel.row == 0
    panel.row = 38
    assert panel.view.shape == [4, 6, 10, 1]  # two images are left
    with pytest.raises(ValueError, match="images"):
        panel.other("digits")


def test_page_and_kernel_hold_the_same(wire, panel):
    panel.beta = 2
    assert wire.updates(panel.view)[-1] == {"beta": 2.0}
    wire.clear()
    from_page(panel.view, beta=4.0, noise=0.5, linked=True)
    assert (panel.beta, panel.noise, panel.linked, panel.level) == (4, 0.5, True, 2)
    assert wire.updates(panel.view) == []


def test_figures_come_from_the_header_where_no_images_are_given(tmp_path, images):
    model = make(0)
    q = model.encode(images.images)
    figures = dict(reconstruction=-12.5, kl=1.5, kl_per_dimension=[1.0, 0.5, 0.0])
    path = tmp_path / "model.safetensors"
    atlas = EncodedDataset(q.mu.detach(), q.logvar.detach(), None)
    vw.save(model, path, atlas=atlas, figures=figures, dataset="something")
    panel = vw.BetaDial({1: vw.load(path)})
    [stop] = panel.stops
    assert (stop.distortion, stop.rate, stop.kl) == (12.5, 1.5, (1.0, 0.5, 0.0))
    assert panel.view.shape == [3, 6, 40, 1] and not panel.view.originals
    assert panel.view.dataset == "something"
    with torch.no_grad():
        expected = np.hstack([to_uint8(picture) for picture in model.decode(q.mu[:8])])
    np.testing.assert_array_equal(rows_of(panel, 0)[0], expected)


def test_bad_use_is_refused_where_it_is_made(models, images, panel):
    autoencoder = vw.Autoencoder(3, (1, 6, 5), hidden=(8,))
    check_refused(
        vw.BetaDial,
        ((models,), {}, ValueError, "pass images="),
        (([make(0)], images), {}, TypeError, "must map beta to a VAE"),
        (({}, images), {}, TypeError, "must map beta to a VAE"),
        *(
            (({beta: make(0)}, images), {}, ValueError, "positive numbers")
            for beta in (0, -1, math.inf, "1", True)
        ),
        (({1: autoencoder}, images), {}, TypeError, "needs VAEs; got Autoencoder at beta = 1"),
        (({1: make(0, likelihood="gaussian")}, images), {}, ValueError, "Bernoulli likelihood"),
        (({1: make(0), 2: make(0, latent_dim=2)}, images), {}, ValueError, "all models must be alike"),
        ((models, torch.rand(9, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((models, images), dict(betta=1), TypeError, "Did you mean 'beta'"),
    )
    check_not_settable(
        panel,
        *(("beta", beta, ValueError, "beta must be from") for beta in (0, -1, 2000, math.nan)),
        *(("row", row, IndexError, "rows go from 0 to 39") for row in (-1, 40)),
    )
    assert (panel.beta, panel.row) == (1, 0)
