"""A run that is interrupted, taken back, steered, and watched: what its state is, and what its steps see."""

import copy
import math
from itertools import islice

import pytest
import torch
from oracles import drain, generator

import vaewidgets as vw
from vaewidgets.models.likelihoods import Gaussian
from vaewidgets.models.objectives import binarize
from vaewidgets.training import cuda_graph, loop
from vaewidgets.training import records as steps_module
from vaewidgets.training.cuda_graph import CUDAGraphStep


def small(kind=vw.VAE, **arguments):
    return kind(**{"latent_dim": 2, "image_shape": (1, 8, 8), "hidden": (32,), "seed": 0, **arguments})


@pytest.fixture(scope="module")
def images(digits):
    return digits.train.images[:100]


#: By name: the arguments of the model, and those of `fit`. "held out" stands for images.
VARIANTS = {
    "plain": ({}, {}),
    "much": (
        {},
        dict(binarize="dynamic", schedule="cosine", kl_warmup=1.5, free_bits=0.3, weight_decay=0.01),
    ),
    "iwae": ({}, dict(iwae=5, binarize="dynamic")),
    "patience": ({}, dict(validation="held out", patience=1, lr=0.5, epochs=6)),
    "autoencoder": (dict(kind=vw.Autoencoder), {}),
    "optimal": (dict(likelihood="gaussian", sigma="optimal"), {}),
    "learned": (dict(likelihood="gaussian", sigma="learned"), {}),
    "conv": (dict(trunk="conv", hidden=(4,), likelihood="continuous-bernoulli"), {}),
    "half": ({}, dict(precision="bfloat16")),
}


def begin(images, variant="plain", every=None, **more):
    """Begin a run; `every` so many steps their losses are read, as on a GPU."""
    of_model, of_fit = VARIANTS[variant]
    of_fit = {"epochs": 4, "batch_size": 40, **of_fit, **more}
    if isinstance(of_fit.get("validation"), str):
        of_fit["validation"] = images[:30]
    run = vw.fit(small(**of_model), images, **of_fit)
    run._guard.every = every or run._guard.every
    return run


def report(step):
    """All that a step says but the time it took."""
    return step.step, step.epoch, step.beta, step.lr, step.numbers.tolist(), step.held_out


def same(a, b):
    """Whether two states are equal bit for bit, but for the time they took."""
    numbers = [{**s.numbers, "busy": 0.0} for s in (a, b)]
    assert a.tensors.keys() == b.tensors.keys()
    return numbers[0] == numbers[1] and all(torch.equal(a.tensors[n], b.tensors[n]) for n in a.tensors)


