"""Images from a folder, hostile until checked: headers first, no link followed, nothing written."""

from __future__ import annotations

import operator
import os
import re
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from vaewidgets._utils.safe_open import safe_open
from vaewidgets._utils.text import natural, sanitize, truncate

from .white_level import Range, check_inside, check_white

#: The endings, in either case, of the files that are looked at.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

#: Pixels of one file. Larger ones are refused unseen: a small file can promise, or unpack to, any size.
LARGEST_IMAGE = 50_000_000

#: Bytes of all images together, as float32.
LARGEST = 8 * 2**30

# Pillow knows the format by the content: without this list a .png could be an EPS, which runs a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

_BITS, _TILE_WIDTH, _TILE_HEIGHT = 258, 322, 323

# How a folder is called that holds the images to train on, or those that are held out: the word alone, or
# with what usually stands around it (seg_train, training_set, trainA, val2017, 1_train).
_AROUND = r"(?:seg|data|dataset|set|images?|imgs?|split|public|private|[abx])"
_SPLIT = re.compile(
    rf"(?:[0-9]+[\W_]+)?(?:{_AROUND}[\W_]*)?"
    r"(?:(?P<train>train|training|trn|train[\W_]*val)|(?P<held_out>test|testing|tst|val|valid|validate|"
    r"validation|dev|eval|evaluation|hold[\W_]*out|held[\W_]*out))"
    rf"[\W_]*{_AROUND}?[\W_]*(?:(?:19|20)[0-9][0-9])?"
)

# What systems and archive tools leave behind, in lower case; what begins with a dot goes without saying.
_DEBRIS = {
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r",
}  # fmt: skip

# What lies beside images without being one, so that to leave it out is no surprise.
_COMPANIONS = {
    ".txt", ".md", ".rst", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini",
    ".cfg", ".log", ".html", ".htm", ".py", ".ipynb", ".bib", ".url", ".md5", ".sha1", ".sha256", ".db",
}  # fmt: skip
_COMPANION_NAMES = {"readme", "license", "licence", "copying", "notice", "citation", "changelog", "makefile"}


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
        Where two folders split it: what lies in the second of `splits`.
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


class _File(NamedTuple):
    path: Path
    label: int
    held_out: bool


class _Header(NamedTuple):
    size: tuple[int, int]
    is_grey: bool
    has_frames: bool


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
    """
    size = _check_size(size)
    check_white(white)
    if channels not in (None, 1, 3):
        raise ValueError(f"channels must be 1 (grey), 3 (colour) or None; got {channels!r}.")
    if on_error not in ("refuse", "skip"):
        raise ValueError(f"on_error must be 'refuse' or 'skip'; got {on_error!r}.")
    others: list[Path] = []
    everything, classes, splits = _find(Path(os.path.expanduser(folder)), others)
    classes, splits = tuple(map(_valid, classes)), tuple(map(_valid, splits))
    left_out: list[ValueError] = []

    headers = dict(_each(everything, _header, on_error, left_out))
    _check_splits(headers, splits, left_out)
    channels = int(channels or (1 if all(header.is_grey for header in headers.values()) else 3))
    sizes = {file.path: header.size for file, header in headers.items()}
    # Until it is decoded, EXIF may yet turn an image.
    if size is None and len({frozenset(stored) for stored in sizes.values()}) > 1:
        raise _mixed(sizes)
    _check_total(len(headers), channels, size or next(iter(sizes.values())))

    decoded = dict(_each(headers, lambda path: _decode(path, size, channels, white), on_error, left_out))
    _check_splits(decoded, splits, left_out)
    sizes = {file.path: image.shape[1:] for file, (image, _) in decoded.items()}
    if len(set(sizes.values())) > 1:
        raise _mixed(sizes)
    found = _merge((splits[file.held_out] if splits else "", range_) for file, (_, range_) in decoded.items())
    several = [file.path for file in decoded if headers[file].has_frames]
    why, doubts = _account(others, several, left_out, len(everything))
    doubts += [range_.doubt for range_ in found if range_.doubt]
    doubts += _masks_among([(file.path, range_) for file, (_, range_) in decoded.items()])
    doubts += _splits_among(classes)
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


def _find(folder: Path, others: list[Path]) -> tuple[list[_File], tuple[str, ...], tuple[str, ...]]:
    """Return the files, the classes, and the names of the folders that split them, if two do."""
    images, folders = _list(folder, others)
    split = {path: _split_of(path.name) for path in folders}
    train, held_out = ([path for path in folders if split[path] == part] for part in ("train", "held_out"))
    if images or not (train or held_out):
        return *_find_classes(folder, images, folders, others), ()
    if not (train and held_out):
        if len(train + held_out) < len(folders):
            return *_find_classes(folder, images, folders, others), ()
        raise ValueError(
            f"{_quote(folder)} holds only {_names(folders)}, as parts of a split are called, and no classes: "
            "one part to train on (train) and one that is held out (test or val) are expected. Name one of "
            "the folders itself to split what it holds at random, or rename them if they are classes."
        )
    names = train[0].name, held_out[0].name
    if len(folders) > 2:
        raise ValueError(
            f"{_quote(folder)} holds {names[0]} and {names[1]}, which are a split, beside other folders: "
            f"{_names([path for path in folders if path.name not in names])}. Move the others away, or "
            f"rename {names[0]} and {names[1]} if they are classes."
        )
    first, classes = _find_classes(train[0], *_list(train[0], others), others)
    second, their_classes = _find_classes(held_out[0], *_list(held_out[0], others), others)
    if classes != their_classes:
        raise ValueError(
            f"{names[0]} and {names[1]} in {_quote(folder)} must have folders for the same classes; only one "
            f"of them has {', '.join(map(repr, sorted({*classes} ^ {*their_classes}, key=natural)))}."
        )
    return [*first, *(file._replace(held_out=True) for file in second)], classes, names


def _find_classes(
    folder: Path, images: list[Path], folders: list[Path], others: list[Path]
) -> tuple[list[_File], tuple[str, ...]]:
    if images and folders:
        raise ValueError(
            f"{_quote(folder)} holds images ({_names(images)}) beside folders ({_names(folders)}): put all "
            "images into it, or each into the folder of its class."
        )
    if not images and not folders:
        raise _no_images(folder)
    files = [_File(path, 0, False) for path in images]
    for label, inner in enumerate(folders):
        images, deeper = _list(inner, others)
        if deeper:
            raise ValueError(
                f"{_quote(inner)} is the folder of a class, and holds folders: {_names(deeper)}. Images lie "
                "in one folder, in one folder per class, or in train and test that are laid out like that."
            )
        if not images:
            raise _no_images(inner)
        files += [_File(path, label, False) for path in images]
    return files, tuple(inner.name for inner in folders)


def _list(folder: Path, others: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return images and folders; what is neither, hidden, or debris is added to `others`."""
    images: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: natural(entry.name)):
            path = folder / entry.name
            if _is_hidden(entry.name):
                others.append(path)
            elif os.path.isdir(path):
                if entry.is_symlink():
                    raise ValueError(f"{_quote(path)} is a link; none is followed: put a copy there.")
                folders.append(path)
            else:
                (images if path.suffix.lower() in SUFFIXES else others).append(path)
    return images, folders


