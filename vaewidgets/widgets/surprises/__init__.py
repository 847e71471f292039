"""Images sorted by what a model needs for them."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
