"""A decoder and a judge whose every answer is known."""

import torch
from torch import nn

from vaewidgets.io.checkpoints import EncodedDataset
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.vae import Posterior


class Painter:
    """Paints two pixels, |z1| and |z2|, cut off at 1; its codes are what it was given."""

    image_shape, likelihood = (1, 1, 2), Bernoulli()

    def __init__(self, mu=None, logvar=None, labels=None, train=None) -> None:
        self.latent_dim = 2
        self.has_prior = logvar is not None
        if mu is not None:
            self.atlas = EncodedDataset(mu, logvar, labels)
        if train is not None:
            self.train_atlas = train

    def parameters(self):
        yield torch.zeros(1)

    def encode(self, x):
        z = x.flatten(1)
        return Posterior(z, torch.full_like(z, -2.0)) if self.has_prior else z

    def decode(self, z):
        return z.abs().clamp(max=1).view(-1, *self.image_shape)

    def decode_parameters(self, z):
        return z.abs().clamp(1e-4, 1 - 1e-4).logit().view(*z.shape[:-1], *self.image_shape)

    def __call__(self, x):
        return self.decode(x.flatten(1))


class Bright:
    """Knows two classes, which pixel is the brighter, and is as sure as that pixel is bright."""

    def __init__(self, image_shape=(1, 1, 2), classes: int = 2) -> None:
        self.image_shape, self.classes = image_shape, classes
        self.layers = nn.Sequential(nn.Flatten(), nn.Identity())

    def confidence(self, x):
        return x.flatten(1).amax(1)

    def probabilities(self, x):
        first = x.flatten(1).argmax(1) == 0
        best = self.confidence(x)
        return torch.stack([best * first, best * ~first, 1 - best], 1)
