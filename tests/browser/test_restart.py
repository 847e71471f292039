"""A kernel that dies, that is restarted, or that lives on while the page is loaded again."""

import os
import signal

from .harness import expect

SAYS = "The kernel was restarted or has ended, and this panel with it: run this cell again."
GLYPHS = """
() => [...document.querySelectorAll('.vw-panel .jupyter-widgets-disconnected, .vw-panel')]
    .filter(e => getComputedStyle(e, '::before').content !== 'none').length
"""


def test_panels_of_a_kernel_that_is_gone_say_so(lab, open_notebook):
    cells = [
        "import vaewidgets as vw\nexplorer = vw.LatentExplorer(vw.pretrained('digits-vae-2d'))\nexplorer",
        "vw.KLLab()",
    ]
    path = lab.write("restart.ipynb", cells)
    notebook = open_notebook(path, sidebar=False, viewport=(1280, 2000))
    notebook.run_all()
    page = notebook.page
    panels, says = page.locator(".vw-panel"), page.get_by_text(SAYS)
    expect(panels).to_have_count(2)
    expect(says).to_have_count(0)
    # Widgets are drawn one after the other, once the page has what draws them.
    expect(panels.first.locator(".vw-points[data-vw-paints]")).to_be_attached()
    expect(panels.nth(1).locator("svg").first).to_be_attached()
    notebook.show(panels.nth(1))
    heights = [panels.nth(k).bounding_box()["height"] for k in range(2)]

    # A kernel that dies is started again by the server.
    os.kill(int(notebook.evaluate("__import__('os').getpid()")), signal.SIGKILL)
    expect(says).to_have_count(2)
    line = says.first.bounding_box()["height"]
    for k in range(2):
        expect(panels.nth(k).get_by_role("alert").filter(has_text=SAYS)).to_be_visible()
        # The sentence takes its line; nothing else has moved.
        assert abs(panels.nth(k).bounding_box()["height"] - heights[k] - line) < 10
    assert page.evaluate(GLYPHS) == 0

    notebook.wait_idle()
    notebook.run_all()
    expect(says).to_have_count(0)
    notebook.run_code("explorer.z = (1.25, 0.5)")
    state = panels.first.locator(".vw-state").first
    expect(state).to_contain_text("z = (1.25, 0.50)")

    # A page that is loaded again while the kernel lives finds its panels as they were.
    notebook._await("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
    notebook.open(path)
    expect(panels).to_have_count(2)
    expect(state).to_contain_text("z = (1.25, 0.50)")
    expect(says).to_have_count(0)
    notebook.run_code("explorer.z = (-1, 0)")
    expect(state).to_contain_text("z = (-1.00, 0.00)")

    notebook.restart_kernel()
    expect(says).to_have_count(2)
    assert notebook.console_errors == []
