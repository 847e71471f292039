"""Models for other tools: encoder and decoder as ONNX.

The graphs are written node by node from the modules themselves, not traced by ``torch.onnx``: that needs
one more package, changes from version to version of torch, and leaves names that nobody recognises. Here
every weight keeps its name in ``model.state_dict()``, and a layer that cannot be written is named.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vaewidgets._utils.atomic_write import check_free, write
from vaewidgets._version import __version__

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto
    from torch import Tensor, nn

    from vaewidgets.models.vae import VAE, Autoencoder

    from .layers import Layer

#: Of 2021: every runtime since reads them. The Gelu of opset 20 would spare four nodes and cost readers.
OPSET, IR_VERSION = 15, 8

#: Bytes: a protobuf message ends at 2 GiB, and the graph itself needs some of them.
LARGEST = 2**31 - 2**20

_REFUSAL = "which cannot be written as ONNX here"
#: Of `torch.nn`: what `VAE` and `Autoencoder` build.
_KINDS = (
    "Flatten", "Unflatten", "Linear", "Conv2d", "ConvTranspose2d", "ReLU", "Tanh", "Softplus", "SiLU", "GELU",
)  # fmt: skip


def to_onnx(
    model: VAE | Autoencoder, path: str | os.PathLike[str], *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write a model's encoder and decoder as two ONNX files, for runtimes that know neither torch nor us.

    Two files because ONNX is one graph a file, and runtimes want all inputs of a graph whatever is asked
    of it: who explores a latent space has no image to feed. Both are float32, with a batch axis of any
    length, and carry what made them under the metadata key "vaewidgets": kind, config and, of a Gaussian
    likelihood, sigma, as JSON.

    =====================  ==================  =======================================================
    file                   input               output
    =====================  ==================  =======================================================
    ``NAME-encoder.onnx``  x (batch, C, H, W)  mu, logvar (batch, d); of an autoencoder z (batch, d)
    ``NAME-decoder.onnx``  z (batch, d)        image (batch, C, H, W): E[x|z], the likelihood's mean
    =====================  ==================  =======================================================

    Parameters
    ----------
    model : VAE or Autoencoder
        Neither its atlas nor its info is written.
    path : path
        ``NAME.onnx``.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    encoder, decoder : Path

    Raises
    ------
    ImportError
        The extra is missing: ``pip install "vaewidgets[onnx]"``.
    FileExistsError
        One of the two files is there; nothing is written.
    TypeError
        Another kind of model.
    ValueError
        The path does not end in .onnx; weights that are not finite, or more than 2 GiB of them; a layer
        of another kind than those `VAE` builds, which is named.

    Examples
    --------
    >>> import tempfile, vaewidgets as vw
    >>> model = vw.VAE(latent_dim=2, image_shape=(1, 8, 8), hidden=(64,), seed=0)
    >>> encoder, decoder = vw.export.to_onnx(model, tempfile.mkdtemp() + "/m.onnx")
    >>> encoder.name, decoder.name
    ('m-encoder.onnx', 'm-decoder.onnx')
    """
    paths = onnx_paths(path, overwrite=overwrite)

    # Only now: importing torch takes seconds, and a refusal should not.
    from vaewidgets.models.vae import VAE, Autoencoder, unwrap

    model = unwrap(model)
    # A subclass may encode or decode in another way than its layers say.
    if type(model) not in (VAE, Autoencoder):
        hint = " Fix its label: to_onnx(model.given(3), path)." if hasattr(model, "given") else ""
        raise TypeError(f"to_onnx takes VAE or Autoencoder; got {type(model).__name__}.{hint}")
    check_finite(model)
    size = 4 * sum(tensor.numel() for tensor in model.state_dict().values())
    if size > LARGEST:
        raise ValueError(f"the weights take {size:,} bytes as float32; an ONNX file holds {LARGEST:,}.")
    graphs = (_encoder(model), _decoder(model))
    write(dict(zip(paths, (graph.to_bytes(model) for graph in graphs), strict=True)), overwrite)
    return paths


def onnx_paths(path: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[Path, Path]:
    """Return where `to_onnx` would write encoder and decoder, or refuse: all that needs no model."""
    path = Path(path)
    if path.suffix.lower() != ".onnx" or not path.stem:
        raise ValueError(
            f"{path} must end in .onnx: m.onnx stands for the pair m-encoder.onnx and m-decoder.onnx."
        )
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'writing ONNX needs an extra package: pip install "vaewidgets[onnx]" ({error}).'
        ) from error
    paths = (path.with_name(f"{path.stem}-encoder.onnx"), path.with_name(f"{path.stem}-decoder.onnx"))
    for part in paths:
        check_free(part, overwrite)
    return paths


