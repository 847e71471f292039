"""What every ``vaewidgets train`` does before its training and after it: load, split, store."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vaewidgets._utils import atomic_write
from vaewidgets._utils.text import sanitize_lines
from vaewidgets.data.dataset import Dataset, Images
from vaewidgets.data.load import load_data

from .train_options import CompleteOptions

if TYPE_CHECKING:
    from torch import nn

_OPTIONS = {"on_error='skip'": "--skip-corrupt", "size=": "--size", "root=": "--data", "white=": "--white"}

#: Characters of the names of all classes that go into a file's header, which is bounded itself.
MOST_NAMES = 2**16


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


def load(options: CompleteOptions, quiet: bool) -> Dataset:
    """Load the dataset; say what was made of it, and on standard error what of that is in doubt."""
    chosen: dict[str, Any] = {}
    if options.size is not None:
        chosen["size"] = options.size[0] if len(options.size) == 1 else tuple(options.size)
    if options.channels is not None:
        chosen["channels"] = options.channels
    if options.white is not None:
        chosen["white"] = options.white
    if options.skip_corrupt:
        chosen["on_error"] = "skip"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            data = load_data(options.dataset, root=options.data, **chosen)
        except (ValueError, RuntimeError) as error:
            raise type(error)(_with_hints(error)) from error
    for warning in () if quiet else caught:
        print(f"vaewidgets train: {sanitize_lines(_with_hints(warning.message))}", file=sys.stderr)
    if not quiet:
        print(data.report)
    return data


def _with_hints(said: object) -> str:
    """Add to what `load_data` says how the command line calls the arguments that it names."""
    hints = [f"{word} is {option}" for word, option in _OPTIONS.items() if word in str(said)]
    return f"{said} Here {', '.join(hints)}." if hints else str(said)


def split(data: Dataset, holdout: int, final: bool) -> Splits:
    """Hold the last `holdout` training images out; without them the test images are measured."""
    if not holdout:
        return Splits(data.train, None, data.test, "test")
    if not 0 < holdout < len(data.train):
        raise ValueError(f"--holdout must leave images on both sides of {len(data.train)}; got {holdout}.")
    train, validation = data.train.take(slice(-holdout)), data.train.take(slice(-holdout, None))
    measured = (data.test, "test") if final else (validation, held_out_name(holdout))
    return Splits(train, validation, *measured)


def held_out_name(holdout: int) -> str:
    """Name the images that were held out, as a file's figures do."""
    return f"train[-{holdout}:]"


def class_info(classes: tuple[str, ...]) -> dict[str, Any]:
    """Return what a file says of its classes: nothing of plain numbers, or where it would be too much."""
    plain = classes == tuple(map(str, range(len(classes))))
    return {} if plain or sum(map(len, classes)) > MOST_NAMES else {"classes": list(classes)}


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


def round_to_half(model: nn.Module) -> None:
    """Round the weights in place to what float16 can hold, so that what is measured is what is stored."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
