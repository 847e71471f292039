"""GapBar in real JupyterLab: every number against an independent one, under mouse, keyboard and Python."""

import ast
import math

import pytest
import torch
from oracles import solved
from torch.distributions import MultivariateNormal, kl_divergence

from vaewidgets.models.linear_gaussian import (
    estimate_bound,
    shortfall,
)
from vaewidgets.widgets.gaussian.counter_noise import normals

from .harness import expect

KS = (1, 2, 10, 100, 500)


def shown(panel) -> dict[str, float]:
    """Every number of the panel's lines."""
    pairs = panel.locator("[data-vw-number]").evaluate_all(
        "all => all.map(e => [e.dataset.vwNumber, e.textContent])"
    )
    return {name: float(text.replace(",", "")) for name, text in pairs}


def check_numbers(notebook, panel) -> dict[str, float]:
    """Compare every number with one worked out here, at where the kernel has the panel."""
    state = ast.literal_eval(
        notebook.evaluate("(panel.theta, panel.x, panel.mean, panel.sigma, panel.angle)")
    )
    k, seed = ast.literal_eval(notebook.evaluate("(panel.k, panel.seed)"))
    model, x, p, q = solved(*state)
    log_p = MultivariateNormal(
        torch.zeros(2).double(), torch.diag(torch.tensor([4.5, 0.75], dtype=torch.float64))
    ).log_prob(x)
    gap = kl_divergence(MultivariateNormal(q.mean, q.covariance), MultivariateNormal(p.mean, p.covariance))
    precision = torch.linalg.inv(p.covariance)
    unavoidable = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    estimate = estimate_bound(model.log_weights(x, q, normals(seed, 20_000).view(-1, 2)), k)
    bound = log_p - shortfall(q, p, k)
    fine, coarse = 0.5001e-4, 0.5001e-3
    expected = {
        "log p": (log_p, fine), "ELBO": (log_p - gap, fine), "gap": (gap, fine),
        "unavoidable": (unavoidable, fine), "k": (k, 0), "k again": (k, 0),
        "bound": (bound, coarse + 1e-4 * abs(float(gap))), "estimate": (estimate.value, coarse),
        "error": (estimate.error, coarse), "groups": (10_000 // k, 0),
    }  # fmt: skip
    notebook.page.wait_for_function(
        "([panel, gap, k]) => Math.abs(panel.querySelector('[data-vw-number=gap]').textContent - gap) < 6e-5"
        " && panel.querySelector('[data-vw-number=k]').textContent === String(k)",
        arg=[panel.element_handle(), float(gap), k],
    )
    numbers = shown(panel)
    assert numbers.keys() == expected.keys()
    for name, (value, tolerance) in expected.items():
        assert numbers[name] == pytest.approx(float(value), abs=tolerance), name
    return numbers


POSITIONS = (
    "theta=0, sigma=(0.05, 2), k=1",
    "theta=45, x=(3, -3), mean=(3.5, -3.5), k=500",
    "theta=90, x=(-3, 3), sigma=(2, 0.05), mean=(0, 0)",
    "theta=45, x=(1, 0.5), mean=(0.4, 0.2), sigma=(0.5, 0.5), angle=30, k=7, seed=5",
)
GEOMETRY = """panel => {
    const chart = panel.querySelector('.vw-gap-top svg');
    const tick = text => Number([...chart.querySelectorAll('.vw-tick')]
        .find(t => t.textContent === text && t.getAttribute('text-anchor') === 'middle').getAttribute('x'));
    const box = name => { const b = chart.querySelector(name).getBBox(); return [b.width, b.height]; };
    const bars = [...panel.querySelectorAll('.vw-gap-charts .vw-bar')]
        .map(bar => Number(bar.getAttribute('height')));
    return {unit: (tick('2') - tick('-2')) / 4, bars,
            q: [1, 2].map(k => box(`path.vw-ellipse.vw-ellipse-${k}`)),
            exact: [1, 2].map(k => box(`path.vw-exact.vw-ellipse-${k}`))};
}"""


def test_every_number_under_every_hand(lab, open_notebook):
    """One page load for all, since that is what costs."""
    notebook = open_notebook(
        lab.write("gap.ipynb", ["import vaewidgets as vw\npanel = vw.GapBar()", "panel"])
    )
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    notebook.show(panel)
    check_numbers(notebook, panel)
    for position in POSITIONS:
        notebook.evaluate(f"for name, value in dict({position}).items(): setattr(panel, name, value)")
        check_numbers(notebook, panel)

    # Ellipses are as large as the axes say, to a pixel: half a box is k times the deviation along the axis.
    geometry = panel.evaluate(GEOMETRY)
    state = ast.literal_eval(
        notebook.evaluate("(panel.theta, panel.x, panel.mean, panel.sigma, panel.angle)")
    )
    _, _, p, q = solved(*state)
    for name, cloud in (("exact", p), ("q", q)):
        for k in (1, 2):
            size = 2 * k * geometry["unit"] * cloud.covariance.diagonal().sqrt()
            assert geometry[name][k - 1] == pytest.approx(size.tolist(), abs=1)
    # With full covariance no part of the gap is unavoidable; the bar goes from log p to the axis's end.
    reached, missed, unavoidable = geometry["bars"]
    numbers = check_numbers(notebook, panel)
    depth = 2 ** math.ceil(math.log2(max(1, 1.25 * numbers["gap"])))
    assert unavoidable == 0
    assert missed / (reached + missed) == pytest.approx(numbers["gap"] / depth, abs=1e-3)

    # The mouse: the mean, a sigma, a sigma that turns, theta, k.
    notebook.evaluate("panel.full = False; panel.mean = (0, 0); panel.sigma = (0.6, 0.6)")
    unit = geometry["unit"]
    handle = panel.get_by_role("slider", name="mean of q")
    height = panel.locator(".vw-gap-label .vw-number").first.text_content()
    with notebook.dragging(handle, dx=unit, dy=-unit / 2):
        pass
    notebook.until("abs(panel.mean[0] - 1) < 0.03 and abs(panel.mean[1] - 0.5) < 0.03")
    check_numbers(notebook, panel)
    assert panel.locator(".vw-gap-label .vw-number").first.text_content() == height, "log p(x) moved with q"
    with notebook.dragging(panel.get_by_role("slider", name="sigma1 of q"), dx=unit / 4, dy=40):
        pass
    notebook.until("abs(panel.sigma[0] - 0.85) < 0.03 and panel.sigma[1] == 0.6 and panel.angle == 0")
    panel.get_by_label("q may turn").check()
    notebook.until("panel.full")
    with notebook.dragging(panel.get_by_role("slider", name="sigma1 of q"), dx=-0.85 * unit, dy=-0.85 * unit):
        pass
    notebook.until("abs(panel.angle - 90) < 3 and abs(panel.sigma[0] - 0.85) < 0.04")
    check_numbers(notebook, panel)
    with notebook.dragging(panel.get_by_role("slider", name="theta: arrow"), dx=-30):
        pass
    notebook.until("panel.theta < 40")
    with notebook.dragging(panel.get_by_role("slider", name="k: arrow"), dx=60):
        pass
    notebook.until("panel.k > 20")
    check_numbers(notebook, panel)

    # The keyboard reaches the ends of the ranges, and every k on the way.
    k = panel.get_by_label("k", exact=True)
    notebook.press(k, "End")
    notebook.until("panel.k == 500")
    notebook.press(k, "Home")
    notebook.until("panel.k == 1")
    notebook.press(k, "ArrowRight", times=3)
    notebook.until("panel.k == 4")
    notebook.press(panel.get_by_label("theta, °", exact=True), "End")
    notebook.until("panel.theta == 90")
    before = ast.literal_eval(notebook.evaluate("panel.mean"))
    notebook.press(handle, "ArrowRight", times=2)
    notebook.press(handle, "Shift+ArrowDown")
    notebook.until(
        f"abs(panel.mean[0] - {before[0] + 0.1}) < 1e-9 and abs(panel.mean[1] - {before[1] - 0.5}) < 1e-9"
    )
    box = panel.get_by_label("sigma2, typed")
    box.fill("0.123")
    box.press("Enter")
    notebook.until("panel.sigma[1] == 0.123")
    check_numbers(notebook, panel)

    # The buttons, at the three turns that have names.
    for theta, gap in ((0, 0), (45, 0.3569), (90, 0)):
        notebook.evaluate(f"panel.theta, panel.full = {theta}, False")
        panel.get_by_role("button", name="best diagonal q").click()
        notebook.until("abs(panel.gap - panel.unavoidable) < 1e-9")
        numbers = check_numbers(notebook, panel)
        assert numbers["gap"] == numbers["unavoidable"] == gap
    notebook.evaluate("panel.theta = 45")
    panel.get_by_role("button", name="exact posterior").click()
    notebook.until("abs(panel.gap) < 1e-9 and panel.full")
    assert check_numbers(notebook, panel)["error"] == 0
    panel.get_by_role("button", name="other draws").click()
    notebook.until("panel.seed == 6")

    # Nothing is cut off at the width that a laptop leaves, in the dark theme too.
    notebook.set_theme("JupyterLab Dark")
    notebook.show(panel)
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    expect(panel.locator(".vw-error")).to_have_count(0)
    notebook.evaluate("panel.close()")
    expect(page.locator(".vw-gap")).to_have_count(0)
    assert notebook.console_errors == [] and notebook.kernel_errors == []
