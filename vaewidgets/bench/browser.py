"""JupyterLab in a browser that a program controls: a page object for one notebook.

Only ``vaewidgets bench`` and the tests of the panels use it.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from urllib.parse import quote

from .chromium import TIMEOUT_MS, Locator, Page, PlaywrightError
from .lab_server import LabServer

# Messages on the kernel's stderr that are not from this package.
KERNEL_NOISE: tuple[str, ...] = (
    # JupyterLab asks every new kernel for its widgets, also one that has not imported ipywidgets yet.
    r"^No such comm target registered: jupyter\.widget\.control$",
    r"^No such comm: [0-9a-f-]{36}$",
)


class KernelError(Exception):
    """Code given to ``Notebook.evaluate`` raised; the message is the traceback."""


class Notebook(Page):
    """A notebook in full JupyterLab, as a student opens it, in a browser context of its own.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    lab : LabServer
    shots : Path
        Folder for the screenshots.
    sidebar : bool
        Keep JupyterLab's file browser open.
    viewport : tuple of int
        Width and height in pixels.
    """

    def __init__(self, browser, lab: LabServer, shots: Path, *, sidebar: bool = True, viewport=(1280, 900)):
        super().__init__(browser, shots, viewport)
        self.lab = lab
        self.sidebar = sidebar

    # --- opening and closing

    def open(self, path: str) -> Notebook:
        """Open the notebook at ``path`` below the server's root, and wait until its kernel is idle."""
        # In a new workspace JupyterLab does not open again what was open last.
        workspace = f"{self.lab.url}/lab/workspaces/{secrets.token_hex(4)}"
        self.page.goto(f"{workspace}/tree/{quote(path)}?token={self.lab.token}")
        self.page.wait_for_function(
            """path => {
                if (!window.jupyterapp?.shell?.widgets) return false;
                for (const widget of window.jupyterapp.shell.widgets('main')) {
                    if (widget.context?.path === path && widget.sessionContext) {
                        window.vwPanel = widget;
                        return true;
                    }
                }
                return false;
            }""",
            arg=path,
        )
        self._await(
            """async () => {
                await window.jupyterapp.restored;
                await window.vwPanel.context.ready;
                await window.vwPanel.sessionContext.ready;
                await window.vwPanel.sessionContext.session.kernel.info;
                window.vwComplaints = [];
                window.vwPanel.sessionContext.iopubMessage.connect((_, message) => {
                    const type = message.header.msg_type, content = message.content;
                    if (type === 'error') window.vwComplaints.push(content.traceback.join('\\n'));
                    else if (type === 'stream' && content.name === 'stderr')
                        window.vwComplaints.push(content.text);
                });
                // Without this the first key or click may still go to the file browser.
                window.jupyterapp.shell.activateById(window.vwPanel.id);
            }"""
        )
        if not self.sidebar:
            self.page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
        self._wait_for_splash()
        self.wait_idle()
        return self

    def close(self) -> None:
        """End the kernel and close the page without saving and without a question."""
        try:
            if self.page.evaluate("() => !!window.vwPanel"):
                self._await("async () => { await window.vwPanel.sessionContext.shutdown(); }")
        except PlaywrightError as error:  # a page that broke: the server's end takes the kernel with it
            print(f"while closing the notebook: {error}")
        finally:
            self._context.close()

    # --- cells

    def run_all(self, *, allow_errors: bool = False, timeout_ms: int = 3 * TIMEOUT_MS) -> None:
        """Run all cells and wait for the last; raise AssertionError if one of them raised."""
        run = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
        self._await(run, timeout_ms=timeout_ms)
        self.wait_idle()
        if not allow_errors:
            self._raise_errors(range(self.page.evaluate("() => window.vwPanel.content.widgets.length")))

    def cell_text(self, index: int) -> str:
        """Return what the cell printed and returned, as plain text; of an error, the traceback."""
        return text_of(self._outputs(index))

    def cell(self, index: int) -> Locator:
        """Return the cell's element, scrolled into view, since the notebook keeps no cell far off screen."""
        self._await("async index => { await window.vwPanel.content.scrollToItem(index, 'start', 0); }", index)
        cell = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')
        cell.wait_for()
        return cell

    # --- kernel

    def wait_idle(self) -> None:
        """Wait until the kernel is connected and idle, and no cell waits for it."""
        # When this request is answered, all that the page sent before it, as widgets do, is done too.
        self._await("async () => { await window.vwPanel.sessionContext.session.kernel.requestKernelInfo(); }")
        self.page.wait_for_function(
            """() => {
                const kernel = window.vwPanel.sessionContext.session?.kernel;
                const rests = ({model}) =>
                    model.type !== 'code' || model.sharedModel.executionState === 'idle';
                return kernel?.connectionStatus === 'connected' && kernel.status === 'idle'
                    && window.vwPanel.content.widgets.every(rests);
            }"""
        )

    def evaluate(self, code: str) -> str:
        """Run code in the kernel without a cell; return what it printed and the value of its last line.

        Newer kernels handle widget messages in another thread. So the answer may come before the effect of
        an earlier click or drag. Wait for the effect in the page, or with ``until``.

        Raises
        ------
        KernelError
            The code raised.
        """
        outputs = self._await(
            """async code => {
                const kernel = window.vwPanel.sessionContext.session.kernel, outputs = [];
                const future = kernel.requestExecute({code, store_history: false, stop_on_error: false});
                future.onIOPub = message => {
                    const type = message.header.msg_type;
                    if (['stream', 'execute_result', 'display_data', 'error'].includes(type))
                        outputs.push({output_type: type, ...message.content});
                };
                await future.done;
                return outputs;
            }""",
            code,
        )
        text = text_of(outputs)
        if _has_error(outputs):
            raise KernelError(text)
        return text

    # --- what went wrong

    @property
    def kernel_errors(self) -> list[str]:
        """Text on stderr and exceptions, of cells *and* of callbacks, which no cell shows."""
        complaints = self.page.evaluate("() => window.vwComplaints ?? []")
        texts = [_without_colours(text).strip() for text in complaints]
        return [text for text in texts if not any(re.search(noise, text) for noise in KERNEL_NOISE)]

    # --- inside

    def _wait_for_splash(self) -> None:
        """Wait for the end of the splash screen, which covers the window and fades slowly."""
        self.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")

    def _outputs(self, index: int) -> list[dict]:
        return self.page.evaluate(
            "index => window.vwPanel.content.widgets[index].model.outputs?.toJSON() ?? []", index
        )

    def _raise_errors(self, indices) -> None:
        for index in indices:
            if _has_error(self._outputs(index)):
                raise AssertionError(f"cell {index} raised:\n{self.cell_text(index)}")


def _has_error(outputs: list[dict]) -> bool:
    return any(output["output_type"] == "error" for output in outputs)


def text_of(outputs: list[dict]) -> str:
    """Return the plain text in a list of notebook outputs.

    Examples
    --------
    >>> text_of([{"output_type": "stream", "name": "stdout", "text": "42\\n"}])
    '42'
    """
    parts = []
    for output in outputs:
        if output["output_type"] == "error":
            part = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        elif output["output_type"] == "stream":
            part = output["text"]
        else:
            part = output["data"].get("text/plain", "")
        parts.append(part if isinstance(part, str) else "".join(part))
    return _without_colours("\n".join(part.rstrip("\n") for part in parts))


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
