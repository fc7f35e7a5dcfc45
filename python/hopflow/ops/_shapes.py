"""Small helpers that every operator needs: id dtypes and feature shapes."""

from __future__ import annotations

import math
import operator

import torch
from torch import Tensor

from hopflow.ops._transforms import is_compiling

INT32_MAX = 2**31 - 1
# Far past any machine's memory: an id like 2**50 is a mistake, not a graph.
MOST_NODES = 2**38
_ID_DTYPES = (torch.int32, torch.int64)
_INT64 = torch.iinfo(torch.int64)
_FLOAT_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = frozenset({torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool})
"""Dtypes of features that are reduced exactly; without a gradient."""


def id_dtype(count: int) -> torch.dtype:
    """The narrowest dtype that numbers ``count`` things: int32 where they fit, else int64."""
    return torch.int32 if count <= INT32_MAX else torch.int64


def accumulator_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums of ``dtype`` are kept: float32, or float64 for float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def require_tensor(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a tensor, else raise a TypeError that names the operand."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    return value


def require_ids(name: str, value: object) -> Tensor:
    """Return ``value`` as a contiguous 1-D int32 or int64 tensor, or raise naming the operand."""
    ids = require_tensor(name, value)
    if ids.dtype not in _ID_DTYPES:
        raise TypeError(f"{name}: expected int32 or int64 ids, got {dtype_name(ids.dtype)}")
    if ids.dim() != 1:
        raise ValueError(f"{name}: expected 1 dimension, got shape {list(ids.shape)}")
    return ids.contiguous()


def require_features(name: str, value: object) -> Tensor:
    """Return ``value`` if it is a float tensor of at least one dimension, or raise naming it."""
    x = require_tensor(name, value)
    if x.dtype not in _FLOAT_DTYPES:
        raise TypeError(
            f"{name}: expected float32, float64, float16 or bfloat16, got {dtype_name(x.dtype)}"
        )
    if x.dim() == 0:
        raise ValueError(f"{name}: expected at least 1 dimension, got a scalar")
    return x


def require_numbers(name: str, value: object) -> Tensor:
    """:func:`require_features`, or a tensor of integers or booleans."""
    if isinstance(value, Tensor) and value.dtype in INTEGERS:
        if value.dim() == 0:
            raise ValueError(f"{name}: expected at least 1 dimension, got a scalar")
        return value
    if isinstance(value, Tensor) and value.dtype not in _FLOAT_DTYPES:
        raise TypeError(
            f"{name}: expected float32, float64, float16, bfloat16, bool, uint8, int8, int16, int32"
            f" or int64, got {dtype_name(value.dtype)}"
        )
    return require_features(name, value)


def promoted(op: str, lhs: Tensor, rhs: Tensor) -> tuple[Tensor, Tensor]:
    """Operands of a message in one dtype where one of them is of integers, as torch promotes them.

    Two of integers stay integers, but for a quotient. A dot product is one of int64.
    """
    if lhs.dtype not in INTEGERS and rhs.dtype not in INTEGERS:
        return lhs, rhs
    dtype = torch.promote_types(lhs.dtype, rhs.dtype)
    if dtype in INTEGERS:
        if op == "div":
            dtype = torch.get_default_dtype()
        elif op == "dot":
            dtype = torch.int64
        elif op == "sub" and dtype == torch.bool:
            raise TypeError("sub: expected numbers, got two operands of bool")
    return lhs.to(dtype), rhs.to(dtype)


def require_same_device(name: str, x: Tensor, other_name: str, other: Tensor) -> None:
    """Raise a ValueError unless both tensors live on one device."""
    if x.device != other.device:
        raise ValueError(
            f"{name} is on {x.device}, {other_name} on {other.device}; expected one device"
        )


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).replace("torch.", "")


def dense_rows(x: Tensor) -> Tensor:
    """``x`` with each row contiguous; rows may still lie apart, as in a slice of columns."""
    if x.is_contiguous() or x.numel() == 0:
        return x
    expected = 1
    for size, stride in zip(reversed(x.shape[1:]), reversed(x.stride()[1:]), strict=False):
        if size != 1 and stride != expected:
            return x.contiguous()
        expected *= size
    # Rows that overlap or share memory (expanded tensors) are readable as they are.
    return x


