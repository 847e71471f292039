"""What passes through the latent space."""
