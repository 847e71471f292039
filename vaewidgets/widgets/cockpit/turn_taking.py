"""Which thread may change the run of a panel, and which panel a notebook's cell has replaced."""

from __future__ import annotations

import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager

from vaewidgets.widgets._core.background_loop import BackgroundLoop
from vaewidgets.widgets._core.model_lock import unfollow
from vaewidgets.widgets._core.notifying_panel import NotifyingPanel

_living: weakref.WeakSet[TurnTakingPanel] = weakref.WeakSet()


class TurnTakingPanel(NotifyingPanel):
    """A panel with a run that one thread at a time begins, ends or rewinds.

    Observers are notified after such a change, when all locks are free. What an observer that the loop itself
    calls asks for is postponed until the loop has ended, because the loop cannot wait for itself.

    Parameters
    ----------
    loop : BackgroundLoop
        Its `settled` is `_settled`.
    made_in : tuple of two str or None
        The cell that makes this panel, from `replace_panels`.
    children, **keywords
        Those of `Panel`.
    """

    def __init__(self, loop: BackgroundLoop, made_in: tuple, children, **keywords) -> None:
        self._loop, self._made_in, self._closed = loop, made_in, False
        #: Held while the run is begun, ended or rewound, but never while others are waited for.
        self._turn = threading.RLock()
        self._postponed: deque[Callable] = deque()
        super().__init__(children, **keywords)
        _living.add(self)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no step is being taken, or `timeout` seconds; return whether none is.

        What training raised is raised here.
        """
        return self._loop.wait(timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this cockpit is closed: run its cell again for a new one.")

    @contextmanager
    def _taking_turn(self):
        """End the loop and hold the turn; observers are notified afterwards."""
        self._check_open()
        with self._bookkeeping():
            self._loop.stop()
            yield

    @contextmanager
    def _bookkeeping(self):
        """Hold the turn; observers are notified afterwards."""
        try:
            with self._turn, self._hold_notifications():
                yield
        finally:
            if not getattr(self._quiet, "depth", 0):
                self._notify_held()

    def _postpone(self, ask: Callable[[], None]) -> bool:
        """Postpone a request of the loop's own observers to the end of the loop; return whether it is one."""
        if not self._loop.here:
            return False
        self._loop.request_stop()
        self._postponed.append(ask)
        return True

    def _settled(self) -> None:
        """Notify observers after the end of the loop, and do what they had asked for."""
        self._notify_held()
        while self._postponed:
            try:
                self._postponed.popleft()()
            except Exception as error:
                self._say_aloud(error)


def replace_panels() -> tuple[str | None, str | None]:
    """Halt the loops of panels that an earlier run of the running cell made.

    Returns
    -------
    tuple of two str or None
        The id of the running cell and the id of this run of it; None outside of a notebook.
    """
    cell, run = running_cell()
    for other in list(_living):
        if cell is not None and other._made_in[0] == cell and other._made_in[1] != run:
            other._loop.halt()
            unfollow(other)
            _living.discard(other)
    return cell, run


def running_cell() -> tuple[str | None, str | None]:
    """Return the id of the running cell and the id of this run of it; None outside of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    asked: dict[str, dict[str, str]] = getattr(shell, "get_parent", dict)() or {}
    return asked.get("metadata", {}).get("cellId"), asked.get("header", {}).get("msg_id")
