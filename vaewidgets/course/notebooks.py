"""The notebooks: where they are, how a student gets a copy, and JupyterLab started on them."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from vaewidgets._utils.safe_open import safe_open

from . import trust

#: The folder for the copy of an installed package, unless another one is named.
DEFAULT_FOLDER = "vaewidgets-notebooks"
#: The instructor's folder among the notebooks, which no copy for students has.
SOLUTIONS = "solutions"

#: JupyterLab's flags, and its options with a value, that may stand after ``--``. None of them decides who can
#: reach the kernel, which runs any code that it is sent.
FLAGS = ("--debug", "--no-browser")
OPTIONS = (
    "--log-level", "--ServerApp.log_level", "--ServerApp.browser", "--ServerApp.open_browser",
    "--ServerApp.terminals_enabled", "--ServerApp.shutdown_no_activity_timeout",
    "--ServerApp.max_body_size", "--ServerApp.max_buffer_size", "--ServerApp.port_retries",
    "--LabApp.default_url", "--LabApp.expose_app_in_browser", "--LabApp.extension_manager",
    "--LabApp.custom_css", "--FileContentsManager.delete_to_trash",
    "--MappingKernelManager.cull_idle_timeout", "--MappingKernelManager.cull_interval",
    "--MappingKernelManager.cull_connected", "--MappingKernelManager.cull_busy",
    "--ZMQChannelsWebsocketConnection.iopub_data_rate_limit",
    "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit",
)  # fmt: skip

#: What ``vaewidgets lab`` guarantees, whatever a configuration file says: only this machine, no foreign
#: origin, and a token that no password replaces.
_PINNED = (
    "--ServerApp.ip=127.0.0.1", "--ServerApp.sock=", "--ServerApp.disable_check_xsrf=False",
    "--ServerApp.allow_remote_access=False", "--ServerApp.local_hostnames=localhost",
    "--ServerApp.allow_origin=", "--ServerApp.allow_origin_pat=", "--ServerApp.allow_credentials=False",
    "--ServerApp.trust_xheaders=False", "--ServerApp.tornado_settings={}",
    "--ServerApp.identity_provider_class=jupyter_server.auth.identity.PasswordIdentityProvider",
    "--PasswordIdentityProvider.hashed_password=",
)  # fmt: skip

#: The configuration files that JupyterLab and its server read.
_CONFIGURATIONS = ("jupyter_server_config", "jupyter_lab_config", "jupyter_notebook_config")


def shipped_notebooks() -> tuple[Path, bool]:
    """Find the folder of the notebooks that belong to this package.

    Returns
    -------
    (folder, checkout) : tuple of Path and bool
        `checkout` is true in a working copy, whose notebooks are opened in place.

    Raises
    ------
    FileNotFoundError
        Neither a wheel nor a checkout holds them.
    """
    package = Path(__file__).parents[1]
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
    target: str | os.PathLike[str], source: Path | None = None, *, solutions: bool = False, sign: bool = True
) -> tuple[list[Path], list[Path]]:
    """Copy the notebooks to `target` without changing a file that is already there.

    Afterwards JupyterLab trusts all notebooks that are as they were shipped, old and new.

    Parameters
    ----------
    target : path
        Made if it does not exist.
    source : Path, optional
        The folder of notebooks to copy; that of this package if None.
    solutions : bool
        Copy the instructor's folder of solved exercises too.
    sign : bool
        False skips the signatures, which are the same for all copies, if they have just been made.

    Returns
    -------
    (written, kept) : lists of Path
        New files, and files left as they were because they differ from the shipped ones.

    Raises
    ------
    ValueError
        Something in `target` is in the way, or is a link that leads out of it. Nothing has been written then.
    FileNotFoundError
        There are no solutions here.
    """
    source = shipped_notebooks()[0] if source is None else source
    target = Path(target)
    check_folder(target)
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
        except FileExistsError:  # another process has just copied the same notebook
            continue
        written.append(target / name)
    if sign:
        sign_notebooks(source)
    return written, [target / name for name in kept]


def check_folder(path: Path) -> None:
    """Raise ValueError if `path` is a file, where a folder is there or can be made.

    Examples
    --------
    >>> check_folder(Path("not-made-yet"))
    """
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file; expected a folder, new or old. Name another one.")


def sign_notebooks(source: Path) -> None:
    """Make JupyterLab trust the notebooks of `source` that are as they shipped; warn if that fails."""
    try:
        trust.sign(source)
    except OSError as error:  # the notebooks work without signatures
        warnings.warn(str(error), stacklevel=2)


def course_in(folder: Path) -> list[Path]:
    """List the notebooks of the course that are in a folder, by the names under which they ship."""
    source = shipped_notebooks()[0]
    names = [path.relative_to(source) for path in _notebook_files(source) if path.suffix == ".ipynb"]
    return [folder / name for name in names if (folder / name).is_file()]


def lab_command(folder: Path, *, browser: bool = True, port: int | None = None, extra=()) -> list[str]:
    """Build the command that opens JupyterLab on `folder`, on this machine only and behind a token.

    Parameters
    ----------
    folder : Path
    browser : bool
    port : int, optional
        Use this port or fail; JupyterLab chooses one if None.
    extra : sequence of str
        Words that go to JupyterLab unchanged.

    Raises
    ------
    ValueError
        `extra` has another word than `FLAGS` and `OPTIONS` with their values.

    Examples
    --------
    >>> "--ServerApp.ip=127.0.0.1" in lab_command(Path("notebooks"), port=9999)
    True
    """
    takes_value = False
    for word in extra:
        name, equals, _ = word.partition("=")
        if not (word in FLAGS or name in OPTIONS or (takes_value and not word.startswith("-"))):
            raise ValueError(
                f"{word} is not passed on: it may change who can reach the server, and vaewidgets lab keeps "
                "it to this machine and behind its token. What may be asked for is "
                f"{', '.join((*FLAGS, *OPTIONS))}. For anything else start JupyterLab yourself: jupyter lab "
                f"{folder}"
            )
        takes_value = name in OPTIONS and not equals
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}", *extra, *_PINNED]
    if not browser:
        command.append("--no-browser")
    if port is not None:
        command.append(f"--ServerApp.port={port}")
        # JupyterLab refuses an option that is given twice.
        if not any(word.startswith("--ServerApp.port_retries") for word in extra):
            command.append("--ServerApp.port_retries=0")
    if is_root():
        command.append("--allow-root")
    return command


def check_start(port: int | None) -> None:
    """Check that JupyterLab can start on this machine with its token, before anything is done for it.

    Raises
    ------
    OSError
        `port` is taken; Jupyter's folders cannot be written.
    ValueError
        A configuration file, or the environment, takes the token away.
    """
    if port is not None:
        with socket.socket() as probe:
            if os.name == "posix":  # otherwise a port that was just closed counts as taken
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise OSError(
                    f"--port {port} cannot be used: {error.strerror}. Name another one, or leave --port out "
                    "for one that is free."
                ) from error
    if place := unwritable():
        raise OSError(
            f"{place} cannot be written, and JupyterLab keeps there what it runs on. Make it writable, or "
            "set HOME to a folder that is."
        )
    for name, sections in _configurations().items():
        for section, traits in sections.items():
            # An empty token turns the check of tokens off.
            if "token" in traits and not str(traits["token"]).strip("'\" "):
                raise ValueError(
                    f"{name} sets {section}.token to nothing, which would let everybody in who reaches this "
                    "machine's ports. Take it out of that file; its folder is one of those that jupyter "
                    "--paths lists."
                )
    token_file = os.environ.get("JUPYTER_TOKEN_FILE")
    if token_file and not os.environ.get("JUPYTER_TOKEN"):
        with safe_open(token_file) as file:
            if not file.read(4096).strip():
                raise ValueError(f"JUPYTER_TOKEN_FILE names {token_file}, which holds no token. Unset it.")


def unwritable() -> str:
    """Return the first of Jupyter's and IPython's own folders that cannot be written; "" if all can."""
    from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir, jupyter_runtime_dir

    ipython = os.environ.get("IPYTHONDIR") or Path.home() / ".ipython"
    folders = (jupyter_runtime_dir(), jupyter_data_dir(), jupyter_config_dir(), ipython)
    return next((str(folder) for folder in map(Path, folders) if not can_write(folder)), "")


def can_write(folder: Path) -> bool:
    """Tell whether files can be made in `folder`, which need not exist yet.

    Examples
    --------
    >>> can_write(Path("new/folder"))
    True
    """
    try:
        # Tried, not only asked: root has all rights in a read-only file system too.
        with tempfile.TemporaryDirectory(dir=nearest_existing(folder), prefix=".vaewidgets-"):
            return True
    except OSError:
        return False


def nearest_existing(folder: Path) -> Path:
    """Return `folder` if it exists, else the nearest of its parents that does.

    Examples
    --------
    >>> nearest_existing(Path("new/folder")) == Path.cwd()
    True
    """
    return next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))


def _configurations() -> dict[str, dict]:
    """Return the settings in Jupyter's configuration files, by the name of the file."""
    from jupyter_core.application import JupyterApp

    found = {}
    for name in _CONFIGURATIONS:
        settings = JupyterApp(config_file_name=name, log_level=logging.ERROR)
        settings.load_config_file()
        found[name] = dict(settings.config)
    return found


