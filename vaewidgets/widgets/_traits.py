"""Trait types that normalise and check what people assign to a panel."""

from __future__ import annotations

import math

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
