"""The training cockpit without a browser: what it is asked, what it does, and whether its numbers hold."""

import gc
import html
import itertools
import random
import threading
import time
from statistics import NormalDist

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.training.records import Diverged, LossTerms
from vaewidgets.widgets._core import model_lock
from vaewidgets.widgets.cockpit.cockpit import LINKED
from vaewidgets.widgets.cockpit.history import History

from .conftest import check_refused, from_page
from .test_explorer import shown

DEADLINE = 60


def make_data(n=40, m=20, shape=(1, 6, 5), labels=True, seed=1) -> vw.Dataset:
    g = torch.Generator().manual_seed(seed)
    split = lambda k: vw.Images(  # noqa: E731
        torch.rand(k, *shape, generator=g), torch.arange(k) % 4 if labels else None
    )
    return vw.Dataset(split(n), split(m), tuple("abcd") if labels else (), "made")


def make_model(d=2, shape=(1, 6, 5), kind=vw.VAE, **options):
    return kind(d, shape, hidden=(16,), seed=0, **options)


def make(model=None, data=None, **options):
    """A cockpit of 5 batches an epoch that runs inline."""
    options = dict(threaded=False, epochs=4, batch_size=8) | options
    return vw.TrainingCockpit(model or make_model(), make_data() if data is None else data, **options)


@pytest.fixture
def endless():
    """A cockpit with a run in a thread that does not end of itself; closed after the test."""
    cockpit = make(threaded=True, epochs=100_000)
    yield cockpit
    cockpit.close()


def weights(model) -> bytes:
    return b"".join(t.detach().numpy().tobytes() for t in model.state_dict().values())


def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "still not true"
        time.sleep(0.002)


def click(cockpit, name) -> None:
    button = getattr(cockpit.controls, name)
    button.comm.handle_msg(
        {"content": {"data": {"method": "custom", "content": {"event": "click"}}}, "buffers": []}
    )


def own_threads() -> list:
    return [t for t in threading.enumerate() if t.name.startswith("vaewidgets-")]


def error_of(cockpit) -> str:
    return html.unescape(cockpit.error_line.value)


def trace(figure, meta):
    return next(figure.select_traces({"meta": meta}))


# -- start, step, pause, stop, restart, rewind -------------------------------------------------------------


def test_start_trains_to_the_end_and_again(wire):
    cockpit = make()
    assert repr(cockpit) == "TrainingCockpit(step=0 of 20, ready)"
    assert cockpit.last is None
    before = weights(cockpit.model)
    cockpit.start()
    assert repr(cockpit) == "TrainingCockpit(step=20 of 20, finished)"
    assert "finished: epoch 4 of 4, step 20 of 20; reconstruction" in cockpit.controls.state.value
    assert cockpit.controls.progress.value == 1
    middle = weights(cockpit.model)
    assert middle != before
    cockpit.step(3)
    assert repr(cockpit) == "TrainingCockpit(step=3 of 20, paused)"
    assert list(cockpit.curves.data[0].x) == [1, 2, 3]
    assert weights(cockpit.model) != middle
    cockpit.restart()
    assert weights(cockpit.model) == before


def test_training_in_a_cockpit_is_fit_step_by_step():
    data, cockpit, plain = make_data(), make(lr=3e-3, beta=2.0, seed=5), make_model()
    cockpit.start()
    losses = [
        s.loss for s in vw.fit(plain, data.train.images, epochs=4, batch_size=8, lr=3e-3, beta=2.0, seed=5)
    ]
    assert len(losses) == 20
    assert weights(plain) == weights(cockpit.model)


def test_steps_are_exact_and_an_epoch_ends_where_it_ends():
    cockpit = make()
    steps = []
    for ask in (
        lambda: cockpit.step(), lambda: cockpit.step(2), lambda: cockpit.step(epochs=1),
        lambda: cockpit.step(epochs=1), lambda: cockpit.step(batches=1), lambda: cockpit.step(epochs=2),
        lambda: cockpit.step(99),
    ):  # fmt: skip
        ask()
        steps.append(cockpit.training.step)
    assert steps == [1, 3, 5, 10, 11, 20, 20]
    assert cockpit.status == "finished"


