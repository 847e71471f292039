"""Where to compute: this process's device, and its share of a batch when several train together."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(name: str = "auto") -> torch.device:
    """Choose a device.

    Parameters
    ----------
    name : "auto", "cpu", "cuda" or "mps"
        "auto" takes the first there is of cuda, mps and cpu. "cuda:1" names one of several; of the
        processes that ``torchrun`` started, "cuda" gives each its own.

    Raises
    ------
    ValueError
        No such device is known, or this machine has none.
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
    """The processes that train one model together; alone it is one of one.

    Attributes
    ----------
    rank, size : int
        This process's number, from 0, and how many there are.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def join(cls, device: torch.device) -> ProcessGroup:
        """Meet the other processes that ``torchrun`` started; alone if it did not start this one."""
        import torch.distributed as dist

        if not dist.is_available():
            return cls()
        if not dist.is_initialized():
            if int(os.environ.get("WORLD_SIZE", 1)) < 2 or "RANK" not in os.environ:
                return cls()
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            # Left to the end of the process: a second training meets the same team.
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), dist.get_world_size())

    def shard(self, rows: Tensor, dim: int = 0) -> Tensor:
        """Take this process's part of a batch: every `size`-th row from its rank on."""
        if self.size == 1:
            return rows
        return rows[(slice(None),) * dim + (slice(self.rank, None, self.size),)]

    def all_reduce(self, tensors: Iterable[Tensor | None]) -> None:
        """Replace each tensor, in place, by its sum over the processes: one exchange for all.

        None, the gradient of a weight that takes no part, is passed over; it must be so in every process.
        """
        if self.size == 1:
            return
        import torch.distributed as dist

        present = [tensor for tensor in tensors if tensor is not None]
        flat = torch.cat([tensor.flatten() for tensor in present])
        dist.all_reduce(flat)
        for tensor, part in zip(present, flat.split([t.numel() for t in present]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor, in place, by that of rank 0."""
        if self.size == 1:
            return
        import torch.distributed as dist

        for tensor in tensors:
            dist.broadcast(tensor, 0)
