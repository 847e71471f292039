"""``vaewidgets train``: what a file says of itself, how it ends early, and how it goes on from there."""

import dataclasses
import errno
import functools
import inspect
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaewidgets as vw
from vaewidgets._utils import atomic_write
from vaewidgets.cli import app as cli
from vaewidgets.cli import progress, train_common, train_options, train_vae
from vaewidgets.evaluation import metrics
from vaewidgets.training import resume

#: On the processor, where a resumed training is bit for bit an uninterrupted one.
QUICK = ["--epochs", "2", "--hidden", "32", "16", "--lr", "2e-3", "--device", "cpu"]
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def train(out, *more, source="digits"):
    return cli.main(["train", source, "--out", str(out), *QUICK, *more])


def go_on(out, *more):
    return cli.main(["train", "--resume", "--out", str(out), *more])


def state_of(out):
    return Path(f"{out}.resume")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "m.safetensors"


@pytest.fixture
def whole(tmp_path, out):
    """Where an uninterrupted training writes a file of the same name."""
    (tmp_path / "whole").mkdir()
    return tmp_path / "whole" / out.name


@pytest.fixture
def spare(tmp_path, monkeypatch):
    """An empty folder in place of the system's temporary one."""
    (tmp_path / "spare").mkdir()
    monkeypatch.setattr(train_common.tempfile, "tempdir", str(tmp_path / "spare"))
    return tmp_path / "spare"


@pytest.fixture
def after_step(monkeypatch):
    """A function that arranges for another to be called when a step has been shown."""

    def arrange(count, act):
        original = progress.Progress.show

        def show(self, step):
            original(self, step)
            if step.step == count:
                act()

        monkeypatch.setattr(progress.Progress, "show", show)

    return arrange


@pytest.fixture
def signal_after(after_step):
    """Send signals to this process when a step has been shown, as a user might; none after that."""
    return lambda count, *numbers: after_step(count, lambda: list(map(signal.raise_signal, numbers)))


def pull_the_plug():
    """End a training in the middle like a kill -9: nothing is stored at the end."""
    raise RuntimeError("pulled the plug")


@pytest.fixture
def interrupted(out, signal_after, monkeypatch):
    """A training of 24 steps that was stopped after 15, within its second epoch."""
    signal_after(15, signal.SIGINT)
    assert train(out) == 130
    monkeypatch.undo()
    return out


# --- what a file says of itself ----------------------------------------------------------------------


def test_the_file_holds_what_was_measured_on_the_stored_weights(out, digits, capsys):
    assert train(out, "--half") == 0
    model = vw.load(out)
    terms = metrics.held_out_elbo(model, digits.test.images)
    figures = model.info["figures"]
    assert figures["split"] == "test" and figures["images"] == 360
    assert figures["loss"] == pytest.approx(-terms.total.double().mean().item(), abs=1e-3)
    assert figures["loss"] == pytest.approx(figures["kl"] - figures["reconstruction"], abs=2e-4)
    assert sum(figures["kl_per_dimension"]) == pytest.approx(figures["kl"], abs=2e-4)
    assert torch.equal(model.atlas.labels, digits.test.labels)
    torch.testing.assert_close(
        model.atlas.mu, metrics.encode_all(model, digits.test.images).mu, atol=2e-3, rtol=2e-3
    )
    assert f"{figures['loss']:.2f}" in capsys.readouterr().out
    assert "stopped" not in model.info and list(out.parent.iterdir()) == [out]


def test_the_recipe_names_every_option_and_the_command_repeats_it(tmp_path, monkeypatch):
    more = "--half --seed 3 --atlas none --kl-warmup 1 --holdout 90 --patience 1"
    assert train(tmp_path / "first.safetensors", *more.split()) == 0
    first = vw.load(tmp_path / "first.safetensors")
    recipe = first.info["recipe"]
    options = {option.name for option in train_options.OPTIONS if option.owner in ("VAE", "fit")}
    assert recipe.keys() == options | train_options.OWN.keys()
    assert (recipe["hidden"], recipe["lr"], recipe["seed"], recipe["batch_size"]) == ([32, 16], 2e-3, 3, 128)
    assert recipe["device"] == first.info["device"] == "cpu"
    assert first.info["versions"] == {"vaewidgets": vw.__version__, "torch": torch.__version__}
    assert not hasattr(first, "atlas")

    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    words = shlex.split(first.info["command"])
    assert words[:5] == ["vaewidgets", "train", "digits", "--out", "first.safetensors"]
    assert cli.main(words[1:]) == 0
    assert Path("first.safetensors").read_bytes() == (tmp_path / "first.safetensors").read_bytes()


def test_no_machine_path_reaches_the_file(tmp_path, out, signal_after):
    folder = tmp_path / "secret" / "pictures"
    draw(folder, 30)
    signal_after(1, signal.SIGINT)
    assert train(out, "--data", str(tmp_path / "secret"), source=str(folder)) == 130
    for path in (out, state_of(out)):
        raw = path.read_bytes()
        assert b"pictures" in raw and b"secret" not in raw and os.fsencode(tmp_path) not in raw


