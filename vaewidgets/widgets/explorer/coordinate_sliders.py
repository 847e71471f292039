"""A slider and a box of numbers for each coordinate of a latent point."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import ipywidgets as widgets

from vaewidgets.widgets._core.panel import set_quietly

#: Seconds in which a slider answers once the page has heard of a point; and in which a slow page hears of it.
ANSWER, HEARING = 1.0, 60.0


@dataclass
class _Given:
    """A point that the page was given: at what time, under which number, and when it said that it has it."""

    at: float
    serial: int
    point: tuple[float, ...]
    heard: float | None = None

    def may_be_answered(self, now: float) -> bool:
        since, patience = (self.at, HEARING) if self.heard is None else (self.heard, ANSWER)
        return now - since < patience


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
        self._given: deque[_Given] = deque(maxlen=256)
        self._serial = 0
        self._shown: tuple[float, ...] | None = None
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

    def give(self, z, *, heard: bool = False) -> int:
        """Note a point that the page is given, or has: its sliders will answer. Return its number.

        A slider whose ends are moved first answers with the point where it still is.
        """
        self._serial += 1
        now = time.monotonic()
        for point in (self._shown or z, z):
            self._given.append(_Given(now, self._serial, tuple(point), now if heard else None))
        return self._serial

    def hear(self, serial: int) -> None:
        """Note that the page has what it was given up to this number."""
        for given in list(self._given):
            if given.serial <= serial and given.heard is None:
                given.heard = time.monotonic()

    def is_echo(self, i: int, value: float, z: tuple[float, ...]) -> bool:
        """Tell a slider's answer from a hand: it rounds what it is given to its step, and sends that back.

        The answer may come when z is elsewhere again, on a busy machine long after: what the page has not
        heard of yet, or only just, counts too.
        """
        now = time.monotonic()
        given = [z, *(each.point for each in list(self._given) if each.may_be_answered(now))]
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
