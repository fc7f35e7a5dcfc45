"""Neighbour sampling on graphs."""

from __future__ import annotations

from typing import Any

from hopflow import ops, rng
from hopflow.frame import EID, Frame
from hopflow.graph import Graph
from hopflow.ids import as_node_ids
from hopflow.transform import _require_graph, _require_none, subgraph_of_seeds


def check_fanout(name: str, fanout: object) -> int:
    """Return a fanout, or raise a ValueError or TypeError that names the operand."""
    value = ops.as_int(name, fanout)
    if value < -1:
        raise ValueError(f"{name}: expected -1 (all) or a count >= 0, got {value}")
    if value > ops.INT32_MAX:
        raise ValueError(f"{name}: expected at most 2^31 - 1, got {value}")
    return value


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
    """The graph's nodes with at most ``fanout`` in-edges of each given node, drawn uniformly.

    Parameters
    ----------
    g : Graph
        A graph.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Nodes to sample for; duplicates count once.
    fanout : int
        In-edges kept a node; -1 keeps all.
    edge_dir : {"in"}
        Out-edges are not supported yet.
    prob : None
        Weighted sampling is not supported yet.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    exclude_edges, output_device : None
        Not supported yet.

    Returns
    -------
    Graph
        All nodes of ``g``; edges grouped by node in the order given, their ids in ``g`` in
        ``edata[hopflow.EID]``. Costs O(edges kept), not O(nodes of ``g``).

    Raises
    ------
    IndexError, TypeError, ValueError
        Nodes that are not in the graph, or a bad fanout or option.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_neighbors.html
    """
    g = _require_graph(g)
    if edge_dir != "in":
        raise ValueError(f'edge_dir: expected "in", got {edge_dir!r}; out-edges are not supported')
    options = {"prob": prob, "exclude_edges": exclude_edges, "output_device": output_device}
    for name, value in options.items():
        _require_none(name, value)
    fanout = check_fanout("fanout", fanout)
    seeds = as_node_ids("nodes", nodes, g.num_nodes(), device=g.device)
    made = subgraph_of_seeds(g, seeds, fanout, replace=replace, key=rng.next_key(fanout))
    if not copy_ndata:
        made._src_frame = made._dst_frame = Frame(made.num_nodes(), "node", made.device)
    if not copy_edata:
        for key in [key for key in made.edata if key != EID]:
            del made.edata[key]
    return made
