"""What a run goes back to when its loss is no finite number any more."""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Steps between two copies of the weights.
KEEP_EVERY = 50


class Keeper:
    """Copies of a run's weights, and an eye on its losses.

    Parameters
    ----------
    weights : list of Tensor
    every : int
        Steps whose losses are read together, at most `KEEP_EVERY`: reading one makes a GPU wait.
    """

    def __init__(self, weights: list[Tensor], every: int) -> None:
        self._weights, self.every = weights, every
        self.forget()

    def forget(self) -> None:
        """Begin anew: the run has been taken elsewhere."""
        self._copies: list[tuple[int, list[Tensor]]] = []
        self._unread: list[Tensor] = []

    @torch.no_grad()
    def keep(self, step: int) -> None:
        """Copy the weights after `step` if it is time; two copies, since the later one may be the bad one."""
        if self._copies and step % KEEP_EVERY:
            return
        if len(self._copies) < 2:
            copy = [weight.clone() for weight in self._weights]
        else:
            copy = self._copies.pop(0)[1]
            torch._foreach_copy_(copy, self._weights)
        self._copies.append((step, copy))

    def look(self, step: int, numbers: Tensor | None = None, *, now: bool = False) -> tuple | None:
        """Take in the numbers of `step`; every so many steps, or `now`, read those not yet read.

        Returns
        -------
        tuple or None
            Of the first step whose loss is not finite: its number, the term to blame, and the loss.
        """
        if numbers is not None:
            self._unread.append(numbers)
        if not self._unread or not (now or len(self._unread) >= self.every):
            return None
        rows = torch.stack(self._unread).tolist() if len(self._unread) > 1 else [self._unread[0].tolist()]
        self._unread = []
        for at, (loss, reconstruction, *_) in enumerate(rows, step - len(rows) + 1):
            if not math.isfinite(loss):
                return at, "KL" if math.isfinite(reconstruction) else "reconstruction", loss
        return None

    @torch.no_grad()
    def go_back(self, at: int) -> int:
        """Put back weights seen to give a finite loss, that of step `at` being none; return their step."""
        # The loss of a step is that of the weights before it: the last good ones are those after at - 2.
        step, copy = next((kept for kept in reversed(self._copies) if kept[0] < at - 1), self._copies[0])
        torch._foreach_copy_(self._weights, copy)
        return step


def explain(at: int, lr: float, weights: list[Tensor], sigma: Tensor | None) -> str:
    """Say why the loss of step `at` may be no finite number, and what to do: one or two sentences."""
    largest = max(float(weight.detach().abs().max()) for weight in weights)
    if at == 1:
        return "It was so before the first step: the model's weights, or the images, are the cause."
    if sigma is not None and not 1e-6 < sigma.item() < math.inf:
        return f"The likelihood's sigma went to {sigma.item():.1g}: give it a fixed value."
    if not largest < 1e3:
        return f"Weights grew to {largest:.1g}: lr = {lr:g} is too large; try a tenth of it."
    return f"Try a smaller lr than {lr:g}."
