"""The command line: ``vaewidgets`` and its commands."""


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


def __getattr__(name: str) -> object:
    """Find a name that this package had when it was a module, in version 0.1.0."""
    from vaewidgets._utils.moved import old_name

    return old_name(__name__, name)
