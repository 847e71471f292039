"""``vaewidgets bench train``: how fast this package trains, compared with what people usually run.

All designs have the same model, batches and optimizer, and real MNIST. Every design trains for the same
number of epochs. These are cut into rounds, and every design has its turn in each round, so that other load
on the machine affects all alike. Only training is timed. Afterwards the ELBO of all is measured on the test
images in one way, because a fast design must also have learned.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from statistics import median

from .report import machine, ruled, software, whole_number, without_nan

_DIGITS_EPOCHS = 20
_NOT_INSTALLED = "not installed; pip install pythae adds it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``vaewidgets bench train`` to an argparse parser."""
    count = whole_number(60_000)
    parser.add_argument(
        "--data", metavar="ROOT", help="folder that holds MNIST/raw (default: $VAEWIDGETS_DATA)"
    )
    parser.add_argument("--epochs", type=count, default=2, help="of each design (default: 2)")
    parser.add_argument("--batch-size", type=count, default=128, help="(default: 128)")
    parser.add_argument("--rounds", type=count, default=40, help="turns that each design has (default: 40)")
    parser.add_argument(
        "--images", type=count, default=60_000, help="train on the first so many (default: all)"
    )
    parser.add_argument("--threads", type=count, metavar="N", help="processor threads (default: torch's)")
    parser.add_argument(
        "--device", choices=("auto", "cpu"), default="auto",
        help="auto: also on the GPU, if there is one; cpu: not there (default: auto)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for programs, in place of the table")


@dataclass
class Result:
    """The measurements of one design on one device.

    Attributes
    ----------
    name, title, device : str
    precision : "float32" or "bfloat16"
        Of the matrix products.
    rates : list of float
        Images per second of each round; empty if it did not run.
    loss_before, loss : float
        Minus the ELBO of the test images, nats per image, before the first step and after the last.
    note : str
        Why it did not run.

    Examples
    --------
    >>> Result("fit", "vaewidgets fit", "cpu", rates=[10.0, 30.0, 20.0]).images_per_second
    20.0
    """

    name: str
    title: str
    device: str
    precision: str = "float32"
    rates: list[float] = field(default_factory=list)
    loss_before: float = float("nan")
    loss: float = float("nan")
    note: str = ""

    @property
    def images_per_second(self) -> float:
        """Median over the rounds; NaN if it did not run."""
        return median(self.rates) if self.rates else float("nan")


def run(args) -> int:
    """Measure and print a table or JSON; return the exit status."""
    import torch

    from vaewidgets.data.load import _root, load_data

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    data = load_data("mnist", root=args.data, download=False)
    settings = {
        "epochs": args.epochs, "batch_size": args.batch_size, "images": min(args.images, len(data.train)),
        "rounds": args.rounds, "threads": torch.get_num_threads(),
    }  # fmt: skip
    devices = ["cpu", *(["cuda"] if args.device == "auto" and torch.cuda.is_available() else [])]
    where = {"software": software("torch", "torchvision"), **machine()}
    results, peaks, flops = measure(data, _root(args.data), devices, settings)
    record = {
        "machine": where,
        "settings": settings,
        "flops_per_image": flops,
        "peaks": peaks,
        "step_price": step_price(results),
        "digits_seconds": digits_seconds(),
        "designs": [asdict(result) | figures(result, results, peaks, flops) for result in results],
    }
    print(json.dumps(without_nan(record), indent=1, allow_nan=False) if args.json else table(record))
    return 0


def measure(data, root, devices: Sequence[str], settings: dict[str, int]):
    """Train every design on every device, one round at a time.

    Parameters
    ----------
    data : Dataset
        MNIST.
    root : Path
        torchvision's root, where `data` comes from.
    devices : sequence of str
        "cpu", "cuda".
    settings : dict
        ``epochs``, ``batch_size``, ``images``, ``rounds``.

    Returns
    -------
    results : list of Result
    peaks : dict of float by device and precision
        Floating-point operations per second of the fastest matrix product.
    flops : int
        Floating-point operations of a training step, per image.

    Raises
    ------
    ValueError
        There are more rounds than steps.
    """
    import torch
    from tqdm import tqdm

    from . import loops
    from .peak import Peak, step_flops, wait

    images, rounds = data.train.images[: settings["images"]], settings["rounds"]
    count = _counter(len(images), settings["batch_size"], settings["epochs"])
    if rounds >= len(count):
        raise ValueError(
            f"{rounds} rounds need as many steps; these epochs have {len(count) - 1}. Ask for fewer."
        )
    ends = [round(i * (len(count) - 1) / rounds) for i in range(rounds + 1)]
    torch.manual_seed(0)
    results, running = [], []
    peaks: dict[str, Peak] = {}
    for name in devices:
        device = torch.device(name)
        job = loops.Job(root, images, settings["epochs"], settings["batch_size"], device)
        for key, make in loops.DESIGNS.items():
            if name != "cpu" and key not in loops.ON_A_GPU:
                continue
            result = Result(key, make.title, name, make.precision)
            results.append(result)
            try:
                design = make(job)
            except ImportError as error:
                result.note = _NOT_INSTALLED if error.name == "pythae" else f"does not import: {error}"
                continue
            result.loss_before = loops.held_out(design.model, data.test.images)
            running.append((result, design, device))
            peaks.setdefault(f"{name} {make.precision}", Peak(device, getattr(torch, make.precision)))
    with tqdm(total=rounds * len(running), unit="turn", file=sys.stderr, leave=False) as bar:
        for first, last in pairwise(ends):
            for peak in peaks.values():
                peak.measure()
            for result, design, device in running:
                bar.set_description(result.title)
                wait(device)
                started = time.perf_counter()
                design.advance(last - first)
                wait(device)
                result.rates.append((count[last] - count[first]) / (time.perf_counter() - started))
                bar.update()
    for result, design, _ in running:
        result.loss = loops.held_out(design.model, data.test.images)
    return results, {name: peak.flops for name, peak in peaks.items()}, step_flops(*loops.layers())


