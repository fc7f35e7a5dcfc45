"""Random graphs: edges drawn among all pairs of nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.create import graph, heterograph
from hopflow.graphs.edge_arrays import Device, as_count
from hopflow.graphs.graph import Graph
from hopflow.sampling import random
from hopflow.structure.types import require_relation


def rand_graph(
    num_nodes: int,
    num_edges: int,
    idtype: torch.dtype = torch.int64,
    device: Device = "cpu",
) -> Graph:
    """A graph with edges between pairs of nodes that are drawn, all sets of pairs being as likely.

    Self-loops are among the pairs, and no edges are parallel. Draws come from the stream of
    :func:`hopflow.seed`, or that of ``torch.manual_seed``, and are the same whatever the device.

    Parameters
    ----------
    num_nodes, num_edges : int
        How many; at most ``num_nodes ** 2`` edges.
    idtype : torch.dtype
        int32 or int64.
    device : str or torch.device
        Where to put it.

    Raises
    ------
    TypeError, ValueError
        No such numbers, dtype or device.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.rand_graph.html
    """
    count = _count("num_nodes", num_nodes)
    ends = _pairs(count, count, num_edges)
    return graph(ends, num_nodes=count, idtype=idtype, device=device)


def rand_bipartite(
    utype: str,
    etype: str,
    vtype: str,
    num_src_nodes: int,
    num_dst_nodes: int,
    num_edges: int,
    idtype: torch.dtype = torch.int64,
    device: Device = "cpu",
) -> Graph:
    """As :func:`rand_graph`, with edges from nodes of one type to nodes of another.

    Parameters
    ----------
    utype, etype, vtype : str
        Types of sources, edges and destinations.
    num_src_nodes, num_dst_nodes, num_edges : int
        How many; at most ``num_src_nodes * num_dst_nodes`` edges. For a ``vtype`` that is the
        ``utype``, as many destinations as sources.
    idtype, device
        As in :func:`rand_graph`.

    Raises
    ------
    TypeError, ValueError
        As :func:`rand_graph`; types that are no str.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.rand_bipartite.html
    """
    relation = require_relation((utype, etype, vtype))
    counts = _count("num_src_nodes", num_src_nodes), _count("num_dst_nodes", num_dst_nodes)
    if utype == vtype and counts[0] != counts[1]:
        raise ValueError(
            f"num_dst_nodes: expected {counts[0]}, as sources and destinations are both of type"
            f" {utype!r}, got {counts[1]}"
        )
    ends = _pairs(*counts, num_edges)
    nodes = {utype: counts[0], vtype: counts[1]}
    return heterograph({relation: ends}, nodes, idtype=idtype, device=device)


def _count(name: str, value: Any) -> int:
    count = as_count(name, ops.as_int(name, value))
    assert count is not None
    if count > ops.MOST_NODES:
        raise ValueError(f"{name}: expected at most 2^38, got {count}")
    return count


def _pairs(num_src: int, num_dst: int, num_edges: int) -> tuple[Tensor, Tensor]:
    """``num_edges`` distinct pairs, in random order; int64 on the CPU."""
    most, wanted = num_src * num_dst, _count("num_edges", num_edges)
    if wanted > most:
        raise ValueError(f"num_edges: expected at most {most}, one a pair of nodes, got {wanted}")
    if most > np.iinfo(np.int64).max:
        raise ValueError(
            f"expected at most 2^63 - 1 pairs of nodes to draw from, got {num_src} x {num_dst}"
        )
    generator = random.generator()
    drawn = torch.from_numpy(generator.choice(most, size=wanted, replace=False) if wanted else
                             np.empty(0, dtype=np.int64))  # fmt: skip
    src = torch.div(drawn, max(1, num_dst), rounding_mode="floor")
    return src, drawn - src * num_dst
