"""The pad: what Python makes of a drawing, held against torch; what may be assigned, and what is sent."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import traitlets
from torch.distributions import Normal, kl_divergence

import vaewidgets as vw
from vaewidgets.widgets._core.bundle import WIDGETS
from vaewidgets.widgets._core.model_lock import notify
from vaewidgets.widgets.draw_pad.draw_pad import NEIGHBOURS

from .conftest import FLOAT32, check_not_settable, check_refused, from_page


def drawing(seed=0, shape=(6, 5)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype("float32")


@torch.no_grad()
def code_of(model) -> list[float]:
    """The code of the drawing with seed 0, as the model gives it."""
    q = model.encode(torch.from_numpy(drawing())[None, None])
    return getattr(q, "mu", q)[0].tolist()


@pytest.fixture
def model() -> vw.VAE:
    """A small untrained model of 6 x 5 images that the page can run, with codes well spread out."""
    model = vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0)
    with torch.no_grad():
        model.mu.weight *= 8
    return model


def draw(panel, image, strokes=()) -> None:
    """Deliver what the page says when a stroke ends: one message, the image in a buffer."""
    pixels = b"" if image is None else np.asarray(image, "<f4").tobytes()
    state = {"strokes": [{"width": 0.1, "points": points} for points in strokes], "pixels": None}
    content = {
        "comm_id": panel.pad.comm.comm_id,
        "data": {"method": "update", "state": state, "buffer_paths": [["pixels"]]},
    }
    panel.pad.comm.handle_msg({"content": content, "buffers": [memoryview(pixels)]})


@torch.no_grad()
def test_a_stroke_brings_image_posterior_reconstruction_and_vote(wire, model, images):
    panel = vw.DrawPad(model, images)
    assert repr(panel) == "DrawPad(latent_dim=2, empty)"
    assert (panel.image, panel.mu, panel.sigma, panel.kl, panel.reconstruction, panel.vote) == (None,) * 6
    x, strokes = drawing(), [[[0.25, 0.5], [0.75, 0.5]], [[0.1, 0.1]]]
    wire.clear()
    draw(panel, x, strokes)
    assert panel.image.dtype == "float32" and np.array_equal(panel.image, x)
    assert [s.tolist() for s in panel.strokes] == strokes
    q = model.encode(torch.from_numpy(x)[None, None])
    assert panel.mu == pytest.approx(q.mu[0].tolist(), **FLOAT32)
    assert panel.sigma == pytest.approx(q.logvar[0].div(2).exp().tolist(), **FLOAT32)
    kl = kl_divergence(Normal(q.mu, q.logvar.div(2).exp()), Normal(0.0, 1.0)).sum().item()
    assert panel.kl == pytest.approx(kl, **FLOAT32)
    np.testing.assert_allclose(panel.reconstruction, model.decode(q.mu)[0, 0].numpy(), rtol=1e-5)
    distances = torch.cdist(q.mu.double(), model.encode(images.images).mu.double())[0]
    votes = torch.bincount(images.labels[distances.argsort()[:10]])
    assert panel.vote == (votes.argmax().item(), votes.max().item(), 10)
    assert repr(panel) == f"DrawPad(latent_dim=2, mu=({panel.mu[0]:.2f}, {panel.mu[1]:.2f}))"
    # The page has it all already.
    assert wire.updates(panel.pad) == []
    draw(panel, None)
    assert (panel.image, panel.mu, panel.sigma, panel.kl, panel.vote, panel.strokes) == (*[None] * 5, [])


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x,
        lambda x: x.astype("float64"),
        lambda x: x[None],
        lambda x: x.tolist(),
        lambda x: torch.from_numpy(x).requires_grad_(True),
        lambda x: torch.from_numpy(x)[None].double(),
    ],
)
def test_an_image_is_assigned_as_array_list_or_tensor(wire, model, convert):
    panel = vw.DrawPad(model)
    draw(panel, drawing(1), [[[0.5, 0.5]]])
    wire.clear()
    panel.image = convert(drawing())
    assert panel.image.dtype == "float32" and np.array_equal(panel.image, drawing())
    assert panel.mu == pytest.approx(code_of(model), **FLOAT32)
    # In one message the strokes go and the image comes.
    (update,) = wire.updates(panel.pad)
    assert update["strokes"] == [] and "pixels" not in update, "the pixels travel in a buffer"
    assert panel.pad.pixels == drawing().tobytes()
    panel.clear()
    assert panel.image is None and panel.pad.pixels == b""


def test_bytes_and_booleans(wire, model):
    panel = vw.DrawPad(model, image=np.full((6, 5), 51, "uint8"))
    assert np.array_equal(panel.image, np.full((6, 5), 0.2, "float32"))
    panel.image = drawing() > 0.5
    assert set(np.unique(panel.image)) == {0, 1}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (np.ones((5, 6)), ValueError, r"image must have shape \(6, 5\), that of this model's images; got"),
        (np.ones((2, 6, 5)), ValueError, r"got \(2, 6, 5\)"),
        (np.full((6, 5), 1.5), ValueError, r"within \[0, 1\]; got values from 1.5 to 1.5"),
        (np.full((6, 5), np.nan), ValueError, "finite"),
        (np.ones((6, 5), int), TypeError, r"floats in \[0, 1\] or bytes \(uint8\); got int64"),
        ("three", TypeError, "an array of numbers or None; got 'three'"),
        ([[1], [2, 3]], TypeError, "an array of numbers"),
    ],
)
def test_what_is_no_image_is_refused_and_the_old_one_stays(wire, model, value, error, message):
    panel = vw.DrawPad(model, image=drawing())
    check_not_settable(panel, ("image", value, error, message))
    check_refused(vw.DrawPad, ((model,), dict(image=value), error, message))
    assert np.array_equal(panel.image, drawing())


def test_the_image_is_linked_both_ways_to_another_panel_and_to_any_trait(wire, model):
    class Other(traitlets.HasTraits):
        image = traitlets.Any()

    one, two, other = vw.DrawPad(model), vw.DrawPad(model), Other()
    traitlets.link((one, "image"), (two, "image"))
    traitlets.link((two, "image"), (other, "image"))
    draw(one, drawing())
    assert np.array_equal(other.image, drawing()) and two.mu == one.mu
    two.image = drawing(1)
    assert np.array_equal(one.image, drawing(1)) and np.array_equal(other.image, drawing(1))
    changes = []
    one.observe(changes.append, "image")
    one.image = drawing(1)
    assert changes == [], "the same image again is no change"
    two.clear()
    assert one.image is None and other.image is None and one.mu is None and len(changes) == 1


def test_an_image_is_an_ordinary_array_in_all_but_the_truth_of_a_comparison(wire, model):
    image = vw.DrawPad(model, image=drawing()).image
    assert (image == drawing()).tolist() == np.full((6, 5), True).tolist()
    assert [bool(image == drawing(k)) for k in (0, 1)] == [True, False]
    assert [bool(image != drawing(k)) for k in (0, 1)] == [False, True]
    assert type(image * 2) is np.ndarray and np.isscalar(image.sum())
    assert torch.equal(torch.from_numpy(image), torch.from_numpy(drawing()))


def test_an_autoencoder_has_a_code_and_no_cloud(wire, images):
    model = vw.Autoencoder(2, (1, 6, 5), hidden=(8,), seed=0)
    panel = vw.DrawPad(model, images, image=drawing())
    assert panel.mu == pytest.approx(code_of(model), **FLOAT32)
    assert (panel.sigma, panel.kl, panel.vote.of) == (None, None, 10)
    assert repr(panel).startswith("DrawPad(latent_dim=2, z=(")
    assert not panel.figure.layout.shapes and not panel.pad.prior
    panel.zoom.value = True
    assert panel.figure.layout.xaxis.range[0] < panel.mu[0] < panel.figure.layout.xaxis.range[1]


@pytest.mark.parametrize("d", [1, 3])
def test_other_numbers_of_dimensions(wire, images, d):
    model = vw.VAE(d, (1, 6, 5), hidden=(8,), seed=0)
    panel = vw.DrawPad(model, images, image=drawing())
    assert len(panel.mu) == len(panel.sigma) == d
    assert np.frombuffer(panel.pad.codes, "<f4").reshape(40, d) == pytest.approx(panel.codes)
    panel.zoom.value = True
    low, high = panel.figure.layout.xaxis.range
    assert (low + high) / 2 == pytest.approx(panel.mu[0], abs=1e-6)
    assert (high - low) / 2 == pytest.approx(6 * max(panel.sigma[:2]), rel=1e-5)
    draw(panel, drawing(1))
    assert sum(panel.figure.layout.xaxis.range) / 2 == pytest.approx(panel.mu[0], abs=1e-6)
    panel.zoom.value = False
    assert panel.figure.layout.xaxis.range[0] <= -3.5


def test_a_model_without_codes_or_labels_has_no_vote(wire, model, images):
    assert vw.DrawPad(model, image=drawing()).vote is None
    assert vw.DrawPad(model, images.images, image=drawing()).vote is None
    few = vw.DrawPad(model, vw.Images(images.images[:3], torch.tensor([2, 2, 1])), image=drawing())
    assert few.vote == (2, 2, 3)


def test_what_the_page_cannot_encode_the_kernel_answers(wire, images):
    class Mine(vw.VAE):
        def encode(self, x):
            return super().encode(1 - x)

    panel = vw.DrawPad(Mine(2, (1, 6, 5), hidden=(8,), seed=0), images)
    assert "Mine.encode" in panel.pad.reason and "by the kernel" in panel.where.value
    wire.clear()
    draw(panel, drawing())
    (update,) = wire.updates(panel.pad)
    assert list(update) == ["answer"]
    answer = panel.pad.answer
    assert answer["mu"] == list(panel.mu)
    assert np.exp(np.array(answer["logvar"]) / 2) == pytest.approx(panel.sigma)
    assert answer["reconstruction"] == panel.reconstruction.tobytes()
    draw(panel, None)
    assert list(panel.pad.answer) == ["serial"]


def test_it_follows_a_training(wire, model, images):
    panel = vw.DrawPad(model, images, image=drawing())
    before, sent, codes = panel.mu, panel.pad.networks, panel.codes.copy()
    with torch.no_grad():
        model.mu.weight *= -1
    notify(model, None)
    assert panel.mu == pytest.approx(code_of(model), **FLOAT32) != before
    assert not np.allclose(panel.codes, codes)
    assert np.array_equal(np.frombuffer(panel.pad.codes, "<f4"), panel.codes.ravel())
    assert panel.pad.networks != sent


def test_an_encoder_that_answers_nonsense_says_so(wire, model):
    panel = vw.DrawPad(model)
    with torch.no_grad():
        model.mu.bias[0] = torch.nan
    draw(panel, drawing())  # an error in what the page asked for is shown, not raised
    assert "numbers that are not finite" in panel.error_line.value
    with pytest.raises(ValueError, match="not finite"):
        panel.image = drawing(1)


def test_frames(wire, model):
    assert vw.DrawPad(model).pad.frame == pytest.approx([20 / 28, 14.5 / 28])
    assert vw.DrawPad(vw.pretrained("digits-vae-2d")).pad.frame == [1, 0.5]
    assert vw.DrawPad(model, frame="digits").pad.frame == [1, 0.5]
    check_refused(
        vw.DrawPad,
        ((model,), dict(frame="emnist"), ValueError, "frame must be one of mnist, digits; got 'emnist'"),
    )


def test_bad_use_is_refused_where_it_is_made(wire, model, images):
    colour = vw.VAE(2, (3, 4, 4), hidden=(8,), seed=0)
    blind = SimpleNamespace(latent_dim=2, image_shape=(1, 4, 4), decode=model.decode)
    shapeless = SimpleNamespace(latent_dim=2, encode=model.encode, decode=model.decode)
    check_refused(
        vw.DrawPad,
        ((colour,), {}, ValueError, r"\(1, H, W\); this model's have shape \(3, 4, 4\)"),
        ((blind,), {}, TypeError, "SimpleNamespace has no encode"),
        ((shapeless,), {}, TypeError, "latent_dim and image_shape; got SimpleNamespace"),
        ((model, torch.rand(3, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((model,), dict(imag=drawing()), TypeError, "Did you mean 'image'"),
    )
    with pytest.raises(traitlets.TraitError, match="read-only"):
        vw.DrawPad(model).mu = (0.0, 0.0)


def test_the_page_asks_as_many_neighbours():
    source = (WIDGETS / "draw_pad/board.js").read_text("utf-8")
    assert f"const NEIGHBOURS = {NEIGHBOURS};" in source


def test_the_zoom_is_pressed_in_the_page(wire, model):
    panel = vw.DrawPad(model)
    from_page(panel.zoom, value=True)
    assert panel.figure.layout.xaxis.range[0] == pytest.approx(-3.5), "nothing is drawn to zoom to"
    draw(panel, drawing())
    assert sum(panel.figure.layout.yaxis.range) / 2 == pytest.approx(panel.mu[1], abs=1e-6)