def test_holdout_trains_on_the_rest_and_reports_on_it(out, digits, monkeypatch, capsys):
    seen = {}

    @functools.wraps(vw.fit)
    def fit(model, images, *, validation, **keywords):
        seen.update(images=images, validation=validation)
        return vw.fit(model, images, validation=validation, **keywords)

    monkeypatch.setattr(train_vae, "fit", fit)
    assert train(out, "--holdout", "137") == 0
    model = vw.load(out)
    assert torch.equal(seen["images"], digits.train.images[:-137])
    assert torch.equal(seen["validation"].images, digits.train.images[-137:])
    assert (model.info["figures"]["split"], model.info["figures"]["images"]) == ("train[-137:]", 137)
    assert torch.equal(model.atlas.labels, digits.train.labels[-137:])
    shown = capsys.readouterr().err
    assert "after epoch 1" in shown and "after epoch 2" in shown


def test_final_chooses_on_the_held_out_images_and_measures_the_test_images(out, digits, capsys):
    # So few images to train on that the held-out loss rises for half of the epochs, on every processor.
    more = ["--holdout", "1300", "--patience", "300", "--lr", "0.02", "--batch-size", "16", "--hidden", "128"]
    assert train(out, *more, "--epochs", "70", "--final", "--half") == 0
    model = vw.load(out)
    figures, validation = model.info["figures"], model.info["validation"]
    for said, name, x in (
        (figures, "test", digits.test.images),
        (validation, "train[-1300:]", digits.train.images[-1300:]),
    ):
        assert (said["split"], said["images"]) == (name, len(x))
        assert said["loss"] == pytest.approx(
            -metrics.held_out_elbo(model, x).total.double().mean().item(), abs=1e-3
        )
    assert f"held-out loss {figures['loss']:.2f}" in capsys.readouterr().out
    again = vw.VAE(2, (1, 8, 8), hidden=(128,), seed=0)
    images = digits.train.images[:-1300], digits.train.images[-1300:]
    steps = vw.fit(again, images[0], validation=images[1], epochs=70, lr=0.02, batch_size=16)
    held_out = [step.held_out.loss for step in steps if step.held_out]
    assert validation["epoch"] == 1 + held_out.index(min(held_out)) < 70
    assert torch.equal(model.atlas.labels, digits.test.labels)


def test_a_conditional_model_is_told_the_labels_of_what_it_is_measured_on(tmp_path, out, digits, capsys):
    assert train(out, "--model", "cvae", "--holdout", "400", "--final", "--half", "--atlas", "both") == 0
    model = vw.load(out)
    assert type(model) is vw.ConditionalVAE and model.classes == 10
    for said, images in (("figures", digits.test), ("validation", digits.train.take(slice(-400, None)))):
        terms = metrics.held_out_elbo(model, images.images, labels=images.labels)
        loss = -terms.total.double().mean().item()
        assert model.info[said]["loss"] == pytest.approx(loss, abs=1e-3)
    for atlas, images in ((model.atlas, digits.test), (model.train_atlas, digits.train.take(slice(-400)))):
        assert torch.equal(atlas.labels, images.labels)
        q = model.encode(images.images, images.labels)
        torch.testing.assert_close(atlas.mu, q.mu, atol=2e-3, rtol=2e-3)
    draw(tmp_path / "things", 12)
    assert train(out, "--model", "cvae", "--overwrite", source=str(tmp_path / "things")) == 1
    assert "--model cvae needs labels, which" in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--patience", "2", "--lr", "1e30", "--epochs", "60"]])
def test_final_names_no_epoch_where_none_was_chosen(out, options):
    assert train(out, "--holdout", "400", "--final", *options) == bool(options)
    assert vw.load(out).info["validation"]["epoch"] is None


def test_both_atlases_hold_what_the_stored_weights_say(tmp_path, out, digits, monkeypatch):
    monkeypatch.setattr(train_vae, "TRAIN_ATLAS", 1000)
    for kept, more in ((1000, ["--holdout", "400"]), (1000, ["--model", "ae"]), (437, ["--holdout", "1000"])):
        assert train(out, "--atlas", "both", "--half", "--overwrite", *more) == 0
        model = vw.load(out)
        assert torch.equal(model.train_atlas.labels, digits.train.labels[:kept])
        q = metrics.encode_all(model, digits.train.images[:kept])
        torch.testing.assert_close(model.train_atlas.mu, q.mu, atol=2e-3, rtol=2e-3)
        assert (model.train_atlas.logvar is None) == (q.logvar is None)
        measured = digits.train.take(slice(-int(more[1]), None)) if "--holdout" in more else digits.test
        assert torch.equal(model.atlas.labels, measured.labels)
    vw.save(model, tmp_path / "again.safetensors", half=True)
    assert torch.equal(vw.load(tmp_path / "again.safetensors").train_atlas.mu, model.train_atlas.mu)


