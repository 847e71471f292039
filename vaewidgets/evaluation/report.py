"""A `Scoreboard` as text and as plain JSON."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from vaewidgets._utils.text import align

from .holes import TAU, PathHoles, Rate

if TYPE_CHECKING:
    from .metrics import Mean
    from .model_report import Figures
    from .probes import Grouping
    from .scoreboard import Scoreboard

_WIDTH = 99
#: Models beside each other in the second table.
_COLUMNS = 3


def as_dict(board: Scoreboard) -> dict[str, Any]:
    """Turn every record of a board into a dict, and numbers that are not finite into None."""
    return dict(_plain(board))


def as_table(board: Scoreboard) -> str:
    """Format a board as text, in lines of less than 100 characters."""
    head = f"{board.draws:,} draws of each sampler; seed {board.seed}; shares in %, with 95 % intervals"
    lines = [head, "", *_samplers(board)]
    for first in range(0, len(board.models), _COLUMNS):
        lines += ["", *_figures(board.models[first : first + _COLUMNS])]
    if board.baselines:
        lines += ["", *_baselines(board.baselines)]
    for note in _notes(board):
        lines += ["", *textwrap.wrap(note, _WIDTH)]
    return "\n".join(lines)


def _samplers(board: Scoreboard) -> list[str]:
    """Format the samplers, one block for each model because the name of a model may be long."""
    has_features = any(row.feature_distance is not None for row in board.rows)
    has_seeds = any(len(row.seeds) > 1 for row in board.rows)
    head = ["", f"holes, tau = {TAU:g}", "holes, 5 % tau", "too far"]
    head += ["over seeds"] * has_seeds + ["features"] * has_features
    table: list[list[str] | str] = [head]
    for model, group in itertools.groupby(board.rows, lambda row: row.model):
        rows = list(group)
        if model is not None:
            table.append(f"{model} (5 % tau {rows[0].tau:.3f})")
        for row in rows:
            cells = [f"{'  ' * (model is not None)}{row.sampler}"]
            cells += [_rate(row.holes), _rate(row.holes_at_tau), _rate(row.distance)]
            if has_seeds:
                several = len(row.seeds) > 1
                cells.append(f"{100 * min(row.seeds):.1f}-{100 * max(row.seeds):.1f}" if several else "-")
            if has_features:
                cells.append("-" if row.feature_distance is None else f"{row.feature_distance:.1f}")
            table.append(cells)
    return _aligned(table)


def _figures(models: Sequence[Figures]) -> list[str]:
    table: list[list[str] | str] = [
        ["", *(_short(f.model) for f in models)],
        ["kind, latent dimension", *(f"{f.kind}, {f.latent_dim}" for f in models)],
        ["codes' deviation", *(_range(f.code_spread) for f in models)],
    ]
    lines: Iterable[tuple[str, Callable[[Figures], object]]] = (
        ("k-NN agreement", lambda f: f.grouping and f"{f.grouping.neighbours:.1%}"),
        ("linear probe", lambda f: f.grouping and _rate(f.grouping.probe)),
        ("holes on lines", lambda f: _rate(f.paths)),
        ("lines with a hole", lambda f: _rate(f.paths.crossing)),
        ("squared error a pixel", lambda f: f.reconstruction_error and _mean(f.reconstruction_error, 5)),
        ("active units", lambda f: f.active_units is not None and f"{f.active_units} of {f.latent_dim}"),
        ("mean KL, nats", lambda f: f.surgery and f"{f.surgery.mean_kl:.3f}"),
        ("mean KL, bits", lambda f: f.surgery and f"{f.surgery.mean_kl / math.log(2):.3f}"),
        ("  I(n; z)", lambda f: f.surgery and _mean(f.surgery.information)),
        ("  KL(q(z) || prior)", lambda f: f.surgery and _mean(f.surgery.marginal_kl)),
        ("  their sum", lambda f: f.surgery and _mean(f.surgery.total)),
        ("q(z) told from prior", lambda f: f.two_sample and _rate(f.two_sample)),
        *map(_bound, dict.fromkeys(name for f in models for name in f.bounds or ())),
    )  # fmt: skip
    for label, cell in lines:
        cells = [str(cell(figures) or "-") for figures in models]
        if any(text != "-" for text in cells):
            table.append([label, *cells])
    # The seed is a number, but no measurement.
    numbers = [n for f in models for n, value in f.at_training.items() if _is_number(value) and n != "seed"]
    if numbers:
        table.append("measured at training")
    for name in dict.fromkeys(numbers):
        table.append([f"  {name}"[:22], *(_stated(f.at_training.get(name)) for f in models)])
    return _aligned(table)


def _bound(name: str) -> tuple[str, Callable[[Figures], object]]:
    """Return the line of one bound."""
    return name, lambda f: f.bounds and name in f.bounds and _mean(f.bounds[name], 2)


def _baselines(baselines: dict[int, dict[str, Grouping]]) -> list[str]:
    table: list[list[str] | str] = [["to beat", "k-NN agreement", "linear probe"]]
    for d, tables in baselines.items():
        for name, found in tables.items():
            label = name if name == "pixels" else f"{name}, {d}-d"
            cells = [label, f"{found.neighbours:.1%}", _rate(found.probe)]
            if cells not in table:
                table.append(cells)
    return _aligned(table)


def _notes(board: Scoreboard) -> Iterator[str]:
    """Yield the notes under the table, one paragraph each."""
    yield (
        f"A hole: the judge gives no class a probability of {TAU:g}, or of the tau that rejects 5 % of the "
        "model's own reconstructions. Too far: further from every training reconstruction than 95 % of the "
        "held-out reconstructions are, so about 5 % where nothing is wrong."
    )
    said: dict[str, list[str]] = {}
    for figures in board.models:
        said.setdefault(figures.measured_on, []).append(figures.model)
    for text, names in said.items():
        yield f"{', '.join(names)}: {text}."
    hows = dict.fromkeys(f"{r.sampler} of {r.model}: {r.how}" for r in board.rows if r.sampler == "mixture")
    if hows:
        yield f"{'; '.join(hows)}."
    if board.images is not None:
        yield (
            f"Features: Frechet distance of the judge's features to those of {board.images:,} real images; "
            "it grows where fewer are compared, as of the reconstructions."
        )
    if any(figures.bounds for figures in board.models):
        yield "Bounds and log p(x): nats per image, means over the same images +- standard errors."
    if board.images is None:
        yield (
            "No images at hand: reconstruction error, feature distance, bounds and the baselines of pixels "
            "are left out."
        )
    elif not board.baselines:
        yield "The images have no labels: the baselines of pixels are left out."


def _rate(rate: Rate | PathHoles | None) -> str:
    if rate is None:
        return "-"
    return f"{100 * rate.share:.1f} ({100 * rate.low:.1f}-{100 * rate.high:.1f})"


def _mean(mean: Mean, digits: int = 3) -> str:
    error = "" if math.isnan(mean.error) else f" +- {mean.error:.{digits}f}"
    return f"{mean.value:.{digits}f}{error}"


def _range(values: Sequence[float]) -> str:
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"


def _short(name: str) -> str:
    return name if len(name) <= 23 else f"{name[:10]}...{name[-10:]}"


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _stated(value: object) -> str:
    return f"{value:.6g}" if _is_number(value) else "-"


def _aligned(table: list[list[str] | str]) -> list[str]:
    """Align columns; a row that is one text stands alone."""
    lines = iter(align([row for row in table if not isinstance(row, str)]))
    return [
        textwrap.shorten(row, _WIDTH, placeholder="...") if isinstance(row, str) else next(lines).rstrip()
        for row in table
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, PathHoles):
        # The profile of every line is thousands of numbers.
        value = {name: part for name, part in value._asdict().items() if name != "confidence"}
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
