"""What is under the hand, in real JupyterLab: exact, in every view, without the kernel, gone when closed."""

import ast

import pytest

from .harness import expect
from .test_explorer import cursor_in_axis_units, on_the_plane, set_ranges

SETUP = """
import torch, vaewidgets as vw
model = vw.pretrained("mnist-vae-2d")
explorer = vw.LatentExplorer(model)
other = vw.LatentExplorer(vw.pretrained("digits-vae-2d"), vw.load_data("digits").test)
"""
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
LISTENERS = (
    "() => [...(globalThis.vaewidgetsLatents ?? new Map()).values()].map(latent => latent.listeners.size)"
)


@pytest.fixture
def notebook(lab, open_notebook):
    cells = [SETUP, "explorer", "other", "explorer", "'the end'"]
    notebook = open_notebook(lab.write("hand.ipynb", cells))
    notebook.run_all()
    figures = [notebook.evaluate(f"{name}.figure.comm.comm_id").strip("'") for name in ("explorer", "other")]
    yield notebook
    assert notebook.console_errors == []
    # Plotly's own view writes once more to its figure when that is closed.
    assert {error.removeprefix("No such comm: ") for error in notebook.kernel_errors} <= set(figures)


def main_canvas(panel):
    return panel.locator("[data-vw=picture]").first


def expected_pixels(notebook, z) -> list[int]:
    return ast.literal_eval(
        notebook.evaluate(f"(model.decode(torch.tensor([{list(z)}])) * 255).round().int().flatten().tolist()")
    )


def test_views_kernel_and_page_agree_and_nothing_stays_behind(lab, notebook):
    """One page load for all, since that is what costs."""
    page = notebook.page
    panels = page.locator(".vw-panel")
    expect(panels).to_have_count(3)
    first, other, again = (panels.nth(i) for i in range(3))
    for panel in (first, other, again):
        notebook.show(panel)
        expect(panel.locator(".vw-map-cursor")).to_be_visible()

    # A slow kernel does not matter: it is busy for the whole of this block.
    notebook.evaluate("explorer.z = (0.5, 0.5)")
    busy = "import pathlib, time\nwhile not pathlib.Path('released').exists():\n    time.sleep(0.05)"
    cell = notebook.run_code(busy, wait=False)
    notebook.show(first)
    handle = first.locator(".noUi-handle").first
    sweep = notebook.sweep(handle, distance=40, seconds=2, watch=main_canvas(first), turns=1)
    assert sweep.changes > 2
    assert len(sweep.pictures) >= sweep.changes - 1  # no move without its picture
    with notebook.dragging(handle, dx=30):
        pass
    running = f"() => window.vwPanel.content.widgets[{cell}].model.sharedModel.executionState === 'running'"
    assert page.evaluate(running)
    x = notebook.slider_value(handle)
    (lab.root / "released").touch()
    notebook.wait_cell(cell)
    notebook.until(f"abs(explorer.z[0] - {x}) < 0.006 and abs(explorer.z[1] - 0.5) < 1e-9")

    # Exact pixels, in both views of the same panel; the other explorer has not moved.
    z = ast.literal_eval(notebook.evaluate("explorer.z"))
    expected = expected_pixels(notebook, z)
    for panel in (first, again):
        assert main_canvas(panel).evaluate(PIXELS) == pytest.approx(expected, abs=1)
    assert notebook.evaluate("other.z") == "(0.0, 0.0)"

    # A drag on the second view moves both cursors, also after a zoom and a scroll away and back.
    set_ranges(notebook, -2, 3)
    notebook.cell(4)
    notebook.show(again.locator(".js-plotly-plot"))
    page.mouse.move(*on_the_plane(again, 0, 0))
    page.mouse.down()
    page.mouse.move(*on_the_plane(again, 1.5, -0.5), steps=4)
    page.mouse.up()
    notebook.until("abs(explorer.z[0] - 1.5) < 0.03 and abs(explorer.z[1] + 0.5) < 0.03")
    z = ast.literal_eval(notebook.evaluate("explorer.z"))
    for panel in (first, again):
        notebook.show(panel.locator(".js-plotly-plot"))
        assert cursor_in_axis_units(panel) == pytest.approx(z, abs=0.01)
        assert main_canvas(panel).evaluate(PIXELS) == pytest.approx(expected_pixels(notebook, z), abs=1)

    # A narrower window, then the keyboard.
    page.set_viewport_size({"width": 900, "height": 800})
    notebook.show(first.locator(".js-plotly-plot"))
    assert cursor_in_axis_units(first) == pytest.approx(z, abs=0.01)

    # An animation from Python: the sliders' rounded answers must not pull z back.
    notebook.run_code("for k in range(60):\n    explorer.z = (k / 47, -k / 31)\nfinal = explorer.z")
    page.wait_for_function(
        "() => document.querySelector('.vw-panel .vw-state').textContent.includes('(1.26, -1.90)')"
    )
    notebook.until("explorer.z == final")

    # Closing leaves no listener behind.
    assert len(page.evaluate(LISTENERS)) == 2
    notebook.evaluate("other.close()")
    page.wait_for_function(f"() => ({LISTENERS})().length === 1")
    notebook.evaluate("explorer.close()")
    page.wait_for_function(f"() => ({LISTENERS})().length === 0")
