"""The training cockpit in real JupyterLab: a hand steers while the model trains and other cells run.

One notebook for all tests, in their order: what costs is opening it.
"""

import ast
import re

import pytest

from .harness import CHROMIUM_ARGS, Notebook, expect, frames, wait_for_more

SETUP = """
import threading
import torch, vaewidgets as vw
data = vw.load_data("digits")
model = vw.VAE(2, (1, 8, 8), hidden=(64,), seed=0)
first = {name: w.clone() for name, w in model.state_dict().items()}
# Neither lr nor beta is a whole number of a slider's steps: the page must not round them.
cockpit = vw.TrainingCockpit(model, data, epochs=100_000, lr=3e-3, beta=1.01, points=300)
explorer = vw.LatentExplorer(model)
steps, each = [], cockpit._loop._each
cockpit._loop._each = lambda step: (steps.append(step), each(step))
"""
THREADS = "[t.name for t in threading.enumerate() if t.name.startswith('vaewidgets-')]"
POINTS = """panel => {
    const points = panel.querySelector('.js-plotly-plot').data.filter(trace => trace.meta === 'points');
    return points.map(trace => Array.from(trace.x)).flat();
}"""
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
MARKS = "panel => panel.querySelectorAll('.js-plotly-plot')[1]._fullLayout.annotations.map(a => a.text)"
CONTRAST = """panel => {
    const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const luminance = rgb => rgb.map(v => linear(v / 255))
        .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
    const parse = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const background = luminance(parse(getComputedStyle(
        document.querySelector('.jp-NotebookPanel-notebook, .jp-Notebook')).backgroundColor));
    const words = panel.querySelectorAll(`.vw-title, .vw-note, .vw-state, .widget-label, .widget-readout,
        .xtick text, .ytick text, .g-xtitle text, .g-ytitle text, .annotation text, .shapelayer text`);
    return Array.from(words).filter(word => word.textContent.trim()).map(word => {
        const style = getComputedStyle(word);
        const ink = luminance(parse(word instanceof SVGElement ? style.fill : style.color));
        const [high, low] = [Math.max(ink, background), Math.min(ink, background)];
        return [(high + .05) / (low + .05), word.textContent];
    });
}"""


@pytest.fixture(scope="module")
def notebook(lab, launch_browser, tmp_path_factory):
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, tmp_path_factory.mktemp("shots"))
    try:
        notebook.open(lab.write("cockpit.ipynb", [SETUP, "cockpit", "explorer", "'the end'"]))
        notebook.run_all()
        yield notebook
        assert notebook.foreign_requests == []
    finally:
        notebook.close()


@pytest.fixture
def panel(notebook):
    """The cockpit's element, in view."""
    notebook.cell(1)
    panel = notebook.page.locator(".vw-panel", has=notebook.page.get_by_role("button", name="one batch"))
    expect(panel.locator(".js-plotly-plot")).to_have_count(2)
    return panel


def button(panel, name):
    # Not by its accessible name: to that the icon's glyph belongs.
    return panel.locator("button").filter(has_text=re.compile(rf"^\s*{name}\s*$"))


def press(panel, name) -> None:
    button(panel, name).click()


def handle(panel, label):
    return panel.locator(f'.noUi-handle[aria-label="{label}"]')


def value(notebook, expression):
    return ast.literal_eval(notebook.evaluate(expression))


def wait_for_change(element, script, before) -> None:
    element.page.wait_for_function(
        f"([element, before]) => JSON.stringify(({script})(element)) !== before",
        arg=[element.element_handle(), element.page.evaluate("JSON.stringify", before)],
    )


def test_start_moves_the_map_the_pictures_and_the_words_and_cells_run_meanwhile(notebook, panel):
    assert value(notebook, "(cockpit.lr, cockpit.beta)") == (3e-3, 1.01)
    points, canvases = panel.evaluate(POINTS), panel.locator("[data-vw=picture]")
    expect(canvases).to_have_count(3)
    counts = [frames(canvases.nth(i)) for i in range(3)]
    press(panel, "start")
    expect(panel.locator(".vw-state")).to_contain_text("running")
    expect(panel.locator(".vw-state")).to_contain_text("images/s")
    wait_for_change(panel, POINTS, points)
    text = panel.locator(".vw-state").text_content()
    expect(panel.locator(".vw-state")).not_to_have_text(text)
    assert any(frames(canvases.nth(i)) > counts[i] for i in (0, 2))
    cell = notebook.run_code("1 + 1, cockpit.status")
    assert notebook.cell_text(cell) == "(2, 'running')"
    before = frames(canvases.nth(0))
    notebook.cell(1)
    wait_for_more(panel.locator("[data-vw=picture]").first, before)


