"""``vaewidgets doctor``: check this installation, and say what to do about each problem.

This module imports neither torch nor a panel: what may be broken is imported in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_cache_dir

from vaewidgets._utils.text import sanitize

from . import notebooks

#: A kernel with torch, torchvision and a panel takes about 0.9 GB.
MEMORY_NEEDED = 1.5e9

_BOTH = "import torch, torchvision; box = torch.tensor([[0., 0., 1., 1.]]); \
torchvision.ops.nms(box, torch.ones(1), 0.5); print(torch.__version__, torchvision.__version__)"
_WIDGETS = ("anywidget", "ipywidgets", "vaewidgets")
_IN_KERNEL = f"import importlib, importlib.metadata as m, json; names = {_WIDGETS}; \
[importlib.import_module(n) for n in names]; print(json.dumps({{n: m.version(n) for n in names}}))"


class Finding(NamedTuple):
    """The result of one check.

    Attributes
    ----------
    status : "ok", "info" or "problem"
    subject, detail : str
        What was checked, and what was found.
    remedy : str
        What to do about a problem; otherwise a hint, or "".

    Examples
    --------
    >>> memory(available=8e9).status
    'ok'
    """

    status: str
    subject: str
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run all checks; a check that itself raises is a problem that was found.

    Returns
    -------
    list of Finding
        One for each check. It takes some seconds, because two of the checks import torch or a panel.
    """
    findings = []
    for check in (versions, torch_pair, kernel, labextensions, home, data, memory, webgl, chromium):
        try:
            findings.append(check())
        except Exception as error:  # the other checks must run all the same
            text = f"could not be looked at: {type(error).__name__}: {error}"
            findings.append(
                Finding("problem", check.__name__, text, "Please report this with the line above.")
            )
    return findings


def as_text(findings: list[Finding]) -> str:
    """Write the findings as text, one line for each and one for each remedy.

    Examples
    --------
    >>> print(as_text([Finding("problem", "memory", "0.5 GB free", "Shut down other kernels.")]))
    problem  memory: 0.5 GB free
             -> Shut down other kernels.
    1 problem found
    """
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:8} {finding.subject}: {finding.detail}")
        if finding.remedy:
            lines.append(f"{'':8} -> {finding.remedy}")
    problems = sum(finding.status == "problem" for finding in findings)
    lines.append(f"{problems} problem{'' if problems == 1 else 's'} found")
    return "\n".join(lines)


def add_arguments(parser) -> None:
    """Add the options of ``vaewidgets doctor`` to an argparse parser."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(args) -> int:
    """Examine this installation and print the findings; return the exit status: 1 if there is a problem."""
    findings = examine()
    as_objects = [finding._asdict() for finding in findings]
    print(json.dumps(as_objects, indent=2) if args.json else as_text(findings))
    return int(any(finding.status == "problem" for finding in findings))


def versions(
    requirements: list[str] | None = None, installed: Callable[[str], str] = metadata.version
) -> Finding:
    """Compare the installed packages with the requirements of vaewidgets.

    Parameters
    ----------
    requirements : list of str, optional
        Those of the installed vaewidgets if None.
    installed : callable
        Package name to version; raises PackageNotFoundError.

    Examples
    --------
    >>> versions(["torch>=2.6"], lambda name: "2.1").status
    'problem'
    """
    from packaging.requirements import Requirement

    if requirements is None:
        try:
            requirements = metadata.requires("vaewidgets") or []
        except metadata.PackageNotFoundError:
            return Finding(
                "problem", "versions", "vaewidgets is not installed", "pip install -e . in the checkout"
            )
    found, wrong = [f"Python {sys.version.split()[0]}"], []
    for requirement in map(Requirement, requirements):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = installed(requirement.name)
        except metadata.PackageNotFoundError:
            version = None
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(requirement)
        found.append(f"{requirement.name} {version or 'missing'}")
    if wrong:
        detail = ", ".join(found) + "; needed: " + ", ".join(map(str, wrong))
        return Finding("problem", "versions", detail, _pip(*(f'"{requirement}"' for requirement in wrong)))
    return Finding("ok", "versions", ", ".join(found))


def torch_pair(python: str = sys.executable) -> Finding:
    """Import torch and torchvision with `python`, and run an operator that only works if the builds match."""
    subject = "torch and torchvision"
    status, text = _ask(python, _BOTH)
    if status == 0:
        return Finding("ok", subject, f"{text} match")
    remedy = (
        "The two must be builds of one index: remove both and install them in one command, "
        + _pip("torch", "torchvision")
        + " (for a CPU-only build, with the same --index-url for both). Until then all but MNIST works."
    )
    return Finding("problem", subject, f"do not work together: {_last_line(text)}", remedy)


def kernel(python: str | None = None, here: Callable[[str], str] = metadata.version) -> Finding:
    """Import the widgets in the Python of the kernel "python3", and compare their versions with those here.

    Parameters
    ----------
    python : str, optional
        The interpreter; that of the kernel if None.
    here : callable
        Package name to version, in this environment.
    """
    python = python or kernel_python()
    status, text = _ask(python, _IN_KERNEL)
    if status != 0:
        remedy = (
            _pip("vaewidgets", python=python)
            + ", or start with vaewidgets lab, which takes its own environment's kernel"
        )
        return Finding("problem", "kernel python3", f"{python} lacks the panels: {_last_line(text)}", remedy)
    theirs = json.loads(text)
    differ = [
        f"{name} {theirs[name]} in the kernel, {here(name)} beside JupyterLab"
        for name in ("anywidget", "ipywidgets")
        if theirs[name].split(".")[0] != here(name).split(".")[0]
    ]
    if differ:
        remedy = _pip(*(f'"{name}=={here(name)}"' for name in ("anywidget", "ipywidgets")), python=python)
        return Finding("problem", "kernel python3", "; ".join(differ), remedy)
    return Finding(
        "ok", "kernel python3", f"{python} has " + ", ".join(f"{n} {v}" for n, v in theirs.items())
    )


def kernel_python() -> str:
    """Return the Python with which ``vaewidgets lab`` runs kernels."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path

    # As in `notebooks.launch`: the kernelspecs of this environment before those of the user.
    own = [str(Path(sys.prefix) / "share" / "jupyter" / "kernels")]
    manager = KernelSpecManager(kernel_dirs=own + jupyter_path("kernels"))
    program = manager.get_kernel_spec("python3").argv[0]
    # jupyter_client puts its own interpreter where a kernelspec says just "python".
    generic = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    return sys.executable if program in generic else program


