"""What everyone who installs it gets: one list of dependencies, the public names, and a complete wheel."""

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import vaewidgets as vw

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: The same thing under conda-forge's name.
CONDA = {"pytorch-cpu": "torch"}


def requirements(lines):
    """Return {canonical name: specifiers} of requirement lines."""
    found = {}
    for line in lines:
        requirement = Requirement(line)
        assert requirement.name not in found, f"{requirement.name} is listed twice"
        found[canonicalize_name(requirement.name)] = requirement.specifier
    return found


def floor(specifier):
    floors = [part.version for part in specifier if part.operator == ">="]
    assert len(floors) == 1, f"one floor each: {specifier}"
    return floors[0]


# --- one list of dependencies, three files -----------------------------------------------------------


def test_conda_gets_what_pip_gets():
    entries = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert {"pip": ["-e ."]} in entries, "Binder has no other way to the package itself"
    (python,) = (entry for entry in entries if str(entry).startswith("python"))
    version = re.fullmatch(r"python=(3\.\d+)", python)[1]  # else repo2docker starts from its own choice
    assert SpecifierSet(PROJECT["requires-python"]).contains(version)
    conda = requirements(
        entry for entry in entries if isinstance(entry, str) and entry not in ("pip", python)
    )
    assert {CONDA.get(name, name): spec for name, spec in conda.items()} == requirements(
        PROJECT["dependencies"]
    )


def test_the_floors_file_has_every_floor():
    declared = requirements([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]])
    lines = (ROOT / "tests" / "floors.txt").read_text().splitlines()
    pinned = requirements(line for line in lines if not line.startswith("#"))
    assert {name: str(spec) for name, spec in pinned.items()} == {
        name: f"=={floor(spec)}" for name, spec in declared.items()
    }


def test_an_extra_is_tested_as_it_is_declared():
    extras = PROJECT["optional-dependencies"]
    assert {*extras["onnx"], *extras["bench"]} <= set(extras["test"])


def test_what_the_package_imports_is_declared():
    own_name = {"PIL": "pillow", "sklearn": "scikit-learn"}
    extras = PROJECT["optional-dependencies"]
    declared = requirements([*PROJECT["dependencies"], *extras["onnx"], *extras["bench"]])
    for path in (ROOT / "vaewidgets").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"vaewidgets"}:
                name = canonicalize_name(own_name.get(top, top))
                assert name in declared, f"{path.name} imports {top}"


# --- the repository ----------------------------------------------------------------------------------


def test_ruff_finds_nothing():
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_is_valid_and_runs_the_notebooks():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "notebooks.yml").read_text())
    steps = [step.get("run") for step in workflow["jobs"]["nbval"]["steps"]]
    assert 'pip install -e ".[test]"' in steps and "pytest notebooks" in steps


# --- the public names --------------------------------------------------------------------------------


def test_the_lists_of_public_names_agree():
    tree = ast.parse(Path(vw.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    editors = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    homes = {name: home for home, names in vw._HOMES.items() for name in names}
    modules = {name for name, home in editors.items() if vw._MODULES.get(name) == f"{home}.{name}"}
    assert {name: home for name, home in editors.items() if name not in modules} == homes
    assert {"__version__", *vw.__all__} == homes.keys() | modules
    for name in vw.__all__:
        assert getattr(vw, name) is not None and name in dir(vw)
    with pytest.raises(AttributeError, match="module 'vaewidgets' has no attribute 'VEA'"):
        vw.VEA  # noqa: B018


# --- the wheel ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the sdist, and the wheel from the sdist, as for a release; without the network."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def shipped(folder):
    """Return the files below a folder of the checkout that belong to everybody."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if not re.search(r"(^|/)(\.|__pycache__)", path.as_posix())}


def test_the_wheel_is_whole(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        info = [name for name in archive.namelist() if ".dist-info/" in name]
    package = {f"vaewidgets/{name}" for name in shipped(ROOT / "vaewidgets")}
    notebooks = {f"vaewidgets/notebooks/{name}" for name in shipped(ROOT / "notebooks")}
    assert names == package | notebooks
    assert any(name.endswith("licenses/LICENSE") for name in info)
    for kind in (r"pretrained/.*\.safetensors", r"widgets/.*\.js", r"notebooks/.*\.ipynb"):
        assert any(re.fullmatch(f"vaewidgets/{kind}", name) for name in names), f"no {kind} in the wheel"


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment with the wheel; its dependencies are borrowed from this one, which spares 5 GB.

    The borrowed folder's own .pth files are not read, so that an editable checkout stays out of reach.
    """
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    scripts = home / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / ("python.exe" if os.name == "nt" else "python")
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(site) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    return scripts


def in_empty_folder(program, *args, cwd):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(program), *args], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_installed_wheel_works_in_an_empty_folder(installed, tmp_path):
    code = (
        "import json, pathlib, torch, vaewidgets as vw, vaewidgets.course.notebooks as lab\n"
        "home = pathlib.Path(vw.__file__).parent\n"
        "models = [p.stem for p in (home / 'pretrained').glob('*.safetensors')]\n"
        "loaded = [vw.pretrained(name) for name in models]\n"
        "judges = [model for model in loaded if isinstance(model, vw.Classifier)]\n"
        "sure = [judge.confidence(torch.zeros(1, *judge.image_shape)).shape for judge in judges]\n"
        "fixed = [model.given(3) if hasattr(model, 'given') else model for model in loaded]\n"
        "pictures = [m.decode(m.atlas.mu[:1]).shape for m in fixed if m not in judges]\n"
        "panel = vw.LatentExplorer(vw.pretrained('digits-vae-2d'))\n"
        "answers = len(pictures + sure)\n"
        "print(json.dumps([str(home), lab.shipped_notebooks()[1], len(models), answers, repr(panel)]))"
    )
    home, checkout, models, pictures, panel = json.loads(
        in_empty_folder(installed / "python", "-c", code, cwd=tmp_path)
    )
    assert not Path(home).is_relative_to(ROOT) and not checkout
    assert models == pictures == len(list((ROOT / "vaewidgets" / "pretrained").glob("*.safetensors")))
    assert panel.startswith("LatentExplorer(latent_dim=2")


def test_the_installed_command_copies_the_course(installed, tmp_path):
    out = in_empty_folder(installed / "vaewidgets", "copy", "mine", cwd=tmp_path)
    course = shipped(ROOT / "notebooks")
    names = {name for name in course if not name.startswith("solutions/")}
    assert out == f"copied {len(names)} file{'' if len(names) == 1 else 's'} to mine\n"
    assert shipped(tmp_path / "mine") == names
    for name in names:
        assert (tmp_path / "mine" / name).read_bytes() == (ROOT / "notebooks" / name).read_bytes()
    in_empty_folder(installed / "vaewidgets", "copy", "mine", "--solutions", cwd=tmp_path)
    assert shipped(tmp_path / "mine") == course and course > names, "the teacher's"
    assert vw.__version__ in in_empty_folder(installed / "vaewidgets", "--version", cwd=tmp_path)
