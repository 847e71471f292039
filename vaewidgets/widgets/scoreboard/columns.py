"""A `scoreboard.Scoreboard` as the columns and cells of two tables, and as one sentence."""

from __future__ import annotations

import math

from vaewidgets.evaluation.holes import TAU

#: Rows that the samplers are compared with.
REFERENCES = ("reconstructions", "noise", "shuffled pixels")


def sampler_table(board) -> tuple[list[dict], list[list[dict]]]:
    """Lay out the results of all samplers for a `Table`: (columns, rows of cells)."""
    rows = board.rows
    table = [
        (_column("sampler", "sampler", "Where z comes from"), [_text(row.sampler) for row in rows]),
        (_column("model", "model", "Whose decoder paints it"), [_text(row.model) for row in rows]),
        (
            _column("holes", f"holes, tau {TAU:g}", f"Share whose best class probability is under {TAU:g}"),
            [_rate(row.holes) for row in rows],
        ),
        (
            _column(
                "holes_at_tau", "holes, 5 % tau", "Under the tau that rejects 5 % of real reconstructions"
            ),
            [_rate(row.holes_at_tau) for row in rows],
        ),
        (
            _column(
                "distance", "too far", "Further from training reconstructions than 95 % of held-out ones"
            ),
            [_rate(row.distance) for row in rows],
        ),
    ]
    if any(row.feature_distance is not None for row in rows):
        column = _column("features", "feature distance", "Of the judge's features to real images")
        table.append((column, [_number(row.feature_distance, 1) for row in rows]))
    if any(len(row.seeds) > 1 for row in rows):
        column = _column("seeds", "over seeds", f"Holes at {TAU:g} of models of other seeds")
        table.append((column, [_spread(row.seeds) for row in rows]))
    columns, cells = zip(*table, strict=True)
    return list(columns), [list(row) for row in zip(*cells, strict=True)]


def model_table(board) -> tuple[list[dict], list[list[dict]]]:
    """Lay out the results of all models, and the baselines, for a `Table`: (columns, rows of cells)."""
    columns = [
        _column("model", "codes", "A model, or a projection of the pixels that needs no training"),
        _column("knn", "k-NN", "Share of codes whose 10 nearest neighbours vote for their own class"),
        _column("probe", "linear probe", "Held-out accuracy of a linear classifier on the codes"),
        _column("error", "squared error", "Of the reconstruction, a pixel"),
        _column("paths", "holes on lines", "Share of the straight lines between held-out codes"),
        _column("told", "told from prior", "How well a classifier tells q(z) from the prior; 50 % is chance"),
        _column("kl", "mean KL", "KL(q(z|x) || p(z)), mean over images, nats"),
        _column("information", "I(n; z)", "What z tells of which image it came from, nats"),
        _column("marginal", "KL to prior", "KL(q(z) || p(z)), the aggregate posterior to the prior, nats"),
    ]
    rows = [
        [
            _text(found.model),
            _share(found.grouping and found.grouping.neighbours),
            _rate(found.grouping and found.grouping.probe),
            _mean(found.reconstruction_error, 4),
            _rate(found.paths),
            _rate(found.two_sample),
            _number(found.surgery and found.surgery.mean_kl, 3),
            _mean(found.surgery and found.surgery.information, 3),
            _mean(found.surgery and found.surgery.marginal_kl, 3),
        ]
        for found in board.models
    ]
    # The pixels are the same baseline for every number of dimensions.
    baselines = {
        name if name == "pixels" else f"{name}, {d}-d": found
        for d, tables in board.baselines.items()
        for name, found in tables.items()
    }
    for name, found in baselines.items():
        rows.append([_text(name), _share(found.neighbours), _rate(found.probe), *[_text(None)] * 6])
    return columns, rows


def verdict(board) -> str:
    """Name the sampler with the fewest holes, the next one, and whether their intervals overlap."""
    rows = [row for row in board.rows if row.model is not None and row.sampler not in REFERENCES]
    first, *others = sorted(rows, key=lambda row: row.holes.share)
    text = f"Fewest holes at tau {TAU:g}: {_name(first)}, {_percent(first.holes.share)}."
    if not others:
        return text
    second = others[0]
    is_told_apart = second.holes.low > first.holes.high
    said = "do not overlap" if is_told_apart else "overlap: these draws do not tell them apart"
    return f"{text} Next: {_name(second)}, {_percent(second.holes.share)}; the intervals {said}."


def _name(row) -> str:
    return f"{row.model} at its {row.sampler}" if row.sampler != "N(0, I)" else f"{row.model} at N(0, I)"


def _column(key: str, title: str, text: str) -> dict:
    return {"key": key, "title": title, "help": text}


def _text(text: str | None) -> dict:
    return {"text": "-" if text is None else text, "value": text}


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(share: float | None) -> dict:
    return _text(None) if share is None else {"text": _percent(share), "value": share}


def _rate(rate) -> dict:
    if rate is None:
        return _text(None)
    interval = f"{100 * rate.low:.1f} to {100 * rate.high:.1f}"
    return {**_share(rate.share), "note": interval, "low": rate.low, "high": rate.high}


def _number(value: float | None, digits: int) -> dict:
    return _text(None) if value is None else {"text": f"{value:.{digits}f}", "value": value}


def _mean(mean, digits: int) -> dict:
    if mean is None:
        return _text(None)
    note = "" if math.isnan(mean.error) else f"\N{PLUS-MINUS SIGN} {mean.error:.{digits}f}"
    return {**_number(mean.value, digits), "note": note}


def _spread(seeds) -> dict:
    if len(seeds) < 2:
        return _text(None)
    return {"text": f"{100 * min(seeds):.1f} to {100 * max(seeds):.1f} %", "value": max(seeds) - min(seeds)}