def test_every_button_does_what_its_method_does(wire):
    cockpit = make()
    first = weights(cockpit.model)
    for name, text in (
        ("batch", "1 of 20, paused"), ("epoch", "5 of 20, paused"), ("pause", "5 of 20, paused"),
        ("stop", "5 of 20, stopped"), ("stop", "5 of 20, stopped"), ("batch", "1 of 20, paused"),
        ("restart", "0 of 20, ready"), ("start", "20 of 20, finished"), ("stop", "20 of 20, finished"),
    ):  # fmt: skip
        click(cockpit, name)
        assert repr(cockpit) == f"TrainingCockpit(step={text})", name
        assert not cockpit.error_line.value
    from_page(cockpit.controls.back, index=cockpit.snapshots.index(10))
    click(cockpit, "rewind")
    assert repr(cockpit) == "TrainingCockpit(step=10 of 20, paused)"
    assert cockpit.controls.start.description == "resume"
    click(cockpit, "restart")
    assert weights(cockpit.model) == first
    assert cockpit.controls.start.description == "start"


def test_no_button_loses_the_focus_because_it_is_disabled():
    cockpit = make()
    seen = []
    cockpit.observe(
        lambda _: seen.append([b.disabled for b in vars(cockpit.controls).values() if hasattr(b, "icon")])
    )
    cockpit.start()
    assert not any(itertools.chain(*seen))


@pytest.mark.parametrize("bad", [dict(batches=0), dict(batches=1.5), dict(batches=True), dict(epochs=0)])
def test_counts_of_steps_that_are_none_are_refused(bad):
    cockpit = make()
    with pytest.raises(ValueError, match=f"{next(iter(bad))} must be a whole number, at least 1; got"):
        cockpit.step(**bad)
    with pytest.raises(ValueError, match="batches or epochs; got both"):
        cockpit.step(1, epochs=1)
    assert cockpit.status == "ready"


def test_pause_really_pauses(endless):
    endless.start()
    until(lambda: endless.training.step > 20)
    endless.pause()
    assert endless.status == "paused"
    step, held = endless.training.step, weights(endless.model)
    for _ in range(20):
        time.sleep(0)
        assert (endless.training.step, weights(endless.model)) == (step, held)
    assert list(endless.curves.data[0].x)[-1] == step, "the last step is shown"
    assert own_threads() == []


def test_status_never_says_paused_while_weights_move(endless):
    moved = []

    def look(change):
        if change.new != "running":
            with endless._lock:
                held = weights(endless.model)
            for _ in range(5):
                time.sleep(0)
                moved.append(weights(endless.model) != held)

    endless.observe(look, "status")
    for _ in range(5):
        before = endless.training.step
        endless.start()
        until(lambda before=before: endless.training.step > before)
        endless.pause()
    assert moved
    assert not any(moved)


def test_the_pause_button_does_not_wait_for_a_picture(wire, endless):
    drawing, go_on, draw = threading.Event(), threading.Event(), endless.view.draw

    def slow(look):
        drawing.set()
        assert go_on.wait(DEADLINE)
        draw(look)

    endless.view.draw = slow
    endless.start()
    assert drawing.wait(DEADLINE)
    click(endless, "pause")
    until(endless._loop._ended.is_set)
    held = endless.training.step
    assert endless.status == "running", "its last picture is not shown yet"
    go_on.set()
    assert endless.wait(DEADLINE)
    assert (endless.status, endless.training.step) == ("paused", held)


def test_a_button_pressed_under_way_halts_first(wire, endless):
    endless.start()
    until(lambda: endless.training.step > 3)
    click(endless, "batch")
    assert endless.wait(DEADLINE)
    step = endless.training.step
    click(endless, "batch")
    click(endless, "batch")
    assert endless.wait(DEADLINE)
    assert endless.training.step == step + 2
    assert not endless.error_line.value
    endless.start()
    click(endless, "stop")
    assert endless.status == "stopped"
    endless.start()
    until(lambda: endless.training.step > 3)
    click(endless, "restart")
    assert repr(endless) == "TrainingCockpit(step=0 of 500000, ready)"


def test_rewind_restores_every_bit_and_the_same_steps_follow():
    cockpit = make(lr=3e-3)
    cockpit.start()
    end, curve = weights(cockpit.model), list(cockpit.curves.data[0].y)
    assert cockpit.snapshots == list(range(20))
    assert cockpit.controls.back.options[-1] == ("step 19", 19)
    for step in (13, 7, 0):
        cockpit.rewind(step)
        assert cockpit.training.step == step
        assert cockpit.status == ("paused" if step else "ready")
        assert max(cockpit.curves.data[0].x, default=0) <= step
        plain = make_model()
        run = vw.fit(plain, make_data().train.images, epochs=4, batch_size=8, lr=3e-3)
        for _ in range(step):
            next(run)
        assert weights(plain) == weights(cockpit.model)
        cockpit.start()
        assert weights(cockpit.model) == end
    assert cockpit.curves.data[0].y[-1] == pytest.approx(curve[-1])


