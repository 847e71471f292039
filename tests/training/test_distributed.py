"""Two processes that train together are one: same steps, same weights, whatever the objective."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vaewidgets as vw

#: By name: the arguments of the model, those of `fit`, and how many images there are. 33 images in batches of
#: 16 end with a batch of one, so that one of two processes has none.
VARIANTS = {
    "plain": ({}, {}, 33),
    "much": ({}, dict(binarize="dynamic", schedule="cosine", kl_warmup=1.5, weight_decay=0.01), 33),
    # Floors that the mean of a batch passes in one process, and not in the other.
    "free bits": ({}, dict(free_bits=0.047), 33),
    "low free bits": ({}, dict(free_bits=0.0265), 33),
    "iwae": ({}, dict(iwae=3, binarize="dynamic"), 33),
    "optimal": (dict(likelihood="gaussian", sigma="optimal"), {}, 33),
    "learned": (dict(likelihood="gaussian", sigma="learned"), {}, 33),
    "conv": (dict(trunk="conv", hidden=(4,)), {}, 33),
    "autoencoder": (dict(kind=vw.Autoencoder), {}, 33),
    "frozen": (dict(frozen=True), {}, 33),
    "patience": ({}, dict(patience=1, lr=0.5, epochs=8, validation=21), 33),
    "validated": ({}, dict(validation=21, binarize="dynamic", beta=2.0), 33),
    "one image": ({}, {}, 1),
    "drawn anew": (dict(seed=None), dict(seed="own"), 33),
}


def make(name, rank=0):
    """The run of that variant; where seeds are a process's own, rank 0 has those of a process alone."""
    of_model, of_fit, n = VARIANTS[name]
    of_model, of_fit = dict(of_model), {"epochs": 2, "batch_size": 16, **of_fit}
    kind, frozen = of_model.pop("kind", vw.VAE), of_model.pop("frozen", False)
    torch.manual_seed(100 + rank)
    model = kind(**{"latent_dim": 2, "image_shape": (1, 8, 8), "hidden": (16,), "seed": 0, **of_model})
    if frozen:
        model.encoder.requires_grad_(False)
    images = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    if "validation" in of_fit:
        of_fit["validation"] = torch.rand(
            of_fit["validation"], 1, 8, 8, generator=torch.Generator().manual_seed(2)
        )
    if of_fit.get("seed") == "own":
        of_fit["seed"] = rank
    return vw.fit(model, images, **of_fit)


def results(name, rank=0):
    run = make(name, rank)
    steps = [(s.numbers.tolist(), s.beta, s.lr, s.held_out and tuple(s.held_out)) for s in run]
    return {"steps": steps, "weights": run.model.state_dict(), "size": run._group.size}


def work(folder):
    """What each process of the team does: all variants, one after another."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    torch.save({name: results(name, rank) for name in VARIANTS}, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """The results of two processes that trained together."""
    folder = tmp_path_factory.mktemp("team")
    # Where the two meet is held here: a port that is only found may be taken before it is used.
    meeting = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    environment = {
        **os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(meeting.port),
        "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo",
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }  # fmt: skip
    program = f"import test_distributed; test_distributed.work({str(folder)!r})"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            env={**environment, "RANK": str(rank)}, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        errors = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", VARIANTS)
def test_two_processes_train_as_one(team, name):
    alone, (first, second) = results(name), (member[name] for member in team)
    assert (alone["size"], first["size"], second["size"]) == (1, 2, 2)
    assert first["steps"] == second["steps"]
    assert len(first["steps"]) == len(alone["steps"])
    if name == "patience":
        assert 3 < len(alone["steps"]) < 24, "it stopped early"
    for ours, theirs in zip(first["steps"], alone["steps"], strict=True):
        assert ours[1:3] == theirs[1:3]
        assert ours[0] == pytest.approx(theirs[0], rel=1e-4, abs=1e-5)
        assert (ours[3] is None) == (theirs[3] is None)
        if ours[3]:
            assert [*ours[3][:2], *ours[3][2]] == pytest.approx([*theirs[3][:2], *theirs[3][2]], rel=1e-4)
    for key, weight in alone["weights"].items():
        assert torch.equal(first["weights"][key], second["weights"][key]), "the processes drifted apart"
        torch.testing.assert_close(first["weights"][key], weight, rtol=1e-4, atol=1e-4)
