"""How good a `Classifier` is: its accuracy, and the share of images that it rejects."""

from __future__ import annotations

from typing import Any

import torch

from vaewidgets.data.dataset import Images
from vaewidgets.data.negatives import shuffled, uniform
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.vae import in_eval_mode

from .holes import TAU, Rate, confidence_of, hole_rate


@in_eval_mode
def measure(model: Classifier, images: Images, *, tau: float = TAU, seed: int = 0) -> dict[str, Rate]:
    """Measure a classifier on images that it has not seen.

    Parameters
    ----------
    model : Classifier
    images : Images
        With labels.
    tau : float
        An image whose `confidence` is below it is rejected.
    seed : int
        Of the noise.

    Returns
    -------
    dict of str to Rate
        "accuracy", by the most probable of the real classes; and the shares rejected of the "real" images, of
        as many images of "noise" (uniform pixels), and of the same images with their pixels "shuffled".

    Raises
    ------
    ValueError
        The images have no labels.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> from vaewidgets.evaluation.classifier import measure
    >>> rates = measure(vw.pretrained("digits-classifier"), vw.load_data("digits").test)
    >>> rates["accuracy"].n, rates["accuracy"].share > 0.9, rates["noise"].share > 0.9
    (360, True, True)
    """
    if images.labels is None:
        raise ValueError("a classifier is measured on images with labels; these have none.")
    x, generator = images.images, torch.Generator().manual_seed(seed)
    best = torch.cat([model(part)[:, :-1].argmax(1) for part in x.split(1000)])
    pictures = {"real": x, "noise": uniform(x, generator), "shuffled": shuffled(x, generator)}
    rejected = {name: hole_rate(confidence_of(model, some), tau) for name, some in pictures.items()}
    return {"accuracy": Rate.of(best == images.labels), **rejected}


def figures_of(model: Classifier, images: Images, split: str, seed: int = 0) -> dict[str, Any]:
    """Measure a classifier as `measure` does; return what the header of its file states, as plain JSON.

    Parameters
    ----------
    model : Classifier
    images : Images
        With labels.
    split : str
        What the images are called: "test" or "validation".
    seed : int
        Of the noise.
    """
    rates = {kind: rate._asdict() for kind, rate in measure(model, images, seed=seed).items()}
    return {
        "accuracy": rates.pop("accuracy"),
        "tau": TAU,
        "rejected": rates,
        "images": len(images),
        "split": split,
        "seed": seed,
    }


def as_sentence(figures: dict[str, Any]) -> str:
    """Write the figures of `figures_of` as one line of text.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> from vaewidgets.evaluation.classifier import as_sentence, figures_of
    >>> test = vw.load_data("digits").test
    >>> figures = figures_of(vw.pretrained("digits-classifier"), test, "test")
    >>> as_sentence(figures).endswith("of shuffled ones")
    True
    """
    real, noise, shuffled = (f"{rate['share']:.1%}" for rate in figures["rejected"].values())
    return (
        f"accuracy {figures['accuracy']['share']:.2%} on {figures['images']:,} images ({figures['split']}); "
        f"rejected at {figures['tau']:g}: {real} of them, {noise} of noise, {shuffled} of shuffled ones"
    )
