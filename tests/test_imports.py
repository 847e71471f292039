"""What importing costs: the panels, torchvision and scikit-learn wait until they are used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vaewidgets

PACKAGE = Path(vaewidgets.__file__).parent
PANELS = {"plotly", "ipywidgets", "anywidget", "IPython", "traitlets"}
HEAVY = {"torchvision", "sklearn"}


def loaded_after(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after `code`."""
    program = code + "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules})"
    return set(subprocess.check_output([sys.executable, "-c", program], text=True).split())


def test_importing_the_package_loads_no_panel_and_nothing_heavy():
    assert not loaded_after("import vaewidgets") & (PANELS | HEAVY)


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


def imports_of(path: Path, everywhere: bool):
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
    at_import = set(imports_of(path, everywhere=False))
    assert "torchvision" not in at_import
    if "widgets" not in path.relative_to(PACKAGE).parts:
        assert not at_import & (PANELS | HEAVY)


def test_the_walk_over_imports_sees_what_it_should(tmp_path):
    """Else the test above could not fail."""
    file = tmp_path / "example.py"
    file.write_text(
        "if True:\n    import plotly.graph_objects as go\ndef f():\n    from IPython.x import y\n"
    )
    assert set(imports_of(file, everywhere=False)) == {"plotly"}
    assert set(imports_of(file, everywhere=True)) == {"plotly", "IPython"}


def test_every_public_name_resolves_and_an_unknown_one_is_an_attribute_error():
    for name in vaewidgets.__all__:
        assert getattr(vaewidgets, name) is not None
        assert name in dir(vaewidgets)
    with pytest.raises(AttributeError, match="no attribute 'Vae'"):
        _ = vaewidgets.Vae


def test_a_panel_with_a_map_does_without_the_grammar_that_plotly_brings_along():
    pytest.importorskip("rfc3987_syntax")
    code = "import vaewidgets as vw; vw.LatentExplorer(vw.pretrained('digits-vae-2d'))"
    loaded = loaded_after(code)
    assert "plotly" in loaded and not loaded & {"lark", "rfc3987_syntax"}
