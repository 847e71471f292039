"""Write files whole or not at all, and replace others only when asked."""

from __future__ import annotations

import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from .safe_open import kind_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module that may be missing has no other form

#: Without locks, a temporary file is abandoned if it is older than so many seconds.
_DAY = 86_400


def check_free(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise if a file cannot be written, before any work is done for it.

    Raises
    ------
    IsADirectoryError, FileNotFoundError
        `path` is a folder, or lies in one that does not exist.
    FileExistsError
        The file exists, and `overwrite` is False.
    PermissionError
        The folder cannot be written.
    OSError
        `path` is a device or a FIFO, or a link that leads nowhere.

    Examples
    --------
    >>> from vaewidgets._utils.atomic_write import check_free
    >>> check_free("new.txt", overwrite=False)
    """
    place = destination(path)
    if place.exists() and not overwrite:
        raise _exists_error(path)
    if not os.access(place.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: the folder {place.parent} cannot be written. Name another one.")


def destination(path: str | os.PathLike[str]) -> Path:
    """Return the file that `path` names, after links.

    Raises
    ------
    OSError
        There is no ordinary file, and there can be none.
    """
    path = Path(path)
    place = Path(os.path.realpath(path))
    try:
        mode = place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise FileNotFoundError(
                f"{path} is a link to {place}, which is not there. Remove it, or name another file."
            ) from None
        if not place.parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no folder {path.parent}. Make it first.") from None
        return place
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{path} is a folder; expected a file to write.")
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, f"{path} is a link that leads back to itself. Remove it")
    if kind := kind_of(mode):
        raise OSError(f"{path} is {kind}: only ordinary files are replaced. Name another file.")
    return place


def write(files: Mapping[Path, bytes], overwrite: bool = True) -> None:
    """Write files that belong together, each atomically.

    All are complete on the disk, under temporary names, before the first one gets its name. So the usual
    errors (a full disk, a read-only folder, Ctrl-C) come before an old file is replaced. The new file has the
    permissions of the old one; a link stays, and its file is replaced. A process that is killed leaves hidden
    files that end in .part, which the next writer of the same file removes.

    Parameters
    ----------
    files : mapping of Path to bytes
    overwrite : bool
        False: if one of the files exists, it stays, and none is written.

    Raises
    ------
    FileExistsError
        A file exists, and `overwrite` is False.
    OSError
        A file cannot be written, or is no ordinary file.

    Examples
    --------
    >>> from pathlib import Path
    >>> from vaewidgets._utils.atomic_write import write
    >>> write({Path("a.txt"): b"one", Path("b.txt"): b"two"})
    >>> Path("a.txt").read_bytes(), sorted(path.name for path in Path().iterdir())
    (b'one', ['a.txt', 'b.txt'])
    """
    scratches, locks, made = {}, [], []
    try:
        for path, data in files.items():
            place = destination(path)
            _remove_abandoned(place)
            handle, scratch = _open_scratch(place)
            scratches[path] = place, scratch
            if fcntl:
                # The lock lasts as long as one of its handles, and no longer than the process.
                locks.append(os.dup(handle))
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes a file that only its owner may read.
            os.chmod(scratch, _permissions(place))
        for path, (place, scratch) in scratches.items():
            if overwrite:
                os.replace(scratch, place)
            else:
                _rename_new(path, place, scratch)
                made.append(place)
    except BaseException:
        for place in made:
            place.unlink(missing_ok=True)
        for _, scratch in scratches.values():
            Path(scratch).unlink(missing_ok=True)
        raise
    finally:
        for lock in locks:
            os.close(lock)


@contextmanager
def claim(path: str | os.PathLike[str]):
    """Hold a lock on `path` in this block, so that no other process that asks for it writes the file.

    The lock is a hidden file beside it. It ends with the process, however the process ends.

    Raises
    ------
    FileExistsError
        Another process holds the lock.
    OSError
        `path` cannot be written.

    Examples
    --------
    >>> from vaewidgets._utils.atomic_write import claim
    >>> with claim("m.txt"):
    ...     pass
    """
    place = destination(path)
    name = place.with_name(f".{place.name}.lock")
    taken = FileExistsError(
        f"{path} is being written by another process: wait until it is done, or name another file."
    )
    # Windows removes the file with its last handle, and until then nobody can create it again.
    flags = (
        os.O_RDWR
        | os.O_CREAT
        | (getattr(os, "O_NOFOLLOW", 0) if fcntl else os.O_EXCL | getattr(os, "O_TEMPORARY", 0))
    )
    while True:
        try:
            handle = os.open(name, flags, 0o600)
        except FileExistsError:
            raise taken from None
        except OSError as error:
            raise OSError(
                f"{path} cannot be written: {error.strerror}. Name a file in another folder, or make this "
                "one writable."
            ) from error
        if not fcntl:
            break
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise taken from None
        except OSError:  # some network drives have no locks
            pass
        # Before the lock was taken, its last holder may have removed the file.
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)
    try:
        yield
    finally:
        if fcntl:
            with suppress(OSError):
                name.unlink()
        os.close(handle)


def _exists_error(path) -> FileExistsError:
    return FileExistsError(
        f"{path} exists already. Name another file, or replace it with overwrite=True "
        "(--overwrite on the command line)."
    )


def _rename_new(path: Path, place: Path, scratch: str) -> None:
    """Rename a temporary file unless a file of the new name exists; one system call does both."""
    try:
        os.link(scratch, place)
    except FileExistsError:
        raise _exists_error(path) from None
    except OSError:  # some drives have no hard links: an empty file reserves the name
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise _exists_error(path) from None
        os.replace(scratch, place)
    else:
        os.unlink(scratch)


def _permissions(place: Path) -> int:
    """Return the permissions of the existing file, or those of a new one."""
    try:
        return stat.S_IMODE(place.stat().st_mode) & 0o777
    except FileNotFoundError:
        mask = os.umask(0)  # the only way to read it
        os.umask(mask)
        return 0o666 & ~mask


def _open_scratch(path: Path) -> tuple[int, str]:
    """Create and lock a temporary file beside `path`; return its handle and name."""
    while True:
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        if fcntl:
            with suppress(OSError):  # some network drives have no locks
                fcntl.flock(handle, fcntl.LOCK_EX)
        # Before it was locked, another process may have removed it as abandoned.
        if os.fstat(handle).st_nlink:
            return handle, scratch
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove the temporary files of `path` that killed processes have left."""
    # mkstemp inserts eight characters.
    for left in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with suppress(OSError):  # another process is writing it, or has just removed it
            if fcntl is None:
                if time.time() - left.stat().st_mtime > _DAY:
                    left.unlink()
                continue
            if not stat.S_ISREG(left.lstat().st_mode):
                continue
            with left.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                left.unlink()
