"""What is signed as trusted: the course as it ships, wherever it is copied; nothing that anybody changed."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import refresh_notebooks
from nbformat.sign import NotebookNotary

from vaewidgets.cli import app as cli
from vaewidgets.course import notebooks, trust, workshop

NOTEBOOKS = refresh_notebooks.NOTEBOOKS
SCRIPT = nbformat.v4.new_output("display_data", {"text/html": "<img src=x onerror=alert(1)>"})
COURSE = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
SOLUTIONS = sorted(f"solutions/{path.name}" for path in NOTEBOOKS.glob("solutions/*.ipynb"))


@pytest.fixture(autouse=True)
def jupyter(tmp_path, monkeypatch):
    """A user without any signature; nobody's settings."""
    for name in ("DATA", "CONFIG"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / f"jupyter-{name.lower()}"))
    return tmp_path / "jupyter-data"


def trusted(folder) -> list[str]:
    """List the notebooks of a folder that a Jupyter server of this user takes for trusted."""
    notary = NotebookNotary()
    try:
        return [
            path.relative_to(folder).as_posix()
            for path in sorted(folder.rglob("*.ipynb"))
            if notary.check_signature(nbformat.read(path, as_version=4))
        ]
    finally:
        notary.store.close()


def change(path, edit) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    edit(notebook)
    path.write_text(json.dumps(notebook), encoding="utf-8")


def code(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


# --- what is ours ------------------------------------------------------------------------------------


def test_the_list_of_digests_is_that_of_the_stored_notebooks():
    again = "after an edit or a merge: python tests/refresh_notebooks.py --stored"
    assert trust.DIGESTS.read_text(encoding="ascii") == refresh_notebooks.digests(), again
    assert sorted(trust.unchanged(NOTEBOOKS)) == sorted([*COURSE, *SOLUTIONS])


def test_a_copy_is_trusted_and_nothing_was_before(tmp_path):
    shutil.copytree(NOTEBOOKS, tmp_path / "unsigned")
    assert trusted(tmp_path / "unsigned") == []
    notebooks.copy_notebooks(tmp_path / "mine")
    assert trusted(tmp_path / "mine") == COURSE
    notebooks.copy_notebooks(tmp_path / "teacher", solutions=True)
    assert trusted(tmp_path / "teacher") == [*COURSE, *SOLUTIONS]


CHANGES = {
    "a script in an output": lambda n: code(n)[3]["outputs"].append(dict(SCRIPT)),
    "a script in the first output": lambda n: code(n)[0]["outputs"].insert(0, dict(SCRIPT)),
    "the text of an output": lambda n: code(n)[0]["outputs"][0].update(text="other"),
    "the source of a cell": lambda n: code(n)[0].update(source="import os"),
    "a cell more": lambda n: n["cells"].append(nbformat.v4.new_code_cell("1")),
    "a cell less": lambda n: n["cells"].pop(),
    "the order of the cells": lambda n: n["cells"].reverse(),
    "a text": lambda n: n["cells"][0].update(source="# Another"),
    "an attachment": lambda n: n["cells"][0].update(attachments={"a.svg": {"image/svg+xml": "<svg/>"}}),
    "the state of widgets": lambda n: n["metadata"].update(widgets={"state": {"a": "<script>"}}),
    "the metadata of a cell": lambda n: code(n)[0]["metadata"].update(tags=["other"]),
    "the version it says": lambda n: n["metadata"]["vaewidgets"].update(version="9.9"),
    "a kernel": lambda n: n["metadata"]["kernelspec"].update(name="other"),
}


@pytest.mark.parametrize("edit", CHANGES.values(), ids=CHANGES)
def test_what_anybody_changed_is_not_signed(tmp_path, monkeypatch, launched, edit):
    """In a copy, and in a checkout, where the folder itself is opened."""
    shutil.copytree(NOTEBOOKS, tmp_path / "mine", ignore=shutil.ignore_patterns("solutions"))
    change(tmp_path / "mine" / "06_train.ipynb", edit)
    others = [name for name in COURSE if name != "06_train.ipynb"]
    assert cli.main(["lab", str(tmp_path / "mine")]) == 7
    assert trusted(tmp_path / "mine") == others
    monkeypatch.setattr(notebooks, "shipped_notebooks", lambda: (tmp_path / "mine", True))
    assert cli.main(["lab"]) == 7
    assert cli.main(["copy", str(tmp_path / "of-the-changed")]) == 0
    assert trusted(tmp_path / "mine") == trusted(tmp_path / "of-the-changed") == others


def test_what_was_brought_along_is_not_signed(tmp_path, launched):
    (tmp_path / "mine").mkdir()
    foreign = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=[SCRIPT])])
    for name in ("06_train.ipynb", "foreign.ipynb"):
        nbformat.write(foreign, tmp_path / "mine" / name)
    assert cli.main(["lab", str(tmp_path / "mine")]) == 7
    assert trusted(tmp_path / "mine") == [name for name in COURSE if name != "06_train.ipynb"]


@pytest.mark.parametrize("text", ["", "zero", "[" * 100_000, "[]", '{"cells": 1}', "\ud800", "NaN"])
def test_what_is_no_notebook_is_passed_over(tmp_path, text):
    (tmp_path / "06_train.ipynb").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "00_quickstart.ipynb").mkdir()
    (tmp_path / "07_beta.ipynb").symlink_to(tmp_path / "nowhere")
    assert trust.sign(tmp_path) == []


