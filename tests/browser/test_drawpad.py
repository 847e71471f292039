"""Drawing in real JupyterLab with real pointers and keys: every number shown is worked out from the image."""

import ast
import re

import numpy as np
import pytest
from scipy.spatial import cKDTree

from vaewidgets.widgets._core.drawing import FRAMES

from .harness import expect, frames, import_module

SETUP = """
import torch, vaewidgets as vw
from torch.distributions import Normal, kl_divergence
model = vw.pretrained("mnist-vae-2d").requires_grad_(False)
pad = vw.DrawPad(model)
class Mine(vw.VAE):
    def encode(self, x):
        return super().encode(1 - x)
mine = vw.DrawPad(Mine(3, (1, 14, 20), hidden=(16,), seed=0))
messages = []
from vaewidgets.widgets.draw_pad.draw_pad import Pad
def count(panel, set_state=Pad.set_state):
    panel.pad.set_state = lambda state: (messages.append(sorted(state)), set_state(panel.pad, state))
for panel in (pad, mine):
    count(panel)
def exact(panel):
    x = torch.from_numpy(panel.image)[None, None]
    q = panel.model.encode(x)
    kl = kl_divergence(Normal(q.mu, q.sigma), Normal(0., 1.)).sum().item()
    return q.mu[0].tolist(), q.sigma[0].tolist(), kl, (panel.model.decode(q.mu)[0, 0] * 255).tolist()
def neighbours(panel):
    mu, _, labels = panel.model.atlas
    order = (mu.double() - torch.tensor(panel.mu).double()).square().sum(1).argsort()[:10]
    votes = torch.bincount(labels[order])
    return order[0].item(), labels[order[0]].item(), votes.argmax().item(), votes.max().item()
"""
PIXELS = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height);
    const context = copy.getContext('2d', {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
NUMBERS = re.compile(
    r"mu = \((.*?)\), sigma = \((.*?)\)\nKL = ([\d.]+) nats \(([\d.]+) bits\)"
    r"(?:\nNearest on the map: image (\d+), labelled (\d)\. "
    r"Its 10 nearest neighbours say: (\d) \((\d+) of 10\)\.)?"
)
# A three, in widths of the pad.
THREE = [(0.3, 0.25), (0.45, 0.15), (0.65, 0.25), (0.62, 0.4), (0.45, 0.48), (0.65, 0.58), (0.68, 0.75),
         (0.5, 0.87), (0.3, 0.78)]  # fmt: skip


class Hand:
    """A panel, and what can be done to its pad."""

    def __init__(self, notebook, name: str, index: int) -> None:
        self.notebook, self.page, self.name = notebook, notebook.page, name
        self.panel = notebook.page.locator(".vw-panel").nth(index)
        self.pad = notebook.show(self.panel.locator(".vw-pad-ink"))
        self.state = self.panel.locator(".vw-state")
        self.seen, self.decoded = (self.panel.locator("[data-vw=picture]").nth(i) for i in range(2))

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.pad.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["width"]

    def stroke(self, points) -> None:
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=4)
        self.page.mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def ask(self, expression: str):
        return ast.literal_eval(self.notebook.evaluate(expression).replace("\n", ""))

    def messages(self) -> int:
        """Wait until the kernel has heard all and count what it was told since the last time."""
        self.notebook.wait_idle()
        count = self.ask("len(messages)")
        self.notebook.evaluate("messages.clear()")
        return count

    def wait_image(self, drawn: bool = True) -> None:
        self.notebook.until(f"({self.name}.image is not None) == {drawn}")

    def check(self) -> None:
        """Hold all that is shown against torch, on the image that Python has."""
        mu, sigma, kl, reconstruction = self.ask(f"exact({self.name})")
        expect(self.state).to_have_text(re.compile(r"KL = "))
        shown = NUMBERS.search(self.state.inner_text()).groups()
        for text, exact, digits in ((shown[0], mu, 2), (shown[1], sigma, 3)):
            values = [float(v) for v in text.split(", ")]
            # Half of the last digit, and what float32 in another order may add.
            assert values == pytest.approx(exact, abs=0.5 * 10**-digits + 1e-4)
        assert float(shown[2]) == pytest.approx(kl, abs=0.0051, rel=1e-4)
        assert float(shown[3]) == pytest.approx(kl / np.log(2), abs=0.0051, rel=1e-4)
        if shown[4]:
            assert tuple(map(int, shown[4:])) == self.ask(f"neighbours({self.name})")
            assert tuple(map(int, shown[6:])) == self.ask(f"tuple({self.name}.vote)[:2]")
        image = self.ask(f"({self.name}.image * 255).ravel().tolist()")
        for canvas, expected in ((self.seen, image), (self.decoded, np.ravel(reconstruction))):
            assert np.abs(np.array(canvas.evaluate(PIXELS)) - expected).max() <= 0.51 + 0.05
        self.check_cloud(mu, sigma)

    def check_cloud(self, mu, sigma) -> None:
        """The dot and both ellipses lie in axis units on the plot."""
        left, top, unit = self.panel.locator(".js-plotly-plot").evaluate(
            """(plot, [x, y]) => {
                const box = plot.getBoundingClientRect(), {xaxis, yaxis} = plot._fullLayout;
                return [box.x + xaxis._offset + xaxis.d2p(x), box.y + yaxis._offset + yaxis.d2p(y),
                    xaxis.d2p(1) - xaxis.d2p(0)];
            }""",
            mu[:2],
        )
        for k in (1, 2):
            box = self.panel.locator(f".vw-drawn-{k}").bounding_box()
            # The box is that of the line's outer edge, one pixel beyond its middle.
            expected = [2 * k * s * unit + 2 for s in sigma[:2]]
            assert [box["width"], box["height"]] == pytest.approx(expected, abs=1)
            centre = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
            assert centre == pytest.approx([left, top], abs=1)
        dot = self.panel.locator(".vw-drawn-dot").bounding_box()
        assert [dot["x"] + 4.5, dot["y"] + 4.5] == pytest.approx([left, top], abs=1)


@pytest.fixture
def notebook(lab, open_notebook):
    notebook = open_notebook(lab.write("draw.ipynb", [SETUP, "pad", "mine"]))
    notebook.run_all()
    expect(notebook.page.locator(".vw-panel")).to_have_count(2)
    yield notebook
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []


def test_a_hand_draws(notebook):
    """One page load for all, since that is what costs."""
    hand = Hand(notebook, "pad", 0)
    page = notebook.page
    expect(hand.state).to_have_text("Nothing is drawn: no image, so nothing to encode.")
    expect(hand.panel.locator(".vw-drawn-dot")).to_be_hidden()
    expect(hand.panel.locator(".vw-note")).to_have_text("encoded in this page")
    hand.messages()

    # The reconstruction follows the pen while it is down, and the kernel hears of nothing.
    page.mouse.move(*hand.at(*THREE[0]))
    page.mouse.down()
    before, moves = frames(hand.decoded), 0
    for point in THREE[1:]:
        page.mouse.move(*hand.at(*point), steps=4)
        page.wait_for_function(
            "([canvas, n]) => Number(canvas.dataset.vwFrame) > n", arg=[hand.decoded.element_handle(), before]
        )
        moves, before = moves + 1, frames(hand.decoded)
    assert moves == len(THREE) - 1
    expect(hand.state).to_contain_text("KL = ")
    expect(hand.state).to_have_attribute("aria-busy", "true")
    assert hand.ask("pad.image is None") and hand.messages() == 0
    page.mouse.up()
    hand.wait_image()
    assert hand.messages() == 1, "one message for a stroke"
    expect(hand.state).to_have_attribute("aria-busy", "false")
    hand.check()
    (stroke,) = hand.ask("[s.tolist() for s in pad.strokes]")
    assert [min(np.hypot(*(np.array(stroke) - p).T)) for p in THREE] == pytest.approx(
        [0] * len(THREE), abs=0.006
    )
    np.testing.assert_allclose(
        np.array(hand.ask("pad.image.tolist()")),
        reference([(0.09, stroke)], (28, 28), FRAMES["mnist"]),
        atol=0.08,
    )

    # Closer, where the ellipses are wide: they are in axis units still.
    zoom = hand.panel.get_by_role("button", name="zoom to the drawing")
    zoom.click()
    notebook.until("pad.figure.layout.xaxis.range[1] - pad.figure.layout.xaxis.range[0] < 1")
    expect(hand.panel.locator(".vw-drawn-1")).to_have_css("width", re.compile(r"^[3-9]\d\."))
    hand.check()
    zoom.click()

    # A second stroke leaves the pad and comes back: what lies outside is not drawn.
    first = hand.ask("pad.image.tolist()")
    hand.stroke([(0.8, 0.3), (1.3, 0.35), (1.3, 0.7), (0.8, 0.75)])
    notebook.until("len(pad.strokes) == 2")
    hand.check()
    strokes = hand.ask("[s.tolist() for s in pad.strokes]")
    assert np.array(strokes[1])[:, 0].max() > 1.25
    np.testing.assert_allclose(
        np.array(hand.ask("pad.image.tolist()")),
        reference([(0.09, s) for s in strokes], (28, 28), FRAMES["mnist"]), atol=0.08,
    )  # fmt: skip
    hand.panel.get_by_role("button", name="undo").click()
    notebook.until("len(pad.strokes) == 1")
    assert hand.ask("pad.image.tolist()") == first
    hand.check()
    hand.panel.get_by_role("button", name="clear").click()
    hand.wait_image(False)
    expect(hand.state).to_have_text("Nothing is drawn: no image, so nothing to encode.")
    expect(hand.panel.locator(".vw-drawn-1")).to_be_hidden()
    assert set(hand.decoded.evaluate(PIXELS)) == {0}

    # A click is a dot, of the pen's width and in the middle.
    page.mouse.click(*hand.at(0.2, 0.8))
    hand.wait_image()
    dot = np.array(hand.ask("pad.image.tolist()"))
    assert dot.sum() == pytest.approx(np.pi * (28 * 0.045) ** 2, rel=0.05)
    assert centre_of_mass(dot) == pytest.approx([14, 14], abs=0.02)
    assert max(np.ptp(axis) for axis in np.nonzero(dot)) <= 3
    hand.check()

    check_other_pointers(hand)
    check_keys(hand)
    check_python(hand)
    check_the_kernel_encodes(Hand(notebook, "mine", 1))


def check_other_pointers(hand) -> None:
    """Touch and pen draw as the mouse does, and the page does not scroll under the finger."""
    hand.notebook.evaluate("pad.clear()")
    client = hand.page.context.new_cdp_session(hand.page)
    assert hand.pad.evaluate("e => getComputedStyle(e).touchAction") == "none"
    where = [dict(zip("xy", hand.at(*point), strict=True)) for point in THREE]
    client.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": where[:1]})
    for place in where[1:]:
        client.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [place]})
    client.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    hand.wait_image()
    hand.check()
    kinds = [
        ("mousePressed", where[0]),
        *(("mouseMoved", place) for place in where),
        ("mouseReleased", where[-1]),
    ]
    for kind, place in kinds:
        held = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"}
        client.send("Input.dispatchMouseEvent", {"type": kind, **place, **held})
    hand.notebook.until("len(pad.strokes) == 2")
    hand.check()
    client.detach()


