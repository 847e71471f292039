"""The explorer without a browser: one source of truth, one decode a move, clear errors."""

import re
import threading
import unittest.mock

import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.widgets.widget import _instances
from torch import nn

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.widgets._core.network_spec import describe

from .conftest import CountingVAE, from_page, told_of


def decoded(model, z) -> np.ndarray:
    """What the model makes of z, worked out apart from the panel."""
    with torch.no_grad():
        return to_uint8(model.decode(torch.as_tensor(np.array([z]), dtype=torch.float32))[0])


def shown(picture) -> np.ndarray:
    shape = (picture.rows, picture.columns) + ((3,) if picture.channels == 3 else ())
    return np.frombuffer(picture.pixels, np.uint8).reshape(shape)


def ellipse(figure, name) -> np.ndarray:
    (shape,) = [s for s in figure.layout.shapes if s.name == name]
    return np.array([[float(v) for v in p.split(",")] for p in re.findall(r"[-\d.e]+,[-\d.e]+", shape.path)])


def click(panel, row) -> None:
    """Click a point as Plotly reports it: every trace is called, one of them with a point."""
    state = type("State", (), {})()
    for trace in list(panel.figure.data):
        if trace.meta != "points":
            continue
        state.point_inds = list(np.flatnonzero(trace.customdata == row))
        for callback in trace._click_callbacks:
            callback(trace, state, None)


# -- one source of truth -----------------------------------------------------------------------------


def test_a_page_slower_than_the_kernel_and_the_way_there_leaves_the_picture_to_the_kernel(wire):
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    panel = vw.LatentExplorer(model)
    from_page(panel.latent, page_ms=40.0)
    assert panel.canvas.key == panel.latent.key and "in this page, 40 ms a picture" in panel.where.value
    from_page(panel.latent, page_ms=5000.0)
    assert panel.canvas.key == "" and "by the kernel: " in panel.where.value
    for z1 in (0.5, 1.0, -2.0):
        from_page(panel.sliders[0], value=z1)
        np.testing.assert_array_equal(shown(panel.canvas), decoded(model, (z1, 0)))
    from_page(panel.latent, moved=[0.25, 0.75])
    np.testing.assert_array_equal(shown(panel.canvas), decoded(model, (0.25, 0.75)))
    panel.z = (1, 1)
    np.testing.assert_array_equal(shown(panel.canvas), decoded(model, (1, 1)))


def test_a_slider_move_from_the_page_is_one_decode_of_that_point(wire, model, images):
    panel = vw.LatentExplorer(model, images)
    model.decoded.clear()
    from_page(panel.sliders[1], value=1.25)
    assert [z.tolist() for z in model.decoded] == [[[0.0, 1.25]]]
    assert panel.z == (0.0, 1.25)
    np.testing.assert_array_equal(shown(panel.canvas), decoded(model, (0, 1.25)))


def test_a_slider_move_sends_one_message_to_each_widget_that_changes_and_none_to_the_figure(wire, model):
    panel = vw.LatentExplorer(model)
    wire.clear()
    from_page(panel.sliders[0], value=0.5)
    assert len(wire.updates(panel.canvas)) == 1
    assert wire.updates(panel.boxes[0]) == [{"value": 0.5}]
    assert wire.updates(panel.figure) == [] == wire.updates(panel.boxes[1])
    # The page moved its cursors itself. Canvas, box, state line; ipywidgets may echo the slider.
    assert len(moved := updated(wire, panel)) == len(set(moved)) == 3
    assert panel.cursor.position == [0.5, 0.0]


def updated(wire, panel) -> list[str]:
    """The widgets that got an update, but for the first slider."""
    own = panel.sliders[0].comm.comm_id
    return [c for c, message in wire.messages if message["method"] == "update" and c != own]


