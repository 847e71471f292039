"""Walk through latent space and see what is decoded; the same as a page without a kernel."""

from vaewidgets._utils import old_names

__getattr__ = old_names(__name__)
