"""HoleFinder in real JupyterLab: what is under the hand on both planes, and the count, against torch."""

import ast
import re

import pytest

from .harness import CHROMIUM_ARGS, Notebook, expect, frames, wait_for_more

SETUP = """
import torch, vaewidgets as vw
from vaewidgets.models.classifier import Classifier
ae, vae = vw.pretrained("digits-ae-2d"), vw.pretrained("digits-vae-2d")
judge = Classifier((1, 8, 8), seed=0)
with torch.no_grad():
    judge.layers[-1].weight *= 120
finder = vw.HoleFinder(ae, vae, judge, cells=24)

def under_the_hand():
    'Pixels 0 .. 255 and probabilities of both models, by torch alone.'
    images = [m.decode(torch.tensor([z])) for m, z in ((ae, finder.z_ae), (vae, finder.z))]
    probabilities = [judge.layers(x).softmax(1)[0].tolist() for x in images]
    return list(zip([(x * 255).round().int().flatten().tolist() for x in images], probabilities))

def counted(seed, n):
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))
    return int((judge.layers(vae.decode(z)).softmax(1)[:, :-1].max(1).values < finder.tau).sum())

class Mine(vw.VAE):
    def decode(self, z):
        return super().decode(z) ** 2

mine = Mine(2, (1, 8, 8), hidden=(16,), seed=0)
mine.atlas = vae.atlas
kernel = vw.HoleFinder(ae, mine, judge, cells=4)
"""
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
BARS = """svg => Array.from(svg.querySelectorAll('.vw-bar'), bar => bar.getAttribute('width') / 150)"""


@pytest.fixture(scope="module")
def notebook(lab, launch_browser, tmp_path_factory):
    """Both panels, opened once: each test begins at the origin, with nothing drawn."""
    notebook = Notebook(
        launch_browser(CHROMIUM_ARGS), lab, tmp_path_factory.mktemp("shots"), viewport=(1280, 1200)
    )
    try:
        notebook.open(lab.write("holes.ipynb", [SETUP, "finder", "kernel"]))
        notebook.run_all()
        yield notebook
        assert notebook.console_errors == []
        assert notebook.kernel_errors == []
    finally:
        notebook.close()


@pytest.fixture
def panel(notebook):
    notebook.evaluate("finder.reset(); finder.z, finder.zoom, finder.tau = (0, 0), False, 0.9")
    panel = notebook.page.locator(".vw-panel").first
    notebook.show(panel.locator(".vw-sides"))
    expect(panel.locator(".vw-side .vw-state").nth(2)).to_have_text("VAE: z = (0.00, 0.00)")
    return panel


def read(notebook, expression: str):
    return ast.literal_eval(notebook.evaluate(expression))


def shown_is_what_torch_says(notebook, panel) -> None:
    """Compare pictures, bars, verdicts and nearest codes of both sides with Python."""
    expected = read(notebook, "under_the_hand()")
    nearest = read(notebook, "[tuple(one) for one in finder.nearest]")
    places = read(notebook, "[finder.z_ae, finder.z]")
    for k, (pixels, probabilities) in enumerate(expected):
        side = panel.locator(".vw-side").nth(k)
        assert side.locator("canvas").evaluate(PIXELS) == pytest.approx(pixels, abs=1)
        assert side.locator(".vw-bars").evaluate(BARS) == pytest.approx(probabilities, abs=1e-4)
        sure = max(probabilities[:-1])
        best = probabilities.index(sure)
        verdict = f"a hole: at best a {best}, " if sure < read(notebook, "finder.tau") else f"a {best}, "
        expect(side.locator(".vw-verdict")).to_contain_text(f"{verdict}{100 * sure:.1f} %")
        row, label, distance = nearest[k]
        note = f"nearest code: image {row}, labelled {label}, {distance:.2f} away"
        expect(side.locator(".vw-note").last).to_have_text(note)
        z = ", ".join(f"{round(v, 2) + 0.0:.2f}" for v in places[k])
        expect(side.locator(".vw-state").first).to_have_text(f"{('AE', 'VAE')[k]}: z = ({z})")


