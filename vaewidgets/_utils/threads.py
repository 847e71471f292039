"""How many processors there are for this process, and no more threads than that."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cpus() -> int:
    """Count the processors that this process may keep busy, at least 1.

    Not those of the machine: a container of a JupyterHub or of Kubernetes has a share of them, as a set of
    processors (its affinity) or as time on all of them (the quota of its control group, version 2 or 1).
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(own, _quota())))


def limit_threads() -> None:
    """Let torch use no more threads than there are processors for it.

    It starts one for each that it sees. Where a control group grants the time of two of 64, the other 62
    only wait for each other. What ``OMP_NUM_THREADS`` says stands.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > available_cpus():
        torch.set_num_threads(available_cpus())


def _quota() -> float:
    """Return the processors whose time the control group grants; infinity if it sets no limit."""
    try:
        if (two := _CGROUP / "cpu.max").exists():
            quota, period = two.read_text().split()
        else:
            quota = (_CGROUP / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (_CGROUP / "cpu" / "cpu.cfs_period_us").read_text()
        return float(quota) / float(period) if float(quota) > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):  # no control groups, or "max": no limit
        return math.inf
