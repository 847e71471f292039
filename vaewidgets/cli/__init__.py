"""The command line: ``vaewidgets`` and its commands."""
