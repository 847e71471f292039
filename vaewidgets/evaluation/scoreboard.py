"""The scoreboard: autoencoders and VAEs in one table, measured with one judge."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from vaewidgets._constants import NAMED
from vaewidgets.data import negatives
from vaewidgets.io.checkpoints import get_info, same_classes, stated_classes, stated_dataset
from vaewidgets.models.vae import unwrap, unwrap_arguments

from .holes import confidence_of, hole_rate
from .metrics import features_of
from .model_report import Figures, ModelReport, Row
from .probes import Grouping, baselines

if TYPE_CHECKING:
    from vaewidgets.models.classifier import Classifier
    from vaewidgets.models.vae import VAE, Autoencoder

#: A model, or several that differ by their seed.
Subjects: TypeAlias = "VAE | Autoencoder | Sequence[VAE | Autoencoder]"

FEWEST_DRAWS = 100


class Scoreboard(NamedTuple):
    """The result of `measure`.

    Attributes
    ----------
    rows : tuple of Row
        For each model its samplers and its reconstructions, then noise and shuffled pixels.
    models : tuple of Figures
    baselines : dict
        From latent dimension to the `Grouping` of pixels and of their projections; empty without images.
    images : int or None
        The number of real images; None without them.
    draws, seed : int
        As `measure` took them.
    """

    rows: tuple[Row, ...]
    models: tuple[Figures, ...]
    baselines: dict[int, dict[str, Grouping]]
    images: int | None
    draws: int
    seed: int

    def as_table(self) -> str:
        """Format it as text, in lines of less than 100 characters."""
        from .report import as_table

        return as_table(self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON: dicts, lists, numbers, text and None."""
        from .report import as_dict

        return as_dict(self)


@unwrap_arguments
def measure(
    models: Mapping[str, Subjects] | Sequence[Subjects],
    judge: Classifier,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
    progress: Callable[[float, str], object] | None = None,
) -> Scoreboard:
    """Measure several models with the same judge, images and seed.

    Parameters
    ----------
    models : dict of str to model, or a sequence of models
        The models of a sequence are named by kind and latent dimension. A list in place of a model holds
        models that differ by their seed: the first is measured, the others show how far its holes vary.
    judge : Classifier
        Of the same images and classes.
    images, labels : Tensor of shape (N, C, H, W), (N,), optional
        Held out. Without them the codes are those of each model's atlas, and what needs pixels is None.
    draws : int
        Of each sampler; also the largest number of images and of codes of a kind that are used.
    seed : int
        Of all noise.
    progress : callable, optional
        Called with the share of the work that is done, from 0 to 1, and a text of what comes next.

    Returns
    -------
    Scoreboard

    Raises
    ------
    ValueError
        Models of different image shapes, a judge of another shape or of other classes, images that do not
        fit, codes that are missing or too few.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> models = {"AE": vw.pretrained("digits-ae-2d"), "VAE": vw.pretrained("digits-vae-2d")}
    >>> board = vw.scoreboard.measure(models, vw.pretrained("digits-classifier"), draws=200)
    >>> {row.model for row in board.rows} == {"AE", "VAE", None}
    True
    """
    named = name_models(models)
    _check(named, judge, images, labels, draws)
    # Of each model its codes, 3 samplers, reconstructions and figures, or of another seed codes and samplers.
    tasks = sum(2 + 4 * len(seeds) for seeds in named.values()) + 1 + (images is not None)
    done = itertools.count()

    def begin(task: str) -> None:
        if progress is not None:
            progress(next(done) / tasks, task)

    pixels = None if images is None else images[:draws]
    real = None if pixels is None else features_of(judge, pixels)
    rows, figures = [], []
    for name, (model, *others) in named.items():
        begin(f"{name}: its codes")
        subject = ModelReport(name, model, judge, images, labels, draws, seed)
        found = []
        for sampler in subject.samplers:
            begin(f"{name}: {sampler.name}")
            found.append(subject.row(sampler, real))
        begin(f"{name}: reconstructions")
        found.append(subject.reconstruction_row(real))
        begin(f"{name}: figures")
        figures.append(subject.figures())
        if pixels is None:
            pixels = subject.reconstructions
        for other in others:
            begin(f"{name}, another seed: its codes")
            twin = ModelReport(name, other, judge, images, labels, draws, seed)
            for i, sampler in enumerate(twin.samplers):
                begin(f"{name}, another seed: {sampler.name}")
                found[i] = found[i]._replace(seeds=(*found[i].seeds, twin.holes(sampler).share))
        rows += found
    begin("noise")
    assert pixels is not None  # there is at least one model
    generator = torch.Generator().manual_seed(seed)
    for source, make, how in (
        ("noise", negatives.uniform, "each pixel uniform"),
        ("shuffled pixels", negatives.shuffled, "of images" if images is not None else "of reconstructions"),
    ):
        rows.append(Row(source, None, how, hole_rate(confidence_of(judge, make(pixels, generator)))))
    groupings = {}
    if labels is not None:
        begin("pixels and their projections")
        dimensions = sorted({f.latent_dim for f in figures})
        groupings = {d: baselines(pixels, labels[:draws], d, seed=seed) for d in dimensions}
    begin("done")
    return Scoreboard(
        tuple(rows), tuple(figures), groupings, None if images is None else len(pixels), draws, seed
    )


