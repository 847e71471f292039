"""One CUDA graph for a whole training step: with small batches the GPU would wait for Python otherwise."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


class CUDAGraphStep:
    """A step recorded once and replayed for every later batch of the same size.

    Parameters
    ----------
    step : callable
        Takes a batch's indices and returns a tensor; all other tensors that it reads must stay in place.
    index : Tensor of shape (B,), int64
        The first batch, on the device.
    generator : torch.Generator
        Each replay draws its next random numbers.

    Notes
    -----
    Recording runs `step` a few times. The caller restores what that changed.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], index: Tensor, generator: torch.Generator) -> None:
        self._index = index.clone()
        # Without a stream of this device, torch would record on the current device, which may be another one.
        with torch.cuda.device(index.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                # CUDA graphs need all lazy initialisation to be done before the recording.
                for _ in range(3):
                    step(self._index)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(generator)
            # Other threads may use the GPU meanwhile: a panel that decodes must not break the recording.
            with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                self._result = step(self._index)

    def __call__(self, index: Tensor) -> Tensor:
        """Run the step on `index`, of shape (B,); return a copy of its result."""
        self._index.copy_(index)
        self._graph.replay()
        return self._result.clone()