def test_patience_ends_it_and_the_file_has_the_best_weights(out, capsys):
    more = ["--holdout", "400", "--patience", "2", "--lr", "0.02", "--batch-size", "16", "--hidden", "128"]
    assert train(out, *more, "--epochs", "300") == 0
    info = vw.load(out).info
    stopped = info["stopped"]
    assert stopped["step"] < stopped["total_steps"] and stopped["reason"] == "no progress for 2 epochs"
    assert not state_of(out).exists()
    losses = [float(loss) for loss in re.findall(r"held-out loss (\S+) after", capsys.readouterr().err)]
    # The bar measures with other noise than the file's figures: alike, not equal.
    assert info["figures"]["loss"] == pytest.approx(min(losses), abs=0.3)
    assert losses[-1] > min(losses)


@pytest.mark.parametrize(
    ("options", "shown", "absent"),
    [
        ([], "ELBO -", "loss"),
        (["--beta", "0.5"], "(beta 0.5)", "ELBO"),
        (["--kl-warmup", "9"], "(beta 0.00925926)", "ELBO -4"),
        (["--iwae", "3", "--binarize", "dynamic"], "(importance-weighted, 3 samples)", "ELBO"),
        (["--free-bits", "0.1"], "(free bits 0.1)", "ELBO"),
        (["--model", "ae"], "(minus the reconstruction)", "KL"),
    ],
)
def test_the_bar_says_what_it_shows(out, capsys, options, shown, absent):
    assert train(out, *options) == 0
    bar = capsys.readouterr().err
    assert shown in bar and absent not in bar.replace("images/s", "")
    assert "reconstruction -" in bar and "images/s" in bar and "epoch 2/2" in bar


def test_numbers_are_read_only_when_they_are_shown(out, monkeypatch):
    reads, words, clock = [], progress.Progress._words, itertools.count()
    monkeypatch.setattr(
        progress.Progress, "_words", lambda self, step: reads.append(step) or words(self, step)
    )
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock) / 100)
    assert train(out) == 0
    assert [step.step for step in reads] == [1, 24], "less than a quarter of a second of this clock between"


def test_every_keyword_is_an_option_and_every_option_a_keyword():
    for owner, elsewhere in (
        (vw.VAE, {"image_shape", "seed"}),
        (vw.fit, {"model", "images", "labels", "validation", "device", "seed"}),
    ):
        options = {option.name for option in train_options.OPTIONS if option.owner == owner.__name__}
        assert options == set(inspect.signature(owner).parameters) - elsewhere


# --- sources -----------------------------------------------------------------------------------------


def draw(folder, n, size=(6, 9), classes=()):
    """Write n grey pictures into a folder, or into each of its class folders."""
    values = np.random.default_rng(0).integers(0, 256, (n, *size), np.uint8)
    for inner in [folder / name for name in classes] or [folder]:
        inner.mkdir(parents=True)
        for i, picture in enumerate(values):
            Image.fromarray(picture).save(inner / f"{i}.png")


def test_a_folder_with_classes_resized_in_colour(tmp_path, out):
    draw(tmp_path / "things", 12, classes=("a", "b"))
    options = ["--size", "4", "5", "--channels", "3"]
    assert train(out, *options, source=str(tmp_path / "things")) == 0
    model = vw.load(out)
    assert model.image_shape == (3, 4, 5) and model.info["dataset"] == "things"
    assert len(model.atlas.mu) == len(model.atlas.labels) == model.info["figures"]["images"] == 5
    words = shlex.split(model.info["command"])
    assert words[2] == "things" and shlex.join(options) in model.info["command"]


def test_files_that_cannot_be_read_are_refused_or_named(tmp_path, out, capsys):
    draw(tmp_path / "things", 12)
    (tmp_path / "things" / "bad.png").write_bytes(b"no picture")
    assert train(out, source=str(tmp_path / "things")) == 1
    assert "bad.png" in (said := capsys.readouterr().err) and "on_error='skip' is --skip-corrupt" in said
    assert train(out, "--skip-corrupt", source=str(tmp_path / "things")) == 0
    assert "Left out 1 of 13" in (said := capsys.readouterr().err) and "bad.png" in said
    model = vw.load(out)
    assert model.info["recipe"]["skip_corrupt"] and "--skip-corrupt" in model.info["command"].split()
    assert model.atlas.labels is None and model.atlas.mu.shape == (2, 2), "pictures without labels have a map"


def test_what_was_made_of_the_data_is_printed(tmp_path, out, capsys):
    draw(tmp_path / "things", 10, classes=("train", "val"))
    (tmp_path / "things" / "val" / "IMG_1.HEIC").write_bytes(b"something")
    assert train(out, source=str(tmp_path / "things")) == 0
    out, err = capsys.readouterr()
    assert {
        "read: 20 images",
        "left out: 1 file of a format that is not read (.heic)",
        "split: train/ and val/: 10 to train on, 10 held out",
        "classes: none, so no labels",
    } <= set(out.splitlines())
    assert "vaewidgets train: Left out 1 file of a format that is not read (.heic): 'IMG_1.HEIC'" in err


