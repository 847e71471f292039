"""The options of ``vaewidgets train``: what may be asked for, and what of that a file remembers."""

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

#: By its ending a checkpoint is told from the name of a model that ships.
SUFFIX = ".safetensors"


class Option(NamedTuple):
    """One keyword of `VAE`, `fit` or `fit_classifier` as an option; its default is the keyword's own.

    The help states it, as the functions are not imported for it: that would take seconds.

    A classifier takes those of the first two that `Classifier` and `fit_classifier` have too.

    Attributes
    ----------
    owner : "VAE", "fit" or "fit_classifier"
    name : str
        The keyword; as an option ``weight_decay`` is ``--weight-decay``.
    kind : callable
        Text to value.
    help : str
    several : bool
        Takes one value or more.
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


#: What else is asked for, with its default. Of these, --resume lets the last two differ from the first time.
OWN = {
    "model": "vae", "size": None, "channels": None, "white": None, "skip_corrupt": False, "seed": 0,
    "holdout": 0, "final": False, "half": False, "atlas": "test", "threads": None, "device": "auto",
}  # fmt: skip
FREE = ("threads", "device")
#: Of what else may be asked for: what it can be. A state can be of no classifier, which leaves none.
CHOICES = {"model": ("vae", "ae", "cvae"), "channels": (None, 1, 3), "atlas": ("test", "both", "none")}
_OWN_KINDS = {
    "model": str, "size": [int], "channels": int, "white": float, "skip_corrupt": bool, "seed": int,
    "holdout": int, "final": bool, "half": bool, "atlas": str, "threads": int, "device": str,
}  # fmt: skip

#: A new keyword of theirs becomes an option by one more line here.
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
    """Give an argparse parser the options of ``vaewidgets train``.

    None has a default here: what was asked for must be told from what was not.
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
            f"--{option.name.replace('_', '-')}",
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
        help="this is the end: let the --holdout images only choose, and measure on the test images",
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
    """What one ``vaewidgets train`` was asked for: from here on nothing changes it.

    Attributes
    ----------
    out : str
        As it was given; `path` is the same.
    dataset : str or None
        None: what the state to go on from was trained on.
    overwrite, resume : bool
    save_every : float
        Minutes.
    data : str or None
        Folder that holds MNIST/raw.
    keywords : mapping of str to value
        Of each of `OPTIONS`; None is left to the function whose keyword it is.
    model, size, channels, white, skip_corrupt, seed, holdout, final, half, atlas, threads, device
        As `OWN` has them; None where nothing was asked, until `complete` sets the default.
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
        """Take over what argparse has read."""
        own = {field.name: getattr(args, field.name) for field in fields(cls) if field.name != "keywords"}
        keywords = {option.name: getattr(args, option.name) for option in OPTIONS}
        return cls(**own, keywords=MappingProxyType(keywords))

    @property
    def path(self) -> Path:
        """Where the checkpoint goes."""
        return Path(self.out)

    @property
    def state_path(self) -> Path:
        """Where the state of the unfinished training lies."""
        return self.path.with_name(f"{self.path.name}.resume")

    def __getitem__(self, name: str) -> Any:
        """Return the value of an option, be it one of `OPTIONS` or of `OWN`."""
        return self.keywords[name] if name in self.keywords else getattr(self, name)

    def complete(self, state: State | None = None) -> CompleteOptions:
        """Return the options with those of `state`, if there is one, and else with their defaults.

        Raises
        ------
        ValueError, FileNotFoundError
            An option that was given differs from the state's; the state is damaged.
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
        """Return the options of `state`; refuse one that was given and differs."""
        # An option that came later had its default when the state was written.
        known = OWN | state.about["recipe"]
        # A classifier leaves no state.
        options = [option for option in OPTIONS if option.owner != "fit_classifier"]
        kinds = {o.name: [int] if o.several else o.kind for o in options} | _OWN_KINDS
        for name, kind in kinds.items():
            fits = (
                name in known
                and _is_kind(known[name], kind)
                and known[name] in CHOICES.get(name, [known[name]])
            )
            if not fits:
                raise ValueError(
                    f"{state.path} is damaged: {name} in its recipe is {truncate(repr(known.get(name)))}."
                )
            asked, stored = self[name], known[name]
            if asked is not None and name not in FREE and asked != stored:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(
                    f"{option} {asked} is not what {state.path} was trained with: {stored}. Leave {option} "
                    "out, or begin anew with --overwrite."
                )
        return {name: known[name] for name in kinds}

    def _source(self, state: State) -> str:
        """Return what `state` was trained on, where it lies now."""
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
    """The same once `complete` has set what was not asked for: None is left only where it means "none"."""

    dataset: str
    model: str
    skip_corrupt: bool
    seed: int
    holdout: int
    final: bool
    half: bool
    atlas: str
    device: str


