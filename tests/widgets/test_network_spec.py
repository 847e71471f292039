"""What is written down for the page, and what is refused; tests/browser/test_decoder.py runs it."""

import json
import math
import types

import numpy as np
import pytest
import torch
from torch import nn

import vaewidgets as vw
from vaewidgets.widgets._core.network_spec import UnsupportedLayerError, describe


def make(*layers, image_shape=(1, 4, 4), kind=vw.VAE, **options):
    """A model of two latents whose decoder is `layers`."""
    model = kind(2, image_shape, hidden=(3,), seed=0, **options)
    model.decoder = nn.Sequential(*layers)
    return model


def values(description) -> np.ndarray:
    return np.frombuffer(description.weights, "<f4" if description.spec["dtype"] == "float32" else "<f2")


def kinds(layers) -> list[str]:
    return [layer["kind"] for layer in layers]


def test_an_mlp_is_written_layer_by_layer():
    model = vw.VAE(2, (1, 6, 5), hidden=(16, 8), activation="gelu", seed=0)
    description = describe(model)
    spec = description.spec
    assert kinds(spec["decoder"]) == ["linear", "gelu", "linear", "gelu", "linear", "reshape", "sigmoid"]
    assert (spec["latentDim"], spec["imageShape"], spec["encoder"]) == (2, [1, 6, 5], None)
    assert spec["size"] == sum(p.numel() for p in model.decoder.parameters())
    assert len(description.weights) == 4 * spec["size"]
    first = spec["decoder"][0]
    assert (first["in"], first["out"]) == ([2], [8])
    flat = values(description)
    assert np.array_equal(flat[first["weight"] :][:16].reshape(8, 2), model.decoder[0].weight.detach())
    assert np.array_equal(flat[first["bias"] :][:8], model.decoder[0].bias.detach())


@pytest.mark.parametrize("trunk", ["linear", "mlp", "conv"])
@pytest.mark.parametrize("kind", [vw.VAE, vw.Autoencoder])
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 7, 5)])
def test_every_trunk_and_both_models_are_described_as_plain_json(kind, trunk, image_shape):
    model = kind(3, image_shape, trunk=trunk, hidden=(6, 4), seed=0)
    description = describe(model, encoder=True)
    spec = json.loads(json.dumps(description.spec, allow_nan=False))
    assert spec == description.spec
    parameters = sum(p.numel() for p in model.parameters())
    assert spec["size"] == parameters
    assert len(description.weights) == 4 * parameters
    encoder = spec["encoder"]
    assert kinds(encoder["mu"]) == ["linear"]
    if kind is vw.Autoencoder:
        assert encoder["logvar"] is None
    else:
        assert kinds(encoder["logvar"]) == ["constant" if trunk == "linear" else "linear", "bound"]
    shapes = [layer["out"] for layer in encoder["trunk"] if "out" in layer]
    assert encoder["width"] == math.prod(shapes[-1])


def test_the_likelihood_decides_the_last_layer():
    ends = {
        name: kinds(describe(vw.VAE(2, (1, 4, 4), trunk="linear", likelihood=name)).spec["decoder"])[-1]
        for name in ("bernoulli", "continuous-bernoulli", "gaussian")
    }
    assert ends == {
        "bernoulli": "sigmoid",
        "continuous-bernoulli": "continuous_bernoulli_mean",
        "gaussian": "reshape",
    }


def test_describing_changes_nothing_and_freezes_the_weights():
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    description = describe(model, encoder=True)
    before = values(description).copy()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    assert np.array_equal(values(description), before)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    with pytest.raises(AttributeError):
        description.spec = {}


def test_weights_are_halves_where_those_hold_them_exactly():
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    full = describe(model, encoder=True)
    assert [part.dtype.name for part in full.parts] == ["float32", "float32"]
    model.decoder.half().float()
    mixed = describe(model, encoder=True)
    assert [part.dtype.name for part in mixed.parts] == ["float16", "float32"]
    assert mixed.spec == full.spec and sum(part.size for part in mixed.parts) == full.spec["size"]
    half = describe(model.half().float(), encoder=True)
    assert half.spec == {**full.spec, "dtype": "float16"}
    assert np.array_equal(values(half), values(full).astype(np.float16))


def test_a_decoder_is_described_alike_with_and_without_its_encoder():
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    assert np.array_equal(describe(model).parts[0], describe(model, encoder=True).parts[0])


def test_what_halves_do_not_hold_stays_as_it_is():
    model = make(nn.Linear(2, 16).half().float())
    with torch.no_grad():
        model.decoder[0].weight[0, 0] = 1e5
    (part,) = describe(model).parts
    assert part.dtype == np.float32 and part.max() == 1e5


