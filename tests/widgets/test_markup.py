"""Names from outside in every panel: what reads as markup, mathematics or a template is shown as text."""

import html
import json
import re
from html.parser import HTMLParser

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from PIL import Image

import vaewidgets as vw
from vaewidgets._utils.text import sanitize
from vaewidgets.data.arrays import name_classes
from vaewidgets.widgets._core.bundle import WIDGETS
from vaewidgets.widgets._core.panel import PanelStyle, tree
from vaewidgets.widgets._map.figure import plain
from vaewidgets.widgets.explorer.html_page import write_page

#: One class each.
NAMES = (
    "<img src=x onerror=window.hacked=1>",
    "</script><script>window.hacked=1</script>",
    '"><svg onload="window.hacked=1">',
    "{{x}} %{x} ${x} `x` %s {0}",
    r"$\alpha$ \(\beta\) $$\gamma$$",
    "<b>bold</b> <a href='javascript:window.hacked=1'>link</a> &lt;&amp;",
    "\u202eright to left\nand\ttwo lines\0",
    "long " * 60,
    "",
    "javascript:window.hacked=1",
)
ALLOWED = {"div", "table", "caption", "thead", "tbody", "tr", "th", "td", "b", "span", "br", "p"}
LIMIT = 20


class Tags(HTMLParser):
    """The tags of a text with their attributes, and what is left of it without them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


def check_html(text: str) -> None:
    """Hold a text that is set as HTML to the few tags and attributes that panels write themselves."""
    for tag, attributes in Tags(text).tags:
        assert tag in ALLOWED, (tag, text)
        assert attributes.keys() <= {"class", "role", "scope", "style", "title", "colspan"}, (
            attributes,
            text,
        )
        assert not re.search(r"url|expression|script", attributes.get("style") or ""), attributes


def texts(value):
    """All strings in lists, arrays and dicts."""
    value = value.tolist() if isinstance(value, np.ndarray) else value
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from texts(inner)


#: Where a figure holds text that Plotly reads as its own markup.
PLOTLY_TEXT = ("name", "text", "hovertemplate", "hovertext", "title")


def check_figure(figure) -> str:
    """Hold every text of a figure to Plotly's markup that we write; return what a reader sees."""
    seen = ""
    for trace in figure.to_dict()["data"]:
        for key in PLOTLY_TEXT:
            for text in texts(trace.get(key)):
                bare = text.replace("<extra></extra>", "")
                if key != "hovertemplate":
                    assert "%" not in bare
                assert "<" not in bare and "$" not in bare, (key, text)
                assert not re.search(r"[\x00-\x1f\u202a-\u202e]", text), (key, text)
                seen += html.unescape(bare) + "\n"
    for annotation in figure.layout.annotations:
        assert "<" not in annotation.text, annotation.text
    return seen


def check_panel(panel) -> str:
    """Look at all that a panel sends; return all texts of it that a reader sees."""
    assert isinstance(panel.children[0], PanelStyle), "each says when its kernel is gone"
    seen = ""
    for part in tree(panel):
        if isinstance(part, go.FigureWidget):
            seen += check_figure(part)
            continue
        if isinstance(part, (ipywidgets.HTML, ipywidgets.HTMLMath)):
            check_html(part.value)
            seen += Tags(part.value).text + "\n"
        for name in ("description", "tooltip"):
            text = getattr(part, name, None)
            if isinstance(text, str):
                # ipywidgets shows it as text, but typesets mathematics.
                assert not (name == "description" and re.search(r"[$<]|\\\(", text)), text
        assert not getattr(part, "description_allow_html", False)
        for name, value in part.get_state().items():
            if name not in ("_esm", "_css", "value", "children"):
                seen += "".join(f"{text}\n" for text in texts(value))
    return seen


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    model = vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)
    mu, logvar = torch.randn(2, 40, 2, generator=generator)
    model.atlas = model.train_atlas = vw.checkpoints.EncodedDataset(mu, logvar, torch.arange(40) % len(NAMES))
    model.info = {"dataset": NAMES[0], "classes": list(NAMES), "command": NAMES[1], "figures": {}}
    return model.requires_grad_(False)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    pixels = torch.rand(40, 1, 6, 5, generator=generator)
    return vw.Images(pixels, torch.arange(40) % len(NAMES), NAMES)


def panels(model, images):
    """Every public panel, given all the outside text that it takes."""
    ae = vw.Autoencoder(2, (1, 6, 5), hidden=(8,), seed=0).requires_grad_(False)
    judge = vw.Classifier((1, 6, 5), len(NAMES), hidden=(2,), seed=0).requires_grad_(False)
    cvae = vw.ConditionalVAE(2, (1, 6, 5), len(NAMES), hidden=(8,), seed=0).requires_grad_(False)
    for other in (ae, judge, cvae):
        other.info = model.info
    ae.atlas = ae.train_atlas = model.atlas._replace(logvar=None)
    stops = dict.fromkeys((0.5, 1, 2), model)
    data = vw.Dataset(images, images, NAMES, NAMES[0])
    learner = vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)
    yield vw.BetaDial(stops, images)
    yield vw.Bottleneck(model, images)
    yield vw.DrawPad(model, images)
    yield vw.GapBar()
    yield vw.HoleFinder(ae, model, judge)
    yield vw.KLLab(model, images)
    explorer = vw.LatentExplorer(model, images)
    explorer.selected = 3
    yield explorer
    yield vw.LatentMap(model.atlas.mu, model.atlas.labels, classes=NAMES)
    yield vw.LearningCurves()
    yield vw.NoiseKnob(model)
    yield vw.Scoreboard({name or "empty": model for name in NAMES}, judge, images, threaded=False)
    yield vw.Surprises(model, images)
    yield vw.TrainingCockpit(learner, data, threaded=False)
    yield vw.Traverse(model, images, judge=judge)
    yield vw.Traverse(cvae, images)


