"""The exported page, opened from disk in Firefox and in WebKit: it decodes what torch decodes."""

import pytest

import vaewidgets as vw
from browser.harness import frames, wait_for_more
from browser.test_page import decoded, lonely, rounded
from vaewidgets.widgets.explorer.html_page import to_html

from .test_notebooks import assert_shows
from .webdriver import LISTEN


@pytest.fixture
def page(tab, tmp_path):
    """The page of the MNIST model. What listens stands before its policy, which forbids it."""
    path = to_html(vw.pretrained("mnist-vae-2d"), tmp_path / "explorer.html")
    text = path.read_text("utf-8")
    path.write_text(text.replace("<head>", f"<head><script>{LISTEN}</script>", 1), "utf-8")
    tab.goto(path.as_uri())
    yield tab
    assert [said for said in tab.messages if said.startswith(("error", "warning"))] == []


def z_of(page) -> list[float]:
    return page.evaluate("() => vaewidgets.z")


def on_map(page, u: float, v: float) -> list[float]:
    """Where a point of the plane is in the window."""
    return page.locator("#map").evaluate(
        """(map, point) => {
            map.scrollIntoView({block: 'center', behavior: 'instant'});
            const {x, y} = map.getBoundingClientRect(), [u, v] = vaewidgets.mapPixel(...point);
            return [x + u, y + v];
        }""",
        [u, v],
    )


def greys(model, z: list[float]) -> list[int]:
    return decoded(model, *z)[..., 0].flatten().tolist()


def test_the_page_drags_clicks_and_zooms(page):
    model, picture = rounded(vw.pretrained("mnist-vae-2d")), page.locator("#picture")
    assert page.locator("#alert").evaluate("notice => notice.hidden")
    assert_shows(picture, greys(model, [0, 0]))

    slider = page.locator("#sliders input[type=range]").first
    box, before = slider.bounding_box(), frames(picture)
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1], steps=8)
    wait_for_more(picture, before)
    page.mouse.up()
    page.wait_for_function("() => vaewidgets.z[0] > 0.5 && vaewidgets.z[1] === 0")
    assert_shows(picture, greys(model, z_of(page)))

    row = lonely(model)
    mu = model.atlas.mu[row].half().double().tolist()
    page.mouse.click(*on_map(page, *mu))
    page.wait_for_function("row => vaewidgets.selected === row", row)
    assert z_of(page) == mu
    assert_shows(picture, greys(model, mu))
    assert_shows(page.locator("#reconstruction"), greys(model, mu))

    # The place under the pointer stays, and the origin moves away from it.
    (x, y), (left, _) = on_map(page, *mu), on_map(page, 0, 0)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -240)
    page.wait_for_function(
        """([map, from, before]) => {
            const at = vaewidgets.mapPixel(0, 0)[0] + map.getBoundingClientRect().x;
            return Math.abs(at - from) > 1.2 * Math.abs(before - from);
        }""",
        [page.locator("#map"), x, left],
    )
    assert on_map(page, *mu) == pytest.approx([x, y], abs=4)
