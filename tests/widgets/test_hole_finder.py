"""HoleFinder without a browser: counts, places, backgrounds and readings, each worked out apart from it."""

import math
import re

import numpy as np
import pytest
import torch
from matplotlib.path import Path

import vaewidgets as vw
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.models.classifier import Classifier
from vaewidgets.widgets._core.network_spec import UnsupportedLayerError, describe_classifier
from vaewidgets.widgets.hole_finder.density_contours import density_lines

from .conftest import OwnDecoder, check_not_settable, check_refused, from_page

SHAPE, CLASSES = (1, 6, 5), 4


def make(kind=vw.Autoencoder, *, codes=120, scale=1.0, offset=0.0, d=2, shape=SHAPE, classes=CLASSES):
    """An untrained model with an atlas of made-up codes, whose pictures differ from place to place."""
    model = kind(d, shape, hidden=(16,), seed=0)
    noise = torch.Generator().manual_seed(1)
    mu = offset + scale * torch.randn(codes, d, generator=noise)
    logvar = torch.full_like(mu, -3.0) if kind is vw.VAE else None
    model.atlas = EncodedDataset(mu, logvar, torch.arange(codes) % classes)
    with torch.no_grad():
        model.decoder[0].weight *= 3
    return model


def make_judge(shape=SHAPE, classes=CLASSES):
    """An untrained classifier that is sure here and unsure there."""
    judge = Classifier(shape, classes, hidden=(6,), seed=2)
    with torch.no_grad():
        judge.layers[-1].weight *= 30
    return judge


@pytest.fixture
def pair():
    return make(scale=20.0, offset=7.0), make(vw.VAE)


@pytest.fixture
def panel(wire, pair):
    return vw.HoleFinder(*pair, make_judge(), tau=0.9, cells=8)


def judged(model, judge, z) -> torch.Tensor:
    """How sure `judge` is at each z, from logits and one at a time."""
    sure = []
    with torch.no_grad():
        for point in torch.as_tensor(np.asarray(z), dtype=torch.float32):
            logits = judge.layers(model.decode(point[None]))[0]
            sure.append((logits[:-1].exp() / logits.exp().sum()).max())
    return torch.stack(sure)


def text(html) -> str:
    return re.sub("<.*?>", " ", html.value)


