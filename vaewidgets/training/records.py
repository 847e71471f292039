"""What a training run says of itself: a `Step` per batch, its `LossTerms`, and the end of a bad run."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from vaewidgets._utils import old_names
from vaewidgets.models.objectives import Elbo


class LossTerms(NamedTuple):
    """Means over a batch, read from the device, in nats per image.

    Attributes
    ----------
    loss : float
        Minus the mean of `Elbo.total`.
    reconstruction : float
        Mean of log p(x|z).
    kl_per_dimension : tuple of d floats
        Mean of KL(q(z|x) || p(z)) of each latent dimension; empty for an autoencoder.
    """

    loss: float
    reconstruction: float
    kl_per_dimension: tuple[float, ...]

    @property
    def kl(self) -> float:
        """Sum of `kl_per_dimension`."""
        return math.fsum(self.kl_per_dimension)

    @classmethod
    def read(cls, numbers: Tensor) -> LossTerms:
        """Make the terms of what `summarise` put into one tensor."""
        loss, reconstruction, *kl = numbers.tolist()
        return cls(loss, reconstruction, tuple(kl))


@torch.no_grad()
def summarise(terms: Elbo, images: int) -> Tensor:
    """Sum the terms of a batch, or of a part of it, over `images`: loss, reconstruction, KL per dimension."""
    sums = [-terms.total.sum()[None], terms.reconstruction.sum()[None], terms.kl.sum(0)]
    return torch.cat(sums) / images


@dataclass(frozen=True, eq=False)
class Step:
    """What one optimizer step saw before it moved the weights.

    Attributes
    ----------
    epoch, step, total_steps : int
        Counted from 1.
    beta, lr : float
        Weight of the KL and learning rate of this step, warm-up and schedule included.
    images_per_second : float
        Since the start of training, without the time the caller spent between steps.
    numbers : Tensor of shape (2 + d,)
        The terms of the batch, still on the device: a step that nobody reads costs no waiting for it.
    held_out : LossTerms or None
        On the last step of an epoch, of the validation images with the weights after it, and with the
        bound itself (beta = 1); else None.
    """

    epoch: int
    step: int
    total_steps: int
    beta: float = field(repr=False)
    lr: float = field(repr=False)
    images_per_second: float = field(repr=False)
    numbers: Tensor = field(repr=False)
    held_out: LossTerms | None = field(repr=False, default=None)

    @cached_property
    def terms(self) -> LossTerms:
        """All numbers of the batch, nats per image."""
        return LossTerms.read(self.numbers)

    @property
    def loss(self) -> float:
        """Minus the mean of `Elbo.total`, nats per image."""
        return self.terms.loss

    @property
    def reconstruction(self) -> float:
        """Mean of log p(x|z), nats per image."""
        return self.terms.reconstruction

    @property
    def kl(self) -> float:
        """Mean of KL(q(z|x) || p(z)) summed over dimensions, nats per image."""
        return self.terms.kl


class Diverged(RuntimeError):
    """The loss is no longer a finite number. The model has weights that were seen to give one.

    If the first loss was none already, there are no such weights: the model has those it came with.

    Attributes
    ----------
    step : int
        The first whose loss is not finite, counted from 1.
    term : "reconstruction" or "KL"
        What became infinite or NaN first.
    """

    def __init__(self, message: str, step: int, term: str) -> None:
        super().__init__(message)
        self.step, self.term = step, term


class Snapshot(NamedTuple):
    """All that the next step depends on, copied.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Weights, Adam's moments, with a patience the best weights, and the states of the generators.
    numbers : dict of str to int or float
        Where training is, and its knobs.
    arguments : dict of str to int, float, str or None
        What the run was asked for: another run's state is told by it.
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, int | float]
    arguments: dict[str, int | float | str | None]

    def check(self, other: Snapshot, total_steps: int) -> None:
        """Raise ValueError unless `other` could be a state of the same run, which has so many steps."""
        if not (isinstance(other, Snapshot) and all(isinstance(part, dict) for part in other)):
            raise ValueError(f"a state should be what Training.state() returns; got {type(other).__name__}.")
        pairs: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
            (self.tensors, other.tensors),
            (self.numbers, other.numbers),
            (self.arguments, other.arguments),
        )
        for ours, theirs in pairs:
            for name in ours.keys() - theirs.keys():
                _refuse(name, "there", "nothing")
            for name in theirs.keys() - ours.keys():
                _refuse(name, "absent", type(theirs[name]).__name__)
        for name, tensor in self.tensors.items():
            if _describe(tensor) != _describe(other.tensors[name]):
                _refuse(name, _describe(tensor), _describe(other.tensors[name]))
        for name, value in self.arguments.items():
            if value != other.arguments[name]:
                _refuse(name, repr(value), repr(other.arguments[name]))
        for name, value in other.numbers.items():
            wanted = type(self.numbers[name])
            if type(value) is not wanted:
                _refuse(name, f"of type {wanted.__name__}", repr(value))
            # The loss to improve on is infinite until there is one, and under a density it may be negative.
            if value != value or (name != "best_loss" and not 0 <= value < math.inf):
                _refuse(name, "a number, at least 0", repr(value))
        if other.numbers["step"] > total_steps:
            _refuse("step", f"at most {total_steps}", repr(other.numbers["step"]))
        if other.numbers["lr"] == 0:
            _refuse("lr", "a positive number", repr(other.numbers["lr"]))


def _describe(tensor: object) -> str:
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__
    return f"{tuple(tensor.shape)} {tensor.dtype} {tensor.layout}".replace("torch.", "")


def _refuse(name: str, wanted: str, got: str) -> None:
    raise ValueError(f"this state belongs to another training: {name} should be {wanted}; got {got}.")


class ClosableSteps(Iterator[Step], Protocol):
    """Steps that can be ended early: a `Training`, or a generator."""

    def close(self) -> None:
        """End them."""
        ...


def throttle(steps: ClosableSteps, seconds: float = 0.5) -> Generator[Step, None, None]:
    """Pass on a step at most every `seconds`, and always the first and the last; the others still train.

    Its name in 0.1.0, paced, goes on working until 0.3.

    Parameters
    ----------
    steps : iterator of Step
        Of `fit`. Closing the pace closes it.
    seconds : float
        Time between two steps that are passed on; 0 passes on all.

    Yields
    ------
    Step
    """
    passed: Step | None = None
    step: Step | None = None
    due = -math.inf
    try:
        for step in steps:
            if time.monotonic() >= due:
                passed = step
                yield step
                due = time.monotonic() + seconds
        if step is not None and step is not passed:
            yield step
    finally:
        steps.close()


__getattr__ = old_names(__name__)
