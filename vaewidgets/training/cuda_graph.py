"""One CUDA graph for a whole training step: small batches would else wait for Python to launch kernels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: Steps before the recording, as CUDA graphs ask for: lazy initialisations must be over by then.
_WARM_UP = 3


class CUDAGraphStep:
    """A step recorded once and replayed for every later batch of the same size.

    Parameters
    ----------
    step : callable
        Takes a batch's indices and returns a tensor; all else that it reads must stay where it is.
    index : Tensor of shape (B,), int64
        The first batch, on the device.
    generator : torch.Generator
        Its random numbers go on from replay to replay.

    Notes
    -----
    Recording runs `step` a few times: the caller puts back what that changed.
    """

    def __init__(self, step: Callable[[Tensor], Tensor], index: Tensor, generator: torch.Generator) -> None:
        self._index = index.clone()
        # Without a stream of its own, torch would record on the current device, which may be another one.
        with torch.cuda.device(index.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(_WARM_UP):
                    step(self._index)
            torch.cuda.current_stream().wait_stream(side)
            self._graph = torch.cuda.CUDAGraph()
            self._graph.register_generator_state(generator)
            # Other threads may use the GPU meanwhile: a page that decodes must not break the recording.
            with torch.cuda.graph(self._graph, stream=side, capture_error_mode="thread_local"):
                self._result = step(self._index)

    def __call__(self, index: Tensor) -> Tensor:
        """Run the step on `index`; what it returns is the caller's to keep."""
        self._index.copy_(index)
        self._graph.replay()
        return self._result.clone()
