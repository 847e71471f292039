"""The map and the curves of a model in training, updated in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from vaewidgets.widgets._core.plotly import FigureWidget, go, make_subplots
from vaewidgets.widgets._map.figure import (
    ACCENT,
    BAR,
    HOVER,
    NEUTRAL,
    PALETTE,
    class_rows,
    ellipse_points,
    follow_points,
    is_points,
    map_figure,
    move_points,
    name_size,
    plain,
    prior_circles,
    set_axes,
    span,
    style_figure,
)

from .history import History

_LINE = "rgba(125,125,125,.25)"


class LiveMap:
    """The map of a fixed sample: a point for each image, and the posteriors of a chosen few.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
    labels : ndarray of shape (N,) or None
    classes : sequence of str
    chosen : ndarray of shape (M,), int
        Rows that are marked by rings, and by the 1-sigma and 2-sigma ellipses of their posteriors.
    names : (str, str)
        Axis titles.
    prior : bool
        Whether to draw the circles of 39 % and 86 % of N(0, I).
    """

    def __init__(self, points, labels, classes, chosen, names, prior: bool) -> None:
        self._chosen, self._names, self._centre = chosen, names, np.zeros(2) if prior else None
        self._frame = span(points, self._centre)
        # One trace for all classes: Plotly takes a millisecond for each array that it is given.
        circles = prior_circles(np.zeros(2)) if prior else []
        figure = map_figure(points, None, classes, names, *self._frame, circles)
        self._rows = [rows for _, rows in class_rows(labels, len(points))] if labels is not None else []
        if labels is not None:
            self._colour(figure, labels, classes)
        # The names are among the points, because the curves take the space of a legend.
        figure.update_layout(width=430, height=430 + BAR, showlegend=False)
        lines = dict(mode="lines", hoverinfo="skip", showlegend=False)
        figure.add_traces(
            [
                go.Scatter(meta="ellipse 1", line=dict(color=ACCENT, width=2), **lines),
                go.Scatter(meta="ellipse 2", line=dict(color=ACCENT, width=1.5, dash="dash"), **lines),
                go.Scatter(
                    meta="chosen", mode="markers", hoverinfo="skip", showlegend=False,
                    marker=dict(symbol="circle-open", size=9, color=ACCENT, line=dict(width=2.5)),
                ),
            ]
        )  # fmt: skip
        self.figure = FigureWidget(figure)
        *_, self._ellipse, self._outer_ellipse, self._rings = self.figure.data

    def _colour(self, figure: go.Figure, labels: np.ndarray, classes) -> None:
        """Show the class of each point by colour, when hovered, and by its name at the class's median."""
        names = [plain(classes[c]) if c < len(classes) else str(c) for c in range(int(labels.max()) + 1)]
        (points,) = figure.select_traces(selector=is_points)
        points.update(
            marker=dict(color=[PALETTE[c % len(PALETTE)] for c in labels], size=5),
            text=[names[c] for c in labels],
            hovertemplate=f"{HOVER}, %{{text}}<extra></extra>",
        )
        figure.add_trace(
            go.Scatter(
                mode="text", text=[names[labels[rows[0]]] for rows in self._rows], meta="class names",
                textfont=dict(size=name_size(names), weight="bold"), hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip

    def rename(self, names) -> None:
        """Name the axes of another plane."""
        self._names = names
        set_axes(self.figure, names, *self._frame)

    def move(self, points: np.ndarray, covariances: np.ndarray | None) -> None:
        """Move the sample to `points` (N, 2), and the chosen posteriors to covariances (M, 2, 2)."""
        own = points[self._chosen]
        with self.figure.batch_update():
            move_points(self.figure, points)
            for trace in self.figure.select_traces(selector={"meta": "class names"}):
                trace.x, trace.y = np.array([np.median(points[rows], axis=0) for rows in self._rows]).T
            self._rings.x, self._rings.y = own.T.astype("float32")
            if covariances is not None:
                self._ellipse.x, self._ellipse.y = _outlines(own, covariances, 1)
                self._outer_ellipse.x, self._outer_ellipse.y = _outlines(own, covariances, 2)
            self._frame = follow_points(self.figure, self._names, self._frame, points, self._centre)


def _outlines(centres: np.ndarray, covariances: np.ndarray, k: float) -> np.ndarray:
    """Join ellipses at Mahalanobis distance k to one line (2, ...) with gaps, so that one trace draws all."""
    gap = np.full((2, 1), np.nan)
    closed = [
        np.hstack([outline, outline[:, :1], gap])
        for outline in (ellipse_points(c, s, k, 48) for c, s in zip(centres, covariances, strict=True))
    ]
    return np.hstack(closed).astype("float32")


class LiveCurves:
    """Reconstruction, KL and the bound over the steps, train and held-out, and the KL of each dimension.

    Parameters
    ----------
    latent_dim : int
    bound : str
        Name of the third curve, "ELBO" or "L_k".
    has_kl : bool
        False for an autoencoder, of which only the reconstruction is drawn.
    """

    def __init__(self, latent_dim: int, bound: str, has_kl: bool) -> None:
        self._names = ["reconstruction", "KL", bound] if has_kl else ["reconstruction"]
        self._marks: list[Any] = [[], []]
        rows = len(self._names) + has_kl
        figure = make_subplots(rows=rows, cols=1, vertical_spacing=0.075, row_heights=[1] * rows)
        for row, (name, colour) in enumerate(
            zip(self._names, (PALETTE[0], ACCENT, PALETTE[4]), strict=False), 1
        ):
            points = dict(x=[], y=[], hovertemplate="step %{x}: %{y:.2f}")
            figure.add_traces(
                [
                    go.Scatter(mode="lines", name="training", line=dict(color=colour, width=2), **points),
                    go.Scatter(mode="lines+markers", name="held out",
                               line=dict(color=NEUTRAL, width=1.5, dash="dot"),
                               marker=dict(symbol="x", size=6, color=NEUTRAL), **points),
                ],
                rows=row, cols=1,
            )  # fmt: skip
            figure.update_yaxes(title_text=f"{name}, nats", nticks=4, row=row, col=1)
            is_last = row == len(self._names)
            figure.update_xaxes(matches="x", rangemode="tozero", showticklabels=is_last, row=row, col=1)
        figure.update_xaxes(title_text="step", title_standoff=2, row=len(self._names), col=1)
        if has_kl:
            names = [f"z{i + 1}" for i in range(latent_dim)]
            figure.add_trace(
                go.Bar(x=names, y=[0.0] * latent_dim, marker_color=ACCENT, meta="bars",
                       hovertemplate="%{x}: %{y:.3f} nats<extra></extra>"), rows, 1
            )  # fmt: skip
            # On an axis that reaches .5 at least, a collapsed dimension is a short bar.
            figure.update_yaxes(
                title_text="KL of each z, nats", nticks=4, autorangeoptions_include=[0, 0.5], row=rows, col=1
            )
        figure.update_xaxes(gridcolor=_LINE, zeroline=False)
        figure.update_yaxes(gridcolor=_LINE, zeroline=False, title_font_size=11, title_standoff=4)
        style_figure(
            figure, width=400, height=130 * rows + 10 + BAR, margin=dict(l=56, r=18, b=34), showlegend=False,
            font_size=11,
        )  # fmt: skip
        self.figure = FigureWidget(figure)

    def draw(self, history: History) -> None:
        """Show all of `history`."""
        with self.figure.batch_update():
            for row, _ in enumerate(self._names):
                training, held_out = self.figure.data[2 * row : 2 * row + 2]
                training.x, training.y = history.steps, history.column(row)
                held_out.x, held_out.y = history.held_out_steps, history.held_out_column(row)
                # More crosses could not be told apart.
                held_out.mode = "lines+markers" if len(history.held_out_steps) <= 40 else "lines"
            # An upright label is 13 pixels wide; the axis of the steps is 326 pixels long.
            shown = [history.marks(), history.marks(apart=max(1, 13 / 326 * max(history.steps, default=0)))]
            if self._marks != shown:
                self._marks = shown
                self._mark(*shown)
        # A separate edit. A batch sends x for every trace in it, and undefined where x stays. A page that
        # shows the figure only later would take that for "none", and the bars would lose their names.
        for trace in self.figure.select_traces(selector={"meta": "bars"}):
            trace.y = history.kl_per_dimension

    def _mark(self, marks: list, labels: list) -> None:
        """Draw a line across the curves for every mark (step, text), and write the labels beside them."""
        shapes = [
            dict(type="line", xref=f"x{axis}", yref=f"y{axis} domain", x0=step, x1=step, y0=0, y1=1,
                 line=dict(color=NEUTRAL, width=1, dash="dot"))
            for step, _ in marks
            for axis in ("", 2, 3)[: len(self._names)]
        ]  # fmt: skip
        # Labels are upright so that close ones can be read. A long one goes on into the curves below.
        texts = [
            dict(xref="x", yref="y domain", x=step, y=1, xanchor="left", yanchor="top", text=text,
                 textangle=-90, showarrow=False, font=dict(size=10))
            for step, text in labels
        ]  # fmt: skip
        self.figure.layout.shapes, self.figure.layout.annotations = shapes, texts
