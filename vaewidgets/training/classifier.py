"""Training of a `Classifier` as an iterator: `fit_classifier` yields a `ClassifierStep` per batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from vaewidgets._utils import old_names
from vaewidgets.data.dataset import check_images
from vaewidgets.data.negatives import make_negatives
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.vae import unwrap_arguments

from .run_state import set_learning_rate
from .validation import check_count, check_nonnegative, check_seed

#: Share of the real images that are blurred: a decoder's images are smooth, and that alone is no defect.
BLURRED = 0.3


@dataclass(frozen=True, eq=False)
class ClassifierStep:
    """What one optimizer step measured before it changed the weights.

    Attributes
    ----------
    epoch, step, total_steps : int
        Counted from 1.
    number : Tensor
        The loss, still on the device.
    """

    epoch: int
    step: int
    total_steps: int
    number: Tensor = field(repr=False)

    @property
    def loss(self) -> float:
        """Mean cross-entropy over the batch, nats."""
        return self.number.item()


@unwrap_arguments
def fit_classifier(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 3e-3,
    weight_decay: float = 0.0,
    reject: float = 0.1,
    seed: int = 0,
) -> Iterator[ClassifierStep]:
    """Train `model` in place by cross-entropy, one `ClassifierStep` per batch.

    Real images are shifted by a few pixels and some are blurred (`augment`). Images of no class are made from
    each batch anew (`negatives.make_negatives`). The learning rate falls to zero along half a cosine.

    Parameters
    ----------
    model : Classifier
    images : Tensor of shape (N, C, H, W)
        In [0, 1].
    labels : Tensor of shape (N,), int64
    epochs, batch_size : int
    lr, weight_decay : float
        Learning rate and decoupled weight decay of AdamW.
    reject : float
        Number of images of no class for each real image. More of them are rejected the larger it is, and more
        real images too.
    seed : int
        Of the order and of all random numbers.

    Yields
    ------
    ClassifierStep

    Raises
    ------
    ValueError, TypeError
        At the call, before any step: arguments or images that cannot be trained on.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> classifier = vw.Classifier((1, 8, 8), 2, hidden=(4,), seed=0)
    >>> images, labels = torch.rand(20, 1, 8, 8), torch.arange(20) % 2
    >>> for step in fit_classifier(classifier, images, labels, epochs=1, batch_size=10):
    ...     print(step)
    ClassifierStep(epoch=1, step=1, total_steps=2)
    ClassifierStep(epoch=1, step=2, total_steps=2)
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_count(name, value)
    for name, number in (("lr", lr), ("weight_decay", weight_decay), ("reject", reject)):
        check_nonnegative(name, number)
    check_seed(seed)
    check_images(images, model.image_shape)
    if labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= model.classes:
        raise ValueError(
            f"{len(images)} images need {len(images)} labels from 0 to {model.classes - 1}; got shape "
            f"{tuple(labels.shape)}, {labels.min()} to {labels.max()}."
        )
    return _steps(model, images, labels, epochs, batch_size, lr, weight_decay, reject, seed)


def _steps(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
    reject: float,
    seed: int,
) -> Iterator[ClassifierStep]:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay)
    device = next(model.parameters()).device
    step, total_steps = 0, epochs * math.ceil(len(images) / batch_size)
    for epoch in range(1, epochs + 1):
        for index in torch.randperm(len(images), generator=generator).split(batch_size):
            x, y = images[index], labels[index]
            none = make_negatives(x, y, round(reject * len(x)), generator)
            pictures = torch.cat([augment(x, generator), none]).to(device)
            target = torch.cat([y, y.new_full((len(none),), model.classes)]).to(device)
            set_learning_rate(optimizer, lr * 0.5 * (1 + math.cos(math.pi * step / total_steps)))
            loss = functional.cross_entropy(model(pictures), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            yield ClassifierStep(epoch, step, total_steps, loss.detach())


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shift images by a few pixels each way and blur some, 3 x 3: changes that keep their class.

    Parameters
    ----------
    x : Tensor of shape (B, C, H, W)
    generator : torch.Generator

    Returns
    -------
    Tensor of shape (B, C, H, W)

    Examples
    --------
    >>> augment(torch.zeros(5, 1, 8, 8), torch.Generator().manual_seed(0)).shape
    torch.Size([5, 1, 8, 8])
    """
    count, _, height, width = x.shape
    # MNIST's digits, which have a margin of 4 pixels, are shifted by at most 2.
    reach = max(1, min(height, width) // 14)
    padded = functional.pad(x, [reach] * 4)
    down, right = torch.randint(2 * reach + 1, (2, count, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    images = torch.arange(count)[:, None, None]
    # Advanced indices around a slice put its axis, the channels, last.
    moved = padded[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    blurred = functional.avg_pool2d(moved, 3, stride=1, padding=1)
    return torch.where(torch.rand(count, 1, 1, 1, generator=generator) < BLURRED, blurred, moved)


__getattr__ = old_names(__name__)
