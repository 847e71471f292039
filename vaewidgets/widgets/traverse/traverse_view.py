"""The part of a `Traverse` that the page draws: sliders, the strip, the labels, two ways from A to B."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from vaewidgets.evaluation.holes import TAU
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.widgets._core.browser_network import PageNetworks
from vaewidgets.widgets._core.network_spec import (
    Description,
    UnsupportedLayerError,
    check_own_methods,
    describe,
    describe_classifier,
)

#: Pictures in the strip: from -3 to 3 standard deviations, one every half.
STRIP = 13
#: Points of a path that the judge looks at, and pictures of it: every fourth.
POINTS, FILM = 41, 11
KINDS = ("line", "great-circle")


class TraversalView(PageNetworks):
    """What moves under the hand, decoded in the page where the page can.

    Attributes
    ----------
    z, label, dimension, a, b, t
        As `Traverse` has them; label is -1 of a model that takes none.
    draws : int
        Counts the draws of two points from the prior that the page asked for.
    dimensions : list of dict
        In the order of the sliders: index, text, share (of the longest bar), dead, centre and spread.
    tiles : dict of bytes
        What the kernel decodes where the page cannot: "z", "strip", "labels", "line", "great-circle" and "at"
        (both paths at t), pixels of one image after the other.
    confidence : dict of list
        For each kind of path, how sure the judge is of the picture at each of its points, where the page
        cannot run judge or decoder.
    reason : str
        Why the kernel must decode; empty where the page can.
    judge_reason : str
        Why the kernel must ask the judge; empty where the page can.
    """

    _module = "traverse/traverse.js"
    z = traitlets.List(traitlets.Float()).tag(sync=True)
    label = traitlets.Int(-1).tag(sync=True)
    dimension = traitlets.Int(0).tag(sync=True)
    a = traitlets.List(traitlets.Float()).tag(sync=True)
    b = traitlets.List(traitlets.Float()).tag(sync=True)
    t = traitlets.Float(0.5).tag(sync=True)
    draws = traitlets.Int(0).tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    dimensions: traitlets.List[Any] = traitlets.List().tag(sync=True)
    ends = traitlets.Unicode().tag(sync=True)
    prior = traitlets.Bool(True).tag(sync=True)
    judged = traitlets.Bool(False).tag(sync=True)
    sizes = traitlets.Dict(dict(strip=STRIP, points=POINTS, film=FILM, tau=TAU)).tag(sync=True)
    shape = traitlets.List(traitlets.Int()).tag(sync=True)
    #: Where the values that depend on the label begin among the weights, and all of them, label by label.
    label_at = traitlets.Int(0).tag(sync=True)
    label_values = traitlets.Bytes().tag(sync=True)
    tiles = traitlets.Dict().tag(sync=True)
    confidence = traitlets.Dict().tag(sync=True)

    def __init__(self, model, classes, judge, **traits) -> None:
        super().__init__(
            shape=list(model.image_shape),
            classes=list(classes),
            judged=judge is not None,
            **traits,
        )
        self.reason = self.judge_reason = ""
        self.refresh(model)
        if judge is not None:
            self._send_judge(judge)

    def refresh(self, model) -> None:
        """Send the decoder as it is now."""
        try:
            description, at, values = describe_given(model, len(self.classes))
            self.reason = ""
        except UnsupportedLayerError as error:
            description, at, values = None, 0, b""
            self.reason = str(error)
        with self.hold_sync():
            self.label_at, self.label_values = at, values
            self.give("model", description)

    def _send_judge(self, judge) -> None:
        try:
            self.give("judge", describe_classifier(judge))
        except UnsupportedLayerError as error:
            self.judge_reason = str(error)


def describe_given(model, classes: int) -> tuple[Description, int, bytes]:
    """Describe a decoder, and of a conditional one what changes with the label.

    Returns
    -------
    Description
        Of the model, or of one that is given label 0.
    int
        Where the values begin that depend on the label, among the weights.
    bytes
        These values for label 0, then for label 1, and so on; empty for a model that takes no label.

    Raises
    ------
    UnsupportedLayerError
    """
    if not classes:
        return describe(model), 0, b""
    check_own_methods(model, "decode", "decode_parameters", "given", of=(ConditionalVAE,))
    descriptions = [describe(model.given(label)) for label in range(classes)]
    weights = np.stack([d.parts[0].astype("<f4") for d in descriptions])
    # Found by comparison: how a model folds its label in is its own affair.
    differ = np.flatnonzero((weights != weights[0]).any(0))
    start, stop = (differ[0], differ[-1] + 1) if len(differ) else (0, 0)
    return descriptions[0], int(start), np.ascontiguousarray(weights[:, start:stop]).tobytes()
