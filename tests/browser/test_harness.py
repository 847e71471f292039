"""The harness, proved on three small widgets that are not ours."""

import pytest

from .harness import KernelError, expect

SETUP = """
import anywidget, ipywidgets, traitlets
import plotly.graph_objects as go
from IPython.display import display
"""
SLIDER = """
slider = ipywidgets.FloatSlider(value=0.0, min=-3, max=3, step=0.1, description="z")
label = ipywidgets.Label("z is 0.0").add_class("vw-test-label")
def show(change):
    label.value = f"z is {change.new:.1f}"
slider.observe(show, "value")
ipywidgets.VBox([slider, label])
"""
COUNTER = '''
class Counter(anywidget.AnyWidget):
    _esm = """
    function render({ model, el }) {
        const button = document.createElement("button");
        button.className = "vw-test-counter";
        const show = () => {
            button.textContent = `count is ${model.get("count")}`;
            button.dataset.vwFrame = model.get("count");
        };
        button.onclick = () => { model.set("count", model.get("count") + 1); model.save_changes(); };
        model.on("change:count", show);
        show();
        el.append(button);
    }
    export default { render };
    """
    count = traitlets.Int(0).tag(sync=True)
counter = Counter()
slider.observe(lambda change: setattr(counter, "count", counter.count + 1), "value")
counter
'''
FIGURE = """
figure = go.FigureWidget(go.Scatter(x=[0, 1, 2], y=[0, 1, 0]))
figure.update_layout(height=250, width=400)
figure.data[0].on_click(lambda trace, points, state: setattr(label, "value", f"clicked {points.point_inds}"))
print("made a figure")
figure
"""


@pytest.fixture
def notebook(lab, open_notebook):
    # These widgets are no panel's: nothing brings them back on a page that gives them up.
    cells = [SETUP, SLIDER, COUNTER, FIGURE]
    notebook = open_notebook(lab.write("harness.ipynb", cells), impatient=False)
    notebook.run_all()
    return notebook


def test_a_notebook_is_driven(notebook):
    """Mouse, keys, cells, kernel, theme: one page load, since that is what costs."""
    page = notebook.page
    handle = notebook.cell(1).locator(".noUi-handle")
    label = page.locator(".vw-test-label")
    counter = page.locator(".vw-test-counter")

    with notebook.dragging(handle, dx=60) as drag:
        expect(label).not_to_have_text("z is 0.0")  # the button is still down
        there = label.inner_text()
        drag.move(dx=-120)
        expect(label).to_contain_text("z is -")
    assert float(there.removeprefix("z is ")) > 0

    before = notebook.slider_value(handle)
    notebook.press(handle, "ArrowRight", times=3)
    expect(label).to_have_text(f"z is {before + 0.3:.1f}")

    notebook.run_code("slider.value = 1.5")
    expect(label).to_have_text("z is 1.5")

    count = int(notebook.evaluate("counter.count"))
    notebook.show(counter).click()
    expect(counter).to_have_text(f"count is {count + 1}")
    notebook.until(f"counter.count == {count + 1}")

    sweep = notebook.sweep(handle, distance=-60, seconds=0.5, watch=counter)
    assert len(sweep.moves) > 3
    assert len(sweep.pictures) > 0
    # The last update may still be on its way; it must not overtake the click below.
    expect(label).to_have_text(f"z is {notebook.slider_value(handle):.1f}")

    figure = notebook.cell(3).locator(".js-plotly-plot .main-svg").first
    expect(figure).to_be_visible()
    assert notebook.cell_text(3).startswith("made a figure")
    notebook.click_plot(notebook.cell(3).locator(".js-plotly-plot"), x=1, y=1)
    expect(label).to_have_text("clicked [1]")

    notebook.set_theme("JupyterLab Dark")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
    assert notebook.screenshot("harness-dark").stat().st_size > 10_000
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
    assert notebook.foreign_requests == []


def test_mistakes_are_reported(lab, open_notebook):
    """An exception in a cell, in ``evaluate`` or in the page does not go unnoticed; a restart forgets."""
    notebook = open_notebook(lab.write("mistakes.ipynb", ["answer = 42", "1 / 0"]))
    assert notebook.page.evaluate("() => document.body.dataset.jpThemeName") == "JupyterLab Light"
    with pytest.raises(AssertionError, match="cell 1 raised"):
        notebook.run_all()
    assert "ZeroDivisionError" in notebook.cell_text(1)
    assert notebook.evaluate("print('the answer'); answer") == "the answer\n42"

    notebook.restart_kernel()
    with pytest.raises(KernelError, match="NameError"):
        notebook.evaluate("answer")

    notebook.page.evaluate("() => { setTimeout(() => { throw new Error('thrown on purpose'); }); }")
    notebook.page.wait_for_function("() => true")
    with notebook.page.expect_console_message(lambda message: "said on purpose" in message.text):
        notebook.page.evaluate("() => console.error('said on purpose')")
    assert any("thrown on purpose" in error for error in notebook.console_errors)
    assert any("said on purpose" in error for error in notebook.console_errors)
