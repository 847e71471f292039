"""The exercises: right answers pass, typical wrong ones hear of their misconception, garbage is explained."""

import functools
import inspect
import io
import math
import re
import time
import timeit
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from statistics import median

import numpy as np
import pytest
import refresh_notebooks
import torch
from nbformat.v4 import new_code_cell, new_notebook

from vaewidgets.course import check
from vaewidgets.course.check._mechanism import Function, Number, exercise

from .conftest import not_yet

EXERCISES = {name: getattr(check, name) for name in check.__all__ if name != "Verdict"}
NUMBERS = {name: one for name, one in EXERCISES.items() if isinstance(one.case(), Number)}
FUNCTIONS = {name: one for name, one in EXERCISES.items() if isinstance(one.case(), Function)}
ROWS = [
    pytest.param(one, row, id=f"{name}-{row}")
    for name, one in EXERCISES.items()
    for row in range(len(one.case().wrong))
]

each_exercise = pytest.mark.parametrize("one", EXERCISES.values(), ids=EXERCISES)
each_number = pytest.mark.parametrize("one", NUMBERS.values(), ids=NUMBERS)
JUDGED_BY_RESULTS = {name: one for name, one in FUNCTIONS.items() if one.case().wrong}
each_judged_by_results = pytest.mark.parametrize("one", JUDGED_BY_RESULTS.values(), ids=JUDGED_BY_RESULTS)
each_function = pytest.mark.parametrize("one", FUNCTIONS.values(), ids=FUNCTIONS)


def unanswered(verdict, words):
    assert verdict.right is None and not verdict and repr(verdict).startswith("Not answered yet. ")
    assert words in verdict.message, verdict


def numbers_in(text):
    return [float(number) for number in re.findall(r"\d*\.?\d+(?:e[+-]?\d+)?", text)]


# --- every exercise, those of later notebooks too ----------------------------------------------------


@pytest.mark.parametrize(("one", "row"), ROWS)
def test_each_row_recognises_its_own_mistake_and_tells_no_solution(one, row):
    case = one.case()
    wrong, misconception = case.wrong[row]
    verdict = not_yet(one(wrong), misconception)
    if isinstance(case, Number):
        assert not any(math.isclose(x, case.right, rel_tol=0.02) for x in numbers_in(verdict.message))


@each_exercise
def test_the_other_messages_tell_no_solution_and_fit_on_three_lines(one):
    case = one.case()
    for message in (case.well, case.hint, *(message for _, message in case.symptoms)):
        assert len(repr(check.Verdict(False, message)).splitlines()) <= 3
    if isinstance(case, Number):
        told = [case.hint, *(message for _, message in case.symptoms)]
        assert not any(math.isclose(x, case.right, rel_tol=0.02) for x in numbers_in(" ".join(told)))
    told = " ".join([case.hint, *(message for _, message in [*case.wrong, *case.symptoms])])
    assert not re.search(r"\w\.\w+\(|lambda|torch\.", told), "code is part of a solution"


@each_exercise
def test_not_answered_yet(one):
    name = one.__name__
    for nothing in (None, ...):
        unanswered(one(nothing), f"vw.check.{name}(")
    assert one() == one(None) and one(None).message


@each_exercise
def test_the_question_stands_in_the_docstring(one):
    summary = inspect.getdoc(one).splitlines()[0]
    assert summary[0].isupper() and "answer :" in one.__doc__
    assert list(inspect.signature(one).parameters) == ["answer"]
    assert one.__module__.startswith("vaewidgets.course.check._")


@each_exercise
def test_each_answer_is_judged_fast_silently_and_the_same_every_time(one):
    case = one.case()
    answers = [None, "garbage", case.right, *(wrong for wrong, _ in case.wrong)]
    before = torch.get_rng_state()
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        first = [repr(one(answer)) for answer in answers]
        calls = [functools.partial(one, answer) for answer in answers]
        durations = [timeit.timeit(call, timer=time.process_time, number=1) for call in calls]
    assert out.getvalue() == ""
    assert first == [repr(one(answer)) for answer in answers]
    assert torch.equal(torch.get_rng_state(), before)
    assert median(durations) < 0.2


