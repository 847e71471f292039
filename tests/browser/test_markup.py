"""Names with markup in a notebook full of panels and in an exported page: all is shown as text."""

import torch

import vaewidgets as vw
from vaewidgets.widgets.explorer.html_page import write_page

from .harness import PlaywrightError, expect

NAMES = (
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    '"><svg onload="window.hacked=1">',
    r"{{x}} %{x} $\alpha$ `x`",
    "<b>b</b> <a href='javascript:hacked=1'>a</a>",
    "&lt;i&gt;",
)
#: A Plotly map cuts a name to 20 characters.
SHOWN = [name if len(name) <= 20 else name[:19] + "…" for name in NAMES]

SETUP = f"""
import ipywidgets, torch, vaewidgets as vw
torch.set_num_threads(1)
torch.manual_seed(0)
names = {NAMES!r}
labels, pixels = torch.arange(36) % 6, torch.rand(36, 1, 8, 8)
images = vw.Images(pixels, labels, names)
model, ae = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), vw.Autoencoder(2, (1, 8, 8), hidden=(8,), seed=0)
cvae = vw.ConditionalVAE(2, (1, 8, 8), 6, hidden=(8,), seed=0)
judge = vw.Classifier((1, 8, 8), 6, hidden=(2,), seed=0)
codes = torch.randn(36, 2)
for each in (model, ae, cvae, judge):
    each.info = dict(dataset=names[0], classes=list(names))
model.atlas = model.train_atlas = vw.checkpoints.EncodedDataset(codes, codes, labels)
ae.atlas = ae.train_atlas = vw.checkpoints.EncodedDataset(codes, None, labels)
data = vw.Dataset(images, images, names, names[0])
"""
PANELS = """
explorer = vw.LatentExplorer(model, images)
explorer.selected = 0
pad = vw.DrawPad(model, images)
cockpit = vw.TrainingCockpit(model, data, threaded=False)
cockpit.show_error(OSError(names[1]))
panels = [
    explorer, pad, vw.LatentMap(codes, labels, classes=names), cockpit, vw.HoleFinder(ae, model, judge),
    vw.Scoreboard(dict.fromkeys(names, model), judge, images), vw.KLLab(model, images),
    vw.Traverse(cvae, images), vw.BetaDial({1: model, 2: model}, images),
]
ipywidgets.VBox(panels)
"""
#: What a name that is taken for markup would leave in the page.
STRAY = """
() => [...document.querySelectorAll('.vw-panel *, body > *')].filter(e =>
    e.hasAttribute('onerror') || e.hasAttribute('onload') || e.matches('.vw-panel script, mjx-container')
    || [...e.attributes].some(a => /href$/.test(a.name) && /^javascript/.test(a.value))
).map(e => e.outerHTML.slice(0, 200))
"""


def hover(notebook, point, label) -> None:
    """Hold the mouse on a point until its label is there; what stands above may still be growing."""
    for _ in range(20):
        notebook.show(point)
        box = point.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        notebook.page.mouse.move(x - 20, y - 20)
        notebook.page.mouse.move(x, y)
        try:
            label.wait_for(timeout=2000)
            return
        except PlaywrightError:
            pass


def test_names_are_text_in_every_panel_and_in_the_exported_page(lab, open_notebook, launch_browser, tmp_path):
    notebook = open_notebook(lab.write("markup.ipynb", [SETUP, PANELS]), sidebar=False, viewport=(1280, 6000))
    notebook.run_all()
    page = notebook.page
    panels = page.locator(".vw-panel")
    expect(panels).to_have_count(9)
    for k in (0, 1, 2):
        legend = panels.nth(k).locator(".legendtext")
        expect(legend).to_have_count(6)
        assert legend.all_text_contents() == SHOWN
        # At the medians, in bold by its own style and not by the name's.
        assert panels.nth(k).locator(".textpoint").all_text_contents() == SHOWN
    assert panels.nth(3).locator(".textpoint").all_text_contents() == SHOWN
    expect(panels.nth(0).get_by_text(f"labelled {NAMES[0]}")).to_be_visible()
    expect(panels.nth(3).get_by_role("alert").filter(has_text=f"OSError: {NAMES[1]}")).to_be_visible()
    for name in NAMES:
        for k in (5, 6, 7):
            # ipywidgets keeps the blanks of an option.
            assert name.replace(" ", "\xa0") in panels.nth(k).locator("option").all_text_contents()
    # A hovered point says its class.
    hover(notebook, panels.nth(2).locator(".points path").first, panels.nth(2).locator(".hovertext .name"))
    expect(panels.nth(2).locator(".hovertext .name")).to_contain_text(NAMES[0][:6])
    assert page.evaluate(STRAY) == []
    assert page.evaluate("window.hacked") is None
    assert notebook.console_errors == []

    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    path = write_page(
        tmp_path / "<b>page.html", model=model, mu=torch.randn(6, 2), labels=torch.arange(6), classes=NAMES,
        title=NAMES[1],
    )  # fmt: skip
    exported = launch_browser().new_page()
    exported.goto(path.as_uri())
    expect(exported.locator("h1")).to_have_text(NAMES[1])
    for name in NAMES:
        expect(exported.get_by_role("button", name=name, exact=True)).to_be_visible()
    assert exported.evaluate(STRAY) == [] and exported.evaluate("window.hacked") is None
    exported.close()
