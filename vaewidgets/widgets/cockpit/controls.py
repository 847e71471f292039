"""The buttons, knobs and lines of text of a cockpit."""

from __future__ import annotations

import math

import ipywidgets as widgets

from vaewidgets._utils.private_apis import is_from_page
from vaewidgets.widgets._core.panel import note_html

#: Ends of the sliders.
SLIDER_RANGES = {"beta": (0.0, 8.0), "lr": (1e-6, 100.0)}
_ROW = dict(grid_gap="6px", flex_flow="row wrap", align_items="center")


class Controls(widgets.VBox):
    """The buttons, knobs and lines of text of a cockpit. They know nothing of training.

    Nothing is disabled while training runs, because a button that is disabled loses the keyboard's focus.

    Parameters
    ----------
    beta, lr : float
        First values of the knobs.
    seed : int
        First value of the noise seed.
    steerable_beta : bool
        Whether beta can be set.

    Attributes
    ----------
    start, pause, batch, epoch, stop, restart, rewind : Button
    back : SelectionSlider
        The step to rewind to.
    beta, lr : FloatSlider, FloatLogSlider
        The knobs. A value beyond an end is shown at the end, and written in `beyond`.
    boxes : dict of str to FloatText
        The same values as numbers without limits, by knob.
    noise_seed : IntText
    beyond : HTML
    progress : FloatProgress
    state, rivals : HTML
    """

    def __init__(self, beta: float, lr: float, seed: int, *, steerable_beta: bool) -> None:
        self.start = _button("start", "play", "Train until the end or until you pause")
        self.pause = _button("pause", "pause", "Halt after this batch")
        self.batch = _button("one batch", "step-forward", "Train one batch and pause")
        self.epoch = _button("one epoch", "fast-forward", "Train to the end of this epoch and pause")
        self.stop = _button("stop", "stop", "End the run; the weights stay")
        self.restart = _button("from scratch", "undo", "Back to the weights the model came with", "124px")
        self.rewind = _button("rewind", "backward", "Go back to that state, noise included")
        self.back = widgets.SelectionSlider(
            options=[("step 0", 0)], description="back to", continuous_update=False,
            layout=dict(width="310px"), style=dict(description_width="84px"),
        )  # fmt: skip
        knob = dict(continuous_update=False, readout=False, style=dict(description_width="84px"))
        room = dict(layout=dict(width="250px"))
        self.beta = widgets.FloatSlider(
            self._clipped("beta", beta), min=0, max=8, step=0.05, description="beta",
            disabled=not steerable_beta, **knob, **room,
        )  # fmt: skip
        self.lr = widgets.FloatLogSlider(
            self._clipped("lr", lr), min=-6, max=2, step=0.1, description="learning rate", **knob, **room
        )
        # The page would silently clamp a number that is typed into a slider's own box, or a bounded box.
        box = dict(continuous_update=False, layout=dict(width="90px"))
        self.boxes = {
            "beta": widgets.FloatText(beta, tooltip="beta, typed", disabled=not steerable_beta, **box),
            "lr": widgets.FloatText(lr, tooltip="learning rate, typed", **box),
        }
        self.noise_seed = widgets.IntText(
            seed, description="noise seed", continuous_update=False,
            style=dict(description_width="72px"), layout=dict(width="190px"),
        )  # fmt: skip
        for number in self.boxes.values():
            number.add_class("vw-number")
        self.beyond = widgets.HTML()
        self._values = dict(beta=beta, lr=lr)
        self._say_beyond()
        self.progress = widgets.FloatProgress(
            0, min=0, max=1, tooltip="share of the steps taken", layout=dict(width="99%", height="8px")
        )
        self.state, self.rivals = widgets.HTML(), widgets.HTML()
        super().__init__(
            [
                widgets.HBox(
                    [self.start, self.pause, self.batch, self.epoch, self.stop, self.restart], layout=_ROW
                ),
                widgets.HBox(
                    [
                        widgets.HBox([self.beta, self.boxes["beta"]]),
                        widgets.HBox([self.lr, self.boxes["lr"]]),
                        self.noise_seed,
                    ],
                    layout=_ROW,
                ),
                self.beyond,
                widgets.HBox([self.back, self.rewind], layout=_ROW),
                self.progress,
                self.state,
                self.rivals,
            ]
        )

    def show_knob(self, name: str, value: float) -> None:
        """Show the value of the knob of that name; beyond the slider's range, at its end."""
        if name in self._values:
            self._values[name] = value
            self._say_beyond()
            self.boxes[name].value = value
        control, shown = getattr(self, name), self._clipped(name, value)
        # The page knows a value that it has set itself, and would round an answer to the knob's step.
        if not is_from_page(control) or control.value != shown:
            control.value = shown

    def shows(self, name: str, value: float) -> bool:
        """Tell whether a slider at `value` shows the last value given to `show_knob`: nobody has moved it."""
        return name in self._values and math.isclose(value, self._clipped(name, self._values[name]))

    @staticmethod
    def _clipped(name: str, value: float) -> float:
        low, high = SLIDER_RANGES.get(name, (value, value))
        return min(max(value, low), high)

    def _say_beyond(self) -> None:
        names = [
            f"{control.description} {self._values[name]:g}"
            for name, control in (("beta", self.beta), ("lr", self.lr))
            if self._clipped(name, self._values[name]) != self._values[name]
        ]
        self.beyond.value = note_html(f"Beyond the slider: {', '.join(names)}.") if names else ""

    def show_state(self, status: str, text: str, share: float) -> None:
        """Show the status of training as text, and the `share` of the steps that are done, from 0 to 1."""
        self.state.value = note_html(text, "state")
        self.progress.value = share
        # The button that most people need next stands out.
        self.start.button_style = "" if status == "running" else "primary"
        self.pause.button_style = "primary" if status == "running" else ""
        self.start.description = "resume" if status == "paused" else "start"

    def list_states(self, steps: list[int]) -> None:
        """Offer these steps to rewind to. The newest is chosen until the user chooses another."""
        options = [(f"step {step:,}", step) for step in steps]
        if tuple(options) == self.back.options:
            return
        newest = self.back.options[-1][1]
        chosen = steps[-1] if self.back.value == newest else self.back.value
        with self.back.hold_sync():
            self.back.options = options
            self.back.value = chosen if chosen in steps else steps[-1]

    def show_rivals(self, text: str) -> None:
        """Show a text about other cockpits of the same model; "" shows nothing."""
        self.rivals.value = note_html(text) if text else ""


def _button(text: str, icon: str, tooltip: str, width: str = "108px") -> widgets.Button:
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=dict(width=width))
