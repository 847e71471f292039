"""CONTRIBUTING's way to a new panel: its example runs and passes the test beside it; named files exist."""

import inspect
import re
import sys
import types
from pathlib import Path

import pytest
import structure
from widgets.conftest import model, wire  # noqa: F401 (fixtures that the page's test asks for)

import vaewidgets as vw

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## A new panel\n")[2].partition("\n## ")[0]
PROSE = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
ARCHITECTURE = (ROOT / ".github" / "ARCHITECTURE.md").read_text(encoding="utf-8")


def blocks() -> list[str]:
    """Return the code of the section: the panel, its test without a browser, its test with one."""
    found = re.findall(r"```py(?:thon)?\n(.*?)```", SECTION, re.DOTALL)
    assert len(found) == 3
    return found


@pytest.fixture
def example(monkeypatch) -> types.ModuleType:
    """The page's panel as the module that it says it would be."""
    module = types.ModuleType("vaewidgets.widgets.walk.walk")
    module.shown = []
    module.display = module.shown.append
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(blocks()[0], vars(module))
    return module


def test_the_example_is_a_panel_that_keeps_the_rules(example):
    [walk] = example.shown
    assert repr(walk) == "Walk(z1=-1.50)" and walk.slider.value == -1.5
    walk.z1 = 2
    assert walk.slider.value == 2 and "z1 = 2.00" in walk.state.value
    with pytest.raises(ValueError, match=r"from -3\.0 to 3\.0"):
        walk.z1 = 4
    with pytest.raises(TypeError, match=r"no keyword 'z'\. Did you mean 'z1'"):
        example.Walk(walk.model, z=1)


def test_the_example_passes_its_own_test(example, request):
    names = {"__package__": "widgets"}
    exec(blocks()[1], names)
    [test] = [value for name, value in names.items() if name.startswith("test_")]
    test(**{name: request.getfixturevalue(name) for name in inspect.signature(test).parameters})


def test_every_file_that_is_named_is_there():
    """But for those that the reader makes: walk, and what is built."""
    folders = ("", "vaewidgets", "vaewidgets/widgets")
    named = re.findall(r"`([\w./*]+(?:\.(?:py|js|css|yml|txt|toml)|/run|/))`", PROSE + ARCHITECTURE)
    for name in named:
        if Path(name).stem not in ("walk", "test_walk", "dist"):
            assert any(any((ROOT / folder).glob(name)) for folder in folders), name
    assert len(named) > 40


def test_the_names_it_speaks_of_exist():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "vaewidgets" / "widgets").rglob("*.py"))
    for name in ("listen", "press", "check_keywords", "note_html", "set_trait"):
        assert f"`{name}`" in SECTION or f"{name}(" in SECTION
        assert f"{name}(" in source
    assert {"_HOMES", "__all__"} <= vars(vw).keys()


def test_the_architecture_has_the_rooms_on_the_floors_that_the_imports_are_held_to():
    rows = re.findall(r"^\| (\d) \| (.*?) \|", ARCHITECTURE, re.MULTILINE)
    table = [[] for _ in structure.FLOORS]
    for floor, rooms in rows:
        table[int(floor)] += [Path(room).stem for room in re.findall(r"`([^`]+)`", rooms)]
    assert [sorted(rooms) for rooms in table] == [
        sorted(set(rooms) - {"__main__"}) for rooms in structure.FLOORS
    ]
