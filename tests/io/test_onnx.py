"""ONNX: torch's numbers in another runtime, for every model the package can build, and what is refused."""

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import vaewidgets as vw
from vaewidgets._utils import atomic_write
from vaewidgets.cli import app as cli
from vaewidgets.io.onnx import to_onnx
from vaewidgets.models.likelihoods import LIKELIHOODS
from vaewidgets.models.vae import ACTIVATIONS, TRUNKS

#: 9 x 6: the convolutions meet an odd size, and a different output_padding per axis.
SHAPE = (2, 9, 6)
PRETRAINED = sorted(path.stem for path in (Path(vw.__file__).parent / "pretrained").glob("*.safetensors"))


def build(kind=vw.VAE, trunk="mlp", likelihood="bernoulli", shape=SHAPE, **keywords):
    hidden = {"hidden": (6, 5)} if trunk == "conv" else {"hidden": (16, 12)}
    return kind(3, shape, trunk=trunk, likelihood=likelihood, seed=0, **hidden, **keywords)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def answers(path, **inputs):
    """Return the named outputs for named tensors, as tensors."""
    runtime = session(path)
    values = runtime.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    names = [output.name for output in runtime.get_outputs()]
    return {name: torch.from_numpy(value) for name, value in zip(names, values, strict=True)}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape and found[name].dtype == torch.float32
        # float32 rounds in proportion: the codes of an autoencoder go to 80, where its steps are 8e-6.
        assert (found[name] - value).abs().max() <= 1e-5 * max(1, value.abs().max()), name


