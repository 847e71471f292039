"""Colour images that are not square: the explorer in JupyterLab and its exported page, against torch."""

import ast

import numpy as np
import pytest
import torch

import vaewidgets as vw

from .harness import expect
from .test_page import assert_shows, decoded, launch, rounded  # noqa: F401 (launch is a fixture)

SETUP = """
import torch, vaewidgets as vw
torch.manual_seed(0)
classes = ("lime disc", "red <b>square</b>", "blue")
images = vw.Images(torch.rand(30, 3, 12, 10), torch.arange(30) % 3, classes)
model = vw.VAE(2, (3, 12, 10), trunk="conv", hidden=(8,), seed=0)
with torch.no_grad():
    for weight in model.decoder.parameters():
        weight *= 4
explorer = vw.LatentExplorer(model, images)
explorer.select(4)
"""
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.height, canvas.width, ...data.filter((_, i) => i % 4 < 3)];
}"""


def shown(canvas) -> np.ndarray:
    """What a canvas shows, (H, W, 3)."""
    height, width, *values = canvas.evaluate(PIXELS)
    return np.array(values).reshape(height, width, 3)


def in_kernel(notebook, expression) -> np.ndarray:
    return np.array(ast.literal_eval(notebook.evaluate(f"({expression}).tolist()")))


def test_explorer_and_page_show_what_torch_decodes_in_colour(lab, open_notebook, launch):  # noqa: F811
    notebook = open_notebook(lab.write("colour.ipynb", [SETUP, "explorer"]))
    notebook.run_all()
    panel = notebook.page.locator(".vw-panel")
    notebook.show(panel)
    picture, grid = panel.locator("canvas[role=img]").first, panel.locator("canvas[data-vw-tiles]")
    expect(grid).to_have_attribute("aria-busy", "false")
    expected = in_kernel(notebook, "explorer.image")
    assert len(np.unique(expected.reshape(-1, 3), axis=0)) > 50  # a picture in earnest, and in colours
    assert np.abs(shown(picture) - expected).max() <= 1
    box = picture.bounding_box()
    assert box["height"] == pytest.approx(1.2 * box["width"], abs=2)

    # The kernel's own decoding of the page's tiles: top left, and the middle of the right edge.
    tiles = shown(grid)
    n = tiles.shape[0] // 12
    for row, column in ((0, 0), (n // 2, n - 1)):
        place = [(column + 0.5) / n, (row + 0.5) / n]
        tile = in_kernel(
            notebook,
            f"vw.images.to_uint8(explorer._decode(explorer.grid.to_plane([{place}]))[0])",
        )
        seen = tiles[12 * row : 12 * (row + 1), 10 * column : 10 * (column + 1)]
        assert np.abs(seen - tile).max() <= 1
    original = in_kernel(notebook, "vw.images.to_uint8(images.images[4])")
    assert np.abs(shown(panel.get_by_label("the chosen image", exact=True)) - original).max() == 0
    expect(panel).to_contain_text("labelled red <b>square</b>")

    before = picture.get_attribute("data-vw-frame")
    notebook.press(panel.locator(".noUi-handle").first, "ArrowRight", times=5)
    expect(picture).not_to_have_attribute("data-vw-frame", before)
    notebook.until("explorer.z[0] != explorer.mu[4][0]")
    notebook.wait_idle()
    assert np.abs(shown(picture) - in_kernel(notebook, "explorer.image")).max() <= 1

    notebook.evaluate("explorer.to_html('colour.html', title='Colours')")
    notebook.evaluate("vw.save(model, 'colour.safetensors')")
    assert notebook.console_errors == []

    model = rounded(vw.load(lab.root / "colour.safetensors"))
    page = launch(lab.root / "colour.html")
    for z in torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).tolist():
        page.go(*z)
        assert_shows(page, "picture", decoded(model, *z))
    page.wait_for_grid()
    expect(page["legend"]).to_contain_text("red <b>square</b>")
    expect(page["draw"]).to_be_hidden()
