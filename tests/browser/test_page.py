"""The explorer as one file: opened from disk in a real Chromium with the network off, against torch.

The page's policy forbids eval, and with it Playwright's ``wait_for_function``: these tests wait on elements.
"""

import math
import re

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.widgets._map.figure import PALETTE
from vaewidgets.widgets._map.manifold_grid import ManifoldGrid
from vaewidgets.widgets.explorer.html_page import to_html, write_page

from .harness import expect

# From a copy: a canvas that is read often is moved out of the page's fast lane, with a warning.
PIXELS = """
canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    return Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data);
}
"""
SETTLE = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
#: Greatest distance from a colour, over its three channels, that still counts as that colour.
NEAR = 12


class Explorer:
    """A page opened from disk."""

    def __init__(self, page, path) -> None:
        self.page, self.requests, self.complaints = page, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(path.as_uri())

    def __getitem__(self, name: str):
        return self.page.locator(f"#{name}")

    @property
    def z(self) -> list[float]:
        return self.page.evaluate("vaewidgets.z")

    def go(self, *z: float) -> None:
        self.page.evaluate("z => vaewidgets.go(z)", list(z))

    def pixels(self, name: str) -> np.ndarray:
        """What a canvas shows, (H, W, 3)."""
        width, height = self[name].evaluate("canvas => [canvas.width, canvas.height]")
        return np.array(self[name].evaluate(PIXELS), np.uint8).reshape(height, width, 4)[..., :3]

    def frames(self, name: str = "picture") -> int:
        return int(self[name].get_attribute("data-vw-frame"))

    def wait_for_grid(self) -> None:
        expect(self["grid"]).to_have_attribute("aria-busy", "false")

    def on_map(self, u: float, v: float) -> tuple[float, float]:
        """Where a point of the plane is on the screen."""
        x, y = self.page.evaluate("([u, v]) => vaewidgets.mapPixel(u, v)", [u, v])
        self["map"].scroll_into_view_if_needed()
        box = self["map"].bounding_box()
        return box["x"] + x, box["y"] + y

    def count_colour(self, colour: str) -> int:
        """Count the map's pixels of a colour, however transparent."""
        self.page.evaluate(SETTLE)
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        return int((np.abs(self.pixels("map").astype(int) - wanted).max(-1) <= NEAR).sum())


def rounded(model):
    """The model as the page has it: weights in half precision."""
    return model.half().float().requires_grad_(False)


@torch.no_grad()
def decoded(model, *z: float) -> np.ndarray:
    """The bytes that torch shows for z, (H, W, 3)."""
    image = to_uint8(model.decode(torch.tensor([z], dtype=torch.float32))[0])
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def assert_shows(explorer, name, expected) -> None:
    seen = explorer.pixels(name).astype(int)
    assert seen.shape == expected.shape
    assert np.abs(seen - expected).max() <= 1


@pytest.fixture
def launch(launch_browser):
    """A function ``launch(path, **context)``; afterwards: no complaint, nothing asked of the network."""
    opened = []

    def launch_(path, **options) -> Explorer:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        context = launch_browser().new_context(offline=True, **options)
        opened.append((context, Explorer(context.new_page(), path)))
        return opened[-1][1]

    yield launch_
    for context, explorer in opened:
        context.close()
        assert explorer.complaints == []
        assert [url for url in explorer.requests if not url.startswith(("file:", "blob:", "data:"))] == []


@pytest.fixture(scope="module")
def digits_page(tmp_path_factory):
    return to_html(vw.pretrained("digits-vae-2d"), tmp_path_factory.mktemp("page") / "digits.html")


@pytest.fixture
def model():
    return rounded(vw.pretrained("digits-vae-2d"))


@pytest.fixture
def explorer(launch, digits_page) -> Explorer:
    return launch(digits_page)


def lonely(model) -> int:
    """The row whose nearest neighbour on the map is farthest."""
    mu = model.atlas.mu
    return int((torch.cdist(mu, mu) + 1e9 * torch.eye(len(mu))).min(1).values.argmax())


