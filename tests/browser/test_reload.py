"""Copies of the course, half run, when the page is loaded again: what is on disk counts, and who signed it.

A cell that a test adds through the page is trusted, and would hide all of this. So the notebooks come from
``vaewidgets copy``, and the server from ``vaewidgets lab``.
"""

import json
import subprocess
import sys

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from .harness import REPOSITORY, LabServer, expect

VIEW = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
FOREIGN = '<img src="data:," onerror="window.vwForeign = (window.vwForeign ?? 0) + 1"><b>foreign</b>'


class Course(LabServer):
    """``vaewidgets lab DIR``, DIR having been copied before."""

    def _command(self, port):
        words = ["lab", str(self.root), "--no-browser", f"--port={port}", "--", *self.OPTIONS]
        return [sys.executable, "-m", "vaewidgets", *words]

    def edit(self, name, change) -> str:
        """Change a notebook on disk, as by another program; return its name."""
        path = self.root / name
        notebook = json.loads(path.read_text(encoding="utf-8"))
        change(notebook)
        path.write_text(json.dumps(notebook), encoding="utf-8")
        return name

    def sign(self, name) -> None:
        """As ``jupyter trust`` does."""
        notary = NotebookNotary(data_dir=str(self.home / "data"))
        notary.sign(nbformat.read(self.root / name, as_version=4))
        notary.store.close()


@pytest.fixture(scope="module")
def lab(chromium_path, tmp_path_factory):
    course = Course(tmp_path_factory.mktemp("course"))
    command = [sys.executable, "-m", "vaewidgets", "copy", str(course.root)]
    subprocess.run(command, env=course.environment(), check=True)
    with course:
        yield course


def save(notebook):
    notebook._await("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")


def trusted(notebook) -> bool:
    """Whether all cells of the page's notebook are trusted."""
    return notebook.page.evaluate(
        "() => [...window.vwPanel.content.model.cells].every(c => c.type !== 'code' || c.trusted)"
    )


def test_a_half_run_copy_has_its_panels_when_the_page_is_loaded_again(lab, open_notebook):
    notebook = open_notebook("06_train.ipynb", sidebar=False)
    assert trusted(notebook), "before anything has run"
    for cell in (1, 4):
        notebook.run_cell(cell)
    panel = notebook.page.locator(".vw-panel")
    expect(panel).to_have_count(1)
    save(notebook)
    notebook.open("06_train.ipynb")
    assert trusted(notebook)
    expect(panel).to_have_count(1)
    expect(panel.locator(".vw-state").first).to_contain_text("of 4,600")
    # It is no picture of a panel: the kernel moves it, and it moves the kernel.
    notebook.evaluate("cockpit.step(epochs=1); cockpit.wait()")
    expect(panel.locator(".vw-state").first).to_contain_text("epoch 1 of 200, step 23 of 4,600")
    panel.get_by_role("button", name="one batch").click()
    expect(panel.locator(".vw-state").first).to_contain_text("step 24 of 4,600")
    assert notebook.console_errors == []


def show_first_panel(notebook):
    """Run cells until one shows a panel; return its number."""
    kinds = notebook.page.evaluate("() => [...window.vwPanel.content.model.cells].map(c => c.type)")
    for cell, kind in enumerate(kinds):
        if kind == "code":
            notebook.run_cell(cell)
            if any(VIEW in output.get("data", {}) for output in notebook._outputs(cell)):
                return cell
    raise AssertionError("no cell shows a panel")


COURSE = sorted(path.name for path in (REPOSITORY / "notebooks").glob("*.ipynb"))
#: Other tests here change these on disk, or run them.
TAKEN = ("03_clouds.ipynb", "06_train.ipynb", "07_beta.ipynb")
PLAIN = "08_scoreboard.ipynb"


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == PLAIN else pytest.mark.extended)
        for name in COURSE
        if name not in TAKEN
    ],
)
def test_every_notebook_has_its_first_panel_when_the_page_is_loaded_again(lab, open_notebook, name):
    notebook = open_notebook(name, sidebar=False)
    cell = show_first_panel(notebook)
    expect(notebook.cell(cell).locator(".vw-panel").first).to_be_visible()
    save(notebook)
    notebook.open(name)
    assert trusted(notebook)
    expect(notebook.cell(cell).locator(".vw-panel").first).to_be_visible()
    assert notebook.console_errors == []


