"""The loop beside the notebook, driven with plain iterators: no torch, no panel."""

import itertools
import subprocess
import sys
import threading
import time

import pytest

from vaewidgets.widgets._core.background_loop import BackgroundLoop, RefreshRate

DEADLINE = 30


class Record:
    """A runner whose items, pictures and end are kept."""

    def __init__(self, each=None, show=None, done=None, drawn=None, threaded=True, pace=None):
        self.lock = threading.RLock()
        self.items, self.pictures, self.ends = [], [], []
        self._each, self._show, self._done = each, show, done
        self.runner = BackgroundLoop(
            self.lock,
            each=self.each,
            show=self.show,
            done=self.done,
            drawn=drawn or (lambda ended: 0.0),
            threaded=threaded,
            pace=pace or RefreshRate(rate=1000),
        )

    def each(self, item):
        self.items.append(item)
        if self._each:
            self._each()

    def show(self):
        self.pictures.append(self.items[-1] if self.items else None)
        if self._show:
            self._show()

    def done(self, error):
        self.ends.append(error)
        if self._done:
            self._done()


def until(condition) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "still not true"
        time.sleep(0.001)


def own_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("vaewidgets-")]


both = pytest.mark.parametrize("threaded", [True, False])


@both
@pytest.mark.parametrize("n", [1, 7, 50])
def test_a_limit_takes_exactly_so_many_and_the_next_run_goes_on(threaded, n):
    record, items = Record(threaded=threaded), itertools.count()
    for begin in (0, n):
        record.runner.start(items, n)
        assert record.runner.wait(DEADLINE)
        assert record.items == list(range(begin + n))
        assert record.pictures[-1] == begin + n - 1
    assert record.ends == [None, None]
    assert not record.runner.running


@both
def test_an_iterator_that_ends_ends_the_run(threaded):
    record = Record(threaded=threaded)
    record.runner.start(iter("abc"))
    assert record.runner.wait(DEADLINE)
    assert record.items == ["a", "b", "c"]
    assert record.pictures[-1] == "c"
    assert record.ends == [None]


@both
def test_the_lock_is_held_for_exactly_one_next_and_its_each(threaded):
    class Lock:
        depth, taken = 0, 0

        def __enter__(self):
            self.depth += 1
            self.taken += 1

        def __exit__(self, *_):
            self.depth -= 1

    lock, inside, outside = Lock(), [], []

    def items():
        for _ in range(5):
            inside.append((lock.depth, lock.taken))
            yield None

    runner = BackgroundLoop(
        lock,
        each=lambda _: inside.append((lock.depth, lock.taken)),
        show=lambda: outside.append(lock.depth) if not threaded else None,
        done=lambda _: outside.append(lock.depth),
        threaded=threaded,
        pace=RefreshRate(rate=1e9),
    )
    runner.start(items(), 5)
    assert runner.wait(DEADLINE)
    assert inside == [(1, k) for k in (1, 1, 2, 2, 3, 3, 4, 4, 5, 5)]
    assert set(outside) == {0}


def test_a_slow_picture_never_blocks_the_loop():
    blocked, go_on = threading.Event(), threading.Event()

    def show():
        blocked.set()
        assert go_on.wait(DEADLINE)

    begun = threading.Event()

    def items():
        yield 0
        assert begun.wait(DEADLINE)
        yield from range(1, 2000)

    record = Record(show=show)
    record.runner.start(items())
    assert blocked.wait(DEADLINE)
    begun.set()
    until(lambda: len(record.items) == 2000)
    assert len(record.pictures) == 1
    assert not record.runner.wait(0)
    assert record.runner.running
    go_on.set()
    assert record.runner.wait(DEADLINE)
    assert len(record.pictures) == 2
    assert record.pictures[-1] == 1999


def test_who_draws_is_asked_after_every_picture_and_released_at_the_end():
    waits = []

    def drawn(ended):
        waits.append(len(record.pictures))
        assert ended.wait(DEADLINE)

    record = Record(drawn=drawn)
    record.runner.start(itertools.count())
    until(lambda: waits)
    record.runner.halt()
    assert waits == [1]
    assert record.pictures[-1] == record.items[-1]


