"""Describe a model for the page: plain JSON and flat weights, which ``_core/network.js`` runs.

The page must show what torch would compute, or nothing: whatever is not known exactly is refused with
its name, and the panel decodes in the kernel.
"""

from __future__ import annotations

import math
import types
import weakref
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vaewidgets.io.layers import Layer, UnsupportedLayerError, cannot, forward_of, walk
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from vaewidgets.models.vae import LOGVAR_BOUND, VAE, Autoencoder, Constant, eval_mode

FORMAT = 1

_REFUSAL = "which the page cannot run"


@dataclass(frozen=True)
class Description:
    """A network that the page can run.

    Attributes
    ----------
    spec : dict
        JSON: ``latentDim``, ``imageShape``, ``decoder`` (a list of layers, the likelihood's mean the last of
        them) and ``encoder`` (``trunk``, ``width``, ``mu`` and ``logvar``, or None). Layers say where their
        weights begin, counted in values, not bytes; a missing bias is -1.
    parts : tuple of ndarray
        The weights of the decoder, and those of the encoder if there is one: ``spec["size"]`` little-endian
        values one after the other, each part in float16 if that holds it exactly, else in float32.
    """

    spec: dict
    parts: tuple[np.ndarray, ...]

    @property
    def weights(self) -> bytes:
        """All weights as values of ``spec["dtype"]``; of no model none."""
        if not self.parts:
            return b""
        return np.concatenate(self.parts).astype(f"<{np.dtype(self.spec['dtype']).str[1:]}").tobytes()


def describe(model, *, encoder: bool = False) -> Description:
    """Describe the decoder of a model, and its encoder if asked.

    Parameters
    ----------
    model : VAE or Autoencoder
        Its ``decoder`` may have been replaced by any `torch.nn.Sequential` of layers the page knows. A class
        with a ``decode`` of its own is refused: what that does cannot be read off its layers.
    encoder : bool
        Describe ``encode`` too.

    Raises
    ------
    UnsupportedLayerError
        A layer the page does not know, or an option of it; weights that are not finite; methods or hooks
        that the page would skip.
    """
    check_own_methods(model, "decode", "decode_parameters")
    writer = _Writer()
    layers, out = _layers(writer, model.decoder, "decoder", (model.latent_dim,))
    _check_size("decoder", out, math.prod(model.image_shape))
    spec = {
        "format": FORMAT,
        "latentDim": model.latent_dim,
        "imageShape": list(model.image_shape),
        "decoder": layers + _describe_mean(model.likelihood),
        "encoder": None,
    }
    decoder = writer.take()
    if not encoder:
        return _description(spec, decoder)
    spec["encoder"] = _describe_encoder(model, writer)
    return _description(spec, decoder, writer.take())


def describe_classifier(judge) -> Description:
    """Describe a classifier as a network from pixels to logits, which the page runs like a decoder.

    Its ``latentDim`` is the number of pixels, its ``imageShape`` (classes + 1, 1, 1): ``decode(pixels)``
    gives the logits, the last of them the reject class's. Their softmax is left to the page.

    Parameters
    ----------
    judge : Classifier

    Raises
    ------
    UnsupportedLayerError
        As `describe` does.
    """
    check_own_methods(judge, "probabilities", of=(Classifier,))
    writer, size = _Writer(), math.prod(judge.image_shape)
    layers, out = _layers(writer, judge.layers, "layers", judge.image_shape)
    _check_size("layers", out, judge.classes + 1)
    spec = {
        "format": FORMAT,
        "latentDim": size,
        "imageShape": [judge.classes + 1, 1, 1],
        "decoder": layers,
        "encoder": None,
    }
    return _description(spec, writer.take())


def _description(spec: dict, *parts: np.ndarray) -> Description:
    size = sum(part.size for part in parts)
    return Description({**spec, "dtype": np.result_type(*parts).name, "size": size}, parts)


def check_own_methods(model, *names: str, of: tuple[type, ...] = (VAE, Autoencoder)) -> None:
    """Refuse a model whose methods are not those of a class whose layers say what they do."""
    for name in names:
        method = getattr(model, name, None)
        # Compared on the instance, so that one patched by hand is noticed too.
        if not any(_is(method, cls, name) for cls in of):
            raise UnsupportedLayerError(
                f"{type(model).__name__}.{name} is not that of a {' or '.join(c.__name__ for c in of)}: "
                "the page runs layers, and would skip what it does."
            )


def _is(method, cls: type, name: str) -> bool:
    """Tell whether a bound method is the one that `cls` has."""
    return isinstance(method, types.MethodType) and method.__func__ is getattr(cls, name)


