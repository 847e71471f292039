"""Exercises that name the misconception: ``vw.check.<name>(answer)`` returns a `Verdict`.

There is one module for each notebook, and all are re-exported here. To add an exercise, write a function
with the decorator `exercise` in the module of its notebook. It returns a `Number` or a `Function`: the right
answer, and a table of (typical wrong answer, what to say). Then name it here. The tests go through all tables
by themselves.
"""

from ._00_quickstart import compression, generate, midpoint
from ._01_map import neighbours_agree, rescaled, residual
from ._02_holes import none_seen, prior_mass, to_codes
from ._03_clouds import best_sigma, sample, spread_of_means
from ._04_noise import draws_needed, score, slopes
from ._05_gap import evidence, importance_bound, sharper_decoder
from ._06_train import hidden_beta, kl, total
from ._07_beta import fair_elbo, kept_dimensions, rates
from ._08_scoreboard import exact_encoder, seen_by_drawing, told_apart
from ._09_dimensions import great_circle, label_nats, typical_distance
from ._mechanism import Verdict

__all__ = [
    "Verdict", "best_sigma", "compression", "draws_needed", "evidence", "exact_encoder", "fair_elbo",
    "generate", "great_circle", "hidden_beta", "importance_bound", "kept_dimensions", "kl", "label_nats",
    "midpoint", "neighbours_agree", "none_seen", "prior_mass", "rates", "rescaled", "residual", "sample",
    "score", "seen_by_drawing", "sharper_decoder", "slopes", "spread_of_means", "to_codes", "told_apart",
    "total", "typical_distance",
]  # fmt: skip
