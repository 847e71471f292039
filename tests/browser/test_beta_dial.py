"""BetaDial in real JupyterLab: the water against its formula, the trained side against the models."""

import math

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation.metrics import active_units

from .harness import expect

STOPS = (0.25, 0.5, 1, 2, 4, 8)
EIGENVALUES = (9, 4, 1, 0.25, 0.25, 0.25)
PIXELS = """canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data.filter((_, i) => i % 4 === 0));
}"""
# Where the axis of the left chart has 1/64, the water, and the tops and bottoms of the bars that are told.
WATER = """panel => {
    const chart = panel.querySelector('.vw-beta-left svg');
    const tick = text => Number([...chart.querySelectorAll('.vw-tick')]
        .find(t => t.textContent === text && t.getAttribute('text-anchor') === 'end').getAttribute('y')) - 4;
    const told = [...chart.querySelectorAll('.vw-told')].map(bar => Number(bar.getAttribute('height')));
    const water = Number(chart.querySelector('.vw-water').getAttribute('y'));
    return {low: tick('1/64'), high: tick('16'), told, water};
}"""
# Heights of the bars of KL in nats, by the axis of their chart, and which are filled.
RATES = """panel => {
    const chart = panel.querySelectorAll('.vw-beta-charts svg')[1];
    const ticks = [...chart.querySelectorAll('.vw-tick')].filter(t => t.getAttribute('text-anchor') === 'end')
        .map(t => [Number(t.textContent), Number(t.getAttribute('y'))]);
    const [first, last] = [ticks[0], ticks.at(-1)];
    const unit = (first[1] - last[1]) / (last[0] - first[0]);
    return [...chart.querySelectorAll('.vw-rate')].map(bar =>
        [Number(bar.getAttribute('height')) / unit, !bar.classList.contains('vw-dead'), 1 / unit]);
}"""


def check_water(notebook, panel, beta, noise) -> None:
    """Compare what the linear side shows with the formula."""
    level = beta * noise
    bits = [max(0, math.log2(v / level) / 2) for v in EIGENVALUES]
    left = [min(v, level) for v in EIGENVALUES]
    notebook.page.wait_for_function(
        "([panel, start]) => panel.querySelector('.vw-beta-left .vw-state').textContent.startsWith(start)",
        arg=[panel.element_handle(), f"beta = {beta:.4g}, s² = {noise:.4g}:"],
    )
    pairs = panel.locator(".vw-beta-left [data-vw-number]").evaluate_all(
        "cells => cells.map(cell => [cell.dataset.vwNumber, Number(cell.textContent)])"
    )
    numbers = dict(pairs)
    for i in range(6):
        assert numbers[f"variance {i + 1}"] == EIGENVALUES[i]
        assert numbers[f"bits {i + 1}"] == pytest.approx(bits[i], abs=0.5001e-3)
        assert numbers[f"error left {i + 1}"] == pytest.approx(left[i], abs=0.5001e-3)
    assert numbers["bits all"] == pytest.approx(sum(bits), abs=0.5001e-3)
    assert numbers["error left all"] == pytest.approx(sum(left), abs=0.5001e-3)
    alive = sum(v > level for v in EIGENVALUES)
    expect(panel.locator(".vw-beta-left .vw-state")).to_contain_text(
        f"{alive} of 6 dimensions are above it and tell {sum(bits):.3f} bits"
    )
    labels = panel.locator(".vw-bits").all_text_contents()
    assert labels == [f"{b:.2f} bit" if b > 0 else "0 bit" for b in bits]
    # Ten octaves from 1/64 to 16, on a scale of logarithms: half a bit for each, to a pixel.
    drawn = panel.evaluate(WATER)
    octave = (drawn["low"] - drawn["high"]) / 10
    assert drawn["low"] - drawn["water"] == pytest.approx(octave * (math.log2(level) + 6), abs=1)
    assert drawn["told"] == pytest.approx([2 * b * octave for b in bits], abs=1)


@pytest.fixture(scope="module")
def models():
    return {beta: vw.pretrained(f"mnist-beta-{beta:g}").requires_grad_(False) for beta in STOPS}