def check_keys(hand) -> None:
    hand.pad.focus()
    hand.press("Escape")
    hand.wait_image(False)
    hand.messages()
    expect(hand.pad).to_have_attribute(
        "aria-label", re.compile("arrows move the pen .* Escape or Delete clears")
    )
    where = hand.panel.locator(".vw-pad-place")
    hand.press("ArrowLeft", "Shift+ArrowUp", "Shift+ArrowUp")
    expect(where).to_have_text("pen is up: 48 % across, 30 % from the top")
    hand.press("Space", *["Shift+ArrowDown"] * 4)
    expect(where).to_have_text("pen is down: 48 % across, 70 % from the top")
    expect(hand.state).to_contain_text("KL = ")
    assert hand.messages() == 0
    hand.press("Space")
    hand.wait_image()
    assert hand.messages() == 1
    hand.check()
    (stroke,) = hand.ask("[s.tolist() for s in pad.strokes]")
    assert stroke == [[0.48, y] for y in (0.3, 0.4, 0.5, 0.6, 0.7)]
    pen = hand.panel.get_by_role("slider", name="pen")
    pen.focus()
    hand.press(*["ArrowRight"] * 3)
    hand.pad.focus()
    hand.press("ArrowLeft", "Space", "Space")
    hand.notebook.until("len(pad.strokes) == 2")
    assert hand.ask("[s['width'] for s in pad.pad.strokes]") == pytest.approx([0.09, 0.12])
    hand.press("Backspace")
    hand.notebook.until("len(pad.strokes) == 1")
    # A stroke that was begun ends where the pad loses the focus.
    hand.press("Space", "ArrowRight", "Tab")
    hand.notebook.until("len(pad.strokes) == 2")
    hand.pad.focus()
    hand.press("Delete")
    hand.wait_image(False)
    # JupyterLab, which has a use for most of these keys, has seen none.
    assert hand.page.evaluate("() => window.vwPanel.content.model.sharedModel.cells.length") == 3


