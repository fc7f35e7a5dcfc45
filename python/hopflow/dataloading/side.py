"""A CUDA stream beside the consumer's, on which batches are prepared while it trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class SideStream:
    """Work that runs beside the consumer's stream until it is handed over.

    On another device than CUDA there is one order of work, and this does nothing.

    Parameters
    ----------
    device : torch.device
        Where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        if device.type == "cuda":
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # What the consumer has under way may still write the graph and its columns.
            self._stream.wait_stream(torch.cuda.current_stream(device))

    @contextmanager
    def use(self) -> Iterator[None]:
        """Kernels and copies started inside run on the side stream."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield

    def consumer(self) -> torch.cuda.Stream | None:
        """The stream that is current for the caller, outside of :meth:`use`."""
        return None if self._stream is None else torch.cuda.current_stream(self._device)

    def wait_for(self, consumer: torch.cuda.Stream | None) -> None:
        """Let the side stream wait for all that the consumer has under way."""
        if self._stream is not None and consumer is not None:
            self._stream.wait_stream(consumer)

    def mark(self) -> torch.cuda.Event | None:
        """The end of the work started so far."""
        if self._stream is None:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(self._stream)
        return event

    def hand_over(self, tensors: Iterable[Tensor], done: torch.cuda.Event | None) -> None:
        """Let the consumer's current stream wait for ``done`` and use the tensors from then on."""
        if done is None:
            return
        stream = torch.cuda.current_stream(self._device)
        stream.wait_event(done)
        for x in tensors:
            if x.device.type == "cuda":
                # Their memory is the side stream's; it must not be reused before this stream is
                # through with them.
                x.record_stream(stream)