def test_other_floating_types_become_float32():
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    expected = values(describe(model, encoder=True)).copy()
    assert np.array_equal(values(describe(model.double(), encoder=True)), expected)
    assert np.allclose(values(describe(model.bfloat16(), encoder=True)), expected, atol=0.01)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Softmax(1), r"decoder\.1 is a Softmax, which the page cannot run"),
        (nn.Sequential(nn.Tanh(), nn.Threshold(0.1, 2)), r"decoder\.1\.1 is a Threshold"),
        (nn.BatchNorm1d(4, track_running_stats=False),
         r"decoder\.1 is a BatchNorm1d without running statistics"),
        (nn.Sequential(nn.Tanh(), nn.BatchNorm1d(4, track_running_stats=False)),
         r"decoder\.1\.1 is a BatchNorm1d without running"),
        (nn.InstanceNorm1d(2), r"decoder\.1 is a InstanceNorm1d on shape \(4,\)"),
        (nn.LayerNorm(4, eps=0), r"decoder\.1 is a LayerNorm with eps=0"),
        (nn.LayerNorm((2, 4)), r"decoder\.1 is a LayerNorm on shape \(4,\)"),
        (nn.Hardtanh(-1, math.inf), r"decoder\.1 is a Hardtanh with \{'low': -1\.0, 'high': inf\}"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1, groups=1, padding_mode="circular")),
         r"decoder\.1\.1 is a Conv2d with padding_mode='circular'"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Linear(2, 2)),
         r"decoder\.1\.1 is a Linear on shape \(1, 2, 2\)"),
        (nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.ConstantPad2d(1, 0.5)),
         r"decoder\.1\.1 is a ConstantPad2d which does not treat rows and columns apart"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Upsample(scale_factor=2)),
         r"decoder\.1\.1 is a Upsample on shape \(2, 2\)"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.AvgPool2d(2)), r"decoder\.1\.1 is a AvgPool2d on shape"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.MaxPool2d(2)), r"decoder\.1\.1 is a MaxPool2d on shape"),
        (nn.Linear(3, 4), r"decoder\.1, a Linear, does not take shape \(4,\)"),
        (nn.Flatten(0), r"decoder\.1, a Flatten, changes the batch axis"),
        (nn.Linear(4, 15), r"decoder gives shape \(15,\) where 16 values are needed"),
    ],
)  # fmt: skip
def test_a_layer_the_page_cannot_run_is_named(layer, why):
    with pytest.raises(UnsupportedLayerError, match=why):
        describe(make(nn.Linear(2, 4), layer))


