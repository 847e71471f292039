"""Learn and teach variational autoencoders by hand, in JupyterLab."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; _HOMES says the same to Python
    from ._version import __version__
    from .course import check
    from .data.dataset import Dataset, Images
    from .data.load import load_data
    from .data.pixels import to_png
    from .io.checkpoints import load, pretrained, save
    from .models import objectives
    from .models.classifier import Classifier
    from .models.conditional import ConditionalVAE
    from .models.objectives import Elbo, elbo, iwae
    from .models.vae import VAE, Autoencoder, Posterior
    from .training.loop import Training, fit
    from .training.records import Step, throttle
    from .training.records import throttle as paced
    from .widgets import (
        BetaDial,
        Bottleneck,
        DrawPad,
        GapBar,
        HoleFinder,
        KLLab,
        LatentExplorer,
        LatentMap,
        LearningCurves,
        NoiseKnob,
        Scoreboard,
        Surprises,
        TrainingCockpit,
        Traverse,
    )

#: Where each public name lives. All resolve on first use (PEP 562): torch takes seconds to import, and
#: ``vaewidgets lab`` needs neither it nor plotly.
_HOMES = {
    "_version": ("__version__",),
    "data.dataset": ("Dataset", "Images"),
    "data.load": ("load_data",),
    "data.pixels": ("to_png",),
    "io.checkpoints": ("load", "pretrained", "save"),
    "models.classifier": ("Classifier",),
    "models.conditional": ("ConditionalVAE",),
    "models.objectives": ("Elbo", "elbo", "iwae"),
    "models.vae": ("Autoencoder", "VAE", "Posterior"),
    "training.loop": ("Training", "fit"),
    "training.records": ("Step", "throttle", "paced"),  # paced: its name in 0.1.0
    "widgets": (
        "BetaDial",
        "Bottleneck",
        "DrawPad",
        "GapBar",
        "HoleFinder",
        "KLLab",
        "LatentExplorer",
        "LatentMap",
        "LearningCurves",
        "NoiseKnob",
        "Scoreboard",
        "Surprises",
        "TrainingCockpit",
        "Traverse",
    ),
}

#: Modules that are used by a name of their own, and where they are: ``vw.objectives.binarize``.
_MODULES = {
    "aggregate": "evaluation.aggregate_posterior",
    "check": "course.check",
    "checkpoints": "io.checkpoints",
    "classifier": "models.classifier",
    "conditional": "models.conditional",
    "evidence": "evaluation.marginal_likelihood",
    "export": "io.onnx",
    "grouping": "evaluation.probes",
    "holes": "evaluation.holes",
    "images": "data.pixels",
    "judging": "training.classifier",
    "likelihoods": "models.likelihoods",
    "linear": "models.linear_gaussian",
    "marginal_likelihood": "evaluation.marginal_likelihood",
    "metrics": "evaluation.metrics",
    "negatives": "data.negatives",
    "noise": "widgets.gaussian.counter_noise",
    "objectives": "models.objectives",
    "probes": "evaluation.probes",
    "rejects": "data.negatives",
    "samplers": "evaluation.samplers",
    "scoreboard": "evaluation.scoreboard",
    "steps": "training.records",
    "widgets": "widgets",
}

__all__ = [
    "Autoencoder", "BetaDial", "Bottleneck", "Classifier", "ConditionalVAE", "Dataset", "DrawPad", "Elbo",
    "GapBar", "HoleFinder", "Images", "KLLab", "LatentExplorer", "LatentMap", "LearningCurves", "NoiseKnob",
    "Posterior", "Scoreboard", "Step", "Surprises", "Training", "TrainingCockpit", "Traverse", "VAE", "check",
    "elbo", "fit", "iwae", "load", "load_data", "objectives", "paced", "pretrained", "save", "throttle",
    "to_png",
]  # fmt: skip


class _ModulesOf010:
    """Finds modules by their paths of version 0.1.0; asked only for what nobody else finds."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None):
        if not name.startswith(f"{__name__}."):
            return None
        from ._utils.moved import find_spec

        return find_spec(name)


sys.meta_path.append(_ModulesOf010)


def __getattr__(name: str) -> object:
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is not None:
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value
    if name in _MODULES:
        return import_module(f".{_MODULES[name]}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *__all__, *_MODULES})


# Only a kernel itself: processes that it starts inherit its environment, and have nobody to tell.
if "ipykernel" in sys.modules:
    from ._version import __version__
    from .course.written_for import line_of_this_notebook

    if _line := line_of_this_notebook(__version__):
        print(_line)
