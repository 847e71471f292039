"""Images in memory: one float tensor per split, checked once, indexed ever after."""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .files import read_npz

#: The environment variable that names a torchvision root (a folder that holds MNIST/raw).
DATA_VARIABLE = "VAEWIDGETS_DATA"

_TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
_FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels.

    Attributes
    ----------
    images : Tensor of shape (N, C, H, W)
        float32 in [0, 1].
    labels : Tensor of shape (N,) or None
        int64 class indices.
    """

    images: Tensor
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise ValueError(
                f"{len(self.images)} images need {len(self.images)} labels in one row; "
                f"got labels of shape {tuple(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split.

    Attributes
    ----------
    train, test : Images
    classes : tuple of str
        The name of each label; empty without labels.
    name : str
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    name: str

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.train.images.shape[1:]))
        return f"Dataset({self.name!r}, train={len(self.train)}, test={len(self.test)}, image={shape})"


def load_data(
    source="digits",
    labels=None,
    *,
    root: str | os.PathLike | None = None,
    download: bool = True,
    test_fraction: float = 0.2,
    seed: int = 0,
    name: str = "array",
) -> Dataset:
    """Load a named dataset, or take arrays, as tensors in memory.

    Parameters
    ----------
    source : str, path or array
        - "digits": scikit-learn's 1,797 real 8 x 8 digits (Alpaydin & Kaynak 1998); always there, no
          network. The last 360 are the test set: in the file's order, so mostly by other writers.
        - "mnist", "fashion-mnist": 28 x 28, the published 60,000 / 10,000 split, through torchvision.
        - the path of an .npz that holds ``images`` and perhaps ``labels`` (see `vaewidgets.files`).
        - an array or tensor of shape (N, H, W), (N, C, H, W), (N, H, W, 1) or (N, H, W, 3): bytes, or
          floats in [0, 1].
    labels : array of N ints, optional
        Only with an array.
    root : path, optional
        torchvision root for MNIST; else ``$VAEWIDGETS_DATA``, else the user's cache folder.
    download : bool
        Whether to fetch MNIST if `root` does not hold it.
    test_fraction, seed : float, int
        An array is split at random, the same way for the same seed.
    name : str
        Name given to a dataset made of an array.

    Returns
    -------
    Dataset

    Raises
    ------
    ValueError, TypeError
        Unknown name, pixels outside [0, 1], shapes or lengths that do not fit.
    RuntimeError
        MNIST is not there and could not be fetched; the message says what to do.
    """
    if isinstance(source, os.PathLike) or (isinstance(source, str) and source.endswith(".npz")):
        if labels is not None:
            raise ValueError(f"labels go with an array; {source} brings its own.")
        images, labels = read_npz(source)
        return _arrays(images, labels, test_fraction, seed, Path(source).stem)
    if isinstance(source, str):
        if labels is not None:
            raise ValueError(f"labels go with an array; {source!r} brings its own.")
        if source == "digits":
            return _digits()
        if source in _TORCHVISION:
            return _torchvision(source, root, download)
        known = ", ".join(["digits", *_TORCHVISION])
        raise ValueError(f"Unknown dataset {source!r}: expected one of {known}, an .npz file, or an array.")
    return _arrays(source, labels, test_fraction, seed, name)


def check_images(images, image_shape=None, support=(0.0, 1.0)) -> None:
    """Raise unless `images` is a (N, C, H, W) float tensor inside `support`, of `image_shape` if given."""
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images must be a torch Tensor; got {type(images).__name__}. vw.load_data(array) makes one."
        )
    if images.dim() != 4 or (image_shape is not None and tuple(images.shape[1:]) != tuple(image_shape)):
        wanted = "C, H, W" if image_shape is None else ", ".join(map(str, image_shape))
        raise ValueError(f"images must have shape (N, {wanted}); got {tuple(images.shape)}.")
    if images.numel() == 0:
        raise ValueError(f"images is empty, of shape {tuple(images.shape)}: expected at least one image.")
    if not images.is_floating_point():
        raise TypeError(f"images must be floats; got {images.dtype}. vw.load_data(array) converts bytes.")
    low, high = images.min().item(), images.max().item()
    # NaN compares false with everything, so the test is written to fail on it.
    if not (support[0] <= low and high <= support[1]) or math.isinf(low) or math.isinf(high):
        raise ValueError(
            f"pixels must be finite and within [{support[0]:g}, {support[1]:g}]; "
            f"got values from {low:g} to {high:g}. Bytes (0..255) are divided by 255 once."
        )


def load_test_images(name: str | None) -> Images | None:
    """Return the test split of a named dataset if it is on this machine, else None: never downloads."""
    if name == "digits":
        return _digits().test
    if name not in _TORCHVISION:
        return None
    folder = _root(None)
    if not (folder / _TORCHVISION[name] / "raw").is_dir():
        return None
    return _read_split(_torchvision_class(name), folder, train=False)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.from_numpy(digits.images).float().unsqueeze(1) / 16
    labels = torch.from_numpy(digits.target).long()
    train, test = Images(images[:-360], labels[:-360]), Images(images[-360:], labels[-360:])
    return Dataset(train, test, tuple("0123456789"), "digits")


def _torchvision(name: str, root, download: bool) -> Dataset:
    folder, cls = _root(root), _torchvision_class(name)
    if not (folder / cls.__name__ / "raw").is_dir():
        if not download:
            raise RuntimeError(
                f"{name} is not in {folder}. Pass root=, set ${DATA_VARIABLE} to a folder that holds "
                f"{cls.__name__}/raw, or allow download=True; load_data('digits') needs nothing."
            )
        _download(cls, name, folder)
    train, test = (_read_split(cls, folder, train) for train in (True, False))
    return Dataset(train, test, _FASHION if name == "fashion-mnist" else tuple("0123456789"), name)


def _torchvision_class(name: str):
    try:
        import torchvision
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f"torchvision does not import ({error}). Its build must match torch's: reinstall both from the "
            "same index. Everything but MNIST works without it, for example load_data('digits')."
        ) from error
    return getattr(torchvision.datasets, _TORCHVISION[name])


def _read_split(cls, folder: Path, train: bool) -> Images:
    try:
        split = cls(folder, train=train, download=False)
    except Exception as error:  # torchvision raises whatever its parser meets in a damaged file
        raise RuntimeError(
            f"{folder / cls.__name__ / 'raw'} is incomplete or damaged ({error}). "
            "Move it away and load again."
        ) from error
    return Images(split.data.unsqueeze(1).float() / 255, split.targets.long())


def _root(root) -> Path:
    return Path(root or os.environ.get(DATA_VARIABLE) or _cache_folder())


def _download(cls, name: str, folder: Path) -> None:
    """Fetch into a scratch folder beside the target, so that what is half fetched is never found."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
            cls(scratch, train=True, download=True)
            os.replace(Path(scratch) / cls.__name__, folder / cls.__name__)
    except Exception as error:  # urllib, ssl, tar and disk errors alike mean: no data
        raise RuntimeError(
            f"Could not download {name} to {folder} ({error}). Copy a folder that holds {cls.__name__}/raw "
            f"from another machine and pass root= or set ${DATA_VARIABLE}, or use load_data('digits'), "
            "which needs no network."
        ) from error


