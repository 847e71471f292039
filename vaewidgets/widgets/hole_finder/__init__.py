"""Two models side by side, and where their decoders paint what is no image."""
