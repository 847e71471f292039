"""One model of a pair on its latent plane, and how sure a judge is of its pictures."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from vaewidgets.evaluation.holes import confidence_of, decode_all
from vaewidgets.evaluation.samplers import code_spread, fitted_atlas
from vaewidgets.models.vae import eval_mode
from vaewidgets.widgets._core.model_lock import model_lock
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._map.figure import class_rows, span

from .density_contours import density_lines

#: Shares of the codes that are inside the lines on a plane.
SHARES = (0.5, 0.9)
TITLES = {"AE": "Autoencoder (AE)", "VAE": "Variational autoencoder (VAE)"}


class Frame(NamedTuple):
    """The part of the plane that is shown: centre +- `REACH` * unit.

    Attributes
    ----------
    centre : ndarray of shape (2,)
    unit : float
        1 for the frame of N(0, I).
    """

    centre: np.ndarray
    unit: float


class Nearest(NamedTuple):
    """The code nearest to a point: its row in the atlas, its label (or None), and its distance."""

    row: int
    label: int | None
    distance: float


class ModelPlane:
    """A model and its codes on one plane of the panel.

    Parameters
    ----------
    name : str
        "AE" or "VAE".
    model : object with ``latent_dim`` 2 and ``decode``
        With an ``atlas``, or else a ``train_atlas``: the codes that the plane shows.
    judge : Classifier
    cells : int
        Number of cells along one side of the background.
    """

    def __init__(self, name: str, model, judge, cells: int) -> None:
        self.name, self.model, self.judge, self.cells = name, model, judge, cells
        fitted_atlas(model)  # it raises if there are no codes
        atlas = getattr(model, "atlas", None) or model.train_atlas
        self.codes = atlas.mu.cpu().numpy()
        self.labels = None if atlas.labels is None else atlas.labels.cpu().numpy()
        self.spread = code_spread(atlas.mu).numpy()
        self.prior = Frame(np.zeros(2), 1.0)
        if getattr(model, "has_prior", True):
            self.frame = self.prior
        else:
            centre, reach = span(self.codes, None)
            self.frame = Frame(centre, reach / REACH)
        self._confidence_maps: dict[float, np.ndarray] = {}

    def decode(self, points) -> torch.Tensor:
        """Decode points (N, 2) to images (N, C, H, W)."""
        with model_lock(self.model):
            return decode_all(self.model, torch.as_tensor(np.asarray(points), dtype=torch.float32))

    def confidence(self, points) -> torch.Tensor:
        """Compute the judge's best class probability for each decoded point: Tensor of shape (N,)."""
        return confidence_of(self.judge, self.decode(points))

    def probabilities(self, point) -> tuple[torch.Tensor, np.ndarray]:
        """Decode a point: its image (C, H, W), and the judge's probabilities, last of "none of these"."""
        image = self.decode([point])
        with eval_mode(self.judge):
            return image[0], self.judge.probabilities(image)[0].numpy()

    def nearest(self, point) -> Nearest:
        """Find the code nearest to a point (2,), by its distance in the units of this plane."""
        distances = np.linalg.norm(self.codes - np.asarray(point), axis=1)
        row = int(distances.argmin())
        return Nearest(row, None if self.labels is None else int(self.labels[row]), float(distances[row]))

    def confidence_map(self, frame: Frame) -> np.ndarray:
        """Compute the judge's best class probability over a frame, once for each frame.

        Returns
        -------
        ndarray of shape (cells, cells), float32
            At the middle of each cell, the top row first.
        """
        if frame.unit not in self._confidence_maps:
            steps = (2 * (np.arange(self.cells) + 0.5) / self.cells - 1) * REACH * frame.unit
            across, up = np.meshgrid(frame.centre[0] + steps, frame.centre[1] - steps)
            sure = self.confidence(np.stack([across.ravel(), up.ravel()], 1))
            self._confidence_maps[frame.unit] = sure.numpy().reshape(self.cells, self.cells)
        return self._confidence_maps[frame.unit]

    def lines(self, frame: Frame) -> list[list[np.ndarray]]:
        """Compute the lines around `SHARES` of the codes, at the resolution of this frame."""
        # On a wider square, because a line that leaves the frame must not close along its edge.
        return density_lines(self.codes, SHARES, frame.centre, 1.5 * REACH * frame.unit)

    def drawing(self, classes) -> dict:
        """Describe, as JSON and bytes, what the page draws of this plane in every frame."""
        medians = [] if self.labels is None else class_rows(self.labels, len(self.codes))
        across, up = self.spread
        return {
            "name": self.name,
            "title": TITLES[self.name],
            "spread": f"standard deviation of its codes: {across:.1f} across, {up:.1f} up",
            "names": [[classes[c], *np.median(self.codes[rows], 0).tolist()] for c, rows in medians],
            "codes": self.codes.astype("<f4").tobytes(),
            "labels": b"" if self.labels is None else self.labels.astype("uint8").tobytes(),
        }
