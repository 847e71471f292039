"""JupyterLab in a browser that a program drives: a page object for one notebook.

``vaewidgets bench`` measures with it and the tests of the panels stand on it; nothing else in the package
does.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from urllib.parse import quote

from .chromium import TIMEOUT_MS, Locator, Page, PlaywrightError
from .lab_server import LabServer

# Messages on the kernel's stderr that are not ours.
KERNEL_NOISE: tuple[str, ...] = (
    # JupyterLab asks every new kernel for its widgets, also one that has not imported ipywidgets yet.
    r"^No such comm target registered: jupyter\.widget\.control$",
    r"^No such comm: [0-9a-f-]{36}$",
)


class KernelError(Exception):
    """Code given to ``Notebook.evaluate`` raised; the message is the traceback."""


class Notebook(Page):
    """A notebook in full JupyterLab, as a student opens it, in a browser context of its own."""

    def __init__(self, browser, lab: LabServer, shots: Path, *, sidebar: bool = True, viewport=(1280, 900)):
        super().__init__(browser, shots, viewport)
        self.lab = lab
        self.sidebar = sidebar

    # --- opening and closing

    def open(self, path: str) -> Notebook:
        """Open the notebook at ``path`` below the server's root, and wait until its kernel is idle."""
        # A workspace of its own: else JupyterLab would open again what was open last.
        workspace = secrets.token_hex(4)
        self.page.goto(f"{self.lab.url}/lab/workspaces/{workspace}/tree/{quote(path)}?token={self.lab.token}")
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
            self._await("async () => { window.jupyterapp.shell.collapseLeft(); }")
        self._wait_for_splash()
        self.wait_idle()
        return self

    def close(self) -> None:
        """End the kernel and close the page; nothing is saved and nobody is asked."""
        try:
            if self.page.evaluate("() => !!window.vwPanel"):
                self._await("async () => { await window.vwPanel.sessionContext.shutdown(); }")
        except PlaywrightError as error:  # a page that broke: the server's end takes the kernel with it
            print(f"while closing the notebook: {error}")
        finally:
            self._context.close()

    # --- cells

    @property
    def cell_count(self) -> int:
        return self.page.evaluate("() => window.vwPanel.content.widgets.length")

    def run_all(self, *, allow_errors: bool = False, timeout_ms: int = 3 * TIMEOUT_MS) -> None:
        """Run all cells and wait for the last; raise if one of them raised."""
        run = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells'); }"
        self._await(run, timeout_ms=timeout_ms)
        self.wait_idle()
        if not allow_errors:
            self._raise_errors(range(self.cell_count))

    def cell_text(self, index: int) -> str:
        """What the cell printed and returned, as plain text; of an error, the traceback."""
        return text_of(self._outputs(index))

    def cell(self, index: int) -> Locator:
        """The cell's element, scrolled into view: the notebook does not lay out cells far off screen."""
        self._await("async index => { await window.vwPanel.content.scrollToItem(index, 'start', 0); }", index)
        cell = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')
        cell.wait_for()
        return cell

    # --- kernel

    def wait_idle(self) -> None:
        """Wait until the kernel is connected and idle, and no cell waits for it."""
        # A question and its answer: what the page sent before (widgets do so unasked) is then done too.
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

        Newer kernels handle widget messages in another thread: an answer may come before the effect of
        a click or a drag that was earlier. Wait for the effect in the page, or with ``until``.
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
        if any(output["output_type"] == "error" for output in outputs):
            raise KernelError(text)
        return text

    # --- what went wrong

    @property
    def kernel_errors(self) -> list[str]:
        """What reached stderr, and exceptions, of cells *and* of callbacks, which no cell shows."""
        complaints = self.page.evaluate("() => window.vwComplaints ?? []")
        texts = [_without_colours(text).strip() for text in complaints]
        return [text for text in texts if not any(re.search(noise, text) for noise in KERNEL_NOISE)]

    # --- inside

    def _wait_for_splash(self) -> None:
        """The splash screen covers the window at the start and while a theme loads, and fades slowly."""
        self.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")

    def _outputs(self, index: int) -> list[dict]:
        return self.page.evaluate(
            "index => window.vwPanel.content.widgets[index].model.outputs?.toJSON() ?? []", index
        )

    def _raise_errors(self, indices) -> None:
        for index in indices:
            if any(output["output_type"] == "error" for output in self._outputs(index)):
                raise AssertionError(f"cell {index} raised:\n{self.cell_text(index)}")


def text_of(outputs: list[dict]) -> str:
    """The plain text in a list of notebook outputs."""
    parts = []
    for output in outputs:
        if output["output_type"] == "error":
            part = "\n".join(output["traceback"]) or f"{output['ename']}: {output['evalue']}"
        else:
            stream = output["output_type"] == "stream"
            part = output["text"] if stream else output["data"].get("text/plain", "")
        parts.append(part if isinstance(part, str) else "".join(part))
    return _without_colours("\n".join(part.rstrip("\n") for part in parts))


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
