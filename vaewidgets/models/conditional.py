"""The conditional variational autoencoder: encoder and decoder also get the label of the image.

With its label fixed it is a plain `VAE`. Panels, export and measurements use it so.
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
)

if TYPE_CHECKING:
    from .protocols import Likelihood, Trainable


class ConditionalVAE(LatentModel):
    """Conditional VAE: p(z) = N(0, I), a decoder for p(x|z, label), and an encoder for q(z|x, label).

    log p(x|label) >= E_q[log p(x|z, label)] - KL(q(z|x, label) || p(z)). The label enters the first layer of
    encoder and decoder as a one-hot vector beside the pixels and beside z. The prior over z is the same for
    all labels, so z need not code the digit and is free to code how it is written.

    Parameters
    ----------
    latent_dim, image_shape, hidden, likelihood, sigma, activation, seed
        As those of `VAE`.
    classes : int
        Labels are 0 .. classes - 1.
    trunk : "mlp" or "linear"
        Not "conv": a convolution has no input for a one-hot vector.

    Raises
    ------
    ValueError, TypeError
        An argument has a value, or a type, that makes no model.

    References
    ----------
    Kingma et al. 2014 (arXiv 1406.5298), model M2, equation 6 without log p(y); Sohn et al. 2015 (Learning
    structured output representation using deep conditional generative models, NeurIPS 28), section 4 with a
    prior that does not depend on the label.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.ConditionalVAE(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> x, labels = torch.zeros(5, 1, 8, 8), torch.tensor([0, 1, 2, 3, 9])
    >>> q = model.encode(x, labels)
    >>> model.decode(q.mu, labels).shape, model.given(3).decode(q.mu).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5, 1, 8, 8]))
    """

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
        # W [x; onehot] + b = W_x x + (b + W_label): an embedding holds the columns of W for the labels.
        # It begins at zero, so that a seed gives the weights that it gives a VAE.
        entry = self.mu if trunk == "linear" else cast(nn.Sequential, self.encoder)[1]
        self.encoder_label = _label_columns(classes, cast(nn.Linear, entry))
        self.decoder_label = _label_columns(classes, cast(nn.Linear, self.decoder[0]))

    def encode(self, x: Tensor, labels: Tensor | None = None) -> Posterior:
        """Compute q(z|x, label) for images x of shape (B, C, H, W) and labels, int64 of shape (B,)."""
        h = check_batch(x, self.image_shape).flatten(1).to(self._dtype)
        shift = self.encoder_label(self.check_labels(labels, len(x)))
        if self.config["trunk"] == "linear":
            return bounded_posterior(self.mu(h) + shift, self.logvar(h), self._wider(x))
        layers = cast(nn.Sequential, self.encoder)
        h = layers[2:](layers[1](h) + shift)
        return bounded_posterior(self.mu(h), self.logvar(h), self._wider(x))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Compute E[x|z, label]: Tensor of shape (B, C, H, W), for z of shape (B, d) and labels (B,)."""
        return self.likelihood.mean(self.decode_parameters(z, labels))

    def decode_parameters(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Compute the parameters of p(x|z, label): (..., B, C, H, W) for z (..., B, d) and labels (B,)."""
        check_latents(z, self.latent_dim)
        shift = self.decoder_label(self.check_labels(labels, z.shape[-2]))
        h = (self.decoder[0](z.to(self._dtype)) + shift).flatten(0, -2)
        output: Tensor = self.decoder[1:](h)
        return output.view(*z.shape[:-1], *self.image_shape).to(self._wider(z))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """Decode the posterior mean of x: both of shape (B, C, H, W), for labels of shape (B,)."""
        return self.decode(self.encode(x, labels).mu, labels)

    @torch.no_grad()
    def given(self, label: int) -> VAE:
        """Fix the label: return a `VAE` with a copy of the weights, the label added into its biases.

        It has ``info["label"]``, and of the stored codes those with this label.

        Raises
        ------
        TypeError, ValueError
            No int, or no label of this model.

        Examples
        --------
        >>> import vaewidgets as vw
        >>> three = vw.ConditionalVAE(2, (1, 8, 8), hidden=(4,), seed=0).given(3)
        >>> type(three).__name__, three.decode(torch.zeros(1, 2)).shape
        ('VAE', torch.Size([1, 1, 8, 8]))
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
        # On "meta" it needs no memory for weights that are replaced, and draws no random numbers.
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
        """Fix the labels, of shape (B,), of one batch, so that the objectives take it like a VAE.

        Examples
        --------
        >>> import vaewidgets as vw
        >>> model, x = vw.ConditionalVAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.zeros(5, 1, 8, 8)
        >>> vw.elbo(model.labelled(torch.tensor([0, 1, 2, 3, 9])), x).total.shape
        torch.Size([5])
        """
        return Labelled(self, self.check_labels(labels))

    def check_labels(self, labels: Tensor | None, count: int | None = None) -> Tensor:
        """Return labels; raise unless they are integers in one axis and labels of this model.

        Parameters
        ----------
        labels : Tensor of shape (B,), int64
        count : int, optional
            B, where it is known.

        Raises
        ------
        ValueError, TypeError
            Labels of another shape, type or range.
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
        # Reading labels from a GPU would wait for it; there the embedding itself raises.
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

    `ConditionalVAE.labelled` makes it.

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
        """Compute q(z|x, label) for images x of shape (B, C, H, W)."""
        return self.model.encode(x, self.labels)

    def decode(self, z: Tensor) -> Tensor:
        """Compute E[x|z, label]: Tensor of shape (B, C, H, W), for z of shape (B, d)."""
        return self.model.decode(z, self.labels)

    def decode_parameters(self, z: Tensor) -> Tensor:
        """Compute the parameters of p(x|z, label): (..., B, C, H, W) for z of shape (..., B, d)."""
        return self.model.decode_parameters(z, self.labels)


def with_labels(
    model: Trainable, labels: Tensor | None, count: int | None = None
) -> VAE | Autoencoder | Labelled:
    """Return what the objectives take: `model`, or for a `ConditionalVAE` the model with these labels.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    labels : Tensor of shape (B,) or None
    count : int, optional
        B, where it is known.

    Raises
    ------
    TypeError, ValueError
        Labels for another model than a ConditionalVAE, none for it, or labels that it does not have.

    Examples
    --------
    >>> model = VAE(2, (1, 8, 8), hidden=(4,))
    >>> with_labels(model, None) is model
    True
    """
    if isinstance(model, ConditionalVAE):
        return Labelled(model, model.check_labels(labels, count))
    if labels is not None:
        raise ValueError(f"labels are for a ConditionalVAE; {type(model).__name__} takes none.")
    return model


def _label_columns(classes: int, entry: nn.Linear) -> nn.Embedding:
    zeros = torch.zeros(classes, entry.out_features)
    return cast(nn.Embedding, nn.Embedding.from_pretrained(zeros, freeze=False))
