"""``vaewidgets evaluate``: its numbers against closed forms and the file's own, and what it refuses."""

import json
import math

import numpy as np
import pytest
import torch
from oracles import NOISE, generator, linear_data, solve_linear_vae

import vaewidgets as vw
from vaewidgets.cli import app as cli
from vaewidgets.data import load
from vaewidgets.evaluation import metrics
from vaewidgets.models import objectives


@pytest.fixture
def evaluate(capsys):
    """Run the command for JSON; its report."""

    def run(model, *options):
        status = cli.main(["evaluate", str(model), *map(str, options), "--json", "--device", "cpu"])
        out, err = capsys.readouterr()
        assert status == 0, err
        return json.loads(out)

    return run


@pytest.fixture
def refusal(capsys):
    """Run the command where it must fail; what it says."""

    def run(model, *options):
        assert cli.main(["evaluate", str(model), "--device", "cpu", *map(str, options)]) == 1
        out, err = capsys.readouterr()
        assert out == ""
        return err

    return run


def stored(path, model, **info):
    vw.save(model, path, **info)
    return path


# --- its numbers -------------------------------------------------------------------------------------


def test_a_shipped_model_has_the_figures_that_its_file_states(evaluate):
    report = evaluate("digits-vae-2d", "--iwae", 5)
    greys, binary = report["measured"]
    figures = vw.pretrained("digits-vae-2d").info["figures"]
    assert greys["loss"] == pytest.approx(figures["loss"], abs=0.01)
    assert report["loss_in_file"] == figures["loss"]
    assert greys["reconstruction"]["mean"] == pytest.approx(figures["reconstruction"], abs=0.01)
    assert greys["kl"]["mean"] == pytest.approx(figures["kl"], abs=0.01)
    found = {item["dimension"]: item["kl"] for item in greys["kl_per_dimension"]}
    assert [found[1], found[2]] == pytest.approx(figures["kl_per_dimension"], abs=0.01)
    assert (report["dataset"], report["split"], report["images"]) == ("digits", "test", 360)
    assert [m["on"] for m in report["measured"]] == ["greys", "binarised once"]
    assert greys["iwae"] is None and binary["iwae"]["k"] == 5
    assert binary["iwae"]["mean"] > binary["elbo"]["mean"]


def test_one_and_the_same_zeros_and_ones_are_encoded_and_scored(evaluate, digits):
    model, x = vw.pretrained("digits-vae-2d"), digits.test.images
    _, found = evaluate("digits-vae-2d", "--iwae", 7, "--seed", 3)["measured"]
    b = objectives.binarize(x, generator(3))
    seed = found["noise_seed"]
    assert seed != 3, "the noise of z would repeat that of the pixels"
    terms = metrics.held_out_elbo(model, b, seed=seed)
    bounds = metrics.held_out_iwae(model, b, 7, seed=seed)
    assert found["elbo"]["mean"] == pytest.approx(terms.total.mean().item(), abs=1e-3)
    assert found["iwae"]["mean"] == pytest.approx(bounds.mean().item(), abs=1e-3)
    assert found["iwae"]["standard_error"] == pytest.approx(bounds.std().item() / math.sqrt(360), rel=1e-4)
    assert found["knn_agreement"]["share"] == metrics.knn_agreement(
        metrics.encode_all(model, b).mu, digits.test.labels
    )
    assert found["active_units"]["count"] == 2


