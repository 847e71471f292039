"""``vaewidgets bench drag``: how soon and how often a picture follows a slider that is dragged.

It opens JupyterLab and a headless Chromium, makes a notebook for each design and drags its first slider, all
in one run, because only figures of one run can be compared. A picture counts when the page has it: a canvas
was drawn, or an image has another address. The time to decode that image is not counted, to the advantage of
the designs that send one.

This module imports no panel: what is measured is the source code in the notebooks.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

from .page import opened, wait_for_rest
from .report import ruled, whole_number, without_nan

#: Pixels that a handle is dragged to the right of its start, and pixels per second: three for each frame at
#: 60 a second, so that each frame's move is another value.
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
        Whether others are compared with it.
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
    """Return the designs that can be measured, by their names on the command line.

    Parameters
    ----------
    webgl : bool
        Whether the browser has WebGL; without it the figures must draw their points as SVG to show any.

    Examples
    --------
    >>> designs()["explorer"].title
    'explorer'
    """
    explorer = f"{_MODEL}explorer = vw.LatentExplorer(model)"
    trace, svg = ("Scattergl", "") if webgl else ("Scatter", " (SVG)")
    # Two assignments are two edits and redraw all points twice. In a batch, which Plotly's manual recommends,
    # they are one edit. Both ways are measured.
    move = "figure.data[1].x, figure.data[1].y = [z1.value], [z2.value]"
    return {
        "explorer": Design("explorer", (explorer, "explorer"), "[data-vw=picture]", naive=False),
        "explorer-100000": Design(
            "explorer, 100,000 points",
            (
                f"""\
{_MODEL}from vaewidgets.io.checkpoints import EncodedDataset
rows = torch.arange(100_000) % len(model.atlas.mu)
noise = 0.1 * torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))
mu, logvar, labels = (each[rows] for each in model.atlas)
model.atlas = EncodedDataset(mu + noise, logvar, labels)
explorer = vw.LatentExplorer(model)""",
                "explorer",
            ),
            "[data-vw=picture]",
            naive=False,
        ),
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
    """Compute a percentile by linear interpolation, with numpy; NaN without values.

    Parameters
    ----------
    values : sequence of float
        In any order.
    share : float
        From 0 to 1; 0.5 is the median.

    Raises
    ------
    ValueError
        `share` is not in [0, 1].

    Examples
    --------
    >>> percentile([4, 1, 3, 2], 0.5)
    2.5
    """
    import numpy as np  # the command line starts without it

    return float(np.quantile(values, share)) if values else math.nan


def gaps(pictures: Sequence[float], end: float) -> list[float]:
    """Compute the times between pictures, from 0 to `end`.

    The wait for the first and the time after the last count too: otherwise a page that stops would look
    smooth.

    Parameters
    ----------
    pictures : sequence of float
        Times, ascending, in any unit.
    end : float
        Of the measurement, in the same unit.

    Examples
    --------
    >>> gaps([10, 30, 35], 100)
    [10, 20, 5, 65]
    """
    return [after - before for before, after in pairwise([0, *pictures, end])]


def latencies(moves: Sequence[float], pictures: Sequence[float]) -> list[float | None]:
    """Compute the time from each move to the first picture after it.

    Parameters
    ----------
    moves, pictures : sequence of float
        Times, ascending, in one unit.

    Returns
    -------
    list of float or None
        One for each move; None where no picture came before the next move.

    Examples
    --------
    >>> latencies([0, 100, 200], [7, 40, 950])
    [7, None, 750]
    """
    return [
        next((time - move for time in pictures if move <= time < end), None)
        for move, end in pairwise([*moves, math.inf])
    ]


@dataclass
class Result:
    """The measured times of one design in ms, and the figures computed from them.

    Attributes
    ----------
    name, title : str
        As the command line and as the table call the design.
    naive : bool
        Whether others are compared with it.
    waits : list of float or None
        From each single step to its picture.
    moves, pictures : list of float
        During the drag: the page's frames, and those of them that brought a picture.
    changes : int
        Moves that gave the slider another value.
    figures : dict of float
        Percentiles, counts and rates: the columns of `table`.

    Examples
    --------
    >>> result = Result("a", "a", True, waits=[4.0, None], moves=[0, 500, 1000], pictures=[250], changes=2)
    >>> result.figures["frames_per_second"], result.figures["steps_without_picture"]
    (2.0, 1)
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
    """Write the figures of several designs as one table.

    If there is a naive design, two columns compare all with the first of them.

    Examples
    --------
    >>> result = Result("a", "a", False, waits=[4.0], moves=[0, 500, 1000], pictures=[250], changes=2)
    >>> print(table([result]).splitlines()[-1])
    a            4.0       4.0       1.0      725     2.0       50%
    """
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
        if missed := result.figures["steps_without_picture"]:
            text.append(f"{result.title}: {missed} of {len(result.waits)} steps brought no picture")
    if base is not None:
        text.append(f"x naive: against {base.title}")
    return "\n".join(text)


# --- the command line ----------------------------------------------------------------------------------


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets bench drag`` to an argparse parser."""
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="of dragging each design (default: 5)")
    parser.add_argument(
        "--steps", type=whole_number(1000), default=30, help="single steps of each design (default: 30)"
    )
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
    """Measure one design after the other in a real JupyterLab.

    Parameters
    ----------
    chosen : dict of Design by name
    seconds : float
        Of dragging each design.
    steps : int
        Single steps of each design.
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
        Chromium does not start, or a design does not run.
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
