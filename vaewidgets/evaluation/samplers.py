"""Where new codes come from: the prior, or a density fitted afterwards to the codes of real images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaewidgets.models.vae import unwrap_arguments

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vaewidgets.io.checkpoints import EncodedDataset
    from vaewidgets.models.protocols import Decoder

#: Numbers of components that `mixture` tries.
COMPONENTS = (1, 5, 10, 20, 40, 80)
#: A Gaussian in d dimensions is fitted on at least so many times d + 1 codes.
_CODES_PER_PARAMETER = 5


@dataclass(frozen=True, repr=False)
class Sampler:
    """A distribution over codes.

    Attributes
    ----------
    name : str
    latent_dim : int
    how : str
        How it came about, for a reader of a table.
    sample : callable
        From n and a generator to a Tensor of shape (n, latent_dim).
    """

    name: str
    latent_dim: int
    how: str
    sample: Callable[[int, torch.Generator | None], Tensor]

    def draw(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n codes, a Tensor of shape (n, latent_dim); the same ones for the same seed of the generator.

        Raises
        ------
        ValueError
            n is less than 1.
        """
        if n < 1:
            raise ValueError(f"n counts draws and must be at least 1; got {n}.")
        return self.sample(n, generator)

    def __repr__(self) -> str:
        return f"Sampler({self.name!r}, latent_dim={self.latent_dim})"


def prior(d: int, name: str = "prior") -> Sampler:
    """Draw from N(0, I) in d dimensions: a VAE's prior, and of an autoencoder nothing in particular.

    `name` is what the sampler is called where several are compared.
    """
    return Sampler(name, d, "N(0, I)", lambda n, generator: torch.randn(n, d, generator=generator))


def matched_gaussian(codes: Tensor) -> Sampler:
    """Draw from the one Gaussian that has the mean and the covariance of some codes.

    Parameters
    ----------
    codes : Tensor of shape (N, d)

    Raises
    ------
    ValueError
        Codes that are no table, not finite, or too few: fewer than 5 (d + 1).
    """
    codes = check_codes(codes)
    mean = codes.mean(0)
    # Through eigenvalues: a dimension in which all codes are equal has no Cholesky factor.
    values, vectors = torch.linalg.eigh(torch.atleast_2d(codes.T.cov()))
    # The symmetric root: the sign of an eigenvector is the processor's choice, and would be the draws' too.
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T

    def sample(n: int, generator: torch.Generator | None) -> Tensor:
        epsilon = torch.randn(n, codes.shape[1], generator=generator, dtype=torch.float64)
        z: Tensor = mean + epsilon @ root
        return z.float()

    how = f"mean and covariance of {len(codes):,} codes"
    return Sampler("matched Gaussian", codes.shape[1], how, sample)


def mixture(codes: Tensor, components: int | None = None, *, seed: int = 0) -> Sampler:
    """Draw from a mixture of Gaussians fitted to some codes (scikit-learn's GaussianMixture).

    Parameters
    ----------
    codes : Tensor of shape (N, d)
    components : int, optional
        Gaussians with a full covariance each. None: of `COMPONENTS` the number under which a tenth of the
        codes is most likely, after a fit to the other nine tenths.
    seed : int
        Of that tenth and of where the fit begins.

    Raises
    ------
    ValueError
        Codes that are no table, not finite, or too few: fewer than 5 (d + 1) for each component.
    """
    codes = check_codes(codes, 1 if components is None else components)
    # The scale of an autoencoder's codes is arbitrary, scikit-learn's floor under a covariance is not.
    mean, scale = codes.mean(0), codes.std(0)
    scale[scale == 0] = 1.0
    standard = ((codes - mean) / scale).numpy()
    fitted = _likeliest(standard, seed) if components is None else _fit(standard, components, seed)
    weights, means = torch.from_numpy(fitted.weights_), torch.from_numpy(fitted.means_)
    roots = torch.linalg.cholesky(torch.from_numpy(fitted.covariances_))

    def sample(n: int, generator: torch.Generator | None) -> Tensor:
        chosen = torch.multinomial(weights, n, replacement=True, generator=generator)
        epsilon = torch.randn(n, codes.shape[1], 1, generator=generator, dtype=torch.float64)
        z: Tensor = means[chosen] + (roots[chosen] @ epsilon).squeeze(2)
        placed: Tensor = mean + scale * z
        return placed.float()

    k = len(weights)
    how = f"{k} Gaussian{'s' * (k > 1)} on {len(codes):,} codes"
    if components is None:
        how += ", their number by a held-out tenth"
    return Sampler("mixture", codes.shape[1], how, sample)


