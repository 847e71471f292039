"""Models and samplers compared by number."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
