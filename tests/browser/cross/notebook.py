"""A notebook of JupyterLab in Firefox or WebKit."""

from pathlib import Path

from browser import harness
from browser.harness import TIMEOUT_MS

from .webdriver import Tab


class Notebook(harness.Notebook):
    """As the harness's, in the one tab of another browser."""

    def __init__(self, tab: Tab, lab: harness.LabServer, shots: Path):
        # What the page is closed with, in place of playwright's context.
        self.page = self._context = tab
        self.lab, self.shots, self.sidebar = lab, shots, False

    @property
    def messages(self) -> list[str]:
        return self.page.messages

    def _await(self, function: str, arg=None, timeout_ms: float = TIMEOUT_MS):
        return self.page.evaluate(function, arg)  # the driver gives up by itself