def test_a_knob_turned_by_keyboard_acts_at_once_and_is_marked(notebook, panel):
    notebook.press(handle(panel, "beta"), "ArrowRight", times=3)
    notebook.until("cockpit.beta > 1.1")
    beta = value(notebook, "cockpit.beta")
    notebook.until(f"steps and steps[-1].beta == {beta}")
    panel.page.wait_for_function(
        f"([panel, text]) => ({MARKS})(panel).some(mark => mark.includes(text))",
        arg=[panel.element_handle(), f"beta {beta:.3g}"],
    )
    assert value(notebook, "cockpit.lr") == 3e-3
    notebook.press(handle(panel, "learning rate"), "ArrowLeft")
    notebook.until("cockpit.lr < 3e-3 and steps[-1].lr == cockpit.lr")


def test_an_explorer_in_another_cell_decodes_with_the_weights_of_now(notebook, panel):
    notebook.cell(2)
    explorer = notebook.page.locator(".vw-panel", has_text="decoded in this page")
    canvas = explorer.locator("[data-vw=picture]").first
    expect(canvas).to_be_visible()
    before, pixels = frames(canvas), canvas.evaluate(PIXELS)
    wait_for_more(canvas, before)
    wait_for_change(canvas, PIXELS, pixels)
    notebook.evaluate("cockpit.pause()")
    expected = value(notebook, "(model.decode(torch.zeros(1, 2)) * 255).round().int().flatten().tolist()")
    canvas.page.wait_for_function(
        f"""([canvas, expected]) => {{
            const pixels = ({PIXELS})(canvas);
            return pixels.every((value, i) => Math.abs(value - expected[i]) <= 1);
        }}""",
        arg=[canvas.element_handle(), expected],
    )


