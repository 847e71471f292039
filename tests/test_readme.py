"""What the pages say holds: code runs, commands parse, links lead somewhere, figures are the files'."""

import contextlib
import io
import itertools
import json
import math
import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import test_fuzz
import yaml
from packaging.specifiers import SpecifierSet
from PIL import Image

import vaewidgets as vw
from vaewidgets.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = ROOT / ".github"
PRETRAINED = ROOT / "vaewidgets" / "pretrained"
#: The list of the models that ship lies beside them.
MODELS = (PRETRAINED / "README.md").read_text(encoding="utf-8")
SHIPPED = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
INDEX = ROOT / "notebooks" / "README.md"
MARKDOWN = [ROOT / "README.md", *sorted(GUIDES.glob("*.md")), INDEX, PRETRAINED / "README.md"]
PAGES = [*MARKDOWN, *NOTEBOOKS]
#: The page's own panel runs in test_contribute.py.
WITH_CODE = [
    path
    for path in MARKDOWN
    if path.name != "CONTRIBUTING.md" and "```python\n" in path.read_text(encoding="utf-8")
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def guide(name: str) -> str:
    return (GUIDES / f"{name}.md").read_text(encoding="utf-8")


def test_the_two_commands_stand_there_word_for_word_and_ci_runs_the_second():
    run = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/vaewidgets lab"
    test = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'
    script = ROOT / ".ci" / "run"
    assert f"    {run}\n" in README and f"    {test}\n" in README
    assert f"\n{test}\n" in script.read_text() and (os.access(script, os.X_OK) or os.name != "posix")


def test_readme_is_short_and_leads_to_every_guide():
    assert len(README.splitlines()) < 150
    assert {f".github/{path.name}" for path in GUIDES.glob("*.md")} <= set(targets(README))


# --- code and commands -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A function that runs a page's code as it is written and in the order it is read: what it defines."""
    seen = {}

    def names_of(page: Path) -> dict:
        if page not in seen:
            names = seen[page] = {"display": lambda *panels: None}  # a notebook's own
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
                patch.chdir(tmp_path_factory.mktemp("page"))
                for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
                    exec(block, names)
                if Path("m.safetensors").is_file():
                    names["model_saved"] = vw.load("m.safetensors")
        return dict(seen[page])

    return names_of


def test_the_code_is_on_the_pages_that_are_known():
    assert WITH_CODE == [ROOT / "README.md", GUIDES / "LIBRARY.md"]


def test_readmes_code_runs(run):
    names = run(ROOT / "README.md")
    assert names["panel"].z == (0.5, -1.2) and names["panel"].image.shape == (8, 8)
    assert names["step"].epoch == 5


def test_the_librarys_code_runs_in_the_order_it_is_read(run):
    names = run(GUIDES / "LIBRARY.md")
    assert names["panel"].image.shape == (28, 28)
    assert names["panel"].z == (0.5, -1.2)
    assert type(names["model_saved"]) is vw.VAE
    assert names["x"].unique().tolist() == [0, 1]
    assert names["step"].epoch == 5


def test_the_code_between_the_lines_runs_after_it(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in ("cats", "dogs"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(8):
            Image.effect_noise((8, 8), 20 + i).save(tmp_path / "pictures" / label / f"{i}.png")
    # What a sentence speaks of and does not make: a name of the list, a model that is told the label.
    names = run(GUIDES / "LIBRARY.md") | {
        "name": "digits-vae-2d",
        "conditional": vw.pretrained("mnist-cvae-10d"),
    }
    ran = []
    for code in re.findall(r"`([^`\n]*\w\([^`\n]*)`", README + guide("LIBRARY")):
        code = code.replace("model.given", "conditional.given")
        # MNIST itself may have to be downloaded.
        if code != 'vw.load_data("mnist")' and re.match(r"(\w+ = )?vw\.|(finder|panel|conditional)\.", code):
            exec(code, names)
            ran.append(code)
    assert len(ran) >= 12
    assert names["rate"].n == 1000
    [size] = re.findall(r"one file of (\d\.\d) MB", guide("LIBRARY"))
    assert (tmp_path / "explorer.html").stat().st_size / 1e6 == pytest.approx(float(size), abs=0.1)


def prose(page: Path) -> str:
    """Read the text of a page; of a notebook its markdown cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def test_every_command_is_understood():
    text = "\n\n".join(map(prose, PAGES))
    commands = re.findall(r"`vaewidgets ([^`]+)`", text)
    commands += re.findall(r"^ {4}vaewidgets (.+)$", text, re.MULTILINE)
    assert len(commands) > 20
    for command in dict.fromkeys(commands):
        try:
            cli._parser().parse_args(shlex.split(command))
        except SystemExit:
            pytest.fail(f"vaewidgets {command}")


def test_the_options_that_are_named_alone_exist(capsys):
    """``--port N``, as a sentence names it, is an option of a command that the same guide names."""
    helps = ""
    for command in ("lab", "copy", "wheels", "train", "evaluate", "export html"):
        with pytest.raises(SystemExit):
            cli._parser().parse_args([*command.split(), "--help"])
        helps += capsys.readouterr().out
    for page in ("LIBRARY", "INSTALL", "TEACHING"):
        for words in re.findall(r"`(--[^`]+)`", guide(page)):
            for option in re.findall(r"--[\w-]+", words):
                assert option in helps, f"{page}: {option}"


def test_the_calls_that_the_course_speaks_of_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, model = vw.load_data("digits"), vw.pretrained("digits-vae-2d")
    names = dict(
        vw=vw, Path=Path, data=data, model=model, label=7, conditional=vw.pretrained("mnist-cvae-10d")
    )
    pattern = re.compile(r"`((?:vw|data|conditional)\.[^`\n]*\([^`\n]*)`")
    calls = [call for page in NOTEBOOKS for call in pattern.findall(prose(page))]
    assert len(calls) >= 4
    for call in calls:
        exec(call, names)


def test_no_word_of_a_cloud_upload():
    """Nothing here leaves the machine: neither the page nor README names a service that takes figures."""
    page = "".join(path.read_text("utf-8") for path in (ROOT / "vaewidgets" / "widgets").rglob("*page*.js"))
    assert "decode" in page
    for text in (README, guide("LIBRARY"), page):
        assert not re.search(r"chart[-_ ]?studio|plotly cloud|plot\.ly|upload", text, re.IGNORECASE)


# --- links -------------------------------------------------------------------------------------------


def targets(text: str) -> list[str]:
    """List the links and pictures of a page that lead nowhere outside; code has none."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page are linked by: lower case, no punctuation, hyphens for spaces."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page):
    for target in targets(page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file() and file.is_relative_to(ROOT), target
        assert not heading or heading in anchors(file), target


def test_the_walk_over_links_sees_what_it_should(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# What `x y` does, twice\n[a](b.md#c) `[d](e)`\n```\n# no\n[f](g)\n```\n![h](i.png)\n")
    assert targets(page.read_text()) == ["b.md#c", "i.png"]
    assert anchors(page) == {"what-x-y-does-twice"}
    assert len(targets(README)) > 20


def test_no_page_names_a_path_of_somebodys_machine():
    for page in [*GUIDES.rglob("*.md"), *GUIDES.rglob("*.yml"), ROOT / "README.md"]:
        assert not re.search(r"/(home|root|tmp|work|Users)/", page.read_text("utf-8")), page.name


# --- figures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_model_stands_in_the_list_with_its_own_figure_and_command(name):
    (row,) = re.findall(rf"^\| `{re.escape(name)}` \|(.*)\|$", MODELS, re.MULTILINE)
    figure, command = (cell.strip() for cell in row.split("|"))
    info = vw.pretrained(name).info
    figures = info["figures"]
    if "loss" in figures:
        assert float(figure) == pytest.approx(figures["loss"], abs=0.005)
    else:
        assert float(figure.removesuffix(" %")) == pytest.approx(
            100 * figures["accuracy"]["share"], abs=0.005
        )
    assert command == f"`{info['command']}`"
    assert figures["split"] == "test"


def test_the_library_counts_what_ships():
    size = sum(path.stat().st_size for path in PRETRAINED.glob("*.safetensors")) / 1e6
    assert len(SHIPPED) == 18 and f"Eighteen models ship, {size:.0f} MB together" in guide("LIBRARY")
    assert "a map of 10,000 encoded digits" in README
    assert len(vw.pretrained("mnist-vae-2d").atlas.mu) == 10_000
    data = vw.load_data("digits")
    assert f"{len(data.train.images) + len(data.test.images):,} real digits" in guide("LIBRARY")


def test_the_tests_send_as_many_damaged_files_as_is_said():
    browser = (ROOT / "tests" / "browser" / "test_fuzz.py").read_text("utf-8")
    [count] = re.findall(r'parametrize\("count", \[(\d+),', browser)
    assert f"{sum(test_fuzz.FILES.values()) + int(count):,} damaged files" in guide("LIBRARY")


def test_the_course_has_as_many_exercises_and_notebooks_as_is_said():
    exercises = [name for name in vw.check.__all__ if name != "Verdict"]
    assert len(exercises) == 30 and "thirty exercises" in guide("CHANGELOG")
    stored = [*NOTEBOOKS, *(ROOT / "notebooks" / "solutions").glob("*.ipynb")]
    [(count, largest)] = re.findall(r"(\d+) notebooks, .*, the largest (\d+) kB", guide("BENCHMARKS"))
    assert len(stored) == int(count)
    assert max(path.stat().st_size for path in stored) / 1000 == pytest.approx(int(largest), rel=0.1)


def test_the_schedule_has_the_minutes_of_the_index():
    """For each notebook in three hours and in one: rows without a gap, as long as the index says."""
    index = INDEX.read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+-\d+) \| ([\d-]*) ?\| \[?(\d\d|break)\b", guide("TEACHING"), re.MULTILINE)
    for column, (hours, minutes) in enumerate((("three hours", 180), ("one hour", 60))):
        sentence = re.search(rf"\*\*In {hours}\.\*\* ([^.]*)\.", index)[1]
        said = [(name, int(length)) for name, length in re.findall(r"(\d\d|break) \((\d+)\)", sentence)]
        spans = [(row[2], [int(n) for n in row[column].split("-")]) for row in rows if row[column]]
        assert [(name, end - begin) for name, (begin, end) in spans] == said
        assert all(a[1] == b[0] for (_, a), (_, b) in itertools.pairwise(spans))
        assert spans[0][1][0] == 0 and spans[-1][1][1] == minutes


def test_the_prior_holds_what_the_teacher_is_told():
    assert f"In a plane two sigma hold {100 * (1 - math.exp(-2)):.0f} %" in guide("TEACHING")


# --- habits ------------------------------------------------------------------------------------------


def test_python_is_the_one_that_is_declared_wherever_it_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == ">=3.11" and "Python 3.11 or newer" in README
    tests = yaml.safe_load((GUIDES / "workflows" / "tests.yml").read_text("utf-8"))
    matrix = tests["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python-version"] == ["3.11", "3.12", "3.13"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert all(SpecifierSet(project["requires-python"]).contains(v) for v in matrix["python-version"])


@pytest.mark.parametrize("path", sorted((GUIDES / "workflows").glob("*.yml")), ids=name_of)
def test_a_workflow_reads_only_and_pins_its_actions(path):
    workflow = yaml.safe_load(path.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert True in workflow and workflow["concurrency"]["group"]  # YAML 1.1 reads the key `on` as true
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90 and "permissions" not in job
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "uses" not in step or re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_ci_and_the_hooks_run_the_same_tools():
    jobs = yaml.safe_load((GUIDES / "workflows" / "tests.yml").read_text("utf-8"))["jobs"]
    assert {"lint", "types", "javascript", "test"} == set(jobs)
    runs = {name: [step.get("run", "") for step in job["steps"]] for name, job in jobs.items()}
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    hooks = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    assert set(hooks) == {"ruff-check", "ruff-format", "mypy", "eslint"}
    assert any(run.startswith("pre-commit run --all-files") for run in runs["lint"])
    assert hooks["mypy"]["entry"] in runs["types"] and hooks["eslint"]["entry"] in runs["javascript"]
    assert set(jobs["lint"]["env"]["SKIP"].split(",")) == {"mypy", "eslint"}
    scripts = json.loads((ROOT / "tests" / "package.json").read_text("utf-8"))["scripts"]
    assert {"lint", "types"} <= set(scripts)
    assert {f"npm --prefix tests run {name}" for name in ("lint", "types")} <= set(runs["javascript"])


def test_the_hooks_ruff_is_one_that_the_tests_allow():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    [version] = [repo["rev"].removeprefix("v") for repo in config["repos"] if "ruff" in repo["repo"]]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    [ruff] = [line for line in project["optional-dependencies"]["test"] if line.startswith("ruff")]
    assert SpecifierSet(ruff.removeprefix("ruff")).contains(version)


def test_the_version_stands_in_one_place_and_in_the_changelog():
    places = [
        path
        for path in (ROOT / "vaewidgets").rglob("*.py")
        if re.search(r"^__version__ = ", path.read_text("utf-8"), re.MULTILINE)
    ]
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]
    assert [name_of(path) for path in places] == [hatch["version"]["path"]]
    assert f"`{name_of(places[0])}`" in guide("CONTRIBUTING")
    headings = re.findall(r"^## (.+)$", guide("CHANGELOG"), re.MULTILINE)
    assert headings[0] == "Unreleased" and headings[1].startswith(f"{vw.__version__} - ")
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", heading) for heading in headings[1:])
