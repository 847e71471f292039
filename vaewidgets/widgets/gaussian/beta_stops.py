"""Models trained with different beta, measured and decoded for a `BetaDial`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vaewidgets.data.dataset import Images, check_images
from vaewidgets.data.load import load_test_images
from vaewidgets.data.pixels import tile, to_uint8
from vaewidgets.evaluation.metrics import active_units, encode_all, held_out_elbo
from vaewidgets.io.checkpoints import pretrained, stated_dataset
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.vae import VAE, in_eval_mode, unwrap
from vaewidgets.widgets._core.model_lock import model_lock

#: The beta of each pretrained model: the same VAE of ten latents, trained on MNIST.
SHIPPED = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Stop:
    """One trained model of the dial, measured on the test images.

    Attributes
    ----------
    beta : float
        The weight of the KL in its training.
    model : VAE
    distortion, rate : float
        Means of -log p(x|z) and of the KL, nats per image. Minus their sum is the ELBO, for every beta.
    kl : tuple of d floats
        Rate of each latent dimension, nats.
    active : tuple of d bools
        Whether the mean of mu varies with the image (`metrics.active_units`).
    mu : Tensor of shape (N, d)
        Means of the posteriors of the test images.
    """

    beta: float
    model: VAE
    distortion: float
    rate: float
    kl: tuple[float, ...]
    active: tuple[bool, ...]
    mu: Tensor


def make_stops(models: Mapping | None, images) -> tuple[list[Stop], Images | None]:
    """Measure the models, or read their figures from their files.

    Parameters
    ----------
    models : dict of {beta: VAE} or None
        The pretrained ones if None.
    images : Images or Tensor of shape (N, C, H, W) or None

    Returns
    -------
    list of Stop
        In the order of beta.
    Images or None
        The images, if they are on this machine.

    Raises
    ------
    ValueError, TypeError
        There are no models, or beta is no positive number, or the models do not fit together or carry no
        figures.
    """
    if models is None:
        models = {beta: pretrained(f"mnist-beta-{beta:g}") for beta in SHIPPED}
    if not isinstance(models, Mapping) or not models:
        raise TypeError(f"models must map beta to a VAE trained with it; got {models!r}.")
    models = {beta: unwrap(model) for beta, model in models.items()}
    for beta, model in models.items():
        _check(beta, model, next(iter(models.values())))
    first = next(iter(models.values()))
    if images is None:
        own = load_test_images(stated_dataset(first))
        atlas = getattr(first, "atlas", None)
        shown = own if own is not None and atlas is not None and len(own) == len(atlas.mu) else None
        return [_from_header(beta, models[beta]) for beta in sorted(models)], shown
    images = images if isinstance(images, Images) else Images(images)
    check_images(images.images, first.image_shape)
    return [_measured(beta, models[beta], images) for beta in sorted(models)], images


@in_eval_mode
def draw_pictures(stop: Stop, originals: Tensor | None, rows: range, noise: Tensor, seed: int) -> np.ndarray:
    """Decode the rows of pictures that the dial shows of one stop.

    Parameters
    ----------
    originals : Tensor of shape (n, C, H, W), optional
        The images of these rows of the atlas, for a row above the others.
    rows : range of n ints
        Rows of the images to reconstruct.
    noise : Tensor of shape (n, d)
        z of the samples, the same for every stop.
    seed : int
        Seed of the sampled pixels, the same for every stop.

    Returns
    -------
    ndarray of shape (3 or 4, H, n * W) or (3 or 4, H, n * W, 3), uint8
        The originals, their reconstructions, the samples' mean images, and pixels drawn from those.
    """
    parameter = next(stop.model.parameters())
    with model_lock(stop.model):
        reconstructions = stop.model.decode(stop.mu[rows.start : rows.stop].to(parameter)).cpu()
        means = stop.model.decode(noise.to(parameter)).cpu()
    uniform = torch.rand(means.shape, generator=torch.Generator().manual_seed(seed))
    pictures = [reconstructions, means, (uniform < means).float()]
    if originals is not None:
        pictures.insert(0, originals)
    return np.stack([to_uint8(tile(row, len(rows))) for row in pictures])


def _check(beta, model, first) -> None:
    if isinstance(beta, bool) or not isinstance(beta, (int, float)) or not 0 < beta < math.inf:
        raise ValueError(f"the keys of models are beta, positive numbers; got {beta!r}.")
    if not getattr(model, "has_prior", False):
        raise TypeError(f"BetaDial needs VAEs; got {type(model).__name__} at beta = {beta:g}.")
    if not isinstance(model.likelihood, Bernoulli):
        raise ValueError(
            f"BetaDial draws black and white pixels, so it needs the Bernoulli likelihood; the model at "
            f"beta = {beta:g} has a {type(model.likelihood).__name__}."
        )
    if (model.latent_dim, model.image_shape) != (first.latent_dim, first.image_shape):
        raise ValueError(
            f"all models must be alike; at beta = {beta:g} came latent_dim={model.latent_dim} and images "
            f"{model.image_shape}, before it {first.latent_dim} and {first.image_shape}."
        )


def _from_header(beta: float, model) -> Stop:
    figures, atlas = getattr(model, "info", {}).get("figures", {}), getattr(model, "atlas", None)
    if atlas is None or not {"reconstruction", "kl_per_dimension"} <= figures.keys():
        raise ValueError(
            f"the model at beta = {beta:g} carries no figures of its test images; "
            "pass images=, and BetaDial measures it on those."
        )
    return _stop(beta, model, -figures["reconstruction"], figures["kl_per_dimension"], atlas.mu)


def _measured(beta: float, model, images: Images) -> Stop:
    with model_lock(model):
        terms, q = held_out_elbo(model, images.images), encode_all(model, images.images)
    kl = terms.kl.double().mean(0).tolist()
    return _stop(beta, model, -terms.reconstruction.double().mean().item(), kl, q.mu)


def _stop(beta: float, model, distortion: float, kl: list[float], mu: Tensor) -> Stop:
    active = tuple((active_units(mu).variance > 0.01).tolist())
    return Stop(float(beta), model, distortion, sum(kl), tuple(kl), active, mu)
