"""The order in which a run sees its images: drawn anew for every epoch, and the same again after a rewind."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Order:
    """Batches of row numbers, epoch after epoch; the last batch of an epoch may be short.

    Parameters
    ----------
    images, batch_size : int
    device : torch.device
        Where the row numbers are wanted; they are drawn on the processor, alike for every device.
    seed : int

    Attributes
    ----------
    batches : int
        In an epoch.
    """

    def __init__(self, images: int, batch_size: int, device: torch.device, seed: int) -> None:
        self._images, self._batch_size, self._device = images, batch_size, device
        self._generator = torch.Generator().manual_seed(seed)
        self._of_epoch, self._drawn = None, None
        self.batches = math.ceil(images / batch_size)

    def batch(self, step: int) -> Tensor:
        """Return the rows of the batch after `step` steps, int64 of shape (B,). Steps follow each other."""
        i = step % self.batches
        if i == 0 or self._drawn is None:
            if i == 0:
                self._of_epoch = self._generator.get_state()
            self._generator.set_state(self._of_epoch)
            order = torch.randperm(self._images, generator=self._generator)
            # Moved once an epoch: a copy per step would make the device wait at every step.
            self._drawn = order.to(self._device).split(self._batch_size)
        return self._drawn[i]

    def state(self, step: int) -> Tensor:
        """Return what `restore` takes; within an epoch it is that from which its order is drawn again."""
        return self._of_epoch if step % self.batches else self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Go to the epoch of a `state`."""
        self._generator.set_state(state)
        self._of_epoch, self._drawn = state.clone(), None
