"""What imported in version 0.1.0 imports now: the same objects, with a warning that names their place."""

import subprocess
import sys
import warnings
from importlib import import_module

import pytest

import vaewidgets as vw
from vaewidgets._utils import moved

#: Modules of 0.1.0 whose path is that of a package now, or of the same module.
STAYED = [
    "__main__",
    "bench",
    "bench.cockpit",
    "bench.drag",
    "bench.lesson",
    "bench.loops",
    "bench.page",
    "bench.peak",
    "bench.report",
    "bench.room",
    "bench.student",
    "bench.train",
    "cli",
    "data",
    "evaluation",
    "models",
    "training",
    "widgets",
    "widgets.bottleneck",
    "widgets.cockpit",
    "widgets.explorer",
    "widgets.scoreboard",
    "widgets.surprises",
    "widgets.traverse",
]
CHECKS = [
    "_00_quickstart",
    "_01_map",
    "_02_holes",
    "_03_clouds",
    "_04_noise",
    "_05_gap",
    "_06_train",
    "_07_beta",
    "_08_scoreboard",
    "_09_dimensions",
    "_mechanism",
]
#: What users and the course's own tests took from where, and where it is.
NAMES = {
    ("keeper", "Keeper"): "training.divergence",
    ("best", "Best"): "training.run_state",
    ("order", "Order"): "training.run_state",
    ("capture", "Capture"): "training.cuda_graph",
    ("devices", "Team"): "training.devices",
    ("steps", "Terms"): "training.records",
    ("steps", "paced"): "training.records",
    ("arguments", "check_knob"): "training.validation",
    ("quoting", "brief"): "_utils.text",
    ("quoting", "tame"): "_utils.text",
    ("checkpoints", "Atlas"): "io.checkpoints",
    ("checkpoints", "misfit"): "io.checkpoints",
    ("rejects", "make_rejects"): "data.negatives",
    ("subject", "Subject"): "evaluation.model_report",
    ("evidence", "Rung"): "evaluation.marginal_likelihood",
    ("looking", "looking"): "models.vae",
    ("judging", "vary"): "training.classifier",
    ("widgets._held", "HeldPanel"): "widgets._core.view_panel",
    ("widgets._panel", "Dress"): "widgets._core.panel",
    ("widgets._shared", "claim"): "widgets._core.model_lock",
    ("widgets._scene", "Scene"): "widgets.cockpit.snapshot_view",
    ("widgets._side", "Side"): "widgets.hole_finder.model_plane",
    ("widgets._selection", "Haul"): "widgets.latent_map.selection",
    ("checkpoints", "load"): "io.checkpoints",
    ("cli", "_parser"): "cli.app",
    ("data", "Dataset"): "data.dataset",
    ("data", "_root"): "data.load",
    ("data", "load_data"): "data.load",
    ("data", "name_classes"): "data.arrays",
    ("driving", "drive"): "cli.progress",
    ("wheels", "held"): "course.offline_bundle",
    ("evaluation", "as_table"): "cli.evaluate",
    ("folders", "natural"): "_utils.text",
    ("judging", "measure"): "evaluation.classifier",
    ("metrics", "held_out_elbo"): "evaluation.metrics",
    ("models", "VAE"): "models.vae",
    ("objectives", "kl"): "models.vae",
    ("order", "make_adam"): "training.run_state",
    ("recipes", "NAMED"): "_constants",
    ("runs", "store"): "cli.train_common",
    ("samplers", "mixture"): "evaluation.samplers",
    ("steps", "Diverged"): "training.records",
    ("training", "Training"): "training.loop",
    ("training", "fit"): "training.loop",
    ("widgets._describe", "CannotDescribe"): "io.layers",
    ("widgets.cockpit", "TrainingCockpit"): "widgets.cockpit.cockpit",
    ("widgets.explorer", "LatentExplorer"): "widgets.explorer.explorer",
    ("widgets.map", "LatentMap"): "widgets.latent_map.latent_map",
    ("widgets.page", "to_html"): "widgets.explorer.html_page",
    ("widgets.scoreboard", "Scoreboard"): "widgets.scoreboard.scoreboard",
    ("widgets.traverse", "Traverse"): "widgets.traverse.traverse",
}


@pytest.fixture
def fresh():
    """Old paths and names as a new process sees them: nobody has asked for one."""
    for old in (*moved.MODULES, *(f"check.{name}" for name in CHECKS)):
        sys.modules.pop(f"vaewidgets.{old}", None)
    for old, name in NAMES:
        module = sys.modules.get(f"vaewidgets.{old}")
        if old in STAYED and module and getattr(vars(module).get(name), "__module__", "") != module.__name__:
            vars(module).pop(name, None)


def of_moves(caught) -> list[str]:
    return [str(w.message) for w in caught if issubclass(w.category, DeprecationWarning)]


