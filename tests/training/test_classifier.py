"""Classifier: the model with a reject class, the negatives it is trained with, and its command."""

import functools
import json
import signal

import pytest
import torch
from oracles import drain, generator
from PIL import Image
from torch import nn

import vaewidgets as vw
from vaewidgets.cli import app as cli
from vaewidgets.cli import train_classifier
from vaewidgets.data import negatives
from vaewidgets.evaluation.classifier import measure
from vaewidgets.training import classifier
from vaewidgets.training.classifier import augment, fit_classifier
from vaewidgets.widgets._core.network_spec import describe_classifier

QUICK = ["--model", "classifier", "--hidden", "8", "--epochs", "2", "--batch-size", "64", "--device", "cpu"]


def build(**arguments):
    return vw.Classifier(**{"image_shape": (1, 8, 8), "hidden": (6,), "seed": 0, **arguments})


def train(out, *more, source="digits"):
    return cli.main(["train", source, "--out", str(out), *QUICK, *more])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "judge.safetensors"


# --- the model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (3, 7, 10), (1, 1, 5)])
@pytest.mark.parametrize("hidden", [(3,), (4, 5, 6)])
def test_logits_probabilities_and_confidence(image_shape, hidden):
    judge = vw.Classifier(image_shape, 7, hidden=hidden, seed=0)
    x = torch.rand(5, *image_shape, generator=generator())
    logits, p = judge(x), judge.probabilities(x)
    assert logits.shape == p.shape == (5, 8)
    torch.testing.assert_close(p, logits.exp() / logits.exp().sum(1, keepdim=True))
    assert judge.confidence(x).tolist() == [max(row[:7]) for row in p.tolist()], "the last column is none"
    kinds = {type(layer) for layer in judge.layers}
    assert kinds == {nn.Conv2d, nn.ReLU, nn.Flatten, nn.Linear}
    spec = describe_classifier(judge).spec
    assert spec["size"] == sum(weight.numel() for weight in judge.parameters())


def test_what_makes_no_classifier():
    for arguments, words in (
        (dict(image_shape=(8, 8)), "three numbers"),
        (dict(hidden=()), "at least one number of channels"),
        (dict(activation="sign"), "activation must be one of"),
        (dict(classes=0), "classes must be between 1"),
    ):
        with pytest.raises(ValueError, match=words):
            build(**arguments)
    with pytest.raises(ValueError, match=r"takes \(B, 1, 8, 8\)"):
        build()(torch.zeros(2, 1, 9, 8))


def test_it_is_saved_and_loaded_without_codes(out):
    judge, x = build(classes=4, activation="gelu"), torch.rand(3, 1, 8, 8)
    vw.save(judge, out, dataset="shapes")
    loaded = vw.load(out)
    assert type(loaded) is vw.Classifier and loaded.config == judge.config
    assert loaded.info == {"dataset": "shapes"} and torch.equal(loaded(x), judge(x))
    atlas = vw.checkpoints.EncodedDataset(torch.zeros(3, 2), None, None)
    with pytest.raises(ValueError, match="a Classifier has no codes"):
        vw.save(judge, out, atlas=atlas)
    with pytest.raises(TypeError, match="to_onnx takes VAE or Autoencoder; got Classifier"):
        vw.export.to_onnx(judge, out.with_suffix(".onnx"))


# --- pictures of no class ----------------------------------------------------------------------------


@pytest.fixture
def pair(digits):
    x, labels = digits.train.images[:60], digits.train.labels[:60]
    return x[:30], x[30:], labels[:30] != labels[30:]


@pytest.mark.parametrize("kind", [*negatives.OF_ONE, *negatives.OF_TWO], ids=lambda kind: kind.__name__)
def test_they_are_images_and_repeat_with_the_seed(pair, kind):
    images = pair[:1] if kind in negatives.OF_ONE else pair[:2]
    made = [kind(*images, generator(seed)) for seed in (3, 3, 4)]
    assert made[0].shape == pair[0].shape and torch.equal(made[0], made[1])
    assert made[0].min() >= 0 and made[0].max() <= 1
    assert torch.equal(made[0], made[2]) == (kind in (negatives.inverted, negatives.overlays))


def test_what_each_of_them_does(pair):
    a, b, _ = pair
    mixed = negatives.shuffled(a, generator())
    assert torch.equal(mixed.flatten(1).sort(1).values, a.flatten(1).sort(1).values)
    assert not torch.equal(mixed, a)
    in_colour = torch.stack([a[:, 0], a[:, 0] / 2, 1 - a[:, 0]], 1)
    red, green, blue = negatives.shuffled(in_colour, generator()).unbind(1)
    torch.testing.assert_close(green, red / 2)
    torch.testing.assert_close(blue, 1 - red)
    # A blend lies on the line between the two, at .3 to .7 of it.
    share = ((negatives.blends(a, b, generator()) - b) * (a - b)).flatten(1).sum(1)
    share /= ((a - b) ** 2).flatten(1).sum(1)
    assert 0.3 <= share.min() < 0.4 and 0.6 < share.max() <= 0.7
    assert torch.equal(negatives.overlays(a, b, generator()), torch.where(a > b, a, b))
    halves = negatives.halves(torch.zeros(400, 1, 8, 8), torch.ones(400, 1, 8, 8), generator())
    assert ((halves == 0) | (halves == 1)).all() and halves.mean((1, 2, 3)).sub(0.5).abs().max() < 0.15
    # The sides of a line through the middle: what is opposite belongs to the other.
    assert (halves + halves.flip(2, 3) == 1).double().mean() > 0.95
    assert (negatives.faint(a, generator()) <= a / 3).all()
    assert torch.equal(negatives.inverted(a, generator()), 1 - a)
    noise = negatives.uniform(torch.zeros(200, 1, 8, 8), generator())
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)
    assert noise.var().item() == pytest.approx(1 / 12, abs=0.005)


