"""JupyterLab in a browser that a program drives: the server, and a page object for one notebook.

``vaewidgets bench`` measures with it and the tests of the panels stand on it; nothing else in the package
does. Every wait is for a condition, with one generous limit: the machine may be busy.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import psutil

from .lab import is_root

try:
    from playwright.sync_api import Error as PlaywrightError
    from playwright.sync_api import Locator, expect, sync_playwright
except ImportError:  # an extra: who needs it asks chromium_path() or looks at sync_playwright
    Locator = expect = sync_playwright = None
    PlaywrightError = RuntimeError

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
CONSOLE_NOISE: tuple[str, ...] = (
    # Of a model that needed more than two seconds to begin: panels bring theirs back to life.
    r"\[anywidget\] Failed to initialize model",
)
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
        if is_root():
            command.append("--allow-root")
        begin = time.monotonic()
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self.root, env=self._environment(),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # a Ctrl-C is not for the server: stop() ends it
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
        """Write a notebook from sources (of code cells) or whole cells (mappings); return its path."""
        empty = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
        made = [
            {**empty, "id": f"cell-{number}", "source": cell} if isinstance(cell, str) else cell
            for number, cell in enumerate(cells)
        ]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernelspec}, "cells": made}
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")
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


@dataclass
class Sweep:
    """What a synthetic drag did, seen in the page. Times are in ms from the first move.

    Attributes
    ----------
    moves : list of float
        One for each frame of the page while the handle was dragged.
    changes : int
        How many of the moves gave the slider another value.
    pictures : list of float
        One for each frame that brought a new picture on or below the watched element: another
        ``data-vw-frame``, or an image with another ``src``.
    """

    moves: list[float]
    changes: int
    pictures: list[float]

    @property
    def seconds(self) -> float:
        return self.moves[-1] / 1000

    @property
    def frames_per_second(self) -> float:
        return (len(self.moves) - 1) / self.seconds

    @property
    def pictures_per_second(self) -> float:
        return len(self.pictures) / self.seconds


# A hand on a slider, and an eye on an element's pictures. Shared by sweep and steps.
_HAND = """
    const box = handle.getBoundingClientRect();
    const x = box.x + box.width / 2, clientY = box.y + box.height / 2, root = document.documentElement;
    const send = (target, type, clientX) => target.dispatchEvent(new MouseEvent(type, {
        bubbles: true, cancelable: true, view: window, clientX, clientY,
        pageX: clientX, pageY: clientY, button: 0, buttons: type === 'mouseup' ? 0 : 1,
    }));
    const press = () => send(handle.querySelector('.noUi-touch-area') ?? handle, 'mousedown', x);
    const nextFrame = () => new Promise(resolve => requestAnimationFrame(resolve));
    // Outputs are replaced and images get a new address: what counts is that another picture is there.
    const look = () => watch
        ? [watch, ...watch.querySelectorAll('[data-vw-frame], img')]
            .map(element => element.dataset.vwFrame ?? element.src ?? '').join('')
        : '';
    let last = look(), seen = () => {};
    const observer = new MutationObserver(() => {
        const now = look();
        if (now === '' || now === last) return;
        last = now;
        seen(performance.now());
    });
    if (watch) observer.observe(watch, {
        attributes: true, childList: true, subtree: true, attributeFilter: ['data-vw-frame', 'src'],
    });
