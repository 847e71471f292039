"""Bottleneck: one image, its code and its reconstruction, with all their numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import torch
import traitlets
from torch import Tensor

from vaewidgets.data.dataset import Images, check_images
from vaewidgets.data.pixels import to_uint8
from vaewidgets.models.vae import eval_mode
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.encoded import name_of
from vaewidgets.widgets._core.model_lock import model_lock
from vaewidgets.widgets._core.panel import Panel, format_point, note_html

if TYPE_CHECKING:
    from vaewidgets.models.protocols import ImageModel


class Bottleneck(Panel):
    """A strip: the image, its pixels as a row of numbers, the few numbers of its code, and back again.

    Parameters
    ----------
    model : Autoencoder or VAE
        The code of a VAE is the mean mu of the posterior.
    images : Images or Tensor of shape (N, C, H, W)
        In [0, 1], of the model's shape.
    row : int
        The image to begin with.
    **layout
        Traits of `VBox`.

    Attributes
    ----------
    row : int
        The source of truth: the index of the image that is shown.
    error : float
        Mean squared error per pixel of its reconstruction.
    ratio : float
        Numbers in an image per number in its code.

    Raises
    ------
    ValueError, TypeError
        The images do not fit the model, or there is no such row.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.Autoencoder(2, (1, 6, 5), hidden=(8,), seed=0)
    >>> panel = vw.Bottleneck(model, torch.rand(4, 1, 6, 5), row=3)
    >>> panel
    Bottleneck(row=3, 30 -> 2 -> 30)
    >>> panel.ratio
    15.0
    """

    row = traitlets.Int(0)

    def __init__(self, model: ImageModel, images: Images | Tensor, *, row: int = 0, **layout: Any) -> None:
        self.check_keywords(layout)
        if not callable(getattr(model, "encode", None)) or not callable(getattr(model, "decode", None)):
            raise TypeError(f"Bottleneck needs a model with encode and decode; got {type(model).__name__}.")
        images = images if isinstance(images, Images) else Images(images)
        check_images(images.images, model.image_shape)
        self.model, self.images, self._lock = model, images, model_lock(model)
        self._pixels = math.prod(model.image_shape)
        self.ratio = self._pixels / model.latent_dim

        self.image, self.reconstruction = ImageCanvas(), ImageCanvas()
        self.pixels_in, self.pixels_out = ImageCanvas(display_width=480), ImageCanvas(display_width=480)
        _, height, width = model.image_shape
        for picture in (self.image, self.reconstruction):
            picture.fit(width, height, 144)
        self.slider = widgets.IntSlider(
            row, min=0, max=len(images) - 1, description="image", layout=dict(width="480px")
        )
        self.listen(self.slider, lambda value: self.set_trait("row", value))
        self.code, self.result = widgets.HTML(), widgets.HTML()
        count = f"{self._pixels} numbers"
        middle = widgets.VBox(
            [
                widgets.HTML(note_html(f"{count}: the image's pixels in one row")),
                self.pixels_in,
                self.code,
                self.pixels_out,
                widgets.HTML(note_html(f"{count}: the decoder's pixels in one row")),
            ]
        )
        super().__init__(
            [
                self.slider,
                widgets.HBox(
                    [
                        widgets.VBox([widgets.HTML(note_html("the image")), self.image]),
                        middle,
                        widgets.VBox([widgets.HTML(note_html("its reconstruction")), self.reconstruction]),
                    ],
                    layout=dict(align_items="flex-end", flex_flow="row wrap", grid_gap="18px"),
                ),
                self.result,
            ],
            **layout,
        )
        self.row = row
        self.observe(self._on_row, "row")
        self._on_row()

    def __repr__(self) -> str:
        return f"Bottleneck(row={self.row}, {self._pixels} -> {self.model.latent_dim} -> {self._pixels})"

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        if not 0 <= proposal.value < len(self.images):
            raise ValueError(f"row must be from 0 to {len(self.images) - 1}; got {proposal.value}.")
        return proposal.value

    def _on_row(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            x = self.images.images[self.row]
            with eval_mode(self.model):
                q = self.model.encode(x[None])
                z = (q if isinstance(q, torch.Tensor) else q.mu)[0]
                y = self.model.decode(z[None])[0]
            self.error = (x - y).square().mean().item()
            self.slider.value = self.row
            for picture, strip, content, name in (
                (self.image, self.pixels_in, x, "the image"),
                (self.reconstruction, self.pixels_out, y, "its reconstruction"),
            ):
                picture.show(to_uint8(content), name)
                # One pixel a column, 24 rows high so that a row of numbers can be seen.
                row = content.reshape(1, 1, -1).expand(1, 24, -1)
                strip.show(to_uint8(row), f"the pixels of {name} in one row")
            d = self.model.latent_dim
            self.code.value = note_html(
                f"\N{DOWNWARDS ARROW} encoder \N{DOWNWARDS ARROW}   z = {format_point(z.tolist())}: "
                f"{d} number{'s' if d > 1 else ''}   \N{DOWNWARDS ARROW} decoder \N{DOWNWARDS ARROW}",
                "code",
            )
            label = name_of(self.images, self.row)
            label = f" (labelled {label})" if label else ""
            self.result.value = note_html(
                f"Image {self.row}{label}: mean squared error {self.error:.4f} per pixel; "
                f"compressed {self.ratio:g} to 1.",
                "state",
            )
