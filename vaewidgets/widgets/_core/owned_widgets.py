"""What a panel makes while it is built: told to the page when it is whole, and closed with the panel.

A page on a slow machine may draw a model long before it hears what the kernel says after having made it, or
never hear that. So nothing is said of any part until all of them are as the panel wants them.

Closing a panel closes all that it has made and nothing else.
Children are not enough: a control may never be shown, every control has a layout and a style of its own, and
ipywidgets keeps each in its registry until it is closed. Nor is everything that can be reached from a panel
its own: a layout may have been passed in, a widget put among its children.
"""

from __future__ import annotations

import functools
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from ipywidgets import Widget

from vaewidgets._utils.private_apis import construction_callback, living_widgets, model_id_asked_for
from vaewidgets.models.vae import unwrap_arguments

_living = living_widgets(Widget)
#: The panels that are being built here, the outermost first. Other threads build theirs.
_building: ContextVar[tuple] = ContextVar("building", default=())


def record_widgets(init: Callable) -> Callable:
    """Have a panel's ``__init__`` note every widget that it makes, and tell the page of them at its end.

    It is given the models inside what torch puts around them (`unwrap`).

    If it raises, they are closed, and the page has never heard of them.
    """

    @unwrap_arguments
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
            if not building:
                for widget in self._to_close:
                    _tell_of(widget, self)
        except BaseException:
            close_widgets(self)
            Widget.close(self)
            raise
        finally:
            _building.reset(token)

    return wrapped


def close_widgets(panel) -> None:
    """Close what `panel` has made, but for layouts and styles that widgets of others have taken over."""
    made, panel._to_close = getattr(panel, "_to_close", []), []
    own = {id(widget) for widget in made}
    taken = {
        id(getattr(widget, name))
        for widget in list(_living.values())
        if id(widget) not in own
        for name in ("layout", "style")
        if widget.trait_has_value(name)
    }
    # What holds others goes first: the page saves a control whose layout or child is taken from it.
    for widget in reversed(made):
        if widget is not panel and id(widget) not in taken:
            widget.close()


def _listen() -> None:
    """Have ipywidgets tell of each widget that it makes; it tells one listener, who tells the one before."""
    before = construction_callback(Widget)
    if getattr(before, "is_ours", False):
        return

    def note(widget: Widget) -> None:
        if before is not None:
            before(widget)
        building = _building.get()
        for panel in building:
            panel._to_close.append(widget)
        if building:
            widget.comm, widget.open = _Waiting(model_id_asked_for(widget)), _do_nothing

    note.__dict__["is_ours"] = True
    Widget.on_widget_constructed(note)


class _Waiting:
    """In place of a widget's comm until the page is told of it: with `kernel` None ipywidgets sends nothing.

    Attributes
    ----------
    comm_id : str
        As the comm to come will have it.
    """

    kernel = None

    def __init__(self, comm_id: str | None) -> None:
        self.comm_id = comm_id or uuid.uuid4().hex

    def on_msg(self, callback: Callable) -> None:
        """Hear nothing."""

    def close(self) -> None:
        """Be forgotten."""


def _do_nothing() -> None:
    pass


def _tell_of(widget: Widget, panel: Widget) -> None:
    """Open a widget that waits, after those that its state speaks of: the page looks them up at once."""
    if not isinstance(widget.comm, _Waiting):
        return
    widget.comm = None
    _put_off(widget, panel)
    for name in widget.keys:
        for other in _widgets_in(getattr(widget, name)):
            _tell_of(other, panel)
    del widget.open
    widget.open()


def _put_off(widget: Widget, panel: Widget) -> None:
    """Leave layout and style to be made when somebody asks for them: most never are, and each is a widget."""
    names = [n for n in ("layout", "style") if n in widget.keys and not widget.trait_has_value(n)]
    widget.keys = [name for name in widget.keys if name not in names]
    for name in names:
        # Where traitlets looks for a default of one object.
        setattr(widget, f"_{name}_default", functools.partial(_make, weakref.ref(panel), name))


def _make(panel: Callable[[], Any], name: str, widget: Widget) -> Widget:
    """Make the layout or the style of a widget, and tell the page of it."""
    delattr(widget, f"_{name}_default")
    made = widget.traits()[name].make_dynamic_default()
    if owner := panel():
        owner._to_close.append(made)
    widget.keys = [*widget.keys, name]
    setattr(widget, name, made)
    return made


def _widgets_in(value) -> Iterator[Widget]:
    if isinstance(value, Widget):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _widgets_in(each)
    elif isinstance(value, dict):
        yield from _widgets_in(list(value.values()))
