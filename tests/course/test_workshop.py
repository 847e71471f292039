"""A room full of students: nobody gets another's folder, nothing in one is touched, and the index holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from vaewidgets.cli import app as cli
from vaewidgets.course import notebooks, workshop

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"


@pytest.fixture(autouse=True)
def course(tmp_path, monkeypatch):
    """A course of two notebooks and the teacher's solutions, in place of the real one."""
    folder = tmp_path / "course"
    (folder / "solutions").mkdir(parents=True)
    for name in ("README.md", "00_a.ipynb", "01_b.ipynb", "solutions/00_a.ipynb"):
        (folder / name).write_text(name)
    monkeypatch.setattr(notebooks, "shipped_notebooks", lambda: (folder, True))
    return folder


COURSE = {"README.md", "00_a.ipynb", "01_b.ipynb"}


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file()}


# --- a student's folder ------------------------------------------------------------------------------


def test_each_start_gets_the_next_free_folder_with_the_whole_course(tmp_path):
    room = tmp_path / "deep" / "room"
    for number in (1, 2, 3):
        folder, new, written = workshop.open_folder(room)
        assert (folder, new) == (room / f"student-0{number}", True)
        assert contents(folder) == {name: name for name in COURSE}, "and no solutions"
        assert len(written) == len(COURSE)
    (room / "student-02" / "00_a.ipynb").unlink()
    assert workshop.open_folder(room)[0].name == "student-04", "a hole in the row is somebody's folder"


def test_what_is_in_the_way_is_passed_over(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    (room / "student-01").write_text("a file")
    (room / "student-02").mkdir()
    assert workshop.open_folder(room)[0].name == "student-03"
    assert (room / "student-01").read_text() == "a file" and contents(room / "student-02") == {}


def test_a_named_folder_is_made_and_then_gone_on_in(tmp_path):
    folder, new, written = workshop.open_folder(tmp_path / "room", "Ada")
    assert (folder, new, len(written)) == (tmp_path / "room" / "Ada", True, 3)
    (folder / "00_a.ipynb").write_text("my answers")
    (folder / "notes.txt").write_text("mine alone")
    (folder / "01_b.ipynb").unlink()
    before = (folder / "00_a.ipynb").stat().st_mtime_ns
    assert workshop.open_folder(tmp_path / "room", "Ada") == (folder, False, [folder / "01_b.ipynb"])
    assert (folder / "00_a.ipynb").stat().st_mtime_ns == before
    assert contents(folder)["00_a.ipynb"] == "my answers" and contents(folder)["notes.txt"] == "mine alone"


def test_two_who_start_at_the_same_moment_get_different_folders(tmp_path):
    """Eight processes that wait for one file and then ask at once, three times each."""
    code = (
        "import sys, time, pathlib; from vaewidgets.course import notebooks, workshop\n"
        "room, course, go = map(pathlib.Path, sys.argv[1:])\n"
        "notebooks.shipped_notebooks = lambda: (course, True)\n"
        "print('ready', flush=True)\n"
        "while not go.exists(): time.sleep(.001)\n"
        "print(*[workshop.open_folder(room)[0].name for _ in range(3)])"
    )
    room, go = tmp_path / "room", tmp_path / "go"
    command = [sys.executable, "-c", code, str(room), str(tmp_path / "course"), str(go)]
    students = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    for student in students:
        assert student.stdout.readline() == "ready\n"
    go.touch()
    names = [name for student in students for name in student.communicate()[0].split()]
    assert sorted(names) == [f"student-{number:02}" for number in range(1, 25)]
    assert all(contents(room / name) == {file: file for file in COURSE} for name in names)


def test_two_starts_under_one_name_share_the_work(tmp_path, monkeypatch):
    """The other start writes a notebook between our look and our copy: it stays, and ours is no error."""
    write = notebooks._write_new

    def slow(path, data):
        if path.name == "01_b.ipynb":
            path.write_text("the other's, and already changed")
        write(path, data)

    monkeypatch.setattr(notebooks, "_write_new", slow)
    folder, _, written = workshop.open_folder(tmp_path / "room", "Ada")
    assert {path.name for path in written} == COURSE - {"01_b.ipynb"}
    assert contents(folder)["01_b.ipynb"] == "the other's, and already changed"


def test_folders_are_made_beforehand_and_those_that_exist_are_left(tmp_path):
    room = tmp_path / "room"
    (room / "student-02").mkdir(parents=True)
    (room / "student-02" / "00_a.ipynb").write_text("my answers")
    made, left = workshop.prepare(room, 3)
    assert [path.name for path in made] == ["student-01", "student-03"]
    assert left == [room / "student-02"] and contents(left[0]) == {"00_a.ipynb": "my answers"}
    assert all(contents(path).keys() == COURSE for path in made)
    assert workshop.prepare(room, 3) == ([], [room / f"student-0{n}" for n in (1, 2, 3)])
    for wrong in (0, -1, 501):
        with pytest.raises(ValueError, match=f"students must be from 1 to 500; got {wrong}"):
            workshop.prepare(tmp_path / "other", wrong)
    assert not (tmp_path / "other").exists()


# --- names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Ada", "ada.lovelace@school", "Zoë 2", "student-07", "李", "COM10", "x" * 64]
)
def test_names_that_can_be_folders_everywhere(name, tmp_path):
    workshop.check_name(name)
    assert workshop.open_folder(tmp_path / "room", name)[0] == tmp_path / "room" / name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is empty"),
        ("..", "begins with a dot"),
        ("../ada", "'/' may not be in it"),
        ("a/b", "'/' may not be in it"),
        ("a\\b", "may not be in it"),
        ("C:x", "':' may not be in it"),
        ("a\0b", "may not be in it"),
        ("a\nb", "may not be in it"),
        ("*", r"'\*' may not be in it"),
        (".ada", "begins with a dot"),
        ("-ada", "begins with a dot, a space or a hyphen"),
        (" ada", "begins with a dot, a space or a hyphen"),
        ("ada.", "ends with a dot"),
        ("ada ", "ends with a dot, a space"),
        ("NUL", "Windows keeps it for a device"),
        ("com1.txt", "Windows keeps it for a device"),
        ("x" * 65, "it has 65 characters, and 64 are the most"),
    ],
)
def test_names_that_lead_elsewhere_or_are_none(name, reason, tmp_path):
    with pytest.raises(ValueError, match=reason):
        workshop.open_folder(tmp_path / "room", name)
    assert not (tmp_path / "room").exists(), "refused before anything is made"


