"""fit: an iterator that trains, says what it saw only when asked, and can be left at any time."""

import copy
import gc
import math
import os
import subprocess
import sys
from itertools import islice

import pytest
import torch
from oracles import drain, generator

import vaewidgets as vw
from vaewidgets.evaluation.metrics import held_out_elbo
from vaewidgets.training import loop


def small(seed=0, **arguments):
    return vw.VAE(**{"latent_dim": 2, "image_shape": (1, 8, 8), "hidden": (32,), "seed": seed, **arguments})


def weights(model):
    return torch.cat([t.flatten() for t in model.state_dict().values()])


@pytest.fixture
def images(digits):
    return digits.train.images[:300]


VARIANTS = [
    dict(),
    dict(binarize="dynamic", schedule="cosine", weight_decay=0.01, beta=0.5),
    dict(likelihood="gaussian", sigma="optimal"),
    dict(likelihood="gaussian", sigma="learned"),
    dict(likelihood="continuous-bernoulli", trunk="conv"),
]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_steps_bit_by_bit(images, variant):
    of_model = {name: value for name, value in variant.items() if name in ("likelihood", "sigma", "trunk")}
    of_fit = {name: value for name, value in variant.items() if name not in of_model}
    runs = []
    before = torch.get_rng_state()
    for seed in (5, 5, 6):
        model = small(**of_model)
        losses = [step.loss for step in vw.fit(model, images, epochs=2, seed=seed, **of_fit)]
        runs.append((losses, weights(model)))
    assert torch.equal(torch.get_rng_state(), before), "training drew from the global generator"
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_steps_are_counted_from_one_with_a_short_last_batch(images):
    steps = list(vw.fit(small(), images, epochs=3, batch_size=128))
    assert [(s.epoch, s.step) for s in steps] == [(1 + i // 3, 1 + i) for i in range(9)]
    assert {s.total_steps for s in steps} == {9}
    assert all(len(s.terms.kl_per_dimension) == 2 for s in steps)
    assert all(s.images_per_second > 0 for s in steps)


@pytest.mark.parametrize("batch_size", [1, 299, 300, 1000])
def test_every_epoch_visits_every_image_once(images, elbo_calls, batch_size):
    images = images[:20] if batch_size == 1 else images
    # The index of an image is written into it, so that each is recognised.
    marked = images.clone()
    marked[:, 0, 0, 0] = torch.arange(len(images)) / len(images)
    drain(vw.fit(small(), marked, epochs=2, batch_size=batch_size))
    marks = (torch.cat([x for x, _, _ in elbo_calls])[:, 0, 0, 0] * len(images)).round().long()
    first, second = marks.view(2, -1)
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(len(images)))
    assert first.tolist() != second.tolist(), "the order is drawn anew for every epoch"


@pytest.mark.parametrize("beta", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("batch_size", [128, 299])
def test_the_numbers_of_a_step_are_means_over_its_images(images, elbo_calls, beta, batch_size):
    steps = list(vw.fit(small(), images, epochs=1, beta=beta, batch_size=batch_size))
    # Means in float32, summed in an order that is the processor's own: some hundred roundings of 6e-8.
    for step, (_, _, terms) in zip(steps, elbo_calls, strict=True):
        assert step.beta == beta
        assert step.loss == pytest.approx(-terms.total.mean().item(), rel=1e-5)
        assert step.reconstruction == pytest.approx(terms.reconstruction.mean().item(), rel=1e-5)
        assert step.terms.kl_per_dimension == pytest.approx(terms.kl.mean(0).tolist(), rel=1e-5)
        assert step.kl == pytest.approx(terms.kl.sum(1).mean().item(), rel=1e-5)
        assert step.loss == pytest.approx(-step.reconstruction + beta * step.kl, rel=1e-5)
        assert not step.numbers.requires_grad
    assert len(terms.total) == 300 - batch_size * (len(steps) - 1), "the last batch is short"


def test_the_first_step_is_adam_on_the_gradient_of_the_loss(images):
    """Its terms are those before the weights moved; every weight moves by lr against its gradient's sign."""
    model = small()
    before = copy.deepcopy(model)
    step = next(vw.fit(model, images, batch_size=300, lr=1e-3, seed=0))
    terms = vw.elbo(before, images[torch.randperm(300, generator=generator(0))], generator=generator(0))
    assert step.loss == pytest.approx(-terms.total.mean().item(), rel=1e-5)
    (-terms.total.mean()).backward()
    for old, new in zip(before.parameters(), model.parameters(), strict=True):
        large = old.grad.abs() > 1e-3
        moved = (new - old).detach()[large]
        torch.testing.assert_close(moved, -1e-3 * old.grad.sign()[large], rtol=1e-3, atol=0)


def test_the_cosine_schedule_takes_the_learning_rate_to_zero(images, monkeypatch):
    rates = []
    step = torch.optim.AdamW.step

    def spied(self, *arguments, **keywords):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **keywords)

    monkeypatch.setattr(torch.optim.AdamW, "step", spied)
    drain(vw.fit(small(), images, epochs=4, batch_size=30, lr=0.01, schedule="cosine"))
    assert rates == pytest.approx([0.005 * (1 + math.cos(math.pi * i / 40)) for i in range(40)])
    rates.clear()
    drain(vw.fit(small(), images, epochs=1, batch_size=100, lr=0.01))
    assert rates == [0.01] * 3


class TestStopping:
    def test_closing_leaves_a_usable_model(self, images):
        model = small()
        steps = vw.fit(model, images, epochs=100)
        drain(islice(steps, 5))
        steps.close()
        assert list(steps) == []
        assert weights(model).isfinite().all()
        assert model(images).shape == images.shape
        assert drain(vw.fit(model, images, epochs=1)).step == 3

    def test_forgetting_the_iterator_is_closing_it(self, images):
        model = small()
        start = weights(model).clone()
        next(vw.fit(model, images, epochs=100))
        gc.collect()
        assert weights(model).isfinite().all() and not torch.equal(weights(model), start)

    def test_stopping_after_n_steps_is_having_asked_for_n_steps(self, images):
        stopped, whole = small(), small()
        steps = vw.fit(stopped, images, epochs=10)
        drain(islice(steps, 6))
        steps.close()
        drain(vw.fit(whole, images, epochs=2))
        assert torch.equal(weights(stopped), weights(whole))

    def test_nothing_happens_before_the_first_step(self, images):
        model = small()
        start = weights(model).clone()
        vw.fit(model, images).close()
        assert torch.equal(weights(model), start)


@pytest.mark.parametrize("variant", [dict(), dict(binarize="dynamic", schedule="cosine", free_bits=0.1)])
@pytest.mark.parametrize("likelihood, sigma", [("bernoulli", None), ("gaussian", "optimal")])
def test_a_step_that_nobody_reads_costs_no_synchronisation(images, monkeypatch, variant, likelihood, sigma):
    """Where reading costs a wait, as on a GPU, many steps share the look at whether all is finite."""
    model = small(likelihood=likelihood, sigma=sigma)
    steps = vw.fit(model, images, epochs=50, batch_size=60, **variant)
    steps._guard.every = loop.KEEP_EVERY
    read = []
    for name in ("item", "tolist", "numpy", "__float__", "__int__", "__bool__", "__index__"):
        original = getattr(torch.Tensor, name)

        def counted(self, *arguments, name=name, original=original):
            read.append(name)
            return original(self, *arguments)

        monkeypatch.setattr(torch.Tensor, name, counted)
    last = drain(steps)
    assert last.step == 250
    assert read == ["tolist"] * (250 // loop.KEEP_EVERY)
    assert all(isinstance(value, float) for value in (last.loss, last.kl, last.reconstruction))
    assert len(read) == 250 // loop.KEEP_EVERY + 1, "its numbers are read together, and once"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_only_the_order_of_an_epoch_is_waited_for(images):
    model = small(likelihood="gaussian", sigma="optimal").cuda()
    steps = vw.fit(model, images.cuda(), epochs=2, batch_size=10, schedule="cosine")
    next(steps)
    torch.cuda.set_sync_debug_mode("error")
    try:
        drain(islice(steps, 20))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_it_learns_digits(digits):
    """Held out, it beats the best image without a latent: the pixel means of the training set."""
    x = digits.test.images
    means = digits.train.images.mean(0, keepdim=True).clamp(1e-3, 1 - 1e-3)
    baseline = (x * means.log() + (1 - x) * (1 - means).log()).sum((1, 2, 3))
    model = small(hidden=(128,))
    drain(vw.fit(model, digits.train.images, epochs=30, lr=3e-3))
    terms = held_out_elbo(model, x)
    gains = terms.total - baseline
    assert gains.mean().item() > 5 * gains.std().item() / math.sqrt(len(x))
    assert (terms.kl.mean(0) > 0.5).all(), "both latents are used"


def test_dynamic_binarisation_encodes_and_scores_one_draw_made_anew(images, elbo_calls):
    drain(vw.fit(small(), images, epochs=40, batch_size=300, binarize="dynamic"))
    orders = generator(0)  # of their own: `fit` draws one for each epoch
    draws = torch.stack([x[torch.randperm(300, generator=orders).argsort()] for x, _, _ in elbo_calls])
    assert ((draws == 0) | (draws == 1)).all()
    # Each pixel is drawn with its own chance, anew in each epoch: 40 draws of each of 19,200 pixels.
    deviation = (draws.mean(0) - images) / (images * (1 - images) / 40).sqrt()
    deviation = deviation[(images > 0) & (images < 1)]
    assert (draws.mean(0)[images == 0] == 0).all() and (draws.mean(0)[images == 1] == 1).all()
    assert deviation.mean().abs().item() < 4 / math.sqrt(len(deviation))
    assert deviation.std().item() == pytest.approx(1, abs=0.05)


def test_a_model_in_float64_trains_on_images_in_float32_and_back(images):
    for model, x in [(small().double(), images), (small(), images.double()), (small(), images.half())]:
        dtype = model.mu.weight.dtype
        assert math.isfinite(drain(vw.fit(model, x, epochs=1)).loss)
        assert model.mu.weight.dtype is dtype


def test_the_images_are_left_as_they_were(images):
    before = images.clone()
    drain(vw.fit(small(), images, epochs=1, binarize="dynamic"))
    assert torch.equal(images, before)


def test_steps_compare_by_identity_and_print_no_tensor(images):
    a, b, _ = vw.fit(small(), images, epochs=1)
    assert a == a and a != b
    assert repr(a) == "Step(epoch=1, step=1, total_steps=3)"


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(epochs=0), ValueError, "epochs must be a whole number, at least 1; got 0"),
        (dict(epochs=2.0), ValueError, "epochs must be a whole number"),
        (dict(batch_size=True), ValueError, "batch_size must be a whole number"),
        (dict(lr=0.0), ValueError, "lr must be a positive number; got 0.0"),
        (dict(lr=math.nan), ValueError, "lr must be a positive number"),
        (dict(beta=-1.0), ValueError, "beta must be a number, at least 0; got -1.0"),
        (dict(beta=math.inf), ValueError, "beta must be a number"),
        (dict(weight_decay=-0.1), ValueError, "weight_decay must be a number"),
        (dict(schedule="linear"), ValueError, "schedule must be one of constant, cosine; got 'linear'"),
        (dict(binarize="static"), ValueError, 'binarize must be None or "dynamic"; got .static.'),
        (dict(seed=1.5), ValueError, "seed must be a whole number from 0 up; got 1.5"),
        (dict(seed=-1), ValueError, "seed must be a whole number"),
        (dict(epoch=3), TypeError, "epoch"),
    ],
)
def test_arguments_that_cannot_be_trained_with_are_refused_at_the_call(images, arguments, error, words):
    with pytest.raises(error, match=words):
        vw.fit(small(), images, **arguments)


