"""The autoencoder, and the variational one whose encoder answers with a Gaussian.

Everything here maps tensors to tensors. Nothing samples unless asked, and nothing depends on
``model.training``: there is no dropout and no batch norm. Models of others may have both, so `eval_mode` and
`train_mode` set the mode of any module, and set it back.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vaewidgets._utils.threads import limit_threads

from .likelihoods import make_likelihood

limit_threads()

_P = ParamSpec("_P")
_R = TypeVar("_R")

#: |logvar| never reaches this: sigma stays within exp(-5) .. exp(5), where float32 is comfortable.
LOGVAR_BOUND = 10.0

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh, "softplus": nn.Softplus}


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, 1)) = (mu^2 + sigma^2 - 1 - ln sigma^2) / 2, elementwise, nats.

    ``mu`` and ``logvar`` = ln sigma^2 are of one shape, mostly (B, d), and so is what comes of them.

    Kingma & Welling 2014 (arXiv 1312.6114), appendix B. expm1 keeps it accurate, and never
    negative by rounding, near sigma = 1.
    """
    return 0.5 * (mu**2 + torch.expm1(logvar) - logvar)


class Posterior(NamedTuple):
    """The encoder's answer q(z|x) = N(mu, diag(sigma^2)), one Gaussian per image.

    Attributes
    ----------
    mu, logvar : Tensor of shape (B, d)
        Mean and log sigma^2.
    """

    mu: Tensor
    logvar: Tensor

    @property
    def sigma(self) -> Tensor:
        """Standard deviation, Tensor of shape (B, d)."""
        return torch.exp(self.logvar / 2)

    def sample(self, generator: torch.Generator | None = None, *, epsilon: Tensor | None = None) -> Tensor:
        """Draw z = mu + sigma * epsilon, Tensor of shape (B, d) or that of ``epsilon``.

        The reparameterisation of Kingma & Welling 2014 (arXiv 1312.6114, section 2.4): the noise
        comes from outside, so gradients reach mu and sigma. ``epsilon`` of shape (..., B, d)
        freezes it, else it is drawn by the generator.
        """
        if epsilon is None:
            epsilon = torch.randn(
                self.mu.shape, generator=generator, device=self.mu.device, dtype=self.mu.dtype
            )
        return self.mu + self.sigma * epsilon

    def kl(self) -> Tensor:
        """KL(q(z|x) || N(0, I)) in nats, kept per dimension: Tensor of shape (B, d)."""
        return kl(self.mu, self.logvar)


def bounded_posterior(mu: Tensor, logvar: Tensor, dtype: torch.dtype) -> Posterior:
    """Make the posterior of what the heads answer, |logvar| under `LOGVAR_BOUND`.

    Parameters
    ----------
    mu, logvar : Tensor of shape (B, d)
    dtype : torch.dtype
        Under autocast the heads answer at half width; this is the full one.
    """
    return Posterior(mu.to(dtype), LOGVAR_BOUND * torch.tanh(logvar.to(dtype) / LOGVAR_BOUND))


class LatentModel(nn.Module):
    """What both models share: a trunk, a decoder, and what the decoder's output means.

    It takes the parameters of `VAE`.
    """

    #: Whether codes have a distribution to draw from.
    has_prior: bool
    #: What is known of a model that came from a file: how it was made, and what was measured.
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
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}; got {activation!r}.")
        if trunk not in TRUNKS:
            raise ValueError(f"trunk must be one of {', '.join(TRUNKS)}; got {trunk!r}.")
        self.latent_dim, self.image_shape = latent_dim, shape
        self.likelihood = make_likelihood(likelihood, sigma)
        #: The constructor's arguments, as plain JSON: with the weights they are a checkpoint.
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
        """Make what stands on the encoder's `width` outputs."""
        raise NotImplementedError

    def decode(self, z: Tensor) -> Tensor:
        """Compute E[x|z], the mean image: Tensor of shape (B, C, H, W), for z of shape (B, d)."""
        return self.likelihood.mean(self.decode_parameters(z))

    def decode_parameters(self, z: Tensor) -> Tensor:
        """Compute what the likelihood is made of (logits, or the Gaussian's mean).

        z of shape (..., d) gives a Tensor of shape (..., C, H, W).
        """
        check_latents(z, self.latent_dim)
        points = z.reshape(-1, self.latent_dim).to(self._dtype)
        # Under autocast the layers answer at half width; the sums that follow want the full one.
        output: Tensor = self.decoder(points)
        return output.view(*z.shape[:-1], *self.image_shape).to(self._wider(z))

    @property
    def _dtype(self) -> torch.dtype:
        """What the weights are; images and latent points of another kind are converted."""
        return next(self.parameters()).dtype

    def _wider(self, given: Tensor) -> torch.dtype:
        return torch.promote_types(given.dtype, self._dtype)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.config.items() if value is not None)


