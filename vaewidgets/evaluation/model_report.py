"""The measurements of one model on the scoreboard: of its samplers and of its codes."""

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

#: Pairs of held-out codes; holes are counted on the line between each.
PAIRS = 500
#: Images of which the bounds and log p(x) are computed, and samples of the importance-weighted one.
BOUNDED_IMAGES, IWAE_SAMPLES = 100, 50
#: With fewer held-out codes the 95th percentile means little.
FEWEST_CODES = 40


class Row(NamedTuple):
    """The measurements of one source of images.

    Attributes
    ----------
    sampler : str
        Its name; "reconstructions", "noise" and "shuffled pixels" are shown for comparison.
    model : str or None
        The model whose decoder makes the images; None for noise and shuffled pixels.
    how : str
        How the codes or images were made.
    holes : Rate
        At tau = 0.9.
    tau : float or None
        The tau that rejects 5 % of the model's own reconstructions of held-out images.
    holes_at_tau : Rate or None
        At `tau`.
    distance : Rate or None
        See `holes.distance_holes`.
    feature_distance : float or None
        To real images; None without them.
    seeds : tuple of float
        Share of holes at 0.9 of each model of this name; the first is that of `holes`.
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
    """The measurements of one model; None where it has no such quantity, or where images were needed.

    Attributes
    ----------
    model, kind : str
        Its name, and the name of its class.
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
        Of a VAE, like the next two.
    two_sample : Rate or None
        Aggregate posterior against prior; a share of 0.5 means that they cannot be told apart.
    active_units : int or None
    reconstruction_error : Mean or None
        Squared error per pixel.
    bounds : dict or None
        Of a VAE: "ELBO", "IWAE_50" and, with two latent dimensions, "log p(x)", each a `Mean` over the same
        images, in nats.
    at_training : dict
        The figures in the model's file, measured when it was trained.
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
    """The codes, samplers and reconstructions of one model, from which the scoreboard's numbers are computed.

    Parameters
    ----------
    name : str
    model : VAE or Autoencoder
    judge : Classifier
    images, labels : Tensor of shape (N, C, H, W), (N,), optional
        Held out. Without them the codes are those of the model's atlas.
    draws : int
        Of each sampler; also the largest number of codes of a kind that are used.
    seed : int
        Of all noise.

    Raises
    ------
    ValueError
        Codes that are missing or too few.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> from vaewidgets.evaluation.model_report import ModelReport
    >>> model, judge = vw.pretrained("digits-vae-2d"), vw.pretrained("digits-classifier")
    >>> report = ModelReport("VAE", model, judge, None, None, draws=100, seed=0)
    >>> [report.holes(sampler).n for sampler in report.samplers]
    [100, 100, 100]
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
        """Reconstructions of the held-out images: Tensor of shape (n, C, H, W)."""
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
        """Draw codes, the same ones each time for the same sampler: Tensor of shape (draws, d)."""
        generator = torch.Generator().manual_seed(self.seed + self.samplers.index(sampler))
        return sampler.draw(self.draws, generator)

    def holes(self, sampler: Sampler) -> Rate:
        """Count the holes among a sampler's draws at tau = 0.9."""
        return hole_rate(confidence_of(self.judge, decode_all(self.model, self.draw(sampler))))

    def row(self, sampler: Sampler, real: Tensor | None) -> Row:
        """Measure a sampler; `real` holds the features of real images, of shape (N, features), or is None."""
        decoded = decode_all(self.model, self.draw(sampler))
        return self._judge(
            sampler.name, sampler.how, decoded, nearest_distance(decoded, self._references), real
        )

    def reconstruction_row(self, real: Tensor | None) -> Row:
        """Measure the reconstructions of the held-out images; `real`, of shape (N, features), as in `row`."""
        # If half of them are the references, only the other half has a distance to those.
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
        """Measure what does not depend on a sampler."""
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
        # `binarize` has used the random numbers of this seed: the noise of z must not be the same numbers.
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
    atlas: EncodedDataset | None = getattr(model, "atlas", None)
    if images is not None:
        q = encode_all(model, images)
        atlas = EncodedDataset(q.mu, q.logvar, labels)
    if atlas is None:
        raise ValueError(f"{name} has no atlas, so no codes of held-out images: give measure images.")
    atlas = _first(atlas, draws)
    if len(atlas.mu) < FEWEST_CODES:
        raise ValueError(
            f"{name} has the codes of {len(atlas.mu)} held-out images; measure takes at least {FEWEST_CODES}."
        )
    return atlas


def _first(atlas: EncodedDataset, n: int) -> EncodedDataset:
    return EncodedDataset._make(None if part is None else part[:n] for part in atlas)
