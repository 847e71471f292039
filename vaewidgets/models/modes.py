"""Look at a model without changing it, or teach it, whatever mode it and torch were left in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def looking(*models) -> Iterator[None]:
    """Have models answer as they do after training, however they were left, and leave them so again.

    Batch normalisation uses its running statistics and does not update them, dropout drops nothing, and no
    gradient is kept. The flag of every module is put back by itself: part of a model may be frozen.

    Parameters
    ----------
    models : objects
        Modules, and what holds modules as attributes.
    """
    training = [module for model in models for module in _modules(model) if module.training]
    with torch.no_grad():
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


@contextmanager
def teaching(model: nn.Module) -> Iterator[None]:
    """Have a model learn: with gradients, and in training mode unless it is there, then as it was.

    A model in training mode of which parts are not keeps those so: somebody has frozen them.
    """
    resting = [] if model.training else list(model.modules())
    before = [module.training for module in resting]
    with torch.enable_grad():
        for module in resting:
            module.training = True
        try:
            yield
        finally:
            for module, training in zip(resting, before, strict=True):
                module.training = training


def looks(function: Callable) -> Callable:
    """Have a function look at the models among its arguments: see `looking`."""

    @functools.wraps(function)
    def wrapped(*args, **keywords):
        with looking(*args, *keywords.values()):
            return function(*args, **keywords)

    return wrapped


def _modules(model) -> Iterator[nn.Module]:
    if isinstance(model, nn.Module):
        yield from model.modules()
    else:
        for value in getattr(model, "__dict__", {}).values():
            if isinstance(value, nn.Module):
                yield from value.modules()
