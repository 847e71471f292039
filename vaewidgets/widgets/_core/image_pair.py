"""An image beside what a model makes of it."""

from __future__ import annotations

import ipywidgets as widgets
from torch import Tensor

from vaewidgets.data.pixels import to_uint8

from .canvas import ImageCanvas
from .panel import note_html


class ImagePair(widgets.HBox):
    """An image and its reconstruction, side by side.

    Parameters
    ----------
    shape : (H, W)
        Of an image.
    side : int
        Screen pixels that each of the two has room for, across and down.

    Attributes
    ----------
    original, reconstruction : ImageCanvas
    """

    def __init__(self, shape: tuple[int, int], side: int) -> None:
        self.original, self.reconstruction = ImageCanvas(), ImageCanvas()
        for picture in (self.original, self.reconstruction):
            picture.fit(shape[1], shape[0], side)
        self._whole = widgets.VBox([widgets.HTML(note_html("the image")), self.original])
        super().__init__(
            [self._whole, widgets.VBox([widgets.HTML(note_html("its reconstruction")), self.reconstruction])],
            layout=dict(align_items="flex-start", grid_gap="18px"),
        )

    def show(self, original: Tensor | None, reconstruction: Tensor, name: str) -> None:
        """Show both, images of shape (C, H, W); the reconstruction alone where the image is not at hand."""
        self.reconstruction.show(to_uint8(reconstruction), f"reconstruction of {name}")
        if original is None:
            self.original.show(to_uint8(reconstruction), "reconstruction in place of the image")
        else:
            self.original.show(to_uint8(original), name)
        self._whole.layout.display = "none" if original is None else ""
