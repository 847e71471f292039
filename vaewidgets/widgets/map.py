"""LatentMap: where the encoder puts images, as points that can be moved in place."""

from __future__ import annotations

import ipywidgets as widgets
import numpy as np
import traitlets

from ._figure import (
    REACH,
    follow_points,
    is_points,
    map_figure,
    move_points,
    prior_circles,
    show_labels,
    span,
)
from ._panel import Panel, format_point, note_html
from ._traits import Codes, Latent
from .cursor import MapCursor


class LatentMap(Panel):
    """A scatter plot of mu whose points move when `mu` is assigned, for use while a model trains.

    Parameters
    ----------
    mu : array or tensor of shape (N, d)
        One point per image; the first two coordinates are shown. Codes of an autoencoder will do.
    labels : array or tensor of shape (N,), optional
        Class indices: colour and legend.
    classes : sequence of str, optional
        The name of each class; its index if None.
    prior : bool
        Whether codes answer to a prior N(0, I). It draws the circles of 39 % and 86 % of its mass.

    Attributes
    ----------
    mu : ndarray of shape (N, d)
        The trait of truth. Assigning moves every point in place; the number of points is fixed.
    z : tuple of d floats
        Where the cursor is: link it to an explorer's with ``traitlets.link((map_, "z"), (explorer, "z"))``.
    labels_hidden : bool
        Hide what the labels tell: then grouping that shows is the encoder's own.
    selected : int or None
        Row of the point that was clicked last.
    figure : FigureWidget
        An ordinary Plotly figure, to restyle with Plotly's own API.

    Raises
    ------
    ValueError, TypeError
        mu is not a finite table of numbers, or labels do not go with it.
    """

    mu = Codes()
    z = Latent()
    labels_hidden = traitlets.Bool(False)
    selected = traitlets.Int(None, allow_none=True)

    def __init__(self, mu, labels=None, *, classes=None, prior: bool = True, **layout) -> None:
        self.check_keywords(layout)
        self._prior = prior
        self.mu = mu
        self.latent_dim = self.mu.shape[1]
        labels = self._check_labels(labels)
        if classes is None:
            classes = [] if labels is None else [str(c) for c in range(int(labels.max()) + 1)]
        points = self._points()
        self._frame = span(points, np.zeros(2) if prior else None)
        self.figure = map_figure(points, labels, classes, ("z1", "z2"), *self._frame)
        if prior:
            self.figure.update_layout(shapes=prior_circles(np.zeros(2)))
        self._colours = []
        for trace in self.figure.select_traces(selector=is_points):
            self._colours.append(trace.marker.color)
            trace.on_click(self._on_click)
        self.cursor = MapCursor(key_step=0.05 * self._frame[1] / REACH)
        self.listen(self.cursor, self._on_cursor, "moved")
        self.hide = widgets.ToggleButton(
            description="hide the labels", icon="eye-slash", disabled=labels is None
        )
        self.listen(self.hide, lambda hidden: self.set_trait("labels_hidden", hidden))
        self.state = widgets.HTML()
        super().__init__(
            [self.figure, widgets.HBox([self.hide, self.state], layout=dict(grid_gap="12px")), self.cursor],
            **layout,
        )
        self.observe(self._on_mu, "mu")
        self.observe(self._on_z, "z")
        self.observe(self._on_labels_hidden, "labels_hidden")
        self._on_z()

    @traitlets.default("z")
    def _start(self) -> tuple[float, ...]:
        if self._prior:
            return (0.0,) * self.latent_dim
        return tuple(self.mu.mean(0).round(2).tolist())

    def __repr__(self) -> str:
        return f"LatentMap(points={len(self.mu)}, z={format_point(self.z)})"

    def _check_labels(self, labels) -> np.ndarray | None:
        if labels is None:
            return None
        labels = np.asarray(labels)
        if labels.shape != (len(self.mu),):
            raise ValueError(f"{len(self.mu)} points need {len(self.mu)} labels; got shape {labels.shape}.")
        if labels.dtype.kind not in "iub" or labels.min() < 0:
            raise ValueError("labels must be integers from 0 up, one per point.")
        return labels.astype(int)

    def _points(self) -> np.ndarray:
        points = self.mu[:, :2]
        return points if self.latent_dim > 1 else np.hstack([points, np.zeros_like(points)])

    def _on_mu(self, _=None) -> None:
        with self.report(from_page=False), self.figure.batch_update():
            points = self._points()
            move_points(self.figure, points)
            mean = np.zeros(2) if self._prior else None
            self._frame = follow_points(self.figure, ("z1", "z2"), self._frame, points, mean)

    def _on_z(self, _=None) -> None:
        with self.report(from_page=False):
            self.cursor.position = [*self.z, 0.0][:2]
            self.state.value = note_html(f"z = {format_point(self.z)}", "state")

    def _on_cursor(self, position) -> None:
        self.z = (*position, *self.z[2:])[: self.latent_dim]

    def _on_click(self, trace, points, _) -> None:
        if points.point_inds:
            with self.report(from_page=True):
                self.selected = int(trace.customdata[points.point_inds[0]])
                self.z = self.mu[self.selected]

    def _on_labels_hidden(self, change) -> None:
        with self.report(from_page=False):
            self.hide.value = change.new
            show_labels(self.figure, None if change.new else self._colours)