def _describe_mean(likelihood) -> list[dict]:
    mean = getattr(likelihood, "mean", None)
    if _is(mean, Gaussian, "mean"):
        return []
    for cls, kind in ((Bernoulli, "sigmoid"), (ContinuousBernoulli, "continuous_bernoulli_mean")):
        if _is(mean, cls, "mean"):
            return [{"kind": kind}]
    raise UnsupportedLayerError(
        f"likelihood is a {type(likelihood).__name__}, whose mean the page does not know."
    )


def _describe_encoder(model, writer: _Writer) -> dict:
    check_own_methods(model, "encode")
    trunk, h = _layers(writer, model.encoder, "encoder", model.image_shape)
    if len(h) != 1:
        raise UnsupportedLayerError(f"encoder ends in shape {tuple(h)}; its heads take a vector.")
    heads = {}
    for name in ("mu", "logvar") if _is(model.encode, VAE, "encode") else ("code",):
        heads[name], out = _layers(writer, getattr(model, name), name, h)
        _check_size(name, out, model.latent_dim)
    if "logvar" in heads:
        heads["logvar"].append({"kind": "bound", "bound": LOGVAR_BOUND})
    return {
        "trunk": trunk,
        "width": h[0],
        "mu": heads.get("mu", heads.get("code")),
        "logvar": heads.get("logvar"),
    }


def _check_size(name: str, shape: tuple[int, ...], size: int) -> None:
    if math.prod(shape) != size:
        raise UnsupportedLayerError(f"{name} gives shape {tuple(shape)} where {size} values are needed.")


class _Writer:
    """Collect weights and hand out where each begins."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.size = 0
        #: The layer after the one that is being described, and the last that was made part of one before it.
        self.following: Layer | None = None
        self.folded: Layer | None = None

    def put(self, tensor: Tensor | None, name: str) -> int:
        if tensor is None:
            return -1
        values = tensor.detach().to("cpu", torch.float32).numpy()
        if not np.isfinite(values).all():
            raise UnsupportedLayerError(f"{name} has values that are not finite (NaN or infinite).")
        self.arrays.append(values.ravel())
        start, self.size = self.size, self.size + values.size
        return start

    def take(self) -> np.ndarray:
        """Hand out what has been collected since the last time; places go on being counted."""
        values = np.concatenate([np.empty(0, "<f4"), *self.arrays])
        self.arrays = []
        with np.errstate(over="ignore"):
            half = values.astype("<f2")
        return half if np.array_equal(half, values) else values


def _layers(writer: _Writer, module: nn.Module, path: str, shape: tuple) -> tuple[list[dict], tuple]:
    """Write down what a module at `path` is; return that, and the shape of what it makes of `shape`."""
    entries: list[dict] = []
    found = list(walk(module, path, shape, _DESCRIBERS, _REFUSAL))
    for layer, following in zip(found, [*found[1:], None], strict=True):
        describer, shape = _DESCRIBERS[forward_of(layer.module)], layer.after
        writer.following = following
        if layer is not writer.folded:
            entries += describer(layer.module, layer.path, layer.before, layer.after, writer)
    return entries, shape


def _option(path: str, layer: nn.Module, why: str) -> UnsupportedLayerError:
    return cannot(path, layer, why, _REFUSAL)


def _weights(layer, path: str, writer: _Writer, arrange=lambda weight: weight) -> dict:
    """Write weights, output channel first as `arrange` has them, and bias, with a batch norm that follows."""
    weight, bias, following = arrange(layer.weight), layer.bias, writer.following
    if following is not None and forward_of(following.module) in _BATCH_NORMS:
        scale, shift = _statistics(following.module, following.path)
        weight = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
        bias = shift if bias is None else bias.double() * scale + shift
        writer.folded = following
    return {"weight": writer.put(weight, f"{path}.weight"), "bias": writer.put(bias, f"{path}.bias")}


def _linear(layer, path, before, after, writer) -> list[dict]:
    if len(before) != 1:
        raise _option(path, layer, f"on shape {tuple(before)}")
    return [{"kind": "linear", "in": list(before), "out": list(after), **_weights(layer, path, writer)}]


def _constant(layer, path, before, after, writer) -> list[dict]:
    return [{"kind": "constant", "out": list(after), "weight": writer.put(layer.value, f"{path}.value")}]


def _convolution(layer, path, before, after, writer) -> list[dict]:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    _check_image(layer, path, before)
    if layer.padding_mode != "zeros":
        raise _option(path, layer, f"with padding_mode={layer.padding_mode!r}")
    padding = layer.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        # Torch puts the odd one below and to the right, where the output's shape says enough.
        padding = [d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]

    def arrange(weight: Tensor) -> Tensor:
        """(C, O / groups, kh, kw) to (O, kh, kw, C / groups)."""
        return weight.unflatten(0, (layer.groups, -1)).permute(0, 2, 3, 4, 1).flatten(0, 1)

    return [
        {
            "kind": "conv_transpose2d" if transposed else "conv2d",
            "in": list(before),
            "out": list(after),
            "kernel": list(layer.kernel_size),
            "stride": list(layer.stride),
            "padding": list(padding),
            "dilation": list(layer.dilation),
            "groups": layer.groups,
            **(_weights(layer, path, writer, arrange) if transposed else _weights(layer, path, writer)),
        }
    ]


def _check_image(layer, path, before) -> None:
    # Some layers take an axis that is missing for the batch's.
    if len(before) != 3:
        raise _option(path, layer, f"on shape {tuple(before)}")


#: What `_separable` found of layers that are still in use, by their options and shapes: it asks for each row.
_AXES: weakref.WeakKeyDictionary[nn.Module, dict] = weakref.WeakKeyDictionary()


def _separable(layer, path, before, after, writer) -> list[dict]:
    """Write a layer that makes R X C' of each channel X, whatever its options: torch is asked for R and C."""
    _check_image(layer, path, before)
    found, key = _AXES.setdefault(layer, {}), (repr(vars(layer)), before)
    if key not in found:
        try:
            with eval_mode(layer):
                found[key] = _axes(layer, *before)
        except RuntimeError as error:
            raise _option(path, layer, f"from {tuple(before)} to {tuple(after)}") from error
    rows, cols, exact = found[key]
    if not exact:
        raise _option(path, layer, "which does not treat rows and columns apart")
    places = {"rows": writer.put(rows, f"{path}'s rows"), "cols": writer.put(cols, f"{path}'s columns")}
    return [{"kind": "separable", "in": list(before), "out": list(after), **places}]


