"""All thirty exercises, answered as students answer them: every answer here is written without the tables."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import vaewidgets as vw
from vaewidgets.course import check
from vaewidgets.evaluation.holes import wilson

from .conftest import not_yet

NAMES = [name for name in check.__all__ if name != "Verdict"]


# --- right answers that need more than a line --------------------------------------------------------


def pictures_one_by_one(model, n, generator):
    pictures = []
    for _ in range(n):
        z = torch.empty(1, model.latent_dim).normal_(generator=generator)
        pictures.append(model.decode(z))
    return torch.cat(pictures)


def decoding(draw):
    """Return the function that decodes what `draw` draws."""
    return lambda model, n, generator: model.decode(draw(n, model.latent_dim, generator))


def box_muller(n, d, g):
    u, v = torch.rand(n, d, generator=g), torch.rand(n, d, generator=g)
    return (-2 * torch.log(1 - u)).sqrt() * torch.cos(2 * math.pi * v)


def nearest(codes, k):
    return torch.cdist(codes, codes).fill_diagonal_(math.inf).topk(k, largest=False).indices


def agree(labels, rows):
    """Whether these rows of each point carry its own label: 0 or 1."""
    return (labels[rows] == labels[:, None]).float()


def agree_with_topk(codes, labels, k):
    return agree(labels, nearest(codes, k)).mean()


def agree_with_loops(codes, labels, k):
    codes, labels, shares = codes.numpy(), labels.numpy(), []
    for i in range(len(codes)):
        order = np.argsort(((codes - codes[i]) ** 2).sum(1))[1 : k + 1]
        shares.append(np.mean(labels[order] == labels[i]))
    return sum(shares) / len(shares)


def codes_column_by_column(epsilon, codes):
    pairs = zip(epsilon.T, codes.T, strict=True)
    return torch.stack([column.mean() + column.std(correction=0) * draws for draws, column in pairs], 1)


def slopes_by_autograd(mu, sigma, epsilon):
    mu, sigma = mu.clone().requires_grad_(), sigma.clone().requires_grad_()
    return torch.stack(torch.autograd.grad((mu + sigma * epsilon).sum(), (mu, sigma)))


def score_by_autograd(mu, sigma, epsilon):
    centre = torch.full_like(epsilon, mu).requires_grad_()
    z = (centre + sigma * epsilon).detach()
    log_q = Normal(centre, sigma).log_prob(z)
    return z**2 * torch.autograd.grad(log_q.sum(), centre)[0]


def bound_with_the_largest_taken_out(log_w, k):
    largest = log_w.max(1, keepdim=True).values
    return largest[:, 0] + torch.log(torch.exp(log_w - largest).sum(1) / k)


def total_with_loops(r, k, beta=1.0):
    return np.array([r[image].item() - beta * sum(k[image].tolist()) for image in range(len(r))], np.float32)


def kl_as_in_the_notebook(mu, logvar):
    sigma = torch.exp(logvar / 2)
    return (mu**2 + sigma**2 - 1 - 2 * torch.log(sigma)).sum(1) / 2


def kl_from_the_library(mu, logvar):
    q, p = Normal(mu, torch.exp(logvar / 2)), Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return kl_divergence(q, p).sum(-1)


def circle_by_rotation(a, b, t):
    """Turn a in the plane of a and b."""
    u = a / a.norm()
    across = b - (b @ u) * u
    angle = t * torch.atan2(across.norm(), b @ u)
    return a.norm() * (torch.cos(angle) * u + torch.sin(angle) * across / across.norm())


def circle_of_directions(a, b, t):
    """Turn the direction, and let the length run from one to the other: for equally long ends the same."""
    u, v = a / a.norm(), b / b.norm()
    w = torch.acos(u @ v)
    return ((1 - t) * a.norm() + t * b.norm()) * (torch.sin((1 - t) * w) * u + torch.sin(t * w) * v) / w.sin()


RIGHT = {
    "compression": [28 * 28 / 2, 392, torch.zeros(28, 28).numel() / vw.VAE(2, (1, 28, 28)).latent_dim],
    "generate": [
        decoding(lambda n, d, g: torch.randn(n, d, generator=g)),
        decoding(lambda n, d, g: torch.normal(0.0, 1.0, (n, d), generator=g)),
        decoding(lambda n, d, g: torch.randn(d, n, generator=g).T),
        decoding(box_muller),
        pictures_one_by_one,
    ],
    "midpoint": [
        lambda model, z_a, z_b: model.decode((z_a + z_b) / 2),
        lambda model, a, b: model.decode(torch.lerp(a, b, 0.5)),
        lambda model, a, b: model.decode(torch.cat([a, b]).mean(0, keepdim=True)),
    ],
    "residual": [0.25 + 0.25 + 0.25],
    "neighbours_agree": [agree_with_topk, agree_with_loops],
    "rescaled": [1, 10 / 10],
    "prior_mass": [0.8647, 1 - math.exp(-2)],
    "none_seen": [0.0713, 1.96**2 / (50 + 1.96**2)],
    "to_codes": [
        lambda epsilon, codes: epsilon * codes.std(0) + codes.mean(0),
        lambda epsilon, codes: codes.numpy().mean(0) + codes.numpy().std(0) * epsilon.numpy(),
        codes_column_by_column,
        lambda epsilon, codes: codes.mean(0) + epsilon @ torch.linalg.cholesky(torch.cov(codes.T)).T,
    ],
    "best_sigma": [0.5],
    "spread_of_means": [0.8],
    "sample": [
        lambda mu, logvar, epsilon: vw.Posterior(mu, logvar).sample(epsilon=epsilon),
        lambda mu, logvar, epsilon: logvar.exp().sqrt() * epsilon + mu,
        lambda mu, logvar, epsilon: mu.numpy() + np.exp(logvar.numpy() / 2) * epsilon.numpy(),
    ],
    "slopes": [slopes_by_autograd, lambda mu, sigma, epsilon: torch.stack([epsilon**0, epsilon])],
    "score": [
        score_by_autograd,
        lambda mu, sigma, epsilon: (mu + sigma * epsilon) ** 2 * epsilon / sigma,
    ],
    "draws_needed": [974, 100 * 24.1062**2 / 7.7228**2],
    "evidence": [-102.8 + 12],
    "sharper_decoder": [0.593],
    "importance_bound": [
        bound_with_the_largest_taken_out,
        lambda log_w, k: torch.logsumexp(log_w, dim=1) - np.log(k),
        lambda log_w, k: log_w.double().exp().mean(1).log(),
    ],
    "total": [
        lambda reconstruction, kl, beta: reconstruction - beta * kl.sum(dim=1),
        total_with_loops,
    ],
    "hidden_beta": [392],
    "kl": [
        kl_as_in_the_notebook,
        kl_from_the_library,
        lambda mu, logvar: vw.Posterior(mu, logvar).kl().sum(1),
        lambda mu, logvar: -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=-1),
    ],
    "kept_dimensions": [2, torch.tensor(2)],
    "rates": [
        lambda v, beta, noise: torch.tensor([max(0.0, math.log2(each / (beta * noise)) / 2) for each in v]),
        lambda v, beta, noise: torch.relu(torch.log2(v / beta / noise)) / 2,
        lambda v, beta, noise: vw.linear.water_filling(v, beta * noise) / math.log(2),
    ],
    "fair_elbo": [-77.9 - 28],
    "exact_encoder": [-24, -30 + 6],
    "seen_by_drawing": [2, "hole rate, feature distance".count(",") + 1],
    "told_apart": [
        lambda la, ha, lb, hb: ((la + ha) - (lb + hb)).abs() > (ha - la) + (hb - lb),
        lambda la, ha, lb, hb: torch.maximum(la, lb) > torch.minimum(ha, hb),
        lambda la, ha, lb, hb: np.where((ha < lb) | (hb < la), 1, 0),
    ],
    "typical_distance": [10, math.sqrt(100)],
    "great_circle": [
        circle_by_rotation,
        circle_of_directions,
        lambda a, b, t: vw.holes.interpolate(a, b, torch.tensor([t]), "great-circle")[0],
    ],
    "label_nats": [2.3026, -sum(0.1 * math.log(0.1) for _ in range(10))],
}


# --- wrong answers that need more than a line --------------------------------------------------------


def draw_that_goes_together(n, d, g):
    z = torch.randn(n, d, generator=g)
    z[:, 1] = 0.8 * z[:, 0] + 0.6 * z[:, 1]
    return z


def z_itself(model, n, generator):
    return torch.randn(n, model.latent_dim, generator=generator)


def z_after_decoding(model, n, generator):
    z = z_itself(model, n, generator)
    model.decode(z)
    return z


def midpoint_in_place(model, z_a, z_b):
    z_a += z_b
    return model.decode(z_a / 2)


def agree_along_the_axes(codes, labels, k):
    distances = (codes[:, None] - codes[None]).abs().sum(2).fill_diagonal_(math.inf)
    return agree(labels, distances.argsort(1)[:, :k]).mean()


def codes_in_place(epsilon, codes):
    epsilon *= codes.std(0)
    return epsilon + codes.mean(0)


def total_in_place(reconstruction, kl, beta):
    kl *= beta
    return reconstruction - kl.sum(1)


def circle_stretched(a, b, t):
    line = torch.lerp(a, b, t)
    return line * a.norm() / line.norm()


def circle_without_unit_vectors(a, b, t):
    w = torch.arccos(a @ b)
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)


softplus = torch.nn.functional.softplus
log, exp, stack, ones_like = torch.log, torch.exp, torch.stack, torch.ones_like

WRONG = {
    "compression": [
        (2 / 784, "upside down"),
        (14, "one side"),
        (78.4, "Ten digits are ten names"),
        (782, "how many *times*"),
        (99.74, "gone, in percent"),
        (0.997, "is gone"),
    ],
    "generate": [
        (decoding(lambda n, d, g: torch.zeros(n, d)), "Every z is zero"),
        (decoding(lambda n, d, g: torch.randn(1, d, generator=g).repeat(n, 1)), "n copies"),
        (decoding(lambda n, d, g: torch.ones(n, d)), "n copies"),
        (decoding(lambda n, d, g: torch.randn(n, 1, generator=g).repeat(1, d)), "All coordinates of a z"),
        (decoding(lambda n, d, g: torch.rand(n, d, generator=g)), "uniform"),
        (decoding(lambda n, d, g: 12**0.5 * (torch.rand(n, d, generator=g) - 0.5)), "uniform"),
        (decoding(lambda n, d, g: torch.randn(n, d)), "do not come from the generator"),
        (decoding(lambda n, d, g: torch.randn(n, d, generator=g.manual_seed(0))), "same seed must give"),
        (
            decoding(lambda n, d, g: torch.tensor(np.random.default_rng(0).normal(size=(n, d))).float()),
            "do not come from the generator",
        ),
        (decoding(lambda n, d, g: 1 + torch.randn(n, d, generator=g)), "centred"),
        (decoding(lambda n, d, g: torch.randn(n, d, generator=g) / 2), "spread"),
        (decoding(lambda n, d, g: 3 * torch.randn(n, d, generator=g)), "spread"),
        (decoding(lambda n, d, g: torch.nan * torch.randn(n, d, generator=g)), "NaN"),
        (decoding(lambda n, d, g: torch.randn(1, d, generator=g)), "not n"),
        (decoding(lambda n, d, g: torch.randn(16, d, generator=g)), "not n"),
        (decoding(lambda n, d, g: torch.randn(n, 2, generator=g)), "model has 3 latent dimensions"),
        (decoding(lambda n, d, g: torch.randn(n, 4, generator=g)), "z has 4 values but this model"),
        (decoding(lambda n, d, g: torch.randn(d, generator=g)), "one row per point"),
        (decoding(draw_that_goes_together), "independent"),
        (z_itself, "No z was decoded"),
        (z_after_decoding, "That is z itself"),
        (lambda m, n, g: m.decode(m.encode(torch.rand(n, *m.image_shape)).sample(g)), "You encode an image"),
        (lambda model, n, g: model(torch.rand(n, 1, 4, 4)), "You encode an image"),
        (lambda m, n, g: m.decode(z_itself(m, n, g)).bernoulli(generator=g), "as the decoder gives them"),
        (lambda model, n, g: model.decode(z_itself(model, n, g))[0], "should return shape (1000, 1, 4, 4)"),
    ],
    "midpoint": [
        (lambda m, a, b: (m.decode(a) + m.decode(b)) / 2, "double exposure"),
        (lambda m, a, b: m.decode(a + b), "sum of two points"),
        (lambda m, a, b: m.decode(a + b / 2), "Only z_b is halved"),
        (lambda m, a, b: (a + b) / 2, "the point of the plane"),
        (lambda m, a, b: m.decode(a), "at z_a"),
        (lambda m, a, b: m.decode(0.3 * a + 0.7 * b), "halfway"),
        (midpoint_in_place, "changes its argument z_a in place"),
    ],
    "residual": [
        (14, "variance it *keeps*"),
        (0.25, "one lost direction"),
        (0.0508, "share of the variance"),
        (0.125, "averaged over the six"),
        (1.75, "what two coordinates leave"),
        (5.75, "what one coordinate leaves"),
    ],
    "neighbours_agree": [
        (lambda c, l, k: agree(l, torch.cdist(c, c).argsort(1)[:, :k]).mean().item(), "finds itself"),
        (lambda c, l, k: agree(l, torch.cdist(c, c).topk(k).indices).mean(), "*farthest*"),
        (lambda c, l, k: (nearest(c, k) == l[:, None]).float().mean(), "*row numbers*"),
        (lambda c, l, k: agree(l, (c @ c.T).topk(k).indices).double().mean().item(), "dot product"),
        (lambda c, l, k: agree(l, nearest(c, k)).sum(), "counts all pairs"),
        (agree_along_the_axes, "straight, Euclidean distance"),
        (lambda c, l, k: agree(l, nearest(c, k)).amax(1).mean(), "whether any neighbour agrees"),
        (lambda c, l, k: 100 * agree_with_topk(c, l, k), "percent"),
        (lambda c, l, k: vw.metrics.knn_agreement(c, l, k=k), "vote"),
    ],
    "rescaled": [
        (10, "*map* is 10 times larger"),
        (0.1, "told apart"),
        (100, "*pixels* are scaled"),
        (0, "no error is left"),
    ],
    "prior_mass": [
        (0.9545, "two sigma of *one* dimension"),
        (0.95, "two sigma of *one* dimension"),
        (0.9111, "*square* of half-width 2"),
        (0.9772, "one tail"),
        (0.466, "*square* of half-width 1"),
        (0.1353, "*outside*"),
        (86.47, "in percent"),
        (0.3935, "within radius 1"),
    ],
    "none_seen": [
        (0, "more draws may find one"),
        (0.06, "rule of three"),
        (0.02, "could have hidden"),
        (7.13, "in percent"),
        (0.107, "a half is missing"),
    ],
    "to_codes": [
        (lambda epsilon, codes: epsilon, "N(0, I) as it came"),
        (lambda epsilon, codes: epsilon * codes.std(0), "about the origin"),
        (lambda epsilon, codes: epsilon + codes.mean(0), "still that of N(0, I)"),
        (lambda epsilon, codes: codes.mean(0) + codes.var(0) * epsilon, "variance"),
        (lambda epsilon, codes: codes.mean() + codes.std() * epsilon, "has its own"),
        (lambda e, c: (e - e.mean(0)) / e.std(0) * c.std(0) + c.mean(0), "You standardise the draws"),
        (codes_in_place, "changes its argument epsilon in place"),
    ],
    "best_sigma": [
        (0, "best sigma is not 0"),
        (1, "not every q should equal the prior"),
        (0.25, "That is sigma^2, the variance"),
        (0.577, "prior's own pull"),
        (-1.386, "That is logvar"),
        (0.632, "derivative of sigma^2"),
    ],
    "spread_of_means": [
        (0, "their average should"),
        (1, "overfull"),
        (0.4, "Variances do"),
        (0.64, "variance of mu"),
        (0.6, "width of each cloud"),
        (0.36, "variance of each cloud"),
    ],
    "sample": [
        (lambda mu, logvar, epsilon: mu + logvar.exp() * epsilon, "the variance"),
        (lambda mu, logvar, epsilon: mu + softplus(logvar) * epsilon, "another convention"),
        (lambda mu, logvar, epsilon: mu + logvar * epsilon, "may be negative"),
        (lambda mu, logvar, epsilon: mu, "lies beside it"),
        (lambda mu, logvar, epsilon: mu - exp(logvar / 2) * epsilon, "mirrored"),
        (lambda mu, logvar, epsilon: mu + exp(logvar / 2) * torch.randn_like(mu), "noise of your own"),
        (lambda mu, logvar, epsilon: torch.normal(mu, exp(logvar / 2)), "noise of your own"),
        (lambda mu, logvar, epsilon: mu + torch.sqrt(logvar) * epsilon, "NaN"),
    ],
    "slopes": [
        (lambda m, s, e: torch.zeros(2, *m.shape), "*can* be differentiated"),
        (lambda m, s, e: stack([ones_like(m), 0 * s]), "cannot stay outside the gradient"),
        (lambda m, s, e: stack([e, ones_like(m)]), "the other order"),
        (lambda m, s, e: stack([ones_like(m), s * e]), "whole part of z"),
        (lambda m, s, e: (ones_like(m), e), "returns a tuple"),
        (lambda m, s, e: torch.cat([ones_like(m), e]), "should return shape (2, 5, 3)"),
    ],
    "score": [
        (lambda m, s, e: 2 * (m + s * e), "pathwise gradient"),
        (lambda m, s, e: (m + s * e) ** 2 * e, "a division is missing"),
        (lambda m, s, e: (m + s * e) ** 2 * Normal(m, s).log_prob(m + s * e), "ln q(z) itself"),
        (lambda m, s, e: (m + s * e) * e / s, "f(z) is z^2 here"),
        (lambda m, s, e: ((m + s * e) ** 2 * e / s).mean(), "the mean comes last"),
    ],
    "draws_needed": [
        (312, "root"),
        (3.12, "ratio of the two spreads"),
        (100, "neither is biased"),
        (1e9, "It is not"),
        (10.26, "Upside down"),
    ],
    "evidence": [
        (-102.8, "not the likelihood"),
        (-114.8, "*lower* bound"),
        (-131, "in bits"),
        (math.exp(-90.8), "its logarithm"),
        (90.8, "the sign is not"),
    ],
    "sharper_decoder": [
        (0, "does not close the gap"),
        (0.3569, "another gap"),
        (0.8552, "in bits"),
        (1.1856, "half of the difference"),
        (0.6634, ".5 is s^2 already"),
    ],
    "importance_bound": [
        (lambda log_w, k: log(exp(log_w).mean(1)), "log 0 is -inf"),
        (lambda log_w, k: exp(log_w).mean(1), "have vanished"),
        (lambda log_w, k: log_w.mean(1), "average the logarithms"),
        (lambda log_w, k: torch.logsumexp(log_w, 1), "sum the weights"),
        (lambda log_w, k: torch.logsumexp(log_w, 1) / k, "weights that are averaged"),
        (lambda log_w, k: log_w.max(1).values, "best sample alone"),
        (lambda log_w, k: torch.logsumexp(log_w, 1) - math.log(len(log_w)), "The weights are averaged"),
    ],
    "total": [
        (lambda r, kl, beta: r + beta * kl.sum(1), "The KL is a cost"),
        (lambda r, kl, beta: r - kl.sum(1), "beta is not used"),
        (lambda r, kl, beta: r - beta * kl.mean(1), "average the KL over the latent"),
        (lambda r, kl, beta: (r - beta * kl.sum(1)).mean(), "average over the batch"),
        (lambda r, kl, beta: beta * kl.sum(1) - r, "*loss*"),
        (lambda r, kl, beta: r - 3 * kl.sum(1), "Right for one input"),
        (lambda r, kl, beta: r - beta * kl, "RuntimeError: The size of tensor a"),
        (total_in_place, "changes its argument kl in place"),
    ],
    "hidden_beta": [
        (784, "KL was averaged too"),
        (1, "different counts"),
        (2, "KL's own divisor"),
        (0.00255, "Upside down"),
    ],
    "kl": [
        (lambda mu, s: 0.5 * (1 + s - mu**2 - exp(s)).sum(1), "sign is flipped"),
        (lambda mu, s: 0.5 * (mu**2 + s**2 - 1 - log(s**2)).sum(1), "logvar for sigma"),
        (lambda mu, s: 0.5 * (mu**2 + exp(s) ** 2 - 1 - 2 * s).sum(1), "exp(logvar) for sigma"),
        (lambda mu, s: 0.5 * (mu**2 + s - 1 - log(s)).sum(1), "logvar for the variance"),
        (lambda mu, s: 0.5 * (mu**2 + exp(s) - s).sum(1), "constant is missing"),
        (lambda mu, s: 0.5 * (mu**2 + exp(s) - 1 - s).mean(1), "average over the latent"),
        (lambda mu, s: 0.5 * (mu**2 + exp(s) - 1 - s).sum(1) / math.log(2), "bits"),
        (lambda mu, s: (mu**2 / 2 + (exp(s) - 1) / 2 - s).sum(1), "counts double"),
        (lambda mu, s: (mu**2 / 2 + exp(s) - 1 - s).sum(1), "before the offset only"),
        (lambda mu, s: (mu**2 + exp(s) - 1 - s).sum(1) / 8, "one and the same factor"),
        (lambda mu, s: 0.5 * (mu**2 + exp(s) - 1 - s).sum(1) * len(mu), "changes with the input"),
        (lambda mu, s: vw.objectives.kl(mu, s)[:, :2].sum(1), "Right for one input"),
        (lambda mu, s: 0.5 * mu.pow(2).sum(1), "offset alone"),
        (lambda mu, s: -0.5 * (1 + s - exp(s)).sum(1), "shape alone"),
        (vw.objectives.kl, "One number per dimension"),
    ],
    "kept_dimensions": [
        (6, "its best w is 0"),
        (3, "No KL is weighed"),
        (1, "Every variance above"),
        (0, "not the end of everything"),
    ],
    "rates": [
        (lambda v, beta, noise: 0.5 * torch.log2(v / (beta * noise)), "less than nothing"),
        (lambda v, beta, noise: 0.5 * torch.log(v / (beta * noise)).clamp(min=0), "in nats"),
        (lambda v, beta, noise: 0.5 * torch.log(v / (beta * noise)), "in nats, not in bits; and"),
        (lambda v, beta, noise: torch.log2(v / (beta * noise)).relu(), "Twice too much"),
        (lambda v, beta, noise: torch.log2(v / noise).relu() / 2, "leave beta out"),
        (lambda v, beta, noise: torch.log2(v**0.5 / (beta * noise)).relu() / 2, "no root of them"),
        (lambda v, beta, noise: [math.log2(x / (beta * noise)) for x in v], "torch.tensor makes it one"),
        (lambda v, beta, noise: torch.log2(v / (beta * noise**2)).relu() / 2, "a variance"),
        (lambda v, beta, noise: torch.log2(v / (beta * noise)).relu().sum() / 2, "do not sum"),
        (lambda v, beta, noise: torch.relu(v - beta * noise), "how much variance"),
    ],
    "fair_elbo": [
        (-84.9, "loss it reports"),
        (-77.9, "paid for too"),
        (-49.9, "You reward the KL"),
        (105.9, "the sign is not"),
    ],
    "exact_encoder": [
        (-30, "a better q lifts it"),
        (6, "a KL, not a bound"),
        (0, "The *gap* becomes 0"),
        (-36, "You moved it down"),
        (-27, "Halfway?"),
        (24, "the sign is not"),
    ],
    "seen_by_drawing": [
        (6, "Reconstructing, grouping and generating"),
        (3, "A lower loss = better samples?"),
        (1, "Is there another"),
        (4, "an autoencoder's group too"),
    ],
    "told_apart": [
        (lambda la, ha, lb, hb: ha < lb, "a below b only"),
        (lambda la, ha, lb, hb: (la <= hb) & (lb <= ha), "*do* overlap"),
        (lambda la, ha, lb, hb: (ha <= lb) | (hb <= la), "share that point"),
        (lambda la, ha, lb, hb: (la + ha) / 2 != (lb + hb) / 2, "compare the middles"),
        (lambda la, ha, lb, hb: (la + ha < 2 * lb) | (la + ha > 2 * hb), "the middle of one"),
        (lambda la, ha, lb, hb: (ha < lb) & (hb < la), "Both at once"),
        (lambda la, ha, lb, hb: bool(((ha < lb) | (hb < la)).all()), "a single number"),
        (lambda la, ha, lb, hb: 1 if ha < lb or hb < la else 0, "RuntimeError: Boolean value of Tensor"),
        (lambda la, ha, lb, hb: la > hb, "b below a only"),
        (lambda la, ha, lb, hb: ha < lb | hb < la, 'NotImplementedError: "bitwise_or_cpu"'),
    ],
    "typical_distance": [
        (0.0, "density is highest"),
        (1.0, "*one* coordinate"),
        (100, "*squared* length"),
        (7.07, "Halfway"),
        (14.14, "two *draws*"),
        (79.8, "by their squares"),
    ],
    "great_circle": [
        (lambda a, b, t: torch.lerp(a, b, t), "straight line: its middle"),
        (lambda a, b, t: torch.lerp(b, a, t), "runs from b to a"),
        (lambda a, b, t: circle_by_rotation(b, a, t), "Your path runs from b to a"),
        (circle_stretched, "pace is uneven"),
        (lambda a, b, t: (1 - t) ** 0.5 * a + t**0.5 * b, "right angle"),
        (lambda a, b, t: np.cos(t * np.pi / 2) * a + np.sin(t * np.pi / 2) * b, "angle for a right one"),
        (lambda a, b, t: circle_by_rotation(a / a.norm(), b / b.norm(), t), "*directions*"),
        (circle_without_unit_vectors, "*unit* vectors"),
    ],
    "label_nats": [
        (3.3219, "in bits"),
        (10, "counts the labels"),
        (0.1, "probability of each label"),
        (1, "decimal digits"),
    ],
}  # fmt: skip


def rows(table):
    return [
        pytest.param(name, *(row if isinstance(row, tuple) else (row,)), id=f"{name}-{number}")
        for name, answers in table.items()
        for number, row in enumerate(answers)
    ]


@pytest.mark.parametrize(("name", "answer"), rows(RIGHT))
def test_right(name, answer):
    verdict = getattr(check, name)(answer)
    assert verdict, verdict


@pytest.mark.parametrize(("name", "answer", "words"), rows(WRONG))
def test_typical_wrong_answers_hear_of_their_misconception(name, answer, words):
    not_yet(getattr(check, name)(answer), words)


def test_every_exercise_has_a_right_answer_and_two_misconceptions_here():
    assert RIGHT.keys() == WRONG.keys() == set(NAMES) and len(NAMES) == 30
    for name, answers in WRONG.items():
        heard = {getattr(check, name)(answer).message.splitlines()[0] for answer, _ in answers}
        named = [message for message in heard if getattr(check, name).case().hint != message]
        assert len(named) >= 2, f"{name}: {heard}"


def test_the_messages_of_right_answers_teach_more():
    assert "Elbo.total" in repr(check.total(total_with_loops))
    for name, answers in RIGHT.items():
        assert len({getattr(check, name)(answer).message for answer in answers}) == 1


def test_the_public_names_are_the_exercises_and_the_verdict():
    public = {name for name in vars(check) if not name.startswith("_")} - {"annotations"}
    assert public == set(check.__all__) and check.__all__ == sorted(check.__all__)


# --- the solutions, from first principles ------------------------------------------------------------


def test_the_numbers_are_right():
    # The best rank-3 reconstruction of data with exactly these eigenvalues.
    noise = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=noise, dtype=torch.float64)).Q
    scores = torch.linalg.qr(torch.randn(500, 6, generator=noise, dtype=torch.float64)).Q * 500**0.5
    x = scores * torch.tensor([9, 4, 1, 0.25, 0.25, 0.25], dtype=torch.float64).sqrt() @ basis.T
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    assert check.residual(((x - u[:, :3] * s[:3] @ v[:3]) ** 2).sum(1).mean())

    model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
    images = torch.rand(5, 1, 4, 4, generator=noise)
    code = model.encode(images).mu
    old, new = ((model.decode(z) - images).square().sum() for z in (code, code * 10 / 10))
    assert check.rescaled(new / old)

    draws = torch.randn(400_000, 2, generator=noise)
    assert check.prior_mass((draws.norm(dim=1) < 2).double().mean())
    assert check.none_seen(wilson(0, 50).high)

    # Gradients tell in which proportion a loss weighs its terms.
    reconstruction = torch.zeros(784, requires_grad=True)
    kl = torch.zeros(2, requires_grad=True)
    (kl.mean() - reconstruction.mean()).backward()
    assert check.hidden_beta(-kl.grad[0] / reconstruction.grad[0])

    # A hundred squares of normal draws, each of mean 1; and a distribution over ten equally likely labels.
    z = torch.randn(4000, 100, generator=noise)
    assert check.typical_distance(z.square().sum(1).mean().sqrt())
    assert check.label_nats(torch.distributions.Categorical(torch.ones(10)).entropy())

    sigmas = torch.linspace(0.01, 2, 2000)
    costs = vw.objectives.kl(torch.zeros(2000), 2 * sigmas.log()) + 3 * sigmas**2 / 2
    assert check.best_sigma(sigmas[costs.argmin()])

    means = torch.special.ndtri((torch.arange(4000) + 0.5) / 4000)
    where = torch.tensor([[-1.5], [0.0], [2.0]])
    mixture = Normal(0.8 * means, 0.6).log_prob(where).exp().mean(1)
    assert torch.allclose(mixture, Normal(0, 1).log_prob(where[:, 0]).exp(), rtol=2e-3)
    assert check.spread_of_means(0.8)

    turn = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5
    w = torch.tensor([4.0, 1.0], dtype=torch.float64).diag() @ turn
    origin, widths = torch.zeros(2).double(), torch.linspace(0.01, 1, 2000, dtype=torch.float64)
    p = MultivariateNormal(origin, precision_matrix=w.T @ w / 0.5 + torch.eye(2))
    q = MultivariateNormal(origin, widths[:, None, None] ** 2 * torch.eye(2))
    assert check.sharper_decoder(kl_divergence(q, p).min())  # both are as wide

    squares = torch.linspace(0, 10, 1001)
    best = [
        (-0.5 * (squares + 2).log() - 0.5 * v / (squares + 2)).argmax() for v in (9, 4, 1, 0.25, 0.25, 0.25)
    ]
    assert check.kept_dimensions(sum(square > 0 for square in best))
