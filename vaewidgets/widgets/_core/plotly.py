"""Plotly, imported without something large that nothing here needs: panels take it from here.

Plotly looks for nbformat, that loads jsonschema, and that builds a grammar of internationalised addresses
(RFC 3987) if the package for it is there, as it is with JupyterLab. It took 1.4 of the 3.9 seconds of
processor time between a kernel's start and its first explorer, and 17 MB; where the package is missing,
jsonschema does without.
"""

from __future__ import annotations

import re

from vaewidgets._utils.private_apis import FIGURE_STATE, add_config, missing

from .bundle import bundle_value
from .panel import read_styles

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


def _join_module(plotly: str, wrapper: str) -> str:
    """Let `wrapper`, an expression of a function, make the default export out of that of Plotly's module.

    Raises
    ------
    ValueError
        Plotly's module has no default export.
    """
    exports = list(re.finditer(r"\bexport\s*\{[^{}]*?([\w$]+) as default\s*\}\s*;?", plotly))
    if not exports:
        raise ValueError("no `export { ... as default }` found: is this a version of plotly from after 2026?")
    last = exports[-1]
    return f"{plotly[: last.start()]}{plotly[last.end() :]}\nexport default ({wrapper})({last[1]});\n"


class FigureWidget(_FigureWidget):
    """Plotly's, which every page and view is given as it is now: later ones, reloaded ones, and in Voila.

    Plotly sends every change to the views that are open. A view that comes later would get the figure as it
    was made, so make it whole, from a ``go.Figure``; what is edited afterwards is sent to it on request.
    """

    _esm = _join_module(str(_FigureWidget._esm), bundle_value("_core/plotly.js"))
    _css = read_styles("_core/plotly.css")

    _made = False

    def __init__(self, data=None, layout=None, **keywords) -> None:
        super().__init__(data, layout, **keywords)
        add_config(self, _BAR)
        self.add_class("vw-figure")
        self.on_msg(self._answer)
        self._made = True
        self.open()

    def open(self) -> None:
        """Tell the page of the figure once it is made: Plotly would open it empty and then fill it."""
        if self._made:
            super().open()

    def get_state(self, key=None, drop_defaults=False):
        """Return the state, or a piece of it, as ipywidgets' ``Widget.get_state`` does."""
        state = super().get_state(key, drop_defaults)
        if self._made:
            for name in FIGURE_STATE.keys() & state.keys():
                state[name] = self.trait_metadata(name, "to_json")(FIGURE_STATE[name](self), self)
        return state

    def _answer(self, _, content: dict, buffers) -> None:
        """Send the figure as it is to a view that came after it was edited."""
        if content.get("type") == "vw_state":
            self.send_state(list(FIGURE_STATE))
            self.send({"type": "vw_state"})
