"""Files from outside: clear errors, nothing executed, no memory taken on a promise."""

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.files import read_npz


@pytest.fixture
def good(tmp_path) -> Path:
    path = tmp_path / "shapes.npz"
    rng = np.random.default_rng(0)
    np.savez_compressed(
        path, images=rng.integers(0, 256, (20, 6, 5), dtype="uint8"), labels=np.arange(20) % 3
    )
    return path


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def npy_header(shape: tuple, dtype: str = "|u1") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_an_npz_becomes_a_dataset(good):
    data = vw.load_data(good)
    assert (len(data.train), len(data.test), data.name, data.classes) == (16, 4, "shapes", ("0", "1", "2"))
    assert data.train.images.shape == (16, 1, 6, 5)
    again = vw.load_data(str(good))
    assert torch.equal(again.train.images, data.train.images)
    with np.load(good) as arrays:
        everything = np.concatenate([data.train.images, data.test.images]).squeeze(1) * 255
        assert sorted(everything.round().sum((1, 2))) == sorted(arrays["images"].astype(float).sum((1, 2)))


def test_positional_arrays_and_no_labels(tmp_path):
    np.savez(tmp_path / "a.npz", np.zeros((4, 3, 3), "uint8"))
    images, labels = read_npz(tmp_path / "a.npz")
    assert images.shape == (4, 3, 3)
    assert labels is None


def test_labels_of_another_length_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 3, 3), "uint8"), labels=np.zeros(5, int))
    with pytest.raises(ValueError, match="4 images need 4 labels"):
        vw.load_data(tmp_path / "a.npz")


def test_every_truncation_is_a_clear_error(good, tmp_path):
    whole = good.read_bytes()
    broken = tmp_path / "broken.npz"
    for length in range(0, len(whole), 7):
        broken.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"broken\.npz"):
            vw.load_data(broken)


def test_random_damage_is_a_clear_error_or_harmless(good, tmp_path):
    rng = np.random.default_rng(0)
    broken = tmp_path / "broken.npz"
    refused = 0
    for _ in range(300):
        content = bytearray(good.read_bytes())
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(0, 256)
        broken.write_bytes(content)
        try:
            vw.load_data(broken)
        except ValueError as error:
            refused += 1
            assert str(error)
    assert refused > 200


class Explosive:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_pickled_objects_are_refused_and_not_executed(tmp_path):
    target = tmp_path / "executed"
    objects = np.empty(4, object)
    objects[:] = [Explosive(target)] * 4
    np.savez(tmp_path / "objects.npz", images=objects)
    with pytest.raises(ValueError, match="pickled objects"):
        vw.load_data(tmp_path / "objects.npz")
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Explosive(target)))
    with pytest.raises(ValueError, match="cannot be read"):
        vw.load_data(tmp_path / "pickle.npz")
    assert not target.exists()


def test_a_promise_of_many_bytes_takes_no_memory(tmp_path):
    path = archive(tmp_path / "big.npz", images=npy_header((10**6, 1000, 1000)) + b"\0" * 100)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="promises 1000000000000 bytes"):
            vw.load_data(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_other_files_and_names(tmp_path):
    np.savez(tmp_path / "other.npz", pictures=np.zeros((4, 3, 3), "uint8"))
    with pytest.raises(ValueError, match="no array called images in it, only pictures"):
        vw.load_data(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        vw.load_data(tmp_path / "absent.npz")
    with pytest.raises(ValueError, match="brings its own"):
        vw.load_data(tmp_path / "other.npz", labels=[1, 2])
