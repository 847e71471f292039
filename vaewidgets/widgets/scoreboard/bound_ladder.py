"""The bounds of one image, and its true posterior under the encoder's ellipse, drawn in the page."""

from __future__ import annotations

import torch
import traitlets

from vaewidgets.widgets._core.page_module import PageModule


class LadderView(PageModule):
    """Charts of `Bound`s with two standard errors, and of a `TruePosterior`.

    Attributes
    ----------
    seen : dict
        ``rungs``, and of the plane ``centre``, ``reach``, ``mu``, ``sigma`` and ``side``, the count of
        points along a side of the grid, 0 without a grid. Empty while there is nothing to show.
    density : bytes
        Density on the grid, row by row from the top, 255 at its largest value.
    """

    _module = "scoreboard/bound_ladder.js"
    density = traitlets.Bytes().tag(sync=True)
    seen = traitlets.Dict().tag(sync=True)

    def show(self, rungs, posterior, mu, sigma) -> None:
        """Show bounds, and a `TruePosterior`, or None without two dimensions, under N(mu, sigma^2)."""
        seen = {"rungs": [rung._asdict() for rung in rungs], "side": 0}
        density = b""
        if posterior is not None:
            shade = posterior.density.flip(0) / posterior.density.max()
            density = (255 * shade).round().to(torch.uint8).numpy().tobytes()
            seen |= {"side": len(posterior.density), "mu": list(mu), "sigma": list(sigma)}
            seen |= {"centre": list(posterior.centre), "reach": posterior.reach}
        with self.hold_sync():
            self.density, self.seen = density, seen

    def clear(self) -> None:
        """Show nothing."""
        self.seen = {}
