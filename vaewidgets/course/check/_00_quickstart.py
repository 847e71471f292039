"""The exercises of notebook 00."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor

from vaewidgets.models.vae import VAE

from ._mechanism import Function, NotYet, Number, Run, exercise, same


@exercise
def compression():
    """How many times fewer numbers are the two latent coordinates than the 28 x 28 grey picture?

    Parameters
    ----------
    answer : float
        A factor, within 1 %.
    """
    return Number(
        right=392,
        well="784 pixels become 2 numbers. So few cannot hold every detail: look at the reconstructions.",
        hint="Count the numbers on both sides of the bottleneck, pixels and latent coordinates; compare.",
        wrong=[
            (1 / 392, "That is upside down: it is the share that is left. How many times fewer is it?"),
            (100 / 392, "That is the share that is left, in percent. How many times fewer is it?"),
            (1 - 1 / 392, "That is the share that is gone. How many *times* fewer numbers are left?"),
            (100 - 100 / 392, "That is the share that is gone, in percent. How many *times* fewer is it?"),
            (14, "28 is only one side of the picture. Count all of its pixels."),
            (28, "28 is only one side of the picture, and something should be divided by something."),
            (784, "So many pixels there are. How many of them share one latent coordinate?"),
            (2, "So many numbers are left. How many times more were there before?"),
            (782, "So many numbers *fewer* there are (a difference). Asked is how many *times* fewer."),
            (78.4, "Ten digits are ten names. What passes the bottleneck is a point of the plane."),
            (196, "mu and log sigma^2 are what the encoder says of z. The decoder is fed z alone."),
            (98, "That counts bytes, on one side at least. Count numbers on both."),
            (1568, "You multiplied. A ratio divides what was before by what is left."),
        ],
    )


@exercise
def generate():
    """Write ``generate(model, n, generator)``: n new pictures, made with no image and no encoder.

    Parameters
    ----------
    answer : function
        Takes a model with ``latent_dim`` and ``decode``, an int and a torch.Generator from which all
        randomness comes; returns a Tensor of shape (n, C, H, W).
    """
    return Function(
        trials=[
            dict(model=_Watched(), n=n, generator=torch.Generator().manual_seed(seed))
            for n, seed in [(1000, 0), (7, 1), (7, 1), (7, 2)]
        ],
        right=lambda model, n, generator: model.likelihood.mean(torch.cat(model.logits)),
        well="z from the prior, then the decoder: no image went in. That is what makes a VAE generative.",
        hint="Return the pictures exactly as the decoder gives them, all n of them in one tensor.",
        symptoms=[
            (lambda runs: not _model(runs[0]).z, "No z was decoded. Only the decoder can paint a picture."),
            (lambda runs: same(runs[0].result, _z(runs[0])), "That is z itself. Decode it: show pictures."),
            (
                lambda runs: any(len(_z(run)) != run.given["n"] for run in runs),
                "The number of points that you decode is not n. Draw one z for each new picture.",
            ),
            (lambda runs: not _z(runs[0]).isfinite().all(), "Some of your z are NaN or infinite."),
            (
                lambda runs: not _z(runs[0]).any(),
                "Every z is zero: always the same picture, that of the prior's centre. Draw them at random.",
            ),
            (
                lambda runs: not (_z(runs[0]) != _z(runs[0])[:1]).any(),
                "One z, n times: n copies of one picture. Each picture needs a draw of its own.",
            ),
            (
                lambda runs: not same(_z(runs[1]), _z(runs[2])) or same(_z(runs[2]), _z(runs[3])),
                "Your draws do not come from the generator that is given: the same seed must give the "
                "same pictures, and another seed others.",
            ),
            (
                lambda runs: not (_z(runs[0]) != _z(runs[0])[:, :1]).any(),
                "All coordinates of a z are equal: a line, not the whole space. Draw each on its own.",
            ),
            (
                lambda runs: bool((_standard(_z(runs[0])).abs() < 2).all()),
                "Your z keep inside a box, as a uniform draw does. The prior is a normal distribution.",
            ),
            (
                lambda runs: not (_z(runs[0]).mean(0).abs() < 0.15).all(),
                "Your z are not centred where the prior N(0, I) is.",
            ),
            (
                lambda runs: not ((_z(runs[0]).std(0) - 1).abs() < 0.1).all(),
                "The spread of your z is not that of the prior N(0, I).",
            ),
            (
                lambda runs: not (torch.corrcoef(_z(runs[0]).T).fill_diagonal_(0).abs() < 0.2).all(),
                "The coordinates of your z go together. Under the prior they are independent.",
            ),
        ],
    )


@exercise
def midpoint():
    """Write ``midpoint(model, z_a, z_b)``: the picture that the decoder paints halfway between two points.

    Parameters
    ----------
    answer : function
        Takes a model and two Tensors of shape (1, d); returns a Tensor of shape (1, C, H, W).
    """
    model = VAE(2, (1, 4, 4), hidden=(16,), seed=0).requires_grad_(False)
    noise = torch.Generator().manual_seed(0)
    ends = 4 * torch.randn(2, 2, 1, 2, generator=noise)
    return Function(
        trials=[dict(model=model, z_a=z_a, z_b=z_b) for z_a, z_b in ends],
        right=lambda model, a, b: model.decode((a + b) / 2),
        well="Halfway in the plane, then decoded: a picture of its own, not two seen through each other.",
        hint="Find the point halfway between z_a and z_b on the plane; then let the decoder paint it.",
        wrong=[
            (
                lambda model, a, b: (model.decode(a) + model.decode(b)) / 2,
                "You average two pictures, pixel by pixel: a double exposure. Average before you decode.",
            ),
            (
                lambda model, a, b: model.decode(a) + model.decode(b),
                "You add two pictures, pixel by pixel. Work with the two points, before you decode.",
            ),
            (
                lambda model, a, b: model.decode(a + b),
                "The sum of two points lies far outside, not between them. What is missing?",
            ),
            (
                lambda model, a, b: model.decode(a + b / 2),
                "Only z_b is halved: a division comes before a sum. Brackets help.",
            ),
            (
                lambda model, a, b: model.decode((a - b) / 2),
                "Half the difference is a step from the origin. Where does it start?",
            ),
            (
                lambda model, a, b: model.decode((b - a) / 2),
                "Half the difference is a step from the origin. Where does it start?",
            ),
            (lambda model, a, b: (a + b) / 2, "That is the point of the plane. The question is its picture."),
            (lambda model, a, b: model.decode(a), "That is the picture at z_a: one end of the way."),
            (lambda model, a, b: model.decode(b), "That is the picture at z_b: one end of the way."),
        ],
    )


class _Watched(VAE):
    """A decoder that records z and logits. It has three latent dimensions, so that nobody can assume two."""

    def __init__(self) -> None:
        super().__init__(3, (1, 4, 4), hidden=(8,), seed=0)
        self.requires_grad_(False)
        self.z: list[Tensor] = []
        self.logits: list[Tensor] = []

    def decode_parameters(self, z: Tensor) -> Tensor:
        if z.shape[-1] == 2:
            raise NotYet("Your z has 2 columns; this check's model has 3 latent dimensions. Ask the model.")
        logits = super().decode_parameters(z)
        self.z.append(z.detach().reshape(-1, self.latent_dim).clone())
        self.logits.append(logits.reshape(-1, *self.image_shape))
        return logits

    def encode(self, x: Tensor) -> NoReturn:
        raise NotYet("You encode an image. A new picture starts from the prior, with no image at all.")


def _model(run: Run) -> _Watched:
    return run.given["model"]


def _z(run: Run) -> Tensor:
    return torch.cat(_model(run).z)


def _standard(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / z.std(0)