"""


class KernelError(Exception):
    """Code given to ``Notebook.evaluate`` raised; the message is the traceback."""


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
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", self._on_request)

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
        expect(cell).to_be_visible()
        return cell

    def show(self, element: Locator) -> Locator:
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

    def screenshot(self, name: str, element: Locator | None = None) -> Path:
        """A picture of the window, or of one element, as ``name.png``."""
        path = self.shots / f"{name}.png"
        (element or self.page).screenshot(path=path)
        return path

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

    # --- pointer

    def sweep(
        self,
        handle: Locator,
        distance: float,
        seconds: float,
        *,
        watch: Locator | None = None,
        turns: int = 1,
    ) -> Sweep:
        """Drag a slider's handle to and fro, ``distance`` px from where it is, one move in each frame.

        Faster than a test tool's mouse can go: the events are made in the page. ``turns`` counts the
        ways there and back. ``watch`` is the element whose pictures are counted.
        """
        self.show(handle)
        record = self._await(
            """async ([handle, distance, seconds, watch, turns]) => {"""
            + _HAND
            + """
                const moves = [], pictures = [];
                let begin, changes = 0, painted = 0, counted = -1;
                seen = now => {
                    // Of two pictures before one paint, nobody sees the first.
                    if (begin === undefined || counted === painted) return;
                    counted = painted;
                    pictures.push(now - begin);
                };
                const afterPaint = new MessageChannel();
                afterPaint.port1.onmessage = () => { painted += 1; };
                press();
                let phase = 0;
                while (phase < 1) {
                    await nextFrame();
                    afterPaint.port2.postMessage(null);
                    const now = performance.now();
                    begin ??= now;
                    phase = Math.min((now - begin) / (1000 * seconds), 1);
                    moves.push(now - begin);
                    // At a constant speed: a handle that turns slowly rests on one pixel for some frames,
                    // and then there is no other value whose picture could be shown.
                    const way = (turns * phase) % 1, before = handle.ariaValueText;
                    send(root, 'mousemove', x + distance * (1 - Math.abs(1 - 2 * way)));
                    if (handle.ariaValueText !== before) changes += 1;
                    await null; // the observer's turn: also after the last move
                }
                seen = () => {};
                send(root, 'mouseup', x);
                observer.disconnect();
                afterPaint.port1.close();
                return {moves, changes, pictures};
            }""",
            [handle.element_handle(), distance, seconds, watch and watch.element_handle(), turns],
            timeout_ms=TIMEOUT_MS + 1000 * seconds,
        )
        return Sweep(**record)

    def steps(
        self,
        handle: Locator,
        distance: float,
        count: int,
        *,
        watch: Locator,
        rest: float,
        patience: float = 5,
    ) -> tuple[list[float], list[float]]:
        """Move a slider's handle one step at a time, and wait for the picture of each step.

        Parameters
        ----------
        handle, watch : Locator
        distance : float
            The steps stay within this many px to the right of where the handle is.
        count : int
        rest : float
            Seconds between a picture and the next step: a page that still redraws, or a kernel that still
            owes an answer, would add what the last step left behind.
        patience : float
            Seconds to wait for a picture before the next step is made without it.

        Returns
        -------
        (moves, pictures) : lists of float
            Times of the events and of all pictures, in ms of the page's clock.
        """
        self.show(handle)
        moves, pictures = self._await(
            """async ([handle, distance, count, watch, rest, patience]) => {"""
            + _HAND
            + """
                const moves = [], pictures = [];
                const sleep = seconds => new Promise(resolve => setTimeout(resolve, 1000 * seconds));
                press();
                for (let i = 1; i <= count; i++) {
                    await nextFrame();
                    const picture = new Promise(resolve => {
                        seen = now => { pictures.push(now); resolve(); };
                    });
                    moves.push(performance.now());
                    // The golden ratio: neighbours lie far apart, and no place comes twice.
                    send(root, 'mousemove', x + distance * ((0.618034 * i) % 1));
                    await Promise.race([picture, sleep(patience)]);
                    await sleep(rest);
                }
                // Back to where it was: the next drag needs the same room.
                send(root, 'mousemove', x);
                send(root, 'mouseup', x);
                observer.disconnect();
                return [moves, pictures];
            }""",
            [handle.element_handle(), distance, count, watch.element_handle(), rest, patience],
            timeout_ms=TIMEOUT_MS + 1000 * count * (rest + patience),
        )
        return moves, pictures

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
