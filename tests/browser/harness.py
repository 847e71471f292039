"""What the tests need beyond ``vaewidgets.bench.browser``: mouse, keyboard, themes, and what went wrong.

The fixtures are in ``conftest.py``.
"""

import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vaewidgets.bench import browser, lab_server
from vaewidgets.bench.browser import KernelError
from vaewidgets.bench.chromium import (
    CHROMIUM_ARGS,
    NO_WEBGL_ARGS,
    TIMEOUT_MS,
    Locator,
    PlaywrightError,
    Sweep,
    expect,
    sync_playwright,
)
from vaewidgets.widgets._core.bundle import WIDGETS

__all__ = [
    "CHROMIUM_ARGS", "NO_WEBGL_ARGS", "TIMEOUT_MS", "Drag", "KernelError", "LabServer", "Locator", "Notebook",
    "PAINTED_COLOURS",
    "Sweep", "expect", "frames", "import_module", "sync_playwright", "wait_for_more",
]  # fmt: skip

#: anywidget's patience with a model that begins, two seconds, taken away: what a busy machine does.
IMPATIENT = """
    const timeout = AbortSignal.timeout.bind(AbortSignal);
    AbortSignal.timeout = ms => timeout(ms === 2000 ? 0 : ms);
"""
#: How many colours of a figure's traces stand on the canvas of its points, where none but its own cover one.
PAINTED_COLOURS = """panel => {
    const plot = panel.querySelector('.js-plotly-plot'), canvas = plot.querySelector('.vw-points');
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const found = new Set();
    for (const [{trace}] of plot.calcdata) {
        if (trace.mode !== 'markers') continue;
        const rgb = [1, 3, 5].map(k => parseInt(trace.marker.color.slice(k, k + 2), 16));
        const alpha = 255 * trace.marker.opacity;
        for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] < alpha - 2) continue;
            if (rgb.some((part, c) => Math.abs(part - data[i + c]) > 2)) continue;
            found.add(trace.marker.color);
            break;
        }
    }
    return found.size;
}"""
GAVE_UP = "[anywidget] Failed to initialize model"
REPOSITORY = Path(__file__).resolve().parents[2]


def frames(element: Locator) -> int:
    """Count the pictures that an element has shown."""
    return int(element.get_attribute("data-vw-frame"))


def import_module(page, name: str) -> None:
    """Import a module of ours, and those that it imports, each from its file; its exports become globals."""

    def serve(route) -> None:
        path = WIDGETS / urlsplit(route.request.url).path[1:]
        headers = {"Content-Type": "text/javascript", "Access-Control-Allow-Origin": "*"}
        route.fulfill(body=path.read_text("utf-8"), headers=headers)

    page.route("http://modules.test/**", serve)
    page.evaluate(
        "async url => { Object.assign(globalThis, await import(url)); }", f"http://modules.test/{name}"
    )


def wait_for_more(element: Locator, before: int) -> None:
    """Wait until an element has shown more than `before` pictures."""
    element.page.wait_for_function(
        "([element, before]) => Number(element.dataset.vwFrame) > before",
        arg=[element.element_handle(), before],
    )


class LabServer(lab_server.LabServer):
    """The server, with notebooks of this repository."""

    def copy(self, source: str | Path, name: str | None = None) -> str:
        """Copy a notebook (a path in the repository, or absolute) to the server; return its path there."""
        source = REPOSITORY / source
        name = name or source.name
        shutil.copyfile(source, self.root / name)
        return name


