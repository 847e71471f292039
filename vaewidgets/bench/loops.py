"""The ways to train one VAE that ``vaewidgets bench train`` compares, each a loop that can be paused.

The model is that of the well-known PyTorch example: 784-400-20, ReLU, Bernoulli on grey pixels; Adam at 1e-3.
All start with the same weights and see every image once in an epoch. Each has a `title`, a `precision` (of
the matrix products), the `model` that it trains and a method `advance` that trains for a number of steps.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaewidgets.evaluation.metrics import held_out_elbo
from vaewidgets.models.likelihoods import Bernoulli
from vaewidgets.models.vae import VAE, Posterior
from vaewidgets.training.loop import fit

PIXELS, HIDDEN, LATENT, LR = 784, 400, 20, 1e-3


class Job(NamedTuple):
    """The settings that every design is made with.

    Attributes
    ----------
    root : Path
        torchvision's root, for the design that reads MNIST by itself.
    images : Tensor of shape (N, 1, 28, 28)
        The first N training images.
    epochs, batch_size : int
    device : torch.device

    Examples
    --------
    >>> job = Job(Path(), torch.rand(6, 1, 28, 28), epochs=1, batch_size=2, device=torch.device("cpu"))
    >>> design = Tensors(job)
    >>> design.title, len(job.images)
    ('one tensor, fused Adam, by hand', 6)
    """

    root: Path
    images: Tensor
    epochs: int
    batch_size: int
    device: torch.device


def first_model() -> VAE:
    """Make the model with the weights that every design starts from.

    Examples
    --------
    >>> first_model().latent_dim
    20
    """
    return VAE(LATENT, (1, 28, 28), hidden=(HIDDEN,), seed=0)


def layers() -> list[nn.Linear]:
    """List the linear layers of the model; the first one takes the images.

    Examples
    --------
    >>> layers()[0].in_features
    784
    """
    return [module for module in first_model().modules() if isinstance(module, nn.Linear)]


def held_out(model: nn.Module, images: Tensor) -> float:
    """Compute minus the ELBO in nats per image, with one sample each and the same noise for every design.

    Parameters
    ----------
    model : VAE or Net
    images : Tensor of shape (B, 1, 28, 28)

    Examples
    --------
    >>> held_out(first_model(), torch.zeros(4, 1, 28, 28)) > 0
    True
    """
    return -held_out_elbo(cast(VAE, model), images).total.mean().item()


class Net(nn.Module):
    """The VAE of the example, with the methods that `held_out_elbo` needs.

    Examples
    --------
    >>> logits, mu, logvar = Net()(torch.rand(5, 1, 28, 28))
    >>> logits.shape, mu.shape
    (torch.Size([5, 1, 28, 28]), torch.Size([5, 20]))
    """

    latent_dim = LATENT

    def __init__(self) -> None:
        super().__init__()
        start = first_model()
        self.fc1, self.mu, self.logvar = cast(nn.Sequential, start.encoder)[1], start.mu, start.logvar
        self.fc3, self.fc4 = start.decoder[0], start.decoder[2]
        self.likelihood = Bernoulli()

    def encode(self, x: Tensor) -> Posterior:
        """Compute q(z|x) from images of shape (B, 1, 28, 28)."""
        h = F.relu(self.fc1(x.view(-1, PIXELS)))
        return Posterior(self.mu(h), self.logvar(h))

    def decode_parameters(self, z: Tensor) -> Tensor:
        """Compute the logits of the pixels, of shape (B, 1, 28, 28), from z of shape (B, 20)."""
        return self.fc4(F.relu(self.fc3(z))).view(-1, 1, 28, 28)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute logits, mu and logvar from images of shape (B, 1, 28, 28), with one sample of z each."""
        mu, logvar = self.encode(x)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(logvar)
        return self.decode_parameters(z), mu, logvar


def _kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def _forever(loader) -> Iterator:
    while True:
        yield from loader


class Loader:
    """torchvision's MNIST, one PIL image at a time, through a DataLoader: the example's loop."""

    title, precision = "torchvision DataLoader + ToTensor + Adam", "float32"

    def __init__(self, job: Job) -> None:
        from torchvision import datasets, transforms

        data = datasets.MNIST(job.root, train=True, transform=transforms.ToTensor())
        if len(job.images) < len(data):
            data = torch.utils.data.Subset(data, range(len(job.images)))
        # As in the example: a worker process and pinned memory with a GPU, neither without.
        extra: dict[str, Any] = {"num_workers": 1, "pin_memory": True} if job.device.type == "cuda" else {}
        loader = torch.utils.data.DataLoader(data, batch_size=job.batch_size, shuffle=True, **extra)
        self._batches, self._device = _forever(loader), job.device
        self.model = Net().to(job.device)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=LR)
        self._train_loss = 0.0

    def advance(self, steps: int) -> None:
        for x, _ in islice(self._batches, steps):
            x = x.to(self._device)
            self._optimizer.zero_grad()
            logits, mu, logvar = self.model(x)
            probabilities = torch.sigmoid(logits).view(-1, PIXELS)
            loss = F.binary_cross_entropy(probabilities, x.view(-1, PIXELS), reduction="sum")
            loss = loss + _kl(mu, logvar)
            loss.backward()
            self._train_loss += loss.item()
            self._optimizer.step()


