"""How the package is built, counted from its imports: ``python tests/structure.py [path of a package]``.

A room is a folder or a module in the root of the package. An arrow leads from a room to one that it imports,
anywhere in its code: at import or inside a function, but not for type checkers alone. A room's floor is one
above the highest that it imports. Rooms or modules that import each other, on whatever way, are a circle.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent / "vaewidgets"

#: Who may import whom. Each room may use those below it in this list of floors, and none beside or above it;
#: `_version` and `_constants` import nothing.
FLOORS = (
    ("_version", "_constants"),
    ("_utils",),
    ("models", "data"),
    ("io",),
    ("training", "evaluation", "course"),
    ("widgets",),
    ("bench",),
    ("cli",),
    ("__main__", "__init__"),
)
MAY_IMPORT = {
    room: {name for floor in FLOORS[:level] for name in floor}
    for level, rooms in enumerate(FLOORS)
    for room in rooms
}


class Import(NamedTuple):
    """One module that imports another of the package; `late` if only once a function is called."""

    by: str
    of: str
    late: bool


def module_names(package: Path) -> dict[str, Path]:
    """Dotted name to file of every module; a package goes by its folder's name."""
    names = {}
    for path in sorted(package.rglob("*.py")):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def _is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _walk(tree: ast.AST, late: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for node in ast.iter_child_nodes(tree):
        yield node, late
        inner = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if _is_for_type_checkers(node):
            for other in node.orelse:
                yield other, late
                yield from _walk(other, late)
        else:
            yield from _walk(node, inner)


def imports_of(package: Path) -> set[Import]:
    """All imports of the package's modules by each other."""
    names = module_names(package)
    found = set()
    for module, path in names.items():
        home = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node, late in _walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    above = home.split(".")[: len(home.split(".")) - node.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                inner = [f"{base}.{alias.name}" for alias in node.names]
                # a name that is no module is one that the module itself gives
                targets = [name if name in names else base for name in inner]
            else:
                continue
            found |= {Import(module, of, late) for of in targets if of in names and of != module}
    return found


def room_of(module: str) -> str:
    """The room in which a module of the package lies."""
    return f"{module}.__init__".split(".")[1]


def arrows_between_rooms(imports: set[Import]) -> set[tuple[str, str]]:
    """Pairs of rooms of which the first imports the second."""
    pairs = {(room_of(i.by), room_of(i.of)) for i in imports}
    return {(by, of) for by, of in pairs if by != of}


def circles(arrows: set[tuple[str, str]]) -> list[set[str]]:
    """Groups of nodes each of which reaches all the others."""
    reach = {node: {of for by, of in arrows if by == node} for arrow in arrows for node in arrow}
    for middle in reach:
        for node in reach:
            if middle in reach[node]:
                reach[node] |= reach[middle]
    groups = {frozenset(b for b in reach if b in reach[a] and a in reach[b]) for a in reach}
    return [set(group) for group in sorted(groups, key=sorted) if group]


def floors(arrows: set[tuple[str, str]]) -> dict[str, int]:
    """Each node's floor, from 1; those of a circle share one."""
    group = {node: node for arrow in arrows for node in arrow}
    for circle in circles(arrows):
        group |= dict.fromkeys(circle, min(circle))
    below = {(group[by], group[of]) for by, of in arrows if group[by] != group[of]}

    def floor(node: str) -> int:
        return 1 + max((floor(of) for by, of in below if by == node), default=0)

    heights = {node: floor(node) for node in set(group.values())}
    return {node: heights[group[node]] for node in group}


def back_up(imports: set[Import]) -> list[Import]:
    """Imports that the table does not allow."""
    return sorted(
        i for i in imports
        if room_of(i.by) != room_of(i.of) and room_of(i.of) not in MAY_IMPORT.get(room_of(i.by), ())
    )  # fmt: skip


def statements(folder: Path) -> tuple[int, int]:
    """Modules and statements of a folder, as Python's parser counts them."""
    modules = [path for path in folder.rglob("*.py") if "node_modules" not in path.parts]
    nodes = (node for path in modules for node in ast.walk(ast.parse(path.read_bytes())))
    return len(modules), sum(isinstance(node, ast.stmt) for node in nodes)


def main(package: Path) -> None:
    """Print the figures of a package, and of the tests beside it."""
    imports = imports_of(package)
    at_import = {i for i in imports if not i.late}
    arrows = arrows_between_rooms(imports)
    rooms = {room_of(name) for name in module_names(package)}
    heights = floors(arrows) | dict.fromkeys(rooms - {node for arrow in arrows for node in arrow}, 1)
    print(f"rooms in the root      {len(rooms)}")
    print(f"floors                 {max(heights.values())}")
    print(f"arrows between rooms   {len(arrows)} ({len(arrows_between_rooms(at_import))} at import)")
    print(f"circles of rooms       {[sorted(circle) for circle in circles(arrows)] or 0}")
    of_modules = circles({(i.by, i.of) for i in imports})
    print(f"circles of modules     {[sorted(circle) for circle in of_modules] or 0}")
    if rooms <= set(MAY_IMPORT):
        wrong = back_up(imports)
        print(f"imports back up        {len(wrong)}")
        for i in wrong:
            print(f"  {i.by} -> {i.of}{' (late)' if i.late else ''}")
    else:
        print("imports back up        not counted: rooms that the table does not know")
    print(f"imports between modules {len({(i.by, i.of) for i in imports})}, {len(at_import)} at import")
    for name, folder in (("package", package), ("tests", package.parent / "tests")):
        if folder.is_dir():
            print("{:<22} {} modules, {} statements".format(name, *statements(folder)))
    for level in range(max(heights.values()), 0, -1):
        print(f"floor {level}: {', '.join(sorted(room for room in rooms if heights[room] == level))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else PACKAGE)
