"""Damaged or hostile files through the loaders: a clear error or a model, and nothing else at all.

`fuzz.py` makes and judges them: 9,000 of them, ten times as many in the extended tier. The page gets 1,000
descriptions of networks in ``browser/test_fuzz.py``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import fuzz
import pytest

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="memory is measured as Linux does"
)


FILES = {"checkpoint": 3000, "state": 1000, "npz": 2500, "image": 2500}


@pytest.mark.parametrize(
    "kind, count",
    [
        *FILES.items(),
        *[pytest.param(kind, 10 * count, marks=pytest.mark.extended) for kind, count in FILES.items()],
    ],
)
def test_a_hostile_file_is_a_clear_error_or_harmless(tmp_path, kind, count):
    """Only ValueError and OSError, which name the file; no crash, no write, no program, no memory."""
    run = subprocess.run(
        [sys.executable, fuzz.__file__, kind, "0", str(count)],
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
    )
    seeds = [path.read_text() for path in tmp_path.rglob("seed")]
    assert run.returncode == 0, f"{kind}: the process ended at seed {seeds}: {run.stderr[-2000:]}"
    report = json.loads(run.stdout)
    wrong = "\n".join(
        f"python tests/fuzz.py {kind} {seed}: {what}" for seed, what in list(report["failures"].items())[:5]
    )
    assert not report["failures"], f"{len(report['failures'])} of {count} are wrong, among them\n{wrong}"
    # Both happen: files that are refused, and damage that does not matter.
    assert 0.5 * count < report["refused"] < 0.98 * count


def test_what_the_judge_looks_for_is_found(tmp_path):
    """Else nothing could fail: an answer of every kind that a loader must not give."""

    def unlike(error):
        def loader(path):
            raise error(path)

        return loader

    bad = {
        "does not name the file": unlike(lambda path: ValueError("no")),
        "gives no reason": unlike(lambda path: ValueError(f"{path} is damaged: .")),
        "would send a terminal '\\x1b'": unlike(lambda path: ValueError(f"{path} \x1b[2J is damaged")),
        "characters long": unlike(lambda path: ValueError(f"{path} {'x' * 9000}")),
        "TypeError": unlike(lambda path: TypeError(f"{path} is of another kind")),
        "SystemExit": unlike(lambda path: SystemExit(1)),
    }
    path = tmp_path / "x"
    for words, loader in bad.items():
        folder = fuzz.Folder.__new__(fuzz.Folder)
        folder.read = loader
        refused, problem = fuzz.judge(folder, path)
        assert refused and words in problem, (words, problem)


def test_the_guard_sees_a_write_a_program_and_a_pickle(tmp_path):
    code = """
import fuzz, os, pathlib, pickle, subprocess, sys
sys.addaudithook(fuzz.guard)
for wrong in (
    lambda: open("new", "w"),
    lambda: open("old", "r+"),
    lambda: os.remove("old"),
    lambda: subprocess.run(["true"]),
    lambda: pickle.loads(b"cos\\nsystem\\n."),
):
    fuzz.watch.update(on=True, seen=[])
    try:
        wrong()
    except PermissionError:
        pass
    fuzz.watch["on"] = False
    assert fuzz.watch["seen"], wrong
assert os.listdir() == ["old"]
"""
    (tmp_path / "old").touch()
    path = os.pathsep.join([str(Path(fuzz.__file__).parent), *sys.path])
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=True
    )
