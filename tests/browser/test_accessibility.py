"""Every panel by axe-core, by keyboard and by what its sliders say, in both themes.

One notebook for all tests: what costs is opening it.
"""

import re
from pathlib import Path

import pytest

from .conftest import _missing
from .harness import CHROMIUM_ARGS, Notebook, expect

AXE = Path(__file__).parents[1] / "node_modules" / "axe-core" / "axe.min.js"
SETUP = """
import ipywidgets, torch, vaewidgets as vw
torch.set_num_threads(1)
torch.manual_seed(0)
labels, pixels = torch.arange(36) % 3, torch.rand(36, 1, 8, 8)
images = vw.Images(pixels, labels, ("a", "b", "c"))
model, ae = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), vw.Autoencoder(2, (1, 8, 8), hidden=(8,), seed=0)
judge = vw.Classifier((1, 8, 8), 3, hidden=(2,), seed=0)
codes = torch.randn(36, 2)
model.info = dict(dataset="d", classes=["a", "b", "c"])
for each in (ae, judge):
    each.info = model.info
model.atlas = model.train_atlas = vw.checkpoints.EncodedDataset(codes, codes, labels)
ae.atlas = ae.train_atlas = vw.checkpoints.EncodedDataset(codes, None, labels)
data = vw.Dataset(images, images, ("a", "b", "c"), "d")
explorer = vw.LatentExplorer(model, images)
panels = [
    explorer, vw.DrawPad(model, images), vw.LatentMap(codes, labels), vw.LearningCurves(),
    vw.TrainingCockpit(model, data, threaded=False), vw.HoleFinder(ae, model, judge),
    vw.Scoreboard({"VAE": model}, judge, images), vw.KLLab(model, images), vw.NoiseKnob(), vw.GapBar(),
    vw.Traverse(model, images), vw.BetaDial({1: model, 2: model}, images), vw.Bottleneck(model, images),
    vw.Surprises(model, images),
]
"""
RUN_AXE = """async panels => {
    const found = [];
    for (const [i, panel] of panels.entries()) {
        const {violations} = await axe.run(panel, {
            runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'],
            rules: {'color-contrast': {enabled: false}},
        });
        for (const {id, nodes} of violations) {
            found.push(...nodes.map(node => [i, id, node.html.slice(0, 200)]));
        }
    }
    return found;
}"""
#: What can be focused and shows no sign of it: neither outline, nor shadow, nor a thicker stroke.
UNMARKED = """panels => {
    const look = e => {
        const {outlineStyle, outlineWidth, boxShadow, strokeWidth} = getComputedStyle(e);
        return [outlineStyle === 'none' ? '' : outlineWidth, boxShadow, strokeWidth].join();
    };
    const can = 'button, input, select, textarea, canvas[tabindex], [contenteditable], [tabindex]';
    const found = [];
    let count = 0;
    for (const [i, panel] of panels.entries()) for (const e of panel.querySelectorAll(can)) {
        if (e.tabIndex < 0 || e.disabled || !e.getClientRects().length) continue;
        document.activeElement.blur();
        const before = look(e);
        e.focus({preventScroll: true, focusVisible: true});
        if (document.activeElement !== e) continue;
        count += 1;
        if (look(e) === before) found.push([i, e.outerHTML.slice(0, 200)]);
    }
    return [count, found];
}"""
#: What each slider says beside what is to be read there.
SPOKEN = """panels => panels.flatMap((panel, i) => [...panel.querySelectorAll('.widget-slider')]
    .map(slider => [slider.querySelector('.noUi-handle'), slider.querySelector('.widget-readout')])
    .filter(([handle, readout]) => handle && readout?.getClientRects().length)
    .map(([handle, readout]) => [i, handle.getAttribute('aria-valuetext'), readout.textContent]))"""


@pytest.fixture(scope="module")
def notebook(lab, launch_browser, tmp_path_factory):
    if not AXE.is_file():
        _missing("axe-core is not installed (npm ci --prefix tests)")
    shots = tmp_path_factory.mktemp("shots")
    # So high that no cell is out of sight: JupyterLab takes those out of the page.
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, shots, viewport=(1400, 9000))
    try:
        notebook.open(lab.write("accessibility.ipynb", [SETUP, "ipywidgets.VBox(panels)"]))
        notebook.run_all()
        expect(notebook.page.locator(".vw-panel [data-vw-hears=true]")).to_have_count(14)
        yield notebook
    finally:
        notebook.close()


@pytest.fixture
def panels(notebook):
    """Every panel there is."""
    return notebook.page.locator(".vw-panel:not(.vw-panel .vw-panel)")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_axe_finds_nothing(notebook, panels, theme):
    notebook.set_theme(f"JupyterLab {theme}")
    expect(panels).to_have_count(14)
    notebook.page.evaluate(AXE.read_text("utf-8"))
    assert panels.evaluate_all(RUN_AXE) == []


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_focus_is_seen_on_every_control(notebook, panels, theme):
    notebook.set_theme(f"JupyterLab {theme}")
    notebook.page.keyboard.press("Tab")  # From now on focus is a keyboard's.
    count, found = panels.evaluate_all(UNMARKED)
    assert count > 100
    assert found == []


