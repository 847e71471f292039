"""What the measurements share: tables, the machine, its software, and JSON without NaN."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Sequence
from importlib import metadata

from vaewidgets._utils.text import align
from vaewidgets._utils.threads import available_cpus
from vaewidgets._version import __version__


def ruled(rows: Sequence[Sequence[str]], *, rule_after: int) -> list[str]:
    """Return rows as `align` sets them, with a line after so many of them: between the heads and the rest."""
    lines = align(rows)
    return [*lines[:rule_after], "-" * len(lines[0]), *lines[rule_after:]]


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
