"""The command line: ``vaewidgets`` and its commands."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status: `vaewidgets.cli.app.main`, imported when it is called."""
    from .app import main

    return main(argv)


def __getattr__(name: str) -> object:
    """Find what stood here when this package was a module, in 0.1.0."""
    from vaewidgets._utils.moved import old_name

    return old_name(__name__, name)