def test_paused_nothing_moves_and_single_steps_are_single(notebook, panel):
    expect(panel.locator(".vw-state")).to_contain_text("paused")
    step = value(notebook, "cockpit.training.step")
    weights = "[float(w.double().sum()) for w in model.state_dict().values()]"
    held = notebook.evaluate(weights)
    assert notebook.evaluate(weights) == held
    assert value(notebook, THREADS) == []
    batch = button(panel, "one batch")
    notebook.show(batch)
    batch.focus()
    for k in (1, 2, 3):
        # The focus stays: a key may be pressed again and again.
        notebook.page.keyboard.press("Space")
        expect(panel.locator(".vw-state")).to_contain_text(f"step {step + k:,} of")
    expect(batch).to_be_focused()
    press(panel, "one epoch")
    end = -(-(step + 4) // 12) * 12
    expect(panel.locator(".vw-state")).to_contain_text(
        f"paused: epoch {end // 12} of 100000, step {end:,} of"
    )
    notebook.until(f"cockpit.training.step == {end}")


def test_rewind_stop_and_from_scratch(notebook, panel):
    kept = value(notebook, "cockpit.snapshots")
    notebook.until(f"cockpit.controls.back.value == {kept[-1]}")
    notebook.press(handle(panel, "back to"), "Home")
    notebook.press(handle(panel, "back to"), "ArrowRight", times=2)
    notebook.until(f"cockpit.controls.back.value == {kept[2]}")
    press(panel, "rewind")
    expect(panel.locator(".vw-state")).to_contain_text(f"step {kept[2]:,} of")
    notebook.until(f"cockpit.status == 'paused' and cockpit.training.step == {kept[2]}")
    press(panel, "resume")
    notebook.until(f"cockpit.training.step > {kept[2]}")
    press(panel, "stop")
    expect(panel.locator(".vw-state")).to_contain_text("stopped")
    notebook.until("cockpit.training.finished and not cockpit._loop.running")
    press(panel, "from scratch")
    expect(panel.locator(".vw-state")).to_contain_text("ready: epoch 0")
    notebook.until("all(torch.equal(w, first[name]) for name, w in model.state_dict().items())")
    assert panel.evaluate(MARKS) == []


def test_a_failure_is_shown_with_its_meaning_and_it_can_start_again(notebook, panel):
    notebook.evaluate("cockpit.step(20); cockpit.wait(); cockpit.lr = 1e30")
    press(panel, "resume")
    expect(panel.locator(".vw-error")).to_contain_text("Diverged: the loss became")
    expect(panel.locator(".vw-state")).to_contain_text("failed")
    notebook.evaluate("cockpit.lr = 1e-3")
    press(panel, "start")
    expect(panel.locator(".vw-error")).to_have_count(0)
    expect(panel.locator(".vw-state")).to_contain_text("running")
    press(panel, "pause")
    expect(panel.locator(".vw-state")).to_contain_text("paused")


def test_the_keyboard_reaches_every_control_and_each_has_a_name(notebook, panel):
    notebook.show(button(panel, "resume")).focus()
    reached = []
    for _ in range(20):
        name = notebook.page.evaluate(
            """() => {
                const e = document.activeElement;
                return e.closest('.vw-panel') && (e.getAttribute('aria-label') || e.innerText.trim()
                    || e.closest('.widget-inline-hbox')?.querySelector('.widget-label')?.textContent);
            }"""
        )
        reached.append(name)
        notebook.page.keyboard.press("Tab")
    controls = [
        "resume", "pause", "one batch", "one epoch", "stop", "from scratch", "beta", "learning rate",
        "noise seed", "back to", "rewind",
    ]  # fmt: skip
    assert [name for name in reached if name in controls] == controls
    for name in ("The map", "The loss"):
        expect(panel.get_by_role("figure", name=name)).to_be_visible()


def test_every_word_is_readable_in_both_themes_and_nothing_is_cut(notebook, panel, shots):
    notebook.evaluate("cockpit.beta = 2.5; cockpit.step(epochs=20); cockpit.wait()")
    notebook.evaluate("cockpit.lr, cockpit.noise_seed = 2e-3, 8; cockpit.step(epochs=20); cockpit.wait()")
    expect(panel.locator(".vw-state")).to_contain_text("paused")
    notebook.shots = shots
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.set_theme(theme)
        notebook.show(button(panel, "resume"))
        ratios = panel.evaluate(CONTRAST)
        assert len(ratios) > 25
        assert min(ratios)[0] >= 4.5, (theme, min(ratios))
        notebook.screenshot(f"cockpit-{theme.split()[-1]}", panel)
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    cut = panel.evaluate(
        """panel => Array.from(panel.querySelectorAll('.widget-label, button, .vw-title, .vw-state'))
            .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    )
    assert cut == []


def test_a_cell_that_is_run_again_ends_the_training_that_it_replaces(notebook):
    cell = notebook.run_code(
        "own = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=1)\n"
        "again = vw.TrainingCockpit(own, data, epochs=100_000, points=50)\n"
        "made = [*globals().get('made', []), again]\n"
        "again.start()\n"
        "again"
    )
    notebook.until("made[0].status == 'running' and made[0].training.step > 2")
    notebook.run_cell(cell)
    notebook.until("len(made) == 2 and made[1].training.step > 2")
    assert notebook.evaluate("[each.status for each in made]") == "['paused', 'running']"
    expect(notebook.cell(cell).locator(".vw-panel")).to_have_count(1)
    notebook.evaluate("[each.close() for each in made]")


def test_closing_the_panel_ends_its_threads_and_a_new_kernel_leaves_the_page_in_peace(notebook, panel):
    press(panel, "resume")
    notebook.until("cockpit.status == 'running'")
    assert len(value(notebook, THREADS)) == 2
    notebook.evaluate("cockpit.close()")
    assert value(notebook, THREADS) == []
    expect(panel).to_have_count(0)
    assert notebook.console_errors == []
    assert [e for e in notebook.kernel_errors if "No such comm" not in e] == []
    notebook.run_code("again = vw.TrainingCockpit(model, data, epochs=100_000); again.start(); again")
    expect(notebook.page.locator(".vw-state", has_text="running")).to_be_visible()
    # What is on its way to the page when the kernel goes may be half there: anywidget then says so.
    assert notebook.console_errors == []
    notebook.restart_kernel()
    # A new kernel knows nothing of it: what is left in the page asks for nothing and breaks nothing.
    assert value(notebook, "'cockpit' in globals()") is False