def name_models(
    models: Mapping[str, Subjects] | Sequence[Subjects],
) -> dict[str, list[VAE | Autoencoder]]:
    """Name models as `measure` does: a dict from each name to a list with one model for each seed.

    Models without a name are called by kind and latent dimension; the second of a name gets a number.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> list(vw.scoreboard.name_models([vw.VAE(2), vw.VAE(2), vw.Autoencoder(3)]))
    ['VAE 2-d', 'VAE 2-d (2)', 'Autoencoder 3-d']
    """
    named = models if isinstance(models, Mapping) else _name(models)
    return {name: list(map(unwrap, m if isinstance(m, (list, tuple)) else [m])) for name, m in named.items()}


def _name(models: Sequence[Subjects]) -> dict[str, Subjects]:
    named: dict[str, Subjects] = {}
    for model in map(unwrap, models):
        name = base = f"{type(model).__name__} {model.latent_dim}-d"
        number = 2
        while name in named:
            name, number = f"{base} ({number})", number + 1
        named[name] = model
    return named


def _check(
    named: dict[str, list[VAE | Autoencoder]],
    judge: Classifier,
    images: Tensor | None,
    labels: Tensor | None,
    draws: int,
) -> None:
    """Raise unless all models can be measured in one table."""
    if draws < FEWEST_DRAWS:
        raise ValueError(f"draws must be at least {FEWEST_DRAWS} for a table of shares; got {draws}.")
    if not named or not all(named.values()):
        raise ValueError("measure takes at least one model, and at least one of each name.")
    if images is not None and (images.dim() != 4 or tuple(images.shape[1:]) != tuple(judge.image_shape)):
        wanted = ", ".join(map(str, judge.image_shape))
        raise ValueError(f"images have shape {tuple(images.shape)}, but this judge takes (N, {wanted}).")
    if labels is not None and (images is None or labels.shape != (len(images),)):
        raise ValueError("labels go with images, one for each.")
    for name, seeds in named.items():
        for model in seeds:
            check_judge(judge, model, name)
            if type(model) is not type(seeds[0]) or model.latent_dim != seeds[0].latent_dim:
                raise ValueError(f"the models of {name} must differ by their seed only; they do not.")
    if labels is not None and int(labels.max()) + 1 > judge.classes:
        raise ValueError(f"labels are of {int(labels.max()) + 1} classes, this judge's of {judge.classes}.")


def check_judge(judge: Classifier, model: VAE | Autoencoder, name: str) -> None:
    """Raise unless a judge can classify this model's images.

    Parameters
    ----------
    judge : Classifier
    model : VAE or Autoencoder
    name : str
        Of the model, for the message.

    Raises
    ------
    TypeError
        The judge is no classifier.
    ValueError
        It takes images of another shape, or knows other classes.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.scoreboard.check_judge(vw.pretrained("digits-classifier"), vw.pretrained("digits-vae-2d"), "VAE")
    """
    if not all(callable(getattr(judge, name, None)) for name in ("probabilities", "confidence")):
        raise TypeError(f"judge must be a Classifier; got {type(judge).__name__}.")
    if hasattr(model, "given"):
        raise ValueError(f"{name} decodes under a label: fix one, model.given(label), with an atlas of it.")
    if tuple(model.image_shape) != tuple(judge.image_shape):
        made, taken = ("x".join(map(str, m.image_shape)) for m in (model, judge))
        raise ValueError(
            f"{name} makes images of {made}, but this judge takes {taken} (channels x height x width): one "
            "table is of one image shape."
        )
    data, judged = map(stated_dataset, (model, judge))
    known, own = map(stated_classes, (model, judge))
    # The name of a folder or a file says little: the same images may lie in either.
    other = data in NAMED and judged in NAMED and data != judged
    if other or (known and own and known != own):
        raise ValueError(f"{name} was trained on {data}, this judge on {judged}: it knows other classes.")
    atlas = getattr(model, "atlas", None)
    # A conditional model under one label has the codes of that label alone.
    if atlas is not None and atlas.labels is not None and "label" not in get_info(model):
        classes = int(atlas.labels.max()) + 1
        # Of images split at random, the last class may have none among those that are held out.
        if classes > judge.classes or (classes < judge.classes and not same_classes(model, judge)):
            raise ValueError(f"the labels of {name} are of {classes} classes, this judge's {judge.classes}.")
