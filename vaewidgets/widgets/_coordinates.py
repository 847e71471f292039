"""A slider and a box of numbers for each coordinate of a latent point."""

from __future__ import annotations

import math
import time
from collections import deque

import ipywidgets as widgets

from ._panel import set_quietly


class Coordinates(widgets.VBox):
    """Sliders that the page reads and sets without the kernel, each beside a box with its number.

    Parameters
    ----------
    z : tuple of d floats
        Where to begin: the page takes it from the sliders, and nothing may move them before it has.
    ranges : list of (low, high, step)
        One for each coordinate; they are widened for a z beyond them, which is never clipped.

    Attributes
    ----------
    sliders : list of FloatSlider
    boxes : list of FloatText
        Without ends: what is typed beyond a slider's range is kept, and the slider is widened.
    """

    def __init__(self, z: tuple[float, ...], ranges) -> None:
        self.sliders, self.boxes = [], []
        #: What the page was given lately, and when.
        self._given, self._shown = deque(maxlen=256), None
        for i, (value, (low, high, step)) in enumerate(zip(z, ranges, strict=True)):
            low, high = min(low, math.floor(2 * value) / 2), max(high, math.ceil(2 * value) / 2)
            slider = widgets.FloatSlider(
                value, min=low, max=high, step=step, description=f"z{i + 1}", readout=False,
                layout=dict(width="180px"), style=dict(description_width="28px"),
            )  # fmt: skip
            box = widgets.FloatText(round(value, 4), step=10 * step, layout=dict(width="78px"))
            box.add_class("vw-number")
            self.sliders.append(slider)
            self.boxes.append(box)
        rows = [widgets.HBox(row) for row in zip(self.sliders, self.boxes, strict=True)]
        super().__init__(rows, layout=dict(max_height="190px", overflow="auto"))

    def give(self, z) -> None:
        """Note a point that the page has, or is given: its sliders will answer."""
        self._given.append((time.monotonic(), tuple(z)))

    def is_echo(self, i: int, value: float, z: tuple[float, ...]) -> bool:
        """Tell a slider's answer from a hand: it rounds what it is given to its step, and sends that back.

        The answer may come when z is elsewhere again, so what was given in the last second counts too.
        """
        since = time.monotonic() - 1
        given = [z, *(point for at, point in list(self._given) if at > since)]
        return any(abs(value - point[i]) <= self.sliders[i].step / 2 for point in given)

    def show(self, z: tuple[float, ...], *, from_page: bool) -> None:
        """Put every slider and box at z; the page is not told what it knows."""
        for i, value in enumerate(z):
            # A coordinate that stayed is not sent again: the page would round it and answer.
            if self._shown is None or self._shown[i] != value:
                _widen(self.sliders[i], value)
                if from_page:
                    set_quietly(self.sliders[i], value=value)
                else:
                    self.sliders[i].value = value
                self.boxes[i].value = round(value, 4)
        self._shown = z


def _widen(control, value: float) -> None:
    """Let a control reach a value beyond its range, so that z is never clipped to what it can show."""
    if value > control.max:
        control.max = math.ceil(value * 2) / 2
    if value < control.min:
        control.min = math.floor(value * 2) / 2
