"""A notebook of another version: one line that says so and how to get the new one, and never an exception."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import refresh_notebooks
from packaging.version import Version

import vaewidgets as vw
from vaewidgets.cli import app as cli
from vaewidgets.cli import copy
from vaewidgets.course import trust, written_for

ROOT = Path(__file__).resolve().parents[2]
OLDER = "This notebook was written for vaewidgets 0.0.9, and this is 0.1.0. To get the new one beside it: "
NEWER = "This notebook was written for vaewidgets 0.10, and this is 0.1.0. Update vaewidgets, or expect "


def write(path, version):
    path.write_text(json.dumps({"metadata": {"vaewidgets": {"version": version}}, "cells": []}))
    return path


@pytest.fixture
def unsigned(monkeypatch, launched):
    monkeypatch.setattr(trust, "sign", lambda source: [])


def test_every_stored_notebook_carries_the_version_of_the_package():
    again = "python tests/refresh_notebooks.py --stored"
    for path in refresh_notebooks.stored():
        assert written_for.version_of(path) == Version(vw.__version__), f"{path.name}: {again}"


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("0.0.9", OLDER),
        ("0.0.9+mine", OLDER),
        (" 0.0.9\n", OLDER),
        ("0.1.0.dev3", OLDER.replace("0.0.9", "0.1.0.dev3")),
        ("0.10", NEWER),
        ("0.1.0", ""),
        ("0.1", ""),
        ("0.1.0+mine", ""),
    ],
)
def test_older_and_newer_are_said_in_one_line(tmp_path, version, line):
    said = written_for.line_of(write(tmp_path / "x.ipynb", version), "0.1.0")
    assert said.startswith(line) and "\n" not in said and bool(said) == bool(line)
    if line.startswith("This notebook was written for vaewidgets 0.0"):
        assert said.endswith("vaewidgets copy NEW-FOLDER, in a terminal.")


@pytest.mark.parametrize(
    "version",
    [
        None, 3, 0.5, True, [], ["0.0.9"], {"a": "0.0.9"}, "", "x", "1\x1b[31m", "0.0.9\n0.0.8", "<b>1</b>",
        "1.0+<script>", "0" * 41, "9" * 5000, "1!" * 30, "\ud800", "0.0.9 ; rm -rf",
    ],
)  # fmt: skip
def test_a_version_that_is_none_is_passed_over(tmp_path, version):
    path = write(tmp_path / "x.ipynb", version)
    assert written_for.version_of(path) is None
    assert written_for.line_of(path, "0.1.0") == written_for.line_of_all([path], "0.1.0") == ""


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "[" * 100_000, "{}", '{"metadata": 1}', '{"metadata": []}',
     '{"metadata": {"vaewidgets": 1}}', '{"metadata": {"vaewidgets": {}}}',
     '{"metadata": {"vaewidgets": ["version"]}}', "\udcff"],
)  # fmt: skip
def test_a_file_that_is_no_notebook_is_passed_over(tmp_path, text):
    path = tmp_path / "x.ipynb"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert written_for.version_of(path) is None


def test_what_is_no_file_is_passed_over_without_a_wait(tmp_path):
    places = [tmp_path, tmp_path / "nowhere", "\0", "x" * 5000, ""]
    if os.name == "posix":
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "loop").symlink_to(tmp_path / "loop")
        places += [tmp_path / "pipe", tmp_path / "loop", "/dev/zero"]
    for place in places:
        assert written_for.version_of(place) is None, place


def test_a_file_too_large_to_be_a_notebook_is_not_read(tmp_path, monkeypatch):
    path = write(tmp_path / "x.ipynb", "0.0.9")
    monkeypatch.setattr(written_for, "LARGEST_FILE", path.stat().st_size)
    assert written_for.version_of(path) == Version("0.0.9")
    monkeypatch.setattr(written_for, "LARGEST_FILE", path.stat().st_size - 1)
    assert written_for.version_of(path) is None


# --- in a terminal -----------------------------------------------------------------------------------


def test_the_commands_name_the_older_ones(tmp_path, monkeypatch, capsys, unsigned):
    monkeypatch.setattr(copy, "__version__", "0.3")
    monkeypatch.chdir(tmp_path)
    for words, folder in (
        (["copy", "a"], "a"),
        (["lab", "b"], "b"),
        (["lab", "--workshop", "c", "--student", "Ada"], "c/Ada"),
    ):
        mine = tmp_path / folder
        mine.mkdir(parents=True)
        # The last one is not one of the course.
        for name, version in (
            ("06_train", "0.0.9"),
            ("07_beta", "0.2"),
            ("08_scoreboard", "x"),
            ("own", "0"),
        ):
            write(mine / f"{name}.ipynb", version)
        before = (mine / "06_train.ipynb").read_bytes()
        assert cli.main(words) == (7 if words[0] == "lab" else 0)
        lines = capsys.readouterr().out.splitlines()
        [line] = [line for line in lines if line.startswith("written for")]
        assert line.startswith(
            "written for vaewidgets 0.0.9, 0.1.0, 0.2, and this is 0.3: 00_quickstart.ipynb, "
        )
        assert "06_train.ipynb, 07_beta.ipynb, 09" in line, "neither the eighth nor one's own"
        assert line.endswith("To get the new ones beside them: vaewidgets copy NEW-FOLDER")
        assert (mine / "06_train.ipynb").read_bytes() == before


def test_a_course_of_this_version_is_no_news(tmp_path, capsys, unsigned):
    assert cli.main(["copy", str(tmp_path / "mine")]) == 0
    assert cli.main(["lab", str(tmp_path / "mine")]) == cli.main(["lab"]) == 7
    assert "written for" not in "".join(capsys.readouterr())


# --- in a kernel -------------------------------------------------------------------------------------


def imported(path, *, kernel=True):
    """Return what ``import vaewidgets`` prints in the kernel of the notebook `path`."""
    code = "import ipykernel\n" * kernel + "import vaewidgets"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JPY_SESSION_NAME": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


def test_the_import_says_it_in_the_notebook_itself(tmp_path):
    old = write(tmp_path / "x.ipynb", "0.0.9")
    assert imported(old) == written_for.line_of(old, vw.__version__) + "\n"
    assert imported(old, kernel=False) == "", "a process that a kernel started tells nobody"
    for nothing in (ROOT / "notebooks" / "06_train.ipynb", tmp_path, tmp_path / "console-1", ""):
        assert imported(nothing) == ""


def test_nothing_keeps_a_kernel_from_the_package(monkeypatch):
    def fail(*_):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(written_for, "line_of", fail)
    monkeypatch.setenv("JPY_SESSION_NAME", "x.ipynb")
    assert written_for.line_of_this_notebook("0.1.0") == ""
