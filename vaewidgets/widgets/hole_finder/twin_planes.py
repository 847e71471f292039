"""The page's part of a `HoleFinder`: two planes with one cursor, decoded and judged in the page."""

from __future__ import annotations

from typing import Any

import traitlets

from vaewidgets.widgets._core.browser_network import PageNetworks
from vaewidgets.widgets._core.network_spec import UnsupportedLayerError, describe, describe_classifier


class TwinPlanes(PageNetworks):
    """The planes of an autoencoder and a VAE, and the pictures decoded at the same place of both.

    Parameters
    ----------
    models : sequence of two models
    judge : Classifier

    Attributes
    ----------
    position : list (z1, z2)
        Where the cursor is, on the second plane.
    frames : list of two dicts
        ``centre`` and ``unit`` of each plane: a place is centre + unit * z. ``lines`` are closed lines
        around 50 % and 90 % of its codes.
    confidence_maps : list of two bytes
        The judge's best class probability, float32, row by row from the top of each plane.
    marks : dict
        The draws of one sampler: ``side`` (0 or 1), ``points`` and ``confidence`` (float32).
    readings : list of two dicts
        Where the kernel must decode: ``pixels`` and ``probabilities`` (float32) at the cursor.
    reason : str
        Why the kernel must decode; empty where the page can.
    """

    _module = "hole_finder/twin_planes.js"
    image_shape = traitlets.List(traitlets.Int()).tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    sides: traitlets.List[Any] = traitlets.List().tag(sync=True)
    frames: traitlets.List[Any] = traitlets.List().tag(sync=True)
    reach = traitlets.Float().tag(sync=True)
    confidence_maps: traitlets.List[Any] = traitlets.List().tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    readings: traitlets.List[Any] = traitlets.List().tag(sync=True)
    tau = traitlets.Float().tag(sync=True)
    position = traitlets.List(traitlets.Float(), [0.0, 0.0]).tag(sync=True)

    def __init__(self, models, judge, **state) -> None:
        super().__init__(**state)
        self.reason = ""
        try:
            descriptions = [*map(describe, models), describe_classifier(judge)]
        except UnsupportedLayerError as error:
            self.reason = str(error)
        else:
            for name, description in zip(("first", "second", "judge"), descriptions, strict=True):
                self.give(name, description)
