"""Checkpoints: safetensors with a JSON header. Nothing is unpickled; sizes are checked before allocation."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vaewidgets._utils import old_names
from vaewidgets._utils.atomic_write import write
from vaewidgets._utils.safe_open import safe_open, size_of
from vaewidgets._utils.text import sanitize, truncate
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import VAE, Autoencoder, unwrap_arguments

FORMAT = 1
KINDS = {cls.__name__: cls for cls in (VAE, Autoencoder, ConditionalVAE, Classifier)}
Model = VAE | Autoencoder | ConditionalVAE | Classifier
_HEADER_LIMIT = 2**20
_WEIGHTS = "model."
#: The attributes of a model that hold an `EncodedDataset`, and the prefix of its tensors' names in the file.
_ATLASES = {"atlas": "atlas.", "train_atlas": "train_atlas."}
_DTYPES = {"F16", "BF16", "F32", "F64"}


class EncodedDataset(NamedTuple):
    """The codes of a set of images, which the map shows without the images.

    ``model.atlas`` is of held-out images, ``model.train_atlas`` of training images.

    Attributes
    ----------
    mu, logvar : Tensor of shape (N, d)
        For an autoencoder mu holds the codes and logvar is None.
    labels : Tensor of shape (N,), int64, or None

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0)
    >>> q = model.encode(torch.zeros(5, 1, 8, 8))
    >>> model.atlas = vw.checkpoints.EncodedDataset(q.mu.detach(), q.logvar.detach(), torch.arange(5))
    """

    mu: Tensor
    logvar: Tensor | None
    labels: Tensor | None


def save(
    model: Model,
    path: str | os.PathLike[str],
    *,
    atlas: EncodedDataset | None = None,
    train_atlas: EncodedDataset | None = None,
    half: bool = False,
    **info: Any,
) -> None:
    """Write a model to one file, atomically: an interrupted save leaves the old file as it was.

    Parameters
    ----------
    model : VAE, Autoencoder, ConditionalVAE or Classifier
        Its atlases and info are written too, if it has them.
    path : path
    atlas, train_atlas : EncodedDataset, optional
        In place of the model's own.
    half : bool
        Store weights and atlases as float16: half the size, about three significant digits.
    **info
        Anything that JSON can hold (dataset, recipe, figures, command), added to ``model.info``. Panels show
        the names in ``classes``, a list of str, for the labels of the atlas.

    Raises
    ------
    TypeError
        A model of another kind.
    ValueError
        info is not JSON, or too large; an atlas that does not fit the model; layers that the model's config
        does not describe, so that `load` could not make them.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.save(vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), "m.safetensors", dataset="mine")
    >>> vw.load("m.safetensors").info
    {'dataset': 'mine'}
    """
    write({Path(path): serialise(model, path, atlas=atlas, train_atlas=train_atlas, half=half, **info)})


@unwrap_arguments
def serialise(
    model: Model,
    path: str | os.PathLike[str],
    *,
    atlas: EncodedDataset | None,
    train_atlas: EncodedDataset | None,
    half: bool,
    **info: Any,
) -> bytes:
    """Return the bytes that `save` writes. It takes the parameters of `save` and raises its errors.

    `path` only names the file in messages.
    """
    kind = next((name for name, cls in KINDS.items() if type(model) is cls), None)
    if kind is None:
        raise TypeError(f"save takes a {' or '.join(KINDS)}; got {type(model).__name__}.")
    _check_structure(model)
    header = {"format": FORMAT, "kind": kind, "config": model.config, "info": {**get_info(model), **info}}
    try:
        text = json.dumps(header, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"info must be plain JSON: {error}.") from error
    tensors = {_WEIGHTS + name: tensor for name, tensor in model.state_dict().items()}
    for attribute, given in (("atlas", atlas), ("train_atlas", train_atlas)):
        own = given if given is not None else getattr(model, attribute, None)
        if own is not None:
            prefix = _ATLASES[attribute]
            tensors |= {prefix + name: tensor for name, tensor in own._asdict().items() if tensor is not None}
    _check_atlases(path, {name: {"shape": list(t.shape)} for name, t in tensors.items()}, model)
    dtype = torch.float16 if half else None
    # Copies, because safetensors refuses two tensors that share memory.
    tensors = {
        name: t.detach().to("cpu", dtype if t.is_floating_point() else None, copy=True).contiguous()
        for name, t in tensors.items()
    }
    for prefix in _ATLASES.values():
        labels = tensors.get(f"{prefix}labels")
        if labels is not None and ((labels >= 0) & (labels < 256)).all():
            tensors[f"{prefix}labels"] = labels.to(torch.uint8)
    data = to_bytes(tensors, {"vaewidgets": text})
    if int.from_bytes(data[:8], "little") > _HEADER_LIMIT:
        raise ValueError(
            f"info is too large: the header would exceed the {_HEADER_LIMIT} bytes that load reads."
        )
    return data


def _check_structure(model: Model) -> None:
    """Raise ValueError unless `load` would make the same model from its config and its weights."""
    parts, expected = (
        {name: f"{type(part).__name__}({part.extra_repr()})" for name, part in each.named_modules() if name}
        for each in (model, _without_weights(type(model), model.config))
    )
    for name in (*expected, *parts):
        if parts.get(name) != expected.get(name):
            raise ValueError(
                f"model.{name} is {parts.get(name, 'missing')} where a {type(model).__name__} of this config "
                f"has {expected.get(name, 'nothing')}: load would make that, so it is not saved. A model "
                "with layers of its own is kept by torch.save(model.state_dict(), path)."
            )


def load(path: str | os.PathLike[str]) -> Model:
    """Read a model written by `save`, in float32, with its ``atlas``, ``train_atlas`` and ``info``.

    Parameters
    ----------
    path : path
        The .safetensors file.

    Raises
    ------
    ValueError
        Not a checkpoint of ours, damaged, of a future version, or weights that do not fit its own
        description. Nothing in the file is executed, and sizes are checked before memory is taken.
    OSError
        The file does not exist, may not be read, or is no ordinary file.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.save(vw.Autoencoder(2, (1, 8, 8), hidden=(4,), seed=0), "ae.safetensors")
    >>> vw.load("ae.safetensors").config["image_shape"]
    [1, 8, 8]
    """
    path = Path(path)
    with safe_open(path) as file:
        tensors, header, text = read_header(path, file)
        if not isinstance(header, dict) or type(header.get("format")) is not int or header["format"] < 1:
            raise ValueError(
                f"{path} is a safetensors file but no vaewidgets checkpoint: it has no header of ours."
            )
        if header["format"] > FORMAT:
            raise ValueError(
                f"{path} has checkpoint format {truncate(header['format'])}; this vaewidgets reads up to "
                f"{FORMAT}: update it."
            )
        model = empty_model(path, header, len(tensors))
        expected = {_WEIGHTS + name: list(t.shape) for name, t in model.state_dict().items()}
        of_atlases = tuple(_ATLASES.values())
        found = {name: t["shape"] for name, t in tensors.items() if not name.startswith(of_atlases)}
        if found != expected:
            raise shape_mismatch_error(path, "description", found, expected)
        parts = _check_atlases(path, tensors, model)
        read = read_tensors(path, file, tensors, text)
    _set_weights(model, {name.removeprefix(_WEIGHTS): read[name].to(torch.float32) for name in expected})
    model.info = header["info"]
    for attribute, prefix in _ATLASES.items():
        atlas = {
            name: read[prefix + name].to(torch.int64 if name == "labels" else torch.float32)
            for name in parts[attribute]
        }
        if atlas:
            setattr(model, attribute, EncodedDataset(atlas["mu"], atlas.get("logvar"), atlas.get("labels")))
    return model


def pretrained(name: str) -> Model:
    """Load a model that ships with the package, with its atlas.

    ``model.info`` holds dataset, recipe, command and measured figures.

    Parameters
    ----------
    name : str
        "mnist-vae-2d", "mnist-ae-2d", "mnist-vae-10d" and "mnist-ae-10d": 28 x 28, with an atlas of the
        10,000 MNIST test images and one of 10,000 training images. "digits-vae-2d" and so on: 8 x 8, with
        atlases of the 360 test digits and of the training digits. "mnist-cvae-10d" is conditional on the
        label, "mnist-conv-vae-10d" is convolutional. "mnist-classifier" and "digits-classifier" classify what
        the others decode.

    Raises
    ------
    ValueError
        There is no such model; the message lists all.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> model = vw.pretrained("digits-vae-2d")
    >>> model.info["dataset"], model.atlas.mu.shape
    ('digits', torch.Size([360, 2]))
    """
    folder = resources.files("vaewidgets") / "pretrained"
    names = sorted(
        p.name.removesuffix(".safetensors") for p in folder.iterdir() if p.name.endswith(".safetensors")
    )
    if name not in names:
        near = difflib.get_close_matches(str(name), names, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"No pretrained model {name!r}.{hint} There are: {', '.join(names)}.")
    with resources.as_file(folder / f"{name}.safetensors") as path:
        return load(path)


def load_named(name: str) -> Model:
    """Load the model in a .safetensors file, or the one that ships under a name.

    Parameters
    ----------
    name : str
        The path of a file if it ends in .safetensors, else a name that `pretrained` takes.

    Raises
    ------
    ValueError
        There is no such model, or the file holds no model.
    OSError
        The file does not exist, or may not be read.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.checkpoints.load_named("digits-vae-2d").latent_dim
    2
    """
    if name.endswith(".safetensors"):
        return load(name)
    try:
        return pretrained(name)
    except ValueError as error:
        raise ValueError(f"{error} Or name a .safetensors file.") from error


def get_info(model: object) -> dict[str, Any]:
    """Return a copy of a model's info, which says how it was made: {} if it has none.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.checkpoints.get_info(vw.VAE(2, (1, 8, 8)))
    {}
    """
    return dict(getattr(model, "info", {}))


def stated_classes(model: object) -> tuple[str, ...]:
    """Return the names of the classes in a model's info; () if there are none.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> model = vw.VAE(2, (1, 8, 8))
    >>> model.info = {"classes": ["cat", "dog"]}
    >>> vw.checkpoints.stated_classes(model)
    ('cat', 'dog')
    """
    names = get_info(model).get("classes")
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return tuple(map(sanitize, names))
    return ()


def stated_dataset(model: object) -> str | None:
    """Return the name of the dataset in a model's info; None if there is none.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.checkpoints.stated_dataset(vw.pretrained("digits-vae-2d"))
    'digits'
    """
    name = get_info(model).get("dataset")
    return sanitize(name) if isinstance(name, str) else None


def same_classes(one: object, other: object) -> bool:
    """Tell whether the infos of two models, one and other, name the same classes or the same dataset.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.checkpoints.same_classes(vw.pretrained("digits-vae-2d"), vw.pretrained("digits-classifier"))
    True
    """
    known, dataset = stated_classes(one), stated_dataset(one)
    named = bool(known) and known == stated_classes(other)
    return named or (dataset is not None and dataset == stated_dataset(other))


def read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], Any, bytes]:
    """Read the header of an open safetensors file, and no weight; `path` only names it in messages.

    Returns
    -------
    entries : dict
        Dtype, shape and place of each tensor, by its name.
    own : Any
        Our JSON; None without it.
    header : bytes
        The bytes that were read.

    Raises
    ------
    ValueError
        Not a safetensors file, cut short, or a header that is too large or cannot be read.
    """
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(_HEADER_LIMIT, size_of(file) - 8):
        pickled = length > _HEADER_LIMIT and start.startswith((b"PK", b"\x80"))
        hint = " It looks like a pickled PyTorch file, which vaewidgets never opens." if pickled else ""
        raise ValueError(f"{path} is not a safetensors file, or is cut short.{hint}")
    text = file.read(length)
    try:
        tensors = json.loads(text)
        metadata = tensors.pop("__metadata__", {})
        for name, entry in tensors.items():
            if entry["dtype"] not in _DTYPES | {"U8", "I64"} or not isinstance(entry["shape"], list):
                raise ValueError(f"tensor {name} has dtype {entry['dtype']}")
        return tensors, json.loads(metadata.get("vaewidgets", "null")), start + text
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} has a header that cannot be read: {truncate(error)}.") from error


def read_tensors(path: Path, file: BinaryIO, entries: dict[str, Any], header: bytes) -> dict[str, Tensor]:
    """Return the tensors that follow the header of an open safetensors file, in memory of their own.

    Parameters
    ----------
    path : Path
        Only names the file in errors.
    file : file
        Where `read_header` left it.
    entries, header : dict, bytes
        What `read_header` returned: descriptions and bytes.

    Raises
    ------
    ValueError
        The file is damaged, or was cut short while it was read.
    OSError
        It cannot be read, or does not fit into memory.
    """
    try:
        tensors = from_bytes(header + file.read())
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short: {truncate(error)}.") from error
    except MemoryError as error:
        raise OSError(f"{path} does not fit into memory: it has {size_of(file):,} bytes.") from error
    # If a name is there twice, the two parsers may have taken different entries.
    if {name: list(t.shape) for name, t in tensors.items()} != {n: e["shape"] for n, e in entries.items()}:
        raise ValueError(f"{path} is damaged: it describes a tensor twice.")
    return tensors


class _WithoutInit(TorchFunctionMode):
    """Skip the initialisation of weights: for meta tensors it takes longer than all the rest."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def _without_weights(kind: type[Model], config: dict[str, Any]) -> Model:
    """Build a model that takes no memory for its weights."""
    with torch.device("meta"), _WithoutInit():
        return kind(**config)


