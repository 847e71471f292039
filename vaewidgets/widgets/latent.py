"""The latent point as the page holds it, so that what is under the hand need not wait for the kernel."""

from __future__ import annotations

import math
import time
from uuid import uuid4

import anywidget
import torch
import traitlets

from ._describe import CannotDescribe, describe
from ._panel import read_static
from ._plane import Plane


class PageLatent(anywidget.AnyWidget):
    """z, the plane and the decoder of a panel, in the page. It is not seen.

    Parameters
    ----------
    model : object with ``decode``
    sliders : list of FloatSlider
        One for each latent dimension: the page listens to them without the kernel.
    walk : FloatSlider
        From 0 to 1: takes z along the straight line between `ends`, once there are two.
    z : d floats
        Where to begin.

    Attributes
    ----------
    z : list of d floats
        Where Python put the latent point last.
    moved : list of d floats
        Where a cursor took it in the page.
    reason : str
        Why the kernel must decode; empty where the page can.
    """

    _esm = read_static("decoder.js", "shared.js", "latent.js")
    key = traitlets.Unicode().tag(sync=True)
    z = traitlets.List(traitlets.Float()).tag(sync=True)
    moved = traitlets.List(traitlets.Float()).tag(sync=True)
    sliders = traitlets.List(traitlets.Unicode()).tag(sync=True)
    walk = traitlets.Unicode().tag(sync=True)
    ends = traitlets.List().tag(sync=True)
    plane = traitlets.Dict().tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)

    def __init__(self, model, sliders, walk, z) -> None:
        self._model, self._sent, self._looked = model, None, -math.inf
        names = [f"IPY_MODEL_{slider.model_id}" for slider in sliders]
        walk = f"IPY_MODEL_{walk.model_id}"
        super().__init__(key=uuid4().hex, sliders=names, walk=walk, z=list(z))
        self.reason = ""
        self.refresh()

    def refresh(self, pause: float = 0.0) -> None:
        """Send the decoder if its weights have changed; look at most once in `pause` seconds."""
        if time.monotonic() < self._looked + pause:
            return
        self._looked = time.monotonic()
        now = self._fingerprint()
        if now == self._sent:
            return
        self._sent = now
        try:
            description = describe(self._model)
            self.reason = ""
        except CannotDescribe as error:
            description, self.reason = None, str(error)
        with self.hold_sync():
            self.spec = description.spec if description else {}
            self.weights = description.weights if description else b""

    def show(self, plane: Plane) -> None:
        """Let cursors move on this plane."""
        self.plane = {"basis": plane.basis.tolist(), "origin": plane.origin.tolist()}

    @torch.no_grad()
    def _fingerprint(self) -> list[float]:
        """Numbers that change when a weight does. (Fused optimizers do not count in a tensor's version.)"""
        if not isinstance(self._model, torch.nn.Module):
            return []
        return [tensor.sum().item() for tensor in self._model.state_dict().values()]
