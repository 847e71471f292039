"""ConditionalVAE: a label beside the pixels and beside z, and a plain VAE once it is fixed."""

import json

import pytest
import torch
from oracles import drain, generator
from torch.nn import functional

import vaewidgets as vw
from vaewidgets.cli import app as cli
from vaewidgets.evaluation.metrics import encode_all, held_out_elbo, held_out_iwae
from vaewidgets.models.objectives import binarize
from vaewidgets.widgets._core.network_spec import describe

TRUNKS = [("mlp", (9, 5)), ("mlp", (7,)), ("linear", ())]


def build(trunk="mlp", hidden=(9, 5), **arguments):
    """A model whose labels matter: the columns of the labels begin at zero."""
    model = vw.ConditionalVAE(3, (1, 4, 5), 4, trunk=trunk, hidden=hidden, seed=0, **arguments)
    with torch.no_grad():
        for columns in (model.encoder_label, model.decoder_label):
            columns.weight.normal_(generator=generator(1))
    return model


@pytest.fixture
def batch():
    return torch.rand(8, 1, 4, 5, generator=generator()), torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])


@pytest.mark.parametrize("trunk, hidden", TRUNKS)
def test_the_label_is_a_one_hot_vector_beside_the_pixels_and_beside_z(batch, trunk, hidden):
    model, (x, labels) = build(trunk, hidden), batch
    onehot = functional.one_hot(labels, 4).float()

    def first(layer, columns, inputs):
        weight = torch.cat([layer.weight, columns.weight.T], 1)
        return functional.linear(torch.cat([inputs, onehot], 1), weight, layer.bias)

    q = model.encode(x, labels)
    if trunk == "linear":
        mu = first(model.mu, model.encoder_label, x.flatten(1))
    else:
        mu = model.mu(model.encoder[2:](first(model.encoder[1], model.encoder_label, x.flatten(1))))
    torch.testing.assert_close(q.mu, mu)
    z = torch.randn(8, 3, generator=generator(2))
    logits = model.decoder[1:](first(model.decoder[0], model.decoder_label, z))
    torch.testing.assert_close(model.decode(z, labels), logits.sigmoid())
    torch.testing.assert_close(model(x, labels), model.decode(q.mu, labels))


@pytest.mark.parametrize("trunk, hidden", TRUNKS)
def test_with_its_label_fixed_it_is_a_vae(batch, trunk, hidden):
    model, (x, labels) = build(trunk, hidden), batch
    q, z = model.encode(x, labels), torch.randn(6, 8, 3, generator=generator(2))
    pictures = model.decode_parameters(z, labels)
    before = torch.get_rng_state()
    for label in range(4):
        fixed, rows = model.given(label), labels == label
        assert type(fixed) is vw.VAE
        torch.testing.assert_close(fixed.encode(x[rows]).mu, q.mu[rows])
        torch.testing.assert_close(fixed.encode(x[rows]).logvar, q.logvar[rows])
        torch.testing.assert_close(fixed.decode_parameters(z[:, rows]), pictures[:, rows])
        assert describe(fixed, encoder=True).spec["latentDim"] == 3
    assert torch.equal(torch.get_rng_state(), before)
    fixed.decoder[0].bias.data.zero_()
    torch.testing.assert_close(model.decode_parameters(z, labels), pictures, msg="the weights are its own")


def test_what_is_known_of_it_goes_along(tmp_path, batch):
    model, (x, labels) = build(), batch
    atlas = vw.checkpoints.EncodedDataset(*encode_all(model, x, labels=labels), labels)
    vw.save(model, tmp_path / "m.safetensors", atlas=atlas, train_atlas=atlas, dataset="shapes")
    loaded = vw.load(tmp_path / "m.safetensors")
    assert type(loaded) is vw.ConditionalVAE and loaded.config == model.config
    torch.testing.assert_close(loaded(x, labels), model(x, labels), rtol=0, atol=0)
    fixed = loaded.given(2)
    assert fixed.info == {"dataset": "shapes", "label": 2}
    for part in (fixed.atlas, fixed.train_atlas):
        assert part.labels.tolist() == [2, 2]
        torch.testing.assert_close(part.mu, fixed.encode(x[labels == 2]).mu)
    vw.save(fixed, tmp_path / "two.safetensors")
    torch.testing.assert_close(vw.load(tmp_path / "two.safetensors").atlas.mu, fixed.atlas.mu)


@pytest.mark.parametrize(
    "label, error, words",
    [
        (4, ValueError, "labels 0 to 3; got 4"),
        (-1, ValueError, "labels 0 to 3; got -1"),
        ("3", TypeError, "one label, an int; got '3'"),
        (True, TypeError, "one label, an int; got True"),
        (torch.tensor(1), TypeError, "one label, an int"),
    ],
)
def test_a_label_that_is_not_there(label, error, words):
    with pytest.raises(error, match=words):
        build().given(label)


