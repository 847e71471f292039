"""LearningCurves: the reconstruction and the KL of a model in training, as two growing curves."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets

from vaewidgets.training.records import Step
from vaewidgets.widgets._core.panel import Panel, note_html
from vaewidgets.widgets._core.plotly import FigureWidget, go, make_subplots
from vaewidgets.widgets._map.figure import ACCENT, BAR, PALETTE, style_figure


class LearningCurves(Panel):
    """Two curves over the steps of training: the reconstruction log p(x|z), and the KL, in nats per image.

    `append` adds a `Step` of `fit`. It reads numbers from the device, so append only steps to be shown.

    Parameters
    ----------
    **layout
        Traits of `VBox`.

    Attributes
    ----------
    figure : FigureWidget
        An ordinary Plotly figure, to restyle with Plotly's own API.
    state : HTML
        The last step's numbers as text.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> data = vw.load_data("digits")
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(32,), seed=0)
    >>> curves = vw.LearningCurves()
    >>> for step in vw.fit(model, data.train.images, epochs=1):
    ...     curves.append(step)
    >>> curves
    LearningCurves(points=12)
    """

    def __init__(self, **layout: Any) -> None:
        self.check_keywords(layout)
        #: Of each point: its step, the reconstruction, the KL.
        self._points: list[tuple[int, float, float]] = []
        figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.1)
        for row, (name, colour) in enumerate((("reconstruction", PALETTE[0]), ("KL", ACCENT)), 1):
            figure.add_trace(
                go.Scatter(x=[], y=[], mode="lines+markers", name=name, line=dict(color=colour)), row, 1
            )
            figure.update_yaxes(title_text=f"{name}, nats", row=row, col=1)
        for update in (figure.update_xaxes, figure.update_yaxes):
            update(gridcolor="rgba(125,125,125,.25)", zeroline=False)
        figure.update_xaxes(title_text="step", rangemode="tozero", row=2, col=1)
        style_figure(figure, width=290, height=460 + BAR, margin=dict(l=56, r=8, b=44), showlegend=False)
        self.figure = FigureWidget(figure)
        self.state = widgets.HTML(note_html("no step yet", "state"))
        super().__init__([self.figure, self.state], **layout)

    def __repr__(self) -> str:
        return f"LearningCurves(points={len(self._points)})"

    def append(self, step: Step) -> None:
        """Add one `Step` to the curves, in place.

        Raises
        ------
        ValueError
            The step is not after the last one.
        """
        with self.report(from_page=False):
            if self._points and step.step <= self._points[-1][0]:
                raise ValueError(
                    f"step {step.step} does not come after step {self._points[-1][0]}: "
                    "make new LearningCurves for a new run."
                )
            self._points.append((step.step, step.reconstruction, step.kl))
            steps, *columns = zip(*self._points, strict=True)
            with self.figure.batch_update():
                for trace, values in zip(self.figure.data, columns, strict=True):
                    trace.x, trace.y = steps, values
            self.state.value = note_html(
                f"step {step.step:,} of {step.total_steps:,}: reconstruction {step.reconstruction:.2f}, "
                f"KL {step.kl:.2f}, loss {step.loss:.2f} nats per image",
                "state",
            )
