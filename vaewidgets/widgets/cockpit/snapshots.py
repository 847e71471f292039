"""States of a run kept on the way, so that it can be rewound; their number and their memory are bounded."""

from __future__ import annotations

from collections.abc import Callable

#: Bytes that the kept states may take together.
MEMORY = 2**28


class Snapshots:
    """The first state of a run, and later ones at even steps: when there are too many, every second goes.

    Parameters
    ----------
    every : int
        Steps between two states at first; doubles whenever the store is full.
    most : int
        States kept at most, at least 3; what is kept by hand comes on top.
    memory : int
        Bytes kept at most, but never fewer than three states.
    """

    def __init__(self, every: int, most: int = 24, memory: int = MEMORY) -> None:
        self._every, self._most, self._memory = every, most, memory
        self._states: dict[int, tuple] = {}

    @property
    def steps(self) -> list[int]:
        """The steps after which there is a state, in order."""
        return sorted(self._states)

    def __getitem__(self, step: int) -> tuple:
        """Return what was kept after that step: the state, and what was given with it."""
        return self._states[step]

    def __setitem__(self, step: int, kept: tuple) -> None:
        """Keep something by hand, whether it is due or not."""
        self._states[step] = kept

    def offer(self, training, *beside: Callable[[], object]) -> None:
        """Keep the state of a `Training` if it is due, and beside it what these return."""
        step = training.step
        if step % self._every and step:
            return
        state = training.state()
        self._states[step] = state, *(ask() for ask in beside)
        size = sum(tensor.nbytes for tensor in state.tensors.values())
        if len(self._states) > max(3, min(self._most, self._memory // max(size, 1))):
            self._every *= 2
            self._states = {s: kept for s, kept in self._states.items() if s % self._every == 0}

    def forget_after(self, step: int) -> None:
        """Drop the states after a step, never the first: a future that will not be, or a bad one."""
        self._states = {s: kept for s, kept in self._states.items() if s <= max(step, 0)}
