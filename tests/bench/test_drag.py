"""``vaewidgets bench drag``: the statistics on series worked out by hand, the table, and what is refused.

The measurement itself needs a browser: ``browser/test_bench.py``.
"""

import ast
import json
import math

import numpy as np
import pytest

from vaewidgets.bench import drag, page
from vaewidgets.cli import app as cli
from vaewidgets.course import doctor

# --- statistics ----------------------------------------------------------------------------------------


def test_percentiles_of_known_series():
    assert drag.percentile([5], 0.95) == 5
    assert drag.percentile([4, 1, 3, 2], 0.5) == 2.5
    assert drag.percentile(list(range(101)), 0.95) == 95
    assert (drag.percentile([1, 9], 0), drag.percentile([1, 9], 1)) == (1, 9)
    assert math.isnan(drag.percentile([], 0.5))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        drag.percentile([1], 95)


def test_gaps_count_the_wait_for_the_first_picture_and_after_the_last():
    assert drag.gaps([10, 30, 35], 100) == [10, 20, 5, 65]
    assert drag.gaps([], 100) == [100]


def test_a_move_is_paired_with_the_first_picture_before_the_next_move():
    # Two pictures after the first move, none after the second, one long after the third.
    assert drag.latencies([0, 100, 200], [7, 40, 950]) == [7, None, 750]
    # A picture at the very instant of a move belongs to that move, not to the one before.
    assert drag.latencies([0, 100], [100]) == [None, 0]
    # A picture before the first move belongs to nobody.
    assert drag.latencies([50], [10, 60]) == [10]
    assert drag.latencies([], [1]) == []


def result(title="ours", naive=False, **series):
    series = {"waits": [4.0, 6.0], "moves": [0, 500, 1000], "pictures": [250, 750], "changes": 2} | series
    return drag.Result(name=title, title=title, naive=naive, **series)


def test_the_figures_of_a_result():
    figures = result(waits=[1.0, None, 3.0], pictures=[100, 200, 300, 400], changes=8).figures
    assert figures["latency_p50_ms"] == 2
    assert figures["steps_without_picture"] == 1
    assert figures["pictures_per_second"] == 4
    assert figures["frames_per_second"] == 2
    assert figures["pictures_per_change"] == 0.5
    assert figures["gap_p95_ms"] == pytest.approx(np.percentile([100, 100, 100, 100, 600], 95))


def test_the_table_compares_with_the_first_naive_design():
    naive = result("slow", naive=True, waits=[50.0], pictures=[500])
    second = result("other", naive=True, pictures=[100, 200, 300])
    lines = drag.table([result(), naive, second]).splitlines()
    heads = "design  step p50  step p95  pictures  gap p95  frames  followed  pictures  step p50"
    assert lines[0].split() == heads.split()
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:6]}
    assert rows["ours"] == ["5.0", "5.9", "2.0", "475", "2.0", "100%", "2.00", "0.10"]
    assert rows["slow"][-2:] == ["1.00", "1.00"] and rows["other"][-2:] == ["3.00", "0.10"]
    assert len({len(line) for line in lines[:6]}) == 1
    assert lines[6:] == ["x naive: against slow"]


def test_a_table_of_ours_alone_has_no_ratios_and_says_what_was_missed():
    text = drag.table([result(waits=[None, None], pictures=[], changes=0)])
    assert "naive" not in text
    assert text.splitlines()[-1] == "ours: 2 of 2 steps brought no picture"
    # A naive design that never showed anything is nothing to divide by.
    assert drag.table([result(), result("dead", naive=True, waits=[0.0], pictures=[])]).count(" - ") >= 1


# --- the designs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("webgl", [True, False])
def test_every_design_is_python_and_says_what_to_watch(webgl):
    for design in drag.designs(webgl).values():
        assert design.watch and design.cells
        for cell in design.cells:
            ast.parse(cell.replace("%matplotlib inline", ""))


def test_without_webgl_the_figures_draw_what_can_be_seen():
    for name in ("naive-figure", "batched-figure"):
        assert "go.Scattergl(" in drag.designs(True)[name].cells[0]
        assert "Scattergl" not in drag.designs(False)[name].cells[0]


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "the following arguments are required: WHAT"),
        (["drag", "--seconds", "soon"], "expected seconds from 0.2 to 600; got 'soon'"),
        (["drag", "--seconds", "0"], "expected seconds from 0.2 to 600; got '0'"),
        (["drag", "--seconds", "nan"], "expected seconds from 0.2 to 600; got 'nan'"),
        (["drag", "--steps", "-3"], "expected a number from 1 to 1000; got '-3'"),
        (["drag", "--designs", "mine"], "invalid choice: 'mine'"),
        (["drag", "--designs"], "expected at least one argument"),
    ],
)
def test_arguments_that_are_not_understood(words, message, capsys):
    with pytest.raises(SystemExit) as error:
        cli.main(["bench", *words])
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def refused(words, capsys):
    assert cli.main(["bench", "drag", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_file_that_is_there_is_refused_before_anything_is_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(drag, "measure", lambda *args, **kwargs: pytest.fail("measured before refusing"))
    (tmp_path / "old.json").write_text("mine")
    assert "exists already" in refused(["--json", str(tmp_path / "old.json")], capsys)
    assert "there is no folder" in refused(["--json", str(tmp_path / "no" / "new.json")], capsys)
    assert (tmp_path / "old.json").read_text() == "mine"


@pytest.mark.parametrize("gone", ["playwright", "matplotlib"])
def test_a_missing_extra_is_one_line_that_names_it(gone, monkeypatch, capsys):
    monkeypatch.setattr(page, "is_installed", lambda name: name != gone)
    assert refused([], capsys) == (
        f'vaewidgets bench: needs {gone}, of the extra [bench]: pip install "vaewidgets[bench]"'
    )


def test_a_browser_that_does_not_start_is_one_line(monkeypatch):
    chromium = pytest.importorskip("vaewidgets.bench.chromium")

    class Playwright:
        class chromium:
            @staticmethod
            def launch(**options):
                raise chromium.PlaywrightError(
                    f"Executable doesn't exist at {options['executable_path']}\nmore"
                )

    monkeypatch.setattr(doctor, "chromium_path", lambda: "/nowhere/chromium")
    with pytest.raises(RuntimeError, match="playwright install chromium") as error:
        page._launch(Playwright, ())
    assert "/nowhere/chromium Install the system's chromium" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_written_is_json_also_where_nothing_was_seen(tmp_path, monkeypatch, capsys):
    nothing = result(waits=[None], pictures=[], changes=0)
    monkeypatch.setattr(drag, "measure", lambda *args, **kwargs: ({"cpus": 2}, [nothing]))
    path = tmp_path / "drag.json"
    assert cli.main(["bench", "drag", "--json", str(path), "--no-webgl", "--designs", "explorer"]) == 0
    record = json.loads(path.read_text())
    assert record["settings"] == {"seconds": 5.0, "steps": 30, "webgl": False}
    assert record["designs"][0]["figures"]["latency_p50_ms"] is None
    assert record["designs"][0]["moves"] == [0, 500, 1000]
    assert f"wrote {path}" in capsys.readouterr().out
