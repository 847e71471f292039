"""The command line: ``vaewidgets lab | copy | wheels | train | evaluate | export | bench | doctor``.

Here is only what the words mean. Each command imports what it needs when it runs, so that
``vaewidgets lab`` does not wait for torch.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

from vaewidgets._utils.text import tame_lines
from vaewidgets._version import __version__
from vaewidgets.bench import cockpit as bench_cockpit
from vaewidgets.bench import drag as bench_drag
from vaewidgets.bench import room as bench_room
from vaewidgets.bench import train as bench_train
from vaewidgets.course import offline_bundle

from . import evaluate, train_options


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status.

    0 done, 1 refused or failed, 2 not understood, 130 ended by Ctrl-C, 143 by SIGTERM.
    """
    # Before torch is loaded, here or in a kernel. Its threads wait for each other by spinning, milliseconds
    # long: on cores that others use too, small steps then take many times as long. Waiting asleep from the
    # start halves the speed of a machine that is idle. A short spin (about ten microseconds) does neither.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    argv = list(sys.argv[1:] if argv is None else argv)
    argv, extra = _split_extra(argv)
    parser = _parser()
    args = parser.parse_args(argv)
    if extra and args.command != "lab":
        parser.error(f"{args.command} takes nothing after --; got {' '.join(extra)}")
    args.extra = extra
    try:
        return args.run(args)
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        print(f"vaewidgets {args.command}: {_said(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"vaewidgets {args.command}: stopped", file=sys.stderr)
        return 130


def _said(error: Exception) -> str:
    """Return what an error says, as a terminal may be sent it and in words of the command line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}."
    return tame_lines(text.replace("overwrite=True (--overwrite on the command line)", "--overwrite"))


def _split_extra(argv: list[str]) -> tuple[list[str], list[str]]:
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vaewidgets", description="Learn and teach variational autoencoders."
    )
    parser.add_argument("--version", action="version", version=f"vaewidgets {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    lab = commands.add_parser(
        "lab",
        help="open JupyterLab on the notebooks",
        description="Open JupyterLab on the notebooks. What stands after -- goes to JupyterLab.",
    )
    where = lab.add_mutually_exclusive_group()
    where.add_argument(
        "folder", nargs="?", metavar="DIR", help="copy the notebooks there first; keep what is there"
    )
    where.add_argument(
        "--workshop", metavar="DIR", help="a fresh copy in the next free DIR/student-01, student-02, ..."
    )
    lab.add_argument("--student", metavar="NAME", help="of a workshop: make DIR/NAME, or go on in it")
    lab.add_argument("--no-browser", dest="browser", action="store_false", help="only print the address")
    lab.add_argument("--port", type=_port, help="must be free (default: 8888, or the next that is)")
    lab.set_defaults(run=_lab)

    copy = commands.add_parser("copy", help="copy the notebooks; never overwrite a file")
    where = copy.add_mutually_exclusive_group(required=True)
    where.add_argument("folder", nargs="?", metavar="DIR", help="made if it does not exist")
    where.add_argument("--workshop", metavar="DIR", help="prepare DIR/student-01, student-02, ...")
    copy.add_argument("--students", type=int, metavar="N", help="of a workshop: so many folders")
    copy.add_argument("--solutions", action="store_true", help="with the solved exercises, for the teacher")
    copy.set_defaults(run=_copy)

    wheel_folder = commands.add_parser(
        "wheels",
        help="download all that laptops without network need",
        description="Download all that is to be installed on laptops without network into DIR/PLATFORM, with "
        "a README.txt of the commands to type there. Wheels that are there are kept.",
    )
    offline_bundle.add_arguments(wheel_folder)
    wheel_folder.set_defaults(run=offline_bundle.run)

    train = commands.add_parser(
        "train",
        help="train a VAE, measure it on held-out images and store it",
        description="Train a VAE, measure it on held-out images and store both. Ctrl-C stores what is there, "
        "and --resume goes on from it.",
    )
    train_options.add_arguments(train)
    train.set_defaults(run=train_options.run)

    evaluation = commands.add_parser(
        "evaluate",
        help="measure a model on held-out images: ELBO, IWAE, KL, active units, neighbours",
        description="Measure a stored model on images that it was not trained on, in nats per image.",
    )
    evaluate.add_arguments(evaluation)
    evaluation.set_defaults(run=_evaluate)

    export = commands.add_parser("export", help="write a model for other tools")
    formats = export.add_subparsers(dest="format", metavar="FORMAT", required=True)
    _add_format(
        formats,
        "onnx",
        _export_onnx,
        file="NAME.onnx",
        help="encoder and decoder for ONNX runtimes",
        description="Write the encoder to NAME-encoder.onnx (x to mu and logvar; of an autoencoder to z) and "
        "the decoder to NAME-decoder.onnx (z to the mean image), for any batch size.",
    )

    _add_format(
        formats,
        "html",
        _export_html,
        file="NAME.html",
        help="the explorer as one page that needs no kernel and no network",
        description="Write the explorer of a model and its atlas as one file that browsers open from disk.",
    )

    measure = commands.add_parser("bench", help="measure panels and training (for who changes them)")
    subjects = measure.add_subparsers(dest="subject", metavar="WHAT", required=True)
    for subject, measurement, what, how in (
        (
            "drag", bench_drag, "how soon and how often a picture follows a slider",
            "Drag a slider in JupyterLab and headless Chromium, of the explorer and of others, and print how "
            "soon and how often the picture followed. Needs the extra [bench].",
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
        chosen = subjects.add_parser(subject, help=what, description=how)
        measurement.add_arguments(chosen)
        chosen.set_defaults(run=measurement.run)

    doctor = commands.add_parser("doctor", help="look for what is wrong with this installation")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_format(formats, name: str, run, *, file: str, **texts) -> None:
    """Add what follows ``vaewidgets export``: a format's name, a model and a file."""
    parser = formats.add_parser(name, **texts)
    parser.add_argument("model", metavar="MODEL", help="mnist-vae-2d, ..., or a .safetensors file")
    parser.add_argument("file", metavar="FILE", help=file)
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument(
        "--label",
        metavar="LABEL",
        help="of a model that is told the label: the one to fix, by number or name",
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 65535; got {text!r}")
    return int(text)


def _lab(args) -> int:
    from vaewidgets.course import notebooks

    if args.student is not None and args.workshop is None:
        raise ValueError("--student names a folder of a workshop; add --workshop DIR.")
    folder, checkout = notebooks.shipped_notebooks()
    copied = args.folder is not None or not checkout
    if copied:
        folder = Path(args.folder or notebooks.DEFAULT_FOLDER)
    folder = folder.resolve()
    options = dict(browser=args.browser, port=args.port, extra=args.extra)
    # What is refused, is refused before anything is copied.
    notebooks.lab_command(folder, **options)
    notebooks.check_start(args.port)
    with _warnings_as_lines(args.command):
        if args.workshop is not None:
            folder = _open_student(args.workshop, args.student)
        elif copied:
            _report_copy(folder)
        else:
            notebooks.sign_notebooks(folder)
    _report_older(folder)
    if notebooks.is_root():
        print("Running as root: JupyterLab is started with --allow-root.")
    print(f"JupyterLab opens {folder}; Ctrl-C twice ends it.")
    return notebooks.launch(notebooks.lab_command(folder, **options))


def _open_student(room: str, name: str | None) -> Path:
    from vaewidgets.course import workshop

    folder, new, written = workshop.open_folder(room, name)
    if new:
        print(f"{folder} is new: {_files(len(written))} copied")
    else:
        added = ": " + ", ".join(path.name for path in written) if written else ""
        print(f"going on in {folder}: nothing in it is touched, {_files(len(written))} added{added}")
    print(f'to come back to it: vaewidgets lab --workshop "{folder.parent}" --student "{folder.name}"')
    return folder


def _copy(args) -> int:
    if (args.workshop is None) != (args.students is None):
        raise ValueError("--workshop DIR and --students N go together: folders for N students in DIR.")
    if args.workshop is None:
        with _warnings_as_lines(args.command):
            _report_copy(Path(args.folder), solutions=args.solutions)
        _report_older(Path(args.folder))
        return 0
    if args.solutions:
        raise ValueError("--solutions are the teacher's; no student's folder gets them. Copy them alone.")
    from vaewidgets.course import workshop

    with _warnings_as_lines(args.command):
        made, left = workshop.prepare(args.workshop, args.students)
    for path in left:
        print(f"left {path} as it is")
    print(f"made {len(made)} folder{'' if len(made) == 1 else 's'} in {args.workshop}")
    return 0


def _report_copy(folder: Path, *, solutions: bool = False) -> None:
    from vaewidgets.course.notebooks import copy_notebooks

    written, kept = copy_notebooks(folder, solutions=solutions)
    for path in kept:
        print(f"kept {path}: yours differs from the one in this version; move it away to get that")
    print(f"copied {_files(len(written))} to {folder}")


def _report_older(folder: Path) -> None:
    from vaewidgets.course.notebooks import course_in
    from vaewidgets.course.written_for import line_of_all

    if line := line_of_all(course_in(folder), __version__):
        print(line)


@contextmanager
def _warnings_as_lines(command: str):
    """Print what is warned of as this command's other complaints, without a place in its source."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        print(f"vaewidgets {command}: {tame_lines(str(warning.message))}", file=sys.stderr)


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"


def _model(name: str):
    """Load the model of that name or in that file."""
    from vaewidgets.io.checkpoints import load, pretrained

    if name.endswith(".safetensors"):
        return load(name)
    try:
        return pretrained(name)
    except ValueError as error:
        raise ValueError(f"{error} Or name a .safetensors file.") from error


def _evaluate(args) -> int:
    return evaluate.run(args, _model)


def _explorable(args):
    """Load the model to export, its label fixed if it takes one."""
    from vaewidgets.io.checkpoints import stated_classes
    from vaewidgets.models.classifier import Classifier

    model = _model(args.model)
    if isinstance(model, Classifier):
        raise ValueError(f"{args.model} is a classifier: it decodes nothing. Export a VAE or an autoencoder.")
    if not hasattr(model, "given"):
        if args.label is not None:
            raise ValueError(f"--label is for a ConditionalVAE; {args.model} is a {type(model).__name__}.")
        return model
    names = stated_classes(model)
    if args.label in names:
        return model.given(names.index(args.label))
    if args.label is None or not args.label.isascii() or not args.label.isdigit():
        named = f", or one of {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}" if names else ""
        got = "" if args.label is None else f"; got {args.label}"
        raise ValueError(
            f"{args.model} is told the label: fix it with --label, a number from 0 to {model.classes - 1}"
            f"{named}{got}."
        )
    return model.given(int(args.label))


def _export_onnx(args) -> int:
    from vaewidgets.io.onnx import onnx_paths, to_onnx

    onnx_paths(args.file, overwrite=args.overwrite)  # a refusal need not wait for torch and the model
    for path in to_onnx(_explorable(args), args.file, overwrite=args.overwrite):
        print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def _export_html(args) -> int:
    from vaewidgets.widgets.explorer.html_page import html_path, to_html

    html_path(args.file, overwrite=args.overwrite)
    title = f"Latent explorer: {Path(args.model).stem}"
    path = to_html(_explorable(args), args.file, title=title, overwrite=args.overwrite)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


def _doctor(args) -> int:
    from vaewidgets.course import doctor

    findings = doctor.examine()
    print(doctor.as_json(findings) if args.json else doctor.as_text(findings))
    return int(any(finding.status == "problem" for finding in findings))
