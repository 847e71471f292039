"""The panels: what people open in JupyterLab. Each is one file; none imports another."""

from .bottleneck import Bottleneck
from .cockpit import TrainingCockpit
from .curves import LearningCurves
from .drawpad import DrawPad
from .explorer import LatentExplorer
from .map import LatentMap

__all__ = ["Bottleneck", "DrawPad", "LatentExplorer", "LatentMap", "LearningCurves", "TrainingCockpit"]
