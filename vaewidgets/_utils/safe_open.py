"""Files opened to be read: ordinary ones alone, and each by one handle from its first byte to its last."""

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

    Whatever takes the name of the file later, the handle stays with the one that was opened. It is read,
    never mapped into memory: a mapped file that is cut while it is used kills the process.

    Parameters
    ----------
    path : path
        A link is followed.

    Raises
    ------
    OSError
        It is not there, may not be read, or is no ordinary file: a FIFO would be waited for without end, a
        device be read without end.
    """
    # To open a device can be enough to make it act, so it is asked what it is before and, as it may have
    # been exchanged, after.
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
    """Say what a file of that mode is, if it is neither an ordinary file nor a folder; else nothing."""
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def _check(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(f"{Path(path)} is a folder; expected a file.")
    if kind := kind_of(mode):
        raise OSError(f"{Path(path)} is {kind}; expected an ordinary file.")
