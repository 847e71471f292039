"""The model: shapes, the two heads, seeds, and errors that say what to do."""

import math

import pytest
import torch
from oracles import generator, normal_quadrature

import vaewidgets as vw
from vaewidgets.models.vae import LOGVAR_BOUND

TRUNKS = [("linear", ()), ("mlp", (9, 5)), ("conv", (3,)), ("conv", (3, 4, 5))]


@pytest.mark.parametrize("trunk, hidden", TRUNKS)
@pytest.mark.parametrize("image_shape", [(1, 8, 8), (3, 7, 10), (1, 1, 5), (2, 3, 1)])
def test_every_trunk_meets_every_image_size(trunk, hidden, image_shape):
    model = vw.VAE(4, image_shape, trunk=trunk, hidden=hidden, seed=0)
    x = torch.rand(6, *image_shape)
    q = model.encode(x)
    assert q.mu.shape == q.logvar.shape == q.sigma.shape == q.kl().shape == (6, 4)
    assert model.decode(q.mu).shape == model(x).shape == x.shape


@pytest.mark.parametrize("trunk, hidden", TRUNKS)
def test_leading_axes_of_z_are_kept_and_change_no_value(trunk, hidden):
    model = vw.VAE(3, (1, 5, 6), trunk=trunk, hidden=hidden, seed=0)
    z = torch.randn(4, 2, 3, generator=generator())
    parameters = model.decode_parameters(z)
    assert parameters.shape == (4, 2, 1, 5, 6)
    torch.testing.assert_close(parameters[3, 1], model.decode_parameters(z[3, 1][None])[0])


def test_a_linear_vae_is_affine_with_one_logvar_for_all_images():
    model = vw.VAE(3, (1, 4, 4), trunk="linear", likelihood="gaussian", seed=0)
    a, b = torch.randn(2, 5, 1, 4, 4, generator=generator())
    middle = model.encode((a + b) / 2)
    torch.testing.assert_close(middle.mu, (model.encode(a).mu + model.encode(b).mu) / 2)
    assert (middle.logvar == middle.logvar[0]).all()
    za, zb = torch.randn(2, 5, 3, generator=generator())
    torch.testing.assert_close(model.decode((za + zb) / 2), (model.decode(za) + model.decode(zb)) / 2)


def test_the_widths_are_those_asked_for():
    model = vw.VAE(2, (1, 28, 28), hidden=(512, 256))
    encoder = 785 * 512 + 513 * 256 + 2 * 257 * 2
    decoder = 3 * 256 + 257 * 512 + 513 * 784
    assert sum(p.numel() for p in model.parameters()) == encoder + decoder


def test_config_rebuilds_the_model():
    model = vw.VAE(
        5, (3, 6, 6), trunk="conv", hidden=(4, 8), likelihood="gaussian", sigma=0.3, activation="silu"
    )
    twin = vw.VAE(**model.config)
    assert twin.config == model.config
    twin.load_state_dict(model.state_dict())
    x = torch.rand(2, 3, 6, 6)
    assert torch.equal(twin(x), model(x))


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    models = [vw.VAE(2, (1, 8, 8), seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), before)
    first, second, other = (torch.cat([p.flatten() for p in m.parameters()]) for m in models)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_without_a_seed_the_weights_come_from_the_global_generator():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        a, b = vw.VAE(2, (1, 4, 4)), vw.VAE(2, (1, 4, 4))
        torch.manual_seed(3)
        again = vw.VAE(2, (1, 4, 4))
    assert torch.equal(a.mu.weight, again.mu.weight)
    assert not torch.equal(a.mu.weight, b.mu.weight)


def test_train_and_eval_mode_are_the_same():
    model = vw.VAE(2, (1, 8, 8), trunk="conv", hidden=(4,), seed=0)
    x = torch.rand(3, 1, 8, 8)
    training = vw.elbo(model.train(), x, generator=generator())
    evaluation = vw.elbo(model.eval(), x, generator=generator())
    assert all(torch.equal(a, b) for a, b in zip(training, evaluation, strict=True))


def test_samples_have_the_mean_and_deviation_of_the_posterior():
    q = vw.Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(0.25)]]))
    n = 200_000
    z = q.sample(epsilon=torch.randn(n, 1, 2, generator=generator()))[:, 0]
    standard_error = q.sigma[0] / math.sqrt(n)
    assert ((z.mean(0) - q.mu[0]).abs() < 4 * standard_error).all()
    assert ((z.std(0) - q.sigma[0]).abs() < 4 * standard_error / math.sqrt(2)).all()


