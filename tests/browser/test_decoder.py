"""The decoder that runs in the page, against torch, in a real Chromium."""

import base64
import itertools
import json
from importlib import resources

import numpy as np
import pytest
import torch
from torch import nn

import vaewidgets as vw
from vaewidgets.models.likelihoods import ContinuousBernoulli
from vaewidgets.models.vae import ACTIVATIONS, TRUNKS
from vaewidgets.widgets._core.network_spec import describe
from vaewidgets.widgets._core.panel import STATIC

DECODER = (STATIC / "decoder.js").read_text()
PRETRAINED = sorted(
    path.name.removesuffix(".safetensors")
    for path in (resources.files(vw) / "pretrained").iterdir()
    if path.name.endswith(".safetensors") and "classifier" not in path.name
)
SHAPES = [(1, 8, 8), (3, 7, 5), (1, 9, 12), (3, 6, 11), (1, 1, 13)]
HELPERS = """
async source => {
    const url = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
    const {makeNetwork} = await import(url);
    const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
    const floats = text => new Float32Array(bytes(text).buffer);
    const pack = array => new Promise(resolve => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result.split(',')[1] ?? '');
        reader.readAsDataURL(new Blob([array]));
    });
    window.vw = {makeNetwork, bytes, floats, pack};
}
"""


@pytest.fixture(scope="module")
def page(launch_browser):
    """A blank page with the module imported from a Blob."""
    context = launch_browser().new_context()
    page = context.new_page()
    page.evaluate(HELPERS, DECODER)
    yield page
    context.close()


def pack(array) -> str:
    data = array if isinstance(array, bytes) else np.ascontiguousarray(array, "<f4").tobytes()
    return base64.b64encode(data).decode()


def unpack(text: str) -> torch.Tensor:
    return torch.from_numpy(np.frombuffer(base64.b64decode(text), "<f4").copy())


def make_network(page, description) -> None:
    page.evaluate(
        "([spec, weights]) => { window.network = vw.makeNetwork(spec, vw.bytes(weights)); }",
        [description.spec, pack(description.weights)],
    )


def decode_in(page, z: torch.Tensor) -> torch.Tensor:
    text = page.evaluate("z => vw.pack(network.decodeMany(vw.floats(z)))", pack(z))
    shape = page.evaluate("network.imageShape")
    return unpack(text).view(len(z), *shape)


