"""Which room imports which, and what importing costs: what is heavy waits until it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from structure import (
    FLOORS,
    MAY_IMPORT,
    Import,
    arrows_between_rooms,
    back_up,
    circles,
    floors,
    imports_of,
    module_names,
    room_of,
)

import vaewidgets

PACKAGE = Path(vaewidgets.__file__).parent
PANELS = {"plotly", "ipywidgets", "anywidget", "IPython", "traitlets"}
HEAVY = {"torchvision", "sklearn"}


@pytest.fixture(scope="module")
def imports() -> set[Import]:
    return imports_of(PACKAGE)


def test_every_room_imports_only_those_below_it(imports):
    rooms = {room_of(name) for name in module_names(PACKAGE)}
    assert rooms == set(MAY_IMPORT), "each room has its floor in structure.py"
    assert back_up(imports) == []
    arrows = arrows_between_rooms(imports)
    assert circles(arrows) == [] and max(floors(arrows).values()) <= 8


def test_no_module_imports_itself_on_a_way_around(imports):
    assert circles({(i.by, i.of) for i in imports}) == []


def test_no_panel_imports_another(imports):
    """They are composed by linking traits; what they share is below them."""
    shared = ("_core", "_map")
    inside = ((i.by.split("."), i.of.split(".")) for i in imports if i.of.startswith("vaewidgets.widgets."))
    pairs = {(by[2], of[2]) for by, of in inside if by[1] == "widgets" and len(by) > 3 and by[2] != of[2]}
    assert {of for _, of in pairs} <= set(shared)
    assert {of for by, of in pairs if by == "_map"} <= {"_core"} and "_core" not in {by for by, _ in pairs}


def test_imports_are_counted_wherever_they_stand_and_circles_are_found(tmp_path):
    """Else the tests above could not fail."""
    files = {
        "__init__.py": "",
        "a/__init__.py": "",
        "a/one.py": "from package.b import two\nfrom typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import package.c",
        "b/__init__.py": "",
        "b/two.py": "def f():\n    from ..c import THREE\n    from . import missing",
        "c.py": "import os\nimport package.a.one\nTHREE = 3",
    }
    for name, text in files.items():
        (tmp_path / "package" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "package" / name).write_text(text)
    found = imports_of(tmp_path / "package")
    assert found == {
        Import("package.a.one", "package.b.two", False),
        Import("package.b.two", "package.c", True),
        Import("package.b.two", "package.b", True),
        Import("package.c", "package.a.one", False),
    }
    arrows = {("a", "b"), ("b", "c"), ("c", "a"), ("d", "a"), ("d", "e")}
    assert circles(arrows) == [{"a", "b", "c"}]
    assert floors(arrows) == {"a": 1, "b": 1, "c": 1, "d": 2, "e": 1}
    assert len(MAY_IMPORT) == sum(map(len, FLOORS)) and MAY_IMPORT["_utils"] == set(FLOORS[0])
    upward = Import("vaewidgets.models.vae", "vaewidgets.io.onnx", True)
    beside = Import("vaewidgets.data.load", "vaewidgets.models.vae", False)
    down = Import("vaewidgets.io.onnx", "vaewidgets.models.vae", False)
    assert back_up({upward, beside, down}) == [beside, upward]


def loaded_after(code: str, whole: bool = False) -> set[str]:
    """Modules in a fresh interpreter after `code`: the names of their top-level packages, or their own."""
    program = code + "\nimport sys; print(*sys.modules)"
    names = subprocess.check_output([sys.executable, "-c", program], text=True).splitlines()[-1].split()
    return set(names if whole else (name.partition(".")[0] for name in names))


def test_the_core_is_twelve_modules():
    """Besides the packages they lie in, which hold nothing: no reader of folders or archives among them."""
    loaded = loaded_after("import vaewidgets.models.vae, vaewidgets.training.loop", whole=True)
    ours = {name for name in loaded if name.startswith("vaewidgets.")}
    packages = {name for name in ours if (PACKAGE.parent / name.replace(".", "/")).is_dir()}
    assert len(ours - packages - {"vaewidgets._version"}) <= 12
    assert {name for name in ours if room_of(name) == "data"} == {
        "vaewidgets.data",
        "vaewidgets.data.dataset",
    }
    for name in packages:
        if name != "vaewidgets._utils":
            text = (PACKAGE.parent / name.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
            # After the docstring at most what finds the names of 0.1.0.
            door = ["from vaewidgets._utils import old_names", "__getattr__ = old_names(__name__)"]
            assert [ast.unparse(node) for node in ast.parse(text).body[1:]] in ([], door), name


def test_nothing_that_a_user_imports_drives_a_browser():
    code = "import vaewidgets as vw; [getattr(vw, n) for n in {*vw.__all__, *vw._MODULES}]; "
    code += "from vaewidgets.cli import app; app._parser()"
    loaded = loaded_after(code, whole=True)
    assert "vaewidgets.widgets.explorer.explorer" in loaded
    drivers = {f"vaewidgets.bench.{name}" for name in ("browser", "chromium", "lab_server")}
    assert not loaded & {*drivers, "playwright"}


def test_package_and_command_line_start_without_a_panel_and_anything_heavy():
    code = "import vaewidgets as vw; vw.__version__; dir(vw); from vaewidgets.cli import app; app._parser()"
    assert not loaded_after(code) & (PANELS | HEAVY | {"torch", "numpy", "tqdm"})


def test_the_core_knows_no_widget():
    names = [name for name in vaewidgets.__all__ if name not in vaewidgets._HOMES["widgets"]]
    code = f"import vaewidgets as vw; [getattr(vw, n) for n in {names}]; vw.load_data('digits')"
    loaded = loaded_after(code)
    assert "torch" in loaded and not loaded & (PANELS | {"torchvision"})


def test_a_file_is_refused_before_torch_is_imported(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK no archive")
    (tmp_path / "pictures").mkdir()
    for name in ("bad.npz", "pictures"):
        code = f"import vaewidgets as vw\ntry: vw.load_data({str(tmp_path / name)!r})\n"
        loaded = loaded_after(code + "except ValueError: pass\nelse: raise SystemExit('taken')")
        assert "numpy" in loaded and "torch" not in loaded


def test_the_whole_core_works_without_panels_or_torchvision():
    code = """
