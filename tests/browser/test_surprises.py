"""Surprises in real JupyterLab, on the page where README's example of a browser test has just passed."""

import ast

import pytest
from test_contribute import blocks

from .harness import expect

SETUP = """
import torch, vaewidgets as vw
torch.manual_seed(0)
pictures = torch.rand(40, 3, 20, 62) * torch.linspace(0.1, 1, 40).view(-1, 1, 1, 1)
class Mine(vw.VAE):  # the page cannot decode it, and need not
    def decode(self, z):
        return super().decode(z)
model = Mine(2, (3, 20, 62), hidden=(8,), seed=0).requires_grad_(False)
data = vw.Images(pictures, torch.arange(40) % 2, ("a kind of picture with a long name", "<b>bold</b>"))
panel = vw.Surprises(model, data)
def pixels(image):
    return (image.permute(1, 2, 0) * 255).round().int().flatten().tolist()
"""
PIXELS = """([canvas, expected]) => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const shown = Array.from(data.filter((_, i) => i % 4 < 3));
    return shown.length === expected.length && shown.every((v, i) => Math.abs(v - expected[i]) <= 1);
}"""


@pytest.fixture
def notebook(lab, open_notebook):
    """What README's test opens, with our cells behind its own: a page load is what costs."""
    example, _, source = blocks()
    # Beside the notebook, not in the package; and no panel is made when it is imported.
    (lab.root / "walk.py").write_text(example.partition("\n\nwalk = ")[0], encoding="utf-8")
    names = {"__package__": __name__.rpartition(".")[0]}
    exec(source.replace("vaewidgets.widgets.walk.walk", "walk"), names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    opened = []
    test(lab, lambda path: opened.append(open_notebook(path)) or opened[0])
    opened[0].run_code(SETUP)
    opened[0].run_code("panel")
    return opened[0]


def shows(notebook, canvas, code: str) -> None:
    """Wait until a canvas shows what torch makes."""
    expected = ast.literal_eval(notebook.evaluate(f"print(pixels({code}))"))
    notebook.page.wait_for_function(PIXELS, arg=[canvas.element_handle(), expected])


def test_the_rank_follows_the_hand(notebook):
    panel = notebook.show(notebook.page.locator(".vw-panel", has=notebook.page.locator(".vw-surprises")))
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth"), "nothing is cut"
    images, strip, state = (
        panel.locator("[data-vw=picture]"), panel.locator("[role=listbox]"), panel.locator(".vw-state")
    )  # fmt: skip
    thumbs = strip.locator("[role=option]")
    expect(thumbs).to_have_count(12)
    expect(strip.locator("[aria-selected=true]")).to_have_count(1)

    # A click on the strip, then the keyboard, then the slider.
    thumbs.nth(4).click()
    notebook.until("panel.rank == 4")
    shows(notebook, images.first, "pictures[panel.order[4]]")
    shows(notebook, images.last, "model(pictures[[panel.order[4]]])[0]")
    notebook.press(strip, "Shift+ArrowRight")
    notebook.press(strip, "ArrowLeft", times=2)
    notebook.until("panel.rank == 14 and panel.view.start == 9")
    expect(thumbs.nth(5)).to_have_attribute("aria-selected", "true")
    small = "torch.nn.functional.interpolate(pictures[[panel.order[14]]], (19, 60), mode='area')[0]"
    shows(notebook, thumbs.nth(5).locator("canvas"), small)
    nats = float(notebook.evaluate("print(panel.nats[panel.index])"))
    expect(thumbs.nth(5)).to_contain_text(f"{nats:.1f}")
    row, label = ast.literal_eval(notebook.evaluate("(panel.index, data.classes[panel.index % 2])"))
    expect(state).to_contain_text(
        f"image {row}, labelled {label}: minus ELBO {nats:.2f} nats = reconstruction"
    )
    expect(panel.locator("b")).to_have_count(0)
    notebook.press(panel.locator(".noUi-handle"), "ArrowRight")
    notebook.until("panel.rank == 15")

    # The histogram: a press goes to the image whose nats are nearest, while the kernel is busy too.
    ground, mark = panel.locator(".vw-histogram .vw-ground"), panel.locator(".vw-histogram .vw-mark")
    notebook.show(ground)
    heights = panel.locator(".vw-share").evaluate_all("all => all.map(bar => +bar.getAttribute('height'))")
    counts = ast.literal_eval(notebook.evaluate("panel.view.counts"))
    unit = max(heights) / max(counts)
    assert heights == pytest.approx([count and max(2, unit * count) for count in counts])
    box = ground.bounding_box()
    with notebook.busy():
        before = mark.get_attribute("x1")
        notebook.page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 30)
        expect(mark).not_to_have_attribute("x1", before)
    low, high = ast.literal_eval(notebook.evaluate("panel.nats[panel.order[[-1, 0]]].tolist()"))
    place = low + 0.3 * (high - low)
    step = (high - low) / box["width"]
    notebook.until(f"abs(panel.nats[panel.index] - {place}) <= min(abs(panel.nats - {place})) + 2 * {step}")

    # Python moves it.
    notebook.evaluate("panel.rank = 39")
    expect(strip.locator("[aria-selected=true]")).to_have_attribute("id", thumbs.last.get_attribute("id"))
    assert float(mark.get_attribute("x1")) == pytest.approx(46, abs=0.01), "the least is at the left edge"
    notebook.evaluate("panel.close()")
    expect(panel).to_have_count(0)
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
