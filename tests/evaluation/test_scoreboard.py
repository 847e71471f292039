"""The scoreboard: its numbers against others, computed apart, on a decoder and a judge of known answers."""

import json
import math

import pytest
import torch
from fakes import Bright, Painter
from oracles import generator

import vaewidgets as vw
from vaewidgets.evaluation import aggregate_posterior, holes, marginal_likelihood, metrics, probes, samplers
from vaewidgets.evaluation.scoreboard import check_judge, measure
from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.models.objectives import binarize


def painter(kind: str, n: int = 400, train: bool = True, seed: int = 0) -> Painter:
    """Codes spread evenly over the square of half-width 2; the class is which coordinate is the larger."""
    g = generator(seed)
    mu, more = 4 * torch.rand(2, n, 2, generator=g) - 2
    labels = (mu[:, 1].abs() > mu[:, 0].abs()).long()
    logvar = torch.full((n, 2), -6.0) if kind == "vae" else None
    return Painter(mu, logvar, labels, EncodedDataset(more, logvar, None) if train else None)


@pytest.fixture(scope="module")
def models():
    return {"ae": painter("ae"), "vae": painter("vae")}


@pytest.fixture(scope="module")
def board(models):
    return measure(models, Bright(), draws=400)


def row(board, sampler, model):
    (found,) = [r for r in board.rows if (r.sampler, r.model) == (sampler, model)]
    return found


# --- its numbers -------------------------------------------------------------------------------------


def test_the_rows_of_an_autoencoder_and_a_vae(board):
    assert [(r.sampler, r.model) for r in board.rows] == [
        ("N(0, I)", "ae"), ("matched Gaussian", "ae"), ("mixture", "ae"), ("reconstructions", "ae"),
        ("prior", "vae"), ("mixture", "vae"), ("aggregate posterior", "vae"), ("reconstructions", "vae"),
        ("noise", None), ("shuffled pixels", None),
    ]  # fmt: skip
    assert all(r.holes.n == 400 for r in board.rows)


def test_the_hole_rate_of_the_prior_in_closed_form(models):
    """The judge is unsure where both |z1| and |z2| are under .9: erf(.9 / sqrt 2)^2 of N(0, I)."""
    found = measure({"vae": models["vae"]}, Bright(), draws=20_000)
    wanted = math.erf(0.9 / math.sqrt(2)) ** 2
    rate = row(found, "prior", "vae").holes
    assert rate.share == pytest.approx(wanted, abs=4 * math.sqrt(wanted * (1 - wanted) / 20_000))
    assert (rate.low, rate.high) == holes.wilson(rate.count, rate.n)
    noise = row(found, "noise", None)
    assert noise.holes.share == pytest.approx(0.81, abs=4 * math.sqrt(0.81 * 0.19 / 400))


def test_the_threshold_rejects_5_percent_of_the_reconstructions(board, models):
    for name, model in models.items():
        found = row(board, "reconstructions", name)
        confidence = model.decode(model.atlas.mu).flatten(1).amax(1)
        assert found.tau == holes.reject_threshold(confidence)
        assert found.holes.count == int((confidence < 0.9).sum())
        assert found.holes_at_tau.count == 20
        assert {r.tau for r in board.rows if r.model == name} == {found.tau}


def test_distances_are_to_the_training_codes_and_beyond_those_of_held_out_ones(board, models):
    model = models["ae"]
    found = row(board, "matched Gaussian", "ae")
    z = samplers.samplers_for(model)[1].draw(400, generator(1))
    train, real, draws = (
        model.decode(codes).flatten(1) for codes in (model.train_atlas.mu, model.atlas.mu, z)
    )
    threshold = torch.cdist(real, train).min(1).values.quantile(0.95)
    assert found.distance.count == int((torch.cdist(draws, train).min(1).values > threshold).sum())
    assert row(board, "reconstructions", "ae").distance.count == 20, "5 % of the real ones by construction"


def test_the_figures_of_a_vae_are_those_of_the_functions(board, models):
    _, found = board.models
    mu, logvar, labels = models["vae"].atlas
    assert found.code_spread == tuple(samplers.code_spread(mu).tolist())
    assert found.grouping == probes.grouping(mu, labels)
    assert found.surgery == aggregate_posterior.elbo_surgery(mu, logvar)
    assert found.active_units == 2
    assert found.two_sample.n == 400 and found.two_sample.low > 0.5, "a square is no normal"
    assert found.paths.confidence.shape == (200, 21)
    assert found.reconstruction_error is None and found.bounds is None


