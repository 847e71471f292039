"""Images in memory: one float tensor for each split, checked once when it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

# torch is imported where tensors are checked: files are read, and refused, before that.
if TYPE_CHECKING:
    from torch import Tensor

    from .report import Report


@dataclass(frozen=True, eq=False)
class Images:
    """Images with their labels.

    Attributes
    ----------
    images : Tensor of shape (N, C, H, W)
        float32 in [0, 1].
    labels : Tensor of shape (N,) or None
        int64 class indices.
    classes : tuple of str
        The name of each label; a label beyond them is named by its index.

    Raises
    ------
    TypeError, ValueError
        Images that `check_images` refuses, or another number of labels.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> images = vw.Images(torch.zeros(5, 1, 8, 8), torch.arange(5))
    >>> len(images), len(images.take(slice(2)))
    (5, 2)
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.labels is not None and self.labels.shape != (len(self.images),):
            raise ValueError(
                f"{len(self.images)} images need {len(self.images)} labels in one row; "
                f"got labels of shape {tuple(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: slice | Tensor) -> Images:
        """Return the images of these rows (a slice or a Tensor of indices), with their labels."""
        labels = None if self.labels is None else self.labels[rows]
        return Images(self.images[rows], labels, self.classes)


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test split.

    Attributes
    ----------
    train, test : Images
    classes : tuple of str
        The name of each label; empty without labels.
    name : str
    report : Report or None
        What `load_data` read, left out and assumed; ``print(data.report)``. None if made by hand.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.load_data("digits")
    Dataset('digits', train=1437, test=360, image=1x8x8)
    """

    train: Images
    test: Images
    classes: tuple[str, ...]
    name: str
    report: Report | None = None

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.train.images.shape[1:]))
        return f"Dataset({self.name!r}, train={len(self.train)}, test={len(self.test)}, image={shape})"


def check_images(
    images: object,
    image_shape: Sequence[int] | None = None,
    support: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Raise unless `images` is a float tensor of shape (N, C, H, W) inside `support`.

    Parameters
    ----------
    images : object
    image_shape : (C, H, W), optional
        The shape that each image must have.
    support : (float, float)
        The smallest and the largest value that is allowed.

    Raises
    ------
    TypeError
        No tensor, or not of floats.
    ValueError
        Another shape, no images, or values outside `support`.

    Examples
    --------
    >>> import torch
    >>> check_images(torch.full((2, 1, 8, 8), 0.5), image_shape=(1, 8, 8))
    """
    from torch import Tensor

    if not isinstance(images, Tensor):
        hints = {Dataset: "Take one of its splits, data.train or data.test.", Images: "Take its .images."}
        raise TypeError(
            f"images must be a torch Tensor; got {type(images).__name__}. "
            + hints.get(type(images), "vw.load_data(array) makes one.")
        )
    if images.dim() != 4 or (image_shape is not None and tuple(images.shape[1:]) != tuple(image_shape)):
        wanted = "C, H, W" if image_shape is None else ", ".join(map(str, image_shape))
        raise ValueError(f"images must have shape (N, {wanted}); got {tuple(images.shape)}.")
    if images.numel() == 0:
        raise ValueError(f"images is empty, of shape {tuple(images.shape)}: expected at least one image.")
    if not images.is_floating_point():
        raise TypeError(f"images must be floats; got {images.dtype}. vw.load_data(array) converts bytes.")
    low, high = images.min().item(), images.max().item()
    # NaN compares false with everything, so this refuses it too.
    if not (support[0] <= low and high <= support[1]) or math.isinf(low) or math.isinf(high):
        wrong = int((~images.isfinite()).sum())
        got = f"{wrong:,} of {images.numel():,} are not" if wrong else f"got values from {low:g} to {high:g}"
        raise ValueError(
            f"pixels must be finite and within [{support[0]:g}, {support[1]:g}]; {got}. "
            "Bytes (0..255) are divided by 255 once."
        )
