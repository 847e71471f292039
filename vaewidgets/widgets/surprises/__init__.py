"""Images sorted by what a model needs for them."""
