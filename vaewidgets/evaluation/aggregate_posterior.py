"""The aggregate posterior q(z), the average of all q(z|x), compared with the prior p(z)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from vaewidgets.models.objectives import kl

from .holes import Rate
from .metrics import Mean
from .probes import halves

#: Pairs of a draw and a posterior at one time: 64 MB in float64.
_PAIRS = 2**23


class Surgery(NamedTuple):
    """The mean KL as the sum of two parts, in nats.

    Attributes
    ----------
    information : Mean
        I(n; z), the mutual information of the index of an image and its z; at most `ceiling`.
    marginal_kl : Mean
        KL(q(z) || p(z)), how far the aggregate posterior is from the prior.
    total : Mean
        Estimate of their sum.
    mean_kl : float
        The sum in closed form: the mean over images of KL(q(z|x) || p(z)).
    ceiling : float
        ln N.
    """

    information: Mean
    marginal_kl: Mean
    total: Mean
    mean_kl: float
    ceiling: float


@torch.no_grad()
def elbo_surgery(mu: Tensor, logvar: Tensor, *, samples: int = 2, seed: int = 0) -> Surgery:
    """Estimate the two parts of the mean KL: index-code mutual information and marginal KL.

    mean KL(q(z|x_n) || p(z)) = I(n; z) + KL(q(z) || p(z)), with q(z) the average of the N posteriors.
    Only the second part makes samples from the prior differ from the codes that the decoder was trained on.

    Parameters
    ----------
    mu, logvar : Tensor of shape (N, d)
        Posteriors of N images.
    samples : int
        Draws from each posterior. The sum of the parts is an average over these draws, so it can be checked
        against the closed form.
    seed : int
        Of the draws.

    Returns
    -------
    Surgery
        The standard errors are those of the draws, for these N images.

    Raises
    ------
    ValueError
        mu and logvar differ in shape or are not finite; fewer than 2 samples, which have no standard error.

    References
    ----------
    Hoffman & Johnson 2016, ELBO surgery: yet another way to carve up the variational evidence lower bound;
    NIPS workshop on advances in approximate Bayesian inference. The two parts of the average KL to the prior.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> mu, logvar = torch.tensor([[-1.5], [-0.5], [0.5], [1.5]]), torch.full((4, 1), -2.77)
    >>> surgery = vw.aggregate.elbo_surgery(mu, logvar, samples=1000)
    >>> round(surgery.information.value, 1), round(surgery.marginal_kl.value, 1), round(surgery.mean_kl, 2)
    (1.3, 0.2, 1.54)
    """
    if mu.dim() != 2 or mu.shape != logvar.shape or not len(mu):
        raise ValueError(f"mu and logvar must both be (N, d); got {tuple(mu.shape)}, {tuple(logvar.shape)}.")
    if not (mu.isfinite().all() and logvar.isfinite().all()):
        raise ValueError("mu and logvar must be finite; some are not.")
    if samples < 2:
        raise ValueError(f"samples must be at least 2 for a standard error; got {samples}.")
    mu, logvar = mu.cpu().double(), logvar.cpu().double()
    generator = torch.Generator().manual_seed(seed)
    epsilon = torch.randn(samples, *mu.shape, generator=generator, dtype=torch.float64)
    z = mu + (logvar / 2).exp() * epsilon
    # Without the constant d/2 ln 2 pi, which all three densities share.
    own = -0.5 * (epsilon**2 + logvar).sum(-1)
    prior = -0.5 * (z**2).sum(-1)
    average = _log_average_density(z.flatten(0, 1), mu, logvar).view(samples, -1)
    return Surgery(
        _stratified_mean(own - average),
        _stratified_mean(average - prior),
        _stratified_mean(own - prior),
        kl(mu, logvar).sum(1).mean().item(),
        math.log(len(mu)),
    )


def two_sample_test(a: Tensor, b: Tensor, *, seed: int = 0) -> Rate:
    """Measure how well a classifier tells draws of one distribution from those of another.

    Half of the draws train scikit-learn's HistGradientBoostingClassifier, the other half test it. Two samples
    of one distribution give an accuracy of about 50 %, as chance does.

    Parameters
    ----------
    a, b : Tensor of shape (n, d)
        Independent draws, equally many.
    seed : int
        Of the split.

    Returns
    -------
    Rate
        Accuracy on the held-out half.

    Raises
    ------
    ValueError
        a and b differ in shape, are not finite, or are fewer than 40 draws each.

    References
    ----------
    Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests (arXiv 1610.06545), section 3.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> a, b = torch.randn(2, 200, 2, generator=torch.Generator().manual_seed(0))
    >>> rate = vw.aggregate.two_sample_test(a, b + 9)
    >>> rate.n, rate.share > 0.9
    (200, True)
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    if a.dim() != 2 or a.shape != b.shape or len(a) < 40:
        raise ValueError(
            "a and b must be equally many draws (n, d), at least 40 each; "
            f"got {tuple(a.shape)} and {tuple(b.shape)}."
        )
    x = torch.cat([a, b]).cpu()
    if not x.isfinite().all():
        raise ValueError("draws must be finite; some are not.")
    of_b = torch.arange(len(x)) >= len(a)
    fitted, held_out = halves(len(x), seed)
    classifier = HistGradientBoostingClassifier(random_state=seed, early_stopping=True)
    classifier.fit(x[fitted].numpy(), of_b[fitted].numpy())
    return Rate.of(torch.from_numpy(classifier.predict(x[held_out].numpy())) == of_b[held_out])


def _log_average_density(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Log of the mean of N Gaussian densities at each z, a Tensor of shape (M,), without d/2 ln 2 pi."""
    precision = (-logvar).exp()
    # (z - mu)^2 / sigma^2 multiplied out, so that all pairs are one matrix product.
    constant = -0.5 * (mu**2 * precision + logvar).sum(1)
    columns = torch.cat([mu * precision, -0.5 * precision], 1).T
    parts = [
        torch.logsumexp(torch.cat([part, part**2], 1) @ columns + constant, 1)
        for part in z.split(max(1, _PAIRS // len(mu)))
    ]
    return torch.cat(parts) - math.log(len(mu))


def _stratified_mean(values: Tensor) -> Mean:
    """Mean of values of shape (samples, N), each image equally often; error from the spread within images."""
    samples, n = values.shape
    return Mean(values.mean().item(), math.sqrt(values.var(0).mean().item() / (samples * n)))