def test_the_linear_model_gives_the_evidence(tmp_path, evaluate):
    """Probabilistic PCA on data moved into [0, 1]: q is exact, so IWAE of any k is log p, for every image."""
    x, basis, mean = linear_data(dtype=torch.float64)
    model = vw.VAE(3, (1, 2, 3), trunk="linear", likelihood="gaussian", sigma=0.5).double()
    solve_linear_vae(model, basis, mean)
    scale, shift = 0.02, 0.5
    with torch.no_grad():
        model.decoder[0].weight.mul_(scale)
        model.decoder[0].bias.mul_(scale).add_(shift)
        model.mu.weight.div_(scale)
        model.mu.bias.copy_(-model.mu.weight @ model.decoder[0].bias)
        model.likelihood.log_sigma.fill_(math.log(0.5 * scale))
    np.savez(tmp_path / "x.npz", images=(x * scale + shift).float().numpy())
    path = stored(tmp_path / "m.safetensors", model.float())

    (found,) = evaluate(path, "--dataset", tmp_path / "x.npz", "--iwae", 4)["measured"]
    held_out = (vw.load_data(tmp_path / "x.npz").test.images.flatten(1).double() - shift) / scale
    w = model.decoder[0].weight.double().detach() / scale
    exact = torch.distributions.MultivariateNormal(mean, w @ w.T + NOISE * torch.eye(6))
    evidence = exact.log_prob(held_out) - 6 * math.log(scale)
    spread = evidence.std().item() / math.sqrt(len(evidence))
    assert found["on"] == "images"
    assert found["iwae"]["mean"] == pytest.approx(evidence.mean().item(), abs=1e-3)
    assert found["iwae"]["standard_error"] == pytest.approx(spread, rel=1e-3)
    # One sample of z: exact only on average, with the sampled minus the exact KL as its error.
    assert found["elbo"]["mean"] == pytest.approx(
        evidence.mean().item(), abs=4 * math.sqrt(3 / len(evidence))
    )
    assert [item["dimension"] for item in found["kl_per_dimension"]] == [1, 2, 3]
    bits = [item["kl"] / math.log(2) for item in found["kl_per_dimension"]]
    assert bits == pytest.approx([2.585, 2, 1], abs=0.2), "of a fifth of the data"
    assert (found["active_units"]["count"], found["active_units"]["of"]) == (3, 3)
    assert found["knn_agreement"] is None, "there are no labels"


def test_the_same_seed_gives_the_same_numbers(evaluate):
    one, same, other = (evaluate("digits-vae-2d", "--iwae", 3, "--seed", seed) for seed in (1, 1, 2))
    assert one == same
    for a, b in zip(one["measured"], other["measured"], strict=True):
        assert a["elbo"]["mean"] != b["elbo"]["mean"]
    assert one["loss_in_file"] is None, "the file's figure is that of another seed"


def test_an_autoencoder_bounds_nothing(evaluate, capsys):
    report = evaluate("digits-ae-2d")
    for found in report["measured"]:
        assert {name for name, value in found.items() if value is None} == {
            "kl", "elbo", "iwae", "kl_per_dimension", "active_units"
        }  # fmt: skip
        assert found["loss"] == -found["reconstruction"]["mean"]
    assert report["measured"][0]["loss"] == pytest.approx(report["loss_in_file"], abs=0.01)
    assert 0.8 < report["measured"][0]["knn_agreement"]["share"] < 1
    assert cli.main(["evaluate", "digits-ae-2d"]) == 0
    assert "an autoencoder has none" in capsys.readouterr().out


# --- what it measures on -----------------------------------------------------------------------------


def test_the_held_out_images_are_those_that_the_file_names(tmp_path, evaluate, trained, digits):
    figures = {"split": "train[-137:]", "images": 137, "seed": 0, "loss": 12.0}
    path = stored(tmp_path / "m.safetensors", trained, dataset="digits", figures=figures)
    report = evaluate(path, "--iwae", 1)
    x = digits.train.images[-137:]
    assert (report["split"], report["images"], report["loss_in_file"]) == ("train[-137:]", 137, 12.0)
    loss = -metrics.held_out_elbo(trained, x).total.mean().item()
    assert report["measured"][0]["loss"] == pytest.approx(loss, abs=1e-3)
    report = evaluate(path, "--iwae", 1, "--dataset", "digits")
    assert (report["split"], report["images"], report["loss_in_file"]) == ("test", 360, None)


def test_the_figure_in_the_file_is_not_that_of_as_many_other_images(tmp_path, evaluate):
    np.savez(tmp_path / "x.npz", images=np.full((1800, 8, 8), 100, np.uint8))
    report = evaluate("digits-vae-2d", "--dataset", tmp_path / "x.npz", "--binarize", "no")
    assert report["images"] == 360 and report["loss_in_file"] is None


