"""``vaewidgets evaluate``: measure a stored model on images that it has not seen."""

from __future__ import annotations

import json
import math
import os
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vaewidgets._constants import NAMED
from vaewidgets._utils.text import align, sanitize
from vaewidgets.bench.report import check_at_least_one

from . import compare
from .progress import progress_bar
from .train_options import white_of

if TYPE_CHECKING:
    from torch import Tensor

#: Samples of `held_out_iwae` unless asked otherwise: seconds for MNIST; papers take 5,000.
SAMPLES = 50
NEIGHBOURS = 10
_WIDTH = 79
#: Forms of the images, as the report names them.
_GREYS, _BINARISED = "greys", "binarised once"


def add_arguments(parser) -> None:
    """Add the options of ``vaewidgets evaluate`` to an argparse parser."""
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="mnist-vae-2d, ..., or a .safetensors file; several are compared by a --judge",
    )
    parser.add_argument(
        "--judge",
        metavar="NAME",
        help="a classifier (mnist-classifier, ..., or a file): count the holes that samplers draw, and print "
        "the scoreboard (default: none)",
    )
    parser.add_argument(
        "--draws", type=int, metavar="N", help="of each sampler, under a judge (default: 10,000)"
    )
    parser.add_argument(
        "--data", metavar="ROOT", help="folder that holds MNIST/raw (default: $VAEWIDGETS_DATA)"
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="measure on the test images of this one: digits, mnist, fashion-mnist, a folder of images or an "
        ".npz file (default: the images that the model's file says were held out)",
    )
    parser.add_argument("--images", type=int, metavar="N", help="only the first N images (default: all)")
    parser.add_argument(
        "--iwae", type=int, metavar="K", help=f"samples of the importance-weighted bound (default: {SAMPLES})"
    )
    parser.add_argument(
        "--binarize",
        choices=("once", "no"),
        default="once",
        help="once: measure a Bernoulli model on zeros and ones too, drawn from the greys (default: once)",
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--seed", type=int, default=0, help="of all noise: the same seed, the same numbers (default: 0)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (default: auto)")
    parser.add_argument(
        "--threads", type=int, metavar="N", help="processor threads (default: torch's choice)"
    )


def run(args) -> int:
    """Measure a model, or several by a judge, and print a table or JSON.

    Parameters
    ----------
    args : argparse.Namespace
        The options that `add_arguments` adds.

    Returns
    -------
    int
        The exit status, 0.

    Raises
    ------
    ValueError, RuntimeError, OSError
        An option, a model or its images do not fit; nothing has been printed then.
    """
    check_at_least_one(args, "iwae", "images", "threads", "draws")
    if not 0 <= args.seed < 2**63 - 1:
        raise ValueError(f"--seed must be from 0 to 2**63 - 2; got {args.seed}.")
    if args.judge is not None:
        return compare.run(args)
    if len(args.models) > 1:
        raise ValueError(f"{len(args.models)} models are compared by a judge: name one with --judge NAME.")
    if args.draws is not None:
        raise ValueError("--draws counts what a judge is shown: name one with --judge NAME.")
    (args.model,) = args.models
    # Imported only now: it takes seconds, and what is refused is refused at once.
    import torch

    from vaewidgets.io.checkpoints import load_named
    from vaewidgets.models.classifier import Classifier
    from vaewidgets.training.devices import pick_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    model = load_named(args.model)
    if isinstance(model, Classifier):
        return _judge(args, model)
    if not model.has_prior and args.iwae is not None:
        raise ValueError(f"{args.model} is an autoencoder: it bounds nothing; leave --iwae out.")
    held_out = _held_out(args, model)
    columns = _columns(args, model, held_out.images)
    model.to(device).requires_grad_(False)
    report = {
        "model": sanitize(Path(args.model).stem) if args.model.endswith(".safetensors") else args.model,
        "kind": type(model).__name__,
        "latent_dim": model.latent_dim,
        "likelihood": model.config["likelihood"],
        "dataset": held_out.name,
        "split": held_out.split,
        "images": len(held_out.images),
        "seed": args.seed,
        "loss_in_file": held_out.loss_in_file,
        "measured": [_measure(model, column, held_out.labels, args.iwae or SAMPLES) for column in columns],
    }
    print(json.dumps(report, indent=2, allow_nan=False) if args.json else as_table(report))
    return 0


def _judge(args, model) -> int:
    from vaewidgets.data.dataset import Images
    from vaewidgets.evaluation.classifier import as_sentence, figures_of

    if args.iwae is not None:
        raise ValueError(f"{args.model} is a classifier: it bounds nothing; leave --iwae out.")
    held_out = _held_out(args, model)
    if held_out.labels is None:
        raise ValueError(f"{held_out.name} has no labels: what {args.model} says cannot be right or wrong.")
    images = Images(held_out.images, held_out.labels)
    figures = figures_of(model, images, f"{held_out.name}, {held_out.split}", args.seed)
    print(json.dumps(figures, indent=2) if args.json else as_sentence(figures))
    return 0


class _HeldOut(NamedTuple):
    """Held-out images; `loss_in_file` is the loss that the model's file states for them, if it does."""

    images: Tensor
    labels: Tensor | None
    name: str
    split: str
    loss_in_file: float | None


class _Column(NamedTuple):
    """One form of the images: as they are, or zeros and ones drawn from the greys."""

    on: str
    images: Tensor
    seed: int


def _held_out(args, model) -> _HeldOut:
    """Load the held-out images: those of the model's file, or the test split of ``--dataset``."""
    from vaewidgets.io.checkpoints import get_info, stated_dataset

    stated = get_info(model).get("figures")
    figures = stated if isinstance(stated, dict) else {}
    source, split = args.dataset, "test"
    if source is None:
        source, split = stated_dataset(model), figures.get("split", "test")
        # A path in it is not followed, because anyone can write a file.
        if source not in NAMED:
            raise ValueError(
                f"{args.model} names no dataset that can be loaded by its name (dataset: {source!r}). Say "
                f"what to measure on: --dataset {', '.join(NAMED)}, a folder of images or an .npz file."
            )
    data = _load(source, args, model)
    part = compare.first_images(_split(data, split, args.model), args.images, source)
    shape = tuple(part.images.shape[1:])
    if shape != model.image_shape:
        raise ValueError(
            f"{source} has images of {_times(shape)}, but {args.model} takes {_times(model.image_shape)} "
            "(channels x height x width). Name a dataset of that size with --dataset."
        )
    measured_alike = (
        args.dataset is None and figures.get("images") == len(part) and figures.get("seed") == args.seed
    )
    loss = figures.get("loss")
    if not measured_alike or not isinstance(loss, (int, float)) or not math.isfinite(loss):
        loss = None
    return _HeldOut(part.images, part.labels, data.name, split, loss)


def _load(source: str, args, model):
    from vaewidgets.data.load import load_data
    from vaewidgets.io.checkpoints import get_info

    # The images of a folder are resized to what the model takes, as they were for its training.
    is_folder = source not in NAMED and os.path.isdir(os.path.expanduser(source))
    channels, *size = model.image_shape
    options: dict[str, Any] = {"size": tuple(size), "channels": channels} if is_folder else {}
    options["white"] = white_of(get_info(model), source)
    try:
        return load_data(source, root=args.data, download=False, **options)
    except RuntimeError as error:
        raise RuntimeError(
            f"{error} Here root= is --data; "
            f"""python -c "import vaewidgets; vaewidgets.load_data('{source}')" downloads once."""
        ) from error


def _split(data, split, model_name: str):
    """Return the `Images` of a split by the name that ``vaewidgets train`` writes for it."""
    if split == "test":
        return data.test
    match = re.fullmatch(r"train\[-(\d{1,9}):\]", split) if isinstance(split, str) else None
    count = int(match[1]) if match else 0
    if not 0 < count <= len(data.train):
        raise ValueError(
            f"{model_name} says that it was measured on {split!r}, which {data.name} does not have. "
            f"Measure on its test images instead: --dataset {data.name}."
        )
    return data.train.take(slice(-count, None))


def _columns(args, model, images) -> list[_Column]:
    """Return the forms of the images that are measured."""
    import torch

    from vaewidgets.models.likelihoods import Bernoulli
    from vaewidgets.models.objectives import binarize

    if not isinstance(model.likelihood, Bernoulli):
        return [_Column("images", images, args.seed)]
    if ((images == 0) | (images == 1)).all():
        return [_Column("zeros and ones", images, args.seed)]
    columns = [_Column(_GREYS, images, args.seed)]
    if args.binarize == "once":
        binary = binarize(images, torch.Generator().manual_seed(args.seed))
        # The pixels have used the noise of this seed: that of z must be other numbers.
        columns.append(_Column(_BINARISED, binary, args.seed + 1))
    return columns


def _measure(model, column: _Column, labels, k: int) -> dict:
    """Measure all figures on one form of the images; a figure that does not exist is None."""
    from vaewidgets.evaluation.metrics import (
        active_units,
        encode_all,
        held_out_elbo,
        held_out_iwae,
        knn_agreement,
    )
    from vaewidgets.models.conditional import ConditionalVAE

    told = {"labels": labels} if isinstance(model, ConditionalVAE) else {}
    terms = held_out_elbo(model, column.images, **told, seed=column.seed)
    reconstruction, total = (
        _mean(name, getattr(terms, name), column) for name in ("reconstruction", "total")
    )
    mu = encode_all(model, column.images, **told).mu.cpu()
    n, d = mu.shape
    figures = {
        "on": column.on,
        "noise_seed": column.seed,
        "loss": -total["mean"],
        "reconstruction": reconstruction,
        **dict.fromkeys(("kl", "elbo", "iwae", "kl_per_dimension", "active_units", "knn_agreement")),
    }
    if model.has_prior:
        per_dimension = terms.kl.cpu().double().mean(0)
        order = per_dimension.argsort(descending=True, stable=True).tolist()
        figures["kl"] = _mean("KL", terms.kl.sum(1), column)
        figures["elbo"] = total
        figures["kl_per_dimension"] = [{"dimension": j + 1, "kl": per_dimension[j].item()} for j in order]
        if n > 1:
            units = active_units(mu)
            figures["active_units"] = {"count": units.count, "of": d, "variance": units.variance.tolist()}
    if model.has_prior and column.on != _GREYS:
        with progress_bar(desc=f"IWAE, k = {k}", total=n, unit="image") as bar:
            bounds = held_out_iwae(model, column.images, k, **told, seed=column.seed, progress=bar.update)
        figures["iwae"] = {"k": k, **_mean("IWAE", bounds, column)}
    if labels is not None and n > NEIGHBOURS:
        figures["knn_agreement"] = {"k": NEIGHBOURS, "share": knn_agreement(mu, labels, k=NEIGHBOURS)}
    return figures


def _mean(name: str, values, column: _Column) -> dict:
    """Compute the mean over images and its standard error; refuse values that are not finite."""
    from vaewidgets.evaluation.metrics import standard_error

    values = values.cpu().double()
    bad = int((~values.isfinite()).sum())
    if bad:
        raise RuntimeError(
            f"the {name} of {bad} of {len(values)} images ({column.on}) is not a finite number, so it has no "
            "mean. The weights are too large, as after a training that diverged: train with a smaller --lr."
        )
    error = standard_error(values)
    return {"mean": values.mean().item(), "standard_error": None if math.isnan(error) else error}


def as_table(report: dict) -> str:
    """Write the report of one model as a table in lines of less than 80 characters.

    Parameters
    ----------
    report : dict
        What ``vaewidgets evaluate --json`` prints.

    Examples
    --------
    >>> mean = {"mean": -20.5, "standard_error": None}
    >>> none = dict.fromkeys(["kl", "elbo", "iwae", "active_units", "knn_agreement"])
    >>> measured = {"on": "greys", "loss": 20.5, "reconstruction": mean, **none}
    >>> report = {"model": "m", "kind": "Autoencoder", "latent_dim": 2, "likelihood": "bernoulli",
    ...           "dataset": "digits", "split": "test", "images": 360, "seed": 0, "loss_in_file": None}
    >>> print(as_table(report | {"measured": [measured]}).splitlines()[4])
    reconstruction    -20.50  log p(x|z)
    """
    measured = report["measured"]
    has_prior = report["kind"] != "Autoencoder"
    absent = "an autoencoder has none"
    heads = {_GREYS: "on greys", "images": "on the images"}
    in_file = report["loss_in_file"]
    k = next((m["iwae"]["k"] for m in measured if m["iwae"]), None)
    rows = [
        ["nats per image", *(heads.get(m["on"], m["on"]) for m in measured), ""],
        ["reconstruction", *(_cell(m["reconstruction"]) for m in measured), "log p(x|z)"],
        ["KL", *(_cell(m["kl"]) for m in measured), "q(z|x) to N(0, I)" if has_prior else absent],
        ["ELBO", *(_cell(m["elbo"]) for m in measured), "the difference" if has_prior else absent],
        [
            "held-out loss",
            *(f"{m['loss']:.2f}" for m in measured),
            ("-ELBO" if has_prior else "-reconstruction")
            + (f"; in the file {in_file:.2f}" if in_file is not None else ""),
        ],
        [
            "IWAE" if k is None else f"IWAE, k = {k}",
            *(_cell(m["iwae"]) for m in measured),
            "nearer to log p(x)" if has_prior else absent,
        ],
        [
            "active units",
            *(f"{m['active_units']['count']} of {m['active_units']['of']}" if m["active_units"] else "-"
              for m in measured),
            "where mu varies" if has_prior else absent,
        ],
        [
            "k-NN agreement",
            *(f"{m['knn_agreement']['share']:.1%}" if m["knn_agreement"] else "-" for m in measured),
            f"{NEIGHBOURS} nearest share a label",
        ],
    ]  # fmt: skip
    lines = [
        f"{report['model']}: {report['kind']} of latent dimension {report['latent_dim']}, "
        f"{report['likelihood']} likelihood",
        f"{report['images']:,} held-out images: {report['dataset']}, {report['split']}; "
        f"seed {report['seed']}",
        "",
    ]
    columns = align([row[:-1] for row in rows])
    lines += [f"{words}  {row[-1]}".rstrip() for words, row in zip(columns, rows, strict=True)]
    if has_prior:
        items = [f"z{item['dimension']} {item['kl']:.2f}" for item in measured[0]["kl_per_dimension"]]
        width = max(map(len, items))
        lines += ["", f"KL of each latent dimension, largest first ({measured[0]['on']}):"]
        # No line may end between a name and its number.
        text = "  ".join(item.ljust(width).replace(" ", "\0") for item in items)
        wrapped = textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        lines += [line.replace("\0", " ").rstrip() for line in wrapped]
    for note in _notes(report):
        lines += ["", *textwrap.wrap(note, _WIDTH)]
    return "\n".join(lines)


def _cell(figure: dict | None) -> str:
    if figure is None:
        return "-"
    error = figure["standard_error"]
    return f"{figure['mean']:.2f}" + ("" if error is None else f" +- {error:.2f}")


def _notes(report: dict):
    """Yield what a reader of the table must know, one paragraph each."""
    on = [m["on"] for m in report["measured"]]
    bounded = (
        "; log p(x) is the model's own, and the bounds lie below it" if report["measured"][0]["kl"] else ""
    )
    yield f"Means over images, +- their standard errors{bounded}."
    if _BINARISED in on:
        yield (
            "Binarised once: each pixel drawn as 0 or 1 with the grey as its chance "
            f"(seed {report['seed']}); the same zeros and ones are encoded and scored. Published figures for "
            "binarised MNIST are of this kind."
        )
    if _GREYS in on and report["kind"] != "Autoencoder":
        yield "On greys the Bernoulli score is no density, so IWAE is measured on zeros and ones only."


def _times(shape) -> str:
    return "x".join(map(str, shape))
