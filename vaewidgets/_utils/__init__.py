"""Helpers that every room may use, and that use no room."""

from collections.abc import Callable


def old_names(module: str) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a module, which finds what the module of 0.1.0 in its place held.

    The tables of old names are loaded only when somebody asks for a name that is not there.
    """

    def __getattr__(name: str) -> object:
        # Python itself asks every module for __path__ and the like.
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        from .moved import old_name

        return old_name(module, name)

    return __getattr__
