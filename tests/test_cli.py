"""The command line: what it refuses, what a trained file says of itself, what the doctor finds."""

import functools
import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

import vaewidgets as vw
from vaewidgets import cli, doctor, metrics, recipes

QUICK = ["--epochs", "2", "--hidden", "32", "16", "--lr", "2e-3"]


def train(out, *more):
    return cli.main(["train", "digits", "--out", str(out), *QUICK, *more])


@pytest.fixture(autouse=True)
def threads():
    # --threads is for the whole process: other tests must not inherit it.
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


# --- train -------------------------------------------------------------------------------------------


def test_the_file_holds_what_was_measured_on_the_stored_weights(tmp_path, capsys):
    out = tmp_path / "m.safetensors"
    assert train(out, "--half") == 0
    model = vw.load(out)
    data = vw.load_data("digits")
    terms = metrics.held_out_elbo(model, data.test.images)
    figures = model.info["figures"]
    assert figures["split"] == "test" and figures["images"] == 360
    assert figures["loss"] == pytest.approx(-terms.total.double().mean().item(), abs=1e-3)
    assert figures["loss"] == pytest.approx(figures["kl"] - figures["reconstruction"], abs=2e-4)
    assert sum(figures["kl_per_dimension"]) == pytest.approx(figures["kl"], abs=2e-4)
    assert torch.equal(model.atlas.labels, data.test.labels)
    torch.testing.assert_close(
        model.atlas.mu, metrics.encode_all(model, data.test.images).mu, atol=2e-3, rtol=2e-3
    )
    assert f"{figures['loss']:.2f}" in capsys.readouterr().out


def test_the_recipe_names_every_option_and_the_command_repeats_it(tmp_path, monkeypatch):
    assert train(tmp_path / "first.safetensors", "--half", "--seed", "3", "--atlas", "none") == 0
    first = vw.load(tmp_path / "first.safetensors")
    recipe = first.info["recipe"]
    assert {option.name for option in recipes.OPTIONS} < recipe.keys()
    assert (recipe["hidden"], recipe["lr"], recipe["seed"], recipe["batch_size"]) == ([32, 16], 2e-3, 3, 128)
    assert first.info["versions"] == {"vaewidgets": vw.__version__, "torch": torch.__version__}
    assert not hasattr(first, "atlas")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    words = shlex.split(first.info["command"])
    assert words[:5] == ["vaewidgets", "train", "digits", "--out", "first.safetensors"]
    assert cli.main(words[1:]) == 0
    assert Path("first.safetensors").read_bytes() == (tmp_path / "first.safetensors").read_bytes()


def test_no_machine_path_reaches_the_file(tmp_path):
    root = tmp_path / "secret-data-root"
    assert train(tmp_path / "m.safetensors", "--data", str(root)) == 0
    raw = (tmp_path / "m.safetensors").read_bytes()
    assert b"secret-data-root" not in raw
    assert os.fsencode(tmp_path) not in raw


def test_holdout_trains_on_the_rest_and_reports_on_it(tmp_path, monkeypatch):
    seen = {}

    @functools.wraps(vw.fit)
    def fit(model, images, *, original=vw.fit, **keywords):
        seen["images"] = images
        return original(model, images, **keywords)

    monkeypatch.setattr(vw.training, "fit", fit)
    assert train(tmp_path / "m.safetensors", "--holdout", "137") == 0
    model = vw.load(tmp_path / "m.safetensors")
    train_split = vw.load_data("digits").train
    assert torch.equal(seen["images"], train_split.images[:-137])
    assert (model.info["figures"]["split"], model.info["figures"]["images"]) == ("train[-137:]", 137)
    assert torch.equal(model.atlas.labels, train_split.labels[-137:])


