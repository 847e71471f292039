"""``vaewidgets train``: check the options, then train and store."""

from __future__ import annotations

import math
import os
from contextlib import nullcontext

from vaewidgets._constants import NAMED
from vaewidgets._utils import atomic_write

from .train_options import SUFFIX, TrainOptions, add_arguments, as_options

__all__ = ["add_arguments", "run"]


def run(args) -> int:
    """Train a model, measure it on held-out images and store both.

    Parameters
    ----------
    args : argparse.Namespace
        The options that `add_arguments` adds.

    Returns
    -------
    int
        The exit status: 0, 1 where it diverged or FILE could not be written, 128 + the number of a signal.

    Raises
    ------
    ValueError, RuntimeError, OSError
        Something cannot be trained, measured or stored; the message names the options.
    """
    asked = TrainOptions.of(args)
    _check_asked(asked)
    # Of several processes (torchrun) only the first writes.
    with atomic_write.claim(asked.path) if os.environ.get("RANK", "0") == "0" else nullcontext():
        try:
            return _run(asked)
        except (TypeError, ValueError) as error:
            raise ValueError(as_options(str(error))) from error


def _run(asked: TrainOptions) -> int:
    _check_place(asked)
    # Imported only now: it takes seconds, and what is refused is refused at once.
    from vaewidgets.training import resume

    from . import train_classifier, train_vae

    state = resume.read(asked.state_path) if asked.resume else None
    options = asked.complete(state)
    if options.model == "classifier":
        return train_classifier.train(options)
    return train_vae.train(options, state)


def _check_asked(asked: TrainOptions) -> None:
    """Refuse options that contradict each other, before any work."""
    if not asked.save_every >= 0 or math.isinf(asked.save_every):
        raise ValueError(f"--save-every must be minutes, 0 for never; got {asked.save_every}.")
    if asked.resume:
        if asked.overwrite:
            raise ValueError("--resume goes on with a training, --overwrite begins anew: give one of them.")
        return
    if asked.dataset is None:
        raise ValueError(f"name what to train on: {', '.join(NAMED)}, a folder of images or an .npz file.")
    if asked.final and not asked.holdout:
        raise ValueError(
            "--final lets images held out of the training ones choose and measures on the test images: say "
            "how many with --holdout N. Without both options the test images are measured anyway."
        )
    if asked["patience"] is not None and not asked.holdout:
        raise ValueError("--patience waits for progress on images held out: say how many with --holdout N.")


def _check_place(asked: TrainOptions) -> None:
    """Refuse to begin where a training has already left files, and to go on where none has."""
    if asked.resume:
        if not asked.state_path.is_file():
            raise FileNotFoundError(
                f"{asked.state_path}: no such file, so nothing to resume. It lies beside FILE while a "
                "training is unfinished; without --resume one begins."
            )
        atomic_write.check_free(asked.path, True)
        return
    if asked.path.suffix != SUFFIX:
        raise ValueError(
            f"--out must end in {SUFFIX}, by which evaluate and export know a file; got {asked.path.name}."
        )
    atomic_write.check_free(asked.path, asked.overwrite)
    if asked.state_path.exists() and not asked.overwrite:
        raise FileExistsError(
            f"{asked.state_path} exists already: a training that ended early. Go on with it by --resume, or "
            "begin anew with --overwrite."
        )
