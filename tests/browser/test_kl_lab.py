"""KLLab in real JupyterLab: every number on it, the size of its ellipses, its hands and its pictures."""

import ast
import math

import numpy as np
import pytest
import torch

from .harness import expect
from .test_hand import PIXELS

SETUP = """
import torch, vaewidgets as vw
lab = vw.KLLab(vw.pretrained("digits-vae-2d"))
"""
#: mu and sigma, the ends of both sliders among them.
PLACES = [
    ((1.0, 0.5), (0.5, 0.5)),
    ((0.0, 0.0), (1.0, 1.0)),
    ((-2.25, 1.5), (0.04, 2.5)),
    ((5.0, -5.0), (0.001, 100.0)),
    ((-5.0, 5.0), (100.0, 0.001)),
    ((0.3, -0.0001), (0.999, 1.001)),
]
NUMBERS = """panel => Object.fromEntries(Array.from(
    panel.querySelectorAll('[data-vw-number]'), node => [node.dataset.vwNumber, node.textContent]))"""
#: Pixels per unit of z1 and of z2, from the ticks; and the boxes of the two ellipses, in pixels.
SIZES = """panel => {
    const chart = panel.querySelector('.vw-cloud .vw-chart');
    const ticks = [...chart.querySelectorAll('.vw-tick')];
    const unit = (anchor, side) => {
        const own = ticks.filter(tick => tick.getAttribute('text-anchor') === anchor);
        const place = tick => Number(tick.getAttribute(side));
        const [a, b] = [own[0], own.at(-1)];
        return Math.abs((place(b) - place(a)) / (Number(b.textContent) - Number(a.textContent)));
    };
    const boxes = [...chart.querySelectorAll('.vw-ellipse')].map(path => path.getBBox());
    return {units: [unit('middle', 'x'), unit('end', 'y')], boxes: boxes.map(box => [box.width, box.height])};
}"""


def brief(value: float) -> str:
    """Four significant digits, as the panel writes mu and sigma."""
    return f"{float(f'{value:.4g}'):.10f}".rstrip("0").rstrip(".")


def expected_numbers(mu, sigma, axis: int) -> dict[str, float]:
    """All that the panel shows, by torch and by adding up small pieces."""
    m, s = (torch.tensor(values, dtype=torch.float64) for values in (mu, sigma))
    normal = torch.distributions.Normal
    kl = torch.distributions.kl_divergence(normal(m, s), normal(torch.zeros_like(m), torch.ones_like(s)))
    columns = {
        "offset": m**2 / 2,
        "shape": (s**2 - 1 - 2 * s.log()) / 2,
        "nats": kl,
        "bits": kl / math.log(2),
    }
    numbers = {}
    for column, values in columns.items():
        numbers |= {f"{column} z1": values[0].item(), f"{column} z2": values[1].item()}
        numbers[f"{column} both"] = values.sum().item()
    e = np.linspace(-10, 10, 400_001)
    z = mu[axis] + sigma[axis] * e
    pieces = (
        np.exp(-(e**2) / 2) * (z**2 / 2 - e**2 / 2 - math.log(sigma[axis])) / math.sqrt(2 * math.pi) * 5e-5
    )
    numbers["positive area"] = pieces[pieces > 0].sum()
    numbers["negative area"] = pieces[pieces < 0].sum()
    numbers["sum of areas"] = kl[axis].item()
    return numbers


def check_numbers(panel, mu, sigma, axis: int) -> None:
    state = f"mu = ({', '.join(map(brief, mu))}), sigma = ({', '.join(map(brief, sigma))}): this cloud pays"
    expect(panel.locator(".vw-kl .vw-state")).to_contain_text(state)
    shown, expected = panel.evaluate(NUMBERS), expected_numbers(mu, sigma, axis)
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        # Half of the last digit that is shown.
        assert float(shown[name]) == pytest.approx(value, abs=0.5001e-4), name
        assert len(shown[name].partition(".")[2]) == 4 and shown[name] != "-0.0000"
    total, text = expected["nats both"], panel.locator(".vw-kl .vw-state").inner_text()
    pays = text.partition("pays ")[2].removesuffix(" bits.").split(" nats = ")
    assert [float(part) for part in pays] == pytest.approx([total, total / math.log(2)], abs=0.5001e-4)


def check_ellipses(panel, sigma) -> None:
    sizes = panel.evaluate(SIZES)
    assert sizes["units"][0] == pytest.approx(sizes["units"][1], rel=1e-3)
    for k, (width, height) in enumerate(sizes["boxes"], 1):
        expected = [2 * k * s * unit for s, unit in zip(sigma, sizes["units"], strict=True)]
        assert width == pytest.approx(expected[0], abs=1, rel=1e-4)
        assert height == pytest.approx(expected[1], abs=1, rel=1e-4)


