"""Folders with the notebooks for the students of a workshop; none that exists is changed."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

from . import notebooks

#: A name longer than this makes paths that Windows cannot open.
LONGEST_NAME = 64
#: Most folders that are made at a time; more are taken for a typing error.
MOST_STUDENTS = 500

#: Names that Windows reserves for devices, whatever follows their first dot.
_DEVICES = {"con", "prn", "aux", "nul", "conin", "conout"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}


def open_folder(workshop: str | os.PathLike[str], name: str | None = None) -> tuple[Path, bool, list[Path]]:
    """Make a student's folder with all notebooks, or open the one that is there.

    Parameters
    ----------
    workshop : path
        The folder of the workshop, perhaps on a disk that many machines share. Made if it does not exist.
    name : str, optional
        The student's folder. If None it is the next free one of ``student-01``, ``student-02``, ...: two
        students who start at the same moment never get the same one.

    Returns
    -------
    (folder, new, written) : tuple of Path, bool and list of Path
        `new` is false if the folder was there; then `written` are the notebooks that were missing in it.

    Raises
    ------
    ValueError
        `name` or `workshop` cannot be used; nothing has been written then.
    OSError
        The disk is full or cannot be written.
    """
    if name is None:
        room, new = _room(workshop), True
        folder = next(folder for folder in map(room.joinpath, _numbered()) if _make(folder))
    else:
        check_name(name)
        folder = _room(workshop) / name
        new = _make(folder)
        if folder.is_symlink() or not folder.is_dir():
            kind = "a link" if folder.is_symlink() else "a file"
            raise ValueError(
                f"{folder} is {kind}; expected a student's folder, new or old. Take another name."
            )
    return folder, new, notebooks.copy_notebooks(folder)[0]


def prepare(workshop: str | os.PathLike[str], students: int) -> tuple[list[Path], list[Path]]:
    """Make the folders ``student-01``, ``student-02``, ... before the students come.

    Parameters
    ----------
    workshop : path
        As of `open_folder`.
    students : int
        Number of folders, from 1 to `MOST_STUDENTS`.

    Returns
    -------
    (made, left) : lists of Path
        New folders, and those that were there, which are left as they are.

    Raises
    ------
    ValueError, OSError
        As of `open_folder`.
    """
    if not 1 <= students <= MOST_STUDENTS:
        raise ValueError(f"students must be from 1 to {MOST_STUDENTS}; got {students}.")
    room = _room(workshop)
    made: list[Path] = []
    left: list[Path] = []
    for folder in map(room.joinpath, itertools.islice(_numbered(), students)):
        if _make(folder):
            notebooks.copy_notebooks(folder, sign=not made)
            made.append(folder)
        else:
            left.append(folder)
    return made, left


def check_name(name: str) -> None:
    """Check that every system can make a folder of this name, and that it is inside the workshop.

    Raises
    ------
    ValueError
        It cannot; the message says why.

    Examples
    --------
    >>> check_name("Ada")
    >>> check_name("../Ada")
    Traceback (most recent call last):
        ...
    ValueError: --student '../Ada' cannot name a folder: '/' may not be in it. Take letters, digits, spaces \
and - _ . @ inside.
    """
    if not name:
        reason = "it is empty"
    elif len(name) > LONGEST_NAME:
        reason = f"it has {len(name)} characters, and {LONGEST_NAME} are the most"
    elif stray := re.sub(r"[\w .@-]", "", name):
        reason = f"{stray[0]!r} may not be in it"
    elif name[0] in ".- " or name[-1] in ". ":
        reason = f"it {'begins' if name[0] in '.- ' else 'ends'} with a dot, a space or a hyphen"
    elif name.split(".")[0].strip().lower() in _DEVICES:
        reason = "Windows keeps it for a device"
    else:
        return
    raise ValueError(
        f"--student {name!r} cannot name a folder: {reason}. Take letters, digits, spaces and - _ . @ inside."
    )


def _numbered():
    return (f"student-{number:02}" for number in itertools.count(1))


def _room(workshop: str | os.PathLike[str]) -> Path:
    """Make the folder of the workshop if it does not exist; raise an error if it cannot be used."""
    workshop = Path(workshop)
    room = workshop.resolve()
    if workshop.is_symlink() and not room.exists():
        raise ValueError(f"{workshop} is a link to {room}, which is not there. Make or mount that.")
    notebooks.check_folder(workshop)
    checkout = notebooks.shipped_notebooks()[1]
    ours = Path(notebooks.__file__).parents[2 if checkout else 1]
    if room.is_relative_to(ours):
        kind = "the checkout" if checkout else "the installed package"
        raise ValueError(
            f"{room} is inside {kind} {ours}: what cleans or updates that would take the students' work "
            "along. Name a folder outside of it."
        )
    try:
        room.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(room, error) from error
    return room


def _make(folder: Path) -> bool:
    """Make the folder and tell whether it is new; of several processes at once only one gets True."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    except OSError as error:
        raise _unwritable(folder, error) from error
    return True


def _unwritable(folder: Path, error: OSError) -> OSError:
    return OSError(
        f"{folder} cannot be made: {error.strerror}. Name a folder where every student may write, "
        "or have its permissions changed."
    )
