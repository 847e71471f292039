"""The measurement of ``vaewidgets bench room``: students who each open the explorer and move a slider."""

from __future__ import annotations

import asyncio
import random
import time
from statistics import median

import psutil

from .drag import percentile
from .report import machine
from .student import Student

_SETUP = """\
import vaewidgets as vw
model = vw.pretrained({model!r})"""
#: The page decodes only decoders of the package itself.
_IN_KERNEL = """\
class Own(type(model)):
    def decode(self, z):
        return super().decode(z)
model.__class__ = Own"""


async def teach(server, students: int, seconds: float, rate: float, model: str, decode: str) -> dict:
    """Measure at a running server; the arguments and the result are those of `room.measure`."""
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
    """Let all move their sliders and check that z has arrived; return the seconds that each move took."""
    count = max(1, round(seconds * rate))
    # From one end to the other and back; each student begins at another moment.
    path = [round(-3 + 6 * abs((i / 50) % 2 - 1), 2) for i in range(1, count + 1)]
    start = random.Random(0)
    waits = await asyncio.gather(
        *(student.drag("z1", path, rate, start.uniform(0, 1 / rate)) for student in room)
    )
    for student, own in zip(room, waits, strict=True):
        if len(own) == count and (z := await student.evaluate("explorer.z[0]")) != repr(path[-1]):
            student.failures.append(f"explorer.z[0] is {z} after the last move, to {path[-1]}")
    return [wait for own in waits for wait in own]


def _processes(room) -> dict[str, psutil.Process]:
    """Find the processes of the kernels, by their ids, and of the server."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.Process().children(recursive=True):
        line = " ".join(process.cmdline())
        found |= {student.kernel: process for student in room if f"kernel-{student.kernel}" in line}
        if "jupyterlab" in line:
            found["server"] = process
    return found


def _processor(process: psutil.Process) -> float:
    """Return the processor seconds that a process has used."""
    times = process.cpu_times()
    return times.user + times.system


def _memory(process: psutil.Process) -> int:
    """Return the memory of a process in bytes: its share (PSS) where the system tells it, else USS."""
    info = process.memory_full_info()
    return getattr(info, "pss", info.uss)
