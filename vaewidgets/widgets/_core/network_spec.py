"""Describe a model for the page: plain JSON and flat weights, which ``_core/network.js`` runs.

The page must show what torch would compute, or nothing: whatever is not known exactly is refused with
its name, and the panel decodes in the kernel.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vaewidgets.io.layers import UnsupportedLayerError, cannot, forward_of, walk
from vaewidgets.models.classifier import Classifier
from vaewidgets.models.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian
from vaewidgets.models.vae import LOGVAR_BOUND, VAE, Autoencoder, Constant

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
    entries = []
    for layer in walk(module, path, shape, _DESCRIBERS, _REFUSAL):
        describer, shape = _DESCRIBERS[forward_of(layer.module)], layer.after
        entries.append(describer(layer.module, layer.path, layer.before, layer.after, writer))
    return [entry for entry in entries if entry is not None], shape


def _option(path: str, layer: nn.Module, why: str) -> UnsupportedLayerError:
    return cannot(path, layer, why, _REFUSAL)


def _weights(layer, path: str, writer: _Writer, weight: Tensor) -> dict:
    return {"weight": writer.put(weight, f"{path}.weight"), "bias": writer.put(layer.bias, f"{path}.bias")}


def _linear(layer, path, before, after, writer) -> dict:
    if len(before) != 1:
        raise _option(path, layer, f"on shape {tuple(before)}")
    weights = _weights(layer, path, writer, layer.weight)
    return {"kind": "linear", "in": list(before), "out": list(after), **weights}


def _constant(layer, path, before, after, writer) -> dict:
    return {"kind": "constant", "out": list(after), "weight": writer.put(layer.value, f"{path}.value")}


def _convolution(layer, path, before, after, writer) -> dict:
    transposed = isinstance(layer, nn.ConvTranspose2d)
    if len(before) != 3:
        raise _option(path, layer, f"on shape {tuple(before)}")
    if layer.groups != 1:
        raise _option(path, layer, f"with groups={layer.groups}")
    if layer.padding_mode != "zeros":
        raise _option(path, layer, f"with padding_mode={layer.padding_mode!r}")
    padding = layer.padding
    if padding == "valid":
        padding = (0, 0)
    elif padding == "same":
        # Torch puts the odd one below and to the right, where the output's shape says enough.
        padding = [d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    weight = layer.weight
    if transposed:
        # (C, O, kh, kw) to (O, kh, kw, C): then the page has one matrix product for each row of the image.
        weight = weight.permute(1, 2, 3, 0)
    return {
        "kind": "conv_transpose2d" if transposed else "conv2d",
        "in": list(before),
        "out": list(after),
        "kernel": list(layer.kernel_size),
        "stride": list(layer.stride),
        "padding": list(padding),
        "dilation": list(layer.dilation),
        **_weights(layer, path, writer, weight),
    }


def _upsample(layer, path, before, after, writer) -> dict:
    if layer.mode not in ("nearest", "nearest-exact"):
        raise _option(path, layer, f"with mode={layer.mode!r}")
    factors = layer.scale_factor
    factors = factors if isinstance(factors, (tuple, list)) else [factors or 1.0]
    whole = all(float(factor).is_integer() for factor in factors)
    if len(before) != 3 or not whole or any(a % b for a, b in zip(after[1:], before[1:], strict=True)):
        raise _option(
            path, layer, f"from {tuple(before)} to {tuple(after)}, not by whole factors in the plane"
        )
    return {"kind": "upsample_nearest", "in": list(before), "out": list(after)}


def _reshape(layer, path, before, after, writer) -> dict:
    return {"kind": "reshape", "out": list(after)}


def _map(kind: str, **options: str):
    """Make a describer of an activation: `options` maps the page's names to the layer's attributes."""

    def describer(layer, path, before, after, writer) -> dict:
        return {"kind": kind, **{name: float(getattr(layer, own)) for name, own in options.items()}}

    return describer


def _gelu(layer, path, before, after, writer) -> dict:
    return {"kind": {"none": "gelu", "tanh": "gelu_tanh"}[layer.approximate]}


#: By the function that runs: see `walk`.
_DESCRIBERS = {
    getattr(cls, "forward"): describer  # noqa: B009 - of a class torch says only that it is a type
    for cls, describer in {
        nn.Linear: _linear,
        Constant: _constant,
        nn.Conv2d: _convolution,
        nn.ConvTranspose2d: _convolution,
        nn.Upsample: _upsample,
        nn.Flatten: _reshape,
        nn.Unflatten: _reshape,
        nn.Identity: lambda *_: None,
        nn.ReLU: _map("relu"),
        nn.LeakyReLU: _map("leaky_relu", slope="negative_slope"),
        nn.SiLU: _map("silu"),
        nn.GELU: _gelu,
        nn.Tanh: _map("tanh"),
        nn.Softplus: _map("softplus", beta="beta", threshold="threshold"),
        nn.Sigmoid: _map("sigmoid"),
    }.items()
}
