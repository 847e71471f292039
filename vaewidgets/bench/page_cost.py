"""``vaewidgets bench page``: what a page is sent, how soon it is there, and how quick its map is.

Beside this state of the package it measures another one, checked out in a folder, in turns: times of two runs
cannot be compared, ratios within one can.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .page import opened, wait_for_rest
from .report import check_at_least_one, ruled

#: Messages of fewer bytes are not looked at for whether they came twice.
_LARGE = 50_000
_MAP = """\
import numpy as np
import vaewidgets as vw
rng = np.random.default_rng(0)
labels = np.arange({points}) % 10
map_ = vw.LatentMap(rng.normal(size=({points}, 2)) + labels[:, None] / 3, labels)
vw.LatentMap(np.zeros((2, 2)), np.arange(2))"""
#: From when a figure's place is there to the frame in which its axes and points are.
_FIRST_PLOT = """() => new Promise(resolve => {
    const known = new Set(document.querySelectorAll('.vw-figure'));
    let begin = null;
    new MutationObserver(() => {
        if ([...document.querySelectorAll('.vw-figure')].some(figure => !known.has(figure)))
            begin ??= performance.now();
    }).observe(document.body, {childList: true, subtree: true});
    const look = () => {
        const plot = [...document.querySelectorAll('.js-plotly-plot')].find(
            each => each.calcdata?.flat().length >= POINTS && each.querySelector('.xtick'));
        const points = plot?.querySelector('.vw-points');
        if (begin !== null && plot && (points ? points.dataset.vwPaints : plot.querySelector('.point'))) {
            window.vwPlot = plot;
            requestAnimationFrame(() => resolve(performance.now() - begin));
        } else requestAnimationFrame(look);
    };
    look();
})"""
#: Milliseconds from a press of Plotly's own button to the frame after the plot is drawn.
_ZOOM = """async ([value, times]) => {
    const plot = window.vwPlot;
    const button = plot.querySelector(`.modebar-btn[data-attr=zoom][data-val=${value}]`);
    const waits = [];
    for (let k = 0; k < times; k++) {
        const begin = performance.now();
        const drawn = new Promise(resolve => plot.once('plotly_afterplot', resolve));
        button.click();
        await drawn;
        await new Promise(requestAnimationFrame);
        await new Promise(resolve => setTimeout(resolve));
        waits.push(performance.now() - begin);
        await new Promise(resolve => setTimeout(resolve, 300));
    }
    return waits;
}"""
#: The explorer of notebook 00: its map has points, and its canvas a picture.
_THERE = """() => [...document.querySelectorAll('.vw-panel')].some(panel =>
    [...panel.querySelectorAll('.js-plotly-plot')].some(plot => plot.calcdata?.flat().length > 5000
        && (plot.querySelector('.vw-points[data-vw-paints]')
            || plot.querySelectorAll('.point').length > 5000))
    && [...panel.querySelectorAll('[data-vw=picture]')].some(canvas => Number(canvas.dataset.vwFrame) > 0))"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets bench page`` to an argparse parser."""
    parser.add_argument("--beside", metavar="DIR", help="a checkout of another state (default: none)")
    parser.add_argument("--rounds", type=int, default=1, help="turns (default: 1)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[1.0, 4.0], metavar="RATE",
        help="how many times slower the page's processor is made (default: 1 4)",
    )  # fmt: skip
    parser.add_argument(
        "--points", type=int, nargs="+", default=[10_000, 100_000], metavar="N",
        help="on the map (default: 10000 100000)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one line for programs, after the table")


def run(args) -> int:
    """Measure and print; return the exit status."""
    check_at_least_one(args, "rounds")
    states = {"this state": Path(__file__).parents[2]}
    if args.beside is not None:
        states["beside"] = Path(args.beside).resolve()
    for folder in states.values():
        if not (folder / "vaewidgets" / "__init__.py").is_file():
            raise ValueError(f"{folder} is no checkout of vaewidgets: it has no vaewidgets/__init__.py.")
    figures: dict[str, dict[str, list[float]]] = {name: {} for name in states}
    for _ in range(args.rounds):
        for name, folder in states.items():
            for key, value in measure(folder, args.rates, args.points).items():
                figures[name].setdefault(key, []).append(value)
    medians = {name: {key: median(values) for key, values in own.items()} for name, own in figures.items()}
    print("\n".join(table(medians)))
    if args.json:
        print(json.dumps(medians))
    return 0


