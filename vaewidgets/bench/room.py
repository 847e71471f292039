"""``vaewidgets bench room``: a room full of students on one server.

Each student has a kernel with the explorer open and moves a slider several times a second, in the real
Jupyter server's protocol. Their browsers would run elsewhere and are not here: the server, the kernels and
this program share the processor.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from .drag import percentile
from .report import align, machine, software

_SETUP = """\
import vaewidgets as vw
model = vw.pretrained({model!r})"""
#: A decoder that is not the package's own is not decoded in the page.
_IN_KERNEL = """\
class Own(type(model)):
    def decode(self, z):
        return super().decode(z)
model.__class__ = Own"""
_SLIDER = "z1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what follows ``vaewidgets bench room``."""
    parser.add_argument("--students", type=int, default=24, help="kernels; default 24")
    parser.add_argument("--seconds", type=float, default=60.0, help="of moving; default 60")
    parser.add_argument("--rate", type=float, default=5.0, help="moves a second of each; default 5")
    parser.add_argument("--model", default="mnist-vae-2d", help="default mnist-vae-2d")
    parser.add_argument(
        "--decode", choices=("page", "kernel"), default="kernel",
        help="who decodes the pictures: the page, as the explorer does where it can, and the kernel only "
        "follows; or the kernel, as for a model that the page cannot run (default)",
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
    return align(rows, rule_after=1)


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
    from vaewidgets.labserver import LabServer

    with tempfile.TemporaryDirectory(prefix="vaewidgets-bench-", ignore_cleanup_errors=True) as home:
        server = LabServer(Path(home))
        try:
            server.start()
            return asyncio.run(_lesson(server, students, seconds, rate, model, decode))
        finally:
            server.stop()


async def _lesson(server, students: int, seconds: float, rate: float, model: str, decode: str) -> dict:
    from .student import Student

    room = [Student(server.url, server.token) for _ in range(students)]
    cells = [_SETUP.format(model=model), *([_IN_KERNEL] if decode == "kernel" else [])]
    cells += ["explorer = vw.LatentExplorer(model)\nexplorer"]

    async def arrive(student) -> float:
        begun = time.monotonic()
        await student.open(cells)
        return time.monotonic() - begun

    try:
        alone = await arrive(room[0])
        print(f"the first student's explorer was there after {alone:.1f} s", flush=True)
        others = await asyncio.gather(*map(arrive, room[1:]))
        print(f"all {students} are there", flush=True)
        sent = median(student.received for student in room)
        processes = _processes(room)
        before = {name: _processor(process) for name, process in processes.items()}
        waits = await _move(room, seconds, rate)
        spent = {name: _processor(process) - before[name] for name, process in processes.items()}
        memory = {name: _memory(process) for name, process in processes.items()}
        failures = [failure for student in room for failure in student.failures]
    finally:
        for student in room:
            await student.close()
    kernels = [student.kernel for student in room]
    return {
        **machine(),
        "students": students,
        "decode": decode,
        "moves": len(waits),
        "failures": failures,
        "p50_ms": 1000 * percentile(waits, 0.5),
        "p95_ms": 1000 * percentile(waits, 0.95),
        "alone_s": alone,
        "last_s": max(others, default=alone),
        "memory_kind": "PSS" if hasattr(psutil.Process().memory_full_info(), "pss") else "USS",
        "student_mb": sum(memory[name] for name in kernels) / students / 1e6,
        "server_mb": memory["server"] / 1e6,
        "student_cpu": sum(spent[name] for name in kernels) / students / seconds,
        "server_cpu": spent["server"] / seconds,
        "sent_mb": sent / 1e6,
    }


async def _move(room, seconds: float, rate: float) -> list[float]:
    """Let all move their sliders; return the seconds that each move took, and see that z has arrived."""
    count = max(1, round(seconds * rate))
    # There and back in steps of its own width; each begins at another moment, as hands do.
    path = [round(-3 + 6 * abs((i / 50) % 2 - 1), 2) for i in range(1, count + 1)]
    moment = random.Random(0)
    waits = await asyncio.gather(
        *(student.drag(_SLIDER, path, rate, moment.uniform(0, 1 / rate)) for student in room)
    )
    for student, own in zip(room, waits, strict=True):
        if len(own) == count and (z := await student.evaluate("explorer.z[0]")) != repr(path[-1]):
            student.failures.append(f"explorer.z[0] is {z} after the last move, to {path[-1]}")
    return [wait for own in waits for wait in own]


def _processes(room) -> dict[str, psutil.Process]:
    """Find the kernels, by their ids, and the server."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        line = " ".join(process.cmdline())
        found |= {student.kernel: process for student in room if f"kernel-{student.kernel}" in line}
        if "jupyterlab" in line:
            found["server"] = process
    return found


def _processor(process: psutil.Process) -> float:
    """Return the seconds that a process has had a processor."""
    times = process.cpu_times()
    return times.user + times.system


def _memory(process: psutil.Process) -> int:
    """Return the bytes of a process: its share (PSS) where the system tells, else what is its own (USS)."""
    info = process.memory_full_info()
    return getattr(info, "pss", info.uss)
