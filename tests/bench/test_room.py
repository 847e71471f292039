"""``vaewidgets bench room``: how a student's page talks to a server, and two students in a real room."""

import asyncio
import json
import selectors

import psutil
import pytest

from vaewidgets.bench import room
from vaewidgets.bench.student import Student
from vaewidgets.cli import app as cli


class NoWait(selectors.SelectSelector):
    """It never waits, and only moves its clock on by the time that it was to wait."""

    now = 0.0

    def select(self, timeout=None):
        self.now += max(0.0, timeout or 0.0)
        return super().select(0)


class ClockedLoop(asyncio.SelectorEventLoop):
    """A loop with a clock of its own, so that times do not depend on the machine."""

    def __init__(self):
        super().__init__(NoWait())

    def time(self):
        return self._selector.now


class Wire:
    """In place of a websocket: it calls `answer` with the id and the bytes of each message."""

    def __init__(self, student, answer):
        self.answer = answer
        student._socket, student._listener = self, asyncio.get_running_loop().create_future()

    async def write_message(self, data, binary):
        self.answer(data[data.index(b'"msg_id": "') + 11 :][:32].decode(), data)


def drag(pause, rate, count):
    """Drag a slider of a kernel that takes `pause` seconds for an update; the updates, and the waits."""

    async def lesson():
        student, told = Student("http://nowhere", "t"), []

        def answer(name, data):
            told.append(json.loads(data[data.index(b'{"comm_id"') :])["data"]["state"]["value"])
            loop = asyncio.get_running_loop()
            loop.call_later(pause, student._receive, "status", name, {"execution_state": "idle"})

        Wire(student, answer)
        slider = {"_model_name": "FloatSliderModel", "description": "z1"}
        for comm, state in (("a", {"description": "z1"}), ("b", slider)):
            student._receive("comm_open", None, {"comm_id": comm, "data": {"state": state}})
        return told, await student.drag("z1", list(range(count)), rate, 0.0)

    with asyncio.Runner(loop_factory=ClockedLoop) as runner:
        return runner.run(lesson())


def test_a_kernel_that_keeps_up_hears_every_move():
    told, waits = drag(pause=0.01, rate=50, count=8)
    assert told == list(range(8)) and waits == pytest.approx([0.01] * 8)


def test_moves_that_wait_travel_together_and_their_wait_counts():
    """Moves at 0, .1, .2 ... of which the kernel does one in .24 s: what has come by then goes next."""
    told, waits = drag(pause=0.24, rate=10, count=9)
    assert told == [0, 2, 4, 7, 8]
    # No move is over before the kernel has had its time; one that waited for its turn took longer still.
    assert waits == pytest.approx([0.24, 0.38, 0.28, 0.42, 0.32, 0.46, 0.36, 0.26, 0.4])


def test_what_goes_wrong_in_a_kernel_is_a_failure():
    student = Student("http://nowhere", "t")
    student._receive("error", "x", {"ename": "ValueError", "evalue": "no", "traceback": []})
    student._receive("stream", "x", {"name": "stderr", "text": "oh\n"})
    student._receive("stream", "x", {"name": "stdout", "text": "fine\n"})
    assert student.failures == ["ValueError: no", "oh"]


def test_a_reply_counts_when_the_kernel_is_idle_again_in_any_order():
    async def lesson(order):
        student = Student("http://nowhere", "t")

        def answer(name, data):
            for kind, content in order:
                asyncio.get_running_loop().call_soon(student._receive, kind, name, content)

        Wire(student, answer)
        return await student._ask("shell", "x_request", {})

    reply, idle = ("x_reply", {"answer": 42}), ("status", {"execution_state": "idle"})
    for order in ([reply, idle], [idle, reply]):
        assert asyncio.run(lesson(order)) == {"answer": 42}


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["--students", "0"], "--students must be at least 1; got 0"),
        (["--seconds", "0"], "--seconds must be positive; got 0"),
        (["--rate", "-1"], "--rate must be positive; got -1"),
    ],
)
def test_what_is_refused(words, complaint, capsys):
    assert cli.main(["bench", "room", *words]) == 1
    assert complaint in capsys.readouterr().err


def test_two_students(capsys):
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    words = ["--students", "2", "--seconds", "2", "--model", "digits-vae-2d", "--json"]
    assert cli.main(["bench", "room", *words]) == 0, capsys.readouterr()
    out = capsys.readouterr().out
    figures = json.loads(out.splitlines()[-1])
    assert figures["moves"] == 2 * 2 * 5 and figures["failures"] == []
    assert 0 < figures["p50_ms"] <= figures["p95_ms"]
    # A kernel with torch and a map in it, and the page's share of Plotly: the order of size is known.
    assert 100 < figures["student_mb"] < 2000 and 1.5 < figures["sent_mb"] < 5
    # Processor time comes in hundredths of a second, and the server's in these two may be less than one.
    assert figures["alone_s"] > 0.5 and figures["student_cpu"] > 0 and figures["server_cpu"] >= 0
    assert all(line.split()[-1] for line in room.table(figures)) and f"{figures['p95_ms']:.0f} ms" in out
    assert {process.pid for process in psutil.Process().children(recursive=True)} <= before


def test_a_model_that_is_not_there_is_a_students_failure(capsys):
    assert cli.main(["bench", "room", "--students", "1", "--seconds", "1", "--model", "none"]) == 1
    assert "No pretrained model 'none'" in capsys.readouterr().err
