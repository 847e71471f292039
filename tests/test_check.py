"""The exercises: right answers pass, typical wrong ones hear of their misconception, garbage is explained."""

import functools
import inspect
import io
import math
import re
import time
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction

import numpy as np
import pytest
import refresh_notebooks
import torch
from nbformat.v4 import new_code_cell, new_notebook

import vaewidgets as vw
from vaewidgets import check
from vaewidgets.check._mechanism import Function, Number, exercise
from vaewidgets.holes import wilson

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


def not_yet(verdict, *words):
    """Assert that the answer is refused, in at most three short lines that hold the words."""
    assert verdict.right is False and not verdict
    for word in words:
        assert word in verdict.message, verdict
    lines = repr(verdict).splitlines()
    assert len(lines) <= 3 and max(map(len, lines)) <= 100 and lines[0].startswith("Not yet. ")
    return verdict


def unanswered(verdict, *words):
    assert verdict.right is None and not verdict and repr(verdict).startswith("Not answered yet. ")
    for word in words:
        assert word in verdict.message, verdict
    return verdict


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
    assert one.__module__.startswith("vaewidgets.check._")


@each_exercise
def test_each_answer_is_judged_fast_silently_and_the_same_every_time(one):
    case = one.case()
    answers = [None, "garbage", case.right, *(wrong for wrong, _ in case.wrong)]
    before = torch.get_rng_state()
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        first = [repr(one(answer)) for answer in answers]
        durations = []
        for answer in answers:
            started = time.process_time()
            one(answer)
            durations.append(time.process_time() - started)
    assert out.getvalue() == ""
    assert first == [repr(one(answer)) for answer in answers]
    assert torch.equal(torch.get_rng_state(), before)
    assert sorted(durations)[len(durations) // 2] < 0.2


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
    not_yet(one(str(right)), "without quotes")
    not_yet(one([right]), "one number", "list")
    not_yet(one({right}), "set")
    not_yet(one(True), "bool")
    not_yet(one(np.True_), "bool")
    not_yet(one(torch.tensor(True)), "Tensor")
    not_yet(one(complex(right)), "complex")
    not_yet(one(object()), "object")
    not_yet(one(np.array("x")), "ndarray")
    not_yet(one(torch.tensor([right, right])), "shape (2,)")
    not_yet(one(np.array([right])), "shape (1,)")
    not_yet(one(math.nan), "NaN")
    not_yet(one(torch.tensor(math.inf)), "infinite")
    not_yet(one(10**400), "infinite")
    not_yet(one(lambda: right), "a function")
    not_yet(one(123.456), one.case().hint)


@each_function
def test_what_is_no_function(one):
    name = one.__name__
    for answer in (3.0, "text", torch.zeros(3), [print], True, math.nan, math.inf):
        not_yet(one(answer), f"vw.check.{name}({name})", type(answer).__name__)


@each_function
def test_functions_that_do_not_return_an_answer(one):
    name = one.__name__
    call = f"{name}({', '.join(one.case().trials[0])})"
    not_yet(one(lambda: 0), call, "takes ().")
    not_yet(one(lambda x: 0), call, "takes (x).")
    unanswered(one(lambda *args: None), f"{name} returns nothing yet")
    unanswered(one(lambda *args: ...), "return")

    def todo(*args):
        raise NotImplementedError

    unanswered(one(todo), "NotImplementedError")
    not_yet(one(lambda *args: "seven"), "returns a str")
    not_yet(one(lambda *args: [torch.zeros(2)] * 2), "returns a list", "torch.stack")
    not_yet(one(lambda *args: torch.zeros(2, dtype=torch.complex64)), "returns a Tensor")
    not_yet(one(lambda *args: np.array(["a"])), "returns a ndarray")
    not_yet(one(object), "takes ()")


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
    not_yet(one(lambda *args: right(*args) * 1.001 + 0.001), one.case().hint)
    assert one(lambda *args: right(*args).numpy()), "numpy in, numpy out"
    assert one(functools.partial(right))


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


# --- the solutions, from first principles ------------------------------------------------------------


def test_the_numbers_are_right():
    assert check.compression(torch.zeros(28, 28).numel() / vw.VAE(2, (1, 28, 28)).latent_dim)

    # The best rank-3 reconstruction of data with exactly these eigenvalues.
    noise = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 6, generator=noise, dtype=torch.float64)).Q
    scores = torch.linalg.qr(torch.randn(500, 6, generator=noise, dtype=torch.float64)).Q * 500**0.5
    x = scores * torch.tensor([9, 4, 1, 0.25, 0.25, 0.25], dtype=torch.float64).sqrt() @ basis.T
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    assert check.residual(((x - u[:, :3] * s[:3] @ v[:3]) ** 2).sum(1).mean())

    model = vw.VAE(2, (1, 4, 4), hidden=(8,), seed=0)
    images = torch.rand(5, 1, 4, 4, generator=noise)
    code = model.encode(images).mu
    old, new = ((model.decode(z) - images).square().sum() for z in (code, code * 10 / 10))
    assert check.rescaled(new / old)

    draws = torch.randn(400_000, 2, generator=noise)
    assert check.prior_mass((draws.norm(dim=1) < 2).double().mean())
    assert check.none_seen(wilson(0, 50).high)

    # Gradients tell in which proportion a loss weighs its terms.
    reconstruction = torch.zeros(784, requires_grad=True)
    kl = torch.zeros(2, requires_grad=True)
    (kl.mean() - reconstruction.mean()).backward()
    assert check.hidden_beta(-kl.grad[0] / reconstruction.grad[0])

    # A hundred squares of normal draws, each of mean 1; and a distribution over ten equally likely labels.
    z = torch.randn(4000, 100, generator=noise)
    assert check.typical_distance(z.square().sum(1).mean().sqrt())
    assert check.label_nats(torch.distributions.Categorical(torch.ones(10)).entropy())

    sigmas = torch.linspace(0.01, 2, 2000)
    costs = vw.objectives.kl(torch.zeros(2000), 2 * sigmas.log()) + 3 * sigmas**2 / 2
    assert check.best_sigma(sigmas[costs.argmin()])

    means = torch.special.ndtri((torch.arange(4000) + 0.5) / 4000)
    clouds = torch.distributions.Normal(0.8 * means, 0.6)
    where = torch.tensor([[-1.5], [0.0], [2.0]])
    prior = torch.distributions.Normal(0, 1).log_prob(where[:, 0]).exp()
    assert torch.allclose(clouds.log_prob(where).exp().mean(1), prior, rtol=2e-3)
    assert check.spread_of_means(0.8)

    assert check.draws_needed(100 * 24.1062**2 / 7.7228**2)

    assert check.evidence(-102.8 + 12)
    turn = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5
    w = torch.tensor([4.0, 1.0], dtype=torch.float64).diag() @ turn
    p = torch.distributions.MultivariateNormal(
        torch.zeros(2).double(), precision_matrix=w.T @ w / 0.5 + torch.eye(2)
    )
    widths = torch.linspace(0.01, 1, 2000, dtype=torch.float64)
    q = torch.distributions.MultivariateNormal(
        torch.zeros(2).double(), widths[:, None, None] ** 2 * torch.eye(2)
    )
    assert check.sharper_decoder(torch.distributions.kl_divergence(q, p).min())  # both are as wide

    squares = torch.linspace(0, 10, 1001)
    best = [
        (-0.5 * (squares + 2).log() - 0.5 * v / (squares + 2)).argmax() for v in (9, 4, 1, 0.25, 0.25, 0.25)
    ]
    assert check.kept_dimensions(sum(square > 0 for square in best))
    assert check.fair_elbo(-77.9 - 28)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("compression", 2 / 784, "upside down"),
        ("compression", 14, "one side"),
        ("compression", 78.4, "Ten digits are ten names"),
        ("compression", 782, "how many *times*"),
        ("residual", 14, "variance it *keeps*"),
        ("residual", 0.25, "one lost direction"),
        ("residual", 0.0508, "share of the variance"),
        ("residual", 0.125, "averaged over the six"),
        ("rescaled", 10, "*map* is 10 times larger"),
        ("rescaled", 0.1, "told apart"),
        ("rescaled", 100, "*pixels* are scaled"),
        ("prior_mass", 0.9545, "two sigma of *one* dimension"),
        ("prior_mass", 0.9111, "*square* of half-width 2"),
        ("prior_mass", 0.1353, "*outside*"),
        ("prior_mass", 86.47, "in percent"),
        ("prior_mass", 0.3935, "within radius 1"),
        ("none_seen", 0, "more draws may find one"),
        ("none_seen", 0.06, "rule of three"),
        ("none_seen", 0.02, "could have hidden"),
        ("hidden_beta", 784, "KL was averaged too"),
        ("hidden_beta", 1, "different counts"),
        ("hidden_beta", 2, "KL's own divisor"),
        ("hidden_beta", 0.00255, "Upside down"),
        ("typical_distance", 0.0, "density is highest"),
        ("typical_distance", 1.0, "*one* coordinate"),
        ("typical_distance", 100, "*squared* length"),
        ("typical_distance", 7.07, "Halfway"),
        ("typical_distance", 79.8, "by their squares"),
        ("label_nats", 3.3219, "in bits"),
        ("label_nats", 10, "counts the labels"),
        ("label_nats", 0.1, "probability of each label"),
        ("best_sigma", 0, "best sigma is not 0"),
        ("best_sigma", 1, "not every q should equal the prior"),
        ("best_sigma", 0.25, "That is sigma^2, the variance"),
        ("best_sigma", 0.577, "prior's own pull"),
        ("evidence", -102.8, "not the likelihood"),
        ("evidence", -114.8, "*lower* bound"),
        ("sharper_decoder", 0, "does not close the gap"),
        ("sharper_decoder", 0.3569, "another gap"),
        ("kept_dimensions", 6, "its best w is 0"),
        ("kept_dimensions", 3, "No KL is weighed"),
        ("fair_elbo", -84.9, "loss it reports"),
        ("fair_elbo", -77.9, "paid for too"),
        ("spread_of_means", 0, "their average should"),
        ("spread_of_means", 1, "overfull"),
        ("spread_of_means", 0.4, "Variances do"),
        ("spread_of_means", 0.64, "variance of mu"),
        ("draws_needed", 312, "root"),
        ("draws_needed", 100, "neither is biased"),
        ("draws_needed", 1e9, "It is not"),
        ("draws_needed", 10.26, "Upside down"),
    ],
)
def test_wrong_numbers_name_their_misconception(name, answer, words):
    not_yet(EXERCISES[name](answer), words)


