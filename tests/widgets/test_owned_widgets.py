"""The page is told of a panel once it is whole; closing leaves none of its widgets, and all of the user's."""

import gc
import itertools
import json
import re
import sys
import threading
import weakref

import ipywidgets as widgets
import pytest
import torch
from ipywidgets.widgets.widget import _instances

import vaewidgets as vw
from vaewidgets.widgets import __all__ as NAMES
from vaewidgets.widgets._core.model_lock import followers
from vaewidgets.widgets._core.panel import Panel


@pytest.fixture(scope="module")
def parts():
    data = vw.load_data("digits")
    return dict(
        data=data, small=vw.Images(data.test.images[:40], data.test.labels[:40]),
        vae=vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0), pretrained=vw.pretrained("digits-vae-2d"),
        ae=vw.pretrained("digits-ae-2d"), judge=vw.pretrained("digits-classifier"),
        codes=torch.randn(30, 2), labels=torch.arange(30) % 3,
    )  # fmt: skip


MAKERS = {
    "BetaDial": lambda p: vw.BetaDial(),
    "Bottleneck": lambda p: vw.Bottleneck(p["vae"], p["small"]),
    "DrawPad": lambda p: vw.DrawPad(p["vae"], p["small"]),
    "GapBar": lambda p: vw.GapBar(),
    "HoleFinder": lambda p: vw.HoleFinder(p["ae"], p["pretrained"], cells=8),
    "KLLab": lambda p: vw.KLLab(p["vae"], p["small"]),
    "LatentExplorer": lambda p: vw.LatentExplorer(p["vae"], p["small"]),
    "LatentMap": lambda p: vw.LatentMap(p["codes"], p["labels"]),
    "LearningCurves": lambda p: vw.LearningCurves(),
    "NoiseKnob": lambda p: vw.NoiseKnob(p["vae"]),
    "Scoreboard": lambda p: vw.Scoreboard({"one": p["vae"]}, p["judge"], p["small"]),
    "Surprises": lambda p: vw.Surprises(p["vae"], p["small"]),
    "TrainingCockpit": lambda p: vw.TrainingCockpit(p["vae"], p["data"], epochs=1, points=50),
    "Traverse": lambda p: vw.Traverse(p["vae"], p["small"]),
}


def test_every_panel_is_closed_here():
    assert sorted(MAKERS) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_widget_is_told_once_with_all_it_has_and_after_those_that_it_names(wire, parts, name):
    panel = MAKERS[name](parts)
    assert wire.messages == [], "the page was told something after it had been told of the widget"
    ids = [comm_id for comm_id, _ in wire.opened]
    assert ids == list(dict.fromkeys(ids)) and len(ids) == len(panel._to_close) and ids[-1] == panel.model_id
    for place, (comm_id, state) in enumerate(wire.opened):
        named = set(re.findall(r"IPY_MODEL_(\w+)", json.dumps(state, default=repr)))
        assert named <= set(ids[:place]), f"widget {comm_id} names one that the page does not know yet"
    panel.close()


@pytest.mark.parametrize("name", NAMES)
def test_close_leaves_no_widget_no_thread_and_no_follower(wire, parts, name):
    MAKERS[name](parts).close()  # Modules may make widgets once, for all panels.
    before, threads = set(_instances), threading.active_count()
    panel = MAKERS[name](parts)
    model = getattr(panel, "model", None)
    assert len(set(_instances) - before) >= 4
    panel.close()
    panel.close()
    assert set(_instances) == before
    assert threading.active_count() == threads
    if isinstance(model, torch.nn.Module):
        assert panel not in followers(model)
    gone = weakref.ref(panel)
    del panel
    gc.collect()
    assert gone() is None, "something still holds the closed panel"


def test_fifty_explorers_leave_memory_and_registry_where_they_were(wire, parts):
    """The smaller growth of two rounds: a leak grows in each, what the interpreter keeps for later in one."""

    def blocks_after(explorers: int) -> int:
        for _ in range(explorers):
            vw.LatentExplorer(parts["vae"], parts["small"]).close()
            wire.clear()
        gc.collect()
        return sys.getallocatedblocks()

    blocks_after(5)
    registry = len(_instances)
    blocks = [blocks_after(1), blocks_after(25), blocks_after(25)]
    assert len(_instances) == registry
    grown = min(later - earlier for earlier, later in itertools.pairwise(blocks))
    assert grown < 25, f"{grown / 25:.1f} objects are left of each explorer: {blocks}"


