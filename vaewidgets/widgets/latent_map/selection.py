"""Polygons and rows as traits, the points within a polygon, and the counts of their labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import traitlets


class Polygon(traitlets.TraitType):
    """A polygon in axis units: a table of corners in; a tuple of (x, y), empty for none, out."""

    info_text = "a polygon"
    default_value = ()

    def validate(self, owner, value) -> tuple[tuple[float, float], ...]:
        try:
            corners = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} must be a table of corners, (N, 2); got {value!r}.") from None
        if corners.size == 0:
            return ()
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise ValueError(
                f"{self.name} must have shape (N, 2), at least 3 corners (x, y) in axis units, or be () for "
                f"none; got shape {corners.shape}."
            )
        if not np.isfinite(corners).all():
            raise ValueError(f"{self.name} has corners that are NaN or infinite.")
        return tuple(map(tuple, corners.tolist()))


class Rows(traitlets.TraitType):
    """Rows of the owner's ``mu``: integers in; a sorted ndarray without doubles out."""

    info_text = "rows of a table"

    def make_dynamic_default(self):
        return np.zeros(0, dtype=int)

    def validate(self, owner, value) -> np.ndarray:
        rows = np.asarray(value)
        if rows.size == 0:
            return np.zeros(0, dtype=int)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise TypeError(f"{self.name} must be a list of row numbers; got {value!r}.")
        if rows.min() < 0 or rows.max() >= len(owner.mu):
            raise ValueError(f"{self.name} must be rows from 0 to {len(owner.mu) - 1}; got {rows}.")
        return np.unique(rows)


class LassoResult(NamedTuple):
    """The labels of the points that a lasso took.

    Attributes
    ----------
    taken : int
        Number of points.
    guess : int or None
        The class that was guessed; None stands for `most`.
    most : int
        The most frequent class.
    right, wrong : int
        Number of points of the class `meant`, and of other classes.
    purity : float
        right / taken, the precision.
    found : float
        right / all points of that class on the map, the recall.
    """

    taken: int
    guess: int | None
    most: int
    right: int
    wrong: int
    purity: float
    found: float

    @property
    def meant(self) -> int:
        """The class that counts as right."""
        return self.most if self.guess is None else self.guess


def tally(labels: np.ndarray, rows: np.ndarray, guess: int | None) -> LassoResult:
    """Count the labels of some points.

    Parameters
    ----------
    labels : ndarray of shape (N,), int
        Of all points.
    rows : ndarray of int
        The points to count, at least one.
    guess : int or None
        The class that counts as right; None for the most frequent one.

    Examples
    --------
    >>> result = tally(np.array([0, 1, 1, 1, 2]), np.array([1, 2, 4]), guess=None)
    >>> result.most, result.right, result.wrong
    (1, 2, 1)
    """
    own = labels[rows]
    most = int(np.bincount(own).argmax())
    meant = most if guess is None else guess
    right, of_class = int((own == meant).sum()), int((labels == meant).sum())
    found = right / of_class if of_class else 0.0
    return LassoResult(len(rows), guess, most, right, len(rows) - right, right / len(rows), found)


def within(points: np.ndarray, corners) -> np.ndarray:
    """List the rows of the points (N, 2) inside a polygon with corners (K, 2), by the even-odd rule.

    Examples
    --------
    >>> within([(0.2, 0.2), (0.9, 0.9)], [(0, 0), (1, 0), (0, 1)])
    array([0])
    """
    x, y = np.asarray(points, dtype=float).T
    inside = np.zeros(len(x), dtype=bool)
    ends = np.asarray(corners, dtype=float)
    for (x0, y0), (x1, y1) in zip(ends, np.roll(ends, -1, axis=0), strict=True):
        # A ray to the right meets the edge where the edge passes the point's height.
        crosses = (y0 > y) != (y1 > y)
        inside[crosses] ^= x[crosses] < x0 + (y[crosses] - y0) / (y1 - y0) * (x1 - x0)
    return np.flatnonzero(inside)


def circle(centre, radius: float, corners: int = 128) -> np.ndarray:
    """Compute the corners of a regular polygon, ndarray of shape (`corners`, 2), in place of a circle.

    Examples
    --------
    >>> circle((0, 1), 2.0, corners=4).round(6).tolist()
    [[2.0, 1.0], [0.0, 3.0], [-2.0, 1.0], [-0.0, -1.0]]
    """
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.asarray(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], 1)
