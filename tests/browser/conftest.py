"""Fixtures: a JupyterLab server, a Chromium, and notebooks opened in them.

A test usually needs two of them::

    def test_something(lab, open_notebook):
        notebook = open_notebook(lab.copy("notebooks/00_quickstart.ipynb"))
        notebook.run_all()

The server lives for the whole session. Playwright's synchronous API keeps an asyncio loop *running*
in the main thread for as long as it is started, and nbval or nbclient may then fail in the same process
("cannot be called from a running event loop"). So playwright is package-scoped: it is stopped
before pytest moves on to a test outside this directory, whatever the order.
"""

import os
import shutil
from pathlib import Path

import pytest

from .harness import CHROMIUM_ARGS, TIMEOUT_MS, LabServer, Notebook, expect, sync_playwright

_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Remember whether the test itself failed: then its notebooks leave a picture behind."""
    report = yield
    if report.when == "call":
        item.stash[_failed] = report.failed
    return report


def _missing(what: str):
    """Skip where a browser is a luxury, fail where it is required (``VAEWIDGETS_REQUIRE=1``)."""
    if os.environ.get("VAEWIDGETS_REQUIRE") == "1":
        pytest.fail(f"{what}, and VAEWIDGETS_REQUIRE=1 makes the browser tests compulsory", pytrace=False)
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Where Chromium is."""
    if sync_playwright is None:
        _missing("playwright is not installed (pip install -e '.[test]')")
    path = shutil.which("chromium")
    if path is None:
        _missing("no `chromium` on the PATH (Debian: apt-get install chromium)")
    return path


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """One JupyterLab server for the session, in a temporary directory, with nobody's settings."""
    with LabServer(tmp_path_factory.mktemp("jupyterlab")) as server:
        yield server


@pytest.fixture(scope="package")
def launch_browser(chromium_path):
    """A function ``launch_browser(args=CHROMIUM_ARGS)``; one Chromium for each distinct ``args``."""
    expect.set_options(timeout=TIMEOUT_MS)
    with sync_playwright() as playwright:
        launched = {}

        def launch(args=CHROMIUM_ARGS):
            args = tuple(args)
            if args not in launched:
                launched[args] = playwright.chromium.launch(
                    executable_path=chromium_path, args=list(args), timeout=TIMEOUT_MS
                )
            return launched[args]

        yield launch
        for browser in launched.values():
            browser.close()


@pytest.fixture(scope="package")
def browser(launch_browser):
    """Chromium with the usual arguments."""
    return launch_browser()


@pytest.fixture
def shots(tmp_path) -> Path:
    """Where pictures go: ``$VAEWIDGETS_SHOTS`` if set, the test's temporary directory otherwise."""
    directory = Path(os.environ.get("VAEWIDGETS_SHOTS") or tmp_path)
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@pytest.fixture
def open_notebook(request, launch_browser, lab, shots):
    """A function ``open_notebook(path, args=CHROMIUM_ARGS, sidebar=True, viewport=...) -> Notebook``.

    Each notebook gets a browser context (cookies, storage) of its own, and is closed with its
    kernel after the test. After a failure the console is printed and a picture is kept.
    """
    opened = []

    def open_(path, args=CHROMIUM_ARGS, **options) -> Notebook:
        notebook = Notebook(launch_browser(args), lab, shots, **options)
        opened.append(notebook)  # before open(), so that a page which fails to open is closed too
        return notebook.open(path)

    yield open_
    for number, notebook in enumerate(opened):
        if request.node.stash.get(_failed, True):
            notebook.leave_evidence(f"failed-{request.node.name}-{number}")
        notebook.close()