def floats(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<f4")


# --- counting ----------------------------------------------------------------------------------------


def test_a_count_is_that_of_the_seed_and_its_interval_is_wilsons(panel, pair):
    panel.sampler = "VAE at prior"
    rate = panel.draw(200)
    z = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    holes = int((judged(pair[1], panel.judge, z) < 0.9).sum())
    assert 20 < holes < 180
    assert (rate.count, rate.n) == (holes, 200) and panel.counts == {"VAE at prior": rate}
    p, n, q = holes / 200, 200, 1.959964
    middle, half = p + q * q / (2 * n), q * math.sqrt(p * (1 - p) / n + q * q / (4 * n * n))
    assert rate.low == pytest.approx((middle - half) / (1 + q * q / n), abs=1e-6)
    assert rate.high == pytest.approx((middle + half) / (1 + q * q / n), abs=1e-6)
    found = f"VAE at prior: {holes} of 200 draws are holes (best class under 0.90): {100 * p:.1f} %"
    assert f"{found}, 95 % interval {100 * rate.low:.1f} to {100 * rate.high:.1f} %." in text(panel.state)
    row = next(row for row in panel.table.value.split("<tr") if "VAE at prior" in row)
    assert re.findall(r"<td>(.*?)</td>", row)[:3] == ["200", str(holes), f"{100 * p:.1f} %"]
    assert "vw-chosen" in row and panel.table.value.count("<td>0</td>") == 5


def test_every_sampler_draws_on_its_own_side_and_whatever_was_drawn_before(pair):
    def count(names) -> dict:
        panel = vw.HoleFinder(*pair, make_judge(), tau=0.9, cells=2, seed=5)
        for name in names:
            panel.sampler = name
            panel.draw(50)
        return {name: panel.draws(name) for name in panel.samplers}

    names = vw.HoleFinder(*pair, make_judge(), cells=2).samplers
    assert names == (
        "AE at N(0, I)", "AE at matched Gaussian", "AE at mixture",
        "VAE at prior", "VAE at mixture", "VAE at aggregate posterior",
    )  # fmt: skip
    forwards, backwards = count(names), count(reversed(names))
    for name in names:
        np.testing.assert_array_equal(forwards[name][0], backwards[name][0])
        np.testing.assert_array_equal(forwards[name][1], backwards[name][1])
        model = pair[name.startswith("VAE")]
        np.testing.assert_allclose(
            forwards[name][1], judged(model, make_judge(), forwards[name][0]), rtol=1e-4
        )
    # Where each draws: the autoencoder's codes have mean 7 and deviation 20 here.
    assert np.abs(forwards["AE at N(0, I)"][0]).max() < 5 < np.abs(forwards["AE at mixture"][0]).max()
    assert forwards["AE at matched Gaussian"][0].std() == pytest.approx(20, rel=0.3)


def test_more_draws_add_up_another_tau_counts_them_anew_and_a_reset_brings_them_back(panel, pair):
    first = panel.draw(30)
    both = panel.draw(70)
    assert (first.n, both.n) == (30, 100)
    points, sure = panel.draws()
    assert len({tuple(point) for point in points}) == 100
    panel.tau = 0.8
    assert panel.counts[panel.sampler].count == int((torch.from_numpy(sure) < 0.8).sum()) < both.count
    assert "best class under 0.80" in text(panel.state)
    panel.reset()
    assert panel.counts == {} and "nothing drawn yet" in text(panel.state)
    panel.tau = 0.9
    assert panel.draw(30) == first and panel.draw(70) == both


def test_draws_are_marked_where_they_are_and_at_most_four_hundred(panel):
    panel.sampler = "VAE at aggregate posterior"
    panel.draw(500)
    marks, (points, sure) = panel.planes.marks, panel.draws()
    assert marks["side"] == 1
    np.testing.assert_array_equal(floats(marks["points"]).reshape(-1, 2), points[-400:])
    np.testing.assert_array_equal(floats(marks["confidence"]), sure[-400:])
    outside = int((np.abs(points) > 3.5).any(1).sum())
    said = "Of the draws " + (f"{outside} lie outside the plane shown, " if outside else "")
    assert said + "the last 400 are marked." in text(panel.state)
    panel.sampler = "AE at N(0, I)"
    assert panel.planes.marks == {"side": 0, "points": b"", "confidence": b""}


def test_controls_of_the_page_do_what_python_does(panel):
    from_page(panel.tabs, index=3)
    assert panel.sampler == "VAE at prior"
    panel.press_draw.click()
    assert panel.counts["VAE at prior"].n == 200
    from_page(panel.slider, value=0.33)
    assert panel.tau == panel.planes.tau == 0.33
    from_page(panel.zoomed, value=True)
    assert panel.zoom
    panel.press_reset.click()
    assert panel.counts == {}
    panel.sampler, panel.tau, panel.zoom = "AE at mixture", 0.5, False
    assert (panel.tabs.value, panel.slider.value, panel.zoomed.value) == ("AE at mixture", 0.5, False)
    assert repr(panel) == "HoleFinder(z=(0.00, 0.00), sampler='AE at mixture', tau=0.5)"


# --- places ------------------------------------------------------------------------------------------


def test_one_place_on_two_planes(panel, pair):
    codes = pair[0].atlas.mu.numpy()
    low, high = np.percentile(codes, (2.5, 97.5), axis=0)
    centre, unit = (low + high) / 2, 1.1 * (high - low).max() / 2 / 3.5
    panel.z = (1.0, -2.0)
    assert panel.z_ae == pytest.approx(tuple(centre + unit * np.array([1, -2])), rel=1e-5)
    panel.z_ae = (10.0, 0.0)
    assert panel.z == pytest.approx(tuple((np.array([10, 0]) - centre) / unit), rel=1e-4)
    panel.z = (0.25, 1.5)
    panel.zoom = True
    assert panel.z == panel.z_ae == (0.25, 1.5)
    assert f"{codes[:, 0].std(ddof=1):.1f} across" in panel.planes.sides[0]["spread"]


def test_pictures_probabilities_and_the_nearest_code(panel, pair):
    panel.z = (0.7, -0.4)
    for k, (model, z) in enumerate(zip(pair, (panel.z_ae, panel.z), strict=True)):
        with torch.no_grad():
            image = model.decode(torch.tensor([z]))
            logits = panel.judge.layers(image)[0]
        np.testing.assert_array_equal(panel.images[k], (image[0, 0] * 255).round().numpy())
        np.testing.assert_allclose(panel.probabilities[k], logits.exp() / logits.exp().sum(), rtol=1e-4)
        distances = [math.dist(z, code) for code in model.atlas.mu.tolist()]
        row = distances.index(min(distances))
        assert panel.nearest[k] == (row, row % CLASSES, pytest.approx(distances[row], rel=1e-4))


@pytest.mark.parametrize("zoom", [False, True])
def test_the_backgrounds_are_what_the_judge_says_of_the_middle_of_each_cell(panel, pair, zoom):
    panel.zoom = zoom
    for k, (centre, unit) in enumerate(panel.frames):
        background = floats(panel.planes.confidence_maps[k]).reshape(8, 8)
        steps = (np.arange(8) - 3.5) / 4 * 3.5 * unit
        # Rows from the top.
        points = [(centre[0] + x, centre[1] - y) for y in steps for x in steps]
        np.testing.assert_allclose(background.ravel(), judged(pair[k], panel.judge, points), rtol=1e-3)
        assert background.min() < 0.9 < background.max()


def test_a_hand_in_the_page_is_not_answered_with_where_it_was(wire, panel):
    wire.clear()
    from_page(panel.planes, position=[0.5, -0.25])
    assert panel.z == (0.5, -0.25) and panel.planes.position == [0.5, -0.25]
    assert wire.updates(panel.planes) == []
    panel.z = (1, 1)
    assert [state["position"] for state in wire.updates(panel.planes)] == [[1.0, 1.0]]


def test_what_the_page_cannot_run_is_decoded_and_judged_here(pair):
    panel = vw.HoleFinder(pair[0], make(OwnDecoder), make_judge(), cells=2)
    assert "OwnDecoder.decode" in panel.planes.reason and panel.planes.networks == {}
    assert "under the hand by the kernel" in panel.children[-2].value
    from_page(panel.planes, position=[0.5, -0.25])
    for k in range(2):
        reading = panel.planes.readings[k]
        # float32 on both sides; one of them may be computed in a batch with others.
        np.testing.assert_allclose(floats(reading["probabilities"]), panel.probabilities[k], rtol=1e-5)
        np.testing.assert_array_equal(
            (floats(reading["pixels"]).reshape(6, 5) * 255).round(), panel.images[k]
        )


# --- lines -------------------------------------------------------------------------------------------


def inside(points, loops) -> np.ndarray:
    """Which points lie inside an odd number of closed lines."""
    return np.logical_xor.reduce([Path(loop).contains_points(points) for loop in loops])


def area(loops) -> float:
    return sum(0.5 * np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) for x, y in (loop.T for loop in loops))