def labextensions(folders: list[str] | None = None) -> Finding:
    """Check that JupyterLab finds the JavaScript of the widgets and can store signatures of notebooks.

    Parameters
    ----------
    folders : list of str, optional
        Where to look for lab extensions; where JupyterLab does if None.
    """
    if folders is None:
        from jupyter_core.paths import jupyter_path

        folders = jupyter_path("labextensions")
    wanted = {"ipywidgets": "@jupyter-widgets/jupyterlab-manager", "anywidget": "anywidget"}
    missing = [
        package
        for package, name in wanted.items()
        if not any((Path(folder) / name / "package.json").is_file() for folder in folders)
    ]
    if missing:
        remedy = _pip(
            "--force-reinstall", "--no-deps", *missing, *(["jupyterlab_widgets"] * ("ipywidgets" in missing))
        )
        return Finding("problem", "JupyterLab", f"has no JavaScript for {' and '.join(missing)}", remedy)
    found = "finds the JavaScript of ipywidgets and anywidget"
    if place := _unwritable_signatures():
        detail = f"{found}, but cannot write {place}, where it keeps which notebooks are trusted"
        remedy = (
            f"Make {place} writable, or set JUPYTER_DATA_DIR to a folder that is: until then a page that is "
            "loaded again shows its panels as text."
        )
        return Finding("problem", "JupyterLab", detail, remedy)
    return Finding("ok", "JupyterLab", found)


def home() -> Finding:
    """Check that Jupyter and IPython can write their folders, most of which are in the home folder."""
    if place := notebooks.unwritable():
        remedy = "Make it writable, or set HOME to a folder that is, before you start vaewidgets lab."
        return Finding("problem", "home", f"{place} cannot be written: JupyterLab will not start", remedy)
    return Finding("ok", "home", "Jupyter's and IPython's folders can be written")


def data() -> Finding:
    """Say whether MNIST is on this machine; nothing in the course needs it."""
    # The name is data.load.DATA_VARIABLE, whose module would import more than this needs.
    root = os.path.expanduser(os.environ.get("VAEWIDGETS_DATA", "")) or user_cache_dir("vaewidgets")
    there = [name for name in ("MNIST", "FashionMNIST") if (Path(root) / name / "raw").is_dir()]
    if there:
        return Finding("info", "data", f"{' and '.join(there)} in {root}")
    return Finding(
        "info", "data", f"no MNIST in {root}; the course runs on what ships with it",
        "Set VAEWIDGETS_DATA to a folder that holds MNIST/raw, or let vw.load_data('mnist') download it.",
    )  # fmt: skip


def memory(available: float | None = None) -> Finding:
    """Compare the free memory with what a kernel takes.

    Parameters
    ----------
    available : float, optional
        Bytes; what is free now if None.

    Examples
    --------
    >>> memory(available=3e8).status
    'problem'
    """
    available = _available_memory() if available is None else available
    detail = f"{available / 1e9:.1f} GB free; a kernel with torch takes about 0.9 GB"
    if available < MEMORY_NEEDED:
        return Finding("problem", "memory", detail, "Shut down other kernels and programs before the course.")
    return Finding("ok", "memory", detail)


def webgl() -> Finding:
    """Say that WebGL, which only the browser knows of, is not needed."""
    return Finding(
        "info", "WebGL", "not needed: every map is drawn without it; only the browser knows if it is there",
        "If a figure of your own stays empty: turn on hardware acceleration in the browser's settings.",
    )  # fmt: skip


def chromium() -> Finding:
    """Look for the Chromium that measurements and browser tests control."""
    missing = "not found: only vaewidgets bench and the browser tests need it"
    return Finding("info", "Chromium", chromium_path() or missing)


def chromium_path() -> str | None:
    """Return the path of Chromium, under any of its names; None if it is not on the PATH."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _unwritable_signatures() -> str:
    """Return the path that keeps JupyterLab from storing signatures; "" if it can store them."""
    from jupyter_core.paths import jupyter_data_dir

    folder = Path(jupyter_data_dir())
    there = notebooks.nearest_existing(folder)  # Jupyter makes the rest
    files = [folder / name for name in ("nbsignatures.db", "notebook_secret")]
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return str(there)
    locked = (f for f in files if f.exists() and not (f.is_file() and os.access(f, os.R_OK | os.W_OK)))
    return str(next(locked, ""))


def _ask(python: str, code: str) -> tuple[int, str]:
    """Run `code` in `python`; return its exit status and its output, or its error."""
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()


def _last_line(text: str) -> str:
    return sanitize(text.splitlines()[-1]) if text else "no message"


def _pip(*what: str, python: str = sys.executable) -> str:
    return " ".join([python, "-m", "pip", "install", *what])


def _available_memory() -> float:
    import psutil

    available = psutil.virtual_memory().available
    # A container has only a part of the machine's memory: Binder gives 2 GB of a large host.
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no container, or "max": no limit
        return available
