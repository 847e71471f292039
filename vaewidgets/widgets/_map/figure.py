"""Builders for the map: points by class, prior circles, ellipses. Shared by every panel with a map."""

from __future__ import annotations

import html

import numpy as np

from vaewidgets._utils.text import sanitize
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._core.plotly import go

#: Petroff10 (Petroff 2021, arXiv 2107.02270): told apart under every simulated colour blindness.
PALETTE = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
           "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")  # fmt: skip
NEUTRAL = "#7d7d7d"
HOVER = "%{x:.2f}, %{y:.2f}"
#: Pixels above a figure, for the bar of buttons that Plotly shows when it is pointed at.
BAR = 30
#: Characters of a class on a map: its legend takes its room from the points.
LONGEST_NAME = 20
#: At least 3.8:1 on white and on JupyterLab's dark background.
ACCENT = "#d81b60"


def style_figure(figure: go.Figure, **layout) -> None:
    """Let both of JupyterLab's themes stand behind a figure, above which there is room for Plotly's bar.

    `layout` is Plotly's; the top margin is set here.
    """
    layout = dict(font_size=12, margin=dict(l=52, r=8, b=44)) | layout
    figure.update_layout(
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font_color=NEUTRAL,
        modebar=dict(bgcolor="rgba(0,0,0,0)", color=NEUTRAL, activecolor=ACCENT), **layout,
    )  # fmt: skip
    figure.layout.margin.t = BAR


def map_figure(
    points: np.ndarray, labels: np.ndarray | None, classes, names, centre: np.ndarray, reach: float,
    shapes=(),
) -> go.Figure:  # fmt: skip
    """Build a map of latent points, one trace per class so that the legend can hide each.

    Make a FigureWidget of it when all of it is there: a page is then given the whole of it at once.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
    labels : ndarray of shape (N,) or None
        Class indices.
    classes : sequence of str
    names : (str, str)
        Axis titles.
    centre, reach : ndarray of shape (2,), float
        The axes span centre +- reach, at aspect 1:1.
    shapes : list of dict
        Of Plotly: circles of the prior, for example.

    Returns
    -------
    go.Figure
        A trace of points has ``meta`` "points", and its ``customdata`` holds each point's row; the last
        trace writes the name of each class at its median.
    """
    figure = go.Figure()
    style_figure(
        figure, width=520, height=460 + BAR, dragmode=False, hovermode="closest", shapes=list(shapes),
        legend=dict(itemsizing="constant", title=dict(text=""), bgcolor="rgba(0,0,0,0)"), uirevision="vw",
    )  # fmt: skip
    axis = dict(gridcolor="rgba(125,125,125,.25)", zerolinecolor=NEUTRAL, constrain="domain")
    figure.update_xaxes(title_standoff=6, **axis)
    figure.update_yaxes(title_standoff=4, scaleanchor="x", **axis)
    set_axes(figure, names, centre, reach)
    for c, rows in class_rows(labels, len(points)):
        figure.add_trace(
            go.Scatter(
                x=points[rows, 0].astype("float32"),
                y=points[rows, 1].astype("float32"),
                customdata=rows.astype("int32"),
                meta="points",
                mode="markers",
                name=plain(classes[c]) if c < len(classes) else str(c),
                marker=dict(
                    color=PALETTE[c % len(PALETTE)], size=4 if len(points) > 2000 else 7, opacity=0.8
                ),
                hovertemplate=HOVER,
                showlegend=labels is not None,
            )
        )
    if labels is not None:
        texts = [trace.name for trace in figure.data]
        figure.add_trace(
            go.Scatter(
                mode="text", text=texts, textfont=dict(size=name_size(texts), weight="bold"),
                meta="names", hoverinfo="skip", showlegend=False,
            )
        )  # fmt: skip
        move_points(figure, points)
    return figure


def name_size(names) -> int:
    """Choose the size of the names of classes on a map: digits may be large, words would hide the points."""
    return 17 if max(map(len, names), default=0) <= 3 else 11


def plain(name: str) -> str:
    """Write a name so that tags, entities, templates and mathematics are text to Plotly; cut a long one."""
    text = sanitize(name)
    text = text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
    return html.escape(text, quote=False).replace("$", "&#36;").replace("%", "&#37;")


def set_axes(figure: go.Figure, names, centre: np.ndarray, reach: float) -> None:
    """Name the axes and let them span centre +- reach."""
    with figure.batch_update():
        for axis, name, middle in zip((figure.layout.xaxis, figure.layout.yaxis), names, centre, strict=True):
            axis.update(title_text=name, range=[middle - reach, middle + reach])


def follow_points(figure: go.Figure, names, frame, points: np.ndarray, prior_mean) -> tuple:
    """Move the axes after points that have moved, where they must: a frame that never rests shows nothing.

    Parameters
    ----------
    frame : (centre, reach)
        What the axes span now.
    points, prior_mean
        As in `span`.

    Returns
    -------
    (centre, reach)
        What they span from now on.
    """
    (old, reach), (new, wanted) = frame, span(points, prior_mean)
    if np.abs(new - old).max() + wanted <= 1.02 * reach and wanted >= reach / 2:
        return frame
    set_axes(figure, names, new, wanted)
    return new, wanted


