"""The stored notebooks: what nbval cannot compare must not be in them, and they need no network.

nbval itself runs them: pytest collects ``notebooks/`` beside ``tests/``.
"""

import ast
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import refresh_notebooks
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from vaewidgets.course import check

NOTEBOOKS = refresh_notebooks.NOTEBOOKS
PATHS = refresh_notebooks.stored()
COURSE = [path for path in PATHS if path.parent == NOTEBOOKS]
SOLUTIONS = [path for path in PATHS if path.parent != NOTEBOOKS]


def name_of(path):
    return path.relative_to(NOTEBOOKS).with_suffix("").as_posix()


LONGEST_CELL = 12
LARGEST_FILE = 1_000_000

each_notebook = pytest.mark.parametrize("path", PATHS, ids=name_of)
each_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=name_of)


@pytest.fixture(scope="session", autouse=True)
def network_off(tmp_path_factory):
    """From the first test of this file on, kernels of this session start without the network: nbval's too.

    Kernels inherit the environment, and pytest runs ``tests/`` before ``notebooks/`` (testpaths). So the
    strict comparison of every notebook is at the same time its run without network, and none runs twice.
    """
    profile = tmp_path_factory.mktemp("ipython")
    startup = profile / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("loopback_only.py"), startup / "00-loopback-only.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(profile))
        yield


def of_code(*sources):
    return new_notebook(cells=[new_code_cell(source) for source in sources])


def printed(notebook):
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.outputs)


def run(*sources):
    """Return what the cells print."""
    return printed(refresh_notebooks.execute(of_code(*sources), Path.cwd()))


# --- the network -------------------------------------------------------------------------------------


def test_no_way_out():
    # TEST-NET-1 (RFC 5737) belongs to nobody: without the hook this would end in a time-out.
    attempts = (
        "socket.create_connection(('192.0.2.1', 80), timeout=5)",
        "urllib.request.urlopen('http://example.org', timeout=5)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 9))",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
    )
    caught = [f"try:\n    {attempt}\nexcept OSError as error:\n    print(error)" for attempt in attempts]
    lines = run("import socket, urllib.request", *caught).splitlines()
    assert len(lines) == len(attempts)
    assert all("the network is cut off in this test" in line for line in lines)


def test_the_kernel_still_talks_to_itself_and_its_namespace_is_clean():
    loopback = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "client = socket.create_connection(server.getsockname())\n"
        "print('connected')"
    )
    names = "print([name for name in ('sys', 'ipaddress', '_cut') if name in globals()])"
    assert run(names, loopback) == "[]\nconnected\n"


