"""The scoreboard without a browser: it shows what was measured, and a grid of a posterior."""

import math
import re
import threading
import time

import pytest
import torch
import traitlets

import vaewidgets as vw
from vaewidgets.evaluation.marginal_likelihood import log_evidence
from vaewidgets.evaluation.metrics import encode_all
from vaewidgets.evaluation.scoreboard import Scoreboard as Result
from vaewidgets.evaluation.scoreboard import measure
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.widgets.scoreboard.columns import verdict
from vaewidgets.widgets.scoreboard.true_posterior import true_posterior

from .conftest import check_not_settable, check_refused, from_page


def encoded(model, images):
    q = encode_all(model, images.images)
    model.atlas = EncodedDataset(q.mu, q.logvar, images.labels)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> vw.Images:
    generator = torch.Generator().manual_seed(1)
    return vw.Images(torch.rand(80, 1, 4, 4, generator=generator), torch.arange(80) % 3)


@pytest.fixture(scope="module")
def models(images) -> dict:
    return {
        "<b>A</b>": encoded(vw.Autoencoder(2, (1, 4, 4), hidden=(16,), seed=0), images),
        "V": encoded(vw.VAE(2, (1, 4, 4), hidden=(16,), seed=1), images),
    }


@pytest.fixture(scope="module")
def judge() -> vw.Classifier:
    return vw.Classifier((1, 4, 4), 3, hidden=(8,), seed=0).requires_grad_(False)


@pytest.fixture(scope="module")
def result(models, judge, images) -> Result:
    return measure(models, judge, images.images, images.labels, draws=120)


def cells(table, row: int) -> dict:
    return dict(zip([column["key"] for column in table.columns], table.rows[row], strict=True))


# -- measuring ---------------------------------------------------------------------------------------------


def test_measuring_inline_fills_the_table_with_what_measure_says(models, judge, images, result):
    panel = vw.Scoreboard(models, judge, images, draws=120, threaded=False)
    assert repr(panel) == "Scoreboard(models=2, draws=120, ready)" and panel.table.rows == []
    panel.measure()
    assert repr(panel) == "Scoreboard(models=2, draws=120, measured)" and panel.progress.value == 1
    assert "120 draws of each sampler, seed 0; 80 held-out images" in panel.state.value
    assert [row.holes for row in panel.result.rows] == [row.holes for row in result.rows]
    for i, row in enumerate(result.rows):
        shown = cells(panel.table, i)
        assert shown["sampler"]["text"] == row.sampler
        assert shown["model"] == {"text": row.model or "-", "value": row.model}
        for key, rate in (
            ("holes", row.holes),
            ("holes_at_tau", row.holes_at_tau),
            ("distance", row.distance),
        ):
            if rate is None:
                assert shown[key] == {"text": "-", "value": None}
                continue
            assert float(shown[key]["text"].removesuffix(" %")) == pytest.approx(
                100 * rate.count / rate.n, abs=0.051
            )
            assert (shown[key]["low"], shown[key]["high"]) == (rate.low, rate.high)
            ends = [float(end) for end in shown[key]["note"].split(" to ")]
            assert ends == pytest.approx([100 * rate.low, 100 * rate.high], abs=0.051)
    vae = cells(panel.model_table, 1)
    surgery = result.models[1].surgery
    assert float(vae["kl"]["text"]) == pytest.approx(surgery.mean_kl, abs=6e-4)
    assert float(vae["information"]["text"]) == pytest.approx(surgery.information.value, abs=6e-4)
    assert cells(panel.model_table, 0)["kl"]["value"] is None
    assert [row[0]["text"] for row in panel.model_table.rows[2:]] == [
        "pixels",
        "PCA, 2-d",
        "random projection, 2-d",
    ]


