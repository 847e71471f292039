"""The cockpit as a state machine: whoever asks for what, from wherever, it stays usable and says so."""

import gc
import random
import threading
import weakref

import pytest

import vaewidgets as vw
from vaewidgets.widgets._core import model_lock
from vaewidgets.widgets.cockpit import turn_taking

from .conftest import from_page
from .test_cockpit import DEADLINE, make, make_data, make_model, until, weights

both = pytest.mark.parametrize("threaded", [False, True], ids=["inline", "threaded"])
STATUSES = ("running", "paused", "finished", "stopped", "ready")
ASKS = {
    "start": lambda c: c.start(),
    "step": lambda c: c.step(),
    "pause": lambda c: c.pause(),
    "stop": lambda c: c.stop(),
    "restart": lambda c: c.restart(),
    "rewind": lambda c: c.rewind(c.snapshots[-1]),
    "close": lambda c: c.close(),
}


def check_at_rest(cockpit) -> None:
    """Check what holds of every cockpit whose run is over."""
    assert cockpit.wait(DEADLINE)
    assert not cockpit._loop.running and cockpit.status != "running"
    assert cockpit.model not in model_lock._owners
    assert [step for _, step in cockpit.controls.back.options] == cockpit.snapshots


def check_usable(cockpit) -> None:
    """Check that the model can be trained: by this cockpit, or by another once it is closed."""
    check_at_rest(cockpit)
    if cockpit._closed:
        cockpit = make(cockpit.model)
    cockpit.restart()
    cockpit.step(2)
    assert cockpit.wait(DEADLINE) and cockpit.training.step == 2
    cockpit.close()


@pytest.mark.parametrize(
    "threaded", [False, pytest.param(True, marks=pytest.mark.extended)], ids=["inline", "threaded"]
)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("ask", ASKS)
def test_an_observer_may_ask_for_anything_at_every_change_of_status(ask, status, threaded):
    cockpit, asked = make(threaded=threaded, epochs=2), []

    def on(change):
        if change.new == status and not asked:
            asked.append(status)
            ASKS[ask](cockpit)

    cockpit.observe(on, "status")
    for name in ("step", "start", "restart", "step", "stop", "start"):
        if not cockpit._closed:
            ASKS[name](cockpit)
            assert cockpit.wait(DEADLINE)
    assert asked
    cockpit.unobserve(on, "status")
    check_usable(cockpit)


@both
@pytest.mark.parametrize("status", STATUSES)
def test_an_observer_that_raises_is_seen_and_harmless(status, threaded, capsys):
    cockpit, seen = make(threaded=threaded, epochs=2), []

    def on(change):
        if change.new == status:
            seen.append(status)
            raise ValueError("of the observer")

    cockpit.observe(on, "status")
    for name in ("step", "stop", "restart", "start"):
        before = len(seen)
        ASKS[name](cockpit)
        assert cockpit.wait(DEADLINE)
        if len(seen) > before:
            assert "ValueError: of the observer" in cockpit.error_line.value
            assert "ValueError: of the observer" in capsys.readouterr().err
    assert seen
    cockpit.unobserve(on, "status")
    check_usable(cockpit)


@both
def test_an_observer_of_finished_begins_the_next_run_and_wait_waits_for_it(threaded):
    cockpit, ends = make(threaded=threaded, epochs=1), []

    def on(change):
        ends.append(cockpit.training.step)
        if len(ends) < 3:
            cockpit.start()

    cockpit.observe(lambda change: on(change) if change.new == "finished" else None, "status")
    cockpit.start()
    check_at_rest(cockpit)
    assert ends == [5, 5, 5] and cockpit.status == "finished"


@both
def test_no_observer_is_called_in_the_middle_of_bookkeeping(threaded):
    cockpit = make(threaded=threaded, epochs=2)

    def on(change):
        # Somebody else can take every lock, and finds a loop exactly where the status says so.
        free = []

        def take():
            for lock in (cockpit._turn, cockpit._edit, cockpit._lock):
                with lock:
                    free.append(lock)

        other = threading.Thread(target=take, daemon=True)
        other.start()
        other.join(DEADLINE)
        assert len(free) == 3
        assert cockpit.status != "running" or cockpit._loop.running

    errors = []
    cockpit._say_aloud = errors.append
    cockpit.observe(on, ["status", "beta", "lr", "noise_seed"])
    cockpit.step(3)
    assert cockpit.wait(DEADLINE)
    cockpit.beta = 2.0
    cockpit.rewind(0)
    cockpit.step(1)
    assert cockpit.wait(DEADLINE)
    cockpit.stop()
    assert not errors