def test_the_mnist_page_shows_what_torch_decodes(launch, tmp_path):
    explorer = launch(to_html(vw.pretrained("mnist-vae-2d"), tmp_path / "mnist.html"))
    model = rounded(vw.pretrained("mnist-vae-2d"))
    assert_shows(explorer, "picture", decoded(model, 0, 0))
    for z in torch.randn(20, 2, generator=torch.Generator().manual_seed(0)).mul(2).tolist():
        explorer.go(*z)
        assert_shows(explorer, "picture", decoded(model, *z))
    assert explorer["picture"].bounding_box()["width"] >= 250
    assert explorer["picture"].evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"
    expect(explorer["map-title"]).to_have_text("The map: mu of 10,000 encoded images")
    explorer.wait_for_grid()
    expect(explorer["grid"]).to_have_attribute("data-vw-tiles", "900")


@torch.no_grad()
def test_the_encoder_is_in_the_page(explorer, model, digits):
    x = digits.test.images[0]
    seen = explorer.page.evaluate(
        "x => { const q = vaewidgets.encode(x); return [Array.from(q.mu), Array.from(q.logvar)]; }",
        x.flatten().tolist(),
    )
    q = model.encode(x[None])
    torch.testing.assert_close(torch.tensor(seen), torch.cat([q.mu, q.logvar]), rtol=1e-4, atol=1e-4)


def test_the_network_and_eval_are_forbidden(launch_browser, digits_page):
    page = launch_browser().new_page()
    page.goto(digits_page.as_uri())
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    broken = page.evaluate(
        """() => new Promise(resolve => {
            const seen = [];
            document.addEventListener('securitypolicyviolation', event => {
                seen.push(event.effectiveDirective);
                if (seen.length === 4) resolve(seen.sort());
            });
            fetch('http://127.0.0.1:9/').catch(() => {});
            new Image().src = 'http://127.0.0.1:9/x.png';
            const script = document.createElement('script');
            script.textContent = 'window.broken = 1';
            document.body.append(script);
            setTimeout(() => { try { eval('window.broken = 1'); } catch {} });
        })"""
    )
    assert broken == ["connect-src", "img-src", "script-src", "script-src-elem"]
    assert page.evaluate("window.broken") is None
    page.close()


def test_a_damaged_file_says_so(launch_browser, digits_page, tmp_path):
    damaged = tmp_path / "damaged.html"
    weights = '<script type="text/plain" id="weights">'
    damaged.write_text(re.sub(f"{weights}.{{8}}", weights, digits_page.read_text("utf-8")), "utf-8")
    page = launch_browser().new_page()
    page.goto(damaged.as_uri())
    expect(page.get_by_role("alert")).to_contain_text(
        re.compile(r"The description is of \d+ weights; \d+ came")
    )
    page.close()


# -- sliders ------------------------------------------------------------------------------------------


def test_a_slider_under_the_keyboard(explorer, model):
    slider = explorer.page.get_by_role("slider", name="z1")
    slider.focus()
    for _ in range(30):
        slider.press("ArrowRight")
    assert explorer.z == pytest.approx([0.3, 0])
    assert explorer.frames() == 31
    assert_shows(explorer, "picture", decoded(model, 0.3, 0))
    expect(explorer["state"]).to_have_text(
        "z = (0.30, 0.00), 0.30 from the origin; 4.4 % of the prior lies nearer."
    )
    expect(explorer["picture"]).to_have_attribute("aria-label", "decoded picture of z = (0.30, 0.00)")


def test_a_slider_under_the_mouse(explorer, model):
    slider = explorer.page.get_by_role("slider", name="z2")
    box = slider.bounding_box()
    y = box["y"] + box["height"] / 2
    explorer.page.mouse.move(box["x"] + box["width"] / 2, y)
    explorer.page.mouse.down()
    explorer.page.mouse.move(box["x"] + 0.9 * box["width"], y, steps=8)
    explorer.page.mouse.up()
    assert explorer.frames() >= 8
    assert explorer.z[1] == pytest.approx(float(slider.input_value())) and 2.2 < explorer.z[1] < 3.4
    assert_shows(explorer, "picture", decoded(model, *explorer.z))


TYPED = (("spinbutton", "z1 as a number"), ("slider", "z1"))


