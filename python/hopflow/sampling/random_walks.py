"""Random walks on graphs: over metapaths, with restarts, and by the law of node2vec."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.edge_pool import EdgePool
from hopflow.sampling.edge_pools import edge_pool, edge_pools
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.ids import as_node_ids, require_dense
from hopflow.structure.types import Relation, told


def random_walk(
    g: GraphBase,
    nodes: Any,
    *,
    metapath: Sequence[Any] | None = None,
    length: int | None = None,
    prob: Any = None,
    restart_prob: Any = None,
    return_eids: bool = False,
) -> Any:
    """Walk along out-edges from every node given, one walk each.

    A step takes one of the out-edges of the node that a walk has come to, uniformly or by weight. A
    walk ends where there is none.

    Parameters
    ----------
    g : Graph
        A graph. Its out-edges are made when first asked for, O(E), and kept.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Where walks begin: nodes of the type that the first edge type leaves. A node given twice
        begins two walks, which are independent.
    metapath : sequence of str or tuple, optional
        The edge type of each step. Each must leave the node type that the one before leads to.
    length : int, optional
        Steps of each walk, in a graph of one node type and one edge type; without effect beside a
        ``metapath``.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, not negative, as in
        :func:`sample_neighbors`. An edge of weight 0 is never taken, and a node with no other
        ends the walk. Types of edges that lack the column are walked uniformly.
    restart_prob : float, Tensor or sequence of float, optional
        Probability, from 0 to 1, that a walk ends before a step: one for all, or one for each step.
    return_eids : bool
        Whether the edges taken are returned too.

    Returns
    -------
    traces : Tensor
        Shape [nodes, steps + 1], dtype ``g.idtype``: the node given, then those that the walk came
        to; -1 from where it ended.
    eids : Tensor
        With ``return_eids``: the edges taken, ids within their type, shape [nodes, steps], likewise
        -1 from where a walk ended.
    types : Tensor
        Number of the type, in ``g.ntypes``, of the nodes in each column of ``traces``; shape
        [steps + 1], dtype ``g.idtype``.

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes that are not in the graph; an edge type that is not there or does not follow the one
        before; neither ``metapath`` nor ``length``; bad weights; no probability, or not one a step.
    KeyError
        A column that the graph lacks.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.random_walk.html

    Notes
    -----
    A draw depends on the key at hand (of the batch, inside a loader), the number of the walk and
    the step; not on threads or on the device.
    """
    g = require_graph(g)
    path = metapath_of(g, metapath, length)
    types = [path[0][0] if path else g.schema.ntypes[0], *(relation[2] for relation in path)]
    ends = _restart_of(restart_prob, len(path))
    ids = as_node_ids("nodes", nodes, g.num_nodes(types[0]), dtype=g.idtype, device=g.device)
    used = list(dict.fromkeys(path))
    pools = edge_pools(g, "out", prob, needed=used).pools
    relations = [walk_edges(pools[relation]) for relation in used]
    traces, eids = ops.random_walk(
        relations, [used.index(relation) for relation in path], ids, key=random.next_key(),
        restart=ends, return_eids=return_eids,
    )  # fmt: skip
    numbers = [g.schema.ntypes.index(ntype) for ntype in types]
    of_columns = torch.tensor(numbers, dtype=g.idtype, device=g.device)
    return (traces, eids, of_columns) if return_eids else (traces, of_columns)


def metapath_of(g: GraphBase, metapath: Any, length: Any = None) -> list[Relation]:
    """The relation of each step of a walk; checked.

    Raises
    ------
    TypeError, ValueError
        As :func:`random_walk`.
    """
    if metapath is None:
        if length is None:
            raise ValueError("metapath, length: expected one of them, got neither")
        if not g.is_homogeneous:
            raise ValueError(
                "metapath: expected the edge type of each step, as there are several node or edge"
                f" types ({told(g.schema.relations)}), got None"
            )
        steps = ops.as_int("length", length)
        if steps < 0:
            raise ValueError(f"length: expected at least 0, got {steps}")
        return [g.schema.relations[0]] * steps
    if isinstance(metapath, str) or not isinstance(metapath, Sequence):
        raise TypeError(
            f"metapath: expected a list of edge types, got {type(metapath).__name__} {metapath!r}"
        )
    if not metapath and not g.is_homogeneous:
        raise ValueError("metapath: expected at least one edge type, got none")
    path: list[Relation] = []
    for step, etype in enumerate(metapath):
        try:
            relation = g.schema.relation(etype)
        except ValueError as error:
            raise ValueError(f"metapath[{step}]: {error}") from None
        if path and relation[0] != path[-1][2]:
            raise ValueError(
                f"metapath[{step}]: expected an edge type that leaves {path[-1][2]!r}, where the"
                f" one before leads, got {relation!r}"
            )
        path.append(relation)
    return path


def _restart_of(value: Any, num_steps: int) -> list[float] | None:
    """A probability for each step, or None; checked."""
    if value is None:
        return None
    if isinstance(value, Tensor):
        require_dense("restart_prob", value)
    if isinstance(value, bool):
        raise TypeError("restart_prob: expected a number or one for each step, got bool")
    try:
        given = torch.as_tensor(value, dtype=torch.float64, device="cpu")
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(
            f"restart_prob: expected a number or one for each step, got {type(value).__name__}"
            f" ({error})"
        ) from None
    if given.dim() > 0 and given.shape != (num_steps,):
        raise ValueError(
            f"restart_prob: expected a number or one for each of the {num_steps} steps, got shape"
            f" {list(given.shape)}"
        )
    ends: list[float] = given.expand(num_steps).tolist()
    for step, end in enumerate(ends if given.dim() else [float(given)]):
        if not 0 <= end <= 1:
            where = f"[{step}]" if given.dim() else ""
            raise ValueError(f"restart_prob{where}: expected a probability, got {end}")
    return ends


def walk_edges(pool: EdgePool) -> ops.WalkEdges:
    """The out-edges of a pool, as walks take them."""
    edges = pool.adjacency
    return ops.WalkEdges(edges.indptr, edges.indices, edges.eids, pool.weights)


def pack_traces(traces: Tensor, types: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Join the traces of :func:`random_walk`, each up to where its walk ended.

    Parameters
    ----------
    traces : Tensor
        Shape [walks, steps + 1]; a trace ends before its first -1.
    types : Tensor
        Number of the type of each column's nodes, shape [steps + 1].

    Returns
    -------
    concat_vids : Tensor
        The nodes of the first trace, then those of the second, and so on; dtype of ``traces``.
    concat_types : Tensor
        Number of the type of each, dtype of ``types``.
    lengths : Tensor
        Nodes of each trace, int64, shape [walks].
    offsets : Tensor
        Where each trace begins in ``concat_vids``, int64, shape [walks].

    Raises
    ------
    TypeError, ValueError
        No tensors of integers of these shapes.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.pack_traces.html
    """
    for name, value, dims in (("traces", traces, 2), ("types", types, 1)):
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
        if value.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"{name}: expected int32 or int64, got {value.dtype}")
        if value.dim() != dims:
            raise ValueError(
                f"{name}: expected {dims} dimension{'s' if dims > 1 else ''}, got shape"
                f" {list(value.shape)}"
            )
    if types.shape[0] != traces.shape[1]:
        raise ValueError(
            f"types: expected one for each of the {traces.shape[1]} columns of traces, got"
            f" {types.shape[0]}"
        )
    is_there = (traces >= 0).cummin(1).values if traces.shape[1] else traces >= 0
    lengths = is_there.sum(1)
    return (
        traces[is_there],
        types.to(traces.device).expand_as(traces)[is_there],
        lengths,
        lengths.cumsum(0) - lengths,
    )


