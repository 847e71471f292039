"""Draw an image and see where it is encoded."""
