"""``vaewidgets train``: what may be asked for, and what of that a file remembers."""

from __future__ import annotations

import inspect
import math
import os
import re
import shlex
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from vaewidgets._constants import NAMED
from vaewidgets._utils import atomic_write
from vaewidgets._utils.text import brief

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


def add_arguments(parser) -> None:
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
    parser.add_argument("--data", metavar="ROOT", help="folder that holds MNIST/raw; else $VAEWIDGETS_DATA")
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
        help="which number is white in the images: 1 of zeros and ones, 4095 of 12 bits",
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
        help="test (the default): store where the model puts the images it is measured on, for the map; "
        "both: the first 10,000 that it is trained on, too",
    )
    parser.add_argument("--device", metavar="NAME", help="auto (the default), cpu, cuda or mps")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: torch's choice)"
    )


def run(args) -> int:
    """Train, measure, store: the command itself. Returns its exit status."""
    out = Path(args.out)
    _check_asked(args, out)
    # Of several processes (torchrun) the first alone writes.
    with atomic_write.claim(out) if os.environ.get("RANK", "0") == "0" else nullcontext():
        try:
            return _run(args, out)
        except (TypeError, ValueError) as error:
            raise ValueError(as_options(str(error))) from error


def as_options(text: str) -> str:
    """Return what a function says of its keywords in words of the command: ``lr must`` as ``--lr must``."""
    for name in (*(option.name for option in OPTIONS), "seed", "holdout"):
        word = f"--{name.replace('_', '-')}"
        text = re.sub(rf"""(?<![\w/.-]){name}=(?:"([\w-]+)"|([\w.]+))""", rf"{word} \1\2", text)
        if "_" in name:  # no word of a sentence
            text = re.sub(rf"(?<![\w/.-]){name}(?![\w/]|\.\w)", word, text)
        text = re.sub(rf"(?:(?<=^)|(?<=each value of )){name}(?= (?:must|is|counts)\b)", word, text)
    return text


def _run(args, out: Path) -> int:
    _check_place(args, out)
    # Only now: importing torch takes seconds, and a refusal should not.
    from vaewidgets.training import resume

    from .train_classifier import train as train_classifier
    from .train_vae import train

    state = resume.read(resume_path(out)) if args.resume else None
    if state is not None:
        _take_over(args, state)
    for name, default in OWN.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    if args.threads is not None and not 1 <= args.threads <= 1024:
        raise ValueError(f"--threads must be at least 1 and at most 1024; got {args.threads}.")
    if not 0 <= args.seed < 2**63 - 1:
        raise ValueError(f"--seed must be from 0 to 2**63 - 2; got {args.seed}.")
    return train_classifier(args, out) if args.model == "classifier" else train(args, out, state)


def command(args) -> str:
    """Write the command that trains the same model, without what belongs to this machine alone.

    The data root is left out, and of a folder, an .npz and an absolute output path only the name stays.
    """
    out = Path(args.out)
    words = ["vaewidgets", "train", dataset_name(args.dataset)]
    words += ["--out", out.name if out.is_absolute() else args.out]
    for name, default in [("model", "vae"), *((o.name, None) for o in OPTIONS), *list(OWN.items())[1:]]:
        value = getattr(args, name)
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


def white_of(info: dict, source: str) -> float | None:
    """Return which number was said to be white in `source` when a model was trained on it; None if none was.

    `info` is out of a file, and may hold anything.
    """
    recipe = info.get("recipe")
    white = recipe.get("white") if isinstance(recipe, dict) else None
    known = source not in NAMED and dataset_name(source) == info.get("dataset")
    return white if known and type(white) in (int, float) and 0 < white < math.inf else None


def resume_path(out: Path) -> Path:
    """Return where the state of the training lies whose checkpoint is `out`."""
    return out.with_name(f"{out.name}.resume")


def _check_asked(args, out: Path) -> None:
    """Refuse what cannot be done, before any work."""
    if not args.save_every >= 0 or math.isinf(args.save_every):
        raise ValueError(f"--save-every must be minutes, 0 for never; got {args.save_every}.")
    if args.resume:
        if args.overwrite:
            raise ValueError("--resume goes on with a training, --overwrite begins anew: give one of them.")
        return
    if args.dataset is None:
        raise ValueError(f"name what to train on: {', '.join(NAMED)}, a folder of images or an .npz file.")
    if args.final and not args.holdout:
        raise ValueError(
            "--final lets images held out of the training ones choose and measures on the test images: say "
            "how many with --holdout N. Without both options the test images are measured anyway."
        )
    if args.patience is not None and not args.holdout:
        raise ValueError("--patience waits for progress on images held out: say how many with --holdout N.")


