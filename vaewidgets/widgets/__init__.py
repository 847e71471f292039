"""The panels: what people open in JupyterLab. Each is one file; none imports another."""

from .bottleneck import Bottleneck
from .cockpit import TrainingCockpit
from .curves import LearningCurves
from .explorer import LatentExplorer
from .map import LatentMap

__all__ = ["Bottleneck", "LatentExplorer", "LatentMap", "LearningCurves", "TrainingCockpit"]
