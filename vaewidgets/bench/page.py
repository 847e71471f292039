"""JupyterLab in Chromium, opened for a measurement and closed after it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .report import is_installed, machine, software

_INSTALL = 'pip install "vaewidgets[bench]"'
_PACKAGES = (
    "jupyterlab", "ipykernel", "ipywidgets", "anywidget", "plotly", "torch", "matplotlib", "playwright",
)  # fmt: skip


@contextmanager
def opened(*needed: str, webgl: bool = True, package: Path | None = None) -> Iterator[tuple]:
    """Open a JupyterLab server and a Chromium, and print their versions.

    Parameters
    ----------
    *needed : str
        Packages of the extra [bench] that the measurement needs, besides playwright.
    webgl : bool
        Whether the browser has WebGL.
    package : Path, optional
        A checkout whose package server and kernels import, in place of this one.

    Yields
    ------
    (machine, server, chromium) : dict, LabServer, playwright's Browser

    Raises
    ------
    ImportError
        The extra is not installed.
    RuntimeError
        Chromium or the server does not start.
    """
    missing = [name for name in ("playwright", *needed) if not is_installed(name)]
    if missing:
        raise ImportError(f"needs {' and '.join(missing)}, of the extra [bench]: {_INSTALL}")
    from .chromium import CHROMIUM_ARGS, NO_WEBGL_ARGS, TIMEOUT_MS, expect, sync_playwright
    from .lab_server import LabServer

    print(versions := software(*_PACKAGES), flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="vaewidgets-bench-", ignore_cleanup_errors=True) as home,
        sync_playwright() as playwright,
    ):
        chromium = _launch(playwright, CHROMIUM_ARGS if webgl else NO_WEBGL_ARGS)
        where = {"software": versions, **machine(), "chromium": chromium.version, "webgl": _webgl(chromium)}
        print(f"Chromium {where['chromium']}, WebGL: {where['webgl'] or 'none'}")
        busy = "" if where["load"] is None else f", {where['load']:.1f} processes waiting for them"
        print(f"{where['cpus']} CPUs{busy}; browser, server and kernel share them", flush=True)
        expect.set_options(timeout=TIMEOUT_MS)
        try:
            with LabServer(Path(home), package) as server:
                yield where, server, chromium
        finally:
            chromium.close()


def wait_for_rest(notebook) -> None:
    """Wait until kernel and page are idle, which is long after the cell of a plot has ended."""
    notebook.wait_idle()
    notebook.page.evaluate(
        """() => new Promise(resolve => {
            // Twenty frames in a row at ease; a machine that never gets there is measured as it is.
            let calm = 0, before = performance.now();
            const deadline = before + 10000;
            const look = now => {
                calm = now - before < 50 ? calm + 1 : 0;
                before = now;
                if (calm >= 20 || now > deadline) resolve(); else requestAnimationFrame(look);
            };
            requestAnimationFrame(look);
        })"""
    )


def _launch(playwright, args):
    from vaewidgets.course.doctor import chromium_path

    from .chromium import TIMEOUT_MS, PlaywrightError

    try:
        return playwright.chromium.launch(
            executable_path=chromium_path(),  # None: the one that `playwright install` fetched
            args=list(args),
            timeout=TIMEOUT_MS,
        )
    except PlaywrightError as error:
        raise RuntimeError(
            f"Chromium does not start: {str(error).splitlines()[0]} Install the system's chromium, or "
            f"take playwright's: {_INSTALL} && playwright install chromium"
        ) from error


def _webgl(chromium) -> str:
    """Return the name of the WebGL renderer of this browser, "" if it has none."""
    page = chromium.new_page()
    try:
        return page.evaluate(
            """() => {
                const gl = document.createElement('canvas').getContext('webgl');
                const names = gl?.getExtension('WEBGL_debug_renderer_info');
                return gl ? String(gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER)) : '';
            }"""
        )
    finally:
        page.close()
