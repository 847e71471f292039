"""What reaches a page once: the runtime, Plotly, and weights, each by the hash of its content."""

import hashlib
import json
import re
import zlib

import torch
from ipywidgets import Widget

import vaewidgets as vw
from vaewidgets.widgets._core.bundle import default_modules
from vaewidgets.widgets._core.canvas import ImageCanvas
from vaewidgets.widgets._core.network_spec import describe
from vaewidgets.widgets._core.page_module import runtime
from vaewidgets.widgets._core.panel import tree
from vaewidgets.widgets._core.plotly import FigureWidget


def ask(wire, widget, digest) -> bytes | None:
    """Ask as the page does; return the content, or None where the kernel has none."""
    wire.clear()
    data = {"method": "custom", "content": {"type": "vw_asset", "hash": digest}}
    widget.comm.handle_msg({"content": {"comm_id": widget.comm.comm_id, "data": data}, "buffers": []})
    assert all(comm_id == widget.comm.comm_id for comm_id, _ in wire.messages), "who asks is answered"
    answers = [content["content"] for _, content in wire.messages]
    assert all(answer["type"] == "vw_asset" and answer["hash"] == digest for answer in answers)
    if len(answers) == 1:
        assert not wire.buffers[0] and "size" not in answers[0]
        return None
    announced, _ = answers
    ((packed,),) = [buffers for buffers in wire.buffers if buffers]
    assert announced["size"] == len(packed) and wire.buffers[0] in (None, [])
    content = zlib.decompress(packed)
    assert hashlib.sha256(content).hexdigest().startswith(digest)
    return content


def test_a_widget_gives_the_runtime_with_every_module_and_stylesheet(wire):
    canvas = ImageCanvas()
    content = ask(wire, canvas, canvas.runtime).decode()
    for name in set(default_modules()) - {"_core/loader.js"}:
        assert f"{json.dumps(name)}: module" in content, name
    assert len(re.findall(r"^// \w+\.js$", content, re.MULTILINE)) == len(
        set(re.findall(r"^// (\w+)\.js$", content, re.MULTILINE))
    ), "a module stands in it once"
    for name in ("--vw-", ".vw-map-layer", ".vw-points"):
        assert name in content


def test_what_a_widget_does_not_have_it_says(wire):
    canvas = ImageCanvas()
    assert ask(wire, canvas, "0" * 32) is None
    assert ask(wire, canvas, None) is None
    assert ask(wire, canvas, FigureWidget().plotly) is None


def test_the_state_of_a_widget_names_its_module_and_itself(wire):
    panel = vw.LatentExplorer(vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0))
    states = dict(wire.opened)
    for widget in tree(panel):
        if "runtime" in widget.keys:
            state = states[widget.model_id]
            assert state["page_id"] == widget.model_id and state["runtime"] == runtime().hash
            assert state["module"] in default_modules()
            assert len(state["_esm"]) < 5000 and "_css" not in state


def test_weights_are_given_while_they_are_those_of_the_model(wire):
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    latent = vw.LatentExplorer(model).latent
    (old,) = latent.networks["model"]["parts"]
    assert ask(wire, latent, old["hash"]) == describe(model).weights
    with torch.no_grad():
        model.decoder[0].weight += 1
    latent.refresh()
    (new,) = latent.networks["model"]["parts"]
    assert ask(wire, latent, new["hash"]) == describe(model).weights
    assert ask(wire, latent, old["hash"]) is None


def test_no_question_comes_too_early_or_too_late_while_weights_change(wire):
    """The page asks on another thread: before it is told of new weights the old ones are there."""
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    latent = vw.LatentExplorer(model).latent
    answers = []

    def ask_for_both(change) -> None:
        for state in (change["old"], change["new"]):
            (part,) = state["model"]["parts"]
            answers.append(ask(wire, latent, part["hash"]))

    wanted = [describe(model).weights]
    latent.observe(ask_for_both, "networks")
    with torch.no_grad():
        model.decoder[0].weight += 1
    latent.refresh()
    assert answers == [*wanted, describe(model).weights]


def test_panels_of_one_model_name_the_same_weights(wire):
    model = vw.pretrained("digits-vae-2d")
    explorer, pad, lab = vw.LatentExplorer(model), vw.DrawPad(model), vw.KLLab(model)
    hashes = [
        [part["hash"] for part in widget.networks["model"]["parts"]]
        for widget in (explorer.latent, pad.pad, lab.view)
    ]
    assert hashes[0] == hashes[1][:1] == hashes[2] and len(hashes[1]) == 2
    # Shipped weights are halves, and reach the page as such.
    assert {part["dtype"] for part in pad.pad.networks["model"]["parts"]} == {"float16"}


def test_what_can_be_had_from_the_package_is_not_stored_with_a_notebook():
    model = vw.pretrained("digits-vae-2d")

    def stored() -> int:
        return len(json.dumps(Widget.get_manager_state(), default=str))

    before = stored()
    panel = vw.LatentExplorer(model)
    # The codes on the map: x, y and row, four bytes each, in base64.
    points = 12 * 4 / 3 * len(panel.mu)
    assert stored() - before < points + 200_000
