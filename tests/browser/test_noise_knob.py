"""NoiseKnob in real JupyterLab: the arrow, its picture, every number and every bar of the two histograms."""

import ast
import re

import numpy as np
import pytest

from vaewidgets.widgets.gaussian.counter_noise import normals
from vaewidgets.widgets.gaussian.noise_knob import pathwise_gradient, score_gradient

from .harness import expect
from .test_hand import PIXELS
from .test_kl_lab import NUMBERS

#: What stands where there are too few draws: an en dash.
NOTHING = "\N{EN DASH}"
SETUP = """
import torch, vaewidgets as vw
knob = vw.NoiseKnob(mu=(0.5, -0.25), sigma=(0.8, 0.4), epsilon=(1.5, -2), seed=3)
"""
#: The arrow and its rings in axis units.
ARROW = """panel => {
    const chart = panel.querySelector('.vw-cloud .vw-chart'), ticks = [...chart.querySelectorAll('.vw-tick')];
    const scale = (anchor, side) => {
        const own = ticks.filter(tick => tick.getAttribute('text-anchor') === anchor);
        const at = tick => Number(tick.getAttribute(side)) - (side === 'y' ? 4 : 0);
        const [a, b] = [own[0], own.at(-1)], [u, v] = [Number(a.textContent), Number(b.textContent)];
        return pixel => u + (pixel - at(a)) / (at(b) - at(a)) * (v - u);
    };
    const [x, y] = [scale('middle', 'x'), scale('end', 'y')];
    const shaft = chart.querySelector('.vw-arrow'), number = name => Number(shaft.getAttribute(name));
    return [[x(number('x1')), y(number('y1'))], [x(number('x2')), y(number('y2'))]];
}"""
#: Of each histogram the middles and the heights of its bars, in units of its axes.
BARS = """panel => [...panel.querySelectorAll('.vw-noise-pair .vw-chart')].map(chart => {
    const {x, y, width, height} = Object.fromEntries(['x', 'y', 'width', 'height'].map(
        name => [name, Number(chart.querySelector('clipPath rect').getAttribute(name))]));
    const own = [...chart.querySelectorAll('.vw-tick[text-anchor=end]')];
    const at = tick => Number(tick.getAttribute('y')) - 4, last = own.at(-1);
    const unit = (at(own[0]) - at(last)) / Number(last.textContent);
    const d = chart.querySelector('.vw-bins').getAttribute('d');
    const bars = [...d.matchAll(/M([^,]+),([^V]+)V([^H]+)H/g)];
    return bars.map(([, left, floor, top]) => [Math.round((left - x) / width * 60), (floor - top) / unit]);
})"""


def check_plane(notebook, panel) -> None:
    """The arrow goes from mu to z, z is mu + sigma * epsilon, and the picture is that of z."""
    mu, sigma, epsilon = (
        np.array(ast.literal_eval(notebook.evaluate(f"knob.{name}"))) for name in ("mu", "sigma", "epsilon")
    )
    z = mu + sigma * epsilon
    for i, line in enumerate(panel.locator(".vw-noise-equations .vw-state").all(), 1):
        shown = [f"{number:.3f}" for number in (mu[i - 1], sigma[i - 1], epsilon[i - 1], z[i - 1])]
        expect(line).to_have_text(f"z{i} = {shown[0]} + {shown[1]} · ({shown[2]}) = {shown[3]}")
    tail, tip = panel.evaluate(ARROW)
    # A hundredth of a unit is half a pixel.
    assert tail == pytest.approx(mu.tolist(), abs=0.01) and tip == pytest.approx(z.tolist(), abs=0.01)
    decoded = f"(knob.model.decode(torch.tensor([{z.tolist()}])) * 255).round().int().flatten().tolist()"
    picture = panel.locator(".vw-noise-seen [data-vw=picture]")
    assert picture.evaluate(PIXELS) == pytest.approx(ast.literal_eval(notebook.evaluate(decoded)), abs=1)


def check_gradients(panel, phi: float, draws: int) -> None:
    """Every number of the table, every bar, against draws that Python makes of the same seed."""
    noise = normals(2 * 3 + 1, draws).numpy()
    # The exact values by quadrature.
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    expect(panel.locator("[data-vw-number='score draws']")).to_have_text(f"{draws:,}")
    # phi is under a hand: its number comes last.
    expect(panel.get_by_label("phi, typed")).to_have_value(f"{phi:g}")
    shown, bars = panel.evaluate(NUMBERS), panel.evaluate(BARS)
    variances = []
    for gradient in (pathwise_gradient, score_gradient):
        at = gradient(phi, nodes)
        variances.append(weights @ (at - weights @ at) ** 2)
    mean = weights @ pathwise_gradient(phi, nodes)
    ends = mean - 1.2 * variances[1] ** 0.5, mean + 2.8 * variances[1] ** 0.5
    for k, (name, gradient) in enumerate((("pathwise", pathwise_gradient), ("score", score_gradient))):
        values = gradient(phi, noise)
        assert shown[f"{name} draws"] == f"{draws:,}"
        assert float(shown[f"{name} exact"]) == pytest.approx(mean, abs=0.5001e-6)
        assert float(shown[f"{name} exact sd"]) == pytest.approx(variances[k] ** 0.5, abs=0.5001e-4)
        own, error = shown[f"{name} mean"].split(" ± ")
        if draws:
            assert float(own) == pytest.approx(values.mean(), abs=0.5001e-4)
        else:
            assert own == NOTHING
        if draws > 1:
            assert float(error) == pytest.approx(values.std(ddof=1) / draws**0.5, abs=0.5001e-4)
            assert float(shown[f"{name} sd"]) == pytest.approx(values.std(ddof=1), abs=0.5001e-4)
        else:
            assert error == shown[f"{name} sd"] == NOTHING
        counts, _ = np.histogram(values, bins=60, range=ends)
        assert shown[f"{name} beyond"] == f"{draws - counts.sum():,}"
        seen = np.zeros(60)
        for place, height in bars[k]:
            seen[place] = height
        # The ticks are written to a pixel's tenth; no bar is off by more than 1 % of the highest.
        np.testing.assert_allclose(seen, counts, atol=0.01 * max(1, counts.max()))
    state = panel.locator(".vw-noise .vw-state").last.inner_text()
    assert float(re.search(r"([\d.]+) exactly", state)[1]) == pytest.approx(
        variances[1] / variances[0], abs=0.5001e-6
    )


