"""A machine so slow that anywidget gives up models of a panel: the panel goes on all the same."""

from .harness import CHROMIUM_ARGS, Notebook, expect, frames, wait_for_more

SETUP = """
import vaewidgets as vw
model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
panel = vw.LatentExplorer(model, vw.load_data("digits").test)
"""
#: anywidget's patience with a model that begins, two seconds, taken away.
IMPATIENT = """
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = ms => timeout(ms === 2000 ? 0 : ms);
"""


def test_a_panel_that_begins_too_late_for_anywidget_still_hears_the_kernel(lab, launch_browser, shots):
    notebook = Notebook(launch_browser(CHROMIUM_ARGS), lab, shots)
    page = notebook.page
    page.add_init_script(IMPATIENT)
    try:
        notebook.open(lab.write("slow.ipynb", [SETUP, "panel"]))
        notebook.run_all()
        expect(page.locator(".vw-map-cursor")).to_be_visible()
        given_up = [message for message in notebook.messages if "Failed to initialize model" in message]
        assert given_up
        canvas = page.locator("[data-vw=picture]").first
        before = frames(canvas)
        notebook.evaluate("panel.z = (1.25, -0.5); panel.selected = 3")
        # The picture is decoded in the page from what a model of ours was told; the ellipses are Plotly's.
        wait_for_more(canvas, before)
        expect(canvas).to_have_attribute("aria-label", "decoded picture of z = (1.25, -0.50)")
        expect(page.locator(".shapelayer path")).to_have_count(4)
        assert notebook.console_errors == []
    finally:
        notebook.close()
