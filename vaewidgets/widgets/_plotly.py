"""Plotly, imported without something large that nothing here needs: panels take it from here.

Plotly looks for nbformat, that loads jsonschema, and that builds a grammar of internationalised addresses
(RFC 3987) if the package for it is there, as it is with JupyterLab. It took 1.4 of the 3.9 seconds of
processor time between a kernel's start and its first explorer, and 17 MB; where the package is missing,
jsonschema does without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy


@contextmanager
def _missing(name: str) -> Iterator[None]:
    """Let an optional package look as if it were not installed, unless somebody has imported it already."""
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # what Python's import takes for "there is none"
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


with _missing("rfc3987_syntax"):
    import plotly.graph_objects as go
    from plotly.graph_objects import FigureWidget as _FigureWidget  # it is this that looks for nbformat
    from plotly.subplots import make_subplots

__all__ = ["FigureWidget", "go", "make_subplots"]


class FigureWidget(_FigureWidget):
    """Plotly's, which a page that asks for its state gets as it is now: when reloaded, and in Voila.

    Plotly sends every change to the pages that are open, but keeps the state for others only where the
    figure itself is displayed. Inside a panel they would get the figure as it was made: empty.
    """

    def get_state(self, key=None, drop_defaults=False):
        """Return the state, or a piece of it, as ipywidgets' ``Widget.get_state`` does."""
        state = super().get_state(key, drop_defaults)
        if key is None and hasattr(self, "_layout_obj"):  # asked before that while it is made
            for name, value in (("_widget_layout", self._layout_obj._props), ("_widget_data", self._data)):
                state[name] = self.trait_metadata(name, "to_json")(deepcopy(value), self)
        return state
