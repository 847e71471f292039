"""The cursor on a map: an overlay of ours, so that moving it never asks Plotly to redraw."""

from __future__ import annotations

import anywidget
import traitlets

from ._describe import describe
from ._panel import STATIC
from ._plane import Plane


class MapCursor(anywidget.AnyWidget):
    """A cursor laid over the Plotly map of the panel that it sits in.

    Attributes
    ----------
    position : list [x, y]
        In axis units.
    moved : list [x, y]
        Where the pointer or the arrow keys took it.
    key_step : float
        Axis units that one arrow key moves it; ten times that with Shift.
    hover : bool
        Whether a small picture under the pointer shows what is decoded there. The page decodes it, with
        the weights that `preview` sent; z and the kernel have no part in it.
    """

    _esm = (STATIC / "decoder.js").read_text("utf-8") + (STATIC / "cursor.js").read_text("utf-8")
    position = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    moved = traitlets.List(traitlets.Float()).tag(sync=True)
    key_step = traitlets.Float(0.05).tag(sync=True)
    label = traitlets.Unicode("Cursor of the latent map: arrow keys move it").tag(sync=True)
    hover = traitlets.Bool(False).tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    plane = traitlets.Dict().tag(sync=True)
    z = traitlets.List(traitlets.Float()).tag(sync=True)

    def preview(self, model) -> None:
        """Send the page what it needs to decode; CannotDescribe if it cannot run this model."""
        description = describe(model)
        with self.hold_sync():
            self.spec, self.weights = description.spec, description.weights

    def place(self, plane: Plane, z) -> None:
        """Move to where z lies on the plane, in one message."""
        with self.hold_sync():
            self.plane = {"basis": plane.basis.tolist(), "origin": plane.origin.tolist()}
            self.z = [float(v) for v in z]
            self.position = [float(v) for v in plane.project(z)]
