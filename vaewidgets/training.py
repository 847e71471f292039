"""Training as an iterator: `fit` yields a `Step` per batch. It prints nothing and draws nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .data import check_images
from .models import Autoencoder
from .objectives import Elbo, autoencoding, binarize, elbo

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, eq=False)
class Step:
    """What one optimizer step saw. The numbers stay tensors until they are read.

    Attributes
    ----------
    epoch, step, total_steps : int
        Counted from 1.
    terms : Elbo
        Per-image terms of the batch, detached, computed before the weights moved.
    images_per_second : float
        Since the start of training, without the time the caller spent between steps.
    """

    epoch: int
    step: int
    total_steps: int
    terms: Elbo = field(repr=False)
    images_per_second: float = field(repr=False)

    @property
    def loss(self) -> float:
        """Minus the mean of `Elbo.total`, nats per image."""
        return -self.terms.total.mean().item()

    @property
    def reconstruction(self) -> float:
        """Mean of log p(x|z), nats per image."""
        return self.terms.reconstruction.mean().item()

    @property
    def kl(self) -> float:
        """Mean of KL(q(z|x) || p(z)) summed over dimensions, nats per image."""
        return self.terms.kl.sum(1).mean().item()


def fit(
    model,
    images: Tensor,
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 1e-3,
    schedule: str = "constant",
    weight_decay: float = 0.0,
    beta: float = 1.0,
    binarize: str | None = None,
    seed: int = 0,
) -> Iterator[Step]:
    """Train `model` in place, one `Step` per batch.

    Parameters
    ----------
    model : VAE or Autoencoder
        It stays on its device; the images are moved there once.
    images : Tensor of shape (N, C, H, W)
        Kept in memory and indexed. In [0, 1] for the Bernoulli likelihoods.
    epochs, batch_size : int
        Every epoch visits every image once; its last batch may be short.
    lr : float
        Learning rate of Adam (Kingma & Ba 2015), with decoupled `weight_decay` (Loshchilov & Hutter 2019).
    schedule : "constant" or "cosine"
        "cosine" takes the learning rate to zero over the whole run.
    beta : float
        Weight of the KL; an autoencoder has none.
    binarize : None or "dynamic"
        "dynamic" draws zeros and ones from the greys for every batch; that one draw is encoded and scored.
    seed : int
        Seed of the order and of the noise: same seed, same steps.

    Yields
    ------
    Step
        Stopping early, or closing the iterator, leaves a usable model.

    Raises
    ------
    ValueError, TypeError
        At the call, before any step: arguments or images that cannot be trained on.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, at least 1; got {value!r}.")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a positive number; got {lr!r}.")
    for name, value in (("beta", beta), ("weight_decay", weight_decay)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a number, at least 0; got {value!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 up; got {seed!r}.")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}.")
    if binarize not in (None, "dynamic"):
        raise ValueError(f'binarize must be None or "dynamic"; got {binarize!r}.')
    check_images(images, model.image_shape, (0.0, 1.0) if binarize else model.likelihood.support)
    return _steps(model, images, epochs, batch_size, lr, schedule, weight_decay, beta, binarize, seed)


def _steps(model, images, epochs, batch_size, lr, schedule, weight_decay, beta, binary, seed):
    weight = next(model.parameters())
    device = weight.device
    images = images.to(device, weight.dtype)
    order = torch.Generator().manual_seed(seed)
    noise = torch.Generator(device).manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)
    optimal_sigma = getattr(model.likelihood, "optimal", False)
    total = epochs * math.ceil(len(images) / batch_size)
    step = seen = 0
    busy = 0.0
    for epoch in range(1, epochs + 1):
        # Moved once an epoch: a copy per step would make the device wait at every step.
        for index in torch.randperm(len(images), generator=order).to(device).split(batch_size):
            started = time.perf_counter()
            if schedule == "cosine":
                optimizer.param_groups[0]["lr"] = lr * 0.5 * (1 + math.cos(math.pi * step / total))
            x = images[index]
            if binary:
                x = binarize(x, noise)
            if isinstance(model, Autoencoder):
                terms = autoencoding(model, x)
            else:
                terms = elbo(model, x, beta=beta, generator=noise)
            optimizer.zero_grad(set_to_none=True)
            (-terms.total.mean()).backward()
            optimizer.step()
            terms = Elbo(*(term.detach() for term in terms))
            if optimal_sigma:
                model.likelihood.update_sigma(terms.reconstruction, math.prod(model.image_shape))
            step, seen = step + 1, seen + len(x)
            busy += time.perf_counter() - started
            yield Step(epoch, step, total, terms, seen / busy)


def paced(steps: Iterator[Step], seconds: float = 0.5) -> Iterator[Step]:
    """Pass on a step at most every `seconds`, and always the first and the last; the others still train.

    Parameters
    ----------
    steps : iterator of Step
        Of `fit`. Closing the pace closes it.
    seconds : float
        Time between two steps that are passed on; 0 passes on all.

    Yields
    ------
    Step
    """
    passed, step, due = None, None, -math.inf
    try:
        for step in steps:
            if time.monotonic() >= due:
                passed = step
                yield step
                due = time.monotonic() + seconds
        if step is not passed:
            yield step
    finally:
        steps.close()
