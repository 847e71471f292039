"""The page's modules: their types, their style, and their mathematics against Python, under node."""

import base64
import copy
import itertools
import json
import math
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import colormaps
from oracles import generator, solved
from scipy import special
from torch import nn

import vaewidgets as vw
from vaewidgets.data.pixels import to_uint8
from vaewidgets.evaluation.holes import interpolate
from vaewidgets.models.likelihoods import ContinuousBernoulli
from vaewidgets.models.linear_gaussian import diagonal_gap, estimate_bound, kl, shortfall, water_filling
from vaewidgets.models.vae import ACTIVATIONS, TRUNKS, Posterior
from vaewidgets.widgets._core.bundle import WIDGETS, bundle
from vaewidgets.widgets._core.network_spec import describe
from vaewidgets.widgets._core.plane import Plane
from vaewidgets.widgets.gaussian.counter_noise import normals
from vaewidgets.widgets.gaussian.kl_lab import areas, parts
from vaewidgets.widgets.gaussian.noise_knob import exact_gradient, pathwise_gradient, score_gradient

ROOT = Path(__file__).parents[1]
PRETRAINED = sorted(
    path.name.removesuffix(".safetensors")
    for path in (resources.files(vw) / "pretrained").iterdir()
    if path.name.endswith(".safetensors") and "classifier" not in path.name
)
SHAPES = [(1, 8, 8), (3, 7, 5), (1, 9, 12), (3, 6, 11), (1, 1, 13)]
#: Decoders of one's own: the image's shape and the layers.
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
#: Layers that trained decoders have, alone: the shape that each takes, and what is made of it.
LAYERS = [
    *(((c, h, w), [layer]) for c, h, w, layer in [
        (3, 5, 4, nn.Conv2d(3, 7, (2, 3), stride=(1, 2), padding=(1, 0), dilation=(2, 1))),
        (4, 7, 9, nn.Conv2d(4, 6, 3, stride=3, padding=2, groups=2)),
        (6, 8, 8, nn.Conv2d(6, 6, 3, padding=1, groups=6)),
        (5, 6, 3, nn.Conv2d(5, 2, 1)),
        (9, 9, 13, nn.Conv2d(9, 11, (4, 2), padding="same")),
        (3, 8, 6, nn.Conv2d(3, 5, 2, stride=4)),
        (4, 3, 5, nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), padding=(1, 0), output_padding=(1, 2), groups=2)),
        (3, 4, 4, nn.ConvTranspose2d(3, 3, 4, stride=2, padding=1)),
        (2, 5, 3, nn.ConvTranspose2d(2, 5, 3, stride=2, padding=3, dilation=(2, 3), output_padding=1)),
        (2, 3, 4, nn.ConvTranspose2d(2, 3, (1, 2), stride=3, bias=False)),
        (2, 3, 3, nn.ConvTranspose2d(2, 1, 2, stride=(4, 5), output_padding=(3, 4))),
        (8, 4, 4, nn.ConvTranspose2d(8, 8, 3, stride=2, padding=1, output_padding=1, groups=8)),
        (4, 3, 5, nn.BatchNorm2d(4)),
        (4, 3, 5, nn.BatchNorm2d(4, affine=False, eps=0.1)),
        (6, 3, 5, nn.GroupNorm(3, 6)),
        (6, 3, 5, nn.GroupNorm(1, 6, affine=False)),
        (6, 3, 5, nn.InstanceNorm2d(6)),
        (6, 3, 5, nn.InstanceNorm2d(6, affine=True)),
        (6, 3, 5, nn.InstanceNorm2d(6, affine=True, track_running_stats=True)),
        (6, 3, 5, nn.LayerNorm((6, 3, 5))),
        (6, 3, 5, nn.LayerNorm(5, elementwise_affine=False)),
        (6, 3, 5, nn.LayerNorm((3, 5), bias=False)),
        (4, 2, 3, nn.PReLU(4)),
        (4, 2, 3, nn.PReLU()),
        (4, 2, 3, nn.SELU()),
        (4, 2, 3, nn.ReLU6()),
        (12, 2, 3, nn.PixelShuffle(2)),
        (2, 6, 9, nn.PixelUnshuffle(3)),
        (2, 7, 9, nn.AvgPool2d(3, 2, 1)),
        (2, 7, 9, nn.AvgPool2d((2, 3), (3, 2), padding=1, ceil_mode=True, count_include_pad=False)),
        (2, 7, 9, nn.AvgPool2d(2, divisor_override=3)),
        (2, 7, 9, nn.AdaptiveAvgPool2d((3, 4))),
        (2, 7, 9, nn.AdaptiveAvgPool2d((None, 1))),
        (2, 7, 9, nn.MaxPool2d(2)),
        (2, 7, 9, nn.MaxPool2d((3, 2), stride=(2, 1), padding=1, dilation=(1, 2), ceil_mode=True)),
        (2, 5, 3, nn.Upsample(scale_factor=2)),
        (2, 5, 3, nn.Upsample(scale_factor=(2.2, 1.5))),
        (2, 5, 3, nn.Upsample(size=(3, 7), mode="nearest-exact")),
        (2, 5, 3, nn.Upsample(scale_factor=2, mode="bilinear")),
        (2, 5, 3, nn.Upsample(scale_factor=(1.7, 3), mode="bilinear", align_corners=True)),
        (2, 5, 3, nn.Upsample(size=(9, 8), mode="bicubic")),
        (2, 5, 3, nn.UpsamplingBilinear2d(scale_factor=2)),
        (2, 5, 3, nn.ZeroPad2d((1, 2, 0, 3))),
        (2, 5, 3, nn.ZeroPad2d((-1, 2, -2, 0))),
        (2, 5, 3, nn.ReflectionPad2d((2, 1, 0, 4))),
        (2, 5, 3, nn.ReplicationPad2d((1, 2, 3, 4))),
        (2, 5, 3, nn.CircularPad2d((1, 2, 3, 4))),
    ]),
    ((12,), [nn.BatchNorm1d(12)]),
    ((12,), [nn.LayerNorm(12), nn.Linear(12, 5)]),
    ((12,), [nn.GroupNorm(4, 12), nn.PReLU(12)]),
    ((12,), [nn.Unflatten(1, (3, 4)), nn.BatchNorm1d(3), nn.InstanceNorm1d(3)]),
    ((4, 3, 3), [nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), nn.ReLU(),
                 nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2, bias=False), nn.BatchNorm2d(4), nn.Dropout2d(),
                 nn.Mish()]),
    ((8, 4, 4), [nn.Conv2d(8, 12, 3, padding=1), nn.GroupNorm(4, 12), nn.SiLU(), nn.PixelShuffle(2),
                 nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3)]),
]  # fmt: skip
MAPS = [
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
    ({"kind": "log_sigmoid"}, nn.LogSigmoid()),
    ({"kind": "elu", "alpha": 1.3, "beta": 1, "scale": 1}, nn.ELU(1.3)),
    ({"kind": "elu", "alpha": 0.7, "beta": 1 / 0.7, "scale": 1}, nn.CELU(0.7)),
    ({"kind": "mish"}, nn.Mish()),
    ({"kind": "hardsigmoid"}, nn.Hardsigmoid()),
    ({"kind": "hardswish"}, nn.Hardswish()),
    ({"kind": "clip", "low": -0.5, "high": 2}, nn.Hardtanh(-0.5, 2)),
    ({"kind": "softsign"}, nn.Softsign()),
]


