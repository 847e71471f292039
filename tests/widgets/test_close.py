"""Closing a panel leaves none of its widgets in ipywidgets' registry, and all of the user's."""

import ipywidgets as widgets
import pytest
from ipywidgets.widgets.widget import _instances

import vaewidgets as vw

PANELS = {
    "explorer": lambda: vw.LatentExplorer(vw.VAE(2, (1, 8, 8), hidden=(8,))),
    "kl_lab": vw.KLLab,
    "noise_knob": vw.NoiseKnob,
}


@pytest.mark.parametrize("name", PANELS)
def test_close_leaves_no_widget(wire, name):
    PANELS[name]().close()  # Modules may make widgets once, for all panels.
    before = set(_instances)
    panel = PANELS[name]()
    assert len(set(_instances) - before) > 5
    panel.close()
    panel.close()
    assert set(_instances) == before


def test_close_leaves_the_layout_that_the_user_passed_in(wire):
    from vaewidgets.widgets._panel import Panel

    layout = widgets.Layout(width="50%")
    panel = Panel([widgets.Label("x")], layout=layout)
    panel.close()
    assert layout.model_id in _instances
    layout.close()