def test_a_number_is_typed(explorer, model):
    box = explorer.page.get_by_role("spinbutton", name="z1 as a number")
    box.fill("-1.2345")
    assert explorer.z == [-1.2345, 0]
    assert_shows(explorer, "picture", decoded(model, -1.2345, 0))
    box.fill("")
    assert explorer.z == [-1.2345, 0]
    box.press_sequentially("-0.5")
    assert explorer.z == [-0.5, 0]


def test_what_is_typed_beyond_the_sliders_is_kept_and_said(explorer, model):
    box, slider = (explorer.page.get_by_role(role, name=name) for role, name in TYPED)
    box.fill("99")
    box.press("Tab")
    assert explorer.z == [99, 0]
    expect(box).to_have_value("99")
    assert_shows(explorer, "picture", decoded(model, 99, 0))
    expect(slider).to_have_value("3.5")
    expect(slider).to_have_attribute("aria-valuetext", "99.00")
    expect(explorer["slider-note"]).to_have_text("z1 lies beyond the end of its slider.")
    expect(explorer["map-note"]).to_have_text("z lies outside this view: its ring is at the edge.")
    expect(explorer["grid-edge"]).to_have_text("z lies outside this picture: its ring is at the edge.")
    for name in ("map", "grid"):
        expect(explorer[f"{name}-ring"]).to_have_class(re.compile("beyond"))
    explorer.page.get_by_role("spinbutton", name="z2 as a number").fill("-7")
    expect(explorer["slider-note"]).to_have_text("z1, z2 lie beyond the ends of their sliders.")
    # One that moves leaves the other as it is.
    explorer.page.get_by_role("slider", name="z2").press("ArrowRight")
    assert explorer.z == pytest.approx([99, -3.49])
    slider.press("ArrowLeft")
    for note in ("slider-note", "map-note", "grid-edge"):
        expect(explorer[note]).to_have_text("")
    assert explorer.z == pytest.approx([3.49, -3.49])


@pytest.mark.parametrize("typed", ["", "-", "1e400", "e", "5-3"])
def test_what_is_no_number_is_refused_with_a_word(explorer, typed):
    box, _ = (explorer.page.get_by_role(role, name=name) for role, name in TYPED)
    box.fill("-1.25")
    box.press("ControlOrMeta+a")
    box.press("Delete")
    box.press_sequentially(typed)
    box.press("Tab")
    assert explorer.z[1] == 0 and math.isfinite(explorer.z[0])
    expect(box).to_have_value(f"{explorer.z[0]:g}")
    expect(explorer["slider-note"]).to_have_text(f"What was typed is no number: z1 stays {explorer.z[0]:g}.")
    box.fill("0.5")
    expect(explorer["slider-note"]).to_have_text("")


def test_a_number_so_large_that_the_decoder_overflows_is_said_to_be_no_picture(explorer):
    box, _ = (explorer.page.get_by_role(role, name=name) for role, name in TYPED)
    box.fill("1e308")
    box.press("Tab")
    assert explorer.z == [1e308, 0]
    expect(explorer["slider-note"]).to_have_text("z1 lies beyond the end of its slider.")
    expect(explorer.page.get_by_role("alert")).to_be_hidden()
    box.fill("0")
    assert explorer.z == [0, 0]


def test_map_and_grid_say_where_they_end(explorer):
    for _ in range(40):
        explorer["zoom-in"].click()
    expect(explorer["map-note"]).to_have_text("The map zooms no closer than this.")
    explorer["reset"].click()
    for _ in range(12):
        explorer["zoom-out"].click()
    expect(explorer["map-note"]).to_have_text("The map zooms no farther out than this.")
    explorer.page.evaluate("vaewidgets.go([3.5, -3.5])")
    explorer["grid"].press("ArrowRight")
    expect(explorer["grid-edge"]).to_have_text("The picture ends here.")
    explorer["grid"].press("ArrowDown")
    expect(explorer["grid-edge"]).to_have_text("The picture ends here.")
    explorer["grid"].press("ArrowUp")
    expect(explorer["grid-edge"]).to_have_text("")
    assert explorer.z[0] == 3.5 and explorer.z[1] > -3.5


# -- the map ------------------------------------------------------------------------------------------


