"""Who looks at a model leaves it as it was, whatever mode, dtype and settings it and torch were left in."""

import numpy as np
import pytest
import torch
from oracles import drain
from torch import nn

import vaewidgets as vw
from vaewidgets.evaluation import metrics
from vaewidgets.evaluation.marginal_likelihood import log_joint
from vaewidgets.models.vae import eval_mode, train_mode, unwrap
from vaewidgets.widgets._core.encoded import decode_points

LAYERS = {
    "BatchNorm1d": lambda: (nn.BatchNorm1d(16), nn.Identity()),
    "BatchNorm2d": lambda: (nn.Identity(), nn.BatchNorm2d(1)),
    "Dropout": lambda: (nn.Dropout(0.5), nn.Identity()),
    "InstanceNorm": lambda: (nn.Identity(), nn.InstanceNorm2d(1, track_running_stats=True)),
}


def own(name: str, seed: int = 0) -> vw.VAE:
    """Make a VAE with such layers in both halves, in training mode as every module begins."""
    model = vw.VAE(2, (1, 8, 8), hidden=(16,), seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        flat, spatial = LAYERS[name]()
        model.decoder = nn.Sequential(
            nn.Linear(2, 16), flat, nn.ReLU(), nn.Linear(16, 64), nn.Unflatten(1, (1, 8, 8)), spatial
        )
        model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), LAYERS[name]()[0], nn.ReLU())
    return model


