"""The state file beside an unfinished checkpoint: all that ``vaewidgets train --resume`` needs to continue.

It is a safetensors file with a JSON header, like a checkpoint, and not trusted: all that is read is checked.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from safetensors.torch import save as to_bytes
from torch import Tensor

from vaewidgets._utils.safe_open import safe_open
from vaewidgets._utils.text import sanitize_json, truncate
from vaewidgets.io.checkpoints import empty_model, read_header, read_tensors, shape_mismatch_error

from .records import Snapshot

if TYPE_CHECKING:
    from .loop import Training

FORMAT, KIND = 1, "Training"

#: The header's entries beside the numbers of the `Snapshot`, and their types.
_ABOUT: dict[str, type] = {
    "recipe": dict, "dataset": str, "command": str, "fingerprint": str, "device": str, "versions": dict,
}  # fmt: skip


class State(NamedTuple):
    """The contents of a state file; its header has been checked.

    Attributes
    ----------
    path : Path
    about : dict
        recipe, dataset, command, fingerprint, device and versions of the run.
    numbers : dict
    tensors : dict of str to Tensor
        Both of the `Snapshot`.
    """

    path: Path
    about: dict[str, Any]
    numbers: dict[str, Any]
    tensors: dict[str, Tensor]


def fingerprint(images: Tensor, labels: Tensor | None = None) -> str:
    """Compute the SHA-256 of images, and of labels if there are any: equal only for the same data.

    Parameters
    ----------
    images : Tensor of shape (N, C, H, W), float32
    labels : Tensor of shape (N,), optional

    Returns
    -------
    str
        64 hexadecimal digits.

    Examples
    --------
    >>> import torch
    >>> fingerprint(torch.zeros(2, 1, 4, 4)) == fingerprint(torch.zeros(1, 1, 8, 4))
    False
    """
    digest = hashlib.sha256(repr(tuple(images.shape)).encode())
    for tensor in (images,) if labels is None else (images, labels):
        digest.update(memoryview(tensor.contiguous().numpy().data).cast("B"))
    return digest.hexdigest()


def serialise(snapshot: Snapshot, about: dict[str, Any]) -> bytes:
    """Make the bytes of a state file.

    Parameters
    ----------
    snapshot : Snapshot
        From `Training.state`.
    about : dict
        The other entries of the header; see `State`.
    """
    # JSON has no infinity, which is the best loss before anything was measured.
    numbers = {name: None if value == math.inf else value for name, value in snapshot.numbers.items()}
    header = {"format": FORMAT, "kind": KIND, "numbers": numbers, **about}
    tensors = {name: tensor.contiguous() for name, tensor in snapshot.tensors.items()}
    return to_bytes(tensors, {"vaewidgets": json.dumps(header, allow_nan=False)})


def read(path: Path) -> State:
    """Read a state file.

    Raises
    ------
    ValueError
        It is no state file of this package, damaged, cut short, or of a future version.
    OSError
        It does not exist, may not be read, or is no regular file.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> run = vw.fit(vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(20, 1, 8, 8))
    >>> about = {name: kind() for name, kind in _ABOUT.items()}
    >>> path = Path("run.state")
    >>> path.write_bytes(serialise(run.state(), about)) > 0
    True
    >>> read(path).numbers["step"]
    0
    """
    with safe_open(path) as file:
        entries, header, text = read_header(path, file)
        numbers = _check_header(path, header)
        tensors = read_tensors(path, file, entries, text)
    return State(path, {name: sanitize_json(header[name]) for name in _ABOUT}, numbers, tensors)


def _check_header(path: Path, header: Any) -> dict[str, Any]:
    """Return the numbers of a state file; raise ValueError if the header is wrong."""
    if not isinstance(header, dict) or header.get("kind") != KIND or type(header.get("format")) is not int:
        raise ValueError(
            f"{path} is no state of an unfinished vaewidgets train; --resume takes nothing else."
        )
    if header["format"] != FORMAT:
        raise ValueError(
            f"{path} has state format {truncate(header['format'])}; this vaewidgets reads {FORMAT}: "
            "finish it with the version that began it."
        )
    numbers = header.get("numbers")
    if not isinstance(numbers, dict) or not all(_is_number(n, v) for n, v in numbers.items()):
        raise ValueError(
            f"{path} is damaged: expected finite numbers of where training is; got {truncate(repr(numbers))}."
        )
    for name, kind in _ABOUT.items():
        if not isinstance(header.get(name), kind):
            raise ValueError(f"{path} is damaged: its {name} should be a {kind.__name__}.")
    return numbers


def check_size(state: State, kind: str, config: dict[str, Any]) -> None:
    """Raise ValueError unless the recipe's model is the one in the file, before memory is allocated for it.

    Parameters
    ----------
    state : State
    kind : str
        Name of the model's class.
    config : dict
        Arguments of its constructor.
    """
    # As JSON would give it: `empty_model` checks the sizes in lists.
    config = {name: list(v) if isinstance(v, tuple) else v for name, v in config.items()}
    model = empty_model(state.path, {"kind": kind, "config": config, "info": {}}, len(state.tensors))
    expected = {f"model.{name}": list(tensor.shape) for name, tensor in model.state_dict().items()}
    found = {name: list(t.shape) for name, t in state.tensors.items() if name.startswith("model.")}
    if found != expected:
        raise shape_mismatch_error(state.path, "recipe", found, expected)


def restore(training: Training, state: State) -> bool:
    """Restore a `Training` from a state file; return whether its steps will be those of an uninterrupted run.

    They will not be on another kind of device, whose generators have other states: the noise is drawn from a
    new seed then.

    Raises
    ------
    ValueError
        The state does not fit the training, or is damaged.
    """
    try:
        tensors = dict(state.tensors)
        same: bool = next(training.model.parameters()).device.type == state.about["device"]
        if not same:
            training.reseed(state.numbers["seen"])
        own = training.state()
        if not same:
            tensors["noise"] = own.tensors["noise"]
        numbers: dict[str, Any] = {
            name: own.numbers.get(name) if v is None else v for name, v in state.numbers.items()
        }
        # The arguments in the snapshot are the training's own, since the recipe is the same.
        training.restore(own._replace(tensors=tensors, numbers=numbers))
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{state.path} is damaged or of another training: {truncate(error)}.") from error
    return same


def _is_number(name: str, value: Any) -> bool:
    if name == "best_loss" and value is None:
        return True
    kinds = (int,) if name in ("step", "seen", "stale") else (int, float)
    in_range = type(value) in kinds and abs(value) < 2**53
    return in_range and math.isfinite(value) and (name == "best_loss" or value >= 0)