def test_white_is_an_option_that_the_file_remembers(tmp_path, out, capsys):
    folder = tmp_path / "masks"
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(10):
            bits = np.random.default_rng(i).integers(0, 2, (6, 9), np.uint8)
            Image.fromarray(bits).save(folder / name / f"{i}.png")
    assert train(out, source=str(folder)) == 0
    assert "brightest pixel is 1 where white is 255" in (said := capsys.readouterr().err)
    assert "Here white= is --white." in said
    assert train(out, "--white", "1", "--overwrite", source=str(folder)) == 0
    printed = capsys.readouterr()
    assert "brightest" not in printed.err
    assert "pixels: bytes from 0 to 1; white is 1 (stated)" in printed.out
    info = vw.load(out).info
    assert info["recipe"]["white"] == 1 and "--white 1.0" in info["command"]
    # What it is measured on has the same white, without its being said again.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cli.main(["evaluate", str(out), "--dataset", str(folder), "--iwae", "2"]) == 0
    assert "zeros and ones" in capsys.readouterr().out


def test_an_npz(tmp_path, out):
    np.savez(tmp_path / "faces.npz", images=np.random.default_rng(0).random((20, 4, 4)))
    assert train(out, source=str(tmp_path / "faces.npz")) == 0
    assert vw.load(out).info["dataset"] == "faces.npz"


def test_a_folder_that_is_called_mnist_is_not_mnist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source, name in (
        (str(tmp_path / "mnist"), "./mnist"),
        ("./mnist", "./mnist"),
        ("mnist", "mnist"),
        ("a/b/", "b"),
        (".", tmp_path.name),
    ):
        assert train_options.dataset_name(source) == name


# --- refusals ----------------------------------------------------------------------------------------


def test_an_existing_file_is_refused_before_training(tmp_path, out, monkeypatch, capsys):
    out.write_text("dear")
    with monkeypatch.context() as patch:
        patch.setattr(train_vae, "train", lambda *_: pytest.fail("trained"))
        assert train(out) == 1
        assert train(tmp_path) == 1
        assert train(tmp_path / "no" / "m.safetensors") == 1
        out.rename(state_of(out))
        assert train(out) == 1
        state_of(out).rename(out)
    errors = capsys.readouterr().err.splitlines()
    assert "--overwrite" in errors[0] and "is a folder" in errors[1] and "there is no folder" in errors[2]
    assert "m.safetensors.resume exists already" in errors[3] and "--resume" in errors[3]
    assert out.read_text() == "dear"
    assert train(out, "--overwrite") == 0
    assert vw.load(out).latent_dim == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--trunk", "transformer"], "trunk must be one of linear, mlp, conv; got 'transformer'"),
        (["--sigma", "0.1"], "is for the Gaussian likelihood"),
        (["--epochs", "0"], "epochs must be"),
        (["--lr", "nan"], "lr must be"),
        (["--holdout", "1437"], "must leave images on both sides of 1437"),
        (["--holdout", "-1"], "must leave images"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--patience", "2"], "with --holdout N"),
        (["--final"], "say how many with --holdout N"),
        (["--reject", "0.2"], "--reject is not for --model vae"),
        (["--model", "cvae", "--trunk", "conv"], "a convolution takes no one-hot label"),
        (["--save-every", "-1"], "--save-every must be minutes"),
        (["--save-every", "nan"], "--save-every must be minutes"),
        (["--device", "tpu"], "device must be one of auto, cpu"),
        (["--size", "5"], "go with a folder of images; 'digits' is none"),
        (["--resume"], "m.safetensors.resume: no such file"),
        (["--resume", "--overwrite"], "give one of them"),
    ],
)
def test_what_cannot_be_trained_is_said_and_nothing_is_written(out, capsys, options, message):
    assert train(out, *options) == 1
    assert message in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


def test_without_a_dataset_or_with_an_unknown_one(out, capsys):
    assert cli.main(["train", "--out", str(out)]) == 1
    assert train(out, source="letters") == 1
    errors = capsys.readouterr().err.splitlines()
    assert "name what to train on: digits, mnist" in errors[0] and "Unknown dataset 'letters'" in errors[1]


# --- a loss that leaves the numbers ------------------------------------------------------------------


def test_a_loss_that_leaves_the_numbers_stores_the_last_good_weights(out, capsys):
    assert train(out, "--lr", "1e30", "--epochs", "60", "--save-every", "1e-9") == 1
    assert "the loss became" in capsys.readouterr().err
    info = vw.load(out).info
    assert info["stopped"]["total_steps"] == 720 and "the loss became" in info["stopped"]["reason"]
    assert np.isfinite(info["figures"]["loss"])
    assert not state_of(out).exists(), "it would diverge again"


def test_nothing_is_stored_if_even_those_are_bad(out, capsys, monkeypatch):
    terms = vw.Elbo(*(torch.full(shape, torch.nan) for shape in ((360,), (360,), (360, 2))))
    monkeypatch.setattr(train_vae, "held_out_elbo", lambda *_, **__: terms)
    assert train(out, "--lr", "1e30") == 1
    said = capsys.readouterr().err
    assert "the loss became" in said and "held-out loss is nan; nothing is stored" in said
    assert list(out.parent.iterdir()) == []


