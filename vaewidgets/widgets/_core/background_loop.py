"""Drive an iterator beside the notebook, and show what it does at a rate that it hardly feels."""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Iterator

from vaewidgets._utils.threads import available_cpus

_END = object()
#: Seconds that the end of the process waits for the step and the picture under way.
_PATIENCE = 10.0
_living: weakref.WeakSet[BackgroundLoop] = weakref.WeakSet()


class RefreshRate:
    """How long to wait between two pictures of a running loop, so that showing costs it little.

    Parameters
    ----------
    share : float
        Part of the loop's time that showing may take, of what can be counted here. The browser's painting,
        the server and the waiting for the lock take more than as much again (``vaewidgets bench cockpit``
        measures all): with 0.05 a loop loses about a tenth of its speed.
    rate : float
        Pictures per second, at most.
    cores : int, optional
        Processors that the loop shares with the page; those of this process if None.

    Attributes
    ----------
    cost : float
        Seconds that a picture takes from the loop: a running mean.
    """

    def __init__(self, share: float = 0.05, rate: float = 10.0, cores: int | None = None) -> None:
        self.share, self.rate, self.cost = share, rate, 0.0
        self._cores = cores or available_cpus()

    def shown(self, here: float, page: float) -> None:
        """Note a picture that took `here` seconds in this process and `page` in the browser.

        What is done here holds the interpreter's lock, and the loop stands still. The browser takes one of
        the cores from it.
        """
        self.cost += 0.3 * (here + page / self._cores - self.cost)

    @property
    def interval(self) -> float:
        """Seconds from the start of one picture to that of the next."""
        return max(1 / self.rate, self.cost / self.share)


