"""Neighbour sampling on graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hopflow import ops, rng
from hopflow.frame import EID, Frame
from hopflow.graph import Graph
from hopflow.ids import as_node_ids, require_dense
from hopflow.pools import EdgePool, pool_of
from hopflow.subgraph import subgraph_of_seeds
from hopflow.transform import _require_graph, _require_none

_ROUNDS = 16  # of draws, until pairs without an edge are given up


def check_fanout(name: str, fanout: object) -> int:
    """Return a fanout, or raise a ValueError or TypeError that names the operand."""
    value = ops.as_int(name, fanout)
    if value < -1:
        raise ValueError(f"{name}: expected -1 (all) or a count >= 0, got {value}")
    if value > ops.INT32_MAX:
        raise ValueError(f"{name}: expected at most 2^31 - 1, got {value}")
    return value


def check_edge_dir(edge_dir: object) -> str:
    """Return "in" or "out", or raise a ValueError."""
    if edge_dir in ("in", "out"):
        return str(edge_dir)
    raise ValueError(f'edge_dir: expected "in" or "out", got {edge_dir!r}')


def _edge_values(g: Graph, name: str, value: object) -> Tensor | None:
    """What says of each edge whether, or how likely, it is drawn: a column, or its name."""
    if value is None:
        return None
    if isinstance(value, str):
        column = g.edata[value]
    elif isinstance(value, Tensor):
        require_dense(name, value)
        column = value
    else:
        raise TypeError(
            f"{name}: expected the name of an edge column or a torch.Tensor, got"
            f" {type(value).__name__}"
        )
    if column.shape == (g.num_edges(), 1) and isinstance(value, str):
        raise ValueError(
            f"{name}: column {value!r} has shape {list(column.shape)}, expected one number an edge;"
            " squeeze(1) it"
        )
    if column.shape != (g.num_edges(),):
        raise ValueError(
            f"{name}: expected one number for each of the {g.num_edges()} edges, got shape"
            f" {list(column.shape)}"
        )
    if column.device != g.device:
        raise ValueError(
            f"{name} is on {column.device}, the graph on {g.device}; expected one device"
        )
    if column.is_complex() or column.is_quantized:
        raise TypeError(f"{name}: expected real numbers, got {column.dtype}")
    return column


def edge_pool(g: Graph, edge_dir: str = "in", prob: Any = None, mask: Any = None) -> EdgePool:
    """The edges of a graph that a sampler may draw; prepared once and kept.

    Parameters
    ----------
    g : Graph
        A graph.
    edge_dir : {"in", "out"}
        Which edges of a node are drawn.
    prob, mask : str or Tensor, optional
        As in :func:`sample_neighbors` and :class:`hopflow.dataloading.NeighborSampler`.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    TypeError, ValueError
        Not one number an edge, or a weight that is negative, infinite or NaN.
    """
    weights, kept = _edge_values(g, "prob", prob), _edge_values(g, "mask", mask)
    if weights is not None and weights.dtype == torch.bool:
        weights, kept = None, weights
    if kept is not None and kept.dtype not in (torch.bool, torch.uint8):
        raise TypeError(f"mask: expected bool, got {str(kept.dtype).replace('torch.', '')}")
    return pool_of(g.adjacency, edge_dir=edge_dir, prob=weights, mask=kept)


def sample_neighbors(
    g: Graph,
    nodes: Any,
    fanout: int,
    edge_dir: str = "in",
    prob: Any = None,
    replace: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    exclude_edges: Any = None,
    output_device: Any = None,
) -> Graph:
    """The graph's nodes with at most ``fanout`` in-edges of each given node.

    They are drawn uniformly or, with ``prob``, by weight. Also ``g.sample_neighbors(nodes, …)``.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Nodes to sample for; duplicates count once.
    fanout : int
        Edges kept a node; -1 keeps all.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn. Out-edges are made when first
        asked for, O(E), and kept.
    prob : str or Tensor, optional
        Edge column, or its name: the weight of each edge, any real dtype, not negative. Without
        replacement each draw takes one of the edges not taken yet, with a probability proportional
        to its weight; an edge of weight 0 is never taken, and a node with fewer others than
        ``fanout`` keeps all of these. A bool column is a mask: the edges that are True are alike.
        What the weights need is prepared once, O(E), and again when they change.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    exclude_edges : Tensor, numpy array or sequence of int, optional
        Ids of edges that are not drawn. They are left out before the draw, so a node still gets
        ``fanout`` edges if it has as many others.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        All nodes of ``g``; edges grouped by node in the order given, their ids in ``g`` in
        ``edata[hopflow.EID]``. Each edge runs as it does in ``g``. Costs O(edges kept), not
        O(nodes of ``g``).

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes or edges that are not in the graph, bad weights, or a bad fanout or option.
    KeyError
        A column that the graph lacks.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_neighbors.html
    """
    g = _require_graph(g)
    edge_dir = check_edge_dir(edge_dir)
    _require_none("output_device", output_device)
    fanout = check_fanout("fanout", fanout)
    seeds = as_node_ids("nodes", nodes, g.num_nodes(), device=g.device)
    pool = edge_pool(g, edge_dir, prob)
    excluded = pool.excluded("exclude_edges", exclude_edges)
    made = subgraph_of_seeds(
        g, seeds, fanout, pool=pool, edge_dir=edge_dir, replace=replace,
        key=rng.next_key(fanout), excluded=excluded,
    )  # fmt: skip
    if not copy_ndata:
        made._src_frame = made._dst_frame = Frame(made.num_nodes(), "node", made.device)
    if not copy_edata:
        for key in [key for key in made.edata if key != EID]:
            del made.edata[key]
    return made


def random_nodes(g: Graph, count: int) -> Tensor:
    """``count`` nodes of a graph, each as likely at every draw, dtype ``g.idtype``.

    They are drawn on the CPU, so that they are the same whatever the device.
    """
    if count and g.num_nodes() == 0:
        raise ValueError("g: expected nodes to draw from, got a graph without")
    generator = torch.Generator().manual_seed(rng.next_key() % 2**63)
    # Torch takes 32 random bits modulo a bound below 2^32, which prefers some nodes by as much as
    # N / 2^32; with 63 bits none by more than N / 2^63.
    drawn = torch.randint(2**63 - 1, (count,), generator=generator) % max(1, g.num_nodes())
    return drawn.to(g.device, g.idtype)


def global_uniform_negative_sampling(
    g: Graph,
    num_samples: int,
    exclude_self_loops: bool = True,
    replace: bool = False,
    etype: Any = None,
    redundancy: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Pairs of nodes without an edge from the first to the second, all such pairs as likely.

    Parameters
    ----------
    g : Graph
        A graph.
    num_samples : int
        Pairs wanted. Fewer come where they are rare: after 16 rounds of draws it is given up.
    exclude_self_loops : bool
        Leave out pairs of a node and itself.
    replace : bool
        Whether the same pair may come twice.
    etype : None
        There is one type of edges.
    redundancy : float, optional
        Accepted for DGL's sake and without effect: pairs are drawn until there are enough.

    Returns
    -------
    src, dst : Tensor
        Dtype ``g.idtype``, shape [at most ``num_samples``].

    Raises
    ------
    ValueError
        A negative number.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.global_uniform_negative_sampling.html
    """
    g = _require_graph(g)
    _require_none("etype", etype)
    wanted = ops.as_int("num_samples", num_samples)
    if wanted < 0:
        raise ValueError(f"num_samples: expected at least 0, got {wanted}")
    num_nodes = g.num_nodes()
    pairs = torch.empty(0, dtype=torch.int64, device=g.device)  # as src * num_nodes + dst
    for _ in range(_ROUNDS if num_nodes else 0):
        missing = wanted - pairs.shape[0]
        if missing <= 0:
            break
        src, dst = random_nodes(g, missing), random_nodes(g, missing)
        right = ~torch.as_tensor(g.has_edges_between(src, dst), device=g.device)
        if exclude_self_loops:
            right &= src != dst
        pairs = torch.cat([pairs, src[right].long() * num_nodes + dst[right].long()])
        if not replace:
            pairs = _distinct(pairs)
    src = torch.div(pairs, max(1, num_nodes), rounding_mode="floor")
    return src.to(g.idtype), (pairs - src * num_nodes).to(g.idtype)


def _distinct(numbers: Tensor) -> Tensor:
    """Each number once, in order of first appearance."""
    in_order, order = torch.sort(numbers, stable=True)
    is_first = torch.ones(numbers.shape[0], dtype=torch.bool, device=numbers.device)
    is_first[1:] = in_order[1:] != in_order[:-1]
    return numbers[order[is_first].sort().values]


# Graphs know nothing of sampling; as in DGL it is one of their methods all the same.
Graph.sample_neighbors = sample_neighbors
Graph.global_uniform_negative_sampling = global_uniform_negative_sampling
