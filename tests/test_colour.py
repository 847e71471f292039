"""Images that are not 28 x 28 and grey: colours, other sizes, and what users bring by mistake."""

import io
import itertools
import re

import numpy as np
import pytest
import torch
from oracles import generator
from PIL import Image

import vaewidgets as vw
from vaewidgets.cli import main
from vaewidgets.data.image_folder import read_folder
from vaewidgets.evaluation.metrics import encode_all
from vaewidgets.evaluation.scoreboard import check_judge
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.models.classifier import Classifier
from vaewidgets.widgets._core.canvas import ImageCanvas

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


# Every panel, in colour and with the names of the classes


@pytest.fixture(scope="module")
def models(data):
    """A VAE and an autoencoder with atlases, a conditional VAE, and a judge, of this data set, untrained."""
    made = {
        "vae": vw.VAE(2, (3, 12, 10), hidden=(16,), seed=0),
        "ae": vw.Autoencoder(2, (3, 12, 10), trunk="conv", hidden=(4,), seed=0),
        "cvae": vw.ConditionalVAE(2, (3, 12, 10), 6, hidden=(16,), seed=0),
        "judge": Classifier((3, 12, 10), 6, hidden=(4,), seed=0),
    }
    for name in ("vae", "ae"):
        made[name].atlas = EncodedDataset(*encode_all(made[name], data.train.images), data.train.labels)
    for model in made.values():
        model.info = {"dataset": "shapes", "classes": list(data.classes)}
    return made


def pixels(picture) -> np.ndarray:
    return np.frombuffer(picture.pixels, "uint8").reshape(picture.rows, picture.columns, picture.channels)