class VAE(LatentModel):
    """Variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114; Rezende et al. 2014, arXiv 1401.4082).

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
        Only for the Gaussian likelihood: its standard deviation per pixel.
    activation : "relu", "silu", "gelu", "tanh" or "softplus"
    seed : int or None
        Seed of the initial weights; None draws from torch's global generator.

    Raises
    ------
    ValueError, TypeError
        An argument has a value, or a kind, that makes no model.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model = vw.VAE(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> q = model.encode(torch.zeros(5, 1, 8, 8))
    >>> q.mu.shape, model.decode(q.mu).shape
    (torch.Size([5, 2]), torch.Size([5, 1, 8, 8]))
    """

    has_prior = True

    def _make_heads(self, width: int) -> None:
        self.mu, self.logvar = gaussian_heads(width, self.latent_dim, self.config["trunk"])

    def encode(self, x: Tensor) -> Posterior:
        """Infer q(z|x) for images x, a Tensor of shape (B, C, H, W)."""
        h = self.encoder(check_batch(x, self.image_shape).to(self._dtype))
        return bounded_posterior(self.mu(h), self.logvar(h), self._wider(x))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct x, of shape (B, C, H, W), through the mean of its posterior."""
        return self.decode(self.encode(x).mu)


class Autoencoder(LatentModel):
    """Autoencoder (Hinton & Salakhutdinov 2006): a code for each image, and no probability over codes.

    It takes the parameters of `VAE` and has the same trunk and decoder. Trained by the same
    likelihood without a KL, nothing ties its codes to a prior: their place and scale are arbitrary,
    and there is no distribution to draw new ones from. With ``trunk="linear"`` and the Gaussian
    likelihood it spans the principal components (Baldi & Hornik 1989).

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
        """Compute the codes z, a Tensor of shape (B, d), of images x of shape (B, C, H, W)."""
        z: Tensor = self.code(self.encoder(check_batch(x, self.image_shape).to(self._dtype)))
        return z.to(self._wider(x))

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct x, of shape (B, C, H, W), from its code."""
        return self.decode(self.encode(x))


def gaussian_heads(width: int, latent_dim: int, trunk: str) -> tuple[nn.Linear, nn.Module]:
    """Make the heads mu and logvar, `latent_dim` wide, on the `width` outputs of a `trunk`; see `VAE`."""
    mu = nn.Linear(width, latent_dim)
    return mu, Constant(latent_dim) if trunk == "linear" else nn.Linear(width, latent_dim)


class Constant(nn.Module):
    """A head that ignores its input: `width` learned numbers, one per latent dimension."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(width))

    def forward(self, h: Tensor) -> Tensor:
        """Repeat the numbers for each row of h, of shape (B, any): Tensor of shape (B, width)."""
        return self.value.expand(*h.shape[:-1], -1)


