"""Read images from .npz files. They are not trusted: nothing is unpickled, sizes are checked first."""

from __future__ import annotations

import io
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaewidgets._utils.safe_open import safe_open, size_of
from vaewidgets._utils.text import sanitize, truncate

#: Bytes of all images together, as float32.
LARGEST = 8 * 2**30
#: A small file can unpack to any size. More than the first number of bytes is allowed only up to the second
#: times the size of the file. Images shrink by a factor of about ten, and as float32 by about forty.
_MODEST, _RATIO = 2**24, 100
#: Bytes that are read at once from a file or a member; the directory of an archive is read as one piece.
_PIECE = 2**18
#: Characters of an array's header; numpy reads up to 10,000.
_HEADER = 2**14
#: Bytes for each image besides its pixels: its label, its place in the split, and copies of both.
_ROW = 64

_IMAGES, _LABELS = ("images", "x", "arr_0"), ("labels", "y", "arr_1")


def read_npz(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    """Read images, and labels if there are any, from a file written by ``numpy.savez``.

    Parameters
    ----------
    path : path
        An .npz with ``images`` (or ``x``, or the first positional array), and perhaps ``labels`` (``y``,
        or the second).

    Returns
    -------
    images : ndarray
    labels : ndarray of shape (N,) or None
    others : list of str
        The names of the arrays that are not read.

    Raises
    ------
    ValueError
        Not an .npz, damaged, no images in it, another number of labels, arrays of pickled objects, or more
        than `LARGEST`.
    OSError
        The file does not exist, may not be read, or is no ordinary file.

    Examples
    --------
    >>> import numpy as np
    >>> np.savez("shapes.npz", images=np.zeros((4, 8, 8), "uint8"), labels=np.arange(4), extra=np.zeros(1))
    >>> images, labels, others = read_npz("shapes.npz")
    >>> images.shape, labels.tolist(), others
    ((4, 8, 8), [0, 1, 2, 3], ['extra'])
    """
    path = Path(os.path.expanduser(path))
    with safe_open(path) as file:
        try:
            return _read(_LimitedReader(file), max(_MODEST, _RATIO * size_of(file)))
        except MemoryError as error:
            raise OSError(f"{path} does not fit into memory: it has {size_of(file):,} bytes.") from error
        # What zipfile and numpy raise on a damaged archive.
        except (
            ValueError, OSError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
        ) as error:  # fmt: skip
            raise ValueError(f"{path} cannot be read as an .npz of images: {truncate(error)}.") from error
        except Exception as error:  # zlib.error and struct.error share no base with the others
            raise ValueError(f"{path} is damaged: {truncate(error)}.") from error


class _LimitedReader(io.RawIOBase):
    """A file that refuses to read more than one piece at once, as zipfile would read a large directory.

    zipfile keeps hundreds of bytes for each member: many small ones would take more memory than the file.
    """

    def __init__(self, file) -> None:
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(_PIECE + 1 if size is None or size < 0 else min(size, _PIECE + 1))
        if len(data) > _PIECE:
            raise ValueError("its directory is larger than that of any .npz of images")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


class _Header(NamedTuple):
    """The header of the array in a member."""

    name: str
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype

    @property
    def values(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.values * self.dtype.itemsize


def _read(file: _LimitedReader, allowed: int) -> tuple[np.ndarray, np.ndarray | None, list[str]]:
    with zipfile.ZipFile(file) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}
        images, labels = (
            next((names[key] for key in keys if key in names), None) for keys in (_IMAGES, _LABELS)
        )
        if images is None:
            raise ValueError(
                f"no array called images in it, only {truncate(', '.join(sorted(names)) or 'nothing')}"
            )
        others = sorted(sanitize(name) for name, member in names.items() if member not in (images, labels))
        with _open(archive, images) as member:
            header = _read_header(archive, images, member)
            if not header.values:
                raise ValueError(f"{images} is empty, of shape {header.shape}: expected at least one image")
            if labels is None:
                _check_total(header, 0, allowed)
                return _read_array(member, header), None, others
            with _open(archive, labels) as other:
                said = _read_header(archive, labels, other)
                if said.shape != header.shape[:1]:
                    n = header.shape[0]
                    raise ValueError(
                        f"{n} images need {n} labels in one row; got labels of shape {said.shape}"
                    )
                _check_total(header, said.size, allowed)
                return _read_array(member, header), _read_array(other, said), others


def _open(archive: zipfile.ZipFile, name: str):
    # The other methods unpack a piece at once, to any size.
    if archive.getinfo(name).compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in another way than numpy.savez_compressed does it")
    return archive.open(name)


def _read_header(archive: zipfile.ZipFile, name: str, member) -> _Header:
    version = np.lib.format.read_magic(member)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has the unknown array format {version}")
    width = 2 if version == (1, 0) else 4
    start = _read_exactly(member, width)
    length = int.from_bytes(start, "little")
    if length > _HEADER:
        raise ValueError(f"{name} promises a header of {length:,} characters; numpy reads up to 10,000")
    text = io.BytesIO(start + _read_exactly(member, length))
    parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    header = _Header(name, *parse(text))
    if header.dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which are never opened")
    if min(header.shape, default=0) < 0 or header.dtype.itemsize == 0:
        raise ValueError(f"{name} holds no array: shape {header.shape} of {header.dtype}")
    there = archive.getinfo(name).file_size
    if header.size > there:
        raise ValueError(f"{name} promises {truncate(header.size)} bytes; the file holds {there}")
    return header


def _check_total(images: _Header, labels: int, allowed: int) -> None:
    """Refuse images and labels (in bytes) that would take more memory than `allowed`."""
    floats = max(images.size, 4 * images.values)
    if floats > LARGEST:
        raise ValueError(
            f"{images.name} makes {4 * images.values / 2**30:,.1f} GiB of float32; {LARGEST / 2**30:g} are "
            "the limit"
        )
    if floats + labels + _ROW * images.shape[0] > allowed:
        raise ValueError(
            f"{images.name} unpacks to {images.size:,} bytes, more than {_RATIO} times the size of the file "
            "once they are float32, which images do not do; if it is meant, write it with numpy.savez, which "
            "does not compress"
        )


def _read_array(member, header: _Header) -> np.ndarray:
    array = np.frombuffer(_read_exactly(member, header.size), header.dtype)
    member.read(1)  # at the end zipfile compares the checksum
    return array.reshape(header.shape, order="F" if header.fortran else "C")


def _read_exactly(member, size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        piece = member.read(min(_PIECE, size - at))
        if not piece:
            raise ValueError(f"it ends after {at:,} of {size:,} bytes")
        view[at : at + len(piece)] = piece
        at += len(piece)
    return data
