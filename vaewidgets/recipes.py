"""``vaewidgets train``: from options to a checkpoint that says how it was made and how good it is."""

from __future__ import annotations

import inspect
import math
import shlex
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import NamedTuple

from .writing import check_free


class Option(NamedTuple):
    """One keyword of `VAE` or `fit` as an option; its default is the keyword's own.

    Attributes
    ----------
    owner : "VAE" or "fit"
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


#: A new keyword of `VAE` or `fit` becomes an option by one more line here.
OPTIONS = (
    Option("VAE", "latent_dim", int, "number of latent coordinates"),
    Option("VAE", "trunk", str, "linear, mlp or conv"),
    Option("VAE", "hidden", int, "layer widths from image to latent, or channels of the convolutions", True),
    Option("VAE", "likelihood", str, "bernoulli, continuous-bernoulli or gaussian"),
    Option("VAE", "sigma", _sigma, "of the gaussian: a number, learned or optimal"),
    Option("VAE", "activation", str, "relu, silu, gelu, tanh or softplus"),
    Option("fit", "epochs", int, "times that every image is seen"),
    Option("fit", "batch_size", int, "images in a step"),
    Option("fit", "lr", float, "learning rate of Adam"),
    Option("fit", "schedule", str, "constant or cosine"),
    Option("fit", "weight_decay", float, "decoupled weight decay"),
    Option("fit", "beta", float, "weight of the KL"),
    Option("fit", "binarize", str, "dynamic: draw zeros and ones from the greys for every batch"),
)


def add_arguments(parser) -> None:
    """Give an argparse parser the options of ``vaewidgets train``."""
    parser.add_argument("dataset", choices=("digits", "mnist", "fashion-mnist"))
    parser.add_argument("--model", choices=("vae", "ae"), default="vae", help="ae: an autoencoder, no KL")
    parser.add_argument("--out", required=True, metavar="FILE", help="the checkpoint, a .safetensors file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    parser.add_argument("--data", metavar="ROOT", help="folder that holds MNIST/raw; else $VAEWIDGETS_DATA")
    for option in OPTIONS:
        parser.add_argument(
            f"--{option.name.replace('_', '-')}",
            type=option.kind,
            nargs="+" if option.several else None,
            metavar=option.kind.__name__.strip("_").upper().replace("STR", "NAME"),
            help=option.help,
        )
    parser.add_argument("--seed", type=int, default=0, help="of the first weights, the order and the noise")
    parser.add_argument(
        "--holdout",
        type=int,
        default=0,
        metavar="N",
        help="do not train on the last N training images and measure on them: the test set is for the end",
    )
    parser.add_argument(
        "--half", action="store_true", help="store float16; the figures are those of what is stored"
    )
    parser.add_argument(
        "--atlas",
        choices=("test", "none"),
        default="test",
        help="test (the default): store where the model puts the images it is measured on, for the map",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads for torch")


def run(args) -> int:
    """Train, measure, store: the command itself. Returns its exit status."""
    out = Path(args.out)
    check_free(out, args.overwrite)
    # Only now: importing torch takes seconds, and a refusal should not.
    import torch

    from . import __version__
    from .checkpoints import Atlas, save
    from .data import load_data
    from .metrics import encode_all
    from .models import VAE, Autoencoder
    from .training import fit

    if args.threads is not None:
        if args.threads < 1:
            raise ValueError(f"--threads must be at least 1; got {args.threads}.")
        torch.set_num_threads(args.threads)
    data = load_data(args.dataset, root=args.data)
    images, held_out, split = _split(data, args.holdout)
    kind = Autoencoder if args.model == "ae" else VAE
    model = kind(image_shape=tuple(images.shape[1:]), seed=args.seed, **_given(args, "VAE"))
    steps = fit(model, images, seed=args.seed, **_given(args, "fit"))
    recipe = _recipe(args, VAE, fit)

    last, interrupted = _drive(steps)
    if last is None:
        raise RuntimeError("stopped before the first step; nothing is stored.")
    if interrupted:
        print(f"Stopped at step {last.step} of {last.total_steps}; storing what is there.", file=sys.stderr)
    if args.half:
        _round_to_half(model)
    figures = _measure(model, held_out.images, split)
    atlas = None
    if args.atlas == "test":
        atlas = Atlas(*encode_all(model, held_out.images), held_out.labels)
    if interrupted:
        recipe["stopped"] = {"step": last.step, "total_steps": last.total_steps}
    save(
        model, out, atlas=atlas, half=args.half,
        dataset=args.dataset, recipe=recipe, command=command(args), figures=figures,
        versions={"vaewidgets": __version__, "torch": torch.__version__},
    )  # fmt: skip
    print(
        f"held-out loss {figures['loss']:.2f} = {-figures['reconstruction']:.2f} for the reconstruction "
        f"+ {figures['kl']:.2f} KL, nats per image, mean over {figures['images']:,} images ({split})"
    )
    print(f"wrote {out} ({out.stat().st_size / 1e6:.2f} MB)")
    return 130 if interrupted else 0


def command(args) -> str:
    """Write the command that trains the same model, without what belongs to this machine alone.

    The data root is left out, and of an absolute output path only the file's name stays.
    """
    out = Path(args.out)
    words = ["vaewidgets", "train", args.dataset, "--out", out.name if out.is_absolute() else args.out]
    if args.model != "vae":
        words += ["--model", args.model]
    for option in OPTIONS:
        value = getattr(args, option.name)
        if value is not None:
            words += [f"--{option.name.replace('_', '-')}", *map(str, value if option.several else [value])]
    words += ["--seed", str(args.seed)]
    if args.holdout:
        words += ["--holdout", str(args.holdout)]
    if args.half:
        words.append("--half")
    if args.atlas != "test":
        words += ["--atlas", args.atlas]
    if args.threads is not None:
        words += ["--threads", str(args.threads)]
    return shlex.join(words)


def _given(args, owner: str) -> dict:
    """Return the keywords that were asked for; the others keep their defaults."""
    given = {o.name: getattr(args, o.name) for o in OPTIONS if o.owner == owner}
    return {name: tuple(v) if isinstance(v, list) else v for name, v in given.items() if v is not None}


def _recipe(args, vae, fit) -> dict:
    """Return every option with its value, defaults too: those may change in a later version."""
    defaults = {"VAE": inspect.signature(vae).parameters, "fit": inspect.signature(fit).parameters}
    asked = {name: value for owner in defaults for name, value in _given(args, owner).items()}
    recipe = {o.name: asked.get(o.name, defaults[o.owner][o.name].default) for o in OPTIONS}
    recipe = {name: list(v) if isinstance(v, tuple) else v for name, v in recipe.items()}
    own = ("model", "seed", "holdout", "half", "atlas", "threads")
    return recipe | {name: getattr(args, name) for name in own}


def _split(data, holdout: int):
    """Return the training images, the held-out `Images` and the name of the latter."""
    if not holdout:
        return data.train.images, data.test, "test"
    if not 0 < holdout < len(data.train):
        raise ValueError(f"--holdout must leave images on both sides of {len(data.train)}; got {holdout}.")
    labels = data.train.labels
    kept_out = type(data.train)(data.train.images[-holdout:], None if labels is None else labels[-holdout:])
    return data.train.images[:-holdout], kept_out, f"train[-{holdout}:]"


def _drive(steps: Generator):
    """Run the training behind a progress bar; return its last step and whether Ctrl-C ended it."""
    from tqdm import tqdm

    # A number that is read makes the device wait: only those shown are. A log file wants few lines.
    pause = 0.25 if sys.stderr.isatty() else 10.0
    last, shown = None, -math.inf
    bar = tqdm(desc="training", unit="step", mininterval=0, miniters=1, dynamic_ncols=True, leave=True)
    try:
        for last in steps:
            if time.monotonic() - shown >= pause or last.step == last.total_steps:
                _show(bar, last)
                shown = time.monotonic()
        return last, False
    except KeyboardInterrupt:
        return last, True
    finally:
        steps.close()
        bar.close()


def _show(bar, step) -> None:
    loss = step.loss
    if not math.isfinite(loss):
        raise RuntimeError(
            f"the loss became {loss} at step {step.step}; nothing is stored. Try a smaller --lr."
        )
    bar.total, bar.n = step.total_steps, step.step
    bar.set_postfix_str(
        f"reconstruction {step.reconstruction:.2f}, KL {step.kl:.2f}, loss {loss:.2f}, "
        f"{step.images_per_second:,.0f} images/s"
    )


def _round_to_half(model) -> None:
    """Round the weights in place to what float16 can hold, so that what is measured is what is stored."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())


def _measure(model, images, split: str, seed: int = 0) -> dict:
    """Measure the bound itself (beta = 1), of an autoencoder the reconstruction; nats per held-out image."""
    from .metrics import held_out_elbo

    terms = held_out_elbo(model, images, seed=seed)
    # In double: ten thousand float32 numbers lose their last digits in a sum.
    reconstruction, kl = terms.reconstruction.double().mean().item(), terms.kl.double().mean(0)
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
