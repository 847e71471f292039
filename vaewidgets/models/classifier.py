"""A small classifier with a reject class, which measures what a decoder generates.

It is trained without any decoder: on real images and on images of no class (`data.negatives`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .vae import ACTIVATIONS, check_batch, check_choice, check_int, check_ints


class Classifier(nn.Module):
    """Convolutional classifier with a reject class for images that look like none of the real classes.

    Parameters
    ----------
    image_shape : tuple (C, H, W)
    classes : int
        Number of real classes; the reject class comes after them.
    hidden : tuple of int
        Channels of the stride-2 convolutions, from image to logits.
    activation : "relu", "silu", "gelu", "tanh" or "softplus"
    seed : int or None
        Seed of the initial weights; None draws from torch's global generator.

    Attributes
    ----------
    layers : nn.Sequential
        From pixels to logits.
    config : dict
        The constructor's arguments, as plain JSON: with the weights they are a checkpoint.
    info : dict
        Only of a model that was loaded: how it was trained, and what was measured.

    Raises
    ------
    ValueError, TypeError
        An argument has a value, or a type, that makes no classifier.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> classifier = vw.Classifier((1, 8, 8), hidden=(8,), seed=0)
    >>> classifier(torch.zeros(5, 1, 8, 8)).shape, classifier.confidence(torch.zeros(5, 1, 8, 8)).shape
    (torch.Size([5, 11]), torch.Size([5]))
    """

    info: dict[str, Any]

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        *,
        hidden: tuple[int, ...] = (16, 32),
        activation: str = "relu",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        shape, hidden = check_ints("image_shape", image_shape), check_ints("hidden", hidden)
        check_int("classes", classes)
        if len(shape) != 3:
            raise ValueError(f"image_shape is (channels, height, width), three numbers; got {shape}.")
        if not hidden:
            raise ValueError("a Classifier needs at least one number of channels in hidden.")
        check_choice("activation", activation, ACTIVATIONS)
        self.image_shape, self.classes = shape, classes
        self.config: dict[str, Any] = {
            "image_shape": list(shape),
            "classes": classes,
            "hidden": list(hidden),
            "activation": activation,
        }
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            self.layers = nn.Sequential(*self._make_layers(hidden, ACTIVATIONS[activation]))

    def _make_layers(
        self, hidden: tuple[int, ...], activation: Callable[[], nn.Module]
    ) -> Iterator[nn.Module]:
        before, height, width = self.image_shape
        for channels in hidden:
            yield from (nn.Conv2d(before, channels, 3, stride=2, padding=1), activation())
            before, height, width = channels, (height + 1) // 2, (width + 1) // 2
        yield from (nn.Flatten(), nn.Linear(before * height * width, self.classes + 1))

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits, Tensor of shape (B, classes + 1), of images x of shape (B, C, H, W).

        The last column is the reject class: "none of these".
        """
        logits: Tensor = self.layers(check_batch(x, self.image_shape).to(next(self.parameters()).dtype))
        return logits

    def probabilities(self, x: Tensor) -> Tensor:
        """Compute p(class|x) = softmax(logits), Tensor of shape (B, classes + 1), for x (B, C, H, W)."""
        return self.forward(x).softmax(1)

    def confidence(self, x: Tensor) -> Tensor:
        """Compute the largest probability of a real class: Tensor of shape (B,), for x (B, C, H, W)."""
        return self.probabilities(x)[:, :-1].amax(1)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.config.items())
