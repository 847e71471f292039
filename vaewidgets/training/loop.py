"""Training as an iterator: `fit` yields a `Step` per batch."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from vaewidgets.data.dataset import Images
from vaewidgets.models.conditional import ConditionalVAE, Labelled, with_labels
from vaewidgets.models.likelihoods import Gaussian
from vaewidgets.models.objectives import Elbo, autoencoding, binarize, elbo, floor_kl, importance_weighted
from vaewidgets.models.vae import VAE, Autoencoder, eval_mode, train_mode, unwrap_arguments

from .devices import ProcessGroup, pick_device
from .divergence import KEEP_EVERY, DivergenceGuard, explain
from .records import Diverged, LossTerms, Snapshot, Step, summarise
from .run_state import BatchSampler, EarlyStopping, copy_into, make_adam, set_learning_rate
from .validation import check_labels, check_nonnegative, check_seed, check_training

if TYPE_CHECKING:
    from vaewidgets.models.protocols import Trainable

    from .cuda_graph import CUDAGraphStep


@unwrap_arguments
def fit(
    model: Trainable,
    images: Tensor,
    *,
    labels: Tensor | None = None,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 1e-3,
    schedule: str = "constant",
    weight_decay: float = 0.0,
    beta: float = 1.0,
    kl_warmup: float = 0.0,
    free_bits: float = 0.0,
    iwae: int | None = None,
    binarize: str | None = None,
    validation: Tensor | Images | None = None,
    patience: int | None = None,
    precision: str = "float32",
    device: str | None = None,
    seed: int = 0,
) -> Training:
    """Train `model` in place: minimise minus the mean ELBO with AdamW, one `Step` per batch.

    Parameters
    ----------
    model : VAE, Autoencoder or ConditionalVAE
        Of an autoencoder only the reconstruction is trained, since it has no KL.
    images : Tensor of shape (N, C, H, W)
        Kept in memory and indexed. In [0, 1] for the Bernoulli likelihoods.
    labels : Tensor of shape (N,), int64
        Only for a ConditionalVAE, which needs them.
    epochs, batch_size : int
        Every epoch uses every image once; its last batch may be short.
    lr, weight_decay : float
        Learning rate and decoupled weight decay of AdamW.
    schedule : "constant" or "cosine"
        "cosine" takes the learning rate from `lr` to zero over the whole run.
    beta : float
        Weight of the KL.
    kl_warmup : float
        Epochs over which the weight of the KL rises linearly to `beta`.
    free_bits : float
        Nats of KL per latent dimension that cost nothing, on the mean of a batch; see `floor_kl`.
    iwae : int, optional
        Maximise the importance-weighted bound with this many samples per image in place of the ELBO. Under
        the Bernoulli likelihood it needs zeros and ones: ``binarize="dynamic"``.
    binarize : None or "dynamic"
        "dynamic" draws zeros and ones from the greys for every batch; the same draw is encoded and scored.
    validation : Tensor of shape (M, C, H, W) or Images, optional
        Measured after every epoch with the same noise each time: `Step.held_out`. For a ConditionalVAE
        `Images`, which have labels.
    patience : int, optional
        Stop when the loss of `validation` has not fallen for this many epochs; the model then has the weights
        of its best epoch.
    precision : "float32" or "bfloat16"
        "bfloat16" multiplies matrices in half precision (torch.autocast); weights and sums stay float32.
    device : "auto", "cpu", "cuda", "mps", optional
        Move the model there; by default it stays where it is. The images are moved to it once.
    seed : int
        Seed of the order and of the noise: same seed, same steps.

    Returns
    -------
    Training
        An iterator of `Step`; stopping early, or closing it, leaves a usable model.

    Raises
    ------
    ValueError, TypeError
        At the call, before any step: arguments or images that cannot be trained on.
    Diverged
        At a step: the loss is not finite.

    References
    ----------
    Kingma & Welling 2014 (arXiv 1312.6114), algorithm 1; Loshchilov & Hutter 2017 (arXiv 1608.03983),
    equation 5, for the cosine; Bowman et al. 2016 (arXiv 1511.06349), section 3.1, and Sonderby et al. 2016
    (arXiv 1602.02282) for the warm-up. `elbo`, `importance_weighted`, `floor_kl`, `binarize`, `make_adam` and
    `EarlyStopping` name theirs.

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> model, images = vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.rand(20, 1, 8, 8)
    >>> for step in vw.fit(model, images, epochs=2, batch_size=20, kl_warmup=2):
    ...     print(step, step.beta)
    Step(epoch=1, step=1, total_steps=2) 0.5
    Step(epoch=2, step=2, total_steps=2) 1.0
    """
    settings = dict(
        epochs=epochs, batch_size=batch_size, lr=lr, schedule=schedule, weight_decay=weight_decay, beta=beta,
        kl_warmup=kl_warmup, free_bits=free_bits, iwae=iwae, binarize=binarize, patience=patience,
        precision=precision, seed=seed,
    )  # fmt: skip
    held_out_labels = None
    if isinstance(validation, Images):
        # Other models are measured on the same labelled images without their labels.
        held_out_labels = validation.labels if isinstance(model, ConditionalVAE) else None
        validation = validation.images
    check_training(model, images, validation, settings)
    check_labels(model, images, labels, "labels=")
    if validation is not None:
        check_labels(model, validation, held_out_labels, "validation=Images(images, labels)")
    return Training(model, (images, labels), (validation, held_out_labels), device, settings)


class Training(Iterator[Step]):
    """A training run: an iterator of `Step` that can be steered, copied, restored and closed. `fit` makes it.

    With several processes (``torchrun``) each has one; what is set in one must be set in all.

    Attributes
    ----------
    model : VAE, Autoencoder or ConditionalVAE
    beta, lr : float
        May be set between two steps; the warm-up and the schedule scale them.
    step, epoch, batches, total_steps : int
        Steps taken, epochs begun, steps in an epoch, and the number of steps without an early stop.
    finished : bool

    Examples
    --------
    >>> import torch, vaewidgets as vw
    >>> run = vw.fit(vw.VAE(2, (1, 8, 8), hidden=(4,), seed=0), torch.rand(20, 1, 8, 8), batch_size=10)
    >>> before, loss = run.state(), next(run).loss
    >>> run.restore(before)
    >>> next(run).loss == loss, run.step, run.epoch
    (True, 1, 1)
    """

    def __init__(
        self,
        model: Trainable,
        train: tuple[Tensor, Tensor | None],
        validation: tuple[Tensor | None, Tensor | None],
        device: str | None,
        settings: dict[str, Any],
    ) -> None:
        self._settings = s = SimpleNamespace(**settings)
        weight = next(model.parameters())
        self._device = weight.device if device is None else pick_device(device)
        self._group = ProcessGroup.join(self._device)
        self.model = model.to(self._device)
        # Not a copy: training changes these tensors in place.
        self._model_state = model.state_dict()
        seed = torch.tensor(s.seed, device=self._device)
        self._group.broadcast([*self._model_state.values(), seed])
        s.seed = seed.item()
        self._images = train[0].to(self._device, weight.dtype)
        self._labels = self._place(train[1], torch.int64)
        self._validation = self._place(validation[0], weight.dtype)
        self._validation_labels = self._place(validation[1], torch.int64)
        self._order = BatchSampler(len(self._images), s.batch_size, self._device, s.seed)
        self._noise = torch.Generator(self._device).manual_seed(s.seed)
        self._lr, self._beta = float(s.lr), float(s.beta)
        self._graphed = self._device.type == "cuda" and self._group.size == 1
        # A tensor, which a recorded CUDA graph can read.
        self._weight_of_kl = torch.full((), self._beta, device=self._device, dtype=weight.dtype)
        self._applied: tuple[float, float] | None = None
        self._weights = list(model.parameters())
        self._optimizer = make_adam(self._weights, self._lr, s.weight_decay, self._graphed)
        self._replay: CUDAGraphStep | None = None

        self.batches = self._order.batches
        self.step, self.finished = 0, False
        self.total_steps: int = s.epochs * self.batches
        self._seen = 0
        self._busy = 0.0
        self._early_stopping = EarlyStopping(self._model_state, s.patience)
        # Reading a number makes a GPU wait, so there the losses of many steps are read together.
        every = 1 if self._device.type == "cpu" else KEEP_EVERY
        self._guard = DivergenceGuard(self._model_state, every)

    def _place(self, tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
        return None if tensor is None else tensor.to(self._device, dtype)

    def __next__(self) -> Step:
        if self.finished:
            raise StopIteration
        started = time.perf_counter()
        self._guard.snapshot(self.step)
        index = self._order.batch(self.step)
        beta, lr = self._apply_schedules()
        with train_mode(self.model):
            numbers = self._run(index)
        self.step += 1
        validation = self._validation if self.step % self.batches == 0 else None
        # Before the weights are measured or the run ends, the losses that they came from must be read.
        self._check(numbers, now=validation is not None or self.step == self.total_steps)
        self._seen += len(index)
        self._busy += time.perf_counter() - started
        held_out = None if validation is None else self._end_epoch(validation)
        if self.step == self.total_steps:
            self.close()
        rate = self._seen / self._busy
        return Step(self.epoch, self.step, self.total_steps, beta, lr, rate, numbers, held_out)

    def _learn(self, index: Tensor) -> Tensor:
        """Take one optimizer step on the images of `index`; return its summary."""
        drawn = self._draw(self._images, self._labels, index, self._noise)
        terms = self._objective(*drawn, beta=self._weight_of_kl)
        if self._settings.free_bits:
            mean = terms.kl.detach().sum(0) / len(index)
            self._group.all_reduce([mean])
            cost = floor_kl(terms.kl, self._settings.free_bits, mean).sum(1)
            terms = terms._replace(total=terms.reconstruction - self._weight_of_kl * cost)
        self._optimizer.zero_grad(set_to_none=True)
        (-terms.total.sum() / len(index)).backward()
        numbers = summarise(terms, len(index))
        self._group.all_reduce([*(weight.grad for weight in self._weights), numbers])
        self._optimizer.step()
        likelihood = self.model.likelihood
        if isinstance(likelihood, Gaussian) and likelihood.optimal:
            likelihood.update_sigma(numbers[1], math.prod(self.model.image_shape))
        return numbers

    def _draw(
        self, images: Tensor, labels: Tensor | None, index: Tensor, noise: torch.Generator
    ) -> tuple[VAE | Autoencoder | Labelled, Tensor, Tensor | None]:
        """Return the model for these labels, the images and their noise; None for an autoencoder.

        The noise is drawn for the whole batch, so that several processes use the noise that one would.
        """
        rows = self._group.shard(index)
        x, model = images[rows], with_labels(self.model, None if labels is None else labels[rows])
        options: dict[str, Any] = {"generator": noise, "device": x.device, "dtype": x.dtype}
        if self._settings.binarize:
            uniform = torch.rand(len(index), *x.shape[1:], **options)
            x = binarize(x, uniform=self._group.shard(uniform))
        if isinstance(self.model, Autoencoder):
            return model, x, None
        samples = () if self._settings.iwae is None else (self._settings.iwae,)
        epsilon = torch.randn(*samples, len(index), self.model.latent_dim, **options)
        return model, x, self._group.shard(epsilon, dim=len(samples))

    def _objective(
        self,
        model: VAE | Autoencoder | Labelled,
        x: Tensor,
        epsilon: Tensor | None,
        beta: float | Tensor,
    ) -> Elbo:
        low = self._settings.precision == "bfloat16"
        with torch.autocast(self._device.type, dtype=torch.bfloat16) if low else nullcontext():
            if epsilon is None:
                return autoencoding(cast(Autoencoder, model), x)
            variational = cast(VAE | Labelled, model)
            if self._settings.iwae is not None:
                return importance_weighted(variational, x, self._settings.iwae, epsilon=epsilon)
            return elbo(variational, x, beta=beta, epsilon=epsilon)

    # -- around a step

    def _run(self, index: Tensor) -> Tensor:
        if not self._graphed or len(index) < self._settings.batch_size:
            return self._learn(index)
        if self._replay is None:
            from .cuda_graph import CUDAGraphStep  # only needed with a GPU

            before = {name: tensor.clone() for name, tensor in self._tensors().items()}
            noise = self._noise.get_state()
            self._replay = CUDAGraphStep(self._learn, index, self._noise)
            self._put_back(before, noise)
        return self._replay(index)

    def _apply_schedules(self) -> tuple[float, float]:
        warm = self._settings.kl_warmup * self.batches
        beta = self._beta * min(1.0, (self.step + 1) / warm) if warm else self._beta
        lr = self._lr
        if self._settings.schedule == "cosine":
            lr *= 0.5 * (1 + math.cos(math.pi * self.step / self.total_steps))
        if (beta, lr) != self._applied:
            self._applied = beta, lr
            self._weight_of_kl.fill_(beta)
            set_learning_rate(self._optimizer, lr)
        return beta, lr

    def _end_epoch(self, validation: Tensor) -> LossTerms:
        with eval_mode(self.model):
            held_out = LossTerms.read(self._measure(validation, self._validation_labels))
        self._early_stopping.update(held_out.loss)
        if self._early_stopping.exhausted:
            self.close()
        return held_out

    def _measure(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Compute the means of the held-out terms, with the same noise at every call."""
        noise = torch.Generator(self._device).manual_seed(self._settings.seed)
        parts = []
        # At most 1,000 decoded images at a time, whatever the number of samples of each.
        size = max(1, 1000 // (self._settings.iwae or 1))
        for index in torch.arange(len(images), device=self._device).split(size):
            terms = self._objective(*self._draw(images, labels, index, noise), beta=1.0)
            parts.append(summarise(terms, len(images)))
        total = torch.stack(parts).sum(0)
        self._group.all_reduce([total])
        return total

    def _check(self, numbers: Tensor | None = None, now: bool = False) -> None:
        bad = self._guard.check(self.step, numbers, now=now)
        if bad is None:
            return
        at, term, loss = bad
        self.finished = True
        kept = self._guard.rollback(at)
        beta = self._beta if self.model.has_prior else 0.0
        cause = explain(
            at, self.model.likelihood, self._images, self._guard.began,
            lr=self._lr, weight_decay=self._settings.weight_decay, beta=beta,
        )  # fmt: skip
        raise Diverged(
            f"the loss became {loss} at step {at:,} of {self.total_steps:,}: the {term} is no finite number. "
            f"{cause} The model has the weights it had after step {kept:,}.",
            at,
            term,
        )

    # -- steering

    @property
    def beta(self) -> float:
        """Weight of the KL, as set; the warm-up scales it."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        if self._settings.iwae is not None:
            raise ValueError("the importance-weighted bound has no beta: its KL is not a term apart.")
        check_nonnegative("beta", value)
        self._beta = float(value)

    @property
    def lr(self) -> float:
        """Learning rate, as set; the schedule scales it."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        check_nonnegative("lr", value)
        self._lr = float(value)

    @property
    def epoch(self) -> int:
        """The epoch of the last step, from 1; 0 before the first."""
        return math.ceil(self.step / self.batches)

    @property
    def best_epoch(self) -> int | None:
        """The epoch with the smallest held-out loss, whose weights a `patience` keeps. None before any."""
        return self.step // self.batches - self._early_stopping.stale if self._early_stopping.known else None

    def reseed(self, seed: int) -> None:
        """Draw the noise of the next steps from another seed; the order of the images stays.

        Raises
        ------
        ValueError
            `seed` is no whole number from 0 up.
        """
        check_seed(seed)
        self._noise.manual_seed(seed)

    def close(self) -> None:
        """End the run: the model keeps its weights, or with a `patience` gets those of its best epoch.

        Raises
        ------
        Diverged
            On a GPU, where many losses are read together: one that was not read yet is not finite.
        """
        if self.finished:
            return
        self._check(now=True)
        self.finished = True
        self._early_stopping.restore_best()

    def state(self) -> Snapshot:
        """Copy all that the next step depends on, to the processor's memory.

        With a `patience`, call it before `close`, which changes the weights.
        """
        live = self._live_state()
        copies = {name: tensor.to("cpu", copy=True) for name, tensor in live.tensors.items()}
        return live._replace(tensors=copies)

    def restore(self, snapshot: Snapshot) -> None:
        """Go to a `state` of this run, or of one with the same arguments: the steps after it repeat exactly.

        Of the arguments, `lr` and `beta` may differ: the snapshot holds their values.

        Raises
        ------
        ValueError
            It does not fit this model and these arguments; nothing is changed then.
        """
        self._live_state().check(snapshot, self.total_steps)
        tensors, numbers = snapshot.tensors, snapshot.numbers
        for name, device in (("order", "cpu"), ("noise", self._noise.device)):
            try:
                torch.Generator(device).set_state(tensors[name])
            except RuntimeError as error:
                raise ValueError(f"{name} is no state of a random generator: {error}") from error
        self._put_back(tensors, tensors["noise"])
        self._order.restore(tensors["order"])
        self.step, self._seen, self._busy = int(numbers["step"]), int(numbers["seen"]), numbers["busy"]
        self._beta, self._lr = numbers["beta"], numbers["lr"]
        self._early_stopping.loss, self._early_stopping.stale = numbers["best_loss"], int(numbers["stale"])
        self._guard.forget()
        self.finished = self._early_stopping.exhausted or self.step == self.total_steps

    def _live_state(self) -> Snapshot:
        """Return what `state` copies: the tensors themselves, which training changes."""
        numbers = {
            "step": self.step, "seen": self._seen, "busy": self._busy, "beta": self._beta, "lr": self._lr,
            "best_loss": self._early_stopping.loss, "stale": self._early_stopping.stale,
        }  # fmt: skip
        generators = {"order": self._order.state(self.step), "noise": self._noise.get_state()}
        asked = {name: value for name, value in vars(self._settings).items() if name not in ("beta", "lr")}
        asked["images"] = len(self._images)
        asked["validation"] = None if self._validation is None else len(self._validation)
        return Snapshot(self._tensors() | generators, numbers, asked)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"model.{name}": tensor for name, tensor in self._model_state.items()}
        for i, weight in enumerate(self._weights):
            tensors |= {f"adam.{i}.{name}": t for name, t in self._optimizer.state[weight].items()}
        return tensors | {f"best.{name}": tensor for name, tensor in self._early_stopping.tensors.items()}

    def _put_back(self, tensors: dict[str, Tensor], noise: Tensor) -> None:
        # In place: panels, a recorded graph and the optimizer hold references to these tensors.
        copy_into(self._tensors(), tensors)
        self._noise.set_state(noise)
