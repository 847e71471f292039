"""Grouping: codes that say the label, half of it, or nothing of it."""

import math

import pytest
import torch
from oracles import generator

from vaewidgets.evaluation.metrics import knn_agreement
from vaewidgets.evaluation.probes import baselines, grouping, halves, linear_probe


def test_codes_that_are_the_label_are_read_without_error():
    labels = torch.arange(400) % 4
    codes = torch.nn.functional.one_hot(labels).float() * 100 + torch.randn(400, 4, generator=generator())
    found = grouping(codes, labels)
    assert found.neighbours == 1.0
    assert found.probe[:2] == (200, 200), "half of the codes score"


def test_codes_that_say_nothing_give_chance():
    labels = torch.randint(4, (4000,), generator=generator())
    rate = linear_probe(torch.randn(4000, 3, generator=generator(1)), labels)
    assert rate.low < 0.25 < rate.high


def test_two_gaussians_are_told_apart_as_often_as_theory_says():
    """At distance 2 with deviation 1 the best line errs with chance Phi(-1)."""
    labels = torch.arange(20_000) % 2
    codes = torch.randn(20_000, 2, generator=generator())
    codes[:, 0] += 2 * labels
    right = 0.5 * (1 + math.erf(1 / math.sqrt(2)))
    rate = linear_probe(codes, labels)
    assert rate.n == 10_000
    assert rate.share == pytest.approx(right, abs=4 * math.sqrt(right * (1 - right) / 10_000))
    scaled = linear_probe(codes * torch.tensor([1e3, 1e-3]) + 50, labels)
    assert scaled.share == pytest.approx(rate.share, abs=1e-3), "the scale of codes is arbitrary"


def test_a_ring_about_a_disc_is_for_neighbours_and_not_for_a_line():
    g = generator()
    labels = torch.arange(1000) % 2
    angle, radius = 2 * math.pi * torch.rand(1000, generator=g), 1.0 + 4 * labels
    found = grouping(torch.stack([radius * angle.cos(), radius * angle.sin()], 1), labels)
    assert found.neighbours == 1.0 and found.probe.share < 0.65


def test_halves_are_disjoint_and_whole_and_the_same_for_the_same_seed():
    first, second = halves(11, 0)
    assert (len(first), len(second)) == (5, 6)
    assert sorted([*first.tolist(), *second.tolist()]) == list(range(11))
    assert torch.equal(first, halves(11, 0)[0]) and not torch.equal(first, halves(11, 1)[0])


def test_baselines_of_images_whose_label_is_in_the_first_component():
    """Class 1 is bright: one principal component tells it, and so do pixels."""
    g = generator()
    labels = torch.arange(600) % 2
    images = 0.1 * torch.rand(600, 1, 4, 4, generator=g) + 0.8 * labels[:, None, None, None]
    found = baselines(images, labels, 1)
    assert list(found) == ["pixels", "PCA", "random projection"]
    assert found["PCA"].probe.share == found["pixels"].probe.share == 1.0
    assert found["pixels"].neighbours == knn_agreement(images, labels)


def test_pca_takes_the_widest_directions():
    """A label in the two narrowest of 16 dimensions is lost to PCA of 2, not to PCA of 16."""
    g = generator()
    labels = torch.arange(800) % 2
    pixels = torch.randn(800, 16, generator=g) * 10
    pixels[:, :2] = 0.05 * torch.randn(800, 2, generator=g) + labels[:, None]
    images = pixels.view(800, 1, 4, 4)
    narrow, whole = (baselines(images, labels, d)["PCA"].probe for d in (2, 16))
    assert narrow.share < 0.6 and whole.share > 0.99


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda codes, labels: linear_probe(codes, labels[:5]), "20 codes need 20 labels"),
        (lambda codes, labels: linear_probe(codes, 0 * labels), "at least two"),
        (lambda codes, labels: linear_probe(codes * math.nan, labels), "finite"),
        (lambda _, labels: baselines(torch.rand(20, 1, 4, 4), labels, 0), "1 to the 16 pixels .*; got 0"),
        (lambda _, labels: baselines(torch.rand(20, 1, 4, 4), labels, 17), "1 to the 16 pixels .*; got 17"),
    ],
)
def test_what_is_refused(call, words):
    with pytest.raises(ValueError, match=words):
        call(torch.randn(20, 2), torch.arange(20) % 2)
