"""``vaewidgets bench drag`` from end to end, briefly: the table's structure, and no word on speed."""

import json
import subprocess
import sys


def test_two_designs_are_measured_and_printed(chromium_path, tmp_path):
    path, shots = tmp_path / "drag.json", tmp_path / "shots"
    # A process of its own: playwright runs one event loop in each, and the other tests' may be running here.
    done = subprocess.run(
        [
            sys.executable, "-m", "vaewidgets", "bench", "drag", "--seconds", "1", "--steps", "4",
            "--designs", "explorer", "kernel-picture", "--json", str(path), "--shots", str(shots),
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("vaewidgets ") and "jupyterlab " in lines[0]
    assert "WebGL: " in lines[1] and "CPUs" in lines[2]
    rows = [line for line in lines if line.startswith(("explorer ", "kernel picture "))]
    assert len(rows) == 2
    assert rows[1].split()[-2:] == ["1.00", "1.00"]
    assert lines[-2:] == ["x naive: against kernel picture", f"wrote {path}"]

    ours, naive = json.loads(path.read_text())["designs"]
    for design in (ours, naive):
        assert len(design["waits"]) == 4 and None not in design["waits"]
        assert len(design["moves"]) > 3 and design["changes"] > 0
        assert 0 < len(design["pictures"]) <= len(design["moves"])
    assert {shot.name for shot in shots.iterdir()} == {"explorer.png", "kernel-picture.png"}


def test_a_watched_training_is_measured_beside_one_alone(chromium_path):
    done = subprocess.run(
        [
            sys.executable, "-m", "vaewidgets", "bench", "cockpit", "--dataset", "digits", "--points", "100",
            "--seconds", "1", "--rounds", "1", "--steps", "4", "--json",
        ],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["alone"] > 0 and figures["watched"] > 0
    # More would be more than its limit of ten a second; none would be a display that stands still.
    assert 0 < figures["pictures"] <= 10.5
    assert 0 < figures["slider_p50_ms"] <= figures["slider_p95_ms"]
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("watched ")]
    assert row.split()[1:] == [f"{figures['watched']:,.0f}", f"{figures['watched'] / figures['alone']:.2f}"]