@torch.no_grad()
def hold_to_torch(model, path, images=None, codes=None):
    """Write a model and compare both files with it; batches of 1 and of the rest (7 by default)."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(8, *model.image_shape, generator=generator) if images is None else images
    z = 3 * torch.randn(8, model.latent_dim, generator=generator) if codes is None else codes
    encoder, decoder = to_onnx(model, path)
    for part in (slice(1), slice(1, None)):
        q = model.encode(x[part])
        assert_same(answers(encoder, x=x[part]), q._asdict() if model.has_prior else {"z": q})
        assert_same(answers(decoder, z=z[part]), {"image": model.decode(z[part])})


# --- the same numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "trunk", "likelihood"), list(product((vw.VAE, vw.Autoencoder), TRUNKS, LIKELIHOODS))
)
def test_every_trunk_and_likelihood(tmp_path, kind, trunk, likelihood):
    model = build(kind, trunk, likelihood)
    if trunk == "linear" and kind is vw.VAE:
        with torch.no_grad():  # at zero, where training starts, a wrong head would pass
            model.logvar.value.copy_(torch.tensor([-1.0, 2.0, 25.0]))
    hold_to_torch(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("trunk", ["mlp", "conv"])
def test_every_activation(tmp_path, trunk, activation):
    model = build(trunk=trunk, activation=activation)
    with torch.no_grad():  # wide enough for the bends and both tails of the activation
        for weight in model.parameters():
            weight.mul_(2)
    hold_to_torch(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", [name for name in PRETRAINED if "classifier" not in name])
def test_the_models_that_ship(tmp_path, name):
    model = vw.pretrained(name)
    if isinstance(model, vw.ConditionalVAE):
        model = model.given(3)
    codes = model.atlas.mu[:300]
    with torch.no_grad():
        images = model.decode(codes)
    hold_to_torch(model, tmp_path / "m.onnx", images, codes)
    hold_to_torch(model, tmp_path / "n.onnx")


def test_the_mean_of_the_continuous_bernoulli_where_it_is_delicate(tmp_path):
    model = vw.VAE(1, (1, 1, 1), trunk="linear", likelihood="continuous-bernoulli")
    with torch.no_grad():
        model.decoder[0].weight.fill_(1)
        model.decoder[0].bias.zero_()
    _, decoder = to_onnx(model, tmp_path / "m.onnx")
    near = torch.linspace(-0.31, 0.31, 1001)
    logits = torch.cat([torch.zeros(1), torch.tensor([1e-20, -1e-20, 0.3, -0.3, 1e9, -1e9]), near])[:, None]
    image = answers(decoder, z=logits)["image"]
    assert image.isfinite().all()
    assert_same({"image": image}, {"image": model.decode(logits).detach()})


@pytest.mark.parametrize("trunk", TRUNKS)
def test_no_image_at_all_is_a_batch_too(tmp_path, trunk):
    model = build(trunk=trunk)
    _, decoder = to_onnx(model, tmp_path / "m.onnx")
    assert answers(decoder, z=torch.zeros(0, 3))["image"].shape == (0, *SHAPE)


def test_a_model_in_double_is_written_as_float32_and_left_alone(tmp_path):
    model = build().double()
    _, decoder = to_onnx(model, tmp_path / "m.onnx")
    z = torch.randn(4, 3)
    with torch.no_grad():
        assert_same(answers(decoder, z=z), {"image": model.decode(z.double()).float()})
    assert next(model.parameters()).dtype == torch.float64


# --- what another tool sees --------------------------------------------------------------------------


def test_the_files_describe_themselves(tmp_path):
    model = build(likelihood="gaussian", sigma=0.25)
    encoder, decoder = (onnx.load(path) for path in to_onnx(model, tmp_path / "m.onnx"))

    def signature(values):
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    assert signature(encoder.graph.input) == {"x": ["batch", *SHAPE]}
    assert signature(encoder.graph.output) == {"mu": ["batch", 3], "logvar": ["batch", 3]}
    assert signature(decoder.graph.input) == {"z": ["batch", 3]}
    assert signature(decoder.graph.output) == {"image": ["batch", *SHAPE]}
    for proto in (encoder, decoder):
        assert (proto.ir_version, [o.version for o in proto.opset_import]) == (8, [15])
        assert (proto.producer_name, proto.producer_version) == ("vaewidgets", vw.__version__)
        about = json.loads({entry.key: entry.value for entry in proto.metadata_props}["vaewidgets"])
        assert (about["kind"], about["config"]) == ("VAE", model.config)
        assert about["sigma"] == pytest.approx(0.25)
    state = {name for name in model.state_dict() if name != "likelihood.log_sigma"}
    written = {c.name for proto in (encoder, decoder) for c in proto.graph.initializer}
    assert state <= written, "weights keep their names"


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first = [path.read_bytes() for path in to_onnx(build(), tmp_path / "a.onnx")]
    assert first == [path.read_bytes() for path in to_onnx(build(), tmp_path / "b.onnx")]


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["m-encoder.onnx", "m-decoder.onnx"])
def test_either_file_that_exists_is_refused_and_both_are_replaced_when_asked(tmp_path, there):
    (tmp_path / there).write_text("dear")
    with pytest.raises(FileExistsError, match=rf"{there} exists already.*overwrite=True"):
        to_onnx(build(), tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "dear"
    for path in to_onnx(build(), tmp_path / "m.onnx", overwrite=True):
        onnx.checker.check_model(path)


@pytest.mark.parametrize("name", ["decoder.2.weight", "encoder.1.bias", "likelihood.log_sigma"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
def test_weights_that_are_not_finite_are_named(tmp_path, name, value):
    model = build(likelihood="gaussian").double()  # 1e39 is finite in double, not in what is written
    with torch.no_grad():
        model.state_dict()[name].view(-1)[0] = value
    with pytest.raises(ValueError, match=rf"^{name} holds 1 of [\d,]+ values that are not finite"):
        to_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "layer",
    [
        nn.LeakyReLU(),
        nn.Softplus(beta=2),
        nn.GELU("tanh"),
        nn.Flatten(2),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, dilation=2),
        nn.ConvTranspose2d(2, 2, 3, groups=2),
        nn.Conv2d(1, 1, 3, padding_mode="circular"),
        type("Linear", (nn.Linear,), {"forward": lambda self, x: x})(12, 12),
    ],
    ids=str,
)
def test_a_layer_that_is_not_known_is_named(tmp_path, layer):
    model = build()
    model.decoder[1] = layer
    with pytest.raises(ValueError, match=rf"^decoder\.1(,| is) a {type(layer).__name__}\b"):
        to_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [type("Mine", (vw.VAE,), {})(2, (1, 8, 8)), nn.Linear(2, 2), None])
def test_other_models_are_refused(tmp_path, model):
    with pytest.raises(TypeError, match="to_onnx takes VAE or Autoencoder; got"):
        to_onnx(model, tmp_path / "m.onnx")


def test_another_likelihood_is_refused(tmp_path):
    model = build()
    model.likelihood = nn.Identity()
    with pytest.raises(ValueError, match=r"likelihood Identity\(\) cannot"):
        to_onnx(model, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", ["m", "m.pt", ".onnx"])
def test_a_name_that_is_no_onnx_file(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.onnx: m\.onnx stands for the pair"):
        to_onnx(build(), tmp_path / name)


def test_more_weights_than_a_file_can_hold(tmp_path, monkeypatch):
    monkeypatch.setattr(vw.export, "LARGEST", 4096)
    with pytest.raises(ValueError, match=r"weights take [\d,]+ bytes as float32; an ONNX file holds 4,096"):
        to_onnx(build(), tmp_path / "m.onnx")


def test_a_missing_extra_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "vaewidgets\[onnx\]"'):
        to_onnx(build(), tmp_path / "m.onnx")
    assert cli.main(["export", "onnx", "digits-vae-2d", str(tmp_path / "m.onnx")]) == 1
    assert 'pip install "vaewidgets[onnx]"' in capsys.readouterr().err


# --- written whole or not at all ---------------------------------------------------------------------


@pytest.mark.parametrize("where", ["fsync", "chmod", "replace"])
def test_a_failure_leaves_the_old_pair(tmp_path, monkeypatch, where):
    pair = to_onnx(build(), tmp_path / "m.onnx")
    before = [path.read_bytes() for path in pair]
    calls, original = [], getattr(os, where)

    def full(*args, **keywords):
        calls.append(args)
        # The first rename is the point of no return; before it, the second file fails like the first.
        if where == "replace" or len(calls) == 2:
            raise OSError("no space left")
        return original(*args, **keywords)

    monkeypatch.setattr(atomic_write.os, where, full)
    with pytest.raises(OSError, match="no space left"):
        to_onnx(build(trunk="conv"), tmp_path / "m.onnx", overwrite=True)
    assert [path.read_bytes() for path in pair] == before
    assert sorted(tmp_path.iterdir()) == sorted(pair)


# --- the command line --------------------------------------------------------------------------------


def test_the_command_writes_a_checkpoint_and_a_name(tmp_path, capsys):
    model = build(vw.Autoencoder)
    vw.save(model, tmp_path / "mine.safetensors")
    for name, code in ((str(tmp_path / "mine.safetensors"), "z"), ("digits-vae-2d", "mu")):
        assert cli.main(["export", "onnx", name, str(tmp_path / "out.onnx"), "--overwrite"]) == 0
        out = capsys.readouterr().out
        assert out.count("wrote ") == 2 and "out-encoder.onnx" in out and "out-decoder.onnx" in out
        assert session(tmp_path / "out-encoder.onnx").get_outputs()[0].name == code


def test_the_command_refuses_before_it_loads_anything(tmp_path):
    (tmp_path / "m-decoder.onnx").write_text("dear")
    program = (
        "import sys; from vaewidgets.cli import app as cli\n"
        "codes = [cli.main(['export', 'onnx', 'digits-vae-2d', f]) for f in ('m.onnx', 'no/m.onnx', 'm')]\n"
        "print(codes, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[1, 1, 1] False\n"
    lines = done.stderr.splitlines()
    assert "--overwrite" in lines[0] and "there is no folder" in lines[1] and "must end in .onnx" in lines[2]


def test_a_model_that_is_not_there(tmp_path, capsys):
    assert cli.main(["export", "onnx", "mnist-vae-3d", str(tmp_path / "m.onnx")]) == 1
    assert cli.main(["export", "onnx", str(tmp_path / "gone.safetensors"), str(tmp_path / "m.onnx")]) == 1
    name, file = capsys.readouterr().err.splitlines()
    assert "Did you mean 'mnist-vae-2d'?" in name and "Or name a .safetensors file" in name
    assert "gone.safetensors" in file
    assert list(tmp_path.iterdir()) == []
