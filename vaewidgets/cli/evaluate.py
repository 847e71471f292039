"""``vaewidgets evaluate``: measure a stored model on images that it has not seen."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vaewidgets._constants import NAMED
from vaewidgets._utils.text import align, sanitize

from .train_options import white_of

if TYPE_CHECKING:
    from torch import Tensor

#: Samples of `held_out_iwae` unless asked otherwise: seconds for MNIST; papers take 5,000.
SAMPLES = 50
NEIGHBOURS = 10
_WIDTH = 79


def add_arguments(parser) -> None:
    """Give an argparse parser the options of ``vaewidgets evaluate``."""
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
    """Measure, and print a table or JSON: the command itself. Returns its exit status.

    Parameters
    ----------
    args : argparse.Namespace
        With what `add_arguments` adds.
    """
    for option in ("iwae", "images", "threads", "draws"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ValueError(f"--{option} must be at least 1; got {value}.")
    if not 0 <= args.seed < 2**63 - 1:
        raise ValueError(f"--seed must be from 0 to 2**63 - 2; got {args.seed}.")
    if args.judge is not None:
        from . import compare

        return compare.run(args)
    if len(args.models) > 1:
        raise ValueError(f"{len(args.models)} models are compared by a judge: name one with --judge NAME.")
    if args.draws is not None:
        raise ValueError("--draws counts what a judge is shown: name one with --judge NAME.")
    (args.model,) = args.models
    # Only now: importing torch takes seconds, and a refusal should not.
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
    """What is measured on; `loss_in_file` is the file's figure for the same images, if it has one."""

    images: Tensor
    labels: Tensor | None
    name: str
    split: str
    loss_in_file: float | None


class _Column(NamedTuple):
    """One form of the images: as they are, or drawn from the greys."""

    on: str
    images: Tensor
    seed: int
    has_iwae: bool


def _held_out(args, model) -> _HeldOut:
    """Load the held-out images: those of the model's file, or the test split of ``--dataset``."""
    from vaewidgets.io.checkpoints import get_info, stated_dataset

    info = get_info(model)
    stated = info.get("figures")
    figures = stated if isinstance(stated, dict) else {}
    source, split = args.dataset, "test"
    if source is None:
        source, split = stated_dataset(model), figures.get("split", "test")
        # A path that it names is not followed: a file comes from anyone.
        if source not in NAMED:
            raise ValueError(
                f"{args.model} names no dataset that can be loaded by its name (dataset: {source!r}). Say "
                f"what to measure on: --dataset {', '.join(NAMED)}, a folder of images or an .npz file."
            )
    data = _load(source, args, model)
    part = _split(data, split, args.model)
    n = len(part) if args.images is None else args.images
    if n > len(part):
        raise ValueError(f"--images {n} is more than the {len(part)} held-out images of {source}.")
    shape = tuple(part.images.shape[1:])
    if shape != model.image_shape:
        raise ValueError(
            f"{source} has images of {_times(shape)}, but {args.model} takes {_times(model.image_shape)} "
            "(channels x height x width). Name a dataset of that size with --dataset."
        )
    same = args.dataset is None and figures.get("images") == n and figures.get("seed") == args.seed
    loss = figures.get("loss")
    return _HeldOut(
        part.images[:n],
        None if part.labels is None else part.labels[:n],
        data.name,
        split,
        loss if same and isinstance(loss, (int, float)) and math.isfinite(loss) else None,
    )


def _load(source: str, args, model):
    from vaewidgets.data.load import load_data
    from vaewidgets.io.checkpoints import get_info

    # A folder's images are brought to the size that the model takes, as they were for its training.
    is_folder = source not in NAMED and os.path.isdir(os.path.expanduser(source))
    channels, *size = model.image_shape
    shape = {"size": tuple(size), "channels": channels} if is_folder else {}
    white = white_of(get_info(model), source)
    try:
        return load_data(source, root=args.data, download=False, white=white, **shape)
    except RuntimeError as error:
        raise RuntimeError(
            f"{error} Here root= is --data; "
            f"""python -c "import vaewidgets; vaewidgets.load_data('{source}')" downloads once."""
        ) from error


