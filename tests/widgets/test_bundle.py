"""The page's modules joined to one, as anywidget takes them."""

import re

import pytest

from vaewidgets.widgets._core import bundle as bundling
from vaewidgets.widgets._core.bundle import WIDGETS, bundle

ENTRY = 'import { a } from "./a.js";\n\nexport default { a };\n'


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A function that writes modules by name, and returns the bundle of ``entry.js``."""
    monkeypatch.setattr(bundling, "WIDGETS", tmp_path)
    bundle.cache_clear()

    def write(**sources: str) -> str:
        for name, source in sources.items():
            (tmp_path / f"{name}.js").write_text(source)
        return bundle("entry.js")

    yield write
    bundle.cache_clear()


def test_a_module_comes_once_and_after_those_that_it_imports(modules):
    text = modules(
        entry='import { a } from "./a.js";\nimport { b as c } from "./b.js";\nexport default { a, c };\n',
        a='import { b } from "./b.js";\nexport const a = () => b;\n',
        b="export async function b() {}\n",
    )
    assert re.findall(r"^// (\w+)\.js$", text, re.MULTILINE) == ["b", "a", "entry"]
    assert "const { b: c } = module0;" in text
    assert text.startswith("export default (() => {\n") and text.endswith("})();\n")
    assert len(re.findall(r"^\s*(?:import|export)\b", text, re.MULTILINE)) == 1
    assert bundle("entry.js") is text


def test_equal_names_of_two_modules_do_not_meet(modules):
    own = "const own = 1;\nexport const {0} = own;\n"
    text = modules(
        entry='import { a } from "./a.js";\nimport { b } from "./b.js";\nexport default { a, b };\n',
        a=own.format("a"),
        b=own.format("b"),
    )
    scopes = text.split("// ")[1:]
    assert all(re.search(r"\A\w+\.js\nconst module\d = \(\(\) => \{\n", scope) for scope in scopes)


def test_an_entry_without_default_export_is_a_script(modules):
    text = modules(entry='import { a } from "./a.js";\na();\n', a="export function a() {}\n")
    assert "export" not in text and text.startswith("(() => {\n")


@pytest.mark.parametrize(
    "line",
    [
        'import a from "./a.js";', 'import * as a from "./a.js";', 'import "./a.js";',
        "import { a } from './a.js';", 'import { a } from "a";', 'const a = await import("./a.js");',
        "console.log(import.meta.url);", "export { a };", 'export { a } from "./a.js";',
        'export * from "./a.js";', "export let a = 1;", "export class A {}", "export default () => {};",
        "export default function a() {}", "  export const a = 1;",
    ],
)  # fmt: skip
def test_another_form_is_refused(modules, line):
    with pytest.raises(ValueError, match=r"entry\.js: .* is a form of import or export"):
        modules(entry=f"{line}\n", a="export const a = 1;\n")


def test_comments_may_say_what_code_may_not_and_types_stay_behind(modules):
    types = '/**\n * @import { A } from "./a.js"\n */\n  /** @type {A} */\n'
    cast = "const b = (\n  /** @type {A} */ (a)\n);\n"
    text = modules(entry=f"{types}// import them all\n{ENTRY}{cast}{types}", a="export const a = 1;\n")
    assert "// import them all" in text and cast in text and text.count("@") == 1


def test_what_is_not_there_is_named(modules):
    with pytest.raises(ValueError, match=r"entry\.js imports 'a' from a\.js, which exports no such name"):
        modules(entry=ENTRY, a="const a = 1;\n")
    with pytest.raises(ValueError, match=r"There is no module b\.js"):
        modules(entry='import { b } from "./b.js";\n')


def test_a_circle_is_named(modules):
    with pytest.raises(ValueError, match=r"in a circle: a\.js -> b\.js -> a\.js"):
        modules(
            entry=ENTRY,
            a='import { b } from "./b.js";\nexport const a = 1;\n',
            b='import { a } from "./a.js";\nexport const b = 1;\n',
        )


def test_every_module_of_ours_is_understood():
    for path in WIDGETS.glob("*.js"):
        text = bundle(path.name)
        assert not re.search(r"^\s*import\b", text, re.MULTILINE) and text.isascii(), path.name
