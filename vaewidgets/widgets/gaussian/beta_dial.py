"""BetaDial: the effect of beta, in a solved linear model and in trained VAEs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import traitlets
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.io.checkpoints import stated_dataset
from vaewidgets.models.linear_gaussian import water_filling
from vaewidgets.models.vae import VAE
from vaewidgets.widgets._core.page_module import PageModule
from vaewidgets.widgets._core.traits import Bounded
from vaewidgets.widgets._core.view_panel import ViewPanel

from .beta_stops import Stop, draw_pictures, make_stops

#: Variances of the linear model's data along its principal axes.
EIGENVALUES = (9.0, 4.0, 1.0, 0.25, 0.25, 0.25)
#: Number of pictures in a row.
COUNT = 8
#: What beta and the noise range over.
DOMAIN = (2.0**-10, 2.0**10)


class BetaView(PageModule):
    """The page's part of a `BetaDial`.

    Attributes
    ----------
    stops : list of dict
        beta, rate, distortion, kl and active of each trained model, in the order of beta.
    pixels, shape : bytes, list (rows, H, W, channels)
        The rows of pictures of each stop, one stop after the other; W is that of a whole row.
    caption : str
        Which images are shown.
    originals : bool
        Whether the first row shows the images themselves.
    asked : list (what, count)
        "images" or "samples" if the page asks for others; the count makes each request another value.
    domain : list of 2 floats
        What beta and the noise range over.
    dataset : str
        Name of the data set that the models were trained on.
    """

    _module = "gaussian/beta_dial.js"
    beta = traitlets.Float(1.0).tag(sync=True)
    noise = traitlets.Float(0.25).tag(sync=True)
    linked = traitlets.Bool(False).tag(sync=True)
    eigenvalues = traitlets.List(traitlets.Float(), list(EIGENVALUES)).tag(sync=True)
    stops: traitlets.List[Any] = traitlets.List().tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    caption = traitlets.Unicode("").tag(sync=True)
    originals = traitlets.Bool(False).tag(sync=True)
    dataset = traitlets.Unicode("").tag(sync=True)
    asked: traitlets.List[Any] = traitlets.List().tag(sync=True)
    domain = traitlets.List(traitlets.Float(), list(DOMAIN)).tag(sync=True)


class BetaDial(ViewPanel):
    """Change beta, and see dimensions collapse: in a solved linear model, and in trained VAEs.

    On the left is the best linear beta-VAE for data with the variances 9, 4, 1, .25, .25, .25. Water stands
    at beta * s^2, and the code tells only what is above it, in bits. On the right are checkpoints, each
    trained with its own beta: no formula changes their pictures.

    Parameters
    ----------
    models : dict of {beta: VAE}, optional
        Bernoulli VAEs that differ only in beta. By default the six pretrained ones of ten latents, on MNIST.
    images : Images or Tensor of shape (N, C, H, W), optional
        The models are measured on them. Without images the models must carry an atlas and figures, as the
        pretrained ones do.
    **traits
        The attributes beta, noise, linked, row and seed to begin with, or traits of `VBox`.

    Attributes
    ----------
    beta : float
        The weight of the KL. Of the trained models the nearest one, by the logarithm, is shown (`stop`).
    noise : float
        s^2, the variance of a pixel of the linear decoder.
    linked : bool
        Whether the page's two sliders move against each other, so that beta * s^2 stays.
    row : int
        The first of the test images whose reconstructions are shown.
    seed : int
        Seed of the samples.
    level : float
        beta * s^2.
    bits, left : tuple of 6 floats
        Rate of each dimension of the linear model, bits, and the squared error that is left.
    stop : Stop
        The trained model that is shown: its beta, distortion and rate (nats), KL per dimension, active units.
    stops : list of Stop
        All trained models, in the order of beta.

    Raises
    ------
    ValueError, TypeError
        The models do not fit together, or carry no figures; a value is out of its range.
    IndexError
        There is no such row.

    References
    ----------
    Lucas et al. 2019 (arXiv 1911.02469): the linear VAE. Cover & Thomas 2006, "Elements of Information
    Theory", section 10.3.3: reverse water-filling. Alemi et al. 2018 (arXiv 1711.00464): rate and distortion.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> models = {beta: vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0) for beta in (1, 4)}
    >>> dial = vw.BetaDial(models, torch.zeros(10, 1, 4, 4), beta=4, noise=0.25)
    >>> dial
    BetaDial(beta=4, level=1, bits=2.585, trained=4)
    >>> [round(bits, 3) for bits in dial.bits]
    [1.585, 1.0, 0.0, 0.0, 0.0, 0.0]
    """

    beta = Bounded(1.0, *DOMAIN)
    noise = Bounded(0.25, *DOMAIN)
    linked = traitlets.Bool(False)
    row = traitlets.Int(0)
    seed = Bounded(0, 0, 2**31 - 1)

    def __init__(
        self,
        models: Mapping[float, VAE] | None = None,
        images: Images | Tensor | None = None,
        **traits: Any,
    ) -> None:
        self.check_keywords(traits)
        self.stops, images = make_stops(models, images)
        self._images = None if images is None else images.images
        stops = [
            dict(beta=s.beta, rate=s.rate, distortion=s.distortion, kl=list(s.kl), active=list(s.active))
            for s in self.stops
        ]
        self.hold(BetaView, "beta", "noise", "linked", stops=stops, dataset=_dataset(self.stops[0].model))
        self.listen(self.view, lambda asked: self.other(asked[0]), "asked")
        own = ("beta", "noise", "linked", "row", "seed")
        start = {name: traits.pop(name) for name in own if name in traits}
        super().__init__([self.view], **traits)
        for name, value in start.items():
            setattr(self, name, value)
        self._draw()
        self.observe(self._draw, ["row", "seed"])

    def __repr__(self) -> str:
        bits, stop = sum(self.bits), self.stop
        return f"BetaDial(beta={self.beta:g}, level={self.level:g}, bits={bits:.3f}, trained={stop.beta:g})"

    @property
    def level(self) -> float:
        """The water level, beta * s^2."""
        return self.beta * self.noise

    @property
    def bits(self) -> tuple[float, ...]:
        """Rate of each dimension of the linear model, bits: max(0, log2(variance / level) / 2)."""
        nats = water_filling(torch.tensor(EIGENVALUES, dtype=torch.float64), self.level)
        return tuple((nats / math.log(2)).tolist())

    @property
    def left(self) -> tuple[float, ...]:
        """Squared error that is left in each dimension of the linear model: min(variance, level)."""
        return tuple(min(value, self.level) for value in EIGENVALUES)

    @property
    def stop(self) -> Stop:
        """The trained model whose beta is nearest by the logarithm; of two the one with the smaller beta."""
        return min(self.stops, key=lambda stop: (round(abs(math.log2(stop.beta / self.beta)), 9), stop.beta))

    def other(self, what: str) -> None:
        """Show the next images or other samples.

        Parameters
        ----------
        what : "images" or "samples"

        Raises
        ------
        ValueError
            It is neither.
        """
        if what == "images":
            following = self.row + COUNT
            self.row = following if following + COUNT <= len(self.stops[0].mu) else 0
        elif what == "samples":
            self.seed = (self.seed + 1) % 2**31
        else:
            raise ValueError(f'there are other "images" and other "samples"; got {what!r}.')

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        last = len(self.stops[0].mu) - 1
        if not 0 <= proposal.value <= last:
            raise IndexError(f"row {proposal.value} is not there: rows go from 0 to {last}.")
        return proposal.value

    def _draw(self, _=None) -> None:
        with self.report(from_page=False):
            first = self.stops[0]
            rows = range(self.row, min(self.row + COUNT, len(first.mu)))
            noise = torch.randn(
                len(rows), first.mu.shape[1], generator=torch.Generator().manual_seed(self.seed)
            )
            shown = None if self._images is None else self._images[rows.start : rows.stop]
            pictures = [draw_pictures(stop, shown, rows, noise, self.seed) for stop in self.stops]
            shape = pictures[0].shape
            with self.view.hold_sync():
                self.view.shape = [*shape[:3], shape[3] if len(shape) == 4 else 1]
                self.view.pixels = b"".join(rows.tobytes() for rows in pictures)
                self.view.originals = shown is not None
                self.view.caption = f"test images {rows.start} to {rows.stop - 1}"


def _dataset(model) -> str:
    """Return the usual spelling of the data set that a model was trained on."""
    name = stated_dataset(model) or "your images"
    return name.upper() if name == "mnist" else name
