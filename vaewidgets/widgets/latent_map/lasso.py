"""The lasso on a map: an overlay of ours, so that drawing it never asks Plotly to redraw."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from vaewidgets.widgets._core.page_module import PageModule
from vaewidgets.widgets._map.figure import PALETTE


class MapLasso(PageModule):
    """A lasso over the Plotly map of the same panel, and marks on the points that it took.

    Attributes
    ----------
    armed : bool
        Whether a drag on the map draws a lasso instead of moving the cursor.
    corners : list of [x, y]
        The polygon that is shown, in axis units.
    drawn : list of [x, y]
        The polygon that was drawn last in the page.
    past : list of dict
        Earlier polygons, each with its ``number`` and its ``corners``.
    points, kinds : bytes
        Points that are marked, float32 (N, 2), and their classes, one byte each; both from `mark`.
    right : int
        The class whose points are dots; -1 if the labels are not revealed.
    colours : list of str
        Colour of each class.
    label : str
        Description for screen readers.
    """

    _module = "latent_map/lasso.js"
    armed = traitlets.Bool(False).tag(sync=True)
    corners: traitlets.List[Any] = traitlets.List().tag(sync=True)
    drawn: traitlets.List[Any] = traitlets.List().tag(sync=True)
    past: traitlets.List[Any] = traitlets.List().tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    kinds = traitlets.Bytes().tag(sync=True)
    right = traitlets.Int(-1).tag(sync=True)
    colours = traitlets.List(list(PALETTE)).tag(sync=True)
    label = traitlets.Unicode("the lasso").tag(sync=True)

    def mark(self, points: np.ndarray, kinds: np.ndarray | None = None, right: int | None = None) -> None:
        """Mark points (N, 2) as taken. With classes (N,), those of `right` are dots, others crosses."""
        with self.hold_sync():
            self.points = np.ascontiguousarray(points, "float32").tobytes()
            # One byte is enough for a class, because colours repeat after ten.
            self.kinds = b"" if kinds is None else kinds.astype("uint8").tobytes()
            self.right = -1 if right is None else right
