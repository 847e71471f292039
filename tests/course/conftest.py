"""Shared by the tests of the course: JupyterLab that is not started, and answers that are not right yet."""

import pytest

from vaewidgets.course import notebooks


@pytest.fixture
def launched(monkeypatch):
    """The commands by which JupyterLab would have been started; each ends with status 7."""
    commands = []
    monkeypatch.setattr(notebooks, "launch", lambda command: commands.append(command) or 7)
    return commands


def not_yet(verdict, *words):
    """Assert that the answer is refused, in at most three short lines that hold the words."""
    assert verdict.right is False and not verdict
    for word in words:
        assert word in verdict.message, verdict
    lines = repr(verdict).splitlines()
    assert len(lines) <= 3 and max(map(len, lines)) <= 100 and lines[0].startswith("Not yet. ")
    return verdict