def check_python(hand) -> None:
    """What Python assigns is shown; the next stroke begins anew."""
    before = frames(hand.decoded)
    hand.notebook.evaluate("setattr(pad, 'image', model.decode(torch.tensor([[1., -1.]]))[0])")
    hand.page.wait_for_function(
        "([canvas, n]) => Number(canvas.dataset.vwFrame) > n", arg=[hand.decoded.element_handle(), before]
    )
    expect(hand.state).to_contain_text("KL = ")
    hand.check()
    hand.stroke(THREE[:4])
    hand.notebook.until("len(pad.strokes) == 1")
    hand.check()


def check_the_kernel_encodes(hand) -> None:
    """A model that the page cannot run, of another size: the image follows the pen, the rest its lifting."""
    expect(hand.panel.locator(".vw-note")).to_contain_text("encoded by the kernel: Mine.encode is not that")
    box = hand.pad.bounding_box()
    assert box["height"] == pytest.approx(0.7 * box["width"], abs=1)
    hand.messages()
    hand.stroke([(0.2, 0.1), (0.8, 0.6)])
    hand.wait_image()
    assert hand.messages() == 1
    hand.check()
    (stroke,) = hand.ask("[s.tolist() for s in mine.strokes]")
    np.testing.assert_allclose(
        np.array(hand.ask("mine.image.tolist()")),
        reference([(0.09, stroke)], (14, 20), FRAMES["mnist"]),
        atol=0.08,
    )
    hand.panel.get_by_role("button", name="undo").click()
    hand.wait_image(False)
    expect(hand.state).to_have_text("Nothing is drawn: no image, so nothing to encode.")


