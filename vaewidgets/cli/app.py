"""The command line: ``vaewidgets lab | copy | wheels | train | evaluate | export | bench | doctor``.

This module holds only the names of the commands. Each command imports what it needs when it runs, so that
``vaewidgets lab`` does not wait for torch.
"""

from __future__ import annotations

import argparse
import os
import sys

from vaewidgets._utils.text import sanitize_lines
from vaewidgets._version import __version__
from vaewidgets.bench import cockpit as bench_cockpit
from vaewidgets.bench import drag as bench_drag
from vaewidgets.bench import page_cost as bench_page
from vaewidgets.bench import room as bench_room
from vaewidgets.bench import train as bench_train
from vaewidgets.course import doctor, offline_bundle

from . import copy, evaluate, export, lab, train


def main(argv: list[str] | None = None) -> int:
    """Run one command of the command line.

    Parameters
    ----------
    argv : list of str, optional
        The words after ``vaewidgets``; those of this process if None.

    Returns
    -------
    int
        The exit status: 0 done, 1 refused or failed, 130 ended by Ctrl-C, 143 by SIGTERM.

    Raises
    ------
    SystemExit
        The words are not understood (status 2), or ask for ``--help`` or ``--version`` (status 0).

    Examples
    --------
    >>> main(["copy", "--workshop", "room"])  # refused: --students is missing, as standard error says
    1
    """
    # Set before torch is loaded, here or in a kernel. Its threads spin for milliseconds while they wait for
    # each other. On cores that other programs use, small steps then take many times as long. Threads that
    # never spin halve the speed of an idle machine. A short spin (about ten microseconds) costs neither.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    argv = list(sys.argv[1:] if argv is None else argv)
    end = argv.index("--") if "--" in argv else len(argv)
    parser = _parser()
    args = parser.parse_args(argv[:end])
    args.extra = argv[end + 1 :]
    if args.extra and args.command != "lab":
        parser.error(f"{args.command} takes nothing after --; got {' '.join(args.extra)}")
    try:
        return args.run(args)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"vaewidgets {args.command}: {_said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"vaewidgets {args.command}: stopped", file=sys.stderr)
        return 130


def _said(error: Exception) -> str:
    """Return the message of an error, sanitized for a terminal and in terms of the command line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}."
    return sanitize_lines(text.replace("overwrite=True (--overwrite on the command line)", "--overwrite"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vaewidgets", description="Learn and teach variational autoencoders."
    )
    parser.add_argument("--version", action="version", version=f"vaewidgets {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    for command in (
        (
            "lab", lab, "open JupyterLab on the notebooks",
            "Open JupyterLab on the notebooks. What stands after -- goes to JupyterLab.",
        ),
        ("copy", copy, "copy the notebooks; never overwrite a file", None),
        (
            "wheels", offline_bundle, "download all that laptops without network need",
            "Download all that is to be installed on laptops without network into DIR/PLATFORM, with "
            "a README.txt of the commands to type there. Wheels that are there are kept.",
        ),
        (
            "train", train, "train a VAE, measure it on held-out images and store it",
            "Train a VAE, measure it on held-out images and store both. Ctrl-C stores what is there, "
            "and --resume goes on from it.",
        ),
        (
            "evaluate", evaluate,
            "measure a model on held-out images: ELBO, IWAE, KL, active units, neighbours",
            "Measure a stored model on images that it was not trained on, in nats per image.",
        ),
        ("export", export, "write a model for other tools", None),
    ):  # fmt: skip
        _add(commands, *command)

    measure = commands.add_parser("bench", help="measure panels and training (for who changes them)")
    subjects = measure.add_subparsers(dest="subject", metavar="WHAT", required=True)
    for command in (
        (
            "drag", bench_drag, "how soon and how often a picture follows a slider",
            "Drag a slider in JupyterLab and headless Chromium, of the explorer and of others, and print how "
            "soon and how often the picture followed. Needs the extra [bench].",
        ),
        (
            "page", bench_page, "what a page is sent, how soon it is there, and how quick its map is",
            "Run notebook 00 and maps of many points in JupyterLab and headless Chromium, and print the "
            "bytes that came, and times. With --beside DIR, another state of the package in turns with this "
            "one. Needs the extra [bench].",
        ),
        (
            "train", bench_train, "how fast a VAE trains, beside what people usually run",
            "Train one VAE on MNIST by this package, by a DataLoader, by hand and by pythae (if it is "
            "there), in turns, and print how fast each was and what it learned.",
        ),
        (
            "cockpit", bench_cockpit, "what it costs a training to be watched",
            "Train alone and under a cockpit in JupyterLab and headless Chromium, in turns, and print what "
            "the display cost and how soon a slider was answered. Needs the extra [bench].",
        ),
        (
            "room", bench_room, "how many students one server carries",
            "Start a server and a kernel with an explorer for each student, let all move a slider, and "
            "print how soon the kernels answered, what failed, and what memory and processor each one takes.",
        ),
    ):  # fmt: skip
        _add(subjects, *command)

    _add(commands, "doctor", doctor, "look for what is wrong with this installation", None)
    return parser


def _add(commands, name: str, module, what: str, how: str | None) -> None:
    """Add a command with the options and the function `run` of a module."""
    parser = commands.add_parser(name, help=what, description=how)
    module.add_arguments(parser)
    parser.set_defaults(run=module.run)