def test_the_reparameterised_gradient_is_the_gradient_of_the_expectation():
    """f(z) = z^2 + sin z, mu = phi^3, sigma = e^phi at phi = 1/2: value 2.765933, gradient 5.728164."""
    epsilon, weights = normal_quadrature(60)
    phi = torch.full((60,), 0.5, dtype=torch.float64, requires_grad=True)
    z = vw.Posterior(phi**3, 2 * phi).sample(epsilon=epsilon)
    value = (weights * (z**2 + z.sin())).sum()
    value.backward()
    assert value.item() == pytest.approx(2.765933, abs=1e-6)
    assert phi.grad.sum().item() == pytest.approx(5.728164, abs=1e-6)


def test_the_reparameterised_gradient_of_samples_is_unbiased_with_the_known_variance():
    n = 400_000
    phi = torch.full((n,), 0.5, dtype=torch.float64, requires_grad=True)
    z = vw.Posterior(phi**3, 2 * phi).sample(generator())
    (z**2 + z.sin()).sum().backward()
    assert phi.grad.mean().item() == pytest.approx(5.728164, abs=4 * 7.7228 / math.sqrt(n))
    # Its kurtosis is 19.1, by the same quadrature as above.
    assert phi.grad.std().item() == pytest.approx(7.7228, rel=4 * math.sqrt(18.1 / (4 * n)))


def test_the_soft_bound_on_logvar_is_the_identity_near_zero_and_never_exceeded():
    model = vw.VAE(1, (1, 1, 1), trunk="linear", likelihood="gaussian")
    x = torch.zeros(1, 1, 1, 1)
    for value, expected in [(0.0, 0.0), (0.1, 0.1), (-1.0, -1.0), (1e6, LOGVAR_BOUND), (-1e6, -LOGVAR_BOUND)]:
        model.logvar.value.data.fill_(value)
        logvar = model.encode(x).logvar.item()
        assert abs(logvar) <= LOGVAR_BOUND
        assert logvar == pytest.approx(expected, rel=4e-3)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(latent_dim=0), ValueError, "latent_dim must be between 1"),
        (dict(latent_dim=2.0), TypeError, "latent_dim must be an int; got 2.0 .float."),
        (dict(latent_dim=True), TypeError, "latent_dim must be an int"),
        (dict(image_shape=(28, 28)), ValueError, "channels, height, width"),
        (dict(image_shape=(1, 28, -1)), ValueError, "image_shape must be between 1"),
        (dict(image_shape="1x28x28"), TypeError, "image_shape must be a tuple of ints"),
        (dict(trunk="transformer"), ValueError, "trunk must be one of linear, mlp, conv; got 'transformer'"),
        (dict(hidden=()), ValueError, 'use trunk="linear"'),
        (dict(trunk="conv", hidden=()), ValueError, "at least one number of channels"),
        (dict(hidden=256), TypeError, "hidden must be a tuple of ints; got 256"),
        (dict(activation="relu6"), ValueError, "activation must be one of relu"),
        (dict(likelihood="poisson"), ValueError, "likelihood must be one of bernoulli"),
        (dict(sigma=0.1), ValueError, "sigma=0.1 is for the Gaussian likelihood"),
        (dict(likelihood="gaussian", sigma=0.0), ValueError, "sigma must be positive"),
        (dict(likelihood="gaussian", sigma=math.nan), ValueError, "sigma must be positive"),
        (dict(likelihood="gaussian", sigma="learnt"), ValueError, '"learned" or "optimal"; got .learnt.'),
        (dict(latent=2), TypeError, "latent"),
    ],
)
def test_arguments_that_make_no_model_are_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        vw.VAE(**arguments)


def test_images_and_latents_of_the_wrong_shape_are_refused_with_both_shapes():
    model = vw.VAE(2, (1, 8, 8), hidden=(4,))
    with pytest.raises(ValueError, match=r"\(1, 8, 8\) but this model takes \(B, 1, 8, 8\).*x\[None\]"):
        model.encode(torch.zeros(1, 8, 8))
    with pytest.raises(ValueError, match=r"takes \(B, 1, 8, 8\)"):
        model.encode(torch.zeros(5, 1, 8, 9))
    with pytest.raises(TypeError, match="images must be a torch Tensor; got list"):
        model.encode([0.0])
    with pytest.raises(ValueError, match="z has 3 values but this model has latent_dim=2"):
        model.decode(torch.zeros(1, 3))
    with pytest.raises(ValueError, match=r"must be \(B, 2\): one row per point"):
        model.decode(torch.zeros(2))
    with pytest.raises(TypeError, match="z must be a torch Tensor; got tuple"):
        model.decode((0.0, 0.0))
