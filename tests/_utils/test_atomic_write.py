"""``kill -9`` in the middle of a save, a hundred times: the file is the old one or the new one, whole."""

import json
import os
import subprocess
import sys

import pytest

from vaewidgets._utils import atomic_write

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX")

KILLS = 100
#: Forks writers, each of which kills itself at its own moment; without torch, as a fork is a matter of
#: milliseconds only then. A writer writes one whole file after the other, each of one byte repeated and in
#: pieces. Its moments are before and after each thing that it asks of the file system: what a kill leaves
#: behind depends on nothing else, and a kill by the clock would miss the writer on a busy machine.
PROGRAM = """
import fcntl, json, os, signal, sys
from pathlib import Path
from vaewidgets._utils import atomic_write
assert "torch" not in sys.modules, "importing what writes files loads torch"

path, way, kills = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SIZE, PIECES = 400_000, 8

def moment():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watch(module, name):
    ask = getattr(module, name)
    def watched(*args, **more):
        moment()
        answer = ask(*args, **more)
        moment()
        return answer
    setattr(module, name, watched)

class Pieces:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def write(self, data):
        for piece in range(PIECES):
            self.file.write(data[piece * SIZE // PIECES : (piece + 1) * SIZE // PIECES])
            moment()
    def __getattr__(self, name):
        return getattr(self.file, name)

def write_for_ever(first):
    fdopen = os.fdopen
    os.fdopen = lambda handle, mode: Pieces(fdopen(handle, mode, buffering=0))
    for module, name in ((os, "open"), (fcntl, "flock"), (os, "fsync"), (os, "chmod"), (os, "replace")):
        watch(module, name)
    for version in range(first, 256):
        data = bytes([version]) * SIZE
        if way == "whole":
            atomic_write.write({path: data})
        else:
            with Pieces(open(path, "wb", buffering=0)) as file:
                file.write(data)
    os._exit(0)

torn, old, most = [], 0, 0
for kill in range(kills):
    before, left = path.read_bytes()[:1], 1 + kill
    writer = os.fork()
    if not writer:
        write_for_ever(1 + before[0] % 100 if before else 1)
    _, status = os.waitpid(writer, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    data = path.read_bytes()
    old += data[:1] == before
    if len(data) != SIZE or data.count(data[:1]) != SIZE:
        torn.append(kill)
    most = max(most, len(os.listdir(path.parent)) - 1)
print(json.dumps({
    "torn": torn, "old": old, "new": kills - old,
    "left": sorted(os.listdir(path.parent)), "most": most,
}))
"""


def killed(path, way: str, kills: int) -> dict:
    path.write_bytes(b"\0" * 400_000)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, path, way, str(kills)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_the_file_is_always_whole_and_little_is_left(tmp_path):
    path = tmp_path / "model.safetensors"
    seen = killed(path, "whole", KILLS)
    assert seen["torn"] == []
    assert seen["old"] > 5 and seen["new"] > 5, "it was killed before and after the new file took its name"
    # Each writer removes what the one before it left.
    assert seen["most"] <= 1
    others = [name for name in seen["left"] if name != path.name]
    assert all(name.startswith(f".{path.name}.") and name.endswith(".part") for name in others)
    atomic_write.write({path: b"the last"})
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == b"the last"


def test_to_write_over_a_file_would_tear_it(tmp_path):
    """Else the kills come at moments at which nothing could go wrong."""
    assert len(killed(tmp_path / "model.safetensors", "over", 20)["torn"]) > 5


def test_what_another_process_is_writing_is_left_alone(tmp_path, monkeypatch):
    path, other = tmp_path / "m", tmp_path / "m.json"
    (tmp_path / ".m.abcdefgh.part").write_bytes(b"left by a process that was killed")
    (tmp_path / ".m.json.abcdefgh.part").write_bytes(b"of another file")
    replace = os.replace

    def write_in_between(scratch, target):
        if target == path and not path.exists():
            # The same file again, while the first scratch file waits for its name.
            code = (
                "import sys, pathlib, vaewidgets._utils.atomic_write as w; "
                "w.write({pathlib.Path(sys.argv[1]): b'b'})"
            )
            subprocess.run([sys.executable, "-c", code, path], check=True)
            assert path.read_bytes() == b"b"
        replace(scratch, target)

    monkeypatch.setattr(os, "replace", write_in_between)
    atomic_write.write({path: b"a"})
    assert path.read_bytes() == b"a"
    assert sorted(os.listdir(tmp_path)) == [".m.json.abcdefgh.part", "m"]
    atomic_write.write({other: b"c"})
    assert sorted(os.listdir(tmp_path)) == ["m", "m.json"]


def test_a_scratch_file_taken_for_abandoned_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    taken = []
    flock = atomic_write.fcntl.flock

    def late(handle, how):
        if how == atomic_write.fcntl.LOCK_EX and not taken:
            taken.extend(tmp_path.iterdir())
            atomic_write._remove_abandoned(tmp_path / "m")
        flock(handle, how)

    monkeypatch.setattr(atomic_write.fcntl, "flock", late)
    atomic_write.write({tmp_path / "m": b"a"})
    assert len(taken) == 1 and os.listdir(tmp_path) == ["m"]


def test_without_locks_only_what_is_a_day_old_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_write, "fcntl", None)
    for name, age in (("youngone", 60), ("an_old_1", 100_000)):
        left = tmp_path / f".m.{name}.part"
        left.touch()
        os.utime(left, (left.stat().st_mtime - age,) * 2)
    atomic_write.write({tmp_path / "m": b"a"})
    assert sorted(os.listdir(tmp_path)) == [".m.youngone.part", "m"]
