"""One model on the scoreboard: what its samplers draw, and how its codes lie."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from torch import Tensor

from vaewidgets.io.checkpoints import EncodedDataset, get_info
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.objectives import binarize
from vaewidgets.models.vae import VAE, Autoencoder

from .aggregate_posterior import Surgery, elbo_surgery, two_sample_test
from .holes import (
    PathHoles,
    Rate,
    confidence_of,
    decode_all,
    distance_holes,
    distance_threshold,
    hole_rate,
    nearest_distance,
    path_holes,
    reject_threshold,
)
from .marginal_likelihood import log_evidence
from .metrics import (
    Mean,
    active_units,
    encode_all,
    feature_distance,
    features_of,
    held_out_elbo,
    held_out_iwae,
    reconstruction_error,
)
from .probes import Grouping, grouping, halves
from .samplers import Sampler, code_spread, samplers_for

if TYPE_CHECKING:
    from vaewidgets.models.classifier import Classifier

#: Pairs of held-out codes whose connecting lines are walked.
PAIRS = 500
#: Images of which the bounds and log p(x) are computed, and samples of the importance-weighted one.
BOUNDED_IMAGES, IWAE_SAMPLES = 100, 50
#: Fewer held-out codes have no 95th percentile to speak of.
FEWEST_CODES = 40


class Row(NamedTuple):
    """What one source of images draws.

    Attributes
    ----------
    sampler : str
        Its name; "reconstructions", "noise" and "shuffled pixels" are held beside the samplers.
    model : str or None
        Whose decoder it feeds; None of noise and shuffled pixels.
    how : str
        How it came about.
    holes : Rate
        At tau = .9.
    tau : float or None
        Which rejects 5 % of the model's own reconstructions of held-out images.
    holes_at_tau : Rate or None
    distance : Rate or None
        See `holes.distance_holes`.
    feature_distance : float or None
        To real images; None without them.
    seeds : tuple of float
        Share of holes at .9 of each model of this name, the first being that of `holes`.
    """

    sampler: str
    model: str | None
    how: str
    holes: Rate
    tau: float | None = None
    holes_at_tau: Rate | None = None
    distance: Rate | None = None
    feature_distance: float | None = None
    seeds: tuple[float, ...] = ()


class Figures(NamedTuple):
    """What is measured of one model; None is what it does not have, or what needs images and got none.

    Attributes
    ----------
    model, kind : str
    latent_dim : int
    measured_on : str
        Which codes are held out, which are the references and which the densities were fitted to.
    code_spread : tuple of float
        Standard deviation of the held-out codes, per dimension.
    grouping : Grouping or None
        Of held-out codes with labels of at least two classes.
    paths : PathHoles
        On straight lines between pairs of held-out codes.
    surgery : Surgery or None
        Of a VAE, as the next two.
    two_sample : Rate or None
        Aggregate posterior against prior; .5 is indistinguishable.
    active_units : int or None
    reconstruction_error : Mean or None
        Squared, per pixel.
    bounds : dict or None
        Of a VAE: "ELBO", "IWAE_50" and, with two latent dimensions, "log p(x)", each a `Mean` over the same
        images; nats.
    at_training : dict
        The figures that the model's file states, measured when it was trained.
    """

    model: str
    kind: str
    latent_dim: int
    measured_on: str
    code_spread: tuple[float, ...]
    grouping: Grouping | None
    paths: PathHoles
    surgery: Surgery | None
    two_sample: Rate | None
    active_units: int | None
    reconstruction_error: Mean | None
    bounds: dict[str, Mean] | None
    at_training: dict[str, Any]


class ModelReport:
    """A model under measurement: its codes, and what they decode to.

    Parameters
    ----------
    name : str
    model : VAE or Autoencoder
    judge : Classifier
    images, labels : Tensor, optional
        Held out. Without them the model's atlas stands for them.
    draws : int
        Of each sampler; also the most codes of a kind that are used.
    seed : int
    """

    def __init__(
        self,
        name: str,
        model: VAE | Autoencoder,
        judge: Classifier,
        images: Tensor | None,
        labels: Tensor | None,
        draws: int,
        seed: int,
    ) -> None:
        self.name, self.model, self.judge, self.draws, self.seed = name, model, judge, draws, seed
        self.images = None if images is None else images[:draws]
        self.held_out = _held_out(name, model, self.images, labels, draws)
        train: EncodedDataset | None = getattr(model, "train_atlas", None)
        n = len(self.held_out.mu)
        if train is None:
            first, second = halves(n, seed)
            self._reference_codes, self._other_codes = self.held_out.mu[first], self.held_out.mu[second]
            self.measured_on = (
                f"the codes of {n:,} held-out images; without training codes, half of them are the "
                "references of the other half, and the densities are fitted to all"
            )
        else:
            train = _first(train, draws)
            self._reference_codes, self._other_codes = train.mu, self.held_out.mu
            self.measured_on = (
                f"the codes of {n:,} held-out images; {len(train.mu):,} training codes are the references, "
                "and the densities are fitted to them"
            )
        self.samplers = samplers_for(model, self.held_out if train is None else train, seed=seed)

    @cached_property
    def reconstructions(self) -> Tensor:
        """Of the held-out images."""
        return decode_all(self.model, self.held_out.mu)

    @cached_property
    def _references(self) -> Tensor:
        return decode_all(self.model, self._reference_codes)

    @cached_property
    def _real_distance(self) -> Tensor:
        return nearest_distance(decode_all(self.model, self._other_codes), self._references)

    @cached_property
    def _threshold(self) -> float:
        return distance_threshold(self._real_distance)

    @cached_property
    def _tau(self) -> float:
        return reject_threshold(confidence_of(self.judge, self.reconstructions))

    def draw(self, sampler: Sampler) -> Tensor:
        """Draw the same codes for the same sampler every time: Tensor of shape (draws, d)."""
        generator = torch.Generator().manual_seed(self.seed + self.samplers.index(sampler))
        return sampler.draw(self.draws, generator)

    def holes(self, sampler: Sampler) -> Rate:
        """Count the holes of a sampler's draws at tau = .9, and measure nothing else."""
        return hole_rate(confidence_of(self.judge, decode_all(self.model, self.draw(sampler))))

    def row(self, sampler: Sampler, real: Tensor | None) -> Row:
        """Measure a sampler; `real` holds the judge's features of real images."""
        decoded = decode_all(self.model, self.draw(sampler))
        distance = nearest_distance(decoded, self._references)
        return self._judge(sampler.name, sampler.how, decoded, distance, real)

    def reconstruction_row(self, real: Tensor | None) -> Row:
        """Measure the reconstructions of the held-out images like draws."""
        # Where half of them are the references, only the other half has a distance to those.
        return self._judge(
            "reconstructions", "of the held-out images", self.reconstructions, self._real_distance, real
        )

    def _judge(self, sampler: str, how: str, decoded: Tensor, distance: Tensor, real: Tensor | None) -> Row:
        confidence = confidence_of(self.judge, decoded)
        holes = hole_rate(confidence)
        return Row(
            sampler,
            self.name,
            how,
            holes,
            self._tau,
            hole_rate(confidence, self._tau),
            distance_holes(distance, self._threshold),
            None if real is None else feature_distance(real, features_of(self.judge, decoded)),
            (holes.share,),
        )

    def figures(self) -> Figures:
        """Measure what is not of one sampler."""
        mu, logvar, labels = self.held_out
        order = torch.randperm(len(mu), generator=torch.Generator().manual_seed(self.seed))
        pairs = min(PAIRS, len(mu) // 2)
        a, b = mu[order[:pairs]], mu[order[pairs : 2 * pairs]]
        by_name = {sampler.name: sampler for sampler in self.samplers}
        info = get_info(self.model).get("figures")
        return Figures(
            self.name,
            type(self.model).__name__,
            self.model.latent_dim,
            self.measured_on,
            tuple(code_spread(mu).tolist()),
            None if labels is None or len(labels.unique()) < 2 else grouping(mu, labels, seed=self.seed),
            path_holes(self.model, self.judge, a, b),
            None if logvar is None else elbo_surgery(mu, logvar, seed=self.seed),
            None
            if logvar is None
            else two_sample_test(
                self.draw(by_name["aggregate posterior"]), self.draw(by_name["prior"]), seed=self.seed
            ),
            None if logvar is None else active_units(mu).count,
            None if self.images is None else Mean.of(reconstruction_error(self.model, self.images)),
            None if logvar is None or self.images is None else self._bounds(self.images),
            dict(info) if isinstance(info, dict) else {},
        )

    def _bounds(self, images: Tensor) -> dict[str, Mean]:
        model = cast(VAE, self.model)
        x = images[:BOUNDED_IMAGES]
        if isinstance(model.likelihood, Bernoulli):
            x = binarize(x, torch.Generator().manual_seed(self.seed))
        # The pixels have used the noise of this seed; that of z must not be the same numbers again.
        seed = self.seed + 1
        bounds = {
            "ELBO": held_out_elbo(model, x, seed=seed).total,
            f"IWAE_{IWAE_SAMPLES}": held_out_iwae(model, x, IWAE_SAMPLES, seed=seed),
        }
        if model.latent_dim == 2:
            bounds["log p(x)"] = log_evidence(model, x)
        return {name: Mean.of(values) for name, values in bounds.items()}


def _held_out(
    name: str, model: VAE | Autoencoder, images: Tensor | None, labels: Tensor | None, draws: int
) -> EncodedDataset:
    """Return the codes of images, or of those that the model's atlas holds."""
    if images is not None:
        q = encode_all(model, images)
        atlas = EncodedDataset(q.mu, q.logvar, labels)
    else:
        own: EncodedDataset | None = getattr(model, "atlas", None)
        if own is None:
            raise ValueError(f"{name} has no atlas, so no codes of held-out images: give measure images.")
        atlas = own
    atlas = _first(atlas, draws)
    if len(atlas.mu) < FEWEST_CODES:
        raise ValueError(
            f"{name} has the codes of {len(atlas.mu)} held-out images; measure takes at least {FEWEST_CODES}."
        )
    return atlas


def _first(atlas: EncodedDataset, n: int) -> EncodedDataset:
    mu, logvar, labels = atlas
    return EncodedDataset(
        mu[:n], None if logvar is None else logvar[:n], None if labels is None else labels[:n]
    )
