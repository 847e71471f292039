"""What a function asks of a model, as types: any object that has these fits, whatever its class.

Needed by type checkers alone; import it under ``typing.TYPE_CHECKING``.
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
    """What paints a point of a latent space: all that a panel needs."""

    @property
    def latent_dim(self) -> int:
        """d, the number of latent coordinates."""
        ...

    def decode(self, z: Tensor, /) -> Tensor:
        """Compute images, Tensor of shape (B, C, H, W), of points z of shape (B, d)."""
        ...


class Encoder(Protocol):
    """What finds a place in a latent space for an image: a Gaussian, or a point without a spread."""

    def encode(self, x: Tensor, /) -> Posterior | Tensor:
        """Infer q(z|x), or codes of shape (B, d), of images x of shape (B, C, H, W)."""
        ...


class EncoderDecoder(Encoder, Decoder, Protocol):
    """Both ways."""


class ImageModel(EncoderDecoder, Protocol):
    """Both ways, for images of one shape that it knows."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        ...


class Likelihood(Protocol):
    """What a decoder's output means, as the classes of `likelihoods` do."""

    @property
    def support(self) -> tuple[float, float]:
        """The range of a pixel."""
        ...

    def log_prob(self, x: Tensor, parameters: Tensor, /) -> Tensor:
        """Sum log p(x|z) over pixels: (..., B), nats, for both of shape (..., B, C, H, W)."""
        ...

    def mean(self, parameters: Tensor, /) -> Tensor:
        """Mean image E[x|z], of the shape of the parameters, (..., C, H, W)."""
        ...


class LikelihoodDecoder(Decoder, Protocol):
    """A decoder that also says how probable an image is at a point: p(x|z)."""

    @property
    def likelihood(self) -> Likelihood:
        """What `decode_parameters` means."""
        ...

    def decode_parameters(self, z: Tensor, /) -> Tensor:
        """Compute what the likelihood is made of: (..., C, H, W) for z of shape (..., d)."""
        ...


class VariationalModel(LikelihoodDecoder, Protocol):
    """p(x|z) and q(z|x): what the bounds need, of a `VAE` or of a batch with its labels."""

    def encode(self, x: Tensor, /) -> Posterior:
        """Infer q(z|x) of images x of shape (B, C, H, W)."""
        ...


class CodingModel(LikelihoodDecoder, Protocol):
    """p(x|z) and one code for each image, as an `Autoencoder` has them."""

    def encode(self, x: Tensor, /) -> Tensor:
        """Compute codes, Tensor of shape (B, d), of images x of shape (B, C, H, W)."""
        ...


class Judge(Protocol):
    """What says how sure it is of an image, as a `Classifier` does."""

    def confidence(self, x: Tensor, /) -> Tensor:
        """Compute the best probability among the real classes: Tensor of shape (B,), for x (B, C, H, W)."""
        ...