def test_drag_on_the_map(explorer, model):
    explorer.page.mouse.move(*explorer.on_map(1.5, -1))
    explorer.page.mouse.down()
    assert explorer.z == pytest.approx([1.5, -1], abs=0.02)
    explorer.page.mouse.move(*explorer.on_map(-1, 0.5), steps=10)
    assert explorer.z == pytest.approx([-1, 0.5], abs=0.02)
    assert explorer.frames() >= 11
    assert_shows(explorer, "picture", decoded(model, *explorer.z))
    # Out of the map the cursor stays at its edge.
    explorer.page.mouse.move(5, 5)
    explorer.page.mouse.up()
    assert (
        explorer.z == pytest.approx([-5, 5], abs=1.5)
        and explorer.page.evaluate("vaewidgets.selected") is None
    )
    explorer.page.mouse.move(*explorer.on_map(0, 0))
    assert explorer.z != pytest.approx([0, 0], abs=0.1)


def test_the_cursor_lies_where_z_is(explorer):
    for z in [(0, 0), (2, -1.5)]:
        explorer.go(*z)
        box = explorer["map-ring"].bounding_box()
        centre = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        assert centre == pytest.approx(explorer.on_map(*z), abs=0.6)


def test_a_click_chooses_the_point(explorer, model):
    row = lonely(model)
    mu, logvar = (t[row].half().double().numpy() for t in model.atlas[:2])
    x, y = explorer.on_map(*mu)
    explorer.page.mouse.click(x + 3, y - 3)
    assert explorer.z == mu.tolist()
    assert explorer.page.evaluate("vaewidgets.selected") == row
    sigma, kl = np.exp(logvar / 2), 0.5 * (mu**2 + np.expm1(logvar) - logvar).sum()
    expect(explorer["details"]).to_have_text(
        f"Image {row}, labelled {model.atlas.labels[row]}: mu = ({mu[0]:.2f}, {mu[1]:.2f}), "
        f"sigma = ({sigma[0]:.3f}, {sigma[1]:.3f}), KL = {kl:.2f} nats. "
        "This file holds no images: the picture is its reconstruction."
    )
    assert_shows(explorer, "reconstruction", decoded(model, *mu))
    assert_shows(explorer, "picture", decoded(model, *mu))


def test_the_ellipses_are_in_axis_units(explorer, model):
    row = lonely(model)
    mu, logvar = (t[row].half().double().numpy() for t in model.atlas[:2])
    explorer.page.evaluate("row => vaewidgets.select(row)", row)
    explorer["cloud"].click()
    explorer.page.evaluate(SETTLE)
    shown = explorer.pixels("map").astype(int)
    for angle in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        for k in (1, 2, 1.5):
            place = mu + k * np.exp(logvar / 2) * [np.cos(angle), np.sin(angle)]
            x, y = explorer.page.evaluate("([u, v]) => vaewidgets.mapPixel(u, v)", place.tolist())
            patch = shown[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3]
            on_line = (np.abs(patch - [0xD8, 0x1B, 0x60]).max(-1) < 40).any()
            if k != 2:  # the second is dashed
                assert on_line == (k == 1), (k, angle)


def test_a_click_beside_every_point_moves_z_alone(explorer):
    explorer.page.mouse.click(*explorer.on_map(3.4, 3.4))
    assert explorer.z == pytest.approx([3.4, 3.4], abs=0.03)
    assert explorer.page.evaluate("vaewidgets.selected") is None


def test_zoom_and_reset(explorer):
    before = explorer.on_map(1, 1), explorer.on_map(0, 0)
    explorer.page.mouse.move(*before[0])
    for _ in range(5):
        explorer.page.mouse.wheel(0, -120)
    # The place under the pointer stays, all else moves away from it.
    explorer.page.evaluate(SETTLE)
    # A wheel says where it is in whole pixels, and what is lost of them grows with the zoom.
    assert explorer.on_map(1, 1) == pytest.approx(before[0], abs=4)
    assert np.hypot(*np.subtract(explorer.on_map(0, 0), before[0])) > 2 * np.hypot(*np.subtract(*before))
    explorer.page.mouse.click(*explorer.on_map(1.1, 0.9))
    if explorer.page.evaluate("vaewidgets.selected") is None:
        assert explorer.z == pytest.approx([1.1, 0.9], abs=0.01)
    explorer["reset"].click()
    assert explorer.on_map(0, 0) == pytest.approx(before[1])
    explorer["zoom-in"].click()
    explorer["zoom-out"].click()
    assert explorer.on_map(0, 0) == pytest.approx(before[1], abs=0.01)