@each_number
def test_numbers_of_every_kind(one):
    right = one.case().right
    for answer in (float(right), np.float32(right), np.float64(right), torch.tensor(right), np.array(right)):
        assert one(answer) and one(answer).right is True
    assert one(torch.tensor(float(right), requires_grad=True)) and one(Fraction(right))
    assert one(right * 1.009) and one(right * 0.991)
    not_yet(one(right * 1.02), "Very near")
    not_yet(one(-right), "the sign is not")


@each_number
def test_what_is_no_number(one):
    right = one.case().right
    for answer, words in (
        (str(right), "without quotes"),
        ([right], "one number, and that is a list"),
        ({right}, "set"),
        (True, "bool"),
        (np.True_, "bool"),
        (torch.tensor(True), "Tensor"),
        (complex(right), "complex"),
        (object(), "object"),
        (np.array("x"), "ndarray"),
        (torch.tensor([right, right]), "shape (2,)"),
        (np.array([right]), "shape (1,)"),
        (math.nan, "NaN"),
        (torch.tensor(math.inf), "infinite"),
        (10**400, "infinite"),
        (lambda: right, "a function"),
        (123.456, one.case().hint),
    ):
        not_yet(one(answer), words)


@each_function
def test_what_is_no_function(one):
    name = one.__name__
    for answer in (3.0, "text", torch.zeros(3), [print], True, math.nan, math.inf):
        not_yet(one(answer), f"vw.check.{name}({name})", type(answer).__name__)


@each_function
def test_functions_that_do_not_return_an_answer(one):
    name = one.__name__
    call = f"{name}({', '.join(one.case().trials[0])})"

    def todo(*args):
        raise NotImplementedError

    unanswered(one(lambda *args: None), f"{name} returns nothing yet")
    unanswered(one(lambda *args: ...), "return")
    unanswered(one(todo), "NotImplementedError")
    for answer, *words in (
        (lambda: 0, call, "takes ()."),
        (lambda x: 0, call, "takes (x)."),
        (lambda *args: torch.zeros(2) | torch.zeros(2), "Your code stopped with NotImplementedError"),
        (lambda *args: [1.0, 2.0], "returns a list", "torch.tensor makes it one"),
        (lambda *args: "seven", "returns a str"),
        (lambda *args: [torch.zeros(2)] * 2, "returns a list", "torch.stack"),
        (lambda *args: torch.zeros(2, dtype=torch.complex64), "returns a Tensor"),
        (lambda *args: np.array(["a"]), "returns a ndarray"),
        (object, "takes ()"),
    ):
        not_yet(one(answer), *words)


@each_function
def test_an_exception_is_shown_as_the_students_own(one):
    def helper(values):
        return values[7]

    def broken(*args):
        values = list(args)
        return helper(values[:1])

    verdict = not_yet(one(broken), "Your code stopped with IndexError: list index out of range")
    assert verdict.message.splitlines()[1] == "line 2 of helper: return values[7]"

    def deep(*args):
        return torch.zeros(2) + torch.zeros(3)

    verdict = not_yet(one(deep), "RuntimeError: The size of tensor a (2)")
    assert verdict.message.splitlines()[1] == "line 2 of deep: return torch.zeros(2) + torch.zeros(3)"
    assert "_mechanism" not in repr(verdict) and "Traceback" not in repr(verdict)

    def rambling(*args):
        raise ValueError(f"{object()} " + "and so on " * 100 + "\n\n")

    assert " at 0x" not in not_yet(one(rambling), "ValueError", "...").message
    assert one(rambling) == one(rambling)

    # Without a line of Python to point at.
    exec(compile("def typed(*args): return undefined", "<nowhere>", "exec"), scope := {})
    assert one(scope["typed"]).message.endswith("NameError: name 'undefined' is not defined\nline 1 of typed")
    assert "line" not in not_yet(one(dict), "").message


