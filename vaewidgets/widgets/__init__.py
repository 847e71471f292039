"""The panels: what people open in JupyterLab. Each has a folder; none imports another."""

from .bottleneck.bottleneck import Bottleneck
from .cockpit.cockpit import TrainingCockpit
from .cockpit.learning_curves import LearningCurves
from .draw_pad.draw_pad import DrawPad
from .explorer.explorer import LatentExplorer
from .gaussian.beta_dial import BetaDial
from .gaussian.gap_bar import GapBar
from .gaussian.kl_lab import KLLab
from .gaussian.noise_knob import NoiseKnob
from .hole_finder.hole_finder import HoleFinder
from .latent_map.latent_map import LatentMap
from .scoreboard.scoreboard import Scoreboard
from .surprises.surprises import Surprises
from .traverse.traverse import Traverse

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