@torch.no_grad()
def expected(model, *z, label=None) -> np.ndarray:
    given = model if label is None else model.given(label)
    image = given.decode(torch.tensor([z], dtype=torch.float32))[0]
    return (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def test_the_explorer_shows_colours_and_names(models, data):
    panel = vw.LatentExplorer(models["vae"], data.test, z=(0.3, -0.4))
    assert np.array_equal(panel.image, expected(models["vae"], 0.3, -0.4))
    assert panel.classes == data.classes
    panel.select(3)
    assert f"labelled {data.classes[data.test.labels[3]]}" in panel.details.value
    image = data.test.images[3].permute(1, 2, 0).numpy() * 255
    assert np.array_equal(pixels(panel.original), image.astype("uint8"))
    # Without images the file says what the labels of its atlas are called.
    assert vw.LatentExplorer(models["vae"]).classes == data.classes


def test_pictures_keep_their_shape_and_their_place():
    for (h, w), box in itertools.product(
        [(12, 10), (64, 64), (300, 200), (8, 40), (40, 8)], [(256,), (350, 130)]
    ):
        picture = ImageCanvas()
        picture.fit(w, h, *box)
        across, down = picture.display_width, picture.display_width * h / w
        assert across <= box[0] and down <= box[-1] + 1
        # Nothing larger would fit, by whole steps.
        step = w if across >= w else 1
        assert across + step > box[0] or (across + step) * h / w > box[-1]


def test_the_cockpit_trains_in_colour(data):
    model = vw.VAE(2, (3, 12, 10), hidden=(16,), seed=0)
    cockpit = vw.TrainingCockpit(model, data, epochs=2, batch_size=24, threaded=False)
    cockpit.start()
    grid, pairs = pixels(cockpit.view.grid), pixels(cockpit.view.reconstructions)
    assert grid.shape == (12 * 12, 12 * 10, 3) and pairs.shape == (12, 8 * 10, 3)
    with torch.no_grad():
        made = model(data.test.images[cockpit.view._chosen[:1]])
    assert np.abs(pairs[:, :10].astype(int) - vw.images.to_uint8(made[0])).max() <= 1


def test_a_conditional_model_in_the_cockpit_is_explained(models, data):
    with pytest.raises(TypeError, match=r"ConditionalVAE is trained by vw\.fit"):
        vw.TrainingCockpit(models["cvae"], data)


def test_traverse_names_the_labels(models, data):
    panel = vw.Traverse(models["cvae"], data.test)
    assert panel.view.classes == list(data.classes)
    name = data.classes[data.test.labels[0]]
    assert f"labelled {name}" in panel.details.value and (name, panel.label) in panel.wanted.options
    panel.label = 4
    assert np.array_equal(panel.image, expected(models["cvae"], *panel.z, label=4))


def test_the_hole_finder_judges_colours(models, data):
    finder = vw.HoleFinder(models["ae"], models["vae"], models["judge"], cells=4)
    assert finder.planes.classes == list(data.classes)
    assert np.array_equal(finder.images[1], expected(models["vae"], 0, 0))
    assert finder.draw(20).n == 20


def test_the_other_panels_take_colour(models, data):
    strip = vw.Bottleneck(models["vae"], data.test, row=2)
    assert f"labelled {data.classes[data.test.labels[2]]}" in strip.result.value
    dial = vw.BetaDial({1: models["vae"], 2: models["vae"]}, data.test)
    assert tuple(dial.view.shape) == (4, 12, 8 * 10, 3), "rows, height, width, channels"
    lab = vw.KLLab(models["vae"])
    assert lab.label.description == "label" and (data.classes[0], 0) in lab.label.options
    with pytest.raises(ValueError, match=r"DrawPad draws in grey.*\(3, 12, 10\)"):
        vw.DrawPad(models["vae"])


# Judges, and files


def test_a_judge_of_the_same_classes_is_accepted_wherever_the_images_lay(models, data):
    judge = models["judge"]
    elsewhere = vw.VAE(2, (3, 12, 10), hidden=(16,), seed=0)
    elsewhere.info = {"dataset": "shapes.npz", "classes": list(data.classes)}
    check_judge(judge, elsewhere, "VAE")
    elsewhere.info["classes"] = ["cat", "dog"]
    with pytest.raises(ValueError, match="knows other classes"):
        check_judge(judge, elsewhere, "VAE")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A conditional VAE and a judge, trained for an epoch from the command line on a folder."""
    folder = tmp_path_factory.mktemp("files")
    for i, (image, name) in enumerate(zip(*shapes(), strict=True)):
        (folder / "shapes" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / "shapes" / name / f"{i}.png")
    for kind, hidden in (("cvae", "16"), ("classifier", "4")):
        out = str(folder / f"{kind}.safetensors")
        options = ["--model", kind, "--out", out, "--epochs", "1", "--hidden", hidden]
        assert main(["train", str(folder / "shapes"), *options]) == 0
    return folder


def test_the_file_keeps_the_names_of_the_classes(files, data):
    for kind in ("cvae", "classifier"):
        assert vw.load(files / f"{kind}.safetensors").info["classes"] == list(data.classes)


def test_evaluate_measures_on_the_folder(files, capsys):
    assert main(["evaluate", str(files / "cvae.safetensors"), "--dataset", str(files / "shapes")]) == 0
    assert "12 held-out images: shapes, test" in capsys.readouterr().out


@pytest.mark.parametrize("label", ["3", "lime square"])
def test_the_label_is_fixed_on_export(files, tmp_path, capsys, label):
    onnxruntime = pytest.importorskip("onnxruntime")
    cvae = vw.load(files / "cvae.safetensors")
    assert cvae.info["classes"][3] == "lime square"
    name = str(files / "cvae.safetensors")
    assert main(["export", "onnx", name, str(tmp_path / "m.onnx"), "--label", label]) == 0
    session = onnxruntime.InferenceSession(tmp_path / "m-decoder.onnx", providers=["CPUExecutionProvider"])
    (image,) = session.run(None, {"z": np.array([[0.5, -1.0]], "float32")})
    with torch.no_grad():
        wanted = cvae.given(3).decode(torch.tensor([[0.5, -1.0]]))
    np.testing.assert_allclose(image, wanted, atol=1e-5)
    assert main(["export", "html", name, str(tmp_path / "m.html"), "--label", label]) == 0
    assert '"lime square"' in (tmp_path / "m.html").read_text("utf-8")


@pytest.mark.parametrize(
    "file, options, words",
    [
        ("cvae", [], r"fix it with --label, a number from 0 to 5, or one of blue bar, blue square, lime bar"),
        ("cvae", ["--label", "green"], r"one of blue bar, .*; got green\."),
        ("cvae", ["--label", "6"], "labels 0 to 5; got 6"),
        ("classifier", [], "is a classifier: it decodes nothing"),
    ],
)
@pytest.mark.parametrize("kind", ["html", "onnx"])
def test_what_has_no_label_or_takes_none_is_explained(files, tmp_path, capsys, kind, file, options, words):
    path = str(files / f"{file}.safetensors")
    assert main(["export", kind, path, str(tmp_path / f"m.{kind}"), *options]) == 1
    assert re.search(words, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_told_no_label_takes_none(capsys, tmp_path):
    assert main(["export", "html", "digits-vae-2d", str(tmp_path / "m.html"), "--label", "3"]) == 1
    assert "--label is for a ConditionalVAE; digits-vae-2d is a VAE" in capsys.readouterr().err