def _is_hidden(name: str) -> bool:
    low = name.lower()
    return low.startswith(".") or low in _DEBRIS or low.endswith(":zone.identifier")


def _is_companion(path: Path) -> bool:
    return path.suffix.lower() in _COMPANIONS or path.name.lower() in _COMPANION_NAMES


def _split_of(name: str) -> str | None:
    """Return "train" or "held_out" of a folder that is called like a part of a split."""
    match = _SPLIT.fullmatch(name.casefold())
    return match and match.lastgroup


def _splits_among(classes: tuple[str, ...]) -> list[str]:
    names = [name for name in classes if _split_of(name)]
    return names and [
        f"{', '.join(map(repr, names))} was taken for a class, though parts of a split are called so. If it "
        "is one, let train and test (or val) lie beside each other, and the classes in each of them."
    ]


def _masks_among(ranges: list[tuple[Path, Range]]) -> list[str]:
    """Doubt files of zeros and ones among bytes that go further: those alone come out black."""
    levels = [(path, one) for path, one in ranges if one.kind != "bits" and not one.stated]
    masks = [path for path, one in levels if one.high == 1]
    if not masks or all(2 * one.high < one.white for _, one in levels):
        return []
    return [
        f"{_count(masks)} of zeros and ones among {len(levels):,} whose white is larger: {_names(masks)}. "
        "They come out black; store white in them as it is in the others."
    ]


def _account(
    others: list[Path], several: list[Path], broken: list[ValueError], total: int
) -> tuple[list[str], list[str]]:
    """Say what was left out and why; and which of that is likely a mistake."""
    hidden = [path for path in others if _is_hidden(path.name)]
    seen = [path for path in others if not _is_hidden(path.name)]
    companions = [path for path in seen if _is_companion(path)]
    unread = [path for path in seen if not _is_companion(path)]
    # "._a.png" is what macOS adds to an archive beside a.png.
    unseen = [p for p in hidden if p.suffix.lower() in SUFFIXES and not p.name.startswith("._")]
    why, doubts = [], []
    if broken:
        more = f"; and {len(broken) - 3} more" if len(broken) > 3 else ""
        why.append(f"{_count(broken)} that cannot be read")
        doubts.append(f"Left out {len(broken)} of {total} images: " + " ".join(map(str, broken[:3])) + more)
    if unread:
        endings = sorted({path.suffix.lower() or "no ending" for path in unread})
        kinds = _valid(", ".join(endings[:5]) + (", ..." if len(endings) > 5 else ""))
        why.append(f"{_count(unread)} of a format that is not read ({kinds})")
        doubts.append(
            f"Left out {_count(unread)} of a format that is not read ({kinds}): {_names(unread)}. Only "
            f"{' '.join(SUFFIXES)} are; convert them, or move them away if they are no images."
        )
    if several:
        why.append(f"all frames but the first of {_count(several)}")
        doubts.append(
            f"Of {_count(several)} with several frames only the first is read: {_names(several)}. "
            "Save every frame as a file, or pass all of them as one array."
        )
    if hidden:
        why.append(f"{len(hidden):,} hidden, or left behind by a system")
    if unseen:
        doubts.append(
            f"Left out {_count(unseen)} that would be read if the name did not begin with a dot: "
            f"{_names(unseen)}. Rename them, or move them away."
        )
    if companions:
        why.append(f"{_count(companions)} of text or data")
    return why, doubts


