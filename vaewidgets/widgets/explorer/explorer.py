"""LatentExplorer: sliders that decode, over a map of the encoded images."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch
import traitlets

from vaewidgets._utils.private_apis import is_from_page
from vaewidgets.data.pixels import to_uint8
from vaewidgets.models.vae import Posterior
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.encoded import Encoded, check_decodes, decode_points
from vaewidgets.widgets._core.image_pair import ImagePair
from vaewidgets.widgets._core.latent_state import PageLatent
from vaewidgets.widgets._core.model_lock import follow, model_lock
from vaewidgets.widgets._core.panel import Panel, format_point, note_html, set_quietly, title
from vaewidgets.widgets._core.plane import Plane
from vaewidgets.widgets._core.traits import Latent
from vaewidgets.widgets._map.code_map import CodeMap
from vaewidgets.widgets._map.figure import is_points
from vaewidgets.widgets._map.manifold_grid import ManifoldGrid

from .coordinate_sliders import Coordinates
from .html_page import slider_ranges, write_page
from .interpolation import Interpolation

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from numpy.typing import ArrayLike
    from torch import Tensor

    from vaewidgets.data.dataset import Images
    from vaewidgets.models.protocols import Decoder

#: How long a message to the kernel and its answer take, in a browser on the same machine.
_ROUND_TRIP_MS = 50


class LatentExplorer(Panel):
    """Move a latent point by sliders, map or grid, and see what the decoder makes of it.

    Parameters
    ----------
    model : object with ``latent_dim`` and ``decode``
        A VAE, or anything that decodes z of shape (B, d) to images of shape (B, C, H, W). An
        `Autoencoder` has no prior: ranges come from its codes, and there are no circles or ellipses.
    images : Images or Tensor of shape (N, C, H, W), optional
        What the map shows, encoded; ``data.test`` for example. Without it the map shows the atlas
        that a pretrained model carries, and is empty for a model without one.
    z : d numbers, optional
        Where to start. If None the origin, or of an autoencoder the middle of its codes.

    Attributes
    ----------
    z : tuple of d floats
        The source of truth. Assign a list, array or tensor; observe it; link it to another panel's.
    selected : int or None
        Row of the chosen image on the map: its ellipse, reconstruction and picture are shown.
    image : ndarray of shape (H, W) or (H, W, 3), uint8
        What the panel shows for z.
    sliders, boxes, canvas, figure, cursor, grid
        The children, to reach and restyle. `figure` is an ordinary Plotly FigureWidget.

    Raises
    ------
    ValueError, TypeError
        A model that does not decode, images that do not fit it, z of another length or not finite,
        a misspelled keyword.
    """

    z = Latent()
    selected = traitlets.Int(None, allow_none=True)

    def __init__(
        self,
        model: Decoder,
        images: Images | Tensor | None = None,
        *,
        z: ArrayLike | Tensor | None = None,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        check_decodes(model, "LatentExplorer")
        self.model, self.latent_dim, self._lock = model, model.latent_dim, model_lock(model)
        self._has_prior = getattr(model, "has_prior", True)
        self._codes = codes = Encoded.of(model, images, getattr(model, "atlas", None))
        self.mu, self.logvar, self.labels = codes.mu, codes.logvar, codes.labels
        self.classes = codes.classes
        if z is not None:
            self.z = z
        self._shape = self._decode_one(np.zeros(self.latent_dim)).shape

        self._page_knows, self._faster = False, ""
        self._build_controls()
        self._build_map()
        self._build_grid()
        self._build_details()
        super().__init__(
            [
                widgets.HBox([self._controls, self._map]).add_class("vw-row"),
                widgets.HBox([self.grid, self._details]).add_class("vw-row"),
                self.cursor,
                self.latent,
            ],
            **layout,
        )
        self.observe(self._on_z, "z")
        self.observe(self._on_selected, "selected")
        self._on_z()
        self._on_selected()
        self._draw_grid()
        follow(model, self)

    @traitlets.default("z")
    def _start(self) -> tuple[float, ...]:
        if self._has_prior or not len(self.mu):
            return (0.0,) * self.latent_dim
        return tuple(self.mu.mean(0).round(2).tolist())

    @traitlets.validate("selected")
    def _check_selected(self, proposal) -> int | None:
        row = proposal.value
        if row is not None and not 0 <= row < len(self.mu):
            raise IndexError(f"row {row} is not on the map, which has {len(self.mu)} points.")
        return row

    def __repr__(self) -> str:
        return f"LatentExplorer(latent_dim={self.latent_dim}, z={format_point(self.z)})"

    @property
    def image(self) -> np.ndarray:
        """The picture of z, (H, W) or (H, W, 3) uint8; decoded when it is asked for."""
        return self._decode_one(self.z)

    @property
    def plane(self) -> Plane:
        """The plane of the map and the grid."""
        return self._map.plane

    def _decode(self, z: np.ndarray) -> torch.Tensor:
        return decode_points(self.model, z)

    def _decode_one(self, z) -> np.ndarray:
        return to_uint8(self._decode(np.array([z]))[0])

    # -- building -------------------------------------------------------------------------------

    def _build_controls(self) -> None:
        self.canvas = ImageCanvas()
        self.canvas.fit(self._shape[1], self._shape[0], 256)
        ranges = slider_ranges(self.mu, self._has_prior, self.latent_dim)
        self._coordinates = c = Coordinates(self.z, ranges, self._codes.importance())
        self.sliders, self.boxes = c.sliders, c.boxes
        for k, (slider, box) in enumerate(zip(self.sliders, self.boxes, strict=True)):
            self.listen(slider, lambda value, k=k: self._slide_coordinate(k, value))
            self.listen(box, lambda value, k=k: self._type_coordinate(k, value))
        if c.other:
            self.listen(c.other, self._choose_coordinate)
        self.state, self.where = widgets.HTML(), widgets.HTML()
        self._line = line = Interpolation(self._decode, self._shape[:2])
        self.t, self.film, self.ends = line.t, line.film, line.ends
        self.set_a, self.set_b = line.set_a, line.set_b
        self.listen(self.t, self._on_t)
        self.press(self.set_a, lambda: self._set_ends(a=self.z))
        self.press(self.set_b, lambda: self._set_ends(b=self.z))
        self.latent = PageLatent(self.model, self.sliders, c.dimensions, self.t, self.z)
        self.canvas.key = self.latent.key
        self.listen(self.latent, self._on_moved, "moved")
        self.listen(self.latent, self._choose_place, "page_ms")
        self.listen(self.latent, self._coordinates.hear, "heard")
        heading = title("The decoder's picture of z")
        self._controls = widgets.VBox([heading, self.canvas, self.where, self.state, self._coordinates])
        self._controls.add_class("vw-controls")

    def _choose_place(self, page_ms: float) -> None:
        """Decode in the kernel from now on, if the page takes longer than that and the way there."""
        with self._lock:
            times = [self._seconds_of_a_picture() for _ in range(3)]
            if 1000 * min(times) + _ROUND_TRIP_MS < page_ms:
                self._faster = f"{1000 * min(times):.0f} ms a picture, where this page takes {page_ms:.0f}"
                self.canvas.key = ""
            self._on_z()

    def _seconds_of_a_picture(self) -> float:
        begin = time.perf_counter()
        self._decode_one(self.z)
        return time.perf_counter() - begin

    @property
    def _kernel_reason(self) -> str:
        """Why the kernel decodes the picture of z; empty where the page does."""
        return self.latent.reason or self._faster

    def _build_map(self) -> None:
        self._map = map_ = CodeMap(self._codes, self.latent_dim, self._has_prior, self.latent)
        self.figure, self.cursor, self.hover = map_.figure, map_.cursor, map_.hover
        self.map_mode, self.across, self.up = map_.map_mode, map_.across, map_.up
        for trace in self.figure.select_traces(selector=is_points):
            trace.on_click(self._on_click)
        self.latent.show(self.plane)
        for control in (self.map_mode, self.across, self.up):
            self.listen(control, lambda _: self._change_plane())
        self.listen(self.hover, lambda on: self.cursor.set_trait("hover", on))

    def _build_grid(self) -> None:
        self.grid = ManifoldGrid(
            lambda points: self._decode(self.plane.lift(points, self.z)),
            self._shape[:2],
            self._has_prior,
            self.latent,
        )
        self.grid.add_class("vw-plane")
        self.listen(self.grid.spacing, lambda _: self._draw_grid())
        self.redraw = widgets.Button(
            description="redraw through z", tooltip="Decode the plane that z lies on now"
        )
        self.press(self.redraw, self._draw_grid)
        # In the page the grid follows z by itself.
        if self.latent_dim > 2 and self.latent.reason:
            self.grid.children = (*self.grid.children, self.redraw)

    def _build_details(self) -> None:
        self._pair = ImagePair(self._shape[:2], 128)
        self.original, self.reconstruction = self._pair.original, self._pair.reconstruction
        self.details = widgets.HTML()
        self.zoom = widgets.ToggleButton(
            description="zoom to its cloud", icon="search-plus", layout=dict(width="160px", display="none")
        )
        self.listen(self.zoom, lambda _: self._aim())
        self._details = widgets.VBox(
            [title("The chosen point"), self.details, self._pair, self.zoom, self._line]
        ).add_class("vw-details")

    # -- controls write z -----------------------------------------------------------------------

    def _move_coordinate(self, i: int, value: float) -> None:
        self.z = (*self.z[:i], value, *self.z[i + 1 :])

    def _slide_coordinate(self, k: int, value: float) -> None:
        i = self._coordinates.dimensions[k]
        if not is_from_page(self.sliders[k]):
            self._move_coordinate(i, value)
        elif not self._coordinates.is_echo(k, value, self.z):
            self._follow((*self.z[:i], value, *self.z[i + 1 :]))

    def _choose_coordinate(self, i: int) -> None:
        with self._lock:
            self._coordinates.choose(i, self.z)
            self.latent.dimensions = self._coordinates.dimensions

    def _type_coordinate(self, k: int, value: float) -> None:
        i = self._coordinates.dimensions[k]
        # The box shows four decimals: hearing what it was set to must not round z.
        if value != round(self.z[i], 4):
            self._move_coordinate(i, value)

    def _on_moved(self, z) -> None:
        """Follow a cursor, or t: the page has set the sliders too, and they will answer."""
        self._coordinates.give(z, heard=True)
        self._follow(z)

    def _follow(self, z) -> None:
        """Go where a hand has taken z in the page, without sending there what came from there."""
        with self._lock:
            self._page_knows = True
            try:
                self.z = z
            finally:
                self._page_knows = False

    def _on_t(self, t: float) -> None:
        z = self._line.at(t)
        if is_from_page(self.t):
            self._on_moved(z)
        else:
            self.z = z

    def _on_click(self, trace, points, _) -> None:
        # Plotly calls every trace; only the one that was hit has points.
        if points.point_inds:
            with self.report(from_page=True):
                self.select(int(trace.customdata[points.point_inds[0]]))

    def select(self, row: int) -> None:
        """Choose a point of the map: z moves to its mu, and its ellipse and pictures are shown.

        Raises
        ------
        IndexError
            There is no such row.
        """
        self.selected = row
        self.z = self.mu[row]

    def to_html(
        self, path: str | os.PathLike[str], *, title: str | None = None, overwrite: bool = False
    ) -> Path:
        """Write this explorer as one HTML file that needs no kernel, no server and no network.

        Parameters
        ----------
        path : path
            Ends in .html.
        title : str, optional
            Heading of the page.
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        ValueError
            The page cannot run this model; the message names the part.
        FileExistsError
        """
        with self._lock:
            return write_page(
                path, model=self.model, mu=self.mu, logvar=self.logvar, labels=self.labels,
                classes=self.classes, z=self.z, title=title or "Latent explorer", overwrite=overwrite,
            )  # fmt: skip

    def weights_changed(self) -> None:
        """Decode with the weights of this moment: another panel trains the model."""
        with self._lock:
            self.latent.refresh()
            if self._kernel_reason:
                self.canvas.show(self._decode_one(self.z))
            if self.latent.reason:
                self.grid.draw()
            if self.selected is not None:
                self._show_pair(self.selected)
            self._line.draw()

    def interpolate(self, a: ArrayLike | Tensor, b: ArrayLike | Tensor) -> None:
        """Set both ends of the interpolation, a and b, latent points of d numbers, and go to a."""
        check = type(self).z.validate
        self._set_ends(a=check(self, a), b=check(self, b))

    def _set_ends(self, a=None, b=None) -> None:
        line = self._line
        line.set_ends(a, b)
        if line.a is not None and line.b is not None:
            self.latent.ends = [list(line.a), list(line.b)]
            self.t.value = 0 if b is None or a is not None else 1
        self._draw_marks()

    # -- rendering ------------------------------------------------------------------------------

    def _on_z(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            # Another thread may have moved z since: the last one is what counts.
            z = self.z
            # Looking at every weight costs more than a picture, and a hand moves often.
            self.latent.refresh(pause=0.5 if self._page_knows else 0.0)
            if not self._page_knows:
                with self.latent.hold_sync():
                    self.latent.serial = self._coordinates.give(z)
                    self.latent.z = list(z)
            if self._kernel_reason:
                self.canvas.show(self._decode_one(z), f"decoded picture of z = {format_point(z)}")
            reason, slow = self._kernel_reason, self.latent.page_ms
            here = f"in this page, {slow:.0f} ms a picture" if slow else "in this page"
            by = f"by the kernel: {reason}" if reason else here
            self.where.value = note_html(f"decoded {by}")
            self._coordinates.show(z, from_page=self._page_knows)
            self._place_cursors()
            self.state.value = note_html(self._describe(z), "state")

    def _describe(self, z) -> str:
        if not self._has_prior:
            return f"z = {format_point(z)}"
        radius2 = float(np.square(z).sum())
        inside = torch.special.gammainc(torch.tensor(self.latent_dim / 2), torch.tensor(radius2 / 2)).item()
        return (
            f"z = {format_point(z)}, {math.sqrt(radius2):.2f} from the origin; "
            f"{inside:.1%} of the prior lies nearer."
        )

    def _place_cursors(self) -> None:
        point = self.plane.project(self.z)
        set_quietly(self.cursor, position=[float(v) for v in point])
        self.grid.place_cursor(point)

    def _on_selected(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self._draw_marks()
            row = self.selected
            self._pair.layout.display = "none" if row is None else ""
            self.zoom.layout.display = "none" if row is None or self.logvar is None else ""
            if self.zoom.value:
                self._aim()
            if row is None:
                self.details.value = note_html("Click a point of the map.")
            else:
                self.details.value = note_html(self._describe_row(row, self._show_pair(row)))

    def _show_pair(self, row: int) -> bool:
        """Show an image and its reconstruction; return whether the image is on this machine."""
        original = self._codes.original(row)
        self._pair.show(original, self._decode(self.mu[row : row + 1])[0], "the chosen image")
        return original is not None

    def _describe_row(self, row: int, at_hand: bool) -> str:
        text = f"Image {row}"
        if self.labels is not None:
            text += f", labelled {self.classes[self.labels[row]]}"
        text += f": {'mu' if self._has_prior else 'z'} = {format_point(self.mu[row])}"
        if self.logvar is not None:
            q = Posterior(torch.from_numpy(self.mu[row]), torch.from_numpy(self.logvar[row]))
            sigma = format_point(q.sigma.tolist(), 3)
            text += f", sigma = {sigma}, KL = {q.kl().sum().item():.2f} nats"
        if not at_hand:
            text += ". Its own picture is not on this machine: the reconstruction is shown."
        return text

    def _draw_marks(self) -> None:
        with self._lock:
            self._map.mark(self.selected, self._line.a, self._line.b)

    def _aim(self) -> None:
        """Show the whole map, or the chosen posterior from close by."""
        with self._lock:
            self._map.aim(self.selected if self.zoom.value and self.logvar is not None else None)

    def _change_plane(self) -> None:
        with self._lock, self.figure.batch_update():
            self._map.turn()
            self._aim()
        self.latent.show(self.plane)
        self._draw_marks()
        self._draw_grid()

    def _draw_grid(self) -> None:
        with self._lock:
            if self._has_prior:
                self.grid.centre = self._map.prior_mean
            else:
                self.grid.centre, self.grid.reach = self._map.frame
            self.grid.draw()
            self._place_cursors()
