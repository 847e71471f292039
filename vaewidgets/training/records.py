"""The records of a run: `Step`, its `LossTerms`, `Snapshot`, and the error `Diverged`; and `throttle`."""

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

    Examples
    --------
    >>> terms = LossTerms.read(torch.tensor([6.0, -4.0, 1.5, 0.5]))
    >>> terms.loss, terms.kl
    (6.0, 2.0)
    """

    loss: float
    reconstruction: float
    kl_per_dimension: tuple[float, ...]

    @property
    def kl(self) -> float:
        """Sum of `kl_per_dimension`, nats per image."""
        return math.fsum(self.kl_per_dimension)

    @classmethod
    def read(cls, numbers: Tensor) -> LossTerms:
        """Make the terms from the one tensor of `summarise`, of shape (2 + d,)."""
        loss, reconstruction, *kl = numbers.tolist()
        return cls(loss, reconstruction, tuple(kl))


@torch.no_grad()
def summarise(terms: Elbo, images: int) -> Tensor:
    """Compute the means over a batch of loss, reconstruction and KL per dimension, in one tensor.

    Parameters
    ----------
    terms : Elbo
        Of the batch, or of a part of it.
    images : int
        In the whole batch, so that the summaries of its parts add up.

    Returns
    -------
    Tensor of shape (2 + d,)

    Examples
    --------
    >>> part = Elbo(torch.tensor([-4.0, -6.0]), torch.ones(2, 1), torch.tensor([-5.0, -7.0]))
    >>> summarise(part, 2)
    tensor([ 6., -5.,  1.])
    """
    sums = [-terms.total.sum()[None], terms.reconstruction.sum()[None], terms.kl.sum(0)]
    return torch.cat(sums) / images


@dataclass(frozen=True, eq=False)
class Step:
    """What one optimizer step measured before it changed the weights.

    Attributes
    ----------
    epoch, step, total_steps : int
        Counted from 1.
    beta, lr : float
        Weight of the KL and learning rate of this step, warm-up and schedule included.
    images_per_second : float
        Since the start of training, without the time that the caller spent between steps.
    numbers : Tensor of shape (2 + d,)
        The terms of the batch, still on the device: a step that is not read costs no synchronisation.
    held_out : LossTerms or None
        On the last step of an epoch, of the validation images with the weights after it, and with the
        bound itself (beta = 1); else None.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model, images = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(20, 1, 8, 8)
    >>> step = next(vw.fit(model, images, batch_size=10, epochs=1))
    >>> step, abs(step.loss - (step.kl - step.reconstruction)) < 1e-4
    (Step(epoch=1, step=1, total_steps=2), True)
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
        """All numbers of the batch as `LossTerms`, nats per image."""
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
    """The loss is not finite any more. The model has earlier weights, whose loss was finite.

    If the first loss was not finite, there are no such weights: the model has its initial ones.

    Attributes
    ----------
    step : int
        The first whose loss is not finite, counted from 1.
    term : "reconstruction" or "KL"
        The one that is infinite or NaN.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0)
    >>> try:
    ...     for step in vw.fit(model, torch.rand(20, 1, 8, 8), lr=1e30):
    ...         pass
    ... except Diverged as error:
    ...     print(error.step, "lr = 1e+30 is too large" in str(error))
    2 True
    """

    def __init__(self, message: str, step: int, term: str) -> None:
        super().__init__(message)
        self.step, self.term = step, term


class Snapshot(NamedTuple):
    """A copy of all that the next step depends on; `Training.state` makes it.

    Attributes
    ----------
    tensors : dict of str to Tensor
        Weights, Adam's moments, with a patience the best weights, and the states of the generators.
    numbers : dict of str to int or float
        Steps, images, seconds, best loss, beta and lr.
    arguments : dict of str to int, float, str or None
        Of the run, by which the state of another run is recognised.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> run = vw.fit(vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(20, 1, 8, 8))
    >>> run.state().numbers["step"], run.state().arguments["epochs"]
    (0, 20)
    """

    tensors: dict[str, Tensor]
    numbers: dict[str, int | float]
    arguments: dict[str, int | float | str | None]

    def check(self, other: Snapshot, total_steps: int) -> None:
        """Raise ValueError unless `other` could be a state of the same run, which has `total_steps`."""
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
            # The best loss is infinite until there is one, and under a density it may be negative.
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
    """An iterator of steps that can be ended early: a `Training`, or a generator."""

    def close(self) -> None:
        """End the iteration."""


def throttle(steps: ClosableSteps, seconds: float = 0.5) -> Generator[Step, None, None]:
    """Yield a step at most every `seconds`, and always the first and the last; the others still train.

    Its name in 0.1.0, paced, goes on working until 0.3.

    Parameters
    ----------
    steps : iterator of Step
        Of `fit`. Closing this generator closes it.
    seconds : float
        Time between two steps that are yielded; 0 yields all.

    Yields
    ------
    Step

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model, images = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(20, 1, 8, 8)
    >>> [step.step for step in vw.throttle(vw.fit(model, images, epochs=5, batch_size=4), seconds=60)]
    [1, 25]
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
