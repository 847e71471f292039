"""HoleFinder: an autoencoder and a VAE under one cursor, and the share of their draws that are holes."""

from __future__ import annotations

import html
import threading
from collections.abc import Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
import torch
import traitlets

from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation.holes import TAU, Rate, hole_rate
from vaewidgets.evaluation.samplers import Sampler
from vaewidgets.evaluation.scoreboard import check_judge
from vaewidgets.io.checkpoints import stated_classes
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.vae import VAE, Autoencoder
from vaewidgets.widgets._core.panel import Panel, format_point, note_html
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._core.traits import Bounded, Latent

from .model_pair import check_pair, find_judge, sources
from .model_plane import Frame, ModelPlane, Nearest
from .twin_planes import TwinPlanes

#: The largest number of draws that are marked on the plane, the newest; all are counted.
MARKED = 400
_ROW = dict(align_items="center", flex_flow="row wrap", grid_gap="12px")
_COLUMNS = ("sampler", "draws", "holes", "share", "95 % interval (Wilson)")


class HoleFinder(Panel):
    """Two planes with one cursor: the pictures decoded there, and a classifier's class probabilities.

    The cursor is at the same place of both squares. The VAE's square reaches 3.5 from the prior's mean. The
    autoencoder's codes have a scale of their own: its square holds their middle 95 % along each axis. With
    `zoom` it shows N(0, I) too, and the two z are equal.

    Parameters
    ----------
    ae, vae : Autoencoder, VAE
        Of two latent dimensions and one image shape, each with an atlas of codes. Later changes of their
        weights are not followed.
    judge : Classifier, optional
        If None the pretrained one of the models' dataset.
    z : 2 numbers
        Where to start, on the VAE's plane.
    tau : float
        A draw whose best class probability is below tau is a hole.
    sampler : str, optional
        The sampler to begin with, one of `samplers`.
    seed : int
        Seed of each sampler's draws, and of the fits of the mixtures.
    cells : int
        Number of cells along one side of each background.
    **layout
        Other attributes to begin with, or traits of `VBox`.

    Attributes
    ----------
    z : tuple of 2 floats
        The source of truth: the cursor on the VAE's plane. `z_ae` is the cursor on the other plane.
    sampler : str
        The sampler whose draws are shown, and that draws next.
    tau : float
    zoom : bool
        Whether the autoencoder's plane shows N(0, I) instead of its codes.
    samplers : tuple of str
        Names of all samplers.
    counts : dict of str to Rate
        For each sampler, the holes among all its draws at the present tau.
    planes, tabs, slider, state, table
        The children.

    Raises
    ------
    ValueError, TypeError
        The models do not fit together, are not of two dimensions or have too few codes; the judge is of
        other images or classes; there is no such sampler; a keyword is misspelled.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> finder = vw.HoleFinder(vw.pretrained("digits-ae-2d"), vw.pretrained("digits-vae-2d"))
    >>> finder.sampler = "VAE at prior"
    >>> rate = finder.draw(200)
    >>> rate.low < rate.share < rate.high
    True
    """

    z = Latent()
    sampler = traitlets.Unicode()
    tau = Bounded(TAU, 0.01, 0.99)
    zoom = traitlets.Bool(False)

    def __init__(
        self,
        ae: Autoencoder,
        vae: VAE,
        judge: Classifier | None = None,
        *,
        z: Sequence[float] = (0.0, 0.0),
        tau: float = TAU,
        sampler: str | None = None,
        seed: int = 0,
        cells: int = 64,
        **layout: Any,
    ) -> None:
        self.check_keywords(layout)
        check_pair(ae, vae)
        self.latent_dim = 2
        self.ae, self.vae = ae, vae
        self.judge = find_judge(ae) if judge is None else judge
        for name, model in (("ae", ae), ("vae", vae)):
            check_judge(self.judge, model, name)
        self._lock = threading.RLock()
        self._sides = [ModelPlane(name, m, self.judge, cells) for name, m in (("AE", ae), ("VAE", vae))]
        self._sources = sources(ae, vae, seed)
        self.samplers = tuple(self._sources)
        self._seed = seed
        self._made: dict[str, Sampler] = {}
        self.z, self.tau, self.sampler = z, tau, self.samplers[0] if sampler is None else sampler

        stated: tuple[str, ...] = next(filter(None, map(stated_classes, (self.judge, ae, vae))), ())
        classes = [*stated[: self.judge.classes], *map(str, range(len(stated), self.judge.classes))]
        self.planes = TwinPlanes(
            [ae, vae], self.judge, image_shape=list(ae.image_shape), classes=classes,
            sides=[side.drawing(classes) for side in self._sides], reach=REACH, tau=self.tau,
        )  # fmt: skip
        self.listen(self.planes, lambda z: self.set_trait("z", z), "position")
        self._build_controls()
        self.state, self.table = widgets.HTML(), widgets.HTML()
        by = f"by the kernel: {self.planes.reason}" if self.planes.reason else "in this page"
        super().__init__(
            [
                self.tabs,
                widgets.HBox([self.press_draw, self.press_reset, self.slider, self.zoomed], layout=_ROW),
                self.state,
                self.planes,
                widgets.HTML(note_html(f"decoded and judged under the hand {by}")),
                self.table,
            ],
            **layout,
        )
        self.observe(self._on_z, "z")
        self.observe(self._on_frame, "zoom")
        self.observe(self._on_count, ["sampler", "tau"])
        self.reset()
        self._on_frame()

    def __repr__(self) -> str:
        return f"HoleFinder(z={format_point(self.z)}, sampler={self.sampler!r}, tau={self.tau:g})"

    @traitlets.validate("sampler")
    def _check_sampler(self, proposal) -> str:
        if proposal.value not in self.samplers:
            raise ValueError(f"sampler must be one of {', '.join(self.samplers)}; got {proposal.value!r}.")
        return proposal.value

    # -- places ---------------------------------------------------------------------------------

    @property
    def frames(self) -> tuple[Frame, Frame]:
        """What both planes show, the autoencoder's first: a place is centre + unit * z, with the VAE's z."""
        ae, vae = self._sides
        return (ae.prior if self.zoom else ae.frame), vae.frame

    @property
    def z_ae(self) -> tuple[float, float]:
        """The cursor on the autoencoder's plane, 2 floats. Assigning it moves both."""
        centre, unit = self.frames[0]
        return tuple((centre + unit * np.array(self.z)).tolist())

    @z_ae.setter
    def z_ae(self, point) -> None:
        centre, unit = self.frames[0]
        self.z = (np.array(type(self).z.validate(self, point)) - centre) / unit

    @property
    def images(self) -> tuple[np.ndarray, np.ndarray]:
        """Pictures at the cursor, of the autoencoder and the VAE, (H, W) or (H, W, 3), uint8."""
        of_ae, of_vae = (to_uint8(image) for image, _ in self._readings())
        return of_ae, of_vae

    @property
    def probabilities(self) -> np.ndarray:
        """The judge's probabilities for `images`, (2, classes + 1); the last column is "none of these"."""
        return np.stack([probabilities for _, probabilities in self._readings()])

    @property
    def nearest(self) -> tuple[Nearest, Nearest]:
        """The code nearest to the cursor, on the autoencoder's plane and on the VAE's."""
        of_ae, of_vae = (side.nearest(z) for side, z in zip(self._sides, (self.z_ae, self.z), strict=True))
        return of_ae, of_vae

    def _readings(self):
        return [side.probabilities(z) for side, z in zip(self._sides, (self.z_ae, self.z), strict=True)]

    # -- draws ----------------------------------------------------------------------------------

    def draw(self, n: int = 200) -> Rate:
        """Draw n more codes from the present sampler, decode them and judge the pictures.

        Returns
        -------
        Rate
            The holes among all draws of this sampler since the start or the last `reset`.

        Raises
        ------
        ValueError
            n is no count.
        """
        with self.report(from_page=False), self._lock:
            name = self.sampler
            if name not in self._made:
                self._made[name] = self._sources[name][1]()
            z = self._made[name].draw(n, self._generators[name])
            sure = self._sides[self._sources[name][0]].confidence(z.numpy())
            points, before = self._draws.get(name, (z[:0], sure[:0]))
            self._draws[name] = torch.cat([points, z]), torch.cat([before, sure])
            self._on_count()
            return self.counts[name]

    def reset(self) -> None:
        """Forget all draws. The next draws equal those of a new panel."""
        with self._lock:
            self._draws: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
            # A generator for each sampler: its draws do not depend on what other samplers have drawn.
            self._generators = {n: torch.Generator().manual_seed(self._seed) for n in self.samplers}
            self._on_count()

    @property
    def counts(self) -> dict[str, Rate]:
        """For each sampler, the `Rate` of holes among all its draws at the present tau."""
        with self._lock:
            return {name: hole_rate(sure, self.tau) for name, (_, sure) in self._draws.items()}

    def draws(self, sampler: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the draws of a sampler, by default the present one: points (n, 2), confidences (n,)."""
        with self._lock:
            points, sure = self._draws.get(sampler or self.sampler, (torch.zeros(0, 2), torch.zeros(0)))
            return points.numpy(), sure.numpy()

    # -- building -------------------------------------------------------------------------------

    def _build_controls(self) -> None:
        self.tabs = widgets.ToggleButtons(
            options=self.samplers, value=self.sampler, style=dict(button_width="auto")
        )
        self.listen(self.tabs, lambda name: self.set_trait("sampler", name))
        self.press_draw = widgets.Button(
            description="draw 200 from this sampler", icon="random", button_style="primary",
            layout=dict(width="230px"),
        )  # fmt: skip
        self.press(self.press_draw, self.draw)
        self.press_reset = widgets.Button(
            description="start again", tooltip="Forget all draws; the same ones come again",
            layout=dict(width="100px"),
        )  # fmt: skip
        self.press(self.press_reset, self.reset)
        self.slider = widgets.FloatSlider(
            self.tau, min=0.01, max=0.99, step=0.01, description="tau", readout_format=".2f",
            layout=dict(width="270px"), style=dict(description_width="28px"),
        )  # fmt: skip
        self.listen(self.slider, lambda tau: self.set_trait("tau", tau))
        self.zoomed = widgets.ToggleButton(
            self.zoom, description="AE: zoom to N(0, I)", icon="search-plus", layout=dict(width="170px")
        )
        self.listen(self.zoomed, lambda on: self.set_trait("zoom", on))

    # -- rendering ------------------------------------------------------------------------------

    def _on_z(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            # A place that the page itself has sent is equal, so that it is not sent back.
            self.planes.position = list(self.z)
            if self.planes.reason:
                self.planes.readings = [
                    {"pixels": _bytes(image.numpy()), "probabilities": _bytes(probabilities)}
                    for image, probabilities in self._readings()
                ]

    def _on_frame(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self.zoomed.value = self.zoom
            pairs = list(zip(self._sides, self.frames, strict=True))
            with self.planes.hold_sync():
                self.planes.frames = [
                    dict(
                        centre=frame.centre.tolist(),
                        unit=float(frame.unit),
                        lines=[[loop.round(4).tolist() for loop in loops] for loops in side.lines(frame)],
                    )
                    for side, frame in pairs
                ]
                self.planes.confidence_maps = [_bytes(side.confidence_map(frame)) for side, frame in pairs]
            self._on_z()
            self._on_count()

    def _on_count(self, _=None) -> None:
        with self.report(from_page=False), self._lock:
            self.tabs.value = self.sampler
            self.slider.value = self.planes.tau = self.tau
            side = self._sources[self.sampler][0]
            points, sure = self.draws()
            self.planes.marks = {
                "side": side,
                "points": _bytes(points[-MARKED:]),
                "confidence": _bytes(sure[-MARKED:]),
            }
            counts = self.counts
            self.state.value = note_html(self._say(side, points, counts.get(self.sampler)), "state")
            self.table.value = _table(self.samplers, counts, self.sampler)

    def _say(self, side: int, points: np.ndarray, rate: Rate | None) -> str:
        if rate is None:
            return f"{self.sampler}: nothing drawn yet."
        centre, unit = self.frames[side]
        outside = int((np.abs(points - centre) > REACH * unit).any(1).sum())
        notes = [f"{outside:,} lie outside the plane shown"] if outside else []
        if len(points) > MARKED:
            notes.append(f"the last {MARKED:,} are marked")
        found = f"{rate.count:,} of {rate.n:,} draws are holes (best class under {self.tau:.2f})"
        return f"{self.sampler}: {found}: {_percent(rate.share)}, 95 % interval {_between(rate)}." + (
            f" Of the draws {', '.join(notes)}." if notes else ""
        )


def _bytes(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, "<f4").tobytes()


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _between(rate: Rate) -> str:
    return f"{100 * rate.low:.1f} to {100 * rate.high:.1f} %"


def _table(names, counts: dict[str, Rate], chosen: str) -> str:
    rows = []
    for name in names:
        rate = counts.get(name)
        cells = (
            ("0", "", "", "") if rate is None
            else (f"{rate.n:,}", f"{rate.count:,}", _percent(rate.share), _between(rate))
        )  # fmt: skip
        mark = "\N{BLACK RIGHT-POINTING TRIANGLE} " if name == chosen else ""
        rows.append(
            f"<tr{' class=vw-chosen' if name == chosen else ''}><th scope=row>{mark}{html.escape(name)}</th>"
            + "".join(f"<td>{cell}</td>" for cell in cells)
            + "</tr>"
        )
    head = "".join(f"<th scope=col>{text}</th>" for text in _COLUMNS)
    return f"<table class=vw-counts><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
