"""The live scatter and the curves beside it, without a browser."""

import re

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.path import Path

import vaewidgets as vw
from vaewidgets.widgets.latent_map.selection import within

from .conftest import check_not_settable, check_refused, from_page

LABELS = np.array([2, 0, 1, 0, 2, 1])


@pytest.fixture
def mu() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 2)).astype("float32")


def on_figure(panel) -> np.ndarray:
    """The points that the figure holds, in the order of the rows."""
    found = np.full((len(panel.mu), 2), np.nan, "float32")
    for trace in panel.figure.select_traces({"meta": "points"}):
        found[trace.customdata] = np.stack([trace.x, trace.y], 1)
    return found


def test_assigning_mu_moves_the_points_in_place(mu):
    panel = vw.LatentMap(mu, LABELS)
    traces = panel.figure.data
    np.testing.assert_array_equal(on_figure(panel), mu)
    panel.mu = torch.tensor(mu * 2, requires_grad=True)
    np.testing.assert_array_equal(on_figure(panel), mu * 2)
    assert all(a is b for a, b in zip(panel.figure.data, traces, strict=True))
    names = next(panel.figure.select_traces({"meta": "names"}))
    medians = [np.median(mu[np.equal(LABELS, c)] * 2, 0) for c in range(3)]
    np.testing.assert_allclose(np.stack([names.x, names.y], 1), medians)


def test_one_assignment_is_a_handful_of_messages_not_one_per_trace(wire):
    panel = vw.LatentMap(np.zeros((100, 2)), np.arange(100) % 10)
    wire.clear()
    panel.mu = np.ones((100, 2))
    assert 1 <= len(wire.messages) <= 5


def test_axes_follow_only_when_points_leave_or_shrink_far_inside(mu):
    panel = vw.LatentMap(mu, LABELS)
    before = panel.figure.layout.xaxis.range
    panel.mu = mu * 1.2
    assert panel.figure.layout.xaxis.range == before
    panel.mu = mu * 10
    low, high = panel.figure.layout.xaxis.range
    assert low < mu[:, 0].min() * 10 < mu[:, 0].max() * 10 < high
    panel.mu = mu
    assert panel.figure.layout.xaxis.range == before


def test_hidden_labels_leave_no_trace_of_a_class(mu):
    panel = vw.LatentMap(mu, LABELS, classes=["a", "b", "c"])
    points = list(panel.figure.select_traces({"meta": "points"}))
    colours = [t.marker.color for t in points]
    assert len(set(colours)) == 3
    panel.hide.value = True
    assert panel.labels_hidden
    assert len({t.marker.color for t in points}) == 1
    assert not any(t.showlegend for t in points)
    assert not next(panel.figure.select_traces({"meta": "names"})).visible
    assert all(t.hovertemplate.endswith("<extra></extra>") for t in points)
    panel.labels_hidden = False
    assert panel.hide.value is False
    assert [t.marker.color for t in points] == colours
    assert not any("<extra>" in t.hovertemplate for t in points)


def test_without_a_prior_there_are_no_circles_and_the_frame_is_that_of_the_codes(mu):
    panel = vw.LatentMap(mu * 3 + 50, LABELS, prior=False)
    assert len(panel.figure.layout.shapes) == 0
    assert panel.figure.layout.xaxis.range[0] > 30
    assert len(vw.LatentMap(mu, LABELS).figure.layout.shapes) == 2


def test_the_cursor_moves_z_and_links_to_an_explorer(wire, mu, model):
    panel, explorer = vw.LatentMap(mu, LABELS), vw.LatentExplorer(model)
    traitlets.link((panel, "z"), (explorer, "z"))
    from_page(panel.cursor, moved=[0.5, -0.5])
    assert explorer.z == panel.z == (0.5, -0.5)
    explorer.z = (1, 2)
    assert panel.cursor.position == [1, 2]
    assert repr(panel) == "LatentMap(points=6, z=(1.00, 2.00))"


def test_a_click_selects_a_row(mu):
    panel = vw.LatentMap(mu, LABELS)
    trace = next(panel.figure.select_traces({"meta": "points"}))
    state = type("State", (), {"point_inds": [1]})()
    trace._click_callbacks[0](trace, state, None)
    assert panel.selected == trace.customdata[1]
    assert panel.z == pytest.approx(tuple(mu[panel.selected]))


@pytest.mark.parametrize("d", [1, 5])
def test_other_numbers_of_dimensions(d):
    mu = np.random.default_rng(0).normal(size=(6, d))
    panel = vw.LatentMap(mu)
    panel.mu = mu * 2
    assert panel.latent_dim == d
    np.testing.assert_allclose(on_figure(panel)[:, 0], mu[:, 0] * 2, rtol=1e-6)


