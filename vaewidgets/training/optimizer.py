"""Adam with all of its state there from the start."""

from __future__ import annotations

import torch
from torch import Tensor


def make_adam(weights: list[Tensor], lr: float, weight_decay: float, graphed: bool) -> torch.optim.AdamW:
    """Make Adam with decoupled weight decay: a run has the same state before its first step and after it.

    Parameters
    ----------
    weights : list of Tensor
    lr, weight_decay : float
    graphed : bool
        A CUDA graph is to hold its steps; the learning rate is then a tensor, set by ``fill_``.
    """
    # A graph reads the learning rate where it lies; without one a plain number is faster.
    rate = torch.tensor(lr, device=weights[0].device) if graphed else lr
    adam = torch.optim.AdamW(weights, lr=rate, weight_decay=weight_decay, fused=True, capturable=graphed)
    # It warns that it steps outside a graph, which short batches and the steps before recording do.
    adam._warned_capturable_if_run_uncaptured = True
    for weight in weights:
        adam.state[weight] = {
            "step": torch.zeros((), device=weight.device, dtype=torch.float32),
            "exp_avg": torch.zeros_like(weight),
            "exp_avg_sq": torch.zeros_like(weight),
        }
    return adam


def set_rate(adam: torch.optim.AdamW, lr: float) -> None:
    """Set the learning rate of the steps to come, in place where a graph reads it."""
    group = adam.param_groups[0]
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
