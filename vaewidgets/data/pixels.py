"""From tensors to pixels: the only module that clamps, permutes and enlarges them."""

from __future__ import annotations

import io

import numpy as np
import torch
from torch import Tensor


def to_uint8(image: Tensor) -> np.ndarray:
    """Convert one image in [0, 1] to bytes; values outside are clamped.

    Parameters
    ----------
    image : Tensor of shape (C, H, W) or (H, W)
        C is 1 (grey) or 3 (red, green, blue).

    Returns
    -------
    ndarray of shape (H, W) or (H, W, 3), uint8

    Raises
    ------
    ValueError
        Another shape; pixels that are NaN or infinite.
    TypeError
        Pixels that are not floats: bytes would be clamped to black and white.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.images.to_uint8(torch.tensor([[0.0, 0.5, 2.0]])).tolist()
    [[0, 128, 255]]
    """
    image = torch.as_tensor(image).detach()
    if not image.is_floating_point():
        raise TypeError(f"an image holds floats in [0, 1]; got {image.dtype}. Bytes are divided by 255 once.")
    if image.dim() == 3 and image.shape[0] in (1, 3):
        image = image.permute(1, 2, 0).squeeze(-1) if image.shape[0] == 1 else image.permute(1, 2, 0)
    elif image.dim() != 2:
        raise ValueError(
            f"an image has shape (H, W), (1, H, W) or (3, H, W); got {tuple(image.shape)}. "
            "Tile a batch first."
        )
    if not torch.isfinite(image).all():
        raise ValueError("the image has pixels that are NaN or infinite.")
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def tile(images: Tensor, columns: int) -> Tensor:
    """Arrange images row by row in one image.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W)
    columns : int

    Returns
    -------
    Tensor of shape (C, rows * H, columns * W)
        rows = ceil(N / columns); empty tiles are black.

    Raises
    ------
    ValueError
        Another shape, no images, or no columns.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.images.tile(torch.ones(5, 1, 8, 8), columns=3).shape
    torch.Size([1, 16, 24])
    """
    if images.dim() != 4 or len(images) == 0:
        raise ValueError(f"tile takes images of shape (N, C, H, W), N >= 1; got {tuple(images.shape)}.")
    if columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}.")
    n, c, h, w = images.shape
    rows = -(-n // columns)
    missing = rows * columns - n
    if missing:
        images = torch.cat([images, images.new_zeros(missing, c, h, w)])
    return images.view(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)


def upscale(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Repeat each pixel `factor` times along both axes, so that no viewer blurs it.

    Parameters
    ----------
    pixels : ndarray of shape (H, W) or (H, W, 3)
    factor : int

    Raises
    ------
    ValueError
        A factor below 1.

    Examples
    --------
    >>> import numpy as np
    >>> import vaewidgets as vw
    >>> vw.images.upscale(np.array([[0, 255]]), 2).tolist()
    [[0, 0, 255, 255], [0, 0, 255, 255]]
    """
    if factor < 1:
        raise ValueError(f"factor must be at least 1; got {factor}.")
    return pixels.repeat(factor, 0).repeat(factor, 1)


def to_png(image: Tensor, *, scale: int = 1) -> bytes:
    """Encode one image, or a batch arranged in nearly a square, as PNG.

    Parameters
    ----------
    image : Tensor of shape (H, W), (C, H, W) or (N, C, H, W)
        In [0, 1]; values outside are clamped.
    scale : int
        Screen pixels per image pixel.

    Returns
    -------
    bytes

    Raises
    ------
    ValueError
        Another shape, no images, pixels that are NaN or infinite, a scale below 1.
    TypeError
        Pixels that are not floats.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.to_png(torch.ones(5, 1, 8, 8))[:4]
    b'\\x89PNG'
    """
    from PIL import Image

    image = torch.as_tensor(image)
    if image.dim() == 4:
        image = tile(image, columns=int(np.ceil(np.sqrt(len(image)))))
    buffer = io.BytesIO()
    Image.fromarray(upscale(to_uint8(image), scale)).save(buffer, "PNG")
    return buffer.getvalue()
