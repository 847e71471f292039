"""Canvases that show pixels, sent by the kernel or decoded in the page."""

from __future__ import annotations

import numpy as np
import traitlets

from .page_module import PageModule


class ImageCanvas(PageModule):
    """Pixels on a canvas, crisp when enlarged.

    The element carries ``data-vw="picture"`` and ``data-vw-frame``, the count of pictures it has shown.

    Attributes
    ----------
    label : str
        What the picture is, for those who do not see it.
    key : str
        Of a `PageLatent`: its z is decoded here in the page, where the page can decode.
    """

    _module = "_core/canvas.js"
    pixels = traitlets.Bytes().tag(sync=True)
    rows = traitlets.Int(0).tag(sync=True)
    columns = traitlets.Int(0).tag(sync=True)
    channels = traitlets.Int(1).tag(sync=True)
    #: Counts what was shown: a picture equal to the last one is a picture too.
    serial = traitlets.Int(0).tag(sync=True)
    display_width = traitlets.Int(252).tag(sync=True)
    label = traitlets.Unicode("").tag(sync=True)
    key = traitlets.Unicode("").tag(sync=True)

    def show(self, pixels: np.ndarray, label: str | None = None) -> None:
        """Show an array of shape (H, W) or (H, W, 3), uint8, in one message."""
        with self.hold_sync():
            self.rows, self.columns = pixels.shape[:2]
            self.channels = 1 if pixels.ndim == 2 else pixels.shape[2]
            self.pixels = pixels.tobytes()
            self.serial += 1
            if label is not None:
                self.label = label

    def fit(self, columns: int, rows: int, width: int, height: int | None = None) -> None:
        """Display columns x rows pixels as large as a box has room: a square of `width` without a `height`.

        Each is a whole number of screen pixels wide; where not even one fits, the picture is made smaller.
        """
        factor = min(width / columns, (height or width) / rows)
        self.display_width = max(1, int(columns * (int(factor) if factor >= 1 else factor)))


class PlaneCanvas(ImageCanvas):
    """The manifold grid, decoded by the kernel.

    Attributes
    ----------
    mapping : dict
        How places on it map to the plane, see `ManifoldGrid`.
    cursor : list (u, v)
        Where the cursor is, for Python alone: the page works it out from z.
    key_step : float
        Share of width and height that one arrow key moves the cursor.
    """

    _module = "_map/plane.js"
    mapping = traitlets.Dict().tag(sync=True)
    key_step = traitlets.Float(0.01).tag(sync=True)
    cursor = traitlets.List(traitlets.Float())


class GridCanvas(PageModule):
    """The manifold grid, decoded in the page by a worker: coarse first, then every tile.

    Attributes
    ----------
    key : str
        Of the `PageLatent` whose plane it shows.
    mapping : dict
        How places on it map to the plane, see `ManifoldGrid`.
    cursor : list (u, v)
        Where the cursor is, for Python alone: the page works it out from z.
    """

    _module = "_map/manifold_grid.js"
    key = traitlets.Unicode("").tag(sync=True)
    mapping = traitlets.Dict().tag(sync=True)
    prior = traitlets.Bool(True).tag(sync=True)
    display_width = traitlets.Int(420).tag(sync=True)
    cursor = traitlets.List(traitlets.Float())

    fit = ImageCanvas.fit