@pytest.mark.parametrize(
    "labels, error, words",
    [
        (None, TypeError, r"got NoneType\. model\.given\(label\) is a VAE"),
        (3, TypeError, "got int"),
        (torch.zeros(8), TypeError, "got a torch.float32 Tensor"),
        (torch.zeros(8, dtype=torch.bool), TypeError, "got a torch.bool Tensor"),
        (torch.zeros(7, dtype=torch.int64), ValueError, r"shape \(8,\), one per image; got \(7,\)"),
        (torch.zeros(8, 1, dtype=torch.int64), ValueError, r"got \(8, 1\)"),
        (torch.full((8,), 4), ValueError, "labels 0 to 3; got 4 to 4"),
        (torch.full((8,), -1), ValueError, "labels 0 to 3; got -1 to -1"),
    ],
)
def test_labels_that_do_not_fit(batch, labels, error, words):
    model, (x, _) = build(), batch
    for call in (
        lambda: model.encode(x, labels),
        lambda: model.decode(torch.zeros(8, 3), labels),
        lambda: vw.elbo(model.labelled(labels), x),
        lambda: held_out_elbo(model, x, labels=labels),
        lambda: encode_all(model, x, labels=labels),
        lambda: held_out_iwae(model, x.round(), 2, labels=labels),
    ):
        with pytest.raises(error, match=words):
            call()


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(trunk="conv"), ValueError, 'trunk="mlp" or "linear"'),
        (dict(classes=0), ValueError, "classes must be between 1"),
        (dict(classes="ten"), TypeError, "classes must be an int"),
    ],
)
def test_what_makes_no_model(arguments, error, words):
    with pytest.raises(error, match=words):
        vw.ConditionalVAE(2, (1, 8, 8), **arguments)


def test_export_says_to_fix_the_label(tmp_path):
    with pytest.raises(TypeError, match=r"got ConditionalVAE\. Fix its label: to_onnx\(model\.given\(3\)"):
        vw.export.to_onnx(build(), tmp_path / "m.onnx")


# --- the bound ---------------------------------------------------------------------------------------


def test_the_bound_is_that_of_each_label_s_vae(batch):
    model, (x, labels) = build(), batch
    epsilon = torch.randn(8, 3, generator=generator(3))
    terms = vw.elbo(model.labelled(labels), x, epsilon=epsilon)
    for label in range(4):
        rows = labels == label
        alone = vw.elbo(model.given(label), x[rows], epsilon=epsilon[rows])
        torch.testing.assert_close(terms.total[rows], alone.total)
    noise = torch.randn(8, 3, generator=generator(7))
    total = vw.elbo(model.labelled(labels), x, epsilon=noise).total
    for batch_size in (3, 8):
        measured = held_out_elbo(model, x, labels=labels, seed=7, batch_size=batch_size)
        torch.testing.assert_close(measured.total, total)
        q = encode_all(model, x, labels=labels, batch_size=batch_size)
        torch.testing.assert_close(q.mu, model.encode(x, labels).mu)


def test_importance_weighting_lies_between_the_bound_and_the_truth():
    """In a linear model with Gaussian pixels log p(x|label) is known: N(b + W_label, W W' + s^2 I)."""
    model = build("linear", (), likelihood="gaussian", sigma=1.0).double()
    with torch.no_grad():
        # q(z|x, label) = p(z): of a decoder that hangs little on z it is not far from the posterior.
        model.decoder[0].weight.mul_(0.3)
        for weight in (model.mu.weight, model.mu.bias, model.encoder_label.weight):
            weight.zero_()
    x = torch.randn(40, 1, 4, 5, generator=generator(), dtype=torch.float64)
    labels = torch.arange(40) % 4
    decoder = model.decoder[0]
    mean = (decoder.bias + model.decoder_label.weight[labels]).detach()
    covariance = (decoder.weight @ decoder.weight.T + torch.eye(20)).detach()
    truth = torch.distributions.MultivariateNormal(mean, covariance).log_prob(x.flatten(1))
    seen = []
    bound = held_out_iwae(model, x, 20_000, labels=labels, progress=seen.append)
    assert sum(seen) == 40
    # Five standard errors of the worst of the means of 20,000 weights.
    torch.testing.assert_close(bound, truth, rtol=0, atol=0.06)
    assert (held_out_elbo(model.float(), x.float(), labels=labels).total.mean() < truth.mean()).item()


