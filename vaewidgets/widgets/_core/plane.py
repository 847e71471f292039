"""The plane of latent space that a map shows, and where points lie on it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

#: How far sliders, axes and grid reach from the prior's mean, in its standard deviations.
REACH = 3.5


@dataclass(frozen=True)
class Plane:
    """Two orthonormal directions through an origin.

    Attributes
    ----------
    basis : ndarray of shape (2, d)
    origin : ndarray of shape (d,)
        The point that the plane's (0, 0) stands for.
    names : tuple of two str
        Axis titles.
    """

    basis: np.ndarray
    origin: np.ndarray
    names: tuple[str, str]

    @classmethod
    def coordinates(cls, latent_dim: int, i: int = 0, j: int = 1) -> Plane:
        """Span coordinates z_i and z_j (from 0); of a single dimension, z1 against nothing."""
        basis = np.zeros((2, latent_dim))
        basis[0, i] = 1
        if latent_dim > 1:
            basis[1, j] = 1
        return cls(basis, np.zeros(latent_dim), (f"z{i + 1}", f"z{j + 1}" if latent_dim > 1 else ""))

    @classmethod
    def principal(cls, mu: np.ndarray) -> Plane:
        """Span the first two principal components of mu, an array of shape (N, d)."""
        from sklearn.decomposition import PCA

        # In float32 the directions are orthonormal only to about 1e-6, and differently on each processor.
        pca = PCA(2).fit(np.asarray(mu, dtype=float))
        first, second = (
            f"principal component {k + 1} of mu ({s:.0%})"
            for k, s in enumerate(pca.explained_variance_ratio_)
        )
        return cls(pca.components_, pca.mean_, (first, second))

    def project(self, z) -> np.ndarray:
        """Coordinates on the plane, shape (..., 2), of points z of shape (..., d)."""
        return (np.asarray(z, dtype=float) - self.origin) @ self.basis.T

    def lift(self, points, z) -> np.ndarray:
        """Points of latent space (N, d) that project to `points` (N, 2) and otherwise agree with z."""
        return np.asarray(z, dtype=float) + (np.asarray(points, dtype=float) - self.project(z)) @ self.basis

    def covariance(self, sigma) -> np.ndarray:
        """Covariance (2, 2) on the plane of N(., diag(sigma^2)), sigma of shape (d,)."""
        return (self.basis * np.asarray(sigma, dtype=float) ** 2) @ self.basis.T


def plane_points(n: int, centre: np.ndarray, reach: float, by_mass: bool) -> np.ndarray:
    """Places of n x n tiles on the plane, row by row from the top left, ndarray of shape (n * n, 2).

    By mass they are quantiles of N(0, I): each tile stands for the same share of it. Else even steps.
    """
    line = spread_out((np.arange(n) + 0.5) / n, reach, by_mass)
    x, y = np.meshgrid(line, line[::-1])
    return np.asarray(centre) + np.stack([x.ravel(), y.ravel()], 1)


def spread_out(shares, reach: float, by_mass: bool) -> np.ndarray:
    """Turn shares of a square's side into distances from its middle, both of shape (...).

    By mass they are quantiles of N(0, 1), at most `REACH`; else even steps from -reach to reach.
    """
    shares = np.asarray(shares, dtype=float)
    if not by_mass:
        return reach * (2 * shares - 1)
    quantiles = np.vectorize(NormalDist().inv_cdf, otypes=[float])(np.clip(shares, 1e-6, 1 - 1e-6))
    return np.clip(quantiles, -REACH, REACH)