def test_rewind_brings_the_knobs_back_and_the_sliders_and_marks_follow():
    cockpit = make(beta=2.0, lr=1e-3, seed=4)
    cockpit.step(10)
    plain = weights(cockpit.model)
    cockpit.beta, cockpit.lr, cockpit.noise_seed = 5.0, 1e-4, 77
    assert [a.text for a in cockpit.curves.layout.annotations] == ["beta 5, lr 0.0001, noise seed 77"]
    assert [a.x for a in cockpit.curves.layout.annotations] == [10]
    assert {s.x0 for s in cockpit.curves.layout.shapes} == {10}
    cockpit.step(3)
    assert cockpit.snapshots[-1] == 13
    cockpit.rewind(5)
    assert (cockpit.beta, cockpit.lr, cockpit.noise_seed) == (2.0, 1e-3, 4)
    c = cockpit.controls
    assert (c.beta.value, c.lr.value, c.noise_seed.value) == (2.0, pytest.approx(1e-3), 4)
    assert len(cockpit.curves.layout.annotations) == len(cockpit.curves.layout.shapes) == 0
    cockpit.step(5)
    assert weights(cockpit.model) == plain
    assert cockpit.snapshots[-1] == 10
    # States with other knobs bring those.
    cockpit.noise_seed = 9
    cockpit.step(2)
    cockpit.noise_seed = 10
    cockpit.rewind(12)
    assert cockpit.noise_seed == 9


def test_a_step_that_was_not_kept_is_refused():
    cockpit = make(data=make_data(n=80))
    cockpit.step(5)
    assert cockpit.snapshots == [0, 2, 4]
    with pytest.raises(ValueError, match=r"step must be one whose state was kept: 0, 2, 4; got 3\."):
        cockpit.rewind(3)
    assert cockpit.training.step == 5


def test_restart_keeps_the_knobs_clears_the_curves_and_repeats():
    cockpit = make()
    cockpit.beta, cockpit.noise_seed = 3.0, 6
    cockpit.start()
    end = weights(cockpit.model)
    cockpit.restart()
    assert (cockpit.beta, cockpit.noise_seed, cockpit.snapshots) == (3.0, 6, [0])
    assert list(cockpit.curves.data[0].x) == []
    assert cockpit.last is None
    assert list(trace(cockpit.curves, "bars").y) == [0, 0]
    cockpit.start()
    assert weights(cockpit.model) == end


# -- knobs -------------------------------------------------------------------------------------------------


def noting(cockpit) -> list:
    steps, each = [], cockpit._loop._each
    cockpit._loop._each = lambda step: (steps.append(step), each(step))
    return steps


def test_knobs_take_effect_at_the_next_step(wire):
    cockpit = make()
    steps = noting(cockpit)
    cockpit.step(2)
    from_page(cockpit.controls.beta, value=4.0)
    cockpit.step()
    from_page(cockpit.controls.lr, value=1e-2)
    cockpit.step()
    cockpit.beta = 12.5
    cockpit.lr = 300.0
    cockpit.step()
    assert [s.beta for s in steps] == [1, 1, 4, 4, 12.5]
    assert [s.lr for s in steps] == [1e-3, 1e-3, 1e-3, 1e-2, 300.0]
    assert [a.text for a in cockpit.curves.layout.annotations] == ["beta 4", "lr 0.01", "beta 12.5, lr 300"]
    # Beyond what the sliders reach: at their end, typed whole, and said.
    assert (cockpit.controls.beta.value, cockpit.controls.beta.max) == (8, 8)
    assert cockpit.controls.lr.value == pytest.approx(100)
    assert [cockpit.controls.boxes[name].value for name in ("beta", "lr")] == [12.5, 300]
    assert "Beyond the slider: beta 12.5, learning rate 300." in cockpit.controls.beyond.value


