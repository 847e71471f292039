"""Traverse: move along the dimensions of a latent space of many, and between two images in it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import ipywidgets as widgets
import numpy as np
import torch
import traitlets
from numpy.typing import ArrayLike
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation.holes import TAU, confidence_of, interpolate
from vaewidgets.evaluation.metrics import encode_all
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import Posterior
from vaewidgets.widgets._core.encoded import Encoded, check_decodes, decode_points
from vaewidgets.widgets._core.model_lock import follow, model_lock
from vaewidgets.widgets._core.panel import Panel, note_html
from vaewidgets.widgets._core.traits import Bounded, Latent

from .dimensions import Dimensions
from .image_chooser import ImageChooser, next_row
from .traverse_view import FILM, KINDS, POINTS, STRIP, STRIP_REACH, TraversalView

if TYPE_CHECKING:
    from vaewidgets.models.protocols import ImageModel, Judge, Trainable


class Traverse(Panel):
    """A slider for every latent dimension, most used first; a strip along one; two ways from A to B.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE, of two latent dimensions or more
        With a conditional model the label is a control too: the same z, another class. An autoencoder has no
        KL and no prior: its dimensions are sorted by the spread of its codes.
    images : Images or Tensor of shape (N, C, H, W), optional
        Encoded; with labels for a conditional model. Without them the atlas of a pretrained model is used.
    judge : Classifier, optional
        It is asked about the picture at every point of both paths. Below .9 the point is a hole.
    row : int
        The image to begin with.
    **traits
        The attributes z, label, dimension, a, b and t to begin with, or traits of `VBox`.

    Attributes
    ----------
    z : tuple of d floats
        The latent point that is decoded. Assign a list, array or tensor, observe it, or link it.
    row : int
        The chosen image. Choosing one sets z to its mu, and the label to its own.
    label : int or None
        The label that a conditional model is given; None for other models.
    dimension : int
        Index into z, from 0, of the dimension that the strip runs along.
    a, b : tuple of d floats
        The ends of both paths.
    t : float
        The place on both paths: 0 is a, 1 is b.
    kl : ndarray of shape (d,) or None
        Mean KL of each dimension over the images, nats; None for an autoencoder.
    order : list of int
        The dimensions in the order of falling KL, or for an autoencoder of falling spread.
    dead : list of int
        Dimensions that tell nothing of an image: a mean KL below .01 nat, or a variance of mu below .01.
    image : ndarray of shape (H, W) or (H, W, 3), uint8
        The picture of z.
    view : TraversalView
        The part that the page draws.

    Raises
    ------
    ValueError, TypeError
        The model does not decode, or has a single dimension; there are neither images nor an atlas; images
        or judge do not fit the model; a keyword is misspelled.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(3, (1, 6, 5), hidden=(8,), seed=0)
    >>> panel = vw.Traverse(model, torch.zeros(4, 1, 6, 5), z=(1, 2, 3), dimension=1)
    >>> panel
    Traverse(latent_dim=3, row=0, dimension=1)
    >>> panel.strip()[[0, 6, 12]].tolist()
    [[1.0, -3.0, 3.0], [1.0, 0.0, 3.0], [1.0, 3.0, 3.0]]
    """

    z = Latent()
    row = traitlets.Int(0)
    label = traitlets.Int(None, allow_none=True)
    dimension = traitlets.Int(0)
    a = Latent()
    b = Latent()
    t = Bounded(0.5, 0.0, 1.0)

    def __init__(
        self,
        model: ImageModel,
        images: Images | Tensor | None = None,
        *,
        judge: Judge | None = None,
        row: int = 0,
        **traits: Any,
    ) -> None:
        self.check_keywords(traits)
        check_decodes(model, "Traverse")
        if model.latent_dim < 2:
            raise ValueError("Traverse holds other dimensions while one moves; this model has only one.")
        self.model, self.latent_dim, self._lock = model, model.latent_dim, model_lock(model)
        self._has_prior = getattr(model, "has_prior", True)
        self._load_codes(images)
        self._dimensions = Dimensions.of(self._codes, self._has_prior)
        self.kl, self.order, self.dead = self._dimensions.kl, self._dimensions.order, self._dimensions.dead
        self._check_judge(judge)

        self.row = row
        self.z = self.a = self.mu[row]
        of_another = next_row(row, len(self.mu), lambda r: self._label_of(r) != self._label_of(row))
        self.b = self.mu[of_another]
        self.label = self._label_of(row) if self.classes else None
        self.dimension = self.order[0]
        own = ("z", "label", "dimension", "a", "b", "t")
        for name in own:
            if name in traits:
                setattr(self, name, traits.pop(name))

        self._build_chooser()
        self.view = TraversalView(
            model, self._names, judge,
            dimensions=self._dimensions.describe(), prior=self._has_prior,
        )  # fmt: skip
        for name in own:
            self.listen(self.view, lambda value, name=name: self._on_view(name, value), name)
        self.listen(self.view, self.draw_ends, "draws")
        self.where, self.state = widgets.HTML(), widgets.HTML()
        super().__init__([self.chooser, self.state, self.view, self.where], **traits)
        self.observe(self._on_row, "row")
        self.observe(self._on_point, ["z", "label", "dimension"])
        self.observe(self._on_paths, ["a", "b", "label"])
        self.observe(self._on_t, "t")
        self._show_row()
        self._on_point()
        self._on_paths()
        follow(model, self)

    def __repr__(self) -> str:
        label = "" if self.label is None else f", label={self.label}"
        return f"Traverse(latent_dim={self.latent_dim}, row={self.row}{label}, dimension={self.dimension})"

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        if not 0 <= proposal.value < len(self.mu):
            raise ValueError(f"row must be from 0 to {len(self.mu) - 1}; got {proposal.value}.")
        return proposal.value

    @traitlets.validate("dimension")
    def _check_dimension(self, proposal) -> int:
        if not 0 <= proposal.value < self.latent_dim:
            raise ValueError(
                f"dimension is an index into z, from 0 to {self.latent_dim - 1}; got {proposal.value}."
            )
        return proposal.value

    @traitlets.validate("label")
    def _check_label(self, proposal) -> int | None:
        label = proposal.value
        if not self.classes and label is not None:
            raise ValueError(
                f"a {type(self.model).__name__} takes no label; got {label}. A ConditionalVAE does."
            )
        if self.classes and (label is None or not 0 <= label < self.classes):
            raise ValueError(f"label must be from 0 to {self.classes - 1}; got {label}.")
        return label

    @property
    def image(self) -> np.ndarray:
        """The picture of z, (H, W) or (H, W, 3) uint8, decoded when this is read."""
        return to_uint8(self._decode([self.z])[0])

    def strip(self) -> np.ndarray:
        """Compute the points of the strip along `dimension`, ndarray of shape (13, d).

        They go from -3 to 3 standard deviations of the prior, or of an autoencoder's codes.
        """
        points = np.tile(np.array(self.z), (STRIP, 1))
        k = self.dimension
        steps = np.linspace(-STRIP_REACH, STRIP_REACH, STRIP)
        points[:, k] = self._dimensions.centre[k] + self._dimensions.spread[k] * steps
        return points

    def path(self, kind: str = "line") -> np.ndarray:
        """Compute the points of a path from a to b, ndarray of shape (41, d).

        Parameters
        ----------
        kind : str
            "line" or "great-circle", see `vaewidgets.holes.interpolate`.

        Raises
        ------
        ValueError
            There is no such kind.
        """
        return self._between(kind, np.linspace(0, 1, POINTS))

    def _between(self, kind: str, t) -> np.ndarray:
        a, b, t = (torch.tensor(values, dtype=torch.float64) for values in (self.a, self.b, t))
        return interpolate(a, b, t, kind).numpy()

    def confidence(self, kind: str = "line") -> np.ndarray:
        """Compute the judge's best class probability at each point of a path, ndarray of shape (41,).

        The kind is "line" or "great-circle", as in `path`.

        Raises
        ------
        ValueError
            There is no judge.
        """
        if self.judge is None:
            raise ValueError("this panel has no judge: vw.Traverse(model, judge=...) takes a Classifier.")
        pictures = self._decode(self.path(kind))
        with model_lock(self.judge):
            return confidence_of(self.judge, pictures).double().numpy()

    def holes(self, kind: str = "line") -> float:
        """Compute the share of the 41 points of a path of this kind at which the judge gives less than .9."""
        return float((self.confidence(kind) < TAU).mean())

    def set_ends(self, a: int | ArrayLike | Tensor, b: int | ArrayLike | Tensor) -> None:
        """Set the ends of both paths.

        Parameters
        ----------
        a, b : int or array of shape (d,)
            The row of an image, which stands for its mu, or a latent point.

        Raises
        ------
        IndexError
            There is no such row.
        ValueError
            A point has not d values.
        """
        check = type(self).z.validate
        a, b = (check(self, self.mu[self._check_end(end)] if isinstance(end, int) else end) for end in (a, b))
        with self.hold_trait_notifications():
            self.a, self.b = a, b

    def draw_ends(self, seed: int) -> None:
        """Draw both ends from the prior N(0, I). The same seed gives the same ends.

        Raises
        ------
        ValueError
            The model has no prior.
        """
        if not self._has_prior:
            raise ValueError(f"a {type(self.model).__name__} has no prior to draw from.")
        self.set_ends(*torch.randn(2, self.latent_dim, generator=torch.Generator().manual_seed(seed)))

    def weights_changed(self) -> None:
        """Decode with the present weights: another panel trains the model."""
        with self._lock:
            self.view.refresh(self.model)
            self._show_row()
            self._on_point()
            self._on_paths()

    # -- what the model says --------------------------------------------------------------------

    def _load_codes(self, images) -> None:
        """Set mu (ndarray (N, d)), logvar and labels from the images, or from the model's atlas."""
        own = [(name, getattr(self.model, name, None)) for name in ("atlas", "train_atlas")]
        name, atlas = next((pair for pair in own if pair[1] is not None), ("", None))
        self._kind = "training image" if images is None and name == "train_atlas" else "image"
        if images is None and atlas is None:
            raise ValueError(
                "Traverse begins at the mu of an image: give images, vw.Traverse(model, data.test), or a "
                "model with an atlas, as pretrained ones have."
            )
        self.classes = self.model.classes if isinstance(self.model, ConditionalVAE) else 0
        if self.classes and getattr(atlas if images is None else images, "labels", None) is None:
            raise ValueError("a conditional model encodes an image with its label: give Images with labels.")
        self._given = images is not None
        self._codes = codes = Encoded.of(self.model, images, atlas)
        self.mu, self.logvar, self.labels = codes.mu, codes.logvar, codes.labels
        # Every class of a conditional model is shown, also those that no image has.
        self._names = [*codes.classes[: self.classes], *map(str, range(len(codes.classes), self.classes))]

    def _decode(self, points, labels=None) -> torch.Tensor:
        """Decode points (N, d), with the present label or `labels`, to images (N, C, H, W) on the CPU."""
        if self.classes and labels is None:
            labels = [self.label] * len(points)
        return decode_points(self.model, points, labels if self.classes else None)

    def _label_of(self, row: int) -> int | None:
        return None if self.labels is None else int(self.labels[row])

    def _say_label(self, row: int) -> str:
        label = self._label_of(row)
        return "" if label is None else f", labelled {self._codes.classes[label]}"

    def _original(self, row: int) -> torch.Tensor | None:
        """Return the image behind a row, or None where its dataset is not on this machine."""
        image = self._codes.original(row)
        if image is None or self._given:
            return image
        # An atlas does not name its images, so they are encoded. Its codes are stored with three digits.
        labels = torch.tensor([self._label_of(row)]) if self.classes else None
        with self._lock:
            mu = encode_all(cast("Trainable", self.model), image[None], labels=labels).mu[0].cpu().numpy()
        same = np.allclose(mu, self.mu[row], atol=0.02 * max(1, self._dimensions.spread.max()))
        return image if same else None

    def _check_judge(self, judge) -> None:
        self.judge = judge
        self._shape = tuple(self.model.image_shape)
        if judge is None:
            return
        if not callable(getattr(judge, "confidence", None)):
            raise TypeError(
                f"judge must have confidence(x), as a Classifier has; got {type(judge).__name__}."
            )
        shape = tuple(getattr(judge, "image_shape", self._shape))
        if shape != self._shape:
            raise ValueError(f"the judge takes images of shape {shape}; this model decodes {self._shape}.")
        if self.classes and judge.classes != self.classes:
            raise ValueError(
                f"the judge knows {judge.classes} classes; this model is told one of {self.classes}."
            )

    def _check_end(self, row: int) -> int:
        if not 0 <= row < len(self.mu):
            raise IndexError(f"row {row} is not among the {len(self.mu)} images.")
        return row

    # -- choosing an image ----------------------------------------------------------------------

    def _build_chooser(self) -> None:
        size = self._shape[1], self._shape[2]
        self.chooser = chooser = ImageChooser(len(self.mu), self.labels, self._codes.classes, size)
        self.wanted, self.row_box = chooser.wanted, chooser.row_box
        self.another, self.back = chooser.another, chooser.back
        self.original, self.reconstruction = chooser.pair.original, chooser.pair.reconstruction
        self.details = chooser.details
        self.listen(self.row_box, lambda row: self.set_trait("row", row))
        self.listen(self.wanted, self._on_wanted)
        self.press(self.another, lambda: self.set_trait("row", chooser.next(self.row)))
        self.press(self.back, self._go_to_row)

    def _on_wanted(self, _) -> None:
        if not self.chooser.is_wanted(self.row):
            self.row = self.chooser.next(self.row)

    def _go_to_row(self) -> None:
        with self.hold_trait_notifications():
            self.z = self.mu[self.row]
            if self.classes:
                self.label = self._label_of(self.row)

    # -- the page and the traits ----------------------------------------------------------------

    def _on_view(self, name: str, value) -> None:
        self.set_trait(name, None if name == "label" and value < 0 else value)

    def _on_row(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self._show_row()
            self._go_to_row()

    def _show_row(self) -> None:
        self.row_box.value = self.row
        own = [self._label_of(self.row)] if self.classes else None
        reconstruction = self._decode(self.mu[self.row : self.row + 1], own)[0]
        original = self._original(self.row)
        self.chooser.pair.show(original, reconstruction, f"image {self.row}")
        text = f"{self._kind.capitalize()} {self.row}" + self._say_label(self.row)
        if self.logvar is not None:
            q = Posterior(*(torch.from_numpy(table[self.row]) for table in (self.mu, self.logvar)))
            text += f": KL = {q.kl().sum():.2f} nats"
        if original is None:
            text += ". Its own picture is not on this machine: the reconstruction stands for it"
        self.details.value = note_html(f"{text}.")

    def _on_point(self, _=None) -> None:
        with self.report(from_page=False), self._lock, self.view.hold_sync():
            self.view.z, self.view.dimension = list(self.z), self.dimension
            self.view.label = -1 if self.label is None else self.label
            if self.view.reason:
                tiles = {"z": self._decode([self.z]), "strip": self._decode(self.strip())}
                if self.classes:
                    every = list(range(self.classes))
                    tiles["labels"] = self._decode(np.tile(self.z, (self.classes, 1)), every)
                self._send_tiles(tiles)
            by = f"by the kernel: {self.view.reason}" if self.view.reason else "in this page."
            self.where.value = note_html(f"Every picture is decoded {by}")
            self.state.value = note_html(self._describe_point(), "state")

    def _describe_point(self) -> str:
        d, k = self.latent_dim, self.dimension
        text = f"z{k + 1} = {self.z[k]:.2f}; the norm of z is {math.hypot(*self.z):.2f}"
        if self._has_prior:
            text += f" (draws from the prior lie near sqrt({d}) = {math.sqrt(d):.2f})"
        alive = d - len(self.dead)
        return f"{text}. Dimensions that tell images apart: {alive} of {d}."

    def _on_paths(self, _=None) -> None:
        with self.report(from_page=False), self._lock, self.view.hold_sync():
            self.view.a, self.view.b = list(self.a), list(self.b)
            self.view.ends = f"A is {self._name(self.a)}; B is {self._name(self.b)}."
            if self.judge is not None and (self.view.reason or self.view.judge_reason):
                self.view.confidence = {kind: self.confidence(kind).tolist() for kind in KINDS}
            if self.view.reason:
                self._send_tiles(
                    {kind: self._decode(self.path(kind)[:: (POINTS - 1) // (FILM - 1)]) for kind in KINDS}
                )
            self._on_t()

    def _on_t(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self.view.t = self.t
            if self.view.reason:
                here = [self._between(kind, [self.t])[0] for kind in KINDS]
                self._send_tiles({"at": self._decode(here)})

    def _send_tiles(self, tiles: dict) -> None:
        pixels = {name: (x.clamp(0, 1) * 255).round().byte().numpy().tobytes() for name, x in tiles.items()}
        self.view.tiles = {**self.view.tiles, **pixels}

    def _name(self, point) -> str:
        """Name the image whose mu a point is, or the norm of another point."""
        rows = np.flatnonzero((self.mu == np.array(point, self.mu.dtype)).all(1))
        if not len(rows):
            return f"a point of norm {math.hypot(*point):.2f}"
        return f"{self._kind} {rows[0]}" + self._say_label(rows[0])