def test_halt_lets_no_further_item_through_not_even_one_that_waits_for_the_lock():
    record = Record()
    for _ in range(50):
        record.runner.start(itertools.count())
        with record.lock:
            record.runner.request_stop()
            taken = len(record.items)
        assert record.runner.wait(DEADLINE)
        assert len(record.items) == taken


@both
@pytest.mark.parametrize("where", ["each", "show", "done"])
def test_halting_from_within_does_not_deadlock(threaded, where):
    record = Record(threaded=threaded, **{where: lambda: record.runner.halt()})
    record.runner.start(itertools.count(), None if where != "done" else 100)
    assert record.runner.wait(DEADLINE)
    assert record.ends == [None]
    if where == "each":
        assert record.items == [0]


def test_halt_in_the_display_thread_waits_for_the_loop():
    after = []

    def show():
        record.runner.halt()
        after.append(len(record.items))

    record = Record(show=show)
    record.runner.start(itertools.count())
    assert record.runner.wait(DEADLINE)
    assert after == [len(record.items)] * len(after)


class Oops(Exception):
    pass


def fail():
    raise Oops("x")


@both
@pytest.mark.parametrize("where", ["iterator", "each", "show", "done"])
def test_a_failure_ends_the_run_and_is_raised_once(threaded, where):
    def items():
        yield 1
        if where == "iterator":
            fail()
        yield from itertools.count(2) if where in ("each", "show") else ()

    record = Record(threaded=threaded, **({} if where == "iterator" else {where: fail}))
    if threaded:
        record.runner.start(items())
        with pytest.raises(Oops):
            record.runner.wait(DEADLINE)
    else:
        with pytest.raises(Oops):
            record.runner.start(items())
    assert len(record.ends) == 1
    assert isinstance(record.ends[0], Oops) or where == "done"
    assert record.runner.wait(DEADLINE)
    assert record.pictures, "there is a last picture after a failure too"
    if where in ("iterator", "each"):
        record._each = None
        record.runner.start(iter([5]))
        assert record.runner.wait(DEADLINE)
        assert record.items[-1] == 5
        assert record.ends[-1] is None


def test_the_first_failure_is_the_one_that_is_told():
    failed = threading.Event()

    def items():
        yield 0
        failed.set()
        raise Oops("the cause")

    def show():
        assert failed.wait(DEADLINE)
        until(lambda: record.runner._ended.is_set())
        raise ValueError("what came of it")

    record = Record(show=show)
    record.runner.start(items())
    with pytest.raises(Oops, match="the cause"):
        record.runner.wait(DEADLINE)


def test_an_interrupt_inline_ends_well_and_reaches_the_caller():
    record = Record(threaded=False)

    def items():
        yield 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record.runner.start(items())
    assert record.ends == [None]
    assert record.pictures[-1] == 0
    assert not record.runner.running
    record.runner.start(iter([1]))
    assert record.items == [0, 1]


def test_a_hundred_starts_and_halts_lose_nothing_and_leave_no_thread():
    before = own_threads()
    record, items = Record(), itertools.count()
    for _ in range(100):
        had = len(record.items)
        record.runner.start(items)
        until(lambda had=had: len(record.items) > had)
        record.runner.halt()
        assert record.pictures[-1] == record.items[-1]
    assert own_threads() == before
    assert record.items == list(range(len(record.items)))
    assert record.ends == [None] * 100


def test_of_many_starts_at_once_one_goes_and_the_others_are_refused():
    record, refused, together = Record(), [], threading.Barrier(8)

    def start():
        together.wait(DEADLINE)
        try:
            record.runner.start(itertools.count())
        except RuntimeError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(refused) == 7
    assert "running already" in refused[0]
    record.runner.halt()
    assert record.items == list(range(len(record.items)))


