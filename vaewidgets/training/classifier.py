"""Training a `Classifier` as an iterator. It prints nothing and draws nothing."""

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

#: A real image is moved by its size over this at most: MNIST's digits, with a margin of 4 pixels, by 2.
REACH = 14
#: Share of the real images that are blurred a little: a decoder's are smooth, and that is no fault.
BLURRED = 0.3


@dataclass(frozen=True, eq=False)
class ClassifierStep:
    """What one optimizer step saw before it moved the weights.

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

    Real images are moved by a few pixels and some are blurred a little; pictures of no class are made of
    each batch anew (`negatives.make_negatives`). The learning rate falls to zero along half a cosine.

    Parameters
    ----------
    model : Classifier
    images : Tensor of shape (N, C, H, W)
        In [0, 1].
    labels : Tensor of shape (N,)
    epochs, batch_size : int
    lr : float
        Learning rate of Adam (Kingma & Ba 2015), with decoupled `weight_decay` (Loshchilov & Hutter 2019).
    reject : float
        So many pictures of no class for each real image. The more, the fewer of them pass, and the more
        real images are taken for none.
    seed : int
        Of the order and of all that is drawn.

    Yields
    ------
    ClassifierStep

    Raises
    ------
    ValueError, TypeError
        At the call, before any step: arguments or images that cannot be trained on.
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
    """Move images (B, C, H, W) by a few pixels each way, and blur some a little: what remains a digit."""
    count, _, height, width = x.shape
    reach = max(1, min(height, width) // REACH)
    padded = functional.pad(x, [reach] * 4)
    down, right = torch.randint(2 * reach + 1, (2, count, 1), generator=generator)
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    images = torch.arange(count)[:, None, None]
    # The indices stand around the slice, so that the channels come last.
    moved = padded[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    blurred = functional.avg_pool2d(moved, 3, stride=1, padding=1)
    return torch.where(torch.rand(count, 1, 1, 1, generator=generator) < BLURRED, blurred, moved)


__getattr__ = old_names(__name__)