def aggregate_posterior(mu: Tensor, logvar: Tensor) -> Sampler:
    """Draw an image and then z ~ q(z|x): the average of all posteriors, which the decoder was trained on.

    Parameters
    ----------
    mu, logvar : Tensor of shape (N, d)

    Raises
    ------
    ValueError
        They are not of one such shape, empty, or not finite.
    """
    if mu.dim() != 2 or mu.shape != logvar.shape or not len(mu):
        raise ValueError(
            "mu and logvar must both be (N, d), of at least one image; "
            f"got {tuple(mu.shape)} and {tuple(logvar.shape)}."
        )
    if not (mu.isfinite().all() and logvar.isfinite().all()):
        raise ValueError("mu and logvar must be finite; some are not.")
    mu, sigma = mu.detach().cpu(), (logvar.detach().cpu() / 2).exp()

    def sample(n: int, generator: torch.Generator | None) -> Tensor:
        rows = torch.randint(len(mu), (n,), generator=generator)
        return mu[rows] + sigma[rows] * torch.randn(n, mu.shape[1], generator=generator)

    return Sampler("aggregate posterior", mu.shape[1], f"q(z|x) of {len(mu):,} images", sample)


@unwrap_arguments
def samplers_for(model: Decoder, atlas: EncodedDataset | None = None, *, seed: int = 0) -> list[Sampler]:
    """Build the samplers that a table compares for one model.

    Parameters
    ----------
    model : VAE or Autoencoder
        With a ``train_atlas``, to whose codes the densities are fitted, or else an ``atlas``.
    atlas : EncodedDataset, optional
        In place of the model's own.
    seed : int
        Of the mixture's fit.

    Returns
    -------
    list of Sampler
        Of an autoencoder N(0, I), the matched Gaussian and the mixture; of a VAE the prior, the mixture and
        the aggregate posterior.

    Raises
    ------
    ValueError
        The model has no codes, or too few to fit a density to.
    """
    atlas = fitted_atlas(model) if atlas is None else atlas
    if atlas.logvar is None:
        return [
            prior(model.latent_dim, "N(0, I)"),
            matched_gaussian(atlas.mu),
            mixture(atlas.mu, seed=seed),
        ]
    return [
        prior(model.latent_dim),
        mixture(atlas.mu, seed=seed),
        aggregate_posterior(atlas.mu, atlas.logvar),
    ]


@unwrap_arguments
def fitted_atlas(model: Decoder) -> EncodedDataset:
    """Return the atlas whose codes densities are fitted to: of training images if the model has it.

    Raises
    ------
    ValueError
        The model has neither, or codes of another dimension.
    """
    atlas: EncodedDataset | None = getattr(model, "train_atlas", None) or getattr(model, "atlas", None)
    if atlas is None:
        raise ValueError(
            f"this {type(model).__name__} has no atlas, so no codes to fit a sampler to: encode images and "
            "set model.atlas = vw.checkpoints.EncodedDataset(mu, logvar, labels)."
        )
    if atlas.mu.shape[1] != model.latent_dim:
        raise ValueError(
            f"the atlas has codes of {atlas.mu.shape[1]} dimensions, but this model has "
            f"latent_dim={model.latent_dim}."
        )
    return atlas


def code_spread(codes: Tensor) -> Tensor:
    """Standard deviation of some codes, per dimension: Tensor of shape (d,).

    About 1 under a VAE's prior; of an autoencoder arbitrary, and often tens.

    Parameters
    ----------
    codes : Tensor of shape (N, d)

    Raises
    ------
    ValueError
        Fewer than two codes, or no table of them.
    """
    if codes.dim() != 2 or len(codes) < 2:
        raise ValueError(f"codes must be (N, d), of at least 2 images; got {tuple(codes.shape)}.")
    return codes.double().std(0)


def check_codes(codes: Tensor, components: int = 1) -> Tensor:
    """Return codes in float64 on the processor; refuse those that no density can be fitted to.

    Parameters
    ----------
    codes : Tensor of shape (N, d)
    components : int
        Gaussians that are to be fitted: each needs codes of its own.

    Raises
    ------
    ValueError
        No such table, too few codes, or codes that are not finite.
    """
    if codes.dim() != 2 or not codes.shape[1]:
        raise ValueError(f"codes must be a table (N, d); got shape {tuple(codes.shape)}.")
    if components < 1:
        raise ValueError(f"components must be at least 1; got {components}.")
    needed = _needed(codes.shape[1]) * components
    if len(codes) < needed:
        raise ValueError(
            f"{components} Gaussian{'s' * (components > 1)} in {codes.shape[1]} dimensions need at least "
            f"{needed} codes; got {len(codes)}. Encode more images, or fit fewer components."
        )
    codes = codes.detach().cpu().double()
    bad = int((~codes.isfinite()).any(1).sum())
    if bad:
        raise ValueError(f"codes must be finite; {bad} of {len(codes)} are not.")
    return codes


def _needed(d: int) -> int:
    return _CODES_PER_PARAMETER * (d + 1)


def _fit(codes: NDArray[np.float64], components: int, seed: int) -> Any:
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(components, random_state=seed).fit(codes)


def _likeliest(codes: NDArray[np.float64], seed: int) -> Any:
    """Fit each allowed number of components to nine tenths; return the fit that likes the rest best."""
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed)).numpy()
    held_out, rest = codes[order[: len(codes) // 10]], codes[order[len(codes) // 10 :]]
    allowed = [k for k in COMPONENTS if k == 1 or k * _needed(codes.shape[1]) <= len(rest)]
    return max((_fit(rest, k, seed) for k in allowed), key=lambda fitted: fitted.score(held_out))