def test_the_noise_seed_changes_the_steps_and_a_page_sets_it(wire):
    plain, other, page = make(), make(), make()
    other.noise_seed = 3
    from_page(page.controls.noise_seed, value=3)
    assert page.noise_seed == 3
    for cockpit in (plain, other, page):
        cockpit.step(3)
    assert weights(other.model) == weights(page.model) != weights(plain.model)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("beta", -1, "beta must be a number, at least 0; got -1"),
        ("beta", float("nan"), "beta must be a number"),
        ("beta", "much", "float"),
        ("lr", 0, "lr must be a positive number; got 0"),
        ("lr", float("inf"), "lr must be a positive number"),
        ("noise_seed", -1, "seed must be a whole number from 0 up; got -1"),
        ("noise_seed", 2**63, "seed must be a whole number"),
        ("noise_seed", 1.5, "int"),
    ],
)
def test_values_that_cannot_be_are_refused_and_nothing_changes(name, value, message):
    cockpit = make()
    before = getattr(cockpit, name)
    with pytest.raises(Exception, match=message):
        setattr(cockpit, name, value)
    assert getattr(cockpit, name) == before
    assert getattr(cockpit.controls, name).value == pytest.approx(before)
    cockpit.step()
    assert cockpit.status == "paused"


def test_a_knob_that_is_refused_in_the_page_says_so_and_goes_back(wire):
    cockpit = make(iwae=5, binarize="dynamic")
    assert cockpit.controls.beta.disabled
    from_page(cockpit.controls.beta, value=3.0)
    assert cockpit.beta == 1.0
    assert cockpit.controls.beta.value == 1.0
    assert wire.updates(cockpit.controls.beta)[-1] == {"value": 1.0}
    assert "beta cannot be set, it is 1 here" in error_of(cockpit)
    with pytest.raises(ValueError, match="got 3"):
        cockpit.beta = 3.0
    from_page(cockpit.controls.lr, value=1e-2)
    assert not cockpit.error_line.value


def test_marks_are_few():
    cockpit = make(epochs=100)
    cockpit.step()
    for k in range(50):
        cockpit.beta = 2.0 + k
        cockpit.step()
    marks = cockpit._run.history.marks()
    assert [text for _, text in marks] == [f"beta {2 + k}" for k in range(50 - History.MARKS, 50)]
    assert {shape.x0 for shape in cockpit.curves.layout.shapes} == {step for step, _ in marks}
    # Of 30 lines on 51 steps not each has room for a label: those that are written do not overlap.
    labels = [(a.x, a.text) for a in cockpit.curves.layout.annotations]
    pixels = [x / 51 * 326 for x, _ in labels]
    assert min(b - a for a, b in itertools.pairwise(pixels)) >= 13
    assert len(labels) == 10 and {text for _, text in labels} <= {text for _, text in marks}
    assert labels[-1][1] == "beta 51"


# -- failures ----------------------------------------------------------------------------------------------


def test_a_run_that_diverges_says_why_and_starts_again_with_other_knobs():
    cockpit = make()
    cockpit.step(6)
    cockpit.lr = 1e30
    with pytest.raises(Diverged, match="too large"):
        cockpit.start()
    assert cockpit.status == "failed"
    assert "Diverged: the loss became" in error_of(cockpit)
    assert all(np.isfinite(t.x).all() for t in cockpit.figure.select_traces({"meta": "points"}))
    kept = cockpit.snapshots
    assert kept == [0, 1, 2, 3, 4, 5, 6], "states whose weights gave no finite loss are not kept"
    assert cockpit.wait()
    cockpit.lr = 1e-3
    cockpit.step(2)
    assert (cockpit.status, cockpit.lr) == ("paused", 1e-3)
    assert cockpit.training.step == kept[-1] + 2
    assert not cockpit.error_line.value
    cockpit.start()
    assert cockpit.status == "finished"


def test_the_page_is_told_of_a_failure_escaped_and_wait_raises_it_once(wire):
    cockpit = make(threaded=True)

    def explode(look):
        raise RuntimeError("<img src=x onerror=alert(1)> & so on")

    draw, cockpit.view.draw = cockpit.view.draw, explode
    click(cockpit, "start")
    until(lambda: not cockpit._loop.running)
    assert cockpit.status == "failed"
    assert "&lt;img src=x" in cockpit.error_line.value
    assert "<img" not in cockpit.error_line.value
    with pytest.raises(RuntimeError, match="so on"):
        cockpit.wait()
    assert cockpit.wait()
    cockpit.view.draw = draw
    click(cockpit, "start")
    assert cockpit.wait(DEADLINE)
    assert cockpit.status == "finished"
    assert not cockpit.error_line.value


def test_weights_that_are_no_numbers_are_an_error_with_a_meaning():
    cockpit = make()
    cockpit.step(2)
    with torch.no_grad():
        cockpit.model.mu.weight.fill_(float("nan"))
    with pytest.raises((Diverged, ValueError)):
        cockpit.step()
    assert cockpit.status == "failed"
    cockpit.start()
    assert cockpit.status == "finished"
    assert np.isfinite(np.frombuffer(weights(cockpit.model), "float32")).all()


