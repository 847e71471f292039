"""A JupyterLab server and a page object for a notebook in it; the fixtures are in ``conftest.py``.

Every wait is for a condition, with one generous limit: the machine may be busy.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import nbformat
import psutil

try:
    from playwright.sync_api import Error as PlaywrightError
    from playwright.sync_api import Locator, expect, sync_playwright
except ImportError:  # the fixtures skip or fail, see conftest.chromium_path
    Locator = expect = sync_playwright = None
    PlaywrightError = RuntimeError

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT_MS = 60_000
CHROMIUM_ARGS = (
    "--no-sandbox",  # continuous integration runs as root, where Chromium's sandbox refuses to start
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # WebGL in software, where there is no GPU
)
# A browser without WebGL. Leaving the last argument out does not do it: playwright adds it too.
NO_WEBGL_ARGS = (*CHROMIUM_ARGS, "--disable-3d-apis")

# Console errors that are not ours. Keep this list short, and each pattern narrow.
CONSOLE_NOISE: tuple[str, ...] = ()
# Messages on the kernel's stderr that are not ours.
KERNEL_NOISE: tuple[str, ...] = (
    # JupyterLab asks every new kernel for its widgets, also one that has not imported ipywidgets yet.
    r"^No such comm target registered: jupyter\.widget\.control$",
    r"^No such comm: [0-9a-f-]{36}$",
)


class LabServer:
    """``jupyter lab`` on a free loopback port, with all its directories below ``home``."""

    def __init__(self, home: Path):
        self.home = home
        self.root = home / "root"
        self.log = home / "server.log"
        self.token = secrets.token_hex(16)
        self.url = ""
        self.startup_seconds = float("nan")
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start the server and return when it answers."""
        self.root.mkdir()
        self._write_settings()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.root}", "--LabApp.expose_app_in_browser=True",
            "--LabApp.extension_manager=readonly",  # the other one asks PyPI
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        begin = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.root, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # a Ctrl-C for pytest is not for the server: stop() ends it
            )  # fmt: skip
        # A proxy set in the environment must not see loopback addresses.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        headers = {"Authorization": f"token {self.token}"}
        status = urllib.request.Request(f"{self.url}/api/status", headers=headers)
        while True:
            try:
                opener.open(status, timeout=5).close()
                break
            except OSError:  # URLError is one
                late = time.monotonic() - begin > 2 * TIMEOUT_MS / 1000
                if self._process.poll() is not None or late:
                    log_tail = self.log.read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"JupyterLab did not start; its log ends:\n{log_tail}") from None
                time.sleep(0.05)  # between two polls
        self.startup_seconds = time.monotonic() - begin

    def stop(self) -> None:
        """End the server and its kernels: politely first, by force where that does not help."""
        if self._process is None:
            return
        try:
            server = psutil.Process(self._process.pid)
            family = [server, *server.children(recursive=True)]
        except psutil.NoSuchProcess:
            family = []
        self._process.terminate()  # the server shuts its kernels down when it ends this way
        _, alive = psutil.wait_procs(family, timeout=20)
        for process in alive:
            with_children = process.children(recursive=True) if process.is_running() else []
            for each in [process, *with_children]:
                try:
                    each.kill()
                except psutil.NoSuchProcess:
                    pass
        self._process.wait()
        self._process = None

    def write(self, name: str, cells: list) -> str:
        """Write a notebook from sources (of code cells) or nbformat cells; return its path."""
        made = [nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": kernelspec})
        nbformat.write(notebook, self.root / name)
        return name

    def copy(self, source: str | Path, name: str | None = None) -> str:
        """Copy a notebook (a path in the repository, or absolute) to the server; return its path there."""
        source = REPOSITORY / source
        name = name or source.name
        shutil.copyfile(source, self.root / name)
        return name

    def _environment(self) -> dict[str, str]:
        foreign = ("JUPYTER", "IPYTHON")
        environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        for variable, folder in {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",  # else a user's kernel called python3 may hide ours
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "IPYTHONDIR": "ipython",
        }.items():
            environment[variable] = str(self.home / folder)
        environment["JUPYTER_TOKEN"] = self.token
        # Two torch threads that fight for busy cores are up to 100 times slower than one.
        environment["OMP_NUM_THREADS"] = "1"
        return environment

    def _write_settings(self) -> None:
        """No question about news, no look for updates."""
        folder = self.home / "settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True)
        settings = {"fetchNews": "false", "checkForUpdates": False}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(settings))


class KernelError(Exception):
    """Code given to ``Notebook.evaluate`` raised; the message is the traceback."""