# --- the room itself ---------------------------------------------------------------------------------


def test_a_file_or_a_place_inside_the_checkout_is_no_room(tmp_path):
    (tmp_path / "file").write_text("dear")
    with pytest.raises(ValueError, match="file is a file; expected a folder"):
        workshop.open_folder(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "dear"
    for inside in (ROOT / "room", ROOT, ROOT / "notebooks" / ".." / "room"):
        with pytest.raises(ValueError, match=rf"is inside the checkout {re.escape(str(ROOT))}"):
            workshop.prepare(inside, 1)
    assert not (ROOT / "room").exists()


def test_a_place_inside_the_installed_package_is_no_room(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "shipped_notebooks", lambda: (tmp_path / "course", False))
    with pytest.raises(ValueError, match="is inside the installed package"):
        workshop.open_folder(Path(notebooks.__file__).parent / "room")


def test_a_place_that_may_not_be_written_to_is_said(tmp_path, monkeypatch):
    original = Path.mkdir

    def refuse(self, *args, **kwargs):
        if self.name == "student-01":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match=r"student-01 cannot be made: Permission denied\. Name a folder where"):
        workshop.open_folder(tmp_path / "room")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_real_folder_without_write_permission(tmp_path):
    (tmp_path / "room").mkdir(mode=0o555)
    with pytest.raises(OSError, match="cannot be made: Permission denied"):
        workshop.open_folder(tmp_path / "room")


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege on Windows")
def test_the_room_may_be_a_link_but_a_students_folder_may_not(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "room").symlink_to(tmp_path / "disk")
    assert workshop.open_folder(tmp_path / "room")[0] == tmp_path / "disk" / "student-01"
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"lost is a link to .*nowhere, which is not there"):
        workshop.open_folder(tmp_path / "lost")
    assert not (tmp_path / "nowhere").exists()

    (tmp_path / "private").mkdir()
    (tmp_path / "disk" / "Ada").symlink_to(tmp_path / "private")
    (tmp_path / "disk" / "Bob").symlink_to(tmp_path / "nowhere")
    (tmp_path / "disk" / "Cem").write_text("a file")
    for name, kind in (("Ada", "a link"), ("Bob", "a link"), ("Cem", "a file")):
        with pytest.raises(ValueError, match=f"{name} is {kind}; expected a student's folder"):
            workshop.open_folder(tmp_path / "room", name)
    assert contents(tmp_path / "private") == {} and not (tmp_path / "nowhere").exists()


# --- the commands ------------------------------------------------------------------------------------


