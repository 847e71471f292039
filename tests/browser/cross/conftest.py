"""Fixtures: Firefox and WebKit, and notebooks opened in them.

    def test_something(lab, open_notebook):
        notebook = open_notebook(lab.copy("notebooks/00_quickstart.ipynb"))
        notebook.run_all()

Each test of this folder that uses them runs once in each browser. A browser lives for the package.
"""

import pytest

from browser.conftest import _failed, _missing

from .notebook import Notebook
from .webdriver import Firefox, Tab, WebKit


@pytest.fixture(scope="package", params=[Firefox, WebKit], ids=lambda engine: engine.name)
def tab(request, tmp_path_factory):
    """The only tab of a browser."""
    if what := request.param.missing():
        _missing(what)
    engine = request.param(tmp_path_factory.mktemp(request.param.name))
    try:
        yield Tab(engine)
    finally:
        engine.close()


@pytest.fixture
def open_notebook(request, tab, lab, shots):
    """A function ``open_notebook(path) -> Notebook``; closed after the test, with evidence if it failed."""
    opened = []

    def open_(path) -> Notebook:
        opened.append(Notebook(tab, lab, shots))
        return opened[-1].open(path)

    yield open_
    for number, notebook in enumerate(opened):
        if request.node.stash.get(_failed, True):
            notebook.leave_evidence(f"failed-{request.node.name}-{number}")
        notebook.close()
