"""GapBar: a bar of the height log p(x), split into what q reaches and what it misses."""

from __future__ import annotations

import math
from typing import Any

import torch
import traitlets
from torch import Tensor

from vaewidgets.models.linear_gaussian import (
    Estimate,
    LinearModel,
    Normal,
    best_diagonal,
    diagonal_gap,
    estimate_bound,
    kl,
    shortfall,
)
from vaewidgets.widgets._core.page_module import PageModule
from vaewidgets.widgets._core.traits import Bounded, Pair
from vaewidgets.widgets._core.view_panel import ViewPanel

from .counter_noise import normals

#: Draws of q that the importance-weighted bound is estimated from, k at a time. As in gap_bar.js.
DRAWS = 10_000
LARGEST_K = 500
NOISE = 0.5


class GapView(PageModule):
    """The page's side of a `GapBar`: it draws, computes, and is where a hand moves things."""

    _module = "gaussian/gap_bar.js"
    mean = traitlets.List(traitlets.Float()).tag(sync=True)
    sigma = traitlets.List(traitlets.Float()).tag(sync=True)
    angle = traitlets.Float(0.0).tag(sync=True)
    full = traitlets.Bool(False).tag(sync=True)
    theta = traitlets.Float(0.0).tag(sync=True)
    x = traitlets.List(traitlets.Float()).tag(sync=True)
    k = traitlets.Int(1).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)


class GapBar(ViewPanel):
    """Deform q over the exact posterior of a linear model and see how far its ELBO falls short of log p(x).

    The model is p(z) = N(0, I), p(x|z) = N(W z, s^2 I) with W = diag(2, .5) R(theta) and s^2 = .5: all is
    known in closed form, or by quadrature, and computed in the page. log p(x) does not depend on theta, but
    the posterior does: a diagonal q reaches it at 0 degrees, and is .356883 nats short of it at 45.

    Parameters
    ----------
    mean, sigma, angle, full, theta, x, k, seed
        Where to start; see the attributes.

    Attributes
    ----------
    mean : tuple of 2 floats
        The mean of q.
    sigma : tuple of 2 floats
        Its standard deviations along its own axes.
    angle : float
        How far its axes are turned, degrees. 0 makes it diagonal, which is all that a VAE's encoder can say.
    full : bool
        Whether q may turn. False sets angle to 0, and another angle sets it to True.
    theta : float
        How far the model is turned, degrees, from 0 to 90.
    x : tuple of 2 floats
        What is observed.
    k : int
        Samples in the importance-weighted bound L_k, from 1 to 500.
    seed : int
        Of the 10,000 draws that L_k is estimated from.

    Raises
    ------
    ValueError, TypeError
        A value out of its range or of another kind; a misspelled keyword.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> panel = vw.GapBar(theta=45)
    >>> panel.best_diagonal()
    >>> round(panel.gap, 6)
    0.356883
    """

    mean = Pair((0.0, 0.0), -3.5, 3.5)
    sigma = Pair((0.6, 0.6), 0.05, 2.0)
    angle = Bounded(0.0, -180.0, 180.0)
    full = traitlets.Bool(False)
    theta = Bounded(30.0, 0.0, 90.0)
    x = Pair((1.0, 0.5), -3.0, 3.0)
    k = Bounded(1, 1, LARGEST_K)
    seed = Bounded(0, 0, 2**31 - 1)

    def __init__(self, **traits: Any) -> None:
        self.check_keywords(traits)
        names = ("mean", "sigma", "angle", "full", "theta", "x", "k", "seed")
        self.hold(GapView, *names)
        start = {name: traits.pop(name) for name in names if name in traits}
        super().__init__([self.view], **traits)
        # In this order: False takes the angle back.
        self.observe(self._on_full, "full")
        self.observe(self._on_angle, "angle")
        for name, value in start.items():
            setattr(self, name, value)

    def __repr__(self) -> str:
        return f"GapBar(log p {self.log_p:.4f} = ELBO {self.elbo:.4f} + gap {self.gap:.4f} nats)"

    def _on_full(self, change) -> None:
        if not change.new:
            self.angle = 0.0

    def _on_angle(self, change) -> None:
        if change.new:
            self.full = True

    # -- the numbers ----------------------------------------------------------------------------

    @property
    def model(self) -> LinearModel:
        """The model at this theta."""
        return LinearModel(_numbers([2.0, 0.5]).diag() @ _turn(self.theta), NOISE)

    @property
    def posterior(self) -> Normal:
        """The exact p(z|x)."""
        return self.model.posterior(_numbers(self.x))

    @property
    def q(self) -> Normal:
        """The q on the plane."""
        return Normal(_numbers(self.mean), _turn(self.angle) @ _numbers(self.sigma).diag())

    @property
    def log_p(self) -> float:
        """The height of the bar, log p(x), nats."""
        return self.model.log_evidence(_numbers(self.x)).item()

    @property
    def elbo(self) -> float:
        """E_q[log p(x|z)] - KL(q || p(z)), nats."""
        return self.model.elbo(_numbers(self.x), self.q).item()

    @property
    def gap(self) -> float:
        """KL(q || p(z|x)), nats: what the ELBO misses of log p(x)."""
        return kl(self.q, self.posterior).item()

    @property
    def unavoidable(self) -> float:
        """The gap of the best diagonal q, nats."""
        return diagonal_gap(self.posterior).item()

    def bound(self, k: int | None = None) -> float:
        """Compute the importance-weighted bound L_k by quadrature, nats; at the present k if None."""
        return self.log_p - shortfall(self.q, self.posterior, self._check_k(k))

    def estimate(self, k: int | None = None) -> Estimate:
        """Estimate L_k from the draws of `seed`, as without a solved model; k is the panel's if None."""
        epsilon = normals(self.seed, 2 * DRAWS).view(-1, 2)
        return estimate_bound(self.model.log_weights(_numbers(self.x), self.q, epsilon), self._check_k(k))

    def best_diagonal(self) -> None:
        """Take q to the best there is with a diagonal covariance."""
        best = best_diagonal(self.posterior)
        with self.view.hold_sync():
            self.angle = 0.0
            self.mean, self.sigma = best.mean, best.root.diagonal()

    def match_posterior(self) -> None:
        """Take q to the exact posterior, turned as that is: then the gap is 0."""
        p = self.posterior
        variances, axes = torch.linalg.eigh(p.covariance)
        with self.view.hold_sync():
            # The longer axis first, and pointing to the right.
            u, v = axes[:, 1].tolist()
            self.full = True
            self.angle = math.degrees(math.atan2(v, u) if u > 0 else math.atan2(-v, -u))
            self.mean, self.sigma = p.mean, variances.flip(0).sqrt()

    def _check_k(self, k: int | None) -> int:
        return int(self.k if k is None else type(self).k.validate(self, k))


def _numbers(values) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _turn(degrees: float) -> Tensor:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return _numbers([[cos, -sin], [sin, cos]])
