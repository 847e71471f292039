"""Images from a folder, hostile until checked: headers first, no link followed, nothing written."""

from __future__ import annotations

import operator
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .quoting import brief, tame
from .reading import safe_open

#: The endings, in either case, of the files that are looked at.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

#: Pixels of one file. Larger ones are refused unseen: a small file can promise, or unpack to, any size.
LARGEST_IMAGE = 50_000_000

#: Bytes of all images together, as float32.
LARGEST = 8 * 2**30

# Pillow knows the format by the content: without this list a .png could be an EPS, which runs a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

_TILE_WIDTH, _TILE_HEIGHT = 322, 323


class Folder(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), uint8
    labels : ndarray of shape (N,), int64, or None
        Index into `classes`.
    classes : tuple of str
        The names of the class folders; empty without labels.
    held_out : ndarray of shape (N,), bool, or None
        Where the folder is split into train/ and test/: what lies in test/.
    """

    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    held_out: np.ndarray | None


class _File(NamedTuple):
    path: Path
    label: int
    held_out: bool


def read_folder(
    folder: str | os.PathLike,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
) -> Folder:
    """Read all images of a folder, in natural order (2 before 10).

    Images lie in the folder itself, or in one folder per class; or the folder holds train/ and test/ and
    nothing else, each laid out like that with the same classes. Hidden entries and files that do not end in
    one of `SUFFIXES` are ignored; folders deeper down, and folders beside images, are errors. Links are
    never followed.

    Parameters
    ----------
    folder : path
    size : int, (H, W) or None
        Every image is stretched to it, each pixel the mean of the area that it covers (Pillow's BOX, which
        neither aliases nor rings; enlarging repeats pixels). None: all must have one size.
    channels : 1, 3 or None
        None: 1 if every file is stored in grey, else 3. A file that stores colours, or a palette, is in
        colour even where all of them are grey.
    on_error : "refuse" or "skip"
        What to do about a file that is no image, damaged, a link, unreadable, or above `LARGEST_IMAGE`:
        raise, or leave it out and say so in a warning.

    Returns
    -------
    Folder
        Upright as EXIF says; transparency on black; of several frames the first; 16-bit grey as the nearest
        of 256 levels.

    Raises
    ------
    ValueError
        No images, another layout, several sizes, more than `LARGEST`, or a file that cannot be read.
    OSError
        A folder that cannot be listed.
    """
    size = _check_size(size)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey), 3 (colour) or None; got {channels!r}.")
    if on_error not in ("refuse", "skip"):
        raise ValueError(f"on_error must be 'refuse' or 'skip'; got {on_error!r}.")
    everything, classes, is_split = _find(Path(folder))
    left_out: list[ValueError] = []

    headers = dict(_each(everything, _header, on_error, left_out))
    _check_splits(headers, is_split, left_out)
    channels = int(channels or (1 if all(grey for _, grey in headers.values()) else 3))
    sizes = {file.path: stored for file, (stored, _) in headers.items()}
    # Until it is decoded, EXIF may yet turn an image.
    if size is None and len({frozenset(stored) for stored in sizes.values()}) > 1:
        raise _mixed(sizes)
    _check_total(len(headers), channels, size or next(iter(sizes.values())))

    pixels = dict(_each(headers, lambda path: _decode(path, size, channels), on_error, left_out))
    _check_splits(pixels, is_split, left_out)
    sizes = {file.path: image.shape[1:] for file, image in pixels.items()}
    if len(set(sizes.values())) > 1:
        raise _mixed(sizes)
    if left_out:
        more = f"; and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        warnings.warn(
            f"Left out {len(left_out)} of {len(everything)} images: "
            + " ".join(str(error) for error in left_out[:3])
            + more,
            stacklevel=3,  # whoever called load_data
        )
    return Folder(
        np.stack(list(pixels.values())),
        np.array([file.label for file in pixels], np.int64) if classes else None,
        # A name that is no valid Unicode would break the page that shows it.
        tuple(tame(name.encode("utf-8", "replace").decode()) for name in classes),
        np.array([file.held_out for file in pixels]) if is_split else None,
    )


def _find(folder: Path) -> tuple[list[_File], tuple[str, ...], bool]:
    """Return the files, the classes, and whether train/ and test/ split them."""
    images, folders = _list(folder)
    halves = {path.name.casefold(): path for path in folders}
    if images or not {"train", "test"} <= halves.keys():
        return *_find_classes(folder), False
    if len(folders) > 2:
        raise ValueError(
            f"{_quote(folder)} holds train and test, which are a split, beside other folders: "
            f"{_names(folders)}. Move the others away, or rename train and test if they are classes."
        )
    train, classes = _find_classes(halves["train"])
    test, others = _find_classes(halves["test"])
    if classes != others:
        raise ValueError(
            f"train and test in {_quote(folder)} must have folders for the same classes; only one of them "
            f"has {', '.join(map(repr, sorted({*classes} ^ {*others}, key=natural)))}."
        )
    return [*train, *(file._replace(held_out=True) for file in test)], classes, True


def _find_classes(folder: Path) -> tuple[list[_File], tuple[str, ...]]:
    images, folders = _list(folder)
    if images and folders:
        raise ValueError(
            f"{_quote(folder)} holds images ({_names(images)}) beside folders ({_names(folders)}): put all "
            "images into it, or each into the folder of its class."
        )
    if not images and not folders:
        raise _no_images(folder)
    files = [_File(path, 0, False) for path in images]
    for label, inner in enumerate(folders):
        images, deeper = _list(inner)
        if deeper:
            raise ValueError(
                f"{_quote(inner)} is the folder of a class, and holds folders: {_names(deeper)}. Images lie "
                "in one folder, in one folder per class, or in train and test that are laid out like that."
            )
        if not images:
            raise _no_images(inner)
        files += [_File(path, label, False) for path in images]
    return files, tuple(inner.name for inner in folders)


def _list(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return images and folders, without what is hidden or neither."""
    images, folders = [], []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: natural(entry.name)):
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if os.path.isdir(path):
                if entry.is_symlink():
                    raise ValueError(f"{_quote(path)} is a link; none is followed: put a copy there.")
                folders.append(path)
            elif path.suffix.lower() in SUFFIXES:
                images.append(path)
    return images, folders


