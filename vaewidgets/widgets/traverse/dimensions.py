"""How much each dimension of a latent space tells of the images, and which tell nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vaewidgets.evaluation.metrics import active_units
from vaewidgets.models.objectives import kl
from vaewidgets.widgets._core.encoded import Encoded

#: A dimension is dead if its mean KL is below this, in nats, or the variance of its mu over the images is.
DEAD = 0.01


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a latent space by their use, measured on encoded images.

    Attributes
    ----------
    kl : ndarray of shape (d,) or None
        Mean KL over the images, nats; None for an autoencoder.
    worth : ndarray of shape (d,)
        `kl`, or for an autoencoder the standard deviation of its codes.
    order : list of int
        The dimensions in the order of falling `worth`.
    dead : list of int
        The dimensions that tell nothing of the images.
    centre, spread : ndarray of shape (d,)
        Mean and standard deviation of the prior, or of an autoencoder's codes.

    Examples
    --------
    >>> mu = np.array([[2, 0, 0.5], [-2, 0, -0.5]], dtype="float32")
    >>> dimensions = Dimensions.of(Encoded(None, mu, np.zeros_like(mu)), prior=True)
    >>> dimensions.order, dimensions.dead, dimensions.kl.tolist()
    ([0, 2, 1], [1], [2.0, 0.0, 0.125])
    """

    kl: np.ndarray | None
    worth: np.ndarray
    order: list[int]
    dead: list[int]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, codes: Encoded, prior: bool) -> Dimensions:
        """Measure the dimensions of codes; `prior` tells whether the model has a prior N(0, I)."""
        d, variance = codes.mu.shape[1], np.zeros(codes.mu.shape[1])
        if len(codes) > 1:
            variance = active_units(torch.from_numpy(codes.mu)).variance.numpy()
        if prior:
            costs = kl(torch.from_numpy(codes.mu), torch.from_numpy(codes.logvar))
            worth = mean_kl = costs.double().mean(0).numpy()
            dead = (worth < DEAD) | (variance < DEAD)
            centre, spread = np.zeros(d), np.ones(d)
        else:
            # The scale of its codes is arbitrary, so a dimension is compared with the widest one.
            worth, mean_kl = np.sqrt(variance), None
            dead = worth <= 1e-3 * worth.max()
            centre, spread = codes.mu.mean(0, dtype=float), np.where(dead, 1.0, worth)
        order = np.argsort(-worth, kind="stable").tolist()
        return cls(mean_kl, worth, order, np.flatnonzero(dead).tolist(), centre, spread)

    def describe(self) -> list[dict]:
        """Describe each dimension for the page, in order, see `TraversalView`."""
        unit = "spread {:.2f}" if self.kl is None else "{:.2f} nats"
        longest = max(self.worth.max(), 1e-12)
        return [
            dict(
                index=k,
                text=("does nothing: " if k in self.dead else "") + unit.format(self.worth[k]),
                share=float(self.worth[k] / longest),
                dead=k in self.dead,
                centre=float(self.centre[k]),
                spread=float(self.spread[k]),
            )
            for k in self.order
        ]
