"""Trait types that normalise and check what people assign to a panel."""

from __future__ import annotations

import math

import numpy as np
import traitlets


class Latent(traitlets.TraitType):
    """A latent point: list, tuple, array or tensor in; a tuple of ``owner.latent_dim`` floats out."""

    info_text = "a latent point"

    def validate(self, owner, value) -> tuple[float, ...]:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
        if hasattr(value, "tolist"):
            value = value.tolist()
        if isinstance(value, (int, float)):
            value = [value]
        try:
            point = tuple(float(v) for v in value)
        except (TypeError, ValueError):
            raise TypeError(
                f"{self.name} must be {owner.latent_dim} numbers in one row; got {value!r}."
            ) from None
        if len(point) != owner.latent_dim:
            raise ValueError(
                f"{self.name} has {len(point)} values but this model has latent_dim={owner.latent_dim}."
            )
        if not all(map(math.isfinite, point)):
            raise ValueError(f"{self.name} must be finite; got {point}.")
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
        before = owner._trait_values.get(self.name)
        if before is not None and before.shape != codes.shape:
            raise ValueError(f"{self.name} has shape {before.shape} on this map; got {codes.shape}.")
        return codes
