"""Every panel in Firefox and in WebKit: it is drawn, and a key on its first control reaches the kernel."""

import pytest

from browser.harness import Notebook
from browser.test_accessibility import SETUP

COUNT = 14  # panels in SETUP
CURVES = 3  # they have no control
STATE = "def state(k): return repr(panels[k].trait_values())"
CONTROL = ".noUi-target:not([disabled]) .noUi-handle, [role=slider]:not(.noUi-handle), [role=application]"


@pytest.mark.extended
def test_every_panel_is_drawn_and_answers(lab, open_notebook):
    cells = [f"{SETUP}\n{STATE}", *(f"panels[{k}]" for k in range(COUNT))]
    notebook: Notebook = open_notebook(lab.write("panels.ipynb", cells))
    notebook.run_all()
    assert notebook.evaluate("len(panels)") == str(COUNT)
    for k in range(COUNT):
        notebook.cell(k + 1)
        panel = notebook.page.locator(f'.jp-Cell[data-windowed-list-index="{k + 1}"]').locator(".vw-panel")
        notebook.show(panel)
        notebook.screenshot(f"{notebook.page.engine.name}-{k:02d}")
        if k != CURVES:
            before = notebook.evaluate(f"state({k})")
            notebook.press(panel.locator(CONTROL).first, "ArrowRight")
            notebook.until(f"state({k}) != {before!r}")
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
