"""Walk through latent space and see what is decoded; the same as a page without a kernel."""