def test_only_so_many_images(evaluate, digits):
    report = evaluate("digits-vae-2d", "--images", 20, "--iwae", 2)
    total = metrics.held_out_elbo(vw.pretrained("digits-vae-2d"), digits.test.images[:20]).total
    assert report["images"] == 20 and report["loss_in_file"] is None
    assert report["measured"][0]["elbo"]["mean"] == pytest.approx(total.mean().item(), abs=1e-4)
    (found, _) = evaluate("digits-vae-2d", "--images", 1, "--iwae", 2)["measured"]
    assert found["elbo"]["standard_error"] is None, "one image has no spread"
    assert found["active_units"] is None and found["knn_agreement"] is None


def test_zeros_and_ones_are_taken_as_they_are(tmp_path, evaluate, trained, digits):
    b = objectives.binarize(digits.test.images, generator())
    np.savez(tmp_path / "b.npz", images=b.numpy(), labels=digits.test.labels.numpy())
    path = stored(tmp_path / "m.safetensors", trained)
    (found,) = evaluate(path, "--dataset", tmp_path / "b.npz", "--iwae", 3)["measured"]
    assert found["on"] == "zeros and ones"
    x = vw.load_data(tmp_path / "b.npz").test.images
    assert found["iwae"]["mean"] == pytest.approx(
        metrics.held_out_iwae(trained, x, 3).mean().item(), abs=1e-3
    )


def test_binarize_no_leaves_the_greys_alone(evaluate):
    (found,) = evaluate("digits-vae-2d", "--binarize", "no")["measured"]
    assert found["on"] == "greys" and found["iwae"] is None


# --- the table ---------------------------------------------------------------------------------------


def test_the_table_shows_the_numbers_of_the_json_and_fits_a_terminal(evaluate, capsys):
    report = evaluate("digits-vae-2d", "--iwae", 4)
    assert cli.main(["evaluate", "digits-vae-2d", "--iwae", "4", "--device", "cpu"]) == 0
    table = capsys.readouterr().out
    lines = table.splitlines()
    assert max(map(len, lines)) < 80
    rows = {"reconstruction": "reconstruction", "KL  ": "kl", "ELBO": "elbo", "IWAE, k = 4": "iwae"}
    for label, key in rows.items():
        (line,) = [line for line in lines if line.startswith(label)]
        shown = [
            m[key] and f"{m[key]['mean']:.2f} +- {m[key]['standard_error']:.2f}" for m in report["measured"]
        ]
        assert all((cell or " - ") in line for cell in shown), line
    assert f"in the file {report['loss_in_file']:.2f}" in table and "2 of 2" in table
    assert all(f"{m['knn_agreement']['share']:.1%}" in table for m in report["measured"])
    dimensions = report["measured"][0]["kl_per_dimension"]
    assert "  ".join(f"z{item['dimension']} {item['kl']:.2f}" for item in dimensions) in table
    assert [item["kl"] for item in dimensions] == sorted((item["kl"] for item in dimensions), reverse=True)
    assert "seed 0" in table and "zeros and ones" in table


def test_fifty_dimensions_fit_too(tmp_path, capsys):
    model = vw.VAE(50, (1, 8, 8), hidden=(8,), seed=0)
    path = stored(tmp_path / "a-model-with-a-name.safetensors", model, dataset="digits")
    assert cli.main(["evaluate", str(path), "--iwae", "2", "--images", "30"]) == 0
    table = capsys.readouterr().out
    assert max(map(len, table.splitlines())) < 80
    assert all(f"z{j} 0." in table for j in range(1, 51)), "a name is parted from its number"


