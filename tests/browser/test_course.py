"""Notebooks 01 and 06 in real JupyterLab: the strip, hidden labels, what the cockpit shows of its cells."""

import ast

import pytest

from .harness import PAINTED_COLOURS, expect


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
    shown = the_map.evaluate(PAINTED_COLOURS)
    assert shown > 5, "of ten classes some may lie below others everywhere"
    the_map.get_by_role("button", name="hide the labels").click()
    notebook.page.wait_for_function(
        f"panel => ({PAINTED_COLOURS})(panel) === 1", arg=the_map.element_handle()
    )
    expect(the_map.locator(".legendtext")).to_have_count(0)
    assert notebook.evaluate("the_map.labels_hidden") == "True"
    notebook.evaluate("the_map.labels_hidden = False")
    notebook.page.wait_for_function(
        f"panel => ({PAINTED_COLOURS})(panel) === {shown}", arg=the_map.element_handle()
    )
    assert the_map.locator(".legendtext").all_text_contents() == [str(digit) for digit in range(10)]


MAP_POINTS = """() => {
    const [points] = document.querySelector('.vw-panel .js-plotly-plot')._fullData;
    return [...points.x].map((x, i) => [x, points.y[i]]);
}"""


def test_06_the_cockpit_shows_what_the_cells_do(lab, open_notebook, clean):
    notebook = open_notebook(lab.copy("notebooks/06_train.ipynb"))
    clean(notebook)
    for cell in (1, 4):
        notebook.run_cell(cell)
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    expect(panel.locator(".js-plotly-plot").first).to_be_visible()
    start = page.evaluate(MAP_POINTS)
    assert len(start) == 360
    notebook.run_cell(6)
    expect(panel.locator(".vw-state")).to_contain_text("paused: epoch 30 of 200, step 690 of 4,600")
    page.wait_for_function(f"before => ({MAP_POINTS})()[0][0] !== before", arg=start[0][0])
    shown = page.evaluate(MAP_POINTS)
    expected = ast.literal_eval(notebook.evaluate("model.encode(data.test.images).mu.tolist()"))
    for place, mu in zip(shown, expected, strict=True):
        assert place == pytest.approx(mu, abs=1e-5)
    for cell in (8, 10, 12, 14):
        notebook.run_cell(cell)
    expect(panel.locator(".vw-state")).to_contain_text("failed")
    expect(panel.locator(".vw-error")).to_contain_text("Diverged: the loss became")
    notebook.run_cell(16)
    expect(panel.locator(".vw-state").first).to_contain_text("paused")
    expect(panel.locator(".vw-error")).to_have_count(0)