def test_an_existing_file_is_refused_before_training(tmp_path, monkeypatch, capsys):
    out = tmp_path / "m.safetensors"
    out.write_text("dear")
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "_drive", lambda steps: pytest.fail("trained"))
        assert train(out) == 1
        assert train(tmp_path) == 1
        assert train(tmp_path / "no" / "m.safetensors") == 1
    errors = capsys.readouterr().err.splitlines()
    assert "--overwrite" in errors[0] and "is a folder" in errors[1] and "there is no folder" in errors[2]
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
    ],
)
def test_what_cannot_be_trained_is_said_and_nothing_is_written(tmp_path, capsys, options, message):
    assert train(tmp_path / "m.safetensors", *options) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_loss_that_leaves_the_numbers_stops_the_training(tmp_path, capsys):
    assert train(tmp_path / "m.safetensors", "--lr", "1e30") == 1
    assert "Try a smaller --lr" in capsys.readouterr().err
    assert not (tmp_path / "m.safetensors").exists()


def test_ctrl_c_stores_what_is_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(vw.training, "fit", interrupted_after(5))
    assert train(tmp_path / "m.safetensors") == 130
    assert "Stopped at step 5 of 24" in capsys.readouterr().err
    model = vw.load(tmp_path / "m.safetensors")
    assert model.info["recipe"]["stopped"] == {"step": 5, "total_steps": 24}

    monkeypatch.setattr(vw.training, "fit", interrupted_after(0))
    assert train(tmp_path / "none.safetensors") == 1
    assert "before the first step" in capsys.readouterr().err
    assert not (tmp_path / "none.safetensors").exists()


def interrupted_after(count, fit=vw.fit):
    @functools.wraps(fit)
    def steps(*args, **keywords):
        for step, _ in zip(fit(*args, **keywords), range(count), strict=False):
            yield step
        raise KeyboardInterrupt

    return steps


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_real_signal_does_the_same(tmp_path):
    out = tmp_path / "m.safetensors"
    command = [sys.executable, "-m", "vaewidgets", "train", "digits", "--out", str(out), *QUICK]
    process = subprocess.Popen(
        [*command, "--epochs", "1000000"],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A shell that starts us in the background has told us to ignore SIGINT; a student's has not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        seen = b""
        while b"images/s" not in seen:
            seen += process.stderr.read1()
            assert process.poll() is None, seen
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, seen + rest
    assert vw.load(out).info["recipe"]["stopped"]["step"] >= 1


def test_numbers_are_read_only_when_they_are_shown(tmp_path, monkeypatch):
    reads = Counter()
    monkeypatch.setattr(vw.Step, "loss", property(lambda step: reads.update("1") or 1.0))
    clock = iter(range(10_000))
    monkeypatch.setattr(recipes.time, "monotonic", lambda: next(clock) / 100)
    assert train(tmp_path / "m.safetensors") == 0
    assert reads.total() == 2, "24 steps in a quarter of a second of this clock: the first and the last"


@pytest.mark.parametrize("option", recipes.OPTIONS, ids=lambda option: option.name)
def test_every_option_is_a_keyword_of_its_owner(option):
    owner = {"VAE": vw.VAE, "fit": vw.fit}[option.owner]
    assert option.name in inspect.signature(owner).parameters


def test_every_keyword_is_an_option():
    elsewhere = {"VAE": {"image_shape", "seed"}, "fit": {"model", "images", "seed"}}
    for owner in (vw.VAE, vw.fit):
        options = {option.name for option in recipes.OPTIONS if option.owner == owner.__name__}
        assert options == set(inspect.signature(owner).parameters) - elsewhere[owner.__name__]


# --- doctor ------------------------------------------------------------------------------------------


def test_this_environment_is_healthy(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_available_memory", lambda: 8e9)
    assert cli.main(["doctor"]) == 0
    report = capsys.readouterr().out
    assert "0 problems found" in report and "torch" in report and "anywidget" in report


def test_a_problem_sets_the_exit_status_and_says_what_to_do(capsys, monkeypatch):
    for name in ("torch_pair", "kernel"):
        monkeypatch.setattr(doctor, name, lambda: doctor.Finding("ok", "not looked at here", ""))
    monkeypatch.setattr(doctor, "_available_memory", lambda: 3e8)
    assert cli.main(["doctor", "--json"]) == 1
    findings = {finding["subject"]: finding for finding in json.loads(capsys.readouterr().out)}
    assert findings["memory"]["status"] == "problem" and "Shut down" in findings["memory"]["remedy"]


def test_the_doctor_finishes_when_a_check_breaks(monkeypatch):
    for name in ("torch_pair", "kernel"):
        monkeypatch.setattr(doctor, name, lambda: doctor.Finding("ok", "not looked at here", ""))

    def broken():
        raise OSError("no such disk")

    broken.__name__ = "data"
    monkeypatch.setattr(doctor, "data", broken)
    findings = doctor.examine()
    assert len(findings) == 8
    assert [(f.subject, "no such disk" in f.detail) for f in findings if f.status == "problem"] == [
        ("data", True)
    ]


@pytest.mark.parametrize("bad", ["7.0.0", "7.0.1", "6.1"])
def test_versions_that_are_too_old_or_excluded(bad):
    finding = doctor.versions(["ipykernel>=6.29.5,!=7.0.*", "torch>=2.6; extra == 'test'"], lambda name: bad)
    assert finding.status == "problem"
    assert f"ipykernel {bad}" in finding.detail and 'install "ipykernel' in finding.remedy
    assert "torch" not in finding.detail, "an extra is nobody's problem"


def test_a_local_build_of_torch_satisfies_its_floor():
    assert doctor.versions(["torch>=2.6"], lambda name: "2.15.0+cpu").status == "ok"


def fake_python(tmp_path, code):
    """An interpreter that runs `code` whatever it is asked."""
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable} -S\n{code}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name != "posix", reason="needs scripts as programs")
class TestOtherPythons:
    def test_builds_that_do_not_match(self, tmp_path):
        python = fake_python(
            tmp_path, "raise SystemExit('RuntimeError: operator torchvision::nms does not exist')"
        )
        finding = doctor.torch_pair(python)
        assert finding.status == "problem"
        assert "nms does not exist" in finding.detail and "one index" in finding.remedy

    def test_a_kernel_without_anywidget(self, tmp_path):
        python = fake_python(
            tmp_path, "raise SystemExit(\"ModuleNotFoundError: No module named 'anywidget'\")"
        )
        finding = doctor.kernel(python)
        assert finding.status == "problem"
        assert (
            "No module named 'anywidget'" in finding.detail and f"{python} -m pip install" in finding.remedy
        )

    def test_a_kernel_of_another_major_version(self, tmp_path):
        versions = {"anywidget": "0.9.13", "ipywidgets": "7.8.1", "vaewidgets": "0.1.0"}
        python = fake_python(tmp_path, f"print({json.dumps(versions)!r})")
        finding = doctor.kernel(python, {"anywidget": "0.11.0", "ipywidgets": "8.1.9"}.get)
        assert finding.status == "problem"
        assert finding.detail == "ipywidgets 7.8.1 in the kernel, 8.1.9 beside JupyterLab"
        assert '"ipywidgets==8.1.9"' in finding.remedy

    def test_a_kernel_that_is_gone(self, tmp_path):
        finding = doctor.kernel(str(tmp_path / "gone" / "python"))
        assert finding.status == "problem" and "No such file" in finding.detail


