"""sort_csc_by_tag and sort_csr_by_tag: DGL's documented examples, order, columns."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf

ENDS = [0, 0, 0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 0, 1, 2]
OFFSETS = [[0, 2, 4, 5], [0, 1, 3, 3], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
NODE_TAGS, EDGE_TAGS = torch.tensor([1, 1, 0, 2, 0]), torch.tensor([1, 1, 0, 2, 0, 1, 1, 0])


@pytest.mark.parametrize(("tags", "tag_type"), [(NODE_TAGS, "node"), (EDGE_TAGS, "edge")])
def test_documented_examples(tags, tag_type):
    near, far = ENDS
    graph = hf.graph((far, near))
    graph.edata["w"] = torch.arange(8)
    made = hf.sort_csc_by_tag(graph, tags, tag_type=tag_type)
    assert made.ndata["_TAG_OFFSET"].tolist() == OFFSETS
    assert made.adjacency.indices.tolist() == [2, 4, 0, 1, 3, 2, 0, 1]
    assert [x.tolist() for x in made.edges()] == [far, near]  # ids stay
    assert torch.equal(made.edata["w"], graph.edata["w"])
    assert torch.equal(made.edata["_TAG_OFFSET"], EDGE_TAGS)
    assert "_TAG_OFFSET" not in graph.ndata
    out = hf.sort_csr_by_tag(hf.graph((near, far)), tags, "t", tag_type)
    assert out.srcdata["t"].tolist() == OFFSETS
    assert torch.equal(out.edata["t"], EDGE_TAGS)


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_rows_are_sorted_and_stable(small_graph, idtype):
    graph = small_graph._as_idtype(idtype)
    tags = torch.randint(4, (200,), generator=torch.Generator().manual_seed(0))
    made = hf.sort_csc_by_tag(graph, tags)
    offsets, full = made.ndata["_TAG_OFFSET"], made.adjacency.full()
    assert offsets.dtype == idtype
    assert torch.equal(offsets[:, -1].long(), graph.in_degrees().long())
    for node in range(200):
        first, last = int(full.indptr[node]), int(full.indptr[node + 1])
        found = tags[full.indices[first:last].long()]
        assert found.tolist() == sorted(found.tolist())
        for tag in range(4):
            begin, end = int(offsets[node, tag]), int(offsets[node, tag + 1])
            assert bool((found[begin:end] == tag).all())
        before = graph.in_edges([node], form="eid").tolist()
        after = made.in_edges([node], form="eid").tolist()
        assert after == sorted(before, key=lambda e: int(tags[graph.edges()[0][e]]))
    assert torch.equal(torch.stack(made.edges()), torch.stack(graph.edges()))


def test_bipartite_and_no_edges():
    graph = hf.heterograph({("a", "x", "b"): ([0, 1, 2], [0, 0, 0])}, {"a": 3, "b": 2})
    made = hf.sort_csc_by_tag(graph, torch.tensor([2, 0, 1]))
    assert made.dstdata["_TAG_OFFSET"].tolist() == [[0, 1, 2, 3], [0, 0, 0, 0]]
    assert made.canonical_etypes == graph.canonical_etypes
    out = hf.sort_csr_by_tag(graph, torch.tensor([1, 0]))
    assert out.srcdata["_TAG_OFFSET"].tolist() == [[0, 0, 1]] * 3
    empty = hf.sort_csc_by_tag(hf.graph(([], []), num_nodes=2), torch.tensor([0, 1]))
    assert empty.ndata["_TAG_OFFSET"].shape == (2, 1)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"tag": [0, 1]}, ValueError, "tag: expected one for each of 5 nodes, got 2"),
        ({"tag": [0, 1], "tag_type": "edge"}, ValueError, "tag: expected one for each of 8 edges"),
        ({"tag": [0, 1, -1, 0, 0]}, ValueError, "expected tags from 0 on, got -1 for node 2"),
        ({"tag": [0.5] * 5}, TypeError, "tag"),
        ({"tag_type": "row"}, ValueError, "tag_type"),
    ],
)
def test_mistakes(options, error, message):
    with pytest.raises(error, match=message):
        hf.sort_csc_by_tag(hf.graph(ENDS), **{"tag": NODE_TAGS, **options})


@pytest.mark.parametrize("sort", [hf.sort_csc_by_tag, hf.sort_csr_by_tag])
def test_a_graph_sorted_in_inference_mode_trains(sort):
    with torch.inference_mode():
        graph = sort(hf.graph(ENDS), NODE_TAGS)
    x = torch.ones(5, 2, requires_grad=True)
    weight = torch.ones(8, 1, requires_grad=True)
    hf.functional.u_mul_e_sum(graph, x, weight).sum().backward()
    assert x.grad[:, 0].tolist() == [5, 3, 0, 0, 0]
    assert weight.grad.flatten().tolist() == [2] * 8


@pytest.mark.parametrize("sort", [hf.sort_csc_by_tag, hf.sort_csr_by_tag])
@pytest.mark.parametrize("tag_type", ["node", "edge"])
@pytest.mark.parametrize("largest", [2**25, 2**62])
def test_tags_too_great_for_a_table(sort, tag_type, largest):
    """Nothing of the size nodes times tags is made before it is known to be sensible."""
    graph = hf.graph(([0, 1, 2], [1, 2, 0]), num_nodes=100)
    tags = torch.zeros(100 if tag_type == "node" else 3, dtype=torch.int64)
    tags[2] = largest
    with pytest.raises(ValueError, match=rf"tag: the offsets of 100 nodes .*{largest} would be"):
        sort(graph, tags, tag_type=tag_type)
    compact = torch.unique(tags, return_inverse=True)[1]
    assert sort(graph, compact, tag_type=tag_type).ndata["_TAG_OFFSET"].shape == (100, 3)
