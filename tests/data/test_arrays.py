"""Labels and axes as other libraries give them: understood, or refused with what is wrong."""

import numpy as np
import pytest
import torch
from oracles import generator

import vaewidgets as vw
from vaewidgets.data.arrays import as_labels


def images(n=10):
    return torch.rand(n, 8, 8, generator=generator())


NAMES = ["dog", "cat", "a10", "a2", "dog"]


class Column:
    """A column of a data frame, as numpy sees one."""

    def __init__(self, values, dtype=object):
        self.values = np.array(values, dtype=dtype)

    def __array__(self, dtype=None, copy=None):
        return self.values


class NAType:
    """What stands in such a column for a missing value: it equals nothing, and is neither true nor false."""

    def __eq__(self, other):
        return self

    __ne__ = __eq__

    def __bool__(self):
        raise TypeError("boolean value of NA is ambiguous")


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        tuple(NAMES),
        np.array(NAMES),
        np.array(NAMES, object),
        np.array(NAMES, np.dtypes.StringDType()) if hasattr(np.dtypes, "StringDType") else NAMES,
        np.array([name.encode() for name in NAMES]),
        np.array([name.encode() for name in NAMES], object),
        np.array([np.str_(name) for name in NAMES], object),
        Column(NAMES),
    ],
    ids=lambda labels: f"{type(labels).__name__}-{getattr(labels, 'dtype', '')}",
)
def test_names_of_every_kind_become_the_same_classes(labels):
    indices, classes = as_labels(labels)
    assert classes == ("a2", "a10", "cat", "dog") and all(type(name) is str for name in classes)
    assert indices.tolist() == [3, 2, 1, 0, 3] and indices.dtype == torch.int64
    data = vw.load_data(images(5), labels, test_fraction=0.4)
    assert data.classes == classes == data.report.classes


def test_names_of_thousands_of_digits_have_an_order_too():
    """More than Python makes a number of."""
    long = "x" + "1" * 5000
    assert as_labels([long, "x", "x10", "x2", "x02"])[1] == ("x", "x02", "x2", "x10", long)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([2, 0, 1], object),
        np.array([np.int8(2), 0, np.uint16(1)], object),
        Column([2, 0, 1]),
        Column([2, 0, 1], "int32"),
        torch.tensor([2, 0, 1], dtype=torch.uint8),
        [2, False, True],
    ],
)
def test_integers_of_every_kind_are_class_indices(labels):
    indices, classes = as_labels(labels)
    assert indices.tolist() == [2, 0, 1] and classes == ("0", "1", "2")


@pytest.mark.parametrize(
    "labels, words",
    [
        (Column(["cat", None, "dog"]), r"got object, in which label 1 is missing \(None\)"),
        (Column(["cat", "dog", float("nan")]), r"label 2 is missing \(nan\)"),
        (Column([0, 1, NAType()]), "label 2 is missing"),
        (Column(["cat", NAType(), "dog"]), "label 1 is missing"),
        (["cat", float("nan"), "dog"], r"label 1 is missing \(nan\)"),
        (["cat", 3, "dog"], r"label 1 is no name \(3\)"),
        ([3, "cat", "dog"], r"label 1 is no integer \('cat'\)"),
        (Column([0, 1.5, 2]), r"label 1 is no integer \(1.5\)"),
        (np.array([0, 1, np.nan]), r"got float64, in which label 2 is missing \(nan\)"),
        (Column([0, -1, 2]), "got int64 from -1 up"),
        (Column([0, 2**70, 2]), "class indices below 65,536; got 1180591620717411303424"),
    ],
)
def test_labels_with_gaps_or_of_two_kinds_are_refused(labels, words):
    with pytest.raises(ValueError, match=words):
        vw.load_data(images(3), labels)


def test_what_is_masked_is_refused():
    pixels = np.ma.masked_greater(images().numpy(), 0.99)
    with pytest.raises(ValueError, match=r"images holds \d+ masked values, .*images\.filled"):
        vw.load_data(pixels)
    with pytest.raises(ValueError, match=r"labels holds 2 masked values, .*labels\.filled"):
        vw.load_data(images(), np.ma.masked_equal([0, 1, 2, 3, 4] * 2, 3))
    filled = vw.load_data(pixels.filled(1), np.ma.array([0, 1] * 5))
    assert filled.report.read == 10 and filled.classes == ("0", "1")


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", [lambda x: x, torch.from_numpy, lambda x: x / 255, lambda x: x.tolist()])
def test_one_photo_is_no_stack(channels, kind):
    photo = np.random.default_rng(0).integers(0, 256, (16, 12, channels), dtype="uint8")
    with pytest.raises(ValueError, match=r"shape \(16, 12, .\) is one photo, .*np\.stack.*images\[:, None\]"):
        vw.load_data(kind(photo))
    # Said explicitly, a stack of very narrow images is one.
    assert vw.load_data(photo[:, None]).train.images.shape[1:] == (1, 12, channels)


@pytest.mark.parametrize("channels", [3, 4])
def test_one_photo_with_the_channels_first_is_doubted(channels):
    photo = torch.rand(channels, 16, 12, generator=generator())
    with pytest.warns(
        UserWarning, match=rf"shape \({channels}, 16, 12\) was taken for {channels} grey images"
    ):
        data = vw.load_data(photo)
    assert len(data.report.doubts) == 1


def test_a_stack_along_the_last_axis_is_doubted():
    with pytest.warns(UserWarning, match=r"taken for 12 images of 12 x 40 pixels.*moveaxis\(images, -1, 0\)"):
        vw.load_data(torch.rand(12, 12, 40, generator=generator()))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "shape", [(10, 8, 8), (5, 16, 12), (12, 12, 12), (4, 3, 3), (20, 4, 3), (10, 3, 8, 8)]
)
def test_stacks_of_usual_shapes_are_not_doubted(shape):
    assert not vw.load_data(torch.rand(shape, generator=generator())).report.doubts