# --- total -------------------------------------------------------------------------------------------


def test_total_in_two_ways():
    def one_line(reconstruction, kl, beta):
        return reconstruction - beta * kl.sum(dim=1)

    def loop(r, k, beta=1.0):
        out = []
        for image in range(len(r)):
            out.append(r[image].item() - beta * sum(k[image].tolist()))
        return np.array(out, dtype=np.float32)

    assert check.total(one_line) and check.total(loop)
    assert "Elbo.total" in repr(check.total(one_line))


def test_total_wrong():
    not_yet(check.total(lambda r, kl, beta: r + beta * kl.sum(1)), "The KL is a cost")
    not_yet(check.total(lambda r, kl, beta: r - kl.sum(1)), "beta is not used")
    not_yet(check.total(lambda r, kl, beta: r - beta * kl.mean(1)), "average the KL over the latent")
    not_yet(check.total(lambda r, kl, beta: (r - beta * kl.sum(1)).mean()), "average over the batch")
    not_yet(check.total(lambda r, kl, beta: beta * kl.sum(1) - r), "*loss*")

    def in_place(reconstruction, kl, beta):
        kl *= beta
        return reconstruction - kl.sum(1)

    not_yet(check.total(in_place), "changes its argument kl in place")
    verdict = not_yet(check.total(lambda r, kl, beta: r - beta * kl), "RuntimeError: The size of tensor a")
    assert "line 1 of <lambda>" in verdict.message


