"""The layers of a network in the order in which they run, for every format that writes them."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

import torch
from torch import nn

from vaewidgets._utils.private_apis import has_forward_hooks
from vaewidgets.models.vae import eval_mode


class UnsupportedLayerError(ValueError):
    """A format cannot hold this model; the message names the part and the reason."""


class Layer(NamedTuple):
    """One layer of a network.

    Attributes
    ----------
    path : str
        Its name in ``model.state_dict()``, without that of the weight.
    module : torch.nn.Module
    before, after : torch.Size
        Shapes of its input and its output, without the batch axis.
    """

    path: str
    module: nn.Module
    before: torch.Size
    after: torch.Size


def walk(
    module: nn.Module,
    path: str,
    shape: tuple[int, ...],
    known: Container[Callable[..., object] | None],
    refusal: str,
) -> Iterator[Layer]:
    """Yield the layers of `module` in order, with the shapes that they take and return for zeros.

    Parameters
    ----------
    module : torch.nn.Module
        A layer, or a `torch.nn.Sequential` of them.
    path : str
        Its name in the model.
    shape : tuple of int
        Of its input, without the batch axis.
    known : container of functions
        The ``forward`` of each layer that can be written. The class would not do: a subclass with a
        ``forward`` of its own is another layer.
    refusal : str
        The end of the message about a layer that is not known: "which the page cannot run".

    Yields
    ------
    Layer

    Raises
    ------
    UnsupportedLayerError
        A layer that is not known, that does not take this shape, or that has hooks, which only torch runs.

    Examples
    --------
    >>> from torch import nn
    >>> network = nn.Sequential(nn.Linear(3, 5), nn.ReLU())
    >>> layers = walk(network, "net", (3,), {nn.Linear.forward, nn.ReLU.forward}, "which is not known")
    >>> [(layer.path, tuple(layer.after)) for layer in layers]
    [('net.0', (5,)), ('net.1', (5,))]
    """
    like = next(module.parameters(), torch.empty(0))
    # Two rows, so that a layer that changes the batch axis is found.
    x = torch.zeros(2, *shape, device=like.device, dtype=like.dtype)
    for place, layer in _leaves(module, path, refusal):
        kind = type(layer).__name__
        if forward_of(layer) not in known:
            raise cannot(place, layer, "", refusal)
        try:
            with eval_mode(layer):
                y = layer(x)
        except (RuntimeError, ValueError, IndexError) as error:
            raise UnsupportedLayerError(
                f"{place}, a {kind}, does not take shape {tuple(x.shape[1:])}: {error}"
            ) from error
        if len(y) != len(x):
            raise UnsupportedLayerError(f"{place}, a {kind}, changes the batch axis.")
        yield Layer(place, layer, x.shape[1:], y.shape[1:])
        x = y


def forward_of(layer: object) -> Callable[..., object] | None:
    """Return the function that a layer runs; None if it is no layer, or its ``forward`` is no method."""
    return getattr(getattr(layer, "forward", None), "__func__", None)


def cannot(path: str, layer: nn.Module, why: str, refusal: str) -> UnsupportedLayerError:
    """Make the exception about the layer at `path`; `why` and `refusal` follow the name of its class."""
    kind = f"{type(layer).__name__} {why}".strip()
    return UnsupportedLayerError(f"{path} is a {kind}, {refusal}.")


def _leaves(module: nn.Module, path: str, refusal: str) -> Iterator[tuple[str, nn.Module]]:
    if has_forward_hooks(module):
        raise UnsupportedLayerError(f"{path}, a {type(module).__name__}, has forward hooks, {refusal}.")
    if forward_of(module) is nn.Sequential.forward:
        # Not named_children(): that leaves out the second use of a shared layer.
        for name, child in module.named_modules(remove_duplicate=False):
            if name and "." not in name:
                yield from _leaves(child, f"{path}.{name}", refusal)
    else:
        yield path, module
