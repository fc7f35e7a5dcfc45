"""Where operands are, and checks of index arrays on CUDA.

On the CPU the native kernels check every index array themselves, each time: it costs little. On
CUDA a check makes the host wait for the device, so it is made once for each array. What hopflow
made itself (sampled blocks, transposes) is right by construction and marked as such.
"""

from __future__ import annotations

from torch import Tensor

import hopflow._native as _native

_MARK = "_hopflow_checked"


def on_cuda(x: Tensor) -> bool:
    """Whether the CUDA kernels serve this tensor."""
    return x.device.type == _native.cuda_device_type


def _state(x: Tensor) -> tuple[int, int, int] | None:
    # A copy, or a tensor from a file, has the attribute but is another tensor. Tensors made under
    # inference_mode do not count their changes; nobody changes an index array.
    try:
        return id(x), x.data_ptr(), -1 if x.is_inference() else x._version
    except RuntimeError:  # a compiler's stand-in, without data
        return None


def _known(x: Tensor) -> dict[str, int]:
    """What is remembered of ``x`` as it is now."""
    state, known = getattr(x, _MARK, (None, {}))
    return known if state is not None and state == _state(x) else {}


def mark(x: Tensor, what: str, bound: int) -> Tensor:
    """Remember, on CUDA, that ``x`` as it is now is an index array of this kind; returns it.

    ``what`` is "ids" (each in [0, bound)), "permutation" (of [0, bound)) or "indptr" (rises from 0
    to bound).
    """
    if on_cuda(x) and (state := _state(x)) is not None:
        setattr(x, _MARK, (state, {**_known(x), what: bound}))
    return x


def mark_ids(ids: Tensor, bound: int) -> Tensor:
    """:func:`mark` ids that are in [0, ``bound``) by construction."""
    return mark(ids, "ids", bound)


def first_ids(ids: Tensor, count: int) -> Tensor:
    """The first ids, right if all are."""
    first = ids[:count]
    known = _known(ids) if on_cuda(ids) else {}
    return mark(first, "ids", known["ids"]) if "ids" in known else first


def mark_csc(indptr: Tensor, indices: Tensor, eids: Tensor | None, num_src: int) -> None:
    """:func:`mark` the arrays of a CSC that is right by construction."""
    num_edges = indices.shape[0]
    mark(indptr, "indptr", num_edges)
    mark(indices, "ids", num_src)
    if eids is not None:
        mark(mark(eids, "permutation", num_edges), "ids", num_edges)


# On the CPU the kernels check their index arrays, so that these need not, unless ``everywhere``.


def check_ids(
    name: str, ids: Tensor, bound: int, bound_name: str, *, everywhere: bool = False
) -> None:
    """Raise an IndexError unless every id is in [0, ``bound``)."""
    if on_cuda(ids):
        if _known(ids).get("ids", bound + 1) <= bound:
            return
    elif not everywhere:
        return
    _native.check_ids(ids, name, bound, bound_name)
    mark(ids, "ids", bound)


def check_permutation(name: str, ids: Tensor | None, *, everywhere: bool = False) -> None:
    """Raise unless every id of [0, len) is there once."""
    if ids is None:
        return
    if on_cuda(ids):
        if _known(ids).get("permutation") == ids.shape[0]:
            return
    elif not everywhere:
        return
    _native.check_permutation(ids, name)
    mark(mark(ids, "permutation", ids.shape[0]), "ids", ids.shape[0])


def check_indptr(name: str, indptr: Tensor, num_edges: int, *, everywhere: bool = False) -> None:
    """Raise a ValueError unless it rises from 0 to ``num_edges``."""
    if on_cuda(indptr):
        if _known(indptr).get("indptr") == num_edges:
            return
    elif not everywhere:
        return
    _native.check_indptr(indptr, name, num_edges)
    mark(indptr, "indptr", num_edges)


def check_edges(
    indptr: Tensor,
    indices: Tensor,
    eids: Tensor | None,
    num_src: int | None,
    *,
    everywhere: bool = False,
) -> None:
    """Check the arrays of a CSC; its sources where their number is given."""
    check_indptr("indptr", indptr, indices.shape[0], everywhere=everywhere)
    check_permutation("eids", eids, everywhere=everywhere)
    if num_src is not None:
        check_ids("indices", indices, num_src, "source nodes", everywhere=everywhere)