def test_labels_for_a_model_that_takes_none(digits):
    model, test = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), digits.test
    for call in (
        lambda: held_out_elbo(model, test.images, labels=test.labels),
        lambda: encode_all(model, test.images, labels=test.labels),
        lambda: vw.fit(model, test.images, labels=test.labels),
    ):
        with pytest.raises(ValueError, match="labels are for a ConditionalVAE; VAE t"):
            call()


def test_evaluate_tells_it_the_labels(tmp_path, digits, capsys):
    model, test = vw.ConditionalVAE(2, (1, 8, 8), hidden=(8,), seed=0), digits.test.take(slice(40))
    with torch.no_grad():
        model.decoder_label.weight.normal_(generator=generator())
    vw.save(model, tmp_path / "m.safetensors", dataset="digits")
    command = ["evaluate", str(tmp_path / "m.safetensors"), "--images", "40", "--iwae", "3", "--json"]
    assert cli.main(command) == 0
    greys, drawn = json.loads(capsys.readouterr().out)["measured"]
    total = held_out_elbo(model, test.images, labels=test.labels).total.double()
    assert greys["loss"] == pytest.approx(-total.mean().item(), abs=1e-5)
    binary = binarize(test.images, generator())
    bound = held_out_iwae(model, binary, 3, labels=test.labels, seed=1).double()
    assert drawn["iwae"]["mean"] == pytest.approx(bound.mean().item(), abs=1e-5)


# --- training ----------------------------------------------------------------------------------------


def test_told_the_label_z_need_not_say_it(digits):
    """Half of what two numbers can say of a digit is which it is: without that burden the bound is better."""
    losses = {}
    for kind, told in ((vw.VAE, {}), (vw.ConditionalVAE, dict(labels=digits.train.labels))):
        model = kind(2, (1, 8, 8), hidden=(64,), seed=0)
        steps = vw.fit(model, digits.train.images, **told, validation=digits.test, epochs=25, lr=3e-3)
        losses[kind] = drain(steps).held_out.loss
    assert losses[vw.ConditionalVAE] < losses[vw.VAE] - 1
    pictures = torch.cat([model.given(label).decode(torch.zeros(1, 2)) for label in range(10)])
    means = torch.stack([digits.train.images[digits.train.labels == label].mean(0) for label in range(10)])
    nearest = torch.cdist(pictures.flatten(1), means.flatten(1)).argmin(1)
    assert nearest.tolist() == list(range(10)), "at one and the same z every label paints its digit"


@pytest.mark.parametrize("options", [{}, dict(iwae=3, binarize="dynamic"), dict(free_bits=0.2, beta=2.0)])
def test_training_repeats_bit_by_bit_and_goes_on_from_a_state(digits, options):
    images, labels = digits.train.images[:100], digits.train.labels[:100]
    runs = []
    for stop in (None, 5):
        model = vw.ConditionalVAE(2, (1, 8, 8), hidden=(16,), seed=0)
        keywords = dict(labels=labels, batch_size=32, epochs=3, validation=digits.test, patience=3, **options)
        steps = vw.fit(model, images, **keywords)
        if stop:
            state = [next(steps) for _ in range(stop)] and steps.state()
            steps = vw.fit(vw.ConditionalVAE(2, (1, 8, 8), hidden=(16,), seed=9), images, **keywords)
            steps.restore(state)
        last = drain(steps)
        runs.append((last.loss, last.held_out.loss, steps.model.decoder_label.weight.sum().item()))
    assert runs[0] == runs[1]


def test_training_needs_the_labels(digits):
    model, train = vw.ConditionalVAE(2, (1, 8, 8), hidden=(4,), seed=0), digits.train
    for keywords, words in (
        ({}, "trains on labelled images; pass labels="),
        (dict(labels=train.labels[1:]), "one per image; got"),
        (dict(labels=train.labels + 1), "labels 0 to 9; got 1 to 10"),
        (
            dict(labels=train.labels, validation=digits.test.images),
            r"validation=Images\(images, labels\)",
        ),
        (dict(labels=train.labels, validation=vw.Images(digits.test.images)), "pass validation=Images"),
        (dict(labels=[0] * len(train)), "int64 Tensor"),
    ):
        with pytest.raises(TypeError if "int64" in words else ValueError, match=words):
            vw.fit(model, train.images, **keywords)


def test_a_vae_may_be_validated_on_labelled_images(digits):
    losses = []
    for validation in (digits.test, digits.test.images):
        model = vw.VAE(2, (1, 8, 8), hidden=(8,), seed=0)
        steps = vw.fit(model, digits.train.images, validation=validation, epochs=1)
        losses.append(drain(steps).held_out.loss)
    assert losses[0] == losses[1]
