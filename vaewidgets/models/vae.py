"""The variational autoencoder and the autoencoder: encoder, posterior, KL and decoder.

Everything maps tensors to tensors. Sampling is always an explicit call. Nothing depends on
``model.training``, since these models have no dropout and no batch normalisation. A user's model may have
both: `eval_mode` and `train_mode` set the mode of any module and restore it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vaewidgets._utils.threads import limit_threads

from .likelihoods import make_likelihood

limit_threads()

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: |logvar| never exceeds this, so sigma stays within exp(-5) .. exp(5), where float32 is accurate.
LOGVAR_BOUND = 10.0

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh, "softplus": nn.Softplus}


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1 - ln sigma^2) / 2, elementwise, nats.

    expm1 keeps it accurate near sigma = 1, and no rounding makes it negative.

    Parameters
    ----------
    mu, logvar : Tensor of shape (B, d)
        Mean and ln sigma^2; any one shape will do.

    Returns
    -------
    Tensor of shape (B, d)

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), appendix B; the KL of equation 10, there with the opposite sign.

    Examples
    --------
    >>> kl(torch.tensor([1.0, 2.0]), torch.zeros(2))
    tensor([0.5000, 2.0000])
    """
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar)


class Posterior(NamedTuple):
    """The approximate posterior q(z|x) = N(mu, diag(sigma^2)), one Gaussian per image.

    Kingma & Welling 2014 (arXiv 1312.6114), equation 9.

    Attributes
    ----------
    mu, logvar : Tensor of shape (B, d)
        Mean and ln sigma^2.

    Examples
    --------
    >>> q = Posterior(torch.zeros(5, 2), torch.zeros(5, 2))
    >>> q.sample(torch.Generator().manual_seed(0)).shape, q.kl().sum().item()
    (torch.Size([5, 2]), 0.0)
    """

    mu: Tensor
    logvar: Tensor

    @property
    def sigma(self) -> Tensor:
        """Standard deviation, Tensor of shape (B, d)."""
        return torch.exp(self.logvar / 2)

    def sample(self, generator: torch.Generator | None = None, *, epsilon: Tensor | None = None) -> Tensor:
        """Draw z = mu + sigma * epsilon with epsilon ~ N(0, I), so that gradients reach mu and sigma.

        The reparameterisation of Kingma & Welling 2014 (arXiv 1312.6114), section 2.4 and equation 10.

        Parameters
        ----------
        generator : torch.Generator, optional
            Draws the noise; by default torch's global generator does.
        epsilon : Tensor of shape (..., B, d), optional
            The noise itself, to hold it fixed.

        Returns
        -------
        Tensor of shape (B, d), or that of epsilon
        """
        if epsilon is None:
            epsilon = torch.randn(
                self.mu.shape, generator=generator, device=self.mu.device, dtype=self.mu.dtype
            )
        return self.mu + self.sigma * epsilon

    def kl(self) -> Tensor:
        """Compute KL(q(z|x) || N(0, I)), nats, kept per dimension: Tensor of shape (B, d)."""
        return kl(self.mu, self.logvar)


def bounded_posterior(mu: Tensor, logvar: Tensor, dtype: torch.dtype) -> Posterior:
    """Make the posterior from the outputs of the heads, with |logvar| kept within `LOGVAR_BOUND`.

    The bound is smooth, c tanh(logvar / c), and the only one: sample and KL see the same logvar.

    Parameters
    ----------
    mu, logvar : Tensor of shape (B, d)
    dtype : torch.dtype
        Of the result. Under autocast the heads give half precision; this is the full one.

    Examples
    --------
    >>> bounded_posterior(torch.zeros(1, 3), torch.tensor([[-1e6, 0.0, 1e6]]), torch.float32).logvar
    tensor([[-10.,   0.,  10.]])
    """
    return Posterior(mu.to(dtype), LOGVAR_BOUND * torch.tanh(logvar.to(dtype) / LOGVAR_BOUND))


