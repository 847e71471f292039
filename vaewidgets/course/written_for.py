"""The version of the package that a notebook was written for, and a message if it is another one.

Copies are never overwritten. So a student who updates the package continues in notebooks of an earlier
version. Each notebook has its version in its metadata, ``{"vaewidgets": {"version": "0.1.0"}}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

#: A larger file is no notebook of this package, and a longer text is no version of it.
LARGEST_FILE = 100_000_000
LONGEST_VERSION = 40


def version_of(path: str | os.PathLike[str]) -> Version | None:
    """Return the version that a notebook was written for.

    Returns
    -------
    Version or None
        Without a local label. None if the file does not state one or is no notebook.

    Examples
    --------
    >>> metadata = {"vaewidgets": {"version": "0.1.0"}}
    >>> _ = Path("x.ipynb").write_text(json.dumps({"metadata": metadata, "cells": []}))
    >>> version_of("x.ipynb")
    <Version('0.1.0')>
    """
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return None
        text = json.loads(path.read_bytes())["metadata"]["vaewidgets"]["version"]
        # A build with a local label is no other version.
        return Version(Version(text).public) if len(text) <= LONGEST_VERSION else None
    # A notebook may come from anyone and hold anything.
    except (OSError, ValueError, TypeError, LookupError, RecursionError, InvalidVersion):
        return None


def line_of(path: str | os.PathLike[str], installed: str) -> str:
    """Write a line if a notebook is older or newer than the package; "" if it is neither.

    Parameters
    ----------
    path : path
    installed : str
        The version of the package.

    Examples
    --------
    >>> line_of("no-such-notebook.ipynb", "0.1.0")
    ''
    """
    version, here = version_of(path), Version(Version(installed).public)
    if version is None or version == here:
        return ""
    both = f"This notebook was written for vaewidgets {version}, and this is {installed}."
    if version < here:
        return f"{both} To get the new one beside it: vaewidgets copy NEW-FOLDER, in a terminal."
    return f"{both} Update vaewidgets, or expect cells that fail."


def line_of_all(paths: Iterable[Path], installed: str) -> str:
    """Write a line that names the notebooks that are older than the package; "" if none is."""
    versions = {path: version_of(path) for path in paths}
    old = {path.name: v for path, v in versions.items() if v is not None and v < Version(installed)}
    if not old:
        return ""
    of = ", ".join(map(str, sorted(set(old.values()))))
    return (
        f"written for vaewidgets {of}, and this is {installed}: {', '.join(old)}. "
        "To get the new ones beside them: vaewidgets copy NEW-FOLDER"
    )


def line_of_this_notebook(installed: str) -> str:
    """Write the line of `line_of` for the notebook whose kernel this process is, as Jupyter tells it."""
    path = os.environ.get("JPY_SESSION_NAME")
    try:
        return line_of(path, installed) if path else ""
    except Exception:  # whatever is wrong with the notebook's file, the package must import
        return ""
