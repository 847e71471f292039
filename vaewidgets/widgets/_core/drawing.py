"""The image that a pad holds: what may be assigned to it, and how traits compare it."""

from __future__ import annotations

import numpy as np
import traitlets

from vaewidgets.io.checkpoints import stated_dataset

#: How a data set places its digits: the side of the box that holds the ink, and where its centre of mass
#: comes to lie, both as shares of the image's side. See ``draw_pad/image.js``.
FRAMES = {"mnist": (20 / 28, 14.5 / 28), "digits": (1.0, 0.5)}


def frame_of(model, name: str | None = None) -> list[float]:
    """Return the frame of that name; if None that of the model's data set, and MNIST's where it is another.

    Raises
    ------
    ValueError
        There is no such frame.
    """
    if name is None:
        dataset = stated_dataset(model)
        name = dataset if dataset in FRAMES else "mnist"
    if name not in FRAMES:
        raise ValueError(f"frame must be one of {', '.join(FRAMES)}; got {name!r}.")
    return list(FRAMES[name])


class Grey(np.ndarray):
    """A grey image (H, W) that traits can compare, so that `traitlets.link` takes it.

    ``==`` and ``!=`` answer pixel by pixel, as arrays do. But their answers have a truth, which those of
    arrays lack: whether all pixels are the same, and whether any is another.
    """

    def __eq__(self, other):
        return np.equal(np.asarray(self), other).view(_All)

    def __ne__(self, other):
        return np.not_equal(np.asarray(self), other).view(_Any)

    def __array_wrap__(self, array, context=None, return_scalar=False):
        # What is computed from an image is an ordinary array.
        return array[()] if return_scalar else np.asarray(array)


class _All(np.ndarray):
    def __bool__(self) -> bool:
        return bool(np.all(np.asarray(self)))


class _Any(np.ndarray):
    def __bool__(self) -> bool:
        return bool(np.any(np.asarray(self)))


class Drawing(traitlets.TraitType):
    """An image or None: array or tensor (H, W) or (1, H, W) in, float32 in [0, 1] of shape (H, W) out.

    H and W are those of ``owner.image_shape``. Bytes (uint8) are divided by 255.
    """

    default_value = None
    info_text = "an image, or None"

    def validate(self, owner, value) -> Grey | None:
        if value is None:
            return None
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        try:
            pixels = np.array(value)
            floats = pixels.astype("float32")
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} must be an array of numbers or None; got {value!r}.") from None
        _, height, width = owner.image_shape
        if pixels.shape not in ((height, width), (1, height, width)):
            raise ValueError(
                f"{self.name} must have shape ({height}, {width}), that of this model's images; "
                f"got {pixels.shape}."
            )
        if pixels.dtype == np.uint8:
            floats /= 255
        elif pixels.dtype.kind not in "fb":
            raise TypeError(
                f"{self.name} holds floats in [0, 1] or bytes (uint8); got {pixels.dtype}: say which by "
                "converting it."
            )
        # NaN compares false with everything, so the test is written to fail on it.
        if not (floats.min() >= 0 and floats.max() <= 1):
            raise ValueError(
                f"{self.name} must be finite and within [0, 1]; got values from {floats.min():g} to "
                f"{floats.max():g}. Only bytes (uint8) are divided by 255 here."
            )
        return floats.reshape(height, width).view(Grey)
