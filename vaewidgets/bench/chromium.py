"""Control Chromium: its command-line arguments, and one page that can be clicked, dragged and read.

Every wait is for a condition, with one generous limit, because the machine may be busy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

try:
    from playwright.sync_api import Error as PlaywrightError
    from playwright.sync_api import Locator, expect, sync_playwright
except ImportError:  # an extra; a caller that needs it checks that sync_playwright is not None
    Locator = expect = sync_playwright = None  # type: ignore[assignment,misc]  # the extra may be missing
    PlaywrightError = RuntimeError  # type: ignore[assignment,misc]  # caught where the other would be

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

# Console errors that are not from this package. Keep this list short, and each pattern narrow.
CONSOLE_NOISE: tuple[str, ...] = (
    # JupyterLab's debugger asked a kernel that was killed meanwhile.
    r"Could not restore the debugger state: Canceled future for debug_request",
)


@dataclass
class Sweep:
    """What a simulated drag did, measured in the page. Times are in ms from the first move.

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


# JavaScript that sweep and steps share: it moves a slider and watches the pictures of an element.
_DRAG = """
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


class Page:
    """A page in a browser context of its own, with the errors that it reported.

    Parameters
    ----------
    browser : playwright.sync_api.Browser
    shots : Path
        Folder for the screenshots.
    viewport : tuple of int
        Width and height in pixels.

    Attributes
    ----------
    page : playwright.sync_api.Page
        For everything that has no method here.
    messages : list of str
        What stood on the browser's console.
    foreign_requests : list of str
        Addresses outside this machine that the page asked for.
    """

    def __init__(self, browser, shots: Path, viewport=(1280, 900)):
        self.shots = shots
        self._context = browser.new_context(viewport=dict(zip(("width", "height"), viewport, strict=True)))
        self._context.set_default_timeout(TIMEOUT_MS)
        self.page = self._context.new_page()
        self.messages: list[str] = []
        self.foreign_requests: list[str] = []
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.messages.append(f"error: {error}"))
        self.page.on("request", self._on_request)

    @property
    def console_errors(self) -> list[str]:
        """Errors on the browser's console and uncaught exceptions, without ``CONSOLE_NOISE``."""
        errors = [message for message in self.messages if message.startswith("error:")]
        return [error for error in errors if not any(re.search(noise, error) for noise in CONSOLE_NOISE)]

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

    def screenshot(self, name: str, element: Locator | None = None) -> Path:
        """Store a picture of the window, or of one element, as ``name.png``; return its path."""
        path = self.shots / f"{name}.png"
        (element or self.page).screenshot(path=path)
        return path

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
        """Drag a slider's handle back and forth, one move in each frame.

        The events are made in the page, which is faster than the mouse of a test tool.

        Parameters
        ----------
        handle : Locator
        distance : float
            Pixels to the right of where the handle is.
        seconds : float
        watch : Locator, optional
            The element whose pictures are counted.
        turns : int
            How often the handle goes there and back.
        """
        self.show(handle)
        measured = self._await(
            """async ([handle, distance, seconds, watch, turns]) => {"""
            + _DRAG
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
        return Sweep(**measured)

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
            The steps stay within this many pixels to the right of where the handle is.
        count : int
        rest : float
            Seconds between a picture and the next step, so that what a page still draws, or a kernel still
            computes, for the last step is not counted as part of the next one.
        patience : float
            Seconds to wait for a picture before the next step is made without it.

        Returns
        -------
        (moves, pictures) : lists of float
            Times of the events and of all pictures, in ms of the page's clock.
        """
        self.show(handle)
        return self._await(
            """async ([handle, distance, count, watch, rest, patience]) => {"""
            + _DRAG
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

    # --- inside

    def _await(self, function: str, arg=None, timeout_ms: float = TIMEOUT_MS):
        """Call a JavaScript function and wait for its promise, with a limit, which ``evaluate`` has not."""
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

    def _on_console(self, message) -> None:
        self.messages.append(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _on_request(self, request) -> None:
        if request.url.startswith(("http", "ws")) and urlsplit(request.url).hostname != "127.0.0.1":
            self.foreign_requests.append(request.url)
