"""Files written whole or not at all, and never over another unless asked."""

from __future__ import annotations

import glob
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Seconds after which nobody is still writing a file, where no lock says so.
_DAY = 86_400


def check_free(path: str | os.PathLike, overwrite: bool) -> None:
    """Refuse a place that cannot be written, before any work is done for it.

    Raises
    ------
    IsADirectoryError, FileNotFoundError
        `path` is a folder, or lies in one that is not there.
    FileExistsError
        There is a file, and `overwrite` is False.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; expected a file to write.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}. Make it first.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists already. Name another file, or replace it with overwrite=True "
            "(--overwrite on the command line)."
        )


def write(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, each atomically.

    All are complete on the disk before the first takes its name: what usually fails (a full disk, a
    folder that is read-only, Ctrl-C) fails before any old file is gone. A process that is killed leaves
    hidden files that end in .part; the next to write the same file removes them.
    """
    scratches, locks = {}, []
    try:
        for path, data in files.items():
            _clear(path)
            handle, scratch = _open_scratch(path)
            scratches[path] = scratch
            if fcntl:
                # The lock lasts as long as one of its handles, and no longer than the process.
                locks.append(os.dup(handle))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes the file private; these are ordinary files.
            os.chmod(scratch, 0o666 & ~_umask())
        for path, scratch in scratches.items():
            os.replace(scratch, path)
    except BaseException:
        for scratch in scratches.values():
            Path(scratch).unlink(missing_ok=True)
        raise
    finally:
        for lock in locks:
            os.close(lock)


def _open_scratch(path: Path) -> tuple[int, str]:
    """Make and lock a file beside `path`; return its handle and name."""
    while True:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        if fcntl:
            with suppress(OSError):  # some network drives have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        # Before it was locked, another process may have taken it for abandoned.
        if os.fstat(handle).st_nlink:
            return handle, scratch
        os.close(handle)


def _clear(path: Path) -> None:
    """Remove what processes that were killed have half written of `path`."""
    # mkstemp puts eight letters there.
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with suppress(OSError):  # somebody is writing it, or has just removed it
            if fcntl is None:
                if time.time() - left.stat().st_mtime > _DAY:
                    left.unlink()
                continue
            with left.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
