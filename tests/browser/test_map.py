"""The game on the map, in real JupyterLab: a stroke of the mouse, and the same without one."""

import ast
import re

import pytest
from matplotlib.path import Path

from .harness import expect

SETUP = """
import numpy as np, vaewidgets as vw
noise = np.random.default_rng(0)
labels = np.arange(600) % 3
mu = noise.normal(size=(600, 2)) * 0.5 + np.array([[-2, 0], [1, 1], [1.5, -1]])[labels]
game = vw.LatentMap(mu, labels, classes=["<i>a</i>", "b", "c"], labels_hidden=True)
"""
PLACE = """(element, [x, y]) => {
    const gd = element.querySelector('.js-plotly-plot'), box = gd.getBoundingClientRect();
    const {xaxis, yaxis} = gd._fullLayout;
    return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
}"""
#: Corners in axis units of what is drawn: about the first class, and a few of the others.
STROKE = [(-3.2, -1.4), (0.4, -1.4), (0.6, 1.2), (-3.0, 1.3)]


def drawn(panel) -> list[tuple[float, float]]:
    """The corners of the outline that is on the screen, in axis units."""
    return panel.evaluate(
        """panel => {
            const {xaxis, yaxis} = panel.querySelector('.js-plotly-plot')._fullLayout;
            const d = panel.querySelector('.vw-lasso-outline').getAttribute('d');
            return d.match(/[-.\\d]+,[-.\\d]+/g).map(pair => pair.split(',').map(Number))
                .map(([u, v]) => [xaxis.p2l(u), yaxis.p2l(v)]);
        }"""
    )


def test_circle_a_heap_and_reveal_it(lab, open_notebook):
    notebook = open_notebook(lab.write("game.ipynb", [SETUP, "game"]))
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    notebook.show(panel)
    mu = ast.literal_eval(notebook.evaluate("game.mu.tolist()"))
    state = panel.locator(".vw-state", has_text="taken")
    table = panel.get_by_role("table")
    expect(state).to_have_text("Nothing is taken yet.")
    expect(panel.get_by_role("button", name="reveal")).to_be_disabled()
    z = notebook.evaluate("game.z")

    # A stroke of the real mouse: it follows the hand, and is sent once, when it ends.
    panel.get_by_role("button", name="draw a lasso").click()
    expect(panel.locator("svg.vw-lasso")).to_have_class(re.compile("vw-armed"))
    corners = [panel.evaluate(PLACE, corner) for corner in STROKE]
    page.mouse.move(*corners[0])
    page.mouse.down()
    for corner in corners[1:]:
        page.mouse.move(*corner, steps=10)
    assert len(drawn(panel)) > 20
    assert notebook.evaluate("game.lasso") == "()"
    page.mouse.up()
    notebook.until("len(game.taken)")
    polygon = drawn(panel)
    inside = Path(polygon).contains_points(mu)
    taken = ast.literal_eval(notebook.evaluate("game.taken.tolist()"))
    # The outline on the screen is rounded to a tenth of a pixel.
    assert len(set(taken) ^ set(inside.nonzero()[0].tolist())) <= 2
    expect(state).to_contain_text(f"{len(taken)} points taken")
    expect(panel.locator(f"svg.vw-lasso[data-vw-marks='{len(taken)}']")).to_be_visible()
    assert notebook.evaluate("game.z") == z, "the lasso's stroke moved the cursor"

    # Reveal: counts in words and in the table, dots and crosses on the map.
    panel.get_by_role("button", name="reveal").click()
    own = sum(row % 3 == 0 for row in taken)
    assert own > len(taken) / 2 and own < len(taken)
    purity = f"{100 * own / len(taken):.1f} %"
    expect(state).to_contain_text(f"{own} right (dots), {len(taken) - own} wrong (crosses): purity {purity}")
    expect(state).to_contain_text("Most of them are <i>a</i>.")
    shapes = panel.locator(".vw-right:not(.vw-edge), .vw-wrong:not(.vw-edge)")
    lines = shapes.evaluate_all(
        "paths => paths.map(path => [...path.getAttribute('d').matchAll(/M/g)].length)"
    )
    assert sorted(lines) == sorted(sum(row % 3 == c for row in taken) for c in {row % 3 for row in taken})
    assert panel.locator(".vw-right:not(.vw-edge)").count() == 1

    # The same without a mouse: cursor, radius, button, by keys alone.
    notebook.press(panel.locator(".vw-map-cursor"), "Shift+ArrowRight", times=2)
    notebook.until(f"game.z[0] > {ast.literal_eval(z)[0]} + 0.9")
    notebook.press(panel.get_by_role("slider", name="r"), "ArrowRight", times=3)
    notebook.press(panel.get_by_role("button", name="take all within r"), "Enter")
    notebook.until("len(game.lasso) == 128 and len(game.taken)")
    x, y = ast.literal_eval(notebook.evaluate("game.z"))
    radius = float(notebook.evaluate("game.game.radius.value"))
    taken = ast.literal_eval(notebook.evaluate("game.taken.tolist()"))
    near = [row for row, (u, v) in enumerate(mu) if (u - x) ** 2 + (v - y) ** 2 < radius**2]
    assert len(set(taken) ^ set(near)) <= 1
    panel.get_by_label("I say").select_option("c")
    notebook.until("game.guess == 2")
    notebook.press(panel.get_by_role("button", name="reveal"), "Enter")
    expect(table.get_by_role("row")).to_have_count(3)
    right = sum(row % 3 == 2 for row in taken)
    cells = table.get_by_role("row").last.get_by_role("cell").all_text_contents()
    assert cells[:4] == ["2", "c", str(right), str(len(taken) - right)]
    assert table.get_by_role("row").nth(1).get_by_role("cell").nth(1).inner_text() == "<i>a</i>"
    expect(panel.locator(".vw-lasso-past text")).to_have_text(["1", "2"])

    # After a zoom the lasso still lies where it was drawn, and with the tool put down a press moves z.
    before = drawn(panel)
    notebook.evaluate("game.figure.update_layout(xaxis_range=[-5, 5], yaxis_range=[-5, 5])")
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')._fullLayout.xaxis.range[0] === -5"
    )
    for a, b in zip(drawn(panel), before, strict=True):
        assert a == pytest.approx(b, abs=0.01)
    panel.get_by_role("button", name="draw a lasso").click()
    expect(panel.locator("svg.vw-lasso")).not_to_have_class(re.compile("vw-armed"))
    page.mouse.click(*panel.evaluate(PLACE, (-0.5, 2.5)))
    notebook.until("abs(game.z[0] + 0.5) < 0.05 and abs(game.z[1] - 2.5) < 0.05")

    panel.get_by_role("button", name="clear").click()
    expect(state).to_have_text("Nothing is taken yet.")
    expect(table).to_have_count(0)
    expect(panel.locator(".vw-lasso-past text")).to_have_count(0)
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
