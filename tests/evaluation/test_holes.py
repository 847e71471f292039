"""Holes: counted by a judge of known answers, by distances laid out by hand, and on lines."""

import math

import pytest
import torch
from fakes import Bright, Painter
from oracles import generator

from vaewidgets.evaluation.holes import (
    confidence_of,
    distance_holes,
    distance_threshold,
    hole_rate,
    interpolate,
    nearest_distance,
    path_holes,
    reject_threshold,
    wilson,
)

# Wilson's interval


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_agrees_with_published_intervals(count, n, low, high):
    assert wilson(count, n) == pytest.approx((low, high), abs=5e-5)


def test_the_ends_solve_the_equation_that_defines_them():
    """|share - p| = z sqrt(p (1 - p) / n) at both ends, Wilson 1927."""
    for count, n, level, z in [(7, 50, 0.95, 1.959964), (199, 200, 0.99, 2.575829)]:
        for p in wilson(count, n, level):
            assert abs(count / n - p) == pytest.approx(z * math.sqrt(p * (1 - p) / n), rel=1e-5)


def test_95_of_100_intervals_hold_the_truth():
    counts = torch.distributions.Binomial(200, torch.tensor(0.1)).sample
    torch.manual_seed(0)
    held = [low <= 0.1 <= high for low, high in (wilson(int(counts()), 200) for _ in range(2000))]
    assert sum(held) / 2000 == pytest.approx(0.95, abs=0.02)


# The judge's holes


def test_a_hole_is_below_tau():
    rate = hole_rate(torch.tensor([0.2, 0.5, 0.89999, 0.9, 1.0]))
    assert (rate.count, rate.n, rate.share) == (3, 5, 0.6)
    assert (rate.low, rate.high) == wilson(3, 5)
    assert hole_rate(torch.tensor([0.2, 0.5]), 0.5).count == 1


def test_the_threshold_rejects_the_share_that_was_asked_for():
    confidence = torch.arange(1, 101)[torch.randperm(100, generator=generator())] / 100
    for share, count in [(0.05, 5), (0.29, 29), (0.0, 0), (0.999, 99)]:
        tau = reject_threshold(confidence, share)
        assert hole_rate(confidence, tau).count == count
    assert hole_rate(torch.full((10,), 0.7), reject_threshold(torch.full((10,), 0.7))).count == 0


def test_how_many_are_judged_at_one_time_changes_nothing():
    images = torch.rand(23, 1, 2, 2, generator=generator())
    wanted = images.flatten(1).amax(1)
    for batch_size in (1, 7, 1000):
        assert torch.equal(confidence_of(Bright(), images, batch_size=batch_size), wanted)


# Distances


def test_distances_to_the_nearest_of_a_grid():
    references = torch.tensor([[0.0, 0], [10, 0], [0, 10]]).view(3, 1, 1, 2)
    images = torch.tensor([[3.0, 4], [10, 0], [1, 10], [8, 0]]).view(4, 1, 1, 2)
    for batch_size in (1, 3, 100):
        distance = nearest_distance(images, references, batch_size=batch_size)
        assert distance.tolist() == [5, 0, 1, 2]
    assert distance_holes(distance, 1.5)[:2] == (2, 4)
    assert distance_holes(distance, 2.0)[:2] == (1, 4), "at the threshold is not beyond it"


def test_distances_are_those_of_cdist():
    x, y = torch.rand(300, 1, 8, 8, generator=generator()), torch.rand(200, 1, 8, 8, generator=generator(1))
    wanted = torch.cdist(x.flatten(1).double(), y.flatten(1).double()).min(1).values
    torch.testing.assert_close(nearest_distance(x, y).double(), wanted, rtol=1e-5, atol=1e-6)
    assert nearest_distance(y + 1e-4, y).max() < 1.1 * 8 * 1e-4, "small distances lose their digits"


def test_the_distance_threshold_is_the_95th_percentile():
    distance = torch.arange(101.0)[torch.randperm(101, generator=generator())]
    assert distance_threshold(distance) == pytest.approx(95)
    assert distance_holes(distance, distance_threshold(distance)).count == 5


# Lines and circles


