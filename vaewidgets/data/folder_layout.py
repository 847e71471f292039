"""Which files of a folder are images, and of which class and split: told by names alone."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

from vaewidgets._utils.text import natural

#: The endings, in either case, of the files that are looked at.
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")

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


class File(NamedTuple):
    """The `path` of an image file, its `label` (the index of its class), and whether it is `held_out`."""

    path: Path
    label: int
    held_out: bool


def find_images(folder: Path, others: list[Path]) -> tuple[list[File], tuple[str, ...], tuple[str, ...]]:
    """Find the images of a folder, in natural order; no link is followed.

    Parameters
    ----------
    folder : Path
    others : list of Path
        What is neither an image nor a folder is added to it.

    Returns
    -------
    files : list of File
    classes : tuple of str
        The names of the class folders; empty without classes.
    splits : tuple of str
        The names of the folders to train on and to hold out; empty where nothing is split.

    Raises
    ------
    ValueError
        No images, or another layout than `image_folder.read_folder` describes.
    OSError
        A folder that cannot be listed.
    """
    images, folders = _list(folder, others)
    parts = [split_of(path.name) for path in folders]
    if images or not any(parts) or (None in parts and len({*parts}) == 2):
        return *_find_classes(folder, images, folders, others), ()
    train, held_out = (
        [path for path, own in zip(folders, parts, strict=True) if own == part]
        for part in ("train", "held_out")
    )
    if not (train and held_out):
        raise ValueError(
            f"{str(folder)!r} holds only {name_some(folders)}, as parts of a split are called, and no "
            "classes: one part to train on (train) and one that is held out (test or val) are expected. Name "
            "one of the folders itself to split what it holds at random, or rename them if they are classes."
        )
    names = train[0].name, held_out[0].name
    if len(folders) > 2:
        raise ValueError(
            f"{str(folder)!r} holds {names[0]} and {names[1]}, which are a split, beside other folders: "
            f"{name_some([path for path in folders if path.name not in names])}. Move the others away, or "
            f"rename {names[0]} and {names[1]} if they are classes."
        )
    first, classes = _find_classes(train[0], *_list(train[0], others), others)
    second, their_classes = _find_classes(held_out[0], *_list(held_out[0], others), others)
    if classes != their_classes:
        raise ValueError(
            f"{names[0]} and {names[1]} in {str(folder)!r} must have folders for the same classes; only one "
            f"of them has {', '.join(map(repr, sorted({*classes} ^ {*their_classes}, key=natural)))}."
        )
    return [*first, *(file._replace(held_out=True) for file in second)], classes, names


def _find_classes(
    folder: Path, images: list[Path], folders: list[Path], others: list[Path]
) -> tuple[list[File], tuple[str, ...]]:
    if images and folders:
        raise ValueError(
            f"{str(folder)!r} holds images ({name_some(images)}) beside folders ({name_some(folders)}): put "
            "all images into it, or each into the folder of its class."
        )
    if not images and not folders:
        raise _no_images_error(folder)
    files = [File(path, 0, False) for path in images]
    for label, inner in enumerate(folders):
        images, deeper = _list(inner, others)
        if deeper:
            raise ValueError(
                f"{str(inner)!r} is the folder of a class, and holds folders: {name_some(deeper)}. Images "
                "lie in one folder, in one folder per class, or in train and test that are laid out like "
                "that."
            )
        if not images:
            raise _no_images_error(inner)
        files += [File(path, label, False) for path in images]
    return files, tuple(inner.name for inner in folders)


def _list(folder: Path, others: list[Path]) -> tuple[list[Path], list[Path]]:
    """Return images and folders; what is neither, hidden, or debris is added to `others`."""
    images: list[Path] = []
    folders: list[Path] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: natural(entry.name)):
            path = folder / entry.name
            if is_hidden(entry.name):
                others.append(path)
            elif os.path.isdir(path):
                if entry.is_symlink():
                    raise ValueError(f"{str(path)!r} is a link; none is followed: put a copy there.")
                folders.append(path)
            else:
                (images if path.suffix.lower() in SUFFIXES else others).append(path)
    return images, folders


def is_hidden(name: str) -> bool:
    """Tell by its name whether a file is hidden, or left behind by a system or an archive tool."""
    low = name.lower()
    return low.startswith(".") or low in _DEBRIS or low.endswith(":zone.identifier")


def is_companion(path: Path) -> bool:
    """Tell by its path whether a file holds text or data, as often lies beside images."""
    return path.suffix.lower() in _COMPANIONS or path.name.lower() in _COMPANION_NAMES


def split_of(name: str) -> str | None:
    """Return "train" or "held_out" if a folder is called like a part of a split, else None.

    Examples
    --------
    >>> [split_of(name) for name in ("train2017", "Test set", "cats")]
    ['train', 'held_out', None]
    """
    match = _SPLIT.fullmatch(name.casefold())
    return match and match.lastgroup


def name_some(paths: list[Path]) -> str:
    """Quote the names of the first three paths."""
    return ", ".join(repr(path.name) for path in paths[:3]) + (", ..." if len(paths) > 3 else "")


def _no_images_error(folder: Path) -> ValueError:
    return ValueError(
        f"{str(folder)!r} holds no images: files ending in {' '.join(SUFFIXES)} are looked for, in upper or "
        "lower case and not hidden."
    )
