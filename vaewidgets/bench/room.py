"""``vaewidgets bench room``: a room full of students on one server.

Each student has a kernel with the explorer open and moves a slider several times a second, in the real
Jupyter server's protocol. Their browsers would run elsewhere and are not here: the server, the kernels and
this program share the processor.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from .report import check_at_least_one, check_positive, ruled, software


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets bench room`` to an argparse parser."""
    parser.add_argument("--students", type=int, default=24, help="kernels (default: 24)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of moving (default: 60)")
    parser.add_argument("--rate", type=float, default=5.0, help="moves a second of each (default: 5)")
    parser.add_argument("--model", default="mnist-vae-2d", help="(default: mnist-vae-2d)")
    parser.add_argument(
        "--decode", choices=("page", "kernel"), default="kernel",
        help="who decodes the pictures: the page, as the explorer does where it can, and the kernel only "
        "follows; or the kernel, as for a model that the page cannot run (default: kernel)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one line for programs, after the table")


def run(args) -> int:
    """Measure and print; return the exit status: 0 if nothing has failed, else 1."""
    check_at_least_one(args, "students")
    check_positive(args, "seconds", "rate")
    print(software("jupyterlab", "ipykernel", "ipywidgets", "anywidget", "plotly", "torch"), flush=True)
    figures = measure(args.students, args.seconds, args.rate, args.model, args.decode)
    print()
    print("\n".join(table(figures)))
    for failure in sorted(set(figures["failures"])):
        print(f"failed: {failure}")
    if args.json:
        print(json.dumps(figures))
    return 1 if figures["failures"] else 0


def table(figures: dict) -> list[str]:
    """Write the figures of `measure` as the lines of a table."""
    rows = [
        ["", "figure"],
        ["students", str(figures["students"])],
        ["moves", str(figures["moves"])],
        ["failures", str(len(figures["failures"]))],
        ["a move, p50", f"{figures['p50_ms']:.0f} ms"],
        ["a move, p95", f"{figures['p95_ms']:.0f} ms"],
        ["cold start, alone", f"{figures['alone_s']:.1f} s"],
        ["cold start, all others at once, the last", f"{figures['last_s']:.1f} s"],
        [f"memory of a student ({figures['memory_kind']})", f"{figures['student_mb']:.0f} MB"],
        ["memory of the server", f"{figures['server_mb']:.0f} MB"],
        ["processor of a student who moves", f"{figures['student_cpu']:.1%} of one"],
        ["processor of the server", f"{figures['server_cpu']:.1%} of one"],
        ["sent to a page at the start", f"{figures['sent_mb']:.1f} MB"],
    ]
    return ruled(rows, rule_after=1)


def measure(students: int, seconds: float, rate: float, model: str, decode: str) -> dict:
    """Start a server and a kernel for each student, let all move a slider, and measure.

    Parameters
    ----------
    students : int
    seconds : float
        Of moving.
    rate : float
        Moves per second of each student.
    model : str
        Name of a pretrained model, or a file.
    decode : "page" or "kernel"
        What decodes the images.

    Returns
    -------
    dict
        ``p50_ms``, ``p95_ms`` : time from a move until the kernel has done all that the move asks for, over
        all moves of all students.
        ``alone_s``, ``last_s`` : time from the request for a kernel until the explorer is sent: of the first
        student, who comes alone, and of the slowest of the others, who come at the same time.
        ``student_mb``, ``server_mb`` : memory after the moves; of a student the mean over the kernels. Memory
        that processes share is divided among them (PSS) where the system tells it.
        ``student_cpu``, ``server_cpu`` : processor seconds per second of moving.
        ``sent_mb`` : megabytes that the server sends a page until the explorer is there.
        ``failures`` : list of str.

    Raises
    ------
    RuntimeError
        The server does not start, or a student's first cells fail.
    """
    import asyncio

    from .lab_server import LabServer
    from .lesson import teach

    with (
        tempfile.TemporaryDirectory(prefix="vaewidgets-bench-", ignore_cleanup_errors=True) as home,
        LabServer(Path(home)) as server,
    ):
        return asyncio.run(teach(server, students, seconds, rate, model, decode))
