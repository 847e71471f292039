"""What a panel has made while it was built, so that closing it closes all of that and nothing else.

Children are not enough: a control may never be shown, every control has a layout and a style of its own, and
ipywidgets keeps each in its registry until it is closed. Nor is everything that can be reached from a panel
its own: a layout may have been passed in, a widget put among its children.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar

from ipywidgets import Widget
from ipywidgets.widgets.widget import _instances

#: The panels that are being built here, the outermost first. Other threads build theirs.
_building: ContextVar[tuple] = ContextVar("building", default=())


def note_made(init: Callable) -> Callable:
    """Have a panel's ``__init__`` note every widget that is made meanwhile; close them if it raises."""

    @functools.wraps(init)
    def wrapped(self, *args, **keywords) -> None:
        building = _building.get()
        if any(panel is self for panel in building):  # of a subclass, which notes already
            init(self, *args, **keywords)
            return
        self._to_close = []
        _listen()
        token = _building.set((*building, self))
        try:
            init(self, *args, **keywords)
        except BaseException:
            close_made(self)
            Widget.close(self)
            raise
        finally:
            _building.reset(token)

    return wrapped


def close_made(panel) -> None:
    """Close what `panel` has made, but for layouts and styles that widgets of others have taken over."""
    made, panel._to_close = getattr(panel, "_to_close", []), []
    own = {id(widget) for widget in made}
    taken = {
        id(widget._trait_values.get(name))
        for widget in list(_instances.values())
        if id(widget) not in own
        for name in ("layout", "style")
    }
    # What holds others goes first: the page saves a control whose layout or child is taken from it.
    for widget in reversed(made):
        if widget is not panel and id(widget) not in taken:
            widget.close()


def _listen() -> None:
    """Have ipywidgets tell of each widget that it makes; it tells one listener, who tells the one before."""
    before = Widget._widget_construction_callback
    if getattr(before, "is_ours", False):
        return

    def note(widget: Widget) -> None:
        if before is not None:
            before(widget)
        for panel in _building.get():
            panel._to_close.append(widget)

    note.is_ours = True
    Widget.on_widget_constructed(note)
