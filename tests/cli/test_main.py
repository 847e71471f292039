"""The command line: what it refuses, and what the doctor finds."""

import argparse
import json
import os
import sys

import pytest

import vaewidgets as vw
from vaewidgets.cli import app as cli
from vaewidgets.course import doctor
from vaewidgets.data.load import DATA_VARIABLE

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
    assert len(findings) == 9
    assert [(f.subject, "no such disk" in f.detail) for f in findings if f.status == "problem"] == [
        ("data", True)
    ]


@pytest.mark.parametrize("bad", ["7.0.0", "7.0.1", "6.1"])
def test_versions_that_are_too_old_or_excluded(bad):
    wanted = ["ipykernel>=6.29.5,!=7.0.*", "torch>=2.6; extra == 'test'"]
    status, _, detail, remedy = doctor.versions(wanted, lambda name: bad)
    assert status == "problem" and f"ipykernel {bad}" in detail and 'install "ipykernel' in remedy
    assert "torch" not in detail, "an extra is nobody's problem"


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
    @pytest.mark.parametrize(
        "check, code, detail, remedy",
        [
            (
                doctor.torch_pair,
                "raise SystemExit('RuntimeError: operator torchvision::nms does not exist')",
                "do not work together: RuntimeError: operator torchvision::nms does not exist",
                "one index",
            ),
            (
                doctor.kernel,
                "raise SystemExit(\"ModuleNotFoundError: No module named 'anywidget'\")",
                "No module named 'anywidget'",
                "PYTHON -m pip install",
            ),
            (
                lambda python: doctor.kernel(python, {"anywidget": "0.11.0", "ipywidgets": "8.1.9"}.get),
                'print(\'{"anywidget": "0.9.13", "ipywidgets": "7.8.1", "vaewidgets": "0.1.0"}\')',
                "ipywidgets 7.8.1 in the kernel, 8.1.9 beside JupyterLab",
                '"ipywidgets==8.1.9"',
            ),
        ],
        ids=["builds that do not match", "no anywidget", "another major version"],
    )
    def test_what_is_wrong_there_is_found(self, tmp_path, check, code, detail, remedy):
        python = fake_python(tmp_path, code)
        finding = check(python)
        assert finding.status == "problem" and finding.detail.endswith(detail)
        assert remedy.replace("PYTHON", python) in finding.remedy

    def test_a_kernel_that_is_gone(self, tmp_path):
        finding = doctor.kernel(str(tmp_path / "gone" / "python"))
        assert finding.status == "problem" and "No such file" in finding.detail


def test_missing_javascript(tmp_path):
    (tmp_path / "anywidget").mkdir()
    (tmp_path / "anywidget" / "package.json").write_text("{}")
    finding = doctor.labextensions([str(tmp_path)])
    assert finding.status == "problem"
    assert finding.detail == "has no JavaScript for ipywidgets" and "jupyterlab_widgets" in finding.remedy


def test_a_place_for_signatures_that_cannot_be_written(tmp_path, monkeypatch):
    for folder, hinder, named in (
        ("a", lambda data: data.write_text("a file"), "a"),
        ("b", lambda data: (data / "nbsignatures.db").mkdir(parents=True), "b/nbsignatures.db"),
        ("c", lambda data: (data / "notebook_secret").mkdir(parents=True), "c/notebook_secret"),
        ("d/deep", lambda data: data.parent.write_text("a file"), "d"),
    ):
        monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / folder))
        assert doctor.labextensions().status == "ok", "what is missing will be made"
        hinder(tmp_path / folder)
        finding = doctor.labextensions()
        assert finding.status == "problem" and f"cannot write {tmp_path / named}, " in finding.detail
        assert "JUPYTER_DATA_DIR" in finding.remedy


def test_data_is_information_not_a_problem(tmp_path, monkeypatch):
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
        ["train", "digits", "--out", "x", "--model", "gan"],
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


def options(parser, *names):
    """Every argument of a command and of the commands in it, with the words that lead to it."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from options(inner, *names, name)
        elif action.dest not in ("help", "version"):
            yield names, action


OPTIONS = list(options(cli._parser()))


@pytest.mark.parametrize("names, action", OPTIONS, ids=lambda it: getattr(it, "dest", None) or "-".join(it))
def test_help_says_of_every_argument_what_happens_without_it(names, action):
    text = (action.help or "") % {**vars(action), "prog": "vaewidgets"}
    if not action.option_strings:
        assert action.metavar.isupper() and text, "README writes what is to be filled in with capitals"
    elif action.nargs != 0 and not action.required:
        assert "(default: " in text
        said = text.split("(default: ")[1].rstrip(")").split(";")[0].replace(",", "")
        if isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
            assert said == "all" if action.dest == "images" else float(said) == action.default
        elif isinstance(action.default, str):
            assert said == action.default


@pytest.mark.parametrize(
    "theirs, ours",
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
)
def test_threads_do_not_spin_long_unless_the_user_wants_it(monkeypatch, capsys, theirs, ours):
    """Spinning ones starve each other on a processor that is shared; the kernels of ``lab`` inherit it."""
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        # Set first, so that what the command sets is taken back after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in theirs.items():
        monkeypatch.setenv(name, value)
    cli.main(["export", "onnx", "no-such-model", "nowhere.onnx"])
    assert os.environ.get("GOMP_SPINCOUNT") == ours
