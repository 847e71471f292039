"""load_data: what comes out is float32 in [0, 1] exactly once, split honestly, or an error that helps."""

import gzip
import os
import struct
import sys
from pathlib import Path
from unittest.mock import ANY, Mock, call

import numpy as np
import pytest
import torch
import torchvision
from oracles import generator
from PIL import Image

import vaewidgets as vw
from vaewidgets.cli import train_options
from vaewidgets.course import doctor
from vaewidgets.data import load as loading
from vaewidgets.data.image_folder import read_folder
from vaewidgets.data.load import load_test_images
from vaewidgets.data.npz import read_npz


def grey(n=20, h=4, w=5, seed=0):
    return torch.rand(n, h, w, generator=generator(seed))


def everything(data):
    """Train and test images together, in an order that does not depend on the split."""
    images = torch.cat([data.train.images, data.test.images])
    return images[images.flatten(1)[:, 0].argsort()]


# Digits


def test_digits_are_all_there(digits):
    assert repr(digits) == "Dataset('digits', train=1437, test=360, image=1x8x8)"
    assert digits.train.images.shape == (1437, 1, 8, 8) and digits.test.images.shape == (360, 1, 8, 8)
    assert digits.classes == tuple("0123456789")
    for split in (digits.train, digits.test):
        assert split.images.dtype == torch.float32 and split.labels.dtype == torch.int64
        assert split.images.min() == 0 and split.images.max() == 1
        assert len(split) == len(split.images)
        assert split.labels.unique().tolist() == list(range(10))
    # The file holds seventeen levels of grey, and no other comes out.
    assert (digits.train.images * 16).unique().tolist() == list(range(17))


def test_the_digits_keep_the_order_and_the_labels_of_the_file(digits):
    from sklearn.datasets import load_digits

    raw = load_digits()
    images, labels = (
        torch.cat([getattr(digits.train, part), getattr(digits.test, part)]) for part in ("images", "labels")
    )
    assert (images[:, 0].numpy() * 16 == raw.images).all()
    assert (labels.numpy() == raw.target).all()
    again = vw.load_data("digits")
    assert torch.equal(again.train.images, digits.train.images)


def test_no_digit_is_in_both_splits(digits):
    train = {image.numpy().tobytes() for image in digits.train.images}
    assert not train & {image.numpy().tobytes() for image in digits.test.images}


# MNIST


def test_mnist_has_its_published_counts(mnist):
    assert repr(mnist) == "Dataset('mnist', train=60000, test=10000, image=1x28x28)"
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert mnist.train.labels.bincount().tolist() == train
    assert mnist.test.labels.bincount().tolist() == test
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert mnist.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_mnist_pixels_are_bytes_divided_by_255_once(mnist):
    assert mnist.train.images.dtype == torch.float32
    assert (mnist.train.images.max(), mnist.train.images.min()) == (1, 0)
    assert mnist.train.images.double().mean().item() == pytest.approx(0.1306605, abs=1e-6)
    levels = mnist.test.images * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)


def test_no_mnist_image_is_in_both_splits(mnist):
    train = {image.numpy().tobytes() for image in mnist.train.images}
    assert len(train) == 60_000
    assert not train & {image.numpy().tobytes() for image in mnist.test.images}


# Arrays


