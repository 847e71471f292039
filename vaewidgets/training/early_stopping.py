"""The best epoch of a run by its held-out loss: when to stop, and the weights to keep."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Best:
    """The least held-out loss so far, and a copy of the weights that had it.

    Parameters
    ----------
    weights : dict of str to Tensor
        The model's own, that training changes.
    patience : int or None
        Epochs without a lesser loss that are waited for; None keeps nothing and waits for ever.

    Attributes
    ----------
    tensors : dict of str to Tensor
        The copy; empty without a patience.
    loss : float
        Infinite before the first epoch has been measured.
    stale : int
        Epochs since then.
    """

    def __init__(self, weights: dict[str, Tensor], patience: int | None) -> None:
        self._weights, self._patience = weights, patience
        self.tensors = {} if patience is None else {name: t.clone() for name, t in weights.items()}
        self.loss, self.stale = math.inf, 0

    @property
    def exhausted(self) -> bool:
        """Whether the patience is at its end."""
        return self._patience is not None and self.stale >= self._patience

    @property
    def known(self) -> bool:
        """Whether there is a best epoch yet."""
        return self.loss < math.inf

    def offer(self, loss: float) -> None:
        """Keep the weights of now if their loss is the least; without a patience nothing happens."""
        if self._patience is None:
            return
        if loss < self.loss:
            self.loss, self.stale = loss, 0
            copy_into(self.tensors, self._weights)
        else:
            self.stale += 1

    def put_back(self) -> None:
        """Give the model the best weights, if there are any."""
        if self.known:
            copy_into(self._weights, self.tensors)


@torch.no_grad()
def copy_into(to: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    """Copy tensors into those of the same names, in place."""
    for name, tensor in to.items():
        tensor.copy_(source[name])
