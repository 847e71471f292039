"""The panels: what people open in JupyterLab. Each is one file; none imports another."""

from .explorer import LatentExplorer

__all__ = ["LatentExplorer"]
