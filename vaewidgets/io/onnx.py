"""Models for other tools: encoder and decoder as ONNX.

The graphs are written node by node from the modules (`onnx_graph`), not traced by ``torch.onnx``, which needs
one more package, changes with the version of torch, and invents names. Here every weight keeps its name in
``model.state_dict()``, and the error about a layer that cannot be written names the layer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from vaewidgets._utils.atomic_write import check_free, write

if TYPE_CHECKING:
    from torch import nn

    from vaewidgets.models.vae import VAE, Autoencoder

#: Bytes: a protobuf message ends at 2 GiB, and the graph itself needs some of them.
LARGEST = 2**31 - 2**20


def to_onnx(
    model: VAE | Autoencoder, path: str | os.PathLike[str], *, overwrite: bool = False
) -> tuple[Path, Path]:
    """Write a model's encoder and decoder as two ONNX files, for runtimes without torch.

    There are two files because a file holds one graph, and a runtime needs all inputs of a graph: a program
    that only decodes has no image. Both are float32, with a batch axis of any length. The metadata key
    "vaewidgets" holds the kind, the config and, for a Gaussian likelihood, sigma, as JSON.

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

    # Imported after the checks above: torch takes seconds, and a refusal should not.
    from vaewidgets.models.vae import VAE, Autoencoder, unwrap

    from .onnx_graph import decoder_graph, encoder_graph

    model = unwrap(model)
    # A subclass may encode or decode in another way than its layers say.
    if type(model) not in (VAE, Autoencoder):
        hint = " Fix its label: to_onnx(model.given(3), path)." if hasattr(model, "given") else ""
        raise TypeError(f"to_onnx takes VAE or Autoencoder; got {type(model).__name__}.{hint}")
    check_finite(model)
    size = 4 * sum(tensor.numel() for tensor in model.state_dict().values())
    if size > LARGEST:
        raise ValueError(f"the weights take {size:,} bytes as float32; an ONNX file holds {LARGEST:,}.")
    graphs = zip(paths, (encoder_graph(model), decoder_graph(model)), strict=True)
    write({path: graph.to_bytes(model) for path, graph in graphs}, overwrite)
    return paths


def onnx_paths(path: str | os.PathLike[str], *, overwrite: bool = False) -> tuple[Path, Path]:
    """Return where `to_onnx` writes encoder and decoder, after all checks that need no model.

    It takes the parameters of `to_onnx`, without the model, and raises the same errors.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> [path.name for path in vw.export.onnx_paths("m.onnx")]
    ['m-encoder.onnx', 'm-decoder.onnx']
    """
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
    """Raise if a weight of a model is not finite in float32.

    Raises
    ------
    ValueError
        Names the first such tensor as in ``model.state_dict()``.

    Examples
    --------
    >>> import vaewidgets as vw
    >>> vw.export.check_finite(vw.VAE(2, (1, 4, 4), hidden=(4,)))
    """
    for name, tensor in model.state_dict().items():
        bad = tensor.numel() - int(tensor.float().isfinite().sum())
        if bad:
            raise ValueError(
                f"{name} holds {bad:,} of {tensor.numel():,} values that are not finite in float32. "
                "The training diverged, or the file was changed: export another model."
            )
