"""Files from outside: clear errors, nothing executed, no memory taken on a promise."""

import io
import os
import pickle
import socket
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets._utils import atomic_write
from vaewidgets.data import npz
from vaewidgets.data.npz import read_npz
from vaewidgets.io import checkpoints
from vaewidgets.training import resume


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


def peak_of_refusal(path: Path, words: str) -> int:
    """The most bytes in use while a file was refused with these words."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            read_npz(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


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
    images, labels, _ = read_npz(tmp_path / "a.npz")
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
    assert peak_of_refusal(path, "promises 1000000000000 bytes") < 10 * 2**20


def test_other_files_and_names(tmp_path):
    with pytest.raises(FileNotFoundError):
        vw.load_data(tmp_path / "absent.npz")
    with pytest.raises(ValueError, match="brings its own"):
        vw.load_data(tmp_path / "other.npz", labels=[1, 2])


def test_an_archive_that_unpacks_to_far_more_than_its_size_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "_MODEST", 2**20)
    zeros = np.zeros((4, 2**11, 2**11), "uint8")
    np.savez_compressed(tmp_path / "bomb.npz", images=zeros)
    np.savez(tmp_path / "honest.npz", images=zeros)
    words = r"bomb\.npz .* unpacks to 16,777,216 bytes, more than 100 times"
    assert peak_of_refusal(tmp_path / "bomb.npz", words) < 2**20
    assert read_npz(tmp_path / "honest.npz")[0].shape == zeros.shape


def test_more_than_the_memory_of_all_images_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "LARGEST", 4 * 4 * 9 - 1)
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 3, 3), "uint8"))
    with pytest.raises(ValueError, match=r"images\.npy makes 0\.0 GiB of float32"):
        read_npz(tmp_path / "a.npz")


IMAGES = np.zeros((4, 3, 3), "uint8")


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"images": IMAGES, "labels": np.zeros(5, int)}, "4 images need 4 labels"),
        ({"pictures": IMAGES}, "no array called images in it, only pictures"),
        ({"images": np.zeros(4, "V3")}, "got ndarray of "),
        ({"images": np.zeros((4, 3, 3), int)}, "got torch.int64"),
        ({"images": np.zeros((0, 3, 3), "uint8")}, "images.npy is empty, of shape"),
        ({"images": IMAGES[:1]}, "at least 2 images; got 1"),
        ({f"array{i}" * 9: np.zeros(1) for i in range(200)}, r"characters\)\.$"),
        # A large label does not become as many classes.
        ({"images": IMAGES[:2], "labels": np.array([0, 2**16])}, "below 65,536; got 65536"),
        ({"images": IMAGES[:2], "labels": np.array([0, 2**62])}, f"below 65,536; got {2**62}"),
        ({"images": IMAGES[:2], "labels": np.array([0, 2**64 - 1], "uint64")}, f"536; got {2**64 - 1}"),
    ],
)
def test_what_is_wrong_with_the_content_names_the_file_and_stays_short(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=rf"a\.npz'? cannot be .*{words}") as caught:
        vw.load_data(tmp_path / "a.npz")
    assert len(str(caught.value)) < 700


# --- what is no ordinary file, changes while it is read, or unpacks to far more ------------------------

posix = pytest.mark.skipif(os.name != "posix", reason="FIFOs and devices of POSIX")
LOADERS = {".npz": vw.load_data, ".safetensors": vw.load, ".resume": resume.read}


def special(path: Path, kind: str) -> Path:
    if kind == "a FIFO":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "a device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@posix
@pytest.mark.parametrize("kind", ["a FIFO", "a socket", "a device", "a folder"])
@pytest.mark.parametrize("ending", LOADERS)
def test_what_is_no_ordinary_file_is_not_waited_for(tmp_path, monkeypatch, ending, kind):
    if (ending, kind) == (".npz", "a folder"):
        pytest.skip("a folder of images")
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with pytest.raises(OSError, match=f"m{ending} is {kind}"):
        LOADERS[ending](special(Path(f"m{ending}"), kind))


@posix
def test_a_file_that_becomes_a_fifo_before_it_is_opened_is_not_waited_for(tmp_path, monkeypatch):
    path, opened = tmp_path / "m.safetensors", os.open
    path.touch()

    def exchange(name, flags):
        path.unlink()
        os.mkfifo(path)
        return opened(name, flags)

    monkeypatch.setattr(os, "open", exchange)
    with pytest.raises(OSError, match="is a FIFO"):
        vw.load(path)


@posix
def test_a_fifo_among_the_files_of_mnist_is_not_waited_for(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    os.mkfifo(raw / "train-images-idx3-ubyte")
    with pytest.raises(RuntimeError, match="is a FIFO"):
        vw.load_data("mnist", root=tmp_path)


@pytest.mark.parametrize("kind", ["cut", "replaced"])
def test_an_npz_that_changes_while_it_is_read_is_whole_or_refused(good, tmp_path, monkeypatch, kind):
    images = read_npz(good)[0]
    other = tmp_path / "other.npz"
    np.savez(other, images=np.zeros((3, 2, 2), "uint8"))
    opened = npz.safe_open

    def change(path):
        file = opened(path)
        os.replace(other, path) if kind == "replaced" else os.truncate(path, 100)
        return file

    monkeypatch.setattr(npz, "safe_open", change)
    if kind == "cut":
        with pytest.raises(ValueError, match="cannot be read"):
            read_npz(good)
    else:
        assert np.array_equal(read_npz(good)[0], images)


def bomb(path: Path, method: int, start: bytes) -> Path:
    """An archive of images that begin so and go on with 64 MiB of spaces."""
    with zipfile.ZipFile(path, "w", method) as file, file.open("images.npy", "w") as member:
        member.write(start)
        for _ in range(64):
            member.write(b" " * 2**20)
    return path


LONG_HEADER = b"\x93NUMPY\x02\x00" + (2**26).to_bytes(4, "little")


@pytest.mark.parametrize(
    "method, start, words",
    [
        (zipfile.ZIP_DEFLATED, LONG_HEADER, "header of 67,108,864 characters"),
        (zipfile.ZIP_BZIP2, LONG_HEADER, "compressed in another way"),
        (zipfile.ZIP_LZMA, LONG_HEADER, "compressed in another way"),
        (zipfile.ZIP_DEFLATED, npy_header((2**14, 64, 64)), "unpacks to 67,108,864 bytes, more than 100"),
        (zipfile.ZIP_DEFLATED, npy_header((2**26, 1, 1)), "unpacks to 67,108,864 bytes, more than 100"),
    ],
)
def test_what_unpacks_to_far_more_takes_no_memory(tmp_path, method, start, words):
    assert peak_of_refusal(bomb(tmp_path / "bomb.npz", method, start), words) < 2**21


@pytest.mark.parametrize(
    "dtype, shape", [("|S0", (2**29,)), ("<U0", (4,)), ("<U9", (2**20,)), ("<i8", (4, 1))]
)
def test_labels_that_are_no_row_of_one_for_each_image_are_refused_by_their_header(tmp_path, dtype, shape):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", npy_header((4, 3, 3)) + bytes(36))
        file.writestr("labels.npy", npy_header(shape, dtype) + bytes(np.dtype(dtype).itemsize * 4))
    words = "holds no array|promises|4 images need 4 labels in one row"
    assert peak_of_refusal(tmp_path / "a.npz", words) < 2**20


def test_an_archive_of_very_many_members_is_refused_before_they_are_listed(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.npz", "w") as file:
        for i in range(4000):
            file.writestr(f"{i:050}.npy", b"")
    assert (tmp_path / "many.npz").stat().st_size > 3 * npz._PIECE / 2
    assert peak_of_refusal(tmp_path / "many.npz", "its directory is larger") < 3 * npz._PIECE


def test_names_of_labels_take_little_more_memory_than_their_array(tmp_path):
    n = 200_000
    np.savez(tmp_path / "a.npz", images=np.zeros((n, 1, 1), "uint8"), labels=np.tile(["ant", "bee"], n // 2))
    tracemalloc.start()
    data = vw.load_data(tmp_path / "a.npz")
    assert tracemalloc.get_traced_memory()[1] < 75 * n
    tracemalloc.stop()
    assert data.classes == ("ant", "bee") and data.train.labels.float().mean() == pytest.approx(0.5, abs=0.01)


def test_names_from_a_file_are_tame_where_they_enter(tmp_path):
    wild = "\x1b[2J\u202ea\u200fb"
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 3, 3), "uint8"), labels=[wild, "b"])
    data = vw.load_data(tmp_path / "a.npz")
    assert data.classes == ("b", "\ufffd[2J\ufffda\ufffdb") == data.train.classes
    np.savez(tmp_path / "b.npz", **{wild: np.zeros(3)})
    with pytest.raises(ValueError, match="only \ufffd\\[2J\ufffda\ufffdb"):
        vw.load_data(tmp_path / "b.npz")
    model = vw.VAE(2, (1, 3, 3), hidden=(2,), seed=0)
    vw.save(model, tmp_path / "m", classes=[wild], dataset=wild)
    model = vw.load(tmp_path / "m")
    assert checkpoints.stated_classes(model) == ("\ufffd[2J\ufffda\ufffdb",)
    assert checkpoints.stated_dataset(model) == "\ufffd[2J\ufffda\ufffdb"
    vw.save(model, tmp_path / "again")
    assert vw.load(tmp_path / "again").info["dataset"] == wild, "what is stored is what was given"


# --- saving ------------------------------------------------------------------------------------------


@posix
@pytest.mark.parametrize("kind", ["a FIFO", "a socket", "a folder"])
def test_only_ordinary_files_are_replaced(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    before = special(Path("m"), kind).lstat()
    for refuse in (
        lambda: atomic_write.write({Path("m"): b"new"}),
        lambda: atomic_write.check_free("m", True),
    ):
        with pytest.raises(OSError, match=f"m is {kind}"):
            refuse()
    assert Path("m").lstat().st_ino == before.st_ino and os.listdir() == ["m"]


@posix
def test_a_file_that_is_replaced_hands_its_permissions_on(tmp_path):
    path = tmp_path / "m"
    path.touch()
    for mode in (0o600, 0o640, 0o444):
        path.chmod(mode)
        atomic_write.write({path: b"new"})
        assert (path.stat().st_mode & 0o777, path.read_bytes()) == (mode, b"new")


@posix
def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    place, link = tmp_path / "disk" / "m", tmp_path / "link"
    place.write_bytes(b"old")
    link.symlink_to(place)
    with pytest.raises(FileExistsError):
        atomic_write.write({link: b"new"}, False)
    atomic_write.write({link: b"new"})
    assert link.is_symlink() and place.read_bytes() == b"new" and os.listdir(place.parent) == ["m"]
    place.unlink()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in ((link, "which is not there"), (tmp_path / "loop", "leads back to itself")):
        for refuse in (lambda p: atomic_write.write({p: b"new"}), lambda p: atomic_write.check_free(p, True)):
            with pytest.raises(OSError, match=words):
                refuse(path)
        assert path.is_symlink()
    assert os.listdir(place.parent) == []


@pytest.mark.parametrize("links", [True, False])
def test_without_overwrite_a_file_that_came_up_meanwhile_lives(tmp_path, monkeypatch, links):
    if not links:

        def link(*_):
            raise PermissionError("no hard links on this drive")

        monkeypatch.setattr(os, "link", link)
    first, second = tmp_path / "a", tmp_path / "b"
    second.write_bytes(b"dear")
    with pytest.raises(FileExistsError, match="b exists already"):
        atomic_write.write({first: b"new", second: b"new"}, False)
    assert second.read_bytes() == b"dear" and os.listdir(tmp_path) == ["b"], "none is written"
    atomic_write.write({first: b"new"}, False)
    assert first.read_bytes() == b"new" and sorted(os.listdir(tmp_path)) == ["a", "b"]
    assert first.stat().st_mode & 0o777 == second.stat().st_mode & 0o777


def test_one_at_a_time_claims_a_file_by_any_of_its_names(tmp_path):
    path, link = tmp_path / "m", tmp_path / "link"
    path.write_bytes(b"old")
    link.symlink_to(path)
    with (
        atomic_write.claim(path),
        pytest.raises(FileExistsError, match="being written by another process"),
        atomic_write.claim(link),
    ):
        pytest.fail("claimed twice")
    with atomic_write.claim(link):
        pass
    assert sorted(os.listdir(tmp_path)) == ["link", "m"]
    (tmp_path / ".m.lock").touch()  # of a process that was killed
    with atomic_write.claim(path):
        pass
    assert not (tmp_path / ".m.lock").exists()
