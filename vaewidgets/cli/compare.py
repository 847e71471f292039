"""``vaewidgets evaluate MODEL ... --judge NAME``: print the scoreboard."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

from vaewidgets._constants import NAMED

from .train_options import FREE, white_of

_DRAWS = 10_000


def run(args) -> int:
    """Measure, and print a table or JSON. Returns the command's exit status.

    Parameters
    ----------
    args : argparse.Namespace
        With what `evaluate.add_arguments` adds.
    """
    if args.iwae is not None or args.binarize != "once":
        raise ValueError("--iwae and --binarize are for one model without --judge: leave them out.")
    if args.device not in ("auto", "cpu"):
        raise ValueError(f"the scoreboard is computed on the processor; leave --device {args.device} out.")
    # Only now: importing torch takes seconds, and a refusal should not.
    import torch

    from vaewidgets.evaluation.scoreboard import measure
    from vaewidgets.io.checkpoints import load_named
    from vaewidgets.models.classifier import Classifier

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    judge = load_named(args.judge)
    if not isinstance(judge, Classifier):
        raise ValueError(
            f"--judge takes a Classifier; {args.judge} holds a model of kind {type(judge).__name__}."
        )
    models = {}
    for text in args.models:
        name = Path(text).stem if text.endswith(".safetensors") else text
        if name in models:
            raise ValueError(f"two models are called {name}: name each once, and rename one of two files.")
        models[name] = load_named(text)
        if isinstance(models[name], Classifier):
            raise ValueError(f"{text} is a Classifier: it can be the --judge, but not a MODEL.")
    for model in (judge, *models.values()):
        model.requires_grad_(False)
    source, images, labels, said = _held_out(args, models)
    with _bar() as bar:

        def tell(share: float, what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update(100 * share - bar.n)

        board = measure(
            group_seeds(models),
            judge,
            images,
            labels,
            draws=args.draws or _DRAWS,
            seed=args.seed,
            progress=tell,
        )
    if args.json:
        report = {"judge": Path(args.judge).stem, "dataset": source, "note": said, **board.as_dict()}
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        print("\n".join(textwrap.wrap(f"judge: {Path(args.judge).stem}; {said}", 99)))
        print(board.as_table())
    return 0


def group_seeds(models: dict[str, Any]) -> dict[str, list[Any]]:
    """Put models of one recipe that differ by their seed under the name of the first."""
    groups: dict[str, list] = {}
    names: dict[str, str] = {}
    for name, model in models.items():
        recipe = _recipe(model)
        same = names.setdefault(recipe, name) if recipe is not None else name
        groups.setdefault(same, []).append(model)
    return groups


def _recipe(model) -> str | None:
    """Write down all that made a model but its seed and the machine; None if its file does not say."""
    from vaewidgets.io.checkpoints import get_info

    info = get_info(model)
    recipe = info.get("recipe")
    if not isinstance(recipe, dict) or "seed" not in recipe:
        return None
    left = {name: value for name, value in recipe.items() if name not in ("seed", *FREE)}
    return json.dumps([type(model).__name__, model.config, info.get("dataset"), left], sort_keys=True)


def _held_out(args, models: dict):
    """Return the dataset's name, its test images and labels (None where they are not at hand), and a note."""
    from vaewidgets.data.load import load_data
    from vaewidgets.io.checkpoints import get_info, stated_dataset

    named = {stated_dataset(model) for model in models.values()}
    if args.dataset is None and (len(named) > 1 or not named <= {*NAMED, None}):
        raise ValueError(
            f"the models were trained on {', '.join(sorted(map(str, named)))}; say what to measure them on: "
            f"--dataset {', '.join(NAMED)}, a folder of images or an .npz file."
        )
    source = args.dataset if args.dataset is not None else named.pop()
    if source is None:
        return None, None, None, "the files name no dataset, so no images; --dataset names one"
    try:
        whites = (white_of(get_info(model), source) for model in models.values())
        white = next(filter(None, whites), None)
        data = load_data(source, root=args.data, download=False, white=white)
    except RuntimeError as error:
        if args.dataset is not None:
            raise
        return source, None, None, f"no images: {error}"
    test = data.test
    if args.images is not None:
        if args.images > len(test):
            raise ValueError(
                f"--images {args.images} is more than the {len(test)} held-out images of {data.name}."
            )
        test = test.take(slice(args.images))
    return data.name, test.images, test.labels, f"{len(test):,} test images of {data.name}"


def _bar():
    from tqdm import tqdm

    # A log file wants few lines.
    pause = 0.25 if sys.stderr.isatty() else 10.0
    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    return tqdm(total=100, bar_format=form, mininterval=pause, dynamic_ncols=True, leave=False)
