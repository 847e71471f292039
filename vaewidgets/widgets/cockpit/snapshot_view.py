"""The map, the reconstructions and the grid of a model in training, updated in place."""

from __future__ import annotations

from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
import torch

from vaewidgets.data.dataset import Images
from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.evaluation.metrics import encode_all
from vaewidgets.models.vae import eval_mode
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.panel import title
from vaewidgets.widgets._core.plane import REACH, Plane, plane_points
from vaewidgets.widgets._map.figure import code_range

from .live_figures import LiveMap

#: Images whose reconstruction and posterior are shown, and tiles along a side of the grid.
CHOSEN, TILES = 8, 12


class Frame(NamedTuple):
    """What the view shows of a model at one moment.

    Attributes
    ----------
    points : ndarray of shape (N, 2)
        Codes of the sample on the plane.
    covariances : ndarray of shape (M, 2, 2) or None
        Covariances of the chosen posteriors on the plane.
    reconstructions, tiles : ndarray of shape (H, W) or (H, W, 3), uint8
        The strip of reconstructions, and the grid.
    """

    points: np.ndarray
    covariances: np.ndarray | None
    reconstructions: np.ndarray
    tiles: np.ndarray


class TrainingView:
    """The map of a sample, a few images of it and their reconstructions, and the plane decoded.

    Parameters
    ----------
    model : VAE or Autoencoder
    sample : Images
        Shown on the map; a few of them as pictures.
    classes : sequence of str
        Names of the labels.

    Attributes
    ----------
    figure : FigureWidget
        The map.
    grid, originals, reconstructions : ImageCanvas
    across, up : Dropdown
        The coordinates that span the plane.
    map_box, grid_box, pairs_box : VBox
    """

    def __init__(self, model, sample: Images, classes) -> None:
        self._model, self._images, self._has_prior = model, sample.images, model.has_prior
        self._chosen = _choose(sample)
        self._plane, self._axes = Plane.coordinates(model.latent_dim), (0, min(1, model.latent_dim - 1))
        labels = None if sample.labels is None else sample.labels.numpy()
        self._map = LiveMap(
            self._plane.project(encode_all(model, self._images).mu.cpu().numpy()),
            labels, classes, self._chosen, self._plane.names, self._has_prior,
        )  # fmt: skip
        self.figure = self._map.figure
        self._build_boxes()

    def frame(self) -> Frame:
        """Encode and decode with the present weights, which nobody may change meanwhile.

        Raises
        ------
        ValueError
            The codes are not finite.
        """
        q = encode_all(self._model, self._images)
        points = self._plane.project(q.mu.cpu().numpy())
        if not np.isfinite(points).all():
            raise ValueError(
                "the encoder answers with numbers that are not finite: the weights have left all bounds. "
                "Start again with a smaller learning rate."
            )
        codes, covariances = q.mu[self._chosen], None
        if q.logvar is not None:
            sigmas = torch.exp(q.logvar[self._chosen].cpu().double() / 2).numpy()
            covariances = np.stack([self._plane.covariance(sigma) for sigma in sigmas])
        with eval_mode(self._model):
            reconstructions = self._model.decode(codes)
            tiles = self._model.decode(self._places(points).to(codes))
        return Frame(
            points, covariances, to_uint8(tile(reconstructions, len(codes))), to_uint8(tile(tiles, TILES))
        )

    def draw(self, frame: Frame) -> None:
        """Show a frame."""
        self._map.move(frame.points, frame.covariances)
        self.reconstructions.show(frame.reconstructions, "reconstructions of the chosen test images")
        self.grid.show(frame.tiles, f"{TILES} by {TILES} decoded pictures of the plane")

    def set_plane(self) -> None:
        """Use the plane that the dropdowns choose, from the next `frame` on.

        Raises
        ------
        ValueError
            Both dropdowns choose the same coordinate.
        """
        axes = self.across.index, self.up.index
        if axes[0] == axes[1]:
            self.across.index, self.up.index = self._axes
            raise ValueError("across and up show the same coordinate: choose two different ones.")
        self._axes, self._plane = axes, Plane.coordinates(self._model.latent_dim, *axes)
        self._map.rename(self._plane.names)

    def _places(self, points: np.ndarray) -> torch.Tensor:
        """Compute the latent points of the tiles, (TILES ** 2, d); coordinates off the plane are 0."""
        centre, reach = np.zeros(2), REACH
        if not self._has_prior:
            low, high = code_range(points)
            centre, reach = (low + high) / 2, max(float((high - low).max()) / 2, 1e-3)
        places = plane_points(TILES, centre, reach, self._has_prior)
        return torch.from_numpy(self._plane.lift(places, np.zeros(self._model.latent_dim)))

    def _build_boxes(self) -> None:
        d, (_, height, width) = self._model.latent_dim, self._model.image_shape
        self.across, self.up = (
            widgets.Dropdown(
                options=[f"z{i + 1}" for i in range(d)], description=name, index=index,
                style=dict(description_width="52px"), layout=dict(width="130px"),
            )
            for name, index in zip(("across", "up"), self._axes, strict=True)
        )  # fmt: skip
        what = "mu" if self._has_prior else "the code z"
        self.map_box = widgets.VBox(
            [title(f"The map: {what} of {len(self._images):,} test images"), self.figure]
        )
        if d > 2:
            self.map_box.children = (*self.map_box.children, widgets.HBox([self.across, self.up]))
        self.grid, self.originals, self.reconstructions = ImageCanvas(), ImageCanvas(), ImageCanvas()
        self.grid.fit(TILES * width, TILES * height, 340, 450)
        for strip in (self.originals, self.reconstructions):
            strip.fit(len(self._chosen) * width, height, 450, 130)
        images = self._images[self._chosen]
        self.originals.show(to_uint8(tile(images, len(images))), "the chosen test images")
        # This title is short so that the pictures beside it fit into 848 px, the width of a cell's output.
        spread = "equal prior mass" if self._has_prior else "even steps"
        self.grid_box = widgets.VBox([title(f"The plane decoded, tiles of {spread}"), self.grid])
        marked = ", with the ellipses on the map" if self._has_prior else ", with the rings on the map"
        self.pairs_box = widgets.VBox(
            [
                title(f"{len(images)} test image{'s' * (len(images) > 1)}{marked}"), self.originals,
                title("and what the model makes of them"), self.reconstructions,
            ]
        )  # fmt: skip


def _choose(images: Images) -> np.ndarray:
    """Choose at most `CHOSEN` rows: the first of each class, then others in order."""
    first = [] if images.labels is None else np.unique(images.labels.numpy(), return_index=True)[1].tolist()
    others = [row for row in range(len(images)) if row not in first]
    return np.array([*first, *others][:CHOSEN])
