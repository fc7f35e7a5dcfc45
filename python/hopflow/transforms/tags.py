"""Edges sorted by the tags of the nodes at their other end."""

from __future__ import annotations

from typing import Any

import torch

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.ids import as_ids

TAG_OFFSET = "_TAG_OFFSET"
"""The name of the columns that sorting by tag makes, where no other is given."""

# A table of 16 GiB. Real ones have few tags; one that is greater comes from ids taken for tags.
_MOST_OFFSETS = 2**31


def sort_csc_by_tag(
    g: GraphT, tag: Any, tag_offset_name: str = TAG_OFFSET, tag_type: str = "node"
) -> GraphT:
    """The graph with the in-edges of every node sorted by the tags of their sources.

    Edge ids and columns stay as they are. Edges of one tag keep their order.

    Parameters
    ----------
    g : Graph
        A graph with one type of edges.
    tag : Tensor, numpy array or sequence of int
        A tag, from 0 on, of each source node, or with ``tag_type="edge"`` of each edge.
    tag_offset_name : str
        The name of the columns described below.
    tag_type : {"node", "edge"}
        What the tags are of.

    Returns
    -------
    Graph
        With ``dstdata[tag_offset_name]``, shape [N, T + 1], T being the greatest tag of an edge
        plus 1: the in-edges of node ``i`` with tag ``j`` are those from ``[i, j]`` up to
        ``[i, j + 1]``. Also, for :func:`hopflow.sampling.sample_neighbors_biased`, the tag of every
        edge in ``edata[tag_offset_name]``, which DGL does not have.

    Raises
    ------
    ValueError
        Several types of edges, a negative tag, or not a tag for each; tags so great that the
        offsets would be more than 2**31 numbers.
    TypeError
        Tags that are no integers.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sort_csc_by_tag.html
    """
    return _sort_by_tag(g, tag, tag_offset_name, tag_type, "in")


def sort_csr_by_tag(
    g: GraphT, tag: Any, tag_offset_name: str = TAG_OFFSET, tag_type: str = "node"
) -> GraphT:
    """The graph with the out-edges of every node counted by the tags of their destinations.

    As :func:`sort_csc_by_tag` for out-edges: offsets are in ``srcdata``, tags of nodes are those of
    the destinations. hopflow keeps in-edges alone and makes out-edges of them, so these are *not*
    reordered; nothing in hopflow needs that.

    Parameters
    ----------
    g, tag, tag_offset_name, tag_type
        As in :func:`sort_csc_by_tag`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.sort_csr_by_tag.html
    """
    return _sort_by_tag(g, tag, tag_offset_name, tag_type, "out")


# A graph outlives the mode that it is made in: it must serve a backward pass later.
@torch.inference_mode(False)
def _sort_by_tag(g: GraphT, tag: Any, name: str, tag_type: str, edge_dir: str) -> GraphT:
    g = require_graph(g)
    if len(g.schema.relations) > 1:
        raise ValueError(
            f"g: expected one type of edges, got {len(g.schema.relations)}; g[etype] is one of them"
        )
    if tag_type not in ("node", "edge"):
        raise ValueError(f'tag_type: expected "node" or "edge", got {tag_type!r}')
    full = g.adjacency.full()
    num_near, num_far = full.num_dst, full.num_src
    near, far = full.destinations(), full.indices
    if edge_dir == "out":
        num_near, num_far, near, far = num_far, num_near, far, near
    expected = num_far if tag_type == "node" else full.num_edges
    tags = as_ids("tag", tag).to(g.device)
    if tags.shape[0] != expected:
        raise ValueError(f"tag: expected one for each of {expected} {tag_type}s, got {len(tags)}")
    if bool((tags < 0).any()):
        at = int((tags < 0).nonzero()[0])
        raise ValueError(f"tag: expected tags from 0 on, got {int(tags[at])} for {tag_type} {at}")
    if tag_type == "node":
        tags = tags[far.long()]
    elif full.eids is not None:
        tags = tags[full.eids.long()]
    # Now the tag of the edge at each position.
    num_tags = int(tags.max()) + 1 if tags.numel() else 0
    if num_near * (num_tags + 1) > _MOST_OFFSETS:
        raise ValueError(
            f"tag: the offsets of {num_near} nodes by tags up to {num_tags - 1} would be"
            f" {num_near * (num_tags + 1)} numbers, expected at most {_MOST_OFFSETS}; number the"
            " tags without gaps, as torch.unique(tag, return_inverse=True)[1] does, or for"
            " sample_neighbors_biased alone put each edge's tag in a column of that name"
        )
    cells = near.long() * num_tags + tags.long()
    counts = torch.bincount(cells, minlength=num_near * num_tags).view(num_near, num_tags)
    offsets = torch.zeros(num_near, num_tags + 1, dtype=torch.int64, device=g.device)
    torch.cumsum(counts, 1, out=offsets[:, 1:])
    tags_by_id = full.in_edge_order(tags)
    made = full
    if edge_dir == "in":
        order = torch.argsort(cells, stable=True)  # rows are in order already
        eids = order if full.eids is None else full.eids[order]
        made = Adjacency(
            full.indptr, full.indices[order], eids.to(ops.id_dtype(full.num_edges)), full.num_src,
            full.num_dst,
        )  # fmt: skip
    relation = g.schema.relations[0]
    one = g.slice(relation) if g._relations is not None else g
    sorted_graph = one.derived(made, edge_columns=one.edge_frame.snapshot())
    side = sorted_graph.dstdata if edge_dir == "in" else sorted_graph.srcdata
    side[name] = offsets.to(g.idtype)
    sorted_graph.edata[name] = tags_by_id
    return sorted_graph