def test_measuring_in_a_thread_leaves_the_notebook_free_and_tells_how_far_it_is(
    models, judge, images, monkeypatch
):
    begun = threading.Event()

    def endless(named, *args, progress, **keywords):
        assert named["V"][0] is not models["V"], "a training meanwhile would change what is measured"
        assert torch.equal(named["V"][0].atlas.mu, models["V"].atlas.mu)
        while True:
            progress(0.25, "V: its <codes>")
            begun.set()
            time.sleep(0.001)

    monkeypatch.setattr("vaewidgets.evaluation.scoreboard.measure", endless)
    panel = vw.Scoreboard(models, judge, images, draws=120)
    panel.start.click()
    assert begun.wait(120) and panel.status == "running"
    panel._show_progress()
    assert panel.progress.value == 0.25 and "25% done: V: its &lt;codes&gt;" in panel.state.value
    with pytest.raises(RuntimeError, match="measuring already"):
        panel.measure()
    panel.halt.click()
    assert panel.wait(120) and panel.status == "stopped" and panel.result is None
    panel.measure()
    panel.close()
    assert not panel._loop.running


def test_what_measuring_raises_is_shown_and_raised_again(models, judge, images, monkeypatch):
    def broken(*args, **keywords):
        raise ValueError("no <codes>")

    monkeypatch.setattr("vaewidgets.evaluation.scoreboard.measure", broken)
    panel = vw.Scoreboard(models, judge, images, draws=120, threaded=False)
    with pytest.raises(ValueError, match="no <codes>"):
        panel.measure()
    assert panel.status == "failed" and "ValueError: no &lt;codes&gt;" in panel.error_line.value
    panel.start.click()
    assert "no &lt;codes&gt;" in panel.error_line.value


@pytest.mark.parametrize("threaded", [True, False], ids=["threaded", "inline"])
def test_an_observer_may_measure_again_stop_or_raise(
    models, judge, images, result, monkeypatch, capsys, threaded
):
    monkeypatch.setattr("vaewidgets.evaluation.scoreboard.measure", lambda *args, **keywords: result)
    panel = vw.Scoreboard(models, judge, images, draws=120, threaded=threaded)
    seen = []

    def again(change):
        seen.append((change.new, panel._loop.running))
        if seen.count(("measured", False)) == 1:
            panel.measure()

    panel.observe(again, "status")
    panel.measure()
    assert panel.wait(120)
    assert seen == [("running", True), ("measured", False)] * 2
    panel.unobserve(again, "status")

    def stop(change):
        if change.new == "running":
            panel.stop()

    panel.observe(stop, "status")
    panel.measure()
    assert panel.wait(120) and panel.status == "stopped" and panel.result is result
    panel.unobserve(stop, "status")

    def broken(change):
        raise ZeroDivisionError(f"on {change.new}")

    panel.observe(broken, "status")
    panel.measure()
    assert panel.wait(120) and panel.status == "measured" and not panel._loop.running
    assert "ZeroDivisionError: on measured" in panel.error_line.value
    assert "ZeroDivisionError: on running" in capsys.readouterr().err
    panel.unobserve(broken, "status")
    panel.measure()
    assert panel.wait(120) and panel.error_line.value == "" and panel.status == "measured"
    panel.close()


def test_a_double_click_is_no_error_and_a_closed_board_measures_no_more(models, judge, images, monkeypatch):
    def endless(*args, progress, **keywords):
        while True:
            progress(0.5, "V")
            time.sleep(0.001)

    monkeypatch.setattr("vaewidgets.evaluation.scoreboard.measure", endless)
    panel = vw.Scoreboard(models, judge, images, draws=120)
    panel.start.click()
    panel.start.click()
    assert panel.error_line.value == "" and panel.status == "running"
    with pytest.raises(traitlets.TraitError, match="read-only"):
        panel.status = "ready"
    panel.close()
    assert panel.status == "stopped" and not panel._loop.running
    with pytest.raises(RuntimeError, match="this scoreboard is closed: run its cell again"):
        panel.measure()
    assert panel.status == "stopped"


# -- the table ---------------------------------------------------------------------------------------------