def test_what_the_page_can_decode_is_not_sent_to_it(wire):
    model = vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0)
    panel = vw.LatentExplorer(model)
    assert "in this page" in panel.where.value
    assert panel.latent.networks == {"model": told_of(describe(model))}
    assert panel.canvas.key == panel.cursor.key == panel.grid.picture.key == panel.latent.key
    wire.clear()
    with unittest.mock.patch.object(nn.Module, "__call__", side_effect=AssertionError("the kernel decoded")):
        from_page(panel.sliders[0], value=0.5)
        from_page(panel.latent, moved=[0.25, -1.0])
    assert panel.error_line.value == ""
    assert panel.z == (0.25, -1.0)
    np.testing.assert_array_equal(panel.image, decoded(model, (0.25, -1.0)))
    assert wire.updates(panel.canvas) == [] == wire.updates(panel.latent)
    panel.z = (1, 2)
    assert wire.updates(panel.latent) == [{"z": [1.0, 2.0], "serial": panel.latent.serial}]
    assert wire.updates(panel.canvas) == []


def test_the_sliders_are_made_where_z_is(wire):
    panel = vw.LatentExplorer(vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0), z=(1.5, -7.25))
    assert [slider.value for slider in panel.sliders] == [1.5, -7.25] == panel.latent.z
    assert panel.sliders[1].min == -7.5
    for slider in panel.sliders:
        assert wire.updates(slider) == []


