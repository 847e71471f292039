"""TrainingCockpit: train a model, watch its latent space organise itself, and steer."""

from __future__ import annotations

import inspect
import threading
import time
from typing import Any

import ipywidgets as widgets
import traitlets

from vaewidgets.data.dataset import Dataset, check_images
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import VAE, Autoencoder
from vaewidgets.training.loop import Training, fit
from vaewidgets.training.records import Diverged, LossTerms
from vaewidgets.training.validation import check_count, check_nonnegative, check_seed
from vaewidgets.widgets._core.background_loop import BackgroundLoop
from vaewidgets.widgets._core.model_lock import (
    acquire,
    exclusive,
    follow,
    followers,
    model_lock,
    notify,
    release,
    unfollow,
)
from vaewidgets.widgets._core.panel import title

from .controls import Controls
from .live_figures import LiveCurves
from .paint_probe import PaintProbe
from .run import Run
from .snapshot_view import TrainingView
from .turn_taking import TurnTakingPanel, replace_panels

#: Seconds between two notifications of linked panels about new weights.
LINKED = 0.5
KNOBS = ("beta", "lr", "noise_seed")
_ROW = dict(align_items="flex-start", flex_flow="row wrap", grid_gap="14px")
_FIT = {
    name: parameter.default
    for name, parameter in inspect.signature(fit).parameters.items()
    if name not in ("model", "images", "validation")
}


