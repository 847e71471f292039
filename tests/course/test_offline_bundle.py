"""The folder for laptops without network: pip is asked as for them, and what came is whole.

pip runs for real, on an index of tiny wheels on this disk: nothing is fetched.
"""

import base64
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from vaewidgets.cli import app as cli
from vaewidgets.course import offline_bundle

WINDOWS, LINUX, MACOS = (offline_bundle.PLATFORMS[name] for name in ("windows", "linux", "macos"))

#: What a requirement of the package below is "only if": as jupyter-server's, torch's and ipykernel's are.
NEEDS = [
    "torch>=2.6",
    "pywinpty; os_name == 'nt'",
    "ptyprocess; os_name != 'nt'",
    "appnope; platform_system == 'Darwin'",
    "backport; python_version < '3.12'",
    "kit[gpu]",
]


def make_wheel(folder, name, version, tag="py3-none-any", needs=(), files=()):
    """Write a wheel with nothing in it but what is said; return its path."""
    info = f"{name}-{version}.dist-info"
    extras = sorted({found for need in needs for found in re.findall(r"extra == '(\w+)'", need)})
    lines = [f"Name: {name}", f"Version: {version}", *(f"Provides-Extra: {extra}" for extra in extras)]
    lines += [f"Requires-Dist: {need}" for need in needs]
    contents = {
        f"{name}/__init__.py": f"# {version}",
        **dict(files),
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *lines, ""]),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = [f"{file},sha256={digest(text)},{len(text)}" for file, text in contents.items()]
    contents[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in contents.items():
            archive.writestr(zipfile.ZipInfo(file), text)
    return path


def digest(text):
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def make_index(root):
    """Turn ``root/NAME/*.whl`` into what ``--index-url`` reads; return its address."""
    for folder in root.iterdir():
        links = "".join(f'<a href="{path.name}">{path.name}</a>\n' for path in sorted(folder.glob("*.whl")))
        (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return root.as_uri()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """All that the package below needs, for three platforms and two Pythons, in place of the real index."""
    root = tmp_path / "index"
    for python in ("cp311", "cp312"):
        for tag in ("win_amd64", "manylinux_2_28_x86_64", "macosx_14_0_arm64"):
            make_wheel(
                root / "torch", "torch", "2.9", f"{python}-{python}-{tag}",
                ["nccl; platform_system == 'Linux'"],
            )  # fmt: skip
    make_wheel(root / "nccl", "nccl", "1.0", "py3-none-manylinux2014_x86_64")
    make_wheel(root / "pywinpty", "pywinpty", "3.0", "cp312-cp312-win_amd64")
    make_wheel(root / "kit", "kit", "1.0", needs=["driver; extra == 'gpu'"])
    for name in ("ptyprocess", "appnope", "backport", "driver"):
        make_wheel(root / name, name, "1.0")
    for name in list(os.environ):
        if name.startswith("PIP_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", make_index(root))
    monkeypatch.setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    return root


@pytest.fixture
def own(tmp_path):
    return make_wheel(tmp_path / "own", "vaewidgets", "0.1", needs=NEEDS)


def names(folder):
    return {path.name.split("-")[0] for path in folder.glob("*.whl")}


# --- what pip is asked -------------------------------------------------------------------------------


def test_every_platform_gets_what_it_needs_and_nothing_else(tmp_path, index, own):
    everywhere = {"vaewidgets", "torch", "kit", "driver"}
    for target, python, others in (
        (WINDOWS, "3.12", {"pywinpty"}),
        (LINUX, "3.12", {"ptyprocess", "nccl"}),
        (MACOS, "3.11", {"ptyprocess", "appnope", "backport"}),
    ):
        folder = tmp_path / "out" / target.markers["sys_platform"]
        offline_bundle.fill(folder, own, target, [python])
        assert names(folder) == everywhere | others, target.title
        (torch,) = folder.glob("torch-*")
        assert (
            f"-cp{python.replace('.', '')}-" in torch.name and torch.name[:-4].split("-")[-1] in target.tags
        )


def test_a_room_with_two_pythons_has_both_and_is_told_so(tmp_path, index, own):
    offline_bundle.fill(tmp_path / "out", own, MACOS, ["3.11", "3.12"])
    assert len(list((tmp_path / "out").glob("torch-*"))) == 2 and "backport" in names(tmp_path / "out")
    text = (tmp_path / "out" / "README.txt").read_text()
    assert "for macOS 14 or newer (Apple silicon) and Python 3.11 or 3.12." in text
    assert "python3.12 -m venv env" in text


def test_what_is_there_is_kept_though_there_is_newer(tmp_path, index, own):
    folder = tmp_path / "out"
    offline_bundle.fill(folder, own, WINDOWS, ["3.12"])
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.whl")}
    make_wheel(index / "torch", "torch", "3.0", "cp312-cp312-win_amd64")
    make_wheel(index / "kit", "kit", "2.0")
    make_index(index)
    offline_bundle.fill(folder, own, WINDOWS, ["3.12"])
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.whl")} == before
    offline_bundle.fill(tmp_path / "new", own, WINDOWS, ["3.12"])
    assert (tmp_path / "new" / "torch-3.0-cp312-cp312-win_amd64.whl").is_file()


def test_the_cpu_build_may_come_from_another_index(tmp_path, index, own):
    other = tmp_path / "cpu"
    make_wheel(other / "torch", "torch", "2.8+cpu", "cp312-cp312-manylinux_2_28_x86_64")
    make_wheel(other / "torchvision", "torchvision", "0.23+cpu", "cp312-cp312-manylinux_2_28_x86_64")
    folder = tmp_path / "out"
    for address in (make_index(other), None):  # without the option it goes on with what is there
        offline_bundle.fill(folder, own, LINUX, ["3.12"], torch_index_url=address)
        assert {path.name.split("-")[1] for path in folder.glob("torch-*")} == {"2.8+cpu"}
        assert "nccl" not in names(folder), "the CPU build does not ask for it"


def test_a_failure_of_pip_is_said_and_its_reason_stands_above(tmp_path, index, own, capfd):
    (index / "torch" / "torch-2.9-cp312-cp312-win_amd64.whl").unlink()
    make_index(index)
    with pytest.raises(RuntimeError, match=r"pip download failed for .*out; its reason stands above"):
        offline_bundle.fill(tmp_path / "out", own, WINDOWS, ["3.12"])
    assert "No matching distribution found for torch>=2.6" in capfd.readouterr().err
    assert not (tmp_path / "out" / "README.txt").exists()


def test_a_pip_that_chooses_for_this_machine_is_found_out(tmp_path, index, own, monkeypatch):
    here = "appnope" if sys.platform == "darwin" else "pywinpty" if os.name == "nt" else "ptyprocess"
    target = WINDOWS if os.name != "nt" else MACOS
    plain = "import runpy, sys; sys.argv.pop(1); runpy.run_module('pip', run_name='__main__', alter_sys=True)"
    monkeypatch.setattr(offline_bundle, "PIP_ELSEWHERE", plain)
    make_wheel(index / "nccl", "nccl", "1.0")  # else pip looks in vain for Linux's, and stops
    make_index(index)
    with pytest.raises(RuntimeError, match=r"is not whole for Python 3.12, it lacks .*: this pip cannot"):
        offline_bundle.fill(tmp_path / "out", own, target, ["3.12"])
    assert here in names(tmp_path / "out")


def test_the_own_wheel_is_never_replaced_by_another(tmp_path, index, own):
    folder = tmp_path / "out"
    offline_bundle.fill(folder, own, WINDOWS, ["3.12"])
    before = (folder / own.name).read_bytes()
    changed = make_wheel(tmp_path / "b", "vaewidgets", "0.1", needs=NEEDS, files=[("vaewidgets/x.py", "x")])
    with pytest.raises(ValueError, match=r"too, with other contents\. Delete it, or name a new folder"):
        offline_bundle.fill(folder, changed, WINDOWS, ["3.12"])
    assert (folder / own.name).read_bytes() == before
    (tmp_path / "file").write_text("dear")
    with pytest.raises(ValueError, match="file is a file; expected a folder"):
        offline_bundle.fill(tmp_path / "file", own, WINDOWS, ["3.12"])


def test_what_is_missing_is_named(tmp_path, own):
    there = {**LINUX.markers, "python_version": "3.11", "python_full_version": "3.11.0"}
    folder = own.parent
    assert offline_bundle.missing(folder, own, there) == sorted(
        ["torch>=2.6", 'ptyprocess; os_name != "nt"', 'backport; python_version < "3.12"', "kit[gpu]"]
    )
    make_wheel(folder, "kit", "1.0", needs=["driver>=2; extra == 'gpu'", "paint; extra == 'other'"])
    make_wheel(folder, "driver", "1.0")
    make_wheel(folder, "torch", "2.5")
    lacking = offline_bundle.missing(folder, own, there)
    assert 'driver>=2; extra == "gpu"' in lacking, "too old, and only its extra wants it"
    assert "torch>=2.6" in lacking and not any("paint" in text or "kit" in text for text in lacking)


# --- the commands for students -----------------------------------------------------------------------


@pytest.mark.skipif(platform.system() != "Linux" or platform.machine() != "x86_64", reason="of Linux")
def test_pip_installs_from_the_folder_as_its_readme_says(tmp_path, index, own, monkeypatch):
    python = "{}.{}".format(*sys.version_info)
    make_wheel(
        index / "torch", "torch", "2.9",
        "cp{0}{1}-cp{0}{1}-manylinux_2_28_x86_64".format(*sys.version_info),
    )  # fmt: skip
    make_index(index)
    folder = tmp_path / "out"
    offline_bundle.fill(folder, own, LINUX, [python])
    (line,) = re.findall(r"env/bin/(pip install .*)", (folder / "README.txt").read_text())
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    # --target: an environment of its own would take seconds.
    command = [sys.executable, "-m", *line.split(), "--target", str(tmp_path / "env")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"vaewidgets", "torch", "driver", "ptyprocess"} <= set(os.listdir(tmp_path / "env"))


def test_windows_is_told_in_its_own_way(tmp_path):
    make_wheel(tmp_path, "torch", "2.9", "cp313-cp313-win_amd64")
    make_wheel(tmp_path, "torch", "2.9", "cp39-cp39-win_amd64")
    text = offline_bundle.instructions(tmp_path, WINDOWS)
    assert "for Windows (64 bit) and Python 3.9 or 3.13." in text
    assert (
        "\n    py -3.13 -m venv env\n    env\\Scripts\\pip install --no-index --find-links . vaewidgets\n"
        in text
    )
    assert "\n    env\\Scripts\\vaewidgets lab\n" in text and "env/bin" not in text


# --- the wheel of the package itself -----------------------------------------------------------------


def test_a_checkout_builds_its_wheel_and_an_installation_packs_it_again(tmp_path, monkeypatch):
    asked = []

    def build(arguments, *_):
        asked.extend(arguments)
        make_wheel(tmp_path, "vaewidgets", "0.1")

    monkeypatch.setattr(offline_bundle, "_pip", build)
    assert offline_bundle.own_wheel(tmp_path).name == "vaewidgets-0.1-py3-none-any.whl"
    assert asked[:2] == ["wheel", "--no-deps"] and str(Path(offline_bundle.__file__).parents[2]) in asked
    monkeypatch.setattr(offline_bundle, "shipped_notebooks", lambda: (tmp_path, False))
    monkeypatch.setattr(offline_bundle, "repack", lambda distribution, folder: (distribution.name, folder))
    assert offline_bundle.own_wheel(tmp_path) == ("vaewidgets", tmp_path)


def test_a_wheel_is_packed_again_from_what_is_installed(tmp_path):
    files = [
        ("vaewidgets/notebooks/00 é.ipynb", "{}"),
        ("vaewidgets-0.1.dist-info/entry_points.txt", "[x]\n"),
    ]
    first = make_wheel(tmp_path / "a", "vaewidgets", "0.1", needs=NEEDS, files=files)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, str(site), str(first)], check=True)
    (installed,) = metadata.distributions(path=[str(site)])
    (tmp_path / "b").mkdir()
    second = offline_bundle.repack(installed, tmp_path / "b")
    assert second.name == first.name
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(second) as two:
        assert sorted(one.namelist()) == sorted(two.namelist()), "no .pyc, no INSTALLER"
        assert all(one.read(name) == two.read(name) for name in one.namelist() if "RECORD" not in name)
    again = offline_bundle.repack(installed, tmp_path)
    assert again.read_bytes() == second.read_bytes(), "the same files make the same wheel"
    subprocess.run([*pip, str(tmp_path / "site2"), str(second)], check=True)
    assert (tmp_path / "site2" / "vaewidgets" / "notebooks" / "00 é.ipynb").read_text() == "{}"

    module = site / "vaewidgets" / "__init__.py"
    for change in (lambda: module.write_text("# patched"), module.unlink):
        change()
        with pytest.raises(RuntimeError, match=r"__init__.py is not as it was installed"):
            offline_bundle.repack(installed, tmp_path)


