"""Run a training from a terminal: show its progress, and stop it early on a signal."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

    from vaewidgets.training.devices import ProcessGroup
    from vaewidgets.training.loop import Training

#: Signals that only ask to stop: one Ctrl-C, which torchrun passes on a second time. The next one interrupts.
_POLITE_SIGNALS = 2


class Signals:
    """Record SIGINT and SIGTERM while a ``with`` block runs, so that a loop can stop between two steps.

    Parameters
    ----------
    group : ProcessGroup
        Every process of it must call `received` equally often, because they exchange their answers.

    Examples
    --------
    >>> import signal
    >>> from vaewidgets.training.devices import ProcessGroup
    >>> with Signals(ProcessGroup()) as signals:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     signals.received()
    15
    """

    def __init__(self, group: ProcessGroup) -> None:
        self._noted: list[int] = []
        self._before: dict = {}
        self._gloo: Any = None
        if group.size > 1:
            import torch.distributed as dist

            # NCCL would make the GPU wait at every step.
            self._gloo = dist.new_group(backend="gloo")

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # A shell that starts a process in the background has it ignore Ctrl-C.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        self._noted.append(number)
        if len(self._noted) > _POLITE_SIGNALS:
            raise KeyboardInterrupt

    def received(self) -> int:
        """Return the number of a signal that one of the processes received, or 0: the same in all."""
        number = max(self._noted, default=0)
        if self._gloo is None:
            return number
        import torch
        import torch.distributed as dist

        answer = torch.tensor([number])
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=self._gloo)
        return int(answer)


def run_loop(
    training: Training, signals: Signals, show: Callable, save: Callable[[], None], seconds: float
) -> int:
    """Run a training to its end, or until a signal is received.

    Parameters
    ----------
    training : Training
        Iterated here.
    signals : Signals
        Asked after every step.
    show : callable
        Called with every `Step`.
    save : callable
        Called when `seconds` have passed since the start or since the last save; not after the last step.
    seconds : float
        0: never save.

    Returns
    -------
    int
        The number of the signal that ended it, or 0.

    Raises
    ------
    Diverged
        The loss is no finite number any more.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> from vaewidgets.training.devices import ProcessGroup
    >>> images = vw.load_data("digits").train.images[:256]
    >>> training = vw.fit(vw.VAE(2, (1, 8, 8), hidden=(4,)), images, epochs=1)
    >>> with Signals(ProcessGroup()) as signals:
    ...     run_loop(training, signals, lambda step: print(step.step, step.total_steps), print, 0)
    1 2
    2 2
    0
    """
    saved = time.monotonic()
    for step in training:
        show(step)
        number = signals.received()
        if training.finished:
            break
        if number:
            return number
        if seconds and time.monotonic() - saved >= seconds:
            save()
            saved = time.monotonic()
    return 0


def progress_bar(**options: Any) -> tqdm:
    """Make a tqdm bar on standard error, updated rarely where that is a log file.

    Parameters
    ----------
    **options
        Of ``tqdm.tqdm``.

    Examples
    --------
    >>> with progress_bar(total=2, disable=True) as bar:
    ...     bar.update()
    """
    from tqdm import tqdm

    return tqdm(**{"mininterval": _interval(), "dynamic_ncols": True, "leave": False} | options)


def _interval() -> float:
    """Return the seconds between two updates of a bar: a log file gets few lines."""
    return 0.25 if sys.stderr.isatty() else 10.0


class Progress:
    """A progress bar of a training on standard error; used in a ``with`` block.

    Parameters
    ----------
    epochs, start : int
        Number of epochs, and the step to begin at.
    objective : str
        "ELBO", or the name of another objective, of which the loss is shown.
    quiet : bool
        Show nothing, because another process does.

    Examples
    --------
    >>> with Progress(epochs=20, start=0, objective="ELBO", quiet=True) as progress:
    ...     pass
    """

    def __init__(self, epochs: int, start: int, objective: str, *, quiet: bool = False) -> None:
        self._epochs, self._objective = epochs, objective
        self._shown, self._held_out = -math.inf, ""
        self._bar = progress_bar(
            desc="training", unit="step", initial=start, mininterval=0, miniters=1, leave=True, disable=quiet
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def show(self, step) -> None:
        """Show a `Step`, unless another one was shown a moment ago: to read its numbers makes a GPU wait."""
        if step.held_out is not None:
            self._held_out = f", held-out loss {step.held_out.loss:.2f} after epoch {step.epoch}"
        due = time.monotonic() - self._shown >= _interval()
        if self._bar.disable or not (due or step.held_out is not None or step.step == step.total_steps):
            return
        self._bar.total, self._bar.n = step.total_steps, step.step
        self._bar.set_description_str(f"epoch {step.epoch}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(self._words(step) + self._held_out)
        self._shown = time.monotonic()

    def _words(self, step) -> str:
        bound = f"ELBO {-step.loss:.2f}"
        if self._objective != "ELBO" or step.beta != 1:
            name = f"beta {step.beta:g}" if self._objective == "ELBO" else self._objective
            bound = f"loss {step.loss:.2f} ({name})"
        kl = f"KL {step.kl:.2f}, " if step.terms.kl_per_dimension else ""
        rate = f"{step.images_per_second:,.0f} images/s"
        return f"reconstruction {step.reconstruction:.2f}, {kl}{bound}, {rate}"