def test_a_panel_whose_kernel_has_ended_says_what_to_do(lab, open_notebook):
    """Loaded again without its kernel: ipywidgets would say "Error displaying widget: model not found"."""
    says = "The kernel of this panel has ended: run this cell again, after the cells above it."
    cells = [
        "import ipywidgets as widgets\nimport vaewidgets as vw",
        "vw.KLLab()",
        "widgets.VBox([vw.KLLab(), widgets.IntSlider()])",  # a panel in somebody's own box
        "vw.KLLab()",
        "widgets.IntSlider()",
    ]
    name = lab.write("ended.ipynb", cells)
    notebook = open_notebook(name, sidebar=False, viewport=(1280, 3000))
    notebook.run_all()
    page, panels = notebook.page, notebook.page.locator(".vw-panel")
    expect(panels).to_have_count(3)
    notebook.run_cell(3)  # its first output is gone, and what was kept for it
    expect(panels).to_have_count(3)
    save(notebook)
    stored = nbformat.read(lab.root / name, as_version=4)
    ids = [cell.outputs[0].data[VIEW]["model_id"] for cell in stored.cells[1:4]]
    assert sorted(stored.metadata.widgets[STATE].state) == sorted(ids), "no other's, none of an old output"

    # While the kernel lives it is the panel that comes, and a look at a page changes nothing.
    notebook.open(name)
    expect(panels).to_have_count(3)
    expect(page.get_by_text(says)).to_have_count(0)
    assert page.evaluate("() => window.vwPanel.content.model.dirty") is False

    notebook._await("async () => { await window.vwPanel.sessionContext.shutdown(); }")
    notebook.open(name)
    expect(page.get_by_text(says)).to_have_count(3)
    expect(page.get_by_text("model not found")).to_have_count(1)  # the slider, which is not ours
    expect(panels).to_have_count(0)
    notebook.run_all()
    expect(panels).to_have_count(3)
    expect(page.get_by_text(says)).to_have_count(0)


def test_what_somebody_else_put_into_an_output_does_not_run(lab, open_notebook):
    output = nbformat.v4.new_output("display_data", {"text/html": FOREIGN})
    name = lab.edit("07_beta.ipynb", lambda n: n["cells"][1]["outputs"].append(output))
    stored = nbformat.read(lab.root / name, as_version=4)
    notebook = open_notebook(name, sidebar=False)
    assert not trusted(notebook)
    expect(notebook.cell(1).get_by_text("foreign")).to_be_visible()
    assert notebook.page.evaluate("() => window.vwForeign") is None
    [panel] = [i for i, c in enumerate(stored.cells) if "<p>BetaDial(" in str(c.get("outputs"))]
    expect(notebook.cell(panel).get_by_text("): run this cell to have the panel.")).to_be_visible()

    # Else it would be no test: the same, signed by the user.
    lab.sign(name)
    notebook.open(name)
    assert trusted(notebook)
    expect(notebook.cell(1).get_by_text("foreign")).to_be_visible()
    notebook.page.wait_for_function("() => window.vwForeign === 1")


def test_a_notebook_of_another_version_says_so_when_it_is_run(lab, open_notebook):
    def write_for(version):
        return lambda notebook: notebook["metadata"]["vaewidgets"].update(version=version)

    name = lab.edit("03_clouds.ipynb", write_for("0.0.1"))
    notebook = open_notebook(name, sidebar=False)
    notebook.run_cell(1)
    line = "This notebook was written for vaewidgets 0.0.1, and this is "
    expect(notebook.cell(1).get_by_text(line)).to_be_visible()
    expect(notebook.cell(1).get_by_text("vaewidgets copy NEW-FOLDER, in a terminal.")).to_be_visible()
    assert notebook.kernel_errors == []
