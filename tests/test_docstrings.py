"""Whatever is public says what it takes, what it returns and what it raises."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import textwrap

import pytest
import traitlets

import vaewidgets as vw

#: The rooms of the formulas, taught by name; of the others counts what `vaewidgets` itself names.
_MODULES = (
    "evaluation.metrics", "evaluation.samplers", "models.likelihoods", "models.linear_gaussian",
    "models.objectives", "models.vae", "widgets.gaussian.counter_noise",
)  # fmt: skip
#: Where the arguments are explained, if not here.
_ELSEWHERE = re.compile(r"takes the (parameters|arguments) of `\w+`|`\w+` makes it")
_ERRORS = {"ValueError", "TypeError"}
_SHAPE = re.compile(r"shape|\([\w.* ]+,[\w., *]*\)")


def _own(thing):
    """The functions and classes, and their public methods, that a module or a class defines itself."""
    for name, value in vars(thing).items():
        value = inspect.unwrap(getattr(value, "__func__", value))
        if name.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if inspect.ismodule(thing) and value.__module__ == thing.__name__:
            yield value
            if inspect.isclass(value) and not issubclass(value, traitlets.TraitType):
                yield from _own(value)
        elif inspect.isclass(thing) and inspect.isfunction(value):
            yield value


def _public():
    modules = {importlib.import_module(f"vaewidgets.{name}") for name in _MODULES}
    found = {thing for module in modules for thing in _own(module)}
    for name in vw.__all__:
        panel = getattr(vw, name)
        if inspect.isclass(panel):
            found |= {panel, *_own(panel)}
        elif inspect.isfunction(panel):
            found.add(panel)
    return sorted(found, key=lambda thing: (thing.__module__, thing.__qualname__))


def _sections(text: str) -> dict[str, str]:
    """The numpydoc sections of a docstring by name; what comes before them is under ""."""
    parts = re.split(r"^(\w[\w ]*)\n-{3,}$", text, flags=re.MULTILINE)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def _entries(section: str) -> dict[str, str]:
    """The names that a section explains, each with its type."""
    found = {}
    for names, kind in re.findall(r"^([*\w][\w, *]*?)(?: : (.*))?$", section, flags=re.MULTILINE):
        found |= {name.strip("* "): kind for name in names.split(",")}
    return found


def _parameters(thing) -> list[inspect.Parameter]:
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = inspect.signature(thing).parameters.values()
    return [p for p in own if p.name not in ("self", "cls") and p.kind not in several]


def _raised(function) -> set[str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc is not None]
    return {c.func.id for c in calls if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)} & _ERRORS


def _is_record(cls: type) -> bool:
    """Tell a class that is made of its fields: they are its attributes, explained as such."""
    return hasattr(cls, "__dataclass_fields__") or issubclass(cls, (tuple, BaseException))


def _faults(thing) -> list[str]:
    text = inspect.getdoc(thing) or ""
    if not text.strip():
        return ["no docstring"]
    if not text.split("\n\n")[0].rstrip().endswith("."):
        return ["its first line is no sentence"]
    if _ELSEWHERE.search(text):
        return []
    sections, words = _sections(text), set(re.findall(r"\w+", text))
    if inspect.isclass(thing):
        if _is_record(thing):
            named = _entries(sections.get("Attributes", "")).keys() | words
            wanted = list(getattr(thing, "_fields", getattr(thing, "__dataclass_fields__", ())))
            return [f"no word of {name}" for name in wanted if name not in named]
        raised, returns = _raised(thing.__init__) if "__init__" in vars(thing) else set(), False
    else:
        raised = _raised(thing)
        returns = thing.__annotations__.get("return") not in (None, "None")
    faults = []
    explained = _entries(sections.get("Parameters", ""))
    for parameter in _parameters(thing):
        name, is_tensor = parameter.name, str(parameter.annotation).startswith("Tensor")
        # In a docstring of one sentence the sentence says it: "Decode z of shape (B, d) to ...".
        if name not in explained and name not in words:
            faults.append(f"no word of the parameter {name}")
        elif is_tensor and not _SHAPE.search(explained.get(name) or text):
            faults.append(f"no shape of {name}")
    if returns and not ({"Returns", "Yields"} & sections.keys() or len(sections[""].split()) > 2):
        faults.append("no word of what it returns")
    for error in raised:
        if error not in sections.get("Raises", "") and error not in sections[""]:
            faults.append(f"no word of its {error}")
    return faults


@pytest.mark.parametrize("thing", _public(), ids=lambda thing: f"{thing.__module__}.{thing.__qualname__}")
def test_the_docstring_is_whole(thing):
    assert _faults(thing) == []


def _examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    for found in pkgutil.walk_packages(vw.__path__, "vaewidgets."):
        if not found.name.endswith("__main__"):
            yield from (test for test in finder.find(importlib.import_module(found.name)) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda example: example.name)
def test_the_example_runs_as_it_is_written(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not any(doctest.SKIP in line.options for line in example.examples)
    complaints = []
    result = doctest.DocTestRunner().run(example, out=complaints.append)
    assert result.failed == 0, "".join(complaints)
    assert result.attempted > 0


def test_the_checker_sees_what_is_missing():
    def bare(x: "Tensor", k):  # noqa: F821
        """Add k to x, which"""

    def short(x: "Tensor", k) -> float:  # noqa: F821
        """Add x."""
        raise ValueError("no")

    assert _faults(bare) == ["its first line is no sentence"]
    assert _faults(short) == [
        "no shape of x",
        "no word of the parameter k",
        "no word of what it returns",
        "no word of its ValueError",
    ]
    assert _faults(lambda: 0) == ["no docstring"]
