"""Learn and teach variational autoencoders by hand, in JupyterLab."""

from . import objectives
from .checkpoints import load, pretrained, save
from .data import Dataset, Images, load_data
from .images import to_png
from .models import VAE, Posterior
from .objectives import Elbo, elbo, iwae
from .training import Step, fit

__version__ = "0.1.0"

#: Panels load on first use (PEP 562), so that the command line never pays for plotly.
_PANELS = ("LatentExplorer",)

__all__ = [
    "Dataset", "Elbo", "Images", "Posterior", "Step", "VAE", "elbo", "fit", "iwae", "load", "load_data",
    "objectives", "pretrained", "save", "to_png", *_PANELS,
]  # fmt: skip


def __getattr__(name: str):
    if name in _PANELS:
        from . import widgets

        return getattr(widgets, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
