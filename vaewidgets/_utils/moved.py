"""Where the modules and names of version 0.1.0 are now. They can be imported until 0.3, with a warning.

Loaded only when an old name is asked for: by the finder in the package's ``__init__``, and by the
``__getattr__`` that `vaewidgets._utils.old_names` makes.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from importlib import import_module
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_PACKAGE = __name__.partition(".")[0]

#: Module of 0.1.0 -> the module with its content now. Submodules of `check` follow it.
MODULES = {
    "aggregate": "evaluation.aggregate_posterior",
    "arguments": "training.validation",
    "arrays": "data.arrays",
    "best": "training.run_state",
    "browser": "bench.browser",
    "capture": "training.cuda_graph",
    "check": "course.check",
    "checkpoints": "io.checkpoints",
    "chromium": "bench.chromium",
    "classifier": "models.classifier",
    "classifier_runs": "cli.train_classifier",
    "comparison": "cli.compare",
    "conditional": "models.conditional",
    "cpus": "_utils.threads",
    "devices": "training.devices",
    "doctor": "course.doctor",
    "driving": "cli.progress",
    "evidence": "evaluation.marginal_likelihood",
    "export": "io.onnx",
    "files": "data.npz",
    "folders": "data.image_folder",
    "grouping": "evaluation.probes",
    "holes": "evaluation.holes",
    "images": "data.pixels",
    "judging": "training.classifier",
    "keeper": "training.divergence",
    "lab": "course.notebooks",
    "labserver": "bench.lab_server",
    "likelihoods": "models.likelihoods",
    "linear": "models.linear_gaussian",
    "looking": "models.vae",
    "metrics": "evaluation.metrics",
    "noise": "widgets.gaussian.counter_noise",
    "objectives": "models.objectives",
    "optimizer": "training.run_state",
    "order": "training.run_state",
    "pixels": "data.white_level",
    "quoting": "_utils.text",
    "reading": "_utils.safe_open",
    "recipes": "cli.train_options",
    "rejects": "data.negatives",
    "report": "data.report",
    "resume": "training.resume",
    "runs": "cli.train_vae",
    "samplers": "evaluation.samplers",
    "scoreboard": "evaluation.scoreboard",
    "scoretable": "evaluation.report",
    "steps": "training.records",
    "subject": "evaluation.model_report",
    "trust": "course.trust",
    "wheels": "course.offline_bundle",
    "widgets._chooser": "widgets.traverse.image_chooser",
    "widgets._cloud": "widgets.gaussian.gaussian_view",
    "widgets._codemap": "widgets._map.code_map",
    "widgets._contours": "widgets.hole_finder.density_contours",
    "widgets._controls": "widgets.cockpit.controls",
    "widgets._coordinates": "widgets.explorer.coordinate_sliders",
    "widgets._describe": "widgets._core.network_spec",
    "widgets._dimensions": "widgets.traverse.dimensions",
    "widgets._drawing": "widgets._core.drawing",
    "widgets._figure": "widgets._map.figure",
    "widgets._game": "widgets.latent_map.lasso_game",
    "widgets._grid": "widgets._map.manifold_grid",
    "widgets._held": "widgets._core.view_panel",
    "widgets._history": "widgets.cockpit.history",
    "widgets._interpolation": "widgets.explorer.interpolation",
    "widgets._live": "widgets.cockpit.live_figures",
    "widgets._made": "widgets._core.owned_widgets",
    "widgets._model": "widgets._core.encoded",
    "widgets._network": "widgets._core.browser_network",
    "widgets._pair": "widgets.hole_finder.model_pair",
    "widgets._panel": "widgets._core.panel",
    "widgets._pictures": "widgets._core.image_pair",
    "widgets._plane": "widgets._core.plane",
    "widgets._plotly": "widgets._core.plotly",
    "widgets._posterior": "widgets.scoreboard.true_posterior",
    "widgets._run": "widgets.cockpit.run",
    "widgets._runner": "widgets._core.background_loop",
    "widgets._scene": "widgets.cockpit.snapshot_view",
    "widgets._scoretable": "widgets.scoreboard.columns",
    "widgets._selection": "widgets.latent_map.selection",
    "widgets._shared": "widgets._core.model_lock",
    "widgets._side": "widgets.hole_finder.model_plane",
    "widgets._snapshots": "widgets.cockpit.snapshots",
    "widgets._stops": "widgets.gaussian.beta_stops",
    "widgets._telling": "widgets._core.notifying_panel",
    "widgets._traits": "widgets._core.traits",
    "widgets._traversal": "widgets.traverse.traverse_view",
    "widgets.beta_dial": "widgets.gaussian.beta_dial",
    "widgets.cursor": "widgets._map.cursor",
    "widgets.curves": "widgets.cockpit.learning_curves",
    "widgets.drawpad": "widgets.draw_pad.draw_pad",
    "widgets.gap_bar": "widgets.gaussian.gap_bar",
    "widgets.holefinder": "widgets.hole_finder.hole_finder",
    "widgets.kl_lab": "widgets.gaussian.kl_lab",
    "widgets.ladder": "widgets.scoreboard.bound_ladder",
    "widgets.lasso": "widgets.latent_map.lasso",
    "widgets.latent": "widgets._core.latent_state",
    "widgets.map": "widgets.latent_map.latent_map",
    "widgets.noise_knob": "widgets.gaussian.noise_knob",
    "widgets.page": "widgets.explorer.html_page",
    "widgets.picture": "widgets._core.canvas",
    "widgets.planes": "widgets.hole_finder.twin_planes",
    "widgets.pulse": "widgets.cockpit.paint_probe",
    "widgets.table": "widgets.scoreboard.sortable_table",
    "workshop": "course.workshop",
    "writing": "_utils.atomic_write",
    "written_for": "course.written_for",
}

#: Module or package in the place of an old module -> where else to look for the names of the old module.
ELSEWHERE = {
    "bench.report": ("_utils.text",),
    "cli": (
        "cli.app",
        "cli.lab",
        "cli.copy",
        "cli.export",
        "cli.evaluate",
        "cli.train",
        "cli.train_options",
        "course.offline_bundle",
        "_version",
    ),
    "cli.train_classifier": ("evaluation.classifier", "training.classifier", "cli.train_common"),
    "cli.train_options": ("cli.train", "cli.train_common", "_constants"),
    "cli.train_vae": ("cli.train_common", "training.loop"),
    "data": ("data.dataset", "data.load", "data.arrays", "data.npz", "data.image_folder", "data.white_level"),
    "data.image_folder": ("data.folder_layout", "data.image_file", "_utils.text"),
    "evaluation": ("cli.evaluate", "_constants"),
    "io.onnx": ("io.onnx_graph",),
    "models": ("models.vae", "models.likelihoods", "_utils.threads"),
    "models.objectives": ("models.vae",),
    "training": (
        "training.loop",
        "training.run_state",
        "training.divergence",
        "training.records",
        "training.validation",
        "training.devices",
        "training.cuda_graph",
        "models.objectives",
        "models.vae",
    ),
    "training.classifier": ("evaluation.classifier", "training.loop"),
    "widgets._core.network_spec": ("io.layers",),
    "widgets._core.panel": ("widgets._core.bundle", "_utils.private_apis"),
    "widgets._map.figure": ("widgets._core.plane",),
    "widgets.bottleneck": ("widgets.bottleneck.bottleneck",),
    "widgets.cockpit": ("widgets.cockpit.cockpit",),
    "widgets.explorer": ("widgets.explorer.explorer",),
    "widgets.hole_finder.model_pair": ("evaluation.scoreboard",),
    "widgets.scoreboard": ("widgets.scoreboard.scoreboard",),
    "widgets.surprises": ("widgets.surprises.surprises",),
    "widgets.traverse": ("widgets.traverse.traverse",),
}

#: Name of a class, function or constant in 0.1.0 -> its name now.
RENAMED: dict[str, str] = {
    "Atlas": "EncodedDataset",
    "Best": "EarlyStopping",
    "CannotDescribe": "UnsupportedLayerError",
    "Capture": "CUDAGraphStep",
    "CloudPanel": "GaussianPanel",
    "CloudView": "GaussianView",
    "Dress": "PanelStyle",
    "Game": "LassoGame",
    "GridPicture": "GridCanvas",
    "Haul": "LassoResult",
    "HeldPanel": "ViewPanel",
    "Keeper": "DivergenceGuard",
    "Look": "Frame",
    "Order": "BatchSampler",
    "Pace": "RefreshRate",
    "Picture": "ImageCanvas",
    "PlanePicture": "PlaneCanvas",
    "Pulse": "PaintProbe",
    "Rung": "Bound",
    "Runner": "BackgroundLoop",
    "Scene": "TrainingView",
    "Side": "ModelPlane",
    "Subject": "ModelReport",
    "Team": "ProcessGroup",
    "TellingPanel": "NotifyingPanel",
    "Terms": "LossTerms",
    "Traversal": "TraversalView",
    "Within": "Bounded",
    "alone": "exclusive",
    "brief": "truncate",
    "check_knob": "check_nonnegative",
    "claim": "acquire",
    "close_made": "close_widgets",
    "drive": "run_loop",
    "held": "constraints",
    "looking": "eval_mode",
    "looks": "in_eval_mode",
    "make_rejects": "make_negatives",
    "misfit": "shape_mismatch_error",
    "note_made": "record_widgets",
    "paced": "throttle",
    "set_rate": "set_learning_rate",
    "tame": "sanitize",
    "tame_json": "sanitize_json",
    "tame_lines": "sanitize_lines",
    "teaching": "train_mode",
    "tell": "notify",
    "unwraps": "unwrap_arguments",
    "vary": "augment",
}


def _warn(old: str, new: str, stacklevel: int) -> None:
    frame = inspect.currentframe()
    for _ in range(stacklevel):
        frame = frame and frame.f_back
    if frame and frame.f_globals.get("__name__") == _PACKAGE:
        stacklevel += 1  # `vw.name`: the caller is one frame further out
    warnings.warn(
        f"{old} is now {new}. The old name goes in version 0.3.", DeprecationWarning, stacklevel + 1
    )


def _lookup(module: ModuleType, name: str) -> tuple[str, object] | None:
    """Return where `name` of 0.1.0 is now, from the module that has its old place, and the object."""
    short = module.__name__.removeprefix(f"{_PACKAGE}.")
    for now in (name, RENAMED.get(name)):
        if now is None:
            continue
        if now in vars(module):
            return f"{module.__name__}.{now}", vars(module)[now]
        for home in ELSEWHERE.get(short, ()):
            found = vars(import_module(f"{_PACKAGE}.{home}"))
            if now in found:
                return f"{_PACKAGE}.{home}.{now}", found[now]
    return None


def old_name(module: str, name: str) -> object:
    """Return what the module of 0.1.0 in this place called `name`."""
    here = sys.modules[module]
    paths = vars(here).get("__path__")
    is_submodule = paths is not None and PathFinder.find_spec(f"{module}.{name}", paths) is not None
    if not (is_submodule or name.startswith("__")) and (found := _lookup(here, name)):
        _warn(f"{module}.{name}", found[0], 3)
        setattr(here, name, found[1])  # so that there is one warning
        return found[1]
    raise AttributeError(f"module {module!r} has no attribute {name!r}")


class _SameModule(Loader):
    """Give a module a second path: the same object, which keeps its own name and spec."""

    def __init__(self, target: str):
        self.target = target

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(self.target)
        self.spec = module.__spec__
        _warn(spec.name, self.target, 2)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has replaced it by that of the old path
        if "__getattr__" not in vars(module):
            module.__getattr__ = lambda name: old_name(module.__name__, name)  # type: ignore[method-assign]


class _OldSubmodules:
    """Finds submodules of `check` before the file system does, which would load them a second time."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return find_spec(name) if name.startswith(f"{_PACKAGE}.check.") else None


def find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module if its name is a path of 0.1.0, else None."""
    old = name.removeprefix(f"{_PACKAGE}.")
    new = MODULES.get(old)
    if new is None and old.startswith("check."):
        new = f"course.{old}"
    if new is None:
        return None
    return ModuleSpec(name, _SameModule(f"{_PACKAGE}.{new}"))


sys.meta_path.insert(0, _OldSubmodules)
