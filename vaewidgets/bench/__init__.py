"""Measurements of this package beside what one would use else: ``vaewidgets bench``."""
