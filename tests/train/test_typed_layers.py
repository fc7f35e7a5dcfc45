"""The layers of typed models against others that compute the same."""

from __future__ import annotations

import pytest
import torch

import hopflow as hf
from hopflow.train.typed_hgt import HGTLayer, merge_types
from hopflow.train.typed_layers import RGCNLayer, SAGELayer

TYPES = ("a", "b", "c")
RELATIONS = [("a", "r", "b"), ("a", "s", "b"), ("b", "r", "a"), ("b", "t", "b"), ("c", "u", "a")]
OPTIONS = {"dropout": 0.0, "is_last": True}


@pytest.fixture
def block() -> hf.Block:
    """Sampled: the first sources of each type are its destinations; no destination is a "c"."""
    generator = torch.Generator().manual_seed(1)
    counts = {"a": 40, "b": 50, "c": 9}
    edges = {
        relation: tuple(
            torch.randint(counts[relation[end]], (160,), generator=generator) for end in (0, 2)
        )
        for relation in RELATIONS
    }
    graph = hf.heterograph(edges, counts)
    sampler = hf.dataloading.NeighborSampler([3])
    return sampler.sample(graph, {"a": [7, 3, 30], "b": [1, 49, 20, 5]})[2][0]


@pytest.fixture
def rows(block) -> dict[str, torch.Tensor]:
    return {ntype: torch.randn(block.num_src_nodes(ntype), 6) for ntype in TYPES}


def test_sage_is_hetero_graph_conv_of_sage_conv(block, rows):
    layer = SAGELayer(6, 5, ["a", "b"], RELATIONS, **OPTIONS)
    same = hf.nn.HeteroGraphConv(dict(zip(RELATIONS, layer.convs)), aggregate="mean")
    expected = same(block, rows)
    found = layer(block, rows)
    assert set(found) == {"a", "b"}
    for ntype, out in found.items():
        torch.testing.assert_close(out, expected[ntype])


@pytest.mark.parametrize("bases", [None, 2])
def test_rgcn_is_its_formula(block, rows, bases):
    layer = RGCNLayer(6, 5, ["a", "b"], RELATIONS, bases=bases, **OPTIONS)
    found = layer(block, rows)
    for linear, ntype in zip(layer.own, ["a", "b"]):
        expected = linear(rows[ntype][: block.num_dst_nodes(ntype)])
        for relation, weight in zip(RELATIONS, layer.weights.get_weight()):
            if relation[2] == ntype:
                u, v = block[relation].edges()
                sums = torch.zeros(len(expected), 6).index_add(0, v, rows[relation[0]][u])
                counts = torch.bincount(v, minlength=len(expected)).clamp(min=1)
                expected = expected + (sums / counts[:, None]) @ weight
        torch.testing.assert_close(found[ntype], expected)
    assert layer.weights.W.numel() == {None: 5, 2: 2}[bases] * 30


def test_merged_blocks_hold_what_the_block_does(block, rows):
    relations = RELATIONS[1:]
    merged = merge_types(block, TYPES, relations)
    one = merged.block
    assert (one.num_src_nodes(), one.num_dst_nodes()) == (
        block.num_src_nodes(), block.num_dst_nodes(),
    )  # fmt: skip
    # Names that say type and row: joined as rows are, they tell what an edge connects.
    names = {t: torch.arange(len(rows[t])) + 1000 * number for number, t in enumerate(TYPES)}
    joined = merged.join(names)
    assert torch.equal(joined // 1000, merged.ntypes)
    u, v = one.edges()
    found = {
        (number, int(joined[a]), int(joined[b]))
        for number, a, b in zip(merged.etypes.tolist(), u.tolist(), v.tolist())
    }
    expected = set()
    for number, relation in enumerate(relations):
        for a, b in zip(*(ends.tolist() for ends in block[relation].edges())):
            expected.add((number, int(names[relation[0]][a]), int(names[relation[2]][b])))
    assert found == expected
    back = merged.split(joined[: one.num_dst_nodes()])
    assert set(back) == {"a", "b"}
    for ntype, ids in back.items():
        assert torch.equal(ids, names[ntype][: block.num_dst_nodes(ntype)])


def test_hgt_is_hgt_conv_on_the_homogeneous_graph():
    """A whole graph, which :func:`hopflow.to_homogeneous` merges in an order of its own."""
    generator = torch.Generator().manual_seed(5)
    counts = {"a": 10, "b": 12, "c": 4}
    edges = {
        relation: tuple(
            torch.randint(counts[relation[end]], (40,), generator=generator) for end in (0, 2)
        )
        for relation in RELATIONS
    }
    graph = hf.heterograph(edges, counts)
    rows = {ntype: torch.randn(count, 6) for ntype, count in counts.items()}
    for ntype, x in rows.items():
        graph.nodes[ntype].data["x"] = x
    layer = HGTLayer(6, 3, TYPES, RELATIONS, heads=2, **OPTIONS).eval()
    block = hf.to_block(graph, {ntype: graph.nodes(ntype) for ntype in TYPES})
    found = layer(block, rows)
    whole = hf.to_homogeneous(graph, ndata=["x"])
    expected = layer.conv(whole, whole.ndata["x"], whole.ndata[hf.NTYPE], whole.edata[hf.ETYPE])
    for number, ntype in enumerate(TYPES):
        own = layer.out(expected[whole.ndata[hf.NTYPE] == number])
        torch.testing.assert_close(found[ntype], own, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", [SAGELayer, RGCNLayer, HGTLayer])
def test_types_without_destinations_cost_nothing(kind):
    """A block of one type's destinations: no layer of another type runs."""
    graph = hf.heterograph({r: ([0, 1, 2], [2, 1, 0]) for r in RELATIONS})
    block = hf.dataloading.NeighborSampler([-1]).sample(graph, {"b": [0, 1, 2]})[2][0]
    extra = {RGCNLayer: {"bases": None}, HGTLayer: {"heads": 2}}.get(kind, {})
    layer = kind(6, 5, ["a", "b"], RELATIONS, **OPTIONS, **extra)
    x = {ntype: torch.randn(block.num_src_nodes(ntype), 6) for ntype in TYPES}
    out = layer(block, x)
    assert {ntype: tuple(rows.shape) for ntype, rows in out.items()} == {"b": (3, 5)}
    out["b"].sum().backward()
    if kind is SAGELayer:
        used = [conv.fc_neigh.weight.grad is not None for conv in layer.convs]
        assert used == [dst == "b" for _, _, dst in RELATIONS]