class Halfway(Panel):
    """It makes a control that is shown, one that is not, and then cannot go on."""

    def __init__(self, error: BaseException) -> None:
        self.hidden = widgets.IntSlider()
        super().__init__([widgets.Text()])
        raise error


@pytest.mark.parametrize("error", [ValueError("refused"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_a_panel_that_is_refused_half_way_leaves_nothing(wire, error):
    before = set(_instances)
    with pytest.raises(type(error)):
        Halfway(error)
    assert set(_instances) == before


REFUSED = {
    "Bottleneck": (ValueError, lambda p: vw.Bottleneck(p["vae"], p["small"], row=40)),
    "BetaDial": (ValueError, lambda p: vw.BetaDial(beta=-1.0)),
    "GapBar": (ValueError, lambda p: vw.GapBar(theta=91)),
    "KLLab": (IndexError, lambda p: vw.KLLab(p["vae"], p["small"], row=40)),
    "LatentMap": (ValueError, lambda p: vw.LatentMap(p["codes"], p["labels"], guess=9)),
    "Surprises": (ValueError, lambda p: vw.Surprises(p["vae"], p["small"], rank=40)),
    "LatentExplorer": (TypeError, lambda p: vw.LatentExplorer(p["vae"], p["small"], sliders=1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_panel_leaves_nothing(wire, parts, name):
    MAKERS[name](parts).close()
    before = set(_instances)
    error, make = REFUSED[name]
    with pytest.raises(error):
        make(parts)
    assert set(_instances) == before


def test_close_leaves_what_the_user_passed_in_put_in_or_took_over(wire):
    layout, other = widgets.Layout(width="50%"), widgets.Layout()
    label, late = widgets.Label("x"), widgets.Button()
    panel = Panel([label], layout=layout)
    panel.children = (*panel.children, late)
    panel.error_line.layout = other
    theirs = widgets.HTML(layout=panel.children[0].layout)
    panel.close()
    assert panel.error_line.comm is None
    kept = [layout, other, label, label.layout, label.style, late, late.layout, late.style, theirs,
            theirs.layout, theirs.style]  # fmt: skip
    for widget in kept:
        assert _instances[widget.model_id] is widget
    for widget in kept:
        widget.close()


def test_a_panel_within_a_panel_is_closed_with_it_or_alone(wire):
    class Outer(Panel):
        def __init__(self) -> None:
            self.inner = Panel([widgets.Text()])
            super().__init__([self.inner])

    before = set(_instances)
    outer = Outer()
    outer.inner.close()
    assert outer.comm is not None
    outer.close()
    Outer().close()
    assert set(_instances) == before


def test_widgets_that_another_thread_makes_meanwhile_are_its_own(wire):
    made = []

    class Slow(Panel):
        def __init__(self) -> None:
            thread = threading.Thread(target=lambda: made.append(widgets.Button()))
            thread.start()
            thread.join()
            super().__init__([])

    Slow().close()
    (button,) = made
    assert button.comm is not None
    for widget in (button, button.layout, button.style):
        widget.close()


def test_the_listener_of_somebody_else_hears_of_every_widget_and_panels_close_all_the_same(wire):
    before, heard = set(_instances), []
    own = widgets.Widget._widget_construction_callback
    try:
        widgets.Widget.on_widget_constructed(heard.append)
        panel = Panel([])
        assert panel in heard
        panel.close()
        assert set(_instances) == before
    finally:
        widgets.Widget.on_widget_constructed(own)


@pytest.mark.parametrize("name", ["LatentExplorer", "Bottleneck", "Traverse", "HoleFinder", "LatentMap"])
def test_a_panel_that_is_closed_while_it_is_at_work_ends_that_work_well(wire, parts, name):
    MAKERS[name](parts).close()
    before = set(_instances)
    panel = MAKERS[name](parts)
    trait, first, second = ("row", 3, 4) if name == "Bottleneck" else ("z", (0.5, 0.25), (0.25, 0.5))
    panel.observe(lambda _: panel.close(), trait)
    setattr(panel, trait, first)
    assert panel.comm is None
    # What is set afterwards goes nowhere, and nothing is opened again.
    setattr(panel, trait, second)
    assert set(_instances) == before
