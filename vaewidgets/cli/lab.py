"""``vaewidgets lab``: JupyterLab on the notebooks, or on a copy of them."""

from __future__ import annotations

from pathlib import Path

from vaewidgets.bench.report import whole_number

from .copy import count, report_copy, report_older, warnings_as_lines


def add_arguments(parser) -> None:
    """Add the options of ``vaewidgets lab`` to an argparse parser."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "folder",
        nargs="?",
        metavar="DIR",
        help="copy the notebooks there first; keep what is there (default: a checkout's own, in place)",
    )
    where.add_argument(
        "--workshop",
        metavar="DIR",
        help="a fresh copy in the next free DIR/student-01, student-02, ... (default: no workshop)",
    )
    parser.add_argument(
        "--student",
        metavar="NAME",
        help="of a workshop: make DIR/NAME, or go on in it (default: the next number)",
    )
    parser.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    parser.add_argument(
        "--port", type=whole_number(65535), help="must be free (default: 8888, or the next that is)"
    )


def run(args) -> int:
    """Open JupyterLab on the notebooks, or on a copy of them; return its exit status."""
    from vaewidgets.course import notebooks

    if args.student is not None and args.workshop is None:
        raise ValueError("--student names a folder of a workshop; add --workshop DIR.")
    folder, checkout = notebooks.shipped_notebooks()
    copied = args.folder is not None or not checkout
    if copied:
        folder = Path(args.folder or notebooks.DEFAULT_FOLDER)
    folder = folder.resolve()
    options = dict(browser=args.browser, port=args.port, extra=args.extra)
    # Refuse before anything is copied.
    notebooks.lab_command(folder, **options)
    notebooks.check_start(args.port)
    with warnings_as_lines(args.command):
        if args.workshop is not None:
            folder = _open_student(args.workshop, args.student)
        elif copied:
            report_copy(folder)
        else:
            notebooks.sign_notebooks(folder)
    report_older(folder)
    if notebooks.is_root():
        print("Running as root: JupyterLab is started with --allow-root.")
    print(f"JupyterLab opens {folder}; Ctrl-C twice ends it.")
    return notebooks.launch(notebooks.lab_command(folder, **options))


def _open_student(room: str, name: str | None) -> Path:
    from vaewidgets.course import workshop

    folder, new, written = workshop.open_folder(room, name)
    if new:
        print(f"{folder} is new: {count('file', len(written))} copied")
    else:
        added = ": " + ", ".join(path.name for path in written) if written else ""
        print(f"going on in {folder}: nothing in it is touched, {count('file', len(written))} added{added}")
    print(f'to come back to it: vaewidgets lab --workshop "{folder.parent}" --student "{folder.name}"')
    return folder