def on_plane(panel, k: int) -> list[float]:
    """Where a ring's middle is, in px from the top left corner of its chart."""
    return (
        panel.locator(".vw-side")
        .nth(k)
        .evaluate(
            """side => {
            const ring = side.querySelector('.vw-handle').getBoundingClientRect();
            const chart = side.querySelector('.vw-chart').getBoundingClientRect();
            return [ring.x + ring.width / 2 - chart.x, ring.y + ring.height / 2 - chart.y];
        }"""
        )
    )


def test_one_hand_moves_both_planes_and_torch_agrees(notebook, panel):
    page, rings = notebook.page, panel.locator(".vw-side .vw-handle")
    shown_is_what_torch_says(notebook, panel)
    canvas = panel.locator(".vw-side canvas").first
    before, start = frames(canvas), on_plane(panel, 0)
    # A drag on the VAE's plane moves the autoencoder's ring as far, and its picture before the release.
    with notebook.dragging(rings.nth(1), dx=60, dy=40):
        wait_for_more(canvas, before)
    across, up = (b - a for a, b in zip(start, on_plane(panel, 0), strict=True))
    assert (across, up) == pytest.approx((60, 40), abs=1.5)
    # The plot's 336 px are the seven units from -3.5 to 3.5.
    notebook.until("abs(finder.z[0] - 60 / 48) < 0.03 and abs(finder.z[1] + 40 / 48) < 0.03")
    shown_is_what_torch_says(notebook, panel)
    # A press on the autoencoder's plane takes both there, and stays within it.
    plane = panel.locator(".vw-ground").first.bounding_box()
    page.mouse.click(plane["x"] + plane["width"] / 4, plane["y"] + plane["height"] / 4)
    notebook.until("abs(finder.z[0] + 1.75) < 0.05 and abs(finder.z[1] - 1.75) < 0.05")
    shown_is_what_torch_says(notebook, panel)
    rings.first.focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    notebook.until("abs(finder.z[0] + 1.70) < 0.05 and abs(finder.z[1] - 1.20) < 0.05")
    shown_is_what_torch_says(notebook, panel)
    # Keys leave the plane that is drawn: the ring stays at its edge, and the chart says so.
    for _ in range(12):
        page.keyboard.press("Shift+ArrowLeft")
    notebook.until("abs(finder.z[0] + 7.70) < 0.05")
    expect(panel.locator(".vw-beyond", has_text="VAE: z = (-7.7")).to_contain_text("lies beyond the edge")
    shown_is_what_torch_says(notebook, panel)


def test_python_moves_it_and_a_zoom_makes_the_planes_equal(notebook, panel):
    notebook.evaluate("finder.z_ae = (12.5, 4.0)")
    expect(panel.locator(".vw-side .vw-state").first).to_have_text("AE: z = (12.50, 4.00)")
    shown_is_what_torch_says(notebook, panel)
    ticks = panel.locator(".vw-side").first.locator(".vw-tick")
    wide = ticks.all_text_contents()
    panel.get_by_role("button", name="AE: zoom to N(0, I)").click()
    notebook.until("finder.zoom and finder.z == finder.z_ae")
    other = panel.locator(".vw-side").nth(1).locator(".vw-tick").all_text_contents()
    expect(ticks).to_have_text(other)
    assert wide != other
    shown_is_what_torch_says(notebook, panel)


