"""``jupyter lab`` as a process that a program starts and ends, with all that it writes in one folder."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import psutil
from nbformat.v4 import new_code_cell, new_notebook

from vaewidgets.course.notebooks import is_root

#: Seconds that the server may take to answer, since the machine may be busy.
_TIMEOUT = 120.0


class LabServer:
    """``jupyter lab`` on a free loopback port, with all its directories below ``home``.

    Parameters
    ----------
    home : Path
        An empty folder.
    package : Path, optional
        A checkout whose package server and kernels import, in place of this one.

    Attributes
    ----------
    root : Path
        The folder that JupyterLab shows.
    log : Path
        What the server printed.
    url, token : str
        How to reach it; `url` is empty before `start`.
    """

    def __init__(self, home: Path, package: Path | None = None):
        self.home, self.package = home, package
        self.root = home / "root"
        self.log = home / "server.log"
        self.token = secrets.token_hex(16)
        self.url = ""
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> LabServer:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers; raise RuntimeError if it does not start."""
        self.root.mkdir(exist_ok=True)
        self._write_settings()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _TIMEOUT
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(port), cwd=self.root, env=self.environment(),
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
                return
            except OSError:  # URLError is one
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log_tail = self.log.read_text(errors="replace")[-3000:]
                    raise RuntimeError(f"JupyterLab did not start; its log ends:\n{log_tail}") from None
                time.sleep(0.05)  # between two polls

    def stop(self) -> None:
        """End the server and its kernels: with SIGTERM first, then by force."""
        if self._process is None:
            return
        processes: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            processes = [server, *server.children(recursive=True)]
        self._process.terminate()  # the server shuts its kernels down when it ends this way
        _, alive = psutil.wait_procs(processes, timeout=20)
        for process in alive:
            children = process.children(recursive=True) if process.is_running() else []
            for each in [process, *children]:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        self._process.wait()
        self._process = None

    def write(self, name: str, cells: list) -> str:
        """Write a notebook from sources (of code cells) or whole cells (mappings); return its name."""
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
        notebook = new_notebook(metadata={"kernelspec": kernelspec}, cells=made)
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")
        return name

    #: Options that a program needs which controls JupyterLab.
    OPTIONS = (
        "--ServerApp.port_retries=0",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly",  # the other one asks PyPI
    )

    def _command(self, port: int) -> list[str]:
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={port}", f"--ServerApp.root_dir={self.root}", *self.OPTIONS,
        ]  # fmt: skip
        return [*command, "--allow-root"] if is_root() else command

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the server, with all directories of a user in ``home``."""
        foreign = ("JUPYTER", "IPYTHON")
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(foreign)},
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "JUPYTER_DATA_DIR": str(self.home / "data"),  # a user's own kernel called python3 is not in it
            "JUPYTER_RUNTIME_DIR": str(self.home / "runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(self.home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(self.home / "workspaces"),
            "IPYTHONDIR": str(self.home / "ipython"),
            "JUPYTER_TOKEN": self.token,
            # Two torch threads that fight for busy cores are up to 100 times slower than one.
            "OMP_NUM_THREADS": "1",
            **({"PYTHONPATH": str(self.package)} if self.package else {}),
        }

    def _write_settings(self) -> None:
        """Turn off the question about news and the search for updates."""
        folder = self.home / "settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True)
        settings = {"fetchNews": "false", "checkForUpdates": False}
        (folder / "notification.jupyterlab-settings").write_text(json.dumps(settings))
