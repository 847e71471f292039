"""Notebooks 01 and 06 in real JupyterLab: the strip, hidden labels, a map that moves while a cell trains."""

import ast

import pytest

from .harness import expect

COLOURS = """panel => new Set(Array.from(
    panel.querySelectorAll('.scatterlayer .points path'), point => point.style.fill)).size"""
FIRST_POINTS = """() => {
    const plot = document.querySelector('.vw-panel .js-plotly-plot');
    return plot._fullData.filter(t => t.meta === 'points').map(t => [t.x[0], t.y[0]]);
}"""


@pytest.fixture
def clean(request):
    """Hand over a notebook at the end: nothing may have been complained of."""
    notebooks = []
    yield notebooks.append
    for notebook in notebooks:
        assert notebook.console_errors == []
        assert notebook.kernel_errors == []
        assert notebook.foreign_requests == []


def test_01_the_strip_and_the_labels(lab, open_notebook, clean):
    notebook = open_notebook(lab.copy("notebooks/01_the_map.ipynb"))
    clean(notebook)
    notebook.run_all()

    strip = notebook.page.locator(".vw-panel", has=notebook.page.locator(".vw-code"))
    notebook.show(strip)
    pictures = strip.locator("[data-vw=picture]")
    expect(pictures).to_have_count(4)
    before = strip.locator(".vw-state").inner_text()
    frames = pictures.first.get_attribute("data-vw-frame")
    with notebook.dragging(strip.locator(".noUi-handle"), dx=80):
        expect(pictures.first).not_to_have_attribute("data-vw-frame", frames)
    expect(strip.locator(".vw-state")).not_to_have_text(before)
    notebook.until("strip.row > 4")
    row = int(notebook.evaluate("strip.row"))
    error = float(
        notebook.evaluate("(pictures[strip.row] - ae(pictures[strip.row][None])[0]).square().mean().item()")
    )
    expect(strip.locator(".vw-state")).to_contain_text(f"Image {row} (labelled")
    expect(strip.locator(".vw-state")).to_contain_text(f"{error:.4f} per pixel; compressed 392 to 1")
    # All four pictures on one line: image, numbers in, numbers out, reconstruction.
    boxes = [pictures.nth(i).bounding_box() for i in range(4)]
    assert boxes[0]["x"] < boxes[1]["x"] < boxes[3]["x"]
    assert boxes[0]["y"] + boxes[0]["height"] > boxes[1]["y"]

    the_map = notebook.page.locator(
        ".vw-panel", has=notebook.page.get_by_role("button", name="hide the labels")
    )
    notebook.show(the_map)
    assert the_map.evaluate(COLOURS) == 10
    the_map.get_by_role("button", name="hide the labels").click()
    notebook.page.wait_for_function(f"panel => ({COLOURS})(panel) === 1", arg=the_map.element_handle())
    expect(the_map.locator(".legendtext")).to_have_count(0)
    assert notebook.evaluate("the_map.labels_hidden") == "True"
    notebook.evaluate("the_map.labels_hidden = False")
    notebook.page.wait_for_function(f"panel => ({COLOURS})(panel) === 10", arg=the_map.element_handle())
    assert the_map.locator(".legendtext").all_text_contents() == [str(digit) for digit in range(10)]


def test_06_the_map_moves_while_the_cell_trains(lab, open_notebook, clean):
    notebook = open_notebook(lab.copy("notebooks/06_train.ipynb"))
    clean(notebook)
    for cell in (1, 4):
        notebook.run_cell(cell)
    notebook.cell(4)
    page = notebook.page
    page.wait_for_function(
        "() => document.querySelectorAll('.vw-panel .scatterlayer .points path').length > 1400"
    )
    start = page.evaluate(FIRST_POINTS)
    notebook.run_cell(5, wait=False)
    running = "() => window.vwPanel.content.widgets[5].model.sharedModel.executionState === 'running'"
    page.wait_for_function(running)
    moved = f"""before => {{
        const now = ({FIRST_POINTS})();
        return JSON.stringify(now) !== JSON.stringify(before) && ({running})();
    }}"""
    places = [start]
    for _ in range(2):  # not once at the end, but again and again while the cell runs
        page.wait_for_function(moved, arg=places[-1])
        places.append(page.evaluate(FIRST_POINTS))
    notebook.wait_cell(5)
    curves = page.locator(".vw-panel .vw-state", has_text="nats per image")
    expect(curves).to_contain_text("step 2,760 of 2,760")
    points = page.evaluate(
        "() => [...document.querySelectorAll('.js-plotly-plot')].at(-1)._fullData.map(t => t.x.length)"
    )
    assert points[0] == points[1] >= 3
    shown = page.evaluate(FIRST_POINTS)
    expected = notebook.evaluate("[the_map.mu[labels.numpy() == c][0].tolist() for c in range(10)]")
    for place, mu in zip(shown, ast.literal_eval(expected), strict=True):
        assert place == pytest.approx(mu, abs=1e-5)
