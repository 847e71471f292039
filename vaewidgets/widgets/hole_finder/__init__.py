"""Two models side by side, and the places whose decoded pictures are no images."""
