"""Every private name of another package that we use, with the versions, the reason and its end.

No other module uses one, and `tests/_utils/test_private_apis.py` fails when one of these is no longer needed.
Callers pass the objects in, so nothing is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from uuid import uuid4

#: Plotly 6 and 7: the traits of a FigureWidget by which it is drawn. Plotly sends edits to the views that are
#: there; one that comes later gets what these held when the figure was made (plotly/plotly.py issue 4998).
#: Until they follow the figure, we fill them with what it is now whenever their state is asked for.
FIGURE_STATE: dict[str, Callable[[Any], object]] = {
    "_widget_layout": lambda figure: figure.layout.to_plotly_json(),
    "_widget_data": lambda figure: [trace.to_plotly_json() for trace in figure.data],
}

#: pip 24 to 26: a program that runs it as if on another machine, whose markers are its first argument. pip
#: evaluates the "only if" of requirements for the machine that it runs on, whatever --platform says: without
#: this, Windows gets Linux's CUDA and lacks pywinpty. Needed until pip has an option for it.
PIP_ELSEWHERE = """
import json, runpy, sys
from pip._vendor.packaging import markers
here, there = markers.default_environment, json.loads(sys.argv.pop(1))
markers.default_environment = lambda: {**here(), **there}
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""


def is_from_page(widget: Any) -> bool:
    """Tell whether the change of a widget that is being handled came from the page, not from Python.

    ipywidgets 8.1 holds this lock exactly while it applies a message from the page, and tells observers
    nothing of where a change comes from (jupyter-widgets/ipywidgets issue 2015).
    """
    return bool(widget._property_lock)


def page_knows(widget: Any, state: dict[str, Any]) -> AbstractContextManager[None]:
    """Set traits of a widget in this block without a message to the page, which knows the state already.

    The public ``hold_sync`` of ipywidgets 8.1 only delays the message.
    """
    return widget._lock_property(**state)


def living_widgets(kind: type) -> dict[str, Any]:
    """Return the registry of widgets that are not closed, by model id; `kind` is `ipywidgets.Widget`.

    Call it at import: at the end of the process, when panels are closed, modules no longer exist. ipywidgets
    8.1 warns that the public ``Widget.widgets`` will be removed.
    """
    return sys.modules[kind.__module__]._instances


def construction_callback(kind: Any) -> Callable | None:
    """Return the function that is called for each new widget; `kind` is `ipywidgets.Widget`.

    ipywidgets 8.1 calls only one function, so a second one has to call the first.
    """
    return kind._widget_construction_callback


def model_id_asked_for(widget: Any) -> str | None:
    """Return the model id that a widget was made with: ipywidgets 8.1 has no ``model_id`` until it opens."""
    return widget._model_id


def name_model(widget: Any) -> str:
    """Return the model id that a widget has in the page or will have there: ipywidgets 8.1 says it late."""
    widget._model_id = widget._model_id or uuid4().hex
    return widget._model_id


def edits_of(figure: Any) -> list[int]:
    """Count the edits of a FigureWidget's traces and of its layout.

    Plotly 6 and 7 send the counts to the page with every edit, but the edits themselves to views alone.
    """
    return [figure._last_trace_edit_id, figure._last_layout_edit_id]


def add_config(figure: Any, options: dict[str, Any]) -> None:
    """Set options of plotly.js's ``config``: a figure widget of Plotly 6 and 7 has no public way to it."""
    figure._config = {**figure._config, **options}


@contextmanager
def missing(name: str) -> Iterator[None]:
    """Hide the package of this name from imports in this block, unless it is imported already.

    For plotly 6 and 7, which look for nbformat. nbformat imports jsonschema, which loads a grammar of
    international addresses at import (python-jsonschema/jsonschema issue 1428).
    """
    hidden = name not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # for Python's import, "there is none"
    try:
        yield
    finally:
        if hidden:
            del sys.modules[name]


def allow_steps_outside_graphs(optimizer: Any) -> None:
    """Stop a capturable optimizer from warning that it steps outside a CUDA graph.

    torch 2.6 to 2.14 warn at the first such step, although it is allowed: short batches and the steps before
    a recording need it (pytorch/pytorch pull request 77862).
    """
    optimizer._warned_capturable_if_run_uncaptured = True


def has_forward_hooks(module: object) -> bool:
    """Tell whether a module of torch has forward hooks, which torch 2 lists nowhere else."""
    return any(getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks"))
