"""``vaewidgets train --model classifier``: from labelled images to a classifier with its figures."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

from vaewidgets.evaluation.classifier import as_sentence, figures_of
from vaewidgets.io import checkpoints
from vaewidgets.models.classifier import Classifier
from vaewidgets.training.classifier import ClassifierStep, fit_classifier
from vaewidgets.training.devices import ProcessGroup

from .progress import Signals, progress_bar
from .train_common import class_info, describe, held_out_name, load, prepare, round_to_half, split, store
from .train_options import OWN, CompleteOptions, command, given, recipe


def train(options: CompleteOptions) -> int:
    """Train a classifier, measure it and store it.

    It takes only minutes. So no state is written to go on from: if it ends early, what was learned is stored.

    Parameters
    ----------
    options : CompleteOptions

    Returns
    -------
    int
        The exit status: 0, 1 if the file could not be written, or 128 + the number of a signal.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError
        Something cannot be trained, measured or stored.
    """
    if options.atlas != OWN["atlas"]:
        raise ValueError("--atlas is not for --model classifier: it has no codes.")
    device, group = prepare(options, Classifier, fit_classifier)
    if group.size > 1:
        raise ValueError("one process trains a classifier: start it without torchrun.")
    data = load(options, quiet=False)
    if data.train.labels is None or not data.classes:
        raise ValueError(f"--model classifier needs labels, which {options.dataset} does not have.")
    splits = split(data, options.holdout, options.final)
    images, labels = splits.train.images, data.train.labels[: len(splits.train)]
    channels, height, width = images.shape[1:]
    config = {**given(options, Classifier), "seed": options.seed}
    model = Classifier((channels, height, width), len(data.classes), **config).to(device)
    stopped = _run_loop(
        fit_classifier(model, images, labels, **given(options, fit_classifier), seed=options.seed)
    )
    model.to("cpu")
    if options.half:
        round_to_half(model)
    settings = recipe(options, Classifier, fit_classifier)
    del settings["atlas"]  # a classifier has none
    info = describe(options, settings, command(options), device) | class_info(splits.measured.classes)
    if options.final and splits.validation is not None:
        info["validation"] = figures_of(model, splits.validation, held_out_name(options.holdout))
    figures = figures_of(model, splits.measured, splits.name)
    if stopped:
        info["stopped"] = stopped
    written = checkpoints.serialise(
        model, options.path, atlas=None, train_atlas=None, half=options.half, figures=figures, **info
    )
    place = store({options.path: written}, options.overwrite)
    print(as_sentence(figures))
    print(f"wrote {place} ({len(written) / 1e6:.3f} MB)")
    if place != options.path:
        return 1
    return 128 + signal.Signals[stopped["reason"]] if stopped else 0


def _run_loop(steps: Iterator[ClassifierStep]) -> dict[str, Any] | None:
    """Run the steps under a progress bar; say where a signal ended them, if one did."""
    with Signals(ProcessGroup()) as signals, progress_bar(desc="training", unit="step", leave=True) as bar:
        for step in steps:
            bar.total = step.total_steps
            if bar.update():  # only what is shown is read: a number that is read makes a GPU wait
                bar.set_postfix_str(f"epoch {step.epoch}, loss {step.loss:.4f}")
            number = signals.received()
            if number and step.step < step.total_steps:
                reason = signal.Signals(number).name
                return {"step": step.step, "total_steps": step.total_steps, "reason": reason}
    return None