_Shape = tuple[int, int, int]
_Activation = Callable[[], nn.Module]
#: Encoder, the width of what it gives, and decoder.
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
    channels = [image_shape[0], *hidden]
    # A stride-2 convolution maps n to ceil(n / 2); the way back chooses output_padding per axis so
    # that every image size, odd ones too, is met exactly.
    sizes = [image_shape[1:]]
    for _ in hidden:
        high, wide = sizes[-1]
        sizes.append(((high + 1) // 2, (wide + 1) // 2))
    width = hidden[-1] * math.prod(sizes[-1])

    down: list[nn.Module] = []
    up: list[nn.Module] = [
        nn.Linear(latent_dim, width),
        activation(),
        nn.Unflatten(1, (hidden[-1], *sizes[-1])),
    ]
    for i, o in zip(channels, channels[1:], strict=False):
        down += [nn.Conv2d(i, o, 3, stride=2, padding=1), activation()]
    for level in reversed(range(len(hidden))):
        (high, wide), (low, narrow) = sizes[level], sizes[level + 1]
        padding = (high - (2 * low - 1), wide - (2 * narrow - 1))
        up.append(
            nn.ConvTranspose2d(
                channels[level + 1], channels[level], 3, stride=2, padding=1, output_padding=padding
            )
        )
        if level:
            up.append(activation())
    return nn.Sequential(*down, nn.Flatten()), width, nn.Sequential(*up)


TRUNKS = {"linear": _linear_trunk, "mlp": _mlp_trunk, "conv": _conv_trunk}


def check_int(name: str, value: object) -> None:
    """Raise ValueError or TypeError, in the `name` of the argument, unless `value` can be a layer's width."""
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


#: Modules that hold one model, share its weights and are called in its place, but lack its other methods.
_AROUND = (nn.DataParallel, nn.parallel.DistributedDataParallel, AveragedModel)


def unwrap(value: Any) -> Any:
    """Return the model inside what torch puts around one; anything else as it is.

    Parameters
    ----------
    value : object
        A model, perhaps in ``nn.DataParallel`` or its like, or compiled (``torch.compile``).

    Returns
    -------
    object
        The very model that trains when the wrapper does. Of an ``AveragedModel`` it is the average.
    """
    while isinstance(value, nn.Module):
        # The class of compiled modules is not public, and importing it takes a second.
        inner = value.module if isinstance(value, _AROUND) else value._modules.get("_orig_mod")
        if inner is None:
            break
        value = inner
    return value


@contextmanager
def eval_mode(*models: object) -> Iterator[None]:
    """Have models answer as they do after training, however they were left, and leave them so again.

    Batch normalisation uses its running statistics and does not update them, dropout drops nothing, and no
    gradient is kept. The flag of every module is put back by itself: part of a model may be frozen.

    Parameters
    ----------
    models : objects
        Modules, and what holds modules as attributes.
    """
    _settle_threads()
    training = [module for model in models for module in _modules(model) if module.training]
    with torch.no_grad():
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True


@contextmanager
def train_mode(model: nn.Module) -> Iterator[None]:
    """Have a model learn: with gradients, and in training mode unless it is there, then as it was.

    A model in training mode of which parts are not keeps those so: somebody has frozen them.
    """
    _settle_threads()
    resting = [] if model.training else list(model.modules())
    before = [module.training for module in resting]
    with torch.enable_grad():
        for module in resting:
            module.training = True
        try:
            yield
        finally:
            for module, training in zip(resting, before, strict=True):
                module.training = training


def unwrap_arguments(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function take the models inside what torch puts around them: see `unwrap`."""

    # A `ParamSpec` knows only the arguments as they came.
    of_any: Callable[..., _R] = function

    @functools.wraps(function)
    def wrapped(*args: _P.args, **keywords: _P.kwargs) -> _R:
        return of_any(*map(unwrap, args), **{name: unwrap(value) for name, value in keywords.items()})

    return wrapped


def in_eval_mode(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Have a function look at the models among its arguments: see `eval_mode` and `unwrap`."""

    @unwrap_arguments
    @functools.wraps(function)
    def wrapped(*args: _P.args, **keywords: _P.kwargs) -> _R:
        with eval_mode(*args, *keywords.values()):
            return function(*args, **keywords)

    return wrapped


def _settle_threads() -> None:
    """Have this thread compute on as many threads as torch was told to, from its first product on.

    A new thread asks torch for the number at its first loop over elements. Products before that use the
    system's own number, and may round in another way.
    """
    torch.get_num_threads()


def _modules(model: object) -> Iterator[nn.Module]:
    if isinstance(model, nn.Module):
        yield from model.modules()
    else:
        for value in getattr(model, "__dict__", {}).values():
            if isinstance(value, nn.Module):
                yield from value.modules()
