"""Divergence: copies of good weights to return to when the loss is no finite number, and the likely cause."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaewidgets.models.likelihoods import Gaussian

from .run_state import copy_into

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Likelihood

#: Steps between two copies of the weights.
KEEP_EVERY = 50


class DivergenceGuard:
    """Finds the first loss of a run that is not finite, and has copies of the weights from before it.

    Parameters
    ----------
    weights : dict of str to Tensor
        The model's own, which training changes in place.
    every : int
        Steps whose losses are read together, at most `KEEP_EVERY`: reading one makes a GPU wait.

    Examples
    --------
    >>> weights = {"w": torch.ones(1)}
    >>> guard = DivergenceGuard(weights, every=1)
    >>> guard.snapshot(0)
    >>> weights["w"] += math.nan
    >>> guard.check(1, torch.tensor([math.nan, 5.0]))
    (1, 'KL', nan)
    >>> guard.rollback(1), weights["w"]
    (0, tensor([1.]))
    """

    def __init__(self, weights: dict[str, Tensor], every: int) -> None:
        self._weights, self.every = weights, every
        self.forget()

    def forget(self) -> None:
        """Drop all copies and losses: the run was restored to another state."""
        self._copies: deque[tuple[int, dict[str, Tensor]]] = deque(maxlen=2)
        self._unread: list[Tensor] = []

    @torch.no_grad()
    def snapshot(self, step: int) -> None:
        """Copy the weights after `step`, every `KEEP_EVERY` steps; keep two, as the later may be bad."""
        if self._copies and step % KEEP_EVERY:
            return
        if not self._copies:
            # Read only when it is needed: reading one makes a GPU wait.
            self._began = [weight.abs().max() for weight in self._weights.values()]
        self._copies.append((step, {name: weight.clone() for name, weight in self._weights.items()}))

    @property
    def began(self) -> float:
        """The largest absolute weight before the first step; infinite if one is not finite."""
        return largest(self._began)

    def check(
        self, step: int, numbers: Tensor | None = None, *, now: bool = False
    ) -> tuple[int, str, float] | None:
        """Store the numbers of `step`; every `every` steps, or `now`, read those that are not read yet.

        Parameters
        ----------
        step : int
        numbers : Tensor of shape (2 + d,), optional
            Of `summarise`; None stores nothing.
        now : bool

        Returns
        -------
        tuple or None
            Of the first step whose loss is not finite: its number, the term that is not, and the loss.
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

    def rollback(self, at: int) -> int:
        """Restore weights with a finite loss, when step `at` has none; return the step that they are from."""
        # The loss of a step is that of the weights before it: the last good ones are those after at - 2.
        step, copy = next((kept for kept in reversed(self._copies) if kept[0] < at - 1), self._copies[0])
        copy_into(self._weights, copy)
        return step


def explain(
    at: int,
    likelihood: Likelihood,
    images: Tensor,
    began: float,
    *,
    lr: float,
    weight_decay: float,
    beta: float,
) -> str:
    """Say why the loss of step `at` may be no finite number, and what to do: one or two sentences.

    Parameters
    ----------
    at : int
        The first step whose loss is not finite, counted from 1.
    likelihood : Likelihood
        Of the model, whose weights have been rolled back.
    images : Tensor of shape (N, C, H, W)
    began : float
        The largest absolute weight before the first step.
    lr, weight_decay, beta : float

    Examples
    --------
    >>> from vaewidgets.models.likelihoods import Bernoulli
    >>> explain(7, Bernoulli(), torch.zeros(1, 1, 8, 8), 0.1, lr=1e12, weight_decay=0.0, beta=1.0)
    'lr = 1e+12 is too large; try a tenth of it.'
    """
    reached = largest([images])
    # Each cause with the factor by which it exceeds what trains.
    causes = [
        (beta / 1e6, f"beta = {beta:g} is too large: try one below 1,000."),
        (reached / 1e4, f"The images reach {reached:.1g}: scale them, to [0, 1] for instance."),
    ]
    if isinstance(likelihood, Gaussian):
        sigma = likelihood.sigma.item()
        moved = likelihood.optimal or isinstance(likelihood.log_sigma, torch.nn.Parameter)
        said = (
            f"went to {sigma:.1g}: give it a fixed value."
            if moved
            else f"is {sigma:.1g}, which is too small: give it a larger one, 0.1 for instance."
        )
        causes.append((1e-5 / max(sigma, 1e-300), f"The likelihood's sigma {said}"))
    # What changes the weights cannot be the cause before the first step.
    if at > 1:
        # Above 2 the decay moves every weight to the other side of 0, further out each time.
        decay = f"weight_decay = {weight_decay:g} is too large: lr = {lr:g} times it must stay below 1."
        causes += [
            (lr / 0.1, f"lr = {lr:g} is too large; try a tenth of it."),
            (lr * weight_decay / 2, decay),
        ]
    factor, cause = max(causes)
    if factor > 1:
        return cause
    if not began < 1e4:
        state = f"reached {began:.1g}" if began < math.inf else "were no finite numbers"
        return f"The model's weights {state} before the first step: make the model anew."
    if at == 1:
        return "It was so before the first step: the model's weights, or the images, are the cause."
    return f"No setting stands out. If nothing else has changed the weights, try a smaller lr than {lr:g}."


def largest(tensors: Iterable[Tensor]) -> float:
    """Return the largest absolute value; NaN and infinities count as infinite.

    Examples
    --------
    >>> largest([torch.tensor([1.0, -2.0]), torch.zeros(0)]), largest([torch.tensor(math.nan)])
    (2.0, inf)
    """
    sizes = [float(tensor.detach().abs().max()) for tensor in tensors if tensor.numel()]
    return max((size if math.isfinite(size) else math.inf for size in sizes), default=0.0)
