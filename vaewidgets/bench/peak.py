"""How much arithmetic a training step is, and how much of it the machine could do."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

#: (m, k, n) of the products tried: those of the measured model's step, and squares that a processor likes.
SHAPES = ((128, 784, 400), (128, 400, 784), (784, 128, 400), (512, 512, 512), (1024, 1024, 1024))
#: Seconds on each shape, at each look.
WINDOW = 0.02


def step_flops(first: nn.Linear, *others: nn.Linear) -> int:
    """Count the floating-point operations of one image's matrix products, forward and backward.

    A layer from i to o units multiplies and adds i * o times for its output, for its weights' gradient and
    for its input's; nobody wants the gradient of the images, so the `first` layer does without the last.
    """
    return 4 * first.weight.numel() + 6 * sum(layer.weight.numel() for layer in others)


class Peak:
    """The fastest matrix product seen so far, of one device and one number format.

    Attributes
    ----------
    flops : float
        Per second.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.flops = 0.0
        self._device = device
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self._operands = [
            (torch.randn(m, k, **options), torch.randn(k, n, **options), torch.empty(m, n, **options))
            for m, k, n in SHAPES
        ]

    def look(self) -> None:
        """Try every shape for a moment: called between the rounds, it meets the machine that they meet."""
        for a, b, out in self._operands:
            self.flops = max(self.flops, _rate(a, b, out, self._device))


def _rate(a: Tensor, b: Tensor, out: Tensor, device: torch.device) -> float:
    work, times = 2 * a.shape[0] * a.shape[1] * b.shape[1], 1
    torch.mm(a, b, out=out)
    while True:
        wait(device)
        started = time.perf_counter()
        for _ in range(times):
            torch.mm(a, b, out=out)
        wait(device)
        elapsed = time.perf_counter() - started
        if elapsed >= WINDOW:
            return times * work / elapsed
        times *= 2


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was asked: a GPU answers before it has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
