"""A machine so slow that anywidget gives up models of a panel, or the page itself is: no figure is empty.

What is compared is what the page draws with what the kernel has, figure by figure.
"""

import ast

import pytest

from .harness import CHROMIUM_ARGS, GAVE_UP, Notebook, expect, frames, wait_for_more

#: Every panel that holds a figure, each in a cell of its own.
SETUP = '''
import numpy as np, torch, vaewidgets as vw
data = vw.load_data("digits")
model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
rng = np.random.default_rng(0)
codes, labels = rng.normal(size=(60, 2)), np.arange(60) % 3
explorer = vw.LatentExplorer(model, data.test)
map_ = vw.LatentMap(codes, labels)
cockpit = vw.TrainingCockpit(model, data, epochs=2, points=50, threaded=False)
curves = vw.LearningCurves()
steps = list(vw.fit(vw.VAE(2, (1, 8, 8), hidden=(8,), seed=1), data.train.images[:256], epochs=1))
curves.append(steps[0])
pad = vw.DrawPad(model, data.test)
figures = [explorer.figure, map_.figure, cockpit.figure, cockpit.curves, curves.figure, pad.figure]

def start(trace):
    if trace.type != "scatter" or trace.x is None:
        return []
    return [round(float(value), 4) for value in trace.x[:3]]

def described(figure):
    """Of every trace its type, the number of its points and where they begin; shapes; the range of x."""
    traces = [[t.type, 0 if t.x is None else len(t.x), start(t)] for t in figure.data]
    span = figure.layout.xaxis.range
    return [traces, len(figure.layout.shapes), [round(float(end), 6) for end in span] if span else None]
'''
CELLS = ["explorer", "map_", "cockpit", "curves", "pad"]
#: As `described`, in the page, where an axis without a range of its own has Plotly's.
DRAWN = """plots => plots.map(plot => [
    plot.data.map(({type, x}) => [type, (x ?? []).length,
        type === 'scatter' ? Array.from(x ?? []).slice(0, 3).map(v => Math.round(1e4 * v) / 1e4) : []]),
    (plot.layout.shapes ?? []).length,
    plot.layout.xaxis.autorange ? null : Array.from(plot.layout.xaxis.range, v => Math.round(1e6 * v) / 1e6),
])"""
PAINTED = "plots => plots.map(plot => plot.querySelectorAll('.trace, .bars .point').length)"


@pytest.fixture(scope="module")
def notebook(lab, launch_browser, tmp_path_factory):
    shots = tmp_path_factory.mktemp("shots")
    # So high that no cell is out of sight: JupyterLab takes those out of the page.
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, shots, impatient=True, viewport=(1400, 7000))
    try:
        notebook.open(lab.write("slow.ipynb", [SETUP, *CELLS]))
        notebook.run_all()
        yield notebook
        assert notebook.console_errors == []
        assert notebook.foreign_requests == []
    finally:
        notebook.close()


def same_as_in_the_kernel(notebook, plots, figures="figures") -> None:
    """Wait until the page draws what the kernel has."""
    expected = ast.literal_eval(notebook.evaluate(f"[described(figure) for figure in {figures}]"))
    expect(plots).to_have_count(len(expected))
    notebook.page.wait_for_function(
        f"expected => JSON.stringify(({DRAWN})([...document.querySelectorAll('.vw-panel .js-plotly-plot')]))"
        " === JSON.stringify(expected)",
        arg=expected,
    )


def test_figures_whose_models_were_given_up_are_drawn_whole(notebook):
    plots = notebook.page.locator(".vw-panel .js-plotly-plot")
    same_as_in_the_kernel(notebook, plots)
    assert any(GAVE_UP in message for message in notebook.messages), "the patience was not taken away"
    painted = plots.evaluate_all(PAINTED)
    assert all(painted), painted
    expect(notebook.page.locator(".vw-figure:empty")).to_have_count(0)


def test_such_panels_hear_what_the_kernel_says_afterwards(notebook):
    page = notebook.page
    canvas = page.locator("[data-vw=picture]").first
    before = frames(canvas)
    notebook.evaluate("explorer.z = (1.25, -0.5); explorer.selected = 3")
    # The picture is decoded in the page from what a model of ours was told; the ellipses are Plotly's.
    wait_for_more(canvas, before)
    expect(canvas).to_have_attribute("aria-label", "decoded picture of z = (1.25, -0.50)")
    notebook.evaluate("map_.mu = codes + 1.5")
    notebook.evaluate("cockpit.step(7)")
    notebook.evaluate("for s in steps[1:]: curves.append(s)")
    notebook.evaluate("pad.figure.update_layout(xaxis_range=[-1.0, 1.0])")
    same_as_in_the_kernel(notebook, page.locator(".vw-panel .js-plotly-plot"))


