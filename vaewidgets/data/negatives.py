"""Images of no class, made from images of classes, which train a `Classifier` to answer "none of these".

Each function takes images of shape (B, C, H, W) and draws from the generator that it is given. No decoder is
used. Blends, halves and faint shapes resemble the images of a bad decoder.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from vaewidgets._utils import old_names


def uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw every pixel from U(0, 1): images of the shape of x.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.uniform(x, generator).shape
    torch.Size([5, 1, 8, 8])
    """
    return torch.rand(x.shape, generator=generator)


def gaussian(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw every pixel from a normal distribution, clipped to [0, 1]; each image has its own mean and width.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.gaussian(x, generator).shape
    torch.Size([5, 1, 8, 8])
    """
    mean, width = torch.rand(2, len(x), 1, 1, 1, generator=generator)
    return (mean + width * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def shuffled(x: Tensor, generator: torch.Generator) -> Tensor:
    """Put the pixels of each image into a random order of its own.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.shuffled(x, generator).unique().tolist()
    [0.75]
    """
    order = torch.rand(x.shape[0], *x.shape[2:], generator=generator).flatten(1).argsort(1)
    return x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def blobs(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw soft random shapes: noise of a quarter of the size, enlarged, with a threshold for each image.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.blobs(x, generator).shape
    torch.Size([5, 1, 8, 8])
    """
    size = [max(2, n // 4) for n in x.shape[2:]]
    noise = torch.randn(len(x), x.shape[1], *size, generator=generator)
    threshold = torch.rand(len(x), 1, 1, 1, generator=generator)
    smooth = functional.interpolate(noise, x.shape[2:], mode="bilinear", align_corners=False)
    return torch.sigmoid(4 * (smooth - 1.5 * threshold))


def blends(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Average x with the other images, of different classes, with weights of at least 0.3.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.blends(x, x, generator).mean().round(decimals=2).item()
    0.75
    """
    weight = 0.3 + 0.4 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return weight * x + (1 - weight) * other


def overlays(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Take the brighter pixel of x and the other images, of different classes.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.overlays(x, 1 - x, generator).unique().tolist()
    [0.75]
    """
    return torch.maximum(x, other)


def halves(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Join x and the other images along a random line through the middle.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.halves(x, 1 - x, generator).unique().tolist()
    [0.25, 0.75]
    """
    angle = torch.pi * 2 * torch.rand(len(x), 1, 1, generator=generator)
    y, z = (torch.linspace(-1, 1, n) for n in x.shape[2:])
    side = (angle.cos() * y[:, None] + angle.sin() * z[None, :] > 0)[:, None]
    return torch.where(side, x, other)


def faint(x: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply each image by a random factor of at most 1/3.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.faint(x, generator).max().item() <= 0.25
    True
    """
    return x * torch.rand(len(x), 1, 1, 1, generator=generator) / 3


def inverted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Exchange dark and bright.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.full((5, 1, 8, 8), 0.75), torch.Generator().manual_seed(0)
    >>> vw.negatives.inverted(x, generator).unique().tolist()
    [0.25]
    """
    return 1 - x


#: Made of one image.
OF_ONE: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    uniform,
    gaussian,
    shuffled,
    blobs,
    faint,
    inverted,
)
#: Made of two images of different classes.
OF_TWO: tuple[Callable[[Tensor, Tensor, torch.Generator], Tensor], ...] = (blends, overlays, halves)


def make_negatives(x: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Make `count` images of no class, with equal parts of all kinds; the remainder is of random kinds.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
        Real images in [0, 1], to make them of.
    labels : Tensor of shape (B,)
    count : int
    generator : torch.Generator

    Returns
    -------
    Tensor of shape (count, C, H, W)
        In [0, 1]. Where both images of a pair are of the same class, there is noise instead.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> x, generator = torch.rand(5, 1, 8, 8), torch.Generator().manual_seed(0)
    >>> vw.negatives.make_negatives(x, torch.arange(5), 20, generator).shape
    torch.Size([20, 1, 8, 8])
    """
    kinds = len(OF_ONE) + len(OF_TWO)
    made = []
    # In random order, because a small batch has fewer images than there are kinds.
    for kind, place in enumerate(torch.randperm(kinds, generator=generator).tolist()):
        n = count // kinds + (place < count % kinds)
        rows, others = torch.randint(len(x), (2, n), generator=generator)
        if kind < len(OF_ONE):
            made.append(OF_ONE[kind](x[rows], generator))
            continue
        differ = (labels[rows] != labels[others])[:, None, None, None]
        two = OF_TWO[kind - len(OF_ONE)](x[rows], x[others], generator)
        made.append(torch.where(differ, two, uniform(x[rows], generator)))
    return torch.cat(made)


__getattr__ = old_names(__name__)