# --- kl ----------------------------------------------------------------------------------------------


def test_kl_in_two_ways():
    def formula(mu, logvar):
        sigma = torch.exp(logvar / 2)
        return (mu**2 + sigma**2 - 1 - 2 * torch.log(sigma)).sum(1) / 2

    def library(mu, logvar):
        normal = torch.distributions.Normal
        q, p = normal(mu, torch.exp(logvar / 2)), normal(torch.zeros_like(mu), torch.ones_like(mu))
        return torch.distributions.kl_divergence(q, p).sum(-1)

    assert check.kl(formula) and check.kl(library)
    assert check.kl(lambda mu, logvar: vw.Posterior(mu, logvar).kl().sum(1))


def test_kl_wrong():
    log, exp = torch.log, torch.exp
    not_yet(check.kl(lambda mu, s: 0.5 * (1 + s - mu**2 - exp(s)).sum(1)), "sign is flipped")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + s**2 - 1 - log(s**2)).sum(1)), "logvar for sigma")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + exp(s) ** 2 - 1 - 2 * s).sum(1)), "exp(logvar) for sigma")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + s - 1 - log(s)).sum(1)), "logvar for the variance")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + exp(s) - s).sum(1)), "constant is missing")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + exp(s) - 1 - s).mean(1)), "average over the latent")
    not_yet(check.kl(lambda mu, s: 0.5 * (mu**2 + exp(s) - 1 - s).sum(1) / math.log(2)), "bits")
    not_yet(check.kl(vw.objectives.kl), "One number per dimension")