class LatentModel(nn.Module):
    """Base of all models: an encoder trunk with its heads, a decoder and a likelihood.

    It takes the parameters of `VAE`. A subclass adds `encode`, and other heads if they are not mu and logvar.

    Attributes
    ----------
    latent_dim : int
    image_shape : tuple (C, H, W)
    likelihood : Bernoulli, ContinuousBernoulli or Gaussian
    config : dict
        The constructor's arguments, as plain JSON: with the weights they are a checkpoint.
    has_prior : bool
        Whether there is a distribution to draw z from.
    info : dict
        Only of a model that was loaded: how it was trained, and what was measured.
    """

    has_prior = True
    info: dict[str, Any]

    def __init__(
        self,
        latent_dim: int = 2,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        *,
        trunk: str = "mlp",
        hidden: tuple[int, ...] = (512, 256),
        likelihood: str = "bernoulli",
        sigma: float | str | None = None,
        activation: str = "relu",
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_int("latent_dim", latent_dim)
        shape, hidden = check_ints("image_shape", image_shape), check_ints("hidden", hidden)
        if len(shape) != 3:
            raise ValueError(f"image_shape is (channels, height, width), three numbers; got {shape}.")
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("trunk", trunk, TRUNKS)
        self.latent_dim, self.image_shape = latent_dim, shape
        self.likelihood = make_likelihood(likelihood, sigma)
        self.config: dict[str, Any] = {
            "latent_dim": latent_dim,
            "image_shape": list(shape),
            "trunk": trunk,
            "hidden": list(hidden),
            "likelihood": likelihood,
            "sigma": sigma,
            "activation": activation,
        }
        with torch.random.fork_rng(devices=[], enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            self.encoder, width, self.decoder = TRUNKS[trunk](
                latent_dim, shape, hidden, ACTIVATIONS[activation]
            )
            self._make_heads(width)

    def _make_heads(self, width: int) -> None:
        """Make the layers on the encoder's `width` outputs: mu and logvar."""
        self.mu = nn.Linear(width, self.latent_dim)
        linear = self.config["trunk"] == "linear"
        self.logvar = Constant(self.latent_dim) if linear else nn.Linear(width, self.latent_dim)

    def decode(self, z: Tensor) -> Tensor:
        """Compute E[x|z], the mean image: Tensor of shape (B, C, H, W), for z of shape (B, d)."""
        return self.likelihood.mean(self.decode_parameters(z))

    def decode_parameters(self, z: Tensor) -> Tensor:
        """Compute the parameters of p(x|z): logits, or the Gaussian's mean.

        z of shape (..., d) gives a Tensor of shape (..., C, H, W).
        """
        check_latents(z, self.latent_dim)
        # Under autocast the layers give half precision; the sums that follow need the full one.
        output: Tensor = self.decoder(z.reshape(-1, self.latent_dim).to(self._dtype))
        return output.view(*z.shape[:-1], *self.image_shape).to(self._wider(z))

    @property
    def _dtype(self) -> torch.dtype:
        """Of the weights; images and latent points of another dtype are converted."""
        return next(self.parameters()).dtype

    def _wider(self, given: Tensor) -> torch.dtype:
        return torch.promote_types(given.dtype, self._dtype)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.config.items() if value is not None)


class VAE(LatentModel):
    """Variational autoencoder: p(z) = N(0, I), a decoder for p(x|z), and an encoder for q(z|x).

    Parameters
    ----------
    latent_dim : int
        d, the number of latent coordinates.
    image_shape : tuple (C, H, W)
    trunk : "linear", "mlp" or "conv"
        "linear" is the linear VAE of Lucas et al. 2019 (arXiv 1911.02469): affine mean and decoder,
        and a logvar that is one number per dimension, the same for every image.
    hidden : tuple of int
        Layer widths from image to latent ("mlp") or channels of the stride-2 convolutions ("conv");
        the decoder mirrors them. Ignored by "linear".
    likelihood : "bernoulli", "continuous-bernoulli" or "gaussian"
        What the decoder's output means.
    sigma : float, "learned" or "optimal"
        Only for the Gaussian likelihood: its standard deviation per pixel; see `Gaussian`.
    activation : "relu", "silu", "gelu", "tanh" or "softplus"
    seed : int or None
        Seed of the initial weights; None draws from torch's global generator.

    Raises
    ------
    ValueError, TypeError
        An argument has a value, or a type, that makes no model.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114); Rezende et al. 2014 (arXiv 1401.4082).

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> q = model.encode(torch.zeros(5, 1, 8, 8))
    >>> q.mu.shape, model.decode(q.mu).shape
    (torch.Size([5, 2]), torch.Size([5, 1, 8, 8]))
    """

    def encode(self, x: Tensor) -> Posterior:
        """Compute q(z|x), a `Posterior` of shape (B, d), for images x of shape (B, C, H, W)."""
        h = self.encoder(check_batch(x, self.image_shape).to(self._dtype))
        return bounded_posterior(self.mu(h), self.logvar(h), self._wider(x))

    def forward(self, x: Tensor) -> Tensor:
        """Decode the posterior mean of x: both of shape (B, C, H, W)."""
        return self.decode(self.encode(x).mu)


class Autoencoder(LatentModel):
    """Autoencoder: one code for each image, and no distribution over codes.

    It takes the parameters of `VAE` and has the same trunk and decoder. It is trained by the same likelihood
    without a KL. So nothing ties its codes to a prior: their place and scale are arbitrary, and there is no
    distribution to draw new ones from. With ``trunk="linear"`` and the Gaussian likelihood it spans the
    principal components.

    References
    ----------
    Hinton & Salakhutdinov 2006 (Science 313:504); Baldi & Hornik 1989 (Neural Networks 2:53).

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.Autoencoder(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> model.encode(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 2])
    """

    has_prior = False

    def _make_heads(self, width: int) -> None:
        self.code = nn.Linear(width, self.latent_dim)

    def encode(self, x: Tensor) -> Tensor:
        """Compute the codes z, Tensor of shape (B, d), of images x of shape (B, C, H, W)."""
        z: Tensor = self.code(self.encoder(check_batch(x, self.image_shape).to(self._dtype)))
        return z.to(self._wider(x))

    def forward(self, x: Tensor) -> Tensor:
        """Decode the code of x: both of shape (B, C, H, W)."""
        return self.decode(self.encode(x))


class Constant(nn.Module):
    """A head that ignores its input: `width` learned numbers, one per latent dimension.

    Examples
    --------
    >>> Constant(2)(torch.zeros(3, 7)).shape
    torch.Size([3, 2])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(width))

    def forward(self, h: Tensor) -> Tensor:
        """Repeat the numbers for each row of h, of shape (B, any): Tensor of shape (B, width)."""
        return self.value.expand(*h.shape[:-1], -1)


_Shape = tuple[int, int, int]
_Activation = Callable[[], nn.Module]
#: Encoder, the width of its output, and decoder.
_Trunk = tuple[nn.Module, int, nn.Sequential]


def _linear_trunk(
    latent_dim: int, image_shape: _Shape, hidden: tuple[int, ...], activation: _Activation
) -> _Trunk:
    size = math.prod(image_shape)
    return nn.Flatten(), size, nn.Sequential(nn.Linear(latent_dim, size), nn.Unflatten(1, image_shape))


def _mlp_trunk(
    latent_dim: int, image_shape: _Shape, hidden: tuple[int, ...], activation: _Activation
) -> _Trunk:
    size = math.prod(image_shape)
    if not hidden:
        raise ValueError('trunk="mlp" needs at least one hidden width; for none use trunk="linear".')

    def layers(widths: Sequence[int]) -> list[nn.Module]:
        return [m for i, o in zip(widths, widths[1:], strict=False) for m in (nn.Linear(i, o), activation())]

    encoder = nn.Sequential(nn.Flatten(), *layers([size, *hidden]))
    decoder = nn.Sequential(
        *layers([latent_dim, *reversed(hidden)]), nn.Linear(hidden[0], size), nn.Unflatten(1, image_shape)
    )
    return encoder, hidden[-1], decoder


def _conv_trunk(
    latent_dim: int, image_shape: _Shape, hidden: tuple[int, ...], activation: _Activation
) -> _Trunk:
    if not hidden:
        raise ValueError('trunk="conv" needs at least one number of channels in hidden.')
    # A stride-2 convolution maps n to ceil(n / 2). The way back needs one more row or column where n is even.
    sizes = [image_shape[1:]]
    for _ in hidden:
        high, wide = sizes[-1]
        sizes.append(((high + 1) // 2, (wide + 1) // 2))
    width = hidden[-1] * math.prod(sizes[-1])

    up = [nn.Linear(latent_dim, width), activation(), nn.Unflatten(1, (hidden[-1], *sizes[-1]))]
    down: list[nn.Module] = []
    steps = list(zip([image_shape[0], *hidden], hidden, sizes, strict=False))
    for before, after, _ in steps:
        down += [nn.Conv2d(before, after, 3, stride=2, padding=1), activation()]
    for before, after, (high, wide) in reversed(steps):
        padding = (1 - high % 2, 1 - wide % 2)
        up += [
            nn.ConvTranspose2d(after, before, 3, stride=2, padding=1, output_padding=padding),
            activation(),
        ]
    # The last layer gives the likelihood's parameters, which no activation bounds.
    return nn.Sequential(*down, nn.Flatten()), width, nn.Sequential(*up[:-1])


TRUNKS = {"linear": _linear_trunk, "mlp": _mlp_trunk, "conv": _conv_trunk}


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError, with the argument's `name`, unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}.")


def check_int(name: str, value: object) -> None:
    """Raise ValueError or TypeError, with the argument's `name`, unless `value` can be a layer's width."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int; got {value!r} ({type(value).__name__}).")
    if not 1 <= value <= 2**24:
        raise ValueError(f"{name} must be between 1 and {2**24}; got {value}.")


