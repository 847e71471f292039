"""Images from files, hostile until checked: nothing is unpickled, no memory is taken on a promise."""

from __future__ import annotations

import math
import os
import zipfile
from pathlib import Path

import numpy as np

from .quoting import brief, tame

#: Bytes of all images together, as float32.
LARGEST = 8 * 2**30
#: A small file can unpack to any size: beyond so many bytes, to no more than so many times its own. Images
#: shrink by a factor of ten or so.
_MODEST, _RATIO = 2**28, 100

_IMAGES, _LABELS = ("images", "x", "arr_0"), ("labels", "y", "arr_1")


def read_npz(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and labels if there are any, from a file written by ``numpy.savez``.

    Parameters
    ----------
    path : path
        An .npz with ``images`` (or ``x``, or the first positional array), and perhaps ``labels`` (``y``,
        or the second).

    Returns
    -------
    images : ndarray
    labels : ndarray or None

    Raises
    ------
    ValueError
        Not an .npz, damaged, no images in it, arrays of pickled objects, or more than `LARGEST`.
    FileNotFoundError
    """
    path = Path(os.path.expanduser(path))
    try:
        with zipfile.ZipFile(path) as archive:
            images, labels, names = _members(archive)
            if images is None:
                raise ValueError(
                    f"no array called images in it, only {brief(', '.join(sorted(names)) or 'nothing')}"
                )
            allowed = max(_MODEST, _RATIO * path.stat().st_size)
            return tuple(name and _read(archive, name, allowed) for name in (images, labels))
    except FileNotFoundError:
        raise
    # Of a damaged archive zipfile and numpy raise whatever they stumble over.
    except (ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an .npz of images: {brief(error)}.") from error
    except Exception as error:  # zlib.error and struct.error share no base with the others
        raise ValueError(f"{path} is damaged: {brief(error)}.") from error


def other_arrays(path: str | os.PathLike) -> list[str]:
    """Name the arrays of an .npz that `read_npz` does not read."""
    with zipfile.ZipFile(os.path.expanduser(path)) as archive:
        *read, names = _members(archive)
    return sorted(tame(name) for name, member in names.items() if member not in read)


def _members(archive: zipfile.ZipFile) -> tuple[str | None, str | None, dict[str, str]]:
    """Return which members hold images and labels, and all members by the names of their arrays."""
    names = {name.removesuffix(".npy"): name for name in archive.namelist()}
    images, labels = (next((names[key] for key in keys if key in names), None) for keys in (_IMAGES, _LABELS))
    return images, labels, names


def _read(archive: zipfile.ZipFile, name: str, allowed: int) -> np.ndarray:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has the unknown array format {version}")
        header = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds pickled objects, which are never opened")
        values = math.prod(shape)
        size, there = values * dtype.itemsize, archive.getinfo(name).file_size
        if size > there:
            raise ValueError(f"{name} promises {brief(size)} bytes; the file holds {there}")
        if max(size, 4 * values) > LARGEST:
            raise ValueError(
                f"{name} makes {4 * values / 2**30:,.1f} GiB of float32; {LARGEST / 2**30:g} are the limit"
            )
        if size > allowed:
            raise ValueError(
                f"{name} unpacks to {size:,} bytes, more than {_RATIO} times the size of the file, which "
                "images do not do; if it is meant, write it with numpy.savez, which does not compress"
            )
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)