def natural(name: str) -> tuple:
    """Return what sorts names in natural order: 2 before 10, in either case."""
    parts = re.split("([0-9]+)", name.casefold())
    return [int(part) if odd % 2 else part for odd, part in enumerate(parts)], name


def _each(files, read: Callable, on_error: str, left_out: list[ValueError]) -> Iterator[tuple[_File, object]]:
    """Yield each file with what `read` makes of its path; errors are raised, or collected in `left_out`."""
    for file in files:
        try:
            result = read(file.path)
        except ValueError as error:
            if on_error == "refuse":
                raise ValueError(f"{error} Remove it, or pass on_error='skip'.") from error
            left_out.append(error)
        else:
            yield file, result


@contextmanager
def _open(path: Path):
    """Open an image without decoding it; whatever goes wrong in the block is a ValueError that names it."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ValueError("it is a link, which is not followed, or no plain file")
        # Pillow maps an uncompressed TIFF that it opens by name into memory, and garbles it if it is turned.
        with safe_open(path) as file, Image.open(file, formats=_FORMATS) as image:
            # A tile of a TIFF is decoded whole, however little of it lies within the image.
            tags = getattr(image, "tag_v2", {})
            tile = int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0))
            for width, height in (image.size, tile):
                if width * height > LARGEST_IMAGE:
                    raise ValueError(
                        f"its header promises {width} x {height} pixels; {LARGEST_IMAGE:,} are the limit"
                    )
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{_quote(path)} is no {', '.join(_FORMATS)}, or its header is damaged.") from error
    except Exception as error:  # Pillow's parsers raise whatever they stumble over in a damaged file
        raise ValueError(f"{_quote(path)} cannot be read as an image: {brief(error)}.") from error


def _header(path: Path) -> tuple[tuple[int, int], bool]:
    """Return (H, W) as stored, and whether it is grey."""
    with _open(path) as image:
        return (image.height, image.width), image.mode in ("1", "L", "LA", "La") or image.mode[0] == "I"


def _decode(path: Path, size: tuple[int, int] | None, channels: int) -> np.ndarray:
    """Return uint8 of shape (C, H, W)."""
    from PIL import Image, ImageOps

    with _open(path) as image:
        is_png, image = image.format == "PNG", ImageOps.exif_transpose(image)
        # Before 11, Pillow opens the 16 bits of a PNG as 32.
        if image.mode.startswith("I;16") or (image.mode == "I" and is_png):
            # Pillow's own conversion clips 16 bits to 8. 65535 = 257 * 255.
            image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError("its pixels have 32 bits, and what white is they do not say: save 8 or 16 bits")
        elif image.has_transparency_data:
            image = image.convert("RGBA")
            black = Image.new("RGB", image.size)
            black.paste(image, mask=image.getchannel("A"))
            image = black
        if image.mode not in ("1", "L"):
            image = image.convert("RGB")
        image = image.convert("L" if channels == 1 else "RGB")
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BOX)
        pixels = np.asarray(image).reshape(image.height, image.width, channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check_size(size) -> tuple[int, int] | None:
    if size is None:
        return None
    try:
        height, width = map(operator.index, size if isinstance(size, (tuple, list)) else (size, size))
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(f"size is one number of pixels, or (height, width), from 1 up; got {size!r}.")
    return height, width


def _check_total(n: int, channels: int, size: tuple[int, int]) -> None:
    height, width = size
    total = 4 * n * channels * height * width
    if total > LARGEST:
        raise ValueError(
            f"{n:,} images of {channels} x {height} x {width} make {total / 2**30:,.1f} GiB of float32, and "
            f"{LARGEST / 2**30:g} GiB are the limit. Pass a smaller size=, for example size=64."
        )


def _check_splits(files, is_split: bool, left_out: list[ValueError]) -> None:
    if len({file.held_out for file in files}) < 1 + is_split:
        where = "one of train and test" if is_split else "the folder"
        raise ValueError(f"no image in {where} can be read. The first: {left_out[0]}")


def _mixed(sizes: dict[Path, tuple[int, int]]) -> ValueError:
    first = next(iter(sizes))
    other = next(path for path in sizes if sizes[path] != sizes[first])
    (h1, w1), (h2, w2) = sizes[first], sizes[other]
    return ValueError(
        f"images must have one size; there are {len(set(sizes.values()))}: {_quote(first)} is {w1} pixels "
        f"wide and {h1} high, {_quote(other)} is {w2} wide and {h2} high. Pass size= to resize all of them, "
        "for example size=64 or size=(height, width)."
    )


def _no_images(folder: Path) -> ValueError:
    return ValueError(
        f"{_quote(folder)} holds no images: files ending in {' '.join(SUFFIXES)} are looked for, in upper or "
        "lower case and not hidden."
    )


def _names(paths: list[Path]) -> str:
    return ", ".join(repr(path.name) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")


def _quote(path: Path) -> str:
    return repr(str(path))
