"""From tensors to pixels and back, exactly."""

import io

import numpy as np
import pytest
import torch
from oracles import generator
from PIL import Image

from vaewidgets.data.pixels import tile, to_png, to_uint8, upscale


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_every_byte_survives_the_way_to_floats_and_back():
    levels = torch.arange(256).view(16, 16)
    assert (to_uint8(levels.float() / 255) == levels.numpy()).all()
    assert (to_uint8(levels.double() / 255) == levels.numpy()).all()


def test_values_outside_are_clamped_and_halves_rounded():
    picture = to_uint8(torch.tensor([[-3.0, -0.0, 0.5], [1.0, 1.001, 300.0]]))
    assert picture.tolist() == [[0, 0, 128], [255, 255, 255]]


@pytest.mark.parametrize("shape, expected", [((4, 5), (4, 5)), ((1, 4, 5), (4, 5)), ((3, 4, 5), (4, 5, 3))])
def test_shapes(shape, expected):
    image = torch.rand(shape, generator=generator())
    pixels = to_uint8(image)
    assert pixels.shape == expected and pixels.dtype == np.uint8
    assert (decoded(to_png(image)) == pixels).all()


def test_colours_keep_their_order():
    red = torch.zeros(3, 2, 2)
    red[0] = 1
    assert decoded(to_png(red))[1, 1].tolist() == [255, 0, 0]


def test_an_image_with_gradients_or_of_numpy_is_welcome():
    assert to_uint8(torch.ones(2, 2, requires_grad=True)).tolist() == [[255, 255]] * 2
    assert to_uint8(np.ones((2, 2))).tolist() == [[255, 255]] * 2


@pytest.mark.parametrize("columns", [1, 3, 4, 9])
def test_tiles_are_laid_row_by_row(columns):
    images = torch.rand(7, 3, 2, 5, generator=generator())
    picture = tile(images, columns)
    rows = -(-7 // columns)
    assert picture.shape == (3, rows * 2, columns * 5)
    for i in range(rows * columns):
        top, left = i // columns * 2, i % columns * 5
        expected = images[i] if i < 7 else torch.zeros(3, 2, 5)
        assert torch.equal(picture[:, top : top + 2, left : left + 5], expected)


def test_tiles_of_images_that_are_not_contiguous():
    images = torch.rand(6, 4, 5, 1, generator=generator()).permute(0, 3, 2, 1)
    assert torch.equal(tile(images, 2), tile(images.contiguous(), 2))


def test_upscaling_repeats_pixels():
    pixels = np.array([[1, 2], [3, 4]], np.uint8)
    big = upscale(pixels, 3)
    assert big.shape == (6, 6)
    assert all(big[i, j] == pixels[i // 3, j // 3] for i in range(6) for j in range(6))
    assert (decoded(to_png(torch.tensor([[0.0, 1.0]]), scale=4)) == upscale(np.array([[0, 255]]), 4)).all()


def test_a_batch_becomes_a_nearly_square_tile():
    images = torch.rand(5, 1, 4, 6, generator=generator())
    assert (decoded(to_png(images)) == to_uint8(tile(images, 3))).all()


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: to_uint8(torch.zeros(2, 4, 4)), ValueError, r"got \(2, 4, 4\)"),
        (lambda: to_uint8(torch.zeros(1, 1, 4, 4)), ValueError, "Tile a batch first"),
        (lambda: to_uint8(torch.full((2, 2), torch.nan)), ValueError, "NaN or infinite"),
        (lambda: to_uint8(torch.full((2, 2), torch.inf)), ValueError, "NaN or infinite"),
        (lambda: to_uint8(torch.full((2, 2), 200, dtype=torch.uint8)), TypeError, "got torch.uint8"),
        (lambda: tile(torch.zeros(4, 4), 2), ValueError, r"shape \(N, C, H, W\)"),
        (lambda: tile(torch.zeros(0, 1, 4, 4), 2), ValueError, "N >= 1"),
        (lambda: to_png(torch.zeros(0, 1, 4, 4)), ValueError, "N >= 1"),
        (lambda: tile(torch.zeros(2, 1, 4, 4), 0), ValueError, "columns must be at least 1; got 0"),
        (lambda: to_png(torch.zeros(4, 4), scale=0), ValueError, "factor must be at least 1; got 0"),
    ],
)
def test_what_is_no_image_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
