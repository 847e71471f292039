"""Measures when the page has drawn what was sent to it."""

from __future__ import annotations

import threading
import time

import traitlets

from vaewidgets.widgets._core.page_module import PageModule

#: Seconds without an answer after which the page counts as gone, until it answers again.
TIMEOUT = 2.0


class PaintProbe(PageModule):
    """Pings the page, which answers when it has drawn all that was sent before.

    Attributes
    ----------
    ping : int
        Counts the questions.
    pong : int
        The last question that the page has answered.
    busy : float
        Seconds that the page worked since its last answer, in tasks long enough to be noticed.
    """

    _module = "cockpit/paint_probe.js"
    ping = traitlets.Int(0).tag(sync=True)
    pong = traitlets.Int(0).tag(sync=True)
    busy = traitlets.Float(0.0).tag(sync=True)

    def __init__(self) -> None:
        self._answered, self._is_there = threading.Event(), False
        super().__init__()
        self.observe(self._on_pong, "pong")

    def wait(self, ended: threading.Event) -> float:
        """Ping, and wait for the answer until `ended` is set; return the seconds that the page worked.

        A page that did not answer the last time is not waited for.
        """
        self._answered.clear()
        self.ping += 1
        due = time.monotonic() + (TIMEOUT if self._is_there else 0.0)
        while not self._answered.wait(0.02) and not ended.is_set():
            if time.monotonic() > due:
                self._is_there = False
                return 0.0
        return self.busy if self._answered.is_set() else 0.0

    def _on_pong(self, change) -> None:
        self._is_there = True
        if change.new == self.ping:
            self._answered.set()