LAYOUTS = {
    "(N, H, W)": lambda x: x,
    "(N, 1, H, W)": lambda x: x[:, None],
    "(N, H, W, 1)": lambda x: x[..., None],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", [torch.Tensor, np.asarray, lambda x: x.tolist()])
def test_grey_images_in_every_layout(layout, kind):
    data = vw.load_data(kind(LAYOUTS[layout](grey())))
    assert data.train.images.shape == (16, 1, 4, 5) and data.test.images.shape == (4, 1, 4, 5)
    assert torch.equal(everything(data), everything(vw.load_data(grey())))
    assert data.train.labels is None and data.classes == ()


def test_colour_images_in_both_layouts():
    x = torch.rand(20, 3, 4, 5, generator=generator())
    assert torch.equal(everything(vw.load_data(x)), everything(vw.load_data(x.permute(0, 2, 3, 1))))
    assert everything(vw.load_data(x)).shape == (20, 3, 4, 5)


def test_bytes_are_divided_by_255_and_bools_are_zero_and_one():
    levels = torch.arange(256, dtype=torch.uint8).view(16, 4, 4)
    loaded = everything(vw.load_data(levels))
    assert torch.equal(loaded[:, 0], levels.float() / 255)
    mask = grey() > 0.5
    assert torch.equal(everything(vw.load_data(mask)).unique(), torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_floats_of_every_width_become_float32(dtype):
    data = vw.load_data(grey().numpy().astype(dtype))
    assert data.train.images.dtype == torch.float32
    torch.testing.assert_close(everything(data), everything(vw.load_data(grey())), rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_arrays_that_torch_does_not_take_as_they_are():
    """Reversed, read-only, and one's own array is neither shared nor changed."""
    array = grey().numpy()
    assert torch.equal(
        everything(vw.load_data(array[:, :, ::-1])), everything(vw.load_data(array[:, :, ::-1].copy()))
    )
    vw.load_data(np.frombuffer(bytes(320), np.uint8).reshape(20, 4, 4))
    before = array.copy()
    vw.load_data(array).train.images.zero_()
    assert (array == before).all()


def test_the_split_is_random_fixed_by_the_seed_and_loses_nothing():
    # The images carry their number, so that they and their labels can be followed.
    x = torch.arange(100).view(100, 1, 1).expand(100, 2, 2) / 100
    splits = [vw.load_data(x, torch.arange(100), test_fraction=0.3, seed=seed) for seed in (0, 0, 1)]
    for data in splits:
        assert (len(data.train), len(data.test)) == (70, 30)
        for split in (data.train, data.test):
            assert torch.equal((split.images[:, 0, 0, 0] * 100).round().long(), split.labels)
        assert sorted([*data.train.labels.tolist(), *data.test.labels.tolist()]) == list(range(100))
    first, again, other = (data.test.labels.tolist() for data in splits)
    assert first == again != other
    assert sorted(first) != list(range(70, 100))


@pytest.mark.parametrize("n, fraction, held_out", [(2, 0.01, 1), (2, 0.99, 1), (10, 0.2, 2), (5, 0.999, 4)])
def test_neither_split_is_ever_empty(n, fraction, held_out):
    data = vw.load_data(grey(n), test_fraction=fraction)
    assert (len(data.train), len(data.test)) == (n - held_out, held_out)


@pytest.mark.parametrize(
    "labels", [list(range(20)), np.arange(20, dtype=np.uint16), torch.arange(20), np.arange(20) > 9]
)
def test_labels_of_every_kind_of_integer(labels):
    data = vw.load_data(grey(), labels, name="mine")
    assert data.name == "mine"
    assert data.train.labels.dtype == torch.int64
    assert len(data.classes) == int(max(labels)) + 1


@pytest.mark.parametrize(
    "source, labels, error, words",
    [
        (grey() * 255, None, ValueError, r"within \[0, 1\]; got values from .* Bytes \(0..255\) are divided"),
        (grey() - 0.5, None, ValueError, r"within \[0, 1\]"),
        (grey() * torch.nan, None, ValueError, "must be finite"),
        (grey() / 0, None, ValueError, "must be finite"),
        ((grey() * 255).int(), None, TypeError, "must be bytes .uint8. or floats in .0, 1.; got torch.int32"),
        (grey().numpy().astype("uint16"), None, TypeError, "got torch.uint16"),
        (grey().to(torch.complex64), None, TypeError, "got torch.complex64"),
        (grey()[0], None, ValueError, r"\(N, H, W\) or \(N, C, H, W\); got \(4, 5\)"),
        (grey()[None, None], None, ValueError, r"got \(1, 1, 20, 4, 5\)"),
        (grey(1), None, ValueError, "at least 2 images; got 1"),
        (grey(0), None, ValueError, "at least 2 images; got 0"),
        (torch.zeros(5, 1, 0, 4), None, ValueError, r"empty, of shape \(5, 1, 0, 4\)"),
        (object(), None, TypeError, "dataset name or an array of images; got object"),
        (None, None, TypeError, "dataset name or an array of images; got NoneType"),
        ([[1.0], [1.0, 2.0]], None, TypeError, "dataset name or an array of images; got list"),
        (grey(), range(19), ValueError, r"20 images need 20 labels in one row; got labels of shape \(19,\)"),
        (grey(), np.zeros((20, 1), int), ValueError, r"shape \(20, 1\)"),
        (
            grey(),
            np.zeros(20),
            ValueError,
            "labels must be integers from 0 up, one per image, or names; got float64",
        ),
        (grey(), -np.ones(20, int), ValueError, "labels must be integers from 0 up"),
        (grey(), [None] * 20, ValueError, "labels must be integers from 0 up, .* or names; got object"),
        ("digits", range(3), ValueError, "'digits' brings its own"),
        ("cifar", None, ValueError, "'cifar': expected one of digits, mnist, fashion-mnist"),
    ],
)
def test_what_is_no_data_is_refused(source, labels, error, words):
    with pytest.raises(error, match=words):
        vw.load_data(source, labels)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_fraction_lies_between_0_and_1(fraction):
    with pytest.raises(ValueError, match="test_fraction must lie between 0 and 1"):
        vw.load_data(grey(), test_fraction=fraction)


def test_datasets_compare_by_identity(digits):
    assert digits == digits and digits.train != digits.test
    assert vw.load_data(grey()) != vw.load_data(grey())


# Downloads, without a network


def leave_half_a_file(root, train=True, download=False):
    raw = Path(root, "MNIST", "raw")
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    raise OSError("connection reset")


def use_fake(monkeypatch, fetch) -> Mock:
    """Put a class in the place of torchvision's, with a network that is there, or is not."""
    fake = Mock(side_effect=fetch, __name__="MNIST")
    monkeypatch.setattr(torchvision.datasets, "MNIST", fake)
    return fake


def test_a_failed_download_leaves_nothing_behind_and_says_what_to_do(monkeypatch, tmp_path):
    fake = use_fake(monkeypatch, leave_half_a_file)
    for attempt in (1, 2):
        with pytest.raises(RuntimeError, match=r"connection reset.*MNIST/raw.*\$VAEWIDGETS_DATA.*'digits'"):
            vw.load_data("mnist", root=tmp_path / "deep" / "er")
        assert list((tmp_path / "deep" / "er").iterdir()) == []
        assert fake.mock_calls == [call(ANY, train=True, download=True)] * attempt, (
            "what is half fetched was taken for the data"
        )


def test_an_interrupted_download_leaves_nothing_behind(monkeypatch, tmp_path):
    def interrupted(root, train, download):
        (tmp_path / "reached").touch()
        raise KeyboardInterrupt

    use_fake(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        vw.load_data("mnist", root=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["reached"]


def test_a_download_arrives_whole_and_is_made_once(monkeypatch, tmp_path):
    class Split:
        data, targets = torch.full((4, 28, 28), 255, dtype=torch.uint8), torch.arange(4)

    def fetch(root, train, download):
        if download:
            os.makedirs(os.path.join(root, "MNIST", "raw"))
        assert os.path.isdir(os.path.join(root, "MNIST", "raw"))
        return Split()

    fake = use_fake(monkeypatch, fetch)
    for _ in range(2):
        data = vw.load_data("mnist", root=tmp_path)
        assert data.train.images.unique().tolist() == [1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]
    assert [made.kwargs["download"] for made in fake.mock_calls].count(True) == 1
    assert {made.kwargs["train"] for made in fake.mock_calls if not made.kwargs["download"]} == {True, False}


def test_without_permission_to_download_nothing_is_fetched(monkeypatch, tmp_path):
    fake = use_fake(monkeypatch, leave_half_a_file)
    monkeypatch.setenv("VAEWIDGETS_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(RuntimeError, match=r"mnist is not in .*elsewhere.*root=.*\$VAEWIDGETS_DATA"):
        vw.load_data("mnist", download=False)
    assert not fake.called and list(tmp_path.iterdir()) == []


def test_a_damaged_folder_is_named(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (raw / f"{name}-ubyte").write_bytes(b"\0\0\x08\x03 not a file of images")
    with pytest.raises(RuntimeError, match=r"MNIST.raw is incomplete or damaged .*Move it away"):
        vw.load_data("mnist", root=tmp_path)


# MNIST as it is published: packed


def idx(values: np.ndarray) -> bytes:
    """Write bytes as MNIST's files do: a magic number, the shape, the values."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def put_mnist(raw, packed=(), n=6):
    """Write a small MNIST, and return its images and labels; the parts named in `packed` as .gz."""
    raw.mkdir(parents=True)
    rng, made = np.random.default_rng(0), {}
    for part in ("train", "t10k"):
        images, labels = rng.integers(0, 256, (n, 28, 28), "uint8"), np.arange(n, dtype="uint8")
        for kind, values in (("images-idx3", images), ("labels-idx1", labels)):
            name = f"{part}-{kind}-ubyte"
            if name in packed or packed == "all":
                (raw / f"{name}.gz").write_bytes(gzip.compress(idx(values)))
            else:
                (raw / name).write_bytes(idx(values))
        made[part] = torch.from_numpy(images)[:, None] / 255, torch.from_numpy(labels).long()
    return made


@pytest.mark.parametrize("packed", ["all", ("train-images-idx3-ubyte",), ("t10k-labels-idx1-ubyte",), ()])
@pytest.mark.parametrize("name, folder", [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_files_that_are_still_packed_are_read(tmp_path, monkeypatch, packed, name, folder):
    made = put_mnist(tmp_path / folder / "raw", packed)
    before = sorted(tmp_path.rglob("*"))
    data = vw.load_data(name, root=tmp_path, download=False)
    for split, (images, labels) in ((data.train, made["train"]), (data.test, made["t10k"])):
        assert torch.equal(split.images, images) and torch.equal(split.labels, labels)
    assert sorted(tmp_path.rglob("*")) == before, "something was written beside the user's files"
    assert (data.report.read, data.report.split) == (12, "as published: 6 to train on, 6 held out")
    monkeypatch.setenv("VAEWIDGETS_DATA", str(tmp_path))
    assert torch.equal(load_test_images(name).images, made["t10k"][0])


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda packed: packed[:40], "ended before"),
        (lambda packed: b"<html>not found</html>", "[Nn]ot a gzip"),
        (lambda packed: gzip.compress(bytes(3000)), ""),
    ],
)
def test_a_packed_file_that_is_damaged_is_named(tmp_path, damage, words):
    raw = tmp_path / "MNIST" / "raw"
    put_mnist(raw, "all")
    path = raw / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RuntimeError, match=rf"MNIST.raw is incomplete or damaged \(.*{words}"):
        vw.load_data("mnist", root=tmp_path)


def test_a_packed_file_that_unpacks_to_any_size_is_refused(tmp_path, monkeypatch):
    put_mnist(tmp_path / "MNIST" / "raw", "all")
    monkeypatch.setattr(loading, "_LARGEST_PART", 1000)
    with pytest.raises(RuntimeError, match="train-images-idx3 unpacks to more than 1,000 bytes"):
        vw.load_data("mnist", root=tmp_path)


# The home folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_a_tilde_is_the_home_folder_in_every_path(home, kind, monkeypatch):
    (home / "pictures").mkdir()
    for i in range(4):
        Image.fromarray(np.full((4, 5), 200 + i, "uint8")).save(home / "pictures" / f"{i}.png")
    np.savez(home / "a.npz", images=np.full((4, 3, 3), 200, "uint8"))
    assert vw.load_data(kind("~/pictures")).name == "pictures"
    assert len(read_folder(kind("~/pictures")).images) == 4
    assert vw.load_data(kind("~/a.npz")).name == "a"
    assert len(read_npz(kind("~/a.npz"))[0]) == 4
    put_mnist(home / "data" / "MNIST" / "raw")
    assert len(vw.load_data("mnist", root=kind("~/data"), download=False).train) == 6
    monkeypatch.setenv("VAEWIDGETS_DATA", "~/data")
    assert len(vw.load_data("mnist", download=False).train) == 6
    assert len(load_test_images("mnist")) == 6
    assert doctor.data().detail == f"MNIST in {home / 'data'}"
    assert train_options.dataset_name("~") == home.name
    assert list((home / "elsewhere").iterdir()) == []


def test_what_is_not_in_the_home_folder_is_named_with_its_place(home):
    with pytest.raises(FileNotFoundError, match=home.name):
        vw.load_data("~/absent.npz")
    with pytest.raises(ValueError, match=f"Unknown dataset .*{home.name}.*absent"):
        vw.load_data("~/absent")


# The report


def test_the_reports_of_the_named_datasets(digits, mnist):
    assert str(digits.report).splitlines() == [
        "read: 1,797 images",
        "left out: nothing",
        "pixels: floats from 0 to 16; white is 16 (stated)",
        "split: the last 360 of the file are held out",
        "classes: 10 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)",
    ]
    assert str(mnist.report).splitlines()[2:4] == [
        "pixels: bytes from 0 to 255; white is 255 (stated)",
        "split: as published: 60,000 to train on, 10,000 held out",
    ]


def test_the_report_of_an_array():
    report = vw.load_data(grey(), ["b", "a"] * 10, test_fraction=0.25, seed=7).report
    lines = str(report).splitlines()
    assert lines[:2] == ["read: 20 images", "left out: nothing"]
    assert lines[2].startswith("pixels: floats from ") and lines[2].endswith("white is 1 (assumed)")
    assert lines[3:] == ["split: at random, seed 7: 15 to train on, 5 held out", "classes: 2 (a, b)"]
    assert str(vw.load_data(grey()).report).endswith("classes: none, so no labels")
    many = vw.load_data(grey(), range(20)).report
    assert str(many).endswith("classes: 20 (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)")


def test_a_dataset_that_somebody_makes_has_no_report():
    images = vw.Images(grey()[:, None])
    assert vw.Dataset(images, images, (), "mine").report is None


def test_a_torchvision_that_does_not_import_is_explained(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(RuntimeError, match=r"torchvision does not import.*reinstall both.*'digits'"):
        vw.load_data("mnist", root=tmp_path)
    assert len(vw.load_data("digits").test) == 360
