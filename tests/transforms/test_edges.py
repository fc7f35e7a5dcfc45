"""Reverse edges, self-loops, in-edge subgraphs."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf

SRC, DST = [0, 2, 2, 1, 2, 0], [1, 0, 0, 1, 2, 1]
EDGES = list(zip(SRC, DST))


def pairs(graph: hf.Graph) -> list[tuple[int, int]]:
    """The edges in the order of their ids."""
    src, dst = graph.edges()
    return list(zip(src.tolist(), dst.tolist()))


@pytest.fixture(params=[torch.int32, torch.int64])
def graph(request: pytest.FixtureRequest) -> hf.Graph:
    """Duplicate edges, two self-loops, an isolated node, a column on each side."""
    made = hf.graph((SRC, DST), num_nodes=4, idtype=request.param)
    made.ndata["x"] = torch.arange(4.0)
    made.edata["w"] = torch.arange(6) + 10
    return made


def test_add_reverse_edges(graph: hf.Graph) -> None:
    made = hf.add_reverse_edges(graph)
    back = [(d, s) for s, d in EDGES if s != d]
    assert pairs(made) == EDGES + back
    assert (made.num_nodes(), made.idtype) == (4, graph.idtype)
    assert made.ndata["x"] is graph.ndata["x"]
    assert list(made.edata) == []
    assert pairs(hf.add_reverse_edges(graph, exclude_self=False)) == EDGES + [
        (d, s) for s, d in EDGES
    ]
    assert list(hf.add_reverse_edges(graph, copy_ndata=False).ndata) == []


def test_add_reverse_edges_with_columns(graph: hf.Graph) -> None:
    made = hf.add_reverse_edges(graph, copy_edata=True)
    origin = [0, 1, 2, 3, 4, 5, 0, 1, 2, 5]
    assert made.edata[hf.EID].tolist() == origin
    assert made.edata[hf.EID].dtype == graph.idtype
    assert made.edata["w"].tolist() == [10 + i for i in origin]
    again = hf.add_reverse_edges(made, copy_edata=True)
    assert again.num_edges() == 6 + 4 + 8
    assert again.edata[hf.EID].max() == 9


def test_the_original_is_left_alone(graph: hf.Graph) -> None:
    for made in (
        hf.add_reverse_edges(graph),
        hf.add_self_loop(graph),
        hf.remove_self_loop(graph),
        hf.in_subgraph(graph, [0]),
    ):
        made.ndata["new"] = torch.ones(4)
        made.edata["new"] = torch.ones(made.num_edges())
        del made.ndata["x"]
    assert (list(graph.ndata), list(graph.edata)) == (["x"], ["w"])
    assert pairs(graph) == EDGES


def test_add_self_loop(graph: hf.Graph) -> None:
    graph.edata["v"] = torch.ones(6, 2, dtype=torch.float16)
    made = hf.add_self_loop(graph, fill_data=3)
    assert pairs(made) == EDGES + [(i, i) for i in range(4)]
    assert made.edata["w"].tolist() == [10, 11, 12, 13, 14, 15, 3, 3, 3, 3]
    assert made.edata["v"].dtype == torch.float16
    assert made.edata["v"][6:].tolist() == [[3, 3]] * 4
    assert made.ndata["x"].tolist() == [0, 1, 2, 3]
    assert sorted(hf.add_self_loop(graph, edge_feat_names=["w"]).edata) == ["w"]
    assert hf.add_self_loop(hf.remove_self_loop(graph)).in_degrees().tolist() == [3, 3, 1, 1]


def test_remove_self_loop(graph: hf.Graph) -> None:
    made = hf.remove_self_loop(graph)
    kept = [i for i, (s, d) in enumerate(EDGES) if s != d]
    assert pairs(made) == [EDGES[i] for i in kept]
    assert made.edata["w"].tolist() == [10 + i for i in kept]
    assert made.num_nodes() == 4
    assert hf.remove_self_loop(made).num_edges() == len(kept)


def test_no_edges_and_no_nodes() -> None:
    for n in (0, 3):
        graph = hf.graph(([], []), num_nodes=n)
        assert hf.add_reverse_edges(graph, copy_edata=True).num_edges() == 0
        assert hf.add_self_loop(graph).num_edges() == n
        assert hf.remove_self_loop(graph).num_nodes() == n
        assert hf.in_subgraph(graph, []).num_nodes() == n
        assert hf.to_block(graph).num_nodes() == 0
        assert hf.to_block(graph, range(n)).num_dst_nodes() == n
        assert hf.in_subgraph(graph, [], relabel_nodes=True).num_nodes() == 0


def test_in_subgraph(graph: hf.Graph) -> None:
    made = hf.in_subgraph(graph, [2, 1])
    assert made.num_nodes() == 4
    assert made.edata[hf.EID].tolist() == [4, 0, 3, 5]
    assert pairs(made) == [EDGES[i] for i in (4, 0, 3, 5)]
    assert made.edata["w"].tolist() == [14, 10, 13, 15]
    assert made.in_degrees().tolist() == [0, 3, 1, 0]
    assert made.out_degrees().tolist() == [2, 1, 1, 0]
    assert made.idtype == made.edata[hf.EID].dtype == graph.idtype
    assert hf.EID not in hf.in_subgraph(graph, [2], store_ids=False).edata
    mask = torch.tensor([False, True, True, False])
    assert sorted(pairs(hf.in_subgraph(graph, mask))) == sorted(pairs(made))
    assert pairs(hf.in_subgraph(graph, [2, 1, 1, 2])) == pairs(made)


def test_in_subgraph_relabelled(graph: hf.Graph) -> None:
    made = hf.in_subgraph(graph, [0, 1], relabel_nodes=True)
    ids = made.ndata[hf.NID]
    assert sorted(ids.tolist()) == [0, 1, 2]
    assert ids.dtype == graph.idtype
    src, dst = made.edges()
    eids = made.edata[hf.EID].tolist()
    back = list(zip(ids[src.long()].tolist(), ids[dst.long()].tolist()))
    assert back == [EDGES[i] for i in eids]
    assert made.ndata["x"].tolist() == ids.tolist()
    assert made.edata["w"].tolist() == [10 + i for i in eids]
    # A node of the list without an edge left goes.
    assert 3 not in hf.in_subgraph(graph, [3, 2], relabel_nodes=True).ndata[hf.NID]


def test_transforms_of_a_subgraph(graph: hf.Graph) -> None:
    """What sampling returns stores only a few rows; every transform must take it."""
    part = hf.in_subgraph(graph, [2, 1])
    edges = pairs(part)
    assert pairs(hf.add_reverse_edges(part)) == edges + [(d, s) for s, d in edges if s != d]
    assert pairs(hf.add_self_loop(part)) == edges + [(i, i) for i in range(4)]
    assert pairs(hf.remove_self_loop(part)) == [(s, d) for s, d in edges if s != d]
    again = hf.in_subgraph(part, [1])
    assert pairs(again) == [e for e in edges if e[1] == 1]
    assert again.edata[hf.EID].tolist() == [1, 2, 3]  # ids of `part`
    assert pairs(part.int().long()) == edges
