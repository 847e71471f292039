"""The common part of panels about one Gaussian q = N(mu, diag(sigma^2)) on a plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import ipywidgets as widgets
import numpy as np
import traitlets

from vaewidgets.data.pixels import to_uint8
from vaewidgets.io.checkpoints import pretrained
from vaewidgets.widgets._core.browser_network import PageNetwork
from vaewidgets.widgets._core.encoded import decode_points
from vaewidgets.widgets._core.model_lock import follow, model_lock
from vaewidgets.widgets._core.plane import REACH
from vaewidgets.widgets._core.traits import Latent, Sigma
from vaewidgets.widgets._core.view_panel import ViewPanel

if TYPE_CHECKING:
    from vaewidgets.models.protocols import EncoderDecoder


class GaussianView(PageNetwork):
    """The page's part of a `GaussianPanel`: it draws q, and q is dragged there.

    Attributes
    ----------
    mu, sigma : list of 2 floats
    pixels, shape : bytes, list (H, W, channels)
        Pictures of the panel's points that the kernel decoded, one after the other, if the page cannot.
    points : bytes
        Dots behind the ellipses, float32 (N, 2).
    reach : float
        Half the length of the plane's axes, which have 0 in their middle.
    """

    mu = traitlets.List(traitlets.Float()).tag(sync=True)
    sigma = traitlets.List(traitlets.Float()).tag(sync=True)
    pixels = traitlets.Bytes().tag(sync=True)
    shape = traitlets.List(traitlets.Int(), [0, 0, 0]).tag(sync=True)
    points = traitlets.Bytes().tag(sync=True)
    reach = traitlets.Float(REACH).tag(sync=True)


class GaussianPanel(ViewPanel):
    """A panel whose source of truth is one Gaussian, kept equal in the kernel and in the page.

    Subclasses call `choose_model`, and pass a `GaussianView` to `hold`, before ``super().__init__``, and call
    `begin` after it.

    Attributes
    ----------
    mu, sigma : tuple of 2 floats
    model : VAE
    view : GaussianView
    """

    latent_dim = 2
    model: EncoderDecoder = None  # type: ignore[assignment]  # until `choose_model` has one
    mu = Latent((0.0, 0.0))
    sigma = Sigma((1.0, 1.0))

    def choose_model(self, model: EncoderDecoder | None) -> EncoderDecoder:
        """Check the model and keep it; the pretrained one if it is None.

        Raises
        ------
        TypeError
            The model has no encoder, decoder or prior.
        ValueError
            It has not two latent dimensions.
        """
        chosen = cast("EncoderDecoder", pretrained("mnist-vae-2d")) if model is None else model
        name = type(self).__name__
        for method in ("encode", "decode"):
            if not callable(getattr(chosen, method, None)):
                raise TypeError(f"{name} needs a VAE, with {method}; got {type(chosen).__name__}.")
        if not getattr(chosen, "has_prior", True):
            raise TypeError(
                f"{name} needs a VAE, whose encoder answers with mu and sigma; got {type(chosen).__name__}."
            )
        if chosen.latent_dim != 2:
            raise ValueError(
                f"{name} shows a plane, so it needs a model with latent_dim=2; got {chosen.latent_dim}."
            )
        self.model, self._lock = chosen, model_lock(chosen)
        return chosen

    def begin(self) -> None:
        """From now on decode for the page where it cannot, and follow the training of the model."""
        self.observe(self._decode_points, ["mu", "sigma", "epsilon"])
        self._decode_points()
        follow(self.model, self)

    def decoded_points(self) -> np.ndarray:
        """List the points whose pictures the panel shows, ndarray of shape (N, 2)."""
        raise NotImplementedError

    def weights_changed(self) -> None:
        """Decode with the present weights: another panel trains the model."""
        with self._lock:
            self.view.refresh()
        self._decode_points()

    def _decode_points(self, _=None) -> None:
        if not self.view.reason:
            return
        with self.report(from_page=False):
            images = self.decode(self.decoded_points())
            with self.view.hold_sync():
                self.view.shape = [*images.shape[1:3], images[0].size // (images.shape[1] * images.shape[2])]
                self.view.pixels = images.tobytes()

    def decode(self, z) -> np.ndarray:
        """Decode points (N, 2) to pictures of shape (N, H, W) or (N, H, W, 3), uint8."""
        return np.stack([to_uint8(image) for image in decode_points(self.model, z)])


def button(text: str, icon: str, tooltip: str, width: str) -> widgets.Button:
    """Make a button in the style of the panels."""
    return widgets.Button(description=text, icon=icon, tooltip=tooltip, layout=dict(width=width))
