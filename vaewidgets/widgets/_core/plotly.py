"""Plotly, imported without something large that nothing here needs: panels take it from here.

Plotly looks for nbformat, that loads jsonschema, and that builds a grammar of internationalised addresses
(RFC 3987) if the package for it is there, as it is with JupyterLab. It took 1.4 of the 3.9 seconds of
processor time between a kernel's start and its first explorer, and 17 MB; where the package is missing,
jsonschema does without.
"""

from __future__ import annotations

from functools import cache

import traitlets

from vaewidgets._utils.private_apis import FIGURE_STATE, add_config, edits_of, missing

from .page_module import Asset, PageModule

with missing("rfc3987_syntax"):
    import plotly.graph_objects as go
    from plotly.graph_objects import FigureWidget as _FigureWidget  # it is this that looks for nbformat
    from plotly.subplots import make_subplots

__all__ = ["FigureWidget", "go", "make_subplots"]

#: Plotly's bar without what leaves the machine, and without tools that keep the mouse from the cursor.
_BAR = {
    "displaylogo": False,
    "showSendToCloud": False,
    "modeBarButtons": [["zoomIn2d", "zoomOut2d", "resetScale2d"]],
}


@cache
def _plotly_module() -> Asset:
    """Return the module that draws Plotly's own FigureWidget."""
    return Asset(str(_FigureWidget._esm).encode())


class FigureWidget(PageModule, _FigureWidget):
    """Plotly's, which every page and view is given as it is now: later ones, reloaded ones, and in Voila.

    Plotly sends every change to the views that are open. A view that comes later would get the figure as it
    was made, so make it whole, from a ``go.Figure``; what is edited afterwards is sent to it on request.

    Attributes
    ----------
    plotly : str
        The hash of Plotly's module.
    edits : list of int
        How many edits of traces and layout the state that the page was given holds.
    """

    _module = "_core/plotly.js"
    plotly = traitlets.Unicode().tag(sync=True)
    edits = traitlets.List(traitlets.Int()).tag(sync=True)

    _made = False

    def __init__(self, data=None, layout=None, **keywords) -> None:
        super().__init__(data, layout, **keywords)
        self.plotly = _plotly_module().hash
        add_config(self, _BAR)
        self.add_class("vw-figure")
        self.on_msg(self._answer)
        self._made = True
        self.open()

    def open(self) -> None:
        """Tell the page of the figure once it is made: Plotly would open it empty and then fill it."""
        if self._made:
            super().open()

    def assets(self) -> list[Asset]:
        """List what the page may ask this widget for."""
        return [*super().assets(), _plotly_module()]

    def get_state(self, key=None, drop_defaults=False):
        """Return the state, or a piece of it, as ipywidgets' ``Widget.get_state`` does."""
        state = super().get_state(key, drop_defaults)
        if self._made:
            for name in FIGURE_STATE.keys() & state.keys():
                state[name] = self.trait_metadata(name, "to_json")(FIGURE_STATE[name](self), self)
            if "edits" in state:
                state["edits"] = edits_of(self)
        return state

    def _answer(self, _, content: dict, buffers) -> None:
        """Send the figure as it is to a view that came after it was edited."""
        if content.get("type") == "vw_state":
            self.send_state([*FIGURE_STATE, "edits"])
            self.send({"type": "vw_state"})
