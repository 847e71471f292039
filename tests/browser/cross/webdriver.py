"""Firefox and WebKit, driven by the commands of W3C WebDriver without a library.

Firefox takes them on its Marionette socket, WebKit through `WebKitWebDriver`: geckodriver, which Debian
lacks, would only translate. Playwright drives neither as Debian has them; `Tab` answers to those of its names
that the harness uses, so that the harness and the tests read the same for every browser.
"""

import base64
import glob
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from vaewidgets.bench.chromium import TIMEOUT_MS, PlaywrightError

VIEWPORT = (1280, 900)
KEYS = {
    "Enter": "\ue007",
    "ArrowLeft": "\ue012",
    "ArrowUp": "\ue013",
    "ArrowRight": "\ue014",
    "ArrowDown": "\ue015",
}
#: Neither engine tells a driver what is on the console: the page keeps it, from its load on.
LISTEN = """
    const said = window.vwConsole = [];
    const text = value => value instanceof Error ? `${value}\\n${value.stack}` : String(value);
    for (const kind of ['error', 'warn', 'log', 'info']) {
        const print = console[kind];
        console[kind] = (...values) => {
            said.push(`${kind === 'warn' ? 'warning' : kind}: ${values.map(text).join(' ')}`);
            print.apply(console, values);
        };
    }
    addEventListener('error', event => said.push(
        `error: ${event.message ?? 'not loaded'} (${event.filename ?? event.target.src ?? event.target.href})`
    ), true);
    addEventListener('unhandledrejection', event => said.push(`error: ${text(event.reason)}`));
    addEventListener('securitypolicyviolation', event => said.push(
        `error: the page's policy ${event.violatedDirective} forbids ${event.blockedURI}`));
"""
#: Calls a function with what a test named: {vwFind} is an element, looked for in the page. A reference that a
#: driver gives goes stale when JupyterLab takes a cell out of the page, and WebKit takes none within a list.
CALL = """
    const given = Array.from(arguments), done = given.pop();
    const plain = text => text.replace(/\\s+/g, ' ').trim().toLowerCase();
    const look = ([selector, text, index], scopes) => {
        const all = scopes.flatMap(scope => [...scope.querySelectorAll(selector)]);
        const right = all.filter(({textContent}) => plain(textContent).includes(plain(text)));
        return index === null ? right : right.slice(index, index + 1);
    };
    let missing = null;
    const revive = value => {
        if (Array.isArray(value)) return value.map(revive);
        if (!value?.vwFind) return value;
        const [found] = value.vwFind.reduce((scopes, step) => look(step, scopes), [document]);
        if (!found) missing = value.vwFind;
        return found;
    };
    const arg = revive(given[0]);
    if (missing) done({missing});
    else Promise.resolve().then(() => (FUNCTION)(arg)).then(
        value => done({value}), error => done({error: String(error?.message ?? error)}));
"""


#: Method and path of each command, for WebKitWebDriver. Marionette goes by the name.
ROUTES = {
    "Navigate": ("POST", "url"),
    "ExecuteAsyncScript": ("POST", "execute/async"),
    "PerformActions": ("POST", "actions"),
    "SetTimeouts": ("POST", "timeouts"),
    "SetWindowRect": ("POST", "window/rect"),
    "TakeScreenshot": ("GET", "screenshot"),
}


class WebDriverError(PlaywrightError):
    """A command was refused, JavaScript raised in the page, or a condition did not come true."""


def wait(condition, what: str | Callable[[], str], timeout_ms: float = TIMEOUT_MS):
    """Call `condition` until it is true; return what it gave. `what` is told to whoever waited in vain."""
    deadline = time.monotonic() + timeout_ms / 1000
    while not (value := condition()):
        if time.monotonic() > deadline:
            what = what() if callable(what) else what
            raise WebDriverError(f"after {timeout_ms / 1000:g} s still not true: {what}")
        time.sleep(0.03)  # between two polls
    return value


# --- two engines -----------------------------------------------------------------------------------------


