"""Which device is taken, and what is said when there is none; how a batch is shared."""

import pytest
import torch

from vaewidgets.training import devices
from vaewidgets.training.devices import ProcessGroup, pick_device


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine that has these devices, and start no team."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    pretend()
    return pretend


@pytest.mark.parametrize(
    "have, name, expected",
    [
        ({}, "auto", "cpu"),
        (dict(cuda=1, mps=True), "auto", "cuda"),
        (dict(mps=True), "auto", "mps"),
        (dict(cuda=2, mps=True), "cpu", "cpu"),
        (dict(cuda=2), "cuda", "cuda"),
        (dict(cuda=2), "cuda:1", "cuda:1"),
        (dict(cuda=2, mps=True), "mps", "mps"),
        ({}, torch.device("cpu"), "cpu"),
    ],
)
def test_a_device_is_picked(machine, have, name, expected):
    machine(**have)
    assert pick_device(name) == torch.device(expected)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "auto:1", "cpu:0:0", "", None, 0])
def test_an_unknown_device_is_refused(machine, name):
    machine(cuda=2)
    with pytest.raises(ValueError, match=r"device must be one of auto, cpu, cuda, mps, or cuda:0.*; got "):
        pick_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, name):
    kind = name.partition(":")[0]
    with pytest.raises(ValueError, match=f'no {kind} device that torch can use; device="cpu" always works'):
        pick_device(name)


def test_one_of_several_that_is_not_there_is_refused(machine):
    machine(cuda=2)
    with pytest.raises(ValueError, match="has 2 cuda devices, counted from 0; got cuda:2"):
        pick_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "auto"])
def test_each_process_of_a_team_gets_a_gpu_of_its_own(machine, monkeypatch, name):
    machine(cuda=2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device(name) == torch.device("cuda:1")
    assert pick_device("cuda:0") == torch.device("cuda:0")
    assert pick_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    "environment", [{}, {"RANK": "0"}, {"WORLD_SIZE": "2"}, {"RANK": "0", "WORLD_SIZE": "1"}]
)
def test_who_was_not_started_with_others_is_alone(machine, monkeypatch, environment):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ProcessGroup.join(torch.device("cpu")) == ProcessGroup(0, 1)


def test_alone_nothing_is_shared_out_or_added_up():
    rows = torch.arange(6.0)
    team = ProcessGroup()
    assert team.shard(rows) is rows
    team.all_reduce([rows, None])
    team.broadcast([rows])
    assert rows.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 12])
def test_the_shares_are_the_batch(size, n):
    rows = torch.arange(2 * n).view(2, n)
    shares = [devices.ProcessGroup(rank, size).shard(rows, dim=1) for rank in range(size)]
    assert sorted(torch.cat(shares, 1).flatten().tolist()) == rows.flatten().tolist()
    assert max(s.shape[1] for s in shares) - min(s.shape[1] for s in shares) <= 1
    assert all(torch.equal(rows.T[rank::size].T, share) for rank, share in enumerate(shares))