class Pythae:
    """pythae's VAE and BaseTrainer on tensors in memory, with its own loader and without callbacks.

    Its `train_step` is called. What its `train` does besides, a copy of the best model after each epoch and
    files at the end, is left out, to its advantage.
    """

    title, precision = "pythae", "float32"

    def __init__(self, job: Job) -> None:
        data, models, nets, outputs, trainers, callbacks = (
            importlib.import_module(f"pythae.{name}")
            for name in (
                "data.datasets", "models", "models.nn", "models.base.base_utils", "trainers",
                "trainers.training_callbacks",
            )
        )  # fmt: skip
        self.model = net = Net()

        base_encoder: Any = nets.BaseEncoder
        base_decoder: Any = nets.BaseDecoder

        class Encoder(base_encoder):
            def __init__(self):
                super().__init__()
                self.net = nn.ModuleList([net.fc1, net.mu, net.logvar])

            def forward(self, x):
                mu, logvar = net.encode(x)
                return outputs.ModelOutput(embedding=mu, log_covariance=logvar)

        class Decoder(base_decoder):
            def __init__(self):
                super().__init__()
                self.net = nn.ModuleList([net.fc3, net.fc4])

            def forward(self, z):
                return outputs.ModelOutput(reconstruction=torch.sigmoid(net.decode_parameters(z)))

        config = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
        logging.disable(logging.INFO)  # each of its modules sets a level of its own
        try:
            model = models.VAE(config, encoder=Encoder(), decoder=Decoder())
            self._trainer = trainers.BaseTrainer(
                model,
                train_dataset=data.BaseDataset(job.images, torch.zeros(len(job.images))),
                training_config=trainers.BaseTrainerConfig(
                    num_epochs=job.epochs,
                    per_device_train_batch_size=job.batch_size,
                    learning_rate=LR,
                    no_cuda=job.device.type != "cuda",
                ),
            )
        finally:
            logging.disable(logging.NOTSET)
        self._trainer.set_optimizer()
        self._trainer.callback_handler = callbacks.CallbackHandler([], model)
        self._trainer.train_loader = self._part = _Part(self._trainer.train_loader)

    def advance(self, steps: int) -> None:
        self._part.steps = steps
        self._trainer.train_step(epoch=1)


class _Part:
    """The next few batches of a loader, across the ends of epochs, so that a trainer can pause."""

    def __init__(self, loader) -> None:
        self.dataset, self.steps = loader.dataset, 0
        self._batches = _forever(loader)

    def __iter__(self) -> Iterator:
        return islice(self._batches, self.steps)

    def __len__(self) -> int:
        return self.steps


class Tensors:
    """One tensor in memory, indexed by a permutation, and fused Adam: what an expert writes by hand."""

    title, precision = "one tensor, fused Adam, by hand", "float32"

    def __init__(self, job: Job) -> None:
        self._images = job.images.flatten(1).to(job.device)
        self._batches = self._draw(job.batch_size)
        self.model = Net().to(job.device)
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=LR, fused=True)

    def _draw(self, batch_size: int) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(len(self._images), device=self._images.device)
            for index in order.split(batch_size):
                yield self._images[index]

    def advance(self, steps: int) -> None:
        for x in islice(self._batches, steps):
            logits, mu, logvar = self.model(x)
            loss = F.binary_cross_entropy_with_logits(logits.flatten(1), x, reduction="sum")
            loss = (loss + _kl(mu, logvar)) / len(x)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()


class Fit:
    """This package's `fit`, with the loss of every step read."""

    title, precision = "vaewidgets fit, each loss read", "float32"

    def __init__(self, job: Job) -> None:
        self.model = first_model()
        self._training = fit(
            self.model, job.images, epochs=job.epochs, batch_size=job.batch_size, lr=LR,
            precision=self.precision, device=str(job.device),
        )  # fmt: skip

    def advance(self, steps: int) -> None:
        for step in islice(self._training, steps):
            _ = step.loss


class FitDrained(Fit):
    """This package's `fit`, without reading the steps."""

    title = "vaewidgets fit, no loss read"

    def advance(self, steps: int) -> None:
        deque(islice(self._training, steps), maxlen=0)


class Engine(Fit):
    """The batches and the optimizer of `fit` alone: no `Step` is made and no loss is checked."""

    title = "vaewidgets engine, no step made"

    def advance(self, steps: int) -> None:
        training = self._training
        for _ in range(steps):
            training._run(training._order.batch(training.step))
            training.step += 1


class FitHalf(Fit):
    """This package's `fit` with matrix products in bfloat16."""

    title, precision = "vaewidgets fit, bfloat16", "bfloat16"


#: By their names in JSON. The others are compared with the first that runs on a device.
DESIGNS: dict[str, Any] = {
    "dataloader": Loader,
    "pythae": Pythae,
    "tensors": Tensors,
    "fit": Fit,
    "fit-drained": FitDrained,
    "engine": Engine,
    "fit-bfloat16": FitHalf,
}
#: The designs that are measured on a GPU too.
ON_A_GPU = ("dataloader", "tensors", "fit", "fit-bfloat16")