def _counter(images: int, batch_size: int, epochs: int) -> list[int]:
    """List how many images were seen after 0, 1, 2, ... steps; the last batch of an epoch may be short."""
    ends = [*range(batch_size, images, batch_size), images]
    return [0, *(epoch * images + end for epoch in range(epochs) for end in ends)]


def digits_seconds() -> float:
    """Measure the seconds that the model of README takes to train on the digits."""
    from vaewidgets.data.load import load_data
    from vaewidgets.models.vae import VAE
    from vaewidgets.training.loop import fit

    images, model = load_data("digits").train.images, VAE(2, (1, 8, 8), seed=0)
    started = time.perf_counter()
    for _ in fit(model, images, epochs=_DIGITS_EPOCHS):
        pass
    return time.perf_counter() - started


def figures(result: Result, results: Sequence[Result], peaks: dict[str, float], flops: int) -> dict:
    """Compute the columns of the table from the measurements of a design.

    Parameters
    ----------
    result : Result
    results : sequence of Result
        All; the first of the same device is the one to compare with.
    peaks : dict of float by device and precision
    flops : int
        Floating-point operations per image.

    Examples
    --------
    >>> results = [Result("dataloader", "", "cpu", rates=[20.0]), Result("fit", "", "cpu", rates=[80.0])]
    >>> figures(results[1], results, {"cpu float32": 16e3}, flops=100)
    {'images_per_second': 80.0, 'ratio': 4.0, 'share_of_peak': 0.5}
    """
    base = next(other for other in results if other.device == result.device)
    speed = result.images_per_second
    peak = peaks.get(f"{result.device} {result.precision}", float("nan"))
    return {
        "images_per_second": speed,
        "ratio": speed / base.images_per_second,
        "share_of_peak": speed * flops / peak,
    }


def step_price(results: Sequence[Result]) -> float:
    """Compute the share of the time of `fit` on the CPU that goes into its `Step` objects and their losses.

    It is the median over the rounds, in each of which `fit` is compared with its engine alone.

    Examples
    --------
    >>> step_price([Result("engine", "", "cpu", rates=[100.0]), Result("fit", "", "cpu", rates=[75.0])])
    0.25
    """
    rates = {result.name: result.rates for result in results if result.device == "cpu"}
    return median(1 - with_ / bare for with_, bare in zip(rates["fit"], rates["engine"], strict=True))


def table(record: dict) -> str:
    """Write the figures, in the form in which ``--json`` prints them, as one table."""
    settings, designs = record["settings"], record["designs"]
    several = len({design["device"] for design in designs}) > 1
    rows = [["design", "images", "speed", "held-out loss", "of peak"], ["", "1/s", "x first", "nats", "%"]]
    for design in designs:
        title = f"{design['device']}: {design['title']}" if several else design["title"]
        if design["note"]:
            rows.append([title, "-", "-", "-", "-"])
            continue
        rows.append([
            title, f"{design['images_per_second']:,.0f}", f"{design['ratio']:.2f}", f"{design['loss']:.2f}",
            f"{design['share_of_peak']:.0%}",
        ])  # fmt: skip
    where, losses = record["machine"], [design["loss"] for design in designs if not design["note"]]
    load = "" if where["load"] is None else f", {where['load']:.1f} processes waiting for them at the start"
    peaks = ", ".join(f"{name} {flops / 1e9:,.0f} GFLOP/s" for name, flops in record["peaks"].items())
    return "\n".join([
        where["software"],
        f"{where['cpus']} CPUs{load}; {settings['threads']} threads",
        f"VAE 784-400-20, batches of {settings['batch_size']}, Adam 1e-3, {settings['epochs']} epochs of "
        f"{settings['images']:,} MNIST images in {settings['rounds']} rounds; median over the rounds",
        "",
        *ruled(rows, rule_after=2),
        *(f"{design['title']}: {design['note']}" for design in designs if design["note"]),
        f"losses of the test images, one sample each: all within {max(losses) - min(losses):.2f} nats",
        f"making a step and reading its loss takes {record['step_price']:.1%} of the time "
        "(fit against the engine alone, median over the rounds)",
        f"{record['flops_per_image']:,} operations per image, forward and backward; torch.mm reached {peaks}",
        f"digits, {_DIGITS_EPOCHS} epochs: {record['digits_seconds']:.2f} s",
    ])  # fmt: skip
