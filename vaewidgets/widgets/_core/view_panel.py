"""A panel whose controls are all in the page: one view draws and moves the truth, the kernel hears of it."""

from __future__ import annotations

from collections.abc import Callable

from vaewidgets._utils.private_apis import is_from_page

from .panel import Panel


class ViewPanel(Panel):
    """A panel that keeps its traits equal to those of its one view, an anywidget, whoever changes them.

    Subclasses have `hold` make the view before ``super().__init__``.
    """

    def hold(self, make_view: Callable, *names: str, **state) -> None:
        """Make the view of this `state`, and keep the traits of these names equal in the panel and in it.

        The page is given all of it at once: what follows may come after it has drawn.
        """
        view = self.view = make_view(**{name: _plain(getattr(self, name)) for name in names}, **state)
        for name in names:
            self.listen(view, lambda value, name=name: self.set_trait(name, value), name)
            self.observe(self._to_view, name)

    def _to_view(self, change) -> None:
        with self.report(from_page=is_from_page(self.view)):
            setattr(self.view, change.name, _plain(change.new))


def _plain(value):
    return list(value) if isinstance(value, tuple) else value