def test_lab_says_whose_folder_it_is_and_how_to_come_back(tmp_path, launched, capsys):
    room = tmp_path / "room"
    assert cli.main(["lab", "--workshop", str(room), "--no-browser", "--port", "9999"]) == 7
    out = capsys.readouterr().out
    assert f"{room / 'student-01'} is new: 3 files copied" in out
    back = re.search(r'vaewidgets (lab --workshop ".*" --student ".*")', out)[1].replace('"', "").split()

    (room / "student-01" / "01_b.ipynb").unlink()
    assert cli.main(back) == 7
    out = capsys.readouterr().out
    assert f"going on in {room / 'student-01'}: nothing in it is touched, 1 file added: 01_b.ipynb" in out
    assert [command[3] for command in launched] == [f"--ServerApp.root_dir={room / 'student-01'}"] * 2
    assert {"--no-browser", "--ServerApp.port=9999"} <= set(launched[0])
    assert sorted(path.name for path in room.iterdir()) == ["student-01"]


def test_lab_makes_no_folder_when_it_refuses(tmp_path, launched, capsys):
    room = str(tmp_path / "room")
    assert cli.main(["lab", "--workshop", room, "--", "--ip=0.0.0.0"]) == 1
    assert cli.main(["lab", "--workshop", room, "--student", "../Ada"]) == 1
    assert cli.main(["lab", "--student", "Ada"]) == 1
    err = capsys.readouterr().err
    assert "keeps it to this machine" in err and "'/' may not be in it" in err and "add --workshop DIR" in err
    with pytest.raises(SystemExit) as stopped:
        cli.main(["lab", str(tmp_path / "mine"), "--workshop", room])
    assert stopped.value.code == 2 and launched == []
    assert not (tmp_path / "room").exists() and not (tmp_path / "mine").exists()


def test_copy_prepares_a_room_and_says_what_it_left(tmp_path, capsys):
    room = tmp_path / "room"
    (room / "student-01").mkdir(parents=True)
    assert cli.main(["copy", "--workshop", str(room), "--students", "3"]) == 0
    assert capsys.readouterr().out == f"left {room / 'student-01'} as it is\nmade 2 folders in {room}\n"
    assert contents(room / "student-03").keys() == COURSE
    for wrong, reason in (
        (["--workshop", str(room)], "go together"),
        ([str(tmp_path / "x"), "--students", "3"], "go together"),
        (["--workshop", str(room), "--students", "9", "--solutions"], "no student's folder gets them"),
    ):
        assert cli.main(["copy", *wrong]) == 1
        assert reason in capsys.readouterr().err
    assert len(list(room.iterdir())) == 3


def test_only_the_teacher_gets_the_solutions(tmp_path, course, capsys):
    assert cli.main(["copy", str(tmp_path / "mine")]) == 0
    assert contents(tmp_path / "mine").keys() == COURSE
    assert cli.main(["copy", str(tmp_path / "mine"), "--solutions"]) == 0
    assert contents(tmp_path / "mine").keys() == COURSE | {"solutions/00_a.ipynb"}
    assert "copied 1 file to" in capsys.readouterr().out
    (course / "solutions" / "00_a.ipynb").unlink()
    (course / "solutions").rmdir()
    assert cli.main(["copy", str(tmp_path / "other"), "--solutions"]) == 1
    assert "This installation has no solutions" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


# --- the index ---------------------------------------------------------------------------------------


def index_rows():
    text = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    return text, re.findall(
        r"^\| \[([^]]+)\]\(([^)]+)\) \| (\d+) \| ([^|]+) \| ([^|]+) \|$", text, re.MULTILINE
    )


def test_the_index_names_every_notebook_by_its_title():
    _, rows = index_rows()
    assert [link for _, link, *_ in rows] == sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
    for name, link, *_ in rows:
        first = nbformat.read(NOTEBOOKS / link, as_version=4).cells[0].source
        number, words = re.match(r"# (\d\d) · ([^:\n]+):", first).groups()
        assert name == f"{number} {words.lower()}"


def test_the_instruments_of_the_index_stand_in_their_notebooks():
    for _, link, _, instruments, _ in index_rows()[1]:
        code = "\n".join(
            cell.source
            for cell in nbformat.read(NOTEBOOKS / link, as_version=4).cells
            if cell.cell_type == "code"
        )
        for instrument in re.findall(r"`(\w+)`", instruments):
            assert f"vw.{instrument}(" in code, (link, instrument)


def test_the_routes_fit_their_time():
    text, rows = index_rows()
    minutes = {link[:2]: int(number) for _, link, number, *_ in rows}
    for title, longest in (("three hours", 180), ("one hour", 60)):
        (route,) = re.findall(rf"^\*\*In {title}\.\*\* (.*)$", text, re.MULTILINE)
        stops = {number: int(time) for number, time in re.findall(r"(\d\d) \((\d+)\)", route)}
        breaks = sum(int(time) for time in re.findall(r"break \((\d+)\)", route))
        assert len(stops) >= 5 and {"02", "03", "05"} <= stops.keys()
        assert sum(stops.values()) + breaks == longest, title
        assert longest < 180 or stops.items() <= minutes.items()