# --- what it refuses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("digits-vae-2d --iwae 0", "--iwae must be at least 1; got 0"),
        ("digits-vae-2d --images 0", "--images must be at least 1; got 0"),
        ("digits-vae-2d --images 361", "--images 361 is more than the 360 held-out images of digits"),
        ("digits-vae-2d --threads 0", "--threads must be at least 1"),
        ("digits-vae-2d --seed -1", "--seed must be from 0"),
        ("digits-vae-2d --dataset letters", "Unknown dataset 'letters'"),
        ("digits-vae-2d --device abacus", "device must be one of auto, cpu"),
        ("digits-ae-2d --iwae 5", "it bounds nothing; leave --iwae out"),
        ("digits-vae-2", "Did you mean 'digits-vae-2d'?"),
        ("nowhere/no-such.safetensors", "no-such.safetensors"),
    ],
)
def test_what_cannot_be_measured_is_said(refusal, words, message):
    assert message in refusal(*words.split())


def test_images_of_another_size(refusal, tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((10, 28, 28), np.uint8))
    said = refusal("digits-vae-2d", "--dataset", tmp_path / "x.npz")
    assert "has images of 1x28x28, but digits-vae-2d takes 1x8x8" in said


def test_a_dataset_that_is_not_on_this_machine_is_not_fetched(refusal, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "_download", lambda *_: pytest.fail("downloads"))
    monkeypatch.setenv(load.DATA_VARIABLE, str(tmp_path))
    said = refusal("mnist-vae-2d")
    assert f"mnist is not in {tmp_path}" in said and "root= is --data" in said
    assert "load_data('mnist')\" downloads once" in said


def test_a_file_that_does_not_say_what_it_was_trained_on(refusal, tmp_path, trained):
    (tmp_path / "photos").mkdir()
    for name in (None, 3, str(tmp_path / "photos")):
        path = stored(tmp_path / "m.safetensors", trained, dataset=name)
        assert "Say what to measure on: --dataset digits" in refusal(path), "follows a path in a file"
    for split in ("validation", "train[-1438:]", "train[-0:]", 7):
        path = stored(tmp_path / "m.safetensors", trained, dataset="digits", figures={"split": split})
        assert f"{split!r}, which digits does not have" in refusal(path)


def test_a_model_whose_weights_left_the_numbers(refusal, tmp_path):
    model = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0)
    model.decoder[-2].weight.data.fill_(math.nan)
    path = stored(tmp_path / "m.safetensors", model, dataset="digits")
    assert "the reconstruction of 360 of 360 images (greys) is not a finite number" in refusal(path)


def test_ctrl_c_ends_with_130_and_prints_no_half_of_a_table(capsys, monkeypatch):
    def interrupted(*args, **keywords):
        raise KeyboardInterrupt

    monkeypatch.setattr(metrics, "held_out_iwae", interrupted)
    assert cli.main(["evaluate", "digits-vae-2d"]) == 130
    out, err = capsys.readouterr()
    assert out == "" and "stopped" in err


# --- several models and a judge ----------------------------------------------------------------------


@pytest.fixture
def judge(tmp_path):
    """A judge of digits that nobody trained."""
    model = vw.Classifier((1, 8, 8), hidden=(4,), seed=0)
    return stored(tmp_path / "judge.safetensors", model, dataset="digits")


PAIR = ("digits-ae-2d", "digits-vae-2d", "--images", "40", "--draws", "100")


def test_the_scoreboard_is_that_of_the_package(evaluate, judge, digits, capsys, monkeypatch):
    report = evaluate(*PAIR, "--judge", judge)
    models = {name: vw.pretrained(name) for name in ("digits-ae-2d", "digits-vae-2d")}
    x, labels = digits.test.images[:40], digits.test.labels[:40]
    board = vw.scoreboard.measure(models, vw.load(judge), x, labels, draws=100)
    assert report["rows"] == json.loads(json.dumps(board.as_dict()["rows"]))
    assert (report["dataset"], report["note"]) == ("digits", "40 test images of digits")
    assert report["models"][0]["at_training"]["loss"] == models["digits-ae-2d"].info["figures"]["loss"]

    monkeypatch.setattr(vw.scoreboard, "measure", lambda *args, **keywords: board)
    assert cli.main(["evaluate", *PAIR, "--judge", str(judge)]) == 0
    table = capsys.readouterr().out
    assert table.endswith(board.as_table() + "\n") and max(map(len, table.splitlines())) < 100
    assert "measured at training" in table and "N(0, I)" in table


