"""KLLab: the KL of one Gaussian to the prior, split by axis, and that of the posterior of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.data.pixels import to_uint8
from vaewidgets.io.checkpoints import stated_dataset
from vaewidgets.models.objectives import kl
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.encoded import Encoded
from vaewidgets.widgets._core.panel import format_point, note_html
from vaewidgets.widgets._core.plane import REACH

from .gaussian_view import GaussianPanel, GaussianView, button

if TYPE_CHECKING:
    from vaewidgets.models.protocols import EncoderDecoder

T = TypeVar("T")


def parts(mu: float, sigma: float) -> tuple[float, float]:
    """Split KL(N(mu, sigma^2) || N(0, 1)) into offset mu^2/2 and shape (sigma^2 - 1 - ln sigma^2)/2, nats.

    Neither is negative. The offset is 0 only at mu = 0, the shape only at sigma = 1.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), appendix B.

    Examples
    --------
    >>> offset, shape = parts(1.0, 0.5)
    >>> offset, round(shape, 6)
    (0.5, 0.318147)
    """
    logvar = 2 * math.log(sigma)
    return mu * mu / 2, (math.expm1(logvar) - logvar) / 2


def areas(mu: float, sigma: float) -> tuple[float, float]:
    """Compute the areas of q ln(q/p) above and below zero, nats, for q = N(mu, sigma^2), p = N(0, 1).

    The second is not positive, and their sum is the KL. With z = mu + sigma e, ln(q/p) is a quadratic
    a e^2 + b e + c. Its integral under the standard normal density is (a + c) Phi(e) - (a e + b) phi(e),
    taken between the roots.

    Examples
    --------
    >>> above, below = areas(1.0, 0.5)
    >>> above > 0 > below, round(above + below, 6)
    (True, 0.818147)
    """
    logvar = 2 * math.log(sigma)
    a, b, c = math.expm1(logvar) / 2, mu * sigma, (mu * mu - logvar) / 2
    positive = negative = before = 0.0
    for value in [*(_up_to(e, a, b, c) for e in _roots(a, b, c)), a + c]:
        positive += max(0.0, value - before)
        negative += min(0.0, value - before)
        before = value
    return positive, negative


class KLView(GaussianView):
    """The page's part of a `KLLab`."""

    _module = "gaussian/kl_lab.js"
    axis = traitlets.Unicode("z1").tag(sync=True)


