"""``vaewidgets doctor``: look at this installation, and say what to do about what is wrong.

Nothing here imports torch or a panel: what is broken is looked at in a process of its own.
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

from vaewidgets._utils.text import sanitize

#: A kernel with torch, torchvision and a panel takes about 0.9 GB.
MEMORY_NEEDED = 1.5e9

_BOTH = "import torch, torchvision; box = torch.tensor([[0., 0., 1., 1.]]); \
torchvision.ops.nms(box, torch.ones(1), 0.5); print(torch.__version__, torchvision.__version__)"
_WIDGETS = ("anywidget", "ipywidgets", "vaewidgets")
_IN_KERNEL = f"import importlib, importlib.metadata as m, json; names = {_WIDGETS}; \
[importlib.import_module(n) for n in names]; print(json.dumps({{n: m.version(n) for n in names}}))"


class Finding(NamedTuple):
    """What was looked at and what came out.

    Attributes
    ----------
    status : "ok", "info" or "problem"
    subject, detail : str
    remedy : str
        What to do about a problem; a hint, or nothing, otherwise.
    """

    status: str
    subject: str
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; a check that itself fails is a problem found, never a traceback."""
    findings = []
    for check in (versions, torch_pair, kernel, labextensions, home, data, memory, webgl, chromium):
        try:
            findings.append(check())
        except Exception as error:  # the doctor must finish its round on any patient
            text = f"could not be looked at: {type(error).__name__}: {error}"
            findings.append(
                Finding("problem", check.__name__, text, "Please report this with the line above.")
            )
    return findings


def as_text(findings: list[Finding]) -> str:
    """Write the findings for people."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.status:8} {finding.subject}: {finding.detail}")
        if finding.remedy:
            lines.append(f"{'':8} -> {finding.remedy}")
    problems = sum(finding.status == "problem" for finding in findings)
    lines.append(f"{problems} problem{'' if problems == 1 else 's'} found")
    return "\n".join(lines)


def as_json(findings: list[Finding]) -> str:
    """Write the findings for programs: a list of objects."""
    return json.dumps([finding._asdict() for finding in findings], indent=2)


def versions(
    requirements: list[str] | None = None, installed: Callable[[str], str] = metadata.version
) -> Finding:
    """Hold what is installed against what vaewidgets requires, its exclusion of ipykernel 7.0 included."""
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
    """Import torch and torchvision and run an operator that exists only if the two builds match."""
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
    """Ask the Python behind the kernel "python3" for its widgets: pages and kernel must speak one version."""
    python = kernel_python() if python is None else python
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
    """Return the Python that ``vaewidgets lab`` runs kernels with."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_path

    # As lab.launch has it: this environment's kernelspecs before the user's.
    own = [str(Path(sys.prefix) / "share" / "jupyter" / "kernels")]
    spec = KernelSpecManager(kernel_dirs=own + jupyter_path("kernels")).get_kernel_spec("python3")
    program = spec.argv[0]
    # jupyter_client puts its own interpreter where a kernelspec says just "python".
    generic = {"python", f"python{sys.version_info[0]}", f"python{sys.version_info[0]}.{sys.version_info[1]}"}
    return sys.executable if program in generic else program


def labextensions(folders: list[str] | None = None) -> Finding:
    """Look for the JavaScript of ipywidgets and anywidget where JupyterLab will, and for where it signs."""
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
    """Look whether Jupyter and IPython can write where they must, which is in the home folder mostly."""
    from . import notebooks

    if place := notebooks.unwritable():
        remedy = "Make it writable, or set HOME to a folder that is, before you start vaewidgets lab."
        return Finding("problem", "home", f"{place} cannot be written: JupyterLab will not start", remedy)
    return Finding("ok", "home", "Jupyter's and IPython's folders can be written")


def data() -> Finding:
    """Say whether MNIST is on this machine; nothing in the course needs it."""
    # data.DATA_VARIABLE, without its torch.
    root = os.path.expanduser(os.environ.get("VAEWIDGETS_DATA", ""))
    if not root:
        from platformdirs import user_cache_path

        root = str(user_cache_path("vaewidgets"))
    there = [name for name in ("MNIST", "FashionMNIST") if (Path(root) / name / "raw").is_dir()]
    if there:
        return Finding("info", "data", f"{' and '.join(there)} in {root}")
    return Finding(
        "info", "data", f"no MNIST in {root}; the course runs on what ships with it",
        "Set VAEWIDGETS_DATA to a folder that holds MNIST/raw, or let vw.load_data('mnist') download it.",
    )  # fmt: skip


def memory(available: float | None = None) -> Finding:
    """Compare the free memory with what a kernel takes."""
    available = _available_memory() if available is None else available
    detail = f"{available / 1e9:.1f} GB free; a kernel with torch takes about 0.9 GB"
    if available < MEMORY_NEEDED:
        return Finding("problem", "memory", detail, "Shut down other kernels and programs before the course.")
    return Finding("ok", "memory", detail)


def webgl() -> Finding:
    """Say what only the browser knows."""
    return Finding(
        "info", "WebGL", "not needed: every map is drawn without it; only the browser knows if it is there",
        "If a figure of your own stays empty: turn on hardware acceleration in the browser's settings.",
    )  # fmt: skip


def chromium() -> Finding:
    """Look for the browser that a program can drive; nobody else needs it."""
    detail = chromium_path() or "not found: only vaewidgets bench and the browser tests need it"
    return Finding("info", "Chromium", detail)


def chromium_path() -> str | None:
    """Return the Chromium on the PATH, under any of its names."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _unwritable_signatures() -> str:
    """Return what hinders JupyterLab from storing signatures; nothing if nothing does."""
    from jupyter_core.paths import jupyter_data_dir

    folder = Path(jupyter_data_dir())
    # Jupyter makes what is missing of it.
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    files = [folder / name for name in ("nbsignatures.db", "notebook_secret")]
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return str(there)
    hindered = (f for f in files if f.exists() and not (f.is_file() and os.access(f, os.R_OK | os.W_OK)))
    return str(next(hindered, ""))


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
    # In a container the machine's memory is not ours: Binder gives 2 GB of a large host.
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        return min(available, int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no container, or "max": no limit
        return available
