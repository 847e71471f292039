"""Which number is white: stated or assumed, reported, and doubted where no pixel is half as bright."""

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.white_level import Range, to_pixels


def stack(high, dtype, low=0):
    """Twenty images that hold both numbers."""
    values = np.random.default_rng(0).integers(0, 2, (20, 8, 8)).astype(bool)
    return np.where(values, high, low).astype(dtype)


def brightest(data) -> float:
    return max(data.train.images.max().item(), data.test.images.max().item())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "array, white, words",
    [
        (
            stack(1, "uint8"),
            1,
            r"brightest pixel is 1 where white is 255 \(bytes\).*\(is it 1\?\), or white=255",
        ),
        (stack(10, "uint8"), 15, r"is 10 where white is 255 .*\(is it 15\?\)"),
        (stack(16, "uint8"), 16, r"is 16 where white is 255 .*\(is it 16\?\)"),
        (stack(127, "uint8"), 127, r"is 127 where white is 255 .*\(is it 127\?\)"),
        (torch.from_numpy(stack(1, "uint8"))[..., None], 1, "is 1 where white is 255"),
        (stack(1, "uint8").tolist(), 1, None),
        (stack(1 / 255, "float32"), 1 / 255, r"is 0.00392157 where white is 1 \(floats\)"),
        (stack(16 / 255, "float64"), 16 / 255, r"where white is 1 \(floats\)"),
    ],
)
def test_numbers_that_end_far_below_white_are_doubted_and_white_may_be_stated(array, white, words):
    if words is None:  # a list holds Python's integers, of which no largest one is known
        with pytest.raises(TypeError, match="such as white=4095"):
            vw.load_data(array)
    else:
        with pytest.warns(UserWarning, match=words) as warned:
            data = vw.load_data(array)
        assert [w.filename for w in warned] == [__file__]
        assert data.report.doubts == (str(warned[0].message),)
        assert brightest(data) < 0.5
    data = vw.load_data(array, white=white)
    assert brightest(data) == pytest.approx(10 / 15 if white == 15 else 1)
    assert not data.report.doubts and data.report.pixels[0].stated


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "array",
    [
        stack(128, "uint8"),
        stack(255, "uint8"),
        stack(0, "uint8"),
        stack(1, bool),
        stack(0.5, "float32"),
        stack(1, "float64"),
        stack(0, "float16"),
    ],
)
def test_bright_or_black_images_are_not_doubted(array):
    data = vw.load_data(array)
    expected = float(array.max()) / (255 if array.dtype == "uint8" else 1)
    assert brightest(data) == pytest.approx(expected)
    assert not data.report.doubts and not data.report.pixels[0].stated


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64", "float32", "float64"])
def test_a_stated_white_takes_numbers_of_every_kind(dtype):
    array = np.arange(64).reshape(4, 4, 4).astype(dtype)
    before = array.copy()
    pixels, found = to_pixels(torch.from_numpy(array), white=63)
    assert pixels.dtype == torch.float32 and (found.low, found.high, found.white) == (0, 63, 63)
    torch.testing.assert_close(pixels, torch.arange(64).view(4, 4, 4) / 63, rtol=0, atol=0)
    assert (array == before).all()


def test_twelve_bits_of_sixteen_as_an_array_keep_all_their_levels():
    levels = np.arange(4096, dtype="uint16").reshape(16, 16, 16)
    data = vw.load_data(levels, white=4095)
    images = torch.cat([data.train.images, data.test.images])
    assert len(images.unique()) == 4096 and images.max() == 1


@pytest.mark.parametrize("low, high", [(0, 17), (-1, 16), (0, np.inf), (0, np.nan)])
def test_numbers_beyond_the_stated_white_are_refused(low, high):
    with pytest.raises(ValueError, match="white=16 allows pixels from 0 to 16; got some from"):
        vw.load_data(stack(high, "float64", low), white=16)


@pytest.mark.parametrize("white", [0, -1, float("nan"), float("inf"), True, "255", [255]])
def test_a_white_that_is_no_number_above_zero_is_refused(tmp_path, white):
    for source in (stack(1, "uint8"), tmp_path, "digits"):
        with pytest.raises(ValueError, match="white is the number that stands for white, above 0; got"):
            vw.load_data(source, white=white)


def test_a_named_dataset_knows_its_white():
    with pytest.raises(ValueError, match="white goes with images of your own; 'digits' knows"):
        vw.load_data("digits", white=16)


def test_of_an_npz_white_is_doubted_and_stated_too(tmp_path):
    np.savez(tmp_path / "masks.npz", images=stack(1, "uint8"))
    np.savez(tmp_path / "deep.npz", images=stack(4095, "uint16"))
    with pytest.warns(UserWarning, match="brightest pixel is 1 where white is 255"):
        vw.load_data(tmp_path / "masks.npz")
    with pytest.raises(ValueError, match=r"deep\.npz' cannot be used: .*such as white=4095"):
        vw.load_data(tmp_path / "deep.npz")
    for name, white in (("masks", 1), ("deep", 4095)):
        assert brightest(vw.load_data(tmp_path / f"{name}.npz", white=white)) == 1


def test_a_range_says_itself_in_words():
    assert str(Range("bytes", 255, 0, 16)) == "bytes from 0 to 16; white is 255 (assumed)"
    one = Range("12-bit levels", 4095, 3, 4000, "val", True)
    assert str(one) == "12-bit levels from 3 to 4000 (val); white is 4095 (stated)"
