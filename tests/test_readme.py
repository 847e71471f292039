"""README holds: its code runs, its commands are the ones that work, its figures are those of the files."""

import re
from pathlib import Path

import pytest

import vaewidgets as vw

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


def test_the_code_runs_in_the_order_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"display": lambda *panels: None}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        # Two dozen steps show that the loop works; a notebook trains for real.
        exec(block.replace("epochs=50", "epochs=2").replace("kl_warmup=10", "kl_warmup=1"), names)
    assert names["panel"].image.shape == (28, 28)
    assert names["panel"].z == (0.5, -1.2)
    assert type(vw.load(tmp_path / "m.safetensors")) is vw.VAE


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