def test_the_map_under_the_keyboard(explorer, model):
    explorer["map"].focus()
    explorer["map"].press("ArrowRight")
    one = explorer.z[0]
    assert 0.01 < one < 0.1
    explorer["map"].press("Shift+ArrowUp")
    assert explorer.z == pytest.approx([one, 10 * one])
    explorer["map"].press("Enter")
    mu = model.atlas.mu.half().double()
    nearest = int((mu - torch.tensor([one, 10 * one])).norm(dim=1).argmin())
    assert explorer.page.evaluate("vaewidgets.selected") == nearest
    before = explorer.on_map(1, 1)
    explorer["map"].press("+")
    assert explorer.on_map(1, 1) != pytest.approx(before, abs=1)
    explorer["map"].press("0")
    assert explorer.on_map(1, 1) == pytest.approx(before)


def test_the_legend_hides_a_class(explorer):
    key = explorer.page.get_by_role("group", name="classes").get_by_role("button", name="1", exact=True)
    assert explorer.count_colour(PALETTE[1]) > 100
    key.click()
    expect(key).to_have_attribute("aria-pressed", "false")
    assert explorer.count_colour(PALETTE[1]) == 0
    key.press("Space")
    expect(key).to_have_attribute("aria-pressed", "true")
    assert explorer.count_colour(PALETTE[1]) > 100


