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

from .report import ruled, software


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what follows ``vaewidgets bench room``."""
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
    """Measure and print; return 0 if nothing has failed, else 1."""
    if args.students < 1:
        raise ValueError(f"--students must be at least 1; got {args.students}.")
    for name in ("seconds", "rate"):
        if not getattr(args, name) > 0:
            raise ValueError(f"--{name} must be positive; got {getattr(args, name)}.")
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
    """Set the figures of `measure` in lines."""
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
    """Fill the room, let everybody move, and count.

    Parameters
    ----------
    students, seconds, rate, model, decode
        As on the command line.

    Returns
    -------
    dict
        ``p50_ms``, ``p95_ms`` : from a move to the kernel's having done all that it asks for, over all
        moves of all students.
        ``alone_s``, ``last_s`` : from the request for a kernel to the explorer's having been sent; of the
        first student, who comes alone, and of the slowest of the others, who come at once.
        ``student_mb``, ``server_mb`` : memory after the moves; of a student the mean over the kernels. Pages
        that several processes have in common are divided among them (PSS) where the system tells.
        ``student_cpu``, ``server_cpu`` : processor time per second of moving.
        ``sent_mb`` : bytes that the server sends a page until the explorer is there.
        ``failures`` : list of str
    """
    import asyncio

    from .lab_server import LabServer
    from .lesson import teach

    with tempfile.TemporaryDirectory(prefix="vaewidgets-bench-", ignore_cleanup_errors=True) as home:
        server = LabServer(Path(home))
        try:
            server.start()
            return asyncio.run(teach(server, students, seconds, rate, model, decode))
        finally:
            server.stop()
