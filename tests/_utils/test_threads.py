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

    def pretend(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)

    return pretend


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "5000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu.max": "damaged"}, 8),
        ({"cpu.max": "100000 0"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_the_quota_and_the_affinity_count(group, files, expected):
    group(files)
    assert threads.available_cpus() == expected


@pytest.mark.parametrize(
    ("environ", "quota", "expected"),
    [
        ({"OMP_NUM_THREADS": "8"}, "200000 100000\n", []),
        ({}, "200000 100000\n", [2]),
        ({}, "max 100000\n", []),
    ],
)
def test_torch_gets_no_more_threads_than_there_are_processors(group, monkeypatch, environ, quota, expected):
    given = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", given.append)
    monkeypatch.setattr(os, "environ", environ)
    group({"cpu.max": quota})
    threads.limit_threads()
    assert given == expected
