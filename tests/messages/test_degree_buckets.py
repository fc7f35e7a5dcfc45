"""Destinations by in-degree: every edge once, in the order of edge ids."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow.messages.degree_buckets import in_edge_buckets
from hopflow.structure.adjacency import Adjacency


def by_node(adjacency: Adjacency) -> dict[int, list[tuple[int, int]]]:
    """(edge id, source) of each destination's in-edges, as the buckets have them."""
    found = {}
    for bucket in in_edge_buckets(adjacency):
        assert bucket.src.shape == bucket.eids.shape
        assert bucket.src.shape[0] == bucket.nodes.shape[0] > 0
        assert bucket.nodes.tolist() == sorted(bucket.nodes.tolist())
        for node, src, eids in zip(bucket.nodes, bucket.src, bucket.eids):
            assert int(node) not in found
            found[int(node)] = list(zip(eids.tolist(), src.tolist()))
    return found


def expected(graph: hf.Graph) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for e, (s, d) in enumerate(zip(*(x.tolist() for x in graph.edges()))):
        found.setdefault(d, []).append((e, s))
    return found


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_edges_in_order(small_graph: hf.Graph, idtype: torch.dtype) -> None:
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    assert by_node(graph.adjacency) == expected(graph)
    lengths = [b.src.shape[1] for b in in_edge_buckets(graph.adjacency)]
    assert lengths == sorted(set(lengths))
    assert lengths[0] > 0


def test_a_csc_whose_edge_ids_fall() -> None:
    """Sorted by edge id even where the positions are not."""
    indptr, indices = torch.tensor([0, 3, 3, 4]), torch.tensor([2, 0, 1, 1])
    adjacency = Adjacency(indptr, indices, torch.tensor([3, 1, 0, 2]), 3, 3)
    assert by_node(adjacency) == {0: [(0, 1), (1, 0), (3, 2)], 2: [(2, 1)]}


def test_blocks_and_subgraphs(small_graph: hf.Graph) -> None:
    frontier = hf.in_subgraph(small_graph, [5, 190, 17])
    assert frontier.adjacency.rows is not None or frontier.num_edges() > 0
    for graph in (frontier, hf.to_block(frontier, [5, 190, 17])):
        assert by_node(graph.adjacency) == expected(graph)


def test_no_edges() -> None:
    assert list(in_edge_buckets(hf.graph(([], []), num_nodes=4).adjacency)) == []
    assert list(in_edge_buckets(hf.graph(([], []), num_nodes=0).adjacency)) == []


def test_mailbox(small_graph: hf.Graph) -> None:
    x, w = small_graph.ndata["feat"], small_graph.edata["weight"]
    for bucket in in_edge_buckets(small_graph.adjacency):
        assert torch.equal(bucket.mailbox(x, of="u"), x[bucket.src.long()])
        assert torch.equal(bucket.mailbox(w, of="e"), w[bucket.eids])
    with pytest.raises(ValueError, match="'v'"):
        bucket.mailbox(x, of="v")