class TestState:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_fresh_run_goes_on_from_any_step_bit_for_bit(self, images, variant):
        run = begin(images, variant)
        states, reports = [run.state()], []
        for step in run:
            states.append(run.state())
            reports.append(report(step))
        if variant == "patience":
            assert 3 < len(reports) < run.total_steps, "it stopped early, after the best epoch"
        else:
            assert len(reports) == 12
        for at, state in enumerate(states):
            fresh = begin(images, variant)
            next(fresh)  # so that nothing is right by being new
            fresh.restore(state)
            assert same(fresh.state(), state)
            assert [report(step) for step in fresh] == reports[at:]
            assert fresh.finished and same(fresh.state(), states[-1])

    def test_it_is_a_copy_that_lies_in_the_processors_memory(self, images):
        run = begin(images)
        next(run)
        state = run.state()
        before = copy.deepcopy(state)
        drain(run)
        assert same(state, before)
        assert {t.device.type for t in state.tensors.values()} == {"cpu"}
        run.restore(state)
        drain(run)
        assert same(state, before), "restoring handed out the state's own tensors"

    def test_restoring_is_in_place(self, images):
        run = begin(images, "patience")
        state = run.state()
        next(run)
        tensors = [*run.model.state_dict().values(), *run._tensors().values()]
        parameters, places = list(run.model.parameters()), [t.data_ptr() for t in tensors]
        run.restore(state)
        assert [t.data_ptr() for t in [*run.model.state_dict().values(), *run._tensors().values()]] == places
        assert all(a is b for a, b in zip(parameters, run.model.parameters(), strict=True))
        assert same(run.state(), state)

    def test_rewinding_repeats_the_same_steps(self, images):
        run = begin(images, "much")
        next(run)
        state = run.state()
        first = [report(step) for step in run]
        run.restore(state)
        assert not run.finished
        assert [report(step) for step in run] == first

    def test_knobs_and_a_new_seed_of_the_noise_are_part_of_it(self, images):
        run = begin(images)
        next(run)
        run.beta, run.lr = 2.5, 0.02
        run.reseed(9)
        state, fresh = run.state(), begin(images, beta=1.0, lr=0.5)
        fresh.restore(state)
        assert (fresh.beta, fresh.lr) == (2.5, 0.02)
        assert report(next(fresh)) == report(next(run))

    @pytest.mark.parametrize(
        "other",
        [
            dict(epochs=5), dict(batch_size=39), dict(seed=1), dict(schedule="cosine"), dict(free_bits=0.1),
            dict(iwae=2, binarize="dynamic"), dict(binarize="dynamic"), dict(weight_decay=0.1),
            dict(precision="bfloat16"), dict(kl_warmup=1.0), dict(validation="held out"),
            dict(validation="held out", patience=1),
        ],
        ids=str,
    )  # fmt: skip
    def test_that_of_other_arguments_is_refused(self, images, other):
        self.refused(begin(images), begin(images, **other).state())

    @pytest.mark.parametrize("variant", ["conv", "autoencoder", "optimal", "learned"])
    def test_that_of_another_model_is_refused(self, images, variant):
        self.refused(begin(images), begin(images, variant).state())

    def test_that_of_other_images_is_refused(self, images):
        self.refused(begin(images), begin(images[:99]).state())

    @pytest.mark.parametrize(
        "name, value",
        [
            (name, value)
            for name in ("step", "seen", "busy", "beta", "lr", "best_loss", "stale")
            for value in ("absent", None, "1", math.nan, True, -2, [1])
        ]
        + [(name, value) for name in ("step", "seen", "stale") for value in (0.5, 1.0, math.inf)]
        + [(name, value) for name in ("busy", "beta", "lr") for value in (-0.5, math.inf, 1)],
    )
    def test_that_of_hostile_numbers_is_refused(self, images, name, value):
        run = begin(images)
        next(run)
        state = copy.deepcopy(run.state())
        if value == "absent":
            del state.numbers[name]
        else:
            state.numbers[name] = value
        self.refused(run, state)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda s: s.numbers.update(step=13),
            lambda s: s.numbers.update(lr=0.0),
            lambda s: s.numbers.update(extra=1),
            lambda s: s.arguments.pop("seed"),
            lambda s: s.arguments.update(more=1),
            lambda s: s.tensors.pop("noise"),
            lambda s: s.tensors.pop("adam.0.exp_avg"),
            lambda s: s.tensors.update(extra=torch.zeros(1)),
            lambda s: s.tensors.update({"model.mu.bias": torch.zeros(3)}),
            lambda s: s.tensors.update({"model.mu.bias": torch.zeros(2, dtype=torch.float64)}),
            lambda s: s.tensors.update({"model.mu.bias": [0.0, 0.0]}),
            lambda s: s.tensors.update({"model.mu.bias": None}),
            lambda s: s.tensors.update({"model.mu.bias": torch.zeros(2).to_sparse()}),
            lambda s: s.tensors["noise"].fill_(255),
            lambda s: s.tensors["order"].fill_(255),
            lambda s: s.tensors.update(noise=s.tensors["noise"][:10]),
            lambda s: s.tensors.update(order=s.tensors["order"].float()),
        ],
    )
    def test_a_hostile_one_is_refused(self, images, spoil):
        run = begin(images)
        next(run)
        state = copy.deepcopy(run.state())
        spoil(state)
        self.refused(run, state)

    @pytest.mark.parametrize("state", [None, {}, (1, 2, 3), steps_module.Snapshot(None, {}, {})])
    def test_what_is_no_state_is_refused(self, images, state):
        self.refused(begin(images), state)

    @staticmethod
    def refused(run, state):
        """With a reason, and with the run as it was before."""
        before = run.state()
        with pytest.raises(ValueError, match=r"state .* (should be|returns).*; got|no state of a random"):
            run.restore(state)
        assert same(run.state(), before)


