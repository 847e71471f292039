"""``python -m vaewidgets`` is the same as ``vaewidgets``."""

import sys

from .cli import main

sys.exit(main())
