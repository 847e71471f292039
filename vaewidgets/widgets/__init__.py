"""The panels: what people open in JupyterLab. Each is one file; none imports another."""

from .beta_dial import BetaDial
from .bottleneck import Bottleneck
from .cockpit import TrainingCockpit
from .curves import LearningCurves
from .drawpad import DrawPad
from .explorer import LatentExplorer
from .gap_bar import GapBar
from .holefinder import HoleFinder
from .kl_lab import KLLab
from .map import LatentMap
from .noise_knob import NoiseKnob
from .scoreboard import Scoreboard
from .surprises import Surprises
from .traverse import Traverse

__all__ = [
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
]
