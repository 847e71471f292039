"""A slider and a box of numbers for each coordinate of a latent point that matters, and one for any other."""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from vaewidgets.widgets._core.panel import set_quietly

#: Seconds in which a slider answers once the page has heard of a point; and in which a slow page hears of it.
ANSWER, HEARING = 1.0, 60.0
#: Coordinates with a slider each; of more, one slider serves any of the others.
SLIDERS = 10


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

    Each takes four widgets, and a model may have hundreds of dimensions: the ten that matter have a slider
    each, the others one together, and a list to choose from.

    Parameters
    ----------
    z : tuple of d floats
        Where to begin: the page takes it from the sliders, and nothing may move them before it has.
    ranges : list of (low, high, step)
        One for each coordinate; they are widened for a z beyond them, which is never clipped.
    weights : array of shape (d,), optional
        How much each coordinate matters; the first ones where it is not known.

    Attributes
    ----------
    dimensions : list of int
        The coordinate of each slider, from 0.
    sliders : list of FloatSlider
    boxes : list of FloatText
        Without ends: what is typed beyond a slider's range is kept, and the slider is widened.
    other : Dropdown or None
        Which coordinate the last slider moves; None where each has its own.
    """

    def __init__(self, z: tuple[float, ...], ranges, weights: np.ndarray | None = None) -> None:
        order = np.arange(len(z)) if weights is None else np.argsort(-weights, kind="stable")
        own, others = sorted(order[:SLIDERS].tolist()), sorted(order[SLIDERS:].tolist())
        self.dimensions = own + others[:1]
        self.sliders, self.boxes = [], []
        self._ranges = ranges
        self._given: deque[_Given] = deque(maxlen=256)
        self._serial = 0
        self._shown: tuple[float, ...] | None = None
        for i in self.dimensions:
            low, high, step = _reaching(ranges[i], z[i])
            slider = widgets.FloatSlider(
                z[i], min=low, max=high, step=step, description=f"z{i + 1}", readout=False,
            )  # fmt: skip
            box = widgets.FloatText(round(z[i], 4), step=10 * step)
            self.sliders.append(slider.add_class("vw-coordinate"))
            self.boxes.append(box.add_class("vw-number"))
        rows = [widgets.HBox(row) for row in zip(self.sliders, self.boxes, strict=True)]
        self.other = None
        if others:
            options = [(f"z{i + 1}", i) for i in others]
            self.other = widgets.Dropdown(options=options, description="another")
            rows.insert(-1, self.other)
        super().__init__(rows)
        self.add_class("vw-coordinates")

    def choose(self, i: int, z: tuple[float, ...]) -> None:
        """Let the last slider move coordinate `i`, one of those without a slider of their own."""
        old, slider = self.dimensions[-1], self.sliders[-1]
        # What the slider answers until the page has heard of this is about the coordinate that it had.
        self.give((*z[:i], z[old], *z[i + 1 :]), heard=True)
        self.dimensions = [*self.dimensions[:-1], i]
        low, high, step = _reaching(self._ranges[i], z[i])
        with slider.hold_sync():
            slider.set_trait("min", min(low, slider.value))
            slider.set_trait("max", max(high, slider.value))
            slider.step, slider.description, slider.value = step, f"z{i + 1}", z[i]
            slider.min, slider.max = low, high
        self.boxes[-1].step = 10 * step
        self.boxes[-1].value = round(z[i], 4)

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

    def is_echo(self, k: int, value: float, z: tuple[float, ...]) -> bool:
        """Tell the k-th slider's answer from a hand: it rounds what it is given, and sends that back.

        The answer may come when z is elsewhere again, on a busy machine long after: what the page has not
        heard of yet, or only just, counts too.
        """
        now = time.monotonic()
        given = [z, *(each.point for each in list(self._given) if each.may_be_answered(now))]
        i, reach = self.dimensions[k], self.sliders[k].step / 2
        return any(abs(value - point[i]) <= reach for point in given)

    def show(self, z: tuple[float, ...], *, from_page: bool) -> None:
        """Put every slider and box at z; the page is not told what it knows."""
        for i, slider, box in zip(self.dimensions, self.sliders, self.boxes, strict=True):
            # A coordinate that stayed is not sent again: the page would round it and answer.
            if self._shown is None or self._shown[i] != z[i]:
                _widen(slider, z[i])
                if from_page:
                    set_quietly(slider, value=z[i])
                else:
                    slider.value = z[i]
                box.value = round(z[i], 4)
        self._shown = z


def _reaching(span: tuple[float, float, float], value: float) -> tuple[float, float, float]:
    """Return low, high and step of a slider that reaches `value`."""
    low, high, step = span
    return min(low, math.floor(2 * value) / 2), max(high, math.ceil(2 * value) / 2), step


def _widen(control, value: float) -> None:
    """Let a control reach a value beyond its range, so that z is never clipped to what it can show."""
    if value > control.max:
        control.max = math.ceil(value * 2) / 2
    if value < control.min:
        control.min = math.floor(value * 2) / 2
