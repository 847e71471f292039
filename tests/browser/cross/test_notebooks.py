"""Notebooks 00, 02 and 06 in JupyterLab: what a student does with them, in Firefox and in WebKit."""

import ast
import json

import pytest

from browser.harness import frames, wait_for_more
from browser.test_explorer import LONELY

from .webdriver import wait

PIXELS = """canvas => {
    const copy = document.createElement('canvas');
    [copy.width, copy.height] = [canvas.width, canvas.height];
    copy.getContext('2d').drawImage(canvas, 0, 0);
    const {data} = copy.getContext('2d').getImageData(0, 0, copy.width, copy.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
RANGE = "panel => panel.querySelector('.js-plotly-plot')._fullLayout.xaxis.range"


@pytest.fixture
def run(lab, open_notebook):
    """A function ``run(path)``: the notebook with every cell run. At the end nothing may be complained of."""
    notebooks = []

    def run_(path, changes=()):
        name = lab.copy(path)
        for old, new in dict(changes).items():
            text = (lab.root / name).read_text("utf-8")
            assert old in text
            (lab.root / name).write_text(text.replace(old, new), "utf-8")
        notebooks.append(open_notebook(name))
        notebooks[-1].run_all()
        return notebooks[-1]

    yield run_
    for notebook in notebooks:
        assert notebook.console_errors == []
        assert notebook.kernel_errors == []


def panel_of(notebook, cell: int, text: str):
    """The panel of a cell, in view."""
    notebook.cell(cell)
    panel = notebook.page.locator(".vw-panel", has_text=text)
    notebook.show(panel)
    return panel


def wait_for_text(element, text: str) -> None:
    element.page.wait_for_function(
        "([element, text]) => element.textContent.includes(text)", arg=[element, text]
    )


def assert_shows(canvas, image: list[int]) -> None:
    """Wait until a canvas shows these greys."""
    canvas.page.wait_for_function(
        f"""([canvas, image]) => {{
            const pixels = ({PIXELS})(canvas);
            return pixels.length === image.length && pixels.every((v, i) => Math.abs(v - image[i]) <= 1);
        }}""",
        arg=[canvas, image],
    )


def wait_for_words(notebook, element, z: str) -> None:
    """Wait until the kernel's z is the one that the page says."""

    def said() -> bool:
        words = ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in ast.literal_eval(notebook.evaluate(z)))
        return f"({words})" in element.text_content()

    wait(said, f"the page says the kernel's {z}")


def test_00_drag_click_and_zoom(run):
    notebook = run("notebooks/00_quickstart.ipynb")
    panel = panel_of(notebook, 4, "The plane, decoded tile by tile")
    canvas, handle = panel.locator("[data-vw=picture]").first, panel.locator(".noUi-handle").first
    picture = "print(explorer.image.ravel().tolist())"

    # A drag decodes while the button is down, and the kernel hears where it ended.
    notebook.drag_and_see_pictures(handle, canvas, there=40, back=70)
    wait_for_words(notebook, panel.locator(".vw-state").first, "explorer.z")
    assert_shows(canvas, json.loads(notebook.evaluate(picture)))
    there = notebook.slider_value(handle)
    notebook.press(handle, "ArrowRight", times=3)
    notebook.until(f"abs(explorer.z[0] - {there + 0.03}) < 1e-6")

    # A click on a point chooses its image.
    row, x, y = notebook.evaluate(LONELY).split()
    notebook.click_plot(panel.locator(".js-plotly-plot"), float(x), float(y))
    wait_for_text(panel, f"Image {row}, labelled")
    notebook.until(f"abs(explorer.z[0] - {x}) < 1e-6 and abs(explorer.z[1] - {y}) < 1e-6")
    assert_shows(canvas, json.loads(notebook.evaluate(picture)))

    # Plotly's bar zooms, and the ring stays on the point.
    low, high = panel.evaluate(RANGE)
    panel.locator(".modebar-btn[data-val=in]").click()
    panel.page.wait_for_function(
        f"([panel, width]) => {{ const [a, b] = ({RANGE})(panel); return b - a < 0.8 * width; }}",
        arg=[panel, high - low],
    )


def test_02_one_hand_on_two_planes_and_a_count(run):
    notebook = run("notebooks/02_holes.ipynb")
    panel = panel_of(notebook, 4, "draw 200 from this sampler")
    side = panel.locator(".vw-side").nth(1)
    canvas = side.locator("[data-vw=picture]").first
    before = frames(canvas)
    with notebook.dragging(side.locator(".vw-handle").first, dx=60, dy=40):
        wait_for_more(canvas, before)
    wait_for_words(notebook, side.locator(".vw-state").first, "finder.z")
    decoded = "print((vae.decode(torch.tensor([finder.z])) * 255).round().int().flatten().tolist())"
    assert_shows(canvas, json.loads(notebook.evaluate(f"import torch; {decoded}")))

    total = "sum(rate.n for rate in finder.counts.values())"
    before = int(notebook.evaluate(total))
    notebook.show(panel.locator("button", has_text="draw 200 from this sampler")).click()
    notebook.until(f"{total} == {before + 200}")
    notebook.show(panel.locator("button", has_text="AE: zoom to N(0, I)")).click()
    notebook.until("finder.zoom and finder.z_ae == finder.z")


def test_06_the_cockpit_starts_and_stops(run):
    notebook = run("notebooks/06_train.ipynb", {"epochs=200": "epochs=100_000"})  # no end before the stop
    panel = panel_of(notebook, 4, "one batch")
    state, picture = panel.locator(".vw-state"), panel.locator("[data-vw=picture]").first
    wait_for_text(state, "paused")
    before, step = frames(picture), int(notebook.evaluate("cockpit.training.step"))
    notebook.show(panel.locator("button", has_text="resume")).click()
    wait_for_text(state, "running")
    wait_for_more(picture, before)
    notebook.until(f"cockpit.training.step > {step}")
    notebook.show(panel.locator("button", has_text="pause")).click()
    wait_for_text(state, "paused")
    notebook.show(panel.locator("button", has_text="stop")).click()
    wait_for_text(state, "stopped")
    assert notebook.evaluate("cockpit.status") == "'stopped'"
