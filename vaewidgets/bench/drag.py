"""``vaewidgets bench drag``: how soon and how often a picture follows a slider that is dragged.

It opens JupyterLab and a headless Chromium, makes a notebook for each design and drags its first slider, all
in one run: only figures of one run can be compared. A picture counts when the page has it: a canvas that was
drawn, an image that has another address. Decoding that image comes on top, to the advantage of the designs
that send one.

Nothing here imports a panel: what is measured is source code that the notebooks hold.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .page import opened, wait_for_rest
from .report import ruled, without_nan

#: px to the right of its start that a handle is dragged, the same for all designs, and px per second: three
#: for each frame at 60 a second, so that each frame's move is another value.
DISTANCE, SPEED = 48, 180
#: Seconds of rest between two single steps.
REST = 0.15

_MODEL = """\
import ipywidgets as widgets
import torch
import vaewidgets as vw
model = vw.pretrained("mnist-vae-2d")
"""
_SLIDERS = """
z1, z2 = (
    widgets.FloatSlider(0, min=-3.5, max=3.5, step=0.01, description=name, layout=dict(width="300px"))
    for name in ("z1", "z2")
)
picture = widgets.Image(format="png", width=252, height=252)
def decode():
    with torch.no_grad():
        picture.value = vw.to_png(model.decode(torch.tensor([[z1.value, z2.value]]))[0], scale=9)
"""


@dataclass(frozen=True)
class Design:
    """A way to put a picture under a slider.

    Attributes
    ----------
    title : str
    cells : tuple of str
        The notebook; its last cell shows slider and picture.
    watch : str
        CSS selector, in the last cell, of what holds the picture.
    naive : bool
        Whether it is one that others are held against.
    """

    title: str
    cells: tuple[str, ...]
    watch: str
    naive: bool = True


def _figure_cells(trace: str, edit: str) -> tuple[str, ...]:
    setup = f"""\
{_MODEL}
import plotly.graph_objects as go
{_SLIDERS}
x, y = model.atlas.mu.numpy().T
points = dict(size=4, color=model.atlas.labels.numpy(), colorscale="Turbo")
figure = go.FigureWidget(
    [
        go.{trace}(x=x, y=y, mode="markers", marker=points),
        go.{trace}(x=[0], y=[0], mode="markers", marker=dict(size=14, color="black")),
    ],
    layout=dict(width=520, height=470, showlegend=False),
)
def show(_=None):
    decode()
    {edit}
for slider in (z1, z2):
    slider.observe(show, "value")
show()"""
    return setup, "widgets.HBox([widgets.VBox([picture, z1, z2]), figure])"


def designs(webgl: bool = True) -> dict[str, Design]:
    """Return what can be measured, by the name that the command line knows.

    Parameters
    ----------
    webgl : bool
        Whether the browser has WebGL; without it the figures must draw their points as SVG to show any.
    """
    explorer = f"{_MODEL}explorer = vw.LatentExplorer(model)"
    trace, svg = ("Scattergl", "") if webgl else ("Scatter", " (SVG)")
    # Two assignments are two edits, and two redraws of all points: what is written first. In a batch they
    # are one, which who reads Plotly's manual knows: so the better way stands beside it.
    move = "figure.data[1].x, figure.data[1].y = [z1.value], [z2.value]"
    return {
        "explorer": Design("explorer", (explorer, "explorer"), "[data-vw=picture]", naive=False),
        "explorer-no-map": Design(
            "explorer without map",
            (explorer, "widgets.VBox([explorer.canvas, *explorer.sliders])"),
            "[data-vw=picture]",
            naive=False,
        ),
        "naive-figure": Design(f"naive figure{svg}", _figure_cells(trace, move), "img.widget-image"),
        "batched-figure": Design(
            f"batched figure{svg}",
            _figure_cells(trace, f"with figure.batch_update():\n        {move}"),
            "img.widget-image",
        ),
        "kernel-picture": Design(
            "kernel picture",
            (
                f"{_MODEL}{_SLIDERS}"
                "for slider in (z1, z2):\n    slider.observe(lambda _: decode(), 'value')\ndecode()",
                "widgets.VBox([picture, z1, z2])",
            ),
            "img.widget-image",
        ),
        "interact-matplotlib": Design(
            "interact + matplotlib",
            (
                f"""\
