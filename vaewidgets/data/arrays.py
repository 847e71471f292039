"""Arrays of images and labels, of any library, as tensors; arrays that cannot be meant are refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vaewidgets._utils.text import natural, sanitize, truncate

from .white_level import Range, to_pixels

#: Every class gets a name, so one large label would make as many names.
MOST_CLASSES = 2**16

#: A photograph is told from a stack of images only if its axes are at least this long.
_PHOTO = 8


def as_images(source, white: float | None = None) -> tuple[Tensor, Range, tuple[str, ...]]:
    """Convert an array to images.

    Parameters
    ----------
    source : array or Tensor
        As of `load.load_data`.
    white : float, optional
        As of `white_level.to_pixels`.

    Returns
    -------
    images : Tensor of shape (N, C, H, W)
        float32. Floats are not checked to lie in [0, 1].
    found : Range
        Which numbers the array holds.
    doubts : tuple of str
        What is likely a mistake.

    Raises
    ------
    TypeError, ValueError
        No array of numbers, another shape, numbers that `white` does not allow.

    Examples
    --------
    >>> import numpy as np
    >>> images, found, doubts = as_images(np.full((5, 8, 8), 255, "uint8"))
    >>> images.shape, images.max().item(), str(found)
    (torch.Size([5, 1, 8, 8]), 1.0, 'bytes from 255 to 255; white is 255 (assumed)')
    """
    array = _as_tensor(source)
    doubts: tuple[str, ...] = ()
    if array.dim() == 3:
        doubts = _misread_axes(tuple(array.shape))
        array = array.unsqueeze(1)
    elif array.dim() == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
        array = array.permute(0, 3, 1, 2)
    if array.dim() != 4:
        raise ValueError(f"images must have shape (N, H, W) or (N, C, H, W); got {tuple(array.shape)}.")
    if array.shape[1] not in (1, 3):
        rest = {array.shape[1]: "[:, :3]", array.shape[-1]: "[..., :3]"}.get(4)
        hint = f" Of red, green, blue and transparency images{rest} are the first three." if rest else ""
        raise ValueError(
            "images must have 1 channel (grey) or 3 (colour), first or last of an image's axes; got shape "
            f"{tuple(array.shape)}.{hint}"
        )
    images, found = to_pixels(array, white)
    return images, found, doubts + ((found.doubt,) if found.doubt else ())


def as_labels(labels) -> tuple[Tensor, tuple[str, ...]]:
    """Convert labels to class indices and class names.

    Parameters
    ----------
    labels : array, Tensor, list or column of a data frame
        Integers from 0 up, or names: of fixed width, of variable width, or as objects.

    Returns
    -------
    indices : Tensor, int64
        Of the shape of `labels`.
    classes : tuple of str
        The name of each class, in natural order (2 before 10).

    Raises
    ------
    ValueError
        Labels that are missing, mixed, negative or of another kind.

    Examples
    --------
    >>> indices, classes = as_labels(["dog", "cat", "dog"])
    >>> indices.tolist(), classes
    ([1, 0, 1], ('cat', 'dog'))
    """
    _check_unmasked(labels, "labels")
    array = np.asarray(labels.detach().cpu() if isinstance(labels, Tensor) else labels)
    if isinstance(labels, (list, tuple)) and array.dtype.kind in "US":
        # numpy writes a number, or the NaN of a gap, that stands among names as one more name.
        array = np.asarray(labels, object)
    if array.dtype.kind in "OT":
        array = _from_objects(array)
    if array.dtype.kind in "US":
        # A string for each label would take many times the memory of the array.
        found, indices = np.unique(array, return_inverse=True)
        if len(found) > MOST_CLASSES:
            raise ValueError(f"labels must name at most {MOST_CLASSES:,} classes; got {len(found):,}.")
        names = [
            sanitize(name.decode("utf-8", "replace") if isinstance(name, bytes) else name)
            for name in found.tolist()
        ]
        classes = sorted(set(names), key=natural)
        index = {name: i for i, name in enumerate(classes)}
        numbers = np.array([index[name] for name in names], np.int64)
        return torch.from_numpy(numbers[indices].reshape(array.shape)), tuple(classes)
    if array.dtype.kind not in "iub" or (array < 0).any():
        detail = f"{array.dtype}{f' from {array.min()} up' if array.dtype.kind == 'i' else ''}"
        if array.dtype.kind == "f" and np.isnan(array).any():
            detail += f", in which label {int(np.isnan(array).argmax())} is missing (nan)"
        raise _label_error(detail)
    largest = int(array.max()) if array.size else -1
    if largest >= MOST_CLASSES:
        raise ValueError(f"labels must be class indices below {MOST_CLASSES:,}; got {largest}.")
    return torch.from_numpy(array.astype(np.int64)), tuple(map(str, range(largest + 1)))


def name_classes(labels, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Name each class up to the highest label; a class beyond `names` is named by its index.

    Parameters
    ----------
    labels : Tensor of shape (N,) or None
        int64.
    names : tuple of str
        Of the first classes.

    Raises
    ------
    ValueError
        Labels that are no class indices.

    Examples
    --------
    >>> import torch
    >>> name_classes(torch.tensor([0, 2]), ("cat", "dog"))
    ('cat', 'dog', '2')
    """
    if labels is None or not len(labels):
        return ()
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= MOST_CLASSES:
        raise ValueError(
            f"labels must be class indices from 0 to {MOST_CLASSES - 1:,}; got some from {low} to {high}."
        )
    return tuple(sanitize(names[c]) if c < len(names) else str(c) for c in range(high + 1))


