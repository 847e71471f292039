"""One model of a pair, on a plane of its own scale, and what a judge makes of its pictures."""

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

#: Shares of the codes that the lines on a plane hold.
SHARES = (0.5, 0.9)
TITLES = {"AE": "Autoencoder (AE)", "VAE": "Variational autoencoder (VAE)"}


class Frame(NamedTuple):
    """What a plane shows: centre +- REACH units.

    Attributes
    ----------
    centre : ndarray of shape (2,)
    unit : float
        1 where the frame is that of N(0, I).
    """

    centre: np.ndarray
    unit: float


class Nearest(NamedTuple):
    """The code nearest to a point: its row in the atlas, its label (or None), and how far it is."""

    row: int
    label: int | None
    distance: float


class ModelPlane:
    """A model and its codes, as one plane of the panel shows them.

    Parameters
    ----------
    name : str
        "AE" or "VAE".
    model : object with ``latent_dim`` 2 and ``decode``
        With an ``atlas``, or else a ``train_atlas``: the codes that the plane shows.
    judge : Classifier
    cells : int
        Along one side of the background.
    """

    def __init__(self, name: str, model, judge, cells: int) -> None:
        self.name, self.model, self.judge, self.cells = name, model, judge, cells
        self.lock = model_lock(model)
        fitted_atlas(model)
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
        self._grounds: dict[float, np.ndarray] = {}

    def decode(self, points) -> torch.Tensor:
        """Decode points (N, 2) to images (N, C, H, W)."""
        with self.lock:
            return decode_all(self.model, torch.as_tensor(np.asarray(points), dtype=torch.float32))

    def confidence(self, points) -> torch.Tensor:
        """How sure the judge is of each decoded point: best probability among the real classes, (N,)."""
        return confidence_of(self.judge, self.decode(points))

    def probabilities(self, point) -> tuple[torch.Tensor, np.ndarray]:
        """Decode one point: its image (C, H, W), and the judge's probabilities, the last "none of these"."""
        image = self.decode([point])
        with eval_mode(self.judge):
            return image[0], self.judge.probabilities(image)[0].numpy()

    def nearest(self, point) -> Nearest:
        """Find the code that is nearest to a point, in the units of this plane."""
        distances = np.linalg.norm(self.codes - np.asarray(point), axis=1)
        row = int(distances.argmin())
        return Nearest(row, None if self.labels is None else int(self.labels[row]), float(distances[row]))

    def confidence_map(self, frame: Frame) -> np.ndarray:
        """How sure the judge is over a frame: ndarray (cells, cells), float32, the top row first.

        Each value is that of the middle of its cell; computed once for each frame.
        """
        if frame.unit not in self._grounds:
            steps = (2 * (np.arange(self.cells) + 0.5) / self.cells - 1) * REACH * frame.unit
            across, up = np.meshgrid(frame.centre[0] + steps, frame.centre[1] - steps)
            sure = self.confidence(np.stack([across.ravel(), up.ravel()], 1))
            self._grounds[frame.unit] = sure.numpy().reshape(self.cells, self.cells)
        return self._grounds[frame.unit]

    def lines(self, frame: Frame) -> list[list[np.ndarray]]:
        """The lines around `SHARES` of the codes, as fine as this frame shows them."""
        # Wider than the frame: a line that leaves it must not close along its edge.
        return density_lines(self.codes, SHARES, frame.centre, 1.5 * REACH * frame.unit)

    def drawing(self, classes) -> dict:
        """What the page draws of this side in every frame, as JSON and bytes."""
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