%matplotlib inline
import matplotlib.pyplot as plt
{_MODEL}
def show(z1, z2):
    plt.figure(figsize=(3, 3))
    plt.imshow(model.decode(torch.tensor([[z1, z2]]))[0, 0].detach(), cmap="gray")
    plt.axis("off")
    plt.show()""",
                """\
_ = widgets.interact(
    show,
    z1=widgets.FloatSlider(0, min=-3.5, max=3.5, step=0.01),
    z2=widgets.FloatSlider(0, min=-3.5, max=3.5, step=0.01),
)""",
            ),
            ".widget-interact",
        ),
    }


# --- statistics ----------------------------------------------------------------------------------------


def percentile(values: Sequence[float], share: float) -> float:
    """Compute a percentile, linear between neighbours as numpy does; NaN of nothing.

    Parameters
    ----------
    values : sequence of float
        In any order.
    share : float
        In [0, 1]; 0.5 is the median.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie in [0, 1]; got {share}.")
    if not values:
        return math.nan
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def gaps(pictures: Sequence[float], end: float) -> list[float]:
    """List how long each picture stood, from 0 to `end`.

    The wait for the first and what remains after the last count too: a page that stops for good must not
    look smooth.
    """
    times = [0.0, *pictures, end]
    return [after - before for before, after in zip(times[:-1], times[1:], strict=True)]


def latencies(moves: Sequence[float], pictures: Sequence[float]) -> list[float | None]:
    """Pair each move with the first picture after it, if that came before the next move.

    Returns
    -------
    list of float or None
        For each move the time to its picture, in the unit of the times; None where none came.
    """
    ends = [*moves, math.inf][1:]
    firsts = (
        next((time for time in pictures if move <= time < end), None)
        for move, end in zip(moves, ends, strict=True)
    )
    return [None if first is None else first - move for move, first in zip(moves, firsts, strict=True)]


@dataclass
class Result:
    """What was seen of one design: raw times in ms, and the figures made of them.

    Attributes
    ----------
    waits : list of float or None
        From each single step to its picture.
    moves, pictures : list of float
        During the drag: the page's frames, and those of them that brought a picture.
    changes : int
        Moves that gave the slider another value.
    """

    name: str
    title: str
    naive: bool
    waits: list[float | None]
    moves: list[float]
    pictures: list[float]
    changes: int
    figures: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        seen = [wait for wait in self.waits if wait is not None]
        end = self.moves[-1]
        stood = gaps(self.pictures, end)
        self.figures = {
            "latency_p50_ms": percentile(seen, 0.5),
            "latency_p95_ms": percentile(seen, 0.95),
            "steps_without_picture": len(self.waits) - len(seen),
            "pictures_per_second": 1000 * len(self.pictures) / end,
            "gap_p95_ms": percentile(stood, 0.95),
            "pictures_per_change": len(self.pictures) / self.changes if self.changes else math.nan,
            "frames_per_second": 1000 * (len(self.moves) - 1) / end,
        }


_COLUMNS = (
    ("latency_p50_ms", "step p50", "ms", ".1f"),
    ("latency_p95_ms", "step p95", "ms", ".1f"),
    ("pictures_per_second", "pictures", "1/s", ".1f"),
    ("gap_p95_ms", "gap p95", "ms", ".0f"),
    ("frames_per_second", "frames", "1/s", ".1f"),
    ("pictures_per_change", "followed", "%", ".0%"),
)


def table(results: Sequence[Result]) -> str:
    """Write the figures as one table, with ratios against the first naive design if there is one."""
    base = next((result for result in results if result.naive), None)
    heads = ["design", *(head for _, head, _, _ in _COLUMNS)]
    units = ["", *(unit for _, _, unit, _ in _COLUMNS)]
    rows = [[r.title, *(format(r.figures[key], form) for key, _, _, form in _COLUMNS)] for r in results]
    if base is not None:
        heads += ["pictures", "step p50"]
        units += ["x naive", "x naive"]
        for row, result in zip(rows, results, strict=True):
            for key in ("pictures_per_second", "latency_p50_ms"):
                below = base.figures[key]
                row.append(f"{result.figures[key] / below:.2f}" if below else "-")
    text = ruled([heads, units, *rows], rule_after=2)
    for result in results:
        missed = result.figures["steps_without_picture"]
        if missed:
            text.append(f"{result.title}: {missed} of {len(result.waits)} steps brought no picture")
    if base is not None:
        text.append(f"x naive: against {base.title}")
    return "\n".join(text)


