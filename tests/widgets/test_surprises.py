"""Surprises: every number worked out apart from the panel, one image at a time."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.models.conditional import ConditionalVAE

from .conftest import check_not_settable, check_refused, from_page
from .test_explorer import shown


@torch.no_grad()
def expected(model, images, seed=0):
    """Minus log p(x|z) and KL of each image, by torch's own distributions."""
    noise = torch.randn(len(images), model.latent_dim, generator=torch.Generator().manual_seed(seed))
    q = model.encode(images)
    normal = torch.distributions.Normal(q.mu, q.sigma)
    logits = model.decode_parameters(q.mu + q.sigma * noise)
    pixels = torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(images)
    kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1)
    return -pixels.sum((1, 2, 3)).numpy(), kl.numpy()


def test_the_images_come_in_the_order_of_their_nats(wire, model, images):
    panel = vw.Surprises(model, images, rank=2, seed=5)
    reconstruction, kl = expected(model, images.images, seed=5)
    np.testing.assert_allclose(panel.reconstruction, reconstruction, rtol=1e-5)
    np.testing.assert_allclose(panel.kl, kl, rtol=1e-4)
    np.testing.assert_allclose(panel.nats, reconstruction + kl, rtol=1e-5)
    assert panel.order.tolist() == sorted(range(40), key=lambda row: -panel.nats[row])
    assert panel.index == panel.order[2]

    from_page(panel.slider, value=11)
    row = panel.index
    assert row == panel.order[11] and panel.view.rank == 11
    np.testing.assert_array_equal(shown(panel.pair.original), to_uint8(images.images[row]))
    np.testing.assert_array_equal(
        shown(panel.pair.reconstruction), to_uint8(model(images.images[row : row + 1])[0])
    )
    assert (
        f"Rank 11 of 40, 0 being the most surprising: image {row}, labelled {row % 4}: minus ELBO "
        f"{panel.nats[row]:.2f} nats = reconstruction {reconstruction[row]:.2f} + KL {kl[row]:.2f} nats."
    ) in panel.state.value
    assert repr(panel) == "Surprises(images=40, rank=11)"
    from_page(panel.view, rank=39)
    assert panel.index == np.argmin(panel.nats) and panel.slider.value == 39


def test_the_page_gets_the_strip_and_the_histogram(wire, model, images):
    panel = vw.Surprises(model, images)
    view = panel.view
    falling = np.frombuffer(view.nats, "<f4")
    np.testing.assert_array_equal(falling, np.sort(panel.nats.astype("float32"))[::-1])
    for edge, following, count in zip(view.edges, view.edges[1:], view.counts, strict=False):
        last = following == view.edges[-1]
        assert count == sum(edge <= v < following or (last and v == following) for v in panel.nats)
    assert sum(view.counts) == 40 and f"median {np.sort(panel.nats)[19:21].mean():.2f}" in view.axis
    # Around any rank, and where it is chosen among its middle half the strip stays.
    for rank, start in ((0, 0), (5, 0), (6, 3), (11, 3), (12, 9), (29, 21), (30, 27), (35, 27), (39, 28)):
        panel.rank = rank
        assert view.start == start and start <= rank < start + 12
        rows = panel.order[start : start + 12]
        assert view.size == [6, 5, 1] and view.names == [str(row % 4) for row in rows]
        assert view.thumbs == b"".join(to_uint8(images.images[row]).tobytes() for row in rows)


def test_a_mislabelled_image_surprises_a_model_that_is_told_the_label(wire):
    model = ConditionalVAE(2, (1, 2, 2), classes=2, hidden=(4,), seed=0).requires_grad_(False)
    # It paints white for label 1 and black for label 0, whatever z is.
    model.decoder[-2].weight.zero_()
    model.decoder[0].weight.zero_()
    model.decoder[0].bias.zero_()
    model.decoder_label.weight.copy_(torch.tensor([[0.0], [1.0]]).expand(2, 4))
    model.decoder[-2].weight.fill_(2.0)
    model.decoder[-2].bias.fill_(-4.0)
    labels = torch.tensor([0, 1, 1, 0, 0, 1])
    pictures = labels.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()
    labels[4] = 1
    panel = vw.Surprises(model, vw.Images(pictures, labels, ("<b>dark</b>", "light")))
    assert panel.index == 4 and "labelled light" in panel.state.value
    assert panel.reconstruction[4] == pytest.approx(4 * math.log1p(math.exp(4)), rel=1e-5)
    assert shown(panel.pair.reconstruction).tolist() == [[250, 250], [250, 250]], "told its label"
    panel.rank = panel.order.tolist().index(0)
    assert "&lt;b&gt;dark&lt;/b&gt;" in panel.state.value and "<b>" not in panel.state.value


@pytest.mark.parametrize("shape", [(3, 8, 130), (1, 70, 3), (3, 4, 4)])
def test_colour_and_any_size_without_labels(wire, shape):
    pictures = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    model = vw.Autoencoder(2, shape, hidden=(4,), likelihood="gaussian", sigma=0.5, seed=0)
    panel = vw.Surprises(model, pictures, rank=1)
    with torch.no_grad():
        squares = ((model(pictures) - pictures) ** 2).double().sum((1, 2, 3)).numpy()
    constant = math.prod(shape) * 0.5 * math.log(2 * math.pi * 0.25)
    np.testing.assert_allclose(panel.nats, squares / 0.5 + constant, rtol=1e-4)
    assert not panel.kl.any() and "KL" not in panel.state.value
    assert f"minus log p(x|z) {panel.nats[panel.index]:.2f} nats." in panel.state.value
    rows, columns, channels = panel.view.size
    assert (
        max(rows, columns) == min(60, max(shape)) and len(panel.view.thumbs) == 3 * rows * columns * channels
    )
    assert panel.view.names == [f"image {row}" for row in panel.order]


def test_numbers_of_other_weights_are_said_to_be_so(wire, model, images):
    panel = vw.Surprises(model, images, rank=3)
    before = panel.nats
    with torch.no_grad():
        model.mu.weight *= 0.1
    panel.weights_changed()
    assert "trained since" in panel.stale.value and panel.nats is before
    panel.again.click()
    assert panel.stale.value == "" and panel.rank == 3
    np.testing.assert_allclose(panel.nats, sum(expected(model, images.images)), rtol=1e-5)


def test_a_single_image(wire, model, images):
    panel = vw.Surprises(model, images.images[:1])
    assert panel.index == 0 and panel.view.names == ["image 0"]


def test_bad_use_is_refused_where_it_is_made(wire, model, images):
    panel = vw.Surprises(model, images)
    check_not_settable(panel, *(("rank", rank, ValueError, "from 0 to 39") for rank in (-1, 40)))
    assert panel.rank == 0
    bare = SimpleNamespace(latent_dim=2, decode=model.decode)
    check_refused(
        vw.Surprises,
        ((model, images), dict(rank=-1), ValueError, "from 0 to 39"),
        ((model, images), dict(rank=40), ValueError, "from 0 to 39"),
        ((model, images), dict(ranks=3), TypeError, "Did you mean 'rank'"),
        ((object(), images), {}, TypeError, "latent_dim and decode"),
        ((model, torch.rand(3, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((ConditionalVAE(2, (1, 6, 5), classes=4), images.images), {}, ValueError, "Images with labels"),
        ((bare, images), {}, TypeError, "needs encode, as a VAE"),
    )
    with torch.no_grad():
        model.decoder[0].weight.fill_(math.nan)
    with pytest.raises(ValueError, match="40 of 40 images nats that are not finite"):
        vw.Surprises(model, images)