def test_another_layout_of_the_file_is_the_same_notebook(tmp_path):
    """As git writes it on Windows, and as JupyterLab would."""
    notebooks.copy_notebooks(tmp_path / "mine", sign=False)
    names = ["06_train.ipynb", "07_beta.ipynb"]
    train, beta = (tmp_path / "mine" / name for name in names)
    train.write_bytes(train.read_bytes().replace(b"\n", b"\r\n"))
    change(beta, lambda n: None)
    assert beta.read_bytes() != (NOTEBOOKS / beta.name).read_bytes()
    assert set(names) <= set(trust.sign(tmp_path / "mine")) & set(trusted(tmp_path / "mine"))


# --- every way to a notebook -------------------------------------------------------------------------


def test_every_command_that_copies_or_opens_signs(tmp_path, monkeypatch, launched):
    monkeypatch.chdir(tmp_path)
    for number, (words, folder, names) in enumerate(
        (
            (["copy", "a"], "a", COURSE),
            (["copy", "b", "--solutions"], "b", [*COURSE, *SOLUTIONS]),
            (["copy", "--workshop", "c", "--students", "2"], "c/student-02", COURSE),
            (["lab", "d"], "d", COURSE),
            (["lab", "--workshop", "e"], "e/student-01", COURSE),
            (["lab", "--workshop", "c", "--student", "student-01"], "c/student-01", COURSE),
            (["lab"], NOTEBOOKS, [*COURSE, *SOLUTIONS]),
        )
    ):
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / f"data-{number}"))
        assert cli.main(words) == (7 if words[0] == "lab" else 0)
        found = trusted(tmp_path / folder)
        unchanged = [name for name in names if (tmp_path / folder / name).is_file()]
        assert [name for name in found if ".ipynb_checkpoints" not in name] == unchanged, words
        assert len(unchanged) == len(names), words


def test_a_room_is_signed_once(tmp_path, monkeypatch):
    signed = []
    monkeypatch.setattr(trust, "sign", signed.append)
    workshop.prepare(tmp_path / "room", 5)
    assert signed == [NOTEBOOKS]


def test_a_student_who_went_on_keeps_what_jupyter_signed(tmp_path):
    """A half-run copy that was saved while trusted is signed by the server, and stays so."""
    notebooks.copy_notebooks(tmp_path / "mine")
    change(tmp_path / "mine" / "06_train.ipynb", lambda n: code(n)[3]["outputs"].append(dict(SCRIPT)))
    notary = NotebookNotary()
    notary.sign(nbformat.read(tmp_path / "mine" / "06_train.ipynb", as_version=4))
    notary.store.close()
    notebooks.copy_notebooks(tmp_path / "mine")
    assert trusted(tmp_path / "mine") == COURSE


def test_the_servers_own_settings_say_where_the_signatures_are(tmp_path, jupyter):
    """``c.NotebookNotary.db_file``: what homes on a network drive need."""
    (tmp_path / "jupyter-config").mkdir()
    settings = tmp_path / "jupyter-config" / "jupyter_server_config.py"
    settings.write_text(f"c.NotebookNotary.db_file = {str(tmp_path / 'elsewhere.db')!r}\n")
    assert len(trust.sign(NOTEBOOKS)) == len(COURSE) + len(SOLUTIONS)
    with sqlite3.connect(tmp_path / "elsewhere.db") as database:
        assert database.execute("select count(*) from nbsignatures").fetchone() == (21,)
    assert not (jupyter / "nbsignatures.db").exists()


def test_signing_again_adds_nothing(jupyter):
    for _ in range(2):
        trust.sign(NOTEBOOKS)
    with sqlite3.connect(jupyter / "nbsignatures.db") as database:
        assert database.execute("select count(*) from nbsignatures").fetchone() == (21,)


# --- where it fails ----------------------------------------------------------------------------------


def in_the_way(jupyter):
    jupyter.write_text("a file")


def secret_in_the_way(jupyter):
    (jupyter / "notebook_secret").mkdir(parents=True)


def database_in_the_way(jupyter):
    (jupyter / "nbsignatures.db").mkdir(parents=True)
    (jupyter / "nbsignatures.db.bak").write_text("in the way of the way out")


@pytest.mark.parametrize("hinder", [in_the_way, secret_in_the_way, database_in_the_way])
def test_a_copy_without_signatures_is_a_copy_and_says_so(tmp_path, jupyter, capsys, launched, hinder):
    hinder(jupyter)
    # Without a folder of its own JupyterLab cannot run at all, and `lab` says that before it copies anything.
    command, status = ("copy", 0) if hinder is in_the_way else ("lab", 7)
    assert cli.main([command, str(tmp_path / "mine")]) == status
    out, err = capsys.readouterr()
    assert f"copied {len(COURSE) + 1} files" in out and (tmp_path / "mine" / "06_train.ipynb").is_file()
    [line] = [line for line in err.splitlines() if line.startswith("vaewidgets")]
    assert line.startswith(f"vaewidgets {command}: the notebooks could not be signed as trusted: ")
    assert "Make Jupyter's data folder writable" in line and "warn" not in line.lower()


def test_signing_says_nothing_where_it_works(tmp_path):
    """Else the first thing that a student reads is about a key."""
    command = [sys.executable, "-m", "vaewidgets", "copy", str(tmp_path / "mine")]
    path = os.pathsep.join([str(Path(notebooks.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.stdout == f"copied {len(COURSE) + 1} files to {tmp_path / 'mine'}\n" and done.stderr == ""