class BackgroundLoop:
    """Take steps of an iterator in a daemon thread, or inline, until told to halt.

    Parameters
    ----------
    lock : context manager
        Held for exactly one ``next()`` and the `each` that follows it.
    each : callable
        Called with every item; it must be quick.
    show : callable
        Called without arguments in a second thread, at the rate of `pace`, and once more after the last
        item. The loop never waits for it.
    done : callable
        Called with an exception or None when all is over, after the last `show`, while it is still running.
    settled : callable
        Called without arguments once it runs no more: the next run may begin in there.
    drawn : callable
        Waits until what was shown has been drawn, or the Event it is given is set; returns the seconds that
        the page worked for it.
    threaded : bool
        False: `go` returns when the loop ends, and everything happens in the caller's thread.
    """

    def __init__(
        self,
        lock,
        *,
        each: Callable[[object], None],
        show: Callable[[], None],
        done: Callable[[BaseException | None], None],
        settled: Callable[[], None] = lambda: None,
        drawn: Callable[[threading.Event], float] = lambda ended: 0.0,
        threaded: bool = True,
        pace: RefreshRate | None = None,
    ) -> None:
        self._lock, self._each, self._show, self._done, self._drawn = lock, each, show, done, drawn
        self._settled, self._threaded, self.pace = settled, threaded, pace or RefreshRate()
        self._limit: int | None = None
        self._taken = 0
        self._guard = threading.Lock()
        self._halt, self._ended, self._idle = threading.Event(), threading.Event(), threading.Event()
        self._ended.set()
        self._idle.set()
        self._looping: threading.Thread | None = None
        self._showing: threading.Thread | None = None
        self._caller: threading.Thread | None = None
        # What `settled` calls may begin the next run and go on beside it, so there can be several.
        self._settling: set[threading.Thread] = set()
        self._error: BaseException | None = None
        _living.add(self)

    @property
    def running(self) -> bool:
        """Whether a loop is on its way, or its last picture."""
        return not self._idle.is_set()

    @property
    def over(self) -> bool:
        """Whether no step is being taken: a picture that is made now is the last."""
        return self._ended.is_set()

    @property
    def here(self) -> bool:
        """Whether the caller is called by the run itself, which it cannot wait for."""
        own = self._caller, self._looping, self._showing
        return self.running and threading.current_thread() in own

    def start(self, items: Iterator, limit: int | None = None) -> None:
        """Take `limit` items, or all, or as many as there are before `halt`.

        Raises
        ------
        RuntimeError
            It is running already.
        """
        self.prepare(limit)
        self.launch(items)

    def prepare(self, limit: int | None = None) -> None:
        """Be running, without a step yet: `launch` is to follow in this thread, come what may.

        Raises
        ------
        RuntimeError
            It is running already.
        """
        with self._guard:
            if self.running:
                raise RuntimeError("it is running already: halt it first.")
            self._halt.clear()
            self._ended.clear()
            self._idle.clear()
            self._error, self._limit, self._taken = None, limit, 0
            self._caller = threading.current_thread()

    def launch(self, items: Iterator) -> None:
        """Take the steps that were prepared."""
        if not self._threaded:
            self._run_inline(items)
            return
        looping = threading.Thread(target=self._loop, args=(items,), name="vaewidgets-loop", daemon=True)
        # Both are known before either runs: what they call may halt, and must find itself.
        showing = threading.Thread(target=self._watch, name="vaewidgets-show", daemon=True)
        self._looping, self._showing, self._caller = looping, showing, None
        showing.start()
        looping.start()

    def extend(self, limit: int | None) -> bool:
        """Take so many items from now on, or all; return whether there still is a loop that does."""
        with self._lock:
            if self.over or self._halt.is_set():
                return False
            self._limit = None if limit is None else self._taken + limit
            return True

    def request_stop(self) -> None:
        """Have the loop stop after the present step; do not wait for it."""
        self._halt.set()

    def halt(self) -> None:
        """Stop after the present step and wait until it is over, its last picture included."""
        self._halt.set()
        self.wait_for_threads(None)

    def stop(self) -> None:
        """As `halt`, but do not wait for what `settled` does."""
        self._halt.set()
        if not self.here:
            self._idle.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the loop to end; return whether it did. An exception of it is raised here, once."""
        end = None if timeout is None else time.monotonic() + timeout
        self.wait_for_threads(timeout)
        # What `settled` began is waited for as well, and whatever it may yet begin.
        while not self.here and (self.running or self._settling_elsewhere()):
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                break
            self.wait_for_threads(left)
        if self.running or self._settling_elsewhere():
            return False
        with self._guard:
            error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def wait_for_threads(self, timeout: float | None) -> None:
        """Wait for the loop and its last picture, or `timeout` seconds; not where the run itself calls."""
        threads = (self._looping, self._showing, *self._settling_elsewhere())
        here = threading.current_thread()
        # What the loop and the pictures call may halt: a thread cannot wait for itself.
        if here is threads[0] or (self.running and here is self._caller):
            return
        if here is threads[1]:
            self._ended.wait(timeout)
        elif self._idle.wait(timeout):
            for thread in threads:
                if thread is not None and thread.is_alive():
                    thread.join(timeout)

    def _settling_elsewhere(self) -> tuple[threading.Thread, ...]:
        """Return the threads in `settled`: to one of them none, since two would wait for each other."""
        with self._guard:
            return () if threading.current_thread() in self._settling else tuple(self._settling)

    def _steps(self, items: Iterator):
        """Take steps, one for each time that this is resumed."""
        while True:
            with self._lock:
                # Looked at under the lock: who halts and then takes the lock sees no further step, and who
                # extends the run finds it going on, or over.
                if self._limit is not None and self._taken >= self._limit:
                    self._halt.set()
                item = _END if self._halt.is_set() else next(items, _END)
                if item is _END:
                    self._halt.set()
                    return
                self._taken += 1
                self._each(item)
            yield

    def _loop(self, items: Iterator) -> None:
        try:
            for _ in self._steps(items):
                # Outside the lock, and without it nobody else would get the lock for many steps.
                time.sleep(0)
        except BaseException as error:
            self._note(error)
        finally:
            self._ended.set()

    def _watch(self) -> None:
        try:
            over = self._ended.wait(1 / self.pace.rate)
            while not over:
                begun = time.monotonic()
                took = self._show_once()
                self.pace.shown(took, self._drawn(self._ended))
                over = self._ended.wait(max(0.0, begun + self.pace.interval - time.monotonic()))
        except Exception as error:
            # Nobody would be told when the loop is over.
            self._halt.set()
            self._note(error)
            self._ended.wait()
        here = threading.current_thread()
        with self._guard:
            self._settling.add(here)
        try:
            self._finish()
            self._settled()
        finally:
            with self._guard:
                self._settling.discard(here)

    def _run_inline(self, items: Iterator) -> None:
        due = time.monotonic() + 1 / self.pace.rate
        try:
            for _ in self._steps(items):
                if time.monotonic() >= due:
                    begun = time.monotonic()
                    self.pace.shown(self._show_once(), 0.0)
                    due = begun + self.pace.interval
        except Exception as error:
            self._note(error)
        finally:
            # A KeyboardInterrupt goes on to the caller, who asked for it, from a loop that has ended well.
            self._ended.set()
            self._finish()
            noted, self._error = self._error, None
            self._settled()
        if noted is not None:
            raise noted

    def _show_once(self) -> float:
        started = time.monotonic()
        try:
            self._show()
        except Exception as error:
            self._halt.set()
            self._note(error)
        return time.monotonic() - started

    def _finish(self) -> None:
        try:
            self._show_once()
        finally:
            try:
                self._done(self._error)
            except Exception as error:
                self._note(error)
            finally:
                self._caller = None
                self._idle.set()

    def _note(self, error: BaseException) -> None:
        """Keep the first error: what comes after it may come of it."""
        with self._guard:
            self._error = self._error or error


@atexit.register
def _end_all() -> None:
    # A thread that the interpreter ends within torch aborts the process.
    running = [runner for runner in _living if runner.running]
    for runner in running:
        runner.request_stop()
    for runner in running:
        runner.wait_for_threads(_PATIENCE)
