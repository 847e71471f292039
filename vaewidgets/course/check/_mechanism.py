"""What every check is made of: it takes an answer and returns a `Verdict`. Nothing is printed."""

from __future__ import annotations

import inspect
import linecache
import math
import re
import textwrap
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

#: Relative. Students round the numbers that they answer; the result of a function is only rounded to float32.
NUMBER_TOLERANCE = 0.01
RESULT_TOLERANCE = 1e-4

WIDTH = 100


@dataclass(frozen=True, repr=False)
class Verdict:
    """The result of a check. It is true in an ``if`` or an ``assert`` only if the answer is right.

    Attributes
    ----------
    right : bool or None
        None means not answered yet.
    message : str
        The reason. It never tells the solution of an answer that is not right.

    Examples
    --------
    >>> Verdict(False, "The sign is wrong.")
    Not yet. The sign is wrong.
    >>> bool(Verdict(None, "Complete the function."))
    False
    """

    right: bool | None
    message: str

    def __bool__(self) -> bool:
        return self.right is True

    def __repr__(self) -> str:
        opening = {True: "Right.", False: "Not yet.", None: "Not answered yet."}[self.right]
        lines = f"{opening} {self.message}".splitlines()
        wrap = textwrap.TextWrapper(WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        return "\n".join(wrap.fill(line) for line in lines)


class NotYet(Exception):
    """Ends a check with a message to the student. Arguments of the student's function may raise it too."""


class Unanswered(NotYet):
    """There is no answer yet."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """An exercise whose answer is one number.

    Parameters
    ----------
    right : float
        The right answer.
    well, hint : str
        The message for a right answer (what it teaches), and for a wrong one that is not in the tables.
    wrong : sequence of (float, str)
        Typical wrong numbers, each with its misconception.
    symptoms : sequence of (predicate of the number, str)
        The same for ranges of numbers.
    tolerance : float
        Relative.

    Examples
    --------
    >>> Number(right=3, well="Two and one.", hint="Count again.").judge(3.0, "name_of_the_exercise")
    'Two and one.'
    """

    right: float
    well: str
    hint: str
    wrong: Sequence[tuple[float, str]] = ()
    symptoms: Sequence[tuple[Callable[[float], bool], str]] = ()
    tolerance: float = NUMBER_TOLERANCE

    def judge(self, answer: Any, name: str) -> str:
        """Return the message for a right answer; raise `NotYet` for any other."""
        value = _number(answer, name)
        if _near(value, self.right, self.tolerance):
            return self.well
        known = [row for row in self.wrong if _near(value, row[0], 3 * self.tolerance)]
        if known:
            _, misconception = min(known, key=lambda row: abs(value - row[0]))
            raise NotYet(misconception)
        for symptom, misconception in self.symptoms:
            if symptom(value):
                raise NotYet(misconception)
        if _near(value, -self.right, self.tolerance):
            raise NotYet("The size is right, the sign is not.")
        if _near(value, self.right, 5 * self.tolerance):
            raise NotYet(f"Very near. It must be within {self.tolerance:.0%}: round later.")
        raise NotYet(self.hint)


@dataclass(frozen=True)
class Run:
    """One call of the student's function: its arguments by name, and its result."""

    given: dict[str, Any]
    result: Tensor


@dataclass(frozen=True, kw_only=True)
class Function:
    """An exercise whose answer is a function.

    Parameters
    ----------
    trials : sequence of dict
        Arguments by name, in the order in which they are passed. Choose shapes and values for which no
        typical wrong function returns the right result.
    right : callable
        Computes the right result from the same arguments; called after the student's function.
    well, hint : str
        The message for a right answer (what it teaches), and for a wrong one that is not in the tables.
    wrong : sequence of (callable, str)
        Typical wrong functions, each with its misconception.
    symptoms : sequence of (predicate of the list of Run, str)
        Mistakes that the results alone do not show; they are looked for first.

    Examples
    --------
    >>> trials = [dict(x=torch.tensor([1.0, 2.0]))]
    >>> case = Function(trials=trials, right=lambda x: x**2, well="Right.", hint="x times x.")
    >>> case.judge(lambda x: x * x, "square")
    'Right.'
    """

    trials: Sequence[dict[str, Any]]
    right: Callable[..., Any]
    well: str
    hint: str
    wrong: Sequence[tuple[Callable[..., Any], str]] = ()
    symptoms: Sequence[tuple[Callable[[list[Run]], bool], str]] = ()

    def judge(self, answer: Any, name: str) -> str:
        """Return the message for a right answer; raise `NotYet` for any other."""
        function = _function(answer, name, list(self.trials[0]))
        runs = [Run(trial, _call(function, trial, name)) for trial in self.trials]
        for symptom, misconception in self.symptoms:
            if symptom(runs):
                raise NotYet(misconception)
        if all(same(run.result, self.right(*run.given.values())) for run in runs):
            return self.well
        for wrong, misconception in self.wrong:
            if all(same(run.result, wrong(*run.given.values())) for run in runs):
                raise NotYet(misconception)
        for run in runs:
            shape = tuple(_numbers(self.right(*run.given.values())).shape)
            if not run.result.isfinite().all():
                raise NotYet("Your function returns NaN or infinite values: look for a log or a division.")
            if tuple(run.result.shape) != shape:
                got = _shape(tuple(run.result.shape))
                raise NotYet(f"Your function returns {got}; here it should return {_shape(shape)}.")
        raise NotYet(self._resemblance(runs) or self.hint)

    def _resemblance(self, runs: list[Run]) -> str | None:
        """Return what a result of the right shape has in common with the right one; None if nothing."""
        pairs = [(run.result, _numbers(self.right(*run.given.values()))) for run in runs]
        if any(same(result, right) for result, right in pairs):
            return "Right for one input, not for another: does your code hold a size or a value as a number?"
        if any(right.numel() < 2 for _, right in pairs):
            return None
        factors = [(result * right).sum() / right.square().sum() for result, right in pairs]
        if not all(same(pair[0], factor * pair[1]) for pair, factor in zip(pairs, factors, strict=True)):
            return None
        if not all(factors):
            return "Your function returns only zeros."
        if all(same(factor, -torch.ones(())) for factor in factors):
            return "The size is right, the sign is not."
        if all(same(factor, factors[0]) for factor in factors):
            return "All that you return is off by one and the same factor: a 1/2, or another unit?"
        return "You are off by a factor that changes with the input: a mean for a sum, or a size too many?"


def exercise(describe: Callable[[], Number | Function]) -> Callable[[Any], Verdict]:
    """Turn the description of an exercise into its check, ``check(answer) -> Verdict``.

    The description is made again for every answer, so that its models and generators are not shared.

    Parameters
    ----------
    describe : callable
        Returns a `Number` or a `Function`. Its docstring is the question.

    Examples
    --------
    >>> @exercise
    ... def coins():
    ...     return Number(right=3, well="Two and one.", hint="Count again.")
    >>> coins(3), coins(7)
    (Right. Two and one., Not yet. Count again.)
    """

    def check(answer: Any = ...) -> Verdict:
        try:
            return Verdict(True, describe().judge(answer, describe.__name__))
        except Unanswered as reason:
            return Verdict(None, str(reason))
        except NotYet as reason:
            return Verdict(False, str(reason))

    # With functools.wraps help() would show the empty list of parameters of the description.
    for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
        setattr(check, attribute, getattr(describe, attribute))
    check.__dict__["case"] = describe
    return check


def same(a: Any, b: Any) -> bool:
    """Tell whether two results agree in shape and, up to the rounding of float32, in value.

    Examples
    --------
    >>> same(torch.tensor(0.1), 0.1), same(0.1, torch.tensor([0.1]))
    (True, False)
    """
    a, b = _tensor(a), _tensor(b)
    return a.shape == b.shape and torch.allclose(
        a, b, rtol=RESULT_TOLERANCE, atol=RESULT_TOLERANCE / 10, equal_nan=True
    )


def _near(value: float, target: float, tolerance: float) -> bool:
    return abs(value - target) <= tolerance * abs(target) + 1e-9


def _shape(shape: tuple[int, ...]) -> str:
    return f"shape {shape}" if shape else "a single number"


def _numbers(value: Any) -> Tensor:
    """Return numbers of any kind as float64 on the CPU; raise TypeError for anything else."""
    tensor = _tensor(value)
    if tensor is None:
        raise TypeError(f"expected numbers; got {type(value).__name__}.")
    return tensor


def _tensor(value: Any) -> Tensor | None:
    """Return numbers of any kind as float64 on the CPU; None for anything else."""
    try:
        if isinstance(value, Tensor):
            return None if value.is_complex() else value.detach().cpu().to(torch.float64)
        if isinstance(value, Real):
            return torch.tensor(float(value), dtype=torch.float64)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiub":
            return torch.from_numpy(np.array(value, dtype=np.float64, order="C"))
    except OverflowError:
        return torch.tensor(math.inf, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        pass
    return None


def _number(answer: Any, name: str) -> float:
    if answer is None or answer is ...:
        raise Unanswered(f"Put your number in place of the dots: vw.check.{name}(...).")
    if isinstance(answer, str):
        raise NotYet("That is text. Write the number itself, without quotes and without a unit.")
    if callable(answer):
        raise NotYet("The answer here is a number, and that is a function or a class.")
    if isinstance(answer, (list, tuple, set, dict)):
        raise NotYet(f"The answer here is one number, and that is a {type(answer).__name__}.")
    value = _tensor(answer)
    if value is None or isinstance(answer, (bool, np.bool_)) or getattr(answer, "dtype", None) == torch.bool:
        raise NotYet(f"The answer here is a number, and that is a {type(answer).__name__}.")
    if value.dim():
        raise NotYet(f"The answer here is one number, and that has shape {tuple(value.shape)}.")
    if value.isnan():
        raise NotYet("That is NaN, not a number: look for 0/0, or the log of a negative number, on the way.")
    if value.isinf():
        raise NotYet("That is infinite: look for a division by zero on the way.")
    return value.item()


def _function(answer: Any, name: str, arguments: list[str]) -> Callable[..., Any]:
    if answer is None or answer is ...:
        raise Unanswered(f"Complete the function above, then hand it over: vw.check.{name}({name}).")
    if not callable(answer):
        raise NotYet(
            f"Hand over the function itself, not what it returns: vw.check.{name}({name}). "
            f"What came is of type {type(answer).__name__}."
        )
    try:
        signature = inspect.signature(answer)
    except (TypeError, ValueError):  # some built-in functions have none
        return answer
    try:
        signature.bind(*arguments)
    except TypeError:
        raise NotYet(
            f"Your function is called as {name}({', '.join(arguments)}), "
            f"but it takes ({', '.join(signature.parameters)})."
        ) from None
    return answer


def _call(function: Callable[..., Any], trial: dict[str, Any], name: str) -> Tensor:
    given = {key: value.clone() if isinstance(value, Tensor) else value for key, value in trial.items()}
    # A check must not change the random numbers that the rest of the notebook draws.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        try:
            result = function(*given.values())
        except NotYet:
            raise
        except Exception as error:
            # PyTorch raises NotImplementedError for operations on a wrong dtype too, but with a message.
            if isinstance(error, NotImplementedError) and not str(error):
                raise Unanswered(f"Complete the function above; it still raises {_said(error)}.") from None
            raise NotYet(f"Your code stopped with {_said(error)}{_where(error)}") from None
    for key, before in trial.items():
        if isinstance(before, Tensor) and not torch.equal(before, given[key]):
            raise NotYet(f"Your function changes its argument {key} in place. Compute a new tensor instead.")
    if result is None or result is ...:
        raise Unanswered(f"{name} returns nothing yet. Write its body; its last line is a return.")
    numbers = _tensor(result)
    if numbers is None:
        more = ""
        if isinstance(result, (list, tuple)):
            tensors = any(isinstance(part, Tensor) and part.dim() for part in result)
            more = f" {'torch.stack or torch.cat' if tensors else 'torch.tensor'} makes it one."
        raise NotYet(f"Your function returns a {type(result).__name__}; a tensor is expected.{more}")
    return numbers


def _said(error: Exception) -> str:
    """Return an exception as one line, without memory addresses, which differ from run to run."""
    text = " ".join(re.sub(r" at 0x[0-9a-fA-F]+", "", str(error)).split())
    kind = type(error).__name__
    return f"{kind}: {textwrap.shorten(text, 120, placeholder=' ...')}" if text else kind


def _where(error: Exception) -> str:
    """Name the deepest line of the student's own cell, between the frames of this module and of torch."""
    frames = list(traceback.walk_tb(error.__traceback__))[1:]
    if not frames:
        return ""
    cell = frames[0][0].f_code.co_filename
    frame, line = [(frame, line) for frame, line in frames if frame.f_code.co_filename == cell][-1]
    source = textwrap.shorten(linecache.getline(cell, line).strip(), 80, placeholder=" ...")
    where = f"\nline {line - frame.f_code.co_firstlineno + 1} of {frame.f_code.co_name}"
    return f"{where}: {source}" if source else where
