"""Images sorted by the nats that a model needs for them."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
