"""The plane of latent space that a map shows, and where points lie on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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

        pca = PCA(2).fit(mu)
        shares = [
            f"principal component {k + 1} of mu ({s:.0%})"
            for k, s in enumerate(pca.explained_variance_ratio_)
        ]
        return cls(pca.components_, pca.mean_, tuple(shares))

    def project(self, z) -> np.ndarray:
        """Coordinates on the plane, shape (..., 2), of points z of shape (..., d)."""
        return (np.asarray(z, dtype=float) - self.origin) @ self.basis.T

    def lift(self, points, z) -> np.ndarray:
        """Points of latent space (N, d) that project to `points` (N, 2) and otherwise agree with z."""
        return np.asarray(z, dtype=float) + (np.asarray(points) - self.project(z)) @ self.basis

    def covariance(self, sigma) -> np.ndarray:
        """Covariance (2, 2) on the plane of N(., diag(sigma^2)), sigma of shape (d,)."""
        return (self.basis * np.asarray(sigma) ** 2) @ self.basis.T
