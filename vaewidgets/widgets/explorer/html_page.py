"""The explorer as one HTML file: opened from disk it decodes by itself, with no kernel, server or network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vaewidgets._utils.atomic_write import check_free, write
from vaewidgets._utils.text import sanitize
from vaewidgets.io.checkpoints import stated_classes, stated_dataset
from vaewidgets.io.onnx import check_finite
from vaewidgets.widgets._core.bundle import WIDGETS, bundle, read_styles
from vaewidgets.widgets._core.drawing import frame_of
from vaewidgets.widgets._core.model_lock import model_lock
from vaewidgets.widgets._core.network_spec import Description, UnsupportedLayerError, describe
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._map.figure import PALETTE, code_range

_STYLES = ("_core/tokens.css", "explorer/html_page.css", "draw_pad/draw_pad.css")


def to_html(
    model, path: str | os.PathLike[str], *, title: str | None = None, z=None, overwrite: bool = False
) -> Path:
    """Write the explorer of a model, with the atlas it carries, as one HTML file.

    The file holds all it needs: sliders, the map with its draggable cursor, the manifold grid, a pad to draw
    a digit on, and the model itself, in float16 where that holds its weights exactly, else in float32. Its
    Content-Security-Policy forbids it the network.

    Parameters
    ----------
    model : VAE or Autoencoder
        Its map shows `model.atlas`, and is empty for a model without one.
    path : path
        Ends in .html or .htm.
    title : str, optional
        Heading of the page.
    z : d numbers, optional
        Where to start: the prior's mean, or that of an autoencoder's codes, if None.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path

    Raises
    ------
    FileExistsError
        The file is there; nothing is written.
    ValueError
        Another ending; weights or codes that are not finite, or a layer that the page cannot run
        (`UnsupportedLayerError`), which is named.

    Examples
    --------
    >>> import tempfile, vaewidgets as vw
    >>> from vaewidgets.widgets.explorer.html_page import to_html
    >>> to_html(vw.pretrained("digits-vae-2d"), tempfile.mkdtemp() + "/explorer.html").name
    'explorer.html'
    """
    path = html_path(path, overwrite=overwrite)
    mu, logvar, labels = getattr(model, "atlas", None) or (None, None, None)
    dataset = stated_dataset(model)
    return write_page(
        path,
        model=model,
        mu=mu,
        logvar=logvar,
        labels=labels,
        classes=stated_classes(model),
        z=z,
        title=title or f"Latent explorer{f': {dataset}' if dataset else ''}",
        overwrite=overwrite,
    )


def html_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Return where a page would be written, or refuse: all that needs no model."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path} must end in .html: browsers go by the name of a file opened from disk.")
    check_free(path, overwrite)
    return path


def write_page(
    path: str | os.PathLike[str],
    *,
    model,
    mu=None,
    logvar=None,
    labels=None,
    classes: Sequence[str] = (),
    z=None,
    title: str = "Latent explorer",
    overwrite: bool = False,
) -> Path:
    """Write the explorer of a model over a map of any codes as one HTML file.

    Parameters
    ----------
    path, model, overwrite
        As for `to_html`.
    mu, logvar : arrays of shape (N, d)
        The codes of N images, written as float16. Without ``mu`` the map is empty, without ``logvar`` it
        has no ellipses.
    labels : array of shape (N,), optional
        Class indices from 0.
    classes : sequence of str
        Names of the classes; a class beyond it is named by its index.
    z : d numbers, optional
    title : str
        Shown as it is, whatever it contains, as are the names.

    Raises
    ------
    FileExistsError, ValueError
        As for `to_html`; arrays that do not fit the model or each other.
    """
    path = html_path(path, overwrite=overwrite)
    with model_lock(model):
        description = _describe(model)
    d = model.latent_dim
    mu = np.zeros((0, d)) if mu is None else _codes("mu", mu, d)
    if logvar is not None:
        logvar = _codes("logvar", logvar, d)
        if len(logvar) != len(mu):
            raise ValueError(f"logvar has {len(logvar)} rows where mu has {len(mu)}.")
    has_prior = getattr(model, "has_prior", True)
    half = _half("mu", mu)
    low, high = _reach(mu.astype("float16").astype(float), has_prior)  # as the page has them
    indices, named = _classes(labels, classes, len(mu))
    data = {
        "spec": description.spec,
        "prior": has_prior,
        "reach": REACH,
        "frame": frame_of(model),
        "z": _start(z, mu, has_prior, d),
        "ranges": slider_ranges(mu, has_prior, d),
        "low": low.tolist(),
        "high": high.tolist(),
        "mu": half,
        "logvar": None if logvar is None else _half("logvar", logvar),
        "labels": None if indices is None else _base64(indices.astype("<u2").tobytes()),
        "classes": named,
    }
    # Plain ASCII is the same text, with the same digests, in whatever charset a server says that it is.
    write({path: _join(title, data, description.weights).encode("ascii")}, overwrite)
    return path


def slider_ranges(mu: np.ndarray, has_prior: bool, latent_dim: int) -> list[tuple[float, float, float]]:
    """Lowest and highest value and step of each slider: the prior's reach, or most of the codes."""
    if has_prior or not len(mu):
        return [(-REACH, REACH, 0.01)] * latent_dim
    ranges = []
    for low, high in zip(*code_range(mu), strict=True):
        step = 10.0 ** math.floor(math.log10(max(float(high - low), 1e-3) / 100))
        ranges.append((step * math.floor(low / step), step * math.ceil(high / step), step))
    return ranges


