"""README holds: its code runs, its commands are the ones that work, its figures are those of the files."""

import contextlib
import io
import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

import vaewidgets as vw
from vaewidgets.cli import main as cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PRETRAINED = ROOT / "vaewidgets" / "pretrained"
#: The list of the models that ship lies beside them.
MODELS = (PRETRAINED / "README.md").read_text(encoding="utf-8")
SHIPPED = sorted(path.stem for path in PRETRAINED.glob("*.safetensors"))


def test_the_two_commands_stand_there_word_for_word_and_ci_runs_the_second():
    run = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/vaewidgets lab"
    test = 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'
    assert f"    {run}\n" in README and f"    {test}\n" in README
    assert f"\n{test}\n" in (ROOT / ".ci" / "run").read_text()


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict:
    """What README's code defines, run as it is written and in the order it is read."""
    names = {"display": lambda *panels: None}  # a notebook's own
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.chdir(tmp_path_factory.mktemp("readme"))
        for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
            exec(block, names)
        names["model_saved"] = vw.load("m.safetensors")
    return names


def test_the_code_runs_in_the_order_it_is_read(names):
    assert names["panel"].image.shape == (28, 28)
    assert names["panel"].z == (0.5, -1.2)
    assert type(names["model_saved"]) is vw.VAE
    assert names["x"].unique().tolist() == [0, 1]
    assert names["step"].epoch == 5


def test_the_code_between_the_lines_runs_after_it(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for label in ("cats", "dogs"):
        (tmp_path / "pictures" / label).mkdir(parents=True)
        for i in range(8):
            Image.effect_noise((8, 8), 20 + i).save(tmp_path / "pictures" / label / f"{i}.png")
    # What a sentence speaks of and does not make: a name of the list, a model that is told the label.
    names = names | {"name": "digits-vae-2d", "conditional": vw.pretrained("mnist-cvae-10d")}
    ran = []
    for code in re.findall(r"`([^`\n]*\w\([^`\n]*)`", README):
        code = code.replace("model.given", "conditional.given")
        # MNIST itself may have to be downloaded.
        if code != 'vw.load_data("mnist")' and re.match(r"(\w+ = )?vw\.|(finder|panel|conditional)\.", code):
            exec(code, names)
            ran.append(code)
    assert len(ran) >= 12
    assert (tmp_path / "explorer.html").is_file()
    assert names["rate"].n == 1000


def prose(page: Path) -> str:
    """Read the text of a page; of a notebook its markdown cells."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [ROOT / "README.md", PRETRAINED / "README.md", *NOTEBOOKS]


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
    page = "".join(path.read_text("utf-8") for path in (ROOT / "vaewidgets/widgets/static").glob("page*.*"))
    for text in (README, page):
        assert not re.search(r"chart[-_ ]?studio|plotly cloud|plot\.ly|upload", text, re.IGNORECASE)


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


def test_links_and_pictures_lead_somewhere():
    for page, folder in ((README, ROOT), (MODELS, PRETRAINED)):
        for target in re.findall(r"\]\(([^)#]+)\)", page):
            if "://" not in target:
                assert (folder / target).is_file(), target
    assert len(re.findall(r"\]\(([^)#]+)\)", README)) > 10