def test_lines_hold_the_shares_of_the_points_they_say():
    noise = np.random.default_rng(0)
    points = np.vstack([noise.normal(size=(3000, 2)), 0.5 * noise.normal(size=(1000, 2)) + (4, -3)])
    half, most = density_lines(points, (0.5, 0.9), np.array([1.0, -1.0]), 9.0)
    assert inside(points, half).mean() == pytest.approx(0.5, abs=0.01)
    assert inside(points, most).mean() == pytest.approx(0.9, abs=0.01)


def test_of_a_normal_they_are_the_circles_of_its_quantiles():
    points = np.random.default_rng(1).normal(size=(200_000, 2))
    lines = density_lines(points, (0.5, 0.9), np.zeros(2), 6.0)
    for share, loops in zip((0.5, 0.9), lines, strict=True):
        # The mass within r is 1 - exp(-r^2 / 2). The sign says: what is dense lies to the left.
        assert area(loops) == pytest.approx(-2 * math.pi * math.log(1 - share), rel=0.03)


def test_points_that_the_square_leaves_out_count_and_a_share_without_room_has_no_line():
    noise = np.random.default_rng(2)
    points = np.vstack([noise.normal(size=(700, 2)), 1000 + noise.normal(size=(300, 2))])
    half, most = density_lines(points, (0.5, 0.9), np.zeros(2), 5.0)
    assert inside(points, half).mean() == pytest.approx(0.5, abs=0.02)
    assert most == []


# --- what the page is told of the judge ----------------------------------------------------------------