def _split(data, split, model_name: str):
    """Return the `Images` that the name of a split stands for, as ``vaewidgets train`` writes it."""
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
    """Say in which forms the images are measured."""
    import torch

    from vaewidgets.models.likelihoods import Bernoulli
    from vaewidgets.models.objectives import binarize

    if not isinstance(model.likelihood, Bernoulli):
        return [_Column("images", images, args.seed, model.has_prior)]
    if ((images == 0) | (images == 1)).all():
        return [_Column("zeros and ones", images, args.seed, model.has_prior)]
    columns = [_Column("greys", images, args.seed, False)]
    if args.binarize == "once":
        binary = binarize(images, torch.Generator().manual_seed(args.seed))
        # The pixels have used the noise of this seed; that of z must not be the same numbers again.
        columns.append(_Column("binarised once", binary, args.seed + 1, model.has_prior))
    return columns


def _measure(model, column: _Column, labels, k: int) -> dict:
    """Measure everything on one form of the images; what does not exist is None."""
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
    if column.has_iwae:
        with _progress(n, k) as bar:
            bounds = held_out_iwae(model, column.images, k, **told, seed=column.seed, progress=bar.update)
        figures["iwae"] = {"k": k, **_mean("IWAE", bounds, column)}
    if labels is not None and n > NEIGHBOURS:
        figures["knn_agreement"] = {"k": NEIGHBOURS, "share": knn_agreement(mu, labels, k=NEIGHBOURS)}
    return figures


def _mean(name: str, values, column: _Column) -> dict:
    """Mean over images with its standard error; refuse what is no number."""
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


def _progress(n: int, k: int):
    from tqdm import tqdm

    # A log file wants few lines.
    pause = 0.25 if sys.stderr.isatty() else 10.0
    return tqdm(
        desc=f"IWAE, k = {k}", total=n, unit="image", mininterval=pause, dynamic_ncols=True, leave=False
    )


def as_table(report: dict) -> str:
    """Lay a report out for reading, in lines of less than 80 characters."""
    measured = report["measured"]
    has_prior = report["kind"] != "Autoencoder"
    absent = "an autoencoder has none"
    in_file = report["loss_in_file"]
    k = next((m["iwae"]["k"] for m in measured if m["iwae"]), None)
    rows = [
        ["nats per image", *(_heading(m) for m in measured), ""],
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
    first = measured[0]
    if has_prior:
        items = [f"z{item['dimension']} {item['kl']:.2f}" for item in first["kl_per_dimension"]]
        width = max(map(len, items))
        lines += ["", f"KL of each latent dimension, largest first ({first['on']}):"]
        # A name and its number must not be parted by a line's end.
        text = "  ".join(item.ljust(width).replace(" ", "\0") for item in items)
        wrapped = textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")
        lines += [line.replace("\0", " ").rstrip() for line in wrapped]
    for note in _notes(report):
        lines += ["", *textwrap.wrap(note, _WIDTH)]
    return "\n".join(lines)


def _heading(measured: dict) -> str:
    return {"greys": "on greys", "images": "on the images"}.get(measured["on"], measured["on"])


def _cell(figure: dict | None) -> str:
    if figure is None:
        return "-"
    error = figure["standard_error"]
    return f"{figure['mean']:.2f}" + ("" if error is None else f" +- {error:.2f}")


def _notes(report: dict):
    """Say what a reader of the table must know, each as one paragraph."""
    on = [m["on"] for m in report["measured"]]
    bounded = (
        "; log p(x) is the model's own, and the bounds lie below it" if report["measured"][0]["kl"] else ""
    )
    yield f"Means over images, +- their standard errors{bounded}."
    if "binarised once" in on:
        yield (
            "Binarised once: each pixel drawn as 0 or 1 with the grey as its chance "
            f"(seed {report['seed']}); the same zeros and ones are encoded and scored. Published figures for "
            "binarised MNIST are of this kind."
        )
    if "greys" in on and report["kind"] != "Autoencoder":
        yield "On greys the Bernoulli score is no density, so IWAE is measured on zeros and ones only."


def _times(shape) -> str:
    return "x".join(map(str, shape))
