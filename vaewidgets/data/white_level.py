"""How numbers become pixels in [0, 1]: the one place that knows which number is white."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Range:
    """Which numbers some images were made of, and which of them was taken for white.

    Attributes
    ----------
    kind : str
        What holds the numbers: "bytes", "16-bit levels", "floats", ...
    white : float
        The number that became 1; 0 became 0.
    low, high : float
        The smallest and the largest number there were.
    where : str
        The split that they are of, if each was looked at by itself.
    stated : bool
        Whether white was stated, and not assumed from the kind.
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
        """What is likely wrong: white was assumed, and not one pixel is half as bright."""
        # Black throughout is no sign of another white.
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
        """Zeros and ones, and 17 levels of grey, end at a power of two; the bits of a camera one below it."""
        if self.kind == "floats":
            return self.high
        above = 2 ** math.ceil(math.log2(self.high))
        return self.high if self.high == above else above - 1


def to_pixels(values: Tensor, white: float | None = None) -> tuple[Tensor, Range]:
    """Convert numbers of any kind to float32, 0 for black and 1 for white.

    Parameters
    ----------
    values : Tensor
        Of any shape.
    white : float, optional
        The number that is white. None: 255 of bytes, 1 of floats and of bools; another kind must state it.

    Returns
    -------
    pixels : Tensor
        float32, of the same shape. Floats outside [0, 1] stay outside where white is not stated.
    found : Range

    Raises
    ------
    TypeError
        Complex numbers; integers that are no bytes, without `white`.
    ValueError
        Numbers below 0 or above the stated white.
    """
    # Only now: files are read, and refused, before torch is imported, which takes seconds and 500 MB.
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
        # Somebody's own array of float32 stays as it is.
        pixels = pixels / white if pixels is values else pixels.div_(white)
    return pixels.contiguous(), found


def from_bytes(levels: Tensor) -> Tensor:
    """Convert bytes of which 255 is known to be white; no copy is made but the result."""
    return levels.float().div_(255)


def check_white(white) -> None:
    """Raise unless `white` is None or a positive finite number."""
    try:
        fits = white is None or (not isinstance(white, bool) and 0 < white < math.inf)
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"white is the number that stands for white, above 0; got {white!r}.")


def check_inside(low: float, high: float, white: float) -> None:
    """Raise unless the smallest and the largest number lie between black and the stated white."""
    # NaN compares false with everything, so the test is written to fail on it. float32 may round white up.
    if not (low >= 0 and high <= white * (1 + 1e-6)):
        raise ValueError(
            f"white={white:g} allows pixels from 0 to {white:g}; got some from {low:g} to {high:g}."
        )