def test_weights_that_were_trained_on_are_sent_again(wire, digits, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("vaewidgets.widgets._core.browser_network.time.monotonic", lambda: clock[0])
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    panel = vw.LatentExplorer(model)
    before = panel.latent.networks
    for _ in vw.fit(model, digits.train.images[:100], epochs=1):
        pass
    wire.clear()
    from_page(panel.sliders[0], value=0.5)
    assert panel.latent.networks == before  # a hand moves often: looked at twice a second
    clock[0] = 0.6
    from_page(panel.sliders[0], value=0.6)
    assert panel.latent.networks == {"model": told_of(describe(model))} != before
    clock[0] = 1.2
    from_page(panel.sliders[0], value=0.7)
    assert len(wire.updates(panel.latent)) == 1
    with torch.no_grad():
        model.decoder[0].bias += 1
    panel.z = (0, 0)  # Python does not move often
    assert panel.latent.networks == {"model": told_of(describe(model))}


def test_the_same_z_again_decodes_nothing(wire, model):
    panel = vw.LatentExplorer(model, z=(1, 2))
    model.decoded.clear()
    panel.z = (1, 2)
    assert model.decoded == []


@pytest.mark.parametrize(
    "z", [[0.5, -1.25], (0.5, -1.25), np.array([0.5, -1.25]), torch.tensor([0.5, -1.25])]
)
def test_z_from_python_moves_everything(model, images, z):
    panel = vw.LatentExplorer(model, images)
    panel.z = z
    assert panel.z == (0.5, -1.25)
    assert [s.value for s in panel.sliders] == [b.value for b in panel.boxes] == [0.5, -1.25]
    assert panel.cursor.position == [0.5, -1.25]
    np.testing.assert_array_equal(panel.image, decoded(model, panel.z))
    np.testing.assert_array_equal(shown(panel.canvas), panel.image)
    assert "(0.50, -1.25)" in panel.state.value


def test_a_number_typed_in_the_box_moves_z_and_its_echo_does_not_round_z(wire, model):
    panel = vw.LatentExplorer(model)
    panel.z = (0.123456789, 0)
    assert panel.z[0] == 0.123456789
    assert panel.boxes[0].value == 0.1235
    from_page(panel.boxes[0], value=-2.0)
    assert panel.z == (-2.0, 0.0)


def test_the_page_rounding_a_slider_to_its_step_does_not_round_z(wire, model, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("vaewidgets.widgets.explorer.coordinate_sliders.time.monotonic", lambda: clock[0])
    panel = vw.LatentExplorer(model)
    panel.z = (0.654321, 0)
    panel.z = (0.123456, 0.987654)
    from_page(panel.sliders[0], value=0.65)  # what the page answers to 0.654321, late
    from_page(panel.sliders[0], value=0.12)  # what the page answers to 0.123456
    assert panel.z == (0.123456, 0.987654)
    wire.clear()
    from_page(panel.sliders[1], value=0.5)
    assert panel.z == (0.123456, 0.5)
    assert wire.updates(panel.sliders[0]) == []
    from_page(panel.sliders[0], value=0.13)  # one press of an arrow key
    assert panel.z == (0.13, 0.5)
    clock[0] += 20
    from_page(panel.sliders[0], value=0.65)  # the answer of a machine that is very busy
    assert panel.z == (0.13, 0.5)
    from_page(panel.latent, heard=panel.latent.serial)
    from_page(panel.sliders[0], value=0.12)  # just after the page has heard of it
    assert panel.z == (0.13, 0.5)
    clock[0] += 2
    from_page(panel.sliders[0], value=0.65)  # a hand, long after
    assert panel.z == (0.65, 0.5)
    from_page(panel.latent, heard=panel.latent.serial)
    clock[0] += 20
    panel.z = (7.654321, 0.5)
    from_page(panel.sliders[0], value=0.65)  # where it still was when its end was moved
    assert panel.z == (7.654321, 0.5)
    from_page(panel.sliders[0], value=0.13)
    panel.sliders[0].value = 0.132  # Python may move by less than a step
    assert panel.z == (0.132, 0.5)


def test_z_beyond_the_sliders_widens_them_and_is_not_clipped(model):
    panel = vw.LatentExplorer(model)
    assert (panel.sliders[0].min, panel.sliders[0].max) == (-3.5, 3.5)
    panel.z = (4.2, -7.1)
    assert panel.z == (4.2, -7.1)
    assert panel.sliders[0].max == 4.5
    assert panel.sliders[1].min == -7.5
    assert panel.sliders[1].value == -7.1


def test_cursor_and_grid_move_z(wire, model):
    panel = vw.LatentExplorer(model)
    from_page(panel.latent, moved=[0.3, -0.4])
    assert panel.z == pytest.approx((0.3, -0.4))
    # a quarter from the left, a tenth from the top: the quartile and the upper decile of N(0, 1)
    panel.z = (-0.6744898, 1.2815516)
    assert panel.grid.picture.cursor == pytest.approx([0.25, 0.1])
    assert panel.grid.to_plane([0.25, 0.1]) == pytest.approx(panel.z)


def test_two_explorers_can_be_linked(model):
    one, two = vw.LatentExplorer(model), vw.LatentExplorer(model)
    traitlets.link((one, "z"), (two, "z"))
    one.sliders[0].value = 1.5
    assert two.z == (1.5, 0.0)
    assert two.sliders[0].value == 1.5


def test_repr_is_short_and_stable(model):
    panel = vw.LatentExplorer(model, z=(0.5, -1.2))
    assert repr(panel) == "LatentExplorer(latent_dim=2, z=(0.50, -1.20))"
    panel.z = (-0.001, 0)
    assert repr(panel) == "LatentExplorer(latent_dim=2, z=(0.00, 0.00))"


def test_threads_that_move_z_at_once_leave_picture_and_z_agreeing(model):
    panel = vw.LatentExplorer(model)
    failures = []

    def drag(coordinate):
        try:
            for value in np.linspace(-3, 3, 40):
                panel.sliders[coordinate].value = float(value)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=drag, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    np.testing.assert_array_equal(panel.image, decoded(model, panel.z))
    np.testing.assert_array_equal(shown(panel.canvas), panel.image)
    assert [s.value for s in panel.sliders] == list(panel.z)


# -- the map -------------------------------------------------------------------------------------------


def test_the_map_shows_mu_of_every_image_by_class_at_aspect_one(model, images):
    panel = vw.LatentExplorer(model, images)
    with torch.no_grad():
        mu = model.encode(images.images).mu.numpy()
    traces = [t for t in panel.figure.data if t.meta == "points"]
    assert [t.name for t in traces] == ["0", "1", "2", "3"]
    assert sorted(np.concatenate([t.customdata for t in traces])) == list(range(40))
    for label, trace in enumerate(traces):
        assert set(images.labels[torch.tensor(trace.customdata).long()].tolist()) == {label}
        np.testing.assert_allclose(np.stack([trace.x, trace.y], 1), mu[trace.customdata], atol=1e-5)
    assert panel.figure.layout.yaxis.scaleanchor == "x"
    assert panel.figure.layout.yaxis.scaleratio in (None, 1)
    assert (panel.figure.layout.xaxis.title.text, panel.figure.layout.yaxis.title.text) == ("z1", "z2")


def test_prior_circles_have_radius_1_and_2_and_are_called_by_their_mass(model):
    panel = vw.LatentExplorer(model)
    circles = {s.label.text: (s.x0, s.x1, s.y0, s.y1) for s in panel.figure.layout.shapes}
    assert circles == {"39 %": (-1, 1, -1, 1), "86 %": (-2, 2, -2, 2)}


def test_a_click_goes_to_mu_and_shows_ellipse_reconstruction_and_picture(model, images):
    panel = vw.LatentExplorer(model, images)
    click(panel, 17)
    with torch.no_grad():
        q = model.encode(images.images[17:18])
    mu, sigma = q.mu[0].numpy(), q.sigma[0].numpy()
    assert panel.selected == 17
    assert panel.z == pytest.approx(tuple(mu))
    for k in (1, 2):
        scaled = (ellipse(panel.figure, f"{k}-sigma") - mu) / sigma
        np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), k, atol=1e-3)
    dashes = {s.name: s.line.dash for s in panel.figure.layout.shapes}
    assert (dashes["1-sigma"], dashes["2-sigma"]) == ("solid", "dash")
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(model, mu))
    np.testing.assert_array_equal(shown(panel.original), to_uint8(images.images[17]))
    assert "labelled 1" in panel.details.value
    assert f"{q.kl().sum().item():.2f} nats" in panel.details.value


