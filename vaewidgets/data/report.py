"""The report on what `load_data` did with data, to be read before training."""

from __future__ import annotations

from dataclasses import dataclass

from vaewidgets._utils.text import sanitize

from .white_level import Range

#: A report names so many classes, and counts all.
_NAMED = 10


@dataclass(frozen=True)
class Report:
    """What `load_data` read, left out and assumed; ``print(data.report)`` shows it as text.

    Attributes
    ----------
    read : int
        Images read.
    left_out : tuple of str
        What else was there, and why it was not read; empty if nothing was.
    pixels : tuple of Range
        Which numbers the images were made of, and which number was white.
    split : str
        Where the training and the held-out images come from.
    classes : tuple of str
        The name of each label; empty without labels.
    doubts : tuple of str
        What is likely a mistake. Each was also a warning.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> print(vw.load_data("digits").report)
    read: 1,797 images
    left out: nothing
    pixels: floats from 0 to 16; white is 16 (stated)
    split: the last 360 of the file are held out
    classes: 10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    """

    read: int
    left_out: tuple[str, ...]
    pixels: tuple[Range, ...]
    split: str
    classes: tuple[str, ...]
    doubts: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = ", ".join(self.classes[:_NAMED]) + (", ..." if len(self.classes) > _NAMED else "")
        lines = [
            f"read: {self.read:,} images",
            f"left out: {'; '.join(self.left_out) or 'nothing'}",
            f"pixels: {'; '.join(map(str, self.pixels))}",
            f"split: {self.split}",
            f"classes: {len(self.classes)} ({names})" if self.classes else "classes: none, so no labels",
        ]
        if self.doubts:
            lines.append(f"in doubt: {len(self.doubts)}, each warned of; report.doubts has them in full")
        # Names of files and folders are not trusted.
        return "\n".join(map(sanitize, lines))
