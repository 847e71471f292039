"""The options of ``vaewidgets train``, and what a checkpoint stores of them."""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from vaewidgets._constants import NAMED
from vaewidgets._utils.text import truncate

if TYPE_CHECKING:
    import argparse

    from vaewidgets.training.resume import State

#: The ending that tells a checkpoint from the name of a pretrained model.
SUFFIX = ".safetensors"


class Option(NamedTuple):
    """A keyword of `VAE`, `fit` or `fit_classifier` as an option of the command line.

    Its default is that of the keyword. The help states it in words, because importing the functions would
    take seconds. A classifier takes the options of `VAE` and `fit` that `Classifier` and `fit_classifier`
    have too.

    Attributes
    ----------
    owner : "VAE", "fit" or "fit_classifier"
    name : str
        The keyword: ``weight_decay`` is ``--weight-decay``.
    kind : callable
        Makes the value from the text.
    help : str
    several : bool
        Whether it takes one value or more.

    Examples
    --------
    >>> next(option.help for option in OPTIONS if option.name == "latent_dim")
    'number of latent coordinates (default: 2)'
    """

    owner: str
    name: str
    kind: Callable[[str], object]
    help: str
    several: bool = False


def _sigma(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text  # "learned", "optimal"; VAE says what it does not know


#: The other options, with their defaults. After --resume the last two may differ from those of the first run.
OWN = {
    "model": "vae", "size": None, "channels": None, "white": None, "skip_corrupt": False, "seed": 0,
    "holdout": 0, "final": False, "half": False, "atlas": "test", "threads": None, "device": "auto",
}  # fmt: skip
FREE = ("threads", "device")
#: Values that some of them can have in a state. There is none of a classifier, which writes no state.
CHOICES = {"model": ("vae", "ae", "cvae"), "channels": (None, 1, 3), "atlas": ("test", "both", "none")}
_OWN_KINDS = {
    "model": str, "size": [int], "channels": int, "white": float, "skip_corrupt": bool, "seed": int,
    "holdout": int, "final": bool, "half": bool, "atlas": str, "threads": int, "device": str,
}  # fmt: skip

#: The keywords that are options. A new one needs only another line here.
OPTIONS = (
    Option("VAE", "latent_dim", int, "number of latent coordinates (default: 2)"),
    Option("VAE", "trunk", str, "linear, mlp or conv (default: mlp)"),
    Option(
        "VAE",
        "hidden",
        int,
        "layer widths from image to latent, or channels of the convolutions (default: 512 256; "
        "of a classifier 16 32)",
        True,
    ),
    Option("VAE", "likelihood", str, "bernoulli, continuous-bernoulli or gaussian (default: bernoulli)"),
    Option("VAE", "sigma", _sigma, "of the gaussian: a number, learned or optimal (default: none)"),
    Option("VAE", "activation", str, "relu, silu, gelu, tanh or softplus (default: relu)"),
    Option("fit", "epochs", int, "times that every image is seen (default: 20)"),
    Option("fit", "batch_size", int, "images in a step (default: 128)"),
    Option("fit", "lr", float, "learning rate of Adam (default: 0.001; of a classifier 0.003)"),
    Option("fit", "schedule", str, "constant or cosine (default: constant)"),
    Option("fit", "weight_decay", float, "decoupled weight decay (default: 0)"),
    Option("fit", "beta", float, "weight of the KL (default: 1)"),
    Option("fit", "kl_warmup", float, "epochs over which the KL's weight rises to beta (default: 0)"),
    Option("fit", "free_bits", float, "nats that each latent dimension may cost for free (default: 0)"),
    Option("fit", "iwae", int, "train the importance-weighted bound with so many samples (default: none)"),
    Option(
        "fit",
        "patience",
        int,
        "stop after so many epochs without progress on the --holdout images (default: none)",
    ),
    Option("fit", "precision", str, "float32, or bfloat16 for the matrix products (default: float32)"),
    Option(
        "fit", "binarize", str, "dynamic: draw zeros and ones from the greys for every batch (default: none)"
    ),
    Option(
        "fit_classifier",
        "reject",
        float,
        "of a classifier: pictures of no class for each real image (default: 0.1)",
    ),
)


_MODEL_HELP = (
    "ae: an autoencoder, no KL; cvae: a VAE that is told the label; classifier: the judge of what they paint "
    "(default: vae)"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets train`` to an argparse parser.

    They have no defaults here, so that an option that was not given is None.
    """
    parser.add_argument(
        "dataset", nargs="?", metavar="SOURCE", help=f"{', '.join(NAMED)}, a folder of images or an .npz file"
    )
    parser.add_argument("--model", choices=(*CHOICES["model"], "classifier"), help=_MODEL_HELP)
    parser.add_argument("--out", required=True, metavar="FILE", help="the checkpoint, a .safetensors file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with what ended early, from FILE.resume; alone, with --out",
    )
    parser.add_argument(
        "--save-every",
        type=float,
        default=5.0,
        metavar="MINUTES",
        help="write FILE.resume so often; 0: never (default: %(default)g)",
    )
    parser.add_argument(
        "--data", metavar="ROOT", help="folder that holds MNIST/raw (default: $VAEWIDGETS_DATA)"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs="+",
        metavar="N",
        help="of a folder's images: N, or H W (default: their own)",
    )
    parser.add_argument(
        "--channels",
        type=int,
        choices=(1, 3),
        help="make a folder's images grey, or colour (default: as stored)",
    )
    parser.add_argument(
        "--white",
        type=float,
        metavar="NUMBER",
        help="which number is white: 1 of zeros and ones, 4095 of 12 bits (default: as the data say)",
    )
    parser.add_argument(
        "--skip-corrupt", action="store_true", default=None, help="leave out files that cannot be read"
    )
    for option in OPTIONS:
        parser.add_argument(
            flag(option.name),
            type=option.kind,
            nargs="+" if option.several else None,
            metavar=option.kind.__name__.strip("_").upper().replace("STR", "NAME"),
            help=option.help,
        )
    parser.add_argument("--seed", type=int, help="of the first weights, the order and the noise (default: 0)")
    parser.add_argument(
        "--holdout",
        type=int,
        metavar="N",
        help="do not train on the last N training images and measure on them: the test set is for the end "
        "(default: 0)",
    )
    parser.add_argument(
        "--final", action="store_true", default=None,
        help="for the end: let the --holdout images only choose the weights, and measure on the test images",
    )  # fmt: skip
    parser.add_argument(
        "--half", action="store_true", default=None,
        help="store float16; the figures are those of what is stored",
    )  # fmt: skip
    parser.add_argument(
        "--atlas",
        choices=CHOICES["atlas"],
        help="test: store where the model puts the images it is measured on, for the map; "
        "both: the first 10,000 that it is trained on, too (default: test)",
    )
    parser.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: torch's choice)"
    )


@dataclass(frozen=True)
class TrainOptions:
    """The options that one ``vaewidgets train`` was given, frozen.

    Attributes
    ----------
    out : str
        The file as it was given; `path` is the same.
    dataset : str or None
        None: what the state to go on from was trained on.
    overwrite, resume : bool
    save_every : float
        Minutes.
    data : str or None
        Folder that holds MNIST/raw.
    keywords : mapping of str to value
        One for each of `OPTIONS`; None leaves the default to the function.
    model, size, channels, white, skip_corrupt, seed, holdout, final, half, atlas, threads, device
        Those of `OWN`; None if not given, until `complete` sets the default.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> options = TrainOptions.of(parser.parse_args(["digits", "--out", "m.safetensors", "--epochs", "3"]))
    >>> options["epochs"], options["seed"], options.complete()["seed"]
    (3, None, 0)
    """

    out: str
    dataset: str | None
    overwrite: bool
    resume: bool
    save_every: float
    data: str | None
    keywords: Mapping[str, Any]
    model: str | None
    size: list[int] | None
    channels: int | None
    white: float | None
    skip_corrupt: bool | None
    seed: int | None
    holdout: int | None
    final: bool | None
    half: bool | None
    atlas: str | None
    threads: int | None
    device: str | None

    @classmethod
    def of(cls, args: argparse.Namespace) -> TrainOptions:
        """Make the options from what argparse has parsed."""
        own = {field.name: getattr(args, field.name) for field in fields(cls) if field.name != "keywords"}
        keywords = {option.name: getattr(args, option.name) for option in OPTIONS}
        return cls(**own, keywords=MappingProxyType(keywords))

    @property
    def path(self) -> Path:
        """The file of the checkpoint."""
        return Path(self.out)

    @property
    def state_path(self) -> Path:
        """The file of the state of an unfinished training."""
        return self.path.with_name(f"{self.path.name}.resume")

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option, one of `OPTIONS` or of `OWN`."""
        return self.keywords[name] if name in self.keywords else getattr(self, name)

    def complete(self, state: State | None = None) -> CompleteOptions:
        """Return the options with the values of `state`, if there is one, and their defaults.

        Raises
        ------
        ValueError, FileNotFoundError
            An option that was given differs from that of the state; the state is damaged.
        """
        stored = {} if state is None else self._stored(state)
        taken: dict[str, Any] = {}
        for name in (*self.keywords, *OWN):
            values = (self[name], stored.get(name), OWN.get(name))
            taken[name] = next((value for value in values if value is not None), None)
        keywords = MappingProxyType({name: taken.pop(name) for name in self.keywords})
        source = self.dataset if state is None else self._source(state)
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        options = CompleteOptions(**(own | taken | {"dataset": source, "keywords": keywords}))
        if options.threads is not None and not 1 <= options.threads <= 1024:
            raise ValueError(f"--threads must be at least 1 and at most 1024; got {options.threads}.")
        if not 0 <= options.seed < 2**63 - 1:
            raise ValueError(f"--seed must be from 0 to 2**63 - 2; got {options.seed}.")
        return options

    def _stored(self, state: State) -> dict[str, Any]:
        """Return the options of `state`; raise ValueError for an option that was given and differs."""
        # An option that came later had its default when the state was written.
        known = OWN | state.about["recipe"]
        # A classifier leaves no state.
        options = [option for option in OPTIONS if option.owner != "fit_classifier"]
        kinds = {o.name: [int] if o.several else o.kind for o in options} | _OWN_KINDS
        for name, kind in kinds.items():
            if (
                name not in known
                or not _is_kind(known[name], kind)
                or known[name] not in CHOICES.get(name, [known[name]])
            ):
                raise ValueError(
                    f"{state.path} is damaged: {name} in its recipe is {truncate(repr(known.get(name)))}."
                )
            asked, stored = self[name], known[name]
            if asked is not None and name not in FREE and asked != stored:
                raise ValueError(
                    f"{flag(name)} {asked} is not what {state.path} was trained with: {stored}. Leave "
                    f"{flag(name)} out, or begin anew with --overwrite."
                )
        return {name: known[name] for name in kinds}

    def _source(self, state: State) -> str:
        """Return what `state` was trained on, at the path where it is now."""
        source = self.dataset
        stored: str = state.about["dataset"]
        if dataset_name(stored) != stored:
            raise ValueError(f"{state.path} is damaged: {stored!r} is no name of a dataset.")
        if source is not None and dataset_name(source) != stored:
            raise ValueError(f"{state.path} was trained on {stored}; got {dataset_name(source)}.")
        if source is None and stored not in NAMED and not os.path.exists(stored):
            raise FileNotFoundError(
                f"{state.path} was trained on {stored}, which is not in this folder. Say where it is: "
                f"vaewidgets train PATH/{stored} --resume --out {self.out}"
            )
        return source or stored


@dataclass(frozen=True)
class CompleteOptions(TrainOptions):
    """Options that `complete` has filled with defaults: None is left only where it means "none"."""

    dataset: str
    model: str
    skip_corrupt: bool
    seed: int
    holdout: int
    final: bool
    half: bool
    atlas: str
    device: str


def flag(name: str) -> str:
    """Return the option of a keyword.

    Examples
    --------
    >>> flag("weight_decay")
    '--weight-decay'
    """
    return f"--{name.replace('_', '-')}"


def as_options(text: str) -> str:
    """Replace keywords in a function's error message by the options of the command line.

    Examples
    --------
    >>> as_options("lr must be a positive number; got lr=0.")
    '--lr must be a positive number; got --lr 0.'
    """
    for name in (*(option.name for option in OPTIONS), "seed", "holdout"):
        word = flag(name)
        text = re.sub(rf"""(?<![\w/.-]){name}=(?:"([\w-]+)"|([\w.]+))""", rf"{word} \1\2", text)
        if "_" in name:  # otherwise it may be an ordinary word
            text = re.sub(rf"(?<![\w/.-]){name}(?![\w/]|\.\w)", word, text)
        text = re.sub(rf"(?:(?<=^)|(?<=each value of )){name}(?= (?:must|is|counts)\b)", word, text)
    return text


def command(options: CompleteOptions) -> str:
    """Write the command that trains the same model, without the paths of this machine.

    The data root is left out. Of a folder, an .npz file and an absolute output path only the name is kept.

    Examples
    --------
    >>> import argparse
    >>> parser = argparse.ArgumentParser()
    >>> add_arguments(parser)
    >>> args = parser.parse_args(["/home/me/faces", "--out", "/tmp/m.safetensors", "--kl-warmup", "2"])
    >>> command(TrainOptions.of(args).complete())
    'vaewidgets train faces --out m.safetensors --kl-warmup 2.0 --seed 0'
    """
    out = options.path
    words = ["vaewidgets", "train", dataset_name(options.dataset)]
    words += ["--out", out.name if out.is_absolute() else options.out]
    for name, default in [("model", "vae"), *((o.name, None) for o in OPTIONS), *list(OWN.items())[1:]]:
        value = options[name]
        if value != default or name == "seed":
            words.append(flag(name))
            if value is not True:
                words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return shlex.join(words)


def dataset_name(source: str) -> str:
    """Name a dataset without the path of this machine: a folder or an .npz by the last part of its path.

    Examples
    --------
    >>> dataset_name("digits"), dataset_name("/home/me/faces"), dataset_name("/home/me/mnist")
    ('digits', 'faces', './mnist')
    """
    if source in NAMED:
        return source
    name = os.path.basename(os.path.abspath(os.path.expanduser(source)))
    # A folder called mnist is not MNIST.
    return f"./{name}" if name in NAMED else name


def white_of(info: dict[str, Any], source: str) -> float | None:
    """Return the ``--white`` of the training on `source`, out of a model's file; None if there was none.

    Parameters
    ----------
    info : dict
        `get_info` of the model. It comes from a file and may hold anything.
    source : str
        What the model is measured on now.

    Examples
    --------
    >>> white_of({"dataset": "scans", "recipe": {"white": 4095}}, "/home/me/scans")
    4095
    """
    recipe = info.get("recipe")
    white: Any = recipe.get("white") if isinstance(recipe, dict) else None
    trained_on_it = source not in NAMED and dataset_name(source) == info.get("dataset")
    return white if trained_on_it and type(white) in (int, float) and 0 < white < math.inf else None


def _is_kind(value: Any, kind: Any) -> bool:
    """Tell whether a value from JSON can be that of an option of this kind; None is one not given."""
    if isinstance(kind, list):
        return value is None or (
            isinstance(value, list) and all(_is_kind(v, int) and v is not None for v in value)
        )
    kinds = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}.get(kind, (int, float, str))
    # Python cannot make a float of much larger integers. No option needs them.
    in_range = type(value) not in (int, float) or abs(value) < 2**63
    return value is None or (type(value) in kinds and in_range)


def check_fits(options: TrainOptions, *functions: Callable[..., object]) -> None:
    """Raise ValueError for a given option that none of the functions takes.

    Parameters
    ----------
    options : TrainOptions
    *functions : callable
        Their keywords are looked up in their signatures.
    """
    names = {name for function in functions for name in inspect.signature(function).parameters}
    for option in OPTIONS:
        if options[option.name] is not None and option.name not in names:
            raise ValueError(f"{flag(option.name)} is not for --model {options.model}.")


def given(options: TrainOptions, function: Callable[..., object]) -> dict[str, Any]:
    """Return the keywords of a function that were given, with their values."""
    names = inspect.signature(function).parameters
    values = {name: value for name, value in options.keywords.items() if name in names}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def recipe(options: TrainOptions, *functions: Callable[..., object]) -> dict[str, Any]:
    """Return all options of these functions with their values, and defaults too, which may change later."""
    defaults = {n: p.default for f in functions for n, p in inspect.signature(f).parameters.items()}
    asked = {name: value for function in functions for name, value in given(options, function).items()}
    values = {o.name: asked.get(o.name, defaults[o.name]) for o in OPTIONS if o.name in defaults}
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return values | {name: options[name] for name in OWN}