def test_zooming_to_the_cloud_shows_the_ellipse_and_goes_back(wire, model, images):
    panel = vw.LatentExplorer(model, images)
    assert panel.zoom.layout.display == "none"
    whole = panel.figure.layout.xaxis.range
    for row in (17, 4):
        click(panel, row)
        if row == 17:
            assert panel.figure.layout.xaxis.range == whole
            from_page(panel.zoom, value=True)
        low, high = panel.figure.layout.xaxis.range
        reach = np.abs(ellipse(panel.figure, "2-sigma") - panel.mu[row]).max()
        assert (low + high) / 2 == pytest.approx(panel.mu[row][0], abs=1e-5)
        assert (high - low) / 2 == pytest.approx(3 * reach, rel=0.01)
    from_page(panel.zoom, value=False)
    assert panel.figure.layout.xaxis.range == whole


def test_without_the_data_the_panel_says_so_and_shows_the_reconstruction(model, images, monkeypatch):
    monkeypatch.setattr("vaewidgets.widgets._core.encoded.load_test_images", lambda name: None)
    with torch.no_grad():
        q = model.encode(images.images)
    model.atlas = EncodedDataset(q.mu, q.logvar, images.labels)
    model.info = {"dataset": "mnist"}
    panel = vw.LatentExplorer(model)
    click(panel, 3)
    assert "not on this machine" in panel.details.value
    np.testing.assert_array_equal(shown(panel.reconstruction), decoded(model, panel.mu[3]))


def test_unlabelled_images_make_a_map_without_legend(model, images):
    panel = vw.LatentExplorer(model, images.images)
    (trace,) = panel.figure.data
    assert len(trace.x) == 40
    assert not trace.showlegend


