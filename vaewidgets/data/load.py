"""Loading images: data sets known by name, folders, archives and arrays, into memory."""

from __future__ import annotations

import gzip
import os
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from platformdirs import user_cache_path

from vaewidgets._constants import NAMED
from vaewidgets._utils.safe_open import safe_open
from vaewidgets._utils.text import sanitize, truncate

from .dataset import Dataset, Images
from .image_folder import Folder, read_folder
from .npz import read_npz
from .report import Report
from .white_level import Range, check_white, from_bytes, to_pixels

# torch takes seconds and 500 MB, so it is imported where tensors are made: files are read and refused before.
if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor

#: The environment variable that names a torchvision root (a folder that holds MNIST/raw).
DATA_VARIABLE = "VAEWIDGETS_DATA"

_TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
#: No unpacked part has more bytes.
_LARGEST_PART = 2**26
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

#: A name, the path of a folder or of an .npz file, or an array.
Source: TypeAlias = "str | os.PathLike[str] | Tensor | ArrayLike"


def load_data(
    source: Source = "digits",
    labels: ArrayLike | Tensor | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    download: bool = True,
    test_fraction: float = 0.2,
    seed: int = 0,
    name: str = "array",
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
    white: float | None = None,
) -> Dataset:
    """Load a named dataset or a folder of images, or take arrays, as tensors in memory.

    `Dataset.report` says what was read, left out and assumed. A likely mistake is also a warning.

    Parameters
    ----------
    source : str, path or array
        - "digits": scikit-learn's 1,797 real 8 x 8 digits (Alpaydin & Kaynak 1998); always there, no
          network. The last 360 are the test set: in the file's order, so mostly by other writers.
        - "mnist", "fashion-mnist": 28 x 28, the published 60,000 / 10,000 split, through torchvision.
        - the path of a folder: images (.png .jpg .jpeg .bmp .gif .webp .tif .tiff), or one folder of images
          per class, in natural order (2 before 10); or train/ and test/ (or val/, or as splits are usually
          called), each laid out like that, which are then the two splits. Its name is the dataset's (see
          `vaewidgets.data.image_folder`).
        - the path of an .npz that holds ``images`` and perhaps ``labels`` (see `vaewidgets.data.npz`).
        - an array or tensor of shape (N, H, W), (N, C, H, W), (N, H, W, 1) or (N, H, W, 3), C being 1 (grey)
          or 3 (colour): bytes, floats in [0, 1], or with `white` any numbers.

        A path may begin with ~, the home folder.
    labels : array of N ints from 0, or of N names, optional
        Only with an array, and without gaps; a list, an array or a column of a data frame. An .npz may hold
        names too. Names become classes in natural order (2 before 10).
    root : path, optional
        torchvision root for MNIST; else ``$VAEWIDGETS_DATA``, else the user's cache folder.
    download : bool
        Whether to fetch MNIST if `root` does not hold it.
    test_fraction, seed : float, int
        Data without a split of its own (an array, an .npz, a folder without train/ and test/) is split at
        random, the same way for the same seed.
    name : str
        Name given to a dataset made of an array.
    size : int or (H, W), optional
        Only with a folder, as the two below: every image is stretched to it, each pixel the mean of the
        area that it covers. None: all must have one size.
    channels : 1 or 3, optional
        None: 1 if every file is stored in grey, else 3. Transparency is put on black.
    on_error : "refuse" or "skip"
        Raise for the first file that cannot be read, or leave such files out and warn which.
    white : float, optional
        The number that is white, in every image: 1 of bytes that are zeros and ones, 4095 of a camera's 12
        bits. None: 255 of bytes, 1 of floats, 65535 of files of 16 bits. Only with images of your own.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError, TypeError
        Unknown name, pixels outside [0, 1], shapes or lengths that do not fit; a folder without images, of
        another layout, with images of several sizes or too large, or with a file that cannot be read.
    OSError
        A file or folder that is not there or may not be opened.
    RuntimeError
        MNIST is not there and could not be fetched; the message says what to do.

    Warns
    -----
    UserWarning
        No pixel is half as bright as white; files, frames or arrays that are left out; a folder or axes that
        seem to be mistaken for something else.

    Examples
    --------
    >>> import numpy as np
    >>> import vaewidgets as vw
    >>> data = vw.load_data(np.full((10, 8, 8), 255, "uint8"), labels=["cat", "dog"] * 5)
    >>> data, data.classes
    (Dataset('array', train=8, test=2, image=1x8x8), ('cat', 'dog'))
    """
    check_white(white)
    # Any, because a type checker does not follow the flags below.
    given: Any = source
    is_path = isinstance(given, (str, os.PathLike))
    if is_path and labels is not None:
        raise ValueError(f"labels go with an array; {os.fspath(given)!r} brings its own.")
    is_named = is_path and given in NAMED
    if is_named and white is not None:
        raise ValueError(f"white goes with images of your own; {given!r} knows which number is white.")
    if is_path and not is_named:
        expanded = os.path.expanduser(given)
        given = Path(expanded) if isinstance(given, os.PathLike) else expanded
    # A folder that is called "digits" can be named as a Path, or as "./digits".
    if is_path and not is_named and os.path.isdir(given):
        found = read_folder(given, size, channels, on_error, white)
        with _errors_name(given):
            return _folder(given, found, test_fraction, seed)
    if size is not None or channels is not None or on_error != "refuse":
        what = repr(os.fspath(given)) if is_path else f"a {type(given).__name__}"
        raise ValueError(f"size, channels and on_error go with a folder of images; {what} is none.")
    if isinstance(given, os.PathLike) or (is_path and given.endswith(".npz")):
        images, labels, others = read_npz(given)
        with _errors_name(given):
            data = _arrays(images, labels, test_fraction, seed, sanitize(Path(given).stem), white, others)
    elif is_named:
        return _digits() if given == "digits" else _torchvision(given, root, download)
    elif is_path:
        raise ValueError(
            f"Unknown dataset {given!r}: expected one of {', '.join(NAMED)}, a folder of images that is "
            "there, an .npz file, or an array."
        )
    else:
        data = _arrays(given, labels, test_fraction, seed, name, white)
    for doubt in data.report.doubts if data.report else ():
        warnings.warn(doubt, stacklevel=2)
    return data


