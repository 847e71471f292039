"""``vaewidgets copy``: copy the notebooks into a folder, or into one for each student of a workshop."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vaewidgets._utils.text import sanitize_lines
from vaewidgets._version import __version__


def add_arguments(parser) -> None:
    """Add the options of ``vaewidgets copy`` to an argparse parser."""
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("folder", nargs="?", metavar="DIR", help="made if it does not exist")
    where.add_argument(
        "--workshop", metavar="DIR", help="prepare DIR/student-01, student-02, ... (default: no workshop)"
    )
    parser.add_argument(
        "--students",
        type=int,
        metavar="N",
        help="of a workshop, which needs it: so many folders (default: none)",
    )
    parser.add_argument("--solutions", action="store_true", help="with the solved exercises, for the teacher")


def run(args) -> int:
    """Copy the notebooks and print what was copied; return the exit status."""
    if (args.workshop is None) != (args.students is None):
        raise ValueError("--workshop DIR and --students N go together: folders for N students in DIR.")
    if args.workshop is None:
        with warnings_as_lines(args.command):
            report_copy(Path(args.folder), solutions=args.solutions)
        report_older(Path(args.folder))
        return 0
    if args.solutions:
        raise ValueError("--solutions are the teacher's; no student's folder gets them. Copy them alone.")
    from vaewidgets.course import workshop

    with warnings_as_lines(args.command):
        made, left = workshop.prepare(args.workshop, args.students)
    for path in left:
        print(f"left {path} as it is")
    print(f"made {count('folder', len(made))} in {args.workshop}")
    return 0


def report_copy(folder: Path, *, solutions: bool = False) -> None:
    """Copy the notebooks, and print what was copied and what was kept."""
    from vaewidgets.course.notebooks import copy_notebooks

    written, kept = copy_notebooks(folder, solutions=solutions)
    for path in kept:
        print(f"kept {path}: yours differs from the one in this version; move it away to get that")
    print(f"copied {count('file', len(written))} to {folder}")


def report_older(folder: Path) -> None:
    """Print which notebooks of a folder were written for an older version, if any were."""
    from vaewidgets.course.notebooks import course_in
    from vaewidgets.course.written_for import line_of_all

    if line := line_of_all(course_in(folder), __version__):
        print(line)


@contextmanager
def warnings_as_lines(command: str) -> Iterator[None]:
    """Print the warnings of a ``with`` block like the command's error messages, without a line of source."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"vaewidgets {command}: {sanitize_lines(str(warning.message))}", file=sys.stderr)


def count(noun: str, number: int) -> str:
    """Return a number with its noun, in the plural unless it is one.

    Examples
    --------
    >>> count("file", 1), count("file", 3)
    ('1 file', '3 files')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