# --- the command line ----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what follows ``vaewidgets bench drag``."""
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="of dragging each design (default: 5)")
    parser.add_argument("--steps", type=_count, default=30, help="single steps of each design (default: 30)")
    parser.add_argument(
        "--designs", nargs="+", choices=list(designs()), default=list(designs()), metavar="NAME",
        help="which, and in which order (default: " + " ".join(designs()) + ")",
    )  # fmt: skip
    parser.add_argument(
        "--webgl", action=argparse.BooleanOptionalAction, default=True,
        help="whether the browser has WebGL (in software without a GPU; default: it has)",
    )  # fmt: skip
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="also write the figures, and all times, for programs (default: no file)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
    parser.add_argument(
        "--shots", metavar="DIR", help="keep a picture of each design, taken after its drag (default: none)"
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.2 <= value <= 600:
        raise argparse.ArgumentTypeError(f"expected seconds from 0.2 to 600; got {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 1000; got {text!r}")
    return int(text)


def run(args) -> int:
    """Measure and print; return the exit status."""
    from vaewidgets._utils.atomic_write import check_free, write

    if args.json is not None:
        check_free(args.json, args.overwrite)  # before minutes of measuring
    chosen = {name: designs(args.webgl)[name] for name in args.designs}
    if args.shots is not None:
        Path(args.shots).mkdir(parents=True, exist_ok=True)
    where, results = measure(
        chosen, args.seconds, args.steps, webgl=args.webgl, shots=args.shots and Path(args.shots)
    )
    print()
    print(table(results))
    if args.json is not None:
        settings = {"seconds": args.seconds, "steps": args.steps, "webgl": args.webgl}
        record = {"machine": where, "settings": settings, "designs": [asdict(r) for r in results]}
        text = json.dumps(without_nan(record), indent=1, allow_nan=False)
        write({Path(args.json): text.encode()}, args.overwrite)
        print(f"wrote {args.json}")
    return 0


def measure(
    chosen: dict[str, Design], seconds: float, steps: int, *, webgl: bool = True, shots: Path | None = None
) -> tuple[dict[str, object], list[Result]]:
    """Open server and browser, and measure one design after the other.

    Parameters
    ----------
    chosen : dict of Design by name
    seconds : float
        Of dragging, each.
    steps : int
        Single steps, each.
    webgl : bool
        Whether the browser has it.
    shots : Path, optional
        Folder for a picture of each design.

    Returns
    -------
    (machine, results) : dict, list of Result

    Raises
    ------
    ImportError
        The extra is not installed.
    RuntimeError
        No Chromium; a design that does not run.
    """
    from .chromium import PlaywrightError

    with opened("matplotlib", webgl=webgl) as (where, server, chromium):
        results = []
        for name, design in chosen.items():
            print(f"measuring {design.title} ...", file=sys.stderr, flush=True)
            try:
                results.append(_measure(name, design, chromium, server, seconds, steps, shots))
            except (PlaywrightError, AssertionError) as error:
                raise RuntimeError(f"the design {name} does not run: {error}") from error
    return where, results


def _measure(name, design, chromium, server, seconds, steps, shots) -> Result:
    from .browser import Notebook
    from .chromium import expect

    notebook = Notebook(chromium, server, shots, sidebar=False)
    try:
        notebook.open(server.write(f"{name}.ipynb", list(design.cells)))
        notebook.run_all()
        cell = notebook.cell(len(design.cells) - 1)
        handle, watch = cell.locator(".noUi-handle").first, cell.locator(design.watch).first
        for element in (handle, watch):
            expect(element).to_be_visible()
        wait_for_rest(notebook)
        moves, pictures = notebook.steps(handle, DISTANCE, steps, watch=watch, rest=REST)
        wait_for_rest(notebook)
        turns = max(1, round(seconds * SPEED / (2 * DISTANCE)))
        sweep = notebook.sweep(handle, DISTANCE, seconds, watch=watch, turns=turns)
        if shots is not None:
            notebook.wait_idle()
            notebook.screenshot(name)
        if notebook.kernel_errors:
            raise AssertionError(notebook.kernel_errors[0])
    finally:
        notebook.close()
    return Result(
        name=name, title=design.title, naive=design.naive, waits=latencies(moves, pictures),
        moves=sweep.moves, pictures=sweep.pictures, changes=sweep.changes,
    )  # fmt: skip