def is_adam_on(loss, x, theirs, run, rtol, atol):
    """Hold the first step of a run against one of Adam on a loss that is written by hand."""
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    expected = loss(theirs, x)
    expected.backward()
    optimizer.step()
    assert next(run).loss == pytest.approx(expected.item(), rel=1e-5)
    for weight, reference in zip(run.model.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, reference.grad, rtol=rtol, atol=atol)
        torch.testing.assert_close(weight, reference, rtol=0, atol=2 * atol)


class TestObjectives:
    def test_the_weight_of_the_kl_rises_in_a_line(self, images):
        """3 batches an epoch and 1.5 epochs: over 4.5 steps, from the first one's share on."""
        for step in begin(images, beta=3.0, kl_warmup=1.5, epochs=3):
            assert step.beta == pytest.approx(3 * min(1, step.step / 4.5))
            assert step.loss == pytest.approx(-step.reconstruction + step.beta * step.kl, rel=1e-5)

    @pytest.mark.parametrize("floor", ["below all", "between", "above all"])
    def test_free_bits_is_adam_on_the_floored_kl(self, images, floor):
        """Below the floor no gradient, above it the exact one: max(floor, mean KL_j), by autograd."""
        start = small()
        with torch.no_grad():
            start.mu.weight[0] *= 4  # two dimensions of different cost
        order, noise = torch.randperm(100, generator=generator()), generator()
        x, epsilon = images[order], torch.randn(100, 2, generator=noise)
        means = start.encode(x).kl().mean(0).tolist()
        assert min(means) < 0.8 * max(means)
        bits = {"below all": min(means) / 2, "between": sum(means) / 2, "above all": 2 * max(means)}[floor]

        def loss(model, x):
            terms = vw.elbo(model, x, epsilon=epsilon)
            return -terms.reconstruction.mean() + 0.7 * terms.kl.mean(0).clamp(min=bits).sum()

        run = vw.fit(copy.deepcopy(start), images, batch_size=100, free_bits=bits, beta=0.7)
        is_adam_on(loss, x, start, run, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("k", [1, 5])
    def test_iwae_is_adam_on_the_bound(self, images, k):
        """L_k = log mean_i p(x|z_i) p(z_i) / q(z_i|x), with the densities of torch.distributions."""
        x = (images > 0.5).float()[torch.randperm(100, generator=generator())]
        epsilon = torch.randn(k, 100, 2, generator=generator())

        def loss(model, x):
            q = model.encode(x)
            normal = torch.distributions.Normal(q.mu, (q.logvar / 2).exp())
            z = q.mu + (q.logvar / 2).exp() * epsilon
            pixels = torch.distributions.Bernoulli(logits=model.decode_parameters(z))
            log_w = pixels.log_prob(x.expand(k, -1, -1, -1, -1)).sum((2, 3, 4))
            log_w += (torch.distributions.Normal(0.0, 1.0).log_prob(z) - normal.log_prob(z)).sum(2)
            return math.log(k) - log_w.logsumexp(0).mean()

        run = vw.fit(small(), (images > 0.5).float(), batch_size=100, iwae=k)
        is_adam_on(loss, x, small(), run, rtol=1e-3, atol=1e-5)


def held_out_by_hand(model, x, binary=False, seed=0):
    noise = generator(seed)
    if binary:
        x = binarize(x, noise)
    with torch.no_grad():
        terms = vw.elbo(model, x, generator=noise)
    return terms.total.neg().mean().item(), terms.reconstruction.mean().item(), terms.kl.mean(0).tolist()


class TestValidation:
    @pytest.mark.parametrize(
        "more", [{}, dict(binarize="dynamic"), dict(beta=4.0, kl_warmup=3.0, free_bits=1.0)]
    )
    def test_its_numbers_are_those_of_the_bound_itself_after_the_epoch(self, images, digits, more):
        held_out = digits.test.images[:70]
        run = begin(images, validation=held_out, seed=2, **more)
        for step in run:
            assert (step.held_out is not None) == (step.step % 3 == 0)
            if step.held_out is not None:
                loss, reconstruction, kl = held_out_by_hand(run.model, held_out, "binarize" in more, seed=2)
                # In float32, by batches of other sizes; a KL of nearly 0 is a difference of numbers near 1.
                assert step.held_out.loss == pytest.approx(loss, rel=1e-5)
                assert step.held_out.reconstruction == pytest.approx(reconstruction, rel=1e-5)
                assert step.held_out.kl_per_dimension == pytest.approx(kl, rel=1e-5, abs=1e-6)

    def test_more_images_than_are_measured_at_a_time_are_averaged_once(self, images, digits):
        run = begin(images, validation=digits.train.images[:1030], epochs=1)
        held_out = drain(run).held_out
        noise = generator()
        epsilon = torch.cat([torch.randn(1000, 2, generator=noise), torch.randn(30, 2, generator=noise)])
        terms = vw.elbo(run.model, digits.train.images[:1030], epsilon=epsilon)
        assert held_out.loss == pytest.approx(-terms.total.mean().item(), rel=1e-5)

    def test_with_many_samples_fewer_images_are_decoded_at_a_time(self, images, digits, monkeypatch):
        decoded = []
        run = begin(images, iwae=100, binarize="dynamic", validation=digits.train.images[:200], epochs=1)
        decode = run.model.decode_parameters
        monkeypatch.setattr(
            run.model, "decode_parameters", lambda z: decoded.append(z.shape[:-1].numel()) or decode(z)
        )
        assert math.isfinite(drain(run).held_out.loss)
        assert decoded[:3] == [4000, 4000, 2000] and max(decoded[3:]) <= 1000
        assert sum(decoded[3:]) == 200 * 100

    def test_it_does_not_disturb_the_steps(self, images, digits):
        plain = [report(step)[:-1] for step in begin(images, "much")]
        watched = begin(images, "much", validation=digits.test.images[:70])
        assert [report(step)[:-1] for step in watched] == plain

    @pytest.mark.parametrize("epochs, patience", [(50, 3), (6, 5)], ids=["early", "at its end"])
    def test_it_stops_with_the_weights_of_the_best_epoch(self, images, epochs, patience):
        run = begin(images, "patience", epochs=epochs, patience=patience)
        losses = [step.held_out.loss for step in run if step.held_out]
        best = losses.index(min(losses))
        assert len(losses) == min(epochs, best + 1 + patience)
        assert 0 < best < len(losses) - 1
        assert held_out_by_hand(run.model, images[:30])[0] == pytest.approx(min(losses), rel=1e-5)

    def test_closing_gives_the_best_weights_and_before_any_the_present_ones(self, images):
        run = begin(images, "patience", patience=5, epochs=20)
        next(run)
        present = run.state()
        run.close()
        assert same(run.state(), present)
        run = begin(images, "patience", patience=5, epochs=20)
        losses = []
        for step in run:
            losses += [step.held_out.loss] if step.held_out else []
            if len(losses) > 2 and losses[-1] > min(losses) and step.step % 3 == 1:
                break
        run.close()
        assert held_out_by_hand(run.model, images[:30])[0] == pytest.approx(min(losses), rel=1e-5)


class TestHalfWidth:
    def test_it_reaches_the_loss_of_full_width_with_full_weights(self, digits, elbo_calls):
        losses = {}
        for precision in ("float32", "bfloat16"):
            model = small(hidden=(64,))
            run = vw.fit(model, digits.train.images, epochs=6, lr=3e-3, precision=precision)
            losses[precision] = [step.loss for step in run]
            assert {weight.dtype for weight in model.parameters()} == {torch.float32}
            assert {t.dtype for name, t in run._tensors().items()} == {torch.float32}
        assert losses["float32"] != losses["bfloat16"], "nothing was rounded"
        ends = [sum(values[-12:]) / 12 for values in losses.values()]
        assert ends[1] == pytest.approx(ends[0], rel=0.02)
        assert ends[0] < 0.7 * losses["float32"][0]
        assert {term.dtype for _, _, terms in elbo_calls for term in terms} == {torch.float32}

    @pytest.mark.parametrize("trunk, hidden", [("mlp", (16,)), ("conv", (4,)), ("linear", ())])
    def test_what_is_summed_is_of_full_width(self, images, trunk, hidden):
        model = small(trunk=trunk, hidden=hidden)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            q = model.encode(images[:4])
            logits = model.decode_parameters(q.mu)
        assert q.mu.dtype is q.logvar.dtype is logits.dtype is torch.float32


def spoiled_from(at, what="reconstruction"):
    """An objective whose term is NaN from its call number `at` on."""
    calls = []

    def objective(*arguments, **keywords):
        terms = vw.objectives.elbo(*arguments, **keywords)
        calls.append(0)
        if len(calls) < at:
            return terms
        name = {"KL": "kl"}.get(what, what)
        return terms._replace(**{name: getattr(terms, name) * math.nan, "total": terms.total * math.nan})

    return objective


class TestDiverged:
    @pytest.mark.parametrize("every", [1, 50])
    @pytest.mark.parametrize("term", ["reconstruction", "KL"])
    @pytest.mark.parametrize("at", [1, 2, 3, 50, 51, 52, 53, 100, 101, 102, 120])
    def test_a_known_step_is_named_and_weights_seen_good_come_back(
        self, images, monkeypatch, every, term, at
    ):
        monkeypatch.setattr(loop, "elbo", spoiled_from(at, term))
        run = begin(images, epochs=40, every=every)
        weights = [copy.deepcopy(run.model.state_dict())]
        with pytest.raises(loop.Diverged, match=rf"step {at:,} of 120: the {term} is") as caught:
            for _ in run:
                weights.append(copy.deepcopy(run.model.state_dict()))
        assert (caught.value.step, caught.value.term) == (at, term)
        kept = 0 if at <= 51 else 50 if at <= 101 else 100
        assert f"it had after step {kept}." in str(caught.value)
        assert kept + 1 < at or at == 1, "a finite loss of these weights has been seen"
        for name, tensor in run.model.state_dict().items():
            assert torch.equal(tensor, weights[kept][name])
        assert run.finished and list(run) == []

    @pytest.mark.parametrize("every", [1, 50])
    @pytest.mark.parametrize("lr", [1e12, 1e30])
    def test_a_rate_that_is_far_too_large(self, images, every, lr):
        run = begin(images, epochs=60, every=every)
        drain(islice(run, 5))
        run.lr = lr
        with pytest.raises(loop.Diverged, match=r"lr = 1e\+\d+ is too large; try a tenth of it") as caught:
            drain(run)
        # Step 6 moves the weights, and step 7 is the first to see them.
        assert caught.value.step == 7
        with torch.no_grad():
            assert vw.elbo(run.model, images).total.isfinite().all()
        assert list(run) == []

    def test_a_rate_that_is_merely_too_large_keeps_to_finite_numbers(self, images):
        run = begin(images, epochs=30, lr=1e6)
        assert all(math.isfinite(step.loss) for step in run)
        assert all(weight.isfinite().all() for weight in run.model.parameters())

    @pytest.mark.parametrize("every", [1, 50])
    def test_a_sigma_that_collapses_is_named_and_comes_back(self, every):
        """On constant images the reconstruction can be perfect, and sigma then wants to be 0."""
        x = torch.full((40, 1, 8, 8), 0.5)
        model = small(likelihood="gaussian", sigma="learned", trunk="linear")
        with torch.no_grad():
            model.decoder[0].weight.zero_()
            model.decoder[0].bias.fill_(0.5)
        run = vw.fit(model, x, epochs=3000, batch_size=40, lr=0.5, beta=0.0)
        run._guard.every = every
        with pytest.raises(loop.Diverged, match=r"sigma went to .*: give it a fixed value"):
            drain(run)
        assert all(tensor.isfinite().all() for tensor in model.state_dict().values())
        with torch.no_grad():
            assert vw.elbo(model, x, beta=0.0).total.isfinite().all()

    def test_an_optimal_sigma_comes_back_with_the_weights(self, images, monkeypatch):
        """It is no parameter: what moved it to NaN was the bad step itself."""
        monkeypatch.setattr(loop, "elbo", spoiled_from(4))
        run = begin(images, "optimal")
        with pytest.raises(loop.Diverged):
            drain(run)
        assert run.model.likelihood.sigma.item() == 1.0

    @pytest.mark.parametrize("every", [1, 50])
    def test_weights_that_were_nan_before_the_first_step(self, images, every):
        run = begin(images, every=every)
        torch.nn.init.constant_(run.model.mu.bias, math.nan)
        with pytest.raises(loop.Diverged, match="before the first step") as caught:
            drain(run)
        assert caught.value.step == 1

    @pytest.mark.parametrize("every", [1, 50])
    @pytest.mark.parametrize(
        ("blamed", "make", "options"),
        [
            ("weight_decay = 1e+09 is too large", {}, dict(weight_decay=1e9)),
            ("weight_decay = 5000 is too large", {}, dict(weight_decay=5e3)),
            ("lr = 1e+20 is too large", {}, dict(lr=1e20, weight_decay=0.01)),
            ("lr = 1e+20 is too large", dict(likelihood="gaussian", sigma="learned"), dict(lr=1e20)),
            ("lr = 1e+20 is too large", dict(likelihood="gaussian", sigma="optimal"), dict(lr=1e20)),
            ("lr = 1e+20 is too large", dict(likelihood="gaussian", sigma=0.1), dict(lr=1e20, beta=10)),
            ("sigma is 1e-30, which is too small", dict(likelihood="gaussian", sigma=1e-30), {}),
            ("sigma is 1e-19, which is too small", dict(likelihood="gaussian", sigma=1e-19), {}),
            ("beta = 1e+38 is too large", dict(bias=3.0), dict(beta=1e38)),
            ("The images reach 1e+30: scale them", dict(likelihood="gaussian", scale=1e30), {}),
            ("The model's weights reached 1e+30 before the first step", dict(spoil=1e30), {}),
            ("The model's weights were no finite numbers before", dict(spoil=math.inf), {}),
        ],
    )
    def test_the_advice_names_what_is_to_blame_and_nothing_else(self, images, every, blamed, make, options):
        model = small(**{name: make[name] for name in ("likelihood", "sigma") if name in make})
        for name, weight in (
            ("bias", model.mu.bias),
            ("spoil", model.mu.weight),
            ("spoil", model.decoder[0].weight),
        ):
            if name in make:
                torch.nn.init.constant_(weight, make[name])
        run = vw.fit(model, images * make.get("scale", 1.0), epochs=100, batch_size=16, **options)
        run._guard.every = every
        with pytest.raises(loop.Diverged) as caught:
            drain(run)
        said = str(caught.value)
        assert blamed in said
        others = ("lr =", "weight_decay =", "beta =", "sigma", "images reach", "model's weights")
        own = blamed.split(" is ")[0]
        assert [word for word in others if word in said and word not in blamed] in (
            [],
            ["lr ="] if "weight_decay" in own else [],
        ), said

    def test_an_autoencoder_is_not_told_of_a_beta_that_it_does_not_have(self, images):
        model = vw.Autoencoder(2, (1, 8, 8), hidden=(16,), seed=0)
        run = vw.fit(model, images, epochs=100, lr=1e20, beta=1e38)
        with pytest.raises(loop.Diverged, match=r"lr = 1e\+20 is too large"):
            drain(run)

    def test_weights_spoiled_from_outside_blame_no_knob(self, images):
        run = begin(images, epochs=40)
        drain(islice(run, 3))
        torch.nn.init.constant_(run.model.mu.bias, math.nan)
        with pytest.raises(loop.Diverged, match="No setting stands out"):
            drain(run)

    @pytest.mark.parametrize("name", ["lr", "beta", "weight_decay"])
    def test_what_float32_cannot_hold_is_refused_at_once(self, images, name):
        with pytest.raises(ValueError, match=rf"{name} must be at most 3.4e\+38, where float32 ends"):
            begin(images, **{name: 1e39})

    @pytest.mark.parametrize("every", [1, 50])
    def test_after_a_restore_there_is_something_to_go_back_to(self, images, monkeypatch, every):
        run = begin(images, epochs=40)
        drain(islice(run, 7))
        state = run.state()
        fresh = begin(images, epochs=40, every=every)
        fresh.restore(state)
        monkeypatch.setattr(loop, "elbo", spoiled_from(3))
        with pytest.raises(loop.Diverged, match="after step 7") as caught:
            drain(fresh)
        assert caught.value.step == 10
        for name, tensor in fresh.model.state_dict().items():
            assert torch.equal(tensor, state.tensors[f"model.{name}"])

    def test_closing_looks_at_what_was_not_read_yet(self, images, monkeypatch):
        monkeypatch.setattr(loop, "elbo", spoiled_from(5))
        run = begin(images, epochs=40, every=50)
        drain(islice(run, 8))
        assert not run.model.mu.bias.isfinite().all()
        with pytest.raises(loop.Diverged, match="at step 5"):
            run.close()
        assert run.model.mu.bias.isfinite().all()
        run.close()
        assert list(run) == []

    def test_an_epoch_that_is_measured_is_looked_at_first(self, images, monkeypatch):
        monkeypatch.setattr(loop, "elbo", spoiled_from(2))
        run = begin(images, "patience", epochs=40, every=50)
        with pytest.raises(loop.Diverged, match="at step 2"):
            for step in run:
                assert step.held_out is None


class TestSteering:
    def test_knobs_set_between_two_steps_are_those_of_the_next(self, images):
        ours, theirs = begin(images), begin(images)
        next(ours), next(theirs)
        ours.beta, ours.lr = 3, 1
        step = next(ours)
        assert (step.beta, step.lr, ours.beta, ours.lr) == (3.0, 1.0, 3.0, 1.0)
        assert step.loss == pytest.approx(-step.reconstruction + 3 * step.kl, rel=1e-5)
        before = theirs.state().tensors
        next(theirs)
        moved = [
            (run.model.decoder[0].bias - before["model.decoder.0.bias"]).abs().max().item()
            for run in (ours, theirs)
        ]
        assert moved[0] > 300 * moved[1]
        ours.beta = 0.0
        step = next(ours)
        assert step.beta == 0 and step.loss == pytest.approx(-step.reconstruction, rel=1e-5)

    def test_schedule_and_warm_up_scale_them(self, images):
        run = begin(images, schedule="cosine", kl_warmup=2.0)
        next(run)
        run.beta, run.lr = 6.0, 0.5
        step = next(run)
        assert step.beta == pytest.approx(6 * 2 / 6)
        assert step.lr == pytest.approx(0.25 * (1 + math.cos(math.pi / 12)))

    @pytest.mark.parametrize("name", ["beta", "lr"])
    @pytest.mark.parametrize("value", [math.nan, -1.0, math.inf, "1", None, True, 1j, 10**400, [1]], ids=repr)
    def test_bad_knobs_are_refused(self, images, name, value):
        run = begin(images)
        with pytest.raises(ValueError, match=rf"{name} must be a .*number"):
            setattr(run, name, value)
        assert (run.beta, run.lr) == (1.0, 1e-3)

    def test_a_rate_of_zero_and_a_weight_in_the_importance_weighted_bound_are_refused(self, images):
        with pytest.raises(ValueError, match="lr must be a positive number"):
            begin(images).lr = 0
        with pytest.raises(ValueError, match="has no beta"):
            begin(images, "iwae").beta = 2.0

    @pytest.mark.parametrize("seed", [-1, 1.5, "1", True, 2**63, None])
    def test_bad_seeds_are_refused(self, images, seed):
        run = begin(images)
        before = run.state()
        with pytest.raises(ValueError, match="seed must be a whole number"):
            run.reseed(seed)
        assert same(run.state(), before)

    def test_reseeding_changes_the_noise_and_not_the_order(self, images, elbo_calls):
        drain(begin(images))
        run = begin(images)
        next(run)
        run.reseed(5)
        drain(run)
        first, second = elbo_calls[:12], elbo_calls[12:]
        assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
        assert [torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True)] == [True] + [False] * 11
        assert torch.equal(second[1][1], torch.randn(40, 2, generator=generator(5)))

    def test_two_at_once_do_not_disturb_each_other(self, images):
        alone = [[report(step) for step in begin(images, name)] for name in ("much", "optimal")]
        runs = [begin(images, name) for name in ("much", "optimal")]
        assert [[report(a), report(b)] for a, b in zip(*runs, strict=True)] == [
            list(pair) for pair in zip(*alone, strict=True)
        ]

    def test_greys_to_validate_the_importance_weighted_bound_are_refused(self, images):
        binary = (images > 0.5).float()
        with pytest.raises(ValueError, match="needs images of zeros and ones"):
            vw.fit(small(), binary, iwae=2, validation=images)

    def test_a_frozen_model_is_refused_and_a_half_frozen_one_trained(self, images):
        with pytest.raises(ValueError, match="every weight of this model is frozen"):
            vw.fit(small().requires_grad_(False), images)
        model = small()
        model.encoder.requires_grad_(False)
        before = copy.deepcopy(model)
        drain(vw.fit(model, images, epochs=1))
        assert torch.equal(model.encoder[1].weight, before.encoder[1].weight)
        assert not torch.equal(model.mu.weight, before.mu.weight)