def norm(layer, seed=0):
    """Give a norm statistics, weights and biases as training leaves them."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in layer.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5 if "var" in name else -1, 2, generator=made)
    return layer


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_is_folded_into_the_layer_before_it(affine, bias):
    layers = [
        nn.Linear(2, 32, bias=bias), norm(nn.BatchNorm1d(32, affine=affine)), nn.Unflatten(1, (2, 4, 4)),
        nn.Conv2d(2, 6, 3, padding=1, groups=2, bias=bias), norm(nn.BatchNorm2d(6, eps=0.1, affine=affine)),
        nn.ConvTranspose2d(6, 4, 3, padding=1, groups=2, bias=bias), norm(nn.BatchNorm2d(4, affine=affine)),
        nn.ReLU(), nn.Conv2d(4, 1, 1),
    ]  # fmt: skip
    model = make(*layers).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    description = describe(model)
    assert kinds(description.spec["decoder"]) == [
        "linear", "reshape", "conv2d", "conv_transpose2d", "relu", "conv2d", "sigmoid",
    ]  # fmt: skip
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    flat, first = values(description), description.spec["decoder"][0]
    z = torch.tensor([[0.3, -2.0]])
    with torch.no_grad():
        wanted = model.decoder[:2].eval().double()(z.double())[0].numpy()
    weight, shift = flat[first["weight"] :][:64].reshape(32, 2), flat[first["bias"] :][:32]
    assert np.abs(weight @ z[0].numpy() + shift - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_a_batch_norm_elsewhere_is_a_layer():
    twice = norm(nn.BatchNorm1d(4))
    model = make(
        nn.BatchNorm1d(2), nn.Linear(2, 4), nn.ReLU(), twice, nn.Linear(4, 4), twice, twice, nn.Linear(4, 16)
    )
    assert kinds(describe(model).spec["decoder"]) == [
        "affine", "linear", "relu", "affine", "linear", "affine", "linear", "sigmoid",
    ]  # fmt: skip


def test_an_option_that_changed_is_seen():
    pool = nn.AvgPool2d(2, stride=1)
    model = make(nn.Linear(2, 25), nn.Unflatten(1, (1, 5, 5)), pool)
    before = values(describe(model))[-40:].reshape(2, 4, 5)
    assert np.array_equal(before.sum(2), [[1] * 4, [1] * 4])
    assert np.array_equal(values(describe(model))[-40:], before.ravel())
    pool.divisor_override = 2
    after = values(describe(model))[-40:].reshape(2, 4, 5)
    assert np.array_equal(after[0].sum(1)[:, None] * after[1].sum(1), np.full((4, 4), 2))


def test_layers_that_do_nothing_are_left_out():
    layers = [nn.Dropout(), nn.Dropout1d(), nn.AlphaDropout(), nn.FeatureAlphaDropout(), nn.Identity()]
    assert kinds(describe(make(nn.Linear(2, 16), *layers)).spec["decoder"]) == ["linear", "sigmoid"]


def test_subclasses_count_by_the_forward_they_run():
    class Wide(nn.Linear):
        def __init__(self):
            super().__init__(2, 16)

    class Twice(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    assert kinds(describe(make(Wide())).spec["decoder"]) == ["linear", "sigmoid"]
    with pytest.raises(UnsupportedLayerError, match=r"decoder\.0 is a Twice"):
        describe(make(Twice(2, 16)))

    model = make(nn.Linear(2, 16))
    model.decoder[0].forward = lambda x: torch.zeros(len(x), 16)
    with pytest.raises(UnsupportedLayerError, match=r"decoder\.0 is a Linear"):
        describe(model)


def test_a_parametrized_layer_is_described_by_its_effective_weights():
    model = make(nn.utils.parametrizations.weight_norm(nn.Linear(2, 16)))
    with torch.no_grad():
        model.decoder[0].parametrizations.weight.original0 *= 3
    assert np.array_equal(values(describe(model))[:32].reshape(16, 2), model.decoder[0].weight.detach())


def test_hooks_are_not_skipped_in_silence():
    model = make(nn.Linear(2, 16))
    handle = model.decoder[0].register_forward_hook(lambda layer, args, y: y + 1)
    with pytest.raises(UnsupportedLayerError, match=r"decoder\.0, a Linear, has forward hooks"):
        describe(model)
    handle.remove()
    describe(model)


def test_a_layer_used_twice_is_written_twice():
    shared = nn.Tanh()
    model = make(nn.Linear(2, 4), shared, nn.Identity(), nn.Linear(4, 16), shared)
    assert kinds(describe(model).spec["decoder"]) == ["linear", "tanh", "linear", "tanh", "sigmoid"]


def test_a_decoder_may_be_one_layer_and_a_head_none():
    model = vw.VAE(2, (1, 4, 4), hidden=(2,))
    model.decoder, model.mu = nn.Linear(2, 16), nn.Identity()
    spec = describe(model, encoder=True).spec
    assert kinds(spec["decoder"]) == ["linear", "sigmoid"]
    assert spec["encoder"]["mu"] == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "encoder"),
    [("decoder.0.bias", False), ("decoder.2.weight", False), ("encoder.1.weight", True), ("mu.bias", True)],
)
def test_weights_that_are_not_finite_are_named(name, encoder, bad):
    model = vw.VAE(2, (1, 4, 4), hidden=(3,), seed=0)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = bad
    with pytest.raises(UnsupportedLayerError, match=rf"^{name} has values that are not finite"):
        describe(model, encoder=encoder)
    if encoder:
        describe(model)


@pytest.mark.parametrize("name", ["decode", "decode_parameters"])
def test_a_method_of_ones_own_is_not_skipped(name):
    own = {name: lambda self, z: getattr(vw.VAE, name)(self, -z)}
    model = type("Mine", (vw.VAE,), own)(2, (1, 4, 4), hidden=(3,))
    with pytest.raises(UnsupportedLayerError, match=rf"Mine\.{name} is not that of a VAE"):
        describe(model)

    model = vw.VAE(2, (1, 4, 4), hidden=(3,))
    setattr(model, name, types.MethodType(own[name], model))
    with pytest.raises(UnsupportedLayerError, match=rf"VAE\.{name}"):
        describe(model)


def test_an_encode_of_ones_own_matters_only_when_it_is_asked_for():
    class Mine(vw.VAE):
        def encode(self, x):
            return super().encode(1 - x)

    model = Mine(2, (1, 4, 4), hidden=(3,))
    assert describe(model).spec["encoder"] is None
    with pytest.raises(UnsupportedLayerError, match=r"Mine\.encode"):
        describe(model, encoder=True)


def test_a_likelihood_of_ones_own_is_named():
    class Clipped(nn.Module):
        def mean(self, x):
            return x.clamp(0, 1)

    model = vw.VAE(2, (1, 4, 4), hidden=(3,))
    model.likelihood = Clipped()
    with pytest.raises(UnsupportedLayerError, match="likelihood is a Clipped"):
        describe(model)


@pytest.mark.parametrize(
    "model", [types.SimpleNamespace(latent_dim=2, decode=torch.sin), nn.Linear(2, 3), None]
)
def test_any_object_with_decode_is_left_to_the_kernel(model):
    with pytest.raises(UnsupportedLayerError, match=type(model).__name__):
        describe(model)
