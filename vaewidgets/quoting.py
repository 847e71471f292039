"""What a file from outside says, as it may stand in an error message: a message is read, a novel is not."""

from __future__ import annotations

#: Characters.
LONGEST = 400


def brief(said) -> str:
    """Return what an exception or a text says, cut off where it is long; of a mute exception its kind."""
    text = str(said).rstrip(".: ") or type(said).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"
