"""Checks that an autoencoder and a VAE fit together, their judge and their samplers."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor

from vaewidgets.evaluation.samplers import (
    Sampler,
    aggregate_posterior,
    check_codes,
    fitted_atlas,
    matched_gaussian,
    mixture,
    prior,
)
from vaewidgets.io.checkpoints import pretrained, stated_dataset


def sources(ae, vae, seed: int) -> dict[str, tuple[int, Callable[[], Sampler]]]:
    """Name the samplers of both models: each with the index of its model, and a function that makes it.

    A sampler is made when it is needed, because to fit a mixture may take seconds.

    Parameters
    ----------
    ae, vae : Autoencoder, VAE
    seed : int
        Seed of the fits of the mixtures.

    Returns
    -------
    dict of str to (int, callable)
        0 stands for the autoencoder, 1 for the VAE.

    Raises
    ------
    ValueError
        A model has no codes, or too few to fit a density to.
    """
    of_ae, of_vae = fitted_atlas(ae), fitted_atlas(vae)
    for atlas in (of_ae, of_vae):
        check_codes(atlas.mu)
    return {
        "AE at N(0, I)": (0, lambda: prior(2)),
        "AE at matched Gaussian": (0, lambda: matched_gaussian(of_ae.mu)),
        "AE at mixture": (0, lambda: mixture(of_ae.mu, seed=seed)),
        "VAE at prior": (1, lambda: prior(2)),
        "VAE at mixture": (1, lambda: mixture(of_vae.mu, seed=seed)),
        "VAE at aggregate posterior": (
            1,
            lambda: aggregate_posterior(of_vae.mu, cast(Tensor, of_vae.logvar)),
        ),
    }


def check_pair(ae, vae) -> None:
    """Check that `ae` and `vae` have two latent dimensions and one image shape.

    Raises
    ------
    TypeError
        One is no such model, or they are in the wrong order.
    ValueError
        The latent dimensions or the shapes differ.
    """
    for name, model, has_prior in (("ae", ae, False), ("vae", vae, True)):
        if not callable(getattr(model, "decode", None)) or not hasattr(model, "image_shape"):
            raise TypeError(
                f"{name} must be a model with decode and image_shape; got {type(model).__name__}."
            )
        if getattr(model, "has_prior", True) is not has_prior:
            raise TypeError(
                f"{name} is a {type(model).__name__}: HoleFinder takes an Autoencoder and then a VAE."
            )
        if model.latent_dim != 2:
            raise ValueError(
                f"{name} has latent_dim={model.latent_dim}; HoleFinder shows planes, so it must be 2."
            )
    if tuple(ae.image_shape) != tuple(vae.image_shape):
        raise ValueError(
            f"ae makes images of shape {tuple(ae.image_shape)} and vae {tuple(vae.image_shape)}: "
            "take two models of the same images."
        )


def find_judge(model):
    """Load the pretrained classifier of a model's dataset; raise ValueError if there is none."""
    dataset = stated_dataset(model)
    if dataset not in ("mnist", "digits"):
        raise ValueError(
            f"no classifier ships for the images of these models (dataset {dataset!r}): give a judge, "
            "HoleFinder(ae, vae, judge)."
        )
    return pretrained(f"{dataset}-classifier")
