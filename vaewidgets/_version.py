"""The version of the package, from which pyproject.toml has it too."""

__version__ = "0.1.0"