def test_a_result_may_be_set_and_sorting_goes_both_ways_between_page_and_python(wire, models, judge, result):
    panel = vw.Scoreboard(models, judge, result=result, sort="distance")
    assert panel.table.sort == "distance" and len(panel.table.rows) == len(result.rows)
    from_page(panel.table, sort="holes", descending=True)
    assert (panel.sort, panel.descending) == ("holes", True)
    panel.descending, panel.sort = False, ""
    assert (panel.table.sort, panel.table.descending) == ("", False)
    check_not_settable(panel, ("sort", "beauty", ValueError, "sort must be one of sampler, model, holes"))
    assert panel.sort == ""


def test_the_verdict_says_whether_intervals_overlap(result):
    rows = [row for row in result.rows if row.model is not None and row.sampler != "reconstructions"]
    first, second = sorted(rows, key=lambda row: row.holes.share)[:2]
    text = verdict(result)
    assert f"{100 * first.holes.count / first.holes.n:.1f} %" in text and first.model in text
    apart = first.holes.high < second.holes.low
    assert ("do not overlap" in text) == apart
    far = [
        row._replace(holes=vw.holes.Rate.of(torch.arange(1000) < 10 + 400 * i))
        for i, row in enumerate(rows[:2])
    ]
    assert "1.0 %" in verdict(result._replace(rows=tuple(far)))
    assert "the intervals do not overlap." in verdict(result._replace(rows=tuple(far)))
    near = [
        row._replace(holes=vw.holes.Rate.of(torch.arange(100) < 10 + i)) for i, row in enumerate(rows[:2])
    ]
    assert "overlap: these draws do not tell them apart" in verdict(result._replace(rows=tuple(near)))


# -- one image ---------------------------------------------------------------------------------------------


def numbers_after(text: str, word: str, count: int) -> list[float]:
    return [float(n) for n in re.findall(r"-?\d+\.\d+", text.split(word, 1)[1])[:count]]


def test_the_ladder_of_an_image(models, judge, images):
    panel = vw.Scoreboard(models, judge, images, row=3)
    assert panel.model == "V" and [rung.name for rung in panel.rungs] == [
        "ELBO",
        "IWAE_5",
        "IWAE_50",
        "log p(x)",
    ]
    x = vw.objectives.binarize(images.images[3:4], torch.Generator().manual_seed(0))
    exact = log_evidence(models["V"], x).item()
    assert panel.rungs[-1].value == pytest.approx(exact, abs=1e-9)
    noise = torch.Generator().manual_seed(5)
    many = vw.elbo(models["V"], x.expand(20_000, -1, -1, -1), generator=noise).total.double()
    error = many.std().item() / math.sqrt(20_000)
    assert panel.gap == pytest.approx(exact - many.mean().item(), abs=4 * error) and panel.gap > 0
    story = panel.story.value
    assert "Image 3 (labelled 0)" in story
    assert numbers_after(story, "log p(x) - ELBO = ", 1)[0] == pytest.approx(panel.gap, abs=6e-4)
    assert numbers_after(story, "mean (", 2) == pytest.approx(panel.posterior.mean, abs=6e-3)
    assert panel.ladder.seen["rungs"][0] == panel.rungs[0]._asdict()
    assert len(panel.ladder.density) == panel.ladder.seen["side"] ** 2 and max(panel.ladder.density) == 255

    panel.slider.value = 7
    assert panel.row == 7 and panel.rungs[-1].value != pytest.approx(exact, abs=1e-3)
    check_not_settable(
        panel,
        ("row", 80, ValueError, "row must be from 0 to 79; got 80"),
        ("model", "<b>A</b>", ValueError, r"one that has a ladder \(V\); got '<b>A</b>'"),
    )


