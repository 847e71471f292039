"""What each dimension of a latent space says of the images, and which say nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from vaewidgets.evaluation.metrics import active_units
from vaewidgets.models.objectives import kl
from vaewidgets.widgets._core.encoded import Encoded

#: A dimension that costs less than so many nats on average, or whose mu varies less than so much over the
#: images, says nothing of them.
DEAD = 0.01


@dataclass(frozen=True)
class Dimensions:
    """The dimensions of a latent space by their use, measured on encoded images.

    Attributes
    ----------
    kl : ndarray of shape (d,) or None
        Mean KL over the images, nats; None of an autoencoder.
    worth : ndarray of shape (d,)
        That, or of an autoencoder the standard deviation of its codes.
    order : list of int
        From the worthiest to the least.
    dead : list of int
        Those that say nothing.
    centre, spread : ndarrays of shape (d,)
        Of the prior, or of an autoencoder's codes: a slider goes three spreads to each side.
    """

    kl: np.ndarray | None
    worth: np.ndarray
    order: list[int]
    dead: list[int]
    centre: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, codes: Encoded, prior: bool) -> Dimensions:
        """Measure them; `prior` says whether the codes answer to one."""
        d, variance = codes.mu.shape[1], np.zeros(codes.mu.shape[1])
        if len(codes) > 1:
            variance = active_units(torch.from_numpy(codes.mu)).variance.numpy()
        if prior:
            costs = kl(torch.from_numpy(codes.mu), torch.from_numpy(codes.logvar))
            worth = mean_kl = costs.double().mean(0).numpy()
            dead = (worth < DEAD) | (variance < DEAD)
            centre, spread = np.zeros(d), np.ones(d)
        else:
            # Its scale is arbitrary: a dimension is dead beside the widest one.
            worth, mean_kl = np.sqrt(variance), None
            dead = worth <= 1e-3 * worth.max()
            centre, spread = codes.mu.mean(0, dtype=float), np.where(dead, 1.0, worth)
        order = np.argsort(-worth, kind="stable").tolist()
        return cls(mean_kl, worth, order, np.flatnonzero(dead).tolist(), centre, spread)

    def describe(self) -> list[dict]:
        """List in order what the page shows of each, see `TraversalView`."""
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