def node2vec_random_walk(
    g: GraphBase,
    nodes: Any,
    p: float,
    q: float,
    walk_length: int,
    prob: Any = None,
    return_eids: bool = False,
) -> Any:
    """Walk along out-edges from every node given, by the law of node2vec.

    A walk that came from ``t`` to ``v`` takes an edge from ``v`` to ``x`` with probability
    proportional to the edge's weight times 1 / p if x is t, times 1 if there is an edge from x to
    t, and times 1 / q otherwise. The first step goes by weight alone.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type. Its out-edges are made when first asked for,
        O(E), and kept.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Where walks begin. A node given twice begins two walks, which are independent.
    p : float
        Positive; the larger, the less often a walk goes back where it came from.
    q : float
        Positive; the larger, the nearer a walk stays to where it came from.
    walk_length : int
        Steps of each walk.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, as in :func:`random_walk`. An edge of
        weight 0 is never taken but counts as an edge from x to t.
    return_eids : bool
        Whether the edges taken are returned too.

    Returns
    -------
    traces : Tensor
        Shape [nodes, walk_length + 1], dtype ``g.idtype``; -1 from where a walk ended.
    eids : Tensor
        With ``return_eids``: the edges taken, shape [nodes, walk_length], likewise.

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes that are not in the graph, several types, bad weights, or p or q that are not positive
        and finite.
    KeyError
        A column that the graph lacks.

    References
    ----------
    Grover, Leskovec, "node2vec: scalable feature learning for networks", KDD 2016;
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.node2vec_random_walk.html

    Notes
    -----
    The law is exact, by rejection: see :func:`hopflow.ops.node2vec_walk`. In a directed graph it is
    an edge from x to t that counts, as in DGL and in the authors' program.
    """
    g = require_graph(g, one_type=True)
    steps = ops.as_int("walk_length", walk_length)
    if steps < 0:
        raise ValueError(f"walk_length: expected at least 0, got {steps}")
    p, q = _positive("p", p), _positive("q", q)
    ids = as_node_ids("nodes", nodes, g.num_nodes(), dtype=g.idtype, device=g.device)
    every = edge_pool(g, "out").adjacency
    drawn = edge_pool(g, "out", prob)
    traces, eids = ops.node2vec_walk(
        walk_edges(drawn), ids, p, q, steps, key=random.next_key(),
        all_edges=(every.indptr, every.indices), return_eids=return_eids,
    )  # fmt: skip
    return (traces, eids) if return_eids else traces


def _positive(name: str, value: Any) -> float:
    """Return a positive, finite number, or raise a TypeError or ValueError."""
    number = ops.as_float(name, value)
    # 1 / number must be finite too.
    if not (0 < number < math.inf and number >= 1 / 1.7e308):
        raise ValueError(f"{name}: expected a positive, finite number, got {value!r}")
    return number
