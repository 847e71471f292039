"""What comes to a page once for all of its widgets, and what becomes of it when things go wrong."""

import os
import signal

import pytest

from vaewidgets.widgets._core.page_module import runtime
from vaewidgets.widgets._core.plotly import _plotly_module

from .harness import expect

EXPLORER = "import vaewidgets as vw\nexplorer = vw.LatentExplorer(vw.pretrained('digits-vae-2d'))\nexplorer"
#: Points on a map that is drawn, and a picture.
DRAWN = """() => {
    const panels = [...document.querySelectorAll('.vw-panel')];
    return panels.length === COUNT && panels.every(panel =>
        panel.querySelector('.js-plotly-plot .vw-points')?.dataset.vwPaints > 0
        && panel.querySelector('[data-vw=picture]')?.dataset.vwFrame > 0);
}"""
OPEN_BESIDE = """async path => {
    const options = {mode: 'split-right'};
    const widget = await window.jupyterapp.commands.execute('docmanager:open', {path, options});
    await widget.context.ready;
    await widget.sessionContext.ready;
    await widget.sessionContext.session.kernel.info;
    window.vwPanel = widget;
}"""


class Traffic:
    """How often each large content came over the page's websockets, and what the page asked for."""

    def __init__(self, page):
        self.contents = {"runtime": runtime().packed, "plotly": _plotly_module().packed}
        self.clear()
        page.on("websocket", self._listen)

    def clear(self):
        self.times, self.asked = dict.fromkeys(self.contents, 0), 0

    def _listen(self, socket):
        socket.on("framereceived", self._receive)
        socket.on("framesent", self._send)

    def _receive(self, payload):
        for name, content in self.contents.items():
            if isinstance(payload, bytes) and content[-5000:] in payload:
                self.times[name] += 1

    def _send(self, payload):
        data = payload if isinstance(payload, bytes) else payload.encode()
        self.asked += data.count(b"vw_asset")


def wait_drawn(notebook, panels: int) -> None:
    notebook.page.wait_for_function(DRAWN.replace("COUNT", str(panels)))


def drag_shows_pictures(notebook, panel) -> None:
    """Check that a hand on a slider moves the picture and the kernel."""
    picture = panel.locator("[data-vw=picture]").first
    before = picture.get_attribute("data-vw-frame")
    notebook.press(panel.get_by_role("slider").first, "ArrowRight", times=3)
    expect(picture).not_to_have_attribute("data-vw-frame", before)
    expect(panel.locator(".vw-state").first).not_to_contain_text("z = (0.00,")


def test_two_notebooks_with_two_kernels_are_sent_code_and_plotly_once(lab, open_notebook):
    names = [lab.write(f"runtime{k}.ipynb", [EXPLORER, "explorer"]) for k in range(2)]
    notebook = open_notebook(names[0], sidebar=False, viewport=(1800, 2400))
    traffic = Traffic(notebook.page)
    notebook.open(names[0])  # again, with somebody counting
    notebook.run_all()
    wait_drawn(notebook, 2)
    assert traffic.times == {"runtime": 1, "plotly": 1}
    notebook._await(OPEN_BESIDE, names[1])
    notebook.run_all()
    wait_drawn(notebook, 4)
    assert traffic.times == {"runtime": 1, "plotly": 1}
    for number in (0, 2):
        drag_shows_pictures(notebook, notebook.page.locator(".vw-panel").nth(number))
    assert notebook.console_errors == []

    # Loaded again, the page has them again, once.
    notebook._await("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
    traffic.clear()
    notebook.open(names[1])
    wait_drawn(notebook, 2)
    drag_shows_pictures(notebook, notebook.page.locator(".vw-panel").first)
    assert traffic.times == {"runtime": 1, "plotly": 1}
    notebook._await("async () => { await window.vwPanel.sessionContext.shutdown(); }")


def test_a_kernel_that_is_restarted_is_not_asked_again(lab, open_notebook):
    path = lab.write("restarted.ipynb", [EXPLORER])
    notebook = open_notebook(path, sidebar=False, viewport=(1280, 2000))
    traffic = Traffic(notebook.page)
    notebook.open(path)
    notebook.run_all()
    wait_drawn(notebook, 1)
    notebook.restart_kernel()
    notebook.page.evaluate("() => { window.vwBefore = document.querySelector('.vw-panel'); }")
    notebook.run_all()
    notebook.page.wait_for_function("() => !window.vwBefore.isConnected")
    wait_drawn(notebook, 1)
    drag_shows_pictures(notebook, notebook.page.locator(".vw-panel"))
    assert traffic.times == {"runtime": 1, "plotly": 1}
    assert notebook.console_errors == []


LAZY = """
import time
from vaewidgets.widgets._core import page_module
give = page_module.PageModule._give
def give_late(self, widget, content, buffers):
    if content.get("type") == "vw_asset":
        time.sleep(3600)
    give(self, widget, content, buffers)
page_module.PageModule._give = give_late
"""


@pytest.mark.parametrize("end", ["killed", "interrupted and restarted"])
def test_a_kernel_that_ends_while_it_is_asked_leaves_no_panel_empty(lab, open_notebook, end):
    path = lab.write("ends.ipynb", ["pass", EXPLORER])
    notebook = open_notebook(path, sidebar=False, viewport=(1280, 2000))
    page = notebook.page
    traffic = Traffic(page)
    notebook.open(path)
    notebook.evaluate(LAZY)
    pid = int(notebook.evaluate("__import__('os').getpid()"))
    notebook.run_cell(1, wait=False)
    while not traffic.asked:
        page.wait_for_timeout(50)
    if end == "killed":
        page.evaluate(
            """() => window.vwPanel.sessionContext.session.kernel.statusChanged.connect((_, status) => {
                if (status === 'autorestarting') window.vwRestarted = true;
            })"""
        )
        os.kill(pid, signal.SIGKILL)
        page.wait_for_function("() => window.vwRestarted")
        page.get_by_role("dialog").get_by_role("button", name="Ok").click()
    else:
        notebook._await("async () => { await window.vwPanel.sessionContext.session.kernel.interrupt(); }")
        notebook.restart_kernel()
    notebook.wait_idle()
    assert int(notebook.evaluate("__import__('os').getpid()")) != pid
    notebook.run_all()
    # Long before the patience with a silent kernel, 20 seconds, is over.
    page.wait_for_function(DRAWN.replace("COUNT", "1"), timeout=15_000)
    drag_shows_pictures(notebook, page.locator(".vw-panel"))
    assert traffic.times == {"runtime": 1, "plotly": 1}
    assert notebook.console_errors == []


def test_two_versions_of_the_package_share_a_page(lab, open_notebook):
    names = [lab.write(f"version{k}.ipynb", [EXPLORER]) for k in range(2)]
    notebook = open_notebook(names[0], sidebar=False, viewport=(1800, 2000))
    notebook.run_all()
    wait_drawn(notebook, 1)
    notebook._await(OPEN_BESIDE, names[1])
    notebook.evaluate(
        "from vaewidgets.widgets._core import page_module\n"
        "other = page_module.Asset(b'globalThis.vwOther = 1;\\n' + page_module.runtime()._content)\n"
        "page_module.runtime = lambda: other"
    )
    assert notebook.page.evaluate("() => window.vwOther") is None
    notebook.run_all()
    wait_drawn(notebook, 2)
    assert notebook.page.evaluate("() => window.vwOther") == 1
    for number in range(2):
        drag_shows_pictures(notebook, notebook.page.locator(".vw-panel").nth(number))
    assert notebook.console_errors == []