def test_nbval_compares_meets_the_same_wall_and_leaves_checkpoints_alone(tmp_path, pytestconfig):
    cells = [
        new_code_cell("import socket", execution_count=1),
        new_code_cell("socket.create_connection(('192.0.2.1', 80), timeout=5)", execution_count=2),
    ]
    nbformat.write(new_notebook(cells=cells), tmp_path / "out.ipynb")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    shutil.copy(tmp_path / "out.ipynb", tmp_path / ".ipynb_checkpoints" / "out-checkpoint.ipynb")
    (tmp_path / "solutions").mkdir()
    changed = SOLUTIONS[0].read_text(encoding="utf-8").replace("Right. ", "Right! ", 1)
    (tmp_path / "solutions" / "changed.ipynb").write_text(changed, encoding="utf-8")
    cells = sum(cell.cell_type == "code" for cell in nbformat.reads(changed, as_version=4).cells)
    command = [sys.executable, "-m", "pytest", "-c", str(pytestconfig.inipath), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert f"collected {2 + cells} items" in done.stdout and f"2 failed, {cells} passed" in done.stdout
    assert "Cell outputs differ" in done.stdout and "Right! 784" in done.stdout
    assert "the network is cut off in this test" in done.stdout


def test_pytest_collects_the_notebooks_after_the_tests(pytestconfig):
    assert pytestconfig.getini("testpaths") == ["tests", "notebooks"]
    assert pytestconfig.getoption("--nbval") and pytestconfig.getoption("--nbval-current-env")


# --- the stored files --------------------------------------------------------------------------------


@each_notebook
def test_nothing_is_stored_that_does_not_belong(path):
    assert refresh_notebooks.faults(nbformat.read(path, as_version=4)) == []
    assert path.stat().st_size < LARGEST_FILE


@each_notebook
def test_the_stored_form_is_the_refreshed_form(path):
    """Timings, views and versions come back when JupyterLab saves a notebook: refresh it before a commit."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    before = nbformat.writes(notebook)
    assert nbformat.writes(refresh_notebooks.clean(notebook)) == before, "python tests/refresh_notebooks.py"


@each_notebook
def test_cells_are_short(path):
    notebook = nbformat.read(path, as_version=4)
    lengths = [len(cell.source.splitlines()) for cell in notebook.cells if cell.cell_type == "code"]
    assert max(lengths) <= LONGEST_CELL


@each_notebook
def test_every_cell_is_compared(path):
    assert refresh_notebooks.ignored(nbformat.read(path, as_version=4)) == 0


def test_no_notebook_escapes_the_rules():
    every = {path for path in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts}
    assert every == set(PATHS) and len(COURSE) >= 10


# --- the course as a whole ---------------------------------------------------------------------------

LINK = re.compile(r"\]\(([^)\s]+)\)")


def first_cell(path):
    return nbformat.read(path, as_version=4).cells[0].source


@pytest.mark.parametrize("path", [*PATHS, NOTEBOOKS / "README.md"], ids=name_of)
def test_relative_links_lead_to_files(path):
    if path.suffix == ".md":
        texts = [path.read_text(encoding="utf-8")]
    else:
        texts = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    links = [link.partition("#")[0] for text in texts for link in LINK.findall(text) if ":" not in link]
    assert links, "at least the index, or the notebook that it solves"
    for link in filter(None, links):
        assert (path.parent / link).is_file(), link
        # Students have no solutions, and no folder above their own.
        assert path in SOLUTIONS or "/" not in link, link


def test_one_notebook_leads_to_the_next():
    for path in COURSE:
        assert "[Index](README.md)" in first_cell(path), path.name
    for before, after in itertools.pairwise(COURSE):
        for path, word, other in ((before, "next", after), (after, "previous", before)):
            link = rf"{word}: \[{other.stem[:2]} [^]]*\]\({other.name}\)"
            assert re.search(link, first_cell(path)), path.name


def test_index_and_notebooks_give_the_same_minutes():
    index = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
    for path in COURSE:
        [minutes] = re.findall(rf"\({path.name}\) \| (\d+) \|", index)
        assert f"about {minutes} minutes" in first_cell(path), path.name


# --- the exercises and their solutions ---------------------------------------------------------------


def exercises(source):
    """List the exercises that a cell hands answers to."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [f.attr for f in calls if isinstance(f, ast.Attribute) and ast.unparse(f.value) == "vw.check"]


def verdicts(path):
    """Return what a stored notebook shows of each exercise: its name and the verdicts, in order."""
    shown = {}
    for cell in nbformat.read(path, as_version=4).cells:
        for name in exercises(cell.source) if cell.cell_type == "code" else ():
            [output] = cell.outputs
            shown.setdefault(name, []).append(output.data["text/plain"])
    return shown


def test_ten_notebooks_ask_three_exercises_each_and_all_thirty():
    asked = {path.stem: verdicts(path) for path in COURSE if verdicts(path)}
    assert sorted(stem[:2] for stem in asked) == [f"{number:02}" for number in range(10)]
    names = [name for shown in asked.values() for name in shown]
    assert sorted([*names, "Verdict"]) == check.__all__
    for stem, shown in asked.items():
        assert len(shown) == 3, stem
        assert {getattr(check, name).__module__.rpartition("._")[2][:2] for name in shown} == {stem[:2]}
        for replies in shown.values():
            assert len(replies) == 1 and replies[0].startswith("Not answered yet. "), stem


def test_every_notebook_with_exercises_is_solved():
    assert [path.name for path in SOLUTIONS] == [path.name for path in COURSE if verdicts(path)]


@each_solution
def test_a_solution_shows_a_right_and_a_wrong_answer_to_each_exercise(path):
    shown = verdicts(path)
    assert list(shown) == list(verdicts(NOTEBOOKS / path.name))
    for right, wrong in shown.values():
        assert right.startswith("Right. ") and wrong.startswith("Not yet. ")


# --- the rules themselves ----------------------------------------------------------------------------


def stored(**changes):
    """A notebook without fault, with `changes` to its one code cell."""
    output = new_output("execute_result", {"text/plain": "2"}, execution_count=1)
    cell = new_code_cell(**{"source": "1 + 1", "execution_count": 1, "outputs": [output]} | changes)
    return refresh_notebooks.clean(new_notebook(cells=[new_markdown_cell("See https://a.org/home/x."), cell]))


def stream(text):
    return [new_output("stream", name="stdout", text=text)]


def test_a_good_notebook_has_no_fault():
    path_like = stream("../shared/home/x 1/home/2 10:/ C: D\n")
    base64 = [new_output("display_data", {"image/png": "+/tmp/"})]  # any letters may follow a slash in it
    for changes in ({}, {"outputs": path_like}, {"outputs": base64}):
        assert refresh_notebooks.faults(stored(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"execution_count": None}, "its execution counts are [None], not 1 to 1"),
        ({"execution_count": 7}, "its execution counts are [7]"),
        ({"outputs": [new_output("error", ename="E", evalue="", traceback=[])]}, "raised an exception"),
        ({"outputs": stream("saved in /home/ada/x.png")}, "/home/ada/x.png"),
        ({"outputs": stream("'/tmp/tmpabc'")}, "/tmp/tmpabc"),
        ({"outputs": stream(r"C:\Users\ada")}, "cell 2 shows a path of this machine"),
        ({"outputs": [new_output("display_data", {"text/html": "<a href='/root/x'>"})]}, "/root/x"),
        ({"source": "open('/srv/x')"}, "/srv/x"),
    ],
)
def test_each_fault_is_found(changes, fault):
    found = refresh_notebooks.faults(stored(**changes))
    assert len(found) == 1 and fault in found[0]


