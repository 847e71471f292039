"""Snapshots of a run, so that it can be rewound. Their number and their memory are bounded."""

from __future__ import annotations

from typing import Any

#: Bytes that all snapshots may take together.
MEMORY = 2**28


class Snapshots:
    """The first state of a run, and later states at even steps. When there are too many, every second goes.

    Parameters
    ----------
    every : int
        Steps between two snapshots at first. It doubles whenever there are too many.
    most : int
        Largest number of snapshots, at least 3. Those that are assigned by index come on top.
    memory : int
        Bytes that the snapshots may take; three are kept in any case.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    >>> run = vw.fit(model, torch.rand(8, 1, 4, 4), epochs=1, batch_size=2)
    >>> snapshots = Snapshots(every=2)
    >>> snapshots.update(run, "beside the first")
    >>> for step in run:
    ...     snapshots.update(run, f"beside step {step.step}")
    >>> snapshots.steps, snapshots[2][1]
    ([0, 2, 4], 'beside step 2')
    """

    def __init__(self, every: int, most: int = 24, memory: int = MEMORY) -> None:
        self._every, self._most, self._memory = every, most, memory
        self._states: dict[int, tuple] = {}

    @property
    def steps(self) -> list[int]:
        """The steps after which there is a snapshot, in order."""
        return sorted(self._states)

    def __getitem__(self, step: int) -> tuple:
        """Return what was kept after that step: the state, and the value given with it."""
        return self._states[step]

    def __setitem__(self, step: int, kept: tuple) -> None:
        """Keep a state and a value, whether a snapshot is due or not."""
        self._states[step] = kept

    def update(self, training, beside: Any) -> None:
        """Keep the state of a `Training` if a snapshot is due, and a value beside it."""
        step = training.step
        if step % self._every and step:
            return
        state = training.state()
        self._states[step] = state, beside
        size = sum(tensor.nbytes for tensor in state.tensors.values())
        if len(self._states) > max(3, min(self._most, self._memory // max(size, 1))):
            self._every *= 2
            self._states = {s: kept for s, kept in self._states.items() if s % self._every == 0}

    def drop_after(self, step: int) -> None:
        """Drop the snapshots after a step, but never the first."""
        self._states = {s: kept for s, kept in self._states.items() if s <= max(step, 0)}
