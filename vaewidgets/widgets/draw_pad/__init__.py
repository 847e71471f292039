"""Draw an image, and see its latent code and its reconstruction."""