def test_a_model_that_the_page_cannot_run_is_decoded_by_the_kernel_which_says_so(wire):
    panel = vw.LatentExplorer(Plasma())
    assert "by the kernel" in panel.where.value and "Plasma" in panel.where.value
    assert panel.hover.disabled
    assert panel.latent.networks == {}
    from_page(panel.sliders[0], value=1.0)
    assert len(wire.updates(panel.canvas)) >= 1
    assert shown(panel.canvas)[0, 0] == round(255 / (1 + np.exp(-1)))


# -- the grid ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("even", [False, True])
def test_every_tile_of_the_grid_is_the_decode_of_its_own_point(model, even):
    panel = vw.LatentExplorer(model)
    model.decoded.clear()
    panel.grid.spacing.index = int(even)
    if even:
        assert [len(z) for z in model.decoded] == [900]  # one batch
    picture = shown(panel.grid.picture)
    assert picture.shape == (30 * 6, 30 * 5)
    share = (np.arange(30) + 0.5) / 30
    prior = torch.distributions.Normal(0.0, 1.0)
    centres = 3.5 * (2 * share - 1) if even else prior.icdf(torch.tensor(share)).numpy()
    for row, column in ((0, 0), (0, 29), (29, 0), (11, 23)):
        tile = picture[row * 6 : row * 6 + 6, column * 5 : column * 5 + 5]
        expected = decoded(model, (centres[column], centres[29 - row]))
        np.testing.assert_allclose(tile.astype(int), expected.astype(int), atol=1)
    expected_note = "99.9%" if even else "1/900"
    assert expected_note in panel.grid.note.value


# -- interpolation --------------------------------------------------------------------------------------


def test_interpolation_walks_the_straight_line(wire, model, images):
    panel = vw.LatentExplorer(model, images)
    assert panel.t.disabled
    panel.interpolate((-1, 0), (1, 2))
    from_page(panel.t, value=0.25)
    assert panel.z == pytest.approx((-0.5, 0.5))
    film = shown(panel.film)
    assert film.shape == (6, 9 * 5)
    np.testing.assert_allclose(film[:, 4 * 5 : 5 * 5].astype(int), decoded(model, (0, 1)).astype(int), atol=1)
    (line,) = [s for s in panel.figure.layout.shapes if s.name == "A to B"]
    assert (line.x0, line.y0, line.x1, line.y1) == (-1, 0, 1, 2)


def test_the_two_buttons_take_the_present_z(model, images):
    panel = vw.LatentExplorer(model, images)
    click(panel, 2)
    panel.set_a.click()
    first = panel.z
    click(panel, 9)
    panel.set_b.click()
    assert not panel.t.disabled
    panel.t.value = 0
    assert panel.z == pytest.approx(first)
    panel.t.value = 1
    assert panel.z == pytest.approx(tuple(panel.mu[9]))


# -- more than two dimensions ------------------------------------------------------------------------------


def test_chosen_coordinates_and_principal_components(images):
    model = CountingVAE(5, (1, 6, 5), hidden=(16,), seed=0)
    panel = vw.LatentExplorer(model, images)
    assert len(panel.sliders) == 5
    panel.z = (0.1, 0.2, 0.3, 0.4, 0.5)
    panel.across.index = 3
    assert panel.figure.layout.xaxis.title.text == "z4"
    assert panel.cursor.position == pytest.approx([0.4, 0.2])
    assert panel.plane.lift([[1.0, -1.0]], panel.z)[0] == pytest.approx((0.1, -1.0, 0.3, 1.0, 0.5))
    basis = np.array(panel.latent.plane["basis"])
    assert basis.tolist() == [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]

    panel.map_mode.index = 1
    assert "principal component 1" in panel.figure.layout.xaxis.title.text
    from sklearn.decomposition import PCA

    expected = PCA(2).fit_transform(panel.mu)
    for trace in panel.figure.select_traces({"meta": "points"}):
        np.testing.assert_allclose(np.stack([trace.x, trace.y], 1), expected[trace.customdata], atol=1e-4)
    np.testing.assert_allclose(panel.latent.plane["basis"], panel.plane.basis)
    # Geometry is in float64 on every processor, although the codes are float32.
    assert panel.mu.dtype == np.float32 and panel.plane.basis.dtype == panel.plane.origin.dtype == float
    assert panel.plane.basis @ panel.plane.basis.T == pytest.approx(np.eye(2), abs=1e-12)
    lifted = panel.plane.lift([0.5, 0.25], panel.z)
    assert panel.plane.project(lifted) == pytest.approx([0.5, 0.25], abs=1e-12)
    assert panel.cursor.position == pytest.approx(panel.plane.project(panel.z))


