"""The learning curves of a run with a bounded number of points, and marks where a knob was changed."""

from __future__ import annotations

import copy
from collections import deque
from typing import Any

import numpy as np
import torch

from vaewidgets.training.records import LossTerms


class History:
    """Points of the learning curves, each the mean of all batches since the point before.

    They depend on the run alone, never on when they are read. There is a point every `width` steps. When
    there are too many, each two become one. The last point may be the mean of fewer batches.

    Parameters
    ----------
    latent_dim : int
    bound : callable
        Computes the third curve's value of `LossTerms`.

    Attributes
    ----------
    width : int
        Steps between two points.
    held_out_steps : list of int

    Examples
    --------
    >>> import torch
    >>> history = History(2, lambda terms: terms.reconstruction - terms.kl)
    >>> history.append(2, torch.tensor([[9.0, -8.0, 0.5, 0.25], [7.0, -6.0, 0.5, 0.75]]))
    >>> history.steps, history.column(0), history.column(1)
    ([1, 2], [-8.0, -6.0], [0.75, 1.25])
    """

    #: The largest numbers of points of a curve, of marks, and of batches that `recent` averages over.
    MOST, MARKS, RECENT = 600, 30, 10

    def __init__(self, latent_dim: int, bound) -> None:
        self.bound, self.width = bound, 1
        # Sums of `Step.numbers` over the batches of each point.
        self._sums: list[Any] = []
        self._begun: Any = 0.0
        self._count, self._latent_dim = 0, latent_dim
        self._recent: deque[Any] = deque(maxlen=self.RECENT)
        self.held_out_steps: list[int] = []
        self._held_out: list[tuple[float, float, float]] = []
        self._changes: list[tuple[int, str, str]] = []

    def append(self, step: int, numbers: torch.Tensor) -> None:
        """Add the `Step.numbers`, of shape (B, 2 + d), of the next B batches, of which `step` is the last."""
        for row in numbers.double().numpy():
            self._recent.append(row)
            self._begun = self._begun + row
            self._count += 1
            if self._count == self.width:
                self._sums.append(self._begun)
                self._begun, self._count = 0.0, 0
            if len(self._sums) == self.MOST:
                self._sums = [a + b for a, b in zip(self._sums[::2], self._sums[1::2], strict=True)]
                self.width *= 2

    def append_held_out(self, step: int, terms: LossTerms) -> None:
        """Add the `LossTerms` of the held-out images after `step`."""
        if len(self.held_out_steps) >= self.MOST:
            self.held_out_steps, self._held_out = self.held_out_steps[1::2], self._held_out[1::2]
        self.held_out_steps.append(step)
        self._held_out.append(self._row(terms))

    def mark(self, step: int, knob: str, value: float) -> None:
        """Mark a change. A second change of the same knob after the same step replaces the first."""
        kept = [change for change in self._changes if change[:2] != (step, knob)]
        self._changes = [*kept, (step, knob, f"{knob} {value:.3g}")][-self.MARKS :]

    def with_marks_of(self, other: History, before: int) -> History:
        """Copy this history, with the marks of `other` before a step."""
        own = self.copy()
        own._changes = [change for change in other._changes if change[0] < before]
        return own

    def copy(self) -> History:
        """Copy the history: the copy and the original do not see what is added to the other."""
        other = copy.copy(self)
        for name in ("_sums", "_recent", "held_out_steps", "_held_out", "_changes"):
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    def marks(self, apart: float = 1) -> list[tuple[int, str]]:
        """Return the steps after which knobs were changed, in order, each with its changes as one text.

        A change less than `apart` steps after a mark belongs to that mark, which names only the last value
        of each knob.
        """
        groups: list[tuple[int, dict[str, str]]] = []
        for step, knob, text in self._changes:
            if not groups or step - groups[-1][0] >= apart:
                groups.append((step, {}))
            groups[-1][1].pop(knob, None)
            groups[-1][1][knob] = text
        return [(step, ", ".join(own.values())) for step, own in groups]

    @property
    def recent(self) -> LossTerms | None:
        """Means over the last batches, nats per image; None before the first."""
        return LossTerms.read(np.mean(self._recent, axis=0)) if self._recent else None

    @property
    def kl_per_dimension(self) -> list[float]:
        """KL of each dimension over the last batches, nats; zeros before the first batch."""
        return [0.0] * self._latent_dim if self.recent is None else list(self.recent.kl_per_dimension)

    @property
    def steps(self) -> list[int]:
        """The last step of each point."""
        whole = [self.width * (i + 1) for i in range(len(self._sums))]
        return [*whole, self.width * len(whole) + self._count] if self._count else whole

    def column(self, i: int) -> list[float]:
        """Training values of the reconstruction (i = 0), the KL (1) or the bound (2), nats per image."""
        means = [total / self.width for total in self._sums]
        if self._count:
            means.append(self._begun / self._count)
        return [self._row(LossTerms.read(mean))[i] for mean in means]

    def held_out_column(self, i: int) -> list[float]:
        """Held-out values of the curve i, in the order of `column`."""
        return [row[i] for row in self._held_out]

    def _row(self, terms) -> tuple[float, float, float]:
        return terms.reconstruction, terms.kl, self.bound(terms)
