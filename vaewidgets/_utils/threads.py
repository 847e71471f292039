"""The number of processors that this process may use, and a limit on threads."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """Count the processors that this process may use, at least 1.

    They may be fewer than the machine has: a container of a JupyterHub or of Kubernetes has a share of them,
    as a set of processors (its affinity) or as time on all of them (the quota of its control group, version 2
    or 1).

    Examples
    --------
    >>> available_cpus() >= 1
    True
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(own, _quota())))


def limit_threads() -> None:
    """Let torch use no more threads than `available_cpus`, unless ``OMP_NUM_THREADS`` is set.

    torch starts a thread for each processor of the machine. If a control group grants the time of two of 64
    processors, the other 62 threads only wait for each other.

    Examples
    --------
    >>> import torch
    >>> limit_threads()
    >>> 1 <= torch.get_num_threads()
    True
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > available_cpus():
        torch.set_num_threads(available_cpus())


def _quota() -> float:
    """Return how many processors' time the control group grants; infinity if it sets no limit."""
    try:
        if (two := _CGROUP / "cpu.max").exists():
            quota, period = two.read_text().split()
        else:
            quota = (_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (_CGROUP / "cpu" / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # no control groups, or "max": no limit
        return math.inf
