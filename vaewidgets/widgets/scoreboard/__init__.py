"""Models and samplers compared by number."""