@pytest.mark.parametrize(
    "spoil, error, words",
    [
        (lambda x: x * 255, ValueError, r"within \[0, 1\]; got values from 0 to 255"),
        (lambda x: x - 0.5, ValueError, "got values from -0.5"),
        (lambda x: x * math.nan, ValueError, "finite"),
        (lambda x: (x * 255).byte(), TypeError, "images must be floats; got torch.uint8"),
        (lambda x: x.numpy(), TypeError, "must be a torch Tensor; got ndarray"),
        (lambda x: x[:, 0], ValueError, r"shape \(N, 1, 8, 8\); got \(300, 8, 8\)"),
        (lambda x: x[..., :7], ValueError, r"shape \(N, 1, 8, 8\); got \(300, 1, 8, 7\)"),
        (lambda x: x[:0], ValueError, "empty"),
    ],
)
def test_images_that_cannot_be_trained_on_are_refused_at_the_call(images, spoil, error, words):
    with pytest.raises(error, match=words):
        vw.fit(small(), spoil(images), epochs=1)


def test_gaussian_pixels_may_have_any_finite_value_but_cannot_be_binarised(images):
    model = small(likelihood="gaussian")
    assert math.isfinite(drain(vw.fit(model, images * 5 - 2, epochs=1)).loss)
    with pytest.raises(ValueError, match=r"within \[0, 1\]"):
        vw.fit(model, images * 5 - 2, binarize="dynamic")
    with pytest.raises(ValueError, match="finite"):
        vw.fit(model, images / 0)


def test_the_thread_that_takes_a_step_does_not_change_what_comes_out():
    """Each step in a thread of its own; so set, MKL rounds as its number of threads has it."""
    code = """
import threading, torch, vaewidgets as vw
torch.set_num_threads(1)
x = torch.rand(40, 1, 6, 5, generator=torch.Generator().manual_seed(1))
def run(apart):
    model = vw.VAE(2, (1, 6, 5), hidden=(16,), seed=0)
    steps = vw.fit(model, x, epochs=8, batch_size=8)
    for _ in range(40):
        if apart:
            thread = threading.Thread(target=next, args=(steps,))
            thread.start()
            thread.join()
        else:
            next(steps)
    return torch.cat([p.detach().flatten() for p in model.parameters()])
assert torch.equal(run(False), run(True))
"""
    environment = os.environ | {"OMP_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
