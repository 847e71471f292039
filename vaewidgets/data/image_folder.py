"""Read a folder of images. Its content is not trusted: headers are checked first, no link is followed."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from vaewidgets._utils.text import sanitize

from .folder_layout import SUFFIXES, File, find_images, is_companion, is_hidden, name_some, split_of
from .image_file import decode, read_header
from .white_level import Range, check_white

#: Bytes of all images together, as float32.
LARGEST = 8 * 2**30


class Folder(NamedTuple):
    """What a folder holds.

    Attributes
    ----------
    images : ndarray of shape (N, C, H, W), uint8
        255 is white.
    labels : ndarray of shape (N,), int64, or None
        Index into `classes`.
    classes : tuple of str
        The names of the class folders; empty without labels.
    held_out : ndarray of shape (N,), bool, or None
        Whether an image lies in the second of `splits`; None where nothing is split.
    splits : tuple of str
        The names of the folders to train on and to hold out; empty where nothing is split.
    pixels : tuple of Range
        Which numbers the files hold, of each kind and split.
    left_out : tuple of str
        What else was there, and why it was not read.
    doubts : tuple of str
        What is likely a mistake; each has been a warning.
    """

    images: np.ndarray
    labels: np.ndarray | None
    classes: tuple[str, ...]
    held_out: np.ndarray | None
    splits: tuple[str, ...]
    pixels: tuple[Range, ...]
    left_out: tuple[str, ...]
    doubts: tuple[str, ...]


_T = TypeVar("_T")


def read_folder(
    folder: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
    white: float | None = None,
) -> Folder:
    """Read all images of a folder, in natural order (2 before 10).

    Images lie in the folder itself, or in one folder per class; or the folder holds one folder to train on
    and one that is held out (train/ and test/, training_set/ and validation/, ...) and nothing else, each
    laid out like that with the same classes. Files that do not end in one of `SUFFIXES`, what is hidden, and
    what systems and archive tools leave behind are left out; folders deeper down, and folders beside images,
    are errors. Links are never followed.

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
    white : float, optional
        The number that is white in every file. None: 255 of bytes, 65535 of 16 bits (of fewer where a TIFF
        says so); files of 32 bits must state it.

    Returns
    -------
    Folder
        Upright as EXIF says; transparency on black; of several frames the first; each pixel the nearest of
        256 levels.

    Raises
    ------
    ValueError
        No images, another layout, several sizes, more than `LARGEST`, or a file that cannot be read.
    OSError
        A folder that cannot be listed.

    Warns
    -----
    UserWarning
        Images that are left out, frames after the first, a folder of a class that is called like a split, no
        pixel half as bright as white.

    Examples
    --------
    >>> import numpy as np
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> for name in ("cat", "dog"):
    ...     Path("pets", name).mkdir(parents=True)
    ...     Image.fromarray(np.full((4, 5), 255, "uint8")).save(Path("pets", name, "1.png"))
    >>> found = read_folder("pets")
    >>> found.images.shape, found.classes, found.labels.tolist()
    ((2, 1, 4, 5), ('cat', 'dog'), [0, 1])
    """
    size = _check_size(size)
    check_white(white)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey), 3 (colour) or None; got {channels!r}.")
    if on_error not in ("refuse", "skip"):
        raise ValueError(f"on_error must be 'refuse' or 'skip'; got {on_error!r}.")
    others: list[Path] = []
    everything, classes, splits = find_images(Path(os.path.expanduser(folder)), others)
    classes, splits = tuple(map(_valid, classes)), tuple(map(_valid, splits))
    left_out: list[ValueError] = []

    headers = dict(_read_each(everything, read_header, on_error, left_out))
    _check_splits(headers, splits, left_out)
    channels = int(channels or (1 if all(header.is_grey for header in headers.values()) else 3))
    sizes = {file.path: header.size for file, header in headers.items()}
    # EXIF may turn an image when it is decoded, which exchanges height and width.
    if size is None and len({frozenset(stored) for stored in sizes.values()}) > 1:
        raise _mixed_sizes_error(sizes)
    _check_total(len(headers), channels, size or next(iter(sizes.values())))

    decoded = dict(_read_each(headers, lambda path: decode(path, size, channels, white), on_error, left_out))
    _check_splits(decoded, splits, left_out)
    sizes = {file.path: image.shape[1:] for file, (image, _) in decoded.items()}
    if len(set(sizes.values())) > 1:
        raise _mixed_sizes_error(sizes)
    found = _merge((splits[file.held_out] if splits else "", range_) for file, (_, range_) in decoded.items())
    several = [file.path for file in decoded if headers[file].has_frames]
    why, doubts = _describe_left_out(others, several, left_out, len(everything))
    doubts += [range_.doubt for range_ in found if range_.doubt]
    doubts += _doubt_masks([(file.path, range_) for file, (_, range_) in decoded.items()])
    doubts += _doubt_classes(classes)
    for doubt in doubts:
        warnings.warn(doubt, stacklevel=3)  # whoever called load_data
    return Folder(
        np.stack([image for image, _ in decoded.values()]),
        np.array([file.label for file in decoded], np.int64) if classes else None,
        tuple(map(sanitize, classes)),
        np.array([file.held_out for file in decoded]) if splits else None,
        splits,
        found,
        tuple(why),
        tuple(doubts),
    )


def _doubt_classes(classes: tuple[str, ...]) -> list[str]:
    names = [name for name in classes if split_of(name)]
    return names and [
        f"{', '.join(map(repr, names))} was taken for a class, though parts of a split are called so. If it "
        "is one, let train and test (or val) lie beside each other, and the classes in each of them."
    ]


def _doubt_masks(ranges: list[tuple[Path, Range]]) -> list[str]:
    """Doubt files of zeros and ones among files with larger numbers: they come out black."""
    levels = [(path, one) for path, one in ranges if one.kind != "bits" and not one.stated]
    masks = [path for path, one in levels if one.high == 1]
    if not masks or all(2 * one.high < one.white for _, one in levels):
        return []
    return [
        f"{_count(masks)} of zeros and ones among {len(levels):,} whose white is larger: {name_some(masks)}. "
        "They come out black; store white in them as it is in the others."
    ]


def _describe_left_out(
    others: list[Path], several: list[Path], broken: list[ValueError], total: int
) -> tuple[list[str], list[str]]:
    """Return what was left out and why, and which of that is likely a mistake."""
    hidden = [path for path in others if is_hidden(path.name)]
    seen = [path for path in others if not is_hidden(path.name)]
    companions = [path for path in seen if is_companion(path)]
    unread = [path for path in seen if not is_companion(path)]
    # "._a.png" is what macOS adds to an archive beside a.png.
    unseen = [p for p in hidden if p.suffix.lower() in SUFFIXES and not p.name.startswith("._")]
    more = f"; and {len(broken) - 3} more" if len(broken) > 3 else ""
    endings = sorted({path.suffix.lower() or "no ending" for path in unread})
    kinds = _valid(", ".join(endings[:5]) + (", ..." if len(endings) > 5 else ""))
    # The files of each group, the line about them in the report, and the warning.
    groups: list[tuple[Sequence[object], str, str]] = [
        (
            broken,
            f"{_count(broken)} that cannot be read",
            f"Left out {len(broken)} of {total} images: {' '.join(map(str, broken[:3]))}{more}",
        ),
        (
            unread,
            f"{_count(unread)} of a format that is not read ({kinds})",
            f"Left out {_count(unread)} of a format that is not read ({kinds}): {name_some(unread)}. Only "
            f"{' '.join(SUFFIXES)} are; convert them, or move them away if they are no images.",
        ),
        (
            several,
            f"all frames but the first of {_count(several)}",
            f"Of {_count(several)} with several frames only the first is read: {name_some(several)}. "
            "Save every frame as a file, or pass all of them as one array.",
        ),
        (hidden, f"{len(hidden):,} hidden, or left behind by a system", ""),
        (
            unseen,
            "",
            f"Left out {_count(unseen)} that would be read if the name did not begin with a dot: "
            f"{name_some(unseen)}. Rename them, or move them away.",
        ),
        (companions, f"{_count(companions)} of text or data", ""),
    ]
    why = [line for files, line, _ in groups if files and line]
    return why, [warning for files, _, warning in groups if files and warning]


def _valid(name: str) -> str:
    """Return a name with ? for what is no valid Unicode, which would break a page that shows it."""
    return name.encode("utf-8", "replace").decode()


def _count(things: Sequence[object]) -> str:
    return f"{len(things):,} file{'' if len(things) == 1 else 's'}"


def _merge(ranges: Iterable[tuple[str, Range]]) -> tuple[Range, ...]:
    """Merge the ranges of the same split and kind."""
    merged: dict[tuple, Range] = {}
    for split, one in ranges:
        key = split, one.kind, one.white
        all_ = merged.get(key, one)
        merged[key] = replace(all_, low=min(all_.low, one.low), high=max(all_.high, one.high), where=split)
    return tuple(merged.values())


def _read_each(
    files: Iterable[File], read: Callable[[Path], _T], on_error: str, left_out: list[ValueError]
) -> Iterator[tuple[File, _T]]:
    """Yield each file with the result of `read`; raise its errors, or collect them in `left_out`."""
    for file in files:
        try:
            result = read(file.path)
        except ValueError as error:
            if on_error == "refuse":
                raise ValueError(f"{error} Remove it, or pass on_error='skip'.") from error
            left_out.append(error)
        else:
            yield file, result


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


def _check_splits(files, splits: tuple[str, ...], left_out: list[ValueError]) -> None:
    if len({file.held_out for file in files}) < (len(splits) or 1):
        where = f"one of {' and '.join(splits)}" if splits else "the folder"
        raise ValueError(f"no image in {where} can be read. The first: {left_out[0]}")


def _mixed_sizes_error(sizes: dict[Path, tuple[int, int]]) -> ValueError:
    first = next(iter(sizes))
    other = next(path for path in sizes if sizes[path] != sizes[first])
    (h1, w1), (h2, w2) = sizes[first], sizes[other]
    return ValueError(
        f"images must have one size; there are {len(set(sizes.values()))}: {str(first)!r} is {w1} pixels "
        f"wide and {h1} high, {str(other)!r} is {w2} wide and {h2} high. Pass size= to resize all of them, "
        "for example size=64 or size=(height, width)."
    )
