"""The page's part of a `Traverse`: sliders, the strip, the labels, two paths from A to B."""

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

#: Number of pictures in the strip, and how far it reaches to each side, in standard deviations.
STRIP, STRIP_REACH = 13, 3
#: Number of points of a path that the judge is asked about, and of pictures of it: every fourth.
POINTS, FILM = 41, 11
#: The kinds of paths, as `interpolate` has them, with their names.
KINDS = {"line": "straight line", "great-circle": "great circle"}
#: What the page must know of these.
_SIZES = dict(strip=STRIP, reach=STRIP_REACH, points=POINTS, film=FILM, tau=TAU, kinds=KINDS)


class TraversalView(PageNetworks):
    """The parts that follow a drag, decoded in the page where the page can.

    Attributes
    ----------
    z, label, dimension, a, b, t
        Those of `Traverse`; label is -1 for a model that takes none.
    draws : int
        Counts how often the page has asked for two draws from the prior.
    dimensions : list of dict
        In the order of the sliders, from `Dimensions.describe`: index, text, share of the longest bar, dead,
        centre and spread.
    tiles : dict of bytes
        Pixels that the kernel decodes where the page cannot, one image after the other: "z", "strip",
        "labels", "line", "great-circle" and "at" (both paths at t).
    confidence : dict of list
        For each kind of path, the judge's best class probability at each point, where the page cannot run
        the judge or the decoder.
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
    sizes = traitlets.Dict(_SIZES).tag(sync=True)
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
        """Send the present decoder."""
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
        Of the model, or of the conditional model with label 0.
    int
        Index, among the weights, of the first value that depends on the label.
    bytes
        These values for label 0, then for label 1, and so on; empty for a model that takes no label.

    Raises
    ------
    UnsupportedLayerError
        The page cannot run the decoder.
    """
    if not classes:
        return describe(model), 0, b""
    check_own_methods(model, "decode", "decode_parameters", "given", of=(ConditionalVAE,))
    descriptions = [describe(model.given(label)) for label in range(classes)]
    weights = np.stack([d.parts[0].astype("<f4") for d in descriptions])
    # Found by comparison, so that nothing is assumed about how the model uses its label.
    differ = np.flatnonzero((weights != weights[0]).any(0))
    start, stop = (differ[0], differ[-1] + 1) if len(differ) else (0, 0)
    return descriptions[0], int(start), np.ascontiguousarray(weights[:, start:stop]).tobytes()
