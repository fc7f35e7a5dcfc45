"""Neighbours drawn by what kind they are of: by the tag of a neighbour, by the type of an edge."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling import random
from hopflow.sampling.drawn import DrawnEdges, graph_of_drawn
from hopflow.sampling.edge_pool import as_weights
from hopflow.sampling.edge_pools import check_fanout, edge_pool, edge_values
from hopflow.sampling.neighbors import check_edge_dir
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph, require_here
from hopflow.structure.ids import as_ids
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Relation
from hopflow.transforms.tags import TAG_OFFSET


class _EdgesAround:
    """All edges around some nodes, to draw among: O(their number), not O(E)."""

    def __init__(self, g: GraphBase, nodes: Any, edge_dir: str) -> None:
        self.relation: Relation = g.schema.relations[0]
        one = g.relations[self.relation]
        given = nodes_by_type(g, "nodes", nodes)
        near = self.relation[2 if edge_dir == "in" else 0]
        none = torch.empty(0, dtype=torch.int64, device=g.device)
        self.nodes, _, _ = ops.compact_ids(given.get(near, none), none)
        pool = edge_pool(one, edge_dir)
        self.indptr, self.others, positions = pool.sample(self.nodes, -1, key=0)
        self.eids = pool.eids_at(positions)

    def draw(
        self, is_there: Tensor, weights: Tensor | None, fanout: int, key: int, replace: bool
    ) -> tuple[Tensor, Tensor]:
        """Edges of each node among those that are there: ``(indptr, which)``."""
        at = is_there.nonzero().squeeze(1)
        before = torch.zeros(is_there.shape[0] + 1, dtype=torch.int64, device=at.device)
        torch.cumsum(is_there, 0, out=before[1:])
        indptr = before[self.indptr]
        ready = None if weights is None else ops.row_weights(indptr, weights[at])
        rows = torch.arange(self.nodes.shape[0], device=at.device)
        out_indptr, which = ops.sample_weighted(
            indptr, at.shape[0], rows, fanout, key=key, replace=replace, weights=ready,
            node_ids=self.nodes,
        )  # fmt: skip
        return out_indptr, at[which]

    def drawn(self, indptr: Tensor, which: Tensor) -> dict[Relation, DrawnEdges]:
        """The edges that were drawn."""
        eids = LazyColumn.of(self.eids[which])
        return {self.relation: DrawnEdges(self.nodes, indptr, self.others[which], eids)}


def sample_neighbors_biased(
    g: GraphT,
    nodes: Any,
    fanout: int,
    bias: Any,
    edge_dir: str = "in",
    tag_offset_name: str = TAG_OFFSET,
    replace: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    output_device: Any = None,
) -> GraphT:
    """The graph's nodes with at most ``fanout`` in-edges of each node, drawn by neighbours' tags.

    The weight of an edge is the bias of its neighbour's tag: each draw takes an edge with a
    probability proportional to it, without replacement among those not taken yet. Also
    ``g.sample_neighbors_biased(nodes, …)``. O(edges of the nodes).

    Parameters
    ----------
    g : Graph
        What :func:`hopflow.sort_csc_by_tag` returned, for ``edge_dir="out"``
        :func:`hopflow.sort_csr_by_tag`.
    nodes : Tensor, numpy array, sequence of int or boolean mask
        Nodes to sample for; duplicates count once.
    fanout : int
        Edges kept a node; -1 keeps all whose tag has a bias above 0.
    bias : Tensor, numpy array or sequence of float
        Of each tag, shape [T], not negative.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn.
    tag_offset_name : str
        The name given when the edges were sorted. The tags are read from the edge column of this
        name, not from the offsets: they are right whatever became of the edges' order.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        As of :func:`hopflow.sample_neighbors`.

    Raises
    ------
    KeyError
        The graph was not sorted by tag under this name.
    IndexError, TypeError, ValueError
        Nodes that are not in the graph, several types of edges, a bias that is negative, infinite
        or NaN, fewer of them than tags, a column of that name without tags, or a bad fanout or
        option.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_neighbors_biased.html
    """
    g = _require_one_relation(g)
    edge_dir = check_edge_dir(edge_dir)
    require_here(g, output_device)
    fanout = check_fanout("fanout", fanout)
    frame = next(iter(g.relations.values())).edge_frame
    if tag_offset_name not in frame:
        raise KeyError(
            f"no edge column {tag_offset_name!r}: sort the graph by sort_csc_by_tag, or for"
            " edge_dir='out' by sort_csr_by_tag, under this name first"
        )
    tags = frame[tag_offset_name]
    is_tag = tags.dim() == 1 and not (tags.is_floating_point() or tags.is_complex())
    if not is_tag or bool((tags < 0).any()):
        raise ValueError(
            f"edge column {tag_offset_name!r}: expected a tag >= 0 for each edge, as"
            f" sort_csc_by_tag writes them, got {tags.dtype} of shape {list(tags.shape)}"
        )
    tags = tags.long()
    given_bias = torch.as_tensor(bias, device=g.device)
    num_tags = int(tags.max()) + 1 if tags.numel() else 0
    if given_bias.dim() != 1 or given_bias.shape[0] < num_tags:
        raise ValueError(
            f"bias: expected one number for each of {num_tags} tags, got shape"
            f" {list(given_bias.shape)}"
        )
    weight_of_tag = as_weights(given_bias, name="bias", what="tag")
    around = _EdgesAround(g, nodes, edge_dir)
    weights = weight_of_tag[tags[around.eids.long()]]
    key = random.next_key(fanout)
    drawn = around.draw(weights > 0, weights, fanout, key, bool(replace))
    return graph_of_drawn(
        g, around.drawn(*drawn), edge_dir, copy_ndata=copy_ndata, copy_edata=copy_edata
    )


def sample_etype_neighbors(
    g: GraphT,
    nodes: Any,
    etype_offset: Any,
    fanout: Any,
    edge_dir: str = "in",
    prob: Any = None,
    replace: bool = False,
    copy_ndata: bool = True,
    copy_edata: bool = True,
    etype_sorted: bool = False,
    output_device: Any = None,
) -> GraphT:
    """The graph's nodes with at most so many in-edges of each type for each given node.

    For a graph whose types were merged (:func:`hopflow.to_homogeneous`): edges of one type have ids
    that follow each other. Also ``g.sample_etype_neighbors(nodes, …)``. O(edges of the nodes).

    Parameters
    ----------
    g : Graph
        A graph with one type of nodes and edges.
    nodes : Tensor, numpy array, sequence of int, boolean mask or dict
        Nodes to sample for; duplicates count once.
    etype_offset : sequence of int or Tensor
        The first edge id of each type, rising from 0; the number of edges may follow.
    fanout : sequence of int or Tensor
        Edges kept a node, of each type; -1 keeps all.
    edge_dir : {"in", "out"}
        Whether the edges that enter or that leave a node are drawn.
    prob : str, Tensor or list of one Tensor, optional
        Edge column, or its name, as in :func:`hopflow.sample_neighbors`.
    replace : bool
        Draw with replacement.
    copy_ndata, copy_edata : bool
        Whether columns of ``g`` are reachable on the result.
    etype_sorted : bool
        Accepted for DGL's sake and without effect.
    output_device : None
        The result is where the graph is.

    Returns
    -------
    Graph
        As of :func:`hopflow.sample_neighbors`; the edges of a node come by type.

    Raises
    ------
    KeyError
        A column that the graph lacks.
    IndexError, TypeError, ValueError
        Nodes that are not in the graph, several types, offsets that do not rise, not one fanout a
        type, or bad weights.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.sample_etype_neighbors.html
    """
    g = require_graph(g, one_type=True)
    edge_dir = check_edge_dir(edge_dir)
    require_here(g, output_device)
    starts, fanouts = _types_of(g, etype_offset, fanout)
    if isinstance(prob, list):
        if len(prob) != 1:
            raise ValueError(f"prob: expected a list of one tensor, got {len(prob)}")
        prob = prob[0]
    values = edge_values(g, "prob", prob)
    around = _EdgesAround(g, nodes, edge_dir)
    eids = around.eids.long()
    types = torch.searchsorted(starts, eids, right=True) - 1
    weights, is_there = None, torch.ones_like(eids, dtype=torch.bool)
    if values is not None:
        of_edges = values[eids]
        is_there = of_edges > 0
        if values.dtype != torch.bool:
            weights = as_weights(of_edges, name="prob", what="drawn edge")
    key = random.next_key(max(fanouts, default=-1))
    parts = [
        around.draw(is_there & (types == t), weights, most, ops.relation_key(key, t), bool(replace))
        for t, most in enumerate(fanouts)
    ]
    which = torch.cat([part for _, part in parts])
    rows = torch.cat(
        [ops.destinations(indptr, part.shape[0], torch.int64) for indptr, part in parts]
    )
    counts = torch.stack([indptr.diff() for indptr, _ in parts]).sum(0)
    indptr = torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
    drawn = around.drawn(indptr, which[torch.argsort(rows, stable=True)])
    return graph_of_drawn(g, drawn, edge_dir, copy_ndata=copy_ndata, copy_edata=copy_edata)


def _require_one_relation(g: GraphT) -> GraphT:
    g = require_graph(g)
    if len(g.schema.relations) > 1:
        raise ValueError(
            f"g: expected one type of edges, got {len(g.schema.relations)}; g[etype] is one of them"
        )
    return g


def _types_of(g: GraphBase, etype_offset: Any, fanout: Any) -> tuple[Tensor, list[int]]:
    """The first edge of each type and its fanout."""
    starts = as_ids("etype_offset", etype_offset).long().to(g.device)
    given = fanout.tolist() if isinstance(fanout, Tensor) else fanout
    if not isinstance(given, Iterable):
        raise TypeError(f"fanout: expected one number for each type of edges, got {fanout!r}")
    fanouts = [check_fanout(f"fanout[{t}]", value) for t, value in enumerate(given)]
    is_ended = starts.shape[0] == len(fanouts) + 1
    if not fanouts or (starts.shape[0] != len(fanouts) and not is_ended):
        raise ValueError(
            f"fanout: expected a number for each of the {starts.shape[0]} types of edges, got"
            f" {len(fanouts)}"
        )
    is_right = int(starts[0]) == 0 and bool((starts.diff() >= 0).all())
    if (
        not is_right
        or int(starts[-1]) > g.num_edges()
        or (is_ended and int(starts[-1]) != g.num_edges())
    ):
        raise ValueError(
            "etype_offset: expected the first edge id of each type, rising from 0 to at most"
            f" {g.num_edges()}, got {starts.tolist()}"
        )
    return starts[: len(fanouts)], fanouts