def test_inline_runs_know_that_they_run_and_can_be_halted_from_elsewhere():
    record = Record(threaded=False)
    seen = []

    def each():
        seen.append(record.runner.running)
        if len(record.items) == 3:
            other = threading.Thread(target=record.runner.halt)
            other.start()
            until(record.runner._halt.is_set)

    record._each = each
    record.runner.start(itertools.count())
    assert seen == [True, True, True]
    assert not record.runner.running


# -- pace ----------------------------------------------------------------------------------------------------


def test_waiting_waits_for_whoever_may_yet_begin_the_next_run():
    """The second run, begun when the first had settled, is over before those who began it are."""
    begun, go_on, runs = threading.Event(), threading.Event(), []

    def settled():
        runs.append(threading.current_thread())
        if len(runs) == 1:
            runner.start(iter([]))
            begun.set()
            assert go_on.wait(DEADLINE)
            runner.start(iter([]))

    runner = BackgroundLoop(
        threading.Lock(), each=lambda item: None, show=lambda: None, done=lambda error: None, settled=settled
    )
    runner.start(iter([]))
    assert begun.wait(DEADLINE)
    assert not runner.wait(0.2), "the first run still tells"
    threading.Timer(0.2, go_on.set).start()
    assert runner.wait(DEADLINE) and len(runs) == 3
    assert not any(thread.is_alive() for thread in runs)


def test_those_whom_a_run_tells_do_not_wait_for_each_other():
    answers = []

    def settled():
        if not answers:
            answers.append(None)
            runner.start(iter([]))
            answers[0] = runner.wait(DEADLINE)
        else:
            answers.append(runner.wait(DEADLINE))

    runner = BackgroundLoop(
        threading.Lock(), each=lambda item: None, show=lambda: None, done=lambda error: None, settled=settled
    )
    runner.start(iter([]))
    assert runner.wait(DEADLINE) and answers == [True, True]


def test_pace_never_shows_faster_than_its_rate():
    pace = RefreshRate(share=0.5, rate=10)
    assert pace.interval == 0.1
    for _ in range(50):
        pace.shown(0.001, 0.001)
    assert pace.interval == 0.1


@pytest.mark.parametrize("cores", [1, 2, 8])
def test_pace_settles_where_pictures_cost_their_share(cores):
    """Work here stops the loop; work of the page takes one of the cores from it."""
    pace = RefreshRate(share=0.1, rate=10, cores=cores)
    for _ in range(40):
        pace.shown(0.05, 0.2)
    assert pace.cost == pytest.approx(0.05 + 0.2 / cores, rel=1e-3)
    assert pace.interval == pytest.approx(10 * pace.cost)


def test_pace_forgets_one_slow_picture_slowly():
    pace = RefreshRate(share=0.1, rate=10, cores=1)
    for _ in range(40):
        pace.shown(0.02, 0.0)
    pace.shown(1.0, 0.0)
    assert pace.cost == pytest.approx(0.02 + 0.3 * 0.98, rel=1e-3)
    for _ in range(40):
        pace.shown(0.02, 0.0)
    assert pace.interval == pytest.approx(0.2, rel=1e-3)


def test_the_runner_counts_what_the_page_answers():
    pace = RefreshRate(share=0.5, rate=1000, cores=1)
    record = Record(pace=pace, drawn=lambda ended: 0.25)
    record.runner.start(iter(range(10**9)))
    until(lambda: pace.cost > 0.06)
    record.runner.halt()
    assert pace.cost >= 0.3 * 0.25


def test_a_process_that_ends_while_it_trains_ends_well():
    """A daemon thread that the interpreter ends within torch calls std::terminate: exit status 134."""
    script = (
        "import torch, vaewidgets as vw\n"
        "torch.set_num_threads(1)\n"
        "data = vw.load_data('digits')\n"
        "cockpit = vw.TrainingCockpit(vw.VAE(2, (1, 8, 8), hidden=(64,), seed=0), data, epochs=500)\n"
        "cockpit.start()\n"
        "while not cockpit.training.step: pass\n"
        "print(cockpit.status)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "running\n", "")