# --- ending early, and going on ----------------------------------------------------------------------

VARIANTS = [
    [],
    ["--half", "--schedule", "cosine", "--kl-warmup", "2", "--binarize", "dynamic", "--seed", "7"],
    ["--holdout", "100", "--patience", "5", "--final", "--likelihood", "gaussian", "--sigma", "optimal"],
    ["--model", "ae", "--weight-decay", "0.1"],
    ["--model", "cvae", "--holdout", "100", "--patience", "5", "--atlas", "both"],
]


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: " ".join(options[:3]))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_is_byte_for_byte_uninterrupted(
    whole, out, signal_after, monkeypatch, capsys, options, number
):
    assert train(whole, *options) == 0
    # Within an epoch; then at the end of one, on which validation hangs; a second time by the way.
    signal_after(5, number, number)
    assert train(out, *options) == 128 + number
    model = vw.load(out)
    stopped = model.info["stopped"]
    assert stopped["step"] == 5 and stopped["reason"] == number.name
    assert np.isfinite(model.info["figures"]["loss"])
    said = capsys.readouterr().err
    assert f"Stopped at step 5 of {stopped['total_steps']}" in said and "train --resume --out" in said
    monkeypatch.undo()

    batches = stopped["total_steps"] // 2
    signal_after(batches, number)
    assert go_on(out) == 128 + number
    assert vw.load(out).info["stopped"]["step"] == batches
    monkeypatch.undo()
    assert go_on(out) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert not state_of(out).exists()


def test_the_handlers_of_before_are_back_afterwards(interrupted):
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_insists_leaves_at_once_and_loses_nothing(out, signal_after, monkeypatch, capsys):
    signal_after(5, signal.SIGINT)

    def measure(*_, **__):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("not left")

    monkeypatch.setattr(train_vae, "held_out_elbo", measure)
    assert train(out) == 130
    assert "train: stopped" in capsys.readouterr().err
    monkeypatch.undo()
    assert not out.exists(), "no checkpoint, but all that it takes to make one"
    assert go_on(out) == 0
    assert vw.load(out).info["figures"]["images"] == 360


def test_a_signal_during_the_last_step_is_too_late(out, signal_after):
    signal_after(24, signal.SIGINT)
    assert train(out) == 0
    assert "stopped" not in vw.load(out).info and not state_of(out).exists()


def test_states_on_the_way_are_enough_to_go_on(whole, out, after_step, monkeypatch):
    assert train(whole) == 0
    after_step(17, pull_the_plug)
    assert train(out, "--save-every", "1e-9") == 1
    monkeypatch.undo()
    assert not out.exists() and resume.read(state_of(out)).numbers["step"] == 16
    assert go_on(out) == 0
    assert out.read_bytes() == whole.read_bytes()


def test_save_every_zero_saves_never(out, after_step):
    after_step(17, pull_the_plug)
    assert train(out, "--save-every", "0") == 1
    assert list(out.parent.iterdir()) == []


def test_options_may_be_given_again_but_not_differ(interrupted, capsys):
    before = interrupted.read_bytes(), state_of(interrupted).read_bytes()
    for options, words in (
        (["--lr", "0.5"], "--lr 0.5 is not what"),
        (["--hidden", "32"], "[32, 16]"),
        (["--half"], "trained with: False"),
        (["--final"], "trained with: False"),
        (["--kl-warmup", "3"], "trained with: 0.0"),
        (["mnist"], "was trained on digits; got mnist"),
    ):
        assert go_on(interrupted, *options) == 1
        assert words in capsys.readouterr().err
    assert (interrupted.read_bytes(), state_of(interrupted).read_bytes()) == before
    free = ["--threads", "1", "--device", "cpu", "--save-every", "0"]
    assert go_on(interrupted, *QUICK, "digits", *free) == 0
    assert vw.load(interrupted).info["recipe"]["threads"] == 1


def test_other_images_are_refused(tmp_path, out, signal_after, monkeypatch, capsys):
    draw(tmp_path / "things", 30)
    signal_after(1, signal.SIGINT)
    assert train(out, source=str(tmp_path / "things")) == 130
    monkeypatch.undo()
    assert go_on(out) == 1
    assert "vaewidgets train PATH/things --resume" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "things" / "3.png"
    before = picture.read_bytes()
    Image.new("L", (9, 6), 77).save(picture)
    assert go_on(out) == 1
    assert "other images" in capsys.readouterr().err
    picture.write_bytes(before)
    assert go_on(out) == 0


def test_a_state_of_before_an_option_goes_on_with_its_default(interrupted):
    rewrite(state_of(interrupted), lambda own, tensors: own["recipe"].pop("final"))
    assert go_on(interrupted, "--final") == 1
    assert go_on(interrupted) == 0
    assert vw.load(interrupted).info["recipe"]["final"] is False


