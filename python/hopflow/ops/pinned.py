"""Host memory that the GPU reads in place (page-locked, "pinned"), and rows of it on the GPU."""

from __future__ import annotations

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

import hopflow._native as _native
from hopflow.ops._place import check_ids
from hopflow.ops._shapes import dense_rows, require_ids, require_tensor

_PAGE = 4096
# Larger allocations have pages of their own: glibc's malloc maps them one by one.
_LEAST_MAPPED = 1 << 25


class Pin:
    """Keeps host memory page-locked; made by :func:`pin_memory`.

    The memory stays alive as long as this does, and is unlocked with it: after all kernels that may
    read it, and not before the last of several pins of the same memory.
    """

    def __init__(self, x: Tensor) -> None:
        lock = _native.pin_memory(x.data_ptr(), _span(x))
        # The finalizer holds the storage: it is unlocked before it can be freed.
        weakref.finalize(self, _unpin, lock, x.untyped_storage())


def _unpin(lock: int, storage: torch.UntypedStorage) -> None:
    _native.unpin_memory(lock)


def _span(x: Tensor) -> int:
    """Bytes from the first element to the last, gaps included."""
    last = sum((size - 1) * stride for size, stride in zip(x.shape, x.stride()))
    return (last + 1) * x.element_size()


def _is_mapped_file(x: Tensor) -> bool:
    """Whether the memory is a file's or cannot be written: drivers lock no such pages."""
    try:
        with open("/proc/self/maps") as maps:
            lines = maps.readlines()
    except OSError:  # not Linux
        return False
    for line in lines:
        extent, access, _, _, _, *path = line.split(maxsplit=5)
        begin, end = (int(at, 16) for at in extent.split("-"))
        if begin <= x.data_ptr() < end:
            shared = ("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV")
            is_file = bool(path) and path[0].startswith("/") and not path[0].startswith(shared)
            return is_file or "w" not in access
    return False


def _give_own_pages(x: Tensor) -> None:
    """Move a tensor to memory whose pages hold nothing else."""
    num_bytes = x.numel() * x.element_size()
    room = torch.empty(-num_bytes % _PAGE + num_bytes + _PAGE, dtype=torch.uint8, device="cpu")
    begin = -room.data_ptr() % _PAGE
    moved = room[begin : begin + num_bytes].view(x.dtype).view(x.shape)
    # The tensor itself goes there, so that whoever holds it still sees what others write.
    x.data = moved.copy_(x.detach())


def is_pinned(x: Tensor) -> bool:
    """Whether CUDA kernels can read this CPU tensor in place."""
    return x.device.type == "cpu" and x.numel() > 0 and _native.is_pinned(x.data_ptr(), _span(x))


def pin_memory(x: Tensor) -> Pin | None:
    """Page-lock a CPU tensor's memory, for the GPU to read it in place.

    Memory is locked by the page, and what shares a page with locked memory cannot be copied safely
    any more. So a tensor of less than 32 MiB, which may share its pages with others, is moved to
    pages of its own: ``x`` itself then lives there; views of it that were made before keep the old
    memory. So is a file mapped into memory, whose pages cannot be locked. Other tensors stay where
    they are.

    Parameters
    ----------
    x : Tensor
        Any CPU tensor.

    Returns
    -------
    Pin or None
        Keep it as long as the memory is to stay locked; None where there is nothing to lock. Memory
        that somebody else has locked (``Tensor.pin_memory``) stays so as long as they keep it.

    Raises
    ------
    HopflowError
        No CUDA, the system does not lock so much memory, or a part of it is locked already.
    """
    if require_tensor("x", x).numel() == 0:
        return None
    if is_pinned(x):
        # Either a lock of ours, which one more pin then holds, or somebody else's.
        return Pin(x)
    if x.untyped_storage().nbytes() < _LEAST_MAPPED or _is_mapped_file(x):
        _give_own_pages(x)
    return Pin(x)


class RowCache:
    """Copies of the most-read rows of a tensor in host memory, kept on the GPU.

    Parameters
    ----------
    x : Tensor
        Shape [N, ...], in pinned host memory, or on the same device.
    ids : Tensor
        Rows to keep, shape [C], distinct.
    device : torch.device
        Where to keep them: 4 bytes for each of the N rows, and the C rows.

    Raises
    ------
    IndexError, TypeError, ValueError
        Ids that are no rows of ``x``.
    HopflowError
        ``x`` is in host memory that is not pinned.
    """

    def __init__(self, x: Tensor, ids: Tensor, device: torch.device) -> None:
        ids = require_ids("ids", ids).to(device)
        check_ids("ids", ids, x.shape[0], "rows of x")
        self._x = dense_rows(x)
        self._slots = torch.full((x.shape[0],), -1, dtype=torch.int32, device=device)
        self._slots[ids.long()] = torch.arange(ids.shape[0], dtype=torch.int32, device=device)
        self._rows = torch.empty((ids.shape[0], *x.shape[1:]), dtype=x.dtype, device=device)
        _native.gather_rows(self._x, ids, self._rows)
        self._num_hits = torch.zeros(1, dtype=torch.int64, device=device)
        self._num_read = 0

    @property
    def source(self) -> Tensor:
        """The tensor whose rows these are."""
        return self._x

    @property
    def num_rows(self) -> int:
        """Rows kept."""
        return self._rows.shape[0]

    def gather(self, ids: Tensor) -> Tensor:
        """:func:`hopflow.ops.gather_rows` of the tensor, from the cache where it has the row."""
        ids = require_ids("ids", ids)
        check_ids("ids", ids, self._x.shape[0], "rows of x")
        out = torch.empty(
            (ids.shape[0], *self._x.shape[1:]), dtype=self._x.dtype, device=ids.device
        )
        _native.gather_cached_rows(self._x, ids, self._rows, self._slots, self._num_hits, out)
        self._num_read += ids.shape[0]
        return out

    def hit_rate(self) -> float:
        """Rows found in the cache per row read so far; waits for the device. NaN before any."""
        if self._num_read == 0:
            return float("nan")
        if self._rows.device.type == "cuda":
            torch.cuda.synchronize(self._rows.device)  # gathers may be under way on any stream
        return int(self._num_hits) / self._num_read


# Below this the allocator's own error says enough, and asking the driver costs more than the copy.
_LEAST_CHECKED = 1 << 26


def require_fit(what: str, tensors: Sequence[Tensor], device: torch.device) -> None:
    """Raise a HopflowError with sizes if copies of these do not fit a CUDA device's free memory."""
    if device.type != "cuda":
        return
    wanted = sum(x.numel() * x.element_size() for x in tensors if x.device != device)
    if wanted < _LEAST_CHECKED:
        return
    free, total = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if wanted > free:
        gib = 2**30
        raise _native.HopflowError(
            f"{what} needs {wanted / gib:.1f} GiB on {device}, of whose {total / gib:.1f} GiB"
            f" {free / gib:.1f} GiB are free; keep it in pinned host memory (pin_memory_(), and"
            " use_uva=True in the DataLoader)"
        )
