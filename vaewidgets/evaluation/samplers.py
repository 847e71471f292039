"""Samplers of new codes: the prior, or a density fitted after training to the codes of real images."""

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
#: A Gaussian in d dimensions is fitted to at least so many times d + 1 codes.
_CODES_PER_PARAMETER = 5


@dataclass(frozen=True, repr=False)
class Sampler:
    """A distribution over codes.

    Attributes
    ----------
    name : str
    latent_dim : int
    how : str
        How it was made, in words for a table.
    sample : callable
        Takes n and a generator, returns a Tensor of shape (n, latent_dim).

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> box = vw.samplers.Sampler("box", 2, "U(0, 1)", lambda n, g: torch.rand(n, 2, generator=g))
    >>> box, tuple(box.draw(3).shape)
    (Sampler('box', latent_dim=2), (3, 2))
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
    """Make a sampler of N(0, I) in d dimensions: the prior of a VAE. An autoencoder has no prior.

    `name` is the name of the sampler where several are compared.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.samplers.prior(2).draw(5, torch.Generator().manual_seed(0)).shape
    torch.Size([5, 2])
    """
    return Sampler(name, d, "N(0, I)", lambda n, generator: torch.randn(n, d, generator=generator))


def matched_gaussian(codes: Tensor) -> Sampler:
    """Make a sampler of the Gaussian that has the mean and the covariance of some codes.

    Parameters
    ----------
    codes : Tensor of shape (N, d)

    Raises
    ------
    ValueError
        Codes of another shape, not finite, or fewer than 5 (d + 1).

    References
    ----------
    Ghosh et al. 2020, From variational to deterministic autoencoders (arXiv 1903.12436), section 4: a density
    fitted to the codes after training.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> codes = 7 + torch.arange(30.0)[:, None]
    >>> vw.samplers.matched_gaussian(codes).how
    'mean and covariance of 30 codes'
    """
    codes = check_codes(codes)
    mean = codes.mean(0)
    # Through eigenvalues: a dimension in which all codes are equal has no Cholesky factor.
    values, vectors = torch.linalg.eigh(torch.atleast_2d(codes.T.cov()))
    # The symmetric root does not depend on the signs of the eigenvectors, which differ between processors.
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T

    def sample(n: int, generator: torch.Generator | None) -> Tensor:
        epsilon = torch.randn(n, codes.shape[1], generator=generator, dtype=torch.float64)
        z: Tensor = mean + epsilon @ root
        return z.float()

    return Sampler("matched Gaussian", codes.shape[1], f"mean and covariance of {len(codes):,} codes", sample)


def mixture(codes: Tensor, components: int | None = None, *, seed: int = 0) -> Sampler:
    """Make a sampler of a mixture of Gaussians fitted to some codes (scikit-learn's GaussianMixture).

    Parameters
    ----------
    codes : Tensor of shape (N, d)
    components : int, optional
        Gaussians with a full covariance each. None: the number in `COMPONENTS` with the highest likelihood of
        a held-out tenth of the codes, after a fit to the other nine tenths.
    seed : int
        Of the choice of that tenth and of the start of the fit.

    Raises
    ------
    ValueError
        Codes of another shape, not finite, or fewer than 5 (d + 1) for each component.

    References
    ----------
    Ghosh et al. 2020, From variational to deterministic autoencoders (arXiv 1903.12436), section 4: a mixture
    of Gaussians fitted to the codes after training.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> codes = torch.cat([torch.arange(30.0), torch.arange(100.0, 130.0)])[:, None]
    >>> vw.samplers.mixture(codes, components=2).how
    '2 Gaussians on 60 codes'
    """
    codes = check_codes(codes, 1 if components is None else components)
    # scikit-learn adds a constant to each covariance, but the scale of an autoencoder's codes is arbitrary.
    mean, scale = codes.mean(0), codes.std(0)
    scale[scale == 0] = 1.0
    standard = ((codes - mean) / scale).numpy()
    fitted = _select_components(standard, seed) if components is None else _fit(standard, components, seed)
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
    """Make a sampler of q(z), the average of all posteriors: it draws an image, then z ~ q(z|x).

    The decoder was trained on draws from q(z).

    Parameters
    ----------
    mu, logvar : Tensor of shape (N, d)
        Posteriors of N images.

    Raises
    ------
    ValueError
        mu and logvar differ in shape, are empty, or are not finite.

    References
    ----------
    Makhzani et al. 2015, Adversarial autoencoders (arXiv 1511.05644), equation 1: the aggregated posterior.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> sampler = vw.samplers.aggregate_posterior(torch.zeros(10, 2), torch.zeros(10, 2))
    >>> sampler.how, sampler.draw(5).shape
    ('q(z|x) of 10 images', torch.Size([5, 2]))
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
    """Make the samplers that the scoreboard compares for one model.

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
        For an autoencoder N(0, I), the matched Gaussian and the mixture; for a VAE the prior, the mixture and
        the aggregate posterior.

    Raises
    ------
    ValueError
        The model has no codes, or too few to fit a density to.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> [sampler.name for sampler in vw.samplers.samplers_for(vw.pretrained("digits-vae-2d"))]
    ['prior', 'mixture', 'aggregate posterior']
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
    """Return the atlas to whose codes densities are fitted: of training images if the model has one.

    Parameters
    ----------
    model : VAE or Autoencoder
        With a ``train_atlas`` or an ``atlas``.

    Raises
    ------
    ValueError
        The model has neither, or codes of another dimension.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> model = vw.pretrained("digits-vae-2d")
    >>> vw.samplers.fitted_atlas(model) is model.train_atlas
    True
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
    """Compute the standard deviation of codes in each dimension: Tensor of shape (d,).

    It is about 1 for a VAE. For an autoencoder it is arbitrary, and often several tens.

    Parameters
    ----------
    codes : Tensor of shape (N, d)

    Raises
    ------
    ValueError
        Fewer than two codes, or another shape.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.samplers.code_spread(torch.tensor([[0.0, 5.0], [2.0, 5.0], [4.0, 5.0]])).tolist()
    [2.0, 0.0]
    """
    if codes.dim() != 2 or len(codes) < 2:
        raise ValueError(f"codes must be (N, d), of at least 2 images; got {tuple(codes.shape)}.")
    return codes.double().std(0)


def check_codes(codes: Tensor, components: int = 1) -> Tensor:
    """Check that Gaussians can be fitted to codes; return the codes in float64 on the CPU.

    Parameters
    ----------
    codes : Tensor of shape (N, d)
    components : int
        Gaussians that are to be fitted; each needs 5 (d + 1) codes.

    Raises
    ------
    ValueError
        Another shape, too few codes, or codes that are not finite.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> vw.samplers.check_codes(torch.zeros(15, 2)).dtype
    torch.float64
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


def _select_components(codes: NDArray[np.float64], seed: int) -> Any:
    """Fit each allowed number of components to nine tenths; return the fit that scores best on the rest."""
    order = torch.randperm(len(codes), generator=torch.Generator().manual_seed(seed)).numpy()
    held_out, rest = codes[order[: len(codes) // 10]], codes[order[len(codes) // 10 :]]
    allowed = [k for k in COMPONENTS if k == 1 or k * _needed(codes.shape[1]) <= len(rest)]
    return max((_fit(rest, k, seed) for k in allowed), key=lambda fitted: fitted.score(held_out))
