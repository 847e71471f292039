"""The command line: ``vaewidgets`` and its commands."""

from vaewidgets._utils import old_names


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit status: `vaewidgets.cli.app.main`, imported when it is called."""
    from .app import main

    return main(argv)


__getattr__ = old_names(__name__)
