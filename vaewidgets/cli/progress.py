"""Running a training from a terminal: its progress, and what ends it before its time."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from vaewidgets.training.devices import ProcessGroup

#: Ctrl-C once asks to stop; torchrun passes it on a second time; whoever presses it again wants to leave.
_PATIENCE = 2


class Signals:
    """Note SIGINT and SIGTERM while a ``with`` block runs, to be asked for where stopping is clean.

    Every process of a team must ask equally often, since they answer together.
    """

    def __init__(self, team: ProcessGroup) -> None:
        self._noted: list[int] = []
        self._before: dict = {}
        self._group: Any = None
        if team.size > 1:
            import torch.distributed as dist

            # NCCL would make the GPU wait at every step.
            self._group = dist.new_group(backend="gloo")

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                # Who started us in the background may have told us to ignore Ctrl-C.
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame) -> None:
        self._noted.append(number)
        if len(self._noted) > _PATIENCE:
            raise KeyboardInterrupt

    def asked(self) -> int:
        """Return the signal that one process of the team got, or 0: the same in all."""
        number = max(self._noted, default=0)
        if self._group is None:
            return number
        import torch
        import torch.distributed as dist

        answer = torch.tensor([number])
        dist.all_reduce(answer, dist.ReduceOp.MAX, group=self._group)
        return int(answer)


def drive(steps, signals: Signals, show: Callable, save: Callable[[], None], seconds: float) -> int:
    """Take the steps of a `Training` to the end, or to a signal.

    Parameters
    ----------
    steps : Training
    signals : Signals
    show : callable
        Told every `Step`.
    save : callable
        Called after `seconds` without; never after the last step.
    seconds : float
        0: never.

    Returns
    -------
    int
        The signal that ended it, or 0.

    Raises
    ------
    Diverged
    """
    saved = time.monotonic()
    for step in steps:
        show(step)
        number = signals.asked()
        if steps.finished:
            break
        if number:
            return number
        if seconds and time.monotonic() - saved >= seconds:
            save()
            saved = time.monotonic()
    return 0


class Progress:
    """A bar on standard error, as often as it can be read; in a ``with`` block.

    Parameters
    ----------
    epochs, start : int
        Epochs in all, and the step to begin at.
    name : str
        "ELBO", or what else the objective is called: then minus it, the loss, is shown.
    quiet : bool
        Show nothing: another process does.
    """

    def __init__(self, epochs: int, start: int, name: str, *, quiet: bool = False) -> None:
        from tqdm import tqdm

        self._epochs, self._name = epochs, name
        # A number that is read makes the device wait: only those shown are. A log file wants few lines.
        self._pause = 0.25 if sys.stderr.isatty() else 10.0
        self._shown, self._held_out = -math.inf, ""
        self._bar = tqdm(
            desc="training",
            unit="step",
            initial=start,
            mininterval=0,
            miniters=1,
            dynamic_ncols=True,
            disable=quiet,
        )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_) -> None:
        self._bar.close()

    def say(self, text: str) -> None:
        """Write a line above the bar."""
        self._bar.write(text, file=sys.stderr)

    def show(self, step) -> None:
        """Show a `Step`, unless the last one was shown only now."""
        if step.held_out is not None:
            self._held_out = f", held-out loss {step.held_out.loss:.2f} after epoch {step.epoch}"
        due = time.monotonic() - self._shown >= self._pause
        if self._bar.disable or not (due or step.held_out is not None or step.step == step.total_steps):
            return
        self._bar.total, self._bar.n = step.total_steps, step.step
        self._bar.set_description_str(f"epoch {step.epoch}/{self._epochs}", refresh=False)
        self._bar.set_postfix_str(self._words(step) + self._held_out)
        self._shown = time.monotonic()

    def _words(self, step) -> str:
        bound = f"ELBO {-step.loss:.2f}"
        if self._name != "ELBO" or step.beta != 1:
            name = f"beta {step.beta:g}" if self._name == "ELBO" else self._name
            bound = f"loss {step.loss:.2f} ({name})"
        kl = f"KL {step.kl:.2f}, " if step.terms.kl_per_dimension else ""
        rate = f"{step.images_per_second:,.0f} images/s"
        return f"reconstruction {step.reconstruction:.2f}, {kl}{bound}, {rate}"
