"""Tell observers of a run's changes once what changes together has changed."""

from __future__ import annotations

import sys
import threading
import traceback
from collections import deque
from contextlib import contextmanager
from typing import Any

from .panel import Panel


class NotifyingPanel(Panel):
    """A panel whose observers may ask for the next run, stop this one, or raise, and leave it usable.

    Attributes
    ----------
    notified_later : tuple of str
        Traits whose observers hear of changes made under `_hold_notifications` once `_notify_held` is
        called.
    """

    notified_later: tuple[str, ...] = ("status",)

    def __init__(self, *args, **keywords) -> None:
        self._quiet = threading.local()
        self._untold: deque[Any] = deque()
        super().__init__(*args, **keywords)

    @contextmanager
    def _hold_notifications(self):
        self._quiet.depth = int(getattr(self._quiet, "depth", 0)) + 1
        try:
            yield
        finally:
            self._quiet.depth -= 1

    def notify_change(self, change) -> None:
        """Tell observers of a change, but never in the middle of one: they may ask for the next."""
        quiet = getattr(self, "_quiet", None)
        if quiet is not None and getattr(quiet, "depth", None) and change["name"] in self.notified_later:
            self._untold.append(change)
        else:
            super().notify_change(change)

    def _notify_held(self) -> None:
        while self._untold:
            try:
                super().notify_change(self._untold.popleft())
            except Exception as error:
                self._say_aloud(error)

    def _say_aloud(self, error: Exception) -> None:
        """Show an error that nobody called for in the panel, and to whoever reads the output."""
        self.show_error(error)
        traceback.print_exception(error, file=sys.stderr)