class Notebook(browser.Notebook):
    """A notebook in full JupyterLab, as a student opens it and as a test needs it."""

    _theme_before: str | None = None

    def __init__(self, *args, impatient: bool = os.environ.get("VAEWIDGETS_IMPATIENT") == "1", **options):
        """`impatient` takes anywidget's patience away; ``VAEWIDGETS_IMPATIENT=1`` does so in every test."""
        super().__init__(*args, **options)
        if impatient:
            self.page.add_init_script(IMPATIENT)

    # --- what went wrong

    @property
    def console_errors(self) -> list[str]:
        """As `Page.console_errors`; a model that anywidget gave up is one, unless its panel hears again."""
        errors = super().console_errors
        if not any(GAVE_UP in error for error in errors):
            return errors
        deaf = ".vw-panel:has(> .vw-gone):not(:has(> .vw-gone[data-vw-hears=true]))"
        self.page.wait_for_function(f"() => !document.querySelector('{deaf}')")
        return [error for error in errors if GAVE_UP not in error]

    def slow_down(self, rate: int) -> None:
        """Make the page's processor so many times slower, for as long as it is open."""
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.send("Emulation.setCPUThrottlingRate", {"rate": rate})

    # --- what several tests do

    def drag_and_see_pictures(self, handle, canvas, *, there: int, back: int) -> None:
        """Drag a handle to one side and to the other: each way brings a picture before the release."""
        before = frames(canvas)
        with self.dragging(handle, dx=there) as drag:
            wait_for_more(canvas, before)
            middle = frames(canvas)
            drag.move(dx=-back)
            wait_for_more(canvas, middle)

    # --- closing

    def close(self) -> None:
        """Take the theme back, end the kernel and close the page."""
        try:
            if self._theme_before is not None:
                self.set_theme(self._theme_before)  # the server remembers it for the next test
        except PlaywrightError as error:
            print(f"while closing the notebook: {error}")
        finally:
            super().close()

    def leave_evidence(self, name: str) -> None:
        """After a failure: print what the page and the kernel said, and keep a picture."""
        print("\n".join(["browser console:", *self.messages]))
        try:
            print("\n".join(["kernel errors:", *self.kernel_errors]))
            print(f"picture: {self.screenshot(re.sub(r'[^A-Za-z0-9_.-]+', '_', name))}")
        except PlaywrightError as error:
            print(f"no picture: {error}")

    # --- cells

    def run_cell(self, index: int, *, wait: bool = True, allow_errors: bool = False) -> None:
        """Run one cell; ``wait=False`` returns when the kernel was asked, for a look while it is busy."""
        self._await(
            """async ([index, wait]) => {
                window.vwPanel.content.activeCellIndex = index;
                window.vwPanel.content.deselectAll();
                const done = window.jupyterapp.commands.execute('notebook:run-cell');
                if (wait) await done;
            }""",
            [index, wait],
        )
        if wait:
            self.wait_cell(index)
            if not allow_errors:
                self._raise_errors([index])

    def add_cell(self, source: str) -> int:
        """Append a code cell; return its index."""
        return self.page.evaluate(
            """source => {
                const model = window.vwPanel.content.model.sharedModel;
                model.addCell({cell_type: 'code', source, metadata: {trusted: true}});
                return model.cells.length - 1;
            }""",
            source,
        )

    def run_code(self, source: str, *, wait: bool = True, allow_errors: bool = False) -> int:
        """Append a code cell and run it; return its index."""
        index = self.add_cell(source)
        self.run_cell(index, wait=wait, allow_errors=allow_errors)
        return index

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Keep the kernel busy with a cell for the whole of a ``with`` block."""
        release = self.lab.root / f"release-{secrets.token_hex(4)}"
        wait = f"while not pathlib.Path({release.name!r}).exists():\n    time.sleep(0.05)"
        cell = self.run_code(f"import pathlib, time\n{wait}", wait=False)
        try:
            yield
            state = "index => window.vwPanel.content.widgets[index].model.sharedModel.executionState"
            assert self.page.evaluate(state, cell) == "running"
        finally:
            release.touch()
        self.wait_cell(cell)

    def wait_cell(self, index: int) -> None:
        """Wait until the cell has run (its prompt shows a number)."""
        self.page.wait_for_function(
            """index => {
                const cell = window.vwPanel.content.widgets[index].model.sharedModel;
                return cell.execution_count !== null && cell.executionState === 'idle';
            }""",
            arg=index,
        )

    # --- kernel

    def until(self, expression: str) -> None:
        """Wait until a Python expression is true in the kernel."""
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while self.evaluate(f"bool({expression})") != "True":
            if time.monotonic() > deadline:
                raise AssertionError(f"still not true in the kernel: {expression}")
            self.page.wait_for_timeout(50)  # between two polls

    def restart_kernel(self) -> None:
        """Restart the kernel without being asked; outputs stay as they are."""
        self._await(
            """async () => {
                await window.vwPanel.sessionContext.restartKernel();
                await window.vwPanel.sessionContext.session.kernel.info;
            }"""
        )
        self.wait_idle()

    # --- looks

    def set_theme(self, name: str) -> None:
        """Change the theme, for instance to ``"JupyterLab Dark"``; ``close`` takes it back."""
        current = self.page.evaluate("() => document.body.dataset.jpThemeName")
        if self._theme_before is None:
            self._theme_before = current
        self._await(
            "async theme => { await window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }",
            name,
        )
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)
        self._wait_for_splash()

    # --- pointer and keyboard

    @contextmanager
    def dragging(self, handle: "Locator", dx: float, dy: float = 0, steps: int = 8) -> Iterator["Drag"]:
        """Drag with the real mouse; the button is still down inside the ``with`` block.

        ::

            with notebook.dragging(handle, dx=60) as drag:
                expect(picture).not_to_have_attribute("data-vw-frame", before)
                drag.move(dx=-30)
        """
        self.show(handle)
        box = handle.bounding_box()
        drag = Drag(self.page, box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        self.page.mouse.move(drag.x, drag.y)
        self.page.mouse.down()
        try:
            drag.move(dx, dy, steps)
            yield drag
        finally:
            self.page.mouse.up()

    def click_plot(self, figure: "Locator", x: float, y: float) -> None:
        """Click a Plotly figure at a place in data units; a point that can be hovered must be there."""
        self.show(figure)
        left, top = figure.evaluate(
            """(element, [x, y]) => {
                const gd = element.closest('.js-plotly-plot') ?? element.querySelector('.js-plotly-plot');
                const box = gd.getBoundingClientRect(), {xaxis, yaxis} = gd._fullLayout;
                window.vwPlot = gd;
                return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y)];
            }""",
            [x, y],
        )
        self.page.mouse.move(left - 20, top - 20)
        self.page.mouse.move(left, top)
        # Plotly takes the points of a click from the hover before it, which it works out a little later.
        self.page.wait_for_function("() => window.vwPlot._hoverdata?.length > 0")
        self.page.mouse.click(left, top)

    @staticmethod
    def slider_value(handle: "Locator") -> float:
        """Where the page has the slider; the kernel hears of it later, while it is busy much later."""
        return float(handle.get_attribute("aria-valuetext"))  # aria-valuenow has one decimal only

    def press(self, handle: "Locator", key: str, times: int = 1) -> None:
        """Give an element the focus and press a real key, for instance ``"ArrowRight"``."""
        self.show(handle)
        handle.focus()
        for _ in range(times):
            self.page.keyboard.press(key)


@dataclass
class Drag:
    """A mouse with its button down."""

    page: object
    x: float
    y: float

    def move(self, dx: float, dy: float = 0, steps: int = 8) -> None:
        self.x, self.y = self.x + dx, self.y + dy
        self.page.mouse.move(self.x, self.y, steps=steps)
