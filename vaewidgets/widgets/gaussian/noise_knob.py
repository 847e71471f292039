"""NoiseKnob: a sample from its noise, and two estimators of a gradient with their variances."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import traitlets

from vaewidgets.widgets._core.panel import format_point
from vaewidgets.widgets._core.traits import Bounded, Latent

from .counter_noise import normals
from .gaussian_view import GaussianPanel, GaussianView

if TYPE_CHECKING:
    from vaewidgets.models.protocols import EncoderDecoder

#: The largest number of draws, which the page can compute anew whenever phi moves.
MOST_DRAWS = 100_000
#: What phi ranges over.
PHI_RANGE = (-1.0, 1.0)


class Exact(NamedTuple):
    """The expectation, its gradient and the spread of both estimators, in closed form.

    Attributes
    ----------
    value : float
        E f(z).
    gradient : float
        Its derivative by phi, which is the mean of both estimators.
    pathwise_sd, score_sd : float
        Standard deviation of one draw of each estimator.
    ratio : float
        Variance of the score-function estimator divided by that of the pathwise estimator.
    """

    value: float
    gradient: float
    pathwise_sd: float
    score_sd: float
    ratio: float


def pathwise_gradient(phi: float, epsilon: np.ndarray) -> np.ndarray:
    """Compute the pathwise estimator f'(z) dz/dphi for each draw of epsilon.

    f(z) = z^2 + sin z, z = mu + sigma * epsilon, mu = phi^3, sigma = e^phi.

    Parameters
    ----------
    phi : float
    epsilon : ndarray of shape (N,)
        Standard normal noise.

    Returns
    -------
    ndarray of shape (N,)

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), section 2.4; Mohamed et al. 2020 (arXiv 1906.10652), section 5.

    Examples
    --------
    >>> pathwise_gradient(0.0, np.array([0.0, 1.0])).round(6).tolist()
    [0.0, 2.540302]
    """
    sigma = math.exp(phi)
    z = phi**3 + sigma * epsilon
    return (2 * z + np.cos(z)) * (3 * phi**2 + sigma * epsilon)


def score_gradient(phi: float, epsilon: np.ndarray) -> np.ndarray:
    """Compute the score-function estimator f(z) d/dphi ln q(z) for each draw: it needs no derivative of f.

    It takes the arguments of `pathwise_gradient`.

    References
    ----------
    Mohamed et al. 2020 (arXiv 1906.10652), section 4.

    Examples
    --------
    >>> score_gradient(0.0, np.array([1.0, 2.0])).round(6).tolist()
    [0.0, 14.727892]
    """
    sigma = math.exp(phi)
    z = phi**3 + sigma * epsilon
    return (z**2 + np.sin(z)) * (3 * phi**2 * epsilon / sigma + epsilon**2 - 1)


def exact_gradient(phi: float) -> Exact:
    """Compute E f(z), its gradient by phi, and the spread of both estimators, see `pathwise_gradient`.

    Examples
    --------
    >>> exact = exact_gradient(0.5)
    >>> round(exact.value, 6), round(exact.gradient, 6), round(exact.ratio, 6)
    (2.765933, 5.728164, 9.743352)
    """
    mu, sigma, slope = phi**3, math.exp(phi), 3 * phi**2
    damped = math.exp(-(sigma**2) / 2)
    value = mu**2 + sigma**2 + damped * math.sin(mu)
    gradient = 2 * mu * slope + 2 * sigma**2 + damped * (math.cos(mu) * slope - sigma**2 * math.sin(mu))

    def mean(*factors, k=0, sine=False) -> float:
        return _mean(reduce(np.convolve, factors).tolist(), mu, sigma, k, sine)

    z, moving, score = [mu, sigma], [slope, sigma], [-1, slope / sigma, 1]
    # (2z + cos z)^2 and (z^2 + sin z)^2, multiplied out; squares of cos and sin are cosines of 2z.
    pathwise = (
        4 * mean(moving, moving, z, z)
        + 4 * mean(moving, moving, z, k=1)
        + (mean(moving, moving) + mean(moving, moving, k=2)) / 2
    )
    scored = (
        mean(score, score, z, z, z, z)
        + 2 * mean(score, score, z, z, k=1, sine=True)
        + (mean(score, score) - mean(score, score, k=2)) / 2
    )
    variances = pathwise - gradient**2, scored - gradient**2
    pathwise_sd, score_sd = map(math.sqrt, variances)
    return Exact(value, gradient, pathwise_sd, score_sd, variances[1] / variances[0])


_NAMES = ("mu", "sigma", "epsilon", "frozen", "redraws", "phi", "draws", "seed")


class NoiseView(GaussianView):
    """The page's part of a `NoiseKnob`."""

    _module = "gaussian/noise_knob.js"
    epsilon = traitlets.List(traitlets.Float()).tag(sync=True)
    frozen = traitlets.Bool(True).tag(sync=True)
    redraws = traitlets.Int(0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    phi = traitlets.Float(0.5).tag(sync=True)
    draws = traitlets.Int(0).tag(sync=True)
    most_draws = traitlets.Int(MOST_DRAWS).tag(sync=True)
    phi_range = traitlets.List(traitlets.Float(), list(PHI_RANGE)).tag(sync=True)


class NoiseKnob(GaussianPanel):
    """Freeze the noise and move q, or draw new noise: z = mu + sigma * epsilon as an arrow, and decoded.

    Below, the gradient of E f(z), f(z) = z^2 + sin z, z ~ N(phi^3, e^(2 phi)), is estimated draw by draw with
    two estimators from the same noise: through the sample (pathwise) and through the density (score
    function). All numbers are computed in the page.

    Parameters
    ----------
    model : VAE, optional
        With two latent dimensions; ``vw.pretrained("mnist-vae-2d")`` if None.
    mu, sigma, epsilon : 2 numbers
        Where to start.
    phi : float
        From -1 to 1.
    draws : int
        Number of draws of the gradients, from 0 to 100,000.
    seed : int
        Seed of both streams of noise, the same in the page and in Python.
    **layout
        Other attributes to begin with, or traits of `VBox`.

    Attributes
    ----------
    mu, sigma, epsilon : tuple of 2 floats
        The source of truth of the plane.
    phi, draws : float, int
        The source of truth of the histograms.
    frozen : bool
        Whether epsilon stays when mu or sigma is dragged. If not, each move draws a new epsilon.
    redraws : int
        The number of epsilons drawn. With the seed it determines the next one.
    seed : int
    z : tuple of 2 floats
        The sample, mu + sigma * epsilon.
    image : ndarray of shape (H, W) or (H, W, 3), uint8
        The decoded picture of z.
    pathwise, score : ndarray of shape (draws,)
        The draws of both estimators, shown as histograms.
    exact : Exact
        Their mean and spread in closed form.

    Raises
    ------
    ValueError, TypeError
        The model has no decoder or prior, or not two latent dimensions; a number is out of range; a keyword
        is misspelled.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), section 2.4; Mohamed et al. 2020 (arXiv 1906.10652), sections
    4 and 5.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> knob = vw.NoiseKnob(mu=(1, 0), sigma=(0.5, 0.5), epsilon=(2, -1))
    >>> knob.z
    (2.0, -0.5)
    """

    epsilon = Latent((0.0, 0.0))
    frozen = traitlets.Bool(True)
    redraws = Bounded(0, 0, MOST_DRAWS)
    seed = Bounded(0, 0, 2**31 - 1)
    phi = Bounded(0.5, *PHI_RANGE)
    draws = Bounded(0, 0, MOST_DRAWS)

    def __init__(
        self,
        model: EncoderDecoder | None = None,
        *,
        mu: Sequence[float] = (0.5, 0.5),
        sigma: Sequence[float] = (0.8, 0.8),
        epsilon: Sequence[float] = (1.0, -1.5),
        phi: float = 0.5,
        draws: int = 0,
        seed: int = 0,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        self.choose_model(model)
        self.mu, self.sigma, self.epsilon = mu, sigma, epsilon
        self.phi, self.draws, self.seed = phi, draws, seed
        self.hold(partial(NoiseView, self.model), *_NAMES)
        super().__init__([self.view], **layout)
        self.begin()

    def __repr__(self) -> str:
        return f"NoiseKnob(z={format_point(self.z)}, phi={self.phi:g}, draws={self.draws})"

    @property
    def z(self) -> tuple[float, float]:
        """The sample, mu + sigma * epsilon."""
        return tuple(m + s * e for m, s, e in zip(self.mu, self.sigma, self.epsilon, strict=True))

    @property
    def image(self) -> np.ndarray:
        """The decoded picture of z, (H, W) or (H, W, 3) uint8."""
        return self.decode([self.z])[0]

    @property
    def pathwise(self) -> np.ndarray:
        """The pathwise gradient of each draw, ndarray of shape (draws,)."""
        return pathwise_gradient(self.phi, self._noise)

    @property
    def score(self) -> np.ndarray:
        """The score-function gradient of each draw, ndarray of shape (draws,), from the same noise."""
        return score_gradient(self.phi, self._noise)

    @property
    def exact(self) -> Exact:
        """The expectation, the gradient and the spread of both estimators at this phi."""
        return exact_gradient(self.phi)

    def redraw(self) -> None:
        """Draw the next epsilon of the stream, as the button does."""
        self.redraws = self.redraws % MOST_DRAWS + 1
        self.epsilon = self._drawn(self.redraws)

    def decoded_points(self) -> np.ndarray:
        """List z alone, ndarray of shape (1, 2)."""
        return np.array([self.z])

    # Two streams for each seed: that of 2 * seed moves the arrow, that of 2 * seed + 1 makes gradients.

    def _drawn(self, redraws: int) -> np.ndarray:
        return normals(2 * self.seed, 2 * redraws)[-2:].numpy()

    @property
    def _noise(self) -> np.ndarray:
        return normals(2 * self.seed + 1, self.draws).numpy()


def _mean(polynomial, mu: float, sigma: float, k: int, sine: bool) -> float:
    """Compute E[P(e) cos(k z)], or of the sine, for z = mu + sigma e; coefficients from the constant up.

    E[e^n exp(i k z)] = i^n He_n(t) exp(i k mu - t^2/2), with t = k sigma and He_n the Hermite polynomials
    of probability.
    """
    t, total, before, hermite = k * sigma, 0.0, 0.0, 1.0
    for n, coefficient in enumerate(polynomial):
        total += coefficient * hermite * math.cos(k * mu + (n - sine) * math.pi / 2)
        before, hermite = hermite, t * hermite - n * before
    return total * math.exp(-(t**2) / 2)