class Firefox:
    """Firefox without a window, on its Marionette socket."""

    name = "firefox"

    @staticmethod
    def missing() -> str | None:
        """What is not installed here."""
        if any(map(shutil.which, ("firefox-esr", "firefox"))):
            return None
        return "no Firefox on the PATH (Debian: apt-get install firefox-esr)"

    def __init__(self, home: Path):
        (home / "user.js").write_text('user_pref("marionette.port", 0);')  # any free one
        program = shutil.which("firefox-esr") or shutil.which("firefox")
        self.log = home / "browser.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [program, "--marionette", "--headless", "--no-remote", "--profile", str(home)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        port = home / "MarionetteActivePort"
        wait(lambda: port.exists() and port.read_text().strip(), "Firefox listens")
        self._socket = socket.create_connection(("127.0.0.1", int(port.read_text())), 5 * TIMEOUT_MS / 1000)
        self._stream, self._count = self._socket.makefile("rb"), 0
        self._receive()  # its greeting
        self.call("NewSession", unhandledPromptBehavior="accept")

    def call(self, command: str, **parameters):
        """Give a command of the standard, and return its value."""
        self._count += 1
        message = json.dumps([0, self._count, f"WebDriver:{command}", parameters]).encode()
        self._socket.sendall(b"%d:%s" % (len(message), message))
        _, _, error, result = self._receive()
        if error:
            raise WebDriverError(f"{error['error']}: {error['message']}")
        return result.get("value", result)

    def _receive(self):
        length = b""
        while (digit := self._stream.read(1)) != b":":
            if not digit:
                raise WebDriverError(f"Firefox is gone; its log ends: {self.log.read_text()[-2000:]}")
            length += digit
        return json.loads(self._stream.read(int(length)))

    def close(self) -> None:
        self._socket.close()
        end(self._process)


