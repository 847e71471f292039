"""Notebook 00 in Notebook 7 and in Voila: a drag decodes there too. The server of JupyterLab serves both."""

import re

import pytest

from .conftest import _failed
from .harness import CHROMIUM_ARGS, TIMEOUT_MS, LabServer, Notebook, expect

#: Errors of the front ends themselves: without a network, and with an extension that was made for another.
NOISE = (
    r"ERR_NAME_NOT_RESOLVED \(https://cdn",
    r"Cannot read properties of undefined \(reading 'schema'\)",
    r"labextensions/@jupyter-notebook/lab-extension",
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server of their own: where JupyterLab was open before, Notebook 7 is refused some of its files."""
    with LabServer(tmp_path_factory.mktemp("front-ends")) as server:
        yield server


@pytest.fixture
def page(request, launch_browser, lab, shots):
    """A page that is no JupyterLab."""
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, shots)
    yield notebook
    if request.node.stash.get(_failed, True):
        notebook.leave_evidence(f"failed-{request.node.name}")
    notebook.close()


def assert_drag_decodes(notebook) -> None:
    """Drag z1 with the mouse: the picture follows before the release, and the words say where z is."""
    panel = notebook.page.locator(".vw-panel", has_text="The plane, decoded tile by tile")
    panel.wait_for(state="attached", timeout=3 * TIMEOUT_MS)  # the notebook runs
    canvas, handle = panel.locator("[data-vw=picture]").first, panel.locator(".noUi-handle").first
    words = panel.locator(".vw-state").first
    expect(words).to_contain_text("z = (1.57, -0.16)", timeout=3 * TIMEOUT_MS)  # where the last cell takes it
    notebook.drag_and_see_pictures(handle, canvas, there=40, back=70)
    expect(words).to_contain_text(f"z = ({notebook.slider_value(handle):.2f}, ")
    assert [error for error in notebook.console_errors if not re.search("|".join(NOISE), error)] == []


def test_notebook_7(lab, page):
    path = lab.copy("notebooks/00_quickstart.ipynb")
    page.page.goto(f"{lab.url}/notebooks/{path}?token={lab.token}")
    expect(page.page.get_by_text("Python 3 (ipykernel)")).to_be_visible()
    page.page.get_by_role("menuitem", name="Run", exact=True).click()
    page.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    assert_drag_decodes(page)


def test_voila(lab, page):
    path = lab.copy("notebooks/00_quickstart.ipynb")
    page.page.goto(f"{lab.url}/voila/render/{path}?token={lab.token}")
    assert_drag_decodes(page)