def test_lines_join_each_code_to_one_other(models):
    """Holes are the points inside the square of half-width .9: counted from the line's own formula."""
    (found,) = measure({"ae": models["ae"]}, Bright(), draws=400).models
    mu = models["ae"].atlas.mu
    a, b = mu[torch.randperm(400, generator=generator())].split(200)
    z = a[:, None] + torch.linspace(0, 1, 21)[:, None] * (b - a)[:, None]
    wanted = (z.abs().amax(2) < 0.9).double().mean().item()
    assert found.paths.share == pytest.approx(wanted, abs=1e-3)


def test_an_autoencoder_has_no_figures_of_a_posterior(board):
    found, _ = board.models
    assert (found.surgery, found.two_sample, found.active_units, found.bounds) == (None,) * 4
    assert found.grouping is not None and found.kind == "Painter"


def test_without_training_codes_half_of_the_held_out_ones_are_the_references():
    model = painter("ae", train=False)
    found = measure({"ae": model}, Bright(), draws=400)
    first, second = probes.halves(400, 0)
    train, real = (model.decode(model.atlas.mu[part]).flatten(1) for part in (first, second))
    distance = torch.cdist(real, train).min(1).values
    counted = row(found, "reconstructions", "ae").distance
    assert counted[:2] == (int((distance > distance.quantile(0.95)).sum()), 200)
    assert "half of them are the references" in found.models[0].measured_on


def test_seeds_show_how_far_the_holes_vary(models):
    others = [painter("ae", seed=seed) for seed in (1, 2)]
    found = measure({"ae": [models["ae"], *others]}, Bright(), draws=400)
    alone = [measure({"x": m}, Bright(), draws=400) for m in (models["ae"], *others)]
    for sampler in ("N(0, I)", "matched Gaussian", "mixture"):
        shares = tuple(row(a, sampler, "x").holes.share for a in alone)
        assert row(found, sampler, "ae").seeds == shares
    assert row(found, "mixture", "ae").holes.share == row(alone[0], "mixture", "x").holes.share


def test_the_same_seed_gives_the_same_table(models):
    one, same, other = (measure({"vae": models["vae"]}, Bright(), draws=200, seed=s) for s in (3, 3, 4))
    assert one.as_table() == same.as_table() and one.as_dict() == same.as_dict()
    assert row(one, "prior", "vae").holes != row(other, "prior", "vae").holes


# --- with images -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def judge() -> vw.Classifier:
    return vw.Classifier((1, 8, 8), hidden=(4,), seed=0).requires_grad_(False)


def test_images_give_what_needs_pixels(trained, digits, judge):
    x, labels = digits.test.images[:60], digits.test.labels[:60]
    found = measure([trained], judge, x, labels, draws=100)
    (figures,) = found.models
    assert (figures.model, found.images) == ("VAE 2-d", 60)
    assert figures.reconstruction_error == metrics.Mean.of(metrics.reconstruction_error(trained, x))
    assert found.baselines == {2: probes.baselines(x, labels, 2)}
    features = metrics.features_of(judge, x)
    real = row(found, "reconstructions", "VAE 2-d")
    wanted = metrics.feature_distance(features, metrics.features_of(judge, trained(x)))
    assert real.feature_distance == pytest.approx(wanted, rel=1e-4)
    assert figures.grouping == probes.grouping(trained.encode(x).mu, labels)

    b = binarize(x, generator())
    assert list(figures.bounds) == ["ELBO", "IWAE_50", "log p(x)"]
    assert figures.bounds["log p(x)"] == pytest.approx(
        metrics.Mean.of(marginal_likelihood.log_evidence(trained, b)), abs=1e-3
    )
    low, middle, high = (mean.value for mean in figures.bounds.values())
    assert low < middle < high
    table = found.as_table()
    assert "to beat" in table and "log p(x)" in table and "left out" not in table


def test_images_without_labels(trained, digits, judge):
    found = measure([trained], judge, digits.test.images[:60], draws=100)
    assert found.baselines == {} and found.models[0].grouping is None
    assert "no labels" in found.as_table()


# --- how it is shown ---------------------------------------------------------------------------------


def test_the_table_shows_the_numbers_of_the_record_in_less_than_100_columns(board):
    table = board.as_table()
    assert max(map(len, table.splitlines())) < 100
    for r in board.rows:
        shown = f"{100 * r.holes.share:.1f} ({100 * r.holes.low:.1f}-{100 * r.holes.high:.1f})"
        assert any(r.sampler in line and shown in line for line in table.splitlines()), r
    surgery = board.models[1].surgery
    assert f"{surgery.mean_kl:.3f}" in table and f"{surgery.mean_kl / math.log(2):.3f}" in table
    assert f"{surgery.information.value:.3f} +- {surgery.information.error:.3f}" in table
    assert "400 training codes are the references" in table and "No images at hand" in table


