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
from pathlib import Path

import psutil

from vaewidgets.course.notebooks import is_root

#: Seconds that the server may take to answer: the machine may be busy.
_PATIENCE = 120.0


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
        self.root.mkdir(exist_ok=True)
        self._write_settings()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        begin = time.monotonic()
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
                break
            except OSError:  # URLError is one
                late = time.monotonic() - begin > _PATIENCE
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
        empty: dict[str, object] = {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
        }
        made = [
            {**empty, "id": f"cell-{number}", "source": cell} if isinstance(cell, str) else cell
            for number, cell in enumerate(cells)
        ]
        kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": kernelspec}, "cells": made}
        (self.root / name).write_text(json.dumps(notebook), encoding="utf-8")
        return name

    #: Options of JupyterLab that whoever drives it needs.
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
        """Return the environment of the server: of a user whose directories are all in ``home``."""
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
