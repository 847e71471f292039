"""Images in memory: loading, checking and writing them."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
