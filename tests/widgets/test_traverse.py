"""Traverse without a browser: what is sorted, held, decoded and said, against independent computations."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.widgets._core.model_lock import followers
from vaewidgets.widgets._core.network_spec import describe, describe_classifier
from vaewidgets.widgets.traverse.traverse_view import describe_given

from .conftest import FLOAT32, OwnDecoder, check_refused, from_page, told_of
from .test_explorer import decoded, shown

DEAD = [1, 3]


@pytest.fixture
def model() -> vw.VAE:
    """d = 5, of which two dimensions have collapsed to the prior."""
    model = vw.VAE(5, (1, 6, 5), hidden=(16,), seed=0)
    with torch.no_grad():
        model.mu.weight *= 8
        for head in (model.mu, model.logvar):
            head.weight[DEAD] = 0
            head.bias[DEAD] = 0
    return model.requires_grad_(False)


@pytest.fixture
def conditional() -> ConditionalVAE:
    """Labels 0 to 3, each with a shift of its own in encoder and decoder."""
    model = ConditionalVAE(5, (1, 6, 5), classes=4, hidden=(16,), seed=0)
    for table in (model.encoder_label, model.decoder_label):
        torch.nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(2))
    return model.requires_grad_(False)


@pytest.fixture
def judge() -> Classifier:
    """Untrained, but sure of itself now and then."""
    judge = Classifier((1, 6, 5), classes=4, hidden=(4,), seed=0).requires_grad_(False)
    judge.layers[-1].weight.mul_(60)
    return judge


def tile(panel, name: str) -> np.ndarray:
    return np.frombuffer(panel.view.tiles[name], np.uint8).reshape(-1, *panel.view.shape)


def expected_tile(images) -> np.ndarray:
    return (images * 255).round().to(torch.uint8).numpy()


# -- sorted by KL -------------------------------------------------------------------------------------------


def test_dimensions_are_sorted_by_their_mean_kl_and_the_dead_ones_said_so(model, images):
    panel = vw.Traverse(model, images)
    q = model.encode(images.images)
    expected = kl_divergence(Normal(q.mu, q.sigma), Normal(0.0, 1.0)).mean(0)
    np.testing.assert_allclose(panel.kl, expected, rtol=1e-5, atol=1e-6)
    assert panel.order == sorted(range(5), key=lambda k: -expected[k])
    assert panel.dead == DEAD and panel.order[3:] == DEAD
    rows = panel.view.dimensions
    assert [row["index"] for row in rows] == panel.order
    for row in rows[:3]:
        assert row["text"] == f"{expected[row['index']]:.2f} nats" and not row["dead"]
        assert row["share"] == pytest.approx(expected[row["index"]].item() / expected.max().item(), rel=1e-5)
    assert [row["text"] for row in rows[3:]] == ["does nothing: 0.00 nats"] * 2
    assert all(row["dead"] for row in rows[3:])
    assert panel.dimension == panel.order[0]
    assert "tell images apart: 3 of 5" in panel.state.value


@pytest.mark.parametrize(("logvar", "spread"), [(math.log(0.5), 0.0), (0.0, 0.1)])
def test_one_sign_of_life_is_not_enough(model, images, logvar, spread):
    """A dimension whose mu never moves tells nothing whatever it costs; nor does one below .01 nat."""
    model.logvar.bias[1] = logvar
    model.mu.bias[1] = spread
    panel = vw.Traverse(model, images)
    assert (panel.kl[1] > 0.01) == (logvar != 0) and panel.dead == DEAD


def test_an_autoencoder_is_sorted_by_the_spread_of_its_codes(images):
    model = vw.Autoencoder(4, (1, 6, 5), hidden=(16,), seed=0).requires_grad_(False)
    model.code.weight[2] = 0
    panel = vw.Traverse(model, images)
    codes = model.encode(images.images)
    assert panel.kl is None and panel.dead == [2]
    assert panel.order == codes.std(0).argsort(descending=True).tolist()
    assert panel.view.dimensions[0]["text"] == f"spread {codes.std(0).max():.2f}"
    k = panel.order[1]
    panel.dimension = k
    middle, spread = codes[:, k].mean().item(), codes[:, k].std().item()
    np.testing.assert_allclose(panel.strip()[:, k], middle + spread * np.arange(-3, 3.1, 0.5), rtol=1e-4)
    assert "prior" not in panel.state.value
    with pytest.raises(ValueError, match="Autoencoder has no prior"):
        panel.draw_ends(0)


# -- z, row, label, dimension -------------------------------------------------------------------------------


def test_a_row_takes_z_to_its_mu_and_shows_its_pictures(wire, model, images):
    panel = vw.Traverse(model, images, row=3)
    mu = model.encode(images.images).mu
    assert panel.z == pytest.approx(mu[3].tolist(), **FLOAT32)
    panel.row = 17
    assert panel.z == pytest.approx(mu[17].tolist(), **FLOAT32) == panel.view.z
    np.testing.assert_array_equal(shown(panel.original), to_uint8(images.images[17]))
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(model, panel.z))
    nats = model.encode(images.images[17:18]).kl().sum()
    assert f"Image 17, labelled 1: KL = {nats:.2f} nats." in panel.details.value
    panel.z = (0, 1, 2, 3, 4)
    assert panel.row == 17 and panel.row_box.value == 17
    np.testing.assert_array_equal(panel.image, decoded(model, panel.z))
    assert f"norm of z is {math.sqrt(30):.2f}" in panel.state.value
    panel.back.click()
    assert panel.z == pytest.approx(mu[17].tolist(), **FLOAT32)
    assert repr(panel) == f"Traverse(latent_dim=5, row=17, dimension={panel.order[0]})"


def test_an_image_is_chosen_by_its_label(wire, model, images):
    panel = vw.Traverse(model, images)
    from_page(panel.wanted, index=[value for _, value in panel.wanted.options].index(2))
    assert panel.row == 2
    panel.another.click()
    assert panel.row == 6
    from_page(panel.row_box, value=13)
    assert panel.row == 13
    panel.another.click()
    assert panel.row == 14
    panel.wanted.value = "any"
    panel.another.click()
    assert panel.row == 15


def test_a_hand_moves_z_in_one_message_that_is_not_sent_back(wire, model, images):
    panel = vw.Traverse(model, images)
    z = [0.1, 0.2, 0.3, 0.4, 0.123456789]
    wire.clear()
    from_page(panel.view, z=z, dimension=4)
    assert panel.z == tuple(z) and panel.dimension == 4
    assert "z5 = 0.12" in panel.state.value
    # An echo of the message itself carries nothing else, and nothing that differs.
    for state in wire.updates(panel.view):
        assert state.get("z", z) == z and "tiles" not in state
    panel.z = np.arange(5)
    assert wire.updates(panel.view)[-1]["z"] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_the_strip_holds_all_others(model, images):
    panel = vw.Traverse(model, images, dimension=2, z=(1, 2, 3, 4, 5))
    points = panel.strip()
    assert points.shape == (13, 5)
    np.testing.assert_allclose(points[:, 2], np.arange(-3, 3.1, 0.5))
    np.testing.assert_array_equal(np.delete(points, 2, 1), [[1, 2, 4, 5]] * 13)


def test_a_conditional_model_is_told_the_label(wire, conditional, images):
    panel = vw.Traverse(conditional, images, row=6)
    mu = conditional.encode(images.images, images.labels).mu
    assert panel.label == 2 and panel.z == pytest.approx(mu[6].tolist(), **FLOAT32)
    assert panel.view.classes == ["0", "1", "2", "3"]
    from_page(panel.view, label=3)
    assert panel.label == 3 and panel.z == pytest.approx(mu[6].tolist(), **FLOAT32)
    np.testing.assert_array_equal(panel.image, decoded(conditional.given(3), panel.z))
    # The reconstruction is that of the image, whatever is told.
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(conditional.given(2), mu[6]))
    panel.row = 5
    assert panel.label == 1 == panel.view.label
    assert repr(panel) == f"Traverse(latent_dim=5, row=5, label=1, dimension={panel.dimension})"


def test_the_page_can_put_every_label_into_the_weights(conditional):
    description, start, values = describe_given(conditional, 4)
    table = np.frombuffer(values, "<f4").reshape(4, -1)
    assert table.shape == (4, 16)
    for label in range(4):
        weights = np.frombuffer(description.weights, "<f4").copy()
        weights[start : start + 16] = table[label]
        assert weights.tobytes() == describe(conditional.given(label)).weights


def test_an_atlas_serves_and_its_pictures_are_looked_for(digits):
    model = vw.pretrained("digits-vae-2d")
    panel = vw.Traverse(model, row=5)
    np.testing.assert_allclose(panel.z, model.atlas.mu[5])
    np.testing.assert_array_equal(shown(panel.original), to_uint8(digits.test.images[5]))
    # As many codes, but not of these images: their pictures are not shown for those.
    model.atlas = EncodedDataset(*(part.flip(0) for part in model.atlas))
    panel = vw.Traverse(model, row=5)
    assert "Its own picture is not on this machine" in panel.details.value
    assert panel.chooser.pair.children[0].layout.display == "none"
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(model, panel.z))
    model.train_atlas, model.atlas = model.atlas, None
    assert "Training image 0" in vw.Traverse(model).details.value


# -- two ways from A to B -----------------------------------------------------------------------------------


def test_paths_norms_and_holes(model, images, judge):
    panel = vw.Traverse(model, images, judge=judge)
    panel.set_ends(4, 11)
    mu = model.encode(images.images).mu.double().numpy()
    assert panel.a == pytest.approx(mu[4].tolist(), **FLOAT32)
    assert panel.b == pytest.approx(mu[11].tolist(), **FLOAT32)
    assert panel.view.ends == "A is image 4, labelled 0; B is image 11, labelled 3."
    t = np.arange(41)[:, None] / 40
    line = mu[4] + t * (mu[11] - mu[4])
    np.testing.assert_allclose(panel.path(), line, atol=1e-6)
    # The great circle by its own definition: equal angles from A in the plane of A and B.
    a, b = mu[4] / np.linalg.norm(mu[4]), mu[11] / np.linalg.norm(mu[11])
    angle = math.acos(a @ b)
    up = (b - (a @ b) * a) / math.sin(angle)
    panel.set_ends(a, b)
    circle = np.cos(t * angle) * a + np.sin(t * angle) * up
    np.testing.assert_allclose(panel.path("great-circle"), circle, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(panel.path("great-circle"), axis=1), 1, atol=1e-6)

    panel.set_ends([-9, 0, 9, 0, 9], [9, 9, -9, 0, 0])
    for kind in ("line", "great-circle"):
        points = torch.tensor(panel.path(kind), dtype=torch.float32)
        sure = judge.probabilities(model.decode(points))[:, :4].max(1).values
        np.testing.assert_allclose(panel.confidence(kind), sure, atol=1e-5)
        assert panel.holes(kind) == sum(value < 0.9 for value in sure.tolist()) / 41
        assert 0 < panel.holes(kind) < 1, "else a wrong threshold would not show"


def test_two_draws_from_the_prior_are_those_of_their_seed(wire, model, images):
    panel = vw.Traverse(model, images)
    from_page(panel.view, draws=1)
    drawn = torch.randn(2, 5, generator=torch.Generator().manual_seed(1)).tolist()
    assert [panel.a, panel.b] == [pytest.approx(end) for end in drawn]
    assert f"A is a point of norm {math.hypot(*drawn[0]):.2f}; B is" in panel.view.ends
    from_page(panel.view, a=list(range(5)), t=0.25)
    assert panel.a == (0, 1, 2, 3, 4) and panel.t == 0.25


# -- what the page cannot run -------------------------------------------------------------------------------


def test_the_kernel_decodes_and_judges_where_the_page_cannot(wire, images):
    model = OwnDecoder(5, (1, 6, 5), hidden=(16,), seed=0).requires_grad_(False)

    class Judge(torch.nn.Module):
        def confidence(self, x):
            return x.mean((1, 2, 3))

    panel = vw.Traverse(model, images, judge=Judge())
    assert "OwnDecoder.decode" in panel.view.reason and "Judge" in panel.view.judge_reason
    assert "decoded by the kernel: OwnDecoder.decode" in panel.where.value and panel.view.networks == {}
    from_page(panel.view, z=[1.0, 0.0, -1.0, 2.0, 0.5], dimension=2)
    np.testing.assert_array_equal(tile(panel, "z"), expected_tile(model.decode(torch.tensor([panel.z]))))
    strip = torch.tensor(panel.strip(), dtype=torch.float32)
    np.testing.assert_array_equal(tile(panel, "strip"), expected_tile(model.decode(strip)))
    panel.set_ends(1, 2)
    for kind in ("line", "great-circle"):
        points = torch.tensor(panel.path(kind), dtype=torch.float32)
        np.testing.assert_array_equal(tile(panel, kind), expected_tile(model.decode(points[::4])))
        # Means of 30 pixels in float32, decoded in batches of other sizes.
        confidence = model.decode(points).mean((1, 2, 3)).tolist()
        assert panel.view.confidence[kind] == pytest.approx(confidence, rel=1e-5)
    from_page(panel.view, t=0.3)
    at = torch.tensor(np.stack([panel.path(kind)[12] for kind in ("line", "great-circle")])).float()
    np.testing.assert_array_equal(tile(panel, "at"), expected_tile(model.decode(at)))


def test_the_kernel_decodes_every_label_where_the_page_cannot(wire, images):
    class Own(ConditionalVAE):
        def decode(self, z, labels=None):
            return super().decode(z, labels) ** 2

    model = Own(5, (1, 6, 5), classes=4, hidden=(16,), seed=0).requires_grad_(False)
    panel = vw.Traverse(model, images)
    assert "Own.decode is not that of a ConditionalVAE" in panel.view.reason
    from_page(panel.view, z=[1.0, 0.0, -1.0, 2.0, 0.5], label=3)
    z = torch.tensor([panel.z])
    np.testing.assert_array_equal(
        tile(panel, "labels"), expected_tile(model.decode(z.expand(4, -1), torch.arange(4)))
    )
    for name, points in (("z", z), ("strip", torch.tensor(panel.strip(), dtype=torch.float32))):
        told = torch.full((len(points),), 3)
        np.testing.assert_array_equal(tile(panel, name), expected_tile(model.decode(points, told)))
    line = torch.tensor(panel.path()[::4], dtype=torch.float32)
    np.testing.assert_array_equal(
        tile(panel, "line"), expected_tile(model.decode(line, torch.full((11,), 3)))
    )


def test_the_page_is_sent_decoder_and_judge_once(wire, model, images, judge):
    panel = vw.Traverse(model, images, judge=judge)
    told = {"model": told_of(describe(model)), "judge": told_of(describe_classifier(judge))}
    assert panel.view.networks == told
    assert not panel.view.tiles and not panel.view.confidence
    wire.clear()
    panel.row = 4
    panel.t = 0.75
    panel.dimension = 3
    sent = {name for state in wire.updates(panel.view) for name in state}
    assert sent <= {"z", "t", "dimension"}
    model.decoder[0].weight.mul_(2)
    assert panel in followers(model)
    panel.weights_changed()
    assert panel.view.networks == {**told, "model": told_of(describe(model))} != told
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(model, panel.mu[4]))


# -- bad use ------------------------------------------------------------------------------------------------


def test_bad_use_is_refused_where_it_is_made(model, conditional, images, judge):
    wide, of_ten = Classifier((1, 8, 8), hidden=(4,)), Classifier((1, 6, 5), 10, hidden=(4,))
    check_refused(
        vw.Traverse,
        ((object(),), {}, TypeError, "latent_dim and decode"),
        ((vw.VAE(1, (1, 6, 5), hidden=(4,)), images), {}, ValueError, "only one"),
        ((model,), {}, ValueError, "give images"),
        ((model, torch.rand(3, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((conditional, images.images), {}, ValueError, "with its label"),
        ((model, images), dict(row=40), ValueError, "from 0 to 39"),
        ((model, images), dict(dimension=5), ValueError, "from 0 to 4"),
        ((model, images), dict(label=1), ValueError, "VAE takes no label"),
        ((conditional, images), dict(label=4), ValueError, "from 0 to 3; got 4"),
        ((model, images), dict(z=(0, 1)), ValueError, "z has 2 values"),
        ((model, images), dict(t=1.5), ValueError, "t must be from 0"),
        ((model, images), dict(judge=3), TypeError, r"confidence\(x\)"),
        ((model, images), dict(judge=wide), ValueError, "1, 8, 8"),
        ((conditional, images), dict(judge=of_ten), ValueError, "10 classes"),
        ((model, images), dict(dimensions=2), TypeError, "Did you mean 'dimension'"),
    )
    panel = vw.Traverse(model, images)
    for change, error, words in [
        (lambda: panel.path("arc"), ValueError, "great-circle"),
        (lambda: panel.holes(), ValueError, "has no judge"),
        (lambda: panel.set_ends(0, 40), IndexError, "row 40"),
        (lambda: panel.set_ends(0, (1, 2)), ValueError, "2 values"),
    ]:
        with pytest.raises(error, match=words):
            change()
    assert panel.row == 0 and len(panel.a) == 5
