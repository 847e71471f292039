"""What ``vaewidgets train`` does for every kind of model: load and split the images, store the checkpoint."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from vaewidgets._utils import atomic_write
from vaewidgets._utils.text import sanitize_lines
from vaewidgets._version import __version__
from vaewidgets.data.dataset import Dataset, Images
from vaewidgets.data.load import load_data
from vaewidgets.training.devices import ProcessGroup, pick_device

from .train_options import CompleteOptions, check_fits, dataset_name

#: Arguments of `load_data` that its messages name, and the options for them.
_OPTIONS = {"on_error='skip'": "--skip-corrupt", "size=": "--size", "root=": "--data", "white=": "--white"}

#: Most characters of all class names together in a file's header, whose size is limited.
MOST_NAMES = 2**16


class Splits(NamedTuple):
    """Which images a training uses, and for what.

    Attributes
    ----------
    train : Images
    validation : Images or None
        The images of ``--holdout``, measured after every epoch.
    measured : Images
        The images that the figures in the file are measured on.
    name : str
        The name of `measured`: "test" or "train[-N:]".
    """

    train: Images
    validation: Images | None
    measured: Images
    name: str


def prepare(options: CompleteOptions, *functions: Callable[..., object]) -> tuple[torch.device, ProcessGroup]:
    """Check that the functions take all options, set the number of threads, and meet the other processes.

    Raises
    ------
    ValueError
        An option is not for this kind of model, or this machine has no such device.
    """
    check_fits(options, *functions)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = pick_device(options.device)
    return device, ProcessGroup.join(device)


def describe(
    options: CompleteOptions, recipe: dict[str, Any], command: str, device: torch.device
) -> dict[str, Any]:
    """Return what a checkpoint states about its training."""
    return {
        "dataset": dataset_name(options.dataset),
        "recipe": recipe,
        "command": command,
        "versions": {"vaewidgets": __version__, "torch": torch.__version__},
        "device": device.type,
    }


def load(options: CompleteOptions, quiet: bool) -> Dataset:
    """Load the dataset of ``vaewidgets train``; print its report, and its warnings on standard error.

    Parameters
    ----------
    options : CompleteOptions
    quiet : bool
        Print nothing.

    Raises
    ------
    ValueError, RuntimeError, OSError
        As of `load_data`, in terms of the command line.
    """
    size: Any = options.size and (options.size[0] if len(options.size) == 1 else tuple(options.size))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            data = load_data(
                options.dataset,
                root=options.data,
                size=size,
                channels=options.channels,
                on_error="skip" if options.skip_corrupt else "refuse",
                white=options.white,
            )
        except (ValueError, RuntimeError) as error:
            raise type(error)(_with_hints(error)) from error
    if not quiet:
        for warning in caught:
            print(f"vaewidgets train: {sanitize_lines(_with_hints(warning.message))}", file=sys.stderr)
        print(data.report)
    return data


def _with_hints(said: object) -> str:
    """Add to a message of `load_data` the options for the arguments that it names."""
    hints = [f"{word} is {option}" for word, option in _OPTIONS.items() if word in str(said)]
    return f"{said} Here {', '.join(hints)}." if hints else str(said)


def split(data: Dataset, holdout: int, final: bool) -> Splits:
    """Hold out the last `holdout` training images.

    Parameters
    ----------
    data : Dataset
    holdout : int
        0: none; then the test images are measured.
    final : bool
        Measure on the test images although there are held-out ones.

    Raises
    ------
    ValueError
        No image would be left to train on, or `holdout` is negative.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> splits = split(vw.load_data("digits"), holdout=137, final=False)
    >>> len(splits.train), len(splits.measured), splits.name
    (1300, 137, 'train[-137:]')
    """
    if not holdout:
        return Splits(data.train, None, data.test, "test")
    if not 0 < holdout < len(data.train):
        raise ValueError(f"--holdout must leave images on both sides of {len(data.train)}; got {holdout}.")
    train, validation = data.train.take(slice(-holdout)), data.train.take(slice(-holdout, None))
    measured = (data.test, "test") if final else (validation, held_out_name(holdout))
    return Splits(train, validation, *measured)


def held_out_name(holdout: int) -> str:
    """Return the name that files give the held-out images.

    Examples
    --------
    >>> held_out_name(100)
    'train[-100:]'
    """
    return f"train[-{holdout}:]"


def class_info(classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what a file states about its classes: nothing if they are 0, 1, ... or their names too long.

    Examples
    --------
    >>> class_info(("cat", "dog")), class_info(("0", "1"))
    ({'classes': ['cat', 'dog']}, {})
    """
    plain = classes == tuple(map(str, range(len(classes))))
    return {} if plain or sum(map(len, classes)) > MOST_NAMES else {"classes": list(classes)}


def store(files: Mapping[Path, bytes], overwrite: bool) -> Path:
    """Write files, the checkpoint last; if that fails, into the system's temporary folder.

    Parameters
    ----------
    files : mapping of Path to bytes
        The last one is the checkpoint.
    overwrite : bool
        False: a checkpoint that another program has written in the meantime stays.

    Returns
    -------
    Path
        Where the checkpoint is.

    Raises
    ------
    OSError
        The temporary folder cannot be written either.

    Examples
    --------
    >>> store({Path("m.safetensors"): b"..."}, overwrite=False).name
    'm.safetensors'
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


def round_to_half(model: nn.Module) -> None:
    """Round the weights in place to float16, so that the stored weights are those that are measured.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0)
    >>> round_to_half(model)
    >>> bool((model.mu.weight == model.mu.weight.half()).all())
    True
    """
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
