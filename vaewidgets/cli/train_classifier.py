"""``vaewidgets train --model classifier``: from labelled images to a judge that says how good it is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from typing import Any

import torch

from vaewidgets._version import __version__
from vaewidgets.evaluation.classifier import as_sentence, figures_of
from vaewidgets.io import checkpoints
from vaewidgets.models.classifier import Classifier
from vaewidgets.training.classifier import ClassifierStep, fit_classifier
from vaewidgets.training.devices import ProcessGroup, pick_device

from .progress import Signals
from .train_common import class_info, held_out_name, load, round_to_half, split, store
from .train_options import OWN, CompleteOptions, check_fits, command, dataset_name, given, recipe


def train(options: CompleteOptions) -> int:
    """Train, measure, store. Returns the exit status.

    It takes minutes, so where it ends early there is no state to go on from: what was learned is stored.

    Parameters
    ----------
    options : CompleteOptions
        Complete.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError
        What cannot be trained, measured or stored.
    """
    check_fits(options, Classifier, fit_classifier)
    if options.atlas != OWN["atlas"]:
        raise ValueError("--atlas is not for --model classifier: it has no codes.")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    if ProcessGroup.join(device).size > 1:
        raise ValueError("one process trains a classifier: start it without torchrun.")
    data = load(options, quiet=False)
    if data.train.labels is None or not data.classes:
        raise ValueError(f"--model classifier needs labels, which {options.dataset} does not have.")
    splits = split(data, options.holdout, options.final)
    labels = data.train.labels[: len(splits.train)]
    channels, height, width = data.train.images.shape[1:]
    shape = (channels, height, width)
    model = Classifier(shape, len(data.classes), **given(options, Classifier), seed=options.seed).to(device)
    steps = fit_classifier(
        model, splits.train.images, labels, **given(options, fit_classifier), seed=options.seed
    )
    stopped = _drive(steps)
    model.to("cpu")
    if options.half:
        round_to_half(model)
    info: dict[str, Any] = {
        "dataset": dataset_name(options.dataset),
        "recipe": _recipe(options),
        "command": command(options),
        "versions": {"vaewidgets": __version__, "torch": torch.__version__},
        "device": device.type,
        **class_info(splits.measured.classes),
    }
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


def _recipe(options: CompleteOptions) -> dict[str, Any]:
    values = recipe(options, Classifier, fit_classifier)
    return {name: value for name, value in values.items() if name != "atlas"}


def _drive(steps: Iterator[ClassifierStep]) -> dict[str, Any] | None:
    """Take the steps, under a bar; say where a signal ended them, if one did."""
    from tqdm import tqdm

    # A number that is read makes a device wait, and a log file wants few lines.
    pause = 0.25 if sys.stderr.isatty() else 10.0
    with Signals(ProcessGroup()) as signals, tqdm(desc="training", unit="step", mininterval=pause) as bar:
        for step in steps:
            bar.total = step.total_steps
            if bar.update():
                bar.set_postfix_str(f"epoch {step.epoch}, loss {step.loss:.4f}")
            number = signals.asked()
            if number and step.step < step.total_steps:
                reason = signal.Signals(number).name
                return {"step": step.step, "total_steps": step.total_steps, "reason": reason}
    return None