def _describe(model) -> Description:
    if callable(getattr(model, "state_dict", None)):
        check_finite(model)
    try:
        description = describe(model, encoder=True)
    except UnsupportedLayerError:
        # The page itself only decodes: an encoder of one's own is no reason to refuse it.
        description = describe(model)
    channels, height, width = description.spec["imageShape"]
    if channels not in (1, 3) or height * width > 2**20:
        raise ValueError(
            f"the page shows images of 1 or 3 channels and at most {2**20:,} pixels; "
            f"got shape {model.image_shape}."
        )
    return description


def _codes(name: str, values, latent_dim: int) -> np.ndarray:
    values = np.asarray(values.cpu() if hasattr(values, "cpu") else values, dtype=float)
    if values.ndim != 2 or values.shape[1] != latent_dim:
        raise ValueError(f"{name} has shape {values.shape}; expected (N, {latent_dim}).")
    bad = np.flatnonzero(~np.isfinite(values).all(1))
    if len(bad):
        raise ValueError(f"{name} has {len(bad):,} rows that are not finite; the first is row {bad[0]}.")
    return values


def _reach(mu: np.ndarray, has_prior: bool) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest coordinate that the map shows, of each dimension."""
    if not has_prior and len(mu):
        low, high = code_range(mu)
        thin = np.maximum(1e-3 - (high - low) / 2, 0)
        return low - thin, high + thin
    farthest = np.abs(mu).max(0, initial=0.0)
    reach = np.maximum(REACH, 1.05 * farthest)
    return -reach, reach


def _classes(labels, classes: Sequence[str], n: int) -> tuple[np.ndarray | None, list[dict]]:
    """Number the classes that occur; name and colour each as the panel's map does."""
    if labels is None:
        return None, [{"name": "", "colour": PALETTE[0]}]
    labels = np.asarray(labels.cpu() if hasattr(labels, "cpu") else labels)
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer) or (labels < 0).any():
        raise ValueError(f"labels must be {n} class indices from 0; got {labels.dtype} {labels.shape}.")
    present, indices = np.unique(labels, return_inverse=True)
    if len(present) > 2**16:
        raise ValueError(f"labels name {len(present):,} classes; the page holds {2**16:,}.")
    return indices, [
        {
            "name": sanitize(str(classes[c])) if c < len(classes) else str(c),
            "colour": PALETTE[c % len(PALETTE)],
        }
        for c in present.tolist()
    ]


def _start(z, mu: np.ndarray, has_prior: bool, latent_dim: int) -> list[float]:
    if z is None:
        return mu.mean(0).round(2).tolist() if len(mu) and not has_prior else [0.0] * latent_dim
    z = [float(v) for v in z]
    if len(z) != latent_dim or not all(map(math.isfinite, z)):
        raise ValueError(f"z must be {latent_dim} finite numbers; got {z}.")
    return z


def _half(name: str, values: np.ndarray) -> str:
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.isfinite(half).all():
        raise ValueError(f"{name} reaches {np.abs(values).max():.3g}; the page's float16 ends at 65504.")
    return _base64(half.tobytes())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _join(title: str, data: dict, weights: bytes) -> str:
    style = read_styles(*_STYLES)
    script = bundle("explorer/html_page.js")
    policy = (
        "default-src 'none'; "
        f"script-src '{_digest(script)}' 'wasm-unsafe-eval'; style-src '{_digest(style)}'; "
        "img-src data: blob:; worker-src blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    # A "<" in a JSON string could end the script or open a comment in it; escaped it is the same string.
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    encoded = _base64(weights)
    parts = {
        "policy": policy,
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode(),
        "style": style,
        "data": text,
        "weights": encoded,
        "checksum": str(zlib.crc32((text + encoded).encode())),
        "script": script,
    }
    # The notice that the script takes away comes before all that could swallow it when it is cut or changed,
    # title and style too: browsers take both in the body. All in one pass: a title "@script@" stays one.
    template = (WIDGETS / "explorer/html_page.html").read_text("utf-8")
    return re.sub("@([a-z]+)@", lambda match: parts[match[1]], template)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
