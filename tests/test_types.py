"""The types hold, and none is missing where a reader of the public names looks for one."""

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vaewidgets as vw

ROOT = Path(vw.__file__).resolve().parents[1]


_EXAMPLE = """
import torch
import vaewidgets as vw
from vaewidgets.models.protocols import Decoder, Encoder


class Small:
    latent_dim = 2

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z


class Lacking:
    def decode(self, z: torch.Tensor) -> torch.Tensor:
        return z


class Empty:
    latent_dim = 2


fits: list[Decoder] = [Small(), vw.VAE(), vw.Autoencoder(), vw.ConditionalVAE(), vw.ConditionalVAE().given(3)]
encodes: list[Encoder] = [vw.VAE(), vw.Autoencoder(), vw.ConditionalVAE()]
lacks: list[Decoder] = [Lacking(), Empty()]
no_encoder: Encoder = Small()
vw.fit(vw.VAE(), "digits")
"""


def _own(thing):
    """The functions of a module or a class, and those of its classes, that it defines itself."""
    for name, value in vars(thing).items():
        value = getattr(value, "__func__", getattr(value, "fget", None) or value)
        value = inspect.unwrap(value) if callable(value) else value
        if name.startswith("_") and name != "__init__":
            continue
        if inspect.isfunction(value) and value.__module__.startswith("vaewidgets"):
            yield value
        elif inspect.isclass(value) and value.__module__ == getattr(thing, "__name__", None):
            yield from _own(value)


def _public():
    modules = {importlib.import_module(f"vaewidgets.{name}") for name in vw._MODULES.values()}
    found = {function for module in modules for function in _own(module)}
    for thing in (getattr(vw, name) for name in vw.__all__):
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if inspect.isclass(thing) or inspect.ismodule(thing):
            found |= set(_own(thing))
        else:
            found.add(thing)
    return sorted(found, key=lambda function: (function.__module__, function.__qualname__))


def _untyped(function) -> list[str]:
    """The parameters without an annotation, and "return"."""
    signature = inspect.signature(function)
    names = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    missing = [name for name in names if name not in ("self", "cls")]
    return missing + ["return"] * (signature.return_annotation is signature.empty)


def test_every_public_function_has_its_types():
    functions = _public()
    assert len(functions) > 200
    untyped = {f"{f.__module__}.{f.__qualname__}": _untyped(f) for f in functions}
    assert {name: missing for name, missing in untyped.items() if missing} == {}


def test_a_missing_type_is_seen():
    def half(x: int, y):
        return x

    assert _untyped(half) == ["y", "return"]


def test_the_package_is_marked_as_typed():
    assert (ROOT / "vaewidgets" / "py.typed").is_file()


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    """Run mypy in the checkout, as CI does; the second run reads what the first has cached."""
    pytest.importorskip("mypy")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not a checkout: the configuration is in pyproject.toml")
    cache = tmp_path_factory.mktemp("mypy")

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *arguments]
        environment = {**os.environ, "MYPYPATH": str(ROOT)}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    return run


def test_mypy_has_no_complaint(mypy):
    """It takes half a minute on an idle processor."""
    done = mypy()
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_sees_what_does_not_fit(mypy, tmp_path):
    """Else the test above could not fail. A decoder needs no base class, but `latent_dim`."""
    (tmp_path / "example.py").write_text(_EXAMPLE)
    done = mypy(str(tmp_path / "example.py"))
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(errors) == 4, done.stdout + done.stderr
    wrong = ('"Lacking"', '"Empty"', '"Small"', '"fit" has incompatible type "str"')
    assert all(words in error for words, error in zip(wrong, errors, strict=True))
