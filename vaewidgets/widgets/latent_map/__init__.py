"""A map of latent codes, from which points are selected by a lasso."""