# -- the image, made a second time in another way ----------------------------------------------------------


def centre_of_mass(image: np.ndarray) -> list[float]:
    """(x, y) in pixels counted from 0."""
    rows, columns = np.indices(image.shape)
    return [(image * axis).sum() / image.sum() for axis in (columns, rows)]


def reference(strokes, shape, frame, parts: int = 12) -> np.ndarray:
    """Make the image of strokes [(width, points)] from discs set closely along the way, sampled finely."""
    height, width = shape
    pad = np.array([1, height / width])
    discs = []
    for pen, points in strokes:
        points = np.array(points, dtype=float)
        starts = points[:-1] if len(points) > 1 else points
        for a, b in zip(starts, points[1:] if len(points) > 1 else points, strict=True):
            way = a + np.linspace(0, 1, 2 + int(np.hypot(*(b - a)) / 0.001))[:, None] * (b - a)
            on_pad = way[((way >= 0) & (way <= pad)).all(1)]
            discs.append(np.c_[on_pad, np.full(len(on_pad), pen / 2)])
    discs = np.concatenate(discs)
    trees = [(radius, cKDTree(discs[discs[:, 2] == radius, :2])) for radius in np.unique(discs[:, 2])]

    def ink(places):
        near = [tree.query(places, distance_upper_bound=radius)[0] <= radius for radius, tree in trees]
        return np.any(near, axis=0) & ((places >= 0) & (places <= pad)).all(1)

    low = np.maximum(0, (discs[:, :2] - discs[:, 2:]).min(0))
    high = np.minimum(pad, (discs[:, :2] + discs[:, 2:]).max(0))
    box, centre = frame
    scale = (box * np.array([width, height]) / (high - low)).min()
    if np.ptp(discs[:, :2], axis=0).max() < 2 * discs[:, 2].max():
        scale = min(scale, width)
    fine = np.stack(np.meshgrid(*[np.linspace(a, b, 250) for a, b in zip(low, high, strict=True)]), -1)
    mass = fine.reshape(-1, 2)[ink(fine.reshape(-1, 2))].mean(0)
    corner = centre * np.array([width, height]) - scale * mass
    corner = np.clip(corner, -scale * low, np.array([width, height]) - scale * high)
    x, y = ((np.arange(n * parts) + 0.5) / parts for n in (width, height))
    places = (np.stack(np.meshgrid(x, y), -1).reshape(-1, 2) - corner) / scale
    return ink(places).reshape(height, parts, width, parts).mean((1, 3))


