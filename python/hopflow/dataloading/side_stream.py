"""A CUDA stream beside the consumer's, on which batches are prepared while it trains."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Streams that no epoch uses now. torch's allocator keeps what was freed for the stream that it was
# allocated on, so that every new stream would begin with memory of its own.
_free: defaultdict[torch.device, list[torch.cuda.Stream]] = defaultdict(list)


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
            device = torch.device("cuda", torch.cuda.current_stream(device).device_index)
            try:
                self._stream = _free[device].pop()
            except IndexError:
                self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            weakref.finalize(self, _free[device].append, self._stream)
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

    def join(self) -> None:
        """Let the consumer's current stream wait for all that is under way here.

        What the side stream reads may then be freed: the allocator reuses memory in the order of
        the stream that it was allocated on.
        """
        if self._stream is not None:
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

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
