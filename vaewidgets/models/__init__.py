"""The mathematics: models, likelihoods and objectives, tensors in and tensors out, in nats per image."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
