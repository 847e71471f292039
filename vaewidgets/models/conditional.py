"""The conditional variational autoencoder: encoder and decoder are told the label of the image.

With its label fixed it is a plain `VAE`: that is how every panel, export and measurement uses it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from .vae import (
    VAE,
    Autoencoder,
    LatentModel,
    Posterior,
    bounded_posterior,
    check_batch,
    check_int,
    check_latents,
    gaussian_heads,
)

if TYPE_CHECKING:
    from .protocols import Likelihood, Trainable


class ConditionalVAE(LatentModel):
    """Conditional VAE, of p(x|z, label) and q(z|x, label) (Kingma et al. 2014, arXiv 1406.5298, model M2).

    Sohn et al. 2015 (Learning structured output representation, NeurIPS 28) gave it its name. The label
    enters the first layer of encoder and decoder as a one-hot vector beside the pixels and beside z. The
    prior over z is N(0, I) whatever the label: z need not say which digit it is, and is left to say how it
    is written.

    Parameters
    ----------
    latent_dim, image_shape, hidden, likelihood, sigma, activation, seed
        As those of `VAE`.
    classes : int
        Labels are 0 .. classes - 1.
    trunk : "mlp" or "linear"
        Beside the channels of a convolution a one-hot vector has no place.

    Raises
    ------
    ValueError, TypeError
        An argument has a value, or a kind, that makes no model.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.ConditionalVAE(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> x, labels = torch.zeros(5, 1, 8, 8), torch.tensor([0, 1, 2, 3, 9])
    >>> q = model.encode(x, labels)
    >>> model.decode(q.mu, labels).shape, model.given(3).decode(q.mu).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 1, 8, 8]))
    """

    has_prior = True

    def __init__(
        self,
        latent_dim: int = 2,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        classes: int = 10,
        *,
        trunk: str = "mlp",
        **arguments: Any,
    ) -> None:
        check_int("classes", classes)
        if trunk == "conv":
            raise ValueError(
                'a ConditionalVAE has trunk="mlp" or "linear": a convolution takes no one-hot label.'
            )
        super().__init__(latent_dim, image_shape, trunk=trunk, **arguments)
        self.classes = classes
        self.config["classes"] = classes
        # W [x; onehot] + b = W_x x + (b + W_label): the columns of the labels, kept apart, are an embedding.
        # They begin at zero, so that the labels do not change what a seed gives.
        encoding, decoding = self._entries()
        self.encoder_label = _label_columns(classes, encoding)
        self.decoder_label = _label_columns(classes, decoding)

    def _make_heads(self, width: int) -> None:
        self.mu, self.logvar = gaussian_heads(width, self.latent_dim, self.config["trunk"])

    def _entries(self) -> tuple[nn.Linear, nn.Linear]:
        """Return the layers that the label enters: the first of the encoder and of the decoder."""
        linear = self.config["trunk"] == "linear"
        encoding = self.mu if linear else cast(nn.Sequential, self.encoder)[1]
        return cast(nn.Linear, encoding), cast(nn.Linear, self.decoder[0])

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Posterior:
        """Infer q(z|x, label) for images x of shape (B, C, H, W) and their labels, int64 of shape (B,)."""
        h = check_batch(x, self.image_shape).flatten(1).to(self._dtype)
        shift = self.encoder_label(self.check_labels(labels, len(x)))
        if self.config["trunk"] == "linear":
            return bounded_posterior(self.mu(h) + shift, self.logvar(h), self._wider(x))
        layers = cast(nn.Sequential, self.encoder)
        first, rest = layers[1], layers[2:]
        h = rest(first(h) + shift)
        return bounded_posterior(self.mu(h), self.logvar(h), self._wider(x))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Compute E[x|z, label]: Tensor of shape (B, C, H, W), for z of shape (B, d) and labels (B,)."""
        return self.likelihood.mean(self.decode_parameters(z, labels))

    def decode_parameters(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Compute what the likelihood is made of: (..., B, C, H, W) for z (..., B, d) and labels (B,)."""
        check_latents(z, self.latent_dim)
        shift = self.decoder_label(self.check_labels(labels, z.shape[-2]))
        first, rest = self.decoder[0], self.decoder[1:]
        h = (first(z.to(self._dtype)) + shift).flatten(0, -2)
        output: Tensor = rest(h)
        return output.view(*z.shape[:-1], *self.image_shape).to(self._wider(z))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Reconstruct x (B, C, H, W), with labels (B,), through the mean of its posterior."""
        return self.decode(self.encode(x, labels).mu, labels)

    @torch.no_grad()
    def given(self, label: int) -> VAE:
        """Fix the label: a plain `VAE` of its own weights, in which the label is folded into the biases.

        It has the rows of the atlases that have this label, and ``info["label"]``.

        Raises
        ------
        TypeError, ValueError
            No int, or no label of this model.
        """
        if isinstance(label, bool) or not isinstance(label, int):
            raise TypeError(f"given takes one label, an int; got {label!r} ({type(label).__name__}).")
        if not 0 <= label < self.classes:
            raise ValueError(f"this model has the labels 0 to {self.classes - 1}; got {label}.")
        weights = {name: tensor.clone() for name, tensor in self.state_dict().items()}
        columns = {name: weights.pop(f"{name}_label.weight")[label] for name in ("encoder", "decoder")}
        entry = "mu" if self.config["trunk"] == "linear" else "encoder.1"
        weights[f"{entry}.bias"] += columns["encoder"]
        weights["decoder.0.bias"] += columns["decoder"]
        # Without memory for weights that are not kept, nor a draw from anyone's generator.
        with torch.device("meta"):
            model = VAE(**{name: value for name, value in self.config.items() if name != "classes"})
        model.load_state_dict(weights, assign=True)
        if hasattr(self, "info"):
            model.info = {**self.info, "label": label}
        for name in ("atlas", "train_atlas"):
            atlas = getattr(self, name, None)
            if atlas is not None and atlas.labels is not None:
                rows = atlas.labels == label
                setattr(model, name, type(atlas)(*(tensor[rows] for tensor in atlas)))
        return model

    def labelled(self, labels: Tensor) -> Labelled:
        """Fix one label for each image of a batch: what the objectives take in a VAE's place.

        ``vw.elbo(model.labelled(labels), x)`` is the conditional bound of x of shape (B, C, H, W).
        """
        return Labelled(self, self.check_labels(labels))

    def check_labels(self, labels: Tensor | None, count: int | None = None) -> Tensor:
        """Return labels; raise unless they are whole numbers in a row, `count` of them, of this model.

        Parameters
        ----------
        labels : Tensor of shape (B,), int64
        count : int, optional
            B, where it is known.

        Raises
        ------
        ValueError, TypeError
        """
        if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
            got = f"a {labels.dtype} Tensor" if isinstance(labels, Tensor) else type(labels).__name__
            raise TypeError(
                f"a ConditionalVAE takes the label of each image, an int64 Tensor of shape (B,); got {got}. "
                "model.given(label) is a VAE of one label for all, model.labelled(labels) what vw.elbo takes."
            )
        if labels.dim() != 1 or (count is not None and len(labels) != count):
            wanted = "(B,)" if count is None else f"({count},)"
            raise ValueError(f"labels must have shape {wanted}, one per image; got {tuple(labels.shape)}.")
        # To look at the labels would make a GPU wait; there the look-up itself complains.
        if (
            labels.device.type == "cpu"
            and len(labels)
            and not 0 <= labels.min() <= labels.max() < self.classes
        ):
            raise ValueError(
                f"this model has the labels 0 to {self.classes - 1}; got {labels.min()} to {labels.max()}."
            )
        return labels


class Labelled:
    """A `ConditionalVAE` with the labels of one batch: it encodes and decodes that batch only.

    Attributes
    ----------
    model : ConditionalVAE
    labels : Tensor of shape (B,)
    """

    def __init__(self, model: ConditionalVAE, labels: Tensor) -> None:
        self.model, self.labels = model, labels
        self.likelihood: Likelihood = model.likelihood
        self.latent_dim = model.latent_dim

    def encode(self, x: Tensor) -> Posterior:
        return self.model.encode(x, self.labels)

    def decode(self, z: Tensor) -> Tensor:
        return self.model.decode(z, self.labels)

    def decode_parameters(self, z: Tensor) -> Tensor:
        return self.model.decode_parameters(z, self.labels)


def with_labels(
    model: Trainable, labels: Tensor | None, count: int | None = None
) -> VAE | Autoencoder | Labelled:
    """Return what the objectives take for images with these labels: the model itself where there are none.

    With a `count` there must be so many.

    Raises
    ------
    TypeError, ValueError
        Labels for another model than a ConditionalVAE, none for it, or labels that it does not have.
    """
    if isinstance(model, ConditionalVAE):
        return Labelled(model, model.check_labels(labels, count))
    if labels is not None:
        raise ValueError(f"labels are for a ConditionalVAE; {type(model).__name__} takes none.")
    return model


def _label_columns(classes: int, entry: nn.Linear) -> nn.Embedding:
    zeros = torch.zeros(classes, entry.out_features, device=entry.weight.device, dtype=entry.weight.dtype)
    columns: nn.Embedding = nn.Embedding.from_pretrained(zeros, freeze=False)
    return columns
