"""Shared by all tests: one thread, small data, and MNIST where it is at hand."""

import os
import signal
from pathlib import Path

# Two threads that wait for each other on two busy cores are up to 100 times slower than one. The variable
# speaks to the processes that tests start, the call below to this one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell has what it starts in the background ignore Ctrl-C, and so would every process that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch

import vaewidgets as vw

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> vw.Dataset:
    """scikit-learn's real 8 x 8 digits."""
    return vw.load_data("digits")


@pytest.fixture(scope="session")
def trained(digits) -> vw.VAE:
    """A small VAE after a second of training on digits; tests read it and leave it as it is."""
    model = vw.VAE(2, (1, 8, 8), hidden=(128,), seed=0)
    for _ in vw.fit(model, digits.train.images, epochs=40, lr=3e-3, binarize="dynamic"):
        pass
    return model.requires_grad_(False)


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """A folder that holds MNIST; where it is missing a skip, or a failure if VAEWIDGETS_REQUIRE=1."""
    root = Path(os.environ.get("VAEWIDGETS_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / "MNIST" / "raw").is_dir():
        if os.environ.get("VAEWIDGETS_REQUIRE") == "1":
            pytest.fail(f"no MNIST in {root}, and VAEWIDGETS_REQUIRE=1 makes it compulsory", pytrace=False)
        pytest.skip(f"no MNIST in {root}; VAEWIDGETS_DATA names a folder that holds MNIST/raw")
    return root


@pytest.fixture(scope="session")
def mnist(mnist_root) -> vw.Dataset:
    """MNIST from ``$VAEWIDGETS_DATA``."""
    return vw.load_data("mnist", root=mnist_root, download=False)


@pytest.fixture(autouse=True)
def threads():
    # --threads is for the whole process: other tests must not inherit it.
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