def test_draws_are_counted_marked_by_shape_and_judged_anew_at_another_tau(notebook, panel):
    tab = panel.get_by_role("radio", name="VAE at prior").or_(
        panel.get_by_role("button", name="VAE at prior", exact=True)
    )
    tab.click()
    panel.get_by_role("button", name="draw 200 from this sampler").click()
    state = panel.locator(".vw-state").first
    expect(state).to_contain_text("of 200 draws are holes")

    def counts_agree(n: int) -> int:
        holes = read(notebook, f"counted(0, {n})")
        expect(state).to_contain_text(f"VAE at prior: {holes} of {n} draws are holes")
        low, high = read(notebook, f"tuple(vw.holes.wilson({holes}, {n}))")
        expect(state).to_contain_text(
            f"{100 * holes / n:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
        )
        marks = panel.locator(".vw-side").nth(1)
        for kind, count in (("hole", holes), ("digit", n - holes)):
            path = marks.locator(f".vw-plot .vw-{kind}.vw-core").get_attribute("d")
            assert len(re.findall("M", path)) == count
        return holes

    first = counts_agree(200)
    assert 0 < first < 200
    ground = panel.locator(".vw-side .vw-sure").first
    before = ground.get_attribute("href")
    handle = panel.locator(".noUi-handle")
    notebook.press(handle, "ArrowLeft", times=30)
    notebook.until("abs(finder.tau - 0.6) < 1e-9")
    expect(state).to_contain_text("best class under 0.60")
    assert counts_agree(200) < first
    assert ground.get_attribute("href") != before
    shown_is_what_torch_says(notebook, panel)
    row = panel.locator(".vw-counts tr", has_text="VAE at prior").locator("td")
    assert row.nth(1).inner_text() == str(read(notebook, "counted(0, 200)"))
    panel.get_by_role("button", name="start again").click()
    expect(state).to_contain_text("nothing drawn yet")
    expect(panel.locator(".vw-side .vw-plot .vw-hole.vw-core").nth(1)).to_have_attribute("d", "")


def test_the_hand_does_not_wait_for_a_busy_kernel(notebook, panel):
    canvas = panel.locator(".vw-side canvas").first
    before = frames(canvas)
    notebook.run_code("import time; time.sleep(3)", wait=False)
    notebook.show(panel.locator(".vw-sides"))
    assert notebook.page.evaluate("() => window.vwPanel.content.widgets.length") >= 4
    with notebook.dragging(panel.locator(".vw-side .vw-handle").nth(1), dx=-50):
        wait_for_more(canvas, before + 3)
        last = notebook.page.evaluate(
            "() => window.vwPanel.content.widgets.at(-1).model.sharedModel.executionState"
        )
        assert last == "running"
    notebook.wait_idle()
    notebook.until("finder.z[0] < -0.9")
    shown_is_what_torch_says(notebook, panel)


def test_what_the_page_cannot_run_the_kernel_decodes_under_the_same_hand(notebook, panel):
    notebook.cell(2)
    panel = notebook.page.locator(".vw-panel").last
    expect(panel.locator(".vw-note", has_text="by the kernel: Mine.decode")).to_be_visible()
    with notebook.dragging(panel.locator(".vw-side .vw-handle").nth(1), dx=60, dy=-60):
        pass
    notebook.until("kernel.z[0] > 1 and kernel.z[1] > 1")
    notebook.wait_idle()
    expected = read(notebook, "[image.ravel().tolist() for image in kernel.images]")
    bars = read(notebook, "kernel.probabilities.tolist()")
    for k in range(2):
        side = panel.locator(".vw-side").nth(k)
        notebook.page.wait_for_function(
            f"([canvas, image]) => ({PIXELS})(canvas).every((v, i) => Math.abs(v - image[i]) <= 1)",
            arg=[side.locator("canvas").element_handle(), expected[k]],
        )
        assert side.locator(".vw-bars").evaluate(BARS) == pytest.approx(bars[k], abs=1e-4)


def test_both_themes_fit_the_window_and_closing_leaves_nothing(notebook, panel):
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        notebook.set_theme(theme)
        notebook.show(panel.locator(".vw-sides"))
        assert panel.evaluate(
            """panel => {
                const output = panel.closest('.jp-OutputArea-output');
                return output.scrollWidth <= output.clientWidth;
            }"""
        )
        colour = panel.locator(".vw-bars text").first.evaluate("text => getComputedStyle(text).fill")
        assert (int(re.findall(r"\d+", colour)[0]) > 128) == (theme == "JupyterLab Dark")
    notebook.evaluate("finder.close(); kernel.close()")
    expect(notebook.page.locator(".vw-holes")).to_have_count(0)