LOOKS = {
    "decode_points": lambda m, x: decode_points(m, [[0.5, -1.0], [1.0, 0.0]]),
    "held_out_elbo": lambda m, x: metrics.held_out_elbo(m, x).total,
    "held_out_iwae": lambda m, x: metrics.held_out_iwae(m, x.round(), 3),
    "encode_all": lambda m, x: metrics.encode_all(m, x).mu,
    "reconstruction_error": lambda m, x: metrics.reconstruction_error(m, x),
    "log_joint": lambda m, x: log_joint(m, x.round(), torch.zeros(2, 2)),
    "decode_all": lambda m, x: vw.holes.decode_all(m, torch.zeros(2, 2)),
    "LatentExplorer": lambda m, x: torch.from_numpy(vw.LatentExplorer(m, x).image),
    "Bottleneck": lambda m, x: torch.tensor(vw.Bottleneck(m, x).error),
    "Traverse": lambda m, x: torch.from_numpy(vw.Traverse(m, x).mu),
    "KLLab": lambda m, x: torch.from_numpy(vw.KLLab(m, x)._mu),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", LAYERS)
def test_looking_changes_nothing_and_hangs_on_no_flag(name, look, digits):
    x = digits.test.images[:20]
    model = own(name)
    frozen = model.decoder[1].eval()
    flags = [module.training for module in model.modules()]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    in_training = LOOKS[look](model, x)
    assert torch.equal(in_training, LOOKS[look](model, x))
    assert [module.training for module in model.modules()] == flags and not frozen.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert torch.equal(in_training, LOOKS[look](model.eval(), x))
    assert not any(module.training for module in model.modules())


def test_the_flags_come_back_where_the_model_raises():
    model = own("Dropout")
    with pytest.raises(ValueError), eval_mode(model):
        assert not model.training and not torch.is_grad_enabled()
        raise ValueError
    assert all(module.training for module in model.modules())
    with pytest.raises(ValueError), torch.no_grad(), train_mode(model.eval()):
        assert model.training and torch.is_grad_enabled()
        raise ValueError
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("name", LAYERS)
def test_fit_teaches_in_training_mode_and_measures_in_eval_mode(name, digits):
    x, seen = digits.train.images[:64], []

    def run(model):
        layer = next(m for m in model.decoder if type(m).__name__ in name or "Norm" in type(m).__name__)
        layer.register_forward_hook(
            lambda module, *_: seen.append((module.training, torch.is_grad_enabled()))
        )
        torch.manual_seed(0)  # dropout draws from the global generator
        steps = list(vw.fit(model, x, epochs=2, batch_size=32, validation=digits.test.images[:8]))
        return [step.held_out.loss for step in steps if step.held_out]

    as_made, rested = own(name), own(name).eval()
    assert run(as_made) == run(rested), "the mode that a model is in decides how it is trained"
    assert set(seen) == {(True, True), (False, False)}
    assert as_made.training and not rested.training


@pytest.mark.parametrize(
    "off", [torch.no_grad, lambda: torch.set_grad_enabled(False)], ids=["no_grad", "off"]
)
def test_gradients_that_are_switched_off_do_not_keep_fit_from_training(off, digits):
    on = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    drain(vw.fit(on, digits.train.images[:64], epochs=1))
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    try:
        with off():
            for _ in vw.fit(model, digits.train.images[:64], epochs=1):
                assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(True)
    assert all(torch.equal(a, b) for a, b in zip(on.parameters(), model.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", [vw.VAE, vw.Autoencoder])
def test_models_of_other_dtypes_are_shown_and_measured(dtype, kind, digits):
    x = digits.test.images[:20]
    model = kind(2, (1, 8, 8), hidden=(16,), seed=0)
    expected = decode_points(model, [[0.5, -1.0]]), metrics.encode_all(model, x).mu
    total = metrics.held_out_elbo(model, x).total
    model = model.to(dtype)
    tolerance = 8 * torch.finfo(dtype if dtype.itemsize < 4 else torch.float32).eps
    found = decode_points(model, [[0.5, -1.0]]), metrics.encode_all(model, x).mu
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.float(), other, rtol=tolerance, atol=tolerance)
    measured = metrics.held_out_elbo(model, x).total
    torch.testing.assert_close(measured.float(), total, rtol=4 * tolerance, atol=tolerance)
    panel = vw.LatentExplorer(model, x)
    panel.z = (0.25, 0.5)
    np.testing.assert_array_equal(panel.image.shape, (8, 8))
    assert next(model.parameters()).dtype == dtype


def test_a_notebook_whose_default_dtype_is_float64_works(digits):
    torch.set_default_dtype(torch.float64)
    try:
        model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
        assert vw.elbo(model, digits.test.images[:5]).total.dtype == torch.float64
        vw.LatentExplorer(vw.pretrained("digits-vae-2d")).z = (1, 1)
        cockpit = vw.TrainingCockpit(model, digits, epochs=1, points=20, threaded=False)
        cockpit.step(2)
        assert cockpit.training.step == 2
        vw.HoleFinder(vw.pretrained("digits-ae-2d"), vw.pretrained("digits-vae-2d"), cells=4).draw(20)
    finally:
        torch.set_default_dtype(torch.float32)


def test_numpys_errors_may_be_raised(digits):
    with np.errstate(all="raise"):
        panel = vw.LatentExplorer(vw.pretrained("digits-vae-2d"))
        panel.z = (30.0, -30.0)
        assert panel.image.shape == (8, 8)


@pytest.mark.parametrize("z", [(1e39, 0), (10**400, 0), (float("nan"), 0), (0, float("-inf"))])
def test_z_that_float32_cannot_hold_is_refused(z):
    panel = vw.LatentExplorer(vw.pretrained("digits-vae-2d"), z=(0.5, 0.5))
    with pytest.raises(ValueError, match="z must be"):
        panel.z = z
    assert panel.z == (0.5, 0.5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_codes_and_weights_that_are_not_finite_are_refused_by_panels(value, digits):
    model = vw.pretrained("digits-vae-2d")
    model.atlas.mu[3, 1] = value
    with pytest.raises(ValueError, match="the codes that the model carries"):
        vw.LatentExplorer(model)
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0).requires_grad_(False)
    model.decoder[0].weight[0] = value
    with pytest.raises(ValueError, match="decode answers z"):
        vw.LatentExplorer(model, z=(1.0, 0.0))
    model.mu.bias[0] = value
    with pytest.raises(ValueError, match="what the model encodes"):
        vw.LatentExplorer(model, digits.test)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: setattr(m, "decoder", nn.Sequential(nn.Linear(2, 64), nn.Unflatten(1, (1, 8, 8)))),
        lambda m: m.decoder.__setitem__(1, nn.Tanh()),
        lambda m: m.decoder.insert(1, nn.BatchNorm1d(8)),
        lambda m: m.add_module("extra", nn.Linear(1, 1)),
        lambda m: delattr(m, "logvar"),
    ],
    ids=["replaced", "another activation", "a layer more", "a part more", "a part less"],
)
def test_save_refuses_what_load_could_not_make(change, tmp_path):
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    change(model)
    with pytest.raises(ValueError, match="load would make that, so it is not saved"):
        vw.save(model, tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


WRAPPERS = {
    "DataParallel": nn.DataParallel,
    "compile": torch.compile,
    "compiled DataParallel": lambda model: torch.compile(nn.DataParallel(model)),
    "AveragedModel": torch.optim.swa_utils.AveragedModel,
}
TAKEN = {
    **{name: look for name, look in LOOKS.items() if name != "decode_points"},
    "elbo": lambda m, x: vw.elbo(m, x, generator=torch.Generator().manual_seed(0)).total,
    "iwae": lambda m, x: vw.iwae(m, x.round(), k=2, generator=torch.Generator().manual_seed(0)),
    "Surprises": lambda m, x: torch.as_tensor(vw.Surprises(m, x).order),
    "BetaDial": lambda m, x: torch.tensor(vw.BetaDial({0.5: m, 1.0: m}, x).stop.kl),
}


@pytest.mark.parametrize("what", TAKEN)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_torch_puts_around_a_model_is_looked_through(wrapper, what, digits):
    x, model = digits.test.images[:20], vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    wrapped = WRAPPERS[wrapper](model)
    assert torch.equal(TAKEN[what](wrapped, x), TAKEN[what](model, x))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_is_trained_saved_and_exported_as_the_model_inside(wrapper, digits, tmp_path):
    model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
    wrapped = WRAPPERS[wrapper](model)
    inside = unwrap(wrapped)
    assert inside is model or wrapper == "AveragedModel", "an average has weights of its own"
    before = [weight.clone() for weight in inside.parameters()]
    assert all(step.loss > 0 for step in vw.fit(wrapped, digits.train.images[:64], epochs=1))
    assert all(not torch.equal(a, b) for a, b in zip(before, inside.parameters(), strict=True))
    vw.save(wrapped, tmp_path / "m.safetensors")
    z = torch.zeros(1, 2)
    with torch.no_grad():
        assert torch.equal(vw.load(tmp_path / "m.safetensors").decode(z), inside.decode(z))
    assert vw.export.to_onnx(wrapped, tmp_path / "m.onnx")[1].exists()
    panel = vw.TrainingCockpit(wrapped, digits, threaded=False)
    assert panel.model is inside
    panel.close()


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_model_in_a_table_is_the_model_inside(wrapper):
    wrapped = WRAPPERS[wrapper](vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0))
    assert vw.scoreboard.name_models([wrapped]) == {"VAE 2-d": [unwrap(wrapped)]}
    assert vw.scoreboard.name_models({"a": [wrapped]}) == {"a": [unwrap(wrapped)]}