def launch(command: list[str]) -> int:
    """Run JupyterLab in the foreground until it ends; return its exit status."""
    # A kernelspec "python3" that another environment left in the user's folder would come first otherwise,
    # and its Python has no vaewidgets.
    environment = {**os.environ, "JUPYTER_PREFER_ENV_PATH": "1"}
    if os.name == "posix":
        # It replaces this process, so that signals, job control and the exit status are JupyterLab's own.
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(command[0], command, environment)
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:  # JupyterLab got it too, and asks whether to stop
                continue


def is_root() -> bool:
    """Tell whether this is root, as in a container, for whom JupyterLab needs ``--allow-root``."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _notebook_files(source: Path) -> list[Path]:
    return sorted(
        path
        for path in source.rglob("*")
        if path.is_file() and not any(part.startswith((".", "__")) for part in path.relative_to(source).parts)
    )


def _is_there(target: Path, name: Path) -> bool:
    """Tell whether `name` is in `target`; raise ValueError if something on the path to it is no folder."""
    for parent in reversed(name.parents[:-1]):
        here = target / parent
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
    data = source.read_bytes()
    try:
        with safe_open(target) as file:
            return file.read(len(data) + 1) == data
    except OSError:  # a link to nowhere, a FIFO, or a file that may not be read
        return False


def _write_new(path: Path, data: bytes) -> None:
    # "x" makes the file or fails, and follows no link: a file that another process has made stays.
    with path.open("xb") as file:
        try:
            file.write(data)
        except BaseException:
            path.unlink()
            raise
