"""Images that are not 28 x 28 and grey: colours, other sizes, and what users bring by mistake."""

import io

import numpy as np
import pytest
import torch
from oracles import generator
from PIL import Image

import vaewidgets as vw
from vaewidgets.folders import read_folder

COLOURS = {"red": (1, 0, 0), "lime": (0, 1, 0), "blue": (0, 0, 1)}


def shapes(n=60, h=12, w=10, seed=0) -> tuple[np.ndarray, list[str]]:
    """Squares and bars of three colours, each at its own place: bytes (n, h, w, 3), and the class of each."""
    rng = np.random.default_rng(seed)
    images, names = np.zeros((n, h, w, 3), "uint8"), []
    for i, image in enumerate(images):
        colour, form = list(COLOURS)[i % 3], ("square", "bar")[i // 3 % 2]
        tall, wide = (h // 2, w // 2) if form == "square" else (2, w - 2)
        top, left = rng.integers(0, h - tall), rng.integers(0, w - wide)
        image[top : top + tall, left : left + wide] = 255 * np.array(COLOURS[colour])
        names.append(f"{colour} {form}")
    return images, names


@pytest.fixture(scope="module")
def data():
    return vw.load_data(*shapes())


# One data set, in every form that it may come in


def test_array_npz_and_folder_are_the_same_data(tmp_path, data):
    images, names = shapes()
    np.savez(tmp_path / "shapes.npz", images=images, labels=np.array(names))
    from_file = vw.load_data(tmp_path / "shapes.npz")
    first = vw.load_data(images.transpose(0, 3, 1, 2), np.char.encode(names))
    for other in (from_file, first):
        assert other.classes == data.classes == tuple(sorted(set(names)))
        for mine, theirs in ((data.train, other.train), (data.test, other.test)):
            assert torch.equal(mine.images, theirs.images) and torch.equal(mine.labels, theirs.labels)
    for i, (image, name) in enumerate(zip(images, names, strict=True)):
        (tmp_path / "folder" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "folder" / name / f"{i}.png")
    folder = vw.load_data(tmp_path / "folder")
    assert repr(folder) == "Dataset('folder', train=48, test=12, image=3x12x10)"
    assert folder.classes == data.classes
    # A folder is read class by class.
    order = np.argsort([data.classes.index(name) for name in names], kind="stable")
    assert np.array_equal(read_folder(tmp_path / "folder").images, images.transpose(0, 3, 1, 2)[order])


def test_red_is_the_first_channel_and_the_labels_say_so(data):
    for split in (data.train, data.test):
        for image, label in zip(split.images, split.labels, strict=True):
            colour = data.classes[label].split()[0]
            assert [int(c.max()) for c in image] == list(COLOURS[colour])


def test_splits_carry_the_names_of_their_classes(data):
    assert data.train.classes == data.test.classes == data.test.take(slice(3)).classes == data.classes
    assert vw.load_data("digits").test.classes == tuple("0123456789")
    assert vw.load_data(torch.zeros(4, 3, 5)).train.classes == ()


def test_names_are_in_natural_order():
    numbered = vw.load_data(torch.zeros(6, 3, 5), ["b10", "b2", "B1", "b10", "b2", "B1"])
    assert numbered.classes == ("B1", "b2", "b10")
    assert sorted(torch.cat([numbered.train.labels, numbered.test.labels]).tolist()) == [0, 0, 1, 1, 2, 2]


# What users bring by mistake


@pytest.mark.parametrize(
    "change, error, words",
    [
        (
            lambda x: np.concatenate([x, x[..., :1]], -1),
            ValueError,
            r"1 channel .* or 3 .*images\[\.\.\., :3\]",
        ),
        (lambda x: np.concatenate([x, x[..., :1]], -1).transpose(0, 3, 1, 2), ValueError, r"images\[:, :3\]"),
        (lambda x: x[..., :2], ValueError, r"got shape \(60, 12, 10, 2\)\.$"),
        (lambda x: x.astype("float32"), ValueError, r"within \[0, 1\]; got values from 0 to 255"),
        (lambda x: x / 127.5 - 1, ValueError, "got values from -1 to 1"),
        (
            lambda x: np.where(x == 255, np.nan, x / 255),
            ValueError,
            r"finite and within .*; [\d,]+ of 21,600 are",
        ),
        (
            lambda x: x.astype("int64"),
            TypeError,
            r"got torch.int64. Levels of 0..255 become .*astype\(\"uint8\"\)",
        ),
        (lambda x: [x[0], x[1][:5]], TypeError, "got list. Those of a list must have one size"),
    ],
)
def test_odd_arrays_are_explained(change, error, words):
    with pytest.raises(error, match=words):
        vw.load_data(change(shapes()[0]))


def test_a_whole_data_set_in_the_place_of_a_split_is_explained(data):
    model = vw.VAE(2, (3, 12, 10), hidden=(8,), seed=0)
    with pytest.raises(TypeError, match=r"got Dataset\. Take one of its splits, data.train or data.test"):
        vw.LatentExplorer(model, data)
    with pytest.raises(TypeError, match=r"got Images\. Take its \.images"):
        vw.fit(model, data.train)


# Models of every size, and pictures of them


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 20, 24), (3, 64, 64), (3, 12, 10), (1, 13, 7)])
@pytest.mark.parametrize("trunk", ["mlp", "conv"])
@pytest.mark.parametrize("kind", [vw.VAE, vw.Autoencoder])
def test_models_of_any_size_train_store_and_load(tmp_path, shape, trunk, kind):
    x = torch.rand(6, *shape, generator=generator())
    model = kind(2, shape, trunk=trunk, hidden=(4, 6), seed=0)
    before = torch.cat([w.flatten() for w in model.parameters()]).detach().clone()
    for _ in vw.fit(model, x, epochs=1, batch_size=3):
        pass
    assert not torch.equal(before, torch.cat([w.flatten() for w in model.parameters()]))
    vw.save(model, tmp_path / "m.safetensors", classes=("red disc", "lime disc"))
    loaded = vw.load(tmp_path / "m.safetensors")
    assert torch.equal(loaded(x), model(x)) and loaded(x).shape == x.shape


def test_a_batch_in_colour_becomes_one_png(data):
    png = np.asarray(Image.open(io.BytesIO(vw.to_png(data.test.images, scale=2))))
    images = (data.test.images.permute(0, 2, 3, 1) * 255).numpy().astype("uint8")
    rows = [np.concatenate(list(images[i : i + 4]), 1) for i in range(0, 12, 4)]
    assert np.array_equal(png, np.concatenate(rows, 0).repeat(2, 0).repeat(2, 1))
