"""Open ordinary files only, and read each through one handle from its first byte to its last."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = {
    stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip


def safe_open(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open an ordinary file to read its bytes.

    The handle stays with the file that was opened, even if another file gets its name. The file must be read
    and not mapped into memory: if a mapped file is cut while it is used, the process is killed.

    Parameters
    ----------
    path : path
        A link is followed.

    Raises
    ------
    OSError
        The file does not exist, may not be read, or is no ordinary file: a FIFO would block without end, and
        a device would be read without end.

    Examples
    --------
    >>> from pathlib import Path
    >>> from vaewidgets._utils.safe_open import safe_open, size_of
    >>> Path("a.bin").write_bytes(bytes(10))
    10
    >>> with safe_open("a.bin") as file:
    ...     size_of(file)
    10
    """
    # Opening a device can make it act, so the kind is checked before; and after, because the file may have
    # been replaced in between.
    _check(path, os.stat(path).st_mode)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check(path, os.fstat(handle).st_mode)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def size_of(file: BinaryIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def kind_of(mode: int) -> str:
    """Name the kind of a file by its mode: "" for an ordinary file or a folder, else "a FIFO" and so on."""
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def _check(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{Path(path)} is a folder; expected a file.")
    if kind := kind_of(mode):
        raise OSError(f"{Path(path)} is {kind}; expected an ordinary file.")