@pytest.mark.parametrize("ask", ["start", "step", "stop", "restart", "rewind"])
def test_a_closed_cockpit_refuses_what_it_is_asked(ask):
    cockpit = make()
    cockpit.close()
    with pytest.raises(RuntimeError, match="this cockpit is closed: run its cell again"):
        ASKS[ask](cockpit)
    cockpit.close()
    check_usable(cockpit)


def test_many_that_start_at_once_start_one_run():
    cockpit = make(threaded=True, epochs=40)
    errors = []

    def start():
        try:
            cockpit.start()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    cockpit.pause()
    check_usable(cockpit)


def test_a_double_click_is_no_error():
    cockpit = make(threaded=True, epochs=400)
    for _ in range(2):
        cockpit.controls.start.click()
    assert not cockpit.error_line.value
    until(lambda: cockpit.training.step)
    cockpit.pause()
    assert not cockpit.error_line.value
    check_usable(cockpit)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_asked_in_whatever_order_what_must_hold_holds(seed):
    rng = random.Random(seed)
    cockpit = make(threaded=seed % 2 == 1, epochs=2)

    def on(change):
        if rng.random() < 0.15:
            ASKS[rng.choice(["start", "step", "pause", "stop", "restart", "rewind"])](cockpit)
        if rng.random() < 0.1:
            raise ValueError("of the observer")

    cockpit.observe(on, "status")
    for _ in range(40):
        ASKS[rng.choice(list(ASKS)[:-1])](cockpit)
        cockpit.beta = rng.uniform(0, 20)
        if rng.random() < 0.3:
            check_at_rest(cockpit)
    cockpit.unobserve(on, "status")
    check_usable(cockpit)


# -- back to ------------------------------------------------------------------------------------------------


def test_the_choice_follows_the_states_as_they_are_made_and_begins_at_the_newest():
    cockpit = make(threaded=True, epochs=4000)
    cockpit.start()
    until(lambda: len(cockpit.controls.back.options) > 3)
    assert cockpit.status == "running" and cockpit.controls.back.value > 0
    cockpit.pause()
    check_at_rest(cockpit)
    assert cockpit.controls.back.value == cockpit.snapshots[-1]
    # What somebody chose stays, as long as it is there.
    from_page(cockpit.controls.back, index=0)
    cockpit.step(10)
    assert cockpit.wait(DEADLINE)
    assert cockpit.controls.back.value == 0
    cockpit.close()


@pytest.mark.parametrize("ended", ["paused", "finished", "stopped"])
def test_a_rewind_to_the_beginning_can_be_undone(ended):
    cockpit = make(epochs=2)
    cockpit.start() if ended == "finished" else cockpit.step(7)
    if ended == "stopped":
        cockpit.stop()
    step, now, curve = cockpit.training.step, weights(cockpit.model), list(cockpit.curves.data[0].y)
    cockpit.rewind(0)
    assert weights(cockpit.model) != now and "step 0 of" in cockpit.controls.state.value
    # The state line, the bars and the curves tell of the present.
    assert "reconstruction" not in cockpit.controls.state.value
    assert set(cockpit.curves.data[-1].y) == {0.0} and not cockpit.curves.data[0].y
    assert step in cockpit.snapshots
    cockpit.rewind(step)
    assert weights(cockpit.model) == now and list(cockpit.curves.data[0].y) == curve


def test_what_start_does_after_the_end_stands_on_the_panel():
    cockpit = make(epochs=2)
    cockpit.step(3)
    assert "begins a new run" not in cockpit.controls.state.value
    cockpit.stop()
    assert (
        "The next start, batch or epoch begins a new run, at step 0, with these"
        in cockpit.controls.state.value
    )
    before = weights(cockpit.model)
    seen = []
    cockpit.observe(lambda change: seen.append((change.new, weights(cockpit.model) == before)), "status")
    cockpit.step()
    assert seen == [("ready", True), ("running", True), ("paused", False)] and cockpit.training.step == 1


