"""What the measurements share: columns of text, the machine, its software, and JSON without NaN."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from importlib import metadata

from vaewidgets._utils.threads import available_cpus
from vaewidgets._version import __version__


def align(rows: Sequence[Sequence[str]], *, rule_after: int) -> list[str]:
    """Set rows of words in columns, the first to the left and the others to the right.

    Parameters
    ----------
    rows : sequence of sequences of str
        All of one length.
    rule_after : int
        Rows above the line that parts the heads from the rest.

    Returns
    -------
    list of str
        One more line than `rows`.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        padded = [word.rjust(width) for word, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *padded]))
    lines.insert(rule_after, "-" * len(lines[0]))
    return lines


def machine() -> dict[str, object]:
    """Describe what the figures were measured on: ``cpus``, ``load`` before the start, ``system``."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpus": available_cpus(), "load": load, "system": platform.platform()}


def software(*packages: str) -> str:
    """Name this package, Python and those of `packages` that are installed, with their versions."""
    versions = [f"{name} {metadata.version(name)}" for name in packages if is_installed(name)]
    return ", ".join([f"vaewidgets {__version__}", f"Python {platform.python_version()}", *versions])


def is_installed(name: str) -> bool:
    """Whether there is a package of that name."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def without_nan(value):
    """Replace NaN by None: JSON has no word for it."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