# --- neighbours_agree --------------------------------------------------------------------------------


def distances_without_self(codes):
    distances = torch.cdist(codes, codes)
    distances.fill_diagonal_(math.inf)
    return distances


def test_neighbours_agree_in_two_ways():
    def with_topk(codes, labels, k):
        nearest = distances_without_self(codes).topk(k, largest=False).indices
        return (labels[nearest] == labels[:, None]).float().mean()

    def with_loops(codes, labels, k):
        codes, labels, shares = codes.numpy(), labels.numpy(), []
        for i in range(len(codes)):
            order = np.argsort(((codes - codes[i]) ** 2).sum(1))[1 : k + 1]
            shares.append(np.mean(labels[order] == labels[i]))
        return sum(shares) / len(shares)

    assert check.neighbours_agree(with_topk) and check.neighbours_agree(with_loops)


def test_neighbours_agree_wrong():
    def itself(codes, labels, k):
        nearest = torch.cdist(codes, codes).argsort(1)[:, :k]
        return (labels[nearest] == labels[:, None]).float().mean().item()

    def farthest(codes, labels, k):
        farthest = torch.cdist(codes, codes).topk(k).indices
        return (labels[farthest] == labels[:, None]).float().mean()

    def row_numbers(codes, labels, k):
        nearest = distances_without_self(codes).argsort(1)[:, :k]
        return (nearest == labels[:, None]).float().mean()

    def percent(codes, labels, k):
        nearest = distances_without_self(codes).argsort(1)[:, :k]
        return 100 * (labels[nearest] == labels[:, None]).float().mean()

    not_yet(check.neighbours_agree(itself), "finds itself")
    not_yet(check.neighbours_agree(farthest), "*farthest*")
    not_yet(check.neighbours_agree(row_numbers), "*row numbers*")
    not_yet(check.neighbours_agree(percent), "percent")
    not_yet(check.neighbours_agree(lambda c, l, k: vw.metrics.knn_agreement(c, l, k=k)), "vote")


# --- to_codes ----------------------------------------------------------------------------------------


def test_to_codes_in_three_ways():
    def with_a_loop(epsilon, codes):
        columns = [
            column.mean() + column.std(correction=0) * draws
            for draws, column in zip(epsilon.T, codes.T, strict=True)
        ]
        return torch.stack(columns, 1)

    def through_a_covariance(epsilon, codes):
        return codes.mean(0) + epsilon @ torch.diag(torch.cov(codes.T).diagonal().sqrt())

    assert check.to_codes(lambda epsilon, codes: epsilon * codes.std(0) + codes.mean(0))
    assert check.to_codes(with_a_loop) and check.to_codes(through_a_covariance)


def test_to_codes_wrong():
    not_yet(check.to_codes(lambda epsilon, codes: epsilon), "N(0, I) as it came")
    not_yet(check.to_codes(lambda epsilon, codes: epsilon * codes.std(0)), "about the origin")
    not_yet(check.to_codes(lambda epsilon, codes: epsilon + codes.mean(0)), "still that of N(0, I)")
    not_yet(check.to_codes(lambda epsilon, codes: codes.mean(0) + codes.var(0) * epsilon), "variance")
    not_yet(check.to_codes(lambda epsilon, codes: codes.mean() + codes.std() * epsilon), "has its own")

    def in_place(epsilon, codes):
        epsilon *= codes.std(0)
        return epsilon + codes.mean(0)

    not_yet(check.to_codes(in_place), "changes its argument epsilon in place")


# --- generate ----------------------------------------------------------------------------------------


def decoding(draw):
    """Return the function that decodes what `draw` draws."""
    return lambda model, n, generator: model.decode(draw(n, model.latent_dim, generator))


def test_generate_in_several_ways():
    def one_by_one(model, n, generator):
        pictures = []
        for _ in range(n):
            z = torch.empty(1, model.latent_dim).normal_(generator=generator)
            pictures.append(model.decode(z))
        return torch.cat(pictures)

    def box_muller(n, d, g):
        u, v = torch.rand(n, d, generator=g), torch.rand(n, d, generator=g)
        return (-2 * torch.log(1 - u)).sqrt() * torch.cos(2 * math.pi * v)

    assert check.generate(decoding(lambda n, d, g: torch.randn(n, d, generator=g)))
    assert check.generate(decoding(lambda n, d, g: torch.normal(0.0, 1.0, (n, d), generator=g)))
    assert check.generate(decoding(lambda n, d, g: torch.randn(d, n, generator=g).T))
    assert check.generate(decoding(box_muller)) and check.generate(one_by_one)