def check_finite(model: nn.Module) -> None:
    """Refuse a model with a weight that float32 cannot hold as a finite number.

    Raises
    ------
    ValueError
        Names the first such tensor as it is called in ``model.state_dict()``.
    """
    for name, tensor in model.state_dict().items():
        bad = tensor.numel() - int(tensor.float().isfinite().sum())
        if bad:
            raise ValueError(
                f"{name} holds {bad:,} of {tensor.numel():,} values that are not finite in float32. "
                "The training diverged, or the file was changed: export another model."
            )


def _encoder(model: VAE | Autoencoder) -> _Graph:
    graph = _Graph("encoder", "images, with pixels as in training")
    x = graph.input("x", model.image_shape)
    h, width = graph.module("encoder", model.encoder, x, model.image_shape)
    from vaewidgets.models.vae import LOGVAR_BOUND, Autoencoder

    if isinstance(model, Autoencoder):
        graph.module("code", model.code, h, width, out="z")
        graph.output("z", (model.latent_dim,))
        return graph
    mu, _ = graph.module("mu", model.mu, h, width)
    graph.output(mu, (model.latent_dim,))
    unbounded, _ = graph.module("logvar", model.logvar, h, width, out="unbounded_logvar")
    bounded = graph.node("Tanh", graph.node("Div", unbounded, LOGVAR_BOUND))
    graph.node("Mul", bounded, LOGVAR_BOUND, out="logvar")
    graph.output("logvar", (model.latent_dim,))
    return graph


def _decoder(model: VAE | Autoencoder) -> _Graph:
    graph = _Graph("decoder", "image is the mean of p(x|z)")
    z = graph.input("z", (model.latent_dim,))
    h, _ = graph.module("decoder", model.decoder, z, (model.latent_dim,))
    graph.mean(model.likelihood, h, out="image")
    graph.output("image", model.image_shape)
    return graph