def test_a_slider_says_what_its_readout_shows(notebook, panels):
    said = panels.evaluate_all(SPOKEN)
    assert len(said) > 5
    assert [each for each in said if each[1] != each[2]] == []


def test_a_slider_beside_a_box_says_what_the_box_shows(notebook, panels):
    notebook.evaluate("setattr(explorer, 'z', (0.1234, -1.5))")
    explorer = panels.first
    expect(explorer.get_by_label("z1, typed")).to_have_value("0.1234")
    handle = explorer.locator('.noUi-handle[aria-label="z1"]')
    handle.focus()
    expect(handle).to_have_attribute("aria-valuetext", "0.1234")


def test_what_is_typed_beyond_a_range_is_refused_with_a_word(notebook, panels):
    explorer, bottleneck = panels.first, panels.nth(12)
    readout = bottleneck.locator(".widget-readout")
    for typed, word in (("900", "image: 900 is outside 0 to 35"), ("x", "image: x is not a number")):
        readout.click()
        readout.fill(typed)
        readout.press("Enter")
        expect(bottleneck.locator(".vw-refused", has_text=word)).to_be_visible()
        expect(readout).to_have_text("0")
    assert notebook.evaluate("panels[12].row") == "0"
    # Beyond what a slider reaches, but a latent point all the same.
    box = explorer.get_by_label("z1, typed")
    box.fill("7.5")
    box.press("Enter")
    notebook.until("explorer.z[0] == 7.5 and explorer.sliders[0].max == 7.5")
    # A knob in the page refuses what is no value, and reaches what its slider did not.
    lab = panels.nth(7)
    for name, typed, word in (
        ("mu1", "1e9", "is outside -1000000 to 1000000"),
        ("sigma1", "-3", "-3 is outside 0.000001 to 1000000"),
    ):
        knob = lab.get_by_label(f"{name}, typed")
        held = knob.input_value()
        knob.fill(typed)
        knob.press("Enter")
        expect(lab.locator(".vw-refused", has_text=word)).to_have_text(re.compile(f"{name} stays {held}$"))
        expect(knob).to_have_value(held)
    knob.fill("0.0001")
    knob.press("Enter")
    notebook.until("panels[7].sigma[0] == 0.0001")
    expect(lab.get_by_role("slider", name="sigma1", exact=True)).to_have_attribute("aria-valuetext", "0.0001")
    gap = panels.nth(9)
    whole = gap.get_by_label("k, typed")
    whole.fill("2.5")
    whole.press("Enter")
    expect(gap.locator(".vw-refused", has_text="2.5 is not a whole number: k stays 1")).to_be_visible()


#: What is set beyond the drawn range, its ring, where the word stands, and what it says.
BEYOND = {
    "explorer": (0, "z", (9.0, -9.0), ".vw-map-cursor", ".vw-view-note", "z lies outside this view"),
    "holes": (5, "z", (30.0, 0.0), ".vw-handle", ".vw-beyond", "lies beyond the edge"),
    "KL": (7, "mu", (9.0, 0.0), ".vw-handle-mu", ".vw-beyond", "mu = 9.00, 0.00 lies beyond the edge"),
    "noise": (8, "epsilon", (0.0, -9.0), ".vw-handle-z", ".vw-beyond", "lies beyond the edge"),
    "traverse": (10, "z", (40.0, 40.0), ".vw-handle", ".vw-beyond", "= 40.00 lies beyond the edge"),
    "beta": (11, "beta", 1000.0, ".vw-handle", ".vw-beyond", "beta times s squared = 250 lies beyond"),
}


@pytest.mark.parametrize("name", BEYOND)
def test_what_lies_beyond_the_drawn_range_is_kept_and_said_at_its_edge(notebook, panels, name):
    index, attribute, value, ring, note, words = BEYOND[name]
    panel, trait = panels.nth(index), f"panels[{index}].{attribute}"
    before = {"z": (0.5, 0.25), "mu": (0.5, 0.25), "epsilon": (0.5, 0.25), "beta": 1.0}[attribute]
    notebook.evaluate(f"setattr(panels[{index}], {attribute!r}, {value})")
    expect(panel.locator(note, has_text=words).first).to_be_visible()
    expect(panel.locator(ring).first).to_have_class(re.compile(r"\bbeyond\b"))
    expect(panel.locator(ring).first).to_be_visible()
    assert notebook.evaluate(trait) == str(value)
    # An arrow key goes on from there, and not from the edge.
    if name != "beta":
        panel.locator(ring).first.press("ArrowLeft")
        notebook.until(f"0 < sum(abs(a - b) for a, b in zip({trait}, {value})) < 0.5")
    notebook.evaluate(f"setattr(panels[{index}], {attribute!r}, {before})")
    expect(panel.locator(ring).first).not_to_have_class(re.compile(r"\bbeyond\b"))
    expect(panel.locator(note, has_text=words)).to_have_count(0)