def test_missing_javascript(tmp_path):
    (tmp_path / "anywidget").mkdir()
    (tmp_path / "anywidget" / "package.json").write_text("{}")
    finding = doctor.labextensions([str(tmp_path)])
    assert finding.status == "problem"
    assert finding.detail == "has no JavaScript for ipywidgets" and "jupyterlab_widgets" in finding.remedy


def test_data_is_information_not_a_problem(tmp_path, monkeypatch):
    from vaewidgets.data import DATA_VARIABLE

    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert (doctor.data().status, "no MNIST" in doctor.data().detail) == ("info", True)
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    assert doctor.data().detail == f"MNIST in {tmp_path}"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.chromium().status == "info"


# --- the words themselves ----------------------------------------------------------------------------


def test_words_that_make_no_sense(capsys):
    for argv in (
        [],
        ["trian"],
        ["train", "digits"],
        ["train", "letters", "--out", "x"],
        ["lab", "--port", "0"],
    ):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 2
    with pytest.raises(SystemExit):
        cli.main(["copy", "x", "--", "--ip=0.0.0.0"])
    assert "copy takes nothing after --" in capsys.readouterr().err


def test_help_and_version(capsys):
    for argv in (["--help"], ["train", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert vw.__version__ in out and "--weight-decay" in out
