"""The manifold grid: a plane of latent space decoded tile by tile, as one picture with a cursor."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.widgets._core.canvas import GridCanvas, PlaneCanvas
from vaewidgets.widgets._core.latent_state import PageLatent
from vaewidgets.widgets._core.panel import note_html, title
from vaewidgets.widgets._core.plane import REACH, spread_out

_NORMAL = NormalDist()


class ManifoldGrid(widgets.VBox):
    """Tiles at quantiles of the prior, or at even steps; without a prior at even steps alone.

    Parameters
    ----------
    decode : callable
        Turns plane coordinates, an ndarray of shape (N, 2), into images (N, C, H, W).
    tile_shape : (H, W)
    prior : bool
        Whether the model has one: N(0, I) about `centre` on the plane.
    latent : PageLatent, optional
        The panel's: where the page can decode, it does; else `decode` is called.
    """

    def __init__(
        self,
        decode: Callable[[np.ndarray], Tensor],
        tile_shape: tuple[int, int],
        prior: bool,
        latent: PageLatent | None = None,
    ) -> None:
        self._decode, self._prior = decode, prior
        #: Even steps span centre +- reach, in plane coordinates.
        self.centre, self.reach = np.zeros(2), REACH
        # One picture of at most about 900 pixels a side, whatever the size of an image.
        self.tiles = int(np.clip(900 // max(tile_shape), 5, 30))
        if latent is not None and not latent.reason:
            self.picture = GridCanvas(prior=prior, key=latent.key)
        else:
            key = latent.key if latent is not None else ""
            self.picture = PlaneCanvas(key_step=1 / self.tiles, key=key)
        self.picture.fit(self.tiles * tile_shape[1], self.tiles * tile_shape[0], 420, 560)
        self.spacing = widgets.ToggleButtons(
            options=["equal prior mass", "even steps"],
            tooltips=[
                "tile centres at quantiles of N(0, 1): each tile stands for the same share of the prior",
                f"tile centres at even steps over +-{REACH:g}",
            ],
        ).add_class("vw-own-width")
        self.note = widgets.HTML()
        controls = [self.spacing] if prior else []
        super().__init__([title("The plane, decoded tile by tile"), self.picture, *controls, self.note])

    @property
    def _by_mass(self) -> bool:
        return self._prior and self.spacing.index == 0

    def draw(self) -> None:
        """Decode every tile anew, or let the page do it."""
        n = self.tiles
        if isinstance(self.picture, PlaneCanvas):
            middle = (np.arange(n) + 0.5) / n
            u, v = np.meshgrid(middle, middle)
            images = self._decode(self.to_plane(np.stack([u.ravel(), v.ravel()], 1)))
            label = f"{n} by {n} decoded pictures of the plane; arrow keys move z"
            self.picture.show(to_uint8(tile(images, n)), label)
        if self._by_mass:
            note = f"{n} x {n} tiles, each 1/{n * n} of the prior's mass in this plane; together 100 %."
        elif not self._prior:
            (x, y), r = self.centre, self.reach
            note = (
                f"{n} x {n} tiles in even steps over most codes: {x - r:.1f} to {x + r:.1f} across, "
                f"{y - r:.1f} to {y + r:.1f} up. An autoencoder has no prior to say what is likely."
            )
        else:
            mass = (2 * _NORMAL.cdf(REACH) - 1) ** 2
            note = f"{n} x {n} tiles in even steps over +-{REACH:g}: {mass:.1%} of the prior's mass."
        self.note.value = note_html(note)
        self.picture.mapping = dict(
            centre=self.centre.tolist(), reach=float(self.reach), byMass=bool(self._by_mass)
        )

    def place_cursor(self, point: np.ndarray) -> None:
        """Say where the cursor is; the page has it there already, since it knows z and the plane."""
        self.picture.cursor = [float(v) for v in self.to_place(point)]

    # A place is (u, v): shares of the picture's width and height from its top left corner.

    def to_plane(self, place) -> np.ndarray:
        """Plane coordinates of places, both of shape (..., 2)."""
        place = np.asarray(place, dtype=float)
        share = np.stack([place[..., 0], 1 - place[..., 1]], -1)
        return self.centre + spread_out(share, self.reach, self._by_mass)

    def to_place(self, point) -> np.ndarray:
        """Places of plane coordinates, both of shape (2,)."""
        offset = np.asarray(point, dtype=float) - self.centre
        if self._by_mass:
            x, y = map(_NORMAL.cdf, offset)
        else:
            x, y = (offset / self.reach + 1) / 2
        return np.array([x, 1 - y])
