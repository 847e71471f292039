"""Shared by the tests of training: what `fit` gives its objective."""

import pytest

import vaewidgets as vw
from vaewidgets.training import loop


@pytest.fixture
def elbo_calls(monkeypatch):
    """Every call of the objective by `fit`, as it comes: images, noise and terms."""
    calls = []

    def spied(model, x, *, epsilon, beta):
        terms = vw.elbo(model, x, epsilon=epsilon, beta=beta)
        calls.append((x, epsilon, terms))
        return terms

    monkeypatch.setattr(loop, "elbo", spied)
    return calls
