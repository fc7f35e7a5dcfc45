"""Blocks: destination prefix, lazy columns, numbering, and modules written for graphs."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
import hopflow.function as fn


class SAGEConvForBoth(nn.Module):
    """The layer of DGL's tutorial on writing modules for graphs and blocks alike."""

    def __init__(self, in_feats: int, out_feats: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * in_feats, out_feats)

    def forward(self, g: hf.Graph, h: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        with g.local_scope():
            h_src, h_dst = h if isinstance(h, tuple) else (h, h)
            g.srcdata["h"] = h_src
            g.update_all(message_func=fn.copy_u("h", "m"), reduce_func=fn.mean("m", "h_N"))
            h_neigh = g.ndata["h_N"]
            return self.linear(torch.cat([h_dst, h_neigh], dim=1))


@pytest.fixture
def gathered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what gather_rows has been asked to gather since the test began."""
    calls: list[tuple[int, ...]] = []
    original = hf.ops.gather_rows

    def counting(x: Tensor, ids: Tensor) -> Tensor:
        calls.append(tuple(x.shape))
        return original(x, ids)

    monkeypatch.setattr(hf.ops, "gather_rows", counting)
    return calls


def global_edges(block: hf.Block) -> list[tuple[int, int]]:
    """A block's edges in the parent's node ids."""
    src, dst = block.edges()
    src_ids, dst_ids = block.srcdata[hf.NID], block.dstdata[hf.NID]
    return list(zip(src_ids[src.long()].tolist(), dst_ids[dst.long()].tolist()))


SEEDS = [5, 190, 17, 3, 60]  # 190 is isolated


def sampled(graph: hf.Graph) -> hf.Graph:
    """At most four in-edges of each seed."""
    return hf.sample_neighbors(graph, SEEDS, 4)


@pytest.mark.parametrize("make", [sampled, lambda g: hf.in_subgraph(g, SEEDS)])
@pytest.mark.parametrize("order", [SEEDS, SEEDS[::-1], [190, 60, 5, 17, 3, 191, 0, 44]])
def test_to_block(small_graph: hf.Graph, make: Any, order: list[int]) -> None:
    """Prefix, numbering and columns, whatever the order and number of destinations."""
    frontier = make(small_graph)
    block = hf.to_block(frontier, order)
    assert block.is_block
    assert block.num_dst_nodes() == len(order)
    assert block.dstdata[hf.NID].tolist() == order
    src_ids = block.srcdata[hf.NID].tolist()
    assert src_ids[: len(order)] == order
    assert len(set(src_ids)) == len(src_ids) == block.num_src_nodes()
    assert block.num_nodes() == block.num_src_nodes() + block.num_dst_nodes()
    src, dst = frontier.edges()
    assert global_edges(block) == list(zip(src.tolist(), dst.tolist()))
    # New sources are numbered in order of first appearance, destination by destination.
    of_row = {v: [u for u, w in global_edges(block) if w == v] for v in order}
    assert src_ids == list(dict.fromkeys(order + [u for v in order for u in of_row[v]]))
    assert torch.equal(block.srcdata["feat"], small_graph.ndata["feat"][src_ids])
    assert torch.equal(block.dstdata["label"], small_graph.ndata["label"][order])
    want = torch.tensor([len(of_row[v]) for v in order])
    assert torch.equal(block.in_degrees(), want)


@pytest.mark.parametrize("make", [sampled, lambda g: hf.in_subgraph(g, SEEDS)])
def test_to_block_without_destinations_among_the_sources(small_graph: hf.Graph, make: Any) -> None:
    frontier, order = make(small_graph), SEEDS[::-1]
    block = hf.to_block(frontier, order, include_dst_in_src=False)
    assert block.dstdata[hf.NID].tolist() == order
    assert global_edges(block) == list(zip(*(x.tolist() for x in frontier.edges())))
    src_ids = block.srcdata[hf.NID].tolist()
    of_row = {v: [u for u, w in global_edges(block) if w == v] for v in order}
    assert src_ids == list(dict.fromkeys(u for v in order for u in of_row[v]))
    assert 190 not in src_ids  # without out-edges here
    for name, columns, ids in (("feat", block.srcdata, src_ids), ("label", block.dstdata, order)):
        assert torch.equal(columns[name], small_graph.ndata[name][ids])
    block.update_all(fn.copy_u("feat", "m"), fn.sum("m", "h"))
    usual = hf.to_block(frontier, order)
    usual.update_all(fn.copy_u("feat", "m"), fn.sum("m", "h"))
    assert torch.equal(block.dstdata["h"], usual.dstdata["h"])


def test_ids_lead_back_to_the_parent(small_graph: hf.Graph) -> None:
    """block EID -> edge of the frontier, frontier EID -> edge of the graph."""
    frontier = sampled(small_graph)
    block = hf.to_block(frontier, SEEDS[::-1])
    parent_eids = frontier.edata[hf.EID][block.edata[hf.EID].long()]
    src, dst = small_graph.edges()
    back = list(zip(src[parent_eids].tolist(), dst[parent_eids].tolist()))
    assert back == global_edges(block)
    assert torch.equal(block.edata["weight"], small_graph.edata["weight"][parent_eids])
    assert len(set(parent_eids.tolist())) == block.num_edges()


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
def test_default_destinations(small_graph: hf.Graph, idtype: torch.dtype) -> None:
    graph = small_graph.int() if idtype == torch.int32 else small_graph
    block = hf.to_block(hf.in_subgraph(graph, SEEDS))
    assert block.dstdata[hf.NID].tolist() == [3, 5, 17, 60]
    ids = (block.srcdata[hf.NID], block.edata[hf.EID], *block.edges("all"), block.nodes())
    assert {x.dtype for x in ids} == {idtype}
    assert block.idtype == idtype
    whole = hf.to_block(small_graph)
    assert whole.num_edges() == small_graph.num_edges()
    src, dst = small_graph.edges()
    assert global_edges(whole) == list(zip(src.tolist(), dst.tolist()))


def test_columns_are_gathered_on_first_read_only(
    small_graph: hf.Graph, gathered: list[tuple[int, ...]]
) -> None:
    frontier = sampled(small_graph)
    block = hf.to_block(frontier, SEEDS)
    repr(block), list(block.srcdata), len(block.edata), "feat" in block.srcdata
    block.edges(), block.in_degrees(), block.srcdata[hf.NID], block.dstdata[hf.NID]
    block.srcdata["mine"] = torch.ones(block.num_src_nodes(), 1)
    block.update_all(fn.copy_u("mine", "m"), fn.sum("m", "o"))
    with block.local_scope():
        pass
    assert block.int().num_edges() == block.num_edges()
    assert gathered == []
    assert not block.srcdata.is_read("feat")
    first = block.srcdata["feat"]
    assert gathered == [(200, 5)]
    assert block.srcdata["feat"] is first
    with block.local_scope():
        assert block.srcdata["feat"] is first
    assert gathered == [(200, 5)]
    assert block.srcdata.is_read("feat")
    assert not block.dstdata.is_read("feat")
    block.dstdata["label"], block.edata["weight"]
    # Edge weights pass through the frontier: gathered there once, for both.
    assert gathered[1:] == [(200,), (2000,)]
    frontier.edata["weight"]
    assert len(gathered) == 3


def test_a_read_inside_a_scope_is_kept(
    small_graph: hf.Graph, gathered: list[tuple[int, ...]]
) -> None:
    block = hf.to_block(sampled(small_graph), SEEDS)
    with block.local_scope():
        block.srcdata["feat"]
    block.srcdata["feat"]
    assert len(gathered) == 1


def test_written_columns_hide_the_parents(
    small_graph: hf.Graph, gathered: list[tuple[int, ...]]
) -> None:
    block = hf.to_block(sampled(small_graph), SEEDS)
    block.srcdata["feat"] = mine = torch.zeros(block.num_src_nodes(), 2)
    assert block.srcdata["feat"] is mine
    del block.dstdata["feat"]
    with pytest.raises(KeyError, match="feat"):
        block.dstdata["feat"]
    assert gathered == []
    assert small_graph.ndata["feat"].shape == (200, 5)


def test_a_column_replaced_in_the_parent_is_not_seen(small_graph: hf.Graph) -> None:
    """A block inherits the columns as they are when it is made."""
    block = hf.to_block(sampled(small_graph), SEEDS)
    old = small_graph.ndata["feat"]
    small_graph.ndata["feat"] = torch.zeros(200, 5)
    small_graph.ndata["new"] = torch.zeros(200)
    assert torch.equal(block.dstdata["feat"], old[SEEDS])
    assert "new" not in block.srcdata


def test_gradients_reach_the_parents_column(small_graph: hf.Graph) -> None:
    x = torch.randn(200, 3, requires_grad=True)
    small_graph.ndata["x"] = x
    block = hf.to_block(sampled(small_graph), SEEDS)
    block.update_all(fn.copy_u("x", "m"), fn.sum("m", "o"))
    block.dstdata["o"].sum().backward()
    counts = torch.bincount(torch.tensor([u for u, _ in global_edges(block)]), minlength=200)
    assert x.grad is not None
    assert torch.equal(x.grad, counts.float().unsqueeze(1).expand(200, 3))


def test_reading_without_gradients_does_not_lose_them(small_graph: hf.Graph) -> None:
    """A look at a column under no_grad must not cut it off from its parent for good."""
    small_graph.ndata["x"] = torch.randn(200, 3, requires_grad=True)
    block = hf.to_block(sampled(small_graph), SEEDS)
    with torch.no_grad():
        block.srcdata["x"]
    assert block.srcdata["x"].requires_grad


def test_ndata_is_the_destination_side(small_graph: hf.Graph) -> None:
    block = hf.to_block(sampled(small_graph), SEEDS)
    assert block.ndata is block.dstdata
    assert block.ndata is not block.srcdata
    block.ndata["k"] = torch.ones(5)
    assert "k" not in block.srcdata
    assert block.ndata[hf.NID].tolist() == SEEDS
    with pytest.raises(ValueError, match="5 destination nodes"):
        block.ndata["k"] = torch.ones(block.num_src_nodes())
    with pytest.raises(ValueError, match=f"{block.num_src_nodes()} source nodes"):
        block.srcdata["k"] = torch.ones(5)


def test_create_block() -> None:
    block = hf.create_block(([0, 3, 3], [1, 1, 0]))
    assert (block.num_src_nodes(), block.num_dst_nodes(), block.num_edges()) == (4, 2, 3)
    assert repr(block) == "Block(num_src_nodes=4, num_dst_nodes=2, num_edges=3)"
    assert not block.srcdata
    assert not block.edata
    block = hf.create_block(([0], [1]), num_src_nodes=2, num_dst_nodes=6, idtype=torch.int32)
    assert (block.num_src_nodes(), block.num_dst_nodes(), block.idtype) == (2, 6, torch.int32)
    assert block.in_degrees().tolist() == [0, 1, 0, 0, 0, 0]
    assert block.out_degrees().tolist() == [1, 0]
    for kind, edges in (("csc", [(0, 0), (4, 0), (1, 1)]), ("csr", [(0, 0), (0, 4), (1, 1)])):
        block = hf.create_block((kind, ([0, 2, 3], [0, 4, 1], [])))
        src, dst = block.edges()
        assert list(zip(src.tolist(), dst.tolist())) == edges
    assert hf.create_block(([], [])).num_nodes() == 0
    empty = hf.create_block(([], []), num_src_nodes=3, num_dst_nodes=2, device="cpu")
    empty.srcdata["h"] = torch.ones(3, 2)
    empty.update_all(fn.copy_u("h", "m"), fn.max("m", "o"))
    assert empty.dstdata["o"].tolist() == [[0, 0], [0, 0]]


def test_module_for_both(small_graph: hf.Graph) -> None:
    """One module gives a node the same result on the graph and on a block with all its edges."""
    layer, x = SAGEConvForBoth(5, 4), small_graph.ndata["feat"]
    whole = layer(small_graph, x)
    block = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)
    h_src = block.srcdata["feat"]
    part = layer(block, (h_src, h_src[: block.num_dst_nodes()]))
    assert torch.allclose(part, whole[SEEDS], atol=1e-6)
    assert "h_N" not in block.ndata
    assert sorted(small_graph.ndata) == ["feat", "label"]


def test_two_hops_compose(small_graph: hf.Graph) -> None:
    """Stacked blocks give what two full layers give."""
    layers, x = [SAGEConvForBoth(5, 4), SAGEConvForBoth(4, 3)], small_graph.ndata["feat"]
    whole = layers[1](small_graph, layers[0](small_graph, x))
    blocks, seeds = [], torch.tensor(SEEDS)
    for _ in range(2):
        blocks.insert(0, hf.to_block(hf.in_subgraph(small_graph, seeds), seeds))
        seeds = blocks[0].srcdata[hf.NID]
    h = blocks[0].srcdata["feat"]
    for layer, block in zip(layers, blocks):
        h = layer(block, (h, h[: block.num_dst_nodes()]))
    assert torch.allclose(h, whole[SEEDS], atol=1e-5)


def test_moves_take_everything_along(small_graph: hf.Graph) -> None:
    block = hf.to_block(sampled(small_graph), SEEDS)
    block.seed_inverse = torch.tensor([0, 0, 1])
    moved = block.to("meta")
    assert isinstance(moved, hf.Block)
    columns = (moved.srcdata["feat"], moved.dstdata[hf.NID], moved.edata["weight"])
    assert moved.seed_inverse is not None
    for x in (moved.edges()[0], *columns, moved.seed_inverse):
        assert x.device.type == "meta"
    assert block.srcdata["feat"].device.type == "cpu"


def test_copies_and_pickles(small_graph: hf.Graph) -> None:
    """Lazy columns survive; a pickle may well read them."""
    block = hf.to_block(sampled(small_graph), SEEDS)
    for other in (copy.copy(block), copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
        assert global_edges(other) == global_edges(block)
        assert torch.equal(other.srcdata["feat"], block.srcdata["feat"])


def test_what_a_user_changes_is_not_the_block(small_graph: hf.Graph) -> None:
    """Ids handed out are copies: the features still to be gathered must not follow them."""
    block = hf.to_block(sampled(small_graph), SEEDS)
    edges = global_edges(block)
    ids = block.srcdata[hf.NID].clone()
    block.srcdata[hf.NID].fill_(0)
    assert torch.equal(block.srcdata["feat"], small_graph.ndata["feat"][ids])
    assert block.dstdata[hf.NID].tolist() == SEEDS
    for handed in block.edges():
        handed.fill_(0)
    block.srcdata[hf.NID] = ids
    assert global_edges(block) == edges
