"""An exported page that cannot run, or whose data do not fit each other, says so; in any charset it runs."""

import base64
import json
import re
import secrets
import struct
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
import torch

import vaewidgets as vw
from vaewidgets.widgets.explorer.html_page import to_html, write_page

from .harness import expect

NOTICE = "This page is not running. If this text stays, it cannot run here:"
CHARSETS = [
    "utf-8", "iso-8859-1", "windows-1252", "windows-1251", "koi8-r", "shift_jis", "gbk", "big5", "euc-kr",
    "iso-2022-jp", "x-user-defined", "us-ascii", "no-such-charset",
]  # fmt: skip
NAMES = ("Grün", "数", '<i>"ß"')


def page_of(folder, **options):
    """Write the page of a small model, and return its text."""
    model = vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0).half().float()
    generator = torch.Generator().manual_seed(0)
    options = {
        "mu": torch.randn(6, 2, generator=generator), "logvar": torch.zeros(6, 2), "classes": NAMES,
        "labels": torch.tensor([0, 1, 2] * 2), "title": "Zwölf Ziffern: √2 €", **options,
    }  # fmt: skip
    return write_page(folder / "whole.html", model=model, **options).read_bytes()


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> bytes:
    return page_of(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def tab(launch_browser):
    page = launch_browser().new_page(viewport={"width": 1280, "height": 700})
    yield page
    page.close()


@pytest.fixture
def show(tab, tmp_path):
    """A function that opens bytes as a file in the tab."""

    def show_(data: bytes):
        path = tmp_path / f"{secrets.token_hex(4)}.html"
        path.write_bytes(data)
        tab.goto(path.as_uri())
        return tab

    return show_


def assert_notice(page, text: str | re.Pattern = NOTICE) -> None:
    """The notice is there, in sight, and no control that does nothing beside it."""
    expect(page.locator(".alert:visible")).to_contain_text(text)
    box = page.locator(".alert").bounding_box()
    assert box["y"] + box["height"] < 400 and box["width"] > 250
    assert page.locator("canvas:visible, input:visible, button:visible").count() == 0


def assert_runs(page) -> None:
    expect(page.locator(".alert")).to_be_hidden()
    expect(page.locator("#picture")).to_be_visible()
    expect(page.locator("#grid")).to_have_attribute("aria-busy", "false")
    assert int(page.locator("#picture").get_attribute("data-vw-frame")) > 0


# -- cut --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.01, 0.015, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 0.99, 0.999])
@pytest.mark.parametrize("name", ["small", "digits-vae-2d"])
def test_a_page_that_was_cut_says_so(show, small, tmp_path, name, share):
    whole = small if name == "small" else to_html(vw.pretrained(name), tmp_path / "d.html").read_bytes()
    # The sentence that a cut after 1 % of the smallest page leaves is not whole.
    assert_notice(show(whole[: int(share * len(whole))]), NOTICE[:24])


@pytest.mark.parametrize(
    "mark",
    [
        "<ul>", "<title>", "</title>", "<style>", "--vw-quiet", "</style>", "<h1>", "<main", 'id="picture"',
        'id="draw"', "</main>", 'id="data">', '"mu":"', '"labels":', 'id="weights">', 'type="module">',
        "readPage(", "Object.assign(window", "</script>\n</body>",
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [0, pytest.param(5, marks=pytest.mark.extended)])
def test_a_page_that_was_cut_at_a_seam_says_so(show, small, mark, more):
    assert_notice(show(small[: small.rindex(mark.encode()) + more]))


@pytest.mark.parametrize("mark", [b"--vw-quiet", b'"mu":"', b'id="weights">', b"const map = "])
def test_a_page_with_a_hole_says_so(show, small, mark):
    at = small.index(mark) + len(mark) + 4
    page = show(small[:at] + small[at + 40 :])
    expect(page.locator(".alert:visible")).to_have_count(1)


def test_a_page_without_its_last_tags_runs(show, small):
    assert_runs(show(small[: small.index(b"</script>\n</body>") + 9]))


# -- charsets -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(small):
    """Where a server says of the page whatever charset is asked of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", f"text/html; charset={self.path[1:]}")
            self.end_headers()
            self.wfile.write(small)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("charset", CHARSETS)
def test_the_page_runs_in_every_charset(tab, served, charset):
    tab.goto(f"{served}/{charset}")
    assert_runs(tab)
    assert tab.title() == tab.locator("h1").inner_text() == "Zwölf Ziffern: √2 €"
    assert tab.locator("#legend").get_by_role("button").all_inner_texts() == list(NAMES)
    tab.get_by_label("even steps").check()
    expect(tab.locator("#grid-note")).to_contain_text("over ±3.5: 99.9 %")


# -- where no script runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_without_javascript_it_says_what_to_do(launch_browser, small, tmp_path, shots, scheme):
    (tmp_path / "p.html").write_bytes(small)
    context = launch_browser().new_context(java_script_enabled=False, color_scheme=scheme)
    page = context.new_page()
    page.goto((tmp_path / "p.html").as_uri())
    assert_notice(page)
    expect(page.locator(".alert")).to_contain_text("JavaScript on")
    page.screenshot(path=shots / f"page-without-javascript-{scheme}.png")
    context.close()


@pytest.mark.parametrize("sandbox", ["", "allow-same-origin"])
def test_in_a_sandbox_it_says_what_to_do(tab, small, tmp_path, sandbox):
    (tmp_path / "p.html").write_bytes(small)
    (tmp_path / "viewer.html").write_text(f'<iframe src="p.html" sandbox="{sandbox}" width=900 height=600>')
    tab.goto((tmp_path / "viewer.html").as_uri())
    frame = tab.frame_locator("iframe")
    expect(frame.locator(".alert:visible")).to_contain_text("Trust HTML")
    expect(frame.locator("main")).to_be_hidden()


def test_in_jupyterlab_it_asks_for_trust_and_runs_when_it_has_it(lab, launch_browser, small, shots):
    (lab.root / "explorer.html").write_bytes(small)
    page = launch_browser().new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{lab.url}/lab/workspaces/{secrets.token_hex(4)}/tree/explorer.html?token={lab.token}")
    frame = page.frame_locator(".jp-HTMLViewer iframe")
    expect(frame.locator(".alert:visible")).to_contain_text("press Trust HTML above it")
    expect(frame.locator("main")).to_be_hidden()
    page.screenshot(path=shots / "page-in-jupyterlab-untrusted.png")
    page.get_by_text("Trust HTML", exact=True).first.click()
    expect(frame.locator("#grid")).to_have_attribute("aria-busy", "false")
    expect(frame.locator(".alert")).to_be_hidden()
    page.screenshot(path=shots / "page-in-jupyterlab-trusted.png")
    page.close()


# -- edited -------------------------------------------------------------------------------------------


def edited(page: bytes, before: str, after: str) -> bytes:
    """The page with one place changed."""
    assert page.count(before.encode()) == 1 and len(before) == len(after)
    return page.replace(before.encode(), after.encode())


def other(page: bytes, mark: str) -> bytes:
    """The page with the tenth character of a base64 text changed to another."""
    at = page.index(mark.encode()) + len(mark) + 10
    return page[:at] + (b"A" if page[at : at + 1] != b"A" else b"B") + page[at + 1 :]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda page: edited(page, "const axes = {", "const axis = {"), NOTICE),
        (lambda page: edited(page, '<script type="module">', '<script type="nodule">'), NOTICE),
        (lambda page: edited(page, "script-src 'sha256-", "script-src 'sha257-"), NOTICE),
        (lambda page: edited(page, "accent: #d81b60", "accent: #d81b61"), "style of this page was changed"),
        (lambda page: edited(page, 'id="weights"', 'id="weighty"'), 'part "weights" of this page is missing'),
        (lambda page: edited(page, '"prior":', '"prier":'), "prior is neither true nor false"),
        (lambda page: edited(page, '"prior":', '"prior",'), "The data of this page cannot be read"),
        (lambda page: edited(page, "Gr\\u00fcn", "Gr\\u00fbn"), "changed after it was made"),
        (lambda page: other(page, '"mu":"'), "changed after it was made"),
        (lambda page: other(page, '"logvar":"'), "changed after it was made"),
        (lambda page: other(page, 'id="weights">'), "changed after it was made"),
        (lambda page: edited(page, "data-crc32", "data-crc23"), "changed after it was made"),
    ],
)
def test_a_changed_byte_is_noticed(show, small, edit, said):
    page = show(edit(small))
    expect(page.locator(".alert:visible")).to_contain_text(said)
    # Without its style a page works all the same.
    assert page.locator("main").is_visible() == ("style" in said)


@pytest.mark.extended
def test_a_changed_byte_anywhere_is_said_or_does_no_harm(show, small):
    """In every stretch of the file: a page that shows no notice decodes as before."""
    decode = "() => Array.from(vaewidgets.decode([0.5, -0.5])).concat(vaewidgets.z)"
    expected = show(small).evaluate(decode)
    draw = np.random.default_rng(0)
    edges = [small.index(mark) for mark in (b"<body", b"<title>", b"<main", b'id="data"', b'type="module"')]
    edges = [0, *edges, len(small)]
    silent = 0
    for low, high in zip(edges, edges[1:], strict=False):
        for at in draw.integers(low, high, 8).tolist():
            changed = small[:at] + bytes([small[at] ^ 1]) + small[at + 1 :]
            page = show(changed)
            if page.locator(".alert:visible").count() == 0:
                silent += 1
                assert page.evaluate(decode) == expected, at
                assert page.locator("#picture").is_visible(), at
    assert silent < 40


# -- data that do not fit -------------------------------------------------------------------------------


def half(*values: float) -> str:
    return base64.b64encode(np.array(values, "<f2").tobytes()).decode()


def shorts(*values: int) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}H", *values)).decode()


def with_data(page: bytes, change: dict, weights=lambda text: text) -> bytes:
    """The page with other data, under a checksum that is right: its maker wrote them so."""
    text = page.decode()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    for name, value in change.items():
        *path, last = name.split(".")
        place = data
        for key in path:
            place = place[int(key) if key.isdigit() else key]
        place[int(last) if last.isdigit() else last] = value
    new = json.dumps(data)
    encoded = weights(re.search(r'id="weights">(.*?)</script>', text)[1])
    checksum = zlib.crc32((new + encoded).encode())
    for pattern, value in (
        (r'(id="data">).*?(</script>)', new), (r'(id="weights">).*?(</script>)', encoded),
        (r'(data-crc32=")\d+(")', str(checksum)),
    ):  # fmt: skip
        text = re.sub(pattern, lambda match, value=value: match[1] + value + match[2], text)
    return text.encode()


def test_other_data_that_fit_are_taken(show, small):
    assert_runs(show(with_data(small, {"mu": half(1, 2), "logvar": None, "labels": None})))


#: From the two numbers of z to a picture of millions of pixels, without a weight.
LARGE = [
    {"kind": "reshape", "out": [1, 2, 1]},
    {"kind": "max_pool2d", "in": [1, 2, 1], "out": [1, 2400, 2000], "kernel": [1, 1], "stride": [1, 1],
     "padding": [0, 0], "dilation": [1, 1]},
]  # fmt: skip
MISFITS = {
    "mu-short": ({"mu": half(0, 0, 0)}, "mu has 3 values, which is no multiple of 2"),
    "mu-odd": ({"mu": base64.b64encode(b"abc").decode()}, "mu has 3 bytes, which is no multiple of 2"),
    "mu-null": ({"mu": None}, "mu is no text"),
    "mu-nan": ({"mu": half(*[0.0] * 11, np.nan)}, "value 11 of mu is not finite"),
    "mu-inf": ({"mu": half(-np.inf, *[0.0] * 11)}, "value 0 of mu is not finite"),
    "mu-base64": ({"mu": "%%%%"}, "mu is not base64"),
    "mu-fewer": ({"mu": half(0, 0)}, "logvar has 12 values where mu has 2"),
    "mu-outside": ({"mu": half(*[50.0] * 12)}, "the map of z1 leaves out every point"),
    "logvar-fewer": ({"logvar": half(0, 0)}, "logvar has 2 values where mu has 12"),
    "logvar-nan": ({"logvar": half(np.nan, *[0.0] * 11)}, "value 0 of logvar is not finite"),
    "labels-fewer": ({"labels": shorts(0, 1)}, "labels has 2 values for 6 points"),
    "labels-beyond": ({"labels": shorts(0, 1, 2, 0, 1, 3)}, "point 5 has the label 3 of 3 classes"),
    "labels-base64": ({"labels": "a"}, "labels is not base64"),
    "classes-number": ({"classes": 7}, "classes is no list of names"),
    "classes-null": ({"classes": [None]}, "classes is no list of names"),
    "classes-colour": ({"classes.1.colour": "red;"}, "classes is no list of names"),
    "classes-none": ({"classes": [], "labels": None}, "there is no class"),
    "z-long": ({"z": [0, 0, 0]}, "z is not 2 finite numbers"),
    "z-text": ({"z": ["0", 0]}, "z is not 2 finite numbers"),
    "z-nan": ({"z": [float("nan"), 0]}, "The data of this page cannot be read"),
    "low-short": ({"low": [-1]}, "low is not 2 finite numbers"),
    "low-above-high": ({"low": [9, -5]}, "the map of z1 goes from 9 to"),
    "low-equals-high": ({"low": [2, 2], "high": [2, 3]}, "the map of z1 goes from 2 to 2"),
    "high-endless": ({"low": [-1e308] * 2, "high": [1e308] * 2}, "the map of z1 goes from -1e"),
    "ranges-fewer": ({"ranges": [[-3, 3, 0.1]]}, "ranges is not one of 2 sliders"),
    "ranges-turned": ({"ranges.0": [3, -3, 0.1]}, "slider z1 has the range [3,-3,0.1]"),
    "ranges-still": ({"ranges.1": [-3, 3, 0]}, "slider z2 has the range [-3,3,0]"),
    "reach-0": ({"reach": 0}, "the grid's reach is 0"),
    "reach-null": ({"reach": None}, "the grid's reach is null"),
    "frame": ({"frame": [0.7, 70]}, "the drawing's frame is not 2 shares"),
    "prior": ({"prior": 1}, "prior is neither true nor false"),
    "spec-null": ({"spec": None}, "there is no description of a model"),
    "spec-format": ({"spec.format": 9}, "The description has format 9"),
    "spec-dtype": ({"spec.dtype": "float64"}, "said to be neither float16 nor float32"),
    "spec-size": ({"spec.size": 10}, "The description is of 10 weights"),
    "spec-latent": ({"spec.latentDim": 3}, "The description cannot be run"),
    "spec-image": ({"spec.imageShape": [1, 6, 6]}, "The description cannot be run"),
    "spec-channels": ({"spec.imageShape": [2, 3, 5]}, "an image has 2 channels, neither 1 nor 3"),
    "spec-large": (
        {
            "spec.imageShape": [1, 2400, 2000],
            "spec.decoder": LARGE,
            "spec.encoder": None,
        },
        "an image of 2400 x 2000 pixels is larger than this page draws",
    ),
    "spec-layer": ({"spec.decoder.0.kind": "dropout"}, 'a layer of kind "dropout"'),
    "spec-weight": ({"spec.decoder.0.weight": 10**6}, 'a linear, has a wrong "weight"'),
    "spec-out": ({"spec.decoder.0.out": [2**26]}, "The description cannot be run"),
    "spec-endless": ({"spec.decoder.0.out": [10**9]}, 'a linear, has a wrong "out"'),
    "spec-no-list": ({"spec.decoder": {}}, "its decoder is no list of layers"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_data_that_do_not_fit_are_refused_in_words(show, small, name):
    change, said = MISFITS[name]
    page = show(with_data(small, change))
    assert_notice(page, said)
    expect(page.locator(".alert")).to_contain_text("Copy or download the file again, or ask whoever made it.")
    load = page.evaluate("performance.getEntriesByType('navigation')[0].toJSON()")
    assert load["domComplete"] - load["domInteractive"] < 1000


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        (lambda text: text[:-80], r"The description is of \d+ weights; \d+ came"),
        (lambda text: text[:-8] + text, r"The description is of \d+ weights; \d+ came"),
        (lambda text: "", r"The description is of \d+ weights; 0 came"),
        (lambda text: text[:-41] + "!", "weights is not base64"),
        (lambda text: half(0, np.inf, 0) + text[8:], "value 1 of weights is not finite"),
    ],
    ids=["cut", "twice", "none", "base64", "infinite"],
)
def test_weights_that_do_not_fit_are_refused_in_words(show, small, weights, said):
    assert_notice(show(with_data(small, {}, weights)), re.compile(said))
