"""Where to compute: the device of this process, and its part of a batch when several processes train."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> torch.device:
    """Choose a device.

    Parameters
    ----------
    name : "auto", "cpu", "cuda" or "mps"
        "auto" takes the first available of cuda, mps and cpu. "cuda:1" names one of several. In a process
        that ``torchrun`` started, "cuda" is the one of its LOCAL_RANK.

    Raises
    ------
    ValueError
        No such device is known, or this machine has none.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    kind, colon, number = str(name).partition(":")
    if kind not in DEVICES or (colon and (kind != "cuda" or not number.isdecimal())):
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, or cuda:0 and so on; got {name!r}.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind == "auto":
        kind = next(kind for kind in ("cuda", "mps", "cpu") if there[kind])
    if not there[kind]:
        raise ValueError(f'this machine has no {kind} device that torch can use; device="cpu" always works.')
    if kind == "cuda":
        number = number or os.environ.get("LOCAL_RANK", "")
        if number and int(number) >= torch.cuda.device_count():
            have = f"{torch.cuda.device_count()} cuda devices, counted from 0"
            raise ValueError(f"this machine has {have}; got cuda:{number}.")
    return torch.device(f"cuda:{number}" if number else kind)


class ProcessGroup(NamedTuple):
    """The processes that train one model together; a process alone is a group of one.

    Attributes
    ----------
    rank, size : int
        Number of this process, from 0, and number of processes.

    Examples
    --------
    >>> ProcessGroup(rank=1, size=3).shard(torch.arange(8))
    tensor([1, 4, 7])
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Join the other processes that ``torchrun`` started; a group of one if it started none."""
        if not dist.is_available():
            return cls()
        if not dist.is_initialized():
            if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "RANK" not in os.environ:
                return cls()
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            # At the end of the process, since a second training uses the same group.
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), dist.get_world_size())

    def shard(self, rows: Tensor, dim: int = 0) -> Tensor:
        """Take this process's rows of a batch, a Tensor of shape (B, ...): every `size`-th along `dim`."""
        if self.size == 1:
            return rows
        return rows[(slice(None),) * dim + (slice(self.rank, None, self.size),)]

    def all_reduce(self, tensors: Iterable[Tensor | None]) -> None:
        """Replace each tensor, in place, by its sum over the processes, in one exchange.

        None, the gradient of a frozen weight, is skipped; it must be None in every process.
        """
        if self.size == 1:
            return
        present = [tensor for tensor in tensors if tensor is not None]
        flat = torch.cat([tensor.flatten() for tensor in present])
        dist.all_reduce(flat)
        for tensor, part in zip(present, flat.split([t.numel() for t in present]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor, in place, by that of rank 0."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)