def test_every_number_every_hand_and_every_picture(lab, open_notebook):
    """One page load for all, since that is what costs."""
    notebook = open_notebook(lab.write("kl.ipynb", [SETUP, "lab"]))
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    notebook.show(panel)

    for index, (mu, sigma) in enumerate(PLACES):
        notebook.evaluate(f"[setattr(lab, 'mu', {mu}), setattr(lab, 'sigma', {sigma})]")
        axis = index % 2
        panel.get_by_role("radio", name=("z1", "z2")[axis]).check()
        check_numbers(panel, mu, sigma, axis)
        check_ellipses(panel, sigma)
    notebook.until("lab.axis == 'z2'")

    # The sliders' ends by the keyboard, and a number that is typed: the kernel hears of each.
    for name, ends in (("mu1", (-5, 5)), ("sigma2", (0.001, 100))):
        slider = panel.get_by_role("slider", name=name, exact=True)
        for key, end in zip(("Home", "End"), ends, strict=True):
            notebook.press(slider, key)
            notebook.until(f"abs(lab.{name[:-1]}[{int(name[-1]) - 1}] - {end}) < 1e-9")
    box = panel.get_by_label("sigma1, typed")
    box.fill("0.75")
    box.press("Enter")
    notebook.until("lab.sigma[0] == 0.75")
    box.fill("-3")
    box.press("Enter")
    expect(panel.get_by_role("alert").filter(has_text="-3 is outside 0.000001 to 1000000")).to_be_visible()
    expect(box).to_have_value("0.75")
    notebook.until("lab.sigma[0] == 0.75")
    slider = panel.get_by_role("slider", name="mu2", exact=True)
    notebook.evaluate("[setattr(lab, 'mu', (1, -1)), setattr(lab, 'sigma', (.8, 1.2))]")
    expect(panel.get_by_label("mu2, typed")).to_have_value("-1")
    notebook.press(slider, "Shift+ArrowRight")
    notebook.until("abs(lab.mu[1] + 0.9) < 1e-9")

    # A slow kernel does not matter: it is busy for the whole of this block.
    with notebook.busy():
        notebook.show(panel)
        notebook.press(slider, "ArrowRight", times=3)
        check_numbers(panel, (1.0, -0.87), (0.8, 1.2), 1)
    notebook.until("abs(lab.mu[1] + 0.87) < 1e-9")
    notebook.evaluate("setattr(lab, 'mu', (1, -0.9))")
    expect(panel.get_by_label("mu2, typed")).to_have_value("-0.9")
    notebook.show(panel)

    # The hands on the plane: mu from anywhere, sigma by its rings; and by arrow keys.
    unit = panel.evaluate(SIZES)["units"][0]
    rings = {name: panel.locator(f".vw-handle[aria-label^={name}]") for name in ("mu", "sigma1", "sigma2")}
    with notebook.dragging(rings["mu"], dx=unit, dy=-unit):
        pass
    notebook.until("abs(lab.mu[0] - 2) < 0.04 and abs(lab.mu[1] - 0.1) < 0.04 and lab.sigma == (0.8, 1.2)")
    with notebook.dragging(rings["sigma1"], dx=unit / 2):
        pass
    notebook.until("abs(lab.sigma[0] - 1.3) < 0.04 and lab.sigma[1] == 1.2")
    with notebook.dragging(rings["sigma2"], dx=0, dy=3 * unit):
        pass
    notebook.until("lab.sigma[1] == 0.001")
    notebook.press(rings["mu"], "Shift+ArrowLeft")
    notebook.evaluate("setattr(lab, 'sigma', (1, 1))")
    expect(panel.get_by_label("sigma1, typed")).to_have_value("1")
    notebook.press(rings["sigma1"], "ArrowRight")
    notebook.until("abs(lab.sigma[0] - 1.05) < 1e-9 and lab.mu[0] < 1.8")
    mu, sigma = (ast.literal_eval(notebook.evaluate(f"lab.{name}")) for name in ("mu", "sigma"))
    check_numbers(panel, mu, sigma, 1)
    check_ellipses(panel, sigma)

    # A real digit: its cloud, what it pays, the decoder's pictures of it, exact to a grey level.
    notebook.evaluate("setattr(lab, 'row', 17)")
    mu, sigma = (ast.literal_eval(notebook.evaluate(f"lab.{name}")) for name in ("mu", "sigma"))
    check_numbers(panel, mu, sigma, 1)
    atlas = "vw.Posterior(lab.model.atlas.mu[17:18], lab.model.atlas.logvar[17:18])"
    cost = float(notebook.evaluate(f"{atlas}.kl().sum().item()"))
    expect(panel.locator(".vw-state", has_text="Image 17, labelled")).to_contain_text(f"pays {cost:.4f} nats")
    pictures = panel.locator(".vw-kl-pictures [data-vw=picture]")
    expect(pictures).to_have_count(5)
    offsets = np.array([[0, 0], [-1, 0], [1, 0], [0, 1], [0, -1]])
    points = (np.array(mu) + offsets * np.array(sigma)).tolist()
    for k, point in enumerate(points):
        decoded = f"(lab.model.decode(torch.tensor([{point}])) * 255).round().int().flatten().tolist()"
        assert pictures.nth(k).evaluate(PIXELS) == pytest.approx(
            ast.literal_eval(notebook.evaluate(decoded)), abs=1
        )
    # Near by, the same cloud in larger units: 4 of its wider sigma to each side fill the 338 pixels.
    panel.get_by_label("zoom the plane to the cloud").check()
    assert panel.evaluate(SIZES)["units"][0] == pytest.approx(338 / 8 / max(sigma), rel=1e-3)
    check_ellipses(panel, sigma)
    panel.get_by_role("button", name="another").click()
    notebook.until("lab.row == 18")
    check_ellipses(panel, ast.literal_eval(notebook.evaluate("lab.sigma")))

    assert page.evaluate("element => element.scrollWidth <= element.clientWidth", panel.element_handle())
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
