"""Types of models: which attributes and methods a function needs. No base class is needed.

Only type checkers need them; import them under ``typing.TYPE_CHECKING``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from torch import Tensor

    from .conditional import ConditionalVAE
    from .vae import VAE, Autoencoder, Posterior

#: What `fit` trains and the metrics measure.
Trainable: TypeAlias = "VAE | Autoencoder | ConditionalVAE"


class Decoder(Protocol):
    """Decodes points of a latent space to images: all that a panel needs."""

    @property
    def latent_dim(self) -> int:
        """d, the number of latent coordinates."""

    def decode(self, z: Tensor, /) -> Tensor:
        """Compute images, Tensor of shape (B, C, H, W), of points z of shape (B, d)."""


class Encoder(Protocol):
    """Encodes images: to a Gaussian over the latent space, or to a point."""

    def encode(self, x: Tensor, /) -> Posterior | Tensor:
        """Compute q(z|x), or codes of shape (B, d), of images x of shape (B, C, H, W)."""


class EncoderDecoder(Encoder, Decoder, Protocol):
    """Encodes and decodes."""


class ImageModel(EncoderDecoder, Protocol):
    """Encodes and decodes images of one shape."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""


class Likelihood(Protocol):
    """Turns a decoder's output into log p(x|z), as the classes of `likelihoods` do."""

    @property
    def support(self) -> tuple[float, float]:
        """The range of a pixel."""

    def log_prob(self, x: Tensor, parameters: Tensor, /) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for both of shape (..., B, C, H, W)."""

    def mean(self, parameters: Tensor, /) -> Tensor:
        """Compute the mean image E[x|z], of the shape of the parameters, (..., C, H, W)."""


class LikelihoodDecoder(Decoder, Protocol):
    """A decoder with a likelihood: it also computes log p(x|z)."""

    @property
    def likelihood(self) -> Likelihood:
        """Of the parameters that `decode_parameters` gives."""

    def decode_parameters(self, z: Tensor, /) -> Tensor:
        """Compute the parameters of p(x|z): (..., C, H, W) for z of shape (..., d)."""


class VariationalModel(LikelihoodDecoder, Protocol):
    """p(x|z) and q(z|x), which the bounds need: a `VAE`, or a `ConditionalVAE` with its labels."""

    def encode(self, x: Tensor, /) -> Posterior:
        """Compute q(z|x) of images x of shape (B, C, H, W)."""


class CodingModel(LikelihoodDecoder, Protocol):
    """p(x|z) and one code for each image: an `Autoencoder`."""

    def encode(self, x: Tensor, /) -> Tensor:
        """Compute codes, Tensor of shape (B, d), of images x of shape (B, C, H, W)."""


class Judge(Protocol):
    """Gives the confidence that an image is of a real class, as a `Classifier` does."""

    def confidence(self, x: Tensor, /) -> Tensor:
        """Compute the largest probability of a real class: Tensor of shape (B,), for x (B, C, H, W)."""