def _from_objects(array: np.ndarray) -> np.ndarray:
    """Convert an array of Python objects, all names or all integers, to an array of that kind."""
    values = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in array.flat]
    kind = str if values and isinstance(values[0], str) else (int, np.integer, np.bool_)
    for i, value in enumerate(values):
        if not isinstance(value, kind):
            said = "is missing" if _is_missing(value) else f"is no {'name' if kind is str else 'integer'}"
            raise _label_error(f"{array.dtype}, in which label {i} {said} ({truncate(repr(value))})")
    try:
        return np.array(values, np.str_ if kind is str else np.int64).reshape(array.shape)
    except OverflowError as error:
        raise ValueError(
            f"labels must be class indices below {MOST_CLASSES:,}; got {max(values)}."
        ) from error


def _is_missing(value) -> bool:
    """Tell whether a value stands for a missing one: None, NaN, or the NA or NaT of a data frame."""
    return type(value).__name__ in ("NoneType", "NAType", "NaTType") or (
        isinstance(value, (float, np.floating)) and np.isnan(value)
    )


def _label_error(got: str) -> ValueError:
    return ValueError(f"labels must be integers from 0 up, one per image, or names; got {got}.")


def _check_unmasked(array, what: str) -> None:
    # A plain array would show the values under the mask.
    if np.ma.is_masked(array):
        raise ValueError(
            f"{what} holds {int(np.ma.getmaskarray(array).sum()):,} masked values, which are none: say what "
            f"stands for them by {what}.filled(value), or leave their images out."
        )


def _as_tensor(source) -> Tensor:
    _check_unmasked(source, "images")
    try:
        if isinstance(source, Tensor):
            return source.detach().cpu()
        array = np.asarray(source)
        # torch takes neither reversed strides nor foreign byte orders, and warns of read-only memory.
        return torch.as_tensor(array.astype(array.dtype.newbyteorder("="), order="C"))
    except (TypeError, ValueError) as error:
        of = f" of {source.dtype}" if isinstance(source, np.ndarray) else ""
        hint = " Those of a list must have one size." if isinstance(source, (list, tuple)) else ""
        raise TypeError(
            f"expected a dataset name or an array of images; got {type(source).__name__}{of}.{hint}"
        ) from error


def _misread_axes(shape: Sequence[int]) -> tuple[str, ...]:
    """Refuse a single photograph in place of a stack of grey images (N, H, W); return other doubts."""
    first, second, last = shape
    if min(first, second) >= _PHOTO and last in (1, 3, 4):
        raise ValueError(
            f"an array of shape {shape} is one photo, height x width x channels; images of shape (N, H, W) "
            "or (N, H, W, C) are expected, and np.stack makes such an array of several photos. If it is a "
            f"stack of grey images {last} pixels wide, pass images[:, None]."
        )
    if min(second, last) >= _PHOTO and first in (3, 4):
        return (
            f"An array of shape {shape} was taken for {first} grey images; if it is one photo, channels "
            "first, pass several of them in one array of shape (N, C, H, W).",
        )
    if _PHOTO <= first == second < last:
        return (
            f"An array of shape {shape} was taken for {first} images of {second} x {last} pixels; if the "
            f"last axis counts the images, pass numpy.moveaxis(images, -1, 0).",
        )
    return ()