class TrainingCockpit(TurnTakingPanel):
    """Start, pause, step, stop and rewind the training of a model, and see what it does to the latent space.

    Training runs in a thread, so that other cells run meanwhile. Pictures cost it little: their rate follows
    their measured cost.

    Parameters
    ----------
    model : VAE or Autoencoder
        It is trained in place.
    data : Dataset
        ``data.train`` is trained on. ``data.test`` gives the map, the chosen images and, of at most 1,000
        images, the held-out curve. With a `patience` the held-out curve is of a tenth of ``data.train``.
    points : int
        Number of test images on the map.
    threaded : bool
        If False every call returns when its steps are done: for scripts, and for notebooks that run as tests.
    **keywords
        Those of `fit` (epochs, batch_size, lr, beta, schedule, kl_warmup, free_bits, iwae, binarize,
        patience, seed ...), or of the layout.

    Attributes
    ----------
    beta, lr : float
        Weight of the KL and learning rate. They may be set while training runs.
    noise_seed : int
        The noise of the next steps is drawn from this seed.
    status : str
        "ready", "running", "paused", "finished", "stopped" or "failed".
    training : Training
        The run, as `fit` made it.
    figure, curves : FigureWidget
        The map and the learning curves.
    controls : Controls
        The buttons and knobs.
    view : TrainingView
        The map and the pictures. In version 0.1.0 it was called `scene`, which still works.

    Raises
    ------
    ValueError, TypeError
        What `fit` refuses; data that do not fit the model; a misspelled keyword.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> data = vw.load_data("digits")
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(64,), seed=0)
    >>> cockpit = vw.TrainingCockpit(model, data, epochs=2, threaded=False)
    >>> cockpit.start()
    >>> cockpit
    TrainingCockpit(step=24 of 24, finished)
    """

    beta = traitlets.Float(1.0)
    lr = traitlets.Float(1e-3)
    noise_seed = traitlets.Int(0)
    status = traitlets.Unicode("ready", read_only=True)
    notified_later = ("status", *KNOBS)

    def __init__(
        self,
        model: VAE | Autoencoder,
        data: Dataset,
        *,
        points: int = 2000,
        threaded: bool = True,
        **keywords: Any,
    ) -> None:
        options = {name: keywords.pop(name) for name in _FIT if name in keywords}
        self.check_keywords(keywords, also=_FIT)
        for name in ("noise_seed", "status"):
            if name in keywords:
                raise TypeError(
                    f"TrainingCockpit has no keyword {name!r}: a run begins with that of seed=, ready."
                )
        if not isinstance(data, Dataset):
            raise TypeError(
                f"TrainingCockpit takes a Dataset, with a train and a test split; got {type(data).__name__}. "
                "vw.load_data makes one."
            )
        if isinstance(model, ConditionalVAE):
            raise TypeError(
                "TrainingCockpit trains a VAE or an Autoencoder; a ConditionalVAE is trained by "
                "vw.fit(model, data.train.images, labels=data.train.labels)."
            )
        check_count("points", points)
        for split in (data.train, data.test):
            check_images(split.images, model.image_shape, model.likelihood.support)
        made_in = replace_panels()
        self.model, self.data = model, data
        self._lock, self._edit = model_lock(model), threading.RLock()
        self._notified_at = 0.0
        self._curves_are_next = True
        self._run = run = Run(model, data, _FIT | options)
        self.paint_probe = PaintProbe()
        loop = BackgroundLoop(
            self._lock, each=run.collect, show=self._show, done=self._done, settled=self._settled,
            drawn=self.paint_probe.wait, threaded=threaded,
        )  # fmt: skip
        self.controls = Controls(*run.knobs.values(), steerable_beta=run.steerable_beta)
        with self._lock:
            self.view = TrainingView(model, data.test.take(slice(points)), data.classes)
        self._live_curves = LiveCurves(model.latent_dim, run.bound_name, model.has_prior)
        self.figure, self.curves = self.view.figure, self._live_curves.figure
        heading = title("The loss and its terms: training, and dotted, held out")
        super().__init__(
            loop,
            made_in,
            [
                self.controls,
                widgets.HBox([self.view.map_box, widgets.VBox([heading, self.curves])], layout=_ROW),
                widgets.HBox([self.view.grid_box, self.view.pairs_box], layout=_ROW),
                self.paint_probe,
            ],
            **keywords,
        )
        self._take_knobs()
        self._begin()
        self._connect()
        follow(model, self)
        self._show_rivals()
        self._draw()

    def __repr__(self) -> str:
        return f"TrainingCockpit(step={self.training.step} of {self.training.total_steps}, {self.status})"

    @property
    def training(self) -> Training:
        """The run, as `fit` made it."""
        return self._run.training

    @property
    def scene(self) -> TrainingView:
        """Alias of `view`, which had this name in version 0.1.0."""
        return self.view

    # -- actions --------------------------------------------------------------------------------------

    def start(self) -> None:
        """Train until the end, or until `pause` or `stop`. After the end or a stop a new run begins.

        After a failure training goes on from the last snapshot before it, with the present knobs.

        Raises
        ------
        RuntimeError
            Another cockpit is training this model, or this one is closed.
        """
        self._go(None)

    def step(self, batches: int | None = None, *, epochs: int | None = None) -> None:
        """Train `batches` batches, or to the end of `epochs` epochs, and pause; without either, one batch.

        Raises
        ------
        ValueError
            Both are given, or one is no count.
        RuntimeError
            As `start`.
        """
        if batches is not None and epochs is not None:
            raise ValueError("step takes batches or epochs; got both. Ask for one of them.")
        for name, value in (("batches", batches), ("epochs", epochs)):
            if value is not None:
                check_count(name, value)
        self._go(batches or 1, epochs)

    def pause(self) -> None:
        """Halt after the present batch. No weight changes after this returns."""
        self._loop.halt()

    def stop(self) -> None:
        """End the run. The weights stay; with a `patience` they become the best ones."""
        if self._postpone(self.stop):
            return
        with self._taking_turn():
            if self.status in ("finished", "stopped", "failed"):
                return
            with exclusive(self.model, self):
                try:
                    self.training.close()
                except Diverged as error:
                    self._fail(error)
                    raise
            self.set_trait("status", "stopped")
        self._show()

    def restart(self) -> None:
        """Go back to the weights that the model came with, and clear the curves. The knobs stay."""
        if self._postpone(self.restart):
            return
        with self._taking_turn():
            with exclusive(self.model, self):
                self._run.renew(from_start=True)
            self._begin()
            self._after_jump()
        self._show()

    def rewind(self, step: int) -> None:
        """Go back to the state after `step`, one of `snapshots`, with its knobs and its noise.

        The present state becomes a snapshot, so that this can be undone until the next step.

        Raises
        ------
        ValueError
            There is no snapshot of that step.
        """
        if self._postpone(lambda: self.rewind(step)):
            return
        with self._taking_turn():
            if step not in self.snapshots:
                kept = ", ".join(map(str, self.snapshots))
                raise ValueError(f"step must be one whose state was kept: {kept}; got {step!r}.")
            with self._edit, exclusive(self.model, self):
                self._run.rewind(step, keep=self.status != "failed")
                self.controls.list_states(self.snapshots)
            self._take_knobs()
            self._after_jump()
        self._show()

    @property
    def snapshots(self) -> list[int]:
        """Steps that `rewind` can go back to, in order."""
        return self._run.snapshots

    @property
    def last(self) -> LossTerms | None:
        """The terms last shown, nats per image: means over the last batches. None before the first."""
        return self._run.last

    def close(self) -> None:
        """Halt, and close the panel. It cannot be used afterwards."""
        # A panel whose construction was refused is closed too, when it is collected as garbage.
        if hasattr(self, "_loop"):
            self._closed = True
            if self._postpone(self.close):
                return
            self._loop.halt()
            release(self.model, self)
            unfollow(self)
            self._show_rivals()
        super().close()

    # -- a run ------------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._edit, self._lock:
            self._run.begin(self._knobs)
        self.controls.list_states(self.snapshots)
        self.set_trait("status", "ready")

    @property
    def _knobs(self) -> dict:
        return {name: getattr(self, name) for name in KNOBS}

    def _take_knobs(self) -> None:
        for name, value in self._run.knobs.items():
            self.set_trait(name, value)

    def _go(self, batches: int | None, epochs: int | None = None) -> None:
        with self._bookkeeping():
            self._check_open()
            with self._lock:
                is_extended = self._loop.extend(self._limit(batches, epochs))
            if is_extended:
                self.error_line.value = ""
                return
            if self._postpone(lambda: self._go(batches, epochs)):
                return
            if self._loop.running:
                self._loop.stop()
                if self.status == "failed":
                    # It failed only now, and the user has not seen that yet.
                    return
            acquire(self.model, self)
            try:
                self._make_ready()
                self._loop.prepare(self._limit(batches, epochs))
            except BaseException:
                release(self.model, self)
                raise
            self.set_trait("status", "running")
        # Observers of "running" have been called by now: what they ask for comes before the first step.
        self._loop.launch(self.training)

    def _make_ready(self) -> None:
        if self.status == "failed":
            with self._edit, self._lock:
                self._run.rewind(self.snapshots[-1])
                self._run.set_knobs(self._knobs)
        elif self.training.finished:
            self._run.renew()
            self._begin()
        self._run.prepare()
        self.error_line.value = ""

    def _limit(self, batches: int | None, epochs: int | None) -> int | None:
        if epochs is None:
            return batches
        return epochs * self.training.batches - self.training.step % self.training.batches

    def _done(self, error: BaseException | None) -> None:
        release(self.model, self)
        with self._hold_notifications():
            if error is not None:
                self._fail(error)
            else:
                self.set_trait("status", "finished" if self.training.finished else "paused")
            self.controls.list_states(self.snapshots)

    def _settled(self) -> None:
        self._notify_linked()
        super()._settled()

    def _fail(self, error: BaseException) -> None:
        # The loss of a step is that of the weights before it, which are those after the step before.
        bad = error.step - 1 if isinstance(error, Diverged) else self.training.step
        self._run.drop_after(bad - 1)
        self.set_trait("status", "failed")
        self.show_error(error)

    def _after_jump(self) -> None:
        self.error_line.value = ""
        self.set_trait("status", "paused" if self.training.step else "ready")

    # -- the knobs --------------------------------------------------------------------------------

    def _connect(self) -> None:
        c = self.controls
        for button, handler in (
            # A click must not wait for the present picture, as `pause` does.
            (c.pause, self._loop.request_stop),
            (c.start, self.start),
            (c.batch, self.step),
            (c.epoch, lambda: self.step(epochs=1)),
            (c.stop, self.stop),
            (c.restart, self.restart),
            (c.rewind, lambda: self.rewind(c.back.value)),
        ):
            self.press(button, handler)
        for name in KNOBS:
            self.listen(getattr(c, name), lambda value, name=name: self._slide(name, value))
        for name, box in c.boxes.items():
            self.listen(box, lambda value, name=name: self._type(name, value))
        for control in (self.view.across, self.view.up):
            self.listen(control, lambda _: self._change_plane())
        self.observe(self._on_knob, KNOBS)
        self.observe(lambda _: self._draw_state(), "status")

    @traitlets.validate(*KNOBS)
    def _check_knob(self, proposal):
        name, value = proposal.trait.name, proposal.value
        if name == "noise_seed":
            check_seed(value)
        else:
            check_nonnegative(name, value)
        if name == "beta" and not self._run.steerable_beta and value != self.training.beta:
            raise ValueError(
                f"beta cannot be set, it is {self.training.beta:g} here: this model is trained without a "
                f"weight of the KL; got {value!r}."
            )
        return value

    def _slide(self, name: str, value: float) -> None:
        if not self.controls.shows(name, value):
            self._type(name, value)

    def _type(self, name: str, value: float) -> None:
        try:
            self.set_trait(name, value)
        except Exception:
            self.controls.show_knob(name, getattr(self, name))
            raise

    def _on_knob(self, change) -> None:
        with self.report(from_page=False):
            self.controls.show_knob(change.name, change.new)
            self._run.set_knobs({change.name: change.new})
            self._draw_curves()

    def _change_plane(self) -> None:
        with self._edit:
            self.view.set_plane()
            self._draw()

    # -- showing ----------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Show the present model: another panel has trained it."""
        if not self._loop.running:
            self._draw()

    def _show(self) -> None:
        # The model and the curves alternate: a page that draws everything at once cannot follow a slider.
        self._curves_are_next = not self._curves_are_next
        over = self._loop.over
        self._draw(model=over or not self._curves_are_next, curves=over or self._curves_are_next)
        if time.monotonic() - self._notified_at >= LINKED or not self._loop.running:
            self._notify_linked()

    def _draw(self, *, model: bool = True, curves: bool = True) -> None:
        """Show the present model, and the numbers of the steps since the last time."""
        with self._edit:
            with self._lock:
                frame = self.view.frame() if model else None
                collected = self._run.take_collected()
            self._run.add_to_history(collected)
            if frame is not None:
                self.view.draw(frame)
            if curves:
                self._draw_curves()
            self.controls.list_states(collected[-1])
            self._draw_state()

    def _draw_curves(self) -> None:
        with self._edit:
            self._live_curves.draw(self._run.history)

    def _notify_linked(self) -> None:
        """Have linked panels decode with the present weights."""
        self._notified_at = time.monotonic()
        notify(self.model, self)

    def _draw_state(self) -> None:
        self.controls.show_state(
            self.status, self._run.describe(self.status), self.training.step / self.training.total_steps
        )

    def _show_rivals(self) -> None:
        cockpits = [panel for panel in followers(self.model) if isinstance(panel, TrainingCockpit)]
        for cockpit in cockpits:
            cockpit.controls.show_rivals(
                "More than one cockpit holds this model. One can train it at a time; all show it."
                if len(cockpits) > 1
                else ""
            )
