"""Lines around where points lie: regions of highest density of a plane, as closed polygons."""

from __future__ import annotations

import numpy as np

#: Cells along one side of the square on which density is counted.
CELLS = 256

# Per corner pattern of a cell, the ways that the line takes through it, from side to side, with what lies
# above the level on its left. Sides are bottom, right, top, left; corners count 1, 2, 4, 8 from bottom left.
_WAYS = {
    1: "bl", 2: "rb", 3: "rl", 4: "tr", 5: "bl tr", 6: "tb", 7: "tl",
    8: "lt", 9: "bt", 10: "rb lt", 11: "rt", 12: "lr", 13: "br", 14: "lb",
}  # fmt: skip


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
    lines = []
    for share in shares:
        level = np.quantile(at_points, 1 - share)
        loops = _loops(density, level) if level > 0 else []
        # Index 1 is the middle of the first cell.
        lines.append([centre - reach + (loop - 0.5) * width for loop in loops])
    return lines


def _loops(grid: np.ndarray, level: float) -> list[np.ndarray]:
    """Walk along `level` (marching squares): closed lines of (column, row), each of shape (K, 2)."""
    above = (grid > level).astype(int)
    pattern = above[:-1, :-1] + 2 * above[:-1, 1:] + 4 * above[1:, 1:] + 8 * above[1:, :-1]
    onward = {}
    for row, column in zip(*np.nonzero((pattern > 0) & (pattern < 15)), strict=True):
        sides = {
            "b": ((row, column), (row, column + 1)), "t": ((row + 1, column), (row + 1, column + 1)),
            "l": ((row, column), (row + 1, column)), "r": ((row, column + 1), (row + 1, column + 1)),
        }  # fmt: skip
        for way in _WAYS[int(pattern[row, column])].split():
            onward[sides[way[0]]] = sides[way[1]]
    loops = []
    while onward:
        side, loop = next(iter(onward)), []
        while side in onward:
            loop.append(_crossing(grid, level, *side))
            side = onward.pop(side)
        loops.append(np.array(loop))
    return loops


def _crossing(grid: np.ndarray, level: float, a, b) -> tuple[float, float]:
    """Where, between the corners a and b (row, column), the grid has this level: (column, row)."""
    t = (level - grid[a]) / (grid[b] - grid[a])
    return a[1] + t * (b[1] - a[1]), a[0] + t * (b[0] - a[0])
