"""The lab without a browser: every number held against an integral or against torch, and what Python sees."""

import math
import re

import numpy as np
import pytest
import torch
import traitlets

import vaewidgets as vw
from vaewidgets.models.vae import Posterior
from vaewidgets.widgets._core.bundle import WIDGETS
from vaewidgets.widgets.gaussian.kl_lab import areas, parts

from .conftest import FLOAT32, OwnDecoder, check_not_settable, check_refused, from_page
from .test_explorer import shown

#: The table of correctness.md: (mu, sigma, KL in nats).
TABLE = [(1, 1, 0.5), (2, 1, 2), (0, 0.5, 0.318147), (0, 0.1, 1.807585), (1, 0.5, 0.818147), (0, 2, 0.806853)]


def random_clouds(n: int) -> np.ndarray:
    """(mu, sigma) over the whole of the sliders' ranges."""
    generator = np.random.default_rng(0)
    return np.stack([generator.uniform(-5, 5, n), 10 ** generator.uniform(-3, 2, n)], axis=1)


@pytest.mark.parametrize(("mu", "sigma", "kl"), TABLE)
def test_the_table(mu, sigma, kl):
    assert sum(parts(mu, sigma)) == pytest.approx(kl, abs=5e-7)
    assert sum(areas(mu, sigma)) == pytest.approx(kl, abs=5e-7)


def test_parts_are_those_of_torch_and_never_negative():
    for mu, sigma in [*random_clouds(200), (0, 1 + 1e-9), (0, 1 - 1e-9), (1e-9, 1), (0, 1e-6), (0, 1e6)]:
        normal = torch.distributions.Normal
        q, p = (normal(*torch.tensor(pair, dtype=torch.float64)) for pair in ((mu, sigma), (0, 1)))
        offset, shape = parts(mu, sigma)
        # torch subtracts numbers near 1: below 1e-15 it knows nothing.
        assert offset + shape == pytest.approx(
            torch.distributions.kl_divergence(q, p).item(), rel=1e-12, abs=1e-15
        )
        assert offset == mu**2 / 2 and shape >= 0


@pytest.mark.parametrize(
    ("mu", "sigma"), [(1, 0.5), (0, 0.5), (0, 3), (2, 1), (-2, 2), (4, 0.01), (0.3, 50), (0, 1)]
)
def test_areas_are_integrals(mu, sigma):
    e = np.linspace(-12, 12, 2_400_001)
    z = mu + sigma * e
    log_ratio = -np.log(sigma) - e**2 / 2 + z**2 / 2
    integrand = np.exp(-(e**2) / 2) / math.sqrt(2 * math.pi) * log_ratio * (e[1] - e[0])
    positive, negative = areas(mu, sigma)
    # Trapezoids of 1e-5: off by about that squared, where the sign changes.
    assert positive == pytest.approx(integrand[integrand > 0].sum(), rel=1e-8, abs=1e-9)
    assert negative == pytest.approx(integrand[integrand < 0].sum(), rel=1e-8, abs=1e-9)


def test_areas_add_up_to_the_kl_everywhere():
    for mu, sigma in [*random_clouds(300), (0, 1), (0, 1 + 1e-12), (1e-12, 1), (5, 1e-6), (5, 1e6)]:
        positive, negative = areas(mu, sigma)
        assert positive >= 0 >= negative
        assert positive + negative == pytest.approx(sum(parts(mu, sigma)), rel=1e-12, abs=1e-15)


def test_the_panel_has_the_numbers_of_its_cloud(wire, model):
    lab = vw.KLLab(model, mu=(1, 2), sigma=(0.5, 1))
    assert lab.offset == (0.5, 2.0)
    assert lab.shape == pytest.approx((0.318147, 0), abs=5e-7)
    assert lab.kl == pytest.approx((0.818147, 2), abs=5e-7)
    assert [sum(pair) for pair in lab.areas] == pytest.approx(lab.kl)
    assert repr(lab) == "KLLab(mu=(1.00, 2.00), sigma=(0.50, 1.00), kl=2.8181 nats)"
    from_page(lab.view, mu=[0.25, -1], sigma=[2, 0.001])
    assert (lab.mu, lab.sigma) == ((0.25, -1.0), (2.0, 0.001))
    lab.mu = torch.tensor([3.0, 4.0])
    assert lab.view.mu == [3, 4] and {"mu": [3.0, 4.0]} in wire.updates(lab.view)
    from_page(lab.view, axis="z2")
    assert lab.axis == "z2"
    with torch.no_grad():
        np.testing.assert_array_equal(
            lab.image, (model.decode(torch.tensor([[3.0, 4.0]]))[0, 0] * 255).round().numpy()
        )


def test_linked_labs_move_together(model):
    a, b = vw.KLLab(model), vw.KLLab(model)
    traitlets.link((a, "mu"), (b, "mu"))
    from_page(a.view, mu=[0.1, 0.2])
    assert b.view.mu == [0.1, 0.2]


