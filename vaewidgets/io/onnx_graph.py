"""One ONNX graph, written node by node from the modules of a model."""

from __future__ import annotations

import json
from typing import Any

import onnx
import torch
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor, nn

from vaewidgets._version import __version__
from vaewidgets.models import likelihoods
from vaewidgets.models.vae import LOGVAR_BOUND, VAE, Autoencoder, Constant

from .layers import Layer, cannot, forward_of, walk

#: Of 2021, so that every runtime since reads them. The Gelu of opset 20 would save four nodes.
OPSET, IR_VERSION = 15, 8

_REFUSAL = "which cannot be written as ONNX here"
#: The ``forward`` of what `VAE` and `Autoencoder` are built of.
_KNOWN = {
    kind.forward
    for kind in (
        nn.Flatten, nn.Unflatten, nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.ReLU, nn.Tanh, nn.Softplus,
        nn.SiLU, nn.GELU, Constant,
    )
}  # fmt: skip


def encoder_graph(model: VAE | Autoencoder) -> Graph:
    """Write the encoder of a model: from x to mu and logvar, or to z for an autoencoder.

    Raises
    ------
    UnsupportedLayerError
        A layer of another kind than those `VAE` builds.
    """
    graph = Graph("encoder", "images, with pixels as in training")
    x = graph.input("x", model.image_shape)
    h, width = graph.module("encoder", model.encoder, x, model.image_shape)
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


def decoder_graph(model: VAE | Autoencoder) -> Graph:
    """Write the decoder of a model: from z to the mean of p(x|z).

    Raises
    ------
    ValueError
        A layer or a likelihood of another kind than those `VAE` builds.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> graph = decoder_graph(vw.VAE(2, (1, 4, 4), hidden=(8,), activation="relu"))
    >>> [node.op_type for node in graph.nodes]
    ['Gemm', 'Relu', 'Gemm', 'Reshape', 'Identity', 'Sigmoid']
    """
    graph = Graph("decoder", "image is the mean of p(x|z)")
    z = graph.input("z", (model.latent_dim,))
    h, _ = graph.module("decoder", model.decoder, z, (model.latent_dim,))
    graph.mean(model.likelihood, h, out="image")
    graph.output("image", model.image_shape)
    return graph


class Graph:
    """An ONNX graph that is being written: name, description, nodes in order and their constants."""

    def __init__(self, name: str, description: str) -> None:
        self.name, self.description = name, description
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        self.constants: dict[str, TensorProto] = {}

    def input(self, name: str, shape: tuple[int, ...]) -> str:
        """Declare an input of this shape, without the batch axis; return its name."""
        self.inputs.append(_value(name, shape))
        return name

    def output(self, name: str, shape: tuple[int, ...]) -> None:
        """Declare that a name is an output of this shape, without the batch axis."""
        self.outputs.append(_value(name, shape))

    def constant(self, name: str, tensor: Tensor) -> str:
        """Add a tensor of any shape as a constant; return its name."""
        self.constants[name] = numpy_helper.from_array(tensor.detach().cpu().contiguous().numpy(), name)
        return name

    def node(self, kind: str, *inputs: str | float, out: str | None = None, **attributes: Any) -> str:
        """Add a node of an ONNX kind and return the name of its output, `out`; numbers become constants."""
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
        """Add the layers of a module that is applied to h, a value of this shape.

        Return the name of the output, which is `path` unless `out` names it, and its shape.
        """
        out = out or path
        for layer in walk(module, path, shape, _KNOWN, _REFUSAL):
            shape, h = layer.after, self.layer(layer, h, out if layer.path == path else layer.path)
        return h if h == out else self.node("Identity", h, out=out), shape

    def layer(self, layer: Layer, h: str, out: str) -> str:
        """Add one layer that is applied to h; return the name of its output, `out`."""
        path = layer.path
        module: Any = layer.module
        weights = [
            self.constant(f"{path}.{key}", tensor.float())
            for key, tensor in layer.module.named_parameters(recurse=False)
        ]
        # By ``forward`` and not by class: a subclass without a ``forward`` of its own is the same layer.
        match forward_of(module):
            case nn.Flatten.forward if (module.start_dim, module.end_dim) == (1, -1):
                return self.node("Flatten", h, out=out, axis=1)
            case nn.Unflatten.forward if module.dim == 1:
                # In a Reshape 0 keeps the length of the axis: the batch.
                shape = self.constant(f"{path}.shape", torch.tensor([0, *layer.after]))
                return self.node("Reshape", h, shape, out=out)
            case nn.Linear.forward:
                return self.node("Gemm", h, *weights, out=out, transB=1)
            case nn.Conv2d.forward if _plain(module):
                return self.node("Conv", h, *weights, out=out, **_window(module))
            case nn.ConvTranspose2d.forward if _plain(module):
                extra = {"output_padding": list(module.output_padding)}
                return self.node("ConvTranspose", h, *weights, out=out, **_window(module), **extra)
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
                (value,) = weights
                # h is the output of an encoder, (batch, width).
                batch = self.node("Shape", h, start=0, end=1)
                width = self.constant(f"{path}.width", torch.tensor([module.value.numel()]))
                return self.node("Expand", value, self.node("Concat", batch, width, axis=0), out=out)
        raise cannot(path, module, f"with the arguments of {module}", _REFUSAL)

    def mean(self, likelihood: nn.Module, h: str, out: str) -> str:
        """Add the mean of a likelihood with parameters h as `out`; ValueError if its kind is not known."""
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
        # The branch that is not taken may be NaN, at 0 or far from it: there is no gradient to spoil.
        return node("Where", small, series, exact, out=out)

    def to_bytes(self, model: VAE | Autoencoder) -> bytes:
        """Return the bytes of the file: the graph, with kind and config of the model as metadata."""
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
        if isinstance(model.likelihood, likelihoods.Gaussian):
            about["sigma"] = model.likelihood.sigma.item()
        helper.set_model_props(proto, {"vaewidgets": json.dumps(about)})
        onnx.checker.check_model(proto, full_check=True)
        data: bytes = proto.SerializeToString()
        return data


def _value(name: str, shape: tuple[int, ...]) -> ValueInfoProto:
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