def _valid(name: str) -> str:
    """Return a name that can be printed: what is no valid Unicode would break the page that shows it."""
    return name.encode("utf-8", "replace").decode()


def _count(things: list) -> str:
    return f"{len(things):,} file{'' if len(things) == 1 else 's'}"


def _merge(ranges: Iterable[tuple[str, Range]]) -> tuple[Range, ...]:
    """Make one range of all that are of the same split and kind."""
    merged: dict[tuple, Range] = {}
    for split, one in ranges:
        key = split, one.kind, one.white
        all_ = merged.get(key, one)
        merged[key] = replace(all_, low=min(all_.low, one.low), high=max(all_.high, one.high), where=split)
    return tuple(merged.values())


def _each(
    files: Iterable[_File], read: Callable[[Path], _T], on_error: str, left_out: list[ValueError]
) -> Iterator[tuple[_File, _T]]:
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
        raise ValueError(f"{_quote(path)} cannot be read as an image: {truncate(error)}.") from error


def _header(path: Path) -> _Header:
    """Return (H, W) as stored, whether it is grey, and whether more than one frame is there."""
    with _open(path) as image:
        is_grey = image.mode in ("1", "L", "LA", "La") or image.mode[0] == "I"
        return _Header((image.height, image.width), is_grey, getattr(image, "is_animated", False))


def _decode(
    path: Path, size: tuple[int, int] | None, channels: int, white: float | None
) -> tuple[np.ndarray, Range]:
    """Return uint8 of shape (C, H, W), 255 being white, and the numbers that the file holds."""
    from PIL import Image, ImageOps

    with _open(path) as image:
        is_png, bits = image.format == "PNG", _bits(image)
        # Of 16-bit colours, and of grey with transparency, Pillow reads the upper half without a word.
        halved = image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in image.tile)
        image = ImageOps.exif_transpose(image)
        # Before 11, Pillow opens the 16 bits of a PNG as 32.
        if image.mode.startswith("I;16") or (image.mode == "I" and is_png):
            kind, assumed = f"{bits}-bit levels", 2**bits - 1
        elif image.mode in ("I", "F"):
            if white is None:
                raise ValueError(
                    "its pixels have 32 bits, and what white is they do not say: save 8 or 16 bits, or pass "
                    "white=, the number that is white"
                )
            kind, assumed = "32-bit numbers", white
        elif image.mode == "1":
            kind, assumed, image = "bits", 1, image.convert("L")
        else:
            kind, assumed = ("upper bytes of 16 bits" if halved else "bytes"), 255
            if image.has_transparency_data:
                image = image.convert("RGBA")
                black = Image.new("RGB", image.size)
                black.paste(image, mask=image.getchannel("A"))
                image = black
            if image.mode != "L":
                image = image.convert("RGB")
        values = np.asarray(image)
        if kind == "bits":
            found = Range(kind, 1, values.min().item() / 255, values.max().item() / 255)
        else:
            found = Range(
                kind, white or assumed, values.min().item(), values.max().item(), stated=white is not None
            )
            if white is not None:
                if white > assumed:
                    raise ValueError(f"white={white:g} is more than its {kind} can be, at most {assumed:g}")
                check_inside(found.low, found.high, white)
            if kind != "bytes" or found.white != 255:
                # Pillow's own conversion clips 16 bits to 8.
                image = Image.fromarray(np.rint(values * (255 / found.white)).astype(np.uint8))
        image = image.convert("L" if channels == 1 else "RGB")
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BOX)
        pixels = np.asarray(image).reshape(image.height, image.width, channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), found


def _bits(image) -> int:
    """Return how many bits of each 16 a file says that it uses: a TIFF may use 12."""
    stated = getattr(image, "tag_v2", {}).get(_BITS, 16)
    bits = stated[0] if isinstance(stated, tuple) and stated else stated
    return bits if isinstance(bits, int) and 8 < bits < 16 else 16


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
