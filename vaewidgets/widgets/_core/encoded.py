"""What panels ask of any model: the codes of images, the image behind a code, the pictures of points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch
from torch import Tensor

from vaewidgets.data.arrays import name_classes
from vaewidgets.data.dataset import Images, check_images
from vaewidgets.data.load import load_test_images
from vaewidgets.evaluation.metrics import encode_all
from vaewidgets.io.checkpoints import stated_classes, stated_dataset
from vaewidgets.models.conditional import ConditionalVAE
from vaewidgets.models.vae import eval_mode

from .model_lock import model_lock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from vaewidgets.io.checkpoints import EncodedDataset
    from vaewidgets.models.protocols import Decoder, Trainable


def check_decodes(model: object, panel: str) -> None:
    """Refuse what has no ``decode`` or no ``latent_dim``, in the name of a panel."""
    if not callable(getattr(model, "decode", None)) or not isinstance(
        getattr(model, "latent_dim", None), int
    ):
        raise TypeError(f"{panel} needs a model with latent_dim and decode; got {type(model).__name__}.")


def name_of(images: Images | Encoded, row: int) -> str:
    """Return the name of the class of an image, or of a code; "" where there are no labels."""
    return "" if images.labels is None else name_classes(images.labels, images.classes)[images.labels[row]]


def device_of(model: object) -> torch.device:
    """Return where the weights of `model` are; the CPU of a model that has none."""
    return _weight_of(model).device


def _weight_of(model: object) -> Tensor:
    """Return a weight of `model`, whose dtype and device its inputs must have; of none a float32 number."""
    weights = model.parameters() if isinstance(model, torch.nn.Module) else iter(())
    floats = (weight for weight in weights if weight.is_floating_point())
    return next(floats, torch.zeros((), dtype=torch.float32))


def decode_points(
    model: Decoder, z: ArrayLike, labels: Sequence[int] | np.ndarray | Tensor | None = None
) -> Tensor:
    """Decode points (N, d) to images (N, C, H, W) on the CPU, while nobody changes the weights.

    Parameters
    ----------
    z : array of shape (N, d)
    labels : sequence of N ints, optional
        What a conditional model is told.

    Raises
    ------
    ValueError
        ``decode`` answers with no images, or with numbers that are not finite.
    """
    z, weight = np.asarray(z), _weight_of(model)
    points = torch.as_tensor(z, dtype=torch.float32).to(weight)
    device = weight.device
    with model_lock(model), eval_mode(model):
        x = model.decode(points, *(() if labels is None else (torch.as_tensor(labels, device=device),)))
    if not isinstance(x, Tensor) or x.dim() != 4 or len(x) != len(z):
        raise ValueError(
            f"decode must turn z of shape {tuple(z.shape)} into images of shape ({len(z)}, C, H, W); "
            f"got {tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__}."
        )
    if not x.isfinite().all():
        bad = z[int((~x.isfinite()).flatten(1).any(1).nonzero()[0])].tolist()
        raise ValueError(
            f"decode answers z = {bad} with values that are NaN or infinite: such weights, or so large a z, "
            "are beyond its dtype."
        )
    return x.cpu().float()


@dataclass
class Encoded:
    """Images as a model encodes them, given to a panel or carried by the model as an atlas.

    Attributes
    ----------
    mu : ndarray of shape (N, d)
        Of no rows where there are neither images nor an atlas.
    logvar : ndarray of shape (N, d) or None
        None of codes that have no variance.
    labels : ndarray of shape (N,) or None
    images : Tensor of shape (N, C, H, W) or None
        None until an image of an atlas is asked for; of length 0 if they are not on this machine.
    classes : tuple of str
        The name of each label: as the images or the model's file state it, else its index.
    """

    model: Any
    mu: np.ndarray
    logvar: np.ndarray | None = None
    labels: np.ndarray | None = None
    images: Tensor | None = None
    classes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, model: Decoder, images: Images | Tensor | None, atlas: EncodedDataset | None = None
    ) -> Encoded:
        """Encode the images if there are any, else take the codes of the atlas.

        Raises
        ------
        ValueError, TypeError
            The model does not encode, or not images of this kind.
        """
        if images is None:
            if atlas is None:
                return cls(model, np.zeros((0, model.latent_dim), "float32"))
            classes = name_classes(atlas.labels, stated_classes(model))
            _check_finite(atlas.mu, atlas.logvar, "the codes that the model carries (model.atlas)")
            return cls(model, _array(atlas.mu), _array(atlas.logvar), _array(atlas.labels), classes=classes)
        images = images if isinstance(images, Images) else Images(images)
        if not callable(getattr(model, "encode", None)):
            raise TypeError(
                f"{type(model).__name__} has no encode(x), so its map cannot show images: leave them out."
            )
        check_images(images.images, getattr(model, "image_shape", None))
        told = images.labels if isinstance(model, ConditionalVAE) else None
        with model_lock(model):
            q = encode_all(cast("Trainable", model), images.images, labels=told)
        _check_finite(q.mu, q.logvar, "what the model encodes")
        classes = name_classes(images.labels, images.classes or stated_classes(model))
        return cls(model, _array(q.mu), _array(q.logvar), _array(images.labels), images.images, classes)

    def importance(self) -> np.ndarray | None:
        """Say how much each dimension matters, shape (d,): its mean KL in nats, of codes the variance.

        None where there are no codes.
        """
        if not len(self.mu):
            return None
        if self.logvar is None:
            return self.mu.var(0)
        return (np.square(self.mu) + np.exp(self.logvar) - 1 - self.logvar).mean(0) / 2

    def __len__(self) -> int:
        return len(self.mu)

    def original(self, row: int) -> Tensor | None:
        """Return the image of a row, or None where its dataset is not on this machine."""
        if self.images is None:
            test = load_test_images(stated_dataset(self.model))
            known = test is not None and len(test) == len(self)
            self.images = test.images if test is not None and known else torch.empty(0)
        return self.images[row] if len(self.images) else None


def _check_finite(mu: Tensor, logvar: Tensor | None, what: str) -> None:
    for values in (mu, logvar):
        if values is not None and not values.isfinite().all():
            raise ValueError(
                f"{what} has values that are NaN or infinite: a training that diverged leaves such weights. "
                "Train it again with a smaller learning rate."
            )


@overload
def _array(values: Tensor) -> np.ndarray: ...


@overload
def _array(values: None) -> None: ...


def _array(values: Tensor | None) -> np.ndarray | None:
    """Return values as an ndarray; numpy knows no bfloat16, and what is drawn is float32."""
    if values is None:
        return None
    values = values.detach().cpu()
    return (values.float() if values.is_floating_point() else values).numpy()