def test_the_same_coordinate_twice_is_refused_and_the_panel_goes_on(wire, images):
    panel = vw.LatentExplorer(CountingVAE(3, (1, 6, 5), hidden=(16,), seed=0), images)
    from_page(panel.across, index=1)
    assert "same coordinate" in panel.error_line.value
    from_page(panel.across, index=2)
    assert panel.error_line.value == ""
    assert panel.figure.layout.xaxis.title.text == "z3"


@pytest.mark.parametrize("shape", [(3, 7, 9), (1, 40, 3), (3, 64, 64)])
def test_any_image_shape(shape):
    model = CountingVAE(2, shape, hidden=(8,), seed=0)
    panel = vw.LatentExplorer(model, torch.rand(10, *shape))
    panel.select(4)
    assert panel.image.shape == (shape[1:] if shape[0] == 1 else (*shape[1:], 3))
    assert max(panel.grid.picture.rows, panel.grid.picture.columns) <= 900
    width, (rows, columns) = panel.canvas.display_width, panel.image.shape[:2]
    assert width % columns == 0 and 128 < max(width, width * rows // columns) <= 256


def test_one_latent_dimension(images):
    panel = vw.LatentExplorer(CountingVAE(1, (1, 6, 5), hidden=(8,), seed=0), images)
    panel.z = [1.5]
    assert panel.cursor.position == [1.5, 0.0]
    panel.select(3)
    assert panel.z == pytest.approx(tuple(panel.mu[3]))


class Plasma:
    """The whole protocol: latent_dim and decode."""

    latent_dim = 2

    def decode(self, z):
        return torch.sigmoid(z.sum(1)).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def test_anything_that_decodes_will_do():
    panel = vw.LatentExplorer(Plasma())
    panel.z = (1, 1)
    assert panel.image[0, 0] == round(255 / (1 + np.exp(-2)))
    assert len(panel.figure.data) == 0


# -- bad use ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("z", "error", "message"),
    [
        ((1, 2, 3), ValueError, "z has 3 values but this model has latent_dim=2"),
        ((float("nan"), 0), ValueError, "finite"),
        ((float("inf"), 0), ValueError, "finite"),
        ("up", TypeError, "2 numbers"),
        (None, TypeError, "2 numbers"),
        ([[0, 1]], TypeError, "2 numbers"),
        (3, ValueError, "1 values"),
    ],
)
def test_a_bad_z_is_refused_where_it_is_assigned_and_nothing_moves(model, z, error, message):
    panel = vw.LatentExplorer(model, z=(1, 1))
    before = panel.image
    with pytest.raises(error, match=message):
        panel.z = z
    assert panel.z == (1, 1)
    np.testing.assert_array_equal(panel.image, before)
    panel.z = (0, 0)
    np.testing.assert_array_equal(panel.image, decoded(model, (0, 0)))
    if z is not None:  # None starts at the origin
        with pytest.raises(error, match=message):
            vw.LatentExplorer(model, z=z)


