"""LatentExplorer: sliders that decode, over a map of the encoded images."""

from __future__ import annotations

import math
import time
from collections import deque

import ipywidgets as widgets
import numpy as np
import torch
import traitlets

from vaewidgets.data import Images, check_images, load_test_images
from vaewidgets.images import tile, to_uint8
from vaewidgets.metrics import encode_all
from vaewidgets.models import Posterior

from ._figure import (
    REACH,
    is_points,
    map_figure,
    move_points,
    path_line,
    posterior_ellipses,
    prior_circles,
    set_axes,
    span,
)
from ._grid import ManifoldGrid
from ._panel import Panel, format_point, is_from_page, note_html, set_quietly, title
from ._plane import Plane
from ._shared import follow, model_lock, unfollow
from ._traits import Latent
from .cursor import MapCursor
from .latent import PageLatent
from .page import slider_ranges, write_page
from .picture import Picture

FILM = 9
_ROW = dict(align_items="flex-start", flex_flow="row wrap", grid_gap="18px")


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
        The trait of truth. Assign a list, array or tensor; observe it; link it to another panel's.
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

    def __init__(self, model, images=None, *, z=None, **layout) -> None:
        self.check_keywords(layout)
        if not callable(getattr(model, "decode", None)) or not isinstance(
            getattr(model, "latent_dim", None), int
        ):
            raise TypeError(
                f"LatentExplorer needs a model with latent_dim and decode(z); got {type(model).__name__}."
            )
        self.model, self.latent_dim, self._lock = model, model.latent_dim, model_lock(model)
        self._has_prior = getattr(model, "has_prior", True)
        self._a = self._b = self._shown = None
        self._originals = None
        self._load_codes(images)
        if z is not None:
            self.z = z
        self.plane = Plane.coordinates(self.latent_dim)
        self._shape = to_uint8(self._decode(np.zeros((1, self.latent_dim)))[0]).shape

        self._page_knows, self._given = False, deque(maxlen=256)
        self._build_controls()
        self._build_map()
        self._build_grid()
        self._build_details()
        super().__init__(
            [
                widgets.HBox([self._controls, self._map_box], layout=_ROW),
                widgets.HBox([self.grid, self._details], layout=_ROW),
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

    # -- what the model says --------------------------------------------------------------------

    def _load_codes(self, images) -> None:
        """Set mu, logvar (ndarrays (N, d)) and labels from the images, or from the model's atlas."""
        atlas = getattr(self.model, "atlas", None)
        self.mu, self.logvar, self.labels, self.classes = np.zeros((0, self.latent_dim)), None, None, ()
        logvar = None
        if images is not None:
            images = images if isinstance(images, Images) else Images(images)
            if not callable(getattr(self.model, "encode", None)):
                raise TypeError(
                    f"{type(self.model).__name__} has no encode(x), so its map cannot show images: "
                    "leave them out."
                )
            check_images(images.images, getattr(self.model, "image_shape", None))
            self._originals = images.images
            with self._lock:
                q = encode_all(self.model, images.images)
            mu, logvar, labels = q.mu, q.logvar, images.labels
        elif atlas is not None:
            mu, logvar, labels = atlas
        else:
            return
        self.mu = mu.cpu().numpy()
        if logvar is not None:
            self.logvar = logvar.cpu().numpy()
        if labels is not None:
            self.labels = labels.numpy()
            self.classes = tuple(str(c) for c in range(int(self.labels.max()) + 1))

    @torch.no_grad()
    def _decode(self, z: np.ndarray) -> torch.Tensor:
        """Decode points (N, d) to images (N, C, H, W) on the CPU."""
        parameter = next(self.model.parameters(), None) if isinstance(self.model, torch.nn.Module) else None
        with self._lock:
            x = self.model.decode(
                torch.as_tensor(z, dtype=torch.float32, device=getattr(parameter, "device", None))
            )
        if not isinstance(x, torch.Tensor) or x.dim() != 4 or len(x) != len(z):
            raise ValueError(
                f"decode must turn z of shape {tuple(z.shape)} into images of shape ({len(z)}, C, H, W); "
                f"got {tuple(x.shape) if isinstance(x, torch.Tensor) else type(x).__name__}."
            )
        return x.cpu()

    def _decode_one(self, z) -> np.ndarray:
        return to_uint8(self._decode(np.array([z]))[0])

    def _original(self, row: int) -> torch.Tensor | None:
        """Return the image behind a point, or None where its dataset is not on this machine."""
        if self._originals is None:
            test = load_test_images(getattr(self.model, "info", {}).get("dataset"))
            found = test is not None and len(test) == len(self.mu)
            self._originals = test.images if found else ()
        return self._originals[row] if len(self._originals) else None

    # -- building -------------------------------------------------------------------------------

    def _build_controls(self) -> None:
        self.canvas = Picture()
        self.canvas.fit_width(self._shape[1], at_least=250)
        self.sliders, self.boxes, rows = [], [], []
        for i, (low, high, step) in enumerate(slider_ranges(self.mu, self._has_prior, self.latent_dim)):
            # The page takes z from where the sliders are made: nothing may move them there afterwards.
            value = self.z[i]
            low, high = min(low, math.floor(2 * value) / 2), max(high, math.ceil(2 * value) / 2)
            slider = widgets.FloatSlider(
                value, min=low, max=high, step=step, description=f"z{i + 1}", readout=False,
                layout=dict(width="180px"), style=dict(description_width="28px"),
            )  # fmt: skip
            box = widgets.BoundedFloatText(
                round(value, 4), min=low, max=high, step=10 * step, layout=dict(width="78px")
            )
            box.add_class("vw-number")
            self.listen(slider, lambda value, i=i: self._slide_coordinate(i, value))
            self.listen(box, lambda value, i=i: self._type_coordinate(i, value))
            self.sliders.append(slider)
            self.boxes.append(box)
            rows.append(widgets.HBox([slider, box]))
        self.state, self.where = widgets.HTML(), widgets.HTML()
        self.t = widgets.FloatSlider(
            0, min=0, max=1, step=0.01, description="t", disabled=True, readout_format=".2f",
            layout=dict(width="330px"), style=dict(description_width="28px"),
        )  # fmt: skip
        self.listen(self.t, self._on_t)
        self.latent = PageLatent(self.model, self.sliders, self.t, self.z)
        self.canvas.key = self.latent.key
        self.listen(self.latent, self._on_moved, "moved")
        self._controls = widgets.VBox(
            [
                title("The decoder's picture of z"),
                self.canvas,
                self.where,
                self.state,
                widgets.VBox(rows, layout=dict(max_height="190px", overflow="auto")),
            ],
            layout=dict(width="276px"),
        )

    def _build_map(self) -> None:
        points = self.plane.project(self.mu)
        self.figure = map_figure(points, self.labels, self.classes, self.plane.names, *self._frame(points))
        for trace in self.figure.select_traces(selector=is_points):
            trace.on_click(self._on_click)
        self.cursor = MapCursor(key=self.latent.key, key_step=0.05 * self._frame(points)[1] / REACH)
        self.latent.show(self.plane)
        names = [f"z{i + 1}" for i in range(self.latent_dim)]
        self.map_mode = widgets.ToggleButtons(
            options=["two coordinates", "principal components"], style=dict(button_width="auto"),
            disabled=len(self.mu) < 2,
        )  # fmt: skip
        self.across = widgets.Dropdown(
            options=names, index=0, description="across", layout=dict(width="150px")
        )
        self.up = widgets.Dropdown(options=names, index=min(1, len(names) - 1), description="up",
                                   layout=dict(width="150px"))  # fmt: skip
        for control in (self.map_mode, self.across, self.up):
            self.listen(control, lambda _: self._change_plane())
        self.hover = widgets.ToggleButton(
            description="decode under the pointer", icon="eye", layout=dict(width="230px"),
            disabled=bool(self.latent.reason), tooltip=self.latent.reason,
        )  # fmt: skip
        self.listen(self.hover, lambda on: self.cursor.set_trait("hover", on))
        choices = [self.map_mode, self.across, self.up] if self.latent_dim > 2 else []
        axes_row = [widgets.HBox([self.hover, *choices], layout=_ROW)]
        what = "mu" if self._has_prior else "the code z"
        count = f"{what} of {len(self.mu):,} encoded images" if len(self.mu) else "no encoded images to show"
        self._map_box = widgets.VBox([title(f"The map: {count}"), self.figure, *axes_row])

    def _build_grid(self) -> None:
        self.grid = ManifoldGrid(
            lambda points: self._decode(self.plane.lift(points, self.z)),
            self._shape[:2],
            self._has_prior,
            self.latent,
        )
        self.grid.layout.width = "440px"
        self.listen(self.grid.spacing, lambda _: self._draw_grid())
        self.redraw = widgets.Button(
            description="redraw through z", tooltip="Decode the plane that z lies on now"
        )
        self.press(self.redraw, self._draw_grid)
        # In the page the grid follows z by itself.
        if self.latent_dim > 2 and self.latent.reason:
            self.grid.children = (*self.grid.children, self.redraw)

    def _build_details(self) -> None:
        width = self._shape[1]
        self.original, self.reconstruction, self.film = Picture(), Picture(), Picture()
        for picture in (self.original, self.reconstruction):
            picture.fit_width(width, at_least=96)
        self.film.fit_width(FILM * width, at_most=350)
        self.details = widgets.HTML()
        self.zoom = widgets.ToggleButton(
            description="zoom to its cloud", icon="search-plus", layout=dict(width="160px", display="none")
        )
        self.listen(self.zoom, lambda _: self._draw_axes())
        self.set_a = widgets.Button(description="A is here", tooltip="Interpolate from the present z")
        self.set_b = widgets.Button(description="B is here", tooltip="Interpolate to the present z")
        for button in (self.set_a, self.set_b):
            button.layout.width = "90px"
        self.press(self.set_a, lambda: self._set_ends(a=self.z))
        self.press(self.set_b, lambda: self._set_ends(b=self.z))
        self.ends = widgets.HTML()
        self._film_box = widgets.VBox([self.film])
        self._pair = widgets.HBox(
            [
                widgets.VBox([widgets.HTML(note_html("the image")), self.original]),
                widgets.VBox([widgets.HTML(note_html("its reconstruction")), self.reconstruction]),
            ],
            layout=_ROW,
        )
        for box in (self._pair, self._film_box):
            box.layout.display = "none"
        self._details = widgets.VBox(
            [
                title("The chosen point"), self.details, self._pair, self.zoom,
                title("Interpolate from A to B"), widgets.HBox([self.set_a, self.set_b]), self.ends, self.t,
                self._film_box,
            ],
            layout=dict(width="350px"),
        )  # fmt: skip

    # -- controls write z -----------------------------------------------------------------------

    def _move_coordinate(self, i: int, value: float) -> None:
        self.z = (*self.z[:i], value, *self.z[i + 1 :])

    def _slide_coordinate(self, i: int, value: float) -> None:
        if not is_from_page(self.sliders[i]):
            self._move_coordinate(i, value)
        elif not self._is_echo(i, value):
            self._follow((*self.z[:i], value, *self.z[i + 1 :]))

    def _is_echo(self, i: int, value: float) -> bool:
        """Tell a slider's answer from a hand: it rounds what it is given to its step, and sends that back.

        The answer may come when z is elsewhere again, so what was given in the last second counts too.
        """
        since = time.monotonic() - 1
        given = [self.z, *(z for at, z in list(self._given) if at > since)]
        return any(abs(value - z[i]) <= self.sliders[i].step / 2 for z in given)

    def _type_coordinate(self, i: int, value: float) -> None:
        # The box shows four decimals: hearing what it was set to must not round z.
        if value != round(self.z[i], 4):
            self._move_coordinate(i, value)

    def _on_moved(self, z) -> None:
        """Follow a cursor, or t: the page has set the sliders too, and they will answer."""
        self._given.append((time.monotonic(), tuple(z)))
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
        z = (1 - t) * np.array(self._a) + t * np.array(self._b)
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

    def to_html(self, path, *, title: str | None = None, overwrite: bool = False):
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
            if self.latent.reason:
                self.canvas.show(self._decode_one(self.z))
                self.grid.draw()
            if self.selected is not None:
                reconstruction = self._decode(self.mu[self.selected : self.selected + 1])[0]
                self.reconstruction.show(to_uint8(reconstruction))
            self._draw_film()

    def close(self) -> None:
        # A panel that was refused when it was made is closed too, when it is forgotten.
        if hasattr(self, "model"):
            unfollow(self.model, self)
        super().close()

    def interpolate(self, a, b) -> None:
        """Set both ends of the interpolation, each a latent point of d numbers, and go to A."""
        check = type(self).z.validate
        self._set_ends(a=check(self, a), b=check(self, b))

    def _set_ends(self, a=None, b=None) -> None:
        self._a, self._b = a or self._a, b or self._b
        self.ends.value = note_html(
            "; ".join(
                f"{k} = {format_point(p)}" for k, p in (("A", self._a), ("B", self._b)) if p is not None
            )
        )
        ready = self._a is not None and self._b is not None
        self.t.disabled = not ready
        if ready:
            self.latent.ends = [list(self._a), list(self._b)]
            self._draw_film()
            self._film_box.layout.display = ""
            self.t.value = 0 if b is None or a is not None else 1
        self._draw_marks()

    def _draw_film(self) -> None:
        if self._a is not None and self._b is not None:
            t = np.linspace(0, 1, FILM)[:, None]
            z = (1 - t) * np.array(self._a) + t * np.array(self._b)
            self.film.show(to_uint8(tile(self._decode(z), FILM)), f"{FILM} pictures from A to B")

    # -- rendering ------------------------------------------------------------------------------

    def _on_z(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            # Another thread may have moved z since: the last one is what counts.
            z = self.z
            # Looking at every weight costs more than a picture, and a hand moves often.
            self.latent.refresh(pause=0.5 if self._page_knows else 0.0)
            if not self._page_knows:
                self._given.append((time.monotonic(), z))
                self.latent.z = list(z)
            if self.latent.reason:
                self.canvas.show(self._decode_one(z), f"decoded picture of z = {format_point(z)}")
            by = f"by the kernel: {self.latent.reason}" if self.latent.reason else "in this page"
            self.where.value = note_html(f"decoded {by}")
            for i, value in enumerate(z):
                # A coordinate that stayed is not sent again: the page would round it and answer.
                if self._shown is None or self._shown[i] != value:
                    for control in (self.sliders[i], self.boxes[i]):
                        _widen(control, value)
                    if self._page_knows:
                        set_quietly(self.sliders[i], value=value)
                    else:
                        self.sliders[i].value = value
                    self.boxes[i].value = round(value, 4)
            self._shown = z
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
                self._draw_axes()
            if row is None:
                self.details.value = note_html("Click a point of the map.")
                return
            reconstruction = self._decode(self.mu[row : row + 1])[0]
            self.reconstruction.show(to_uint8(reconstruction), "reconstruction of the chosen image")
            original = self._original(row)
            self.original.show(
                to_uint8(reconstruction if original is None else original),
                "the chosen image" if original is not None else "reconstruction in place of the image",
            )
            self._pair.children[0].layout.display = "none" if original is None else ""
            self.details.value = note_html(self._describe_row(row, original is not None))

    def _describe_row(self, row: int, at_hand: bool) -> str:
        text = f"Image {row}"
        if self.labels is not None:
            text += f", labelled {self.classes[self.labels[row]]}"
        text += f": {'mu' if self._has_prior else 'z'} = {format_point(self.mu[row])}"
        if self.logvar is not None:
            q = Posterior(torch.from_numpy(self.mu[row]), torch.from_numpy(self.logvar[row]))
            sigma, nats = q.sigma.tolist(), q.kl().sum().item()
            text += f", sigma = ({', '.join(f'{s:.3f}' for s in sigma)}), KL = {nats:.2f} nats"
        if not at_hand:
            text += ". Its own picture is not on this machine: the reconstruction is shown."
        return text

    def _draw_marks(self) -> None:
        """Circles of the prior, ellipses of the chosen posterior, the line from A to B."""
        shapes = prior_circles(self._prior_mean) if self._has_prior else []
        if self.selected is not None and self.logvar is not None:
            sigma = np.exp(self.logvar[self.selected] / 2)
            shapes += posterior_ellipses(
                self.plane.project(self.mu[self.selected]), self.plane.covariance(sigma)
            )
        if self._a is not None and self._b is not None:
            shapes.append(path_line(self.plane.project(self._a), self.plane.project(self._b)))
        with self._lock:
            self.figure.update_layout(shapes=shapes)

    def _draw_axes(self) -> None:
        """Show the whole map, or the chosen posterior from close by."""
        centre, reach = self._frame(self.plane.project(self.mu))
        if self.zoom.value and self.selected is not None:
            covariance = self.plane.covariance(np.exp(self.logvar[self.selected] / 2))
            centre, reach = self.plane.project(self.mu[self.selected]), 6 * math.sqrt(covariance.max())
        with self._lock:
            set_axes(self.figure, self.plane.names, centre, reach)

    def _change_plane(self) -> None:
        principal = self.map_mode.index == 1
        if not principal and self.across.index == self.up.index:
            raise ValueError("across and up show the same coordinate: choose two different ones.")
        self.across.disabled = self.up.disabled = principal
        self.plane = (
            Plane.principal(self.mu) if principal
            else Plane.coordinates(self.latent_dim, self.across.index, self.up.index)
        )  # fmt: skip
        points = self.plane.project(self.mu)
        self.latent.show(self.plane)
        with self._lock, self.figure.batch_update():
            move_points(self.figure, points)
            self._draw_axes()
        self._draw_marks()
        self._draw_grid()

    @property
    def _prior_mean(self) -> np.ndarray:
        """Where the plane has the mean of the prior, shape (2,)."""
        return self.plane.project(np.zeros(self.latent_dim))

    def _frame(self, points: np.ndarray) -> tuple[np.ndarray, float]:
        """Centre and reach of the square that the map shows."""
        return span(points, self._prior_mean if self._has_prior else None)

    def _draw_grid(self) -> None:
        with self._lock:
            if self._has_prior:
                self.grid.centre = self._prior_mean
            else:
                self.grid.centre, self.grid.reach = self._frame(self.plane.project(self.mu))
            self.grid.draw()
            self._place_cursors()


def _widen(control, value: float) -> None:
    """Let a control reach a value beyond its range, so that z is never clipped to what it can show."""
    if value > control.max:
        control.max = math.ceil(value * 2) / 2
    if value < control.min:
        control.min = math.floor(value * 2) / 2
