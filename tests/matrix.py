"""The panels with the oldest and the newest of what carries them: ``python tests/matrix.py`` prints a table.

ipykernel 6 and 7 bring messages to a panel in different ways, plotly 6 and 7 draw its maps with different
releases of plotly.js. Each of the four pairs gets a folder with these packages only, found before the
installed ones through PYTHONPATH, by kernels too: nothing else is installed twice, least of all torch.
Takes a quarter of an hour. ``--only "ipykernel 6, plotly 7"`` runs one pair, ``--keep DIR`` keeps
the folders for the next run.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]

#: What pip installs, without dependencies: those that only one of the releases has are named.
RELEASES = {
    "ipykernel": {"6": ("ipykernel>=6.29.5,<7", "nest-asyncio"), "7": ("ipykernel>=7.1,<8",)},
    "plotly": {"6": ("plotly>=6.0,<7", "narwhals"), "7": ("plotly>=7.0,<8", "narwhals")},
}
#: One column of the table each: what pytest is given.
SUITES = {
    "panels": ("tests/widgets",),
    "notebooks": ("notebooks/00_quickstart.ipynb", "notebooks/01_the_map.ipynb", "notebooks/06_train.ipynb"),
    "browser": (
        "tests/browser/test_explorer.py",
        "tests/browser/test_map.py",
        "tests/browser/test_cockpit.py",
    ),
}


def pairs() -> list[dict[str, str]]:
    """Every combination: {"ipykernel": "6", "plotly": "6"} and so on."""
    return [dict(zip(RELEASES, majors, strict=True)) for majors in itertools.product(*RELEASES.values())]


def name_of(pair: dict[str, str]) -> str:
    return ", ".join(f"{package} {major}" for package, major in pair.items())


def install(pair: dict[str, str], folder: Path) -> None:
    """Fill a folder with the packages of a pair, unless it has them from another run."""
    if not folder.is_dir():
        wanted = [spec for package, major in pair.items() for spec in RELEASES[package][major]]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        subprocess.run([*pip, "--target", folder, *wanted], check=True)


def environment(folder: Path) -> dict[str, str]:
    """Variables with which Python, and every kernel it starts, finds the packages of `folder` first."""
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def versions(pair: dict[str, str], folder: Path) -> str:
    """What Python imports there; raises if that is not the pair."""
    code = f"import {', '.join(pair)}; print(*[m.__version__ for m in ({', '.join(pair)})])"
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment(folder), capture_output=True, text=True, check=True
    )
    found = run.stdout.split()
    if [version.partition(".")[0] for version in found] != list(pair.values()):
        raise SystemExit(f"{name_of(pair)} was to be tested, and Python finds {found}.")
    return " ".join(found)


def test(folder: Path, paths: tuple[str, ...]) -> tuple[bool, str]:
    """Run pytest; return whether all passed, and its last line with what failed."""
    begin = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        cwd=REPOSITORY, env=environment(folder), capture_output=True, text=True, errors="replace",
    )  # fmt: skip
    failed = re.findall(r"^(?:FAILED|ERROR) (.*)", run.stdout, re.MULTILINE)
    last = (run.stdout.strip() or run.stderr.strip() or "nothing was said").splitlines()[-1]
    counts = re.sub(r" in [\d.]+s.*", "", last.strip("= "))
    return run.returncode == 0, "\n    ".join([f"{counts}, {time.monotonic() - begin:.0f} s", *failed])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=[name_of(pair) for pair in pairs()], help="one pair")
    parser.add_argument("--suite", choices=SUITES, help="one column")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where the packages lie, for the next run too"
    )
    arguments = parser.parse_args()
    suites = [suite for suite in SUITES if arguments.suite in (None, suite)]
    rows, good = [], True
    with tempfile.TemporaryDirectory() as scratch:
        for pair in pairs():
            if arguments.only not in (None, name_of(pair)):
                continue
            folder = (arguments.keep or Path(scratch)).resolve() / "-".join(map("".join, pair.items()))
            install(pair, folder)
            cells = [versions(pair, folder)]
            for suite in suites:
                passed, said = test(folder, SUITES[suite])
                good &= passed
                print(f"{name_of(pair)}: {suite}: {said}", flush=True)
                cells.append(said.splitlines()[0])
            rows.append([name_of(pair), *cells])
    print("\n| pair | versions | " + " | ".join(suites) + " |\n|" + "---|" * (2 + len(suites)))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