@dataclass
class Sweep:
    """What a synthetic drag did, seen in the page. Times are in ms from the first move.

    ``pictures`` holds one entry for each change of ``data-vw-frame`` on or below ``watch``.
    """

    moves: list[float]
    pictures: list[float]

    @property
    def seconds(self) -> float:
        return self.moves[-1] / 1000

    @property
    def pictures_per_second(self) -> float:
        return len(self.pictures) / self.seconds


class Notebook:
    """A notebook in full JupyterLab, as a student opens it, in a browser context of its own.

    ``page`` is playwright's page, for everything that has no method here.
    ``foreign_requests`` are the addresses outside the server that the page asked for.
    """

    def __init__(self, browser, lab: LabServer, shots: Path, *, sidebar: bool = True, viewport=(1280, 900)):
        self.lab = lab
        self.shots = shots
        self.sidebar = sidebar
        width, height = viewport
        self._context = browser.new_context(viewport={"width": width, "height": height})
        self._context.set_default_timeout(TIMEOUT_MS)
        self.page = self._context.new_page()
        self.messages: list[str] = []
        self.foreign_requests: list[str] = []
        self._theme_before: str | None = None
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", self._on_request)

    # --- opening and closing

    def open(self, path: str) -> "Notebook":
        """Open the notebook at ``path`` below the server's root, and wait until its kernel is idle."""
        # A workspace of its own: else JupyterLab would open again what the last test had open.
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
            if self._theme_before is not None:
                self.set_theme(self._theme_before)  # the server remembers it for the next test
            if self.page.evaluate("() => !!window.vwPanel"):
                self._await("async () => { await window.vwPanel.sessionContext.shutdown(); }")
        except PlaywrightError as error:  # a page that broke: the server's end takes the kernel with it
            print(f"while closing the notebook: {error}")
        finally:
            self._context.close()

    def leave_evidence(self, name: str) -> None:
        """After a failure: print what the page and the kernel said, and keep a picture."""
        print("\n".join(["browser console:", *self.messages]))
        try:
            print("\n".join(["kernel errors:", *self.kernel_errors]))
            print(f"picture: {self.screenshot(re.sub(r'[^A-Za-z0-9_.-]+', '_', name))}")
        except PlaywrightError as error:
            print(f"no picture: {error}")

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

    def wait_cell(self, index: int) -> None:
        """Wait until the cell has run (its prompt shows a number)."""
        self.page.wait_for_function(
            """index => {
                const cell = window.vwPanel.content.widgets[index].model.sharedModel;
                return cell.execution_count !== null && cell.executionState === 'idle';
            }""",
            arg=index,
        )

    def cell_text(self, index: int) -> str:
        """What the cell printed and returned, as plain text; of an error, the traceback."""
        return _text_of(self._outputs(index))

    def cell(self, index: int) -> "Locator":
        """The cell's element, scrolled into view: the notebook does not lay out cells far off screen."""
        self._await("async index => { await window.vwPanel.content.scrollToItem(index, 'start', 0); }", index)
        cell = self.page.locator(f'.jp-Notebook .jp-Cell[data-windowed-list-index="{index}"]')
        expect(cell).to_be_visible()
        return cell

    def show(self, element: "Locator") -> "Locator":
        """Scroll an element to the middle of the window, and wait until it stands still there."""
        element.evaluate("element => element.scrollIntoView({block: 'center', behavior: 'instant'})")
        element.evaluate(
            """element => new Promise(resolve => {
                let last = '', still = 0;
                const look = () => {
                    const box = element.getBoundingClientRect(), now = [box.x, box.y, box.width].join();
                    still = now === last ? still + 1 : 0;
                    last = now;
                    if (still >= 3) resolve(); else requestAnimationFrame(look);
                };
                look();
            })"""
        )
        return element

    # --- kernel

    @property
    def kernel_status(self) -> str:
        """What JupyterLab shows: ``idle``, ``busy``, ``restarting`` ...

        Wait with ``wait_idle``, not on this: a widget message that was handled in a subshell makes it
        ``idle`` while a cell still runs.
        """
        return self.page.evaluate("() => window.vwPanel.sessionContext.session?.kernel?.status ?? 'none'")

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
        text = _text_of(outputs)
        if any(output["output_type"] == "error" for output in outputs):
            raise KernelError(text)
        return text

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

    # --- what went wrong

    @property
    def console_errors(self) -> list[str]:
        """Errors on the browser's console and uncaught exceptions, without ``CONSOLE_NOISE``."""
        errors = [message for message in self.messages if message.startswith("error:")]
        return [error for error in errors if not any(re.search(noise, error) for noise in CONSOLE_NOISE)]

    @property
    def kernel_errors(self) -> list[str]:
        """What reached stderr, and exceptions, of cells *and* of callbacks, which no cell shows."""
        complaints = self.page.evaluate("() => window.vwComplaints ?? []")
        texts = [_without_colours(text).strip() for text in complaints]
        return [text for text in texts if not any(re.search(noise, text) for noise in KERNEL_NOISE)]

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

    def screenshot(self, name: str, element: "Locator | None" = None) -> Path:
        """A picture of the window, or of one element, as ``name.png``."""
        path = self.shots / f"{name}.png"
        (element or self.page).screenshot(path=path)
        return path

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

    def sweep(
        self,
        handle: "Locator",
        distance: float,
        seconds: float,
        *,
        watch: "Locator | None" = None,
        turns: int = 1,
    ) -> Sweep:
        """Drag a slider's handle to and fro, ``distance`` px from where it is, one move in each frame.

        Faster than a test tool's mouse can go: the events are made in the page. ``turns`` counts the
        ways there and back. ``watch`` is the element whose pictures (``data-vw-frame``) are counted.
        """
        self.show(handle)
        record = self._await(
            """async ([handle, distance, seconds, watch, turns]) => {
                const box = handle.getBoundingClientRect();
                const x = box.x + box.width / 2, clientY = box.y + box.height / 2;
                const send = (target, type, clientX) => target.dispatchEvent(new MouseEvent(type, {
                    bubbles: true, cancelable: true, view: window, clientX, clientY,
                    pageX: clientX, pageY: clientY, button: 0, buttons: type === 'mouseup' ? 0 : 1,
                }));
                const moves = [], pictures = [], root = document.documentElement;
                let begin;
                const observer = new MutationObserver(records => {
                    if (begin === undefined) return;
                    for (const _ of records) pictures.push(performance.now() - begin);
                });
                const options = {attributes: true, subtree: true, attributeFilter: ['data-vw-frame']};
                if (watch) observer.observe(watch, options);
                send(handle.querySelector('.noUi-touch-area') ?? handle, 'mousedown', x);
                await new Promise(resolve => {
                    const step = () => {
                        const now = performance.now();
                        begin ??= now;
                        const phase = Math.min((now - begin) / (1000 * seconds), 1);
                        moves.push(now - begin);
                        const part = (1 - Math.cos(2 * Math.PI * turns * phase)) / 2;
                        send(root, 'mousemove', x + distance * part);
                        if (phase < 1) requestAnimationFrame(step); else resolve();
                    };
                    requestAnimationFrame(step);
                });
                send(root, 'mouseup', x);
                observer.disconnect();
                return {moves, pictures};
            }""",
            [
                handle.element_handle(), distance, seconds,
                watch.element_handle() if watch is not None else None, turns,
            ],
            timeout_ms=TIMEOUT_MS + 1000 * seconds,
        )  # fmt: skip
        return Sweep(**record)

    # --- inside

    def _wait_for_splash(self) -> None:
        """The splash screen covers the window at the start and while a theme loads, and fades slowly."""
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def _await(self, function: str, arg=None, timeout_ms: float = TIMEOUT_MS):
        """Call a JavaScript function and wait for its promise, but not for ever (``evaluate`` would)."""
        handle = self.page.evaluate_handle(
            f"""arg => {{
                const call = {{state: 'running'}};
                Promise.resolve().then(() => ({function})(arg)).then(
                    value => {{ call.value = value; call.state = 'done'; }},
                    error => {{ call.error = String(error?.message ?? error); call.state = 'failed'; }});
                return call;
            }}""",
            arg,
        )
        self.page.wait_for_function("call => call.state !== 'running'", arg=handle, timeout=timeout_ms)
        error = handle.evaluate("call => call.error ?? null")
        if error is not None:
            raise PlaywrightError(error)
        return handle.evaluate("call => call.value")

    def _outputs(self, index: int) -> list[dict]:
        return self.page.evaluate(
            "index => window.vwPanel.content.widgets[index].model.outputs?.toJSON() ?? []", index
        )

    def _raise_errors(self, indices) -> None:
        for index in indices:
            if any(output["output_type"] == "error" for output in self._outputs(index)):
                raise AssertionError(f"cell {index} raised:\n{self.cell_text(index)}")

    def _on_console(self, message) -> None:
        where = message.location.get("url", "") if message.location else ""
        self.messages.append(f"{message.type}: {message.text} ({where})")

    def _on_request(self, request) -> None:
        if request.url.startswith(("http", "ws")) and urlsplit(request.url).hostname != "127.0.0.1":
            self.foreign_requests.append(request.url)


@dataclass
class Drag:
    """A mouse with its button down."""

    page: object
    x: float
    y: float

    def move(self, dx: float, dy: float = 0, steps: int = 8) -> None:
        self.x, self.y = self.x + dx, self.y + dy
        self.page.mouse.move(self.x, self.y, steps=steps)


def _text_of(outputs: list[dict]) -> str:
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
