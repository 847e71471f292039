"""Scoreboard: models and their samplers in one table with intervals, and the bounds of one image."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

import ipywidgets as widgets
import torch
import traitlets
from torch import Tensor

from vaewidgets.data.dataset import Dataset, Images, check_images
from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation import scoreboard
from vaewidgets.evaluation.marginal_likelihood import Bound, ladder
from vaewidgets.evaluation.scoreboard import Subjects
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.objectives import binarize
from vaewidgets.models.vae import VAE, eval_mode
from vaewidgets.widgets._core.background_loop import BackgroundLoop
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.encoded import name_of
from vaewidgets.widgets._core.model_lock import model_lock
from vaewidgets.widgets._core.notifying_panel import NotifyingPanel
from vaewidgets.widgets._core.panel import format_point, note_html, title
from vaewidgets.widgets._core.traits import Bounded

from .bound_ladder import LadderView
from .columns import model_table, sampler_table, verdict
from .sortable_table import Table
from .true_posterior import TruePosterior, true_posterior

#: k of the bounds L_k of one image.
KS = (1, 5, 50)
_ROW = dict(grid_gap="10px", flex_flow="row wrap", align_items="center")


class Scoreboard(NotifyingPanel):
    """Compare models and their samplers by number, and one image's bounds with its log p(x).

    Measuring runs in a thread, on copies of the models. So other cells run meanwhile, and a model in training
    is measured in one state.

    Parameters
    ----------
    models : dict of str to model, or a sequence of models
        Those of `scoreboard.measure`: a list instead of a model is one recipe trained with several seeds.
    judge : Classifier
        Of the same images and classes.
    data : Dataset or Images, optional
        Held-out images; of a Dataset the test split. Without them the models' atlases are used, and what
        needs pixels is left out, also the bounds.
    threaded : bool
        If False, `measure` returns when the table is done: for scripts, and for notebooks that run as tests.
    **keywords
        The attributes to begin with, or traits of `VBox`.

    Attributes
    ----------
    draws : int
        Number of draws of each sampler.
    seed : int
        Seed of all noise.
    result : scoreboard.Scoreboard or None
        The measured numbers. It may be set, to show a result from elsewhere.
    sort, descending : str, bool
        The column by which the table of samplers is sorted, and the direction; "" for the order of measuring.
    model, row : str, int
        The model and the image whose bounds are shown.
    rungs : list of Bound
        Bounds of this image, nats: ELBO, IWAE_5, IWAE_50 and, with two latent dimensions, log p(x).
    gap : float or None
        log p(x) - ELBO, nats, both by quadrature: the KL from the encoder's posterior to the true one.
    posterior : TruePosterior or None
        The true posterior of this image, with two latent dimensions.
    status : str
        "ready", "running", "measured", "stopped" or "failed".

    Raises
    ------
    ValueError, TypeError
        The models have different image shapes; the judge is of other images or classes; images do not fit; a
        keyword is misspelled.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
    >>> judge = vw.Classifier((1, 4, 4), 3, hidden=(4,), seed=0)
    >>> board = vw.Scoreboard({"VAE": model}, judge, vw.Images(torch.zeros(20, 1, 4, 4)), threaded=False)
    >>> board
    Scoreboard(models=1, draws=10000, ready)
    >>> [rung.name for rung in board.rungs], board.gap > 0
    (['ELBO', 'IWAE_5', 'IWAE_50', 'log p(x)'], True)
    """

    draws = Bounded(10_000, scoreboard.FEWEST_DRAWS, 10_000_000)
    seed = Bounded(0, 0, 2**31 - 1)
    result = traitlets.Instance(scoreboard.Scoreboard, allow_none=True)
    sort = traitlets.Unicode("")
    descending = traitlets.Bool(False)
    model = traitlets.Unicode("")
    row = traitlets.Int(0)
    status = traitlets.Unicode("ready", read_only=True)
    notified_later = ("status", "result")

    def __init__(
        self,
        models: Mapping[str, Subjects] | Sequence[Subjects],
        judge: Classifier,
        data: Dataset | Images | Tensor | None = None,
        *,
        threaded: bool = True,
        **keywords: Any,
    ) -> None:
        self.check_keywords(keywords)
        self.models = scoreboard.name_models(models)
        for name, seeds in self.models.items():
            for model in seeds:
                scoreboard.check_judge(judge, model, name)
        self.judge, self.images = judge, _held_out(data, judge)
        self._vaes = cast(
            dict[str, VAE], {name: seeds[0] for name, seeds in self.models.items() if seeds[0].has_prior}
        )
        self._stop, self._note, self._closed = threading.Event(), (0.0, ""), False
        self._loop = BackgroundLoop(
            contextlib.nullcontext(), each=self._each, show=self._show_progress, done=self._done,
            settled=self._notify_held, threaded=threaded,
        )  # fmt: skip
        self.rungs: list[Bound] = []
        self.gap: float | None = None
        self.posterior: TruePosterior | None = None
        self._measured = None
        self._build()
        super().__init__([self.controls, self.table_box, self.ladder_box], **keywords)
        if not self.model and self._vaes:
            self.model = next(iter(self._vaes))
        self._connect()
        self._on_draws()
        self._on_sort()
        self._on_status()
        self._on_result()
        self._on_image()

    def __repr__(self) -> str:
        return f"Scoreboard(models={len(self.models)}, draws={self.draws}, {self.status})"

    # -- measuring --------------------------------------------------------------------------------

    def measure(self) -> None:
        """Measure all models with `draws` draws of each sampler; `wait` waits for it.

        Raises
        ------
        RuntimeError
            It is measuring already, or this panel is closed.
        """
        if self._closed:
            raise RuntimeError("this scoreboard is closed: run its cell again for a new one.")
        if self._loop.running:
            raise RuntimeError("it is measuring already: stop it first.")
        self._loop.prepare()
        try:
            self._stop.clear()
            self._note = (0.0, "")
            self.error_line.value = ""
            with self._hold_notifications():
                self.set_trait("status", "running")
            self._notify_held()
        finally:
            # Also after an interrupt in an observer of "running": without a loop the status would stay.
            self._loop.launch(self._work())

    def stop(self) -> None:
        """Stop measuring. The table stays as it was."""
        self._stop.set()
        self._loop.halt()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being measured, or `timeout` seconds; return whether nothing is.

        What measuring raised is raised here.
        """
        return self._loop.wait(timeout)

    def close(self) -> None:
        """Stop measuring, and close the panel."""
        # A panel whose construction was refused is closed too, when it is collected as garbage.
        if hasattr(self, "_loop"):
            self._closed = True
            self.stop()
        super().close()

    def _work(self):
        images = labels = None
        if self.images is not None:
            images, labels = self.images.images, self.images.labels
        with contextlib.suppress(_Stopped):
            yield scoreboard.measure(
                {name: [self._copy(model) for model in seeds] for name, seeds in self.models.items()},
                self.judge, images, labels, draws=self.draws, seed=self.seed, progress=self._progress,
            )  # fmt: skip

    @staticmethod
    def _copy(model):
        with model_lock(model):
            return copy.deepcopy(model)

    def _progress(self, share: float, what: str) -> None:
        if self._stop.is_set():
            raise _Stopped
        self._note = (share, what)

    def _each(self, result) -> None:
        self._measured = result

    def _show_progress(self) -> None:
        share, what = self._note
        self.progress.value = share
        if self.status == "running":
            self.state.value = note_html(f"Measuring, {share:.0%} done: {what}.", "state")

    def _done(self, error: BaseException | None) -> None:
        result, self._measured = self._measured, None
        with self._hold_notifications():
            if error is not None:
                self.set_trait("status", "failed")
                self.show_error(error)
            elif result is None:
                self.set_trait("status", "stopped")
            else:
                self.result = result
                self.set_trait("status", "measured")

    # -- what is shown ----------------------------------------------------------------------------

    def _build(self) -> None:
        self.start = widgets.Button(description="measure", icon="play", layout=dict(width="110px"))
        self.halt = widgets.Button(description="stop", icon="stop", layout=dict(width="90px"))
        self.draws_box = widgets.BoundedIntText(
            self.draws, min=scoreboard.FEWEST_DRAWS, max=10_000_000, step=1000, description="draws",
            style=dict(description_width="44px"), layout=dict(width="150px"),
        )  # fmt: skip
        self.progress = widgets.FloatProgress(
            0, min=0, max=1, tooltip="share of the measuring that is done", layout=dict(width="300px")
        )
        self.state, self.verdict = widgets.HTML(), widgets.HTML()
        self.controls = widgets.HBox([self.start, self.halt, self.draws_box, self.progress], layout=_ROW)
        self.table = Table(caption="Samplers: shares with 95 % intervals")
        self.model_table = Table(caption="Codes: do they group, and does q(z) match the prior?")
        self.table_box = widgets.VBox([self.state, self.table, self.verdict, self.model_table])
        self.choice = widgets.Dropdown(
            options=list(self._vaes), description="model", style=dict(description_width="44px"),
            layout=dict(width="260px"),
        )  # fmt: skip
        count = 1 if self.images is None else len(self.images)
        self.slider = widgets.IntSlider(
            0, min=0, max=count - 1, description="image", continuous_update=False,
            style=dict(description_width="44px"), layout=dict(width="380px"),
        )  # fmt: skip
        self.picture, self.ladder, self.story = ImageCanvas(), LadderView(), widgets.HTML()
        _, height, width = self.judge.image_shape
        self.picture.fit(width, height, 96)
        self.ladder_box = widgets.VBox([title("One image: from the ELBO to log p(x)"), self.story])
        if self.images is not None and self._vaes:
            top = widgets.HBox([self.picture, widgets.VBox([self.choice, self.slider])], layout=_ROW)
            self.ladder_box.children = (self.ladder_box.children[0], top, self.ladder, self.story)

    def _connect(self) -> None:
        self.press(self.start, self._measure_once)
        self.press(self.halt, self.stop)
        self.listen(self.draws_box, lambda draws: self.set_trait("draws", draws))
        self.listen(self.table, lambda sort: self.set_trait("sort", sort), "sort")
        self.listen(self.table, lambda descending: self.set_trait("descending", descending), "descending")
        self.listen(self.choice, lambda name: self.set_trait("model", name))
        self.listen(self.slider, lambda row: self.set_trait("row", row))
        self.observe(self._on_draws, "draws")
        self.observe(self._on_status, "status")
        self.observe(self._on_result, "result")
        self.observe(self._on_sort, ["sort", "descending"])
        self.observe(self._on_image, ["model", "row"])

    @traitlets.validate("model")
    def _check_model(self, proposal) -> str:
        if proposal.value not in self._vaes:
            names = ", ".join(self._vaes) or "none: no model here is a VAE"
            raise ValueError(f"model must be one that has a ladder ({names}); got {proposal.value!r}.")
        return proposal.value

    @traitlets.validate("row")
    def _check_row(self, proposal) -> int:
        count = 1 if self.images is None else len(self.images)
        if not 0 <= proposal.value < count:
            raise ValueError(f"row must be from 0 to {count - 1}; got {proposal.value}.")
        return proposal.value

    @traitlets.validate("sort")
    def _check_sort(self, proposal) -> str:
        return self.table.check_sort(proposal.value)

    def _measure_once(self) -> None:
        # A double click is no error.
        if not self._loop.running:
            self.measure()

    def _on_draws(self, _=None) -> None:
        self.draws_box.value = self.draws

    def _on_sort(self, _=None) -> None:
        self.table.sort, self.table.descending = self.sort, self.descending

    def _on_status(self, _=None) -> None:
        # The button that most people need next stands out. None is disabled, because it would lose the focus.
        self.start.button_style = "" if self.status == "running" else "primary"
        self.halt.button_style = "primary" if self.status == "running" else ""
        said = {
            "ready": "Not measured yet.",
            "running": "Measuring.",
            "measured": "Measured.",
            "stopped": "Stopped: the table is as it was.",
            "failed": "Measuring failed.",
        }[self.status]
        if self.status == "measured" and self.result is not None:
            images = "no images" if self.result.images is None else f"{self.result.images:,} held-out images"
            draws, seed = self.result.draws, self.result.seed
            said = f"Measured with {draws:,} draws of each sampler, seed {seed}; {images}."
        self.state.value = note_html(said, "state")

    def _on_result(self, _=None) -> None:
        if self.result is None:
            self.table.show([], [])
            self.model_table.show([], [])
            self.verdict.value = ""
        else:
            columns, rows = sampler_table(self.result)
            if self.sort not in [column["key"] for column in columns]:
                self.sort = ""
            self.table.show(columns, rows)
            self.model_table.show(*model_table(self.result))
            self.verdict.value = note_html(verdict(self.result), "state")
        for table in (self.table, self.model_table):
            table.layout.display = "none" if self.result is None else ""

    def _on_image(self, _=None) -> None:
        with self.report(from_page=False):
            if self.images is None or not self._vaes:
                missing = "no images were given" if self.images is None else "no model here is a VAE"
                self.story.value = note_html(f"Nothing to show: {missing}.")
                return
            self.choice.value, self.slider.value = self.model, self.row
            model, x = self._vaes[self.model], self.images.images[self.row][None]
            if isinstance(model.likelihood, Bernoulli):
                x = binarize(x, torch.Generator().manual_seed(self.seed))
            with model_lock(model), eval_mode(model):
                self.rungs = ladder(model, x, KS, seed=self.seed)
                q = model.encode(x)
                flat = model.latent_dim == 2
                self.posterior = true_posterior(model, x, q.mu[0], q.sigma[0]) if flat else None
            self.gap = None if self.posterior is None else self.rungs[-1].value - self.posterior.elbo
            self.picture.show(to_uint8(x[0]), f"image {self.row}")
            self.ladder.show(self.rungs, self.posterior, q.mu[0].tolist(), q.sigma[0].tolist())
            self.story.value = note_html(self._tell(q), "state")

    def _tell(self, q) -> str:
        label = "" if self.images is None else name_of(self.images, self.row)
        label = f" (labelled {label})" if label else ""
        bounds = ", ".join(
            f"{name} {value:.2f}" + (f" \N{PLUS-MINUS SIGN} {2 * error:.2f}" if error else "")
            for name, value, error in self.rungs
        )
        text = f"Image {self.row}{label}: {bounds} nats (\N{PLUS-MINUS SIGN} two standard errors). "
        if self.posterior is None:
            d = q.mu.shape[1]
            return f"{text}With {d} latent dimensions there is no grid, and so no exact log p(x)."
        mu, sigma = format_point(q.mu[0].tolist()), _format_sigma(q.sigma[0].tolist())
        exact = self.posterior
        return (
            f"{text}KL(q || true posterior) = log p(x) - ELBO = {self.gap:.3f} nats, both by quadrature. "
            f"Encoder (ellipses, 1 sigma solid, 2 dashed): mu {mu}, sigma {sigma}. True posterior (shaded): "
            f"mean {format_point(exact.mean)}, sigma {_format_sigma(exact.sigma)}."
        )


def _format_sigma(sigma) -> str:
    return "(" + ", ".join(f"{s:.3f}" for s in sigma) + ")"


class _Stopped(Exception):
    """Raised in the progress callback, to leave `scoreboard.measure`."""


def _held_out(data, judge) -> Images | None:
    if data is None:
        return None
    images = data.test if isinstance(data, Dataset) else data
    if not isinstance(images, Images):
        raise TypeError(
            f"data must be a Dataset or Images; got {type(data).__name__}. "
            "vw.Images(tensor, labels) makes them."
        )
    check_images(images.images, judge.image_shape)
    return images