def span(points: np.ndarray, prior_mean: np.ndarray | None) -> tuple[np.ndarray, float]:
    """Choose the square that a map shows: (centre, reach).

    With a prior it lies about its mean, holds every point and reaches at least `REACH`. Without one
    (None) it is that of `code_range`.
    """
    if prior_mean is not None:
        farthest = np.abs(points - prior_mean).max() if len(points) else 0.0
        return prior_mean, max(REACH, 1.05 * float(farthest))
    if not len(points):
        return np.zeros(2), REACH
    low, high = code_range(points)
    return (low + high) / 2, max(float((high - low).max()) / 2, 1e-3)


def code_range(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Range of each column of an autoencoder's codes (N, d): (low, high), with a margin.

    Nothing holds its codes together: a few of ten thousand lie ten times as far out as all the others.
    Of a hundred codes or more the range is that of the middle 95 %.
    """
    low, high = np.percentile(codes, (2.5, 97.5) if len(codes) >= 100 else (0, 100), axis=0)
    margin = 0.05 * (high - low)
    return low - margin, high + margin


def is_points(trace) -> bool:
    """Tell a trace of points from the decoration around it."""
    return trace.meta == "points"


def move_points(figure: go.Figure, points: np.ndarray) -> None:
    """Put every point of a map at its row of `points` (N, 2), in place, and the names with them."""
    medians = []
    for trace in figure.select_traces(selector=is_points):
        own = points[trace.customdata].astype("float32")
        trace.x, trace.y = own.T
        medians.append(np.median(own, axis=0))
    for trace in figure.select_traces(selector={"meta": "names"}):
        trace.x, trace.y = np.array(medians).T


def show_labels(figure: go.Figure, colours: list[str] | None) -> None:
    """Give each trace of points its colour and name, or None to make all points alike."""
    traces = list(figure.select_traces(selector=is_points))
    with figure.batch_update():
        for trace, colour in zip(traces, colours or [NEUTRAL] * len(traces), strict=True):
            trace.marker.color = colour
            trace.showlegend = colours is not None
            # Plotly writes the trace's name beside a hovered point unless <extra> is empty.
            trace.hovertemplate = HOVER if colours is not None else HOVER + "<extra></extra>"
    # An edit of its own: a batch names all it changes for every trace in it, as undefined where it stays, and
    # the page takes that for the default. The names would get a place of their own in the legend.
    for trace in figure.select_traces(selector={"meta": "names"}):
        trace.visible = colours is not None


def class_rows(labels: np.ndarray | None, n: int) -> list[tuple[int, np.ndarray]]:
    """List (class, rows of that class); everything is class 0 where there are no labels."""
    if labels is None:
        return [(0, np.arange(n))] if n else []
    return [(int(c), np.flatnonzero(labels == c)) for c in np.unique(labels)]


def prior_circles(centre: np.ndarray) -> list[dict]:
    """Circles of radius 1 and 2 about the prior's mean, named by the mass a 2-D normal has inside."""
    return [
        dict(
            type="circle", layer="above", x0=centre[0] - r, x1=centre[0] + r,
            y0=centre[1] - r, y1=centre[1] + r,
            line=dict(color=NEUTRAL, width=1.5), name=f"prior {mass}",
            label=dict(text=mass, textposition="top center", font=dict(color=NEUTRAL, size=12)),
        )
        for r, mass in ((1, "39 %"), (2, "86 %"))
    ]  # fmt: skip


def posterior_ellipses(mean: np.ndarray, covariance: np.ndarray) -> list[dict]:
    """1-sigma (solid) and 2-sigma (dashed) ellipses of a Gaussian on the plane, in axis units."""
    return [
        dict(
            type="path", layer="above", path=ellipse_path(mean, covariance, k), name=f"{k}-sigma",
            line=dict(color=ACCENT, width=2, dash=dash),
        )
        for k, dash in ((1, "solid"), (2, "dash"))
    ]  # fmt: skip


def ellipse_path(mean: np.ndarray, covariance: np.ndarray, k: float, corners: int = 72) -> str:
    """SVG path in axis units of the points at Mahalanobis distance k."""
    x, y = ellipse_points(mean, covariance, k, corners)
    return "M" + "L".join(f"{a:.5f},{b:.5f}" for a, b in zip(x, y, strict=True)) + "Z"


def ellipse_points(mean: np.ndarray, covariance: np.ndarray, k: float, corners: int) -> np.ndarray:
    """Corners (2, `corners`) of the ellipse at Mahalanobis distance k, in axis units."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return np.asarray(mean)[:, None] + k * vectors @ (np.sqrt(np.maximum(values, 0))[:, None] * circle)


def path_line(a: np.ndarray, b: np.ndarray) -> dict:
    """Dotted straight line between two points of the plane."""
    return dict(
        type="line",
        layer="above",
        x0=a[0],
        y0=a[1],
        x1=b[0],
        y1=b[1],
        name="A to B",
        line=dict(color=ACCENT, width=3, dash="dot"),
    )
