"""The notebooks: where they are, how a student gets a copy, and JupyterLab started on them."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

from . import trust

#: Where an installed package puts its copy unless told otherwise.
DEFAULT_FOLDER = "vaewidgets-notebooks"
#: The instructor's folder among the notebooks: no copy for students has it.
SOLUTIONS = "solutions"

#: JupyterLab's options that decide who can reach the kernel. A kernel runs any code it is sent.
_GUARDED = {
    "ip", "sock", "disable_check_xsrf", "allow_remote_access", "allow_unauthenticated_access",
    "allow_origin", "allow_origin_pat", "token", "password", "hashed_password",
}  # fmt: skip


def shipped_notebooks() -> tuple[Path, bool]:
    """Find the notebooks of this package.

    Returns
    -------
    (folder, checkout) : tuple of Path and bool
        `checkout` is true in a working copy, whose notebooks are opened where they are.

    Raises
    ------
    FileNotFoundError
        Neither a wheel nor a checkout holds them.
    """
    package = Path(__file__).parent
    if (package / "notebooks").is_dir():
        return package / "notebooks", False
    folder = package.parent / "notebooks"
    if (package.parent / "pyproject.toml").is_file() and folder.is_dir():
        return folder, True
    raise FileNotFoundError(
        f"This installation has no notebooks: neither {package / 'notebooks'} nor {folder} is there. "
        "Reinstall vaewidgets from its wheel, or with pip install -e . in a checkout."
    )


def copy_notebooks(
    target: str | os.PathLike, source: Path | None = None, *, solutions: bool = False, sign: bool = True
) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks to `target` without ever touching a file that is already there.

    JupyterLab then trusts them, and those that are there and still as they were shipped.

    Parameters
    ----------
    target : path
        Made if it does not exist.
    source : Path, optional
        Those of this package if None.
    solutions : bool
        With the instructor's folder of solved exercises.
    sign : bool
        False where this user has signed them a moment ago: it is the same for all copies.

    Returns
    -------
    (written, kept) : lists of Path
        New files, and files left as they were because they differ from the shipped ones.

    Raises
    ------
    ValueError
        Something in `target` is in the way, or leads out of it. Nothing has been written then.
    FileNotFoundError
        There are no solutions here.
    """
    source = shipped_notebooks()[0] if source is None else source
    target = Path(target)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target} is a file; expected a folder, new or old. Name another one.")
    if solutions and not (source / SOLUTIONS).is_dir():
        raise FileNotFoundError(f"This installation has no solutions: {source / SOLUTIONS} is not there.")
    files = [path.relative_to(source) for path in _notebook_files(source)]
    files = [name for name in files if solutions or name.parts[0] != SOLUTIONS]
    new = [name for name in files if not _is_there(target, name)]
    kept = [name for name in files if name not in new and not _same(source / name, target / name)]
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name in new:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_new(target / name, (source / name).read_bytes())
        except FileExistsError:  # another start in the same folder was faster: same notebook
            continue
        written.append(target / name)
    if sign:
        sign_notebooks(source)
    return written, [target / name for name in kept]


def sign_notebooks(source: Path) -> None:
    """Have JupyterLab trust the notebooks of `source` that are as they shipped; warn if that fails."""
    try:
        trust.sign(source)
    except OSError as error:  # they work without
        warnings.warn(str(error), stacklevel=2)


def course_in(folder: Path) -> list[Path]:
    """List the notebooks of the course that a folder has, by the names under which they ship."""
    source = shipped_notebooks()[0]
    names = [path.relative_to(source) for path in _notebook_files(source) if path.suffix == ".ipynb"]
    return [folder / name for name in names if (folder / name).is_file()]


def lab_command(folder: Path, *, browser: bool = True, port: int | None = None, extra=()) -> list[str]:
    """Build the command that opens JupyterLab on `folder`, on this machine only.

    Jupyter's token and XSRF protection stay as they are; `extra` goes to JupyterLab word for word,
    except for the options that would open the server to others.

    Raises
    ------
    ValueError
        `extra` has such an option.
    """
    for word in extra:
        name = word.lstrip("-").split("=")[0].split(".")[-1].replace("-", "_").lower()
        if word.startswith("-") and name in _GUARDED:
            raise ValueError(
                f"{word} changes who can reach the server, and vaewidgets lab keeps it to this machine and "
                "behind its token. For anything else start JupyterLab yourself: jupyter lab " + str(folder)
            )
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", *extra]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.disable_check_xsrf=False"]
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command.append(f"--ServerApp.port={port}")
    if is_root():
        command.append("--allow-root")
    return command


def launch(command: list[str]) -> int:
    """Run JupyterLab in the foreground until it ends; return its exit status."""
    # Else a kernelspec "python3" that another environment left in the user's folder would win, and its
    # Python has no vaewidgets.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    if os.name == "posix":
        # In place of this process: signals, job control and exit status are JupyterLab's own.
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, environment)
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # JupyterLab had it too, and asks whether to stop
                continue


def is_root() -> bool:
    """Whether this is a container's root, for whom JupyterLab starts only when told to."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _notebook_files(source: Path) -> list[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.relative_to(source).parts)
    )


def _is_there(target: Path, name: Path) -> bool:
    """Look for `name` under `target`; raise if the way to it is blocked or leads elsewhere."""
    here = target
    for part in name.parts[:-1]:
        here = here / part
        if here.is_symlink() or (here.exists() and not here.is_dir()):
            kind = "a link" if here.is_symlink() else "a file"
            raise ValueError(
                f"{here} is {kind}; expected a folder, new or old. Move it away, or copy elsewhere."
            )
    path = target / name
    if path.is_dir() and not path.is_symlink():
        raise ValueError(
            f"{path} is a folder; a notebook of that name belongs there. Move it away, or copy elsewhere."
        )
    return os.path.lexists(path)


def _same(source: Path, target: Path) -> bool:
    try:
        return source.read_bytes() == target.read_bytes()
    except OSError:  # a link to nowhere, a file that may not be read: not ours to judge
        return False


def _write_new(path: Path, data: bytes) -> None:
    # "x" makes the file or fails, and follows no link: what came there in the meantime is safe.
    with path.open("xb") as file:
        try:
            file.write(data)
        except BaseException:
            path.unlink()
            raise
