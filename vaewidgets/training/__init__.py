"""The loop that trains, one step at a time."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
