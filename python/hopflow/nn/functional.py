"""Functions of graphs that layers are made of."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from hopflow import ops
from hopflow.graph import Graph
from hopflow.ids import as_edge_ids
from hopflow.queries import ALL, is_all


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
