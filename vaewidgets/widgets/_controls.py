"""The buttons, knobs and lines of text of a cockpit."""

from __future__ import annotations

import math

import ipywidgets as widgets

from ._panel import is_from_page, note_html

_ROW = dict(grid_gap="6px", flex_flow="row wrap", align_items="center")


class Controls(widgets.VBox):
    """What a cockpit is steered by. It knows nothing of training.

    Nothing is disabled while training runs: a button that is takes the keyboard's focus away with it.

    Parameters
    ----------
    beta, lr, seed
        What the knobs show at first.
    steerable_beta : bool

    Attributes
    ----------
    start, pause, batch, epoch, stop, restart, rewind : Button
    back : SelectionSlider
        The step to rewind to.
    beta, lr, noise_seed
        The knobs.
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
        knob = dict(continuous_update=False, style=dict(description_width="84px"), layout=dict(width="310px"))
        self.beta = widgets.FloatSlider(
            beta, min=0, max=max(8.0, beta), step=0.05, description="beta", disabled=not steerable_beta,
            **knob,
        )  # fmt: skip
        power = math.log10(lr)
        self.lr = widgets.FloatLogSlider(
            lr, min=min(-6, power), max=max(2, power), step=0.1, description="learning rate",
            readout_format=".1e", **knob,
        )  # fmt: skip
        self.noise_seed = widgets.BoundedIntText(
            seed, min=0, max=max(2**31 - 1, seed), description="noise seed",
            style=dict(description_width="72px"), layout=dict(width="170px"),
        )  # fmt: skip
        self.progress = widgets.FloatProgress(
            0, min=0, max=1, tooltip="share of the steps taken", layout=dict(width="99%", height="8px")
        )
        self.state, self.rivals = widgets.HTML(), widgets.HTML()
        buttons = [self.start, self.pause, self.batch, self.epoch, self.stop, self.restart]
        super().__init__(
            [
                widgets.HBox(buttons, layout=_ROW),
                widgets.HBox([self.beta, self.lr, self.noise_seed], layout=_ROW),
                widgets.HBox([self.back, self.rewind], layout=_ROW),
                self.progress,
                self.state,
                self.rivals,
            ]
        )

    def show_knob(self, name: str, value: float) -> None:
        """Put the knob of that name where the value is, with room for it."""
        control = getattr(self, name)
        end = math.log10(value) if name == "lr" else value
        control.min, control.max = min(control.min, end), max(control.max, end)
        # The page has put it there itself, and would round what it is told to the knob's step.
        if not is_from_page(control) or control.value != value:
            control.value = value

    def show_state(self, status: str, text: str, share: float) -> None:
        """Say how training stands; `share` of the steps is taken."""
        self.state.value = note_html(text, "state")
        self.progress.value = share
        running = status == "running"
        # What most people want next stands out.
        self.start.button_style, self.pause.button_style = ("", "primary") if running else ("primary", "")
        self.start.description = "resume" if status == "paused" else "start"

    def list_states(self, steps: list[int]) -> None:
        """Offer these steps to rewind to; the one chosen stays chosen if it is among them."""
        options = [(f"step {step:,}", step) for step in steps]
        if tuple(options) == self.back.options:
            return
        chosen = self.back.value
        with self.back.hold_sync():
            self.back.options = options
            self.back.value = chosen if chosen in steps else steps[-1]

    def say_rivals(self, text: str) -> None:
        """Say what other panels may do to this one, or nothing."""
        self.rivals.value = note_html(text) if text else ""


def _button(text: str, icon: str, tooltip: str, width: str = "108px") -> widgets.Button:
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=dict(width=width))