@pytest.mark.parametrize("width", [1280, 400])
def test_fingers(launch, digits_page, model, width):
    viewport = {"width": width, "height": 900}
    explorer = launch(digits_page, viewport=viewport, has_touch=True, is_mobile=width == 400)
    assert explorer.page.evaluate("document.documentElement.scrollWidth") <= width
    touch = explorer.page.context.new_cdp_session(explorer.page)

    def send(kind, *place):
        points = [{"x": place[0], "y": place[1]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", *explorer.on_map(1, 1))
    for k in range(6):
        send("touchMove", *explorer.on_map(1 - k / 3, 1))
    send("touchEnd")
    assert explorer.z == pytest.approx([1 - 5 / 3, 1], abs=0.05)
    row = lonely(model)
    explorer.page.touchscreen.tap(*explorer.on_map(*model.atlas.mu[row].tolist()))
    assert explorer.page.evaluate("vaewidgets.selected") == row
    if width == 400:
        # Under the finger the picture stays in sight.
        explorer["grid"].scroll_into_view_if_needed()
        assert explorer["picture"].bounding_box()["y"] >= 0


# -- the grid -----------------------------------------------------------------------------------------


def check_tiles(explorer, model, grid, lift=lambda point: point) -> None:
    explorer.wait_for_grid()
    expect(explorer["grid"]).to_have_attribute("data-vw-tiles", str(grid.tiles**2))
    shown, size = explorer.pixels("grid").astype(int), model.image_shape[1]
    for row, column in [(0, 0), (3, 25), (13, 7), (16, 16), (29, 29), (28, 1), (1, 1)]:
        place = (np.array([column, row]) + 0.5) / grid.tiles
        expected = decoded(model, *lift(grid.to_plane(place).tolist()))
        tile = shown[row * size : (row + 1) * size, column * size : (column + 1) * size]
        assert np.abs(tile - expected).max() <= 1, (row, column)


def test_every_tile_is_decoded_where_the_panel_puts_it(explorer, model):
    grid = ManifoldGrid(None, (8, 8), True)
    assert grid.tiles == 30
    check_tiles(explorer, model, grid)
    expect(explorer["grid-note"]).to_have_text(re.compile("each 1/900 of the prior's mass"))
    explorer.page.get_by_label("even steps").check()
    grid.spacing.index = 1
    check_tiles(explorer, model, grid)
    expect(explorer["grid-note"]).to_have_text(
        "30 x 30 tiles in even steps over ±3.5: 99.9 % of the prior's mass."
    )


def test_drag_and_arrows_on_the_grid(explorer, model):
    grid = ManifoldGrid(None, (8, 8), True)
    box = explorer["grid"].bounding_box()

    def at(u, v):
        return box["x"] + u * box["width"], box["y"] + v * box["height"]

    explorer.page.mouse.move(*at(0.5, 0.5))
    explorer.page.mouse.down()
    explorer.page.mouse.move(*at(0.8, 0.3), steps=5)
    explorer.page.mouse.up()
    assert explorer.z == pytest.approx(grid.to_plane((0.8, 0.3)).tolist(), abs=0.02)
    assert_shows(explorer, "picture", decoded(model, *explorer.z))
    ring = explorer["grid-ring"].bounding_box()
    assert (ring["x"] + 9, ring["y"] + 9) == pytest.approx(at(*grid.to_place(explorer.z)), abs=1)
    u, v = grid.to_place(explorer.z)
    explorer["grid"].press("ArrowLeft")
    explorer["grid"].press("Shift+ArrowDown")
    assert explorer.z == pytest.approx(grid.to_plane((u - 1 / 30, v + 5 / 30)).tolist(), abs=1e-6)


def test_more_dimensions(launch, tmp_path):
    model = vw.VAE(4, (3, 6, 5), hidden=(16,), seed=0)
    with torch.no_grad():
        model.decoder[0].weight *= 4
    mu = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    explorer = launch(write_page(tmp_path / "p.html", model=model, mu=mu, z=[0.1, 0.2, 0.3, 0.4]))
    model, grid = rounded(model), ManifoldGrid(None, (6, 5), True)
    assert_shows(explorer, "picture", decoded(model, 0.1, 0.2, 0.3, 0.4))
    explorer["up"].select_option("z4")
    explorer["across"].select_option("z4")
    assert (explorer["across"].input_value(), explorer["up"].input_value()) == ("3", "0")
    slider = explorer.page.get_by_role("slider", name="z2")
    slider.focus()
    for _ in range(40):  # each supersedes the grid before it
        slider.press("ArrowLeft")
    _, z2, z3, _ = explorer.z
    assert (z2, z3) == pytest.approx((-0.2, 0.3))
    explorer.wait_for_grid()
    shown = explorer.pixels("grid").astype(int)
    for row, column in [(0, 0), (13, 7), (29, 29)]:
        z4, z1 = grid.to_plane((np.array([column, row]) + 0.5) / 30).tolist()
        tile = shown[row * 6 : (row + 1) * 6, column * 5 : (column + 1) * 5]
        assert np.abs(tile - decoded(model, z1, z2, z3, z4)).max() <= 1
    explorer.page.mouse.click(*explorer.on_map(-2.5, 3))
    assert explorer.z == pytest.approx([3, z2, z3, -2.5], abs=0.03)


def test_one_dimension(launch, tmp_path):
    model = vw.VAE(1, (1, 6, 5), hidden=(16,), seed=0)
    explorer = launch(write_page(tmp_path / "p.html", model=model, mu=torch.randn(9, 1)))
    explorer.page.mouse.click(*explorer.on_map(-2.5, 0.8))
    explorer["map"].press("ArrowUp")
    assert explorer.z == pytest.approx([-2.5], abs=0.03)
    explorer.wait_for_grid()
    assert_shows(explorer, "picture", decoded(rounded(model), *explorer.z))


def test_an_autoencoder(launch, tmp_path):
    explorer = launch(to_html(vw.pretrained("digits-ae-2d"), tmp_path / "p.html"))
    expect(explorer["map-title"]).to_have_text("The map: the code z of 360 encoded images")
    expect(explorer["spacing"]).to_be_hidden()
    expect(explorer["grid-note"]).to_contain_text("An autoencoder has no prior")
    expect(explorer["state"]).to_have_text(re.compile(r"^z = \([-.\d]+, [-.\d]+\)$"))
    explorer.page.evaluate("vaewidgets.select(3)")
    expect(explorer["details"]).to_contain_text("z = (")
    assert "sigma" not in explorer["details"].inner_text()
    expect(explorer["cloud"]).to_be_hidden()
    explorer.wait_for_grid()


def test_a_point_beyond_a_slider_widens_it(launch, tmp_path):
    model = vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0)
    explorer = launch(write_page(tmp_path / "p.html", model=model, mu=torch.tensor([[5.25, -0.5]])))
    explorer.page.evaluate("vaewidgets.select(0)")
    assert explorer.z == [5.25, -0.5]
    expect(explorer.page.get_by_role("slider", name="z1")).to_have_value("5.25")


# -- drawing ------------------------------------------------------------------------------------------


def assert_drawing(explorer, model) -> None:
    """Hold what the section shows against torch, on the image that it drew."""
    image = explorer.page.evaluate("Array.from(vaewidgets.drawing.image)")
    x = torch.tensor(image).reshape(1, *model.image_shape)
    q = model.encode(x)
    mu, sigma, kl = q.mu[0].double().numpy(), q.sigma[0].double().numpy(), q.kl().sum().item()
    section = explorer["draw"]
    shown = re.search(
        r"mu = \((.*), (.*)\), sigma = \((.*), (.*)\)\nKL = (.*) nats \((.*) bits\)\n.*"
        r"image (\d+), labelled (\d)\. Its 10 nearest neighbours say: (\d) \((\d+) of 10\)",
        section.locator(".vw-state").inner_text(),
    ).groups()
    # Half of the last digit, and what float32 in another order may add.
    assert [float(v) for v in shown[:2]] == pytest.approx(mu, abs=0.0051)
    assert [float(v) for v in shown[2:4]] == pytest.approx(sigma, abs=0.00051)
    assert [float(v) for v in shown[4:6]] == pytest.approx([kl, kl / np.log(2)], abs=0.0051)
    order = (model.atlas.mu.half().double() - q.mu.double()).norm(dim=1).argsort()[:10]
    votes = torch.bincount(model.atlas.labels[order])
    expected = order[0], model.atlas.labels[order[0]], votes.argmax(), votes.max()
    assert [int(v) for v in shown[6:]] == [v.item() for v in expected]
    for k, expected in ((0, x[0]), (1, model.decode(q.mu)[0])):
        canvas = section.locator("figure canvas").nth(k)
        seen = np.array(canvas.evaluate(PIXELS)).reshape(*model.image_shape[1:], 4)[..., 0]
        assert np.abs(seen.astype(int) - to_uint8(expected)).max() <= 1
    u, v = explorer.on_map(*mu)
    for k in (1, 2):
        box = explorer["map"].locator(f"xpath=..//div[contains(@class, 'vw-drawn-{k}')]").bounding_box()
        right, above = explorer.on_map(*(mu + k * sigma))
        assert [box["width"] - 2, box["height"] - 2] == pytest.approx(
            [2 * (right - u), 2 * (v - above)], abs=1
        )
        assert [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2] == pytest.approx([u, v], abs=1)


def test_a_digit_is_drawn_with_the_mouse_and_with_keys(explorer, model):
    section, pad = explorer["draw"], explorer["draw"].locator(".vw-pad-ink")
    expect(section.locator(".vw-state")).to_have_text("Nothing is drawn: no image, so nothing to encode.")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    explorer.page.mouse.move(box["x"] + 60, box["y"] + 40)
    explorer.page.mouse.down()
    for x, y in ((150, 45), (80, 120), (150, 130), (90, 190)):
        explorer.page.mouse.move(box["x"] + x, box["y"] + y, steps=5)
    explorer.page.evaluate(SETTLE)
    expect(section.locator(".vw-state")).to_contain_text("KL = ")
    assert explorer.page.evaluate("vaewidgets.drawing.image") is None, "the stroke goes on"
    explorer.page.mouse.up()
    assert_drawing(explorer, model)
    section.get_by_role("button", name="zoom the map to the drawing").click()
    assert_drawing(explorer, model)
    section.get_by_role("button", name="take z there").click()
    mu = explorer.page.evaluate("Array.from(vaewidgets.drawing.reading.mu)")
    assert explorer.z == mu
    pad.focus()
    for key in ("Escape", "Shift+ArrowUp", "Space", *["Shift+ArrowDown"] * 3, "Space"):
        explorer.page.keyboard.press(key)
    assert_drawing(explorer, model)
    explorer.page.keyboard.press("Backspace")
    expect(section.locator(".vw-state")).to_contain_text("Nothing is drawn")
    expect(explorer.page.locator(".vw-drawn-dot")).to_be_hidden()


def test_a_finger_draws_on_a_phone(launch, digits_page, model):
    explorer = launch(digits_page, viewport={"width": 400, "height": 900}, has_touch=True, is_mobile=True)
    pad = explorer["draw"].locator(".vw-pad-ink")
    pad.scroll_into_view_if_needed()
    scroll, box = explorer.page.evaluate("scrollY"), pad.bounding_box()
    touch = explorer.page.context.new_cdp_session(explorer.page)
    for kind, *place in (("Start", 110, 20), ("Move", 112, 120), ("Move", 108, 200), ("End",)):
        points = [{"x": box["x"] + place[0], "y": box["y"] + place[1]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})
    assert explorer.page.evaluate("scrollY") == scroll, "the pad keeps the finger"
    assert_drawing(explorer, model)


@pytest.mark.parametrize("shape", [(1, 6, 5), (3, 6, 5)])
def test_the_pad_is_there_where_the_page_can_encode_what_is_drawn(launch, tmp_path, shape):
    class Own(vw.VAE):
        def encode(self, x):
            return super().encode(x)

    for kind in (vw.VAE, Own):
        model = kind(3, shape, hidden=(8,), seed=0)
        explorer = launch(write_page(tmp_path / f"{kind.__name__}.html", model=model))
        section = explorer["draw"]
        if kind is vw.VAE and shape[0] == 1:
            section.locator(".vw-pad-ink").click()
            expect(section.locator(".vw-state")).to_contain_text("KL = ")
            assert "neighbours" not in section.locator(".vw-state").inner_text()
        else:
            expect(section).to_be_hidden()


# -- text ---------------------------------------------------------------------------------------------


def test_markup_from_outside_is_shown_as_text(launch, tmp_path):
    names = ("</script><script>window.broken = 1</script>", '<img src=x onerror="window.broken = 1">')
    model = vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0)
    explorer = launch(
        write_page(
            tmp_path / "p.html", model=model, mu=torch.randn(8, 2), labels=torch.tensor([0, 1] * 4),
            classes=names, title="</title><b>& <!--",
        )
    )  # fmt: skip
    assert explorer["legend"].get_by_role("button").all_inner_texts() == list(names)
    explorer.page.evaluate("vaewidgets.select(1)")
    expect(explorer["details"]).to_contain_text(f"labelled {names[1]}: mu")
    assert explorer.page.title() == "</title><b>& <!--" == explorer.page.locator("h1").inner_text()
    assert explorer.page.evaluate("[window.broken, document.querySelectorAll('img, b').length]") == [None, 0]


