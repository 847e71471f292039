"""The cursor on a map: an overlay of ours, so that moving it never asks Plotly to redraw."""

from __future__ import annotations

import traitlets

from vaewidgets.widgets._core.page_module import PageModule


class MapCursor(PageModule):
    """A cursor laid over the Plotly map of the panel that it sits in.

    Attributes
    ----------
    position : list [x, y]
        In axis units.
    moved : list [x, y]
        Where the pointer or the arrow keys took it.
    key : str
        Of a `PageLatent`: then the cursor is where that has z, and moves that instead.
    key_step : float
        Axis units that one arrow key moves it; ten times that with Shift.
    hover : bool
        Whether a small picture under the pointer shows what is decoded there; z has no part in it.
    """

    _module = "_map/cursor.js"
    position = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)
    moved = traitlets.List(traitlets.Float()).tag(sync=True)
    key = traitlets.Unicode("").tag(sync=True)
    key_step = traitlets.Float(0.05).tag(sync=True)
    label = traitlets.Unicode("Cursor of the latent map: arrow keys move it").tag(sync=True)
    hover = traitlets.Bool(False).tag(sync=True)
