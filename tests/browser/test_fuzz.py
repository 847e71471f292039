"""Damaged or hostile descriptions of networks through the page: a clear error, or a network."""

import base64
import json
import random

import fuzz
import pytest
from torch import nn

import vaewidgets as vw
from vaewidgets.widgets._core.network_spec import describe, describe_classifier

from .harness import import_module

#: What a page is told: which part is wrong, and what to do; never what JavaScript stumbles over.
CLEAR = (
    r"^The description cannot be run: .+\. Make it again from the model\.$"
    r"|^The description has a layer of kind .+, which this page cannot run\.$"
    r"|^The description has format .+; this page reads 1\.$"
    r"|^The description is of .+ weights; \d+ came\.$"
)
TRY = """
([cases, clear]) => {
    const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const wrong = [];
    let refused = 0;
    for (const [seed, spec, weights] of cases) {
        let network;
        try {
            network = makeNetwork(JSON.parse(spec), bytes(weights));
        } catch (error) {
            refused++;
            const good = error.message.length < 400 && new RegExp(clear).test(error.message);
            // Of JSON that is none the page's own parser says so.
            const other = !good && !(error instanceof SyntaxError);
            if (other) wrong.push([seed, `${error.name}: ${error.message}`]);
            continue;
        }
        try {
            const {latentDim, imageShape} = network, pixels = imageShape.reduce((a, b) => a * b);
            const image = network.decode(new Float32Array(latentDim).fill(0.5));
            if (image.length !== pixels) wrong.push([seed, `${image.length} pixels of ${pixels}`]);
            // The weights are finite, so NaN was read beyond their end, or large ones overflowed: small
            // ones of the same length (4e-3 as float16, 4e-22 as float32) tell which.
            if (image.some(Number.isNaN)) {
                const halves = new Uint16Array(bytes(weights).length / 2).fill(0x1c00);
                const small = makeNetwork(JSON.parse(spec), new Uint8Array(halves.buffer));
                const again = small.decode(new Float32Array(latentDim).fill(0.5));
                if (again.some(Number.isNaN)) wrong.push([seed, "a pixel is NaN"]);
            }
            network.encode?.(new Float32Array(pixels).fill(0.5));
        } catch (error) {
            wrong.push([seed, `while it ran: ${error.name}: ${error.message}`]);
        }
    }
    return [refused, wrong];
}
"""


def spoiled(seed: int, bases) -> tuple[int, str, str]:
    """Seed, JSON and weights of a description in which something is wrong."""
    rng = random.Random(f"description {seed}")
    base = rng.choice(bases)
    spec, weights = json.loads(json.dumps(base.spec)), base.weights
    if rng.random() < 0.1:
        weights = rng.choice((fuzz.cut, fuzz.splice))(rng, weights)
    for _ in range(rng.choice((1, 1, 2, 4))):
        fuzz.edit(rng, rng.choice((spec, spec["decoder"] if isinstance(spec.get("decoder"), list) else spec)))
    text = fuzz.dump(spec)
    if rng.random() < 0.05:
        text = fuzz.flip(rng, text.encode("utf-8", "surrogatepass")).decode("utf-8", "replace")
    return seed, text, base64.b64encode(weights).decode()


def other_layers():
    """A model of layers that are none of ours."""
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    model.decoder = nn.Sequential(
        nn.BatchNorm1d(2), nn.Linear(2, 16), nn.GroupNorm(4, 16), nn.Unflatten(1, (4, 2, 2)),
        nn.PixelShuffle(2), nn.PReLU(), nn.Upsample(scale_factor=1.5, mode="bilinear"),
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.CELU(), nn.MaxPool2d(2, 1), nn.Hardtanh(),
        nn.Conv2d(4, 2, 3, groups=2),
        nn.ConvTranspose2d(2, 2, 2, stride=2, padding=1, groups=2), nn.Conv2d(2, 1, 1),
    )  # fmt: skip
    return model


@pytest.fixture
def bases():
    small = dict(hidden=(3,), seed=0)
    return [
        describe(vw.VAE(2, (1, 4, 4), **small), encoder=True),
        describe(
            vw.VAE(3, (3, 5, 4), trunk="conv", likelihood="continuous-bernoulli", **small), encoder=True
        ),
        describe(
            vw.VAE(2, (1, 4, 4), trunk="linear", activation="softplus", seed=0).half().float(),
            encoder=True,
        ),
        describe_classifier(vw.Classifier((1, 4, 4), 3, **small)),
        describe(other_layers()),
    ]


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=pytest.mark.extended)])
def test_a_hostile_description_is_a_clear_error_or_a_network(launch_browser, bases, count):
    page = launch_browser().new_page()
    try:
        import_module(page, "_core/network.js")
        refused, wrong = page.evaluate(TRY, [[spoiled(seed, bases) for seed in range(count)], CLEAR])
        whole = page.evaluate(
            TRY, [[(-1, json.dumps(b.spec), base64.b64encode(b.weights).decode()) for b in bases], CLEAR]
        )
    finally:
        page.close()
    assert wrong == [], f"{len(wrong)} seeds of spoiled() are wrong; the first: {wrong[:5]}"
    assert 0.5 * count < refused < 0.98 * count
    assert whole == [0, []], "what is not damaged is not refused"
