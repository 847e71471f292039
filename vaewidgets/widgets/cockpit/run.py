"""A training run that can be steered, taken back and begun again, and what its steps have said."""

from __future__ import annotations

import time

import torch

from vaewidgets.data.dataset import Dataset
from vaewidgets.training.loop import fit
from vaewidgets.training.records import LossTerms, Snapshot, Step
from vaewidgets.widgets._core.model_lock import model_lock

from .history import History
from .snapshots import Snapshots

#: Held-out images that are measured after every epoch, at most.
HELD_OUT = 1000


class Run:
    """What a cockpit trains. `begin` comes before the first step.

    Parameters
    ----------
    model : VAE or Autoencoder
    data : Dataset
    options : dict
        All keywords of `fit`.

    Attributes
    ----------
    training : Training
    seed : int
        Of the noise of the steps to come.
    history : History
    last : LossTerms or None
        Means over the last few batches that were noted.
    speed : float or None
        Images per second: a running mean.
    weighted : bool
        Whether the importance-weighted bound is trained, in place of the ELBO.
    """

    def __init__(self, model, data: Dataset, options: dict) -> None:
        self._model, self._data, self._options = model, data, options
        self._lock = model_lock(model)
        self._initial: Snapshot | None = None
        self.speed: float | None = None
        self._noted_at = 0.0
        self.weighted = options["iwae"] is not None
        self.renew()

    @property
    def steerable_beta(self) -> bool:
        """Whether what is trained has a weight of the KL."""
        return self._model.has_prior and not self.weighted

    @property
    def bound_name(self) -> str:
        """What the bound that is trained is called."""
        return "L_k" if self.weighted else "ELBO"

    @property
    def snapshots(self) -> list[int]:
        """Steps that `rewind` can go back to."""
        return self._states.steps

    def renew(self, *, from_start: bool = False) -> None:
        """Make a new run from the weights as they are, or from those that the model came with."""
        images, held_out = self._data.train.images, self._data.test.images[:HELD_OUT]
        if self._options["patience"] is not None and len(images) > 1:
            # What decides when to stop must not be the test set.
            kept_out = min(HELD_OUT, max(1, len(images) // 10))
            images, held_out = images[:-kept_out], images[-kept_out:]
        self.training = fit(self._model, images, validation=held_out, **self._options)
        self.seed = self._options["seed"]
        if from_start and self._initial is not None:
            self.training.restore(self._initial)

    def begin(self, knobs: dict) -> None:
        """Forget the run before: a new history, new states, and the knobs as they are."""
        self._initial = self._initial or self.training.state()
        self.history = History(
            self._model.latent_dim,
            (lambda t: -t.loss) if self.weighted else (lambda t: t.reconstruction - t.kl),
        )
        self.turn(knobs)
        self._states = Snapshots(every=max(1, self.training.batches // 4))
        self._states.offer(self.training, lambda: self.seed)
        # The history at each state: it is noted later than the state is kept.
        self._histories = {0: self.history.copy()}
        self._fresh: list[torch.Tensor] = []
        self._held_out: list[tuple[int, LossTerms]] = []
        self._step: Step | None = None
        self.last: LossTerms | None = None

    def turn(self, knobs: dict) -> None:
        """Give the run what the knobs say, and mark what is new to it."""
        for name, value in knobs.items():
            if value == (self.seed if name == "noise_seed" else getattr(self.training, name)):
                continue
            if name == "noise_seed":
                with self._lock:
                    self.training.reseed(value)
                    self.seed = value
            else:
                setattr(self.training, name, value)
            if self.training.step:
                self.history.mark(self.training.step, name.replace("_", " "), value)

    def set_out(self) -> None:
        """Forget the future that there was, if it was rewound, and begin to measure the speed."""
        self.forget_after(self.training.step)
        self._noted_at = time.monotonic()

    def keep(self, step) -> None:
        """Keep what a step says until it is noted: called between two of them, so it must be quick."""
        self._step = step
        self._fresh.append(step.numbers)
        if step.held_out is not None:
            self._held_out.append((step.step, step.held_out))
        if not self.training.finished:
            self._states.offer(self.training, lambda: self.seed)

    def take(self) -> tuple:
        """Take what was kept, for `note`; no step may be taken meanwhile."""
        kept = self._step, self._fresh, self._held_out, self.snapshots
        self._fresh, self._held_out = [], []
        return kept

    def note(self, kept: tuple) -> None:
        """Note in the history what was taken, and how fast it came."""
        step, fresh, held_out, states = kept
        self._histories = {at: self._histories[at] for at in states if at in self._histories}
        if fresh:
            numbers, first = torch.stack(fresh).cpu(), step.step - len(fresh)
            ends = sorted({*(at for at in states if first < at < step.step), *dict(held_out), step.step})
            for begin, end in zip([first, *ends], ends, strict=False):
                self.history.note(end, numbers[begin - first : end - first])
                if end in dict(held_out):
                    self.history.add_held_out(end, dict(held_out)[end])
                if end in states:
                    self._histories[end] = self.history.copy()
            self.last = self.history.recent
        now = time.monotonic()
        if fresh:
            rate = len(fresh) * self._options["batch_size"] / max(now - self._noted_at, 1e-9)
            self.speed = rate if self.speed is None else 0.7 * self.speed + 0.3 * rate
        self._noted_at = now

    def rewind(self, step: int, *, keep: bool = False) -> None:
        """Go back to the state after a step, one of `snapshots`, and show the curves as they were then.

        With `keep` the state of now is one of them from then on: the way back to it.
        """
        # The history of a state may be among what is not noted yet.
        self.note(self.take())
        if keep and self.training.step not in self.snapshots:
            self._states[self.training.step] = self.training.state(), self.seed
            self._histories[self.training.step] = self.history.copy()
        state, self.seed = self._states[step]
        self.training.restore(state)
        marks = self.history
        self.history = self._histories[step].copy()
        self.history.take_marks(marks, before=step)
        self.last = self.history.recent
        self._fresh, self._held_out, self._step = [], [], None

    def forget_after(self, step: int) -> None:
        """Keep no state of a later step."""
        self._states.forget_after(step)

    def describe(self, status: str) -> str:
        """Say in one sentence where the run is."""
        run = self.training
        parts = [
            f"{status}: epoch {run.epoch} of {run.total_steps // run.batches}, "
            f"step {run.step:,} of {run.total_steps:,}"
        ]
        if self.last is not None:
            parts.append(f"{self._describe_terms(self.last)} nats per image")
        if status == "running" and self.speed:
            parts.append(f"{self.speed:,.0f} images/s")
        return "; ".join(parts) + "." + self._describe_next(status)

    def _describe_next(self, status: str) -> str:
        """Say what *start* and *one batch* will do where that is not plain."""
        if status in ("finished", "stopped"):
            return " The next start, batch or epoch begins a new run, at step 0, with these weights."
        if status == "failed":
            return f" The next start, batch or epoch goes on after step {self.snapshots[-1]:,}, before that."
        return ""

    def _describe_terms(self, terms: LossTerms) -> str:
        text = f"reconstruction {terms.reconstruction:.2f}"
        if self._model.has_prior:
            text += f", KL {terms.kl:.2f}, {self.bound_name} {self.history.bound(terms):.2f}"
        return text