CONTRASTS = """
() => {
    const rgb = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
    const behind = element => {
        for (let e = element; e; e = e.parentElement) {
            const colour = rgb(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
    const seen = {};
    for (const e of document.body.querySelectorAll('h1, h2, p, label, button, select, input[type=number]')) {
        if (!e.checkVisibility()) continue;
        seen[e.id || e.textContent || e.type] = ratio(rgb(getComputedStyle(e).color), behind(e));
    }
    const probe = document.createElement('p');
    document.body.append(probe);
    for (const name of ['ink', 'quiet']) {  // what the map writes with
        probe.style.color = `var(--vw-${name})`;
        seen[name] = ratio(rgb(getComputedStyle(probe).color), behind(document.body));
    }
    probe.style.color = 'var(--vw-accent)';
    return [seen, ratio(rgb(getComputedStyle(probe).color), behind(document.body)), behind(document.body)];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_written_is_readable(launch, digits_page, scheme):
    explorer = launch(digits_page, color_scheme=scheme)
    explorer.page.evaluate("vaewidgets.select(1)")
    explorer["legend"].get_by_role("button").first.click()
    written, accent, paper = explorer.page.evaluate(CONTRASTS)
    assert len(written) > 20
    assert {text: ratio for text, ratio in written.items() if ratio < 4.5} == {}
    assert accent >= 3
    assert (max(paper) < 60) == (scheme == "dark")
    assert np.abs(explorer.pixels("map")[2, 2].astype(int)).max() == 0, "the canvas lets the paper through"


def test_every_control_has_a_name(explorer):
    explorer.page.evaluate("vaewidgets.select(1)")
    nameless = explorer.page.evaluate(
        """() => Array.from(document.querySelectorAll('button, input, select, canvas'))
            .filter(e => !(e.ariaLabel || e.textContent.trim() || (e.labels && e.labels.length)))
            .map(e => e.outerHTML)"""
    )
    assert nameless == []
