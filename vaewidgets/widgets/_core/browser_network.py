"""A model's layers in the page: sent when they are made, and again when they have changed."""

from __future__ import annotations

import math
import time

import torch
import traitlets

from .network_spec import Description, UnsupportedLayerError, describe
from .page_module import Asset, PageModule

#: Bytes of weights that a page is sent: what a slow network takes a minute for is decoded in the kernel.
LARGEST = 64_000_000


class PageNetworks(PageModule):
    """A widget whose page runs networks.

    Attributes
    ----------
    networks : dict of dict
        By name: ``spec``, as of `Description`, and ``parts``, the ``hash`` by which the page asks for a part
        of the weights and its ``dtype``. Its module is given ``weights`` in place of ``parts``.
    """

    networks = traitlets.Dict().tag(sync=True)

    def __init__(self, **state) -> None:
        self._weights: dict[str, list[Asset]] = {}
        super().__init__(**state)

    def assets(self) -> list[Asset]:
        """List what the page may ask this widget for."""
        return [*super().assets(), *(asset for assets in self._weights.values() for asset in assets)]

    def give(self, name: str, description: Description | None) -> None:
        """Let the page run a network under this name, or no longer."""
        networks = {other: network for other, network in self.networks.items() if other != name}
        weights = []
        if description:
            weights = [Asset(part.tobytes()) for part in description.parts]
            parts = [
                {"hash": asset.hash, "dtype": part.dtype.name}
                for asset, part in zip(weights, description.parts, strict=True)
            ]
            networks[name] = {"spec": description.spec, "parts": parts}
        # The page asks on another thread. What it has been told of is here until it is told otherwise.
        self._weights[name] = [*self._weights.get(name, []), *weights]
        self.networks = networks
        self._weights[name] = weights


class PageNetwork(PageNetworks):
    """A widget whose page runs the decoder of a model, and its encoder if asked: the network "model".

    Parameters
    ----------
    model : object with ``decode``
    encoder : bool
        Whether the page must encode too.

    Attributes
    ----------
    reason : str
        Why the kernel must do it; empty where the page can.
    """

    def __init__(self, model, *, encoder: bool = False, **state) -> None:
        self._model, self._encoder, self._looked = model, encoder, -math.inf
        self._sent: list[float] | None = None
        super().__init__(**state)
        self.reason = ""
        self.refresh()

    def refresh(self, pause: float = 0.0) -> None:
        """Tell of the layers if their weights have changed; look at most once in `pause` seconds."""
        if time.monotonic() < self._looked + pause:
            return
        self._looked = time.monotonic()
        now = self._fingerprint()
        if now == self._sent:
            return
        self._sent, self.reason = now, ""
        try:
            description = describe(self._model, encoder=self._encoder)
            size = sum(part.nbytes for part in description.parts)
            if size > LARGEST:
                raise UnsupportedLayerError(
                    f"its weights are {size / 1e6:,.0f} MB; a page is sent {LARGEST / 1e6:.0f} MB at most."
                )
            self.give("model", description)
        except UnsupportedLayerError as error:
            self.give("model", None)
            self.reason = str(error)

    @torch.no_grad()
    def _fingerprint(self) -> list[float]:
        """Numbers that change when a weight does. (Fused optimizers do not count in a tensor's version.)"""
        if not isinstance(self._model, torch.nn.Module):
            return []
        return [tensor.sum().item() for tensor in self._model.state_dict().values()]
