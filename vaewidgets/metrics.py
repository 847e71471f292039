"""Measurements of a trained model."""

from __future__ import annotations

import torch
from torch import Tensor

from .models import Posterior
from .objectives import Elbo, elbo


@torch.no_grad()
def held_out_elbo(model, images: Tensor, *, seed: int = 0, batch_size: int = 1000) -> Elbo:
    """Estimate the ELBO of every image, with one sample of z each and fixed noise.

    Parameters
    ----------
    model : VAE
    images : Tensor of shape (N, C, H, W)
    seed : int
        Of the noise: the same seed gives the same numbers.
    batch_size : int
        Images at one time; bounds memory, and changes no value beyond rounding.

    Returns
    -------
    Elbo
        Terms of all N images, nats per image: average them once, over images.
    """
    device = next(model.parameters()).device
    # Drawn for all images at once: the noise of an image does not depend on batch_size.
    epsilon = torch.randn(len(images), model.latent_dim, generator=torch.Generator().manual_seed(seed))
    parts = [
        elbo(model, x.to(device), epsilon=e.to(device))
        for x, e in zip(images.split(batch_size), epsilon.split(batch_size), strict=True)
    ]
    return Elbo(*(torch.cat(terms) for terms in zip(*parts, strict=True)))


@torch.no_grad()
def encode_all(model, images: Tensor, *, batch_size: int = 1000) -> Posterior:
    """Encode every image: Posterior of mu and logvar, each of shape (N, d)."""
    device = next(model.parameters()).device
    parts = [model.encode(x.to(device)) for x in images.split(batch_size)]
    return Posterior(*(torch.cat(terms) for terms in zip(*parts, strict=True)))