def test_what_widgets_leave_behind_is_found_and_dropped():
    view = {refresh_notebooks.VIEW: {"model_id": "x"}, "text/plain": "Panel()"}
    notebook = stored()
    notebook.cells[1].outputs = [new_output("display_data", view)]
    notebook.cells[1].metadata = nbformat.from_dict(
        {"execution": {"iopub.execute_input": "2026"}, "tags": ["t"]}
    )
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    notebook.metadata.language_info.version = "3.11.7"
    assert [fault.split()[-1] for fault in refresh_notebooks.faults(notebook)] == [
        "(metadata.widgets)",
        "exists",
    ]
    cleaned = refresh_notebooks.clean(notebook)
    assert refresh_notebooks.faults(cleaned) == []
    assert cleaned.cells[1].outputs[0].data == {"text/plain": "Panel()"}
    assert cleaned.cells[1].metadata == {"tags": ["t"]}
    assert cleaned.metadata.language_info == {"name": "python"}


def test_every_way_to_escape_the_comparison_is_counted():
    cells = [
        new_code_cell("1", metadata={"tags": ["nbval-ignore-output"]}),
        new_code_cell("# NBVAL_IGNORE_OUTPUT\n1"),
        new_code_cell("1", metadata={"tags": ["nbval-skip"]}),
        new_code_cell("1", metadata={"tags": ["raises-exception"]}),
        new_code_cell("1", metadata={"tags": ["other"]}),
        new_markdown_cell("`nbval-ignore-output` in words"),
    ]
    assert refresh_notebooks.ignored(new_notebook(cells=cells)) == 4


# --- the command -------------------------------------------------------------------------------------


def test_refresh_runs_keeps_and_refuses(tmp_path, capsys):
    good, failing, leaking = (tmp_path / f"{name}.ipynb" for name in ("good", "failing", "leaking"))
    nbformat.write(of_code("print(6 * 7)", "import ipywidgets\nipywidgets.IntSlider()"), good)
    nbformat.write(of_code("1 / 0"), failing)
    nbformat.write(of_code("import os; print(os.getcwd())"), leaking)
    before = failing.read_bytes(), leaking.read_bytes()

    assert refresh_notebooks.main([str(good)]) == 0
    notebook = nbformat.read(good, as_version=4)
    assert [cell.execution_count for cell in notebook.cells] == [1, 2]
    assert printed(notebook) == "42\n" and "IntSlider(value=0)" in str(notebook.cells[1].outputs)
    assert refresh_notebooks.faults(notebook) == []
    first = good.read_bytes()
    assert refresh_notebooks.main([str(good)]) == 0 and good.read_bytes() == first, (
        "a refresh changes nothing"
    )

    assert refresh_notebooks.main([str(failing), str(leaking)]) == 1
    assert (failing.read_bytes(), leaking.read_bytes()) == before
    errors = capsys.readouterr().err
    assert "ZeroDivisionError" in errors and "shows a path of this machine" in errors
    assert sorted(os.listdir(tmp_path)) == ["failing.ipynb", "good.ipynb", "leaking.ipynb"]


def test_refresh_says_how_long_each_took_and_how_large_it_is(tmp_path, capsys):
    path = tmp_path / "empty.ipynb"
    nbformat.write(of_code("'x' * 5000"), path)
    assert refresh_notebooks.main([str(path)]) == 0
    one, total = capsys.readouterr().out.splitlines()
    size = -(-path.stat().st_size // 1000)
    assert re.fullmatch(rf"{tmp_path.name}/empty: \d+\.\d s, {size} kB, refreshed", one) and size >= 5
    assert re.fullmatch(rf"1 notebooks: \d+\.\d s, {size} kB", total)