import torch, vaewidgets as vw
torch.set_num_threads(1)
model = vw.VAE(2, (1, 4, 4), hidden=(4,))
data = vw.load_data(torch.rand(20, 4, 4))
for step in vw.fit(model, data.train.images, epochs=1):
    step.loss
vw.metrics.held_out_elbo(model, data.test.images)
vw.iwae(model, vw.objectives.binarize(data.test.images), 2)
vw.to_png(model(data.test.images))
vw.load
"""
    loaded = loaded_after(code)
    assert "vaewidgets" in loaded and "torch" in loaded
    assert not loaded & (PANELS | HEAVY)


def tops_of(path: Path, everywhere: bool):
    """Top-level modules that a file imports: anywhere in it, or only when it is itself imported."""
    pending = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]
        if everywhere or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending.extend(ast.iter_child_nodes(node))


SOURCES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_only_the_panels_know_the_user_interface(path):
    at_import = set(tops_of(path, everywhere=False))
    assert "torchvision" not in at_import
    if path.relative_to(PACKAGE).parts[0] != "widgets":
        assert not at_import & HEAVY
        assert not set(tops_of(path, everywhere=True)) & PANELS


def test_the_walk_over_imports_sees_what_it_should(tmp_path):
    """Else the test above could not fail."""
    file = tmp_path / "example.py"
    file.write_text(
        "if True:\n    import plotly.graph_objects as go\ndef f():\n    from IPython.x import y\n"
    )
    assert set(tops_of(file, everywhere=False)) == {"plotly"}
    assert set(tops_of(file, everywhere=True)) == {"plotly", "IPython"}


def test_a_panel_with_a_map_does_without_the_grammar_that_plotly_brings_along():
    pytest.importorskip("rfc3987_syntax")
    code = "import vaewidgets as vw; vw.LatentExplorer(vw.pretrained('digits-vae-2d'))"
    loaded = loaded_after(code)
    assert "plotly" in loaded and not loaded & {"lark", "rfc3987_syntax"}
