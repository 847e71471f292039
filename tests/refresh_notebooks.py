"""Run notebooks in place and store them as the repository wants them: the one command after an edit.

    python tests/refresh_notebooks.py                          # all of notebooks/, the solutions too
    python tests/refresh_notebooks.py notebooks/00-x.ipynb     # these
    python tests/refresh_notebooks.py --stored                 # run none, after a merge or for a new version

Execution counts and outputs stay, because nbval compares only cells that have a count. What differs from
run to run or from machine to machine goes: widget state (megabytes), views of widgets that no longer exist,
timings, the version of Python. A notebook that raises, or that shows a path of this machine, is refused, and
the file stays as it was. Each notebook carries the version that it was written for, and its digest goes into
``vaewidgets/course/notebooks.sha256``: only what stands there is signed as trusted. Each line says how long
the notebook ran, its kernel's start included, and how large it is stored. ``tests/test_notebooks.py`` holds
the committed notebooks to the same rules.
"""

import argparse
import os
import re
import sys
import time
from pathlib import Path

import nbformat

from vaewidgets import __version__
from vaewidgets.course import trust

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
VIEW = "application/vnd.jupyter.widget-view+json"

#: Paths of somebody's machine. A letter or a dot before the slash makes it part of a URL or a relative path.
_PATHS = re.compile(
    r"(?<![\w./])/(?:home|root|tmp|work|mnt|media|opt|srv|var|usr|Users|content)/|\b[A-Za-z]:\\"
)

#: What nbval can be told to leave uncompared, as a tag or as a comment in the cell.
_IGNORE = re.compile(
    r"\bnbval[-_](?:ignore[-_]output|skip|raises[-_]exception)\b|\braises-exception\b", re.IGNORECASE
)


def stored() -> list[Path]:
    """List the notebooks of the repository: the course, then the solutions for teachers."""
    return sorted(NOTEBOOKS.glob("*.ipynb")) + sorted(NOTEBOOKS.glob("solutions/*.ipynb"))


def execute(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Run all cells in a fresh kernel of this environment; raise at the first that fails."""
    from nbclient import NotebookClient

    return NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=300,
        resources={"metadata": {"path": str(folder)}},
        store_widget_state=False,
        record_timing=False,
        coalesce_streams=True,
    ).execute()


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop in place what is not for the repository; return the notebook."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": KERNELSPEC,
            "language_info": {"name": "python"},
            "vaewidgets": {"version": __version__},
        }
    )
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if cell.metadata.get("tags") else {})
        for output in cell.get("outputs", []):
            # The text beside the view stays: nbval compares it, and a reader without a kernel sees it.
            output.get("data", {}).pop(VIEW, None)
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return notebook


def faults(notebook: nbformat.NotebookNode) -> list[str]:
    """List what a stored notebook must not have; empty if it may be committed."""
    found = []
    if "widgets" in notebook.metadata:
        found.append("it holds widget state (metadata.widgets)")
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        found.append("its kernelspec is not python3")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(
            f"its execution counts are {counts}, not 1 to {len(code)}: cells without a count are not compared"
        )
    for number, cell in enumerate(code, 1):
        if any(output.output_type == "error" for output in cell.outputs):
            found.append(f"code cell {number} raised an exception")
        if any(VIEW in output.get("data", {}) for output in cell.outputs):
            found.append(f"code cell {number} holds a view of a widget that no longer exists")
    for number, cell in enumerate(notebook.cells, 1):
        for text in _texts(cell):
            if path := _PATHS.search(text) or _own_path(text):
                found.append(f"cell {number} shows a path of this machine: {_around(text, path)!r}")
    return found


def ignored(notebook: nbformat.NotebookNode) -> int:
    """Count the cells that tell nbval, by tag or by comment, not to compare them."""
    return sum(
        bool(_IGNORE.search(" ".join(cell.metadata.get("tags", [])) + "\n" + cell.source))
        for cell in notebook.cells
        if cell.cell_type == "code"
    )


def digests() -> str:
    """Return what `trust.DIGESTS` must hold: a line for each notebook of the repository."""
    return "".join(
        f"{trust.digest(path.read_text(encoding='utf-8'))}  {path.relative_to(NOTEBOOKS).as_posix()}\n"
        for path in stored()
    )


def refresh(path: Path, *, run: bool = True) -> list[str]:
    """Run one notebook and store it, if it is without fault; return its faults."""
    notebook = nbformat.read(path, as_version=4)
    notebook = clean(execute(notebook, path.parent) if run else notebook)
    found = faults(notebook)
    if not found:
        scratch = path.with_suffix(".part")
        nbformat.write(notebook, scratch)
        os.replace(scratch, path)
    return found


def _texts(cell):
    """Yield what a reader can see in a cell; pictures are base64, where any letters may follow a slash."""
    yield cell.source
    for output in cell.get("outputs", []):
        yield output.get("text", "")
        yield "\n".join(output.get("traceback", []))
        for mime, data in output.get("data", {}).items():
            if not mime.startswith("image/") or mime == "image/svg+xml":
                yield data if isinstance(data, str) else repr(data)


def _own_path(text: str):
    places = {str(Path.home()), str(NOTEBOOKS.parent), sys.prefix, sys.base_prefix} - {"/", "/usr", "/root"}
    return re.search("|".join(map(re.escape, sorted(places))), text)


def _around(text: str, found: re.Match) -> str:
    return text[max(0, found.start() - 10) : found.end() + 40].split("\n")[0]


def _kilobytes(path: Path) -> int:
    """Size of a file, rounded up; 0 where there is none."""
    return -(-path.stat().st_size // 1000) if path.exists() else 0


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebook", nargs="*", type=Path, help="all of notebooks/ if none is named")
    parser.add_argument("--stored", action="store_true", help="keep the outputs that are stored: run nothing")
    arguments = parser.parse_args(argv)
    paths = arguments.notebook or stored()
    # Two torch threads that fight for busy cores are up to 100 times slower than one.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    status, began = 0, time.perf_counter()
    for path in paths:
        started = time.perf_counter()
        try:
            found = refresh(path, run=not arguments.stored)
        except (
            Exception
        ) as error:  # the others are still to be done; the message has the cell and the traceback
            found = [f"it does not run: {error}"]
        for fault in found:
            print(f"{path}: {fault}", file=sys.stderr)
        took = time.perf_counter() - started
        outcome = "left as it was" if found else "refreshed"
        print(f"{path.parent.name}/{path.stem}: {took:.1f} s, {_kilobytes(path)} kB, {outcome}", flush=True)
        status |= bool(found)
    trust.DIGESTS.write_text(digests(), encoding="ascii")
    took, size = time.perf_counter() - began, sum(map(_kilobytes, paths))
    print(f"{len(paths)} notebooks: {took:.1f} s, {size} kB")
    return status


if __name__ == "__main__":
    sys.exit(main())
