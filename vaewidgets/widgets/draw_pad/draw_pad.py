"""DrawPad: draw a digit, and see where the encoder puts it and what the decoder makes of that."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from numpy.typing import ArrayLike
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.models.vae import in_eval_mode
from vaewidgets.widgets._core.browser_network import PageNetwork
from vaewidgets.widgets._core.drawing import Drawing, frame_of
from vaewidgets.widgets._core.encoded import Encoded, device_of
from vaewidgets.widgets._core.model_lock import follow, model_lock
from vaewidgets.widgets._core.panel import Panel, bundle, format_point, note_html, read_styles, title
from vaewidgets.widgets._core.plane import Plane
from vaewidgets.widgets._core.plotly import FigureWidget
from vaewidgets.widgets._map.figure import map_figure, move_points, prior_circles, set_axes, span

if TYPE_CHECKING:
    from vaewidgets.models.protocols import ImageModel

#: Codes that vote on what was drawn.
NEIGHBOURS = 10


class Vote(NamedTuple):
    """What the neighbours of a drawing's code say.

    Attributes
    ----------
    label : int
        The class that most of them have, the first of those where several do.
    count, of : int
        How many have it, of how many.
    """

    label: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a vote
    of: int


class Pad(PageNetwork):
    """The pad in the page: strokes, the image made of them, and what the model makes of that.

    Attributes
    ----------
    strokes : list of dict
        ``width`` and ``points``, in widths of the pad from its top left corner.
    pixels : bytes
        The image, float32; empty where nothing is drawn.
    answer : dict
        ``mu``, ``logvar`` and ``reconstruction`` where the page cannot encode.
    """

    _esm = bundle("draw_pad/draw_pad.js")
    _css = read_styles("draw_pad/draw_pad.css")
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    frame = traitlets.List(traitlets.Float()).tag(sync=True)
    prior = traitlets.Bool(True).tag(sync=True)
    codes = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    strokes = traitlets.List(traitlets.Dict()).tag(sync=True)
    # Buffers come from the page as views of a message.
    pixels = traitlets.Bytes().tag(sync=True, from_json=lambda value, _: bytes(value))
    answer = traitlets.Dict().tag(sync=True)


class DrawPad(Panel):
    """Draw a digit with mouse, touch, pen or keyboard: its mu and ellipses on the map, its reconstruction.

    What is drawn is scaled and centred the way the images of MNIST were: ink in a box of 20 x 20 pixels, its
    centre of mass at the middle of 28 x 28; in proportion for other sizes.

    Parameters
    ----------
    model : VAE or Autoencoder
        Of images with one channel. Any object with ``latent_dim``, ``image_shape``, ``encode`` and ``decode``
        will do; what the page cannot run, the kernel encodes when a stroke ends.
    images : Images or Tensor of shape (N, 1, H, W), optional
        What the map shows, encoded. Without it the map shows the atlas that a pretrained model carries,
        and is empty for a model without one.
    image : array or tensor of shape (H, W), optional
        What to begin with.
    frame : "mnist" or "digits", optional
        Whose way of placing the ink: "mnist", or "digits" for scikit-learn's, which fill the image. If None
        that of the data set in ``model.info``, and MNIST's where it names no other.

    Attributes
    ----------
    image : ndarray of shape (H, W), float32 in [0, 1], or None
        The source of truth: what was drawn, None where nothing is. Assign an array, a tensor or bytes;
        ``traitlets.link((pad, "image"), (other, "image"))`` links it.
    mu, sigma : tuple of d floats, or None
        The posterior of the image. Of an autoencoder mu is its code, and there is no sigma.
    kl : float or None
        KL(q(z|x) || N(0, I)) in nats.
    reconstruction : ndarray of shape (H, W), float32, or None
        What the decoder paints at mu.
    strokes : list of ndarray of shape (N, 2)
        The pen's way as it came, in widths of the pad from its top left corner; none where `image` was
        assigned.
    vote : Vote or None
        What the neighbours of mu on the map are labelled.
    figure : FigureWidget
        The map, an ordinary Plotly figure.

    Raises
    ------
    TypeError, ValueError
        A model that does not encode, or of more than one channel; an image that does not fit it; a misspelled
        keyword.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> pad = vw.DrawPad(vw.pretrained("mnist-vae-2d"))
    >>> pad
    DrawPad(latent_dim=2, empty)
    """

    image = Drawing()
    mu = traitlets.Tuple(default_value=None, allow_none=True, read_only=True)
    sigma = traitlets.Tuple(default_value=None, allow_none=True, read_only=True)

    def __init__(
        self,
        model: ImageModel,
        images: Images | Tensor | None = None,
        *,
        image: ArrayLike | Tensor | None = None,
        frame: str | None = None,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        _check_model(model)
        self.model, self.latent_dim, self._lock = model, model.latent_dim, model_lock(model)
        self.image_shape = tuple(model.image_shape)
        self._has_prior = getattr(model, "has_prior", True)
        self.kl: float | None = None
        self.reconstruction: np.ndarray | None = None
        self.vote: Vote | None = None
        self._answers = 0
        self._load_codes(images)
        self.plane = Plane.coordinates(self.latent_dim)
        self.pad = Pad(
            model, encoder=True, shape=list(self.image_shape[1:]), frame=frame_of(model, frame),
            prior=self._has_prior,
        )  # fmt: skip
        self._send_codes()
        self.listen(self.pad, self._on_drawn, "pixels")
        self._build_map()
        self.where = widgets.HTML()
        super().__init__(
            [
                widgets.HBox(
                    [widgets.VBox([title("Draw a digit"), self.pad, self.where]), self._map_box],
                    layout=dict(align_items="flex-start", flex_flow="row wrap", grid_gap="18px"),
                )
            ],
            **layout,
        )
        self.image = image
        self.observe(self._on_image, "image")
        self._on_image()
        follow(model, self)

    def __repr__(self) -> str:
        if self.mu is None:
            return f"DrawPad(latent_dim={self.latent_dim}, empty)"
        name = "mu" if self._has_prior else "z"
        return f"DrawPad(latent_dim={self.latent_dim}, {name}={format_point(self.mu)})"

    @property
    def strokes(self) -> list[np.ndarray]:
        """The pen's way of each stroke, (N, 2)."""
        return [np.array(stroke["points"], dtype=float) for stroke in self.pad.strokes]

    def clear(self) -> None:
        """Take the drawing away, as the button does."""
        self.image = None

    def weights_changed(self) -> None:
        """Encode with the weights of this moment: another panel trains the model."""
        with self._lock:
            self.pad.refresh()
            if self._images is not None:
                self._load_codes(self._images)
                move_points(self.figure, self._points())
                self._send_codes()
            self._on_image()

    # -- the map --------------------------------------------------------------------------------

    def _load_codes(self, images) -> None:
        """Set codes (ndarray (N, d)) and labels from the images, or from the model's atlas."""
        encoded = Encoded.of(self.model, images, getattr(self.model, "atlas", None))
        self._images, self.codes, self.labels = images, encoded.mu, encoded.labels
        self._names = encoded.classes

    def _send_codes(self) -> None:
        with self.pad.hold_sync():
            self.pad.names = list(self._names)
            self.pad.labels = b"" if self.labels is None else self.labels.astype("<i4").tobytes()
            self.pad.codes = self.codes.astype("<f4").tobytes()

    def _points(self) -> np.ndarray:
        return self.plane.project(self.codes)

    def _build_map(self) -> None:
        points = self._points()
        self._frame = span(points, np.zeros(2) if self._has_prior else None)
        circles = prior_circles(np.zeros(2)) if self._has_prior else []
        self.figure = FigureWidget(
            map_figure(points, self.labels, self.pad.names, self.plane.names, *self._frame, circles)
        )
        self.zoom = widgets.ToggleButton(
            description="zoom to the drawing", icon="search-plus", layout=dict(width="190px")
        )
        self.listen(self.zoom, lambda _: self._draw_axes())
        what = "mu" if self._has_prior else "the code z"
        count = f"{what} of {len(points):,} encoded images" if len(points) else "no encoded images to show"
        self._map_box = widgets.VBox([title(f"The map: {count}"), self.figure, self.zoom])

    def _draw_axes(self) -> None:
        """Show the whole map, or the drawing's cloud from close by."""
        centre, reach = self._frame
        if self.zoom.value and self.mu is not None:
            centre = self.plane.project(self.mu)
            reach *= 0.1
            if self.sigma is not None:
                reach = 6 * math.sqrt(self.plane.covariance(self.sigma).max())
        set_axes(self.figure, self.plane.names, centre, reach)

    # -- the image ------------------------------------------------------------------------------

    def _on_drawn(self, pixels: bytes) -> None:
        shape = self.image_shape[1:]
        self.image = np.frombuffer(pixels, "<f4").reshape(shape) if pixels else None

    def _on_image(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self.pad.refresh(pause=0.5)
            logvar = self._read()
            by = f"by the kernel: {self.pad.reason}" if self.pad.reason else "in this page"
            self.where.value = note_html(f"encoded {by}")
            pixels = b"" if self.image is None else self.image.astype("<f4").tobytes()
            with self.pad.hold_sync():
                if pixels != self.pad.pixels:
                    self.pad.strokes, self.pad.pixels = [], pixels
                if self.pad.reason:
                    self._answers += 1
                    self.pad.answer = {"serial": self._answers} | (
                        {} if self.mu is None or self.reconstruction is None else {
                            "mu": list(self.mu), "logvar": logvar,
                            "reconstruction": self.reconstruction.astype("<f4").tobytes(),
                        }
                    )  # fmt: skip
            if self.zoom.value:
                self._draw_axes()

    @in_eval_mode
    def _read(self) -> list[float] | None:
        """Encode and decode the image; return logvar."""
        if self.image is None:
            self.kl = self.reconstruction = self.vote = None
            self.set_trait("mu", None)
            self.set_trait("sigma", None)
            return None
        x = torch.from_numpy(np.asarray(self.image).copy())[None, None]
        q = self.model.encode(x.to(device_of(self.model)))
        mu, logvar = (q, None) if isinstance(q, torch.Tensor) else q
        decoded = self.model.decode(mu)
        if not mu.isfinite().all():
            raise ValueError("the encoder answers with numbers that are not finite: look at its weights.")
        self.kl = None if isinstance(q, torch.Tensor) else q.kl().sum().item()
        self.reconstruction = decoded[0, 0].cpu().numpy()
        self.vote = self._count_votes(mu[0].cpu().numpy())
        self.set_trait("sigma", None if isinstance(q, torch.Tensor) else tuple(q.sigma[0].tolist()))
        self.set_trait("mu", tuple(mu[0].tolist()))
        return None if logvar is None else logvar[0].tolist()

    def _count_votes(self, mu: np.ndarray) -> Vote | None:
        if self.labels is None or not len(self.codes):
            return None
        squares = np.square(self.codes.astype(float) - mu).sum(1)
        nearest = self.labels[np.argsort(squares, kind="stable")[:NEIGHBOURS]]
        label, count = min(Counter(nearest.tolist()).items(), key=lambda item: (-item[1], item[0]))
        return Vote(label, count, len(nearest))


def _check_model(model) -> None:
    for name in ("encode", "decode"):
        if not callable(getattr(model, name, None)):
            raise TypeError(
                f"DrawPad needs a model with encode and decode; {type(model).__name__} has no {name}."
            )
    shape = getattr(model, "image_shape", None)
    if shape is None or not isinstance(getattr(model, "latent_dim", None), int):
        raise TypeError(f"DrawPad needs a model with latent_dim and image_shape; got {type(model).__name__}.")
    if len(shape) != 3 or shape[0] != 1:
        raise ValueError(
            f"DrawPad draws in grey, images of shape (1, H, W); this model's have shape {tuple(shape)}."
        )
