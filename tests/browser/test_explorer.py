"""Notebook 00 in real JupyterLab: drag, click, type, and a kernel that is busy."""

import ast
import json

import pytest

from .harness import CHROMIUM_ARGS, Notebook, expect, frames, wait_for_more

PANEL = ".vw-panel"
LONELY = """
import numpy as np
_d = np.linalg.norm(explorer.mu[:, None] - explorer.mu[None], axis=2) + 9 * np.eye(len(explorer.mu))
_near = np.where(np.abs(explorer.mu).max(1) < 3, _d.min(1), 0)
print(int(_near.argmax()), *explorer.mu[_near.argmax()])"""


@pytest.fixture(scope="module")
def notebook(lab, launch_browser, tmp_path_factory):
    """Notebook 00 with every cell run, opened once: each test begins at the origin."""
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, tmp_path_factory.mktemp("shots"))
    try:
        notebook.open(lab.copy("notebooks/00_quickstart.ipynb"))
        notebook.run_all()
        yield notebook
        assert notebook.console_errors == []
        assert notebook.kernel_errors == []
        assert notebook.foreign_requests == []
    finally:
        notebook.close()


@pytest.fixture
def panel(notebook):
    """The explorer's element, in view, with z at the origin and a plot under its cursor."""
    notebook.evaluate("explorer.z = (0, 0)")
    notebook.cell(4)
    panel = notebook.page.locator(PANEL, has_text="The plane, decoded tile by tile")
    expect(panel.locator(".vw-map-cursor")).to_be_visible()
    expect(panel.locator(".vw-state")).to_contain_text("(0.00, 0.00)")
    return panel


def z_in_python(notebook) -> tuple[float, float]:
    return ast.literal_eval(notebook.evaluate("explorer.z"))


def cursor_in_axis_units(panel) -> list[float]:
    """Where the ring's middle lies, read off Plotly's own axes."""
    return panel.evaluate(
        """panel => {
            const plot = panel.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
            const ring = panel.querySelector('.vw-map-cursor').getBoundingClientRect();
            const {xaxis, yaxis} = plot._fullLayout;
            return [xaxis.p2l(ring.x + ring.width / 2 - box.x - xaxis._offset),
                    yaxis.p2l(ring.y + ring.height / 2 - box.y - yaxis._offset)];
        }"""
    )


def on_the_plane(panel, x: float, y: float) -> tuple[float, float]:
    """Window pixels of a point given in axis units."""
    return tuple(
        panel.evaluate(
            """(panel, [x, y]) => {
                const plot = panel.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
                const {xaxis, yaxis} = plot._fullLayout;
                return [box.x + xaxis._offset + xaxis.l2p(x), box.y + yaxis._offset + yaxis.l2p(y)];
            }""",
            [x, y],
        )
    )


