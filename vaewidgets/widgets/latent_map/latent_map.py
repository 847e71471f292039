"""LatentMap: latent codes as points that move in place and can be circled by a lasso."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import traitlets
from numpy.typing import ArrayLike
from torch import Tensor

from vaewidgets._utils.text import sanitize
from vaewidgets.data.arrays import name_classes
from vaewidgets.widgets._core.panel import Panel, format_point, note_html
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._core.plotly import FigureWidget
from vaewidgets.widgets._core.traits import Codes, Latent
from vaewidgets.widgets._map.cursor import MapCursor
from vaewidgets.widgets._map.figure import (
    follow_points,
    is_points,
    map_figure,
    move_points,
    prior_circles,
    show_labels,
    span,
)

from .lasso import MapLasso
from .lasso_game import LassoGame
from .selection import LassoResult, Polygon, Rows, circle, tally, within


class LatentMap(Panel):
    """A scatter plot of mu whose points move when `mu` is assigned, for use while a model trains.

    With labels it is also a game: hide them, circle what looks like a class, and `reveal` the labels.

    Parameters
    ----------
    mu : array or tensor of shape (N, d)
        One point per image; the first two coordinates are shown. Codes of an autoencoder are allowed.
    labels : array or tensor of shape (N,), optional
        Class indices, shown by colours and a legend.
    classes : sequence of str, optional
        The name of each class; its index if None.
    prior : bool
        Whether the model has a prior N(0, I). Then circles hold 39 % and 86 % of its mass.
    **layout
        Other attributes to begin with, or traits of `VBox`.

    Attributes
    ----------
    mu : ndarray of shape (N, d)
        The source of truth. Assigning moves every point in place; the number of points is fixed.
    z : tuple of d floats
        The cursor. Link it to an explorer's with ``traitlets.link((map_, "z"), (explorer, "z"))``.
    labels_hidden : bool
        Whether colours, legend and names are hidden. Groups that show then come from the encoder alone.
    selected : int or None
        Row of the point that was clicked last.
    lasso : tuple of (x, y)
        A polygon in axis units. The points within are `taken`. Empty for none.
    taken : ndarray of int
        Rows of the points taken. Setting them removes the lasso.
    guess : int or None
        The class that the points are guessed to be; None stands for their most frequent class.
    results : list of LassoResult
        What has been revealed so far, one for each lasso. Its alias `hauls` is the name of version 0.1.0.
    figure : FigureWidget
        An ordinary Plotly figure, to restyle with Plotly's own API.

    Raises
    ------
    ValueError, TypeError
        mu is no finite table of numbers, labels do not fit it, a lasso is no polygon, taken are no rows.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> panel = vw.LatentMap([[0, 0], [0.1, 0], [2, 2]], [3, 3, 7])
    >>> panel.lasso = [(-1, -1), (1, -1), (0, 1)]
    >>> panel.taken.tolist(), panel.reveal().purity
    ([0, 1], 1.0)
    """

    mu = Codes()
    z = Latent()
    labels_hidden = traitlets.Bool(False)
    selected = traitlets.Int(None, allow_none=True)
    lasso = Polygon()
    taken = Rows()
    guess = traitlets.Int(None, allow_none=True)

    def __init__(
        self,
        mu: ArrayLike | Tensor,
        labels: ArrayLike | Tensor | None = None,
        *,
        classes: Sequence[str] | None = None,
        prior: bool = True,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        self._prior, self.mu = prior, mu
        self.latent_dim = self.mu.shape[1]
        self._labels = labels = self._check_labels(labels)
        classes = name_classes(labels) if classes is None else tuple(map(sanitize, classes))
        points, self._prior_mean = self._points(), np.zeros(2) if prior else None
        self._frame = span(points, self._prior_mean)
        circles = prior_circles(np.zeros(2)) if prior else []
        self.figure = FigureWidget(map_figure(points, labels, classes, ("z1", "z2"), *self._frame, circles))
        self._colours = []
        for trace in self.figure.select_traces(selector=is_points):
            self._colours.append(trace.marker.color)
            trace.on_click(self._on_click)
        self.cursor, self.overlay = MapCursor(key_step=0.05 * self._frame[1] / REACH), MapLasso()
        self.game = LassoGame(classes, self._frame[1], labelled=labels is not None)
        self.hide = self.game.hide
        self.results: list[LassoResult] = []
        self._result: LassoResult | None = None
        self.state = widgets.HTML()
        self._connect()
        super().__init__(
            [
                widgets.HBox(
                    [widgets.VBox([self.figure, self.state]), self.game],
                    layout=dict(flex_flow="row wrap", grid_gap="12px"),
                ),
                self.cursor,
                self.overlay,
            ],
            **layout,
        )
        self.observe(self._on_mu, "mu")
        self.observe(self._on_z, "z")
        self.observe(self._on_labels_hidden, "labels_hidden")
        self.observe(self._on_lasso, "lasso")
        self.observe(self._on_taken, "taken")
        self.observe(self._on_guess, "guess")
        self._on_z()
        self._on_guess()
        self._on_lasso()
        if self.labels_hidden:
            self._on_labels_hidden()

    @traitlets.default("z")
    def _start(self) -> tuple[float, ...]:
        if self._prior:
            return (0.0,) * self.latent_dim
        return tuple(self.mu.mean(0, dtype=float).round(2).tolist())

    def __repr__(self) -> str:
        return f"LatentMap(points={len(self.mu)}, z={format_point(self.z)})"

    def take_within(self, radius: float) -> None:
        """Take all points within `radius`, in axis units, of the cursor, without drawing a lasso.

        Raises
        ------
        ValueError
            The radius is not positive.
        """
        if not 0 < radius < float("inf"):
            raise ValueError(f"radius must be positive, in axis units; got {radius!r}.")
        self.lasso = circle([*self.z, 0.0][:2], radius)

    def reveal(self) -> LassoResult:
        """Count the labels of the points taken, and add the counts to `results`, once for each lasso.

        Raises
        ------
        ValueError
            Nothing is taken, or there are no labels.
        """
        if self._labels is None:
            raise ValueError("this map has no labels to reveal: LatentMap(mu, labels).")
        if not len(self.taken):
            raise ValueError("nothing is taken yet: draw a lasso, or take all within r of the cursor.")
        if self._result is None:
            self._result = tally(self._labels, self.taken, self.guess)
            self.results.append(self._result)
            if self.lasso:
                past = {"number": len(self.results), "corners": self.overlay.corners}
                self.overlay.past = [*self.overlay.past, past]
            self._show_taken()
        return self._result

    @property
    def hauls(self) -> list[LassoResult]:
        """Alias of `results`, which had this name in version 0.1.0."""
        return self.results

    def clear(self) -> None:
        """Remove all lassos and their results."""
        self.results, self.overlay.past = [], []
        self.lasso, self.taken = (), []

    @traitlets.validate("guess")
    def _check_guess(self, proposal) -> int | None:
        offered = [value for _, value in self.game.guess.options]
        if proposal.value not in offered:
            last = len(offered) - 2
            raise ValueError(f"guess must be None or a class from 0 to {last}; got {proposal.value}.")
        return proposal.value

    def _connect(self) -> None:
        self.listen(self.cursor, self._on_cursor, "moved")
        self.listen(self.overlay, lambda corners: self.set_trait("lasso", corners), "drawn")
        self.listen(self.hide, lambda hidden: self.set_trait("labels_hidden", hidden))
        self.listen(self.game.draw, lambda armed: self.overlay.set_trait("armed", armed))
        self.listen(self.game.guess, lambda guess: self.set_trait("guess", guess))
        self.press(self.game.take, lambda: self.take_within(self.game.radius.value))
        self.press(self.game.reveal, self.reveal)
        self.press(self.game.clear, self.clear)

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
            self._frame = follow_points(self.figure, ("z1", "z2"), self._frame, points, self._prior_mean)
        if self.lasso:
            self.taken = within(self._points(), self.lasso)
        self._show_taken()

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

    def _on_labels_hidden(self, _=None) -> None:
        with self.report(from_page=False):
            self.hide.value = self.labels_hidden
            show_labels(self.figure, None if self.labels_hidden else self._colours)

    def _on_lasso(self, _=None) -> None:
        self.overlay.corners = [list(corner) for corner in self.lasso]
        if self.lasso:
            self.taken = within(self._points(), self.lasso)
        self._drop_result()

    def _on_taken(self, _) -> None:
        if self.lasso and not np.array_equal(self.taken, within(self._points(), self.lasso)):
            self.lasso = ()
        self._drop_result()

    def _on_guess(self, _=None) -> None:
        self.game.guess.value = self.guess
        self._drop_result()

    def _drop_result(self) -> None:
        self._result = None
        self._show_taken()

    def _show_taken(self) -> None:
        with self.report(from_page=False):
            points = self._points()[self.taken]
            if self._result is None or self._labels is None:
                self.overlay.mark(points)
            else:
                self.overlay.mark(points, self._labels[self.taken], self._result.meant)
            self.game.show(len(self.taken), self._result, self.results)
            self.overlay.label = f"the lasso: {len(self.taken):,} points taken"
