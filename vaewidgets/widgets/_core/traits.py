"""Trait types that normalise and check what people assign to a panel."""

from __future__ import annotations

import operator

import numpy as np
import traitlets

#: The largest float32: models compute in that.
LARGEST = float(np.finfo(np.float32).max)


class Latent(traitlets.TraitType):
    """A latent point: list, tuple, array or tensor in; a tuple of ``owner.latent_dim`` floats out."""

    info_text = "a latent point"

    def validate(self, owner, value) -> tuple[float, ...]:
        point = _floats(str(self.name), value, owner.latent_dim)
        if len(point) != owner.latent_dim:
            raise ValueError(
                f"{self.name} has {len(point)} values but this model has latent_dim={owner.latent_dim}."
            )
        if not all(abs(value) <= LARGEST for value in point):
            raise ValueError(f"{self.name} must be finite, and no larger than float32 holds; got {point}.")
        return point


class Codes(traitlets.TraitType):
    """A table of latent points: array or tensor in, float32 ndarray (N, d) out; its shape stays."""

    info_text = "a table of latent points"

    def validate(self, owner, value) -> np.ndarray:
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        try:
            codes = np.array(value, dtype="float32")
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} must be a table of numbers, (N, d); got {value!r}.") from None
        if codes.ndim != 2 or 0 in codes.shape:
            raise ValueError(f"{self.name} must have shape (N, d), one row per point; got {codes.shape}.")
        if not np.isfinite(codes).all():
            raise ValueError(f"{self.name} has values that are NaN or infinite.")
        before = getattr(owner, str(self.name)) if owner.trait_has_value(self.name) else None
        if before is not None and before.shape != codes.shape:
            raise ValueError(f"{self.name} has shape {before.shape} on this map; got {codes.shape}.")
        return codes


class Sigma(Latent):
    """Standard deviations, one for each latent dimension, from 1e-6 to 1e6: squares stay finite."""

    info_text = "standard deviations"

    def validate(self, owner, value) -> tuple[float, ...]:
        sigma = super().validate(owner, value)
        if not all(1e-6 <= s <= 1e6 for s in sigma):
            raise ValueError(f"{self.name} must be from 1e-6 to 1e6, and never negative; got {sigma}.")
        return sigma


class Bounded(traitlets.TraitType):
    """A finite number from `low` to `high`, both included; an int if both ends are ints."""

    info_text = "a number within a range"

    def __init__(self, default, low, high, **kwargs) -> None:
        self.low, self.high = low, high
        super().__init__(default, **kwargs)

    def validate(self, owner, value) -> float | int:
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        try:
            number = operator.index(value) if whole else float(value)
        except OverflowError:
            raise ValueError(f"{self.name} must be from {self.low} to {self.high}; got {value!r}.") from None
        except (TypeError, ValueError):
            kind = "an int" if whole else "a number"
            raise TypeError(
                f"{self.name} must be {kind} from {self.low} to {self.high}; got {value!r}."
            ) from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{self.name} must be from {self.low} to {self.high}; got {value!r}.")
        return number


class Pair(traitlets.TraitType):
    """Two numbers, each from `low` to `high`: list, tuple, array or tensor in; a tuple of floats out."""

    info_text = "two numbers within a range"

    def __init__(self, default, low, high, **kwargs) -> None:
        self.low, self.high = low, high
        super().__init__(default, **kwargs)

    def validate(self, owner, value) -> tuple[float, ...]:
        pair = _floats(str(self.name), value, 2)
        if len(pair) != 2 or not all(self.low <= number <= self.high for number in pair):
            raise ValueError(f"{self.name} must be 2 numbers from {self.low} to {self.high}; got {pair}.")
        return pair


def _floats(name: str, value, count: int) -> tuple[float, ...]:
    """Return numbers of any kind as floats; `count` is how many the complaint asks for."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (int, float)):
        value = [value]
    try:
        return tuple(float(v) for v in value)
    except OverflowError:
        raise ValueError(f"{name} must be {count} numbers that a float can hold.") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be {count} numbers in one row; got {value!r}.") from None