def test_a_classifier_is_described_as_a_network_from_pixels_to_logits():
    judge = make_judge()
    description = describe_classifier(judge)
    spec = description.spec
    assert [layer["kind"] for layer in spec["decoder"]] == ["conv2d", "relu", "reshape", "linear"]
    assert (spec["latentDim"], spec["imageShape"]) == (30, [CLASSES + 1, 1, 1])
    assert spec["size"] == sum(p.numel() for p in judge.parameters())
    last = spec["decoder"][-1]
    weights = floats(description.weights)[last["weight"] :][: judge.layers[-1].weight.numel()]
    np.testing.assert_array_equal(weights, judge.layers[-1].weight.detach().numpy().ravel())


def test_a_classifier_with_a_mind_of_its_own_is_not():
    class Mine(Classifier):
        def probabilities(self, x):
            return super().probabilities(1 - x)

    with pytest.raises(UnsupportedLayerError, match=r"Mine\.probabilities is not that of a Classifier"):
        describe_classifier(Mine(SHAPE, CLASSES, hidden=(4,)))


# --- bad use -----------------------------------------------------------------------------------------


def test_what_does_not_go_together_is_refused(pair):
    ae, vae = pair
    judge = make_judge()
    other = make(vw.VAE, shape=(1, 6, 6))
    few = make(codes=12)
    bare = vw.VAE(2, SHAPE, hidden=(4,), seed=0)
    refusals = [
        ((ae, other, judge), ValueError, r"\(1, 6, 5\) and vae \(1, 6, 6\)"),
        ((make(d=3), vae, judge), ValueError, "ae has latent_dim=3; HoleFinder shows planes"),
        ((vae, ae, judge), TypeError, "an Autoencoder and then a VAE"),
        ((ae, object(), judge), TypeError, "vae must be a model with decode and image_shape; got object"),
        (
            (ae, vae, make_judge((1, 8, 8))),
            ValueError,
            "ae makes images of 1x6x5, but this judge takes 1x8x8",
        ),
        ((ae, vae, make_judge(classes=7)), ValueError, "the labels of ae are of 4 classes, this judge's 7"),
        ((ae, vae, object()), TypeError, "judge must be a Classifier; got object"),
        ((ae, vae), ValueError, "no classifier ships for the images of these models"),
        ((few, vae, judge), ValueError, "need at least 15 codes; got 12"),
        ((ae, bare, judge), ValueError, "this VAE has no atlas"),
    ]
    check_refused(vw.HoleFinder, *((given, dict(cells=2), kind, text) for given, kind, text in refusals))


def test_a_panel_refuses_and_goes_on(panel):
    check_not_settable(
        panel,
        ("sampler", "prior", ValueError, "sampler must be one of AE at N"),
        *(("tau", tau, ValueError, "tau must be from") for tau in (0, 1.5, math.nan)),
        ("z", (1, 2, 3), ValueError, "3 values but this model has latent_dim=2"),
        ("z_ae", 4.0, ValueError, "z has 1 values"),
    )
    with pytest.raises(ValueError, match="at least 1"):
        panel.draw(0)
    assert (panel.tau, panel.z, panel.counts) == (0.9, (0.0, 0.0), {})
    misspelled = dict(samplr="VAE at prior")
    check_refused(vw.HoleFinder, ((panel.ae, panel.vae, panel.judge), misspelled, TypeError, "'sampler'"))
    assert panel.draw(5).n == 5 and panel.error_line.value == ""


def test_the_judge_that_ships_for_the_models_images_is_the_default():
    panel = vw.HoleFinder(vw.pretrained("digits-ae-2d"), vw.pretrained("digits-vae-2d"), cells=2)
    judge = vw.pretrained("digits-classifier")
    assert all(map(torch.equal, panel.judge.parameters(), judge.parameters()))
    assert panel.planes.reason == ""


def test_densities_are_fitted_to_training_codes_and_the_plane_shows_the_held_out_ones(pair):
    ae, vae = pair
    train = torch.randn(100, 2, generator=torch.Generator().manual_seed(3)) - 40
    ae.train_atlas = EncodedDataset(train, None, torch.arange(100) % CLASSES)
    panel = vw.HoleFinder(ae, vae, make_judge(), cells=2, sampler="AE at matched Gaussian")
    panel.draw(400)
    assert panel.draws()[0].mean(0) == pytest.approx([-40, -40], abs=0.5)
    assert panel.frames[0].centre == pytest.approx([7, 7], abs=8)
    assert len(floats(panel.planes.sides[0]["codes"])) == 240