class EagerCapture(CUDAGraphStep):
    """What a recording does to a run, where none can be made: four steps on the first batch."""

    made = 0

    def __init__(self, step, index, noise):
        type(self).made += 1
        self._step = step
        for _ in range(4):
            step(index)

    def __call__(self, index):
        return self._step(index)


class TestRecording:
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_what_recording_changes_is_put_back_bit_for_bit(self, images, monkeypatch, variant):
        monkeypatch.setattr(cuda_graph, "CUDAGraphStep", EagerCapture)
        monkeypatch.setattr(EagerCapture, "made", 0)
        eager = begin(images, variant)
        graphed = begin(images, variant)
        # The learning rate lies in a tensor there; only the optimizer of a GPU takes that.
        graphed._optimizer.param_groups[0]["lr"] = rate = torch.tensor(1.0)
        learn = graphed._learn

        def with_a_plain_rate(index):
            graphed._optimizer.param_groups[0]["lr"] = graphed._applied[1]
            numbers = learn(index)
            graphed._optimizer.param_groups[0]["lr"] = rate
            return numbers

        graphed._learn, graphed._graphed = with_a_plain_rate, True
        lrs = []
        expected = [report(step) for step in eager]
        got = []
        for step in graphed:
            got.append(report(step))
            lrs.append(rate.item())
        assert got == expected
        assert lrs == pytest.approx([line[3] for line in expected]), "the tensor that a graph would read"
        assert EagerCapture.made == 1
        assert same(graphed.state(), eager.state())

    def test_a_loss_that_leaves_the_numbers_is_found_after_recording(self, images, monkeypatch):
        monkeypatch.setattr(cuda_graph, "CUDAGraphStep", EagerCapture)
        monkeypatch.setattr(loop, "elbo", spoiled_from(4 + 6))
        run = begin(images, epochs=40, every=50)
        start = run.state()
        run._graphed = True
        with pytest.raises(loop.Diverged, match="at step 6") as caught:
            drain(run)
        assert caught.value.step == 6
        assert all(torch.equal(t, start.tensors[f"model.{n}"]) for n, t in run.model.state_dict().items())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("variant", VARIANTS)
    def test_a_recorded_run_is_the_eager_one(self, images, variant, monkeypatch):
        recorded = begin(images, variant, device="cuda")
        assert recorded._graphed
        monkeypatch.setattr(loop.Training, "_run", lambda self, index: self._learn(index))
        eager = [step.loss for step in begin(images, variant, device="cuda")]
        monkeypatch.undo()
        assert [step.loss for step in recorded] == pytest.approx(eager, rel=1e-3)


def test_an_optimal_sigma_is_moved_by_the_numbers_of_the_step(images):
    run = begin(images, "optimal")
    sigma = Gaussian("optimal")
    for step in run:
        sigma.update_sigma(torch.tensor(step.reconstruction), 64)
        assert run.model.likelihood.sigma.item() == pytest.approx(sigma.sigma.item(), rel=1e-4)
