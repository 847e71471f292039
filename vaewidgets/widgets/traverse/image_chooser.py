"""Choosing one image among many, by its row or by its label."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

from vaewidgets.widgets._core.image_pair import ImagePair


class ImageChooser(widgets.HBox):
    """Controls that choose an image, beside the image and its reconstruction.

    Parameters
    ----------
    count : int
        Number of images.
    labels : ndarray of shape (count,) or None
    classes : sequence of str
        The name of each label.
    shape : (H, W)
        Of an image.

    Attributes
    ----------
    wanted : Dropdown
        The label to look for, or "any".
    row_box : BoundedIntText
    another, back : Button
    details : HTML
    pair : ImagePair
    """

    def __init__(self, count: int, labels: np.ndarray | None, classes, shape: tuple[int, int]) -> None:
        self._count, self._labels = count, labels
        kinds = [] if labels is None else np.unique(labels).tolist()
        self.wanted = widgets.Dropdown(
            options=[("any", "any"), *((classes[c], c) for c in kinds)], description="labelled",
            layout=dict(width="140px"), style=dict(description_width="56px"), disabled=not kinds,
        )  # fmt: skip
        self.row_box = widgets.BoundedIntText(
            0, min=0, max=count - 1, description="image", layout=dict(width="140px"),
            style=dict(description_width="44px"),
        )  # fmt: skip
        self.another = widgets.Button(description="another", icon="random", layout=dict(width="110px"),
                                      tooltip="The next image with that label")  # fmt: skip
        self.back = widgets.Button(description="back to its mu", icon="undo", layout=dict(width="140px"),
                                   tooltip="Take every slider back to the chosen image")  # fmt: skip
        self.details, self.pair = widgets.HTML(), ImagePair(shape, 96)
        row = dict(align_items="center", flex_flow="row wrap", grid_gap="10px")
        controls = widgets.HBox([self.wanted, self.row_box, self.another, self.back], layout=row)
        super().__init__([self.pair, widgets.VBox([controls, self.details])], layout=row)

    def is_wanted(self, row: int) -> bool:
        """Tell whether a row has the label chosen in `wanted`."""
        return self._labels is None or self.wanted.value == "any" or self._labels[row] == self.wanted.value

    def next(self, row: int) -> int:
        """Return the first row after `row`, cyclically, with the wanted label; without one, the next row."""
        return next_row(row, self._count, self.is_wanted)


def next_row(row: int, count: int, wanted: Callable[[int], bool]) -> int:
    """Return the first of `count` rows after `row`, cyclically, that is wanted; without one, the next row.

    Examples
    --------
    >>> next_row(3, 5, lambda row: row % 2 == 0), next_row(4, 5, lambda row: False)
    (4, 0)
    """
    rows = [(row + k) % count for k in range(1, count)]
    return next(filter(wanted, rows), (row + 1) % count)
