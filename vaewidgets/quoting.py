"""What comes from outside, as it may stand in a sentence: short, on one line, and from left to right."""

from __future__ import annotations

import re

#: Characters.
LONGEST = 400

# Control characters, and those that turn the direction of whatever follows.
_UNRULY = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def brief(said) -> str:
    """Return what an exception or a text says, cut off where it is long; of a mute exception its kind."""
    text = str(said).rstrip(".: ") or type(said).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"


def tame(name: str) -> str:
    """Return a name in which each character that would break a line, or turn its direction, is a U+FFFD."""
    return _UNRULY.sub("\ufffd", name)