def encode_in(page, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    mu, logvar = page.evaluate(
        """async x => {
            const images = vw.floats(x), size = network.imageShape.reduce((a, b) => a * b);
            const mu = [], logvar = [];
            for (let i = 0; i < images.length; i += size) {
                const q = network.encode(images.subarray(i, i + size));
                mu.push(...q.mu);
                if (q.logvar) logvar.push(...q.logvar);
            }
            return [mu, logvar];
        }""",
        pack(x),
    )
    return torch.tensor(mu).view(len(x), -1), torch.tensor(logvar).view(len(x), -1) if logvar else None


def uniform(n: int, d: int, span: float = 4.0) -> torch.Tensor:
    return (torch.rand(n, d, generator=torch.Generator().manual_seed(7)) * 2 - 1) * span


def wake(model):
    """Make weights large, so that activations and pixels use their whole range and no mistake hides."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter *= 2
            elif "sigma" not in name:
                parameter.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    return model


@torch.no_grad()
def check_decode(page, model, z) -> None:
    expected, seen = model.decode(z), decode_in(page, z)
    assert expected.std() > 0.02
    scale = max(1.0, expected.abs().max().item())
    assert (seen - expected).abs().max().item() <= 1e-4 * scale


@torch.no_grad()
def check_encode(page, model, x) -> None:
    expected = model.encode(x)
    expected_mu, expected_logvar = (expected.mu, expected.logvar) if model.has_prior else (expected, None)
    mu, logvar = encode_in(page, x)
    torch.testing.assert_close(mu, expected_mu, rtol=1e-4, atol=2e-5)
    if expected_logvar is None:
        assert logvar is None
    else:
        torch.testing.assert_close(logvar, expected_logvar, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", PRETRAINED)
def test_every_shipped_model_is_exact(page, name):
    model = vw.pretrained(name)
    if isinstance(model, vw.ConditionalVAE):
        model = model.given(3)
    make_network(page, describe(model, encoder=True))
    check_decode(page, model, uniform(1000, model.latent_dim))
    check_encode(page, model, torch.rand(50, *model.image_shape, generator=torch.Generator().manual_seed(3)))


def test_every_trunk_activation_likelihood_and_size(page):
    shapes, dims = itertools.cycle(SHAPES), itertools.cycle([2, 1, 5])
    likelihoods = ["bernoulli", "continuous-bernoulli", "gaussian"]
    for trunk, activation, likelihood in itertools.product(TRUNKS, ACTIVATIONS, likelihoods):
        kind = vw.Autoencoder if activation == "silu" else vw.VAE
        shape, d = next(shapes), next(dims)
        options = dict(trunk=trunk, activation=activation, likelihood=likelihood, hidden=(7, 10), seed=0)
        model = wake(kind(d, shape, **options))
        make_network(page, describe(model, encoder=True))
        check_decode(page, model, uniform(20, d))
        check_encode(page, model, torch.rand(5, *shape, generator=torch.Generator().manual_seed(3)))


CONVOLUTIONS = {
    "upsample": ((3, 6, 10), [
        nn.Linear(2, 30), nn.SiLU(), nn.Unflatten(1, (2, 3, 5)),
        nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(2, 5, 3, padding="same"), nn.LeakyReLU(0.2)),
        nn.Conv2d(5, 3, (1, 3), padding=(0, 1), bias=False),
    ]),
    "even kernels, same": ((1, 4, 6), [
        nn.Linear(2, 24), nn.Unflatten(1, (1, 4, 6)), nn.Conv2d(1, 4, 2, padding="same"), nn.Tanh(),
        nn.Conv2d(4, 1, (4, 3), padding="same", dilation=(1, 2)),
    ]),
    "upsample by 3 and 2": ((1, 6, 4), [
        nn.Linear(2, 4), nn.Unflatten(1, (1, 2, 2)), nn.Upsample(scale_factor=(3, 2), mode="nearest-exact"),
        nn.Conv2d(1, 6, 3, padding=1), nn.GELU("tanh"), nn.Flatten(), nn.Linear(144, 24),
    ]),
    "odd strides": ((2, 6, 7), [
        nn.Linear(2, 36), nn.Softplus(2.0, 5.0), nn.Unflatten(1, (4, 3, 3)),
        nn.ConvTranspose2d(4, 5, (4, 3), stride=(3, 2), padding=(1, 0), output_padding=(2, 1), bias=False),
        nn.Sigmoid(), nn.ConvTranspose2d(5, 2, 2, padding=0, dilation=(1, 1)),
        nn.Conv2d(2, 2, (2, 3), stride=(2, 1), padding=(1, 0)),
    ]),
    "dilated": ((1, 5, 7), [
        nn.Linear(2, 24), nn.Unflatten(1, (2, 3, 4)),
        nn.ConvTranspose2d(2, 3, 3, stride=2, padding=2, output_padding=(0, 0), dilation=2),
        nn.ReLU(), nn.Identity(), nn.Conv2d(3, 1, 2, stride=1, dilation=(1, 1), padding=(1, 1)),
        nn.Upsample(size=None, scale_factor=1), nn.Conv2d(1, 1, 2),
    ]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_decoders_of_ones_own(page, name):
    shape, layers = CONVOLUTIONS[name]
    model = vw.VAE(2, shape, hidden=(3,), seed=0)
    model.decoder = nn.Sequential(*layers)
    torch.manual_seed(0)
    wake(model)
    make_network(page, describe(model))
    check_decode(page, model, uniform(50, 2))
    assert page.evaluate("network.encode") is None


def run_map(page, layer: dict, x: torch.Tensor) -> torch.Tensor:
    spec = {"format": 1, "latentDim": 1, "imageShape": [1, 1, 1], "decoder": [layer], "encoder": None}
    page.evaluate(
        "spec => { window.network = vw.makeNetwork({...spec, size: 0}, new Float32Array(0)); }", spec
    )
    return decode_in(page, x[:, None]).flatten()


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        ({"kind": "relu"}, nn.ReLU()),
        ({"kind": "leaky_relu", "slope": 0.1}, nn.LeakyReLU(0.1)),
        ({"kind": "silu"}, nn.SiLU()),
        ({"kind": "gelu"}, nn.GELU()),
        ({"kind": "gelu_tanh"}, nn.GELU("tanh")),
        ({"kind": "tanh"}, nn.Tanh()),
        ({"kind": "softplus", "beta": 1, "threshold": 20}, nn.Softplus()),
        ({"kind": "softplus", "beta": 2, "threshold": 3}, nn.Softplus(2, 3)),
        ({"kind": "sigmoid"}, nn.Sigmoid()),
        ({"kind": "continuous_bernoulli_mean"}, ContinuousBernoulli().mean),
        ({"kind": "bound", "bound": 10}, lambda x: 10 * torch.tanh(x / 10)),
    ],
    ids=lambda case: case.get("kind") if isinstance(case, dict) else "",
)
def test_activations_are_exact_to_a_millionth(page, layer, function):
    # Fine near 0 and at the seam of the continuous Bernoulli's series, and far out, where exp overflows.
    far = torch.tensor([-1e4, -800.0, -100.0, -20.1, 20.1, 100.0, 800.0, 1e4])
    x = torch.cat([torch.linspace(-8, 8, 8001), torch.linspace(-0.31, 0.31, 2001), far])
    expected = function(x.double())
    error = (run_map(page, layer, x).double() - expected).abs() / expected.abs().clamp(min=1)
    assert error.max().item() < 1e-6


def test_decode_reuses_its_buffer_and_the_others_do_not(page):
    model = vw.VAE(2, (1, 5, 4), hidden=(9,), seed=0)
    make_network(page, describe(model))
    result = page.evaluate(
        """() => {
            const a = network.decode([1, 2]), first = Array.from(a), b = network.decode([-1, 0.5]);
            const own = network.decodeInto([1, 2], new Float32Array(20));
            const many = network.decodeMany([1, 2, -1, 0.5]);
            return {same: a === b, changed: first.some((v, i) => v !== b[i]),
                    own: Array.from(own).every((v, i) => v === first[i]),
                    many: Array.from(many).every((v, i) => v === (i < 20 ? first[i] : b[i - 20])),
                    none: network.decodeMany([]).length,
                    kind: b.constructor.name, latentDim: network.latentDim};
        }"""
    )
    assert result == {
        "same": True, "changed": True, "own": True, "many": True, "none": 0,
        "kind": "Float32Array", "latentDim": 2,
    }  # fmt: skip


def test_every_half_is_read_exactly_from_any_offset(page):
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    n = len(halves)
    spec = {
        "format": 1,
        "latentDim": 1,
        "imageShape": [1, 1, n],
        "encoder": None,
        "dtype": "float16",
        "size": n,
    }
    spec["decoder"] = [{"kind": "constant", "out": [n], "weight": 0}]
    text = page.evaluate(
        """([spec, weights]) => {
            const bytes = vw.bytes(weights), shifted = new Uint8Array(bytes.length + 3);
            shifted.set(bytes, 3);
            const view = new DataView(shifted.buffer, 3);
            return vw.pack(vw.makeNetwork(spec, view).decode([0]));
        }""",
        [spec, pack(halves.tobytes())],
    )
    assert np.array_equal(unpack(text).numpy(), halves.astype(np.float32))


def test_a_model_in_half_equals_torch_with_rounded_weights(page):
    model = wake(vw.VAE(2, (1, 7, 7), trunk="conv", hidden=(5, 6), seed=0))
    make_network(page, describe(model, half=True))
    check_decode(page, model.half().float(), uniform(50, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder": [{"kind": "attention"}]}, 'layer of kind "attention", which this page cannot run'),
        ({"decoder": [{"kind": "constructor"}]}, 'layer of kind "constructor"'),
        ({"format": 2}, "has format 2; this page reads 1"),
        ({"size": 3}, "of 3 weights; 84 came"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(page, change, message):
    description = describe(vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0, likelihood="gaussian"))
    assert description.spec["size"] == 92
    spec = {**description.spec, "size": 84, **change}
    error = page.evaluate(
        """([spec, weights]) => {
            try { vw.makeNetwork(spec, vw.bytes(weights)); } catch (error) { return error.message; }
        }""",
        [spec, pack(description.weights[: 84 * 4])],
    )
    assert message in error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("decode([1, 2, 3])", "z has 3 values and should have 2"),
        ("decodeMany([1, 2, 3])", "points has 3 values, no multiple of 2"),
        ("decodeInto([1, 2], new Float32Array(3))", "out has 3 values and should have 16"),
        ("encode([1, 2, 3])", "x has 3 values and should have 16"),
    ],
)
def test_arrays_of_another_length_are_refused(page, call, message):
    make_network(page, describe(vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0), encoder=True))
    error = page.evaluate(f"() => {{ try {{ network.{call}; }} catch (error) {{ return error.message; }} }}")
    assert message in error


def test_it_runs_inline_where_eval_and_network_are_forbidden(launch_browser):
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    description = describe(model)
    policy = "default-src 'none'; script-src 'unsafe-inline'; base-uri 'none'"
    # The other script has names like those inside the decoder, as a panel's module may have.
    script = f"""{DECODER}
        const check = 1, product = 2, erf = 3, FORMAT = 4;
        const weights = Uint8Array.from(atob("{pack(description.weights)}"), c => c.charCodeAt(0));
        window.image = Array.from(makeNetwork({json.dumps(description.spec)}, weights).decode([0.5, -1]));
    """
    page = launch_browser().new_page()
    page.set_content(
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<script type="module">{script}</script>'
    )
    page.wait_for_function("() => window.image")
    image = torch.tensor(page.evaluate("image"))
    page.close()
    with torch.no_grad():
        torch.testing.assert_close(image, model.decode(torch.tensor([[0.5, -1.0]])).flatten())


def test_it_runs_in_a_worker_of_a_page_without_origin(page):
    """As a page opened from disk is: there a module worker from a Blob does not start."""
    assert page.evaluate("origin") == "null"
    model = vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0)
    description = describe(model)
    image = page.evaluate(
        """([spec, weights]) => new Promise((resolve, reject) => {
            const main = `onmessage = ({data: [spec, weights, z]}) =>
                postMessage(makeNetwork(spec, weights).decodeMany(z));`;
            const url = URL.createObjectURL(new Blob([vw.makeNetwork.source, main]));
            const worker = new Worker(url);
            worker.onmessage = ({data}) => { worker.terminate(); resolve(Array.from(data)); };
            worker.onerror = error => reject(new Error(error.message));
            worker.postMessage([spec, vw.bytes(weights), [0.5, -1]]);
        })""",
        [description.spec, pack(description.weights)],
    )
    with torch.no_grad():
        torch.testing.assert_close(torch.tensor(image), model.decode(torch.tensor([[0.5, -1.0]])).flatten())
