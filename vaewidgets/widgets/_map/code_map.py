"""A map of codes on a plane through latent space that can be turned, with what is marked on it."""

from __future__ import annotations

import math
from typing import cast

import ipywidgets as widgets
import numpy as np

from vaewidgets.widgets._core.encoded import Encoded
from vaewidgets.widgets._core.latent_state import PageLatent
from vaewidgets.widgets._core.panel import title
from vaewidgets.widgets._core.plane import REACH, Plane
from vaewidgets.widgets._core.plotly import FigureWidget

from .cursor import MapCursor
from .figure import map_figure, move_points, path_line, posterior_ellipses, prior_circles, set_axes, span


class CodeMap(widgets.VBox):
    """The codes of images, seen along two coordinates or along two principal components.

    Parameters
    ----------
    codes : Encoded
    latent_dim : int
    prior : bool
        Whether the codes answer to a prior N(0, I).
    latent : PageLatent
        The panel's: the cursor moves what it holds.

    Attributes
    ----------
    plane : Plane
    figure : FigureWidget
    cursor : MapCursor
        Not among the children: it lays itself over the figure, wherever in the panel it is.
    map_mode, across, up, hover : widgets
        What the plane is, and whether the place under the pointer is decoded.
    """

    def __init__(self, codes: Encoded, latent_dim: int, prior: bool, latent: PageLatent) -> None:
        self._codes, self._prior = codes, prior
        self.plane = Plane.coordinates(latent_dim)
        points, frame = self.points, self.frame
        self.figure = FigureWidget(
            map_figure(points, codes.labels, codes.classes, self.plane.names, *frame, self._shapes())
        )
        self.cursor = MapCursor(key=latent.key, key_step=0.05 * frame[1] / REACH)
        names = [f"z{i + 1}" for i in range(latent_dim)]
        self.map_mode = widgets.ToggleButtons(
            options=["two coordinates", "principal components"], disabled=len(codes) < 2
        ).add_class("vw-own-width")
        self.across, self.up = (
            widgets.Dropdown(options=names, index=index, description=text).add_class("vw-axis-choice")
            for text, index in (("across", 0), ("up", min(1, latent_dim - 1)))
        )
        self.hover = widgets.ToggleButton(
            description="decode under the pointer", icon="eye",
            disabled=bool(latent.reason), tooltip=latent.reason,
        ).add_class("vw-wide")  # fmt: skip
        choices = [self.map_mode, self.across, self.up] if latent_dim > 2 else []
        what = "mu" if prior else "the code z"
        count = f"{what} of {len(codes):,} encoded images" if len(codes) else "no encoded images to show"
        super().__init__(
            [
                title(f"The map: {count}"),
                self.figure,
                widgets.HBox([self.hover, *choices]).add_class("vw-row"),
            ]
        )
        self.add_class("vw-code-map")

    @property
    def points(self) -> np.ndarray:
        """Where the plane has the codes, shape (N, 2)."""
        return self.plane.project(self._codes.mu)

    @property
    def prior_mean(self) -> np.ndarray:
        """Where the plane has the mean of the prior, shape (2,)."""
        return self.plane.project(np.zeros(len(self.plane.origin)))

    @property
    def frame(self) -> tuple[np.ndarray, float]:
        """Centre and reach of the square that shows all of the map."""
        return span(self.points, self.prior_mean if self._prior else None)

    def turn(self) -> None:
        """Show the plane that the controls ask for; `mark` and `aim` again.

        Raises
        ------
        ValueError
            They ask for one coordinate twice.
        """
        principal = self.map_mode.index == 1
        if not principal and self.across.index == self.up.index:
            raise ValueError("across and up show the same coordinate: choose two different ones.")
        self.across.disabled = self.up.disabled = principal
        self.plane = (
            Plane.principal(self._codes.mu) if principal
            else Plane.coordinates(len(self.plane.origin), self.across.index, self.up.index)
        )  # fmt: skip
        move_points(self.figure, self.points)

    def aim(self, row: int | None = None) -> None:
        """Show the whole map, or the posterior of one row from close by."""
        centre, reach = self.frame
        if row is not None:
            centre, covariance = self._posterior(row)
            reach = 6 * math.sqrt(covariance.max())
        set_axes(self.figure, self.plane.names, centre, reach)

    def mark(self, row: int | None, a, b) -> None:
        """Draw the circles of the prior, the ellipses of one row's posterior, the line from a to b."""
        self.figure.update_layout(shapes=self._shapes(row, a, b))

    def _shapes(self, row: int | None = None, a=None, b=None) -> list[dict]:
        shapes = prior_circles(self.prior_mean) if self._prior else []
        if row is not None and self._codes.logvar is not None:
            shapes += posterior_ellipses(*self._posterior(row))
        if a is not None and b is not None:
            shapes.append(path_line(self.plane.project(a), self.plane.project(b)))
        return shapes

    def _posterior(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean (2,) and covariance (2, 2) on the plane."""
        sigma = np.exp(cast(np.ndarray, self._codes.logvar)[row].astype(float) / 2)
        return self.plane.project(self._codes.mu[row]), self.plane.covariance(sigma)
