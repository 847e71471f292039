"""Pictures that belong to no class, made of ones that do: what teaches a `Classifier` to say "none of these".

Each function takes images of shape (B, C, H, W) and draws from the generator that it is given. Nothing here
has seen a decoder; blends, halves and faint shapes are what a bad one paints.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from vaewidgets._utils import old_names


def uniform(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw every pixel from U(0, 1): images of the shape of x."""
    return torch.rand(x.shape, generator=generator)


def gaussian(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw every pixel from a normal, clipped to [0, 1], of a mean and a width that each image has anew."""
    mean, width = torch.rand(2, len(x), 1, 1, 1, generator=generator)
    return (mean + width * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def shuffled(x: Tensor, generator: torch.Generator) -> Tensor:
    """Put the pixels of each image into a random order of its own: the greys stay, the shape goes."""
    order = torch.rand(x.shape[0], *x.shape[2:], generator=generator).flatten(1).argsort(1)
    return x.flatten(2).gather(2, order[:, None].expand(-1, x.shape[1], -1)).view_as(x)


def blobs(x: Tensor, generator: torch.Generator) -> Tensor:
    """Draw soft random shapes: noise of a quarter of the size, blown up, with a threshold of its own."""
    size = [max(2, n // 4) for n in x.shape[2:]]
    noise = torch.randn(len(x), x.shape[1], *size, generator=generator)
    threshold = torch.rand(len(x), 1, 1, 1, generator=generator)
    smooth = functional.interpolate(noise, x.shape[2:], mode="bilinear", align_corners=False)
    return torch.sigmoid(4 * (smooth - 1.5 * threshold))


def blends(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Average two images of different classes, pixel by pixel; the lesser has a weight of at least .3."""
    weight = 0.3 + 0.4 * torch.rand(len(x), 1, 1, 1, generator=generator)
    return weight * x + (1 - weight) * other


def overlays(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Lay one image over another of a different class."""
    return torch.maximum(x, other)


def halves(x: Tensor, other: Tensor, generator: torch.Generator) -> Tensor:
    """Take one side of a line through the middle from one image, the other side from another."""
    angle = torch.pi * 2 * torch.rand(len(x), 1, 1, generator=generator)
    y, z = (torch.linspace(-1, 1, n) for n in x.shape[2:])
    side = (angle.cos() * y[:, None] + angle.sin() * z[None, :] > 0)[:, None]
    return torch.where(side, x, other)


def faint(x: Tensor, generator: torch.Generator) -> Tensor:
    """Leave at most a third of the ink."""
    return x * torch.rand(len(x), 1, 1, 1, generator=generator) / 3


def inverted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Paint dark on bright."""
    return 1 - x


#: Made of one image, and of two of different classes.
OF_ONE: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    uniform,
    gaussian,
    shuffled,
    blobs,
    faint,
    inverted,
)
OF_TWO: tuple[Callable[[Tensor, Tensor, torch.Generator], Tensor], ...] = (blends, overlays, halves)


def make_negatives(x: Tensor, labels: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Make `count` pictures of no class, of all kinds in equal parts; of what is left over chance decides.

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
        In [0, 1]. Where no other image of a different class was drawn for a pair, there is noise instead.
    """
    kinds = len(OF_ONE) + len(OF_TWO)
    made = []
    # A small batch has fewer of them than there are kinds.
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
