"""The private names that we use are in one place, still work, and are still needed."""

import ast
import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import ipywidgets as widgets
import plotly.graph_objects as go
import pytest
import torch
from torch import nn

import vaewidgets as vw
from vaewidgets._utils import private_apis

PACKAGE = Path(vw.__file__).parent
#: Documented, for all that they begin with an underscore.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_repr_mimebundle_", "_esm", "_css"}


def private_names(tree: ast.AST) -> tuple[set[str], set[str]]:
    """Names with a leading underscore that a module asks of something, and those that it defines itself."""
    asked, own = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            of_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            (own if of_self and isinstance(node.ctx, ast.Store) else asked).add(node.attr)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.ImportFrom) and not (node.module or "").startswith("vaewidgets"):
            asked |= {alias.name for alias in node.names}
            asked |= {part for part in (node.module or "").split(".") if part != "__future__"}
    return tuple({n for n in names if n.startswith("_") and not n.startswith("__")} for names in (asked, own))


def test_no_other_module_uses_a_private_name_of_another_package():
    sources = {path: ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py")}
    found = {path.relative_to(PACKAGE).as_posix(): private_names(tree) for path, tree in sources.items()}
    modules = {path.stem for path in sources} | {path.name for path in PACKAGE.rglob("_*")}
    ours = DOCUMENTED | modules | {name for _, own in found.values() for name in own}
    strangers = {path: asked - ours for path, (asked, _) in found.items() if asked - ours}
    assert set(strangers) == {"_utils/private_apis.py"}, strangers
    assert {"_property_lock", "_instances"} <= strangers["_utils/private_apis.py"]


# --- ipywidgets ----------------------------------------------------------------------------------------


@pytest.fixture
def slider():
    slider = widgets.IntSlider()
    yield slider
    slider.close()


def test_ipywidgets_tells_nobody_where_a_change_comes_from(slider):
    changes = []
    slider.observe(lambda change: changes.append((set(change), private_apis.is_from_page(slider))), "value")
    slider.value = 1
    slider.set_state({"value": 2})  # what a message from the page ends in
    keys = {"name", "old", "new", "owner", "type"}
    assert changes == [(keys, False), (keys, True)], "a new key may say what is_from_page finds out"


def test_ipywidgets_has_no_public_way_to_set_a_trait_untold(slider):
    with private_apis.page_knows(slider, {"value": 3}):
        slider.value = 3
    assert slider.value == 3
    known = {"hold_sync", "hold_trait_notifications", "cross_validation_lock"}
    public = {name for name in dir(slider) if not name.startswith("_") and ("lock" in name or "hold" in name)}
    assert public == known, "there may be a public way by now"


def test_ipywidgets_registry_is_deprecated_where_it_is_public(slider):
    assert private_apis.living_widgets(widgets.Widget)[slider.model_id] is slider
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        public = widgets.Widget.widgets
    assert slider in public.values() and caught, "Widget.widgets is here to stay: use it"


@pytest.fixture
def listeners():
    """Whoever listens to new widgets before the test does so after it."""
    before = private_apis.construction_callback(widgets.Widget)
    yield
    widgets.Widget.on_widget_constructed(before)


def test_ipywidgets_tells_one_listener_of_new_widgets(listeners):
    told = []
    widgets.Widget.on_widget_constructed(lambda widget: told.append("first"))
    first = private_apis.construction_callback(widgets.Widget)
    widgets.Widget.on_widget_constructed(lambda widget: told.append("second"))
    assert private_apis.construction_callback(widgets.Widget) is not first
    widgets.HTML().close()
    assert set(told) == {"second"}, "both are told: nobody has to pass it on"


def test_ipywidgets_keeps_the_model_id_to_itself_until_a_widget_opens(listeners):
    made = []

    def note(widget) -> None:
        made.append(private_apis.model_id_asked_for(widget))
        with pytest.raises(AttributeError):
            _ = widget.model_id  # if it has one, use that

    widgets.Widget.on_widget_constructed(note)
    widgets.Layout(model_id="abc").close()
    assert made == ["abc"]


# --- plotly --------------------------------------------------------------------------------------------


def test_a_figure_of_plotly_does_not_follow_its_edits():
    figure = go.FigureWidget(go.Figure())
    figure.add_trace(go.Scatter(y=[1, 2]))
    figure.update_layout(width=300)
    state = figure.get_state()
    for name, value in private_apis.FIGURE_STATE.items():
        assert value(figure) and state[name] != value(figure), "plotly's own state is up to date"
    assert "config" not in figure.trait_names() and not hasattr(figure, "config"), (
        "plotly has a public config"
    )
    private_apis.add_config(figure, {"displaylogo": False})
    assert figure.get_state("_config")["_config"]["displaylogo"] is False
    figure.close()


def test_plotly_still_brings_the_grammar_along():
    pytest.importorskip("rfc3987_syntax")
    code = "import sys; from plotly.graph_objects import FigureWidget; print('rfc3987_syntax' in sys.modules)"
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out.split()[-1] == "True", "nobody imports it any more: drop `missing`"


def test_a_missing_package_is_there_again_afterwards():
    sys.modules.pop("this_is_no_package", None)
    with private_apis.missing("this_is_no_package"), pytest.raises(ImportError):
        import this_is_no_package  # noqa: F401
    assert "this_is_no_package" not in sys.modules
    with private_apis.missing("torch"):
        import torch as still_there
    assert still_there is torch


# --- torch and pip -------------------------------------------------------------------------------------


def test_torch_warns_of_steps_outside_graphs_by_this_flag():
    source = inspect.getsource(sys.modules["torch.optim.optimizer"])
    assert "_warned_capturable_if_run_uncaptured" in source, "torch no longer warns, or by another name"


def test_torch_lists_hooks_nowhere_else():
    layer = nn.Linear(1, 1)
    assert not private_apis.has_forward_hooks(layer)
    layer.register_forward_hook(lambda *_: None)
    assert private_apis.has_forward_hooks(layer)
    public = [name for name in dir(layer) if "hook" in name and not name.startswith(("_", "register_"))]
    assert public == [], "there may be a public list by now"


def test_pip_has_no_option_for_the_markers_of_another_machine():
    command = [sys.executable, "-m", "pip", "download", "--help"]
    told = subprocess.check_output(command, text=True)
    assert "--platform" in told and "marker" not in told.lower(), (
        "pip may know another machine's markers by now"
    )
