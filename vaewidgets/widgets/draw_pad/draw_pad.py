"""DrawPad: draw a digit, and see its code on the map and its reconstruction."""

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
from vaewidgets.widgets._core.panel import Panel, format_point, note_html, title
from vaewidgets.widgets._core.plane import Plane
from vaewidgets.widgets._core.plotly import FigureWidget
from vaewidgets.widgets._map.figure import map_figure, move_points, prior_circles, set_axes, span

if TYPE_CHECKING:
    from vaewidgets.models.protocols import ImageModel

#: Number of codes that vote on the label of a drawing, as in board.js.
NEIGHBOURS = 10


class Vote(NamedTuple):
    """The most frequent label among the neighbours of a drawing's code.

    Attributes
    ----------
    label : int
        The most frequent class; of several the first.
    count, of : int
        The number of neighbours with this label, and of all.
    """

    label: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody wants of a vote
    of: int


class Pad(PageNetwork):
    """The pad in the page: strokes, the image made of them, its code and its reconstruction.

    Attributes
    ----------
    strokes : list of dict
        ``width`` and ``points``, in widths of the pad from its top left corner.
    pixels : bytes
        The image, float32; empty if nothing is drawn.
    answer : dict
        ``mu``, ``logvar`` and ``reconstruction``, from the kernel, where the page cannot encode.
    shape : list (H, W)
        Of the image.
    frame : list of 2 floats
        How the ink is placed, see `frame_of`.
    prior : bool
        Whether the model has a prior.
    codes, labels : bytes
        Codes on the map, float32 (N, d), and their labels, int32 (N,), or nothing.
    names : list of str
        The name of each label.
    """

    _module = "draw_pad/draw_pad.js"
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    frame = traitlets.List(traitlets.Float()).tag(sync=True)
    prior = traitlets.Bool(True).tag(sync=True)
    codes = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    strokes = traitlets.List(traitlets.Dict()).tag(sync=True)
    # A buffer from the page is a view of a message, so that it is copied.
    pixels = traitlets.Bytes().tag(sync=True, from_json=lambda value, _: bytes(value))
    answer = traitlets.Dict().tag(sync=True)


class DrawPad(Panel):
    """Draw a digit with mouse, touch, pen or keyboard; see its posterior on the map, and its reconstruction.

    The drawing is scaled and centred as the images of MNIST were: ink in a box of 20 x 20 pixels, its centre
    of mass at the middle of 28 x 28 pixels, and in proportion for other sizes.

    Parameters
    ----------
    model : VAE or Autoencoder
        Of images with one channel. Any object with ``latent_dim``, ``image_shape``, ``encode`` and ``decode``
        is allowed. If the page cannot run it, the kernel encodes when a stroke ends.
    images : Images or Tensor of shape (N, 1, H, W), optional
        Their codes are on the map. Without images the map shows the atlas of a pretrained model, or nothing.
    image : array or tensor of shape (H, W), optional
        The image to begin with.
    frame : "mnist" or "digits", optional
        How the ink is placed: as in MNIST, or as in scikit-learn's digits, which fill the image. If None, as
        in the data set that ``model.info`` names, or else as in MNIST.
    **layout
        Traits of `VBox`.

    Attributes
    ----------
    image : ndarray of shape (H, W), float32 in [0, 1], or None
        The source of truth: the drawing, None if nothing is drawn. Assign an array, a tensor or bytes;
        ``traitlets.link((pad, "image"), (other, "image"))`` links it.
    mu, sigma : tuple of d floats, or None
        The posterior of the image. For an autoencoder mu is the code, and sigma is None.
    kl : float or None
        KL(q(z|x) || N(0, I)) in nats.
    reconstruction : ndarray of shape (H, W), float32, or None
        The decoded image of mu.
    strokes : list of ndarray of shape (N, 2)
        The path of the pen in each stroke, in widths of the pad from its top left corner; empty if `image`
        was assigned.
    vote : Vote or None
        The label of the 10 nearest codes on the map, by majority.
    figure : FigureWidget
        The map, an ordinary Plotly figure.

    Raises
    ------
    TypeError, ValueError
        The model does not encode, or has more than one channel; the image does not fit it; a keyword is
        misspelled.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> pad = vw.DrawPad(vw.pretrained("digits-vae-2d"))
    >>> pad
    DrawPad(latent_dim=2, empty)
    >>> data = vw.load_data("digits").test
    >>> pad.image = data.images[0, 0]
    >>> pad.vote.of, bool(pad.vote.label == data.labels[0])
    (10, True)
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
        """The path of the pen in each stroke, ndarrays of shape (N, 2)."""
        return [np.array(stroke["points"], dtype=float) for stroke in self.pad.strokes]

    def clear(self) -> None:
        """Remove the drawing, as the button does."""
        self.image = None

    def weights_changed(self) -> None:
        """Encode with the present weights: another panel trains the model."""
        with self._lock:
            self.pad.refresh()
            if self._images is not None:
                self._load_codes(self._images)
                move_points(self.figure, self._points())
                self._send_codes()
            self._on_image()

    # -- the map --------------------------------------------------------------------------------

    def _load_codes(self, images) -> None:
        """Set codes (ndarray (N, d)), labels and names from the images, or from the model's atlas."""
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
        """Show the whole map, or a close view of the drawing's posterior."""
        centre, reach = self._frame
        if self.zoom.value and self.mu is not None:
            centre = self.plane.project(self.mu)
            reach *= 0.1
            if self.sigma is not None:
                reach = 6 * math.sqrt(self.plane.covariance(self.sigma).max())
        set_axes(self.figure, self.plane.names, centre, reach)

    # -- the image ------------------------------------------------------------------------------

    def _on_drawn(self, pixels: bytes) -> None:
        self.image = np.frombuffer(pixels, "<f4").reshape(self.image_shape[1:]) if pixels else None

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