class _Graph:
    """One ONNX graph in the making: nodes in their order, and the constants they use."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.constants: dict[str, TensorProto] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        self.inputs.append(_value(name, shape))
        return name

    def output(self, name: str, shape: tuple[int, ...]) -> None:
        self.outputs.append(_value(name, shape))

    def constant(self, name: str, tensor: Tensor) -> str:
        from onnx import numpy_helper

        self.constants[name] = numpy_helper.from_array(tensor.detach().cpu().contiguous().numpy(), name)
        return name

    def node(self, kind: str, *inputs: str | float, out: str | None = None, **attributes: Any) -> str:
        """Add a node and return its output's name; a number as input becomes a constant."""
        import torch
        from onnx import helper

        names = [
            i if isinstance(i, str) else self.constant(repr(i), torch.tensor(i, dtype=torch.float32))
            for i in inputs
        ]
        out = out or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [out], name=out, **attributes))
        return out

    def module(
        self, path: str, module: nn.Module, h: str, shape: tuple[int, ...], out: str | None = None
    ) -> tuple[str, tuple[int, ...]]:
        """Add what a module does to h, of this shape; return its output's name, `path` if none is given, and
        that one's shape.
        """
        from torch import nn

        from vaewidgets.models.vae import Constant

        from .layers import walk

        out, known = out or path, {getattr(nn, kind).forward for kind in _KINDS} | {Constant.forward}
        for layer in walk(module, path, shape, known, _REFUSAL):
            shape, h = layer.after, self.layer(layer, h, out if layer.path == path else layer.path)
        return h if h == out else self.node("Identity", h, out=out), shape

    def layer(self, layer: Layer, h: str, out: str) -> str:
        """Add one layer, with arguments as `VAE` gives them."""
        import torch
        from torch import nn

        from vaewidgets.models.vae import Constant

        from .layers import cannot, forward_of

        path = layer.path
        # Which module it is, its ``forward`` says: a subclass without one of its own is the same layer.
        module: Any = layer.module

        def weights() -> list[str]:
            return [
                self.constant(f"{path}.{key}", tensor.float())
                for key, tensor in module.named_parameters(recurse=False)
            ]

        match forward_of(module):
            case nn.Flatten.forward if (module.start_dim, module.end_dim) == (1, -1):
                return self.node("Flatten", h, out=out, axis=1)
            case nn.Unflatten.forward if module.dim == 1:
                # In a Reshape 0 stands for the length that the axis has: the batch.
                shape = self.constant(f"{path}.shape", torch.tensor([0, *layer.after]))
                return self.node("Reshape", h, shape, out=out)
            case nn.Linear.forward:
                return self.node("Gemm", h, *weights(), out=out, transB=1)
            case nn.Conv2d.forward if _plain(module):
                return self.node("Conv", h, *weights(), out=out, **_window(module))
            case nn.ConvTranspose2d.forward if _plain(module):
                extra = {"output_padding": list(module.output_padding)}
                return self.node("ConvTranspose", h, *weights(), out=out, **_window(module), **extra)
            case nn.ReLU.forward:
                return self.node("Relu", h, out=out)
            case nn.Tanh.forward:
                return self.node("Tanh", h, out=out)
            case nn.Softplus.forward if (module.beta, module.threshold) == (1, 20):
                return self.node("Softplus", h, out=out)
            case nn.SiLU.forward:
                return self.node("Mul", h, self.node("Sigmoid", h), out=out)
            case nn.GELU.forward if module.approximate == "none":
                erf = self.node("Erf", self.node("Mul", h, 0.5**0.5))
                return self.node("Mul", self.node("Mul", h, 0.5), self.node("Add", erf, 1.0), out=out)
            case Constant.forward:
                (value,) = weights()
                # h is an encoder's output here, (batch, width), so only its first length is wanted.
                batch = self.node("Shape", h, start=0, end=1)
                width = self.constant(f"{path}.width", torch.tensor([module.value.numel()]))
                return self.node("Expand", value, self.node("Concat", batch, width, axis=0), out=out)
        raise cannot(path, module, f"with the arguments of {module}", _REFUSAL)

    def mean(self, likelihood: nn.Module, h: str, out: str) -> str:
        """Add the likelihood's mean, as `likelihoods` computes it."""
        from vaewidgets.models import likelihoods

        match type(likelihood):
            case likelihoods.Bernoulli:
                return self.node("Sigmoid", h, out=out)
            case likelihoods.Gaussian:
                return self.node("Identity", h, out=out)
            case likelihoods.ContinuousBernoulli:
                return self._continuous_bernoulli(h, out)
        raise ValueError(f"the mean of the likelihood {likelihood} cannot be written as ONNX here.")

    def _continuous_bernoulli(self, h: str, out: str) -> str:
        node = self.node
        small = node("Less", node("Abs", h), 0.3)
        inverse_tanh = node("Reciprocal", node("Tanh", node("Mul", h, 0.5)))
        exact = node("Sub", node("Mul", node("Sigmoid", h), inverse_tanh), node("Reciprocal", h))
        h2 = node("Mul", h, h)
        inner = node("Add", node("Mul", node("Add", node("Mul", h2, 1 / 30240), -1 / 720), h2), 1 / 12)
        series = node("Add", node("Mul", inner, h), 0.5)
        # No gradient passes here, so the branch not taken may be NaN: at 0 the one, far out the other.
        return node("Where", small, series, exact, out=out)

    def to_bytes(self, model: VAE | Autoencoder) -> bytes:
        import onnx
        from onnx import helper

        from vaewidgets.models.likelihoods import Gaussian

        graph = helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            list(self.constants.values()),
            doc_string=self.description,
        )
        proto = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="vaewidgets",
            producer_version=__version__,
        )
        about: dict[str, Any] = {"kind": type(model).__name__, "config": model.config}
        if isinstance(model.likelihood, Gaussian):
            about["sigma"] = model.likelihood.sigma.item()
        helper.set_model_props(proto, {"vaewidgets": json.dumps(about)})
        onnx.checker.check_model(proto, full_check=True)
        data: bytes = proto.SerializeToString()
        return data


def _value(name: str, shape: tuple[int, ...]) -> ValueInfoProto:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shape])


def _plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    kind = (layer.padding_mode, layer.dilation, layer.groups)
    return kind == ("zeros", (1, 1), 1) and not isinstance(layer.padding, str)


def _window(layer: nn.Conv2d | nn.ConvTranspose2d) -> dict[str, list[int]]:
    return {
        "kernel_shape": list(layer.kernel_size),
        "strides": list(layer.stride),
        "pads": [*layer.padding, *layer.padding],
    }