def _set_weights(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Do what ``load_state_dict(state, assign=True)`` does, in time linear in the depth, not quadratic."""
    modules = dict(model.named_modules())
    for name, tensor in state.items():
        owner, _, own = name.rpartition(".")
        module = modules[owner]
        before = getattr(module, own)
        if isinstance(before, nn.Parameter):
            tensor = nn.Parameter(tensor, requires_grad=before.requires_grad)
        setattr(module, own, tensor)


def empty_model(path: Path, header: dict[str, Any], tensors: int) -> Model:
    """Build the model that a header describes, without memory for its weights; `path` names the file.

    Raises
    ------
    ValueError
        The header describes no known model, or one that needs more than so many `tensors`.
    """
    kind, config = header.get("kind"), header.get("config")
    known = KINDS.get(kind) if isinstance(kind, str) else None
    if known is None or not isinstance(config, dict) or not isinstance(header.get("info"), dict):
        raise ValueError(
            f"{path} describes no model known here: kind {truncate(repr(kind))}; "
            f"known are {', '.join(KINDS)}."
        )
    # Even without weights a layer takes time and memory, and every layer has a tensor.
    if any(isinstance(value, list) and len(value) > tensors for value in config.values()):
        raise ValueError(f"{path} does not fit its own description: more layers than its {tensors} tensors.")
    try:
        return _without_weights(known, config)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError(f"{path} describes a model that cannot be built: {truncate(error)}.") from error


def shape_mismatch_error(
    path: Path, what: str, found: dict[str, Any], expected: dict[str, Any]
) -> ValueError:
    """Make the error about the first tensor of the file at `path` that has another shape than expected.

    `found` and `expected` hold the shape of each tensor by its name; `what` says what expects them.
    """
    name = next(n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n))
    return ValueError(
        f"{path} does not fit its own {what}: {truncate(name)} should have shape "
        f"{expected.get(name, '(absent)')}, the file has {truncate(found.get(name, '(absent)'))}."
    )


def _check_atlases(
    path: str | os.PathLike[str], tensors: dict[str, Any], model: Model
) -> dict[str, list[str]]:
    """Return the names of each atlas's tensors, an empty list where there is no atlas."""
    found = {}
    for attribute, prefix in _ATLASES.items():
        shapes = {n.removeprefix(prefix): t["shape"] for n, t in tensors.items() if n.startswith(prefix)}
        if shapes and isinstance(model, Classifier):
            raise ValueError(
                f"{path} has an atlas that does not fit: {attribute}; a Classifier has no codes."
            )
        if shapes:
            n = (shapes.get("mu") or [None])[0]
            wanted = {"mu": [n, model.latent_dim], "logvar": [n, model.latent_dim], "labels": [n]}
            if isinstance(model, Autoencoder):
                del wanted["logvar"]
            if "labels" not in shapes:
                del wanted["labels"]
            if shapes != wanted:
                raise ValueError(
                    f"{path} has an atlas that does not fit: {attribute} {truncate(shapes)}; "
                    f"expected {truncate(wanted)}."
                )
        found[attribute] = list(shapes)
    return found


__getattr__ = old_names(__name__)
