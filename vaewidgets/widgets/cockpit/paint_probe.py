"""A question to the page, whether what was sent to it has been drawn."""

from __future__ import annotations

import threading
import time

import traitlets

from vaewidgets.widgets._core.page_module import PageModule

#: Seconds after which a page counts as gone, until it answers again.
PATIENCE = 2.0


class PaintProbe(PageModule):
    """Counts beats; a page that shows the panel answers each when it has drawn what came before it."""

    _module = "cockpit/paint_probe.js"
    beat = traitlets.Int(0).tag(sync=True)
    echo = traitlets.Int(0).tag(sync=True)
    #: Seconds that the page worked since its last answer, in tasks long enough to be noticed.
    busy = traitlets.Float(0.0).tag(sync=True)

    def __init__(self) -> None:
        self._answered, self._there = threading.Event(), False
        super().__init__()
        self.observe(self._on_echo, "echo")

    def wait(self, ended: threading.Event) -> float:
        """Ask, and wait for the answer until `ended`; return the seconds that the page worked.

        A page that did not answer before is not waited for.
        """
        self._answered.clear()
        self.beat += 1
        due = time.monotonic() + (PATIENCE if self._there else 0.0)
        while not self._answered.wait(0.02) and not ended.is_set():
            if time.monotonic() > due:
                self._there = False
                return 0.0
        return self.busy if self._answered.is_set() else 0.0

    def _on_echo(self, change) -> None:
        self._there = True
        if change.new == self.beat:
            self._answered.set()
