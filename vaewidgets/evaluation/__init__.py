"""What is measured of a trained model."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