def check_ints(name: str, values: object) -> tuple[int, ...]:
    """Return `values` as a tuple; raise TypeError, with their `name`, unless each passes `check_int`."""
    if isinstance(values, str) or not isinstance(values, (tuple, list, torch.Size)):
        raise TypeError(f"{name} must be a tuple of ints; got {values!r} ({type(values).__name__}).")
    for value in values:
        check_int(f"each value of {name}", value)
    return tuple(values)


def check_batch(x: Tensor, image_shape: tuple[int, int, int]) -> Tensor:
    """Return x; raise unless it is a batch of images, of shape (B, *image_shape).

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"images must be a torch Tensor; got {type(x).__name__}.")
    if x.dim() != 4 or tuple(x.shape[1:]) != image_shape:
        raise ValueError(
            f"images have shape {tuple(x.shape)} but this model takes "
            f"(B, {', '.join(map(str, image_shape))}). A single image needs a batch axis: x[None]."
        )
    return x


def check_latents(z: Tensor, latent_dim: int) -> None:
    """Raise unless z holds points, one per row: of shape (..., latent_dim).

    Raises
    ------
    ValueError, TypeError
    """
    if not isinstance(z, Tensor):
        raise TypeError(f"z must be a torch Tensor; got {type(z).__name__}.")
    if z.dim() < 2:
        raise ValueError(f"z has shape {tuple(z.shape)} but must be (B, {latent_dim}): one row per point.")
    if z.shape[-1] != latent_dim:
        raise ValueError(f"z has {z.shape[-1]} values but this model has latent_dim={latent_dim}.")


#: torch's modules that hold one model, share its weights and are called like it, but lack its other methods.
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(value: Any) -> Any:
    """Return the model inside torch's wrappers; anything else as it is.

    Parameters
    ----------
    value : object
        A model, perhaps in ``nn.DataParallel`` or its like, or compiled (``torch.compile``).

    Returns
    -------
    object
        The very model that trains when the wrapper does. Of an ``AveragedModel`` it is the average.

    Examples
    --------
    >>> model = VAE(2, (1, 8, 8), hidden=(4,))
    >>> unwrap(torch.nn.DataParallel(model)) is model, unwrap("text")
    (True, 'text')
    """
    if not isinstance(value, nn.Module):
        return value
    # The class of compiled modules is not public, and importing it takes a second.
    inner = value.module if isinstance(value, _WRAPPERS) else value._modules.get("_orig_mod")
    return value if inner is None else unwrap(inner)


def eval_mode(*models: object) -> AbstractContextManager[None]:
    """Put models into evaluation mode, without gradients, for a ``with`` block.

    Batch normalisation uses its running statistics and does not update them; dropout drops nothing. Then
    every module gets its own flag back, since part of a model may have been frozen.

    Parameters
    ----------
    models : objects
        Modules, and objects that hold modules as attributes.

    Examples
    --------
    >>> model = torch.nn.Dropout(0.5)
    >>> with eval_mode(model):
    ...     model.training, torch.is_grad_enabled()
    (False, False)
    >>> model.training
    True
    """
    modules = (module for model in models for module in _modules(model))
    return _mode([module for module in modules if module.training], training=False)


def train_mode(model: nn.Module) -> AbstractContextManager[None]:
    """Put a model into training mode, with gradients, for a ``with`` block.

    A model that is in training mode already is left as it is: parts of it may have been frozen on purpose.

    Examples
    --------
    >>> model = torch.nn.Dropout(0.5).eval()
    >>> with train_mode(model):
    ...     model.training, torch.is_grad_enabled()
    (True, True)
    >>> model.training
    False
    """
    return _mode([] if model.training else list(model.modules()), training=True)


@contextmanager
def _mode(modules: list[nn.Module], training: bool) -> Iterator[None]:
    # A new thread asks torch for its number of threads at its first loop over elements. Matrix products
    # before that use the system's number, and may round differently. To ask here settles it.
    torch.get_num_threads()
    before = [module.training for module in modules]
    with torch.set_grad_enabled(training):
        for module in modules:
            module.training = training
        try:
            yield
        finally:
            for module, flag in zip(modules, before, strict=True):
                module.training = flag


def unwrap_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function so that it gets the models inside torch's wrappers; see `unwrap`.

    Examples
    --------
    >>> @unwrap_arguments
    ... def width(model):
    ...     return model.out_features
    >>> width(torch.nn.DataParallel(torch.nn.Linear(2, 3)))
    3
    """

    # A `ParamSpec` knows only the arguments as they came.
    of_any: Callable[..., _R] = function

    @functools.wraps(function)
    def wrapped(*args: _P.args, **keywords: _P.kwargs) -> _R:
        return of_any(*map(unwrap, args), **{name: unwrap(value) for name, value in keywords.items()})

    return wrapped


def in_eval_mode(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function so that the models among its arguments are in `eval_mode`, without wrappers.

    Examples
    --------
    >>> @in_eval_mode
    ... def is_training(model):
    ...     return model.training
    >>> is_training(torch.nn.Dropout(0.5))
    False
    """

    @unwrap_arguments
    @functools.wraps(function)
    def wrapped(*args: _P.args, **keywords: _P.kwargs) -> _R:
        with eval_mode(*args, *keywords.values()):
            return function(*args, **keywords)

    return wrapped


def _modules(thing: object) -> Iterator[nn.Module]:
    parts = [thing] if isinstance(thing, nn.Module) else getattr(thing, "__dict__", {}).values()
    for part in parts:
        if isinstance(part, nn.Module):
            yield from part.modules()
