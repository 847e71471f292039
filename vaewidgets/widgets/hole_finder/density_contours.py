"""Regions of highest density of points on a plane, as closed lines."""

from __future__ import annotations

from typing import cast

import numpy as np
from contourpy import contour_generator

#: Cells along one side of the square on which density is counted.
CELLS = 256


def density_lines(
    points: np.ndarray, shares: tuple[float, ...], centre: np.ndarray, reach: float
) -> list[list[np.ndarray]]:
    """Compute, for each share, the smallest region that holds this share of the points.

    The density is a histogram of the square centre +- reach, smoothed by a Gaussian. The level of a share is
    the quantile of the density at the points.

    Parameters
    ----------
    points : ndarray of shape (N, 2)
    shares : tuple of float
        Each in (0, 1). Points outside the square count, so that a share may have no line.
    centre, reach : ndarray of shape (2,), float

    Returns
    -------
    list of lists of ndarray of shape (K, 2)
        For each share its closed lines, outer ones and holes. The last corner joins the first.

    References
    ----------
    Hyndman 1996, "Computing and Graphing Highest Density Regions", The American Statistician 50:120,
    section 3: the level. Scott 1992, "Multivariate Density Estimation": the bandwidth, n^(-1/6) in the plane.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(20_000, 2))
    >>> [[half]] = density_lines(points, (0.5,), np.zeros(2), 5.0)
    >>> bool(np.allclose(np.linalg.norm(half, axis=1), np.sqrt(2 * np.log(2)), atol=0.15))
    True
    """
    edges = np.linspace(-reach, reach, CELLS + 1)
    x, y = (points - centre).T
    inside = (np.abs(x) < reach) & (np.abs(y) < reach)
    counts, _, _ = np.histogram2d(y[inside], x[inside], bins=(edges, edges))
    # The bandwidth, in cells: 3 for 10,000 points.
    steps, blur = np.arange(CELLS), 14 * len(points) ** (-1 / 6)
    kernel = np.exp(-0.5 * ((steps[:, None] - steps) / blur) ** 2) / (blur * np.sqrt(2 * np.pi))
    # The density outside is 0, so that every line is closed.
    density = np.pad(kernel @ counts @ kernel.T, 1)

    width = 2 * reach / CELLS
    cell = np.floor((np.stack([y, x]) + reach) / width).astype(int) + 1
    at_points = np.zeros(len(points))
    at_points[inside] = density[tuple(cell[:, inside])]
    contours = contour_generator(z=density)
    lines = []
    for share in shares:
        level = np.quantile(at_points, 1 - share)
        # contourpy's default line type: each line is an array whose last point is its first.
        loops = cast(list[np.ndarray], contours.lines(level)) if level > 0 else []
        # Index 1 is the middle of the first cell.
        lines.append([centre - reach + (loop[:-1] - 0.5) * width for loop in loops])
    return lines
