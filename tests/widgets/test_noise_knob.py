"""The knob without a browser: the noise, the two gradients and their exact spreads, and what Python sees."""

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.widgets.gaussian.counter_noise import normals
from vaewidgets.widgets.gaussian.noise_knob import exact_gradient, pathwise_gradient, score_gradient

from .conftest import OwnDecoder, check_not_settable, check_refused, from_page

PHIS = (-1.0, -0.4, 0.0, 0.5, 0.77, 1.0)


@pytest.mark.parametrize("phi", PHIS)
def test_the_exact_values_are_those_of_quadrature(phi):
    nodes, weights = np.polynomial.hermite_e.hermegauss(150)
    weights = weights / weights.sum()
    exact = exact_gradient(phi)
    z = phi**3 + np.exp(phi) * nodes
    assert exact.value == pytest.approx(weights @ (z**2 + np.sin(z)), rel=1e-10)
    for gradient, sd in ((pathwise_gradient, exact.pathwise_sd), (score_gradient, exact.score_sd)):
        draws = gradient(phi, nodes)
        assert exact.gradient == pytest.approx(weights @ draws, rel=1e-9)
        assert sd == pytest.approx((weights @ (draws - exact.gradient) ** 2) ** 0.5, rel=1e-9)
    assert exact.ratio == pytest.approx(exact.score_sd**2 / exact.pathwise_sd**2)


def test_the_values_of_the_course():
    exact = exact_gradient(0.5)
    assert exact.value == pytest.approx(2.765933, abs=5e-7)
    assert exact.gradient == pytest.approx(5.728164, abs=5e-7)
    assert (exact.pathwise_sd, exact.score_sd) == pytest.approx((7.7228, 24.1062), abs=5e-5)
    assert exact.ratio == pytest.approx(9.743352, abs=5e-7)


@pytest.mark.parametrize("phi", PHIS)
def test_the_estimators_are_what_autograd_makes_of_them(phi):
    epsilon = normals(1, 20)
    parameter = torch.full((20,), phi, dtype=torch.float64, requires_grad=True)
    z = parameter**3 + parameter.exp() * epsilon
    (pathwise,) = torch.autograd.grad((z**2 + z.sin()).sum(), parameter, retain_graph=True)
    held = z.detach()
    log_q = torch.distributions.Normal(parameter**3, parameter.exp()).log_prob(held)
    (slope,) = torch.autograd.grad(log_q.sum(), parameter)
    np.testing.assert_allclose(pathwise_gradient(phi, epsilon.numpy()), pathwise, rtol=1e-12)
    # z - mu loses digits that epsilon has.
    np.testing.assert_allclose(
        score_gradient(phi, epsilon.numpy()), (held**2 + held.sin()) * slope, rtol=1e-9, atol=1e-9
    )


def test_draws_grow_and_agree_with_the_exact_value(model):
    knob = vw.NoiseKnob(model, draws=100)
    first = knob.pathwise
    knob.draws = 100_000
    assert len(knob.score) == 100_000
    np.testing.assert_array_equal(knob.pathwise[:100], first)
    exact = knob.exact
    for draws, sd in ((knob.pathwise, exact.pathwise_sd), (knob.score, exact.score_sd)):
        assert abs(draws.mean() - exact.gradient) < 4 * sd / 100_000**0.5
    knob.phi = -0.3
    assert len(knob.pathwise) == 100_000 and knob.exact == exact_gradient(-0.3)
    knob.draws = 0
    assert knob.pathwise.shape == knob.score.shape == (0,)


def test_z_follows_with_the_noise_frozen_and_redraws_repeat(wire, model):
    knob = vw.NoiseKnob(model, mu=(1, 0), sigma=(0.5, 2), seed=5)
    knob.epsilon = (2, -1)
    assert knob.z == (2.0, -2.0)
    from_page(knob.view, mu=[0.0, 0.0])
    assert knob.epsilon == (2.0, -1.0) and knob.z == (1.0, -2.0)
    assert repr(knob) == "NoiseKnob(z=(1.00, -2.00), phi=0.5, draws=0)"
    with torch.no_grad():
        expected = (model.decode(torch.tensor([[1.0, -2.0]]))[0, 0] * 255).round().numpy()
    np.testing.assert_array_equal(knob.image, expected)
    knob.redraw()
    knob.redraw()
    assert knob.redraws == knob.view.redraws == 2
    np.testing.assert_array_equal(knob.epsilon, normals(10, 4)[2:])
    assert knob.view.epsilon == list(knob.epsilon)
    from_page(knob.view, frozen=False, phi=0.25, draws=100)
    assert (knob.frozen, knob.phi, knob.draws) == (False, 0.25, 100)
    again = vw.NoiseKnob(model, seed=5)
    again.redraw()
    again.redraw()
    assert again.epsilon == knob.epsilon and normals(12, 4)[2] != knob.epsilon[0]


def test_what_the_page_cannot_decode_the_kernel_does(wire):
    knob = vw.NoiseKnob(OwnDecoder(2, (3, 6, 5), hidden=(8,), seed=0), epsilon=(0, 0))
    from_page(knob.view, epsilon=[1.0, 2.0])
    assert knob.view.pixels == knob.image.tobytes() and knob.view.shape == [6, 5, 3]


def test_bad_use_is_refused_where_it_is_made(model):
    knob = vw.NoiseKnob(model)
    before = repr(knob)
    for name, wrong, kind, message in (
        ("phi", 1.5, ValueError, "phi must be from -1.0 to 1.0"),
        ("phi", float("nan"), ValueError, "from -1.0 to 1.0"),
        ("phi", "much", TypeError, "phi must be a number"),
        ("draws", -1, ValueError, "from 0 to 100000"),
        ("draws", 100_001, ValueError, "from 0 to 100000"),
        ("draws", 2.5, TypeError, "draws must be an int"),
        ("epsilon", (1,), ValueError, "1 values"),
        ("sigma", (0, 1), ValueError, "never negative"),
    ):
        check_not_settable(knob, (name, wrong, kind, message))
        check_refused(vw.NoiseKnob, ((model,), {name: wrong}, kind, message))
    assert repr(knob) == before
    check_refused(
        vw.NoiseKnob,
        ((model,), dict(epsilom=(0, 0)), TypeError, "'epsilon'"),
        ((vw.VAE(3, (1, 6, 5), hidden=(8,)),), {}, ValueError, "latent_dim=2; got 3"),
    )
