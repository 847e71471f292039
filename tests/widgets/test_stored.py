"""What a stored output says where its panel cannot be shown: the text that nbval compares, and what to do."""

import html

import pytest

import vaewidgets as vw
from vaewidgets.widgets._core.panel import Panel

VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.mark.parametrize("panel", [vw.KLLab, vw.NoiseKnob, lambda: vw.LatentExplorer(vw.VAE(2, (1, 8, 8)))])
def test_a_panel_says_in_words_what_to_do_where_it_cannot_be_shown(wire, panel):
    panel = panel()
    bundle = panel._repr_mimebundle_()
    assert bundle["text/plain"] == repr(panel)
    assert bundle["text/html"] == f"<p>{html.escape(repr(panel))}: run this cell to have the panel.</p>"
    assert bundle[VIEW]["model_id"] == panel.model_id and len(bundle) == 3


def test_markup_in_its_text_is_text(wire):
    class Odd(Panel):
        def __repr__(self):
            return "<img src=x onerror=alert(1)> & more"

    shown = Odd([])._repr_mimebundle_()["text/html"]
    assert shown.startswith("<p>&lt;img src=x onerror=alert(1)&gt; &amp; more: run this cell")
