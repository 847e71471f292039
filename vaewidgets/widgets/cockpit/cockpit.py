"""TrainingCockpit: train a model, watch its latent space organise itself, and steer."""

from __future__ import annotations

import inspect
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import traitlets

from vaewidgets.data.dataset import Dataset, check_images
from vaewidgets.models.conditional import ConditionalVAE
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
from vaewidgets.widgets._core.notifying_panel import NotifyingPanel
from vaewidgets.widgets._core.panel import title

from .controls import Controls
from .live_figures import LiveCurves
from .paint_probe import PaintProbe
from .run import Run
from .snapshot_view import TrainingView

if TYPE_CHECKING:
    from vaewidgets.models.vae import VAE, Autoencoder

#: Seconds between two times that linked panels are told of new weights.
LINKED = 0.5
KNOBS = ("beta", "lr", "noise_seed")
_ROW = dict(align_items="flex-start", flex_flow="row wrap", grid_gap="14px")
_living: weakref.WeakSet[TrainingCockpit] = weakref.WeakSet()
_FIT = {
    name: parameter.default
    for name, parameter in inspect.signature(fit).parameters.items()
    if name not in ("model", "images", "validation")
}


class TrainingCockpit(NotifyingPanel):
    """Start, pause, step, stop and rewind the training of a model, and see what it does to the latent space.

    Training runs beside the notebook: other cells run meanwhile. What is shown costs it little: the
    rate of the pictures follows what they are measured to cost.

    Parameters
    ----------
    model : VAE or Autoencoder
        It is trained in place.
    data : Dataset
        ``data.train`` is trained on; ``data.test`` gives the map, the chosen images and, of 1,000 images at
        most, the held-out curve. With a `patience` that curve is of a tenth of ``data.train`` in its stead.
    points : int
        Test images on the map.
    threaded : bool
        False: every call returns when its steps are done. For scripts, and for notebooks that run as tests.
    **keywords
        Those of `fit` (epochs, batch_size, lr, beta, schedule, kl_warmup, free_bits, iwae, binarize,
        patience, seed ...), or of the layout.

    Attributes
    ----------
    beta, lr : float
        Weight of the KL and learning rate. They may be set while training runs.
    noise_seed : int
        Setting it draws the noise of the steps to come from another seed.
    status : str
        "ready", "running", "paused", "finished", "stopped" or "failed".
    training : Training
        The run, as `fit` made it.
    figure, curves : FigureWidget
        The map and the learning curves.
    controls, scene
        The buttons and knobs; the pictures.

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
        self._made_in = _running_cell()
        self._replace()
        self.model, self.data = model, data
        self._lock, self._edit = model_lock(model), threading.RLock()
        #: Held while the run is begun, ended or taken back; never while a loop of it is waited for by others.
        self._turn = threading.RLock()
        self._postponed: deque[Callable] = deque()
        self._closed = False
        self._told_at = 0.0
        self._turn_of_curves = True
        self._run = run = Run(model, data, _FIT | options)
        self.pulse = PaintProbe()
        self._runner = BackgroundLoop(
            self._lock, each=run.keep, show=self._show, done=self._done, settled=self._settled,
            drawn=self.pulse.wait, threaded=threaded,
        )  # fmt: skip
        knobs = run.training.beta, run.training.lr, run.seed
        self.controls = Controls(*knobs, steerable_beta=run.steerable_beta)
        with self._lock:
            self.scene = TrainingView(model, data.test.take(slice(points)), data.classes)
        self._live_curves = LiveCurves(model.latent_dim, run.bound_name, model.has_prior)
        self.figure, self.curves = self.scene.figure, self._live_curves.figure
        heading = title("The loss and its terms: training, and dotted, held out")
        super().__init__(
            [
                self.controls,
                widgets.HBox([self.scene.map_box, widgets.VBox([heading, self.curves])], layout=_ROW),
                widgets.HBox([self.scene.grid_box, self.scene.pairs_box], layout=_ROW),
                self.pulse,
            ],
            **keywords,
        )
        for name, value in zip(KNOBS, knobs, strict=True):
            self.set_trait(name, value)
        self._begin()
        self._connect()
        follow(model, self)
        _living.add(self)
        self._say_rivals()
        self._draw()

    def __repr__(self) -> str:
        return f"TrainingCockpit(step={self.training.step} of {self.training.total_steps}, {self.status})"

    @property
    def training(self) -> Training:
        """The run, as `fit` made it."""
        return self._run.training

    # -- what can be asked of it ------------------------------------------------------------------

    def start(self) -> None:
        """Train until the end, or until `pause` or `stop`. After the end or a stop a new run begins.

        After a failure it goes on from the last state before it, with the knobs as they are now.

        Raises
        ------
        RuntimeError
            Another cockpit is training this model; or this one is closed.
        """
        self._go(None)

    def step(self, batches: int | None = None, *, epochs: int | None = None) -> None:
        """Train so many batches, or to the end of so many epochs, and pause; one batch if nothing is said.

        Raises
        ------
        ValueError
            Both are said, or no count.
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
        """Halt after the batch under way; no weight moves once this returns."""
        self._runner.halt()

    def stop(self) -> None:
        """End the run. The weights stay as they are; with a `patience` they become the best ones."""
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
        """Go back to the weights that the model came with, and clear the curves; the knobs stay."""
        if self._postpone(self.restart):
            return
        with self._taking_turn():
            with exclusive(self.model, self):
                self._run.renew(from_start=True)
            self._begin()
            self._after_jump()
        self._show()

    def rewind(self, step: int) -> None:
        """Go back to the state after `step`, one of `snapshots`, knobs and noise included.

        The state of now becomes one of them, so that this can be undone until the next step is taken.

        Raises
        ------
        ValueError
            There is no state kept of that step.
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
            knobs = self.training.beta, self.training.lr, self._run.seed
            for name, value in zip(KNOBS, knobs, strict=True):
                self.set_trait(name, value)
            self._after_jump()
        self._show()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until no step is being taken, or `timeout` seconds; return whether it is so.

        What training raised is raised here.
        """
        return self._runner.wait(timeout)

    @property
    def snapshots(self) -> list[int]:
        """Steps that `rewind` can go back to."""
        return self._run.snapshots

    @property
    def last(self) -> LossTerms | None:
        """The terms last shown, nats per image: means over the last batches."""
        return self._run.last

    def close(self) -> None:
        """Halt, and close the panel: no thread of it goes on, and nothing can be asked of it any more."""
        # A panel that was refused when it was made is closed too, when it is forgotten.
        if hasattr(self, "_runner"):
            self._closed = True
            if self._postpone(self.close):
                return
            self._runner.halt()
            release(self.model, self)
            unfollow(self)
            self._say_rivals()
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

    def _go(self, batches: int | None, epochs: int | None = None) -> None:
        with self._bookkeeping():
            if self._closed:
                raise RuntimeError("this cockpit is closed: run its cell again for a new one.")
            if self._extend(batches, epochs):
                self.error_line.value = ""
                return
            if self._postpone(lambda: self._go(batches, epochs)):
                return
            if self._runner.running:
                self._runner.stop()
                if self.status == "failed":
                    # It failed only now: that has to be seen first.
                    return
            acquire(self.model, self)
            try:
                self._make_ready()
                self._runner.prepare(self._limit(batches, epochs))
            except BaseException:
                release(self.model, self)
                raise
            self.set_trait("status", "running")
        # What observers of "running" ask for is heard before the first step.
        self._runner.launch(self.training)

    def _make_ready(self) -> None:
        if self.status == "failed":
            with self._edit, self._lock:
                self._run.rewind(self.snapshots[-1])
                self._run.turn(self._knobs)
        elif self.training.finished:
            self._run.renew()
            self._begin()
        self._run.set_out()
        self.error_line.value = ""

    def _limit(self, batches: int | None, epochs: int | None) -> int | None:
        if epochs is None:
            return batches
        return epochs * self.training.batches - self.training.step % self.training.batches

    def _extend(self, batches: int | None, epochs: int | None) -> bool:
        """Let a run that is under way go on for as long as is asked; return whether there is one."""
        with self._lock:
            return self._runner.extend(self._limit(batches, epochs))

    def _done(self, error: BaseException | None) -> None:
        release(self.model, self)
        with self._hold_notifications():
            if error is not None:
                self._fail(error)
            else:
                self.set_trait("status", "finished" if self.training.finished else "paused")
            self.controls.list_states(self.snapshots)

    def _settled(self) -> None:
        """Do what had to wait for the end of the run: others are told, and what they asked for is done."""
        self._tell()
        self._notify_held()
        while self._postponed:
            try:
                self._postponed.popleft()()
            except Exception as error:
                self._say_aloud(error)

    def _fail(self, error: BaseException) -> None:
        # The loss of a step is that of the weights before it: those after the step before gave this one.
        bad = error.step - 1 if isinstance(error, Diverged) else self.training.step
        self._run.forget_after(bad - 1)
        self.set_trait("status", "failed")
        self.show_error(error)

    def _after_jump(self) -> None:
        self.error_line.value = ""
        self.set_trait("status", "paused" if self.training.step else "ready")

    # -- whose turn it is, and what others are told -------------------------------------------------

    @contextmanager
    def _taking_turn(self):
        """End the run and change it, while nobody else does; observers hear of it afterwards."""
        if self._closed:
            raise RuntimeError("this cockpit is closed: run its cell again for a new one.")
        with self._bookkeeping():
            self._runner.stop()
            yield

    @contextmanager
    def _bookkeeping(self):
        try:
            with self._turn, self._hold_notifications():
                yield
        finally:
            if not getattr(self._quiet, "depth", 0):
                self._notify_held()

    def _postpone(self, ask: Callable[[], None]) -> bool:
        """Have what the run itself asks for, in an observer, done at its end; return whether it is so."""
        if not self._runner.here:
            return False
        self._runner.request_stop()
        self._postponed.append(ask)
        return True

    def _replace(self) -> None:
        """End the training of the panel that an earlier run of this cell made: this one takes its place."""
        cell, run = self._made_in
        for other in list(_living):
            if cell is not None and other._made_in[0] == cell and other._made_in[1] != run:
                other._runner.halt()
                unfollow(other)
                _living.discard(other)

    # -- the knobs --------------------------------------------------------------------------------

    def _connect(self) -> None:
        c = self.controls
        for button, handler in (
            # In the page's name nobody waits for the picture under way.
            (c.pause, self._runner.request_stop),
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
        for control in (self.scene.across, self.scene.up):
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
        if self.controls.shows(name, value):
            return
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
            self._run.turn({change.name: change.new})
            self._draw_curves()

    def _change_plane(self) -> None:
        with self._edit:
            self.scene.turn()
            self._draw()

    # -- showing ----------------------------------------------------------------------------------

    def weights_changed(self) -> None:
        """Show the model as it is now: another panel has trained it."""
        if not self._runner.running:
            self._draw()

    def _show(self) -> None:
        # In turns: a page that draws everything at once cannot answer a slider meanwhile.
        self._turn_of_curves = not self._turn_of_curves
        over = self._runner.over
        self._draw(scene=over or not self._turn_of_curves, curves=over or self._turn_of_curves)
        if time.monotonic() - self._told_at >= LINKED or not self._runner.running:
            self._tell()

    def _draw(self, *, scene: bool = True, curves: bool = True) -> None:
        """Show the model of this moment, and what was noted since the last time."""
        with self._edit:
            with self._lock:
                look = self.scene.frame() if scene else None
                kept = self._run.take()
            self._run.note(kept)
            if look is not None:
                self.scene.draw(look)
            if curves:
                self._draw_curves()
            self.controls.list_states(kept[-1])
            self._draw_state()

    def _draw_curves(self) -> None:
        with self._edit:
            self._live_curves.draw(self._run.history)

    def _tell(self) -> None:
        """Have linked panels decode with the weights of this moment."""
        self._told_at = time.monotonic()
        notify(self.model, self)

    def _draw_state(self) -> None:
        share = self.training.step / self.training.total_steps
        self.controls.show_state(self.status, self._run.describe(self.status), share)

    def _say_rivals(self) -> None:
        cockpits = [panel for panel in followers(self.model) if isinstance(panel, TrainingCockpit)]
        for cockpit in cockpits:
            cockpit.controls.say_rivals(
                "More than one cockpit holds this model. One can train it at a time; all show it."
                if len(cockpits) > 1
                else ""
            )


def _running_cell() -> tuple[str | None, str | None]:
    """Return the id of the notebook's cell that is run here, and of this run of it; None where none is."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    asked: dict[str, dict[str, str]] = getattr(shell, "get_parent", dict)() or {}
    return asked.get("metadata", {}).get("cellId"), asked.get("header", {}).get("msg_id")