def table(figures: dict[str, dict[str, float]]) -> list[str]:
    """Write what was measured, a row for each figure, and the first state as a share of the second.

    Examples
    --------
    >>> for line in table({"this state": {"map, s": 0.5}, "beside": {"map, s": 2.0}}):
    ...     print(line)
            this state  beside  ratio
    ---------------------------------
    map, s        0.50    2.00   0.25
    """
    names = list(figures)
    rows = [["", *names, "ratio"] if len(names) > 1 else ["", *names]]
    for key, value in figures[names[0]].items():
        values = [value, *(figures[name].get(key, float("nan")) for name in names[1:])]
        ratio = [f"{values[0] / values[1]:.2f}"] if len(values) > 1 else []
        rows.append([key, *(f"{each:,.2f}" for each in values), *ratio])
    return ruled(rows, rule_after=1)


def measure(folder: Path, rates: Sequence[float], points: Sequence[int]) -> dict[str, float]:
    """Measure the package in `folder`.

    Parameters
    ----------
    folder : Path
        A checkout: its notebook 00 is run.
    rates : sequence of float
        How many times slower the page's processor is made.
    points : sequence of int
        On the map.

    Returns
    -------
    dict of float
        By what was measured, with its unit.

    Raises
    ------
    ImportError, RuntimeError
        As `opened`.
    """
    from .browser import Notebook

    found = {}
    with tempfile.TemporaryDirectory() as shots, opened(package=folder) as (_, server, chromium):

        def open_notebook() -> Notebook:
            notebook = Notebook(chromium, server, Path(shots), sidebar=False)
            notebook.page.set_viewport_size({"width": 1280, "height": 4000})
            return notebook

        source = json.loads((folder / "notebooks" / "00_quickstart.ipynb").read_text("utf-8"))
        for rate in rates:
            notebook = open_notebook()
            traffic = _Traffic(notebook.page)
            try:
                notebook.open(server.write("00.ipynb", source["cells"]))
                slow = notebook.page.context.new_cdp_session(notebook.page)
                slow.send("Emulation.setCPUThrottlingRate", {"rate": rate})
                begin = time.perf_counter()
                notebook.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")
                notebook.page.wait_for_function(_THERE, polling=50, timeout=300_000)
                found[f"explorer after Run All, processor {rate:g} times slower, s"] = (
                    time.perf_counter() - begin
                )
                if rate == rates[0]:
                    wait_for_rest(notebook)
                    found["notebook 00 over the wire, MB"] = traffic.bytes / 1e6
                    found["of that a second time, MB"] = traffic.repeated / 1e6
            finally:
                notebook.close()
        for count in points:
            notebook = open_notebook()
            try:
                notebook.open(server.write("map.ipynb", [_MAP.format(points=count), "map_"]))
                page = notebook.page
                run_cell = """async k => {
                    vwPanel.content.activeCellIndex = k;
                    vwPanel.content.deselectAll();
                    await jupyterapp.commands.execute('notebook:run-cell');
                }"""
                page.evaluate(run_cell, 0)
                wait_for_rest(notebook)
                page.evaluate(
                    f"() => {{ window.vwFirst = ({_FIRST_PLOT.replace('POINTS', str(count))})(); }}"
                )
                page.evaluate(run_cell, 1)
                first = page.evaluate("() => window.vwFirst")
                wait_for_rest(notebook)
                waits = [ms for value in ("in", "out") for ms in page.evaluate(_ZOOM, [value, 4])]
                found[f"map of {count:,} points, first plot, s"] = first / 1000
                found[f"map of {count:,} points, zoom, ms"] = median(waits)
            finally:
                notebook.close()
    return found


class _Traffic:
    """Bytes that a page's websockets brought."""

    def __init__(self, page) -> None:
        self.bytes = 0
        self._seen: Counter[tuple[int, str]] = Counter()
        page.on("websocket", lambda socket: socket.on("framereceived", self._count))

    @property
    def repeated(self) -> int:
        """Bytes of large contents after their first time."""
        return sum(size * (times - 1) for (size, _), times in self._seen.items())

    def _count(self, payload: bytes | str) -> None:
        data = payload.encode() if isinstance(payload, str) else payload
        self.bytes += len(data)
        if len(data) > _LARGE:
            # The heads of two messages differ, their ends, with what is large, do not.
            self._seen[len(data), hashlib.sha256(data[-_LARGE // 2 :]).hexdigest()] += 1
