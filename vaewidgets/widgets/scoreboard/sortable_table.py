"""A table that its headers sort."""

from __future__ import annotations

from typing import Any

import traitlets

from vaewidgets.widgets._core.page_module import PageModule


class Table(PageModule):
    """A table whose headers sort it, by click or by key. All text is shown as text.

    Attributes
    ----------
    columns : list of dict
        ``key``, ``title`` and ``help`` of each.
    rows : list of list of dict
        Cells with a ``text``, a ``note`` in grey, and the ``value`` to sort by, None if missing. ``low`` and
        ``high``, shares from 0 to 1, draw an interval.
    sort : str
        Key of the column to sort by; empty for the order of `rows`.
    descending : bool
        Missing values come last in both orders.
    caption : str
        What the table shows.
    """

    _module = "scoreboard/sortable_table.js"
    caption = traitlets.Unicode("").tag(sync=True)
    columns: traitlets.List[Any] = traitlets.List().tag(sync=True)
    rows: traitlets.List[Any] = traitlets.List().tag(sync=True)
    sort = traitlets.Unicode("").tag(sync=True)
    descending = traitlets.Bool(False).tag(sync=True)

    def show(self, columns: list[dict], rows: list[list[dict]]) -> None:
        """Replace the columns and the rows, in one message."""
        with self.hold_sync():
            self.columns, self.rows = columns, rows

    def check_sort(self, key: str) -> str:
        """Return `key` if it is that of a column, or ""; raise ValueError for any other."""
        keys = [column["key"] for column in self.columns]
        # There are no columns before anything is measured. Then any key is allowed.
        if key and keys and key not in keys:
            raise ValueError(f"sort must be one of {', '.join(keys)}, or '' for none; got {key!r}.")
        return key
