"""``vaewidgets train`` for everything but classifiers: from the images to a checkpoint with its figures."""

from __future__ import annotations

import math
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from vaewidgets._utils import atomic_write
from vaewidgets._utils.text import truncate
from vaewidgets.data.dataset import Images
from vaewidgets.evaluation.metrics import encode_all, held_out_elbo
from vaewidgets.io import checkpoints
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import VAE, Autoencoder
from vaewidgets.training import resume
from vaewidgets.training.devices import ProcessGroup
from vaewidgets.training.loop import Training, fit
from vaewidgets.training.records import Diverged

from .progress import Progress, Signals, run_loop
from .train_common import (
    Splits,
    class_info,
    describe,
    held_out_name,
    load,
    prepare,
    round_to_half,
    split,
    store,
)
from .train_options import CompleteOptions, command, given, recipe

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Trainable

#: The kinds of models by their names for ``--model``.
KINDS: dict[str, type[VAE | Autoencoder | ConditionalVAE]] = {
    "vae": VAE,
    "ae": Autoencoder,
    "cvae": ConditionalVAE,
}

#: Most training images in the second atlas: as many as MNIST has test images.
TRAIN_ATLAS = 10_000


class End(NamedTuple):
    """How a training ended.

    Attributes
    ----------
    status : int
        The exit status of the command.
    reason : str or None
        Why it ended before its last step; None if it did not.
    unsaved : dict of Path to bytes
        A state that could not be written.

    Examples
    --------
    >>> End(130, "SIGINT").unsaved
    {}
    """

    status: int = 0
    reason: str | None = None
    unsaved: Mapping[Path, bytes] = {}


def train(options: CompleteOptions, state: resume.State | None) -> int:
    """Train a model, measure it and store it.

    Of several processes (torchrun) only the first prints, measures and writes; the others return 0. Each
    process looks at FILE and FILE.resume by itself, so that all are refused alike and none waits for another.

    Parameters
    ----------
    options : CompleteOptions
    state : State or None
        The unfinished training to go on with.

    Returns
    -------
    int
        The exit status: 0, 1 where it diverged or FILE could not be written, 128 + the number of a signal.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError
        Something cannot be trained, measured or stored.
    """
    device, group = prepare(options, VAE, fit)
    data = load(options, quiet=group.rank > 0)
    first_command = state.about["command"] if state else command(options)
    about = describe(options, recipe(options, VAE, fit), first_command, device)
    about["fingerprint"] = resume.fingerprint(
        data.train.images, data.train.labels if KINDS[options.model] is ConditionalVAE else None
    )
    splits = split(data, options.holdout, options.final)
    steps, notes = _begin(options, splits, len(data.classes), state, about)
    for note in () if group.rank else notes:
        print(note, file=sys.stderr)
    with Signals(group) as signals:
        end = _train(steps, signals, options, about, group)
        return 0 if group.rank else _finish(steps, options, about, splits, end)


def _begin(
    options: CompleteOptions, splits: Splits, classes: int, state: resume.State | None, about: dict[str, Any]
) -> tuple[Training, list[str]]:
    """Return the `Training`, at the step where `state` left it if there is one, and notes to print."""
    kind, images = KINDS[options.model], splits.train.images
    config: dict[str, Any] = {"image_shape": tuple(images.shape[1:]), **given(options, VAE)}
    keywords = {**given(options, fit), "device": options.device, "seed": options.seed}
    keywords["validation"] = splits.validation
    if kind is ConditionalVAE:
        if not classes:
            raise ValueError(f"--model cvae needs labels, which {options.dataset} does not have.")
        config["classes"], keywords["labels"] = classes, splits.train.labels
    if state is None:
        return fit(kind(**config, seed=options.seed), images, **keywords), []
    if state.about["fingerprint"] != about["fingerprint"]:
        raise ValueError(
            f"{state.path} was trained on other images than {options.dataset} now has: their SHA-256 should "
            f"be {state.about['fingerprint'][:16]}; got {about['fingerprint'][:16]}. Bring the images back, "
            "or begin anew with --overwrite."
        )
    resume.check_size(state, kind.__name__, config)
    try:
        steps = fit(kind(**config, seed=options.seed), images, **keywords)
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(
            f"{state.path} describes a training that cannot be run: {truncate(error)}."
        ) from error
    notes = []
    if not resume.restore(steps, state):
        notes.append(
            f"{state.path} is of another device ({state.about['device']}, this is {about['device']}): the "
            "noise begins anew."
        )
    if state.about["versions"] != about["versions"]:
        notes.append(f"{state.path} was begun with other versions: {state.about['versions']}.")
    return steps, notes


