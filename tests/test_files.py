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
from vaewidgets import files
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


@pytest.mark.parametrize(
    "others, words",
    [
        ({"targets": np.zeros(4, int)}, "Left out 'targets': of an .npz one array of images is read"),
        ({"x": np.zeros((9, 3, 3)), "label": np.zeros(9)}, "Left out 'label', 'x'"),
        ({"test_images": np.zeros((2, 3, 3), "uint8")}, "'test_images'"),
        ({"a\nb": np.zeros(1)}, "Left out 'a\\ufffdb'"),
    ],
)
def test_other_arrays_are_not_left_out_in_silence(tmp_path, others, words):
    np.savez(tmp_path / "a.npz", images=np.full((4, 3, 3), 255, "uint8"), **others)
    with pytest.warns(UserWarning, match=words) as warned:
        report = vw.load_data(tmp_path / "a.npz").report
    assert [Path(w.filename) for w in warned] == [Path(__file__)]
    assert report.doubts == (str(warned[0].message),) and report.left_out[0].startswith(f"{len(others)} arr")


@pytest.mark.filterwarnings("error")
def test_without_other_arrays_nothing_is_said(good):
    assert vw.load_data(good).report.left_out == ()


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


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_MODEST", 2**20)
    zeros = np.zeros((4, 2**11, 2**11), "uint8")
    np.savez_compressed(tmp_path / "bomb.npz", images=zeros)
    np.savez(tmp_path / "honest.npz", images=zeros)
    tracemalloc.start()
    try:
        with pytest.raises(
            ValueError, match=r"bomb\.npz .* unpacks to 16,777,216 bytes, more than 100 times"
        ):
            read_npz(tmp_path / "bomb.npz")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert read_npz(tmp_path / "honest.npz")[0].shape == zeros.shape


def test_more_than_the_memory_of_all_images_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST", 4 * 4 * 9 - 1)
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 3, 3), "uint8"))
    with pytest.raises(ValueError, match=r"images\.npy makes 0\.0 GiB of float32"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("label, kind", [(2**16, int), (2**62, int), (2**64 - 1, "uint64")])
def test_a_large_label_does_not_become_as_many_classes(tmp_path, label, kind):
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3), "uint8"), labels=np.array([0, label], kind))
    with pytest.raises(ValueError, match=rf"a\.npz' cannot be used: .* below 65,536; got {label}"):
        vw.load_data(tmp_path / "a.npz")


def test_what_is_wrong_with_the_content_names_the_file_and_stays_short(tmp_path):
    for name, arrays, words in (
        ("void", {"images": np.zeros(4, "V3")}, "got ndarray of "),
        ("ints", {"images": np.zeros((4, 3, 3), int)}, "got torch.int64"),
        ("one", {"images": np.zeros((1, 3, 3), "uint8")}, "at least 2 images; got 1"),
        ("other", {f"array{i}" * 9: np.zeros(1) for i in range(200)}, r"characters\)\.$"),
    ):
        np.savez(tmp_path / f"{name}.npz", **arrays)
        with pytest.raises(ValueError, match=rf"{name}\.npz'? cannot be .*{words}") as caught:
            vw.load_data(tmp_path / f"{name}.npz")
        assert len(str(caught.value)) < 700