def numpy_draw(n, d, g):
    return torch.from_numpy(np.random.default_rng(0).normal(size=(n, d)).astype(np.float32))


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda n, d, g: torch.zeros(n, d), "Every z is zero"),
        (lambda n, d, g: torch.randn(1, d, generator=g).repeat(n, 1), "n copies"),
        (lambda n, d, g: torch.ones(n, d), "n copies"),
        (lambda n, d, g: torch.randn(n, 1, generator=g).repeat(1, d), "All coordinates of a z are equal"),
        (lambda n, d, g: torch.rand(n, d, generator=g), "uniform"),
        (lambda n, d, g: 12**0.5 * (torch.rand(n, d, generator=g) - 0.5), "uniform"),
        (lambda n, d, g: torch.randn(n, d), "do not come from the generator"),
        (lambda n, d, g: torch.randn(n, d, generator=g.manual_seed(0)), "do not come from the generator"),
        (numpy_draw, "do not come from the generator"),
        (lambda n, d, g: 1 + torch.randn(n, d, generator=g), "centred"),
        (lambda n, d, g: torch.randn(n, d, generator=g) / 2, "spread"),
        (lambda n, d, g: 3 * torch.randn(n, d, generator=g), "spread"),
        (lambda n, d, g: torch.nan * torch.randn(n, d, generator=g), "NaN"),
        (lambda n, d, g: torch.randn(1, d, generator=g), "not n"),
        (lambda n, d, g: torch.randn(16, d, generator=g), "not n"),
        (lambda n, d, g: torch.randn(n, 2, generator=g), "model has 3 latent dimensions"),
        (lambda n, d, g: torch.randn(n, 4, generator=g), "z has 4 values but this model has latent_dim=3"),
        (lambda n, d, g: torch.randn(d, generator=g), "one row per point"),
    ],
)
def test_generate_from_the_wrong_points(draw, words):
    not_yet(check.generate(decoding(draw)), words)


def test_generate_from_points_that_go_together():
    def draw(n, d, g):
        z = torch.randn(n, d, generator=g)
        z[:, 1] = 0.8 * z[:, 0] + 0.6 * z[:, 1]
        return z

    not_yet(check.generate(decoding(draw)), "independent")


def test_generate_wrong_otherwise():
    def z_itself(model, n, generator):
        return torch.randn(n, model.latent_dim, generator=generator)

    def z_after_decoding(model, n, generator):
        z = z_itself(model, n, generator)
        model.decode(z)
        return z

    def encodes(model, n, generator):
        q = model.encode(torch.rand(n, *model.image_shape, generator=generator))
        return model.decode(q.sample(generator))

    def binary(model, n, generator):
        return torch.bernoulli(model.decode(z_itself(model, n, generator)), generator=generator)

    def one_picture(model, n, generator):
        return model.decode(z_itself(model, n, generator))[0]

    not_yet(check.generate(z_itself), "No z was decoded")
    not_yet(check.generate(z_after_decoding), "That is z itself")
    not_yet(check.generate(encodes), "You encode an image")
    not_yet(check.generate(lambda model, n, g: model(torch.rand(n, 1, 4, 4))), "You encode an image")
    not_yet(check.generate(binary), "exactly as the decoder gives them")
    not_yet(
        check.generate(one_picture), "returns shape (1, 4, 4); here it should return shape (1000, 1, 4, 4)"
    )


# --- midpoint ----------------------------------------------------------------------------------------


def test_midpoint_in_two_ways():
    assert check.midpoint(lambda model, z_a, z_b: model.decode((z_a + z_b) / 2))
    assert check.midpoint(lambda model, a, b: model.decode(torch.lerp(a, b, 0.5)))
    assert check.midpoint(lambda model, a, b: model.decode(torch.cat([a, b]).mean(0, keepdim=True)))