def _axes(layer, channels: int, height: int, width: int) -> tuple[Tensor, Tensor, bool]:
    """Return R, C, and whether R X C' is what the layer makes of any X."""
    whole = layer(torch.ones(1, 1, height, width))[0, 0]
    row, column = divmod(int(whole.abs().argmax()), whole.shape[1])
    # Images of which one row, or one column, is 1. A few at a time: all would take the third power of a side.
    tall = [x[None, :, :, None].expand(-1, -1, -1, width) for x in torch.eye(height).split(16)]
    wide = [x[None, :, None, :].expand(-1, -1, height, -1) for x in torch.eye(width).split(16)]
    rows = torch.cat([layer(x)[0, :, :, column] for x in tall]).T / whole[row, column]
    cols = torch.cat([layer(x)[0, :, row] for x in wide]).T
    x = torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(0))
    return rows, cols, torch.allclose(rows @ x @ cols.T, layer(x), atol=1e-5)


def _max_pool(layer, path, before, after, writer) -> list[dict]:
    _check_image(layer, path, before)
    if layer.return_indices:
        raise _option(path, layer, "with return_indices=True")
    options = {
        name: [value, value] if isinstance(value, int) else list(value)
        for name, value in (
            ("kernel", layer.kernel_size),
            ("stride", layer.stride),
            ("padding", layer.padding),
            ("dilation", layer.dilation),
        )
    }
    return [{"kind": "max_pool2d", "in": list(before), "out": list(after), **options}]


