"""The command line: ``vaewidgets`` and its commands."""

from vaewidgets._utils import old_names


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    It takes the arguments of `main` in `vaewidgets.cli.app`, which is imported when this is called.

    Examples
    --------
    >>> main(["copy", "--workshop", "room"])  # refused: --students is missing, as standard error says
    1
    """
    from .app import main

    return main(argv)


__getattr__ = old_names(__name__)
