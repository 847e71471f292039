"""Traverse in real JupyterLab: sliders, strip, labels and both ways under the hand, against torch."""

import ast
import re

import pytest

from .harness import expect

SETUP = """
import torch, vaewidgets as vw
from vaewidgets.classifier import Classifier
from vaewidgets.conditional import ConditionalVAE
data = vw.load_data("digits")
model = vw.pretrained("digits-vae-10d")
# Untrained, but sure of itself now and then.
judge = Classifier((1, 8, 8), hidden=(8,), seed=0).requires_grad_(False)
judge.layers[-1].weight.mul_(60)
panel = vw.Traverse(model, judge=judge)
told = ConditionalVAE(4, (1, 8, 8), hidden=(16,), seed=0).requires_grad_(False)
for k, table in enumerate((told.encoder_label, told.decoder_label)):
    torch.nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(k))
styles = vw.Traverse(told, data.test)
class Mine(vw.VAE):
    def decode(self, z):
        return super().decode(z) ** 2
own = Mine(3, (1, 8, 8), hidden=(16,), seed=0).requires_grad_(False)
own.mu.weight.mul_(8)  # else an untrained encoder tells nothing, and its sliders are disabled
mine = vw.Traverse(own, data.test, judge=judge)
def pixels(images):
    return (torch.cat(list(images[:, 0]), 1) * 255).round().int().flatten().tolist()
def at(points):
    return torch.as_tensor(points, dtype=torch.float32)
"""
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
NEAR = f"""([canvas, expected]) => canvas.getAttribute('aria-busy') !== 'true'
    && ({PIXELS})(canvas).every((v, i) => Math.abs(v - expected[i]) <= 1)"""


@pytest.fixture
def notebook(lab, open_notebook):
    notebook = open_notebook(lab.write("traverse.ipynb", [SETUP, "panel", "styles", "mine"]))
    notebook.run_all()
    yield notebook
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []


def shows(notebook, canvas, code: str) -> None:
    """Wait until a canvas shows the images that torch makes, side by side."""
    expected = ast.literal_eval(notebook.evaluate(f"pixels({code})"))
    notebook.page.wait_for_function(NEAR, arg=[canvas.element_handle(), expected])


