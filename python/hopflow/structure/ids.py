"""Ids as users give them: tensors, numpy arrays, lists, ranges, boolean masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_ids(
    name: str, value: object, *, dtype: torch.dtype | None = None, shared: bool = False
) -> Tensor:
    """Turn ``value`` into a 1-D int32 or int64 tensor.

    Parameters
    ----------
    name : str
        The operand, for messages.
    value : Tensor, numpy array, sequence of int, range or int
        The ids; an int is one id.
    dtype : torch.dtype, optional
        int32 or int64; by default int32 stays and everything else becomes int64.
    shared : bool
        Take the memory of read-only arrays too (a file mapped into memory) instead of copying it.
        Nobody may write into what is returned.

    Raises
    ------
    TypeError
        Not integers.
    ValueError
        More than one dimension.
    """
    if isinstance(value, (dict, str, bytes)) or value is None:
        raise TypeError(f"{name}: expected ids, got {type(value).__name__}")
    if isinstance(value, Tensor):
        require_dense(name, value)
    try:
        ids = value if isinstance(value, Tensor) else torch.as_tensor(_array(value, shared))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(
            f"{name}: expected integer ids, got {type(value).__name__} ({error})"
        ) from None
    if ids.dim() == 0:
        ids = ids.reshape(1)
    if ids.dim() != 1:
        raise ValueError(f"{name}: expected 1 dimension, got shape {list(ids.shape)}")
    if ids.numel() == 0 and not isinstance(value, (Tensor, np.ndarray)):
        ids = ids.long()  # an empty list has no dtype of its own
    if ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
        raise TypeError(f"{name}: expected integer ids, got {str(ids.dtype).replace('torch.', '')}")
    if ids.dtype not in (torch.int32, torch.int64):
        is_unsigned, ids = ids.dtype == getattr(torch, "uint64", None), ids.long()
        if is_unsigned and bool((ids < 0).any()):
            raise TypeError(f"{name}: expected integer ids, got uint64 (an id does not fit int64)")
    return ids if dtype is None else ids.to(dtype)


class _Writeable:
    """The memory of a read-only array, kept alive, as an array that says it can be written.

    torch has no read-only tensors: it warns of read-only arrays, or refuses them.
    """

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}


def shared_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor over the memory of an array, also of one that is read-only or mapped from a file.

    Nobody may write into it: a mapped file is not writeable, and the process would end.
    """
    if array.flags.writeable or not array.size:
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    return torch.from_numpy(np.asarray(_Writeable(array)))


def _array(value: object, shared: bool) -> Any:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise TypeError("some are masked")
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        if any(type(x) is int for x in array.reshape(-1)[:1000]):
            raise TypeError("not all of them integers that fit int64")
        raise TypeError(f"of dtype {array.dtype}")
    if array.dtype in (np.uint16, np.uint32, np.uint64):  # torch before 2.3 does not know them
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError("an id does not fit int64")
        array = array.astype(np.int64)
    # torch takes native byte order, rising strides and, without a warning, writeable arrays alone.
    if array.dtype.byteorder not in ("=", "|"):
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.aligned or any(stride < 0 for stride in array.strides):
        array = array.copy()
    if not array.flags.writeable:
        array = np.asarray(_Writeable(array)) if shared and array.size else array.copy()
    return array


def require_dense(name: str, value: Tensor) -> None:
    """Raise unless a tensor has ordinary, readable memory."""
    for kind, is_kind in (("nested", value.is_nested), ("quantized", value.is_quantized)):
        if is_kind:
            raise TypeError(f"{name}: expected a dense tensor, got a {kind} one")
    if value.layout != torch.strided:
        layout = str(value.layout).replace("torch.", "")
        raise TypeError(f"{name}: expected a dense tensor, got a sparse one ({layout})")
    if value.device.type == "meta":
        raise ValueError(f"{name}: expected a tensor with data, got one on the meta device")


def as_mask(value: object) -> Tensor | None:
    """``value`` as a tensor of bool if it is a mask, as a tensor, array or list; else None."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(x, bool) for x in value):
        value = np.asarray(value)
    if isinstance(value, np.ndarray) and value.dtype == np.bool_:
        value = torch.from_numpy(np.ascontiguousarray(value))
    return value if isinstance(value, Tensor) and value.dtype == torch.bool else None


def as_node_ids(
    name: str,
    value: object,
    num_nodes: int,
    *,
    dtype: torch.dtype = torch.int64,
    device: torch.device | None = None,
    what: str = "node",
) -> Tensor:
    """:func:`as_ids` for nodes of a graph: takes a boolean mask too, and checks the range.

    They are checked where they are and then moved to ``device``, if one is given. ``what`` they are
    is for messages: :func:`as_edge_ids` are edges.

    Raises
    ------
    IndexError
        An id is negative or not below ``num_nodes``.
    ValueError
        A mask without one element for each node.
    TypeError
        Neither integers nor a mask.
    """
    if isinstance(value, Tensor):
        require_dense(name, value)
    mask = as_mask(value)
    if mask is not None:
        if mask.shape != (num_nodes,):
            raise ValueError(
                f"{name}: expected a mask of {num_nodes} {what}s, got shape {list(mask.shape)}"
            )
        return mask.nonzero().squeeze(1).to(device=device, dtype=dtype)
    ids = as_ids(name, value)
    check_range(name, ids, num_nodes, what=what)
    return ids.to(device=device, dtype=dtype)


def as_edge_ids(name: str, value: object, num_edges: int, *, device: torch.device) -> Tensor:
    """:func:`as_node_ids` for edges: int64 ids, or a mask with one element for each edge."""
    return as_node_ids(name, value, num_edges, device=device, what="edge")


def check_range(name: str, ids: Tensor, num_nodes: int, *, what: str = "node") -> None:
    """Raise an IndexError that names the first id outside [0, ``num_nodes``)."""
    if ids.numel() == 0:
        return
    low, high = torch.aminmax(ids)
    if int(low) >= 0 and int(high) < num_nodes:
        return
    at = int(((ids < 0) | (ids >= num_nodes)).nonzero()[0])
    raise IndexError(
        f"{name}[{at}] is {int(ids[at])}, expected 0 <= id < {num_nodes} (number of {what}s)"
    )