def test_a_test_image_brings_its_cloud_and_takes_it_away_when_it_moves(model, images):
    lab = vw.KLLab(model, images)
    with torch.no_grad():
        q = model.encode(images.images)
    cost = q.kl().sum(1)
    lab.number.value = 7
    assert lab.row == 7
    assert lab.mu == pytest.approx(q.mu[7].tolist(), **FLOAT32)
    assert lab.sigma == pytest.approx(q.sigma[7].tolist(), rel=1e-5)
    assert sum(lab.kl) == pytest.approx(cost[7].item(), **FLOAT32)
    said = f"Image 7, labelled 3, pays {cost[7]:.4f} nats = {cost[7] / math.log(2):.4f} bits."
    assert said in lab.pays.value and f"40 images pay {cost.mean():.4f} nats on average" in lab.pays.value
    np.testing.assert_array_equal(shown(lab.original), (images.images[7, 0] * 255).round().numpy())

    lab.label.value = 2
    assert lab.row == 10
    lab.another.click()
    assert lab.row == lab.number.value == 14 and images.labels[14] == 2
    lab.label.value = -1
    lab.another.click()
    assert lab.row == 15
    lab.row = 39
    lab.another.click()
    assert lab.row == 0

    lab.sigma = (1, 1)
    assert lab.row is None and "No image chosen" in lab.pays.value and lab.original.layout.display == "none"
    lab.mu = q.mu[21] + 1e-4
    lab.nearest.click()
    assert lab.row == 21
    lab.label.value = 3
    from_page(lab.view, mu=[0.0, 0.0])
    lab.nearest.click()
    assert lab.row == torch.where(images.labels == 3, q.mu.square().sum(1), torch.inf).argmin()


def test_images_without_labels_or_a_model_without_codes(model, images):
    lab = vw.KLLab(model, images.images)
    lab.row = 3
    assert "Image 3, pays" in lab.pays.value and lab.label.disabled
    lab = vw.KLLab(model)
    assert lab.number.disabled and "carries no encoded images" in lab.pays.value
    with pytest.raises(IndexError, match="this lab has 0 images"):
        lab.row = 0


def test_the_default_model_carries_its_atlas(monkeypatch):
    monkeypatch.setattr("vaewidgets.widgets._core.encoded.load_test_images", lambda name: None)
    lab = vw.KLLab(row=100)
    assert lab.original.layout.display == "none"
    atlas = lab.model.atlas
    expected = Posterior(atlas.mu[100:101], atlas.logvar[100:101]).kl().sum().item()
    assert len(atlas.mu) == 10_000 and sum(lab.kl) == pytest.approx(expected, rel=1e-5)
    assert f"labelled {atlas.labels[100]}" in lab.pays.value
    assert lab.view.reach >= atlas.mu.abs().max()


def test_what_the_page_cannot_decode_the_kernel_does(wire, images):
    model = OwnDecoder(2, (1, 6, 5), hidden=(8,), seed=0)
    lab = vw.KLLab(model, images)
    assert "OwnDecoder.decode" in lab.view.reason and lab.view.networks == {}
    from_page(lab.view, mu=[1.0, -1.0], sigma=[0.5, 0.25])
    points = torch.tensor([[1, -1], [0.5, -1], [1.5, -1], [1, -0.75], [1, -1.25]])
    with torch.no_grad():
        expected = (model.decode(points) * 255).round().byte().numpy()
    assert lab.view.pixels == expected.tobytes() and lab.view.shape == [6, 5, 1]
    assert vw.KLLab(vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)).view.pixels == b""


def test_weights_that_change_elsewhere_are_sent():
    model = vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)
    lab = vw.KLLab(model)
    before = lab.view.networks
    with torch.no_grad():
        next(model.decoder.parameters()).add_(1)
    lab.weights_changed()
    assert lab.view.networks != before


def test_bad_use_is_refused_where_it_is_made(model, images):
    lab = vw.KLLab(model, images)
    before = repr(lab)
    for wrong, message in ((0, "never negative"), (-1, "never negative"), (1e7, "1e6"), (math.nan, "finite")):
        check_not_settable(lab, ("sigma", (1, wrong), ValueError, message))
        check_refused(vw.KLLab, ((model,), dict(sigma=(wrong, 1)), ValueError, message))
    check_not_settable(
        lab,
        ("mu", (1, 2, 3), ValueError, "3 values"),
        ("axis", "z3", traitlets.TraitError, "axis"),
        ("row", 40, IndexError, "row 40 is not there: this lab has 40 images"),
    )
    assert repr(lab) == before
    check_refused(
        vw.KLLab,
        ((vw.VAE(3, (1, 6, 5), hidden=(8,)),), {}, ValueError, "latent_dim=2; got 3"),
        ((vw.Autoencoder(2, (1, 6, 5), hidden=(8,)),), {}, TypeError, "needs a VAE"),
        ((object(),), {}, TypeError, "with encode"),
        ((model, torch.rand(3, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((model,), dict(sigmas=(1, 1)), TypeError, "'sigma'"),
    )


def test_the_page_lets_type_the_sigma_that_python_accepts(model):
    source = (WIDGETS / "gaussian/gaussian_view.js").read_text("utf-8")
    low, high = map(float, re.search(r"SIGMA_DOMAIN = \[(.*?), (.*?)\]", source).groups())
    lab = vw.KLLab(model, sigma=(low, high))
    assert lab.sigma == (low, high)
    outside = low / 1.01, high * 1.01
    check_not_settable(lab, *(("sigma", (1, wrong), ValueError, "sigma must be from") for wrong in outside))
