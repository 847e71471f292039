"""What is under the hand, in real JupyterLab: exact, in every view, without the kernel, gone when closed."""

import ast

import pytest

from .harness import NO_WEBGL_ARGS, PAINTED_COLOURS, expect
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
    with notebook.busy():
        notebook.show(first)
        handle = first.locator(".noUi-handle").first
        sweep = notebook.sweep(handle, distance=40, seconds=2, watch=main_canvas(first), turns=1)
        assert sweep.changes > 2
        assert len(sweep.pictures) >= sweep.changes - 1  # no move without its picture
        with notebook.dragging(handle, dx=30):
            pass
        x = notebook.slider_value(handle)
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

    # Another theme, a narrower window.
    notebook.set_theme("JupyterLab Dark")
    notebook.show(first.locator(".js-plotly-plot"))
    assert cursor_in_axis_units(first) == pytest.approx(z, abs=0.01)
    page.set_viewport_size({"width": 900, "height": 800})
    notebook.show(first.locator(".js-plotly-plot"))
    assert cursor_in_axis_units(first) == pytest.approx(z, abs=0.01)

    # An animation from Python: the sliders' rounded answers must not pull z back.
    notebook.run_code("for k in range(60):\n    explorer.z = (k / 47, -k / 31)\nfinal = explorer.z")
    page.wait_for_function(
        "() => document.querySelector('.vw-panel .vw-state').textContent.includes('(1.26, -1.90)')"
    )
    notebook.until("explorer.z == final")

    # The walk from A to B is under the hand too.
    notebook.evaluate("explorer.interpolate((-1, 0), (1, 1))")
    walk = notebook.show(first.locator(".widget-slider", has_text="t").locator(".noUi-handle").last)
    with notebook.dragging(walk, dx=80):
        pass
    notebook.until("explorer.t.value > 0.1 and abs(explorer.z[0] + 1 - 2 * explorer.z[1]) < 1e-9")
    notebook.until("abs(explorer.z[1] - explorer.t.value) < 1e-9")
    z = ast.literal_eval(notebook.evaluate("explorer.z"))
    assert main_canvas(first).evaluate(PIXELS) == pytest.approx(expected_pixels(notebook, z), abs=1)

    # Closing leaves no listener behind.
    assert len(page.evaluate(LISTENERS)) == 2
    notebook.evaluate("other.close()")
    page.wait_for_function(f"() => ({LISTENERS})().length === 1")
    notebook.evaluate("explorer.close()")
    page.wait_for_function(f"() => ({LISTENERS})().length === 0")


def test_without_webgl_every_point_is_there(lab, open_notebook):
    notebook = open_notebook(lab.write("plain.ipynb", [SETUP, "explorer"]), args=NO_WEBGL_ARGS)
    assert not notebook.page.evaluate("() => !!document.createElement('canvas').getContext('webgl')")
    notebook.run_all()
    panel = notebook.show(notebook.page.locator(".vw-panel"))
    plot = panel.locator(".js-plotly-plot")
    assert plot.evaluate("plot => plot.calcdata.flat().filter(({i}) => i !== undefined).length") >= 10_000
    assert panel.evaluate(PAINTED_COLOURS) == 10
    assert plot.locator(".scatterlayer .point").count() <= 10, "no point is a node of the page"
    canvas = main_canvas(panel)
    before = canvas.get_attribute("data-vw-frame")
    with notebook.dragging(panel.locator(".noUi-handle").first, dx=30):
        expect(canvas).not_to_have_attribute("data-vw-frame", before)


def test_with_more_dimensions_the_grid_follows_what_the_plane_goes_through(lab, open_notebook):
    setup = """
import torch, vaewidgets as vw
model = vw.VAE(4, (1, 10, 9), hidden=(16,), seed=0)
explorer = vw.LatentExplorer(model, torch.rand(30, 1, 10, 9, generator=torch.Generator().manual_seed(0)))
"""
    notebook = open_notebook(lab.write("four.ipynb", [setup, "explorer"]))
    notebook.run_all()
    panel = notebook.page.locator(".vw-panel")
    grid = notebook.show(panel.locator(".vw-interactive canvas"))

    def expected() -> list[int]:
        place = "explorer.plane.lift(explorer.grid.to_plane([[1 / 60, 1 / 60]]), explorer.z)"
        decode = f"model.decode(torch.tensor({place}).float())"
        return ast.literal_eval(notebook.evaluate(f"({decode} * 255).round().int().flatten().tolist()"))

    def settles() -> None:
        """Wait until the grid is complete and its top left tile is what torch makes of that point."""
        notebook.page.wait_for_function(
            """([canvas, expected]) => canvas.getAttribute('aria-busy') === 'false'
                && Array.from(canvas.getContext('2d').getImageData(0, 0, 9, 10).data)
                    .filter((_, i) => i % 4 === 0).every((v, i) => Math.abs(v - expected[i]) <= 1)""",
            arg=[grid.element_handle(), expected()],
        )

    settles()
    first = expected()
    notebook.press(panel.locator(".noUi-handle").nth(2), "ArrowRight", times=40)  # z3 is not on the plane
    notebook.until("explorer.z[2] > 0.39")
    assert expected() != pytest.approx(first, abs=2)
    settles()
    second = expected()
    panel.get_by_label("across").select_option("z4")
    notebook.until("explorer.plane.names[0] == 'z4'")
    assert expected() != pytest.approx(second, abs=2)
    settles()
    assert notebook.console_errors == []


def test_what_the_page_cannot_run_the_kernel_decodes_with_the_same_hand(lab, open_notebook):
    setup = """
import torch, vaewidgets as vw
class Mine(vw.VAE):
    def decode(self, z):
        return super().decode(z) ** 2
explorer = vw.LatentExplorer(Mine(2, (1, 10, 9), hidden=(16,), seed=0))
"""
    notebook = open_notebook(lab.write("mine.ipynb", [setup, "explorer"]))
    notebook.run_all()
    panel = notebook.page.locator(".vw-panel")
    expect(panel.locator(".vw-note", has_text="decoded by the kernel: Mine")).to_be_visible()
    canvas, grid = main_canvas(panel), notebook.show(panel.locator(".vw-interactive canvas"))
    before = canvas.get_attribute("data-vw-frame")
    box = grid.bounding_box()
    notebook.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.1)
    notebook.until("abs(explorer.z[0] + 0.674) < 0.02 and abs(explorer.z[1] - 1.28) < 0.05")
    expect(canvas).not_to_have_attribute("data-vw-frame", before)
    grid.press("ArrowRight")
    notebook.until("explorer.z[0] > -0.6")
    before = canvas.get_attribute("data-vw-frame")
    with notebook.dragging(panel.locator(".noUi-handle").first, dx=30):
        expect(canvas).not_to_have_attribute("data-vw-frame", before)
    notebook.wait_idle()
    image = ast.literal_eval(notebook.evaluate("explorer.image.ravel().tolist()"))
    notebook.page.wait_for_function(
        f"([canvas, image]) => JSON.stringify(({PIXELS})(canvas)) === JSON.stringify(image)",
        arg=[canvas.element_handle(), image],
    )
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
