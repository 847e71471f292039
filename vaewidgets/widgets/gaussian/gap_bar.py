"""GapBar: log p(x) as a bar, split into the ELBO of a q and the gap that is left."""

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

#: Number of draws of q from which the importance-weighted bound is estimated, k at a time.
DRAWS = 10_000
#: s^2 of the model.
NOISE = 0.5
#: What the traits, and the controls in the page, range over.
RANGES = dict(
    mean=(-3.5, 3.5), sigma=(0.05, 2.0), angle=(-180.0, 180.0), theta=(0.0, 90.0), x=(-3.0, 3.0), k=(1, 500)
)


class GapView(PageModule):
    """The page's part of a `GapBar`: it computes, draws and is dragged."""

    _module = "gaussian/gap_bar.js"
    mean = traitlets.List(traitlets.Float()).tag(sync=True)
    sigma = traitlets.List(traitlets.Float()).tag(sync=True)
    angle = traitlets.Float(0.0).tag(sync=True)
    full = traitlets.Bool(False).tag(sync=True)
    theta = traitlets.Float(0.0).tag(sync=True)
    x = traitlets.List(traitlets.Float()).tag(sync=True)
    k = traitlets.Int(1).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    draws = traitlets.Int(DRAWS).tag(sync=True)
    ranges = traitlets.Dict(RANGES).tag(sync=True)


class GapBar(ViewPanel):
    """Deform q over the exact posterior of a linear model, and see how far its ELBO is below log p(x).

    The model is p(z) = N(0, I), p(x|z) = N(W z, s^2 I) with W = diag(2, .5) R(theta) and s^2 = .5. All
    numbers are computed in the page, in closed form or by quadrature. log p(x) does not depend on theta, but
    the posterior does: a diagonal q equals it at 0 degrees, and leaves a gap of .356883 nats at 45 degrees.

    Parameters
    ----------
    **traits
        The attributes to begin with, or traits of `VBox`.

    Attributes
    ----------
    mean : tuple of 2 floats
        The mean of q.
    sigma : tuple of 2 floats
        Its standard deviations along its own axes.
    angle : float
        Angle of these axes, degrees. At 0 q is diagonal, as that of a VAE's encoder.
    full : bool
        Whether q may turn. False sets angle to 0; another angle sets this to True.
    theta : float
        Angle of the model, degrees, from 0 to 90.
    x : tuple of 2 floats
        The observation.
    k : int
        Number of samples in the importance-weighted bound L_k, from 1 to 500.
    seed : int
        Seed of the 10,000 draws from which L_k is estimated.

    Raises
    ------
    ValueError, TypeError
        A value is out of its range or of another kind; a keyword is misspelled.

    References
    ----------
    Tipping & Bishop 1999, "Probabilistic Principal Component Analysis": the posterior. Burda et al. 2016
    (arXiv 1509.00519), equation 8: L_k. Cremer et al. 2018 (arXiv 1801.03558): the gap.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> panel = vw.GapBar(theta=45)
    >>> panel.best_diagonal()
    >>> round(panel.gap, 6)
    0.356883
    """

    mean = Pair((0.0, 0.0), *RANGES["mean"])
    sigma = Pair((0.6, 0.6), *RANGES["sigma"])
    angle = Bounded(0.0, *RANGES["angle"])
    full = traitlets.Bool(False)
    theta = Bounded(30.0, *RANGES["theta"])
    x = Pair((1.0, 0.5), *RANGES["x"])
    k = Bounded(1, *RANGES["k"])
    seed = Bounded(0, 0, 2**31 - 1)

    def __init__(self, **traits: Any) -> None:
        self.check_keywords(traits)
        names = ("mean", "sigma", "angle", "full", "theta", "x", "k", "seed")
        self.hold(GapView, *names)
        start = {name: traits.pop(name) for name in names if name in traits}
        super().__init__([self.view], **traits)
        # In this order, because full=False must reset an angle.
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
        """The present q."""
        return Normal(_numbers(self.mean), _turn(self.angle) @ _numbers(self.sigma).diag())

    @property
    def log_p(self) -> float:
        """log p(x), the height of the bar, nats."""
        return self.model.log_evidence(_numbers(self.x)).item()

    @property
    def elbo(self) -> float:
        """E_q[log p(x|z)] - KL(q || p(z)), nats."""
        return self.model.elbo(_numbers(self.x), self.q).item()

    @property
    def gap(self) -> float:
        """KL(q || p(z|x)) = log p(x) - ELBO, nats."""
        return kl(self.q, self.posterior).item()

    @property
    def unavoidable(self) -> float:
        """The gap of the best diagonal q, nats."""
        return diagonal_gap(self.posterior).item()

    def bound(self, k: int | None = None) -> float:
        """Compute the importance-weighted bound L_k, nats, by quadrature; k is the panel's if None."""
        return self.log_p - shortfall(self.q, self.posterior, self._check_k(k))

    def estimate(self, k: int | None = None) -> Estimate:
        """Estimate L_k, nats, from the draws of `seed`, as one must without a solved model.

        k is the panel's if it is None.
        """
        epsilon = normals(self.seed, 2 * DRAWS).view(-1, 2)
        return estimate_bound(self.model.log_weights(_numbers(self.x), self.q, epsilon), self._check_k(k))

    def best_diagonal(self) -> None:
        """Set q to the diagonal Gaussian with the smallest gap."""
        best = best_diagonal(self.posterior)
        with self.view.hold_sync():
            self.angle = 0.0
            self.mean, self.sigma = best.mean, best.root.diagonal()

    def match_posterior(self) -> None:
        """Set q to the exact posterior, its axes turned: then the gap is 0."""
        p = self.posterior
        variances, axes = torch.linalg.eigh(p.covariance)
        with self.view.hold_sync():
            # The longer axis comes first, and points to the right.
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
