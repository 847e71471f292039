"""The arithmetic of a training step, and the most that the machine can do in a second."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

#: (m, k, n) of the products tried: those of the measured model's step, and squares that a processor likes.
SHAPES = ((128, 784, 400), (128, 400, 784), (784, 128, 400), (512, 512, 512), (1024, 1024, 1024))
#: Seconds that each shape is timed, each time.
WINDOW = 0.02


def step_flops(first: nn.Linear, *others: nn.Linear) -> int:
    """Count the floating-point operations of one image's matrix products, forward and backward.

    A layer from i to o units multiplies and adds i * o times for its output, for the gradient of its weights
    and for the gradient of its input. The `first` layer needs no gradient of its input, the images.

    Examples
    --------
    >>> step_flops(nn.Linear(3, 2), nn.Linear(2, 1))
    36
    """
    return 4 * first.weight.numel() + 6 * sum(layer.weight.numel() for layer in others)


class Peak:
    """The fastest matrix product measured so far on one device in one number format.

    Parameters
    ----------
    device : torch.device
    dtype : torch.dtype

    Attributes
    ----------
    flops : float
        Floating-point operations per second; 0 before the first `measure`.

    Examples
    --------
    >>> Peak(torch.device("cpu"), torch.float32).flops
    0.0
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.flops = 0.0
        self._device = device
        options: dict[str, Any] = {"device": device, "dtype": dtype}
        self._operands = [
            (torch.randn(m, k, **options), torch.randn(k, n, **options), torch.empty(m, n, **options))
            for m, k, n in SHAPES
        ]

    def measure(self) -> None:
        """Time every shape briefly. Called between the rounds, it runs under the same load as they do."""
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
    """Wait until the device has done all that it was asked; a GPU works asynchronously.

    Examples
    --------
    >>> wait(torch.device("cpu"))
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
