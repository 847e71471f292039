"""What a `scoreboard.Scoreboard` says, as columns and cells of two tables, and in one sentence."""

from __future__ import annotations

import math

from vaewidgets.evaluation.holes import TAU

#: Rows that are held beside the samplers.
REFERENCES = ("reconstructions", "noise", "shuffled pixels")


def sampler_table(board) -> tuple[list[dict], list[list[dict]]]:
    """Lay out the rows of every sampler: (columns, rows of cells)."""
    columns = [
        _column("sampler", "sampler", "Where z comes from"),
        _column("model", "model", "Whose decoder paints it"),
        _column("holes", f"holes, tau {TAU:g}", f"Share whose best class probability is under {TAU:g}"),
        _column("holes_at_tau", "holes, 5 % tau", "Under the tau that rejects 5 % of real reconstructions"),
        _column("distance", "too far", "Further from training reconstructions than 95 % of held-out ones"),
    ]
    has_features = any(row.feature_distance is not None for row in board.rows)
    has_seeds = any(len(row.seeds) > 1 for row in board.rows)
    if has_features:
        columns.append(_column("features", "feature distance", "Of the judge's features to real images"))
    if has_seeds:
        columns.append(_column("seeds", "over seeds", f"Holes at {TAU:g} of models of other seeds"))
    rows = []
    for row in board.rows:
        cells = [_text(row.sampler), _text(row.model), _rate(row.holes), _rate(row.holes_at_tau)]
        cells.append(_rate(row.distance))
        if has_features:
            cells.append(_number(row.feature_distance, 1))
        if has_seeds:
            cells.append(_spread(row.seeds))
        rows.append(cells)
    return columns, rows


def model_table(board) -> tuple[list[dict], list[list[dict]]]:
    """Lay out what was measured of each model, and the baselines it has to beat: (columns, rows of cells)."""
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
    rows = []
    for f in board.models:
        grouping, surgery = f.grouping, f.surgery
        rows.append(
            [
                _text(f.model),
                _share(grouping and grouping.neighbours),
                _rate(grouping and grouping.probe),
                _mean(f.reconstruction_error, 4),
                _rate(f.paths),
                _rate(f.two_sample),
                _number(surgery and surgery.mean_kl, 3),
                _mean(surgery and surgery.information, 3),
                _mean(surgery and surgery.marginal_kl, 3),
            ]
        )
    seen = set()
    for d, tables in board.baselines.items():
        for name, found in tables.items():
            label = name if name == "pixels" else f"{name}, {d}-d"
            if label not in seen:
                nothing = [_text(None)] * 6
                rows.append([_text(label), _share(found.neighbours), _rate(found.probe), *nothing])
                seen.add(label)
    return columns, rows


def verdict(board) -> str:
    """Say which sampler has the fewest holes, and whether the intervals tell it from the next."""
    rows = [row for row in board.rows if row.model is not None and row.sampler not in REFERENCES]
    first, *others = sorted(rows, key=lambda row: row.holes.share)
    text = f"Fewest holes at tau {TAU:g}: {_name(first)}, {_percent(first.holes.share)}."
    if not others:
        return text
    second = others[0]
    overlap = second.holes.low <= first.holes.high
    said = "overlap: these draws do not tell them apart" if overlap else "do not overlap"
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
