"""Files written whole or not at all, and never over another unless asked."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


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
    folder that is read-only, Ctrl-C) fails before any old file is gone.
    """
    scratches = {}
    try:
        for path, data in files.items():
            handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            scratches[path] = scratch
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