# -- values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "refused", "kept"), [("beta", -1.0, 30.0), ("lr", 0.0, 1e-9), ("noise_seed", -1, 12345)]
)
def test_a_value_that_is_typed_is_kept_or_refused_with_a_word(name, refused, kept):
    cockpit = make()
    box = cockpit.controls.boxes.get(name, cockpit.controls.noise_seed)
    from_page(box, value=kept)
    assert getattr(cockpit, name) == box.value == kept and not cockpit.error_line.value
    from_page(box, value=refused)
    assert f"{name} must" in cockpit.error_line.value or "seed must" in cockpit.error_line.value
    assert getattr(cockpit, name) == box.value == kept
    if name != "noise_seed":
        slider = getattr(cockpit.controls, name)
        assert slider.value == (slider.max if name == "beta" else 1e-6)
        assert "Beyond the slider" in cockpit.controls.beyond.value
        # The slider's end stands for what is beyond it: that it is there is no wish.
        from_page(slider, value=slider.value)
        assert getattr(cockpit, name) == kept


# -- a cell that is run again -------------------------------------------------------------------------------


def test_a_cell_that_is_run_again_ends_the_training_of_the_panel_it_replaces(monkeypatch):
    run = ["cell A", "first"]
    monkeypatch.setattr(turn_taking, "running_cell", lambda: tuple(run))
    data = make_data()
    first, beside = (vw.TrainingCockpit(make_model(), data, epochs=10**5) for _ in range(2))
    for cockpit in (first, beside):
        cockpit.start()
    run[:] = "cell B", "second"
    elsewhere = vw.TrainingCockpit(make_model(), data)
    assert first.status == beside.status == "running"
    run[:] = "cell A", "third"
    again = vw.TrainingCockpit(first.model, data)
    assert first.status == beside.status == "paused"
    # It holds the model alone.
    assert not again.controls.rivals.value
    again.step()
    assert again.wait(DEADLINE) and again.training.step == 1
    for cockpit in (first, beside, again, elsewhere):
        cockpit.close()


def test_the_same_run_draws_the_same_curves_however_it_is_shown():
    def curves(cockpit) -> list:
        return [(list(trace.x), list(trace.y)) for trace in cockpit.curves.data]

    drawn = []
    for threaded, rate in ((False, 10.0), (False, 1000.0), (True, 1000.0), (True, 0.5)):
        cockpit = make(threaded=threaded, epochs=8)
        cockpit._loop.pace.rate = rate
        cockpit.start()
        assert cockpit.wait(DEADLINE) and cockpit.status == "finished"
        drawn.append(curves(cockpit))
        # Taken back and gone again, with pauses: other steps lie between two pictures.
        cockpit.rewind(cockpit.snapshots[len(cockpit.snapshots) // 2])
        for _ in range(3):
            cockpit.step()
            assert cockpit.wait(DEADLINE)
        cockpit.start()
        assert cockpit.wait(DEADLINE)
        drawn.append(curves(cockpit))
        cockpit.close()
    assert len(drawn[0][0][1]) > 5
    assert all(each == drawn[0] for each in drawn[1:])


def test_an_interrupt_ends_an_inline_run_as_a_pause_does(monkeypatch):
    cockpit = make(threaded=False, epochs=8)
    keep = cockpit._run.collect

    def interrupted(step):
        keep(step)
        if step.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(cockpit._loop, "_each", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cockpit.start()
    assert (cockpit.status, cockpit.training.step) == ("paused", 3)
    monkeypatch.undo()
    cockpit.start()
    assert cockpit.status == "finished"
    check_usable(cockpit)


def test_a_cockpit_that_is_closed_while_it_trains_gives_the_model_back_and_is_forgotten():
    model = make_model()
    cockpit = make(model, threaded=True, epochs=2000)
    training = cockpit.training
    cockpit.start()
    until(lambda: training.step > 2)
    cockpit.close()
    gone = weakref.ref(cockpit)
    del cockpit
    gc.collect()
    assert gone() is None
    check_usable(make(model))
