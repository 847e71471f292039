"""The exercises of notebook 01."""

from __future__ import annotations

import torch
from torch import Tensor

from ._mechanism import Function, Number, exercise


@exercise
def residual():
    """Images of six numbers have a covariance with eigenvalues 9, 4, 1, .25, .25, .25.

    A linear autoencoder with three latent coordinates is trained to the end. How large is the squared
    error per image (summed over its six numbers, averaged over images) that is left?

    Parameters
    ----------
    answer : float
        Within 1 %.
    """
    left, kept = 0.75, 14
    return Number(
        right=left,
        well="Like PCA it keeps the directions of largest variance; the variance of the others is lost.",
        hint="An eigenvalue is the variance along one direction. Which directions are kept, which are lost?",
        wrong=[
            (kept, "That is the variance it *keeps*. The error is made of what it cannot keep."),
            (kept + left, "That is the variance of all six directions. Some of them are kept."),
            (left / 3, "That is one lost direction, or their mean. An image loses all of them at once."),
            (left / (kept + left), "That is a share of the variance. Asked is the squared error itself."),
            (100 * left / (kept + left), "That is a share in percent. Asked is the squared error itself."),
            (kept / (kept + left), "That is the share it *keeps*. Asked is the squared error that is left."),
            (left / 6, "You averaged over the six numbers of an image: here they are summed."),
            (left / 2, "Halved? Some losses carry a factor 1/2; a squared error does not."),
            (left**0.5, "That is a root. The squared error is asked, and variances are squares already."),
            (kept / 3, "That is the mean of the kept variances. The error is made of what is lost."),
            (0, "Three coordinates cannot hold six directions that all vary: something is lost."),
            (1 + left, "That is what two coordinates leave, as in the cell above. Here there is a third."),
            (4 + 1 + left, "That is what one coordinate leaves, as in the cell above. Here there are three."),
            (3, "So many directions are lost. How much do the images vary along them?"),
        ],
    )


@exercise
def neighbours_agree():
    """Write ``neighbours_agree(codes, labels, k)``: how far do similar inputs group?

    For each point take its k nearest *other* points (Euclidean) and the share of them that carries the
    point's own label; return the mean of these shares, between 0 and 1.

    Parameters
    ----------
    answer : function
        Takes a Tensor of shape (N, d), an int64 Tensor of shape (N,) and an int; returns one number.
    """
    return Function(
        trials=[_clusters(24, k=5, seed=0), _clusters(18, k=3, seed=1)],
        right=lambda codes, labels, k: _same_label(codes, labels, k).mean(),
        well="No label was used to make the codes; if neighbours share one all the same, inputs do group.",
        hint="All distances first; then the k smallest of each row, without the point itself; then labels.",
        wrong=[
            (lambda codes, labels, k: _same_label(codes, labels, k, itself=True).mean(), _ITSELF),
            (lambda codes, labels, k: _same_label(codes, labels, k + 1, itself=True).mean(), _ITSELF),
            (
                lambda codes, labels, k: _same_label(codes, labels, k, farthest=True).mean(),
                "Those are the k *farthest* points: the sort, or the topk, runs the other way.",
            ),
            (
                lambda codes, labels, k: 100 * _same_label(codes, labels, k).mean(),
                "That is in percent. Return a share between 0 and 1.",
            ),
            (
                lambda codes, labels, k: _same_label(codes, labels, k).sum(),
                "That counts all pairs that agree. Which share of them is it?",
            ),
            (
                lambda codes, labels, k: _same(labels, (codes @ codes.T).topk(k).indices).mean(),
                "A large dot product is no small distance: codes far out would be everybody's neighbours.",
            ),
            (
                lambda codes, labels, k: 1 - _same_label(codes, labels, k).mean(),
                "That is how many neighbours *dis*agree.",
            ),
            (
                lambda codes, labels, k: k * _same_label(codes, labels, k).mean(),
                "That counts the neighbours that agree. Which share of the k is it?",
            ),
            (
                lambda codes, labels, k: _same_label(codes, labels, k).mean(1),
                "That is one share per point. Take their mean.",
            ),
            (
                lambda codes, labels, k: _same_label(codes, labels, k).amax(1).mean(),
                "You ask whether any neighbour agrees. Asked is which share of the k does.",
            ),
            (
                lambda codes, labels, k: _same_label(codes, labels, k, p=1.0).mean(),
                "You add up the differences of the coordinates. Asked is the straight, Euclidean distance.",
            ),
            (
                lambda codes, labels, k: _same_label(codes, labels, 1).mean(),
                "You look at one neighbour only. k says how many.",
            ),
            (
                lambda codes, labels, k: (_nearest(codes, k) == labels[:, None]).double().mean(),
                "You compare the neighbours' *row numbers* with a label. Look their labels up first.",
            ),
            (
                lambda codes, labels, k: _same(labels, _rows_below(len(labels), k)).mean(),
                "Those are the next k rows of the table. Neighbours are near in the plane, not in the list.",
            ),
            (
                _vote,
                "You let the neighbours vote (a k-NN classifier, also a good measure). "
                "Here every neighbour counts by itself.",
            ),
        ],
    )


@exercise
def rescaled():
    """Multiply every code of a trained autoencoder by 10, and divide by 10 at the decoder's entrance.

    By what factor does the reconstruction error change?

    Parameters
    ----------
    answer : float
        New error divided by old error, within 1 %.
    """
    follow = "Follow a code: times 10 as it leaves the encoder, divided by 10 as it enters the decoder."
    return Number(
        right=1,
        well="The decoder never notices. So an autoencoder's scale is arbitrary: distances have no unit.",
        hint=follow,
        wrong=[
            (10, f"The *map* is 10 times larger, and the error? {follow}"),
            (100, f"A squared error grows so when *pixels* are scaled; here codes are. {follow}"),
            (0.1, f"Codes farther apart are not codes told apart better. {follow}"),
            (0.01, f"Codes farther apart are not codes told apart better. {follow}"),
            (0, "A factor of zero would mean that no error is left at all. Divide the new error by the old."),
        ],
    )


_ITSELF = "Every point finds itself, at distance 0, among its nearest: that flatters. Leave it out."


def _clusters(count: int, k: int, seed: int) -> dict:
    noise = torch.Generator().manual_seed(seed)
    kinds = torch.randint(0, 3, (count,), generator=noise)
    centres = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.5]])
    codes = centres[kinds] + 0.8 * torch.randn(count, 2, generator=noise)
    return dict(codes=codes, labels=torch.tensor([1, 4, 7])[kinds], k=k)


def _nearest(codes: Tensor, k: int, itself: bool = False, farthest: bool = False, p: float = 2.0) -> Tensor:
    distances = torch.cdist(codes, codes, p=p)
    if not itself:
        distances.fill_diagonal_(-torch.inf if farthest else torch.inf)
    return distances.topk(k, largest=farthest).indices


def _rows_below(count: int, k: int) -> Tensor:
    return (torch.arange(count)[:, None] + torch.arange(1, k + 1)) % count


def _same(labels: Tensor, index: Tensor) -> Tensor:
    return (labels[index] == labels[:, None]).double()


def _same_label(codes: Tensor, labels: Tensor, k: int, **which) -> Tensor:
    return _same(labels, _nearest(codes, k, **which))


def _vote(codes: Tensor, labels: Tensor, k: int) -> Tensor:
    return (labels[_nearest(codes, k)].mode(1).values == labels).double().mean()
