"""The version of the package that a notebook was written for, and a word where it is another one.

Copies are never overwritten, so a student who updates the package goes on in notebooks of the version before.
Each carries its version in its metadata, ``{"vaewidgets": {"version": "0.1.0"}}``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

#: A file larger than this, or a version longer than that, is none of ours.
LARGEST_FILE = 100_000_000
LONGEST_VERSION = 40


def version_of(path: str | os.PathLike[str]) -> Version | None:
    """Return the version that a notebook was written for; None where it does not say, or is none."""
    path = Path(path)
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_FILE:
            return None
        text = json.loads(path.read_bytes())["metadata"]["vaewidgets"]["version"]
        # Without a local label: a build of one's own is no other version.
        return Version(Version(text).public) if len(text) <= LONGEST_VERSION else None
    # Whoever brings a notebook along decides what stands in it.
    except (OSError, ValueError, TypeError, LookupError, RecursionError, InvalidVersion):
        return None


def line_of(path: str | os.PathLike[str], installed: str) -> str:
    """Say in one line that a notebook is older or newer than the package; nothing if neither."""
    version, here = version_of(path), Version(Version(installed).public)
    if version is None or version == here:
        return ""
    both = f"This notebook was written for vaewidgets {version}, and this is {installed}."
    if version < here:
        return f"{both} To get the new one beside it: vaewidgets copy NEW-FOLDER, in a terminal."
    return f"{both} Update vaewidgets, or expect cells that fail."


def line_of_all(paths: Iterable[Path], installed: str) -> str:
    """Say in one line which notebooks are older than the package; nothing if none is."""
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
    """Say the same of the notebook whose kernel this process is; Jupyter tells kernels its path."""
    path = os.environ.get("JPY_SESSION_NAME")
    try:
        return line_of(path, installed) if path else ""
    except Exception:  # nothing about a notebook's file may keep its kernel from the package
        return ""