def test_the_true_posterior_of_a_linear_model_is_the_known_gaussian():
    """p(z|x) = N(M^-1 W'(x - b), s^2 M^-1) with M = W'W + s^2 I (Tipping & Bishop 1999)."""
    model = vw.VAE(2, (1, 1, 5), trunk="linear", likelihood="gaussian", sigma=0.1, seed=3).requires_grad_(
        False
    )
    weight, bias = (p.double() for p in model.decoder[0].parameters())
    x = torch.tensor([[[[0.3, -0.2, 0.4, 0.1, 0.0]]]])
    inverse = torch.linalg.inv(weight.T @ weight + 0.01 * torch.eye(2, dtype=torch.float64))
    mean = inverse @ weight.T @ (x.flatten().double() - bias)
    deviation = (0.01 * inverse).diagonal().sqrt()
    mu, sigma = torch.tensor([1.5, -0.5]), torch.tensor([0.3, 0.2])
    seen = true_posterior(model, x, mu, sigma)
    assert seen.mean == pytest.approx(mean.tolist(), abs=2e-3)
    assert seen.sigma == pytest.approx(deviation.tolist(), rel=5e-3)
    # The gap is the KL between two Gaussians.
    q = torch.distributions.MultivariateNormal(mu.double(), torch.diag(sigma.double() ** 2))
    p = torch.distributions.MultivariateNormal(mean, 0.01 * inverse)
    expected = torch.distributions.kl_divergence(q, p).item()
    assert log_evidence(model, x).item() - seen.elbo == pytest.approx(expected, rel=2e-3)
    # Both are inside what is shown: the encoder's answer to 2.6 sigma, the posterior's mass.
    for i in range(2):
        low, high = seen.centre[i] - seen.reach, seen.centre[i] + seen.reach
        assert low <= mu[i] - 2.59 * sigma[i] and mu[i] + 2.59 * sigma[i] <= high
        assert low <= mean[i] - 3 * deviation[i] and mean[i] + 3 * deviation[i] <= high
    edge = torch.cat([seen.density[[0, -1]].flatten(), seen.density[:, [0, -1]].flatten()])
    assert edge.sum() < 1e-3 and seen.density.sum() == pytest.approx(1)
    # z2 along the first axis: the mean of z2 is that of the rows.
    axis = seen.centre[1] + torch.linspace(-1, 1, len(seen.density), dtype=torch.float64) * seen.reach
    assert (seen.density.sum(1) * axis).sum().item() == pytest.approx(seen.mean[1], abs=1e-5)


def test_without_images_without_a_vae_or_with_more_dimensions_it_says_what_is_missing(models, judge, images):
    panel = vw.Scoreboard(models, judge)
    assert "no images were given" in panel.story.value and panel.rungs == []
    alone = vw.Scoreboard({"A": models["<b>A</b>"]}, judge, images)
    assert "no model here is a VAE" in alone.story.value
    deep = vw.Scoreboard([vw.VAE(3, (1, 4, 4), hidden=(8,), seed=0)], judge, images)
    assert [rung.name for rung in deep.rungs] == ["ELBO", "IWAE_5", "IWAE_50"]
    assert deep.gap is None and "3 latent dimensions" in deep.story.value and deep.ladder.seen["side"] == 0


def test_bad_use_is_refused_before_anything_is_measured(models, judge, images):
    wide = vw.VAE(2, (1, 5, 4), hidden=(8,), seed=0)
    of_ten = vw.Classifier((1, 4, 4), hidden=(8,), seed=0)
    check_refused(
        vw.Scoreboard,
        (({**models, "wide": wide}, judge, images), {}, ValueError, "one image shape"),
        ((models, of_ten, images), {}, ValueError, "3 classes, this judge's 10"),
        ((models, judge, vw.Images(torch.rand(4, 1, 4, 5))), {}, ValueError, r"\(N, 1, 4, 4\)"),
        ((models, judge, images.images), {}, TypeError, "Dataset or Images; got Tensor"),
        ((models, judge, images), dict(draws=10), ValueError, "draws must be from 100"),
        ((models, judge, images), dict(draw=10), TypeError, "Did you mean 'draws'"),
    )