def test_bad_tables_are_refused_and_the_map_goes_on(mu):
    panel = vw.LatentMap(mu, LABELS)
    check_not_settable(
        panel,
        ("mu", mu[:5], ValueError, r"\(6, 2\) on this map; got \(5, 2\)"),
        ("mu", np.full((6, 2), np.nan), ValueError, "NaN"),
        ("mu", "abc", TypeError, "table of numbers"),
    )
    np.testing.assert_array_equal(on_figure(panel), mu)
    check_refused(
        vw.LatentMap,
        ((mu, LABELS[:4]), {}, ValueError, "6 labels"),
        ((mu, LABELS - 1), {}, ValueError, "from 0 up"),
        ((mu, LABELS + 0.5), {}, ValueError, "integers"),
        ((np.zeros(4),), {}, ValueError, r"\(N, d\)"),
        ((mu,), dict(label=LABELS), TypeError, "'labels'"),
    )


# -- the game ----------------------------------------------------------------------------------------------


@pytest.fixture
def board():
    """300 points of three classes, the first well apart, on a panel whose labels are hidden."""
    noise = np.random.default_rng(1)
    labels = np.arange(300) % 3
    mu = noise.normal(size=(300, 2)) * 0.4 + np.array([[-2, 0], [1, 0.3], [1, -0.3]])[labels]
    return vw.LatentMap(mu, labels, classes=["a<b", "b", "c"], labels_hidden=True)


SQUARE = [(0, -1.5), (2.5, -1.5), (2.5, 1.5), (0, 1.5)]


def test_within_agrees_with_matplotlib_on_crooked_polygons():
    noise = np.random.default_rng(0)
    points = noise.uniform(-1.2, 1.2, size=(2000, 2))
    for corners in (3, 7, 40):
        # Sorted by angle about the centre it is star-shaped, and never crosses itself.
        angle = np.sort(noise.uniform(0, 2 * np.pi, corners))
        polygon = noise.uniform(0.3, 1.1, (corners, 1)) * np.stack([np.cos(angle), np.sin(angle)], 1)
        expected = np.flatnonzero(Path(polygon).contains_points(points))
        np.testing.assert_array_equal(within(points, polygon), expected)
        np.testing.assert_array_equal(within(points, polygon[::-1]), expected)
    twice = [(-1, -1), (1, 1), (1, -1), (-1, 1)]
    np.testing.assert_array_equal(within([(0.5, 0), (-0.5, 0), (0, 0.5)], twice), [0, 1])


def test_a_lasso_takes_and_reveal_counts(board):
    board.lasso = SQUARE
    expected = np.flatnonzero(Path(SQUARE).contains_points(board.mu))
    np.testing.assert_array_equal(board.taken, expected)
    assert board.labels_hidden and board.overlay.kinds == b"" and board.overlay.right == -1
    np.testing.assert_array_equal(
        np.frombuffer(board.overlay.points, "float32").reshape(-1, 2), board.mu[expected]
    )
    said = board.game.state.value
    assert f"{len(expected)} points taken" in said and "purity" not in said

    result = board.reveal()
    counts = [int((expected % 3 == c).sum()) for c in range(3)]
    assert counts[0] < min(counts[1:])
    assert result.most == result.meant == int(np.argmax(counts)) and result.guess is None
    assert (result.taken, result.right) == (len(expected), max(counts))
    assert result.wrong == len(expected) - max(counts)
    assert result.purity == max(counts) / len(expected) and result.found == max(counts) / 100
    for words in (f"{result.right} right", f"{result.wrong} wrong", f"purity {100 * result.purity:.1f} %"):
        assert words in board.game.state.value
    assert list(board.overlay.kinds) == [row % 3 for row in expected] and board.overlay.right == result.most
    assert board.reveal() is result and board.results == board.hauls == [result]


def test_a_guess_counts_what_was_said_and_names_what_it_was(board):
    board.game.guess.value = 0
    assert board.guess == 0
    board.lasso = SQUARE
    result = board.reveal()
    inside = Path(SQUARE).contains_points(board.mu)
    assert (result.guess, result.meant, result.right) == (0, 0, int((np.flatnonzero(inside) % 3 == 0).sum()))
    assert result.most in (1, 2) and result.purity < 0.1
    assert "You said a&lt;b. Most of them are" in board.game.state.value
    # Thought better of it: another lasso in the table, since it is another bet.
    board.guess = result.most
    assert "purity" not in board.game.state.value and board.game.guess.value == result.most
    assert board.reveal().right > result.right and len(board.results) == 2


def test_several_lassos_make_a_table_until_cleared(board):
    board.z = (-2, 0)
    board.game.radius.value = 1.2
    board.game.take.click()
    distance = np.hypot(*(board.mu - [-2, 0]).T)
    assert not ((distance > 1.2 * np.cos(np.pi / 128)) & (distance < 1.2)).any()
    np.testing.assert_array_equal(board.taken, np.flatnonzero(distance < 1.2))
    board.game.reveal.click()
    board.take_within(0.3)
    board.reveal()
    assert [row["number"] for row in board.overlay.past] == [1, 2]
    table = board.game.table.value
    assert table.count("<tr>") == 3 and "<td>a&lt;b</td>" in table and "a<b" not in table
    assert board.results[0].purity > 0.9 and f"<td>{100 * board.results[0].found:.1f} %</td>" in table
    board.game.clear.click()
    assert board.lasso == () and not len(board.taken) and board.results == [] and board.overlay.past == []
    assert board.game.table.value == "" and "Nothing is taken" in board.game.state.value


