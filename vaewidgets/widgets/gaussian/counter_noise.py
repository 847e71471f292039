"""Noise that Python and the page draw alike: a hash of a counter, which depends on the seed alone.

``counter_noise.js`` computes the same numbers. Where the page draws nothing, use a `torch.Generator`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def uniforms(seed: int, count: int) -> Tensor:
    """Draw uniform numbers strictly between 0 and 1.

    Parameters
    ----------
    seed : int
        From 0 to 2^32 - 1.
    count : int

    Returns
    -------
    Tensor of shape (count,), float64
        Number i depends only on the seed and on i, so that a longer row begins like a shorter one.

    Raises
    ------
    ValueError
        The seed or the count is out of range.

    Examples
    --------
    >>> [round(u, 6) for u in uniforms(0, 3).tolist()]
    [0.989303, 0.207428, 0.037981]
    """
    _check(seed, count)
    start = _hash(np.array([seed], dtype=np.uint32))
    hashed = _hash(_hash(np.arange(count, dtype=np.uint32)) ^ start)
    return torch.from_numpy((hashed + 0.5) / 2**32)


def normals(seed: int, count: int) -> Tensor:
    """Draw standard normal numbers: Tensor of shape (count,), float64.

    It takes the arguments of `uniforms`, and raises the same errors.

    References
    ----------
    Box & Muller 1958, "A Note on the Generation of Random Normal Deviates".

    Examples
    --------
    >>> bool((normals(0, 5)[:3] == normals(0, 3)).all())
    True
    """
    _check(seed, count)
    first, second = uniforms(seed, count + count % 2).view(-1, 2).unbind(1)
    radius, angle = (-2 * first.log()).sqrt(), 2 * torch.pi * second
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1).flatten()[:count]


def _check(seed: int, count: int) -> None:
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to {2**32 - 1}; got {seed}.")
    if not 0 <= count < 2**32:
        raise ValueError(f"count must be from 0 to {2**32 - 1}; got {count}.")


def _hash(x: np.ndarray) -> np.ndarray:
    """Mix the bits of 32-bit words by "triple32" of C. Wellons' hash-prospector, which has little bias."""
    x = x + np.uint32(0x9E3779B9)  # the hash of 0 is 0
    for shift, factor in ((17, 0xED5AD4BB), (11, 0xAC4C1B51), (15, 0x31848BAB)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(14))