def _cache_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("vaewidgets")


def _arrays(source, labels, test_fraction: float, seed: int, name: str) -> Dataset:
    images = _as_images(source)
    if len(images) < 2:
        raise ValueError(f"a train and a test split need at least 2 images; got {len(images)}.")
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction must lie between 0 and 1; got {test_fraction!r}.")
    if labels is not None:
        labels = np.asarray(labels)
        if labels.dtype.kind not in "iub" or (labels < 0).any():
            raise ValueError(f"labels must be integers from 0 up, one per image; got {labels.dtype}.")
        labels = torch.from_numpy(labels.astype(np.int64))
    whole = Images(images, labels)
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed))
    held_out = min(max(1, round(test_fraction * len(whole))), len(whole) - 1)

    def split(index: Tensor) -> Images:
        return Images(images[index], None if labels is None else labels[index])

    classes = () if labels is None else tuple(str(c) for c in range(int(labels.max()) + 1))
    return Dataset(split(order[held_out:]), split(order[:held_out]), classes, name)


def _as_images(source) -> Tensor:
    try:
        if isinstance(source, Tensor):
            array = source.detach().cpu()
        else:
            array = np.asarray(source)
            # torch takes neither reversed strides nor foreign byte orders, and warns of read-only memory.
            array = torch.as_tensor(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"expected a dataset name or an array of images; got {type(source).__name__}."
        ) from error
    if array.dim() == 3:
        array = array.unsqueeze(1)
    elif array.dim() == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.permute(0, 3, 1, 2)
    if array.dim() != 4:
        raise ValueError(f"images must have shape (N, H, W) or (N, C, H, W); got {tuple(array.shape)}.")
    if array.dtype == torch.uint8:
        return array.float() / 255
    if array.dtype == torch.bool:
        return array.float()
    if not array.is_floating_point():
        raise TypeError(f"images must be bytes (uint8) or floats in [0, 1]; got {array.dtype}.")
    return array.float().contiguous()
