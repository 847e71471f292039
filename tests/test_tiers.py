"""Two tiers: plain ``pytest`` runs all that is not marked, ``pytest -m extended`` exactly the rest."""

import re
import subprocess
import sys
from pathlib import Path

from test_fuzz import FILES

ROOT = Path(__file__).resolve().parents[1]
#: With tests of both tiers, and a notebook, which nbval runs.
PLACES = ("tests/test_fuzz.py", "notebooks/03_clouds.ipynb")


def collected(*options) -> tuple[set[str], int]:
    """Return which tests pytest would run, and how many it leaves out."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options]
    done = subprocess.run([*command, *PLACES], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [left_out] = re.findall(r"\((\d+) deselected\)", done.stdout)
    return {line for line in done.stdout.splitlines() if "::" in line}, int(left_out)


def test_every_test_is_in_one_of_two_tiers():
    (plain, not_plain), (extended, not_extended) = collected(), collected("-m", "extended")
    assert not plain & extended and (len(extended), len(plain)) == (not_plain, not_extended)
    assert any(name.startswith("notebooks/") for name in plain)
    fuzz = "tests/test_fuzz.py::test_a_hostile_file_is_a_clear_error_or_harmless"
    assert f"{fuzz}[checkpoint-3000]" in plain
    assert extended == {f"{fuzz}[{kind}-{10 * count}]" for kind, count in FILES.items()}


def test_a_marker_that_nobody_registered_is_an_error(tmp_path, pytestconfig):
    (tmp_path / "test_x.py").write_text("import pytest\n@pytest.mark.extendet\ndef test_x(): pass\n")
    command = [sys.executable, "-m", "pytest", "-c", str(pytestconfig.inipath), "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "'extendet' not found in `markers`" in done.stdout