def test_the_fingerprint_knows_pixels_and_shape():
    x = torch.arange(24.0).view(2, 1, 3, 4)
    prints = {resume.fingerprint(y) for y in (x, x.view(2, 1, 4, 3), x.flip(0), x + 1e-6 * (x == 23))}
    assert len(prints) == 4 and resume.fingerprint(x.clone()) in prints
    y = torch.tensor([3, 1])
    labelled = {resume.fingerprint(x, labels) for labels in (None, y, y.flip(0))}
    assert len(labelled) == 3 and resume.fingerprint(x, y.clone()) in labelled
    assert resume.fingerprint(x.transpose(2, 3)) == resume.fingerprint(x.transpose(2, 3).contiguous())


def test_on_another_kind_of_device_the_noise_begins_anew(interrupted, capsys):
    rewrite(state_of(interrupted), lambda own, tensors: own.update(device="abacus"))
    assert go_on(interrupted) == 0
    assert "of another device (abacus" in capsys.readouterr().err


# --- a state file is hostile until checked -----------------------------------------------------------


def rewrite(path, change):
    """Change our header, and the tensors, of a state file, leaving it a good safetensors file."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(path, "pt") as file:
        own = json.loads(file.metadata()["vaewidgets"])
        tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    change(own, tensors)
    save_file(tensors, path, {"vaewidgets": json.dumps(own)})


def swap(name, value):
    return lambda own, tensors: own["recipe"].update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        lambda own, tensors: own.update(kind="VAE"),
        lambda own, tensors: own.update(format=resume.FORMAT + 1),
        lambda own, tensors: own.update(format=True),
        lambda own, tensors: own.update(numbers=[]),
        lambda own, tensors: own["numbers"].update(step=-1),
        lambda own, tensors: own["numbers"].update(step=10**30),
        lambda own, tensors: own["numbers"].update(lr="1"),
        lambda own, tensors: own["numbers"].update(beta=float("nan")),
        lambda own, tensors: own["numbers"].pop("seen"),
        lambda own, tensors: own.pop("fingerprint"),
        lambda own, tensors: own.update(fingerprint="0" * 64),
        lambda own, tensors: own.update(dataset="/etc"),
        lambda own, tensors: own["recipe"].pop("lr"),
        swap("hidden", [2**24, 2**24]),
        swap("hidden", [1] * 100_000),
        swap("hidden", "wide"),
        swap("latent_dim", 2**40),
        swap("epochs", True),
        swap("iwae", -3),
        swap("lr", "fast"),
        lambda own, tensors: tensors.pop("noise"),
        lambda own, tensors: tensors.update(order=torch.zeros(7, dtype=torch.uint8)),
        lambda own, tensors: tensors.update(noise=torch.full_like(tensors["noise"], 255)),
        lambda own, tensors: tensors.update({"adam.0.exp_avg": torch.zeros(3)}),
        lambda own, tensors: tensors.update({"model.mu.bias": torch.zeros(3)}),
        lambda own, tensors: tensors.update(more=torch.zeros(3)),
    ],
)
def test_a_state_that_is_not_ours_is_refused_with_its_path(interrupted, capsys, change):
    state = state_of(interrupted)
    rewrite(state, change)
    before = interrupted.read_bytes(), state.read_bytes()
    assert go_on(interrupted) == 1
    assert str(state) in capsys.readouterr().err
    assert (interrupted.read_bytes(), state.read_bytes()) == before


def test_bytes_that_are_no_state(interrupted, capsys):
    state = state_of(interrupted)
    good = state.read_bytes()
    spoiled = [
        b"", good[:7], good[:500], good[:-1], good + b"x", b"PK\x03\x04" * 10, bytes(len(good)),
        (2**62).to_bytes(8, "little") + good[8:], interrupted.read_bytes(),
    ]  # fmt: skip
    for data in spoiled:
        state.write_bytes(data)
        assert go_on(interrupted) == 1
        assert str(state) in capsys.readouterr().err
        assert state.read_bytes() == data
    with pytest.raises(ValueError, match="no model known here: kind 'Training'"):
        state.write_bytes(good)
        vw.load(state)


# --- disks that are full -----------------------------------------------------------------------------


def no_space_in(monkeypatch, *folders):
    write = atomic_write.write

    def full(files, *more):
        if any(path.parent in folders for path in files):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(files, *more)

    monkeypatch.setattr(atomic_write, "write", full)


@pytest.mark.parametrize("stop", [False, True])
def test_without_space_it_lies_in_the_temporary_folder(
    tmp_path, out, spare, monkeypatch, capsys, signal_after, stop
):
    out.write_text("dear")
    no_space_in(monkeypatch, tmp_path)
    if stop:
        signal_after(5, signal.SIGINT)
    assert train(out, "--overwrite", "--save-every", "1e-9") == 1
    assert out.read_text() == "dear" and not state_of(out).exists()
    said = capsys.readouterr().err
    (folder,) = spare.iterdir()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert f"cannot write {out} ({size:,} bytes): [Errno 28] No space left" in said
    assert f"It lies in {folder} instead" in said
    assert f"cannot write {state_of(out)}" in said and "goes on without it" in said
    assert vw.load(folder / out.name).info["figures"]["images"] == 360
    monkeypatch.undo()
    if stop:
        assert go_on(folder / out.name) == 0
    else:
        assert [path.name for path in folder.iterdir()] == [out.name]


def test_without_space_anywhere_it_says_so(tmp_path, out, monkeypatch, capsys):
    monkeypatch.setattr(train_common.tempfile, "tempdir", str(tmp_path / "gone"))
    no_space_in(monkeypatch, tmp_path)
    assert train(out) == 1
    said = capsys.readouterr().err
    assert f"cannot write {out} (" in said and "Nothing is stored." in said
    assert list(tmp_path.iterdir()) == []


# --- other processes ---------------------------------------------------------------------------------


def start(*words, python=(sys.executable,)):
    return subprocess.Popen(
        [*python, "-m", "vaewidgets", "train", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell that starts us in the background has told us to ignore SIGINT; a student's has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        start_new_session=True,
    )


def wait_for_steps(process):
    seen = b""
    while b"images/s" not in seen:
        seen += process.stderr.read1()
        assert process.poll() is None, seen
    return seen


@posix
def test_a_real_signal_stores_what_is_there(out):
    with start("digits", "--out", out, *QUICK, "--epochs", "1000000") as process:
        seen = wait_for_steps(process)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
    assert process.returncode == 143, seen + rest
    info, state = vw.load(out).info, resume.read(state_of(out))
    assert info["stopped"]["step"] == state.numbers["step"] >= 1
    assert info["stopped"]["reason"] == "SIGTERM"


@posix
def test_kill_9_loses_what_came_after_the_last_state(whole, out, signal_after):
    with start("digits", "--out", out, *QUICK, "--epochs", "1000", "--save-every", "1e-9") as process:
        wait_for_steps(process)
        while not state_of(out).exists():
            assert process.poll() is None
        process.kill()
    assert process.returncode == -signal.SIGKILL and not out.exists()
    step = resume.read(state_of(out)).numbers["step"]
    signal_after(step + 20, signal.SIGINT)
    assert go_on(out) == 130
    assert train(whole, "--epochs", "1000") == 130
    assert out.read_bytes() == whole.read_bytes()


def two_processes():
    # It finds a port by itself: one that is found here may be taken before it is used.
    alone = ("--standalone", "--local-addr", "127.0.0.1")
    return (sys.executable, "-m", "torch.distributed.run", *alone, "--nproc-per-node=2")


@posix
def test_two_processes_write_the_one_file_that_one_would(tmp_path, out):
    with start("digits", "--out", out, *QUICK, "--holdout", "100", python=two_processes()) as process:
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert list(tmp_path.iterdir()) == [out]
    assert said.count(b"epoch 2/2: 100%") >= 1 and b"rank 1" not in said
    alone = tmp_path / "alone.safetensors"
    assert train(alone, "--holdout", "100") == 0
    ours, theirs = vw.load(out).info["figures"], vw.load(alone).info["figures"]
    for name in ("loss", "reconstruction", "kl"):
        assert ours[name] == pytest.approx(theirs[name], abs=1e-3)


@posix
def test_two_processes_stop_together_and_the_first_stores(out):
    words = ("digits", "--out", out, *QUICK, "--epochs", "1000000")
    with start(*words, python=two_processes()) as process:
        seen = wait_for_steps(process)
        # As a terminal does: to all processes of the group, and torchrun passes on its own.
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode != 0
    info, state = vw.load(out).info, resume.read(state_of(out))
    assert info["stopped"]["step"] == state.numbers["step"] >= 1, seen + rest
    assert info["stopped"]["reason"] == "SIGINT"


@posix
def test_two_processes_that_are_refused_do_not_wait_for_each_other(out):
    out.write_text("dear")
    with start("digits", "--out", out, *QUICK, python=two_processes()) as process:
        said = process.stderr.read()
    assert process.returncode != 0 and b"exists already" in said
    assert out.read_text() == "dear"


# --- a place that two trainings want ------------------------------------------------------------------


@posix
def test_of_two_trainings_of_one_file_the_second_is_refused_before_it_trains(out, capsys, monkeypatch):
    with start("digits", "--out", out, *QUICK, "--epochs", "1000000") as process:
        wait_for_steps(process)
        with monkeypatch.context() as patch:
            patch.setattr(train_vae, "train", lambda *_: pytest.fail("trained"))
            for more in ((), ("--overwrite",), ("--model", "classifier")):
                assert train(out, *more) == 1
                assert "being written by another process" in capsys.readouterr().err
            assert go_on(out) == 1
            assert "being written by another process" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert process.returncode == 143
    assert sorted(path.name for path in out.parent.iterdir()) == [out.name, state_of(out).name]


def test_a_file_that_came_up_while_it_trained_lives(out, spare, capsys, monkeypatch):
    measure = train_vae._measure

    def slow(*args):
        out.write_text("dear")
        return measure(*args)

    monkeypatch.setattr(train_vae, "_measure", slow)
    assert train(out) == 1 and out.read_text() == "dear"
    (stored,) = spare.rglob("m.safetensors")
    assert f"It lies in {stored.parent} instead" in capsys.readouterr().err
    assert vw.load(stored).info["dataset"] == "digits"


@pytest.mark.parametrize("name", ["m", "m.pt", "m.safetensors.bak", "m.SAFETENSORS"])
def test_an_ending_that_cannot_be_opened_again_is_refused_before_training(
    tmp_path, name, capsys, monkeypatch
):
    monkeypatch.setattr(train_vae, "train", lambda *_: pytest.fail("trained"))
    assert train(tmp_path / name) == 1
    assert re.search(rf"--out must end in \.safetensors, .* got {re.escape(name)}\.", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda own: own["recipe"].update(model="x"), "model in its recipe is 'x'"),
        (lambda own: own["recipe"].update(model="classifier"), "model in its recipe is 'classifier'"),
        (lambda own: own["recipe"].update(atlas="all"), "atlas in its recipe is 'all'"),
        (lambda own: own["recipe"].update(channels=2), "channels in its recipe is 2"),
        (lambda own: own["recipe"].update(epochs=10**400), "epochs in its recipe is 1000"),
        (lambda own: own["recipe"].update(hidden=[10**400]), "hidden in its recipe is"),
        (lambda own: own["recipe"].update(schedule="x\x1b"), "schedule"),
        (lambda own: own["recipe"].update(device="\x1b[2J"), "device"),
        (lambda own: own.update(fingerprint="\x1b[2J"), "SHA-256 should be \ufffd\\[2J"),
        (lambda own: own.update(device="\x1b[2J\u202e"), "of another device \\(\ufffd\\[2J\ufffd"),
        (lambda own: own.update(versions={"\x1b[2J": "\u202e"}), "other versions: {'\ufffd"),
        (lambda own: own.update(dataset="\x1b[2J"), "is not in this folder"),
    ],
)
def test_a_crafted_state_is_refused_and_reaches_no_terminal_raw(
    interrupted, capsys, monkeypatch, change, words
):
    rewrite(state_of(interrupted), lambda own, tensors: change(own))

    def trained(*_):
        raise RuntimeError("it trains")

    monkeypatch.setattr(train_vae, "_train", trained)
    assert go_on(interrupted) == 1
    said = capsys.readouterr().err
    assert re.search(words, said), said
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said), repr(said)


@pytest.mark.parametrize(
    "words, said",
    [
        (["--lr", "0"], "--lr must be a positive number"),
        (["--latent-dim", "0"], "--latent-dim must be between 1"),
        (["--hidden", "0"], "each value of --hidden must be"),
        (["--batch-size", "0"], "--batch-size must be a whole number"),
        (["--trunk", "x"], "--trunk must be one of"),
        (["--seed", str(2**70)], "--seed must be from 0"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["--iwae", "5", "--beta", "2"], "--iwae 5 takes no"),
    ],
)
def test_what_is_refused_is_named_as_it_was_asked_for(out, capsys, words, said):
    assert train(out, *words) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"vaewidgets train: {said}"), error
    assert not re.search(r"\b\w+_\w+\b|\w=", error), error


def test_the_help_states_the_default_of_each_keyword(capsys):
    defaults = {}
    for function in (train_vae.fit, vw.VAE, vw.judging.fit_classifier):
        for name, parameter in inspect.signature(function).parameters.items():
            defaults.setdefault(name, parameter.default)
    for option in train_options.OPTIONS:
        value = defaults[option.name]
        text = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text = "none" if text is None else f"{text:g}" if isinstance(text, float) else str(text)
        stated = re.search(r"\(default: ([^;)]*)(?:; of a classifier (.*))?\)$", option.help)
        assert stated[1] == text, option.name
        judge = {"hidden": vw.Classifier, "lr": vw.judging.fit_classifier}.get(option.name)
        assert (stated[2] is None) == (judge is None)
        if judge:
            value = inspect.signature(judge).parameters[option.name].default
            assert stated[2] == (" ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}")
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    said = capsys.readouterr().out
    assert "SOURCE" in said and "(default: 5)" in said and "(default: vae)" in said


def test_what_was_asked_for_cannot_be_changed_on_the_way():
    args = cli._parser().parse_args(["train", "digits", "--out", "m.safetensors", "--epochs", "3"])
    asked = train_options.TrainOptions.of(args)
    assert (asked["epochs"], asked["seed"], asked["lr"]) == (3, None, None)
    complete = asked.complete()
    assert (complete["epochs"], complete["seed"], complete["lr"], complete.model) == (3, 0, None, "vae")
    with pytest.raises(dataclasses.FrozenInstanceError):
        complete.seed = 1
    with pytest.raises(TypeError):
        complete.keywords["epochs"] = 4