def test_a_follower_that_fails_shows_it_itself_and_training_goes_on():
    model = make_model()
    cockpit, other = make(model), make(model)

    def explode():
        raise RuntimeError("not today")

    other.weights_changed = explode
    cockpit.start()
    assert cockpit.status == "finished"
    assert not cockpit.error_line.value
    assert "not today" in error_of(other)


# -- more than one -----------------------------------------------------------------------------------------


def test_two_cockpits_on_one_model_say_so_and_one_trains_at_a_time():
    model = make_model()
    one = make(model, threaded=True, epochs=100_000)
    assert not one.controls.rivals.value
    two = make(model)
    for cockpit in (one, two):
        assert "More than one cockpit" in cockpit.controls.rivals.value
    one.start()
    until(lambda: one.training.step > 2)
    for ask in (two.start, two.step, two.restart, lambda: two.rewind(0), two.stop):
        with pytest.raises(RuntimeError, match="another cockpit is training this model: pause or stop"):
            ask()
    assert two.status == "ready"
    one.pause()
    assert np.allclose(points_on(one), points_on(two)), "the other shows the model as it is"
    two.step(2)
    assert two.training.step == 2
    assert np.allclose(points_on(one), points_on(two))
    for ask in (one.restart, two.restart):
        ask()
    one.close()
    assert not two.controls.rivals.value
    two.start()
    assert two.status == "finished"


def test_of_two_that_start_at_once_one_trains():
    model = make_model()
    pair = [make(model, threaded=True, epochs=100_000) for _ in range(2)]
    for _ in range(20):
        refused, together = [], threading.Barrier(2)

        def start(cockpit, refused=refused, together=together):
            together.wait(DEADLINE)
            try:
                cockpit.start()
            except RuntimeError as error:
                refused.append(error)

        threads = [threading.Thread(target=start, args=[c]) for c in pair]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert len(refused) == 1
        assert sorted(c.status == "running" for c in pair) == [False, True]
        for cockpit in pair:
            cockpit.pause()
    for cockpit in pair:
        cockpit.close()


def test_two_models_train_at_once():
    pair = [make(threaded=True, epochs=100_000) for _ in range(2)]
    for cockpit in pair:
        cockpit.start()
    seen = [c.training.step for c in pair]
    until(lambda: all(c.training.step > s + 20 for c, s in zip(pair, seen, strict=True)))
    for cockpit in pair:
        cockpit.close()
    assert own_threads() == []


def test_closing_under_way_ends_the_threads_and_the_messages(wire, endless):
    endless.start()
    until(lambda: endless.training.step > 5)
    endless.close()
    assert own_threads() == []
    wire.clear()
    step = endless.training.step
    time.sleep(0.05)  # time in which a thread that was left would step or send
    assert wire.messages == []
    assert endless.training.step == step
    assert endless not in model_lock.followers(endless.model)


@pytest.mark.filterwarnings("error")
def test_a_cockpit_that_was_refused_is_forgotten_in_silence():
    with pytest.raises(TypeError):
        make(data="digits")
    with pytest.raises(TypeError):
        vw.LatentExplorer("digits")
    gc.collect()


def test_a_linked_explorer_decodes_with_new_weights_at_most_twice_a_second():
    data, model = make_data(), make_model()
    explorer = vw.LatentExplorer(model, data.test)
    cockpit = make(model, threaded=True, epochs=1_000_000)
    times = []
    explorer.latent.observe(lambda _: times.append(time.monotonic()), "networks")
    cockpit.start()
    until(lambda: len(times) >= 4)
    cockpit.pause()
    told = np.diff(times[:4])
    assert (told >= LINKED * 0.8).all(), told
    with torch.no_grad():
        expected = to_uint8(model.decode(torch.zeros(1, 2))[0])
    assert (explorer.image == expected).all()
    assert explorer.latent.networks == vw.LatentExplorer(model).latent.networks
    cockpit.close()


def test_a_hundred_starts_and_stops_beside_a_reader_tear_nothing(endless):
    model, lock, over, failures, looked = endless.model, endless._lock, threading.Event(), [], []
    images = endless.data.test.images

    def read():
        try:
            while not over.is_set():
                with lock, torch.no_grad():
                    before = weights(model)
                    codes = model.encode(images).mu
                    pictures = model.decode(codes)
                    assert torch.equal(model.encode(images).mu, codes)
                    assert torch.equal(model.decode(codes), pictures)
                    assert weights(model) == before
                looked.append(before)
                time.sleep(0)
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for k in range(100):
            before = endless.training.step
            endless.start()
            if k % 10 == 0:
                until(lambda before=before: endless.training.step > before or failures)
            endless.pause()
            assert endless.status == "paused"
    finally:
        over.set()
        reader.join(DEADLINE)
    assert failures == []
    assert len(set(looked)) > 1
    assert own_threads() == []


