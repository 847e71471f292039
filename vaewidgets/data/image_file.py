"""Read one image file. It is not trusted: its header is checked before its pixels, no link is followed."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vaewidgets._utils.safe_open import safe_open
from vaewidgets._utils.text import truncate

from .white_level import Range, check_inside

#: Pixels of one file. Larger files are refused by their header: a small file can unpack to any size.
LARGEST_IMAGE = 50_000_000

# Pillow finds the format by the content: without this list a .png could be an EPS, which runs a program.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

# Numbers of TIFF tags.
_BITS, _TILE_WIDTH, _TILE_HEIGHT = 258, 322, 323


class Header(NamedTuple):
    """What is known of an image file before it is decoded.

    Attributes
    ----------
    size : (int, int)
        Height and width as stored; EXIF may turn the image.
    is_grey, has_frames : bool
        Whether it is stored in grey, and whether there is more than one frame.
    """

    size: tuple[int, int]
    is_grey: bool
    has_frames: bool


def read_header(path: Path) -> Header:
    """Read the header of the image at `path`; raise ValueError, which names the file, if it has none."""
    with _open(path) as image:
        is_grey = image.mode in ("1", "L", "LA", "La") or image.mode[0] == "I"
        return Header((image.height, image.width), is_grey, getattr(image, "is_animated", False))


def decode(
    path: Path, size: tuple[int, int] | None, channels: int, white: float | None
) -> tuple[np.ndarray, Range]:
    """Decode an image file.

    Parameters
    ----------
    path : Path
    size : (H, W) or None
        What the image is stretched to; None keeps its own size.
    channels : 1 or 3
    white : float or None
        The number that is white; None takes the largest that the format can hold.

    Returns
    -------
    pixels : ndarray of shape (C, H, W), uint8
        255 is white.
    found : Range
        The numbers that the file holds.

    Raises
    ------
    ValueError
        The file is no image, damaged, larger than `LARGEST_IMAGE`, or holds numbers that `white` does not
        allow.
    """
    from PIL import Image, ImageOps

    with _open(path) as image:
        is_png, bits = image.format == "PNG", _bits(image)
        # Pillow reads only the upper bytes of 16-bit colours, and of 16-bit grey with transparency.
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
            # Black and white, whatever number is said to be white.
            kind, assumed, white = "bits", 1, None
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
        low, high = float(values.min()), float(values.max())
        found = Range(kind, white or assumed, low, high, stated=white is not None)
        if white is not None:
            if white > assumed:
                raise ValueError(f"white={white:g} is more than its {kind} can be, at most {assumed:g}")
            check_inside(low, high, white)
        if kind != "bytes" or found.white != 255:
            # Pillow's own conversion clips 16 bits to 8.
            image = Image.fromarray(np.rint(values * (255 / found.white)).astype(np.uint8))
        image = image.convert("L" if channels == 1 else "RGB")
        if size is not None:
            image = image.resize(size[::-1], Image.Resampling.BOX)
        pixels = np.asarray(image).reshape(image.height, image.width, channels)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)), found


@contextmanager
def _open(path: Path):
    """Open an image without decoding it; any error in the block becomes a ValueError that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise ValueError("it is a link, which is not followed, or no plain file")
        # Pillow maps an uncompressed TIFF into memory if it opens it by name, and garbles it if it is turned.
        with safe_open(path) as file, Image.open(file, formats=_FORMATS) as image:
            # A tile of a TIFF is decoded whole, even if little of it lies within the image.
            tags = getattr(image, "tag_v2", {})
            tile = int(tags.get(_TILE_WIDTH, 0)), int(tags.get(_TILE_HEIGHT, 0))
            for width, height in (image.size, tile):
                if width * height > LARGEST_IMAGE:
                    raise ValueError(
                        f"its header promises {width} x {height} pixels; {LARGEST_IMAGE:,} are the limit"
                    )
            yield image
    except UnidentifiedImageError as error:
        raise ValueError(f"{str(path)!r} is no {', '.join(_FORMATS)}, or its header is damaged.") from error
    except Exception as error:  # Pillow's parsers raise errors of every kind on a damaged file
        raise ValueError(f"{str(path)!r} cannot be read as an image: {truncate(error)}.") from error


def _bits(image) -> int:
    """Return how many bits of each 16 a file says that it uses: a TIFF may use 12."""
    stated = getattr(image, "tag_v2", {}).get(_BITS, 16)
    bits = stated[0] if isinstance(stated, tuple) and stated else stated
    return bits if isinstance(bits, int) and 8 < bits < 16 else 16