class KLLab(GaussianPanel):
    """Move and stretch a Gaussian q = N(mu, diag(sigma^2)), and read its KL to the prior N(0, I).

    Drag mu, or sigma by the rings on the ellipse, or use the sliders. All numbers are computed in the page.
    Then choose a test image: q becomes the posterior that the trained encoder gives it.

    Parameters
    ----------
    model : VAE, optional
        With two latent dimensions; ``vw.pretrained("mnist-vae-2d")`` if None.
    images : Images or Tensor of shape (N, C, H, W), optional
        Their posteriors can be chosen. Without images those in the atlas of a pretrained model.
    mu, sigma : 2 numbers
        Where to start.
    axis, row
        See the attributes.
    **layout
        Traits of `VBox`.

    Attributes
    ----------
    mu, sigma : tuple of 2 floats
        The source of truth. Assign lists, arrays or tensors; observe them; link them to another panel's.
    axis : "z1" or "z2"
        The axis whose integrand is drawn.
    row : int or None
        The test image whose posterior q is; None once q has moved. Assign a row to take its posterior.
    kl, offset, shape : tuple of 2 floats
        KL of each axis, nats: kl = offset + shape.
    areas : tuple of 2 pairs of floats
        For each axis the areas of q ln(q/p) above and below zero, nats. Their sum is its kl.
    image : ndarray of shape (H, W) or (H, W, 3), uint8
        The decoded picture of mu.

    Raises
    ------
    ValueError, TypeError
        The model has no encoder or prior, or not two latent dimensions; images do not fit it; sigma is not
        positive; a keyword is misspelled.
    IndexError
        There is no such row.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> lab = vw.KLLab(mu=(2, 0), sigma=(1, 1))
    >>> lab.kl
    (2.0, 0.0)
    """

    axis = traitlets.Enum(["z1", "z2"], "z1")
    row = traitlets.Int(None, allow_none=True)

    def __init__(
        self,
        model: EncoderDecoder | None = None,
        images: Images | Tensor | None = None,
        *,
        mu: Sequence[float] = (1.0, 0.5),
        sigma: Sequence[float] = (0.5, 0.5),
        axis: str = "z1",
        row: int | None = None,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        self.choose_model(model)
        self._load_clouds(images)
        self.mu, self.sigma, self.axis = mu, sigma, axis
        reach = max(REACH, 1.05 * float(np.abs(self._mu).max(initial=0)))
        self.hold(
            partial(KLView, self.model), "mu", "sigma", "axis",
            points=self._mu.astype("<f4").tobytes(), reach=reach,
        )  # fmt: skip
        super().__init__([self.view, self._build_picker()], **layout)
        self.begin()
        self.observe(self._on_cloud, ["mu", "sigma"])
        self.observe(self._on_row, "row")
        self._show_row()
        self.row = row

    def __repr__(self) -> str:
        return (
            f"KLLab(mu={format_point(self.mu)}, sigma={format_point(self.sigma)}, kl={sum(self.kl):.4f} nats)"
        )

    @property
    def offset(self) -> tuple[float, float]:
        """The part of each axis's KL that mu costs, nats."""
        return self._of_both_axes(lambda m, s: parts(m, s)[0])

    @property
    def shape(self) -> tuple[float, float]:
        """The part of each axis's KL that sigma costs, nats."""
        return self._of_both_axes(lambda m, s: parts(m, s)[1])

    @property
    def kl(self) -> tuple[float, float]:
        """The KL of each axis, nats."""
        return self._of_both_axes(lambda m, s: sum(parts(m, s)))

    @property
    def areas(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """For each axis the areas of q ln(q/p) above and below zero, nats."""
        return self._of_both_axes(areas)

    @property
    def image(self) -> np.ndarray:
        """The decoded picture of mu, (H, W) or (H, W, 3) uint8."""
        return self.decode([self.mu])[0]

    def decoded_points(self) -> np.ndarray:
        """List mu and the points one sigma to its left, right, top and bottom, ndarray of shape (5, 2)."""
        (u, v), (s, t) = self.mu, self.sigma
        return np.array([[u, v], [u - s, v], [u + s, v], [u, v + t], [u, v - t]])

    def _of_both_axes(self, compute: Callable[[float, float], T]) -> tuple[T, T]:
        (m, n), (s, t) = self.mu, self.sigma
        return compute(m, s), compute(n, t)

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int | None:
        if proposal.value is not None and not 0 <= proposal.value < len(self._mu):
            raise IndexError(
                f"row {proposal.value} is not there: this lab has {len(self._mu)} images, counted from 0."
            )
        return proposal.value

    # -- the clouds of real images --------------------------------------------------------------

    def _load_clouds(self, images) -> None:
        """Set mu and logvar (ndarrays of shape (N, 2)) and labels, from the images or from the atlas."""
        self._codes = codes = Encoded.of(self.model, images, getattr(self.model, "atlas", None))
        self._mu, self._labels = codes.mu.astype(float), codes.labels
        self._logvar = np.zeros_like(self._mu) if codes.logvar is None else codes.logvar.astype(float)

    def _original(self) -> np.ndarray | None:
        """Return the chosen image, or None where its dataset is not on this machine."""
        image = None if self.row is None else self._codes.original(self.row)
        return None if image is None else to_uint8(image)

    def _build_picker(self) -> widgets.Widget:
        count = len(self._mu)
        labels = [] if self._labels is None else sorted(set(self._labels.tolist()))
        self.label = widgets.Dropdown(
            options=[("any", -1), *((self._codes.classes[label], label) for label in labels)],
            description="digit" if stated_dataset(self.model) in ("mnist", "digits") else "label",
            disabled=not labels,
            layout=dict(width="150px"), style=dict(description_width="44px"),
        )  # fmt: skip
        self.number = widgets.BoundedIntText(
            0, min=0, max=max(0, count - 1), description="row", disabled=not count,
            layout=dict(width="140px"), style=dict(description_width="32px"),
        )  # fmt: skip
        self.another = button("another", "random", "The next test image of this label", "104px")
        self.nearest = button("nearest to mu", "crosshairs", "The test image whose mean is nearest", "140px")
        for control in (self.another, self.nearest):
            control.disabled = not count
        self.listen(self.label, lambda _: self._take_next(0))
        self.listen(self.number, lambda row: self.set_trait("row", row))
        self.press(self.another, lambda: self._take_next(1))
        self.press(self.nearest, self._take_nearest)
        self.original = ImageCanvas(display_width=56)
        self.pays = widgets.HTML()
        controls = [self.label, self.number, self.another, self.nearest]
        self.picker = widgets.HBox(
            [
                widgets.VBox(
                    [
                        widgets.HTML(
                            note_html("What a real image pays: the encoder's cloud of a test image.")
                        ),
                        widgets.HBox(controls, layout=dict(flex_flow="row wrap", align_items="center")),
                        self.pays,
                    ]
                ),
                self.original,
            ],
            layout=dict(grid_gap="18px", align_items="center"),
        )
        return self.picker

    def _take_next(self, step: int) -> None:
        """Choose the first image with the chosen label from `step` rows after the current one on."""
        start = 0 if self.row is None else self.row + step
        rows = (start + np.arange(len(self._mu))) % max(1, len(self._mu))
        if self._labels is not None and self.label.value >= 0:
            rows = rows[self._labels[rows] == self.label.value]
        self.row = int(rows[0])

    def _take_nearest(self) -> None:
        distances = np.square(self._mu - self.mu).sum(1)
        if self._labels is not None and self.label.value >= 0:
            distances[self._labels != self.label.value] = np.inf
        self.row = int(distances.argmin())

    def _cloud_of(self, row: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        return tuple(self._mu[row].tolist()), tuple(np.exp(self._logvar[row] / 2).tolist())

    def _on_cloud(self, _) -> None:
        if self.row is not None and (self.mu, self.sigma) != self._cloud_of(self.row):
            self.row = None

    def _on_row(self, change) -> None:
        with self.report(from_page=False):
            if change.new is not None:
                # In one message: an observer must not see the mu of one image with the sigma of another.
                with self.view.hold_sync(), self.hold_trait_notifications():
                    self.mu, self.sigma = self._cloud_of(change.new)
                self.number.value = change.new
            self._show_row()

    def _show_row(self) -> None:
        if not len(self._mu):
            self.pays.value = note_html(f"This {type(self.model).__name__} carries no encoded images.")
            return
        mean = kl(torch.from_numpy(self._mu), torch.from_numpy(self._logvar)).sum(1).mean()
        average = f"The {len(self._mu):,} images pay {mean:.4f} nats on average."
        original = None
        if self.row is None:
            text = f"No image chosen. {average}"
        else:
            label = (
                "" if self._labels is None else f", labelled {self._codes.classes[self._labels[self.row]]}"
            )
            nats = sum(self.kl)
            text = f"Image {self.row}{label}, pays {nats:.4f} nats = {nats / math.log(2):.4f} bits. {average}"
            original = self._original()
        self.pays.value = note_html(text, "state")
        self.original.layout.display = "none" if original is None else None
        if original is not None:
            self.original.show(original, f"test image {self.row}")


def _roots(a: float, b: float, c: float) -> list[float]:
    """Solve a e^2 + b e + c = 0 in real numbers, in order, without cancellation."""
    square = b * b - 4 * a * c
    if square < 0:
        return []
    larger = -(b + math.copysign(math.sqrt(square), b)) / 2
    roots = [c / larger] if larger else []
    if a:
        roots.append(larger / a)
    return sorted(e for e in roots if math.isfinite(e))


def _up_to(e: float, a: float, b: float, c: float) -> float:
    """Integrate the quadratic under the standard normal density from minus infinity to e."""
    density = math.exp(-e * e / 2) / math.sqrt(2 * math.pi)
    return (a + c) * math.erfc(-e / math.sqrt(2)) / 2 - (a * e + b) * density
