"""Images in memory: loading, checking and writing them."""
