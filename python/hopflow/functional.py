"""Message passing on tensors, with the graph as the first argument: the names of ``dgl.ops``.

``gspmm`` and ``gsddmm`` combine and reduce; every pair of them has a name of its own, such as
``u_mul_e_sum(g, x, y)`` or ``u_add_v(g, x, y)``. No column of the graph is read or written.

>>> import hopflow.functional as HF
>>> HF.copy_u_mean(graph, x)  # doctest: +SKIP
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.function import BINARY_OPS, TARGETS, MessageFunction, ReduceFunction
from hopflow.graphs.graph import Graph
from hopflow.messages import built_in
from hopflow.messages.segments import gather_mm, segment_mm, segment_reduce, segment_softmax
from hopflow.structure.ids import as_edge_ids
from hopflow.structure.types import ALL, is_all

_COPIES = ("copy_lhs", "copy_rhs")


def gspmm(
    g: Graph, op: str, reduce_op: str, lhs_data: Tensor | None, rhs_data: Tensor | None
) -> Tensor:
    """Combine source and edge features into messages and reduce them at the destinations.

    Parameters
    ----------
    g : Graph or Block
        Where messages flow.
    op : {"add", "sub", "mul", "div", "copy_lhs", "copy_rhs"}
        What a message is.
    reduce_op : {"sum", "mean", "max", "min"}
        How a destination combines its messages; 0 where there are none (DGL's function of this
        name gives infinity for max and min).
    lhs_data : Tensor or None
        Source features, shape [U, ...]; None for "copy_rhs".
    rhs_data : Tensor or None
        Edge features in the order of edge ids, shape [E, ...]; None for "copy_lhs".

    Returns
    -------
    Tensor
        Shape [V, ...]. Differentiable in both operands; of integers and booleans exact, with the
        dtypes of :func:`hopflow.ops.spmm`.

    Raises
    ------
    ValueError, TypeError
        An unknown operation, or operands that do not fit the graph or each other.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.gspmm.html
    """
    if reduce_op not in ops.REDUCERS:
        raise ValueError(f"reduce_op: expected {', '.join(ops.REDUCERS)}, got {reduce_op!r}")
    if op not in (*_COPIES, "add", "sub", "mul", "div"):
        raise ValueError(f"op: expected add, sub, mul, div, copy_lhs or copy_rhs, got {op!r}")
    function, data = _operands(g, op, lhs_data, rhs_data, "u", "e")
    return built_in.update_all(g.adjacency, data, function, ReduceFunction(reduce_op, "m", "out"))


def gsddmm(
    g: Graph,
    op: str,
    lhs_data: Tensor | None,
    rhs_data: Tensor | None,
    lhs_target: str = "u",
    rhs_target: str = "v",
) -> Tensor:
    """Combine the features of every edge's ends, or its own.

    Parameters
    ----------
    g : Graph or Block
        Where the edges are.
    op : {"add", "sub", "mul", "div", "dot", "copy_lhs", "copy_rhs"}
        How.
    lhs_data, rhs_data : Tensor or None
        Features of sources, destinations or edges; None where a copy does not need them.
    lhs_target, rhs_target : {"u", "v", "e"}
        Whose they are: sources', destinations', edges'.

    Returns
    -------
    Tensor
        Shape [E, ...], in the order of edge ids. Differentiable in both operands.

    Raises
    ------
    ValueError, TypeError
        As :func:`gspmm`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.ops.gsddmm.html
    """
    if op not in (*_COPIES, *BINARY_OPS):
        raise ValueError(f"op: expected {', '.join(BINARY_OPS)}, copy_lhs or copy_rhs, got {op!r}")
    function, data = _operands(g, op, lhs_data, rhs_data, lhs_target, rhs_target)
    return built_in.apply_edges(g.adjacency, data, function)


def _operands(
    g: Graph, op: str, lhs: Tensor | None, rhs: Tensor | None, lhs_target: str, rhs_target: str
) -> tuple[MessageFunction, dict[str, dict[str, Tensor]]]:
    """The message, and the operands where it looks for them; all checked."""
    if not isinstance(g, Graph):
        raise TypeError(f"g: expected a hopflow.Graph, got {type(g).__name__}")
    rows = {
        "u": (g.num_src_nodes(), "sources"),
        "v": (g.num_dst_nodes(), "destinations"),
        "e": (g.num_edges(), "edges"),
    }
    data: dict[str, dict[str, Tensor]] = {target: {} for target in TARGETS}
    used = []
    for name, other, target, value in (
        ("lhs", "copy_rhs", lhs_target, lhs),
        ("rhs", "copy_lhs", rhs_target, rhs),
    ):
        if op == other:
            continue
        if target not in TARGETS:
            raise ValueError(f'{name}_target: expected "u", "v" or "e", got {target!r}')
        name = f"{name}_data"
        if value is None:
            raise ValueError(f"{name}: expected a tensor for {op}, got None")
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
        if value.layout != torch.strided:
            raise TypeError(f"{name}: expected a dense tensor, got {str(value.layout)[6:]}")
        count, whose = rows[target]
        if value.dim() == 0 or value.shape[0] != count:
            raise ValueError(
                f"{name}: expected one row for each of the {count} {whose}, got shape"
                f" {list(value.shape)}"
            )
        if value.device != g.device:
            raise ValueError(f"{name}: expected a tensor on {g.device}, got {value.device}")
        data[target][name] = value
        used.append((target, name))
    if len(used) == 1:
        return MessageFunction("copy", *used[0], None, None, "m"), data
    return MessageFunction(op, *used[0], *used[1], "m"), data


def edge_softmax(graph: Graph, logits: Tensor, eids: Any = ALL, norm_by: str = "dst") -> Tensor:
    """Softmax of edge scores over the in-edges of each destination, each head by itself.

    Parameters
    ----------
    graph : Graph or Block
        Where the edges are.
    logits : Tensor
        Scores in the order of edge ids, or of ``eids``, shape [E, ...].
    eids : optional
        Ids of the edges concerned: the softmax is over them alone. All by default.
    norm_by : {"dst", "src"}
        Whether to normalise over a destination's in-edges or a source's out-edges.

    Returns
    -------
    Tensor
        Shape and dtype of ``logits``.

    Raises
    ------
    IndexError
        An edge that is not there.
    TypeError, ValueError
        Scores that are not one row an edge, or an unknown ``norm_by``.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.functional.edge_softmax.html
    """
    if norm_by not in ("dst", "src"):
        raise ValueError(f'norm_by: expected "dst" or "src", got {norm_by!r}')
    if not isinstance(graph, Graph):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if not isinstance(logits, Tensor):
        raise TypeError(f"logits: expected a torch.Tensor, got {type(logits).__name__}")
    full = graph.adjacency.full()
    num_edges = full.num_edges
    if not is_all(eids):
        ids = as_edge_ids("eids", eids, num_edges, device=graph.device).long()
        ends = full.coo()[norm_by == "dst"][ids]
        num_nodes = full.num_dst if norm_by == "dst" else full.num_src
        # Nobody asks for the other end.
        indptr, _, order = ops.coo_to_csc(ends, ends, num_nodes, num_nodes)
        num_edges = ids.shape[0]
    elif norm_by == "dst":
        indptr, order = full.indptr, full.eids
    else:
        indptr, _, positions = full.transpose()
        order = positions if full.eids is None else full.eids[positions.long()]
    if logits.dim() == 0 or logits.shape[0] != num_edges:
        raise ValueError(
            f"logits: expected one row for each of the {num_edges} edges, got shape"
            f" {list(logits.shape)}"
        )
    return ops.edge_softmax(indptr, logits, eids=order)


def _copy_reduce(target: str, reduce_op: str) -> Callable[[Graph, Tensor], Tensor]:
    def function(g: Graph, x: Tensor) -> Tensor:
        if target == "u":
            return gspmm(g, "copy_lhs", reduce_op, x, None)
        return gspmm(g, "copy_rhs", reduce_op, None, x)

    whose = "the sources'" if target == "u" else "the edges'"
    function.__doc__ = f"The {reduce_op} of {whose} rows at each destination."
    return function


def _spmm(op: str, reduce_op: str) -> Callable[[Graph, Tensor, Tensor], Tensor]:
    def function(g: Graph, x: Tensor, y: Tensor) -> Tensor:
        return gspmm(g, op, reduce_op, x, y)

    function.__doc__ = f"The {reduce_op} at each destination of source rows {op} edge rows."
    return function


# As dgl.copy_u and its kin, these take a type of edges too, where there are several.
def _copy(target: str) -> Callable[..., Tensor]:
    def function(g: Graph, x: Tensor, etype: Any = None) -> Tensor:
        one = g if etype is None else g[etype]
        return gsddmm(one, "copy_lhs", x, None, lhs_target=target)

    function.__doc__ = (
        f"The row of {target} for each edge, of ``etype`` if there are several types."
    )
    return function


def _sddmm(op: str, lhs: str, rhs: str) -> Callable[..., Tensor]:
    def function(g: Graph, x: Tensor, y: Tensor, etype: Any = None) -> Tensor:
        one = g if etype is None else g[etype]
        return gsddmm(one, op, x, y, lhs_target=lhs, rhs_target=rhs)

    function.__doc__ = (
        f"For each edge, of ``etype`` or of all, the row of {lhs} {op} that of {rhs}."
    )
    return function


_GENERATED: dict[str, Callable[..., Tensor]] = {
    **{f"copy_{t}_{r}": _copy_reduce(t, r) for t in ("u", "e") for r in ops.REDUCERS},
    **{f"u_{op}_e_{r}": _spmm(op, r) for op in ("add", "sub", "mul", "div") for r in ops.REDUCERS},
    **{f"copy_{t}": _copy(t) for t in TARGETS},
    **{
        f"{lhs}_{op}_{rhs}": _sddmm(op, lhs, rhs)
        for op in BINARY_OPS
        for lhs in TARGETS
        for rhs in TARGETS
        if lhs != rhs
    },
}
__all__ = ["edge_softmax", "gather_mm", "gsddmm", "gspmm"]
__all__ += ["segment_mm", "segment_reduce", "segment_softmax"]
__all__ += list(_GENERATED)

for _name, _function in _GENERATED.items():
    _function.__name__ = _function.__qualname__ = _name
    setattr(sys.modules[__name__], _name, _function)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Callable[..., Tensor]: ...


# Programs written for DGL look for these in `ops`. hopflow.ops takes tensors only and must not
# import upwards, so the names are put there from here; its own edge_softmax, segment_mm
# and segment_reduce stay what they are.
for _name in __all__:
    if not hasattr(ops, _name):
        setattr(ops, _name, getattr(sys.modules[__name__], _name))
