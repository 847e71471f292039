"""What a run goes back to when its loss is no finite number any more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Likelihood

#: Steps between two copies of the weights.
KEEP_EVERY = 50


class DivergenceGuard:
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
    def snapshot(self, step: int) -> None:
        """Copy the weights after `step` if it is time; two copies, since the later one may be the bad one."""
        if self._copies and step % KEEP_EVERY:
            return
        if not self._copies:
            # Read only if it comes to that: reading one makes a GPU wait.
            self._began = [weight.detach().abs().max() for weight in self._weights]
        if len(self._copies) < 2:
            copy = [weight.clone() for weight in self._weights]
        else:
            copy = self._copies.pop(0)[1]
            _copy_each(copy, self._weights)
        self._copies.append((step, copy))

    @property
    def began(self) -> float:
        """The largest absolute value of the weights before the first step, infinite if one is none."""
        return largest(self._began)

    def check(
        self, step: int, numbers: Tensor | None = None, *, now: bool = False
    ) -> tuple[int, str, float] | None:
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
    def rollback(self, at: int) -> int:
        """Put back weights seen to give a finite loss, that of step `at` being none; return their step."""
        # The loss of a step is that of the weights before it: the last good ones are those after at - 2.
        step, copy = next((kept for kept in reversed(self._copies) if kept[0] < at - 1), self._copies[0])
        _copy_each(self._weights, copy)
        return step


def _copy_each(to: list[Tensor], source: list[Tensor]) -> None:
    for tensor, other in zip(to, source, strict=True):
        tensor.copy_(other)


class Diagnosis(NamedTuple):
    """What a run was asked for and given, as far as it can take a loss out of the numbers.

    Attributes
    ----------
    lr, weight_decay, beta : float
    sigma : float or None
        Of the likelihood, when its loss was last a number; None where it has none.
    fixed : bool
        Whether sigma was given, neither learned nor "optimal".
    images, weights : float
        The largest absolute value: of the images, and of the weights that the run began with.
    """

    lr: float
    weight_decay: float
    beta: float
    sigma: float | None
    fixed: bool
    images: float
    weights: float

    @classmethod
    def of(cls, likelihood: Likelihood, images: Tensor, weights: float, **knobs: float) -> Diagnosis:
        """Take in a run whose weights have just been put back to some that gave a number."""
        sigma = getattr(likelihood, "sigma", None)
        learned = isinstance(getattr(likelihood, "log_sigma", None), torch.nn.Parameter)
        return cls(
            **knobs, sigma=None if sigma is None else sigma.item(), images=largest([images]), weights=weights,
            fixed=not (learned or getattr(likelihood, "optimal", False)),
        )  # fmt: skip

    def explain(self, at: int) -> str:
        """Say why the loss of step `at` may be no finite number, and what to do: one or two sentences."""
        # By what factor each is beyond what trains; what is furthest out is to blame.
        beyond, cause = max(self._steps() if at > 1 else [], default=(0.0, ""))
        beyond, cause = max((beyond, cause), *self._values())
        if beyond > 1:
            return cause
        if not self.weights < 1e4:
            state = f"reached {self.weights:.1g}" if self.weights < math.inf else "were no finite numbers"
            return f"The model's weights {state} before the first step: make the model anew."
        if at == 1:
            return "It was so before the first step: the model's weights, or the images, are the cause."
        return (
            f"No knob stands out. If nothing else has changed the weights, try a smaller lr than {self.lr:g}."
        )

    def _steps(self) -> list[tuple[float, str]]:
        """What moves the weights: it cannot be the cause before the first step."""
        lr, decay = f"lr = {self.lr:g}", self.lr * self.weight_decay
        return [
            (self.lr / 0.1, f"{lr} is too large; try a tenth of it."),
            # Above 2 the decay throws every weight to the other side of 0, further out each time.
            (
                decay / 2,
                f"weight_decay = {self.weight_decay:g} is too large: {lr} times it must stay below 1.",
            ),
        ]

    def _values(self) -> list[tuple[float, str]]:
        """What makes a loss, or its gradients, large at any weights."""
        found = [
            (self.beta / 1e6, f"beta = {self.beta:g} is too large: try one below 1,000."),
            (self.images / 1e4, f"The images reach {self.images:.1g}: scale them, to [0, 1] for instance."),
        ]
        if self.sigma is not None:
            said = (
                f"is {self.sigma:.1g}, which is too small: give it a larger one, 0.1 for instance."
                if self.fixed
                else f"went to {self.sigma:.1g}: give it a fixed value."
            )
            found.append((1e-5 / max(self.sigma, 1e-300), f"The likelihood's sigma {said}"))
        return found


def largest(tensors: Iterable[Tensor]) -> float:
    """Return the largest absolute value; NaN and infinities count as infinite."""
    sizes = [float(tensor.detach().abs().max()) for tensor in tensors if tensor.numel()]
    return max((size if math.isfinite(size) else math.inf for size in sizes), default=0.0)
