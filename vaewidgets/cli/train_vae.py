"""``vaewidgets train`` once its words are known: from the images to a checkpoint that says how good it is."""

from __future__ import annotations

import math
import signal
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from vaewidgets._utils import atomic_write
from vaewidgets._utils.text import brief, tame_lines
from vaewidgets._version import __version__
from vaewidgets.data.dataset import Images
from vaewidgets.data.load import load_data
from vaewidgets.evaluation.metrics import encode_all, held_out_elbo
from vaewidgets.io import checkpoints
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import VAE, Autoencoder
from vaewidgets.training import resume
from vaewidgets.training.devices import Team, pick_device
from vaewidgets.training.fit import fit
from vaewidgets.training.records import Diverged

from .progress import Progress, Signals, drive
from .train_options import check_fits, command, dataset_name, given, recipe, resume_path

#: By what ``--model`` calls them.
KINDS = {"vae": VAE, "ae": Autoencoder, "cvae": ConditionalVAE}

_OPTIONS = {"on_error='skip'": "--skip-corrupt", "size=": "--size", "root=": "--data", "white=": "--white"}

#: Characters of the names of all classes that go into a file's header, which is bounded itself.
MOST_NAMES = 2**16

#: Training images in the second atlas: as many as MNIST has test images.
TRAIN_ATLAS = 10_000


class Splits(NamedTuple):
    """Which images a training uses, and for what.

    Attributes
    ----------
    train : Images
    validation : Images or None
        Those of ``--holdout``, measured after every epoch.
    measured : Images
        Those that the file's figures are of.
    name : str
        Of the latter: "test" or "train[-N:]".
    """

    train: Images
    validation: Images | None
    measured: Images
    name: str


class End(NamedTuple):
    """How a training ended.

    Attributes
    ----------
    status : int
        The exit status it asks for.
    reason : str or None
        Why before its last step.
    unsaved : dict of Path to bytes
        The state that could not be written yet.
    """

    status: int = 0
    reason: str | None = None
    unsaved: Mapping[Path, bytes] = {}


def train(args, out: Path, state: resume.State | None) -> int:
    """Train, measure, store. Returns the exit status.

    Of several processes (torchrun) the first alone speaks, measures and writes; the others return 0.
    Each looks at FILE and FILE.resume itself, so that all are refused alike and none waits for the others.

    Parameters
    ----------
    args : Namespace
        The options of `train_options.add_arguments`, complete.
    out : Path
    state : State or None
        What to go on from.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError
        What cannot be trained, measured or stored.
    """
    check_fits(args, VAE, fit)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    team = Team.join(device)
    data = load(args, quiet=team.rank > 0)
    about = {
        "dataset": dataset_name(args.dataset),
        "recipe": recipe(args, VAE, fit),
        "command": state.about["command"] if state else command(args),
        "versions": {"vaewidgets": __version__, "torch": torch.__version__},
        "device": device.type,
        "fingerprint": resume.fingerprint(
            data.train.images, data.train.labels if KINDS[args.model] is ConditionalVAE else None
        ),
    }
    splits = split(data, args.holdout, args.final)
    steps, notes = _begin(args, splits, len(data.classes), state, about)
    for note in () if team.rank else notes:
        print(note, file=sys.stderr)
    with Signals(team) as signals:
        end = _train(steps, signals, args, out, about, team)
        if team.rank == 0:
            end = end._replace(status=_finish(steps, args, out, about, splits, end))
    return end.status if team.rank == 0 else 0


def load(args, quiet: bool):
    """Load the dataset; say what was made of it, and on standard error what of that is in doubt."""
    chosen = {}
    if args.size is not None:
        chosen["size"] = args.size[0] if len(args.size) == 1 else tuple(args.size)
    if args.channels is not None:
        chosen["channels"] = args.channels
    if args.white is not None:
        chosen["white"] = args.white
    if args.skip_corrupt:
        chosen["on_error"] = "skip"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            data = load_data(args.dataset, root=args.data, **chosen)
        except (ValueError, RuntimeError) as error:
            raise type(error)(_with_hints(error)) from error
    for warning in () if quiet else caught:
        print(f"vaewidgets train: {tame_lines(_with_hints(warning.message))}", file=sys.stderr)
    if not quiet:
        print(data.report)
    return data


