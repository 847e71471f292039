"""A straight walk between two latent points: its ends, a slider along it, and a film of it."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np
from torch import Tensor

from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.panel import format_point, note_html, title

#: Pictures of the film.
FILM = 9


class Interpolation(widgets.VBox):
    """From A to B in a straight line, once both are there.

    Parameters
    ----------
    decode : callable
        Turns points, an ndarray of shape (N, d), into images (N, C, H, W).
    shape : (H, W)
        Of an image.

    Attributes
    ----------
    a, b : tuple of d floats or None
    set_a, set_b : Button
    t : FloatSlider
        0 is A, 1 is B.
    film : ImageCanvas
    """

    def __init__(self, decode: Callable[[np.ndarray], Tensor], shape: tuple[int, int]) -> None:
        self._decode = decode
        self.a: tuple[float, ...] | None = None
        self.b: tuple[float, ...] | None = None
        self.set_a = widgets.Button(description="A is here", tooltip="Interpolate from the present z")
        self.set_b = widgets.Button(description="B is here", tooltip="Interpolate to the present z")
        for button in (self.set_a, self.set_b):
            button.add_class("vw-narrow")
        self.ends = widgets.HTML()
        self.t = widgets.FloatSlider(
            0, min=0, max=1, step=0.01, description="t", disabled=True, readout_format=".2f"
        ).add_class("vw-walk")
        self.film = ImageCanvas()
        self.film.fit(FILM * shape[1], shape[0], 350, 130)
        self._film_box = widgets.VBox([self.film], layout=dict(display="none"))
        buttons = widgets.HBox([self.set_a, self.set_b])
        super().__init__([title("Interpolate from A to B"), buttons, self.ends, self.t, self._film_box])

    @property
    def ready(self) -> bool:
        """Whether both ends are there."""
        return self.a is not None and self.b is not None

    def set_ends(self, a=None, b=None) -> None:
        """Set one end, or both."""
        self.a, self.b = a or self.a, b or self.b
        known = [(name, end) for name, end in (("A", self.a), ("B", self.b)) if end is not None]
        self.ends.value = note_html("; ".join(f"{name} = {format_point(end)}" for name, end in known))
        self.t.disabled = not self.ready
        if self.ready:
            self.draw()
            self._film_box.layout.display = ""

    def at(self, t) -> np.ndarray:
        """Points of the line, ndarray of shape (..., d) for t of shape (...)."""
        t = np.asarray(t)[..., None]
        return (1 - t) * np.array(self.a) + t * np.array(self.b)

    def draw(self) -> None:
        """Decode the film, if there is one."""
        if self.ready:
            pictures = self._decode(self.at(np.linspace(0, 1, FILM)))
            self.film.show(to_uint8(tile(pictures, FILM)), f"{FILM} pictures from A to B")
