"""How numbers become pixels in [0, 1]: the only module that knows which number is white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Range:
    """Which numbers images were made of, and which number was white.

    Attributes
    ----------
    kind : str
        What holds the numbers: "bytes", "16-bit levels", "floats", ...
    white : float
        The number that became 1; 0 became 0.
    low, high : float
        The smallest and the largest number.
    where : str
        The name of the split, if each split has its own range.
    stated : bool
        Whether white was stated, not assumed from the kind.

    Examples
    --------
    >>> from vaewidgets.data.white_level import Range
    >>> print(Range("bytes", 255, 0, 16))
    bytes from 0 to 16; white is 255 (assumed)
    """

    kind: str
    white: float
    low: float
    high: float
    where: str = ""
    stated: bool = False

    def __str__(self) -> str:
        of = f" ({self.where})" if self.where else ""
        how = "stated" if self.stated else "assumed"
        return f"{self.kind} from {self.low:g} to {self.high:g}{of}; white is {self.white:g} ({how})"

    @property
    def doubt(self) -> str | None:
        """The warning, or None: white was assumed, and no pixel is half as bright."""
        # Images that are all black say nothing about white.
        if self.stated or not 0 < self.high < self.white / 2:
            return None
        of = f" in {self.where!r}" if self.where else ""
        return (
            f"The brightest pixel{of} is {self.high:g} where white is {self.white:g} ({self.kind}): the "
            f"images are dark, which is seldom meant. Pass white=, the number that is white (is it "
            f"{self._likely:g}?), or white={self.white:g} if they are that dark."
        )

    @property
    def _likely(self) -> float:
        """A guess at white: a power of two, as of zeros and ones or 17 levels of grey, or one below it."""
        if self.kind == "floats":
            return self.high
        above = 2 ** math.ceil(math.log2(self.high))
        return self.high if self.high == above else above - 1


def to_pixels(values: Tensor, white: float | None = None) -> tuple[Tensor, Range]:
    """Convert numbers of any kind to float32, 0 for black and 1 for white.

    Parameters
    ----------
    values : Tensor of any shape
    white : float, optional
        The number that is white. None: 255 for bytes, 1 for floats and bools; other kinds must state it.

    Returns
    -------
    pixels : Tensor of the same shape
        float32. Floats outside [0, 1] stay outside if white is not stated.
    found : Range

    Raises
    ------
    TypeError
        Complex numbers; integers that are no bytes, without `white`.
    ValueError
        Numbers below 0 or above the stated white.

    Examples
    --------
    >>> import torch
    >>> from vaewidgets.data.white_level import to_pixels
    >>> to_pixels(torch.tensor([0, 2048, 4096]), white=4096)[0].tolist()
    [0.0, 0.5, 1.0]
    """
    # torch takes seconds and 500 MB: files are read and refused before it is imported.
    import torch

    if values.dtype.is_complex:
        raise TypeError(f"images must be bytes (uint8) or floats in [0, 1]; got {values.dtype}.")
    stated, is_float = white is not None, values.is_floating_point()
    if white is None and values.dtype != torch.uint8 and values.dtype != torch.bool and not is_float:
        raise TypeError(
            f"images must be bytes (uint8) or floats in [0, 1]; got {values.dtype}. Levels of 0..255 become "
            'bytes by images.astype("uint8"); of others state the largest possible one, such as white=4095.'
        )
    kind = "floats" if is_float else {torch.uint8: "bytes", torch.bool: "bools"}.get(values.dtype, "integers")
    if white is None:
        white = 255 if kind == "bytes" else 1
    pixels = values.float()
    low, high = (pixels.min().item(), pixels.max().item()) if pixels.numel() else (0.0, 0.0)
    found = Range(kind, white, low, high, stated=stated)
    if stated:
        check_inside(low, high, white)
        pixels = pixels.clamp(max=white)
    if white != 1:
        # The caller's own array of float32 is not changed.
        pixels = pixels / white if pixels is values else pixels.div_(white)
    return pixels.contiguous(), found


def from_bytes(levels: Tensor) -> Tensor:
    """Convert levels, bytes of any shape of which 255 is white, to float32 in [0, 1].

    Examples
    --------
    >>> import torch
    >>> from vaewidgets.data.white_level import from_bytes
    >>> from_bytes(torch.tensor([0, 255], dtype=torch.uint8)).tolist()
    [0.0, 1.0]
    """
    return levels.float().div_(255)


def check_white(white) -> None:
    """Raise ValueError unless `white` is None or a positive finite number.

    Examples
    --------
    >>> check_white(255)
    >>> check_white(0)
    Traceback (most recent call last):
    ValueError: white is the number that stands for white, above 0; got 0.
    """
    try:
        fits = white is None or (not isinstance(white, bool) and 0 < white < math.inf)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"white is the number that stands for white, above 0; got {white!r}.")


def check_inside(low: float, high: float, white: float) -> None:
    """Raise ValueError unless the numbers from low to high lie between 0 and the stated white.

    Examples
    --------
    >>> check_inside(0, 4095, white=4095)
    """
    # NaN compares false with everything, so this refuses it too. float32 may round white up.
    if not (low >= 0 and high <= white * (1 + 1e-6)):
        raise ValueError(
            f"white={white:g} allows pixels from 0 to {white:g}; got some from {low:g} to {high:g}."
        )
