"""The page's modules joined to one text: anywidget takes a single one, and no user needs node to have it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

#: The folder that paths of scripts and stylesheets are relative to.
WIDGETS = Path(__file__).parents[1]

#: The only forms of import and export that are understood; each begins a line.
_IMPORT = re.compile(r'^import \{([^{}]*)\} from "(\.[^"\n]*\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|(?:async )?function) (\w+)\b)", re.MULTILINE)
_DEFAULT = re.compile(r"^export default (\w+|\{ [\w, ]+ \});\n", re.MULTILINE)
#: Any other, in a line that is no comment.
_OTHER = re.compile(r"^(?!\s*//)(?:\s*(?:import|export)\b|.*\bimport\s*(?:\.|\(\s*[\"'`])).*", re.MULTILINE)
#: Comments that say types: the page has no use for them.
_TYPES = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"(\w+)(?: as (\w+))?")


def read_styles(*names: str) -> str:
    """Join stylesheets to one text."""
    return "\n".join((WIDGETS / name).read_text("utf-8") for name in names)


@cache
def bundle(entry: str) -> str:
    """Join a module under ``widgets/`` and all that it imports, directly or not, to one without imports.

    Each module becomes a function that is called once, after those that it imports: equal names in two
    modules never meet. A text, not a path: anywidget tells every model of changes of a file, and so keeps all
    of them for ever.

    Parameters
    ----------
    entry : str
        File whose ``export default`` is that of the result. Without one the result is a script.

    Raises
    ------
    ValueError
        A form of import or export other than ``import { a, b as c } from "./x.js";``, ``export`` before
        ``const`` or ``function``, and ``export default`` of a name or of names in braces; a name
        that a module does not export; modules that import each other in a circle.
    """
    has_default = entry in default_modules()
    value = _join([entry], "{0}.default" if has_default else "")
    return f"export default {value};\n" if has_default else f"{value};\n"


def bundle_value(entry: str) -> str:
    """Return an expression whose value has what a module exports, for scripts of tests."""
    return _join([entry], "{0}")


def bundle_all(entries: Sequence[str], first: str) -> str:
    """Join modules to one that exports, as default, what `first` exports, and ``modules`` by path."""
    modules = ", ".join(f"{json.dumps(entry)}: {{{i + 1}}}.default" for i, entry in enumerate(entries))
    return f"export default {_join([first, *entries], '{{...{0}, modules: {{' + modules + '}}}}')};\n"


def default_modules() -> list[str]:
    """List the modules that have a default export, by their paths."""
    found = (path for path in WIDGETS.rglob("*.js") if _DEFAULT.search(path.read_text("utf-8")))
    return sorted(path.relative_to(WIDGETS).as_posix() for path in found)


def _join(entries: Sequence[str], result: str) -> str:
    """Return an expression that runs modules and has the value `result`, in which ``{0}`` is the first."""
    scopes: dict[Path, tuple[str, set[str]]] = {}
    joined: list[str] = []
    paths = [(WIDGETS / entry).resolve() for entry in entries]
    for path in paths:
        _add(path, (), scopes, joined)
    value = result.format(*(scopes[path][0] for path in paths))
    return "(() => {\n" + "".join(joined) + f"return {value};\n}})()"


def _add(path: Path, above: tuple[Path, ...], scopes: dict, joined: list[str]) -> None:
    """Append a module after those that it imports, unless it is there."""
    if path in scopes:
        return
    if path in above:
        circle = " -> ".join(each.name for each in (*above[above.index(path) :], path))
        raise ValueError(f"Modules import each other in a circle: {circle}.")
    source = _TYPES.sub("", _read(path))
    imports = []
    for names, specifier in _IMPORT.findall(source):
        other = (path.parent / specifier).resolve()
        _add(other, (*above, path), scopes, joined)
        imports.append(_take(path, names, other, *scopes[other]))
    body = _IMPORT.sub("", source)
    exports = _EXPORT.findall(body)
    default = _DEFAULT.findall(body)
    body = _DEFAULT.sub("", _EXPORT.sub("", body))
    wrong = _OTHER.search(body)
    if wrong or len(default) > 1:
        line = wrong[0].strip() if wrong else "a second export default"
        raise ValueError(f"{path.name}: {line!r} is a form of import or export that is not understood.")
    scope = f"module{len(joined)}"
    scopes[path] = scope, set(exports)
    result = ", ".join(exports + [f"default: {value}" for value in default])
    joined.append(
        f"// {path.name}\nconst {scope} = (() => {{\n{''.join(imports)}{body}return {{ {result} }};\n}})();\n"
    )


def _take(path: Path, names: str, other: Path, scope: str, exports: set[str]) -> str:
    """Return the line in place of an import."""
    taken = []
    for name in filter(None, (name.strip() for name in names.split(","))):
        match = _NAME.fullmatch(name)
        if not match or match[1] not in exports:
            raise ValueError(f"{path.name} imports {name!r} from {other.name}, which exports no such name.")
        taken.append(f"{match[1]}: {match[2]}" if match[2] else match[1])
    return f"const {{ {', '.join(taken)} }} = {scope};\n"


def _read(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"There is no module {path.name} in {path.parent.name}.")
    return path.read_text("utf-8")