def test_every_panel_shows_names_as_text(model, images):
    kinds = set()
    for panel in panels(model, images):
        kinds.add(type(panel).__name__)
        panel.show_error(ValueError(NAMES[1]))
        seen = check_panel(panel)
        assert f"ValueError: {NAMES[1]}" in seen, type(panel).__name__
        if type(panel).__name__ in ("LatentExplorer", "LatentMap", "TrainingCockpit", "DrawPad"):
            for name in NAMES:
                shown = sanitize(name) if len(name) <= LIMIT else sanitize(name)[: LIMIT - 1] + "…"
                assert shown in seen, (type(panel).__name__, name)
        assert "<" not in repr(panel)
        panel.close()
    assert kinds == {name for name in vw.__all__ if name in vw._HOMES["widgets"]}


def test_no_module_of_the_page_writes_markup():
    """Text is set as text: then names need no escaping there, and none can be forgotten."""
    modules = sorted(WIDGETS.rglob("*.js"))
    assert len(modules) > 20
    for path in modules:
        source = path.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", source), path


def test_names_reach_plotly_as_what_it_shows_as_they_are():
    assert plain("<b>&amp;</b>$x$%{x}") == "&lt;b&gt;&amp;amp;&lt;/b&gt;&#36;x&#36;&#37;{x}"
    assert plain("a\nb\u202ec") == "a\ufffdb\ufffdc"
    assert plain("x" * 21) == "x" * 19 + "…" and plain("x" * 20) == "x" * 20
    for name in NAMES:
        assert html.unescape(plain(name)) in (sanitize(name), sanitize(name)[:19] + "…")


@pytest.mark.parametrize("labels", [[0, 2**40], [0, -1]])
def test_labels_of_a_file_that_are_no_classes_are_refused_by_a_panel(tmp_path, model, labels):
    atlas = vw.checkpoints.EncodedDataset(model.atlas.mu[:2], model.atlas.logvar[:2], torch.tensor(labels))
    vw.save(model, tmp_path / "m", atlas=atlas)
    with pytest.raises(ValueError, match=r"labels must be class indices from 0 to 65,535"):
        vw.LatentExplorer(vw.load(tmp_path / "m"))
    assert name_classes(np.array([0, 2]), ("a", "b\n")) == ("a", "b\ufffd", "2")


@pytest.mark.parametrize("dataset", [[1], {"a": 1}, None, 7, "../../etc/passwd", NAMES[0], ["mnist"]])
def test_info_of_any_kind_opens_every_panel(model, dataset):
    """A file may say what it likes."""
    model.info = {
        "dataset": dataset,
        "classes": dataset,
        "figures": dataset,
        "recipe": dataset,
        "frame": dataset,
    }
    for panel in (vw.LatentExplorer(model), vw.KLLab(model), vw.NoiseKnob(model), vw.DrawPad(model)):
        check_panel(panel)
        panel.close()


def test_a_folder_named_with_markup(tmp_path):
    """Through load_data, the cockpit and the page: the names of folders are the names of classes."""
    root = tmp_path / "<img src=x onerror=window.hacked=1>"
    names = [name for name in NAMES if name and "/" not in name and "\0" not in name and len(name) < 200]
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(4):
            Image.fromarray(np.full((6, 5), 40 * k, "uint8")).save(root / name / f"{k}.png")
    data = vw.load_data(root, test_fraction=0.5)
    assert set(data.classes) == set(names) and data.name == root.name
    model = vw.VAE(2, (1, 6, 5), hidden=(8,), seed=0)
    cockpit = vw.TrainingCockpit(model, data, threaded=False)
    seen = check_panel(cockpit)
    shown = {data.classes[label] for label in data.test.labels}
    assert len(shown) > 3
    for name in shown:
        assert (sanitize(name) if len(name) <= LIMIT else sanitize(name)[: LIMIT - 1] + "…") in seen, name
    cockpit.close()
    (root / names[0] / "<b>bad.png").write_bytes(b"<script>")
    with pytest.raises(ValueError) as caught:
        vw.load_data(root)
    cockpit = vw.TrainingCockpit(model, data, threaded=False)
    cockpit.show_error(caught.value)
    check_html(cockpit.error_line.value)
    assert "<b>bad.png" in Tags(cockpit.error_line.value).text
    cockpit.close()


def test_the_page_holds_names_as_data(tmp_path, model):
    path = write_page(
        tmp_path / "p.html", model=model, mu=model.atlas.mu, labels=model.atlas.labels, classes=NAMES,
        title=NAMES[1],
    )  # fmt: skip
    text = path.read_text("utf-8")
    tags = [tag for tag, _ in Tags(text).tags]
    assert "img" not in tags and "svg" not in tags and "a" not in tags and tags.count("script") == 3
    (data,) = re.findall(r'<script[^>]*id="data"[^>]*>(.*?)</script>', text, re.DOTALL)
    assert [entry["name"] for entry in json.loads(data)["classes"]] == [sanitize(name) for name in NAMES]
