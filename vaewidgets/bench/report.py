"""What the measurements share: numbers of the command line, tables, the machine, and JSON without NaN."""

from __future__ import annotations

import argparse
import math
import os
import platform
from collections.abc import Callable, Sequence
from importlib import metadata

from vaewidgets._utils.text import align
from vaewidgets._utils.threads import available_cpus
from vaewidgets._version import __version__


def whole_number(most: int) -> Callable[[str], int]:
    """Make the ``type`` of an argparse argument that takes a number from 1 to `most`.

    Examples
    --------
    >>> whole_number(1000)("30")
    30
    """

    def parse(text: str) -> int:
        if not text.isdigit() or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a number from 1 to {most}; got {text!r}")
        return int(text)

    return parse


def check_at_least_one(args: argparse.Namespace, *names: str) -> None:
    """Raise ValueError if one of these options is below 1; None stands for an option that was not given.

    Examples
    --------
    >>> check_at_least_one(argparse.Namespace(images=20, draws=None), "images", "draws")
    """
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} must be at least 1; got {value}.")


def check_positive(args: argparse.Namespace, *names: str) -> None:
    """Raise ValueError if one of these options is not positive.

    Examples
    --------
    >>> check_positive(argparse.Namespace(seconds=0.5), "seconds")
    """
    for name in names:
        if not getattr(args, name) > 0:
            raise ValueError(f"--{name} must be positive; got {getattr(args, name)}.")


def ruled(rows: Sequence[Sequence[str]], *, rule_after: int) -> list[str]:
    """Align rows of text in columns, with a line of hyphens after the first `rule_after` rows.

    Examples
    --------
    >>> print("\\n".join(ruled([["design", "1/s"], ["ours", "60"]], rule_after=1)))
    design  1/s
    -----------
    ours     60
    """
    lines = align(rows)
    return [*lines[:rule_after], "-" * len(lines[0]), *lines[rule_after:]]


def machine() -> dict[str, object]:
    """Describe this machine: ``cpus``, ``load`` (processes that wait for them; None on Windows), ``system``.

    Examples
    --------
    >>> list(machine())
    ['cpus', 'load', 'system']
    """
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {"cpus": available_cpus(), "load": load, "system": platform.platform()}


def software(*packages: str) -> str:
    """Name this package, Python and those of `packages` that are installed, with their versions.

    Examples
    --------
    >>> software("torch", "no-such-package").split()[::2]
    ['vaewidgets', 'Python', 'torch']
    """
    versions = [f"{name} {metadata.version(name)}" for name in packages if is_installed(name)]
    return ", ".join([f"vaewidgets {__version__}", f"Python {platform.python_version()}", *versions])


def is_installed(name: str) -> bool:
    """Tell whether a package of this name is installed.

    Examples
    --------
    >>> is_installed("torch"), is_installed("no-such-package")
    (True, False)
    """
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def without_nan(value):
    """Replace NaN, which JSON does not know, by None in nested dicts, lists and tuples.

    Examples
    --------
    >>> without_nan({"rates": (1.5, math.nan)})
    {'rates': [1.5, None]}
    """
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