def as_options(text: str) -> str:
    """Return what a function says of its keywords in words of the command: ``lr must`` as ``--lr must``."""
    for name in (*(option.name for option in OPTIONS), "seed", "holdout"):
        word = f"--{name.replace('_', '-')}"
        text = re.sub(rf"""(?<![\w/.-]){name}=(?:"([\w-]+)"|([\w.]+))""", rf"{word} \1\2", text)
        if "_" in name:  # no word of a sentence
            text = re.sub(rf"(?<![\w/.-]){name}(?![\w/]|\.\w)", word, text)
        text = re.sub(rf"(?:(?<=^)|(?<=each value of )){name}(?= (?:must|is|counts)\b)", word, text)
    return text


def command(options: CompleteOptions) -> str:
    """Write the command that trains the same model, without what belongs to this machine alone.

    The data root is left out, and of a folder, an .npz and an absolute output path only the name stays.
    """
    out = options.path
    words = ["vaewidgets", "train", dataset_name(options.dataset)]
    words += ["--out", out.name if out.is_absolute() else options.out]
    for name, default in [("model", "vae"), *((o.name, None) for o in OPTIONS), *list(OWN.items())[1:]]:
        value = options[name]
        if value != default or name == "seed":
            words.append(f"--{name.replace('_', '-')}")
            if value is not True:
                words += map(str, value if isinstance(value, (list, tuple)) else [value])
    return shlex.join(words)


def dataset_name(source: str) -> str:
    """Name a dataset as files may: of a folder or an .npz the last part of its path."""
    if source in NAMED:
        return source
    name = os.path.basename(os.path.abspath(os.path.expanduser(source)))
    # A folder that is called mnist is not MNIST.
    return f"./{name}" if name in NAMED else name


def white_of(info: dict[str, Any], source: str) -> float | None:
    """Return which number was said to be white in `source` when a model was trained on it; None if none was.

    `info` is out of a file, and may hold anything.
    """
    recipe = info.get("recipe")
    white = recipe.get("white") if isinstance(recipe, dict) else None
    known = source not in NAMED and dataset_name(source) == info.get("dataset")
    if white is None or not known or type(white) not in (int, float):
        return None
    return white if 0 < white < math.inf else None


def _is_kind(value: Any, kind: Any) -> bool:
    """Tell whether JSON gave what an option of that kind can be; None is an option not given."""
    if isinstance(kind, list):
        return value is None or (
            isinstance(value, list) and all(_is_kind(v, int) and v is not None for v in value)
        )
    kinds = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}.get(kind, (int, float, str))
    # Of a number beyond, which no option needs, Python makes no float.
    in_range = type(value) not in (int, float) or abs(value) < 2**63
    return value is None or (type(value) in kinds and in_range)


def check_fits(options: TrainOptions, *functions: Callable[..., object]) -> None:
    """Refuse an option that none of the functions takes."""
    names = {name for function in functions for name in inspect.signature(function).parameters}
    for option in OPTIONS:
        if options[option.name] is not None and option.name not in names:
            raise ValueError(f"--{option.name.replace('_', '-')} is not for --model {options.model}.")


def given(options: TrainOptions, function: Callable[..., object]) -> dict[str, Any]:
    """Return the keywords of a function that were asked for; the others keep their defaults."""
    names = inspect.signature(function).parameters
    values = {name: value for name, value in options.keywords.items() if name in names}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def recipe(options: TrainOptions, *functions: Callable[..., object]) -> dict[str, Any]:
    """Return every option of these functions with its value, defaults too: those may change later."""
    defaults = {n: p.default for f in functions for n, p in inspect.signature(f).parameters.items()}
    asked = {name: value for function in functions for name, value in given(options, function).items()}
    values = {o.name: asked.get(o.name, defaults[o.name]) for o in OPTIONS if o.name in defaults}
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return values | {name: options[name] for name in OWN}