def test_everything_follows_the_hand(lab, notebook):
    """One page load for all, since that is what costs."""
    page = notebook.page
    panel, styles, mine = (page.locator(".vw-panel").nth(i) for i in range(3))
    notebook.show(panel)
    picture, strip = panel.locator(".vw-traverse-top canvas"), panel.locator(".vw-strip canvas")
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth"), "nothing is cut"

    # Sorted, and the dead ones disabled.
    names = panel.locator(".vw-slider .vw-button").all_text_contents()
    assert names == [f"z{k + 1}" for k in ast.literal_eval(notebook.evaluate("panel.order"))]
    dead = ast.literal_eval(notebook.evaluate("panel.dead"))
    assert 0 < len(dead) < 10
    expect(panel.locator("input[type=range]:disabled")).to_have_count(len(dead))
    worth = panel.locator(".vw-worth").all_text_contents()
    assert [text.startswith("does nothing: 0.00 nats") for text in worth] == [
        int(n[1:]) - 1 in dead for n in names
    ]
    shows(notebook, strip, "model.decode(at(panel.strip()))")

    # A slider under the mouse, while the kernel is busy: pictures go on.
    second = int(names[1][1:]) - 1
    with notebook.busy():
        slider = notebook.show(panel.locator("input[type=range]").nth(1))
        before = picture.evaluate(PIXELS)
        with notebook.dragging(slider, dx=60):
            assert picture.evaluate(PIXELS) != before
        value = float(slider.input_value())
    notebook.until(f"abs(panel.z[{second}] - {value}) < 1e-9 and panel.dimension == {second}")
    assert value > 0.5
    shows(notebook, picture, "model.decode(at([panel.z]))")
    shows(notebook, strip, "model.decode(at(panel.strip()))")
    expect(panel.locator(".vw-state").first).to_contain_text(f"z{second + 1} = {value:.2f}")

    # Arrow keys, on the slider and on the strip's handle; a press on the strip.
    notebook.press(slider, "ArrowRight", times=2)
    notebook.press(slider, "Shift+ArrowLeft")
    notebook.until(f"abs(panel.z[{second}] - {value} + 0.4) < 1e-9")
    handle = panel.locator(".vw-along .vw-handle")
    notebook.press(handle, "ArrowRight", times=2)
    notebook.until(f"abs(panel.z[{second}] - {value} + 0.3) < 1e-9")
    box = strip.bounding_box()
    page.mouse.click(box["x"] + box["width"] * 8.5 / 13, box["y"] + 20)
    notebook.until(f"abs(panel.z[{second}] - 1) < 0.02")
    here = panel.locator(".vw-here").evaluate("line => new DOMMatrix(getComputedStyle(line).transform).e")
    assert here == pytest.approx(box["width"] * 8.5 / 13, abs=1.5)
    number = panel.locator(".vw-slider input[type=number]").nth(1)
    number.fill("-1.5")
    number.press("Enter")
    notebook.until(f"panel.z[{second}] == -1.5")
    panel.locator(".vw-slider .vw-button").last.click()
    notebook.until("panel.dimension == panel.order[-1]")
    expect(handle).to_be_hidden()
    shows(notebook, strip, "model.decode(at(panel.strip()))")

    # An image chosen in the panel, and z that Python moves, beyond the range of a slider too.
    panel.get_by_role("button", name="another").click()
    notebook.until("panel.row == 1 and all(abs(a - b) < 1e-6 for a, b in zip(panel.z, panel.mu[1]))")
    notebook.evaluate(f"setattr(panel, 'z', [5.0 if k == {second} else 0.25 for k in range(10)])")
    shows(notebook, picture, "model.decode(at([panel.z]))")
    assert slider.input_value() == "5"

    # Both ways from A to B.
    notebook.evaluate("panel.set_ends(5, 20)")
    for k, kind in enumerate(("line", "great-circle")):
        way = notebook.show(panel.locator(".vw-way").nth(k))
        shows(notebook, way.locator("canvas").first, f"model.decode(at(panel.path('{kind}')[::4]))")
    page.wait_for_function("() => !document.querySelector('.vw-way [aria-busy=true]')")
    line, circle = (notebook.evaluate(f"round(41 * panel.holes('{k}'))") for k in ("line", "great-circle"))
    assert line not in ("0", "41"), "else a wrong count would not show"
    holes = panel.locator(".vw-paths .vw-state")
    expect(holes).to_contain_text(f"straight line: {line} of 41; on the great circle: {circle} of 41")
    expect(panel.locator(".vw-way").first.locator(".vw-hole-marks circle")).to_have_count(int(line))
    notebook.press(panel.locator(".vw-t input"), "ArrowRight", times=5)
    notebook.until("abs(panel.t - 0.625) < 1e-9")
    for k, kind in enumerate(("line", "great-circle")):
        way = panel.locator(".vw-way").nth(k)
        shows(notebook, way.locator(".vw-way-at canvas"), f"model.decode(at(panel.path('{kind}')[25:26]))")
        said = notebook.evaluate(
            f"(float(at(panel.path('{kind}')[25]).norm()), panel.confidence('{kind}')[25].item())"
        )
        told = [
            float(number) for number in re.findall(r"[\d.]+", way.locator(".vw-way-at .vw-note").inner_text())
        ]
        assert told == pytest.approx(ast.literal_eval(said), abs=0.006)
    panel.get_by_role("button", name="two draws from the prior").click()
    notebook.until(
        "panel.a == tuple(torch.randn(2, 10, generator=torch.Generator().manual_seed(1))[0].tolist())"
    )
    panel.get_by_role("button", name="B is here").click()
    notebook.until("panel.b == panel.z")

    # Another label at the same z.
    notebook.show(styles.locator(".vw-labels"))
    before = notebook.evaluate("styles.z")
    styles.locator(".vw-label").nth(7).click()
    notebook.until("styles.label == 7")
    assert notebook.evaluate("styles.z") == before
    expect(styles.locator(".vw-label[aria-pressed=true]")).to_have_text("7")
    shows(notebook, styles.locator(".vw-traverse-top canvas"), "told.given(7).decode(at([styles.z]))")
    for label in (0, 9):
        canvas = styles.locator(".vw-label canvas").nth(label)
        shows(notebook, canvas, f"told.given({label}).decode(at([styles.z]))")
    shows(notebook, styles.locator(".vw-way canvas").first, "told.given(7).decode(at(styles.path()[::4]))")

    # What the page cannot decode the kernel does, with the same hand.
    expect(mine).to_contain_text("decoded by the kernel: Mine.decode")
    slider = notebook.show(mine.locator("input[type=range]").first)
    with notebook.dragging(slider, dx=40):
        pass
    value = float(slider.input_value())
    notebook.until(f"abs(mine.z[mine.order[0]] - {value}) < 1e-9")
    shows(notebook, mine.locator(".vw-traverse-top canvas"), "mine.model.decode(at([mine.z]))")
    shows(notebook, mine.locator(".vw-strip canvas"), "mine.model.decode(at(mine.strip()))")
    shows(notebook, mine.locator(".vw-way canvas").first, "mine.model.decode(at(mine.path()[::4]))")
    count = notebook.evaluate("round(41 * mine.holes())")
    expect(mine.locator(".vw-paths .vw-state")).to_contain_text(f"straight line: {count} of 41")

    notebook.evaluate("panel.close()")
    expect(page.locator(".vw-panel")).to_have_count(2)