def load_test_images(name: str | None) -> Images | None:
    """Return the test split of the dataset of this name if it is on this machine, else None; never download.

    Examples
    --------
    >>> from vaewidgets.data.load import load_test_images
    >>> len(load_test_images("digits")), load_test_images("cifar")
    (360, None)
    """
    if name == "digits":
        return _digits().test
    # A name from a file may be of any type.
    if not isinstance(name, str) or name not in _TORCHVISION:
        return None
    folder = _root(None)
    if not (folder / _TORCHVISION[name] / "raw").is_dir():
        return None
    return _read_splits(_torchvision_class(name), folder, False)[0]


def _digits() -> Dataset:
    import torch
    from sklearn.datasets import load_digits

    digits = load_digits()
    images, found = to_pixels(torch.from_numpy(digits.images).unsqueeze(1), white=16)
    whole = Images(images, torch.from_numpy(digits.target).long(), tuple("0123456789"))
    report = Report(len(whole), (), (found,), "the last 360 of the file are held out", whole.classes)
    return Dataset(whole.take(slice(-360)), whole.take(slice(-360, None)), whole.classes, "digits", report)


def _torchvision(name: str, root, download: bool) -> Dataset:
    folder, cls = _root(root), _torchvision_class(name)
    if not (folder / cls.__name__ / "raw").is_dir():
        if not download:
            raise RuntimeError(
                f"{name} is not in {folder}. Pass root=, set ${DATA_VARIABLE} to a folder that holds "
                f"{cls.__name__}/raw, or allow download=True; load_data('digits') needs nothing."
            )
        _download(cls, name, folder)

    train, test = _read_splits(cls, folder, True, False)
    low = min(split.images.min().item() for split in (train, test))
    high = max(split.images.max().item() for split in (train, test))
    found = Range("bytes", 255, 255 * low, 255 * high, stated=True)
    report = Report(
        len(train) + len(test), (), (found,), _describe_split("as published", train, test), train.classes
    )
    return Dataset(train, test, train.classes, name, report)


def _torchvision_class(name: str):
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"torchvision does not import ({error}). Its build must match torch's: reinstall both from the "
            "same index. Everything but MNIST works without it, for example load_data('digits')."
        ) from error
    return getattr(torchvision.datasets, _TORCHVISION[name])


def _read_splits(cls, folder: Path, *training: bool) -> list[Images]:
    """Read the training split for each True, the test split for each False."""
    raw = folder / cls.__name__ / "raw"
    packed = any(not _part(raw, name).exists() and _part(raw, name, ".gz").exists() for name in _PARTS)
    try:
        for file in raw.iterdir():
            safe_open(file).close()  # torchvision would wait for a FIFO without end
        with _unpacked(raw) if packed else nullcontext(folder) as root:
            splits = [cls(root, train=train, download=False) for train in training]
    except Exception as error:  # torchvision raises errors of every kind on a damaged file
        raise RuntimeError(
            f"{raw} is incomplete or damaged ({truncate(error)}). Move it away and load again."
        ) from error
    classes = _FASHION if cls.__name__ == "FashionMNIST" else tuple("0123456789")
    return [Images(from_bytes(split.data.unsqueeze(1)), split.targets.long(), classes) for split in splits]


