"""The strip: every picture and number on it worked out apart from it."""

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8

from .conftest import check_not_settable, check_refused, from_page
from .test_explorer import shown


@pytest.mark.parametrize("kind", [vw.VAE, vw.Autoencoder])
def test_the_strip_shows_image_numbers_and_reconstruction(wire, images, kind):
    model = kind(2, (1, 6, 5), hidden=(8,), seed=0)
    panel = vw.Bottleneck(model, images)
    from_page(panel.slider, value=11)
    x = images.images[11]
    with torch.no_grad():
        y = model(x[None])[0]
    assert panel.row == 11
    np.testing.assert_array_equal(shown(panel.image), to_uint8(x))
    np.testing.assert_array_equal(shown(panel.reconstruction), to_uint8(y))
    np.testing.assert_array_equal(shown(panel.pixels_in)[0], to_uint8(x).ravel())
    np.testing.assert_array_equal(shown(panel.pixels_out)[-1], to_uint8(y).ravel())
    assert panel.error == pytest.approx(np.mean((x.numpy() - y.numpy()) ** 2), rel=1e-5)
    assert panel.ratio == 15
    assert f"{panel.error:.4f}" in panel.result.value and "15 to 1" in panel.result.value
    assert repr(panel) == "Bottleneck(row=11, 30 -> 2 -> 30)"


def test_colour_images(images):
    panel = vw.Bottleneck(vw.Autoencoder(3, (3, 4, 5), hidden=(8,), seed=0), torch.rand(4, 3, 4, 5))
    panel.row = 3
    assert shown(panel.image).shape == (4, 5, 3)
    assert panel.ratio == 20


def test_bad_use_is_refused_where_it_is_made(wire, model, images):
    panel = vw.Bottleneck(model, images)
    check_not_settable(panel, *(("row", row, ValueError, "from 0 to 39") for row in (-1, 40)))
    assert panel.row == 0
    check_refused(
        vw.Bottleneck,
        ((model, images), dict(row=-1), ValueError, "from 0 to 39"),
        ((model, images), dict(row=40), ValueError, "from 0 to 39"),
        ((object(), images), {}, TypeError, "encode and decode"),
        ((model, torch.rand(3, 1, 5, 5)), {}, ValueError, r"\(N, 1, 6, 5\)"),
        ((model, images), dict(image=3), TypeError, "'images'"),
    )
