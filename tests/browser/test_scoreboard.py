"""The scoreboard in real JupyterLab: measured, sorted by hand, and one image up to its log p(x)."""

import ast
import re

import pytest

from .harness import expect

SETUP = """
import torch, vaewidgets as vw
from vaewidgets.io.checkpoints import EncodedDataset
noise = torch.Generator().manual_seed(0)
data = vw.Images(torch.rand(80, 1, 4, 4, generator=noise), torch.arange(80) % 3)
def made(kind, seed):
    model = kind(2, (1, 4, 4), hidden=(16,), seed=seed).requires_grad_(False)
    model.decoder[0].weight *= 20
    q = vw.metrics.encode_all(model, data.images)
    model.atlas = EncodedDataset(q.mu, q.logvar, data.labels)
    return model
judge = vw.Classifier((1, 4, 4), 3, hidden=(8,), seed=0).requires_grad_(False)
with torch.no_grad():
    judge.layers[-1].weight *= 80
board = vw.Scoreboard({"<i>A</i>": made(vw.Autoencoder, 0), "V": made(vw.VAE, 1)}, judge, data, draws=200)
"""
COLUMN = """(table, column) => Array.from(
    table.tBodies[0].rows, row => row.cells[column].firstChild.textContent)"""
MARKS = """panel => Array.from(panel.querySelectorAll('.vw-rung'), rung => rung.getAttribute('aria-label'))"""


def test_measure_sort_and_climb(lab, open_notebook):
    notebook = open_notebook(lab.write("board.ipynb", [SETUP, "board"]))
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    notebook.show(panel)
    expect(panel.locator(".vw-state").first).to_have_text("Not measured yet.")
    expect(panel.get_by_role("table")).to_have_count(0)

    panel.get_by_role("button", name="measure").click()
    expect(panel.locator(".vw-state").first).to_contain_text("Measured with 200 draws")
    table = panel.get_by_role("table").first
    rows = ast.literal_eval(
        notebook.evaluate("[(r.sampler, r.model, r.holes.count, r.holes.n) for r in board.result.rows]")
    )
    expect(table.get_by_role("row")).to_have_count(len(rows) + 1)
    shares = [100 * count / n for _, _, count, n in rows]
    shown = [float(text.removesuffix(" %")) for text in table.evaluate(COLUMN, 2)]
    assert shown == pytest.approx(shares, abs=0.051) and len(set(shown)) > 3
    assert table.evaluate(COLUMN, 1)[0] == "<i>A</i>", "a name is text, never markup"
    # An interval is drawn where it is: 0 to 100 % across the bar.
    low, high = ast.literal_eval(
        notebook.evaluate("(board.result.rows[0].holes.low, board.result.rows[0].holes.high)")
    )
    bar = table.locator("tbody tr").first.locator(".vw-interval").first
    start, end, left, right = bar.evaluate(
        """bar => ['range', 'scale'].flatMap(name => ['x1', 'x2'].map(
            x => Number(bar.querySelector(`.vw-interval-${name}`).getAttribute(x))))"""
    )
    assert [(start - left) / (right - left), (end - left) / (right - left)] == pytest.approx(
        [low, high], abs=1e-6
    )

    # By click, up and down; by key; missing values last either way.
    holes = table.get_by_role("columnheader", name="holes, tau")
    holes.get_by_role("button").click()
    expect(holes).to_have_attribute("aria-sort", "ascending")
    assert [float(t.removesuffix(" %")) for t in table.evaluate(COLUMN, 2)] == sorted(shown)
    notebook.until("board.sort == 'holes' and not board.descending")
    holes.get_by_role("button").click()
    expect(holes).to_have_attribute("aria-sort", "descending")
    assert [float(t.removesuffix(" %")) for t in table.evaluate(COLUMN, 2)] == sorted(shown, reverse=True)
    distance = table.get_by_role("columnheader", name="too far")
    for order in ("ascending", "descending"):
        notebook.press(distance.get_by_role("button"), "Enter")
        expect(distance).to_have_attribute("aria-sort", order)
        expect(holes).to_have_attribute("aria-sort", "none")
        texts = table.evaluate(COLUMN, 4)
        assert texts[-2:] == ["-", "-"]
        values = [float(text.removesuffix(" %")) for text in texts[:-2]]
        assert values == sorted(values, reverse=order == "descending")
    notebook.until("board.sort == 'distance' and board.descending")
    notebook.evaluate("setattr(board, 'sort', '')")
    expect(distance).to_have_attribute("aria-sort", "none")

    # One image: what the chart says is what Python has, and the mark is where the number is.
    notebook.press(panel.get_by_role("slider", name="image"), "ArrowRight", times=3)
    notebook.until("board.row == 3 and len(board.rungs) == 4")
    rungs = ast.literal_eval(notebook.evaluate("[tuple(rung) for rung in board.rungs]"))
    page.wait_for_function(
        f"([panel, text]) => ({MARKS})(panel)[3]?.startsWith(text)",
        arg=[panel.element_handle(), f"log p(x) {rungs[3][1]:.2f}"],
    )
    for (name, value, error), label in zip(rungs, panel.evaluate(MARKS), strict=True):
        assert label.startswith(f"{name} {value:.2f}")
        assert (f"plus or minus {2 * error:.2f}" in label) == (error > 0)
    heights = panel.locator(".vw-rung circle").evaluate_all(
        "marks => marks.map(m => Number(m.getAttribute('cy')))"
    )
    values = [value for _, value, _ in rungs]
    for i in (1, 2):
        expected = heights[0] + (heights[3] - heights[0]) * (values[i] - values[0]) / (values[3] - values[0])
        assert heights[i] == pytest.approx(expected, abs=0.01)
    expect(panel.locator(".vw-state", has_text="Image 3")).to_contain_text(
        f"log p(x) - ELBO = {float(notebook.evaluate('board.gap')):.3f} nats"
    )
    # The ellipse of 2 sigma is twice that of 1, and as wide as sigma is on the axis.
    one, two = panel.locator(".vw-encoder").evaluate_all("paths => paths.map(path => path.getBBox().width)")
    assert two == pytest.approx(2 * one, rel=0.01)
    image = panel.locator(".vw-density").evaluate("image => image.getBBox().width")
    seen = ast.literal_eval(notebook.evaluate("board.ladder.seen"))
    span = 2 * seen["reach"] * (1 + 1 / (seen["side"] - 1))
    assert one / image == pytest.approx(2 * seen["sigma"][0] / span, rel=0.02)

    notebook.set_theme("JupyterLab Dark")
    box = panel.evaluate("panel => [panel.scrollWidth, panel.clientWidth]")
    assert box[0] <= box[1] + 1
    assert re.search(r"rgba?\(2\d\d", table.evaluate("table => getComputedStyle(table).color"))
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