def test_the_notebook_runs_and_the_picture_is_what_python_says(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    assert canvas.bounding_box()["width"] >= 250
    on_canvas = canvas.evaluate(
        """canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            return [canvas.width, canvas.height, Array.from(data.filter((_, i) => i % 4 === 0))];
        }"""
    )
    image = json.loads(notebook.evaluate("print(explorer.image.ravel().tolist())"))
    assert on_canvas[:2] == [28, 28]
    assert on_canvas[2] == pytest.approx(image, abs=1)  # the page may round a half the other way
    expect(panel.locator(".vw-note", has_text="decoded in this page")).to_be_visible()


def test_the_picture_changes_before_the_mouse_is_released(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    handle = notebook.show(panel.locator(".noUi-handle").first)
    notebook.drag_and_see_pictures(handle, canvas, there=30, back=50)
    notebook.until(f"explorer.z[0] < 0 and abs(explorer.z[0] - {notebook.slider_value(handle)}) < 0.006")
    z = z_in_python(notebook)
    assert z[1] == 0
    expect(panel.locator(".vw-state")).to_contain_text(f"({z[0]:.2f}, 0.00)")


def test_arrow_keys_move_a_focused_slider_and_not_the_notebook(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    handle = notebook.show(panel.locator(".noUi-handle").nth(1))
    assert handle.get_attribute("aria-label") == "z2"
    handle.focus()
    active = notebook.page.evaluate("() => window.vwPanel.content.activeCellIndex")
    before = frames(canvas)
    notebook.press(handle, "ArrowUp", times=5)
    expect(panel.locator(".vw-state")).to_contain_text("(0.00, 0.05)")
    notebook.press(handle, "ArrowLeft", times=2)
    expect(panel.locator(".vw-state")).to_contain_text("(0.00, 0.03)")
    assert frames(canvas) > before
    assert notebook.page.evaluate("() => window.vwPanel.content.activeCellIndex") == active


def test_a_slider_that_did_not_hear_of_z_is_taken_there(notebook, panel):
    """As when it waits for an echo, and leaves out what the kernel says meanwhile."""
    notebook.evaluate("explorer.latent.z = [0.5, -0.75]")
    for handle, value in zip(panel.locator(".noUi-handle").all(), ("0.5", "-0.75"), strict=False):
        expect(handle).to_have_attribute("aria-valuetext", value)
    notebook.until("explorer.z == (0.5, -0.75)")


def test_a_click_on_a_point_goes_to_its_mu(notebook, panel):
    # A point with no neighbour nearby, so that there is no doubt which one was meant.
    row, x, y = notebook.evaluate(LONELY).split()
    notebook.show(panel.locator(".js-plotly-plot"))
    shapes = panel.locator(".shapelayer path")
    at = on_the_plane(panel, float(x), float(y))
    notebook.page.mouse.move(at[0] + 30, at[1])
    notebook.page.mouse.move(*at, steps=3)
    # Plotly finds what is under the pointer a moment after it moved.
    expect(panel.locator(".hoverlayer .hovertext")).to_have_count(1)
    notebook.page.mouse.click(*at)
    expect(panel.locator(".vw-note", has_text="labelled")).to_contain_text(f"Image {row},")
    notebook.until(f"abs(explorer.z[0] - {x}) < 1e-6 and abs(explorer.z[1] - {y}) < 1e-6")
    assert cursor_in_axis_units(panel) == pytest.approx([float(x), float(y)], abs=0.02)
    expect(shapes.filter(visible=True)).to_have_count(4)  # two prior circles, two ellipses


def test_the_cloud_of_a_chosen_point_is_drawn_in_axis_units_and_can_be_zoomed_to(notebook, panel):
    notebook.evaluate("explorer.select(123)")
    notebook.show(panel.locator(".js-plotly-plot"))
    ellipse = panel.locator(".shapelayer path").nth(3)
    panel.get_by_role("button", name="zoom to its cloud").click()
    sigma = [
        float(v)
        for v in notebook.evaluate("import numpy as np; print(*np.exp(explorer.logvar[123] / 2))").split()
    ]
    notebook.page.wait_for_function(
        "path => path.getBoundingClientRect().width > 40", arg=ellipse.element_handle()
    )
    widths = panel.evaluate(
        """(panel, path) => {
            const box = path.getBBox(), {xaxis, yaxis} = panel.querySelector('.js-plotly-plot')._fullLayout;
            const inUnits = (axis, pixels) => Math.abs(axis.p2l(pixels) - axis.p2l(0));
            return [inUnits(xaxis, box.width), inUnits(yaxis, box.height)];
        }""",
        ellipse.element_handle(),
    )
    assert widths == pytest.approx([4 * s for s in sigma], rel=0.01)  # the 2-sigma ellipse is 4 sigma wide
    panel.get_by_role("button", name="zoom to its cloud").click()
    notebook.page.wait_for_function(
        "path => path.getBoundingClientRect().width < 40", arg=ellipse.element_handle()
    )


def test_z_set_in_a_cell_moves_slider_picture_and_cursor(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    before = frames(canvas)
    notebook.run_code("explorer.z = (1.25, -0.75)")
    notebook.cell(4)
    wait_for_more(canvas, before)
    for i, value in enumerate((1.25, -0.75)):
        expect(panel.locator(".vw-number input").nth(i)).to_have_value(str(value))
        assert notebook.slider_value(panel.locator(".noUi-handle").nth(i)) == pytest.approx(value, abs=0.006)
    notebook.show(panel.locator(".js-plotly-plot"))
    assert cursor_in_axis_units(panel) == pytest.approx([1.25, -0.75], abs=0.01)


def test_the_ring_is_dragged_and_stays_right_after_a_zoom(notebook, panel):
    ring = panel.locator(".vw-map-cursor")
    notebook.show(panel.locator(".js-plotly-plot"))
    with notebook.dragging(ring, dx=60, dy=-40):
        pass

    def agreed():
        """Where ring and Python both say that z is."""
        x, y = cursor_in_axis_units(panel)
        notebook.until(f"abs(explorer.z[0] - {x}) < 0.005 and abs(explorer.z[1] - {y}) < 0.005")
        return x, y

    x, y = agreed()
    assert x > 0.5 and y > 0.3
    set_ranges(notebook, -1, 2)
    assert agreed() == pytest.approx((x, y), abs=0.005)
    step = float(notebook.evaluate("explorer.cursor.key_step"))
    notebook.press(ring, "ArrowRight")
    notebook.until(f"explorer.z[0] > {x + step / 2}")
    assert agreed() == pytest.approx((x + step, y), abs=0.01)
    set_ranges(notebook, -4, 4)


def test_a_press_anywhere_on_the_plane_takes_the_picture_along(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    notebook.show(panel.locator(".js-plotly-plot"))
    mouse = notebook.page.mouse
    before = frames(canvas)
    mouse.move(*on_the_plane(panel, -2, 3))
    mouse.down()
    wait_for_more(canvas, before)
    pressed = frames(canvas)
    mouse.move(*on_the_plane(panel, 4.5, 0), steps=5)  # beyond the sliders' range: they widen
    mouse.move(*on_the_plane(panel, 1, -3), steps=10)
    wait_for_more(canvas, pressed + 5)  # a picture for each move, while the button is down
    assert cursor_in_axis_units(panel) == pytest.approx([1, -3], abs=0.04)
    mouse.up()
    assert float(notebook.evaluate("explorer.sliders[0].max")) >= 4.5
    notebook.until("abs(explorer.z[0] - 1) < 0.04 and abs(explorer.z[1] + 3) < 0.04")
    mouse.move(*on_the_plane(panel, 2, 2))
    assert cursor_in_axis_units(panel) == pytest.approx([1, -3], abs=0.04)  # released
    notebook.wait_idle()
    for i, value in enumerate((1, -3)):
        assert notebook.slider_value(panel.locator(".noUi-handle").nth(i)) == pytest.approx(value, abs=0.04)


def set_ranges(notebook, low, high) -> None:
    """Zoom the map from Python, and wait until the page has followed."""
    notebook.evaluate(
        f"explorer.figure.update_layout(xaxis_range=[{low}, {high}], yaxis_range=[{low}, {high}])"
    )
    notebook.page.wait_for_function(
        "y => Math.abs(document.querySelector('.js-plotly-plot')._fullLayout.yaxis.range[1] - y) < 0.1",
        arg=high,
    )


def test_hovering_decodes_in_the_page_and_leaves_z_alone(notebook, panel):
    figure = notebook.show(panel.locator(".js-plotly-plot"))
    lens = panel.locator(".vw-lens")
    expect(lens).to_be_hidden()
    panel.get_by_role("button", name="decode under the pointer").click()
    notebook.until("explorer.cursor.hover")
    notebook.show(figure)
    at = on_the_plane(panel, 1.5, -0.5)
    notebook.page.mouse.move(at[0] + 40, at[1])
    notebook.page.mouse.move(*at)
    expect(lens).to_be_visible()
    pixels = lens.evaluate(
        """canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)
            .filter((_, i) => i % 4 === 0)"""
    )
    x, y = panel.evaluate(
        """(panel, [x, y]) => {
            const plot = panel.querySelector('.js-plotly-plot'), box = plot.getBoundingClientRect();
            const {xaxis, yaxis} = plot._fullLayout;
            return [xaxis.p2l(x - box.x - xaxis._offset), yaxis.p2l(y - box.y - yaxis._offset)];
        }""",
        list(at),
    )
    expected = ast.literal_eval(
        notebook.evaluate(
            f"(model.decode(torch.tensor([[{x}, {y}]])) * 255).round().int().flatten().tolist()"
        )
    )
    assert pixels == pytest.approx(expected, abs=1)
    assert max(pixels) > 100
    assert z_in_python(notebook) == (0, 0)
    notebook.page.mouse.move(at[0], at[1] + 600)
    expect(lens).to_be_hidden()
    panel.get_by_role("button", name="decode under the pointer").click()


def test_the_grid_takes_a_press_and_arrow_keys(notebook, panel):
    grid = notebook.show(panel.locator(".vw-interactive canvas"))
    box = grid.bounding_box()
    notebook.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.1)
    expect(panel.locator(".vw-state")).to_contain_text("(-0.67, 1.2")
    grid.press("ArrowDown")
    notebook.until("0.9 < explorer.z[1] < 1.15")


def test_every_tile_of_the_grid_is_decoded_in_the_page(notebook, panel):
    grid = notebook.show(panel.locator(".vw-interactive canvas"))
    for spacing in ("even steps", "equal prior mass"):
        before = frames(grid)
        panel.get_by_role("button", name=spacing).click()
        notebook.until(f"explorer.grid.spacing.value == {spacing!r}")
        wait_for_more(grid, before)
        expect(grid).to_have_attribute("data-vw-tiles", "900")
        expect(grid).to_have_attribute("aria-busy", "false")
        for row, column in ((0, 0), (4, 17), (29, 29)):
            tile = grid.evaluate(
                """(canvas, [x, y]) => Array.from(canvas.getContext('2d').getImageData(x, y, 28, 28).data)
                    .filter((_, i) => i % 4 === 0)""",
                [28 * column, 28 * row],
            )
            place = f"explorer.grid.to_plane([{(column + 0.5) / 30}, {(row + 0.5) / 30}])"
            decode = f"model.decode(torch.tensor([[*{place}]]).float())"
            expected = ast.literal_eval(
                notebook.evaluate(f"({decode} * 255).round().int().flatten().tolist()")
            )
            assert tile == pytest.approx(expected, abs=1), (spacing, row, column)


def test_a_busy_kernel_does_not_break_the_panel(notebook, panel):
    canvas = panel.locator("[data-vw=picture]").first
    handle = panel.locator(".noUi-handle").first
    before = frames(canvas)
    cell = notebook.run_code("import time; time.sleep(2); print('slept')", wait=False)
    notebook.cell(4)
    with notebook.dragging(notebook.show(handle), dx=25):
        pass
    notebook.wait_cell(cell)
    wait_for_more(canvas, before)
    assert "slept" in notebook.cell_text(cell)
    assert notebook.slider_value(handle) > 0.3
    notebook.until(f"abs(explorer.z[0] - {notebook.slider_value(handle)}) < 0.006 and explorer.z[1] == 0")


def test_dark_theme_keeps_every_word_readable(notebook, panel):
    contrast = """panel => {
        const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
        const luminance = rgb => rgb.map(v => linear(v / 255))
            .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
        const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
        const background = luminance(parse(getComputedStyle(
            document.querySelector('.jp-NotebookPanel-notebook, .jp-Notebook')).backgroundColor));
        const words = panel.querySelectorAll(
            '.vw-title, .vw-note, .vw-state, .widget-label, .xtick text, .legendtext, .shapelayer text');
        return Array.from(words).map(word => {
            const style = getComputedStyle(word);
            const ink = luminance(parse(word instanceof SVGElement ? style.fill : style.color));
            const [high, low] = [Math.max(ink, background), Math.min(ink, background)];
            return (high + .05) / (low + .05);
        });
    }"""
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.set_theme(theme)
        ratios = panel.evaluate(contrast)
        assert len(ratios) > 20
        assert min(ratios) >= 4.5, (theme, ratios)
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
