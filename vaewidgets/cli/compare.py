"""``vaewidgets evaluate MODEL ... --judge NAME``: print the scoreboard."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaewidgets._constants import NAMED

from .progress import progress_bar
from .train_options import FREE, white_of

if TYPE_CHECKING:
    from vaewidgets.data.dataset import Images


def run(args) -> int:
    """Measure several models by one classifier and print the scoreboard, as a table or JSON.

    Parameters
    ----------
    args : argparse.Namespace
        The options that `evaluate.add_arguments` adds.

    Returns
    -------
    int
        The exit status, 0.

    Raises
    ------
    ValueError, RuntimeError, OSError
        Something cannot be loaded, compared or measured.
    """
    if args.iwae is not None or args.binarize != "once":
        raise ValueError("--iwae and --binarize are for one model without --judge: leave them out.")
    if args.device not in ("auto", "cpu"):
        raise ValueError(f"the scoreboard is computed on the processor; leave --device {args.device} out.")
    # Imported only now: it takes seconds, and what is refused is refused at once.
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
    source, images, labels, note = _held_out(args, models)
    with progress_bar(total=100, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}") as bar:

        def show(share: float, what: str) -> None:
            bar.set_description(what, refresh=False)
            bar.update(100 * share - bar.n)

        board = measure(
            group_seeds(models), judge, images, labels, draws=args.draws or 10_000, seed=args.seed,
            progress=show,
        )  # fmt: skip
    if args.json:
        report = {"judge": Path(args.judge).stem, "dataset": source, "note": note, **board.as_dict()}
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        print(textwrap.fill(f"judge: {Path(args.judge).stem}; {note}", 99))
        print(board.as_table())
    return 0


def group_seeds(models: dict[str, Any]) -> dict[str, list[Any]]:
    """Group models that differ only by their seed under the name of the first of them.

    Parameters
    ----------
    models : dict of model by name
        What they were trained with stands in their files.

    Returns
    -------
    dict of list of model, by name

    Examples
    --------
    >>> import vaewidgets as vw
    >>> names = ["digits-vae-2d", "digits-ae-2d"]
    >>> groups = group_seeds({name: vw.pretrained(name) for name in names})
    >>> {name: len(models) for name, models in groups.items()}
    {'digits-vae-2d': 1, 'digits-ae-2d': 1}
    """
    groups: dict[str, list] = {}
    names: dict[str, str] = {}
    for name, model in models.items():
        first = names.setdefault(_recipe(model) or name, name)
        groups.setdefault(first, []).append(model)
    return groups


def _recipe(model) -> str | None:
    """Return as JSON what made a model, without its seed and the machine; None if its file does not say."""
    from vaewidgets.io.checkpoints import get_info

    info = get_info(model)
    recipe = info.get("recipe")
    if not isinstance(recipe, dict) or "seed" not in recipe:
        return None
    left = {name: value for name, value in recipe.items() if name not in ("seed", *FREE)}
    return json.dumps([type(model).__name__, model.config, info.get("dataset"), left], sort_keys=True)


def _held_out(args, models: dict):
    """Return the name of the dataset, its test images and labels (None if they are missing), and a note."""
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
        data = load_data(source, root=args.data, download=False, white=next(filter(None, whites), None))
    except RuntimeError as error:
        if args.dataset is not None:
            raise
        return source, None, None, f"no images: {error}"
    test = first_images(data.test, args.images, data.name)
    return data.name, test.images, test.labels, f"{len(test):,} test images of {data.name}"


def first_images(images: Images, count: int | None, name: str) -> Images:
    """Take the first `count` of the held-out images of a dataset; all of them if it is None.

    Raises
    ------
    ValueError
        There are not as many.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> len(first_images(vw.load_data("digits").test, 20, "digits"))
    20
    """
    if count is not None and count > len(images):
        raise ValueError(f"--images {count} is more than the {len(images)} held-out images of {name}.")
    return images.take(slice(count))
