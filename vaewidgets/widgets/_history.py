"""The learning curves of a run: few enough points to be drawn, and the marks of what was changed."""

from __future__ import annotations

import torch

from vaewidgets.steps import Terms


class History:
    """Points of the learning curves: few enough to be drawn, each the mean of all batches since the last.

    Parameters
    ----------
    latent_dim : int
    bound : callable
        The third curve's value of some `Terms`.

    Attributes
    ----------
    steps, held_out_steps : list of int
    kl_per_dimension : list of d floats
        Of the last picture.
    marks : list of (int, str)
        What was changed last, and after which step; all that was changed after one step is one text.
    """

    #: Points of a curve, marks, and points that one picture adds, at most.
    MOST, MARKS, POINTS = 600, 30, 8

    def __init__(self, latent_dim: int, bound) -> None:
        self.bound = bound
        self.steps, self._rows = [], []
        self.held_out_steps, self._held_out = [], []
        self.kl_per_dimension, self._changes = [0.0] * latent_dim, []

    def note(self, step: int, numbers: torch.Tensor) -> Terms:
        """Add the `Step.numbers` (B, 2 + d) of the B batches up to `step`, as a few points.

        Returns
        -------
        Terms
            Their mean.
        """
        first = step - len(numbers)
        for part in numbers.tensor_split(min(len(numbers), self.POINTS)):
            first += len(part)
            self.steps, self._rows = self._thin(self.steps, self._rows)
            self.steps.append(first)
            self._rows.append(self._row(Terms.read(part.mean(0))))
        mean = Terms.read(numbers.mean(0))
        self.kl_per_dimension = list(mean.kl_per_dimension)
        return mean

    def add_held_out(self, step: int, terms: Terms) -> None:
        """Add the `Terms` of the held-out images after `step`."""
        self.held_out_steps, self._held_out = self._thin(self.held_out_steps, self._held_out)
        self.held_out_steps.append(step)
        self._held_out.append(self._row(terms))

    def mark(self, step: int, knob: str, value: float) -> None:
        """Note a change; a second one of the same knob after the same step replaces the first."""
        kept = [change for change in self._changes if change[:2] != (step, knob)]
        self._changes = [*kept, (step, knob, f"{knob} {value:.3g}")][-self.MARKS :]

    @property
    def marks(self) -> list[tuple[int, str]]:
        texts = {}
        for step, _, text in self._changes:
            texts.setdefault(step, []).append(text)
        return [(step, ", ".join(own)) for step, own in texts.items()]

    def cut(self, step: int) -> None:
        """Forget what came after `step`."""
        keep = sum(s <= step for s in self.steps)
        self.steps, self._rows = self.steps[:keep], self._rows[:keep]
        keep = sum(s <= step for s in self.held_out_steps)
        self.held_out_steps, self._held_out = self.held_out_steps[:keep], self._held_out[:keep]
        self._changes = [change for change in self._changes if change[0] < step]

    def _thin(self, steps: list, rows: list) -> tuple[list, list]:
        return (steps[1::2], rows[1::2]) if len(steps) >= self.MOST else (steps, rows)

    def column(self, i: int) -> list[float]:
        """Training values of the reconstruction (0), the KL (1) or the bound (2)."""
        return [row[i] for row in self._rows]

    def held_out_column(self, i: int) -> list[float]:
        """Held-out values, as `column`."""
        return [row[i] for row in self._held_out]

    def _row(self, terms) -> tuple[float, float, float]:
        return terms.reconstruction, terms.kl, self.bound(terms)