@pytest.fixture
def counts(monkeypatch):
    """How many images each kind has made, in the order of the kinds."""
    counts = {kind.__name__: 0 for kind in (*negatives.OF_ONE, *negatives.OF_TWO)}

    def counted(kind):
        def count(*arguments):
            counts[kind.__name__] += len(arguments[0])
            return kind(*arguments)

        return count

    for name in ("OF_ONE", "OF_TWO"):
        monkeypatch.setattr(negatives, name, tuple(map(counted, getattr(negatives, name))))
    return counts


def test_kinds_come_in_equal_parts_and_pairs_are_of_different_classes(counts):
    # Every image is its class's number in grey: a pair of one class would show as that grey.
    labels = torch.arange(40) % 2
    x = (0.2 + 0.6 * labels.float())[:, None, None, None].expand(-1, 1, 8, 8)
    made = negatives.make_negatives(x, labels, 41, generator())
    assert made.shape == (41, 1, 8, 8)
    assert sorted(counts.values()) == [4] * 4 + [5] * 5
    start = sum(list(counts.values())[: list(counts).index("blends")])
    blends = made[start : start + counts["blends"]].flatten(1)
    flat, middle = blends.std(1) < 1e-6, blends.mean(1)
    assert ((middle[flat] > 0.37) & (middle[flat] < 0.63)).all() and flat.any()


def test_a_batch_that_is_too_small_for_all_kinds_leaves_none_out_for_ever(digits, counts):
    some, draws = digits.train.take(slice(20)), generator()
    made = [negatives.make_negatives(some.images, some.labels, 2, draws) for _ in range(60)]
    assert {len(pictures) for pictures in made} == {2}
    assert len(counts) == 9 and all(counts.values())