@pytest.mark.parametrize("old", sorted([*moved.MODULES, *(f"check.{name}" for name in CHECKS)]))
def test_a_module_s_old_path_gives_the_module_itself(fresh, old):
    new = f"vaewidgets.{moved.MODULES.get(old, f'course.{old}')}"
    there = import_module(new)
    name, spec = there.__name__, there.__spec__
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert import_module(f"vaewidgets.{old}") is there
        assert import_module(f"vaewidgets.{old}") is there
    parent = ["vaewidgets.check is now vaewidgets.course.check. The old name goes in version 0.3."]
    assert of_moves(caught) == parent * old.startswith("check.") + [
        f"vaewidgets.{old} is now {new}. The old name goes in version 0.3."
    ]
    assert all(w.filename == __file__ or "importlib" in w.filename for w in caught)
    assert (there.__name__, there.__spec__) == (name, spec) == (new, there.__spec__)


def test_paths_that_stayed_import_without_a_warning():
    code = "import " + ", ".join(f"vaewidgets.{name}" for name in STAYED if name != "__main__")
    subprocess.check_call([sys.executable, "-W", "error::DeprecationWarning:__main__", "-c", code])


@pytest.mark.parametrize("old, name", NAMES, ids=".".join)
def test_a_name_is_found_in_its_old_module(fresh, old, name):
    home = import_module(f"vaewidgets.{NAMES[old, name]}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            space = {}
            exec(f"from vaewidgets.{old} import {name}", space)
            assert space[name] is getattr(home, moved.RENAMED.get(name, name))
    said = of_moves(caught)
    assert 1 <= len(said) <= 2 and len(set(said)) == len(said)
    if old in STAYED:
        assert said == [
            f"vaewidgets.{old}.{name} is now vaewidgets.{NAMES[old, name]}."
            f"{moved.RENAMED.get(name, name)}. The old name goes in version 0.3."
        ]
        assert caught[0].filename == "<string>", "it points at the line that imports"


def test_what_was_never_there_is_not_found(fresh):
    for module in ("data", "cli", "models", "training", "evaluation", "widgets.explorer"):
        with pytest.raises(ImportError, match="cannot import name 'nonsense'"):
            exec(f"from vaewidgets.{module} import nonsense")
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'vaewidgets\.nonsense'"):
        import_module("vaewidgets.nonsense")
    with (
        pytest.warns(DeprecationWarning, match=r"vaewidgets\.course\.check"),
        pytest.raises(ModuleNotFoundError, match=r"vaewidgets\.course\.check\.nonsense"),
    ):
        import_module("vaewidgets.check.nonsense")


def test_the_command_line_is_a_function_of_its_package(capsys):
    from vaewidgets import cli

    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"vaewidgets {vw.__version__}\n"


def test_public_names_of_modules_old_and_new_are_the_same_modules():
    for old, new in {"evidence": "marginal_likelihood", "grouping": "probes", "rejects": "negatives"}.items():
        assert getattr(vw, old) is getattr(vw, new)
        assert old in dir(vw) and new in dir(vw)
    assert vw.judging.measure is import_module("vaewidgets.evaluation.classifier").measure


def test_nothing_of_it_is_loaded_until_it_is_needed():
    code = "import sys, vaewidgets as vw; vw.fit, vw.VAE, vw.metrics, vw.load_data\n"
    code += "assert 'vaewidgets._utils.moved' not in sys.modules\n"
    code += "import vaewidgets.steps; assert vaewidgets.steps is vw.steps"
    subprocess.check_call([sys.executable, "-c", code])


@pytest.mark.parametrize(
    "module, old, new",
    [
        ("steps", "paced", "throttle"),
        ("steps", "Terms", "LossTerms"),
        ("checkpoints", "Atlas", "EncodedDataset"),
        ("evidence", "Rung", "Bound"),
        ("rejects", "make_rejects", "make_negatives"),
        ("judging", "vary", "augment"),
    ],
)
def test_a_public_module_keeps_the_old_name_of_what_was_renamed(module, old, new):
    there = getattr(vw, module)
    vars(there).pop(old, None)
    with pytest.warns(DeprecationWarning, match=rf"{old} is now {there.__name__}\.{new}\. The old name goes"):
        assert getattr(there, old) is getattr(there, new)


def test_paced_is_throttle():
    for place in (vw, vw.steps):
        vars(place).pop("paced", None)
    with pytest.warns(DeprecationWarning, match=r"paced is now .*\.throttle") as caught:
        assert vw.paced is vw.throttle
    assert caught[0].filename == __file__
    assert "paced" in vw.__all__ and "throttle" in vw.__all__


def test_the_public_modules_are_where_their_paths_of_0_1_0_lead():
    assert {name: moved.MODULES.get(name, home) for name, home in vw._MODULES.items()} == vw._MODULES