def _train(
    steps: Training, signals: Signals, options: CompleteOptions, about: dict[str, Any], group: ProcessGroup
) -> End:
    """Train; after a signal store the state at once, because measuring takes a while."""

    def state() -> dict[Path, bytes]:
        return {options.state_path: resume.serialise(steps.state(), about)}

    def save() -> None:
        try:
            atomic_write.write(state())
        except OSError as error:
            progress.say(f"cannot write {options.state_path}: {error}. The training goes on without it.")

    name = "ELBO"
    if options.model == "ae":
        name = "minus the reconstruction"
    elif options["iwae"] is not None:
        name = f"importance-weighted, {options['iwae']} samples"
    elif options["free_bits"]:
        name = f"free bits {options['free_bits']:g}"
    try:
        with Progress(about["recipe"]["epochs"], steps.step, name, quiet=group.rank > 0) as progress:
            seconds = 0 if group.rank else 60 * options.save_every
            number = run_loop(steps, signals, progress.show, save, seconds)
    except Diverged as error:
        return End(1, str(error))
    if not number:
        early = steps.step < steps.total_steps
        return End(0, f"no progress for {options['patience']} epochs" if early else None)
    end = End(128 + number, signal.Signals(number).name)
    if group.rank == 0:
        print(f"Stopped at step {steps.step} of {steps.total_steps}; storing what is there.", file=sys.stderr)
        unsaved = state()
        try:
            atomic_write.write(unsaved)
        except OSError:
            end = end._replace(unsaved=unsaved)  # once more, with the checkpoint
    # After the state was copied, because with --patience this gives the model its best weights.
    steps.close()
    return end


def _finish(
    steps: Training, options: CompleteOptions, about: dict[str, Any], splits: Splits, end: End
) -> int:
    """Measure the model, store it and print its figures; return the exit status."""
    model, out = steps.model, options.path
    if end.status == 1:
        print(f"vaewidgets train: {end.reason}", file=sys.stderr)
    if options.half:
        round_to_half(model)
    info = {name: value for name, value in about.items() if name != "fingerprint"}
    info |= class_info(splits.measured.classes)
    if options.final and splits.validation is not None:
        info["validation"] = _validation(steps, options, splits.validation, end)
    figures = _measure(model, splits.measured, splits.name)
    if end.reason is not None:
        info["stopped"] = {"step": steps.step, "total_steps": steps.total_steps, "reason": end.reason}
    data = checkpoints.serialise(
        model,
        out,
        atlas=_atlas(model, splits.measured) if options.atlas != "none" else None,
        train_atlas=_atlas(model, splits.train.take(slice(TRAIN_ATLAS))) if options.atlas == "both" else None,
        half=options.half,
        figures=figures,
        **info,
    )
    place = store({**end.unsaved, out: data}, options.overwrite or options.resume)
    print(
        f"held-out loss {figures['loss']:.2f} = {-figures['reconstruction']:.2f} for the reconstruction "
        f"+ {figures['kl']:.2f} KL, nats per image, mean over {figures['images']:,} images ({splits.name})"
    )
    print(f"wrote {place} ({len(data) / 1e6:.2f} MB)")
    if place != out:
        return 1
    if end.status > 1:
        print(f"vaewidgets train --resume --out {out} goes on from there.", file=sys.stderr)
    else:
        options.state_path.unlink(missing_ok=True)
    return end.status


def _validation(steps: Training, options: CompleteOptions, validation: Images, end: End) -> dict[str, Any]:
    """Measure the stored weights on the images that chose them, and name the epoch that these chose.

    The epoch is None if none was chosen: without ``--patience``, or after a training that diverged.
    """
    figures = _measure(steps.model, validation, held_out_name(options.holdout))
    chosen = options["patience"] is not None and end.status != 1
    return {name: figures[name] for name in ("loss", "images", "split", "seed")} | {
        "epoch": steps.best_epoch if chosen else None
    }


def _atlas(model: Trainable, images: Images) -> checkpoints.EncodedDataset:
    q = encode_all(model, images.images, labels=_known(model, images))
    return checkpoints.EncodedDataset(q.mu, q.logvar, images.labels)


def _known(model: Trainable, images: Images) -> Tensor | None:
    """Return the labels if the model is told them, as a ConditionalVAE is."""
    return images.labels if isinstance(model, ConditionalVAE) else None


def _measure(model: Trainable, images: Images, split: str, seed: int = 0) -> dict[str, Any]:
    """Measure the ELBO (beta = 1), of an autoencoder the reconstruction; in nats per held-out image."""
    terms = held_out_elbo(model, images.images, labels=_known(model, images), seed=seed)
    # In float64: a sum of ten thousand float32 numbers loses its last digits.
    reconstruction, kl = terms.reconstruction.cpu().double().mean().item(), terms.kl.cpu().double().mean(0)
    loss = kl.sum().item() - reconstruction
    if not math.isfinite(loss):
        raise RuntimeError(f"the held-out loss is {loss}; nothing is stored. Try a smaller --lr.")
    return {
        "loss": round(loss, 4),
        "reconstruction": round(reconstruction, 4),
        "kl": round(kl.sum().item(), 4),
        "kl_per_dimension": [round(value, 4) for value in kl.tolist()],
        "images": len(images),
        "split": split,
        "seed": seed,
    }