# -- what it shows is true ---------------------------------------------------------------------------------


def points_on(cockpit) -> np.ndarray:
    found = np.full((len(cockpit.view._images), 2), np.nan)
    for points in cockpit.figure.select_traces({"meta": "points"}):
        found[points.customdata] = np.stack([points.x, points.y], 1)
    return found


@pytest.mark.parametrize(("shape", "support"), [((1, 6, 5), None), ((3, 4, 5), None)])
def test_the_map_the_pictures_and_the_grid_are_those_of_the_model(shape, support):
    data, model = make_data(shape=shape), make_model(shape=shape)
    cockpit = make(model, data)
    cockpit.step(7)
    with torch.no_grad():
        q = model.encode(data.test.images)
    np.testing.assert_allclose(points_on(cockpit), q.mu, rtol=1e-5)
    chosen = [0, 1, 2, 3, 4, 5, 6, 7]
    rings = trace(cockpit.figure, "chosen")
    np.testing.assert_allclose(np.stack([rings.x, rings.y], 1), q.mu[chosen], rtol=1e-5)
    for k in (1, 2):
        outline = trace(cockpit.figure, f"ellipse {k}")
        curves = np.stack([outline.x, outline.y], 1).reshape(8, -1, 2)
        assert np.isnan(curves[:, -1]).all()
        away = (curves[:, :-1] - q.mu[chosen, None].numpy()) / q.sigma[chosen, None].numpy()
        np.testing.assert_allclose(np.linalg.norm(away, axis=2), k, rtol=1e-4)
    with torch.no_grad():
        for i, picture in enumerate(np.split(shown(cockpit.view.reconstructions), 8, axis=1)):
            assert np.abs(picture.astype(int) - to_uint8(model.decode(q.mu[[i]])[0])).max() <= 1
            original = np.split(shown(cockpit.view.originals), 8, axis=1)[i]
            assert (original == to_uint8(data.test.images[i])).all()
        grid, (h, w), n = shown(cockpit.view.grid), shape[1:], 12
        assert grid.shape[:2] == (n * h, n * w)
        for row, column in ((0, 0), (0, 11), (11, 0), (4, 9)):
            # Up on the map is up on the grid.
            place = [NormalDist().inv_cdf((column + 0.5) / n), NormalDist().inv_cdf(1 - (row + 0.5) / n)]
            expected = to_uint8(model.decode(torch.tensor([place]))[0]).astype(int)
            tile = grid[row * h : (row + 1) * h, column * w : (column + 1) * w]
            assert np.abs(tile - expected).max() <= 1, (row, column)


def test_no_edit_takes_the_names_from_the_bars():
    """A page that shows the figure only later takes an x that an edit leaves undefined for none at all."""
    cockpit = make()
    (bars,) = (i for i, trace in enumerate(cockpit.curves.data) if trace.meta == "bars")
    edits = []
    names = ["_py2js_restyle", "_py2js_update"]
    cockpit.curves.observe(lambda change: change.new and edits.append(change.new), names)
    cockpit.step(batches=5)
    cockpit.wait()
    named = [edit.get("style_data") or edit.get("restyle_data") for edit in edits]
    traces = [edit.get("style_traces") or edit.get("restyle_traces") for edit in edits]
    assert any("x" in data and data["x"] for data in named), "the curves"
    touching = [data for data, rows in zip(named, traces, strict=True) if bars in rows]
    assert touching and not any("x" in data for data in touching)
    assert cockpit.curves.data[bars].x == ("z1", "z2")