def test_real_images_are_moved_and_some_blurred():
    x = torch.zeros(2000, 1, 28, 28)
    x[:, 0, 13, 14] = 1
    varied = augment(x, generator())[:, 0]
    sharp = varied.amax((1, 2)) == 1
    assert sharp.double().mean().item() == pytest.approx(1 - classifier.BLURRED, abs=0.04)
    places = varied[sharp].flatten(1).argmax(1)
    moves = {(place // 28 - 13, place % 28 - 14) for place in places.tolist()}
    assert moves == {(i, j) for i in range(-2, 3) for j in range(-2, 3)}
    blurred = varied[~sharp]
    torch.testing.assert_close(blurred.sum((1, 2)), torch.ones(len(blurred)))
    torch.testing.assert_close(blurred.amax((1, 2)), torch.full((len(blurred),), 1 / 9))


# --- training and measuring --------------------------------------------------------------------------


def test_it_learns_and_learns_to_reject(digits):
    judge = vw.Classifier((1, 8, 8), hidden=(16, 32), seed=0)
    some = digits.train.images, digits.train.labels
    first, *_, last = fit_classifier(judge, *some, epochs=30, batch_size=64, lr=0.01)
    assert last.loss < first.loss / 2 and (last.epoch, last.step) == (30, last.total_steps)
    rates = measure(judge, digits.test)
    assert rates["accuracy"].share > 0.8
    assert rates["noise"].share > 0.95 and rates["shuffled"].share > 0.95 and rates["real"].share < 0.5


def test_training_repeats_and_draws_from_no_other_generator(digits):
    before, runs = torch.get_rng_state(), []
    for seed in (1, 1, 2):
        judge = build()
        some = digits.train.take(slice(200))
        drain(fit_classifier(judge, some.images, some.labels, epochs=2, seed=seed))
        runs.append(torch.cat([weight.detach().flatten() for weight in judge.parameters()]))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert torch.equal(torch.get_rng_state(), before)


def test_what_cannot_be_trained_on_is_said_at_the_call(digits):
    x, y = digits.train.images, digits.train.labels
    for arguments, keywords, words in (
        ((x, y[1:]), {}, "1437 images need 1437 labels from 0 to 9"),
        ((x, y + 1), {}, "1 to 10"),
        ((x[:, :, 1:], y), {}, "8"),
        ((x, y), dict(epochs=0), "epochs must be"),
        ((x, y), dict(lr=0), "lr must be"),
        ((x, y), dict(reject=-1), "reject must be"),
        ((x, y), dict(seed=-1), "seed must be"),
    ):
        with pytest.raises(ValueError, match=words):
            fit_classifier(build(), *arguments, **keywords)


def test_what_is_measured_is_counted():
    """A judge that knows two greys and takes everything else for none."""

    class Known(vw.Classifier):
        def forward(self, x):
            grey = x.mean((1, 2, 3))
            flat = x.flatten(1).std(1) < 1e-6
            logits = torch.stack([grey < 0.5, grey >= 0.5, ~flat], 1).float() * 9
            return logits + torch.stack([0 * grey, 0 * grey, 9.0 * ~flat], 1)

    judge = Known((1, 8, 8), 2, hidden=(1,))
    x = torch.tensor([0.2, 0.3, 0.7, 0.8, 0.9])[:, None, None, None].expand(-1, 1, 8, 8).clone()
    x[4, 0, 0, 0] = 0.1
    rates = measure(judge, vw.Images(x, torch.tensor([0, 1, 1, 1, 1])))
    assert (rates["accuracy"].count, rates["accuracy"].n) == (4, 5)
    # The one that is not flat is rejected, in order or not; noise is never flat.
    assert [rates[name].count for name in ("real", "noise", "shuffled")] == [1, 5, 1]


# --- the command -------------------------------------------------------------------------------------


def test_images_without_labels_are_refused():
    with pytest.raises(ValueError, match="images with labels"):
        measure(vw.Classifier((1, 8, 8), 2, hidden=(4,), seed=0), vw.Images(torch.zeros(3, 1, 8, 8)))


def test_the_file_holds_what_was_measured_on_the_stored_weights(out, digits, capsys):
    assert train(out, "--holdout", "300", "--final", "--half", "--seed", "3") == 0
    judge, held_out = vw.load(out), digits.train.take(slice(-300, None))
    for said, name, images in (
        (judge.info["figures"], "test", digits.test),
        (judge.info["validation"], "train[-300:]", held_out),
    ):
        assert (said["split"], said["images"], said["tau"]) == (name, len(images), 0.9)
        rates = measure(judge, images)
        assert said["accuracy"]["count"] == rates["accuracy"].count
        assert {kind: rate["count"] for kind, rate in said["rejected"].items()} == {
            kind: rates[kind].count for kind in ("real", "noise", "shuffled")
        }
    share = judge.info["figures"]["accuracy"]["share"]
    assert f"accuracy {share:.2%} on 360 images (test)" in capsys.readouterr().out
    recipe = judge.info["recipe"]
    assert recipe.keys() == {
        "hidden", "activation", "epochs", "batch_size", "lr", "weight_decay", "reject", "model", "size",
        "channels", "skip_corrupt", "white", "seed", "holdout", "final", "half", "threads", "device",
    }  # fmt: skip
    assert (recipe["model"], recipe["lr"], recipe["seed"], recipe["hidden"]) == ("classifier", 3e-3, 3, [8])
    again = out.with_name("again.safetensors")
    words = judge.info["command"].split()
    assert cli.main([*words[1:4], str(again), *words[5:]]) == 0
    assert torch.equal(vw.load(again).layers[0].weight, judge.layers[0].weight)


def test_evaluate_measures_it_again(out, capsys):
    assert train(out) == 0
    # What was made of the data stands before it.
    (sentence,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("accuracy")]
    assert cli.main(["evaluate", str(out)]) == 0
    assert capsys.readouterr().out.strip() == sentence.replace("(test)", "(digits, test)")
    assert cli.main(["evaluate", str(out), "--json", "--images", "50"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["accuracy"]["n"] == 50 and figures["rejected"]["noise"]["n"] == 50
    assert cli.main(["evaluate", str(out), "--iwae", "5"]) == 1
    assert "it bounds nothing" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_stores_what_was_learned(out, monkeypatch, number):
    @functools.wraps(fit_classifier)
    def steps(*arguments, **keywords):
        for step in fit_classifier(*arguments, **keywords):
            if step.step == 3:
                signal.raise_signal(number)
            yield step

    monkeypatch.setattr(train_classifier, "fit_classifier", steps)
    assert train(out) == 128 + number
    stopped = vw.load(out).info["stopped"]
    assert stopped == {"step": 3, "total_steps": 46, "reason": number.name}
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reject", "-1"], "reject must be"),
        (["--beta", "2"], "--beta is not for --model classifier"),
        (["--latent-dim", "2"], "--latent-dim is not for --model classifier"),
        (["--patience", "2", "--holdout", "9"], "--patience is not for --model classifier"),
        (["--atlas", "both"], "it has no codes"),
        (["--final"], "say how many with --holdout N"),
        (["--holdout", "1437"], "must leave images on both sides"),
        (["--lr", "nan"], "lr must be"),
    ],
)
def test_what_cannot_be_trained_is_said_and_nothing_is_written(out, capsys, options, message):
    assert train(out, *options) == 1
    assert message in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_it_needs_labels(tmp_path, out, capsys):
    (tmp_path / "things").mkdir()
    for i in range(8):
        Image.new("L", (8, 8), 9 * i).save(tmp_path / "things" / f"{i}.png")
    assert train(out, source=str(tmp_path / "things")) == 1
    assert "--model classifier needs labels" in capsys.readouterr().err
