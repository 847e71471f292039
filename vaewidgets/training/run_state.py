"""The state of a run beside the weights, all of which `Training.state` copies.

It is Adam's moments, the order of the batches, and with a patience the best weights so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


class BatchSampler:
    """Batches of row numbers, in a new random order each epoch; the last batch of an epoch may be short.

    Parameters
    ----------
    images, batch_size : int
    device : torch.device
        Of the row numbers. They are drawn on the processor, so that they are the same for every device.
    seed : int

    Attributes
    ----------
    batches : int
        In an epoch.

    Examples
    --------
    >>> batches = BatchSampler(5, 2, torch.device("cpu"), seed=0)
    >>> [len(batches.batch(step)) for step in range(batches.batches)]
    [2, 2, 1]
    """

    def __init__(self, images: int, batch_size: int, device: torch.device, seed: int) -> None:
        self._images, self._batch_size, self._device = images, batch_size, device
        self._generator = torch.Generator().manual_seed(seed)
        self._of_epoch = self._generator.get_state()
        self._drawn: tuple[Tensor, ...] | None = None
        self.batches = math.ceil(images / batch_size)

    def batch(self, step: int) -> Tensor:
        """Return the rows of the batch after `step` steps, int64 of shape (B,). Steps must be consecutive."""
        i = step % self.batches
        if i == 0 or self._drawn is None:
            if i == 0:
                self._of_epoch = self._generator.get_state()
            self._generator.set_state(self._of_epoch)
            order = torch.randperm(self._images, generator=self._generator)
            # Copied once an epoch: a copy for each step would make the device wait at every step.
            self._drawn = order.to(self._device).split(self._batch_size)
        return self._drawn[i]

    def state(self, step: int) -> Tensor:
        """Return the generator's state for `restore`; within an epoch, the one that drew its order."""
        return self._of_epoch if step % self.batches else self._generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Go to the epoch of a `state`, Tensor of shape (bytes,)."""
        self._generator.set_state(state)
        self._of_epoch, self._drawn = state.clone(), None


def make_adam(weights: Sequence[Tensor], lr: float, weight_decay: float, graphed: bool) -> torch.optim.AdamW:
    """Make AdamW with its state allocated, so that a run has the same state before its first step as after.

    Parameters
    ----------
    weights : list of Tensor
    lr, weight_decay : float
    graphed : bool
        Whether a CUDA graph will hold its steps. The learning rate is then a tensor.

    References
    ----------
    Kingma & Ba 2015 (arXiv 1412.6980), algorithm 1; Loshchilov & Hutter 2019 (arXiv 1711.05101), algorithm 2,
    for the decoupled weight decay.

    Examples
    --------
    >>> weight = torch.zeros(3, requires_grad=True)
    >>> make_adam([weight], lr=0.1, weight_decay=0.0, graphed=False).state[weight]["exp_avg"]
    tensor([0., 0., 0.])
    """
    # A graph reads the learning rate from a tensor; without a graph a plain number is faster.
    rate = torch.tensor(lr, device=weights[0].device) if graphed else lr
    adam = torch.optim.AdamW(weights, lr=rate, weight_decay=weight_decay, fused=True, capturable=graphed)
    if graphed:
        from vaewidgets._utils.private_apis import allow_steps_outside_graphs

        allow_steps_outside_graphs(adam)
    for weight in weights:
        adam.state[weight] = {
            "step": torch.zeros((), device=weight.device, dtype=torch.float32),
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
        }
    return adam


def set_learning_rate(adam: torch.optim.AdamW, lr: float) -> None:
    """Set the learning rate of the next steps, in place where a CUDA graph reads it."""
    group = adam.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


class EarlyStopping:
    """The smallest held-out loss so far, and a copy of the weights that had it.

    Parameters
    ----------
    weights : dict of str to Tensor
        The model's own, which training changes in place.
    patience : int or None
        Epochs to wait for a smaller loss; None copies nothing and never stops.

    Attributes
    ----------
    tensors : dict of str to Tensor
        The copy; empty without a patience.
    loss : float
        Infinite before the first epoch has been measured.
    stale : int
        Epochs since the smallest loss.

    References
    ----------
    Goodfellow et al. 2016 (Deep learning), algorithm 7.1.

    Examples
    --------
    >>> weights = {"w": torch.zeros(1)}
    >>> stopping = EarlyStopping(weights, patience=2)
    >>> for loss in (3.0, 1.0, 2.0, 2.5):
    ...     weights["w"] += 1
    ...     stopping.update(loss)
    >>> stopping.restore_best()
    >>> stopping.exhausted, weights["w"].item()
    (True, 2.0)
    """

    def __init__(self, weights: dict[str, Tensor], patience: int | None) -> None:
        self._weights, self._patience = weights, patience
        self.tensors = {} if patience is None else {name: t.clone() for name, t in weights.items()}
        self.loss, self.stale = math.inf, 0

    @property
    def exhausted(self) -> bool:
        """Whether the loss has not fallen for `patience` epochs."""
        return self._patience is not None and self.stale >= self._patience

    @property
    def known(self) -> bool:
        """Whether there is a best epoch yet."""
        return self.loss < math.inf

    def update(self, loss: float) -> None:
        """Copy the present weights if `loss` is the smallest so far; do nothing without a patience."""
        if self._patience is None:
            return
        if loss < self.loss:
            self.loss, self.stale = loss, 0
            copy_into(self.tensors, self._weights)
        else:
            self.stale += 1

    def restore_best(self) -> None:
        """Copy the best weights into the model, if there are any."""
        if self.known:
            copy_into(self._weights, self.tensors)


@torch.no_grad()
def copy_into(to: dict[str, Tensor], source: dict[str, Tensor]) -> None:
    """Copy the tensors of `source` into those of the same names in `to`, in place."""
    for name, tensor in to.items():
        tensor.copy_(source[name])
