"""GapBar without a browser: its numbers, its traits, and what it refuses."""

import math

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.widgets.gaussian.gap_bar import DRAWS

from .conftest import check_not_settable, check_refused, from_page


def test_the_numbers_add_up_wherever_q_is():
    panel = vw.GapBar(theta=20, x=(-1, 2), mean=(0.3, 1), sigma=(0.4, 1.2), angle=35)
    assert panel.log_p == pytest.approx(panel.elbo + panel.gap, abs=1e-12)
    # x is normal with the variances 4 + .5 and .25 + .5, whatever theta is.
    expected = sum(-0.5 * (math.log(2 * math.pi * v) + x * x / v) for x, v in ((-1, 4.5), (2, 0.75)))
    assert panel.log_p == pytest.approx(expected, abs=1e-12)
    panel.theta = 77
    assert panel.log_p == pytest.approx(expected, abs=1e-12)
    assert repr(panel).startswith(f"GapBar(log p {expected:.4f} = ELBO ")


@pytest.mark.parametrize(("theta", "gap"), [(0, 0), (45, 0.356883), (90, 0)])
def test_the_best_diagonal_q_and_the_exact_one(theta, gap):
    panel = vw.GapBar(theta=theta, angle=30)
    panel.best_diagonal()
    assert panel.angle == 0
    assert panel.gap == pytest.approx(gap, abs=1e-6) == panel.unavoidable
    panel.match_posterior()
    assert panel.full and panel.gap == pytest.approx(0, abs=1e-9)
    assert panel.bound(500) == pytest.approx(panel.log_p, abs=1e-5)
    assert panel.estimate(500).error == pytest.approx(0, abs=1e-12)


def test_the_bound_and_its_estimate():
    panel = vw.GapBar(theta=45, k=50, seed=3)
    assert panel.bound(1) == pytest.approx(panel.elbo, abs=1e-9)
    assert panel.elbo < panel.bound(2) < panel.bound() < panel.bound(500) < panel.log_p
    for k in (1, 50, 500):
        value, error = panel.estimate(k)
        assert value == pytest.approx(panel.bound(k), abs=4 * error)
    first = panel.estimate()
    panel.seed = 4
    assert panel.estimate() != first
    panel.seed = 3
    assert panel.estimate() == first and DRAWS // panel.k == 200


def test_only_a_full_q_is_turned():
    panel = vw.GapBar()
    panel.angle = 10
    assert panel.full
    panel.full = False
    assert panel.angle == 0
    assert vw.GapBar(angle=10, full=True).angle == 10


def test_page_and_kernel_hold_the_same(wire):
    panel = vw.GapBar()
    wire.clear()
    panel.mean = torch.tensor([0.5, -0.25])
    panel.sigma = np.array([1, 0.5])
    assert wire.updates(panel.view) == [{"mean": [0.5, -0.25]}, {"sigma": [1.0, 0.5]}]
    wire.clear()
    from_page(panel.view, mean=[1.0, 2.0], k=500)
    assert panel.mean == (1.0, 2.0) and panel.k == 500
    assert wire.updates(panel.view) == []  # the page knows


@pytest.mark.parametrize(
    ("name", "value", "error", "words"),
    [
        ("k", 0, ValueError, "from 1 to 500"),
        ("k", 501, ValueError, "from 1 to 500"),
        ("k", 2.5, TypeError, "an int"),
        ("theta", 91, ValueError, "from 0.0 to 90.0"),
        ("theta", math.nan, ValueError, "theta"),
        ("sigma", (0.01, 1), ValueError, "from 0.05 to 2.0"),
        ("sigma", 1.0, ValueError, "2 numbers"),
        ("mean", (1, 2, 3), ValueError, "2 numbers"),
        ("mean", "left", TypeError, "2 numbers"),
        ("x", (0, math.inf), ValueError, "from -3.0 to 3.0"),
    ],
)
def test_bad_values_are_refused_where_they_are_given(name, value, error, words):
    panel = vw.GapBar()
    before = getattr(panel, name)
    check_not_settable(panel, (name, value, error, words))
    check_refused(vw.GapBar, ((), {name: value}, error, words))
    assert getattr(panel, name) == before


def test_other_bad_use():
    check_refused(vw.GapBar, ((), dict(tetha=3), TypeError, "Did you mean 'theta'"))
    with pytest.raises(ValueError, match="from 1 to 500"):
        vw.GapBar().bound(501)
