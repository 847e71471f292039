"""A training run that can be steered, rewound and begun again, with the history of its numbers."""

from __future__ import annotations

import itertools
import time
from typing import Any

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
    """The run of a cockpit: a `Training`, its snapshots and its history. Call `begin` before the first step.

    A loop calls `collect` between two steps. The panel calls `take_collected` under the model's lock, and
    then `add_to_history`, which is slower, without the lock.

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
        Seed of the noise of the next steps.
    history : History
    last : LossTerms or None
        Means over the last batches in the history, nats per image.
    speed : float or None
        Images per second: a running mean.
    weighted : bool
        Whether the importance-weighted bound is trained instead of the ELBO.
    """

    def __init__(self, model, data: Dataset, options: dict) -> None:
        self._model, self._data, self._options = model, data, options
        self._lock = model_lock(model)
        self._initial: Snapshot | None = None
        self.speed: float | None = None
        self._measured_at = 0.0
        self.weighted = options["iwae"] is not None
        self.renew()

    @property
    def steerable_beta(self) -> bool:
        """Whether the trained objective has a weight of the KL."""
        return self._model.has_prior and not self.weighted

    @property
    def bound_name(self) -> str:
        """Name of the bound that is trained."""
        return "L_k" if self.weighted else "ELBO"

    @property
    def snapshots(self) -> list[int]:
        """Steps that `rewind` can go back to."""
        return self._states.steps

    @property
    def knobs(self) -> dict[str, Any]:
        """Values of beta, lr and noise_seed for the next step."""
        return dict(beta=self.training.beta, lr=self.training.lr, noise_seed=self.seed)

    def renew(self, *, from_start: bool = False) -> None:
        """Make a new run from the present weights, or from the weights that the model came with."""
        images, held_out = self._data.train.images, self._data.test.images[:HELD_OUT]
        if self._options["patience"] is not None and len(images) > 1:
            # The test set must not decide when training stops.
            kept_out = min(HELD_OUT, max(1, len(images) // 10))
            images, held_out = images[:-kept_out], images[-kept_out:]
        self.training = fit(self._model, images, validation=held_out, **self._options)
        self.seed = self._options["seed"]
        if from_start and self._initial is not None:
            self.training.restore(self._initial)

    def begin(self, knobs: dict) -> None:
        """Forget the previous run: begin a new history and new snapshots, with these knobs."""
        self._initial = self._initial or self.training.state()
        self.history = History(
            self._model.latent_dim,
            (lambda t: -t.loss) if self.weighted else (lambda t: t.reconstruction - t.kl),
        )
        self.set_knobs(knobs)
        self._states = Snapshots(every=max(1, self.training.batches // 4))
        self._states.update(self.training, self.seed)
        # The history at each snapshot. It is copied later than the snapshot is taken.
        self._histories = {0: self.history.copy()}
        self._fresh: list[torch.Tensor] = []
        self._held_out: dict[int, LossTerms] = {}
        self._step: Step | None = None
        self.last: LossTerms | None = None

    def set_knobs(self, knobs: dict) -> None:
        """Use these values from the next step on, and mark the changed ones in the history."""
        for name, value in knobs.items():
            if value == self.knobs[name]:
                continue
            if name == "noise_seed":
                with self._lock:
                    self.training.reseed(value)
                    self.seed = value
            else:
                setattr(self.training, name, value)
            if self.training.step:
                self.history.mark(self.training.step, name.replace("_", " "), value)

    def prepare(self) -> None:
        """Drop snapshots of later steps, which a rewind has left, and begin to measure the speed."""
        self.drop_after(self.training.step)
        self._measured_at = time.monotonic()

    def collect(self, step: Any) -> None:
        """Collect the numbers of a step. It is called between two steps, so it must be fast."""
        self._step = step
        self._fresh.append(step.numbers)
        if step.held_out is not None:
            self._held_out[step.step] = step.held_out
        if not self.training.finished:
            self._states.update(self.training, self.seed)

    def take_collected(self) -> tuple:
        """Return what was collected, for `add_to_history`, and the steps of the snapshots as the last item.

        Hold the model's lock: no step may be taken meanwhile.
        """
        collected = self._step, self._fresh, self._held_out, self.snapshots
        self._fresh, self._held_out = [], {}
        return collected

    def add_to_history(self, collected: tuple) -> None:
        """Add what `take_collected` returned to the history, and measure the speed."""
        step, fresh, held_out, states = collected
        self._histories = {at: history for at, history in self._histories.items() if at in states}
        now = time.monotonic()
        if fresh:
            numbers, first = torch.stack(fresh).cpu(), step.step - len(fresh)
            ends = sorted({*(at for at in states if first < at < step.step), *held_out, step.step})
            for begin, end in itertools.pairwise([first, *ends]):
                self.history.append(end, numbers[begin - first : end - first])
                if end in held_out:
                    self.history.append_held_out(end, held_out[end])
                if end in states:
                    self._histories[end] = self.history.copy()
            self.last = self.history.recent
            rate = len(fresh) * self._options["batch_size"] / max(now - self._measured_at, 1e-9)
            self.speed = rate if self.speed is None else 0.7 * self.speed + 0.3 * rate
        self._measured_at = now

    def rewind(self, step: int, *, keep: bool = False) -> None:
        """Go back to the state after a step, one of `snapshots`, with the history as it was then.

        With `keep` the present state becomes a snapshot too, so that the rewind can be undone.
        """
        # What is collected may hold the history of a snapshot.
        self.add_to_history(self.take_collected())
        if keep and self.training.step not in self.snapshots:
            self._states[self.training.step] = self.training.state(), self.seed
            self._histories[self.training.step] = self.history.copy()
        state, self.seed = self._states[step]
        self.training.restore(state)
        self.history = self._histories[step].with_marks_of(self.history, before=step)
        self.last = self.history.recent

    def drop_after(self, step: int) -> None:
        """Drop the snapshots of later steps."""
        self._states.drop_after(step)

    def describe(self, status: str) -> str:
        """Describe in one sentence where the run is."""
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
        """Describe what *start* and *one batch* will do where that is not obvious."""
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
