"""The scoreboard: autoencoders and VAEs in one table, by one judge."""

from __future__ import annotations

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

#: A model, or one recipe from several seeds.
Subjects: TypeAlias = "VAE | Autoencoder | Sequence[VAE | Autoencoder]"

FEWEST_DRAWS = 100


class Scoreboard(NamedTuple):
    """Everything that `measure` found.

    Attributes
    ----------
    rows : tuple of Row
        Each model's samplers and its reconstructions, then noise and shuffled pixels.
    models : tuple of Figures
    baselines : dict
        Latent dimension to the `Grouping` of pixels and of their projections; empty without images.
    images : int or None
        How many real images took part.
    draws, seed : int
    """

    rows: tuple[Row, ...]
    models: tuple[Figures, ...]
    baselines: dict[int, dict[str, Grouping]]
    images: int | None
    draws: int
    seed: int

    def as_table(self) -> str:
        """Lay it out for reading, in lines of less than 100 characters."""
        from .report import as_table

        return as_table(self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
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
    """Measure models beside each other.

    Parameters
    ----------
    models : dict of str to model, or a sequence of models
        A sequence is named by kind and latent dimension. In place of a model a list: one recipe from several
        seeds, of which the first is measured and the others show how far its holes vary.
    judge : Classifier
        Of the same images and classes.
    images, labels : Tensor of shape (N, C, H, W), (N,), optional
        Held out. Without them each model's atlas stands for them, and what needs pixels is None.
    draws : int
        Of each sampler; also the most images and codes of a kind that are used.
    seed : int
        Of all noise.
    progress : callable, optional
        Told the share of the work that is done, from 0 to 1, and what comes next.

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
    meter = _Meter(progress, sum(2 + 4 * len(seeds) for seeds in named.values()) + 1 + (images is not None))
    real = None if images is None else features_of(judge, images[:draws])
    pictures = [] if images is None else [images[:draws]]
    rows, figures = [], []
    for name, (model, *others) in named.items():
        meter.next(f"{name}: its codes")
        subject = ModelReport(name, model, judge, images, labels, draws, seed)
        found = []
        for sampler in subject.samplers:
            meter.next(f"{name}: {sampler.name}")
            found.append(subject.row(sampler, real))
        meter.next(f"{name}: reconstructions")
        found.append(subject.reconstruction_row(real))
        meter.next(f"{name}: figures")
        figures.append(subject.figures())
        if not pictures:
            pictures.append(subject.reconstructions)
        for other in others:
            meter.next(f"{name}, another seed: its codes")
            twin = ModelReport(name, other, judge, images, labels, draws, seed)
            for i, sampler in enumerate(twin.samplers):
                meter.next(f"{name}, another seed: {sampler.name}")
                found[i] = found[i]._replace(seeds=(*found[i].seeds, twin.holes(sampler).share))
        rows += found
    meter.next("noise")
    (pixels,) = pictures
    generator = torch.Generator().manual_seed(seed)
    for source, make, how in (
        ("noise", negatives.uniform, "each pixel uniform"),
        ("shuffled pixels", negatives.shuffled, "of images" if images is not None else "of reconstructions"),
    ):
        rows.append(Row(source, None, how, hole_rate(confidence_of(judge, make(pixels, generator)))))
    held_against = {}
    if labels is not None:
        meter.next("pixels and their projections")
        dimensions = sorted({f.latent_dim for f in figures})
        held_against = {d: baselines(pixels, labels[:draws], d, seed=seed) for d in dimensions}
    meter.end()
    n = None if images is None else len(pixels)
    return Scoreboard(tuple(rows), tuple(figures), held_against, n, draws, seed)


class _Meter:
    """Tell how far the work is."""

    def __init__(self, progress: Callable[[float, str], object] | None, tasks: int) -> None:
        self._progress, self._tasks, self._done = progress, tasks, 0

    def next(self, what: str) -> None:
        if self._progress is not None:
            self._progress(self._done / self._tasks, what)
        self._done += 1

    def end(self) -> None:
        if self._progress is not None:
            self._progress(1.0, "done")


def name_models(
    models: Mapping[str, Subjects] | Sequence[Subjects],
) -> dict[str, list[VAE | Autoencoder]]:
    """Name models as `measure` does, each a list with one model a seed.

    Those without a name are called by kind and latent dimension; the second of a name gets a number.
    """
    named = models if isinstance(models, Mapping) else _name(models)
    seeds = {name: m if isinstance(m, (list, tuple)) else [m] for name, m in named.items()}
    return {name: list(map(unwrap, each)) for name, each in seeds.items()}


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
    """Refuse what cannot stand in one table."""
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
    """Raise unless a judge's verdict on this model's images means something.

    Raises
    ------
    TypeError
        It is no judge.
    ValueError
        It is one of other images, or of other classes.
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
