"""The cursor on a map: an overlay of ours, so that moving it never asks Plotly to redraw."""

from __future__ import annotations

import anywidget
import traitlets

from ._panel import STATIC


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
    """

    _esm = STATIC / "cursor.js"
    position = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    moved = traitlets.List(traitlets.Float()).tag(sync=True)
    key_step = traitlets.Float(0.05).tag(sync=True)
    label = traitlets.Unicode("Cursor of the latent map: arrow keys move it").tag(sync=True)
