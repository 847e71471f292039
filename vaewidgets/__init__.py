"""Learn and teach variational autoencoders by hand, in JupyterLab."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for editors and type checkers; _HOMES says the same to Python
    from . import check, objectives
    from .checkpoints import load, pretrained, save
    from .classifier import Classifier
    from .conditional import ConditionalVAE
    from .data import Dataset, Images, load_data
    from .images import to_png
    from .models import VAE, Autoencoder, Posterior
    from .objectives import Elbo, elbo, iwae
    from .steps import Step, paced
    from .training import Training, fit
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

__version__ = "0.1.0"

#: Where each public name lives. All resolve on first use (PEP 562): torch takes seconds to import, and
#: ``vaewidgets lab`` needs neither it nor plotly.
_HOMES = {
    "checkpoints": ("load", "pretrained", "save"),
    "classifier": ("Classifier",),
    "conditional": ("ConditionalVAE",),
    "data": ("Dataset", "Images", "load_data"),
    "images": ("to_png",),
    "models": ("Autoencoder", "VAE", "Posterior"),
    "objectives": ("Elbo", "elbo", "iwae"),
    "steps": ("Step", "paced"),
    "training": ("Training", "fit"),
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

#: Modules that are used by their own name: ``vw.objectives.binarize``.
_MODULES = (
    "aggregate", "check", "evidence", "export", "grouping", "holes", "judging", "likelihoods", "linear",
    "metrics", "noise", "rejects", "samplers", "scoreboard", *_HOMES,
)  # fmt: skip

__all__ = [
    "Autoencoder", "BetaDial", "Bottleneck", "Classifier", "ConditionalVAE", "Dataset", "DrawPad", "Elbo",
    "GapBar", "HoleFinder", "Images", "KLLab", "LatentExplorer", "LatentMap", "LearningCurves", "NoiseKnob",
    "Posterior", "Scoreboard", "Step", "Surprises", "Training", "TrainingCockpit", "Traverse", "VAE", "check",
    "elbo", "fit", "iwae", "load", "load_data", "objectives", "paced", "pretrained", "save", "to_png",
]  # fmt: skip


def __getattr__(name: str):
    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is not None:
        value = globals()[name] = getattr(import_module(f".{home}", __name__), name)
        return value
    if name in _MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_MODULES})


# Only a kernel itself: processes that it starts inherit its environment, and have nobody to tell.
if "ipykernel" in sys.modules:
    from .written_for import line_of_this_notebook

    if _line := line_of_this_notebook(__version__):
        print(_line)