def test_a_view_that_comes_after_the_edits_shows_them(notebook):
    before = notebook.page.locator(".vw-panel .js-plotly-plot").count()
    notebook.run_code("display(map_, curves)")
    plots = notebook.page.locator(".vw-panel .js-plotly-plot")
    expect(plots).to_have_count(before + 2)
    same_as_in_the_kernel(notebook, plots, "[*figures, map_.figure, curves.figure]")
    # An edit reaches all views.
    notebook.evaluate("map_.mu = codes - 2.0")
    same_as_in_the_kernel(notebook, plots, "[*figures, map_.figure, curves.figure]")


@pytest.mark.parametrize("hidden", [False, True])
def test_labels_that_are_shown_again_bring_no_trace_of_their_own_into_the_legend(notebook, hidden):
    cell = notebook.run_code(
        f"again = vw.LatentMap(codes, np.arange(60) % 10, labels_hidden={hidden})\nagain"
    )
    legend, digits = notebook.cell(cell).locator(".legendtext"), [str(digit) for digit in range(10)]
    button = notebook.cell(cell).get_by_role("button", name="hide the labels")
    for _ in range(3):
        if hidden:
            expect(legend).to_have_count(0)
        else:
            expect(legend).to_have_text(digits)
        button.click()
        hidden = not hidden


def test_plotlys_bar_zooms_and_resets_and_covers_no_legend(notebook):
    for index in range(1, len(CELLS) + 1):
        cell = notebook.cell(index)
        for plot in cell.locator(".js-plotly-plot").all():
            plot.hover()
            names = plot.locator(".modebar-btn").evaluate_all("all => all.map(b => b.dataset.title)")
            assert [name.lower() for name in names] == ["zoom in", "zoom out", "reset axes"], names
            overlap = plot.evaluate(
                """plot => {
                    const bar = plot.querySelector('.modebar-group').getBoundingClientRect();
                    return [...plot.querySelectorAll('.legend, .plot')].filter(e => {
                        const box = e.getBoundingClientRect();
                        return box.width && box.top < bar.bottom - 1 && box.bottom > bar.top
                            && box.left < bar.right && box.right > bar.left;
                    }).length;
                }"""
            )
            assert overlap == 0, (CELLS[index - 1], "the bar lies over the legend or the points")


THROTTLED = ["00_quickstart", "01_the_map", "06_train"]
OTHERS = [
    "02_holes", "03_clouds", "04_the_noise_knob", "05_the_gap", "07_beta", "08_scoreboard",
    "09_more_dimensions", "10_your_own_data",
]  # fmt: skip


@pytest.mark.parametrize(
    "name", [*THROTTLED, *(pytest.param(name, marks=pytest.mark.extended) for name in OTHERS)]
)
def test_no_panel_of_a_notebook_stays_blank_on_a_page_four_times_slower(lab, launch_browser, shots, name):
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, shots, viewport=(1400, 12000))
    try:
        notebook.page.set_default_timeout(300_000)
        notebook.open(lab.copy(f"notebooks/{name}.ipynb", f"slow-{name}.ipynb"))
        notebook.slow_down(4)
        notebook.run_all()
        page = notebook.page
        panels = page.locator(".vw-panel:has(> .vw-gone)")
        expect(panels.first).to_be_visible()
        expect(page.locator(".vw-panel > .vw-gone[data-vw-hears=true]")).to_have_count(panels.count())
        expect(page.locator(".vw-figure:empty")).to_have_count(0, timeout=300_000)
        page.wait_for_function(
            """() => [...document.querySelectorAll('.vw-panel .js-plotly-plot')].every(plot =>
                (plot.data ?? []).length > 0 && plot.querySelectorAll('.trace, .bars .point').length > 0)"""
        )
        # A canvas without a picture is blank too.
        page.wait_for_function(
            """() => [...document.querySelectorAll('.vw-panel canvas[data-vw=picture]')]
                .filter(canvas => canvas.offsetParent && !canvas.classList.contains('vw-lens'))
                .every(canvas => Number(canvas.dataset.vwFrame) > 0)"""
        )
        assert notebook.console_errors == []
        expect(page.locator(".vw-panel .vw-error")).to_have_count(0)
    finally:
        notebook.close()
