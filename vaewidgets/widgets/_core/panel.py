"""What every panel shares: a guard on keywords, a stable repr, and a line where errors show."""

from __future__ import annotations

import difflib
import html
import inspect
from collections.abc import Callable, Iterable
from contextlib import contextmanager

import ipywidgets as widgets

from vaewidgets._utils.private_apis import is_from_page, page_knows

from .model_lock import unfollow
from .owned_widgets import close_widgets, record_widgets
from .page_module import PageModule


class PanelStyle(PageModule):
    """What ipywidgets' controls lack in the page.

    Its element has ``data-vw-hears="true"`` once all widgets of ours hear the kernel.
    """

    _module = "_core/panel.js"


class Panel(widgets.VBox):
    """A stateful panel: one public source of truth, controls that write it, one observer that renders it.

    Subclasses build their children as plainly named attributes, hand them to ``super().__init__``,
    and connect them with `listen`, so that no failure is silent. What they make until ``__init__`` returns
    is the panel's own, shown or not, and is closed with it.
    """

    def __init_subclass__(cls, **keywords) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in vars(cls):
            setattr(cls, "__init__", record_widgets(cls.__init__))  # noqa: B010 - mypy allows no other form

    @record_widgets
    def __init__(self, children, **layout) -> None:
        self.error_line = widgets.HTML()
        # Below the controls, which come first: at the end of a tall panel nobody sees it.
        super().__init__([PanelStyle(), *children[:1], self.error_line, *children[1:]], **layout)
        self.add_class("vw-panel")

    def _repr_mimebundle_(self, **options) -> dict:
        """Add what stands in place of the panel where a notebook has not run here, or is not trusted."""
        bundle = super()._repr_mimebundle_(**options)
        bundle["text/html"] = f"<p>{html.escape(bundle['text/plain'])}: run this cell to have the panel.</p>"
        return bundle

    def check_keywords(self, keywords: dict, also: Iterable[str] = ()) -> None:
        """Raise TypeError for a keyword that no trait answers to; ipywidgets itself would only warn.

        `also` are names that the panel takes out of its keywords itself.
        """
        own = [p.name for p in inspect.signature(type(self).__init__).parameters.values()][1:]
        for name in keywords:
            if not self.has_trait(name):
                near = difflib.get_close_matches(name, [*own, *also, *self.trait_names()], 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{type(self).__name__} has no keyword {name!r}.{hint}")

    def listen(self, control: widgets.Widget, handler: Callable, name: str = "value") -> None:
        """Call ``handler(new value)`` when `control` changes, with errors reported."""

        def callback(change) -> None:
            with self.report(from_page=is_from_page(change.owner)):
                handler(change.new)

        control.observe(callback, name)

    def press(self, button: widgets.Button, handler: Callable) -> None:
        """Call ``handler()`` when `button` is clicked, with errors reported."""

        def callback(_) -> None:
            with self.report(from_page=True):
                handler()

        button.on_click(callback)

    def close(self) -> None:
        """Close the panel and all that it has made: nothing of it goes on in the page or in the kernel."""
        unfollow(self)
        close_widgets(self)
        super().close()

    @contextmanager
    def report(self, *, from_page: bool):
        """Show an exception in the error line; raise it again unless the page made the call."""
        # At first, not at the end: another thread's error that comes meanwhile stays.
        self.error_line.value = ""
        try:
            yield
        except Exception as error:
            self.show_error(error)
            if not from_page:
                raise

    def show_error(self, error: BaseException) -> None:
        """Show an exception in the error line."""
        text = html.escape(f"{type(error).__name__}: {error}")
        self.error_line.value = f'<div class="vw-error" role="alert">{text}</div>'


def tree(widget: widgets.Widget) -> list[widgets.Widget]:
    """List a widget and all that is in it, each once."""
    waiting, seen = [widget], []
    while waiting:
        part = waiting.pop()
        seen.append(part)
        waiting += [child for child in getattr(part, "children", ()) if child not in seen]
    return seen


def set_quietly(widget: widgets.Widget, **state) -> None:
    """Set traits without telling the page, which knows already."""
    with page_knows(widget, state):
        for name, value in state.items():
            setattr(widget, name, value)


def format_point(z, digits: int = 2) -> str:
    """Format coordinates as (0.50, -1.20), never with a negative zero; of more than ten the first three."""
    numbers = [f"{round(v, digits) + 0.0:.{digits}f}" for v in z[: 10 if len(z) <= 10 else 3]]
    rest = [f"... {len(z)} numbers"] if len(z) > 10 else []
    return f"({', '.join(numbers + rest)})"


def title(text: str) -> widgets.HTML:
    """Make a heading of a part of a panel."""
    return widgets.HTML(f'<div class="vw-title">{html.escape(text)}</div>')


def note_html(text: str, kind: str = "note") -> str:
    """Wrap plain text, a "note" or the panel's "state", for a widgets.HTML, which would run markup."""
    return f'<div class="vw-{kind}">{html.escape(text)}</div>'