def test_midpoint_wrong():
    not_yet(check.midpoint(lambda m, a, b: (m.decode(a) + m.decode(b)) / 2), "double exposure")
    not_yet(check.midpoint(lambda m, a, b: m.decode(a + b)), "sum of two points")
    not_yet(check.midpoint(lambda m, a, b: (a + b) / 2), "the point of the plane")
    not_yet(check.midpoint(lambda m, a, b: m.decode(a)), "at z_a")
    not_yet(check.midpoint(lambda m, a, b: m.decode(0.3 * a + 0.7 * b)), "halfway")

    def in_place(model, z_a, z_b):
        z_a += z_b
        return model.decode(z_a / 2)

    not_yet(check.midpoint(in_place), "changes its argument z_a in place")


# --- sample, slopes, score ---------------------------------------------------------------------------


def test_sample_slopes_and_score_in_two_ways():
    assert check.sample(lambda mu, logvar, epsilon: vw.Posterior(mu, logvar).sample(epsilon=epsilon))
    assert check.sample(lambda mu, logvar, epsilon: logvar.exp().sqrt() * epsilon + mu)

    def by_autograd(mu, sigma, epsilon):
        mu, sigma = mu.clone().requires_grad_(), sigma.clone().requires_grad_()
        return torch.stack(torch.autograd.grad((mu + sigma * epsilon).sum(), (mu, sigma)))

    assert check.slopes(by_autograd)
    assert check.slopes(lambda mu, sigma, epsilon: torch.stack([epsilon**0, epsilon]))

    def score_by_autograd(mu, sigma, epsilon):
        centre = torch.full_like(epsilon, mu).requires_grad_()
        z = (centre + sigma * epsilon).detach()
        log_q = torch.distributions.Normal(centre, sigma).log_prob(z)
        return z**2 * torch.autograd.grad(log_q.sum(), centre)[0]

    assert check.score(score_by_autograd)
    assert check.score(lambda mu, sigma, epsilon: (mu + sigma * epsilon) ** 2 * epsilon / sigma)


def test_sample_slopes_and_score_wrong():
    softplus = torch.nn.functional.softplus
    not_yet(check.sample(lambda mu, logvar, epsilon: mu + logvar.exp() * epsilon), "the variance")
    not_yet(check.sample(lambda mu, logvar, epsilon: mu + softplus(logvar) * epsilon), "another convention")
    not_yet(check.sample(lambda mu, logvar, epsilon: mu + logvar * epsilon), "may be negative")
    not_yet(check.sample(lambda mu, logvar, epsilon: mu), "lies beside it")
    one = torch.ones_like
    not_yet(check.slopes(lambda m, s, e: torch.zeros(2, *m.shape)), "*can* be differentiated")
    not_yet(check.slopes(lambda m, s, e: torch.stack([one(m), 0 * s])), "cannot stay outside the gradient")
    not_yet(check.slopes(lambda m, s, e: torch.stack([e, one(m)])), "the other order")
    not_yet(check.score(lambda m, s, e: 2 * (m + s * e)), "pathwise gradient")
    not_yet(check.score(lambda m, s, e: (m + s * e) ** 2 * e), "a division is missing")


# --- great_circle ------------------------------------------------------------------------------------


def test_great_circle_in_two_ways():
    def rotation(a, b, t):
        """Turn a in the plane of a and b, and let the length go along as the formula has it."""
        u = a / a.norm()
        across = b - (b @ u) * u
        v = across / across.norm()
        w = torch.atan2(across.norm(), b @ u)
        weights = torch.sin((1 - t) * w) / torch.sin(w), torch.sin(t * w) / torch.sin(w)
        return weights[0] * a.norm() * u + weights[1] * b.norm() * (torch.cos(w) * u + torch.sin(w) * v)

    def library(a, b, t):
        return vw.holes.interpolate(a, b, torch.tensor([t]), "great-circle")[0]

    assert check.great_circle(rotation) and check.great_circle(library)


def test_great_circle_wrong():
    not_yet(check.great_circle(lambda a, b, t: torch.lerp(a, b, t)), "straight line: its middle")
    not_yet(check.great_circle(lambda a, b, t: torch.lerp(b, a, t)), "runs from b to a")

    def stretched(a, b, t):
        line = torch.lerp(a, b, t)
        return line * a.norm() / line.norm()

    not_yet(check.great_circle(stretched), "pace is uneven")
    not_yet(check.great_circle(lambda a, b, t: (1 - t) ** 0.5 * a + t**0.5 * b), "right angle")

    def of_directions(a, b, t):
        u, v = a / a.norm(), b / b.norm()
        w = torch.acos(u @ v)
        return (torch.sin((1 - t) * w) * u + torch.sin(t * w) * v) / torch.sin(w)

    not_yet(check.great_circle(of_directions), "*directions*")


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
