"""Folders of images: what lies in them arrives as it looks, and what is hostile is named and refused."""

import io
import os
import shutil
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import generator
from PIL import Image, ImageFile

import vaewidgets as vw
from vaewidgets.data import image_file, image_folder


def picture(h=4, w=5, channels=1, seed=0) -> Image.Image:
    shape = (h, w) if channels == 1 else (h, w, channels)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8"))


def put(path: Path, image: Image.Image | bytes | None = None, **options) -> Path:
    """Write an image (or, under its name, any bytes), with the folders it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        (image or picture()).save(path, **options)
    return path


def fill(folder: Path, n: int = 2, image: Image.Image | bytes | None = None, ending="png") -> None:
    """Write the same image under the names 0, 1, ..."""
    for i in range(n):
        put(folder / f"{i}.{ending}", image)


def level(value: int, size=(5, 4)) -> Image.Image:
    return Image.new("L", size, value)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def one(tmp_path, image, name="a.png", *, channels=None, **options) -> np.ndarray:
    """(C, H, W) as bytes, of a folder that holds only this image."""
    put(tmp_path / name, image, **options)
    return image_folder.read_folder(tmp_path, channels=channels).images[0]


def refused(folder, words, **options):
    with pytest.raises(ValueError, match=words):
        vw.load_data(folder, **options)


# Layouts


def test_a_flat_folder_has_no_labels(tmp_path):
    for i in range(10):
        put(tmp_path / "shapes" / f"{i}.png", level(i))
    data = vw.load_data(tmp_path / "shapes")
    assert repr(data) == "Dataset('shapes', train=8, test=2, image=1x4x5)"
    assert data.train.labels is None and data.test.labels is None and data.classes == ()
    assert data.train.images.dtype == torch.float32
    assert torch.equal(vw.load_data(f"{tmp_path}/shapes/").train.images, data.train.images)


def test_class_folders_and_files_are_in_natural_order(tmp_path):
    for label, name in enumerate(("class2", "Class10", "class30")):
        for i in (2, 10, 1):
            put(tmp_path / name / f"{i}.png", level(100 * label + i))
    found = image_folder.read_folder(tmp_path)
    assert found.classes == ("class2", "Class10", "class30")
    assert found.images[:, 0, 0, 0].tolist() == [1, 2, 10, 101, 102, 110, 201, 202, 210]
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and found.held_out is None
    data = vw.load_data(tmp_path)
    assert data.classes == found.classes and data.train.labels.dtype == torch.int64
    for split in (data.train, data.test):
        assert ((split.images[:, 0, 0, 0] * 255).round() // 100).long().tolist() == split.labels.tolist()


def test_a_folder_is_split_exactly_as_the_array_of_its_images(tmp_path):
    images = torch.randint(0, 256, (20, 4, 5), generator=generator(), dtype=torch.uint8)
    for i, image in enumerate(images):
        put(tmp_path / "ab"[i // 10] / f"{i}.png", Image.fromarray(image.numpy()))
    for options in ({}, {"seed": 3, "test_fraction": 0.4}):
        mine = vw.load_data(tmp_path, **options)
        array = vw.load_data(images, torch.arange(20) // 10, **options)
        for a, b in ((mine.train, array.train), (mine.test, array.test)):
            assert torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels)


@pytest.mark.parametrize(
    "paths, words",
    [
        (["a.png", "cats/b.png"], r"holds images \('a.png'\) beside folders \('cats'\)"),
        (["train/a.png", "test/a.png", "a.png"], "beside folders"),
        (["train/a.png", "test/a.png", "val/a.png"], "train and test, which are a split, beside .*'val'"),
        (["train/x/a.png", "test/y/a.png"], "same classes; only one of them has 'x', 'y'"),
        (["train/x/a.png", "test/a.png"], "same classes; only one of them has 'x'"),
        (["train/x/a.png", "test/notes.txt"], r"test' holds no images"),
        (["cats/deep/a.png"], r"cats' is the folder of a class, and holds folders: 'deep'"),
        (["train/x/deep/a.png", "test/x/a.png"], r"x' is the folder of a class, and holds folders"),
        (["cats/a.png", "dogs/notes.txt"], r"dogs' holds no images: files ending in \.png .*\.webp .*\.tiff"),
        (["notes.txt", ".hidden.png", ".git/a.png", "png"], r"holds no images: .*not hidden"),
        ([], "holds no images"),
        (["a.png"], "at least 2 images; got 1"),
    ],
)
def test_other_layouts_are_explained(tmp_path, paths, words):
    for path in paths:
        put(tmp_path / path, picture(), format="PNG")
    refused(tmp_path, words)


SPLITS = [
    ("train", "test"),
    ("Train", "TEST"),
    ("train", "val"),
    ("train", "valid"),
    ("training", "validation"),
    ("Training", "Testing"),
    ("TRAIN", "Dev"),
    ("trn", "tst"),
    ("train", "eval"),
    ("train", "evaluation"),
    ("train", "holdout"),
    ("train", "held-out"),
    ("training_set", "test_set"),
    ("Training Set", "Validation Set"),
    ("trainset", "testset"),
    ("seg_train", "seg_test"),
    ("train2017", "val2017"),
    ("train_images", "test_images"),
    ("images_train", "images_val"),
    ("TrainingData", "PublicTest"),
    ("trainval", "test"),
    ("x_train", "x_test"),
    ("1_train", "2_test"),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [("",), ("b2", "b10")])
@pytest.mark.parametrize("train, held_out", SPLITS)
def test_folders_that_are_called_like_a_split_are_one(tmp_path, train, held_out, classes):
    for label, name in enumerate(classes):
        fill(tmp_path / train / name, 3, level(200 + label))
        put(tmp_path / held_out / name / "x.png", level(250 + label))
    data = vw.load_data(tmp_path)
    n = len(classes)
    assert data.classes == (classes if n == 2 else ())
    for split, labels in ((data.train, [0, 0, 0, 1, 1, 1]), (data.test, [0, 1])):
        assert split.labels is None if n == 1 else split.labels.tolist() == labels
    assert (data.train.images[:, 0, 0, 0] * 255).round().tolist() == [200, 200, 200, 201, 201, 201][: 3 * n]
    assert (data.test.images[:, 0, 0, 0] * 255).round().tolist() == [250, 251][:n]
    assert f"split: {train}/ and {held_out}/: {3 * n} to train on, {n} held out" in str(data.report)


@pytest.mark.parametrize(
    "names",
    [
        ["train"],
        ["test"],
        ["val", "test"],
        ["train", "training"],
        ["training_set"],
    ],
)
def test_parts_of_a_split_that_is_not_whole_are_no_classes(tmp_path, names):
    for name in names:
        fill(tmp_path / name, 3)
    refused(tmp_path, f"holds only {', '.join(map(repr, sorted(names)[:1]))}.*parts of a split.*rename them")
    assert len(vw.load_data(tmp_path / names[0]).train) == 2


@pytest.mark.parametrize(
    "names",
    [
        ["train", "val", "test"],
        ["train", "val", "extra"],
        ["trainA", "trainB", "testA", "testB"],
        ["train2017", "val2017", "test2017"],
    ],
)
def test_a_split_of_more_than_two_parts_is_refused(tmp_path, names):
    for name in names:
        put(tmp_path / name / "a.png")
    refused(tmp_path, "which are a split, beside other folders: .*Move the others away, or rename")


@pytest.mark.parametrize("name", ["train", "valid", "Test set", "dev"])
def test_a_class_that_is_called_like_a_split_is_doubted(tmp_path, name):
    for folder in (name, "plane"):
        put(tmp_path / folder / "a.png")
    with pytest.warns(UserWarning, match=f"'{name}' was taken for a class, though parts of a split are"):
        assert {*vw.load_data(tmp_path).classes} == {name, "plane"}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "names", [("trains", "tests"), ("strain", "contest"), ("test tube", "train station")]
)
def test_classes_whose_names_only_contain_such_a_word_are_classes(tmp_path, names):
    for name in names:
        put(tmp_path / name / "a.png")
    assert vw.load_data(tmp_path).classes == tuple(sorted(names))


# What is left out


@pytest.mark.parametrize(
    "names, words",
    [
        (
            ["IMG_1.HEIC", "IMG_2.heic"],
            r"Left out 2 files of a format that is not read \(\.heic\): 'IMG_1.HEIC'",
        ),
        (["a.avif"], r"1 file of a format that is not read \(\.avif\): 'a\.avif'\. Only \.png"),
        (["a.dcm", "b.npy", "c.pgm", "d.mp4", "e.svg", "f.psd"], r"6 files .*\(\.dcm, .*, \.\.\.\)"),
        (["scan"], r"1 file of a format that is not read \(no ending\): 'scan'"),
        (["cats.zip"], r"\(\.zip\)"),
        (
            [".a.png", ".b.JPG"],
            "Left out 2 files that would be read if the name did not begin with a dot: '.a",
        ),
    ],
)
@pytest.mark.parametrize("where", ["", "cats", "train", "train/cats"])
def test_what_is_not_read_beside_what_is_is_named(tmp_path, names, words, where):
    for inner in {"": [""], "cats": ["cats"], "train": ["train", "test"]}.get(
        where, ["train/cats", "test/cats"]
    ):
        fill(tmp_path / inner, 3)
    for name in names:
        put(tmp_path / where / name, b"something")
    with pytest.warns(UserWarning, match=words) as warned:
        data = vw.load_data(tmp_path)
    assert [Path(w.filename) for w in warned] == [Path(__file__)]
    assert data.report.doubts == (str(warned[0].message),)
    assert data.report.read == len(data.train) + len(data.test) == (3 if where in ("", "cats") else 6)
    assert data.report.left_out[0].startswith(f"{len(names)} ")


@pytest.mark.filterwarnings("error")
def test_debris_of_systems_and_companions_are_no_surprise_and_are_counted(tmp_path):
    for name in ("cats", "dogs"):
        fill(tmp_path / name, 3)
    debris = (
        ".DS_Store", "Thumbs.db", "desktop.ini", "cats/._0.png", "cats/0.png:Zone.Identifier",
        "__MACOSX/cats/._0.png", "@eaDir/cats/0.png", ".ipynb_checkpoints/0.png", "dogs/.cache/0.png",
    )  # fmt: skip
    for name in (*debris, "README.md", "LICENSE", "labels.csv", "cats/0.json"):
        put(tmp_path / name, b"something")
    data = vw.load_data(tmp_path)
    assert data.classes == ("cats", "dogs") and data.report.read == 6
    assert data.report.left_out == ("9 hidden, or left behind by a system", "4 files of text or data")


@pytest.mark.parametrize("kind", ["gif", "webp", "tif", "png"])
def test_frames_after_the_first_are_not_left_out_in_silence(tmp_path, kind):
    frames = [picture(8, 8, 3, seed) for seed in range(5)]
    for name in "ab":
        put(tmp_path / f"{name}.{kind}", frames[0], save_all=True, append_images=frames[1:])
    put(tmp_path / f"c.{kind}", frames[0])
    with pytest.warns(UserWarning, match=rf"Of 2 files with several frames only the first .*'a\.{kind}', 'b"):
        data = vw.load_data(tmp_path)
    assert data.report.read == 3 and data.report.left_out == ("all frames but the first of 2 files",)


def test_the_second_picture_in_a_jpeg_is_not_left_out_in_silence(tmp_path):
    content = encoded(picture(8, 8, 3), "MPO", save_all=True, append_images=[picture(8, 8, 3, 1)])
    for name in "ab":
        put(tmp_path / f"{name}.jpg", content)
    with pytest.warns(UserWarning, match="Of 2 files with several frames"):
        vw.load_data(tmp_path)


def test_the_report_counts_what_was_skipped(tmp_path):
    fill(tmp_path, 3)
    put(tmp_path / "bad.png", b"junk")
    with pytest.warns(UserWarning, match="Left out 1 of 4"):
        report = vw.load_data(tmp_path, on_error="skip").report
    assert report.read == 3 and report.left_out == ("1 file that cannot be read",)


def test_the_report_in_words(tmp_path):
    for name in ("cats\n\u202e", "dogs"):
        for i in range(5):
            put(tmp_path / name / f"{i}.png", level(255 - i))
    put(tmp_path / "dogs" / "x.heic", b"something")
    with pytest.warns(UserWarning, match="heic"):
        report = vw.load_data(tmp_path, seed=3).report
    assert str(report).splitlines() == [
        "read: 10 images",
        "left out: 1 file of a format that is not read (.heic)",
        "pixels: bytes from 251 to 255; white is 255 (assumed)",
        "split: at random, seed 3: 8 to train on, 2 held out",
        "classes: 2 (cats\ufffd\ufffd, dogs)",
        "in doubt: 1, each warned of; report.doubts has them in full",
    ]


# Which number is white


def deep(high: int) -> Image.Image:
    return Image.fromarray(np.linspace(0, high, 20).round().astype("uint16").reshape(4, 5))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "image, name, white, words",
    [
        (level(1), "a.png", 1, r"is 1 where white is 255 \(bytes\)"),
        (level(16), "a.bmp", 16, r"is 16 where white is 255 .*is it 16\?"),
        (Image.new("RGB", (5, 4), (1, 0, 1)), "a.tif", 1, "is 1 where white is 255"),
        (Image.new("LA", (5, 4), (1, 255)), "a.png", 1, "is 1 where white is 255"),
        (deep(1), "a.png", 1, r"is 1 where white is 65535 \(16-bit levels\)"),
        (deep(255), "a.png", 255, "is 255 where white is 65535"),
        (deep(1023), "a.tif", 1023, "is 1023 where white is 65535"),
        (deep(4095), "a.png", 4095, r"is 4095 where white is 65535 .*is it 4095\?"),
    ],
)
@pytest.mark.parametrize("size", [None, 2])
def test_files_that_use_few_of_their_levels_are_doubted_and_white_may_be_stated(
    tmp_path, image, name, white, words, size
):
    for i in range(2):
        put(tmp_path / f"{i}{name}", image)
    with pytest.warns(UserWarning, match=f"The brightest pixel {words}"):
        vw.load_data(tmp_path, size=size)
    data = vw.load_data(tmp_path, size=size, white=white)
    assert data.train.images.max() > (0.8 if size else 0.999)


def test_a_stated_white_keeps_the_levels_and_the_means_of_areas(tmp_path):
    fill(tmp_path / "deep", 2, deep(4095))
    found = image_folder.read_folder(tmp_path / "deep", white=4095)
    expected = np.round(np.linspace(0, 4095, 20).round() / 4095 * 255)
    assert found.images[0].ravel().tolist() == expected.tolist()
    checks = Image.fromarray(np.tile(np.array([0, 1], "uint8"), (4, 4)))
    fill(tmp_path / "masks", 2, checks)
    masks = image_folder.read_folder(tmp_path / "masks", size=2, white=1)
    assert set(masks.images.ravel()) <= {127, 128}, "a mean of zeros and ones became a zero or a one"


def test_files_of_one_bit_are_black_and_white_whatever_is_stated(tmp_path):
    fill(tmp_path, 2, Image.fromarray(np.eye(5, dtype=bool)))
    for white in (None, 1, 255):
        found = image_folder.read_folder(tmp_path, white=white)
        assert set(found.images.ravel()) == {0, 255} and not found.doubts


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode, value", [("I", 1000), ("F", 0.25)])
def test_files_of_32_bits_may_state_their_white(tmp_path, mode, value):
    fill(tmp_path, 2, Image.new(mode, (5, 4), value), ending="tif")
    refused(tmp_path, r"0\.tif' cannot be read as an image: its pixels have 32 bits.*save 8 or 16 bits")
    data = vw.load_data(tmp_path, white=4 * value)
    assert data.train.images.unique().tolist() == pytest.approx([64 / 255])
    refused(tmp_path, r"0\.tif' cannot be read as an image: white=.* allows pixels from 0", white=value / 2)


def test_a_white_that_the_files_cannot_have_is_refused(tmp_path):
    fill(tmp_path, 2, level(200))
    refused(tmp_path, "white=4095 is more than its bytes can be, at most 255", white=4095)
    refused(tmp_path, "white=100 allows pixels from 0 to 100; got some from 200 to 200", white=100)


def test_each_split_and_each_kind_of_file_is_looked_at_by_itself(tmp_path):
    put(tmp_path / "split" / "train" / "a.png", level(255))
    put(tmp_path / "split" / "val" / "a.png", level(1))
    with pytest.warns(UserWarning, match="The brightest pixel in 'val' is 1 where white is 255"):
        report = vw.load_data(tmp_path / "split").report
    assert [str(one) for one in report.pixels] == [
        "bytes from 255 to 255 (train); white is 255 (assumed)",
        "bytes from 1 to 1 (val); white is 255 (assumed)",
    ]
    put(tmp_path / "kinds" / "a.png", level(255))
    put(tmp_path / "kinds" / "b.png", deep(4095))
    with pytest.warns(UserWarning, match="brightest pixel is 4095 where white is 65535"):
        vw.load_data(tmp_path / "kinds")


@pytest.mark.filterwarnings("error")
def test_masks_of_zeros_and_ones_among_others_are_doubted(tmp_path):
    for i in range(4):
        put(tmp_path / "a" / f"{i}.png", level(200 + i))
        put(tmp_path / "b" / f"{i}.png", level(i % 2))
    with pytest.warns(
        UserWarning, match=r"2 files of zeros and ones among 8 whose white .*'1\.png', '3\.png'"
    ):
        report = vw.load_data(tmp_path).report
    assert len(report.doubts) == 1
    for i in (1, 3):
        put(tmp_path / "b" / f"{i}.png", Image.new("1", (5, 4), 1))
    vw.load_data(tmp_path)


def tiff(content: bytes, place: int, length: int, tags: dict[int, int]) -> bytes:
    """A TIFF with these tags; `place` and `length` are the tags that say where its only strip or tile is."""
    entries = {**tags, place: 10 + 12 * (len(tags) + 2) + 4, length: len(content)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(entries.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + bytes(4) + content


def tiff_of_12_bits(levels: list[int]) -> bytes:
    """One row of an even number of pixels, two in three bytes."""
    pairs = zip(levels[::2], levels[1::2], strict=True)
    content = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in pairs)
    return tiff(content, 273, 279, {256: len(levels), 257: 1, 258: 12, 259: 1, 262: 1, 277: 1, 278: 1})


def test_a_tiff_that_says_it_has_12_bits_has_12(tmp_path):
    fill(tmp_path, 2, tiff_of_12_bits([0, 1024, 2048, 4095]), ending="tif")
    found = image_folder.read_folder(tmp_path)
    assert found.images[0].ravel().tolist() == [0, 64, 128, 255] and not found.doubts
    assert found.pixels[0].kind == "12-bit levels" and found.pixels[0].white == 4095


def test_hidden_and_other_files_are_ignored_and_suffixes_have_any_case(tmp_path):
    for name in ("a.PNG", "b.Jpg", "c.jpeg", "d.bmp", "e.GIF", "f.webp", "g.tif", "h.TIFF"):
        put(tmp_path / name, level(9))
    for name in ("notes.txt", "Thumbs.db", "._a.png", ".checkpoints/a.png", "npz"):
        put(tmp_path / name, b"not an image")
    # WebP knows no grey, and Pillow writes a GIF with a palette.
    assert image_folder.read_folder(tmp_path).images.shape == (8, 3, 4, 5)


# What a source means


def test_named_datasets_win_over_a_folder_of_that_name(tmp_path, monkeypatch):
    fill(tmp_path / "digits", 4)
    monkeypatch.chdir(tmp_path)
    assert len(vw.load_data("digits").test) == 360
    for source in ("./digits", Path("digits")):
        data = vw.load_data(source)
        assert (data.name, len(data.train), len(data.test)) == ("digits", 3, 1)
    monkeypatch.chdir("digits")
    assert vw.load_data(".").name == "digits"


def test_a_folder_that_ends_in_npz_is_a_folder(tmp_path):
    fill(tmp_path / "a.npz")
    assert vw.load_data(str(tmp_path / "a.npz")).name == "a.npz"


def test_what_is_not_there_is_said(tmp_path):
    refused(
        "no/such", "Unknown dataset 'no/such': .*digits, mnist, fashion-mnist, a folder of images that is"
    )
    with pytest.raises(FileNotFoundError, match="absent"):
        vw.load_data(tmp_path / "absent")
    refused(tmp_path, r"labels go with an array; .* brings its own", labels=[1, 2])


@pytest.mark.parametrize("option", [{"size": 8}, {"channels": 1}, {"on_error": "skip"}])
def test_the_options_of_folders_go_with_folders_only(tmp_path, option):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 3, 3), "uint8"))
    for source in ("digits", tmp_path / "a.npz", str(tmp_path / "a.npz"), torch.zeros(4, 3, 3), "no/such"):
        refused(source, "size, channels and on_error go with a folder of images; .* is none", **option)


@pytest.mark.parametrize(
    "option, words",
    [
        ({"channels": 4}, r"channels must be 1 \(grey\), 3 \(colour\) or None; got 4"),
        ({"on_error": "ignore"}, "on_error must be 'refuse' or 'skip'; got 'ignore'"),
        ({"size": 0}, r"size is one number of pixels, or \(height, width\), from 1 up; got 0"),
        ({"size": (3, -1)}, r"got \(3, -1\)"),
        ({"size": (1, 2, 3)}, r"got \(1, 2, 3\)"),
        ({"size": 2.5}, "got 2.5"),
        ({"size": "8"}, "got '8'"),
    ],
)
def test_options_that_mean_nothing_are_refused(tmp_path, option, words):
    fill(tmp_path)
    refused(tmp_path, words, **option)


# Sizes


def test_mixed_sizes_name_two_files_and_say_what_to_do(tmp_path):
    put(tmp_path / "a.png", picture(4, 5))
    put(tmp_path / "b.png", picture(4, 5))
    put(tmp_path / "c.png", picture(8, 6))
    put(tmp_path / "d.png", picture(9, 9))
    refused(
        tmp_path, r"there are 3: .*a\.png' is 5 pixels wide and 4 high, .*c\.png' is 6 wide and 8 high.*size="
    )
    assert vw.load_data(tmp_path, size=7).train.images.shape[1:] == (1, 7, 7)
    assert vw.load_data(tmp_path, size=(3, 7)).train.images.shape[1:] == (1, 3, 7)


def test_sizes_that_differ_only_by_a_turn_are_mixed(tmp_path):
    put(tmp_path / "a.png", picture(4, 5))
    put(tmp_path / "b.png", picture(5, 4))
    refused(tmp_path, r"there are 2: .*a\.png' is 5 pixels wide and 4 high, .*b\.png' is 4 wide and 5 high")


def test_shrinking_averages_areas(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8), dtype="uint8")
    put(tmp_path / "a.png", Image.fromarray(pixels))
    small = image_folder.read_folder(tmp_path, size=(3, 4)).images[0, 0]
    means = pixels.reshape(3, 4, 4, 2).mean((1, 3))
    assert np.abs(small - means).max() <= 1  # Pillow rounds after each axis
    stripes = np.tile(np.array([0, 255], "uint8"), (8, 8))
    put(tmp_path / "a.png", Image.fromarray(stripes))
    assert set(image_folder.read_folder(tmp_path, size=4).images.ravel()) <= {127, 128}


# Modes


def test_grey_is_one_channel_and_any_colour_makes_three(tmp_path):
    put(tmp_path / "a.png", level(7))
    put(tmp_path / "b.png", level(200).convert("1", dither=Image.Dither.NONE))
    assert image_folder.read_folder(tmp_path).images.shape == (2, 1, 4, 5)
    put(tmp_path / "c.png", Image.new("RGB", (5, 4), (255, 0, 0)))
    images = image_folder.read_folder(tmp_path).images
    assert images.shape == (3, 3, 4, 5) and images.flags.c_contiguous
    assert images[:, :, 0, 0].tolist() == [[7, 7, 7], [255, 255, 255], [255, 0, 0]]
    grey = image_folder.read_folder(tmp_path, channels=1).images
    assert grey[:, :, 0, 0].tolist() == [[7], [255], [76]]
    (tmp_path / "c.png").unlink()
    assert image_folder.read_folder(tmp_path, channels=3).images.shape == (2, 3, 4, 5)


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_are_where_they_were(tmp_path, channels):
    image = picture(4, 5, channels)
    expected = np.asarray(image).reshape(4, 5, channels).transpose(2, 0, 1)
    for name in ("a.png", "a.bmp", "a.tif"):
        put(tmp_path / name, image)
    assert (image_folder.read_folder(tmp_path).images == expected).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, name):
    values = np.array([[0, 255, 256, 257], [32768, 65278, 65407, 65535]], np.uint16)
    image = one(tmp_path, Image.fromarray(values), name)
    assert (image[0] == np.round(values / 257)).all() and image.shape == (1, 2, 4)


def test_sixteen_bits_of_the_other_byte_order(tmp_path):
    image = Image.frombytes("I;16B", (4, 1), np.array([[0, 256, 32768, 65535]], ">u2").tobytes())
    assert one(tmp_path, image, "a.tif")[0, 0].tolist() == [0, 1, 128, 255]


def test_transparency_is_on_black(tmp_path):
    rgba = Image.new("RGBA", (3, 1))
    for x, colour in enumerate([(200, 100, 50, 255), (200, 100, 50, 0), (255, 255, 255, 128)]):
        rgba.putpixel((x, 0), colour)
    assert one(tmp_path, rgba)[:, 0].T.tolist() == [[200, 100, 50], [0, 0, 0], [128, 128, 128]]
    assert one(tmp_path, rgba.convert("LA"))[0, 0].tolist() == [124, 0, 128]
    key = Image.fromarray(np.array([[9, 200]], "uint8"))
    assert one(tmp_path, key, transparency=200)[0, 0].tolist() == [9, 0]


def test_palettes_and_cmyk(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert one(tmp_path, palette)[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]
    assert one(tmp_path, palette, transparency=1)[:, 0].T.tolist() == [[10, 20, 30], [0, 0, 0]]
    (tmp_path / "a.png").unlink()
    assert one(tmp_path, Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "a.tif")[:, 0, 0].tolist() == [
        255,
        0,
        0,
    ]


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_a_turned_photograph_is_upright(tmp_path, kind):
    """Stored lying on its side (EXIF orientation 6): the dark half is on the left, and belongs on top."""
    pixels = np.full((16, 32), 255, "uint8")
    pixels[:, :16] = 0
    exif = Image.Exif()
    exif[0x0112] = 6
    image = one(tmp_path, Image.fromarray(pixels), f"a.{kind}", channels=1, exif=exif)
    assert image.shape == (1, 32, 16)
    assert image[0, :12].max() < 60 and image[0, 20:].min() > 195


def test_turned_photographs_have_one_size_with_upright_ones(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8
    put(tmp_path / "a.jpg", picture(16, 8))
    put(tmp_path / "b.jpg", picture(8, 16), exif=exif)
    assert image_folder.read_folder(tmp_path).images.shape == (2, 1, 16, 8)
    put(tmp_path / "b.jpg", picture(16, 8), exif=exif)
    refused(tmp_path, r"there are 2: .*a\.jpg' is 8 pixels wide and 16 high, .*b\.jpg' is 16 wide and 8 high")


@pytest.mark.parametrize("kind", ["gif", "webp", "tif"])
def test_of_several_frames_the_first_is_taken(tmp_path, kind):
    lossless = {"lossless": True} if kind == "webp" else {}
    frames = [Image.new("RGB", (5, 4), (value, value, value)) for value in (40, 80, 120)]
    image = one(tmp_path, frames[0], f"a.{kind}", save_all=True, append_images=frames[1:], **lossless)
    assert image.min() == image.max() == 40


# Hostile files


def png_that_promises(width: int, height: int, *, bits: int = 8, kind: int = 2, content=bytes(9)) -> bytes:
    def chunk(name, content):
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(content))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("kind, channels", [(2, 3), (4, 2), (6, 4)], ids=["RGB", "grey and alpha", "RGBA"])
def test_of_16_bit_colours_the_report_says_that_half_is_read(tmp_path, kind, channels):
    row = b"".join(struct.pack(">H", value) for value in [0x4080, 0xC0FF, 0xFFFF, 0xFFFF][-channels:] * 2)
    (tmp_path / "a.png").write_bytes(png_that_promises(2, 1, bits=16, kind=kind, content=b"\0" + row))
    found = image_folder.read_folder(tmp_path)
    assert found.pixels[0].kind == "upper bytes of 16 bits" and found.pixels[0].high == 255
    assert found.images.shape[0] == 1


def tiff_with_a_tile_of(width: int, height: int) -> bytes:
    """16 x 16 pixels, deflated, in one tile that may be much larger."""
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: width, 323: height}
    return tiff(zlib.compress(b"\x80" * 256), 324, 325, tags)


BOMBS = {
    "a.png": png_that_promises(60_000, 60_000),
    "b.png": png_that_promises(8_000, 8_000),
    "c.bmp": encoded(picture(), "BMP")[:18]
    + struct.pack("<ii", 30_000, 30_000)
    + encoded(picture(), "BMP")[26:],
    "d.tif": tiff_with_a_tile_of(40_000, 40_000),
    "e.gif": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + encoded(picture(), "GIF")[10:],
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BOMBS)
def test_a_decompression_bomb_is_never_decoded(tmp_path, monkeypatch, name):
    put(tmp_path / "0.png")
    put(tmp_path / name, BOMBS[name])

    def load(image):
        raise AssertionError("decoded a bomb")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    tracemalloc.start()
    try:
        refused(tmp_path, rf"{name}' cannot be read as an image: .*(limit|exceeds)")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_a_tile_that_fits_is_read(tmp_path):
    """Else the bomb of a tile could be refused for another reason."""
    assert one(tmp_path, tiff_with_a_tile_of(16, 16), "a.tif").tolist() == [[[128] * 16] * 16]


def test_more_than_the_memory_of_all_images_is_refused_before_any_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(image_folder, "LARGEST", 3 * 4 * 4 * 5 - 1)
    monkeypatch.setattr(image_folder, "decode", None)
    fill(tmp_path, 3)
    refused(tmp_path, "3 images of 1 x 4 x 5 make .* GiB of float32, and .* are the limit.*size=64")
    refused(tmp_path, "3 images of 3 x 8 x 8 make", size=8, channels=3)
    monkeypatch.undo()
    refused(tmp_path, "3 images of 1 x 60000 x 60000 make 40.2 GiB of float32, and 8 GiB", size=60_000)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "no PNG, JPEG, BMP, GIF, WEBP, TIFF, or its header is damaged"),
        (b"<script>alert(1)</script>", "no PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 4\n%%EndComments\n", "no PNG, JPEG"),
        (b"P5 5 4 255 " + bytes(20), "no PNG, JPEG"),
        (png_that_promises(0, 4), "no PNG, JPEG"),
        (encoded(picture(), "PNG")[:60], "cannot be read as an image"),
        (encoded(picture(), "JPEG")[:-30], "cannot be read as an image: image file is truncated"),
    ],
)
def test_what_is_no_image_is_named_or_left_out(tmp_path, content, words):
    for i in range(4):
        put(tmp_path / f"good{i}.png", picture(seed=i))
    bad = put(tmp_path / "<b>bad\n\u202e.png", content)
    with pytest.raises(ValueError, match=words) as caught:
        vw.load_data(tmp_path)
    assert repr(str(bad)) in str(caught.value) and "on_error='skip'" in str(caught.value)
    with pytest.warns(UserWarning, match=rf"Left out 1 of 5 images: .*bad.*{words}") as warned:
        data = vw.load_data(tmp_path, on_error="skip")
    assert [Path(w.filename) for w in warned if "Left out" in str(w.message)] == [Path(__file__)]
    assert len(data.train) + len(data.test) == 4


def test_skipping_names_the_first_and_counts_the_rest(tmp_path):
    for i in range(6):
        put(tmp_path / "x" / f"{i}.png", b"junk" if i else None)
        put(tmp_path / "y" / f"{i}.png", level(3))
    with pytest.warns(UserWarning, match=r"Left out 5 of 12 images: .*1\.png.*2\.png.*3\.png.*; and 2 more$"):
        found = image_folder.read_folder(tmp_path, on_error="skip")
    assert found.labels.tolist() == [0] + [1] * 6 and found.classes == ("x", "y")


@pytest.mark.filterwarnings("error")
def test_without_a_bad_file_nothing_is_said(tmp_path, capfd):
    fill(tmp_path)
    vw.load_data(tmp_path, on_error="skip")
    assert capfd.readouterr() == ("", "")


def test_skipping_everything_is_an_error(tmp_path):
    put(tmp_path / "a.png", b"junk")
    refused(tmp_path, r"no image in the folder can be read. The first: .*a\.png", on_error="skip")
    put(tmp_path / "split" / "train" / "a.png")
    put(tmp_path / "split" / "test" / "b.png", encoded(picture(), "PNG")[:60])
    refused(tmp_path / "split", r"one of train and test can be read. The first: .*b\.png", on_error="skip")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs the links and pipes of POSIX")
def test_links_and_pipes_are_not_followed(tmp_path):
    outside = put(tmp_path / "outside" / "a.png")
    inside = tmp_path / "inside"
    for i in range(2):
        put(inside / f"good{i}.png")
    for name, make in {
        "out.png": lambda path: path.symlink_to(outside),
        "loop.png": lambda path: path.symlink_to(path),
        "pipe.png": os.mkfifo,
    }.items():
        make(inside / name)
        refused(
            inside, rf"{name}' cannot be read as an image: it is a link, which is not followed, or no plain"
        )
        (inside / name).unlink()
    for name, target in (("out", outside.parent), ("loop", inside)):
        (inside / name).symlink_to(target)
        refused(inside, rf"{name}' is a link; none is followed", on_error="skip")
        (inside / name).unlink()
    (tmp_path / "name").symlink_to(inside)
    assert len(vw.load_data(tmp_path / "name").train) == 1


def test_a_file_or_folder_that_may_not_be_opened_is_named(tmp_path, monkeypatch):
    """Simulated: a superuser, whom tests may run as, may open everything."""
    fill(tmp_path / "x", 3)

    opened = image_file.safe_open

    def forbidden(path):
        if path.name == "1.png":
            raise PermissionError(13, "Permission denied")
        return opened(path)

    monkeypatch.setattr(image_file, "safe_open", forbidden)
    refused(tmp_path, r"1\.png' cannot be read as an image: .*Permission denied")
    with pytest.warns(UserWarning, match="Left out 1 of 3"):
        vw.load_data(tmp_path, on_error="skip")

    def locked(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(PermissionError, match=tmp_path.name):
        vw.load_data(tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="a superuser may read anything")
def test_a_file_without_permission_is_named(tmp_path):
    put(tmp_path / "a.png").chmod(0)
    refused(tmp_path, r"a\.png' cannot be read as an image: .*Permission denied")


def test_names_that_are_no_unicode_reach_no_page(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xff\xfe"
    try:
        os.mkdir(folder)
    except OSError:
        pytest.skip("this file system knows only Unicode names")
    for i in range(2):
        shutil.copy(put(tmp_path.parent / "source.png"), folder + b"/%d.png" % i)
    data = vw.load_data(tmp_path)
    assert [name.encode() for name in data.classes] == [b"??"]


def test_names_that_act_on_a_terminal_are_tame(tmp_path):
    fill(tmp_path / "\x1b[2J\u202e")
    assert vw.load_data(tmp_path).classes == ("\ufffd[2J\ufffd",)


def test_nothing_is_written(tmp_path):
    fill(tmp_path / "x", 3)
    before = {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*")
    }
    vw.load_data(tmp_path, size=3)
    after = {
        path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in tmp_path.rglob("*")
    }
    assert after == before


def damaged(whole: bytes, rng, i: int) -> bytes:
    """Cut off anywhere, or with a few wrong bytes: by turns in the header or all over."""
    if i % 5 == 0:
        return whole[: rng.integers(len(whole))]
    content = bytearray(whole)
    for at in rng.integers(0, 64 if i % 2 else len(content), 1 + i % 4):
        content[at] = rng.integers(0, 256)
    return bytes(content)


def with_right_checksums(png: bytes) -> bytes:
    """Let the damage get past the checksums of the chunks, to what reads them."""
    content, at = bytearray(png), 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        content[end : end + 4] = (
            struct.pack(">I", zlib.crc32(content[at + 4 : end])) if end < len(png) else b""
        )
        at = end + 4
    return bytes(content)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF"])
def test_random_damage_is_a_clear_error_or_harmless(tmp_path, kind):
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    whole = encoded(picture(12, 12, 3), kind, **({} if kind == "GIF" else {"exif": exif}))
    put(tmp_path / "good.png", picture(12, 12, 3))
    bad = tmp_path / f"bad.{kind.lower()}"
    n_refused = 0
    for i in range(100):
        content = damaged(whole, rng, i)
        bad.write_bytes(with_right_checksums(content) if kind == "PNG" and i % 3 else content)
        try:
            data = vw.load_data(tmp_path)
        except ValueError as error:
            n_refused += 1
            assert repr(str(bad)) in str(error)
        else:
            assert len(data.train) == len(data.test) == 1
    assert 20 < n_refused < 100
