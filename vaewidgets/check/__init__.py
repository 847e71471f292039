"""Exercises that name the misconception: ``vw.check.<name>(answer)`` returns a `Verdict`.

One module per notebook, all re-exported here. To add an exercise, write a function under `exercise` in
its notebook's module that returns a `Number` or a `Function` - the right answer and a table of
(typical wrong answer, what to say) - and name it here. The tests go through all the tables by themselves.
"""

from ._00_quickstart import compression, generate, midpoint
from ._01_map import neighbours_agree, rescaled, residual
from ._06_train import hidden_beta, kl, total
from ._mechanism import Verdict

__all__ = [
    "Verdict", "compression", "generate", "hidden_beta", "kl", "midpoint", "neighbours_agree", "rescaled",
    "residual", "total",
]  # fmt: skip
