"""Make text from outside safe to print: short, on one line, without control characters."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

#: The number of characters that `truncate` keeps.
LONGEST = 400

# Control characters, bidirectional overrides (they reverse the text that follows), and lone surrogates, which
# no terminal and no file accepts.
_UNRULY = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_UNRULY_NAME = re.compile(f"[{_UNRULY}]")
_UNRULY_LINE = re.compile(f"(?!\n)[{_UNRULY}]")


def truncate(said: object) -> str:
    """Return what is said, a text or an exception, on one line, sanitized and cut to `LONGEST` characters.

    An exception without a message becomes the name of its class.

    Examples
    --------
    >>> truncate(ValueError("two\\nlines.")), truncate(KeyError())
    ('two lines', 'KeyError')
    """
    text = sanitize(" ".join(str(said).split())).rstrip(".: ") or type(said).__name__
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ... ({len(text):,} characters)"


def sanitize(name: str) -> str:
    """Return a name with U+FFFD in place of each control or bidirectional character.

    Examples
    --------
    >>> sanitize("a\\x1b[2Jb")
    'a�[2Jb'
    """
    return _UNRULY_NAME.sub("\ufffd", name)


def sanitize_lines(text: str) -> str:
    """Sanitize a text as `sanitize` does, but keep line ends."""
    return _UNRULY_LINE.sub("\ufffd", text)


def sanitize_json(value: Any) -> Any:
    """Sanitize every string in a JSON value, including keys.

    Examples
    --------
    >>> sanitize_json({"name": ["a\\tb", 1]})
    {'name': ['a�b', 1]}
    """
    if isinstance(value, str):
        return sanitize(value)
    if isinstance(value, dict):
        return {sanitize(name): sanitize_json(inner) for name, inner in value.items()}
    return [sanitize_json(inner) for inner in value] if isinstance(value, list) else value


def natural(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return a key that sorts names in natural order: 2 before 10, ignoring case.

    natsort 8.4 is not used because a name from a file may hold thousands of digits, of which Python makes no
    number; natsort then compares a number with a text and raises TypeError.

    Examples
    --------
    >>> sorted(["b10", "B2", "a"], key=natural)
    ['a', 'B2', 'b10']
    """
    parts = re.split("([0-9]+)", name.casefold())
    digits = [part.lstrip("0") if odd % 2 else part for odd, part in enumerate(parts)]
    return [(len(part), part) if odd % 2 else part for odd, part in enumerate(digits)], name


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align rows of words, all of one length, in columns: the first to the left, the others to the right.

    Examples
    --------
    >>> align([["name", "n"], ["a", "10"]])
    ['name   n', 'a     10']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])] for first, *others in rows)
    return ["  ".join(words) for words in padded]