def test_curves_and_bars_are_the_terms_of_the_batches():
    cockpit = make()
    steps = noting(cockpit)
    cockpit.step(4)
    kl = np.array([s.terms.kl_per_dimension for s in steps])
    reconstruction = [s.reconstruction for s in steps]
    np.testing.assert_allclose(trace(cockpit.curves, "bars").y, kl.mean(0), rtol=1e-5)
    rows = [cockpit.curves.data[2 * i] for i in range(3)]
    assert all(list(row.x) == [1, 2, 3, 4] for row in rows)
    np.testing.assert_allclose(rows[0].y, reconstruction, rtol=1e-5)
    np.testing.assert_allclose(rows[1].y, kl.sum(1), rtol=1e-5)
    np.testing.assert_allclose(rows[2].y, np.array(reconstruction) - kl.sum(1), rtol=1e-5)
    assert cockpit.last.reconstruction == pytest.approx(np.mean(reconstruction), rel=1e-5)
    cockpit.step(6)
    held_out = [s.held_out for s in steps if s.held_out]
    dotted = [cockpit.curves.data[2 * i + 1] for i in range(3)]
    assert all(list(row.x) == [5, 10] for row in dotted)
    np.testing.assert_allclose(dotted[2].y, [t.reconstruction - t.kl for t in held_out])
    np.testing.assert_allclose(dotted[1].y, [t.kl for t in held_out])
    # However many batches there are between two pictures, the points are the same.
    cockpit.step(10)
    assert list(rows[0].x) == list(range(1, 21))
    np.testing.assert_allclose(rows[0].y, [s.reconstruction for s in steps], rtol=1e-5)


def test_the_speed_is_that_of_now_not_of_the_pause_before():
    cockpit = make(epochs=100)
    cockpit._run._measured_at = -1e9
    texts, show = [], cockpit._show

    def noted():
        show()
        texts.append(cockpit.controls.state.value)

    cockpit._loop._show = noted
    cockpit.start()
    speed = float(texts[-1].split("; ")[-1].split(" images/s")[0].replace(",", ""))
    assert speed > 10


def test_a_history_is_thinned_and_stays_in_order():
    history = History(2, lambda t: t.reconstruction)
    for step in range(1, 3001):
        history.append(step, torch.tensor([[1.0, -step, 0.5, 0.25]]))
        history.append_held_out(step, LossTerms(1.0, -2.0, (0.1, 0.2)))
    for steps, column in (
        (history.steps, history.column(0)), (history.held_out_steps, history.held_out_column(0)),
    ):  # fmt: skip
        assert 300 <= len(steps) == len(column) <= History.MOST
        assert steps == sorted(set(steps))
        assert steps[-1] == 3000
    # Each point is the mean of the steps since the one before.
    begins = [0, *history.steps]
    assert history.column(0) == [-(a + 1 + b) / 2 for a, b in zip(begins, history.steps, strict=False)]
    assert history.kl_per_dimension == [0.5, 0.25]


def test_a_history_is_the_same_however_it_is_noted():
    numbers = torch.rand(1500, 4)
    numbers[:, 1] -= 2
    drawn = random.Random(0)
    whole, parts = (History(2, lambda t: t.reconstruction - t.kl) for _ in range(2))
    whole.append(1500, numbers)
    at = 0
    while at < 1500:
        end = min(1500, at + drawn.randint(1, 90))
        parts.append(end, numbers[at:end])
        at = end
    assert parts.steps == whole.steps
    assert [parts.column(i) for i in range(3)] == [whole.column(i) for i in range(3)]
    assert parts.recent == whole.recent


# -- other models, data and arguments ----------------------------------------------------------------------


def test_an_autoencoder_has_no_kl_no_beta_and_no_ellipses():
    cockpit = make(make_model(kind=vw.Autoencoder))
    cockpit.start()
    assert len(cockpit.curves.data) == 2
    assert trace(cockpit.figure, "ellipse 1").x is None
    assert len(cockpit.figure.layout.shapes) == 0
    assert cockpit.controls.beta.disabled
    assert "KL" not in cockpit.controls.state.value
    assert len(trace(cockpit.figure, "chosen").x) == 8
    with pytest.raises(ValueError, match="beta cannot be set"):
        cockpit.beta = 2.0
    with torch.no_grad():
        codes = cockpit.model.encode(cockpit.data.test.images)
    np.testing.assert_allclose(points_on(cockpit), codes, rtol=1e-5)


@pytest.mark.parametrize("d", [1, 3, 10])
@pytest.mark.parametrize("kind", [vw.VAE, vw.Autoencoder])
def test_other_numbers_of_dimensions(wire, d, kind):
    cockpit = make(make_model(d, kind=kind))
    cockpit.step(5)
    with torch.no_grad():
        q = cockpit.model.encode(cockpit.data.test.images)
    mu = (q if kind is vw.Autoencoder else q.mu).numpy()
    np.testing.assert_allclose(points_on(cockpit)[:, 0], mu[:, 0], rtol=1e-5)
    if kind is vw.VAE:
        assert len(trace(cockpit.curves, "bars").y) == d
    if d == 1:
        assert (points_on(cockpit)[:, 1] == 0).all()
        return
    from_page(cockpit.view.across, index=2)
    np.testing.assert_allclose(points_on(cockpit), mu[:, [2, 1]], rtol=1e-5)
    assert cockpit.figure.layout.xaxis.title.text == "z3"
    before = shown(cockpit.view.grid).copy()
    from_page(cockpit.view.up, index=2)
    assert "two different ones" in error_of(cockpit)
    assert cockpit.view.up.index == 1
    from_page(cockpit.view.up, index=0)
    np.testing.assert_allclose(points_on(cockpit), mu[:, [2, 0]], rtol=1e-5)
    assert not cockpit.error_line.value
    assert (shown(cockpit.view.grid) != before).any()


