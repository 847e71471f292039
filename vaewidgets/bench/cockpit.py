"""``vaewidgets bench cockpit``: what it costs a training to be watched, and how usable the notebook stays.

One kernel trains the same model alone and under a cockpit that a browser shows, in turns; server, browser and
kernel share the processor. While it is watched a slider is moved whose picture the kernel decodes, and the
training is stopped.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from .drag import DISTANCE, REST, latencies, percentile
from .page import opened, wait_for_rest
from .report import check_at_least_one, check_positive, ruled

_SETUP = """\
import copy, json, threading, time
import ipywidgets as widgets
import torch
import vaewidgets as vw
data = vw.load_data({dataset!r}, download=False)
model = vw.VAE(2, data.train.images.shape[1:], hidden=(400,), seed=0)
cockpit = vw.TrainingCockpit(model, data, epochs=100_000, points={points})
alone = vw.fit(copy.deepcopy(model), data.train.images, epochs=100_000)
other = vw.pretrained("mnist-vae-2d")
slider = widgets.FloatSlider(0, min=-3.5, max=3.5, step=0.01, description="z1", layout=dict(width="300px"))
picture = widgets.Image(format="png", width=112, height=112)
def decode(_=None):
    with torch.no_grad():
        picture.value = vw.to_png(other.decode(torch.tensor([[slider.value, 0.0]]))[0], scale=4)
slider.observe(decode, "value")
decode()
def speed(training, beat, seconds, step):
    begun, first, shown = time.perf_counter(), training.step, beat()
    while time.perf_counter() < begun + seconds:
        step()
    passed = time.perf_counter() - begun
    return (training.step - first) * 128 / passed, (beat() - shown) / passed
def unwatched(seconds):
    return speed(alone, lambda: 0, seconds, lambda: next(alone))[0]
def watched(seconds):
    cockpit.start()
    time.sleep(2)
    rates = speed(cockpit.training, lambda: cockpit.paint_probe.ping, seconds, lambda: time.sleep(0.01))
    cockpit.pause()
    return rates
def halted():
    begun = time.perf_counter()
    cockpit._loop.halt()
    return time.perf_counter() - begun"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets bench cockpit`` to an argparse parser."""
    parser.add_argument("--dataset", choices=("digits", "mnist"), default="mnist", help="(default: mnist)")
    parser.add_argument("--points", type=int, default=2000, help="test images on the map (default: 2000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of training in each turn (default: 10)")
    parser.add_argument("--rounds", type=int, default=3, help="turns (default: 3)")
    parser.add_argument("--steps", type=int, default=30, help="moves of the slider (default: 30)")
    parser.add_argument("--json", action="store_true", help="one line for programs, after the table")


def run(args) -> int:
    """Measure and print; return the exit status."""
    check_at_least_one(args, "points", "rounds", "steps")
    check_positive(args, "seconds")
    figures = measure(args.dataset, args.points, args.seconds, args.rounds, args.steps)
    rows = [
        ["training", "images/s", ""],
        ["alone", f"{figures['alone']:,.0f}", "1.00"],
        ["watched", f"{figures['watched']:,.0f}", f"{figures['watched'] / figures['alone']:.2f}"],
    ]
    print()
    print("\n".join(ruled(rows, rule_after=1)))
    print(
        f"{figures['pictures']:.1f} updates a second; a slider that the kernel answers, while it trains: p50 "
        f"{figures['slider_p50_ms']:.0f} ms, p95 {figures['slider_p95_ms']:.0f} ms; halted after "
        f"{1000 * figures['halted']:.0f} ms, the last picture included"
    )
    if args.json:
        print(json.dumps(figures))
    return 0


def measure(dataset: str, points: int, seconds: float, rounds: int, steps: int) -> dict[str, float]:
    """Train alone and under a cockpit in a real JupyterLab, in turns.

    Parameters
    ----------
    dataset : "digits" or "mnist"
    points : int
        Test images on the map.
    seconds : float
        Of training in each turn.
    rounds : int
        Turns.
    steps : int
        Moves of the slider.

    Returns
    -------
    dict
        ``alone`` and ``watched`` in images per second and ``pictures`` in updates per second, each the
        median over the turns; ``slider_p50_ms`` and ``slider_p95_ms``; ``halted`` in seconds.

    Raises
    ------
    ImportError
        The extra is not installed.
    RuntimeError
        Chromium does not start, or the kernel reports an error.
    """
    from .browser import Notebook
    from .chromium import expect

    with opened() as (_, server, chromium):
        notebook = Notebook(
            chromium, server, Path(tempfile.gettempdir()), sidebar=False, viewport=(1280, 1700)
        )
        try:
            setup = _SETUP.format(dataset=dataset, points=points)
            cells = [setup, "widgets.VBox([picture, slider])", "cockpit"]
            notebook.open(server.write("cockpit.ipynb", cells))
            notebook.run_all()
            handle, watch = (notebook.cell(1).locator(css).first for css in (".noUi-handle", "img"))
            expect(notebook.cell(2).locator(".js-plotly-plot").first).to_be_visible()
            wait_for_rest(notebook)
            unwatched, watched = [], []
            for _ in range(rounds):
                unwatched.append(float(notebook.evaluate(f"unwatched({seconds})")))
                watched.append(json.loads(notebook.evaluate(f"print(json.dumps(watched({seconds})))")))
            notebook.evaluate("cockpit.start()")
            moves, pictures = notebook.steps(handle, DISTANCE, steps, watch=watch, rest=REST)
            halted = float(notebook.evaluate("halted()"))
            if notebook.kernel_errors:
                raise RuntimeError(notebook.kernel_errors[0])
        finally:
            notebook.close()
    waits = [wait for wait in latencies(moves, pictures) if wait is not None]
    return {
        "alone": median(unwatched),
        "watched": median(rate for rate, _ in watched),
        "pictures": median(rate for _, rate in watched),
        "slider_p50_ms": percentile(waits, 0.5),
        "slider_p95_ms": percentile(waits, 0.95),
        "halted": halted,
    }