def test_the_arrow_the_picture_and_the_two_histograms(lab, open_notebook):
    """One page load for all, since that is what costs."""
    notebook = open_notebook(lab.write("noise.ipynb", [SETUP, "knob"]))
    notebook.run_all()
    page, panel = notebook.page, notebook.page.locator(".vw-panel")
    notebook.show(panel)
    check_plane(notebook, panel)

    # Frozen: z slides. The sliders' ends; epsilon stays.
    for name, key, end in (("sigma1", "Home", 0.001), ("sigma2", "End", 100), ("mu1", "End", 5)):
        notebook.press(panel.get_by_role("slider", name=name, exact=True), key)
        notebook.until(f"abs(knob.{name[:-1]}[{int(name[-1]) - 1}] - {end}) < 1e-9")
    assert notebook.evaluate("knob.epsilon") == "(1.5, -2.0)"
    notebook.evaluate("[setattr(knob, 'mu', (0.5, -0.25)), setattr(knob, 'sigma', (0.8, 0.4))]")
    expect(panel.get_by_label("sigma2, typed")).to_have_value("0.4")
    with notebook.dragging(panel.locator(".vw-handle-mu"), dx=-49):
        pass
    notebook.until("knob.mu[0] < -0.4 and knob.epsilon == (1.5, -2.0)")
    check_plane(notebook, panel)

    # Redrawn: by the button, by every move where it is not frozen, always from the seeded stream.
    stream = normals(2 * 3, 40).view(-1, 2).tolist()
    panel.get_by_role("button", name="draw a new epsilon").click()
    notebook.until(
        f"abs(knob.epsilon[0] - {stream[0][0]}) < 1e-12 and abs(knob.epsilon[1] - {stream[0][1]}) < 1e-12"
    )
    check_plane(notebook, panel)
    panel.get_by_label("epsilon is frozen").uncheck()
    notebook.until("not knob.frozen")
    notebook.press(panel.locator(".vw-handle-mu"), "ArrowUp", times=2)
    notebook.until(f"knob.redraws == 3 and abs(knob.epsilon[1] - {stream[2][1]}) < 1e-12")
    notebook.evaluate("knob.redraw()")
    assert notebook.evaluate("knob.redraws") == "4"
    notebook.until(f"abs(knob.epsilon[0] - {stream[3][0]}) < 1e-12")
    panel.get_by_label("epsilon is frozen").check()
    # The tip of the arrow moves the noise, and nothing else.
    mu = notebook.evaluate("knob.mu")
    notebook.press(panel.locator(".vw-handle-z"), "ArrowRight", times=2)
    notebook.until(f"abs(knob.epsilon[0] - {stream[3][0] + 0.1}) < 1e-9 and knob.mu == {mu}")
    check_plane(notebook, panel)

    check_gradients(panel, 0.5, 0)
    draws = 0
    for name, more in (("1 more", 1), ("1 more", 1), ("100 more", 100), ("10000 more", 10_000)):
        panel.get_by_role("button", name=f"{name} draws", exact=True).click()
        draws += more
        check_gradients(panel, 0.5, draws)
    assert panel.evaluate(NUMBERS)["score exact"] == "5.728164"
    notebook.until(f"knob.draws == {draws}")
    mean = float(notebook.evaluate("float(knob.score.mean())"))
    assert float(panel.evaluate(NUMBERS)["score mean"].split()[0]) == pytest.approx(mean, abs=0.5001e-4)
    slider = panel.get_by_role("slider", name="phi", exact=True)
    for key, phi in (("Home", -1), ("End", 1), ("ArrowLeft", 0.99)):
        notebook.press(slider, key)
        check_gradients(panel, phi, draws)
    notebook.until("abs(knob.phi - 0.99) < 1e-9")
    notebook.evaluate("[setattr(knob, 'phi', 0.5), setattr(knob, 'draws', 100_000)]")
    check_gradients(panel, 0.5, 100_000)
    panel.get_by_role("button", name="clear").click()
    check_gradients(panel, 0.5, 0)

    assert page.evaluate("element => element.scrollWidth <= element.clientWidth", panel.element_handle())
    assert notebook.console_errors == []
    assert notebook.kernel_errors == []
