"""Lines around where points lie: regions of highest density of a plane, as closed polygons."""

from __future__ import annotations

from typing import cast

import numpy as np
from contourpy import contour_generator

#: Cells along one side of the square on which density is counted.
CELLS = 256


def density_lines(
    points: np.ndarray, shares: tuple[float, ...], centre: np.ndarray, reach: float
) -> list[list[np.ndarray]]:
    """Draw, for each share, the smallest region that holds this share of the points.

    Density is a histogram of the square centre +- reach smoothed by a Gaussian; the level of a share is
    the quantile of the density at the points themselves (Hyndman 1996, "Computing and graphing highest
    density regions", section 3).

    Parameters
    ----------
    points : ndarray of shape (N, 2)
    shares : tuple of float
        Each in (0, 1). Points outside the square count too: a share that they leave no room for has no line.
    centre, reach : ndarray of shape (2,), float

    Returns
    -------
    list of lists of ndarray of shape (K, 2)
        Per share its closed lines, outer ones and holes; the last corner joins the first.
    """
    edges = np.linspace(-reach, reach, CELLS + 1)
    x, y = (points - centre).T
    inside = (np.abs(x) < reach) & (np.abs(y) < reach)
    counts, _, _ = np.histogram2d(y[inside], x[inside], bins=(edges, edges))
    # The fewer points, the wider each is spread (Scott's n^(-1/6)): 3 cells for 10,000.
    steps, blur = np.arange(CELLS), 14 * len(points) ** (-1 / 6)
    kernel = np.exp(-0.5 * ((steps[:, None] - steps) / blur) ** 2) / (blur * np.sqrt(2 * np.pi))
    # Outside there is nothing: so every line closes.
    density = np.pad(kernel @ counts @ kernel.T, 1)

    width = 2 * reach / CELLS
    cell = np.floor((np.stack([y, x]) + reach) / width).astype(int) + 1
    at_points = np.zeros(len(points))
    at_points[inside] = density[tuple(cell[:, inside])]
    contours = contour_generator(z=density)
    lines = []
    for share in shares:
        level = np.quantile(at_points, 1 - share)
        # Each ends where it began.
        # Of the default line type: arrays of points, nothing else.
        found = cast(list[np.ndarray], contours.lines(level)) if level > 0 else []
        loops = [line[:-1] for line in found]
        # Index 1 is the middle of the first cell.
        lines.append([centre - reach + (loop - 0.5) * width for loop in loops])
    return lines