def test_bad_arguments_are_refused_with_the_reason(model, images):
    with pytest.raises(TypeError, match="latent_dim and decode"):
        vw.LatentExplorer(object())
    with pytest.raises(TypeError, match=r"no keyword 'imgaes'.*'images'"):
        vw.LatentExplorer(model, imgaes=images)
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        vw.LatentExplorer(model, images.images * 255)
    with pytest.raises(ValueError, match=r"\(N, 1, 6, 5\)"):
        vw.LatentExplorer(model, torch.rand(4, 1, 5, 6))
    with pytest.raises(TypeError, match="Tensor"):
        vw.LatentExplorer(model, "digits")
    with pytest.raises(TypeError, match="no encode"):
        vw.LatentExplorer(Plasma(), torch.rand(4, 1, 4, 4))
    panel = vw.LatentExplorer(model, images)
    for choose in (panel.select, lambda row: setattr(panel, "selected", row)):
        for row in (40, -1):
            with pytest.raises(IndexError, match="40 points"):
                choose(row)
    assert panel.selected is None


class Fragile(Plasma):
    """Decodes nothing to the right of 1."""

    def decode(self, z):
        if (z[:, 0] > 1).any() and len(z) == 1:
            raise RuntimeError("no <b>decoder</b> here")
        return super().decode(z)


def test_an_exception_shows_escaped_and_is_raised_only_to_python(wire):
    panel = vw.LatentExplorer(Fragile())
    from_page(panel.sliders[0], value=2.0)
    assert "no &lt;b&gt;decoder&lt;/b&gt; here" in panel.error_line.value
    from_page(panel.sliders[0], value=0.5)
    assert panel.error_line.value == ""
    with pytest.raises(RuntimeError, match="decoder"):
        panel.z = (3, 0)
    assert "RuntimeError" in panel.error_line.value
    with pytest.raises(RuntimeError, match="decoder"):
        panel.sliders[0].value = 2.5
    panel.z = (0, 0)
    assert panel.error_line.value == ""
    assert panel.image[0, 0] == 128


def test_a_decoder_of_the_wrong_shape_is_named(model):
    class Flat(Plasma):
        def decode(self, z):
            return torch.zeros(len(z), 16)

    with pytest.raises(ValueError, match=r"\(1, C, H, W\); got \(1, 16\)"):
        vw.LatentExplorer(Flat())


# -- an autoencoder has no prior ---------------------------------------------------------------------------


@pytest.fixture
def autoencoder() -> vw.Autoencoder:
    """Codes spread over tens of units, far from the origin, more along z1 than along z2."""
    model = vw.Autoencoder(2, (1, 6, 5), hidden=(16,), seed=0)
    with torch.no_grad():
        model.code.weight *= torch.tensor([[200.0], [50.0]])
        model.code.bias += torch.tensor([100.0, 0.0])
    return model


def test_an_autoencoder_is_shown_over_its_codes_without_circles_or_ellipses(autoencoder, images):
    panel = vw.LatentExplorer(autoencoder, images)
    with torch.no_grad():
        codes = autoencoder.encode(images.images).numpy()
    for slider, low, high in zip(panel.sliders, codes.min(0), codes.max(0), strict=True):
        assert slider.min <= low <= high <= slider.max
        assert slider.max - slider.min < 1.2 * (high - low)
        assert 50 < (slider.max - slider.min) / slider.step < 1500
    for axis, column in ((panel.figure.layout.xaxis, 0), (panel.figure.layout.yaxis, 1)):
        assert axis.range[0] <= codes[:, column].min() <= codes[:, column].max() <= axis.range[1]
    assert panel.z == pytest.approx(tuple(codes.mean(0)), abs=0.01)
    panel.select(7)
    assert len(panel.figure.layout.shapes) == 0
    assert "prior" not in panel.state.value
    assert "sigma" not in panel.details.value and "KL" not in panel.details.value
    assert panel.z == pytest.approx(tuple(codes[7]), rel=1e-5)


