"""The controls of the game on a map: circle what looks like a class, then see the labels."""

from __future__ import annotations

import html

import ipywidgets as widgets

from vaewidgets.widgets._core.panel import note_html, title

from .selection import LassoResult

_WIDTH = "296px"
_COLUMNS = ("lasso", "class", "right", "wrong", "purity", "found")


class LassoGame(widgets.VBox):
    """The controls of the game, its state as text and its table. They know nothing of the points.

    Parameters
    ----------
    classes : sequence of str
        Name of each class.
    reach : float
        How far the map's axes reach from their middle, in axis units. It sets the range of the radius.
    labelled : bool
        Whether there are labels to reveal.

    Attributes
    ----------
    hide, draw : ToggleButton
    radius : FloatSlider
        In axis units.
    take, reveal, clear : Button
    guess : Dropdown
    state, table : HTML
    """

    def __init__(self, classes, reach: float, *, labelled: bool) -> None:
        self._classes = classes
        wide = dict(width=_WIDTH)
        self.hide = widgets.ToggleButton(
            description="hide the labels", icon="eye-slash", disabled=not labelled, layout=wide
        )
        self.draw = widgets.ToggleButton(
            description="draw a lasso", icon="pencil", layout=wide,
            tooltip="Drag round some points of the map; without a mouse: cursor, r, and the button below",
        )  # fmt: skip
        step = reach / 100
        self.radius = widgets.FloatSlider(
            reach / 10, min=step, max=reach, step=step, description="r", readout_format=".3g",
            style=dict(description_width="12px"), layout=wide,
        )  # fmt: skip
        self.take = widgets.Button(
            description="take all within r of the cursor", icon="dot-circle-o", layout=wide
        )
        self.guess = widgets.Dropdown(
            options=[("whatever most of them are", None), *((name, c) for c, name in enumerate(classes))],
            description="I say", style=dict(description_width="40px"), layout=wide, disabled=not labelled,
        )  # fmt: skip
        half = dict(width="144px")
        self.reveal = widgets.Button(
            description="reveal", icon="eye", layout=half, tooltip="See what the points taken really are",
        )  # fmt: skip
        self.clear = widgets.Button(
            description="clear", icon="trash", layout=half, tooltip="Forget all lassos"
        )
        self.state, self.table = widgets.HTML(), widgets.HTML()
        super().__init__(
            [
                title("Find a class without its labels"),
                self.hide,
                self.draw,
                self.radius,
                self.take,
                self.guess,
                widgets.HBox([self.reveal, self.clear]),
                self.state,
                self.table,
            ],
            layout=dict(width="306px"),
        )

    def show(self, taken: int, result: LassoResult | None, results: list[LassoResult]) -> None:
        """Show how many points are taken, what their labels are, and a table of all lassos."""
        self.reveal.disabled = not taken or self.guess.disabled
        # The next step stands out.
        self.reveal.button_style = "primary" if taken and result is None and not self.guess.disabled else ""
        self.state.value = note_html(self._sentence(taken, result, len(results)), "state")
        self.table.value = self._tabulate(results) if results else ""

    def name(self, c: int) -> str:
        """Return the name of a class; its index where it has none."""
        return self._classes[c] if c < len(self._classes) else str(c)

    def _sentence(self, taken: int, result: LassoResult | None, number: int) -> str:
        if not taken:
            return "Nothing is taken yet."
        points = f"{taken:,} point{'s' if taken > 1 else ''} taken"
        if result is None:
            return f"{points}. Of how many classes are they?"
        said = "" if result.guess is None else f"You said {self.name(result.guess)}. "
        return (
            f"Lasso {number}: {points}. {said}Most of them are {self.name(result.most)}. "
            f"{result.right:,} right (dots), {result.wrong:,} wrong (crosses): "
            f"purity {_percent(result.purity)}. "
            f"Of all points of class {self.name(result.meant)}, {_percent(result.found)} are here."
        )

    def _tabulate(self, results: list[LassoResult]) -> str:
        rows = [
            (i, self.name(h.meant), f"{h.right:,}", f"{h.wrong:,}", _percent(h.purity), _percent(h.found))
            for i, h in enumerate(results, 1)
        ]
        head = "".join(f'<th scope="col">{name}</th>' for name in _COLUMNS)
        body = "".join(
            f"<tr>{''.join(f'<td>{html.escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
        )
        return f'<table class="vw-lasso-results"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
