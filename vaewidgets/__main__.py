"""``python -m vaewidgets`` is the same as ``vaewidgets``."""

import sys

from .cli.main import main

sys.exit(main())