def test_both_kinds_begin_at_a_and_end_at_b():
    a, b = torch.randn(2, 5, 7, generator=generator())
    for kind in ("line", "great-circle"):
        z = interpolate(a, b, torch.tensor([0.0, 0.3, 1.0]), kind)
        assert z.shape == (5, 3, 7)
        torch.testing.assert_close(z[:, ::2], torch.stack([a, b], 1))


def test_a_quarter_circle():
    a, b, t = torch.tensor([2.0, 0]), torch.tensor([0.0, 2]), torch.tensor([0.5, 1 / 3])
    torch.testing.assert_close(interpolate(a, b, t)[0], torch.tensor([1.0, 1]))
    wanted = torch.tensor([[math.sqrt(2), math.sqrt(2)], [math.sqrt(3), 1]])
    torch.testing.assert_close(interpolate(a, b, t, "great-circle"), wanted)


def test_halfway_between_two_draws_the_line_is_short_and_the_circle_is_not():
    """Mean square length: d / 2 on the line, d on the circle (but for the few parts in d^2 of its angle)."""
    d = 50
    a, b = torch.randn(2, 20_000, d, generator=generator())
    half = torch.tensor([0.5])
    line, circle = (
        (interpolate(a, b, half, kind) ** 2).sum(-1).mean().sqrt().item() for kind in ("line", "great-circle")
    )
    assert line == pytest.approx(math.sqrt(d / 2), rel=0.01)
    assert circle == pytest.approx(math.sqrt(d), rel=0.02)


def test_where_there_is_no_one_circle_it_is_the_line():
    t, a = torch.tensor([0.25, 0.5]), torch.tensor([1.0, 2.0])
    for b in (torch.zeros(2), 3 * a, -a, a):
        torch.testing.assert_close(interpolate(a, b, t, "great-circle"), interpolate(a, b, t))


def test_holes_on_lines_through_a_known_gap():
    """On z2 = 0 the brightness is |z1|: from -1 to 1 in steps of .1 it is under .85 at 17 of 21 points."""
    a = torch.tensor([[-1.0, 0], [1.0, 0], [1.0, 5]])
    b = torch.tensor([[1.0, 0], [1.0, 3], [0.9, 5]])
    found = path_holes(Painter(), Bright(), a, b, steps=21, tau=0.85)
    profile = torch.linspace(-1, 1, 21).abs()
    torch.testing.assert_close(found.confidence[0], profile)
    assert found.confidence.shape == (3, 21)
    assert found.share == pytest.approx(17 / 63)
    assert (found.low, found.high) == pytest.approx(wilson(17 / 21, 3))
    assert found.crossing[:2] == (1, 3)
    assert path_holes(Painter(), Bright(), a, b, steps=21, tau=0.05).share == pytest.approx(1 / 63)


# What they refuse


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wilson(0, 0), "draw"),
        (lambda: wilson(-1, 5), "draw"),
        (lambda: wilson(6, 5), "draw"),
        (lambda: wilson(1, 5, 1.0), "level"),
        (lambda: hole_rate(torch.tensor([0.5, math.nan])), "probabilities from 0 to 1"),
        (lambda: hole_rate(torch.tensor([1.5])), "probabilities from 0 to 1"),
        (lambda: hole_rate(torch.zeros(0)), "probabilities from 0 to 1"),
        (lambda: hole_rate(torch.zeros(2, 2)), "probabilities from 0 to 1"),
        (lambda: reject_threshold(torch.ones(3), 1.0), "below 1"),
        (lambda: nearest_distance(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 4, 16)), "images of one shape"),
        (lambda: nearest_distance(torch.zeros(2, 1, 8, 8), torch.zeros(0, 1, 8, 8)), "images of one shape"),
        (
            lambda: interpolate(torch.zeros(2), torch.ones(2), torch.zeros(1), "circle"),
            '"line" or "great-circle"',
        ),
        (lambda: interpolate(torch.zeros(2), torch.ones(3), torch.zeros(1)), "one shape"),
        (
            lambda: path_holes(Painter(), Bright(), torch.zeros(2, 2), torch.zeros(2, 2), steps=1),
            "at least 2; got 1",
        ),
        (
            lambda: path_holes(Painter(), Bright(), torch.zeros(0, 2), torch.zeros(0, 2)),
            "at least one pair",
        ),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call()