def test_rows_may_be_taken_without_a_lasso_and_a_lasso_follows_points_that_move(board):
    board.lasso = SQUARE
    board.taken = torch.tensor([5, 2, 2])
    assert board.lasso == () and board.overlay.corners == [] and list(board.taken) == [2, 5]
    board.reveal()
    assert board.results[0].taken == 2 and board.overlay.past == []
    board.lasso = SQUARE
    board.mu = board.mu - [3, 0]
    np.testing.assert_array_equal(board.taken, np.flatnonzero(Path(SQUARE).contains_points(board.mu)))


def test_a_stroke_of_the_page_is_a_lasso(wire):
    panel = vw.LatentMap([[0, 0], [5, 5], [1, 1]], [0, 1, 1])
    panel.game.draw.value = True
    assert panel.overlay.armed
    from_page(panel.overlay, drawn=[[-1, -1], [2, -1], [2, 2], [-1, 2]])
    assert list(panel.taken) == [0, 2]
    assert panel.reveal().purity == 0.5
    from_page(panel.overlay, drawn=[[20, 20], [21, 20], [21, 21]])
    assert not len(panel.taken) and panel.game.reveal.disabled


def test_what_cannot_be_taken_or_revealed_is_refused(board, mu):
    check_not_settable(
        board,
        ("lasso", [(0, 0), (1, 1)], ValueError, "at least 3 corners"),
        ("lasso", [(0, 0, 0)] * 4, ValueError, r"got shape \(4, 3\)"),
        ("lasso", [(0, 0), (1, np.nan), (1, 1)], ValueError, "NaN"),
        ("lasso", "around", TypeError, "table of corners"),
        ("taken", [300], ValueError, "rows from 0 to 299"),
        ("taken", [-1], ValueError, "rows from 0 to 299"),
        ("taken", [0.5], TypeError, "row numbers"),
        ("taken", [True, False], TypeError, "row numbers"),
        ("guess", 3, ValueError, "class from 0 to 2; got 3"),
    )
    for radius in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match="radius must be positive"):
            board.take_within(radius)
    with pytest.raises(ValueError, match="nothing is taken yet"):
        board.reveal()
    assert board.lasso == () and board.guess is None and board.results == []
    plain = vw.LatentMap(mu, lasso=[(-9, -9), (9, -9), (0, 9)])
    assert plain.game.reveal.disabled and len(plain.taken)
    with pytest.raises(ValueError, match="no labels to reveal"):
        plain.reveal()


# -- a training loop ---------------------------------------------------------------------------------------


def test_a_loop_over_fit_moves_the_map_and_grows_the_curves(digits):
    images, labels = digits.train.images[:200], digits.train.labels[:200]
    model = vw.VAE(2, (1, 8, 8), hidden=(16,), seed=0)
    with torch.no_grad():
        panel, curves = vw.LatentMap(model.encode(images).mu, labels), vw.LearningCurves()
    before = panel.mu.copy()
    for step in vw.throttle(vw.fit(model, images, epochs=3, batch_size=50), seconds=0):
        curves.append(step)
        with torch.no_grad():
            panel.mu = model.encode(images).mu
    assert not np.allclose(panel.mu, before)
    reconstruction, kl = curves.figure.data
    assert list(reconstruction.x) == list(kl.x) == list(range(1, 13))
    assert reconstruction.y[-1] == step.reconstruction
    assert kl.y[-1] == step.kl
    assert f"loss {step.loss:.2f}" in curves.state.value
    assert repr(curves) == "LearningCurves(points=12)"
    with pytest.raises(ValueError, match="after step 12"):
        curves.append(step)


def test_paced_passes_on_the_first_and_the_last_and_trains_on_all(digits, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr("vaewidgets.training.loop.time.monotonic", lambda: float(next(clock)))
    images = digits.train.images[:100]
    model, twin = (vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0) for _ in range(2))
    # The clock ticks once a look, and once more when a step is passed on.
    passed = [step.step for step in vw.throttle(vw.fit(model, images, epochs=1, batch_size=5), seconds=6)]
    assert passed == [1, 7, 13, 19, 20]
    for _ in vw.fit(twin, images, epochs=1, batch_size=5):
        pass
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_closing_the_pace_closes_the_training(digits):
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    steps = vw.fit(model, digits.train.images[:50], epochs=5)
    pace = vw.throttle(steps, seconds=0)
    next(pace)
    pace.close()
    assert list(steps) == []


def test_names_of_classes_are_made_safe_where_they_enter():
    panel = vw.LatentMap(np.zeros((2, 2)), [0, 1], classes=["\x1b[2J\u202ea", "b"])
    assert not re.search("[\x1b\u202e]", str(panel.figure.to_plotly_json()))