def _shuffle(layer, path, before, after, writer) -> list[dict]:
    _check_image(layer, path, before)
    if isinstance(layer, nn.PixelShuffle):
        (c, h, w), r = after, layer.upscale_factor
        shape, axes = [c, r, r, h // r, w // r], [0, 3, 1, 4, 2]
    else:
        (c, h, w), r = before, layer.downscale_factor
        shape, axes = [c, h // r, r, w // r, r], [0, 2, 4, 1, 3]
    return [{"kind": "permute", "shape": shape, "axes": axes, "out": list(after)}]


def _statistics(layer, path: str) -> tuple[Tensor, Tensor]:
    """Return what a norm multiplies each channel with and then adds, from its running statistics."""
    if layer.running_mean is None or layer.running_var is None:
        raise _option(path, layer, "without running statistics")
    scale = (layer.running_var.double() + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight.double()
    shift = -layer.running_mean.double() * scale
    return scale, shift if layer.bias is None else shift + layer.bias.double()


def _affine(scale: Tensor | None, shift: Tensor | None, inner: int, path: str, writer) -> list[dict]:
    """Write what a norm does to each of its channels of `inner` values, if it does anything."""
    if scale is None:
        return []
    shift = torch.zeros_like(scale) if shift is None else shift
    places = {"weight": writer.put(scale, f"{path}.weight"), "bias": writer.put(shift, f"{path}.bias")}
    return [{"kind": "affine", "channels": scale.numel(), "inner": inner, **places}]


def _batch_norm(layer, path, before, after, writer) -> list[dict]:
    return _affine(*_statistics(layer, path), math.prod(before[1:]), path, writer)


def _norm(layer, path, before, after, writer) -> list[dict]:
    """Write a norm that takes mean and variance from each image: of layers, groups or instances."""
    inner = math.prod(before[1:])
    if isinstance(layer, nn.LayerNorm):
        if len(layer.normalized_shape) > len(before):
            raise _option(path, layer, f"on shape {tuple(before)}")
        count, inner = math.prod(before) // math.prod(layer.normalized_shape), 1
    elif isinstance(layer, nn.GroupNorm):
        count = layer.num_groups
    else:
        if len(before) != (3 if isinstance(layer, nn.InstanceNorm2d) else 2):
            raise _option(path, layer, f"on shape {tuple(before)}")
        if layer.running_mean is not None:
            return _batch_norm(layer, path, before, after, writer)
        count = before[0]
    if not layer.eps > 0:
        raise _option(path, layer, f"with eps={layer.eps}")
    return [
        {"kind": "normalize", "count": count, "eps": layer.eps},
        *_affine(layer.weight, layer.bias, inner, path, writer),
    ]


def _prelu(layer, path, before, after, writer) -> list[dict]:
    inner = math.prod(before) // before[0] if layer.num_parameters > 1 else 1
    place = writer.put(layer.weight, f"{path}.weight")
    return [{"kind": "prelu", "channels": layer.num_parameters, "inner": inner, "weight": place}]


def _reshape(layer, path, before, after, writer) -> list[dict]:
    return [{"kind": "reshape", "out": list(after)}]


def _nothing(layer, path, before, after, writer) -> list[dict]:
    return []


def _map(kind: str, **options: str | float):
    """Make a describer of an activation: `options` are numbers, or attributes of the layer that have them."""

    def describer(layer, path, before, after, writer) -> list[dict]:
        values = {
            name: float(getattr(layer, own) if isinstance(own, str) else own) for name, own in options.items()
        }
        if not all(map(math.isfinite, values.values())):
            raise _option(path, layer, f"with {values}")
        return [{"kind": kind, **values}]

    return describer


def _gelu(layer, path, before, after, writer) -> list[dict]:
    return [{"kind": {"none": "gelu", "tanh": "gelu_tanh"}[layer.approximate]}]


def _celu(layer, path, before, after, writer) -> list[dict]:
    return [{"kind": "elu", "alpha": float(layer.alpha), "beta": 1 / layer.alpha, "scale": 1.0}]


#: By the function that runs: see `walk`.
_DESCRIBERS = {
    getattr(cls, "forward"): describer  # noqa: B009 - of a class torch says only that it is a type
    for describer, classes in {
        _linear: (nn.Linear,),
        _constant: (Constant,),
        _convolution: (nn.Conv2d, nn.ConvTranspose2d),
        _separable: (
            nn.Upsample, nn.AvgPool2d, nn.AdaptiveAvgPool2d,
            nn.ZeroPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d,
        ),
        _max_pool: (nn.MaxPool2d,),
        _shuffle: (nn.PixelShuffle, nn.PixelUnshuffle),
        _batch_norm: (nn.BatchNorm2d,),
        _norm: (nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d),
        _prelu: (nn.PReLU,),
        _reshape: (nn.Flatten, nn.Unflatten),
        _nothing: (
            nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
            nn.AlphaDropout, nn.FeatureAlphaDropout,
        ),
        _map("relu"): (nn.ReLU,),
        _map("leaky_relu", slope="negative_slope"): (nn.LeakyReLU,),
        _map("silu"): (nn.SiLU,),
        _gelu: (nn.GELU,),
        _map("tanh"): (nn.Tanh,),
        _map("softplus", beta="beta", threshold="threshold"): (nn.Softplus,),
        _map("log_sigmoid"): (nn.LogSigmoid,),
        _map("sigmoid"): (nn.Sigmoid,),
        _map("elu", alpha="alpha", beta=1, scale=1): (nn.ELU,),
        # Klambauer et al. 2017, arXiv:1706.02515: torch's digits.
        _map("elu", alpha=1.6732632423543772, beta=1, scale=1.0507009873554805): (nn.SELU,),
        _celu: (nn.CELU,),
        _map("mish"): (nn.Mish,),
        _map("hardsigmoid"): (nn.Hardsigmoid,),
        _map("hardswish"): (nn.Hardswish,),
        _map("clip", low="min_val", high="max_val"): (nn.Hardtanh,),
        _map("softsign"): (nn.Softsign,),
    }.items()
    for cls in classes
}  # fmt: skip
#: One function for all their shapes; an instance norm's is another.
_BATCH_NORMS = (nn.BatchNorm2d.forward,)