def test_many_models_with_long_names_fit_too():
    models = {f"a-model-with-a-long-name-that-says-it-all-{i}": painter("vae", 60) for i in range(4)}
    table = measure(models, Bright(), draws=100).as_table()
    assert max(map(len, table.splitlines())) < 100
    assert table.count("mean KL, nats") == 2, "the second block of columns"


def test_the_record_is_json(board):
    found = json.loads(json.dumps(board.as_dict(), allow_nan=False))
    assert found["rows"][0]["holes"]["count"] == board.rows[0].holes.count
    assert found["models"][1]["surgery"]["mean_kl"] == board.models[1].surgery.mean_kl
    assert "confidence" not in found["models"][0]["paths"]


def test_figures_measured_at_training_are_labelled_so():
    model = painter("ae", 60)
    model.info = {"figures": {"loss": 12.5, "split": "test", "kl_per_dimension": [1]}}
    board = measure([model], Bright(), draws=100)
    lines = board.as_table().splitlines()
    first = lines.index("measured at training")
    assert lines[first + 1].split() == ["loss", "12.5"] and lines[first + 2] == ""


def test_progress_rises_to_one_and_says_what_comes_next(models):
    told = []
    measure({"ae": [models["ae"]] * 2}, Bright(), draws=100, progress=lambda *args: told.append(args))
    shares = [share for share, _ in told]
    assert shares[0] == 0 and shares[-1] == 1 and shares == sorted(set(shares))
    steps = [b - a for a, b in zip(shares, shares[1:], strict=False)]
    assert max(steps) == pytest.approx(min(steps)), "a task is not counted"
    assert told[1][1] == "ae: N(0, I)"


# --- what it refuses ---------------------------------------------------------------------------------


def of_fashion() -> Bright:
    judge = Bright((1, 8, 8), 10)
    judge.info = {"dataset": "fashion-mnist"}
    return judge


def few_training_codes() -> Painter:
    model = painter("ae")
    model.train_atlas = EncodedDataset(torch.randn(10, 2), None, None)
    return model


@pytest.mark.parametrize(
    ("models", "judge", "words"),
    [
        (
            lambda digits: [painter("ae"), digits],
            Bright(),
            "VAE 2-d makes images of 1x8x8, but this judge takes 1x1x2",
        ),
        (lambda digits: [digits], Bright((1, 8, 8)), "are of 10 classes, this judge's 2"),
        (lambda digits: [digits], of_fashion(), "trained on digits, this judge on fashion-mnist"),
        (
            lambda digits: {"x": [digits, vw.pretrained("digits-ae-2d")]},
            Bright((1, 8, 8), 10),
            "differ by their seed only",
        ),
        (lambda _: {"x": Painter()}, Bright(), "x has no atlas"),
        (
            lambda _: {"x": painter("ae", 39)},
            Bright(),
            "codes of 39 held-out images; measure takes at least 40",
        ),
        (lambda _: {"x": few_training_codes()}, Bright(), "need at least 15 codes; got 10"),
        (lambda _: {}, Bright(), "at least one model"),
        (lambda _: [], Bright(), "at least one model"),
        (lambda _: {"x": []}, Bright(), "at least one model"),
    ],
)
def test_models_and_judges_that_do_not_go_together(models, judge, words):
    with pytest.raises(ValueError, match=words):
        measure(models(vw.pretrained("digits-vae-2d")), judge)


def test_a_conditional_model_needs_its_label_fixed():
    model = vw.ConditionalVAE(2, (1, 1, 2), 2, hidden=(4,), seed=0)
    model.atlas = EncodedDataset(torch.randn(200, 2), torch.zeros(200, 2), torch.arange(200) % 2)
    with pytest.raises(ValueError, match=r"model.given\(label\)"):
        measure({"cvae": model}, Bright())
    model.info = {}
    check_judge(Bright(), model.given(0), "cvae")
    found = measure({"cvae": model.given(0).requires_grad_(False)}, Bright(), draws=100)
    assert found.models[0].grouping is None, "one class does not group"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.rand(50, 1, 8, 8), None, "this judge takes"),
        (torch.rand(50, 2), None, "this judge takes"),
        (None, torch.zeros(50), "labels go with images"),
        (torch.rand(50, 1, 1, 2), torch.zeros(49), "labels go with images"),
        (torch.rand(50, 1, 1, 2), torch.full((50,), 3), "of 4 classes, this judge's of 2"),
    ],
)
def test_images_and_labels_that_do_not_fit(models, images, labels, message):
    with pytest.raises(ValueError, match=message):
        measure(models, Bright(), images, labels)


def test_few_draws_make_no_table(models):
    with pytest.raises(ValueError, match="at least 100 for a table of shares; got 99"):
        measure(models, Bright(), draws=99)