def as_heads(x: Tensor, num_heads: int = 1) -> Tensor:
    """View features [N, ...] as [N, num_heads, width]."""
    if num_heads == 1 and x.dim() == 2:
        return x.unsqueeze(1)
    width = 1
    for size in x.shape[1:]:
        width *= size
    return x.reshape(x.shape[0], num_heads, width // max(num_heads, 1))


def in_shape(out: Tensor, *shape: int) -> Tensor:
    """A kernel's result in the shape that the caller expects.

    Without autograd it is no view, for torch refuses to add what needs a gradient to a view made
    under ``no_grad``. With autograd it is one: a change in place then counts as a change of what
    the backward pass has saved, and that pass refuses to go on instead of using wrong values.
    """
    if torch.is_grad_enabled() or is_compiling():
        return out.view(shape)
    return torch.ops.aten._unsafe_view.default(out, shape)  # type: ignore[no-any-return]


def as_dtype_of(name: str, ids: Tensor | None, indices: Tensor) -> Tensor | None:
    """Edge ids in the dtype of ``indices``; an id that it cannot hold is an IndexError."""
    if ids is None or ids.dtype == indices.dtype:
        return ids
    if indices.dtype == torch.int32 and not is_compiling():
        # Cut to 32 bits a wrong id could look right. None that is right is that large.
        num_edges = indices.shape[0]
        wrong = (ids < 0) | (ids >= num_edges)
        if bool(wrong.any()):
            at = int(wrong.nonzero()[0])
            raise IndexError(
                f"{name}[{at}] is {int(ids[at])}, expected 0 <= id < {num_edges} (number of edges)"
            )
    return ids.to(indices.dtype)


def as_columns(x: Tensor) -> Tensor:
    """Rows [N, ...] as [N, the product of the rest]."""
    # Not flatten(1), for which torch has no rule where gradients come in batches.
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))


def beside_eids(indices: Tensor, eids: Tensor | None) -> Tensor:
    """``indices`` in a dtype that can hold the edge ids too, as kernels that read both want it.

    Of a graph with more edges than int32 can number, this makes a copy of them.
    """
    return indices if eids is None or id_dtype(eids.shape[0]) == torch.int32 else indices.long()


def optional_ids(name: str, value: Tensor | None) -> Tensor | None:
    """``require_ids`` for an operand that may be None."""
    return None if value is None else require_ids(name, value)


def as_int(name: str, value: object) -> int:
    """Return an int given as a Python int, a numpy integer or a one-element integer tensor.

    Raises
    ------
    TypeError
        Not an integer; names the operand.
    ValueError
        An integer that 64 bits with a sign do not hold, which no size or count is; see
        :func:`as_wide_int` for keys.
    """
    number = as_wide_int(name, value)
    if not is_compiling() and not _INT64.min <= number <= _INT64.max:
        raise ValueError(f"{name}: expected a number that int64 holds, got {number}")
    return number


def as_int32(name: str, value: object) -> int:
    """As :func:`as_int`, for what is counted in 32 bits: threads."""
    number = as_int(name, value)
    if not -INT32_MAX <= number <= INT32_MAX:
        raise ValueError(f"{name}: expected a number that int32 holds, got {number}")
    return number


def as_wide_int(name: str, value: object) -> int:
    """As :func:`as_int`, of any size: a seed or key, of which 64 bits are taken."""
    # A compiler's would be fixed as a number; while it traces Python code it calls its own ints.
    if isinstance(value, torch.SymInt) or type(value) is int:
        return value  # type: ignore[return-value]
    if not isinstance(value, bool):
        try:
            return operator.index(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError):
            pass
    raise TypeError(f"{name}: expected an int, got {type(value).__name__}")


def as_float(name: str, value: object) -> float:
    """Return a float given as a Python or numpy number or a one-element tensor; it may be NaN.

    Raises
    ------
    TypeError, ValueError
        Not a number, or an int that float64 does not hold; names the operand.
    """
    if not isinstance(value, (bool, str, bytes)):
        try:
            return float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError):
            pass
        except OverflowError:
            raise ValueError(f"{name}: expected a number that float64 holds") from None
    raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