def test_a_few_codes_far_out_do_not_shrink_the_map_of_an_autoencoder():
    codes = np.random.default_rng(0).normal(size=(1000, 2)) * [10, 2]
    codes[:5] = [-500, 300]
    model = vw.Autoencoder(2, (1, 6, 5), hidden=(8,), seed=0)
    model.atlas = EncodedDataset(torch.tensor(codes), None, torch.zeros(1000).long())
    panel = vw.LatentExplorer(model)
    low, high = panel.figure.layout.xaxis.range
    assert -30 < low < -18 and 18 < high < 30
    assert -30 < panel.sliders[0].min < -18
    panel.select(2)
    assert panel.z == (-500, 300)
    assert panel.sliders[0].min <= -500 and panel.sliders[1].max >= 300


def test_the_grid_of_an_autoencoder_takes_even_steps_over_its_codes(wire, autoencoder, images):
    panel = vw.LatentExplorer(autoencoder, images)
    assert panel.grid.spacing not in panel.grid.children
    assert "no prior" in panel.grid.note.value
    (left, right), (low, high) = panel.figure.layout.xaxis.range, panel.figure.layout.yaxis.range
    place = (left + (right - left) / 4, high - (high - low) / 4)
    assert panel.grid.to_plane([0.25, 0.25]) == pytest.approx(place)
    mapping = panel.grid.picture.mapping
    assert mapping["centre"] == pytest.approx(((left + right) / 2, (low + high) / 2))
    assert mapping["reach"] == pytest.approx((right - left) / 2) and not mapping["byMass"]


def test_an_untrained_autoencoder_without_codes_can_be_explored_too():
    panel = vw.LatentExplorer(vw.Autoencoder(3, (1, 6, 5), hidden=(8,), seed=0))
    panel.z = (1, 2, 3)
    assert repr(panel) == "LatentExplorer(latent_dim=3, z=(1.00, 2.00, 3.00))"


# -- many dimensions -----------------------------------------------------------------------------------


def test_of_many_dimensions_the_ten_that_matter_have_sliders(wire):
    model = vw.VAE(40, (1, 4, 4), hidden=(3,), seed=0)
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(30, 40, generator=generator) / 10, torch.zeros(30, 40)
    told = [3, 5, 8, 13, 20, 21, 22, 30, 34, 39]
    mu[:, told] *= 30
    model.atlas = EncodedDataset(mu, logvar, None)
    panel = vw.LatentExplorer(model)
    assert [slider.description for slider in panel.sliders[:10]] == [f"z{i + 1}" for i in told]
    assert len(panel.sliders) == len(panel.boxes) == 11 and panel.latent.dimensions == [*told, 0]
    from_page(panel.sliders[4], value=1.5)
    panel.boxes[10].value = -0.25
    assert panel.z == (-0.25, *[0.0] * 19, 1.5, *[0.0] * 19)


def test_the_others_share_one_slider_that_is_told_which(wire):
    panel = vw.LatentExplorer(vw.VAE(12, (1, 4, 4), hidden=(3,), seed=0), z=[float(i) for i in range(12)])
    other = panel._coordinates.other
    assert panel.latent.dimensions == list(range(11)) and [i for _, i in other.options] == [10, 11]
    assert panel.sliders[10].value == 10 and panel.boxes[10].value == 10
    from_page(other, index=1)
    assert panel.latent.dimensions[10] == 11 and panel.sliders[10].description == "z12"
    assert panel.sliders[10].value == panel.boxes[10].value == panel.sliders[10].max == 11
    z = panel.z
    from_page(panel.sliders[10], value=10.0)  # what it had before the page heard of the choice
    assert panel.z == z
    from_page(panel.sliders[10], value=2.0)
    assert panel.z == (*z[:11], 2.0)
    panel.z = [0.5] * 12
    assert panel.sliders[10].value == 0.5 == panel.boxes[10].value


def test_an_explorer_of_many_dimensions_is_as_few_widgets_as_one_of_eleven():
    def made(d: int) -> int:
        before = len(_instances)
        vw.LatentExplorer(vw.VAE(d, (1, 4, 4), hidden=(3,), seed=0))
        return len(_instances) - before

    assert made(300) == made(11) > made(10)
    assert made(2) <= 60
