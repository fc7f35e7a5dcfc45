"""Pairs of nodes drawn among those that are no edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.structure.edge_lookup import EdgeLookup
from hopflow.structure.graph_base import GraphBase, require_graph

_ROUNDS = 16  # of draws, until pairs without an edge are given up
_DRAWS = 1 << 20  # in a round, or four for each pair that is missing


def random_nodes(g: GraphBase, count: int, ntype: Any = None) -> Tensor:
    """``count`` nodes of a type, each as likely at every draw, dtype ``g.idtype``.

    They are drawn on the CPU, so that they are the same whatever the device.
    """
    g = require_graph(g)
    num_nodes = g.num_nodes() if ntype is None else g.num_nodes(ntype)
    if count and num_nodes == 0:
        raise ValueError("g: expected nodes to draw from, got a graph without")
    return random_numbers(count, max(1, num_nodes)).to(g.device, g.idtype)


def random_numbers(count: int, bound: int) -> Tensor:
    """``count`` numbers in [0, ``bound``), each as likely; int64, on the CPU."""
    # No number is preferred, where torch takes 32 bits modulo the bound.
    return torch.from_numpy(random.generator().integers(bound, size=count, dtype=np.int64))


def global_uniform_negative_sampling(
    g: EdgeLookup,
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
        Pairs wanted. Fewer come where there are fewer, or so few that 16 rounds of up to a million
        draws do not find them.
    exclude_self_loops : bool
        Leave out pairs of a node and itself.
    replace : bool
        Whether the same pair may come twice.
    etype : str or tuple, optional
        Which edges, where there are several types.
    redundancy : float, optional
        Accepted for DGL's sake and without effect: as many are drawn as it takes.

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
    g = require_graph(g)
    src_type, _, dst_type = g.schema.relation(etype)
    edges = g.relation(etype)
    exclude_self_loops = exclude_self_loops and src_type == dst_type
    wanted = ops.as_int("num_samples", num_samples)
    if wanted < 0:
        raise ValueError(f"num_samples: expected at least 0, got {wanted}")
    num_src, num_dst = edges.num_src_nodes(), edges.num_dst_nodes()
    num_pairs = num_src * num_dst
    pairs = torch.empty(0, dtype=torch.int64, device=g.device)  # as src * num_dst + dst
    # The least share of all pairs that are no edges: more where edges are parallel.
    others = num_pairs - (num_dst if exclude_self_loops else 0) - edges.num_edges()
    share = max(others, 1) / num_pairs if num_pairs else 0.0
    # After so many draws a pair has not come with a probability below e^-40: there are no more.
    enough = num_pairs * (math.log(max(1, num_pairs)) + 40)
    drawn = 0
    for _ in range(_ROUNDS if share > 0 else 0):
        missing = wanted - pairs.shape[0]
        if missing <= 0 or (drawn > enough and not (replace and pairs.shape[0])):
            break
        count = int(min(1.2 * missing / share + 16, max(_DRAWS, 4 * missing)))
        drawn += count
        src, dst = random_nodes(g, count, src_type), random_nodes(g, count, dst_type)
        right = ~torch.as_tensor(edges.has_edges_between(src, dst), device=g.device)
        if exclude_self_loops:
            right &= src != dst
        before = pairs.shape[0]
        pairs = torch.cat([pairs, src[right].long() * num_dst + dst[right].long()])
        if not replace:
            pairs, _, _ = ops.compact_ids(pairs, pairs[:0])
        share = max(pairs.shape[0] - before, 0.5) / count  # what came of these draws
    pairs = pairs[:wanted]
    src = torch.div(pairs, max(1, num_dst), rounding_mode="floor")
    return src.to(g.idtype), (pairs - src * num_dst).to(g.idtype)
