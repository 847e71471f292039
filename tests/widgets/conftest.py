"""Panels without a browser: a comm that records what the kernel sends, and models that count."""

import hashlib
from dataclasses import dataclass, field

import comm
import pytest
import torch
from comm.base_comm import BaseComm

import vaewidgets as vw

# Two encodings of one image in float32: sums of some tens of products that may cancel, each rounded to 6e-8
# of itself, in an order that is the processor's and the batch's own; a KL is a difference of numbers near 1.
FLOAT32 = {"rel": 1e-5, "abs": 1e-6}


@dataclass
class Wire:
    """What the kernel sends: messages as (widget id, content) in order, their buffers, and first states."""

    messages: list = field(default_factory=list)
    opened: list = field(default_factory=list)
    buffers: list = field(default_factory=list)

    def updates(self, widget) -> list[dict]:
        """The states sent for one widget since the start, or since `clear`."""
        return [
            content["state"]
            for comm_id, content in self.messages
            if comm_id == widget.comm.comm_id and content.get("method") == "update"
        ]

    def clear(self) -> None:
        self.messages.clear()
        self.opened.clear()
        self.buffers.clear()


@pytest.fixture
def wire(monkeypatch) -> Wire:
    """Record every comm message of widgets made in this test."""
    record = Wire()

    class RecordingComm(BaseComm):
        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            if msg_type == "comm_msg":
                record.messages.append((self.comm_id, data))
                record.buffers.append(buffers)
            elif msg_type == "comm_open":
                record.opened.append((self.comm_id, data["state"]))

    monkeypatch.setattr(comm, "create_comm", RecordingComm)
    return record


def told_of(description) -> dict:
    """What the page is told of a network whose weights halves do not hold."""
    digest = hashlib.sha256(description.weights).hexdigest()
    return {"spec": description.spec, "parts": [{"hash": digest[:32], "dtype": "float32"}]}


def from_page(widget, **state) -> None:
    """Deliver a change of state as the page does: through the comm."""
    content = {"comm_id": widget.comm.comm_id, "data": {"method": "update", "state": state}}
    widget.comm.handle_msg({"content": content, "buffers": []})


def check_refused(panel, *cases) -> None:
    """Check that a panel refuses to be made of each (arguments, keywords, error, pattern of its message)."""
    for arguments, keywords, error, message in cases:
        with pytest.raises(error, match=message):
            panel(*arguments, **keywords)


def check_not_settable(panel, *cases) -> None:
    """Check that a panel refuses each assignment (name, value, error, pattern of its message)."""
    for name, value, error, message in cases:
        with pytest.raises(error, match=message):
            setattr(panel, name, value)


class OwnDecoder(vw.VAE):
    """A VAE that decodes in a way of its own, which no page can know."""

    def decode(self, z):
        return super().decode(z) ** 2


class CountingVAE(vw.VAE):
    """A VAE that keeps the latent batches it was asked to decode."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.decoded: list[torch.Tensor] = []

    def decode(self, z):
        self.decoded.append(z)
        return super().decode(z)


@pytest.fixture
def model() -> CountingVAE:
    """A small untrained model of 6 x 5 images, d = 2, with codes well spread out."""
    model = CountingVAE(2, (1, 6, 5), hidden=(16,), seed=0)
    with torch.no_grad():
        model.mu.weight *= 8
    return model


@pytest.fixture
def images() -> vw.Images:
    generator = torch.Generator().manual_seed(1)
    return vw.Images(torch.rand(40, 1, 6, 5, generator=generator), torch.arange(40) % 4)