def check_trained(notebook, panel, models, beta, seed=0, row=0) -> None:
    """Compare what the trained side shows with the model's header, its atlas, and what torch decodes."""
    model = models[beta]
    figures, mu = model.info["figures"], model.atlas.mu
    notebook.page.wait_for_function(
        "([panel, start]) => panel.querySelector('.vw-beta-right .vw-title').textContent === start",
        arg=[panel.element_handle(), f"Trained on MNIST with beta = {beta:g}"],
    )
    pairs = panel.locator(".vw-beta-right [data-vw-number]").evaluate_all(
        "all => all.map(e => [e.dataset.vwNumber, Number(e.textContent)])"
    )
    rate, distortion = sum(figures["kl_per_dimension"]), -figures["reconstruction"]
    active = active_units(mu)
    assert dict(pairs) == {
        "rate": pytest.approx(rate, abs=0.00501), "distortion": pytest.approx(distortion, abs=0.00501),
        "minus ELBO": pytest.approx(rate + distortion, abs=0.00501),
        "ELBO": pytest.approx(-rate - distortion, abs=0.00501), "active": active.count, "dimensions": 10,
    }  # fmt: skip
    order = sorted(range(10), key=lambda i: -figures["kl_per_dimension"][i])
    for (height, filled, pixel), i in zip(panel.evaluate(RATES), order, strict=True):
        # Bars near 0 are three pixels high, to be seen.
        assert height == pytest.approx(max(figures["kl_per_dimension"][i], 3 * pixel), abs=pixel)
        assert filled == (active.variance[i].item() > 0.01)
    z = torch.randn(8, 10, generator=torch.Generator().manual_seed(seed))
    canvases = panel.locator(".vw-beta-rows canvas")
    count = canvases.count()
    for k, images in ((count - 3, model.decode(mu[row : row + 8])), (count - 2, model.decode(z))):
        expected = np.hstack([to_uint8(image) for image in images]).ravel().tolist()
        notebook.page.wait_for_function(
            f"""([canvas, expected]) => {{
                const pixels = ({PIXELS})(canvas);
                return pixels.length === expected.length
                    && pixels.every((v, i) => Math.abs(v - expected[i]) <= 1);
            }}""",
            arg=[canvases.nth(k).element_handle(), expected],
        )
    assert set(canvases.nth(count - 1).evaluate(PIXELS)) == {0, 255}
    expect(panel.locator(".vw-stop.vw-chosen")).to_have_count(1)
    expect(panel.locator(".vw-stop.vw-chosen")).to_have_attribute(
        "aria-label", f"beta {beta:g}: rate {rate:.2f}, distortion {distortion:.2f} nats"
    )


def test_every_number_at_every_stop(lab, open_notebook, models):
    """One page load for all, since that is what costs."""
    notebook = open_notebook(
        lab.write("beta.ipynb", ["import vaewidgets as vw\npanel = vw.BetaDial()", "panel"])
    )
    notebook.run_all()
    panel = notebook.show(notebook.page.locator(".vw-panel"))
    for beta in STOPS:
        notebook.evaluate(f"panel.beta = {beta}")
        check_water(notebook, panel, beta, 0.25)
        check_trained(notebook, panel, models, beta)

    # Both ends of the level, and the two levels at which a dimension drowns exactly.
    for beta, noise in ((0.25, 1 / 16), (8, 2), (4, 0.25), (8, 0.5)):
        notebook.evaluate(f"panel.beta, panel.noise = {beta}, {noise}")
        check_water(notebook, panel, beta, noise)
    notebook.evaluate("panel.beta, panel.noise = 3, 0.25")
    expect(panel.locator(".vw-beta-right .vw-title").first).to_have_text(
        "Trained on MNIST with beta = 4, the nearest that was trained"
    )

    # The knobs, by keyboard: every power of 2 is on the way. Linked, the level stands still.
    beta, noise = panel.get_by_label("beta", exact=True), panel.get_by_label("s²", exact=True)
    notebook.press(beta, "Home")
    notebook.until("panel.beta == 0.25")
    notebook.press(beta, "End")
    notebook.until("panel.beta == 8")
    check_water(notebook, panel, 8, 0.25)
    panel.get_by_label("keep beta").check()
    notebook.until("panel.linked")
    notebook.press(beta, "ArrowLeft", times=32)
    notebook.until("panel.beta == 4 and panel.noise == 0.5")
    check_water(notebook, panel, 4, 0.5)
    check_trained(notebook, panel, models, 4)
    notebook.press(noise, "ArrowRight", times=32)
    notebook.until("panel.beta == 2 and panel.noise == 1")
    notebook.press(beta, "Home")
    notebook.until("panel.noise == 2 and panel.beta == 1")  # the other is at its end
    expect(panel.get_by_role("alert").filter(has_text="s² can go no further")).to_be_visible()
    panel.get_by_label("keep beta").uncheck()
    box = panel.get_by_label("s², typed")
    box.fill("0.25")
    box.press("Enter")
    notebook.until("panel.noise == 0.25 and not panel.linked")

    # The water under the mouse, and by arrow keys.
    handle = panel.get_by_role("slider", name="the water level")
    drawn = panel.evaluate(WATER)
    with notebook.dragging(handle, dx=0, dy=-2 * (drawn["low"] - drawn["high"]) / 10):
        pass
    notebook.until("abs(panel.beta / 4 - 1) < 0.03 and panel.noise == 0.25")
    notebook.press(handle, "ArrowUp", times=3)
    notebook.until("panel.beta > 4.1")

    # Stops on the curve are buttons; other pictures come from the kernel.
    point = panel.get_by_role("button", name="beta 2:")
    point.click()
    notebook.until("panel.beta == 2")
    notebook.press(panel.get_by_role("button", name="beta 0.5:"), "Enter")
    notebook.until("panel.beta == 0.5")
    panel.get_by_role("button", name="other samples").click()
    panel.get_by_role("button", name="other images").click()
    notebook.until("panel.seed == 1 and panel.row == 8")
    check_trained(notebook, panel, models, 0.5, seed=1, row=8)
    expect(panel.locator(".vw-beta-right")).to_contain_text("test images 8 to 15")

    notebook.set_theme("JupyterLab Dark")
    notebook.show(panel)
    assert panel.evaluate("panel => panel.scrollWidth <= panel.clientWidth + 1")
    expect(panel.locator(".vw-error")).to_have_count(0)
    notebook.evaluate("panel.close()")
    expect(notebook.page.locator(".vw-beta")).to_have_count(0)
    assert notebook.console_errors == [] and notebook.kernel_errors == []
