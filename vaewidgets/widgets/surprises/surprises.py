"""Surprises: the images of a set in the order of falling nats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np
import torch.nn.functional as F
import traitlets
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.evaluation.metrics import held_out_elbo
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.widgets._core.encoded import Encoded, check_decodes, decode_points, name_of
from vaewidgets.widgets._core.image_pair import ImagePair
from vaewidgets.widgets._core.model_lock import follow, model_lock
from vaewidgets.widgets._core.page_module import PageModule
from vaewidgets.widgets._core.panel import Panel, note_html

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Trainable

#: Number of images in the strip, and of images by which it moves, so that a clicked image stays in it.
STRIP, STEP = 12, 6
BINS = 60
#: Largest width and height of an image in the strip, in screen pixels. Larger images are averaged down.
THUMB = 60


class SurprisesView(PageModule):
    """The strip of images and the histogram, drawn in the page.

    Attributes
    ----------
    rank : int
        That of the panel.
    nats : bytes
        Nats of every image, float32, in falling order.
    edges, counts : list
        The histogram of the nats.
    start : int
        Rank of the first image of the strip.
    thumbs : bytes
        Pixels of its images, one after the other, each of shape `size`, (H, W, channels).
    names : list of str
        Text below each of them.
    axis : str
        The measured quantity with its unit.
    room, far : int
        Screen pixels for an image of the strip, and the ranks that an arrow key with Shift moves.
    """

    _module = "surprises/surprises.js"
    rank = traitlets.Int(0).tag(sync=True)
    nats = traitlets.Bytes().tag(sync=True)
    edges = traitlets.List(traitlets.Float()).tag(sync=True)
    counts = traitlets.List(traitlets.Int()).tag(sync=True)
    start = traitlets.Int(0).tag(sync=True)
    thumbs = traitlets.Bytes().tag(sync=True)
    size = traitlets.List(traitlets.Int()).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    axis = traitlets.Unicode().tag(sync=True)
    room = traitlets.Int(THUMB).tag(sync=True)
    far = traitlets.Int(STRIP).tag(sync=True)


class Surprises(Panel):
    """The images of a set by the nats that they cost a model, most first: odd, broken or mislabelled ones.

    The nats are minus the ELBO with one sample of z, see `vaewidgets.elbo`: reconstruction plus KL. For an
    autoencoder they are minus log p(x|z), which is no bound. An image with many nats is rare, broken or drawn
    in another way. Whether it is *wrong* only a person can tell.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
        A conditional model is given the label of each image, so that a wrong label costs many nats.
    images : Images or Tensor of shape (N, C, H, W)
        In [0, 1], of the model's shape. Labels are shown by their names.
    rank : int
        The image to begin with.
    seed : int
        Seed of the noise in the sample: the same seed gives the same numbers.
    **layout
        Traits of `VBox`.

    Attributes
    ----------
    rank : int
        The source of truth: the rank of the image that is shown, 0 for the most nats.
    index : int
        Its row in the set.
    nats : ndarray of shape (N,)
        Minus the ELBO of each image, nats, in the order of the set: `reconstruction` + `kl`.
    reconstruction, kl : ndarray of shape (N,)
        Minus log p(x|z), and the KL summed over dimensions (0 for an autoencoder), nats.
    order : ndarray of shape (N,)
        Rows of the set in the order of falling nats.
    view : SurprisesView
        The part that the page draws.

    Raises
    ------
    ValueError, TypeError
        The images do not fit the model; the model has no encoder or likelihood, or has diverged; a
        conditional model has no labels; there is no such rank; a keyword is misspelled.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> panel = vw.Surprises(vw.pretrained("digits-vae-2d"), vw.load_data("digits").test)
    >>> panel.rank = 3
    >>> bool(panel.nats[panel.index] == sorted(panel.nats)[-4])
    True
    """

    rank = traitlets.Int(0)

    def __init__(
        self,
        model: Trainable,
        images: Images | Tensor,
        *,
        rank: int = 0,
        seed: int = 0,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        check_decodes(model, "Surprises")
        for name in ("encode", "decode_parameters", "likelihood"):
            if not hasattr(model, name):
                raise TypeError(
                    f"Surprises measures log p(x|z), so its model needs {name}, as a VAE and an Autoencoder "
                    f"have it; {type(model).__name__} has none."
                )
        self.model, self.seed, self._lock = model, seed, model_lock(model)
        self.images = images if isinstance(images, Images) else Images(images)
        is_conditional = isinstance(model, ConditionalVAE)
        #: Labels that the model is given.
        self._labels = self.images.labels if is_conditional else None
        if is_conditional and self._labels is None:
            raise ValueError("a conditional model encodes an image with its label: give Images with labels.")

        self.slider = widgets.IntSlider(
            min=0, max=len(self.images) - 1, description="rank", layout=dict(width="480px")
        )
        self.listen(self.slider, lambda rank: self.set_trait("rank", rank))
        self.again = widgets.Button(
            description="measure again", icon="refresh", tooltip="With the weights of this moment",
            layout=dict(width="140px"),
        )  # fmt: skip
        self.press(self.again, self.measure)
        height, width = self.images.images.shape[2:]
        self.pair = ImagePair((height, width), 160)
        self.view = SurprisesView()
        self.listen(self.view, lambda rank: self.set_trait("rank", rank), "rank")
        # Beside the images where there is room for a line of text.
        self.state, self.stale = widgets.HTML(layout=dict(flex="1 1 260px")), widgets.HTML()
        row = dict(align_items="center", flex_flow="row wrap", grid_gap="10px")
        super().__init__(
            [
                widgets.HBox([self.slider, self.again, self.stale], layout=row),
                widgets.HBox([self.pair, self.state], layout=row),
                self.view,
            ],
            **layout,
        )
        self.rank = rank
        self.measure()
        self.observe(self._on_rank, "rank")
        follow(model, self)

    def __repr__(self) -> str:
        return f"Surprises(images={len(self.images)}, rank={self.rank})"

    @traitlets.validate("rank")
    def _check_rank(self, proposal) -> int:
        if not 0 <= proposal.value < len(self.images):
            raise ValueError(f"rank must be from 0 to {len(self.images) - 1}; got {proposal.value}.")
        return proposal.value

    @property
    def index(self) -> int:
        """Row in the set of the image with this rank."""
        return int(self.order[self.rank])

    def measure(self) -> None:
        """Compute the nats of every image with the present weights. The rank stays.

        Raises
        ------
        ValueError
            The nats of an image are not finite, because the weights have diverged.
        """
        with self.report(from_page=False), self._lock:
            codes = Encoded.of(self.model, self.images)
            terms = held_out_elbo(self.model, self.images.images, labels=self._labels, seed=self.seed)
            parts = -terms.reconstruction, terms.kl.sum(1), -terms.total
            reconstruction, kl, nats = (part.double().cpu().numpy() for part in parts)
            wrong = int((~np.isfinite(nats)).sum())
            if wrong:
                raise ValueError(
                    f"the model gives {wrong:,} of {len(nats):,} images nats that are not finite: "
                    "its weights have diverged. Load or train it again."
                )
            self._codes, self.reconstruction, self.kl, self.nats = codes, reconstruction, kl, nats
            self.order = np.argsort(-nats, kind="stable")
            counts, edges = np.histogram(nats, BINS)
            with self.view.hold_sync():
                self.view.nats = nats[self.order].astype("<f4").tobytes()
                self.view.counts, self.view.edges = counts.tolist(), edges.tolist()
                self.view.axis = f"{self._quantity}, nats per image (median {np.median(nats):.2f})"
            self.stale.value = ""
            self._on_rank()

    def weights_changed(self) -> None:
        """Show that the numbers are of earlier weights: another panel trains the model."""
        self.stale.value = note_html("The model has been trained since.")

    @property
    def _quantity(self) -> str:
        return "minus ELBO" if getattr(self.model, "has_prior", True) else "minus log p(x|z)"

    def _on_rank(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            row = self.index
            label = None if self._labels is None else self._labels[row : row + 1]
            reconstruction = decode_points(self.model, self._codes.mu[row : row + 1], label)[0]
            self.slider.value = self.rank
            self.pair.show(self.images.images[row], reconstruction, f"image {row}")
            self._show_strip()
            name = name_of(self._codes, row)
            split = f" = reconstruction {self.reconstruction[row]:.2f} + KL {self.kl[row]:.2f} nats"
            self.state.value = note_html(
                f"Rank {self.rank} of {len(self.images):,}, 0 being the most surprising: image {row}"
                + (f", labelled {name}" if name else "")
                + f": {self._quantity} {self.nats[row]:.2f} nats"
                + (split if self._quantity == "minus ELBO" else "")
                + ".",
                "state",
            )

    def _show_strip(self) -> None:
        start = min(max(0, self.rank // STEP * STEP - STEP // 2), max(0, len(self.images) - STRIP))
        rows = self.order[start : start + STRIP]
        images = self.images.images[rows]
        longer = max(images.shape[2:])
        if longer > THUMB:
            size = [max(1, round(side * THUMB / longer)) for side in images.shape[2:]]
            images = F.interpolate(images, size, mode="area")
        with self.view.hold_sync():
            self.view.rank, self.view.start = self.rank, start
            self.view.size = [*images.shape[2:], images.shape[1]]
            self.view.names = [name_of(self._codes, row) or f"image {row}" for row in rows]
            self.view.thumbs = to_uint8(tile(images, columns=1)).tobytes()