@pytest.fixture(scope="module")
def drawn_in_page(launch_browser):
    """A function ``drawn(strokes, shape, frame)``: what the page makes of strokes, or None."""
    page = launch_browser().new_page()
    import_module(page, "draw_pad/image.js")

    def drawn(strokes, shape, frame):
        image = page.evaluate(
            """([strokes, shape, frame]) => {
                const image = drawnImage(strokes, shape, frame);
                return image && Array.from(image);
            }""",
            [[{"width": w, "points": np.array(p).tolist()} for w, p in strokes], list(shape), list(frame)],
        )
        return None if image is None else np.array(image).reshape(shape)

    yield drawn
    page.close()


def random_strokes(rng, height: float):
    """One to three smooth lines that wander, out of the pad too, each with a pen of its own."""
    strokes = []
    for _ in range(rng.integers(1, 4)):
        steps = rng.normal(0, 0.02, (rng.integers(1, 40), 2)).cumsum(0) + rng.normal(0, 0.02, 2)
        points = rng.uniform([0.1, 0.1 * height], [0.9, 0.9 * height]) + np.vstack(
            [np.zeros(2), steps.cumsum(0)]
        )
        strokes.append((rng.choice([0.03, 0.09, 0.18]), points))
    return strokes


@pytest.mark.parametrize(
    ("shape", "name"), [((28, 28), "mnist"), ((8, 8), "digits"), ((14, 20), "mnist"), ((21, 9), "mnist")]
)
def test_random_drawings_are_scaled_and_centred_as_mnist_is(drawn_in_page, shape, name):
    rng, worst = np.random.default_rng(sum(shape)), []
    for _ in range(6):
        strokes = random_strokes(rng, shape[0] / shape[1])
        image, expected = drawn_in_page(strokes, shape, FRAMES[name]), reference(strokes, shape, FRAMES[name])
        assert image.min() >= 0 and image.max() <= 1
        worst.append(np.abs(image - expected).max())
        assert np.abs(image - expected).mean() < 0.01
    # The page takes some 112 soft samples along a side: a pixel may be off by a small share of its grey.
    assert max(worst) < 0.08


def test_the_box_and_the_centre(drawn_in_page):
    circle = 0.5 + 0.3 * np.stack([np.cos(np.linspace(0, 6.3, 60)), np.sin(np.linspace(0, 6.3, 60))], 1)
    for pen, factor in ((0.09, 1), (0.09, 0.3), (0.18, 1.2), (0.03, 0.5)):
        points = (circle - 0.5) * factor + [0.45, 0.5]
        image = drawn_in_page([(pen, points)], (28, 28), FRAMES["mnist"])
        assert centre_of_mass(image) == pytest.approx([14, 14], abs=0.03)
        # A box of 20 pixels touches 21 where it lies between two.
        assert all(np.ptp(axis) + 1 in (20, 21) for axis in np.nonzero(image > 0.01))
        area = np.pi * ((0.3 * factor + pen / 2) ** 2 - max(0, 0.3 * factor - pen / 2) ** 2)
        assert image.sum() == pytest.approx(area * (20 / (0.6 * factor + pen)) ** 2, rel=0.02)
    assert drawn_in_page([], (28, 28), FRAMES["mnist"]) is None
    assert drawn_in_page([(0.09, [[1.2, 0.5], [1.4, 0.8]])], (28, 28), FRAMES["mnist"]) is None


def test_ink_far_from_its_centre_of_mass_is_not_cut(drawn_in_page):
    blot = [[0.1 + 0.1 * (k % 3), 0.1 + 0.03 * k] for k in range(8)] + [[0.1, 0.1]]
    strokes = [(0.18, blot), (0.03, [[0.3, 0.2], [0.95, 0.22]])]
    image = drawn_in_page(strokes, (28, 28), FRAMES["mnist"])
    np.testing.assert_allclose(image, reference(strokes, (28, 28), FRAMES["mnist"]), atol=0.08)
    columns = np.flatnonzero(image.max(0) > 0.01)
    assert columns.max() - columns.min() in (19, 20)