def _part(raw: Path, name: str, ending: str = "") -> Path:
    return raw / f"{name}-ubyte{ending}"


@contextmanager
def _unpacked(raw: Path):
    """Yield a temporary torchvision root with the same files, unpacked."""
    with tempfile.TemporaryDirectory(prefix="vaewidgets-") as root:
        target = Path(root, *raw.parts[-2:])
        target.mkdir(parents=True)
        for name in _PARTS:
            plain = _part(raw, name)
            with open(plain, "rb") if plain.exists() else gzip.open(_part(raw, name, ".gz")) as source:
                content = source.read(_LARGEST_PART + 1)
            if len(content) > _LARGEST_PART:
                raise ValueError(f"{name} unpacks to more than {_LARGEST_PART:,} bytes")
            _part(target, name).write_bytes(content)
        yield Path(root)


def _root(root) -> Path:
    return Path(os.path.expanduser(root or os.environ.get(DATA_VARIABLE) or user_cache_path("vaewidgets")))


def _download(cls, name: str, folder: Path) -> None:
    """Download into a temporary folder beside the target, so that half a download is never found."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            cls(scratch, train=True, download=True)
            os.replace(Path(scratch) / cls.__name__, folder / cls.__name__)
    except Exception as error:  # of urllib, ssl, tar or the disk
        raise RuntimeError(
            f"Could not download {name} to {folder} ({error}). Copy a folder that holds {cls.__name__}/raw "
            f"from another machine and pass root= or set ${DATA_VARIABLE}, or use load_data('digits'), "
            "which needs no network."
        ) from error


@contextmanager
def _errors_name(path):
    """Add the path of a file or folder to an error about its content."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)!r} cannot be used: {truncate(error)}.") from error


def _folder(folder, found: Folder, test_fraction: float, seed: int) -> Dataset:
    import torch

    if found.held_out is None:
        parts, split = _random_parts(len(found.images), test_fraction, seed), f"at random, seed {seed}"
    else:
        held_out = torch.from_numpy(found.held_out)
        parts, split = (~held_out, held_out), " and ".join(f"{name}/" for name in found.splits)
    labels = None if found.labels is None else torch.from_numpy(found.labels)
    train, test = (
        Images(
            from_bytes(torch.from_numpy(found.images)[part]),
            None if labels is None else labels[part],
            found.classes,
        )
        for part in parts
    )
    split = _describe_split(split, train, test)
    report = Report(len(found.images), found.left_out, found.pixels, split, found.classes, found.doubts)
    return Dataset(train, test, found.classes, sanitize(os.path.basename(os.path.abspath(folder))), report)


def _arrays(
    source,
    labels,
    test_fraction: float,
    seed: int,
    name: str,
    white: float | None,
    others: Sequence[str] = (),
) -> Dataset:
    from .arrays import as_images, as_labels

    images, found, doubts = as_images(source, white)
    parts = _random_parts(len(images), test_fraction, seed)
    classes: tuple[str, ...] = ()
    if labels is not None:
        labels, classes = as_labels(labels)
    whole = Images(images, labels, classes)
    train, test = map(whole.take, parts)
    left_out: tuple[str, ...] = ()
    if others:
        names = truncate(", ".join(map(repr, others)))
        left_out = (f"{len(others)} arrays of other names ({names})",)
        doubts += (
            f"Left out {names}: of an .npz one array of images is read (images, x or arr_0) and one of "
            "labels (labels, y or arr_1).",
        )
    split = _describe_split(f"at random, seed {seed}", train, test)
    return Dataset(train, test, classes, name, Report(len(whole), left_out, (found,), split, classes, doubts))


def _describe_split(origin: str, train: Images, test: Images) -> str:
    return f"{origin}: {len(train):,} to train on, {len(test):,} held out"


def _random_parts(n: int, test_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the training and of the test images."""
    if n < 2:
        raise ValueError(f"a train and a test split need at least 2 images; got {n}.")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1; got {test_fraction!r}.")
    import torch

    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    held_out = min(max(1, round(test_fraction * n)), n - 1)
    return order[held_out:], order[:held_out]