def test_without_labels_and_with_few_images():
    for m in (1, 5):
        cockpit = make(data=make_data(m=m, labels=False))
        cockpit.step(6)
        assert len(points_on(cockpit)) == m
        assert len(trace(cockpit.figure, "chosen").x) == m
        assert shown(cockpit.view.originals).shape == (6, 5 * m)
        assert not any(t.meta == "names" for t in cockpit.figure.data)


def test_the_chosen_images_are_the_first_of_each_class_then_others():
    labels = torch.tensor([2, 2, 2, 0, 0, 1, 1, 1, 1, 1])
    data = make_data(m=10)
    data = vw.Dataset(data.train, vw.Images(data.test.images, labels), ("a", "b", "c"), "made")
    assert make(data=data).view._chosen.tolist() == [3, 5, 0, 1, 2, 4, 6, 7]


def test_the_importance_weighted_bound_is_named_and_drawn():
    cockpit = make(iwae=5, binarize="dynamic")
    steps = noting(cockpit)
    cockpit.step(5)
    np.testing.assert_allclose(cockpit.curves.data[4].y, [-s.loss for s in steps], rtol=1e-5)
    assert cockpit.curves.data[5].y[0] == pytest.approx(-steps[-1].held_out.loss)
    assert "L_k" in cockpit.controls.state.value
    assert "L_k, nats" in cockpit.curves.layout.yaxis3.title.text


def test_patience_decides_on_images_of_its_own_and_leaves_the_best_weights():
    data = make_data()
    cockpit = make(data=data, patience=1, lr=0.5, epochs=50)
    assert len(cockpit.training._images) == 36
    assert torch.equal(cockpit.training._validation, data.train.images[-4:])
    cockpit.start()
    assert cockpit.status == "finished"
    assert cockpit.training.step < cockpit.training.total_steps
    history = cockpit._run.history
    best = min(history.held_out_steps, key=dict(
        zip(history.held_out_steps, [-v for v in history.held_out_column(2)], strict=True)
    ).get)  # fmt: skip
    plain = make_model()
    run = vw.fit(plain, data.train.images[:36], epochs=50, batch_size=8, lr=0.5)
    for _ in range(best):
        next(run)
    assert weights(plain) == weights(cockpit.model)
    assert np.allclose(points_on(cockpit), plain.encode(data.test.images).mu.detach(), rtol=1e-5)


def test_points_on_request():
    data = make_data(m=2500)
    assert len(points_on(make(data=data))) == 2000
    assert len(points_on(make(data=data, points=10_000))) == 2500
    message = "points must be a whole number, at least 1; got {}"
    for points in (0, -1, 2.5, True):
        check_refused(make, ((), dict(data=data, points=points), ValueError, message.format(points)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(epoch=3), "no keyword 'epoch'. Did you mean 'epochs'"),
        (dict(kl_warmap=3), "Did you mean 'kl_warmup'"),
        (dict(point=3), "Did you mean 'points'"),
        (dict(noise_seed=3), "no keyword 'noise_seed'"),
        (dict(status="running"), "no keyword 'status'"),
        (dict(data=torch.zeros(4, 1, 6, 5)), "takes a Dataset, with a train and a test split; got Tensor"),
    ],
)
def test_arguments_that_are_misspelled_or_of_another_kind(options, message):
    with pytest.raises(TypeError, match=message):
        make(**options)


def test_what_fit_refuses_and_images_that_do_not_fit_are_refused_at_once():
    check_refused(
        make,
        ((), dict(batch_size=0), ValueError, "batch_size must be a whole number"),
        ((), dict(data=make_data(shape=(1, 8, 8))), ValueError, "images"),
    )
    assert make(layout=dict(width="50%")).layout.width == "50%"


def test_a_picture_is_a_handful_of_messages(wire):
    cockpit = make()
    cockpit.step()
    wire.clear()
    cockpit._show()
    assert 1 <= len(wire.messages) <= 16
