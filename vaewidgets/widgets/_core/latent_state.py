"""The latent point as the page holds it, so that what is under the hand need not wait for the kernel."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import traitlets

from .browser_network import PageNetwork
from .plane import Plane


class PageLatent(PageNetwork):
    """z, the plane and the decoder of a panel, in the page. It is not seen.

    Parameters
    ----------
    model : object with ``decode``
    sliders : list of FloatSlider
        The page listens to them without the kernel.
    dimensions : list of int
        The latent dimension of each slider, from 0.
    walk : FloatSlider
        From 0 to 1: takes z along the straight line between `ends`, once there are two.
    z : d floats
        Where to begin.

    Attributes
    ----------
    z : list of d floats
        Where Python put the latent point last.
    serial, heard : int
        The number of the point that Python gave last, and of the one that the page has.
    moved : list of d floats
        Where a cursor took it in the page.
    page_ms : float
        How long a picture takes the page, where that is longer than a frame.
    reason : str
        Why the kernel must decode; empty where the page can.
    """

    _module = "_core/latent_state.js"
    key = traitlets.Unicode().tag(sync=True)
    z = traitlets.List(traitlets.Float()).tag(sync=True)
    serial = traitlets.Int(0).tag(sync=True)
    heard = traitlets.Int(0).tag(sync=True)
    moved = traitlets.List(traitlets.Float()).tag(sync=True)
    sliders = traitlets.List(traitlets.Unicode()).tag(sync=True)
    dimensions = traitlets.List(traitlets.Int()).tag(sync=True)
    walk = traitlets.Unicode().tag(sync=True)
    ends: traitlets.List[Any] = traitlets.List().tag(sync=True)
    plane = traitlets.Dict().tag(sync=True)
    page_ms = traitlets.Float(0.0).tag(sync=True)

    def __init__(self, model, sliders, dimensions, walk, z) -> None:
        names = [f"IPY_MODEL_{slider.model_id}" for slider in sliders]
        walk = f"IPY_MODEL_{walk.model_id}"
        super().__init__(model, key=uuid4().hex, sliders=names, dimensions=dimensions, walk=walk, z=list(z))

    def show(self, plane: Plane) -> None:
        """Let cursors move on this plane."""
        self.plane = {"basis": plane.basis.tolist(), "origin": plane.origin.tolist()}
