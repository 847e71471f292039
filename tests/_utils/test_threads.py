"""The processors of this process: what its affinity and its control group leave it."""

import os

import pytest
import torch

from vaewidgets._utils import threads


@pytest.fixture
def group(tmp_path, monkeypatch):
    """Pretend that a machine of 8 processors says this of the control group."""
    monkeypatch.setattr(threads, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)

    def pretend(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_max", ".max").replace("cfs", ".cfs")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return pretend


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        (dict(cpu_max="max 100000\n"), 8),
        (dict(cpu_max="200000 100000\n"), 2),
        (dict(cpu_max="150000 100000\n"), 2),
        (dict(cpu_max="5000 100000\n"), 1),
        (dict(cpu_max="9900000 100000\n"), 8),
        (dict(cpu_max="damaged"), 8),
        (dict(cpu_max="100000 0"), 8),
        (dict(cpu__cpucfs_quota_us="300000\n", cpu__cpucfs_period_us="100000\n"), 3),
        (dict(cpu__cpucfs_quota_us="-1\n", cpu__cpucfs_period_us="100000\n"), 8),
    ],
)
def test_the_quota_and_the_affinity_count(group, files, expected):
    group(**files)
    assert threads.available_cpus() == expected


def test_torch_gets_no_more_threads_than_there_are_processors(group, monkeypatch):
    given = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    group(cpu_max="200000 100000")
    threads.limit_threads()
    assert given == []
    monkeypatch.delenv("OMP_NUM_THREADS")
    threads.limit_threads()
    assert given == [2]
    group(cpu_max="max 100000")
    threads.limit_threads()
    assert given == [2]