@each_function
def test_an_interrupt_is_not_swallowed(one):
    def stop(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one(stop)


@each_judged_by_results
def test_results_that_are_not_right(one):
    right = one.case().right
    not_yet(one(lambda *args: right(*args) * math.nan), "NaN or infinite")
    not_yet(one(lambda *args: right(*args) + math.inf), "NaN or infinite")
    shape = right(*one.case().trials[0].values()).shape
    not_yet(one(lambda *args: right(*args)[None]), f"returns shape {(1, *shape)}; here it should return")

    def uneven(*args):
        result = right(*args)
        return result + 0.5 + torch.arange(result.numel()).view(result.shape)

    not_yet(one(uneven), one.case().hint)
    assert one(lambda *args: right(*args).numpy()), "numpy in, numpy out"
    assert one(functools.partial(right))


def test_what_a_result_resembles():
    @exercise
    def squares():
        """Write squares."""
        trials = [dict(x=torch.tensor([1.0, 2.0])), dict(x=torch.tensor([3.0, 4.0, 5.0]))]
        return Function(trials=trials, right=lambda x: x**2, well="w", hint="h")

    assert squares(lambda x: x * x).message == "w"
    for answer, words in (
        (lambda x: x**2 / math.log(2), "one and the same factor"),
        (lambda x: x**2 / len(x), "changes with the input"),
        (lambda x: -(x**2), "the sign is not"),
        (lambda x: 0 * x, "only zeros"),
        (lambda x: x * torch.tensor([1.0, 2.0, 0.0])[: len(x)], "Right for one input"),
    ):
        not_yet(squares(answer), words)
    assert squares(lambda x: x**2 + 1).message == "h"


@each_judged_by_results
def test_arguments_must_stay_as_they_are(one):
    right = one.case().right
    for argument, value in one.case().trials[0].items():
        if not isinstance(value, torch.Tensor):
            continue

        def changes(*args, argument=argument):
            result = right(*args)
            given = dict(zip(one.case().trials[0], args, strict=True))
            given[argument].mul_(2)
            return result

        not_yet(one(changes), f"changes its argument {argument} in place")

    def reshapes(*args):
        result = right(*args)
        next(a for a in args if isinstance(a, torch.Tensor)).unsqueeze_(0)
        return result

    not_yet(one(reshapes), "in place")


# --- the mechanism -----------------------------------------------------------------------------------


def test_a_verdict_is_frozen_plain_and_true_only_when_right():
    right, wrong, open_ = (check.Verdict(value, "Because.") for value in (True, False, None))
    assert [bool(v) for v in (right, wrong, open_)] == [True, False, False]
    assert repr(right) == "Right. Because." and str(wrong) == "Not yet. Because."
    assert repr(open_) == "Not answered yet. Because."
    assert not hasattr(right, "_repr_markdown_") and not hasattr(right, "_repr_html_")
    with pytest.raises(AttributeError):
        right.right = False


def test_symptoms_of_numbers_and_the_nearest_row():
    @exercise
    def probability():
        """Say a probability."""
        return Number(
            right=0.5,
            well="w",
            hint="h",
            wrong=[(0.700, "seven"), (0.702, "seven and a bit")],
            symptoms=[(lambda p: not 0 <= p <= 1, "not a probability")],
        )

    assert probability(0.5)
    assert probability(0.7).message == "seven" and probability(0.7021).message == "seven and a bit"
    assert probability(3).message == "not a probability" and probability(0.1).message == "h"
    assert probability(-0.5).message == "not a probability"


def test_a_notebook_shows_verdicts_and_the_line_of_the_cell():
    cells = [
        "import vaewidgets as vw\nvw.check.compression(...)",
        "def total(reconstruction, kl, beta):\n    ...\n\nvw.check.total(total)",
        "def total(reconstruction, kl, beta):\n    cost = beta * kl.sum(2)\n    return cost\n\n"
        "vw.check.total(total)",
        "def total(reconstruction, kl, beta):\n    return reconstruction - beta * kl.sum(1)\n\n"
        "verdict = vw.check.total(total)\nassert verdict\nverdict",
    ]
    notebook = refresh_notebooks.execute(
        new_notebook(cells=[new_code_cell(source) for source in cells]), refresh_notebooks.NOTEBOOKS
    )
    assert [len(cell.outputs) for cell in notebook.cells] == [1, 1, 1, 1]
    assert all(cell.outputs[0].data.keys() == {"text/plain"} for cell in notebook.cells)
    first, empty, failing, right = (cell.outputs[0].data["text/plain"] for cell in notebook.cells)
    assert first.startswith("Not answered yet.") and empty.startswith("Not answered yet.")
    assert failing.startswith("Not yet. Your code stopped with IndexError: Dimension out of range")
    assert failing.endswith("line 2 of total: cost = beta * kl.sum(2)")
    assert right.startswith("Right.")
