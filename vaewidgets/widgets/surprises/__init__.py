"""Images sorted by the nats that a model needs for them."""


def __getattr__(name: str) -> object:
    """Find what stood here when this package was a module, in 0.1.0."""
    from vaewidgets._utils.moved import old_name

    return old_name(__name__, name)
