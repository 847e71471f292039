"""Plotly's figures as the panels use them: a page that comes later is given what is shown now."""

import numpy as np
import plotly.graph_objects as go

import vaewidgets as vw
from vaewidgets.widgets._core.plotly import FigureWidget


def test_a_page_that_asks_later_gets_the_points_and_the_axes(trained):
    codes = np.random.default_rng(0).normal(size=(50, 2)).astype("float32")
    panel = vw.LatentMap(codes, np.arange(50) % 2)
    assert isinstance(panel.figure, go.FigureWidget)
    state = panel.figure.get_state()
    points = [trace for trace in state["_widget_data"] if trace.get("meta") == "points"]
    sent = np.concatenate([np.frombuffer(trace["x"]["buffer"], trace["x"]["dtype"]) for trace in points])
    assert sorted(sent.tolist()) == sorted(codes[:, 0].tolist())
    assert state["_widget_layout"]["xaxis"]["title"]["text"] == "z1"


def test_a_later_change_is_in_the_state_and_a_piece_of_it_is_as_ever():
    figure = FigureWidget()
    figure.add_trace(go.Scatter(y=[1, 2]))
    figure.update_layout(width=300)
    state = figure.get_state()
    assert state["_widget_data"][0]["y"] == [1, 2] and state["_widget_layout"] == {
        **state["_widget_layout"],
        "width": 300,
    }
    state["_widget_layout"]["width"] = 7
    assert figure.layout.width == 300, "a copy"
    assert figure.get_state("_view_count") == {"_view_count": 0}
    figure.close()