def test_files_that_differ_by_their_seed_share_a_row(tmp_path, evaluate, judge, digits):
    test = digits.test
    files = [tmp_path / f"ae-{seed}.safetensors" for seed in range(3)]
    for seed, path in enumerate(files):
        model = vw.Autoencoder(2, (1, 8, 8), hidden=(8 if seed < 2 else 9,), seed=seed)
        stored(
            path,
            model,
            dataset="digits",
            recipe={"hidden": [8], "seed": seed, "threads": seed + 1, "device": "cpu"},
            atlas=vw.checkpoints.EncodedDataset(model.encode(test.images).detach(), None, test.labels),
        )
    report = evaluate(*files, "--judge", judge, "--draws", 100, "--images", 60)
    rows = [r for r in report["rows"] if r["sampler"] == "mixture"]
    assert [(r["model"], len(r["seeds"])) for r in rows] == [("ae-0", 2), ("ae-2", 1)]


def test_without_the_images_it_says_what_is_left_out(tmp_path, evaluate, monkeypatch, capsys):
    monkeypatch.setenv(load.DATA_VARIABLE, str(tmp_path))
    monkeypatch.setattr(load, "_download", lambda *_: pytest.fail("downloads"))
    path = stored(
        tmp_path / "m.safetensors",
        vw.Autoencoder(2, (1, 8, 8), hidden=(8,), seed=0),
        dataset="mnist",
        figures={"loss": 12.5},
        atlas=vw.checkpoints.EncodedDataset(torch.randn(100, 2, generator=generator()), None, None),
    )
    judge = stored(tmp_path / "j.safetensors", vw.Classifier((1, 8, 8), hidden=(4,)), dataset="mnist")
    options = [str(path), "--judge", str(judge), "--draws", "100"]
    report = evaluate(*options)
    assert report["images"] is None and report["models"][0]["reconstruction_error"] is None
    assert report["models"][0]["at_training"] == {"loss": 12.5}
    assert f"mnist is not in {tmp_path}" in report["note"]
    assert cli.main(["evaluate", *options]) == 0
    table = capsys.readouterr().out
    assert "No images at hand" in table and "measured at training" in table and "12.5" in table


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("MNIST", "2 models are compared by a judge: name one with --judge NAME"),
        ("--draws 100", "--draws counts what a judge is shown"),
        (
            "--judge digits-ae-2d",
            "--judge takes a Classifier; digits-ae-2d holds a model of kind Autoencoder",
        ),
        ("--judge JUDGE --draws 99", "draws must be at least 100"),
        ("--judge JUDGE --draws 0", "--draws must be at least 1; got 0"),
        ("--judge JUDGE --images 361", "--images 361 is more than the 360 held-out images of digits"),
        ("--judge JUDGE --seed -1", "--seed must be from 0"),
        ("--judge JUDGE --iwae 5", "for one model without --judge"),
        ("--judge JUDGE --binarize no", "for one model without --judge"),
        ("--judge JUDGE --device cuda", "leave --device cuda out"),
        ("digits-vae-2d --judge JUDGE", "two models are called digits-vae-2d"),
        ("JUDGE --judge JUDGE", "it can be the --judge, but not a MODEL"),
        ("MNIST --judge JUDGE", "were trained on digits, mnist; say what"),
        ("MNIST --judge JUDGE --dataset digits", "makes images of 1x28x28"),
    ],
)
def test_what_cannot_be_compared(capsys, tmp_path, judge, words, message):
    other = stored(tmp_path / "m.safetensors", vw.VAE(2, (1, 28, 28), hidden=(2,)), dataset="mnist")
    words = words.replace("JUDGE", str(judge)).replace("MNIST", str(other)).split()
    assert cli.main(["evaluate", "digits-vae-2d", *words]) == 1
    out, err = capsys.readouterr()
    assert message in err and out == ""
