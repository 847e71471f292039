"""The explorer as one file: what is written, what is escaped, what is refused. The browser is elsewhere."""

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import vaewidgets as vw
from vaewidgets.cli import main
from vaewidgets.widgets._core.network_spec import UnsupportedLayerError, describe
from vaewidgets.widgets.explorer.explorer import LatentExplorer
from vaewidgets.widgets.explorer.html_page import slider_ranges, to_html, write_page

MARKUP = "</script><img src=x onerror=\"alert('1')\"><!--"


class Reader(HTMLParser):
    """What a browser would see: tags with their attributes, and the text of each element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.texts, self._open = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._open = dict(attributes).get("id") or dict(attributes).get("type") or tag

    def handle_data(self, data):
        self.texts.setdefault(self._open, data)


def write(tmp_path, model=None, n=6, **options):
    """Write a page of a small model and return its text and what it holds."""
    model = model or vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)
    options = {"mu": torch.randn(n, model.latent_dim), **options}
    path = write_page(tmp_path / "page.html", model=model, overwrite=True, **options)
    reader = Reader(path.read_text("utf-8"))
    return reader, json.loads(reader.texts["data"])


def halves(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2")


def test_the_policy_forbids_the_network_and_allows_only_what_the_file_holds(tmp_path):
    reader, _ = write(tmp_path)
    meta = next(a for t, a in reader.tags if t == "meta" and "http-equiv" in a)
    policy = dict(p.strip().split(" ", 1) for p in meta["content"].split(";"))

    def digest(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy == {
        "default-src": "'none'", "connect-src": "'none'", "base-uri": "'none'", "form-action": "'none'",
        "img-src": "data: blob:", "worker-src": "blob:",
        "script-src": f"{digest(reader.texts['module'])} 'wasm-unsafe-eval'",
        "style-src": digest(reader.texts["style"]),
    }  # fmt: skip
    # It holds from where it stands: nothing may come before it but the charset.
    assert [t for t, _ in reader.tags[:4]] == ["html", "head", "meta", "meta"]
    assert not [a for t, a in reader.tags if "src" in a or a.get("href", "data:,") != "data:,"]


def test_what_comes_from_outside_stays_text(tmp_path):
    names = (MARKUP, "@script@ & <b>")
    reader, data = write(tmp_path, labels=torch.tensor([0, 1] * 3), classes=names, title=f"@data@ {MARKUP}")
    assert [c["name"] for c in data["classes"]] == list(names)
    assert reader.texts["title"] == reader.texts["h1"] == f"@data@ {MARKUP}"
    tags = [t for t, _ in reader.tags]
    assert tags.count("script") == 3 and "img" not in tags and "b" not in tags


def test_the_scripts_hold_nothing_that_would_end_them(tmp_path):
    script = write(tmp_path)[0].texts["module"].lower()
    assert "</script" not in script and "<!--" not in script and "http" not in script
    assert not re.search(r"\beval\b\(|new function|innerhtml", script)


def test_codes_classes_and_weights_arrive(tmp_path):
    model = vw.VAE(3, (1, 6, 5), hidden=(8,), seed=0)
    mu, logvar = torch.randn(5, 3), torch.randn(5, 3)
    labels = torch.tensor([7, 2, 7, 12, 2])
    reader, data = write(
        tmp_path, model, mu=mu, logvar=logvar, labels=labels, classes="abcdefgh", z=[1, 2, 3]
    )
    assert np.array_equal(halves(data["mu"]), mu.numpy().astype("<f2").ravel())
    assert np.array_equal(halves(data["logvar"]), logvar.numpy().astype("<f2").ravel())
    indices = np.frombuffer(base64.b64decode(data["labels"]), "<u2")
    assert [data["classes"][i]["name"] for i in indices] == ["h", "c", "h", "12", "c"]
    assert data["classes"][2]["colour"] == data["classes"][0]["colour"], "the palette starts again at 10"
    # Halves would not hold them.
    assert data["spec"]["dtype"] == "float32"
    assert base64.b64decode(reader.texts["weights"]) == describe(model, encoder=True).weights
    assert data["spec"]["encoder"] and data["z"] == [1, 2, 3]


@pytest.mark.parametrize("name", ["mnist-vae-2d", "mnist-ae-2d"])
def test_mnist_takes_less_than_nine_megabytes(tmp_path, name):
    model = vw.pretrained(name)
    path = to_html(model, tmp_path / "m.html")
    assert path.stat().st_size < 4e6
    data = json.loads(Reader(path.read_text("utf-8")).texts["data"])
    assert data["spec"]["encoder"] and len(halves(data["mu"])) == 20_000
    assert (data["logvar"] is not None) == data["prior"] == model.has_prior
    panel = LatentExplorer(model)
    assert data["ranges"] == [[s.min, s.max, s.step] for s in panel.sliders]
    assert data["z"] == pytest.approx(panel.z)


def test_a_model_without_an_atlas_has_an_empty_map(tmp_path):
    path = to_html(vw.Autoencoder(2, (3, 4, 4), hidden=(8,), seed=0), tmp_path / "a.htm", title="mine")
    reader = Reader(path.read_text("utf-8"))
    data = json.loads(reader.texts["data"])
    assert (data["mu"], data["labels"], reader.texts["h1"]) == ("", None, "mine")
    assert (
        data["ranges"]
        == [[-3.5, 3.5, 0.01]] * 2
        == [list(r) for r in slider_ranges(np.zeros((0, 2)), False, 2)]
    )


def test_equal_codes_still_span_a_map(tmp_path):
    _, data = write(tmp_path, vw.Autoencoder(2, (1, 4, 4), hidden=(8,), seed=0), mu=torch.ones(200, 2))
    assert all(b - a > 1e-3 for a, b in zip(data["low"], data["high"], strict=True))


def test_an_encoder_of_ones_own_is_left_out(tmp_path):
    class Own(vw.VAE):
        def encode(self, x):
            return super().encode(x)

    _, data = write(tmp_path, Own(2, (1, 6, 5), hidden=(8,), seed=0))
    assert data["spec"]["encoder"] is None and data["spec"]["decoder"]


def test_an_existing_file_is_kept_unless_asked(tmp_path):
    model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
    path = tmp_path / "page.html"
    path.write_text("dear")
    with pytest.raises(FileExistsError, match=r"page\.html exists already"):
        to_html(model, path)
    assert path.read_text() == "dear"
    assert to_html(model, path, overwrite=True) == path
    assert path.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mu=torch.zeros(4, 3)), r"mu has shape \(4, 3\); expected \(N, 2\)"),
        (dict(mu=torch.full((4, 2), torch.nan)), "mu has 4 rows that are not finite; the first is row 0"),
        (dict(mu=torch.full((4, 2), 1e5)), r"mu reaches 1e\+05; the page's float16 ends at 65504"),
        (dict(mu=torch.zeros(4, 2), logvar=torch.zeros(3, 2)), "logvar has 3 rows where mu has 4"),
        (dict(mu=torch.zeros(4, 2), labels=torch.zeros(3, dtype=int)), "labels must be 4 class indices"),
        (dict(mu=torch.zeros(4, 2), labels=torch.zeros(4)), "labels must be 4 class indices"),
        (dict(mu=torch.zeros(4, 2), labels=torch.full((4,), -1)), "class indices from 0"),
        (dict(z=[1]), "z must be 2 finite numbers"),
        (dict(z=[1, np.inf]), "z must be 2 finite numbers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path):
    for name in ("decoder.0.weight", "encoder.1.weight"):
        model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
        with torch.no_grad():
            model.get_parameter(name).view(-1)[3] = torch.nan
        with pytest.raises(ValueError, match=rf"{name} holds 1 of \d+ values that are not finite"):
            to_html(model, tmp_path / "m.html")
    assert not list(tmp_path.iterdir())


def test_a_layer_that_the_page_cannot_run_is_refused_by_name(tmp_path):
    model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
    model.decoder = nn.Sequential(nn.Linear(2, 16), nn.Softmax(1), nn.Unflatten(1, (1, 4, 4)))
    with pytest.raises(UnsupportedLayerError, match=r"decoder\.1 is a Softmax, which the page cannot run"):
        to_html(model, tmp_path / "m.html")

    class Other:
        latent_dim = 2

        def decode(self, z):
            return z.view(-1, 1, 1, 2)

    with pytest.raises(UnsupportedLayerError, match=r"Other\.decode is not that of a VAE"):
        to_html(Other(), tmp_path / "m.html")
    with pytest.raises(ValueError, match="1 or 3 channels"):
        to_html(vw.VAE(2, (2, 4, 4), hidden=(8,), seed=0), tmp_path / "m.html")
    with pytest.raises(ValueError, match=r"at most 1,048,576 pixels; got shape \(1, 1025, 1024\)"):
        to_html(vw.VAE(2, (1, 1025, 1024), hidden=(1,), seed=0), tmp_path / "m.html")
    assert not list(tmp_path.iterdir())


# -- the command ------------------------------------------------------------------------------------


def test_the_command_writes_a_page(tmp_path, capsys):
    out = tmp_path / "digits.html"
    assert main(["export", "html", "digits-vae-2d", str(out)]) == 0
    assert re.fullmatch(rf"wrote {re.escape(str(out))} \(0\.\d\d MB\)\n", capsys.readouterr().out)
    assert Reader(out.read_text("utf-8")).texts["h1"] == "Latent explorer: digits-vae-2d"
    before = out.read_bytes()
    assert main(["export", "html", "digits-ae-2d", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err and out.read_bytes() == before
    assert main(["export", "html", "digits-ae-2d", str(out), "--overwrite"]) == 0
    assert out.read_bytes() != before


@pytest.mark.parametrize(
    ("model", "file", "message"),
    [
        ("digits-vae-2d", "m.safetensors", "must end in .html"),
        ("digits-vae-2d", "nowhere/m.html", "there is no folder"),
        ("nobody", "m.html", "nobody"),
        ("gone.safetensors", "m.html", "gone.safetensors"),
    ],
)
def test_the_command_refuses(tmp_path, capsys, model, file, message):
    assert main(["export", "html", model, str(tmp_path / file)]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_other_commands_load_no_panel():
    program = (
        "import sys, vaewidgets.cli.app; print([m for m in sys.modules if 'widgets.' in m or m == 'plotly'])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip().find("plotly") < 0