class WebKit:
    """WebKitGTK's MiniBrowser on a screen that nobody sees, through WebKitWebDriver."""

    name = "webkit"

    @staticmethod
    def browser() -> str | None:
        """Where MiniBrowser is: no folder of the PATH."""
        return next(iter(sorted(glob.glob("/usr/lib/*/webkit2gtk-4.1/MiniBrowser"))), None)

    @classmethod
    def missing(cls) -> str | None:
        """What is not installed here."""
        if all(map(shutil.which, ("WebKitWebDriver", "Xvfb"))) and cls.browser():
            return None
        return "no WebKit, or no Xvfb (Debian: apt-get install webkit2gtk-driver xvfb)"

    def __init__(self, home: Path):
        screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1200x24", "-nolisten", "tcp"]
        self._screen = subprocess.Popen(
            screen, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        display = self._screen.stdout.readline().decode().strip()
        environment = {
            **os.environ, "DISPLAY": f":{display}", "GDK_BACKEND": "x11",
            "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
            "WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1",  # as root there is none; it opens our pages only
        }  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url, self.log = f"http://127.0.0.1:{port}", home / "browser.log"
        # A proxy set in the environment must not see loopback addresses.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["WebKitWebDriver", f"--port={port}"], env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait(self._answers, "WebKitWebDriver answers")
        options = {"binary": self.browser(), "args": ["--automation"]}
        wanted = {"unhandledPromptBehavior": "accept", "webkitgtk:browserOptions": options}
        made = self._request("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{made['sessionId']}"

    def call(self, command: str, **parameters):
        """Give a command of the standard, and return its value."""
        method, path = ROUTES[command]
        return self._request(method, f"{self._session}/{path}", parameters if method == "POST" else None)

    def _answers(self) -> bool:
        try:
            return bool(self._request("GET", "/status"))
        except OSError:
            return False

    def _request(self, method: str, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with self._opener.open(request, timeout=5 * TIMEOUT_MS / 1000) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise WebDriverError(f"{value['error']}: {value['message']}") from None

    def close(self) -> None:
        end(self._process)
        end(self._screen)


def end(process: subprocess.Popen) -> None:
    """End a process and its children."""
    family = (
        [*psutil.Process(process.pid).children(recursive=True), process] if process.poll() is None else []
    )
    for each in family:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            pass
    process.wait()


# --- one tab, as playwright names things --------------------------------------------------------------------


class Tab:
    """The browser's only tab. Functions of JavaScript take one argument, in which locators are elements."""

    def __init__(self, engine):
        self.engine = engine
        self.mouse, self.keyboard = Mouse(engine), Keyboard(engine)
        engine.call("SetTimeouts", script=3 * TIMEOUT_MS, pageLoad=TIMEOUT_MS)
        engine.call("SetWindowRect", x=0, y=0, width=VIEWPORT[0], height=VIEWPORT[1])
        frame = self.evaluate("() => [outerWidth - innerWidth, outerHeight - innerHeight]")
        width, height = (inner + more for inner, more in zip(VIEWPORT, frame, strict=True))
        engine.call("SetWindowRect", x=0, y=0, width=width, height=height)

    def goto(self, url: str) -> None:
        self.engine.call("Navigate", url=url)
        # A script of the page: what a driver runs may have a console of its own.
        self.evaluate(
            """textContent => {
                const script = Object.assign(document.createElement('script'), {textContent});
                if (!window.vwConsole) document.head.append(script);
            }""",
            f"{{ {LISTEN} }}",
        )

    def evaluate(self, function: str, arg=None):
        """Call a function, wait for its promise, and return its value."""
        script, missing = CALL.replace("FUNCTION", function), None

        def call():
            nonlocal missing
            answer = self.engine.call("ExecuteAsyncScript", script=script, args=[named(arg)])
            missing = answer.get("missing")
            return None if missing else answer

        answer = wait(call, lambda: f"there is {missing}")
        if "error" in answer:
            raise WebDriverError(answer["error"])
        return answer.get("value")

    def wait_for_function(self, function: str, arg=None, timeout: float = TIMEOUT_MS):
        call = f"async arg => Boolean(await ({function})(arg))"
        wait(lambda: self.evaluate(call, arg), function, timeout)

    def wait_for_timeout(self, timeout: float) -> None:
        time.sleep(timeout / 1000)

    def close(self) -> None:
        self.goto("about:blank")

    @property
    def messages(self) -> list[str]:
        """What the console says, and exceptions that nobody caught."""
        return self.evaluate("() => [...window.vwConsole]")

    def screenshot(self, path: Path) -> None:
        Path(path).write_bytes(base64.b64decode(self.engine.call("TakeScreenshot")))

    def locator(self, selector: str, has_text: str = "") -> "Locator":
        return Locator(self, []).locator(selector, has_text)


class Locator:
    """The first of the elements that a selector finds, looked for again by each call."""

    def __init__(self, page: Tab, steps: list):
        self.page, self.steps = page, steps

    def locator(self, selector: str, has_text: str = "") -> "Locator":
        return Locator(self.page, [*self.steps, (selector, has_text, None)])

    def nth(self, index: int) -> "Locator":
        *before, (selector, text, _) = self.steps
        return Locator(self.page, [*before, (selector, text, index)])

    @property
    def first(self) -> "Locator":
        return self.nth(0)

    def element_handle(self) -> "Locator":
        return self

    def wait_for(self) -> None:
        self.evaluate("() => null")

    def evaluate(self, function: str, arg=None):
        return self.page.evaluate(f"([element, arg]) => ({function})(element, arg)", [self, arg])

    def get_attribute(self, name: str) -> str | None:
        return self.evaluate("(element, name) => element.getAttribute(name)", name)

    def text_content(self) -> str:
        return self.evaluate("element => element.textContent")

    def focus(self) -> None:
        self.evaluate("element => element.focus()")

    def bounding_box(self) -> dict[str, float]:
        return self.evaluate("e => { const {x, y, width, height} = e.getBoundingClientRect(); "
                             "return {x, y, width, height}; }")  # fmt: skip

    def click(self) -> None:
        box = self.bounding_box()
        self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def named(arg):
    """Put names that the page understands in the place of locators."""
    if isinstance(arg, Locator):
        return {"vwFind": arg.steps}
    return [named(each) for each in arg] if isinstance(arg, list | tuple) else arg


class Mouse:
    """A real pointer: its events are trusted, and go where a hand's would."""

    def __init__(self, engine):
        self._engine, self._place = engine, (0.0, 0.0)

    def move(self, x: float, y: float, steps: int = 1) -> None:
        (left, top), self._place = self._place, (x, y)
        ways = [(step + 1) / steps for step in range(steps)]
        self._act(*(self._move(left + (x - left) * way, top + (y - top) * way) for way in ways))

    def down(self) -> None:
        self._act({"type": "pointerDown", "button": 0})

    def up(self) -> None:
        self._act({"type": "pointerUp", "button": 0})

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self.down()
        self.up()

    def wheel(self, x: float, y: float) -> None:
        left, top = map(round, self._place)
        turn = {"type": "scroll", "x": left, "y": top, "deltaX": x, "deltaY": y, "duration": 0}
        self._engine.call("PerformActions", actions=[{"type": "wheel", "id": "wheel", "actions": [turn]}])

    @staticmethod
    def _move(x: float, y: float) -> dict:
        # A frame for each: a hand is no faster, and a page may take moves of one frame together.
        return {"type": "pointerMove", "x": round(x), "y": round(y), "duration": 16, "origin": "viewport"}

    def _act(self, *actions: dict) -> None:
        source = {"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}}
        self._engine.call("PerformActions", actions=[{**source, "actions": list(actions)}])


class Keyboard:
    """Real keys."""

    def __init__(self, engine):
        self._engine = engine

    def press(self, key: str) -> None:
        value = KEYS.get(key, key)
        actions = [{"type": kind, "value": value} for kind in ("keyDown", "keyUp")]
        self._engine.call("PerformActions", actions=[{"type": "key", "id": "keyboard", "actions": actions}])