def _check_place(args, out: Path) -> None:
    """Refuse to begin where a training has been, and to go on where none has."""
    if args.resume:
        if not resume_path(out).is_file():
            raise FileNotFoundError(
                f"{resume_path(out)}: no such file, so nothing to resume. It lies beside FILE while a "
                "training is unfinished; without --resume one begins."
            )
        atomic_write.check_free(out, True)
        return
    if out.suffix != SUFFIX:
        raise ValueError(
            f"--out must end in {SUFFIX}, by which evaluate and export know a file; got {out.name}."
        )
    atomic_write.check_free(out, args.overwrite)
    if resume_path(out).exists() and not args.overwrite:
        raise FileExistsError(
            f"{resume_path(out)} exists already: a training that ended early. Go on with it by --resume, or "
            "begin anew with --overwrite."
        )


def _take_over(args, state) -> None:
    """Set the options to those of `state`; refuse one that was given and differs."""
    # An option that came later had its default when the state was written.
    known = OWN | state.about["recipe"]
    # A classifier leaves no state.
    options = [option for option in OPTIONS if option.owner != "fit_classifier"]
    kinds = {o.name: [int] if o.several else o.kind for o in options} | _OWN_KINDS
    for name, kind in kinds.items():
        fits = (
            name in known and _is_kind(known[name], kind) and known[name] in CHOICES.get(name, [known[name]])
        )
        if not fits:
            raise ValueError(
                f"{state.path} is damaged: {name} in its recipe is {brief(repr(known.get(name)))}."
            )
        asked, stored = getattr(args, name), known[name]
        if asked is None:
            setattr(args, name, stored)
        elif name not in FREE and asked != stored:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(
                f"{option} {asked} is not what {state.path} was trained with: {stored}. Leave {option} out, "
                "or begin anew with --overwrite."
            )
    source, stored = args.dataset, state.about["dataset"]
    if dataset_name(stored) != stored:
        raise ValueError(f"{state.path} is damaged: {stored!r} is no name of a dataset.")
    if source is not None and dataset_name(source) != stored:
        raise ValueError(f"{state.path} was trained on {stored}; got {dataset_name(source)}.")
    if source is None and stored not in NAMED and not os.path.exists(stored):
        raise FileNotFoundError(
            f"{state.path} was trained on {stored}, which is not in this folder. Say where it is: "
            f"vaewidgets train PATH/{stored} --resume --out {args.out}"
        )
    args.dataset = source or stored


def _is_kind(value, kind) -> bool:
    """Tell whether JSON gave what an option of that kind can be; None is an option not given."""
    if isinstance(kind, list):
        return value is None or (
            isinstance(value, list) and all(_is_kind(v, int) and v is not None for v in value)
        )
    kinds = {int: (int,), float: (int, float), str: (str,), bool: (bool,)}.get(kind, (int, float, str))
    # Of a number beyond, which no option needs, Python makes no float.
    in_range = type(value) not in (int, float) or abs(value) < 2**63
    return value is None or (type(value) in kinds and in_range)


def check_fits(args, *functions: Callable) -> None:
    """Refuse an option that none of the functions takes."""
    names = {name for function in functions for name in inspect.signature(function).parameters}
    for option in OPTIONS:
        if getattr(args, option.name) is not None and option.name not in names:
            raise ValueError(f"--{option.name.replace('_', '-')} is not for --model {args.model}.")


def given(args, function: Callable) -> dict:
    """Return the keywords of a function that were asked for; the others keep their defaults."""
    names = inspect.signature(function).parameters
    values = {o.name: getattr(args, o.name) for o in OPTIONS if o.name in names}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if v is not None}


def recipe(args, *functions: Callable) -> dict:
    """Return every option of these functions with its value, defaults too: those may change later."""
    defaults = {n: p.default for f in functions for n, p in inspect.signature(f).parameters.items()}
    asked = {name: value for function in functions for name, value in given(args, function).items()}
    values = {o.name: asked.get(o.name, defaults[o.name]) for o in OPTIONS if o.name in defaults}
    values = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return values | {name: getattr(args, name) for name in OWN}
