"""Checks of the arguments of a training: each error says what was expected and what came."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaewidgets.data.dataset import check_images
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.vae import Autoencoder, LatentModel, check_choice

#: The largest number that the weights' float32 can hold.
LARGEST = torch.finfo(torch.float32).max


def check_training(
    model: LatentModel, images: Tensor, validation: Tensor | None, asked: dict[str, Any]
) -> None:
    """Check the arguments of `fit`, each by itself and all together.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    images, validation : Tensor of shape (N, C, H, W)
    asked : dict
        The other arguments, by name.

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or does not fit the others.
    """
    for name in ("epochs", "batch_size"):
        check_count(name, asked[name])
    for name in ("iwae", "patience"):
        if asked[name] is not None:
            check_count(name, asked[name])
    for name in ("lr", "beta", "weight_decay", "kl_warmup", "free_bits"):
        check_nonnegative(name, asked[name])
    check_seed(asked["seed"])
    check_choice("schedule", asked["schedule"], ("constant", "cosine"))
    check_choice("precision", asked["precision"], ("float32", "bfloat16"))
    if asked["binarize"] not in (None, "dynamic"):
        raise ValueError(f'binarize must be None or "dynamic"; got {asked["binarize"]!r}.')
    if asked["patience"] is not None and validation is None:
        raise ValueError("patience counts epochs without progress on validation images; pass validation=.")
    splits = [split for split in (images, validation) if split is not None]
    for split in splits:
        check_images(split, model.image_shape, (0.0, 1.0) if asked["binarize"] else model.likelihood.support)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ValueError("every weight of this model is frozen; model.requires_grad_(True) frees them.")
    if isinstance(model, Autoencoder):
        if asked["iwae"] or asked["free_bits"] or asked["kl_warmup"]:
            raise ValueError("iwae, free_bits and kl_warmup belong to a VAE: an autoencoder has no KL.")
    elif asked["iwae"] is not None:
        _check_iwae(model, splits, asked)


def check_labels(model: LatentModel, images: Tensor, labels: Tensor | None, name: str) -> None:
    """Raise unless there is a label for each image if `model` takes labels, and no labels otherwise.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    images : Tensor of shape (N, C, H, W)
    labels : Tensor of shape (N,) or None
    name : str
        The argument that should hold them, for the message.

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(model, ConditionalVAE):
        if labels is not None:
            raise ValueError(f"labels are for a ConditionalVAE; {type(model).__name__} trains without.")
    elif labels is None:
        raise ValueError(f"a ConditionalVAE trains on labelled images; pass {name}.")
    else:
        # On the processor, where their range is checked.
        model.check_labels(labels.cpu() if isinstance(labels, Tensor) else labels, len(images))


def check_count(name: str, value: object) -> None:
    """Raise ValueError, with the argument's `name`, unless `value` is an int of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}.")


def check_nonnegative(name: str, value: Any) -> None:
    """Raise ValueError unless `value` is a number that float32 holds and at least 0; for "lr", above 0."""
    try:
        fits = not isinstance(value, bool) and math.isfinite(value) and value >= 0
    except (TypeError, OverflowError):
        fits = False
    if not fits or (name == "lr" and value == 0):
        wanted = "a positive number" if name == "lr" else "a number, at least 0"
        raise ValueError(f"{name} must be {wanted}; got {value!r}.")
    if value > LARGEST:
        raise ValueError(f"{name} must be at most {LARGEST:.2g}, where float32 ends; got {value!r}.")


def check_seed(seed: object) -> None:
    """Raise ValueError unless `seed` is an int from 0 to 2**63 - 1, which a generator takes."""
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 up; got {seed!r}.")


def _check_iwae(model: LatentModel, splits: list[Tensor], asked: dict[str, Any]) -> None:
    k = asked["iwae"]
    if asked["beta"] != 1 or asked["kl_warmup"] or asked["free_bits"]:
        raise ValueError(
            f"iwae={k} takes no beta, kl_warmup or free_bits: in the importance-weighted bound the KL is not "
            "a term apart."
        )
    if k == 1 or asked["binarize"] or not isinstance(model.likelihood, Bernoulli):
        return
    if not all(((split == 0) | (split == 1)).all() for split in splits):
        raise ValueError(
            f"iwae={k} under the Bernoulli likelihood needs images of zeros and ones: on greys it is not a "
            'density. Pass binarize="dynamic".'
        )