# --- the command -------------------------------------------------------------------------------------


def test_the_command_fills_one_folder_for_each_platform(tmp_path, index, own, monkeypatch, capsys):
    monkeypatch.setattr(offline_bundle, "own_wheel", lambda folder: own)
    options = "--platform windows macos windows --python 3.12"
    assert cli.main(["wheels", str(tmp_path / "out"), *options.split()]) == 0
    out = capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["macos", "windows"]
    assert f"{tmp_path / 'out' / 'windows'}: 5 wheels, 0 MB; README.txt there says what to type" in out
    assert all((path / "README.txt").is_file() for path in (tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--python", "3.10"], "--python 3.10: vaewidgets needs Python >=3.11"),
        (["--python", "3.12", "python3"], "expects a version as 3.12; got 'python3'"),
        (["--python", "3.12.1"], "expects a version as 3.12; got '3.12.1'"),
        (["--platform", "macos-intel"], "PyTorch has no wheels for Macs with Intel processors"),
    ],
)
def test_what_cannot_be_had_is_refused_before_anything_is_made(
    tmp_path, monkeypatch, capsys, options, reason
):
    monkeypatch.setattr(offline_bundle, "own_wheel", lambda folder: pytest.fail("went on"))
    assert cli.main(["wheels", str(tmp_path / "out"), *options]) == 1
    assert reason in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("Linux", "x86_64", "linux"),
        ("Linux", "aarch64", "linux-arm"),
        ("Windows", "AMD64", "windows"),
        ("Darwin", "arm64", "macos"),
        ("Darwin", "x86_64", "macos-intel"),
    ],
)
def test_this_machine_has_a_name(monkeypatch, system, machine, name):
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert offline_bundle.this_platform() == name


def test_a_machine_without_a_name_asks_for_one(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ValueError, match=r"on riscv64; name the laptops' kind, --platform linux, linux-arm"):
        offline_bundle.this_platform()


def test_the_markers_are_those_of_the_machines_we_know():
    here = {"Linux": "linux", "Darwin": "macos", "Windows": "windows"}[platform.system()]
    code = "import json; from packaging.markers import default_environment as e; print(json.dumps(e()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    real = json.loads(done.stdout)
    for key in ("os_name", "sys_platform", "platform_system"):
        assert offline_bundle.PLATFORMS[here].markers[key] == real[key]