def _with_hints(said) -> str:
    """Add to what `load_data` says how the command line calls the arguments that it names."""
    hints = [f"{word} is {option}" for word, option in _OPTIONS.items() if word in str(said)]
    return f"{said} Here {', '.join(hints)}." if hints else str(said)


def split(data, holdout: int, final: bool) -> Splits:
    if not holdout:
        return Splits(data.train, None, data.test, "test")
    if not 0 < holdout < len(data.train):
        raise ValueError(f"--holdout must leave images on both sides of {len(data.train)}; got {holdout}.")
    train, validation = data.train.take(slice(-holdout)), data.train.take(slice(-holdout, None))
    measured = (data.test, "test") if final else (validation, held_out_name(holdout))
    return Splits(train, validation, *measured)


def held_out_name(holdout: int) -> str:
    return f"train[-{holdout}:]"


def _begin(args, splits: Splits, classes: int, state: resume.State | None, about: dict):
    """Return the `Training`, where `state` left it if there is one, and what is to be said of that."""
    kind, images = KINDS[args.model], splits.train.images
    config = {"image_shape": tuple(images.shape[1:]), **given(args, VAE)}
    keywords = {**given(args, fit), "device": args.device, "seed": args.seed}
    keywords["validation"] = splits.validation
    if kind is ConditionalVAE:
        if not classes:
            raise ValueError(f"--model cvae needs labels, which {args.dataset} does not have.")
        config["classes"], keywords["labels"] = classes, splits.train.labels
    if state is None:
        return fit(kind(**config, seed=args.seed), images, **keywords), []
    if state.about["fingerprint"] != about["fingerprint"]:
        raise ValueError(
            f"{state.path} was trained on other images than {args.dataset} now has: their SHA-256 should be "
            f"{state.about['fingerprint'][:16]}; got {about['fingerprint'][:16]}. Bring the images back, or "
            "begin anew with --overwrite."
        )
    resume.check_size(state, kind.__name__, config)
    try:
        steps = fit(kind(**config, seed=args.seed), images, **keywords)
    except (TypeError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
        raise ValueError(f"{state.path} describes a training that cannot be run: {brief(error)}.") from error
    notes = []
    if not resume.restore(steps, state):
        notes.append(
            f"{state.path} is of another device ({state.about['device']}, this is {about['device']}): the "
            "noise begins anew."
        )
    if state.about["versions"] != about["versions"]:
        notes.append(f"{state.path} was begun with other versions: {state.about['versions']}.")
    return steps, notes


def _train(steps, signals: Signals, args, out: Path, about: dict, team: Team) -> End:
    """Take the steps; after a signal store the state at once, since measuring takes its time."""

    def state() -> dict[Path, bytes]:
        return {resume_path(out): resume.serialise(steps.state(), about)}

    def save() -> None:
        try:
            atomic_write.write(state())
        except OSError as error:
            progress.say(f"cannot write {resume_path(out)}: {error}. The training goes on without it.")

    name = "ELBO"
    if args.model == "ae":
        name = "minus the reconstruction"
    elif args.iwae is not None:
        name = f"importance-weighted, {args.iwae} samples"
    elif args.free_bits:
        name = f"free bits {args.free_bits:g}"
    try:
        with Progress(about["recipe"]["epochs"], steps.step, name, quiet=team.rank > 0) as progress:
            seconds = 0 if team.rank else 60 * args.save_every
            number = drive(steps, signals, progress.show, save, seconds)
    except Diverged as error:
        return End(1, str(error))
    if not number:
        early = steps.step < steps.total_steps
        return End(0, f"no progress for {args.patience} epochs" if early else None)
    end = End(128 + number, signal.Signals(number).name)
    if team.rank == 0:
        print(f"Stopped at step {steps.step} of {steps.total_steps}; storing what is there.", file=sys.stderr)
        unsaved = state()
        try:
            atomic_write.write(unsaved)
        except OSError:
            end = end._replace(unsaved=unsaved)  # once more, with the checkpoint
    # Only after the state was copied: with a patience, the model gets its best weights.
    steps.close()
    return end


def _finish(steps, args, out: Path, about: dict, splits: Splits, end: End) -> int:
    """Measure the model and store it. Returns the exit status."""
    model = steps.model
    if end.status == 1:
        print(f"vaewidgets train: {end.reason}", file=sys.stderr)
    if args.half:
        round_to_half(model)
    info = {name: value for name, value in about.items() if name != "fingerprint"}
    info |= class_info(splits.measured.classes)
    if args.final:
        info["validation"] = _validation(steps, args, splits, end)
    figures = _measure(model, splits.measured, splits.name)
    atlas = _atlas(model, splits.measured) if args.atlas != "none" else None
    train_atlas = _atlas(model, splits.train.take(slice(TRAIN_ATLAS))) if args.atlas == "both" else None
    if end.reason is not None:
        info["stopped"] = {"step": steps.step, "total_steps": steps.total_steps, "reason": end.reason}
    data = checkpoints.serialise(
        model, out, atlas=atlas, train_atlas=train_atlas, half=args.half, figures=figures, **info
    )
    place = store({**end.unsaved, out: data}, args.overwrite or args.resume)
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
        resume_path(out).unlink(missing_ok=True)
    return end.status


def class_info(classes: tuple[str, ...]) -> dict:
    """Return what a file says of its classes: nothing of plain numbers, or where it would be too much."""
    plain = classes == tuple(map(str, range(len(classes))))
    return {} if plain or sum(map(len, classes)) > MOST_NAMES else {"classes": list(classes)}


def _validation(steps, args, splits: Splits, end: End) -> dict:
    """Say how good the stored weights are on the images that chose them, and which epoch those chose.

    The epoch is None where none was chosen: without a patience, or where the training diverged.
    """
    figures = _measure(steps.model, splits.validation, held_out_name(args.holdout))
    chosen = args.patience is not None and end.status != 1
    kept = {name: figures[name] for name in ("loss", "images", "split", "seed")}
    return kept | {"epoch": steps.best_epoch if chosen else None}


def _atlas(model, images: Images) -> checkpoints.Atlas:
    return checkpoints.Atlas(*encode_all(model, images.images, labels=_known(model, images)), images.labels)


def _known(model, images: Images):
    """Return what a model is told beside the images: of a ConditionalVAE the labels."""
    return images.labels if isinstance(model, ConditionalVAE) else None


def store(files: Mapping[Path, bytes], overwrite: bool) -> Path:
    """Write files, the checkpoint last; where that fails, in the system's temporary folder.

    Parameters
    ----------
    files : mapping of Path to bytes
    overwrite : bool
        False: where a checkpoint has come up in the meantime, it stays.

    Returns
    -------
    Path
        Of the checkpoint.
    """
    out = list(files)[-1]
    try:
        atomic_write.write({path: data for path, data in files.items() if path != out})
        atomic_write.write({out: files[out]}, overwrite)
        return out
    except OSError as error:
        size = sum(map(len, files.values()))
        said = f"cannot write {out} ({size:,} bytes): {error}."
    try:
        folder = Path(tempfile.mkdtemp(prefix="vaewidgets-"))
        atomic_write.write({folder / path.name: data for path, data in files.items()})
    except OSError as error:
        raise OSError(
            f"{said} Nor in the temporary folder {tempfile.gettempdir()}: {error}. Nothing is stored."
        ) from error
    print(
        f"vaewidgets train: {said} It lies in {folder} instead: make room, or make the folder writable, and "
        "move it.",
        file=sys.stderr,
    )
    return folder / out.name


def round_to_half(model) -> None:
    """Round the weights in place to what float16 can hold, so that what is measured is what is stored."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def _measure(model, images: Images, split: str, seed: int = 0) -> dict:
    """Measure the bound itself (beta = 1), of an autoencoder the reconstruction; nats per held-out image."""
    terms = held_out_elbo(model, images.images, labels=_known(model, images), seed=seed)
    # In double: ten thousand float32 numbers lose their last digits in a sum.
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
