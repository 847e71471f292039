"""A model's layers in the page: sent when they are made, and again when they have changed."""

from __future__ import annotations

import math
import time

import anywidget
import torch
import traitlets

from .network_spec import UnsupportedLayerError, describe


class PageNetwork(anywidget.AnyWidget):
    """A widget whose page runs the decoder of a model, and its encoder if asked.

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

    spec = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(self, model, *, encoder: bool = False, **state) -> None:
        self._model, self._encoder, self._looked = model, encoder, -math.inf
        self._sent: list[float] | None = None
        super().__init__(**state)
        self.reason = ""
        self.refresh()

    def refresh(self, pause: float = 0.0) -> None:
        """Send the layers if their weights have changed; look at most once in `pause` seconds."""
        if time.monotonic() < self._looked + pause:
            return
        self._looked = time.monotonic()
        now = self._fingerprint()
        if now == self._sent:
            return
        self._sent = now
        try:
            description = describe(self._model, encoder=self._encoder)
            self.reason = ""
        except UnsupportedLayerError as error:
            description, self.reason = None, str(error)
        with self.hold_sync():
            self.spec = description.spec if description else {}
            self.weights = description.weights if description else b""

    @torch.no_grad()
    def _fingerprint(self) -> list[float]:
        """Numbers that change when a weight does. (Fused optimizers do not count in a tensor's version.)"""
        if not isinstance(self._model, torch.nn.Module):
            return []
        return [tensor.sum().item() for tensor in self._model.state_dict().values()]