@pytest.fixture(scope="module")
def run():
    """A function that runs a program of node's in ``tests/`` and returns what it wrote; a failure is one."""
    there = {
        "node": shutil.which("node"),
        "npm": shutil.which("npm"),
        "tests/node_modules (npm ci --prefix tests)": (ROOT / "tests/node_modules/typescript").is_dir(),
    }
    missing = [name for name, found in there.items() if not found]
    if missing and os.environ.get("VAEWIDGETS_REQUIRE") == "1":
        pytest.fail(f"no {', '.join(missing)}, and VAEWIDGETS_REQUIRE=1 makes it compulsory", pytrace=False)
    if missing:
        pytest.skip(f"no {', '.join(missing)}")

    def run(*command, **variables):
        environment = {**os.environ, **variables}
        ended = subprocess.run(command, cwd=ROOT / "tests", env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


@pytest.mark.parametrize("tool", ["types", "lint"])
def test_tools_find_nothing(run, tool):
    run("npm", "run", "--silent", tool)


def test_what_is_served_is_whole(run, tmp_path):
    scripts = sorted(WIDGETS.rglob("*.js"))
    assert len(scripts) > 40
    for number, path in enumerate(scripts):
        served = tmp_path / f"{number}-{path.stem}.mjs"
        served.write_text(bundle(path.relative_to(WIDGETS).as_posix()))
        run("node", "--check", str(served))


#: What each file of ``javascript/`` expects: functions below.
EXPECTED = {
    "mathematics": (
        "normal", "noise", "kl", "codes", "gradients", "histogram", "linear", "planes",
        "paths", "colours", "ranks",
    ),
    "pixels": ("images", "bytes", "texts", "ends"),
    "decoder": ("decoder",),
    "kernel": (),
    "worker": ("worker",),
    "rasterize": (),
    "loader": (),
    "weights": (),
    "latent_state": (),
}  # fmt: skip


@pytest.mark.parametrize("file", EXPECTED)
def test_modules_compute_what_python_does(run, tmp_path, file):
    expected = {name: globals()[f"expect_{name}"]() for name in EXPECTED[file]}
    path = tmp_path / "expected.json"
    path.write_text(json.dumps(expected, allow_nan=False))
    hooks = "./javascript/es_modules.mjs"
    run("node", "--import", hooks, f"javascript/{file}.test.mjs", VAEWIDGETS_EXPECTED=str(path))


def speed_networks():
    """Decoders of 70 million multiply-adds and more: with each activation, and of another build."""
    large = dict(latent_dim=2, image_shape=(3, 64, 64), trunk="conv", hidden=(96, 192, 256))
    resized = vw.VAE(2, (3, 64, 64), hidden=(3,), seed=0)
    resized.decoder = nn.Sequential(
        nn.Linear(2, 2048), nn.Unflatten(1, (128, 4, 4)),
        *(part for wide, thin in ((128, 96), (96, 64), (64, 32), (32, 32)) for part in (
            nn.Upsample(scale_factor=2), nn.Conv2d(wide, thin, 3, padding=1), nn.BatchNorm2d(thin), nn.ELU(),
        )),
        nn.Conv2d(32, 3, 3, padding=1),
    )  # fmt: skip
    models = {activation: vw.VAE(**large, activation=activation, seed=0) for activation in ACTIVATIONS}
    return {**models, "resized": resized}


@pytest.mark.extended
def test_a_decoder_of_70_million_multiply_adds_keeps_30_pictures_a_second(run, tmp_path):
    networks = []
    for name, model in speed_networks().items():
        description = describe(model)
        networks.append({"name": name, "spec": description.spec, "weights": pack(description.weights)})
    path = tmp_path / "networks.json"
    path.write_text(json.dumps({"networks": networks}))
    variables = {"VAEWIDGETS_EXPECTED": str(path)}
    lines = run("node", "--import", "./javascript/es_modules.mjs", "javascript/speed.mjs", **variables)
    rows = [json.loads(line) for line in lines.splitlines()]
    print(lines)
    assert len(rows) == len(networks)
    for row in rows:
        assert row["wasm"] < row["plain"] / 4, row
        assert row["macs"] > 70e6 and row["wasm"] < 1000 / 30, row


def pack(array) -> str:
    data = array if isinstance(array, bytes) else np.ascontiguousarray(array, "<f4").tobytes()
    return base64.b64encode(data).decode()


# -- mathematics ----------------------------------------------------------------------------------------


def expect_normal():
    x = np.concatenate([np.linspace(-6, 6, 49), [1e-9, -38, 38]])
    p = np.concatenate([np.linspace(0.0003, 0.9997, 40), [0.5]])
    far = [0, 0.3, 2, 40, 700, 2000]
    gamma = [{"d": d, "x": far, "shares": special.gammainc(d / 2, far).tolist()} for d in (1, 2, 3, 16, 64)]
    return {
        "x": x.tolist(), "p": p.tolist(), "cdf": special.ndtr(x).tolist(),
        "quantile": special.ndtri(p).tolist(), "gamma": gamma,
    }  # fmt: skip


def expect_noise():
    return [
        {"seed": seed, "values": normals(seed, count).tolist()}
        for seed, count in ((0, 1001), (1, 2), (7, 1), (2**31, 500), (2**32 - 1, 3))
    ]


def expect_kl():
    rng = np.random.default_rng(1)
    clouds = np.stack([rng.uniform(-5, 5, 1000), 10 ** rng.uniform(-3, 2, 1000)], axis=1).tolist()
    rows = []
    for mu, sigma in [*clouds, [0, 1], [0, 0.001], [5, 100]]:
        offset, shape = parts(mu, sigma)
        rows.append({"mu": mu, "sigma": sigma, "offset": offset, "shape": shape, "areas": areas(mu, sigma)})
    return rows


def expect_codes():
    mu, logvar = torch.randn(2, 100, 5, generator=generator(4), dtype=torch.float64) * 2
    nats = Posterior(mu, logvar).kl().sum(1)
    columns = zip(mu.tolist(), logvar.tolist(), nats.tolist(), strict=True)
    return [{"mu": m, "logvar": v, "kl": n} for m, v, n in columns]


def expect_gradients():
    rng = np.random.default_rng(2)
    phis, epsilons = rng.uniform(-1, 1, 1000).tolist(), rng.normal(size=1000).tolist()
    return [
        {
            "phi": phi, "epsilon": epsilon, "pathwise": pathwise_gradient(phi, epsilon),
            "score": score_gradient(phi, epsilon), "exact": list(exact_gradient(phi)),
        }
        for phi, epsilon in zip(phis, epsilons, strict=True)
    ]  # fmt: skip


def expect_histogram():
    draws, ends = np.random.default_rng(3).normal(1, 2, 5000), (-2.5, 4)
    bins, _ = np.histogram(draws, 60, ends)
    return {
        "draws": draws.tolist(), "mean": draws.mean(), "sd": draws.std(ddof=1),
        "error": draws.std(ddof=1) / math.sqrt(5000), "range": ends, "bins": bins.tolist(),
        "beyond": 5000 - int(bins.sum()),
    }  # fmt: skip


def expect_linear():
    """1,000 random inputs; the quadrature, which takes Python a tenth of a second, on some of them."""
    ks, variances = (1, 2, 10, 100, 500), [9.0, 4.0, 1.0, 0.25]
    cases = []
    for i, u in enumerate(torch.rand(1000, 8, generator=generator(), dtype=torch.float64).tolist()):
        inputs = dict(
            theta=90 * u[0], x=[6 * u[1] - 3, 6 * u[2] - 3], mean=[7 * u[3] - 3.5, 7 * u[4] - 3.5],
            sigma=[0.05 * 40 ** u[5], 0.05 * 40 ** u[6]], angle=360 * u[7] - 180,
        )  # fmt: skip
        model, x, p, q = solved(**inputs)
        closed = [model.log_evidence(x), diagonal_gap(p), kl(q, p), model.elbo(x, q)]
        water = water_filling(torch.tensor(variances, dtype=torch.float64), math.exp(inputs["mean"][0]))
        estimate = estimate_bound(model.log_weights(x, q, normals(i, 2000).view(-1, 2)), 100)
        cases.append({
            "inputs": inputs, "closed": [float(v) for v in closed], "estimate": [float(v) for v in estimate],
            "bounds": [] if i % 200 else [float(shortfall(q, p, k)) for k in ks], "water": water.tolist(),
            "best": float(diagonal_gap(p)), "posterior": 0.0,
        })  # fmt: skip
    return {"cases": cases, "ks": ks, "variances": variances}


def expect_planes():
    rng = np.random.default_rng(5)
    rows = []
    for d in (1, 2, 3, 10):
        plane = Plane.principal(rng.normal(size=(50, d))) if d > 2 else Plane.coordinates(d)
        z, point = rng.normal(size=d), rng.normal(size=2)
        rows.append({
            "basis": plane.basis.tolist(), "origin": plane.origin.tolist(), "z": z.tolist(),
            "point": point.tolist(), "onPlane": plane.project(z).tolist(),
            "lifted": plane.lift(point, z).tolist(),
        })  # fmt: skip
    return rows


def expect_paths():
    a, b = torch.randn(2, 20, 7, generator=generator(6), dtype=torch.float64)
    a[0], b[1], b[2] = 0, a[1], -a[2]
    rows = []
    for (one, other), t, kind in itertools.product(
        zip(a, b, strict=True), (0.0, 0.3, 1.0), ("line", "great-circle")
    ):
        (z,) = interpolate(one, other, torch.tensor([t], dtype=torch.float64), kind)
        rows.append({"a": one.tolist(), "b": other.tolist(), "t": t, "kind": kind, "z": z.tolist()})
    return rows


def expect_colours():
    """Cividis below tau up to its middle, above tau from 0.72 on."""
    cividis = colormaps["cividis"].resampled(10)
    anchors = 255 * cividis(np.arange(10))[:, :3]
    rows = []
    for sure, tau in itertools.product(np.linspace(0, 1, 41).tolist(), (0.3, 0.5, 0.9)):
        share = 0.5 * sure / tau if sure < tau else 0.72 + 0.28 * (sure - tau) / (1 - tau)
        colour = [np.interp(9 * share, np.arange(10), channel) for channel in anchors.T]
        rows.append({"sure": sure, "tau": tau, "colour": colour})
    return rows


def expect_ranks():
    falling = np.sort(np.random.default_rng(7).normal(size=50))[::-1]
    values = np.random.default_rng(8).normal(size=200).tolist()
    cases = [{"value": v, "rank": int(np.abs(falling - v).argmin())} for v in values]
    return {"falling": falling.tolist(), "cases": cases}


# -- pixels and numbers -----------------------------------------------------------------------------------


def expect_images():
    rows = []
    for channels in (1, 3):
        image = torch.rand(channels, 5, 4, generator=generator(channels)) * 1.4 - 0.2
        shown = to_uint8(image)
        colours = shown if channels == 3 else np.repeat(shown[..., None], 3, -1)
        rgba = np.concatenate([colours, np.full((5, 4, 1), 255, np.uint8)], -1)
        rows.append({
            "shape": image.shape, "pixels": pack(image.numpy()), "shown": pack(shown.tobytes()),
            "rgba": pack(rgba.tobytes()),
        })  # fmt: skip
    return rows


def expect_bytes():
    halves = every_half()
    return {
        "values": pack(np.random.default_rng(9).normal(size=17)),
        "halves": {"bits": halves.view(np.uint16).tolist(), "values": halves.astype(float).tolist()},
    }


def expect_texts():
    values = [0.0, -0.0, -0.001, 0.004, -1.2345, 12.6, 1e5, -3.0]
    return [
        {"value": v, "digits": n, "text": f"{round(v, n) + 0.0:.{n}f}"} for v in values for n in (0, 1, 2, 4)
    ]


def expect_ends():
    return (10 ** np.random.default_rng(10).uniform(-3, 4, 200)).tolist()


# -- the decoder ------------------------------------------------------------------------------------------


def expect_decoder():
    half = wake(vw.VAE(2, (1, 7, 7), trunk="conv", hidden=(5, 6), seed=0)).half().float()
    models = [
        *(expect_model(name, vw.pretrained(name), 1000) for name in PRETRAINED),
        *(expect_model(*case) for case in every_kind()),
        *(expect_model(name, own_decoder(*own), encoder=False) for name, own in CONVOLUTIONS.items()),
        *expect_layers(),
        expect_model("weights in half precision", half, encoder=False),
    ]
    halves = every_half()
    return {
        "models": models,
        "maps": [{"layer": layer, **expect_map(function)} for layer, function in MAPS],
        "small": expect_worker(),
        "halves": {"bits": pack(halves.tobytes()), "values": pack(halves)},
    }


def expect_worker():
    small = describe(vw.VAE(2, (1, 4, 4), hidden=(4,), seed=0), encoder=True)
    return {"spec": small.spec, "weights": pack(small.weights)}


def every_half() -> np.ndarray:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    return halves[np.isfinite(halves)]


def wake(model):
    """Make weights large, so that activations and pixels use their whole range and no mistake hides."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter *= 2
            elif "sigma" not in name:
                parameter.uniform_(-1, 1, generator=generator(1))
    return model


def every_kind():
    shapes, dims = itertools.cycle(SHAPES), itertools.cycle([2, 1, 5])
    likelihoods = ["bernoulli", "continuous-bernoulli", "gaussian"]
    for trunk, activation, likelihood in itertools.product(TRUNKS, ACTIVATIONS, likelihoods):
        kind = vw.Autoencoder if activation == "silu" else vw.VAE
        options = dict(trunk=trunk, activation=activation, likelihood=likelihood, hidden=(7, 10), seed=0)
        yield f"{trunk}, {activation}, {likelihood}", wake(kind(next(dims), next(shapes), **options))


def expect_layers():
    for dtype, (before, layers) in [(torch.float32, case) for case in LAYERS] + [
        (dtype, LAYERS[i]) for dtype in (torch.float64, torch.float16, torch.bfloat16) for i in (0, 6, 14, -2)
    ]:
        layers = copy.deepcopy(layers)
        decoder = nn.Sequential(nn.Linear(2, math.prod(before)), nn.Unflatten(1, before), *layers)
        shape = decoder.eval()(torch.zeros(2, 2)).shape[1:]
        shape = shape if len(shape) == 3 else (1, 1, math.prod(shape))
        model = own_decoder(shape, decoder, likelihood="gaussian")
        for name, tensor in model.decoder.state_dict().items():
            if "running" in name:
                tensor.uniform_(0.5, 2, generator=generator(2))
            elif tensor.dim() == 4:
                # The same values in another order in memory.
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
        model = model.to(dtype).float()
        names = ", ".join(str(layer) for layer in layers)
        description = describe(copy.deepcopy(model).to(dtype))
        yield expect_model(f"{names} on {before} in {dtype}", model, encoder=False, description=description)


def own_decoder(shape, layers, **options):
    model = vw.VAE(2, shape, hidden=(3,), seed=0, **options)
    model.decoder = nn.Sequential(*layers)
    torch.manual_seed(0)
    return wake(model)


@torch.no_grad()
def expect_model(name, model, count=20, *, encoder=True, description=None):
    if isinstance(model, vw.ConditionalVAE):
        model = model.given(3)
    description = description or describe(model, encoder=encoder)
    z = (torch.rand(count, model.latent_dim, generator=generator(7)) * 2 - 1) * 4
    images = model.decode(z)
    assert images.std() > 0.02
    case = {
        "name": name, "spec": description.spec, "weights": pack(description.weights), "z": pack(z.numpy()),
        "images": pack(images.numpy()),
    }  # fmt: skip
    if not encoder:
        return case
    x = torch.rand(5, *model.image_shape, generator=generator(3))
    codes = model.encode(x)
    mu, logvar = (codes.mu, codes.logvar) if model.has_prior else (codes, None)
    return {
        **case, "x": pack(x.numpy()), "mu": pack(mu.numpy()),
        "logvar": None if logvar is None else pack(logvar.numpy()),
    }  # fmt: skip


def expect_map(function):
    # Fine near 0 and at the seam of the continuous Bernoulli's series, and far out, where exp overflows.
    far = torch.tensor([-1e4, -800.0, -100.0, -20.1, 20.1, 100.0, 800.0, 1e4])
    x = torch.cat([torch.linspace(-8, 8, 2001), torch.linspace(-0.31, 0.31, 501), far]).double()
    assert torch.equal(x.float().double(), x)
    return {"x": x.tolist(), "y": function(x).tolist()}
