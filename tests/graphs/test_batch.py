"""batch, unbatch, slice_batch and merge: what they keep, and what they refuse."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from helpers import IDS

import hopflow as hf

SEVERAL = [("item", "near", "item"), ("user", "likes", "item")]


def plain(seed: int, n: int, m: int, idtype: torch.dtype = torch.int64) -> hf.Graph:
    """A random graph with columns; edges in no order."""
    rng = torch.Generator().manual_seed(seed)
    ends = torch.randint(max(n, 1), (2, m), generator=rng)
    g = hf.graph((ends[0], ends[1]), num_nodes=n, idtype=idtype)
    g.ndata["x"] = torch.rand(n, 2, generator=rng)
    g.edata["w"] = torch.rand(m, generator=rng)
    return g


def typed(seed: int, users: int, items: int, m: int) -> hf.Graph:
    """A random graph of two node types and two relations."""
    rng = torch.Generator().manual_seed(seed)
    users_of = torch.randint(max(users, 1), (m,), generator=rng)
    first, second = torch.randint(max(items, 1), (2, m), generator=rng)
    g = hf.heterograph(
        {("user", "likes", "item"): (users_of, first), ("item", "near", "item"): (first, second)},
        {"user": users, "item": items},
    )
    g.nodes["item"].data["x"] = torch.rand(items, 2, generator=rng)
    g.edges["likes"].data["w"] = torch.rand(m, generator=rng)
    return g


def assert_same(got: hf.Graph, want: hf.Graph) -> None:
    """Types, edges by id, columns, and whether messages flow alike."""
    assert got.ntypes == want.ntypes
    assert got.canonical_etypes == want.canonical_etypes
    assert got.idtype == want.idtype
    for ntype in want.ntypes:
        assert got.num_nodes(ntype) == want.num_nodes(ntype)
        assert list(got.nodes[ntype].data) == list(want.nodes[ntype].data)
        for key, x in want.nodes[ntype].data.items():
            assert torch.equal(got.nodes[ntype].data[key], x)
    for relation in want.canonical_etypes:
        for ours, theirs in zip(got.edges(etype=relation), want.edges(etype=relation)):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
        assert torch.equal(got.in_degrees(etype=relation), want.in_degrees(etype=relation))
        assert list(got.edges[relation].data) == list(want.edges[relation].data)
        for key, x in want.edges[relation].data.items():
            assert torch.equal(got.edges[relation].data[key], x)


SIZES = [(4, 6), (0, 0), (3, 0), (1, 2), (5, 9)]


@pytest.mark.parametrize("idtype", IDS)
def test_edges_and_columns_one_after_the_other(idtype):
    graphs = [plain(i, n, m, idtype) for i, (n, m) in enumerate(SIZES)]
    made = hf.batch(graphs)
    assert made.idtype == idtype
    assert made.batch_size == len(SIZES)
    for sizes, at in ((made.batch_num_nodes(), 0), (made.batch_num_edges(), 1)):
        assert sizes.dtype == idtype
        assert sizes.tolist() == [size[at] for size in SIZES]
    src, dst = made.edges()
    start = [0, 4, 4, 7, 8]
    for i, end in enumerate((src, dst)):
        want = torch.cat([g.edges()[i] + first for g, first in zip(graphs, start)])
        assert torch.equal(end, want.to(idtype))
    assert torch.equal(made.ndata["x"], torch.cat([g.ndata["x"] for g in graphs]))
    assert torch.equal(made.edata["w"], torch.cat([g.edata["w"] for g in graphs]))
    for got, want in zip(hf.unbatch(made), graphs, strict=True):
        assert_same(got, want)
        assert got.batch_size == 1


def test_messages_flow_within_each_graph():
    """The in-edges are joined without a sort; kernels and their backward passes agree."""
    graphs = [plain(i, n, m) for i, (n, m) in enumerate(SIZES)]
    made = hf.batch(graphs)
    x = made.ndata["x"].clone().requires_grad_()
    out = hf.functional.u_mul_e_sum(made, x, made.edata["w"].unsqueeze(1))
    out.square().sum().backward()
    wanted, grads = [], []
    for g in graphs:
        own = g.ndata["x"].clone().requires_grad_()
        part = hf.functional.u_mul_e_sum(g, own, g.edata["w"].unsqueeze(1))
        part.square().sum().backward()
        wanted.append(part)
        grads.append(own.grad)
    assert torch.equal(out, torch.cat(wanted))
    assert torch.equal(x.grad, torch.cat(grads))


def test_several_types():
    graphs = [typed(0, 3, 4, 5), typed(1, 0, 2, 0), typed(2, 2, 1, 3)]
    made = hf.batch(graphs)
    assert made.batch_size == 3
    assert made.batch_num_nodes("user").tolist() == [3, 0, 2]
    assert made.batch_num_nodes("item").tolist() == [4, 2, 1]
    assert made.batch_num_edges("likes").tolist() == [5, 0, 3]
    assert made.batch_num_edges(("item", "near", "item")).tolist() == [5, 0, 3]
    for got, want in zip(hf.unbatch(made), graphs, strict=True):
        assert_same(got, want)
    for i, want in enumerate(graphs):
        part = hf.slice_batch(made, i, store_ids=True)
        assert (
            part.nodes["item"].data.pop(hf.NID).tolist()
            == [*range(7)][[0, 4, 6][i] :][: want.num_nodes("item")]
        )
        assert part.nodes["user"].data.pop(hf.NID).shape == (want.num_nodes("user"),)
        assert part.edges["near"].data.pop(hf.EID).shape == (want.num_edges("near"),)
        assert (
            part.edges["likes"].data.pop(hf.EID).tolist()
            == [*range(8)][[0, 5, 5][i] :][: want.num_edges("likes")]
        )
        assert_same(part, want)
    with pytest.raises(ValueError, match="ntype"):
        made.batch_num_nodes()
    with pytest.raises(ValueError, match="etype"):
        made.batch_num_edges()


def test_a_batch_of_batches_holds_their_graphs():
    graphs = [plain(i, n, m) for i, (n, m) in enumerate(SIZES)]
    made = hf.batch([hf.batch(graphs[:2]), graphs[2], hf.batch(graphs[3:])])
    assert made.batch_num_nodes().tolist() == [n for n, _ in SIZES]
    for got, want in zip(hf.unbatch(made), graphs, strict=True):
        assert_same(got, want)


def test_some_columns():
    graphs = [plain(0, 3, 4), plain(1, 2, 1)]
    graphs[1].ndata["own"] = torch.ones(2)
    with pytest.raises(ValueError, match=r"graphs\[1\]: expected the node columns 'x'.* ndata"):
        hf.batch(graphs)
    made = hf.batch(graphs, ndata=["x"], edata=None)
    assert list(made.ndata) == ["x"]
    assert list(made.edata) == []
    with pytest.raises(ValueError, match="'own'"):
        hf.batch(graphs, ndata=["own"])
    with pytest.raises(TypeError, match="ndata: expected a list"):
        hf.batch(graphs, ndata="x")
    graphs[1].ndata["x"] = torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"graphs\[1\]: node column 'x': expected rows of shape"):
        hf.batch(graphs, ndata=["x"])


def test_gradients_reach_the_graphs():
    graphs = [plain(0, 3, 4), plain(1, 2, 1)]
    leaves = [g.ndata["x"].clone().requires_grad_() for g in graphs]
    for g, x in zip(graphs, leaves):
        g.ndata["x"] = x
    parts = hf.unbatch(hf.batch(graphs))
    (2 * parts[1].ndata["x"]).sum().backward()
    assert torch.equal(leaves[0].grad, torch.zeros(3, 2))
    assert torch.equal(leaves[1].grad, torch.full((2, 2), 2.0))


def test_a_batch_made_without_gradients_serves_training():
    with torch.inference_mode():
        made = hf.batch([plain(0, 3, 4), plain(1, 2, 1)])
    x = torch.rand(5, 2, requires_grad=True)
    hf.functional.copy_u_sum(made, x).sum().backward()
    assert torch.equal(x.grad[:, 0], made.out_degrees().float())


@pytest.mark.parametrize("how", [pickle, copy])
def test_copies_are_batches(how):
    made = hf.batch([plain(i, n, m) for i, (n, m) in enumerate(SIZES)])
    other = copy.deepcopy(made) if how is copy else pickle.loads(pickle.dumps(made))
    assert_same(other, made)
    assert other.batch_num_nodes().tolist() == [n for n, _ in SIZES]


def test_what_keeps_the_sizes():
    nodes = [n for n, _ in SIZES]
    made = hf.batch([plain(i, n, m) for i, (n, m) in enumerate(SIZES)])
    keeps = [made.local_var(), made.clone(), made.int(), made.to("cpu"), hf.to_double(made)]
    for g in (*keeps, made.formats("csr")):
        assert g.batch_num_nodes().tolist() == nodes
    assert made.int().batch_num_nodes().dtype == torch.int32
    for g in (made.reverse(), hf.add_self_loop(made), hf.to_simple(made), made.subgraph([0, 1])):
        assert g.batch_size == 1
    assert made.sample_neighbors([0], 1).batch_size == 1
    # The sizes handed out are copies.
    made.batch_num_nodes().fill_(0)
    assert made.batch_num_nodes().tolist() == nodes


def test_what_is_left_out_is_taken_off_the_sizes():
    made = hf.batch([hf.graph(([0, 1, 1], [1, 1, 2])), hf.graph(([], []), num_nodes=1),
                     hf.graph(([0, 0], [0, 1]))])  # fmt: skip
    loopless = hf.remove_self_loop(made)
    assert loopless.batch_num_edges().tolist() == [2, 0, 1]
    assert [g.num_edges() for g in hf.unbatch(loopless)] == [2, 0, 1]
    fewer = hf.remove_edges(made, [4, 0])
    assert fewer.batch_num_edges().tolist() == [2, 0, 1]
    assert fewer.batch_num_nodes().tolist() == [3, 1, 2]
    smaller = hf.remove_nodes(made, [3, 1])
    assert smaller.batch_num_nodes().tolist() == [2, 0, 2]
    assert smaller.batch_num_edges().tolist() == [0, 0, 2]
    assert hf.remove_nodes(made, []).batch_num_edges().tolist() == [3, 0, 2]


def test_sizes_can_be_set():
    g = hf.batch([plain(i, n, m) for i, (n, m) in enumerate(SIZES)]).reverse()
    g.set_batch_num_nodes([n for n, _ in SIZES])
    g.set_batch_num_edges(torch.tensor([m for _, m in SIZES], dtype=torch.int32))
    assert g.batch_size == 5
    parts = hf.unbatch(g)
    assert_same(parts[4], hf.reverse(plain(4, 5, 9), copy_edata=False))
    two = hf.unbatch(g, [7, 6], torch.tensor([6, 11]))
    assert [part.num_edges() for part in two] == [6, 11]
    with pytest.raises(ValueError, match="add up to the 13 nodes, got 12"):
        g.set_batch_num_nodes([12])
    with pytest.raises(ValueError, match="at least 0, got -1"):
        g.set_batch_num_nodes([14, -1])
    with pytest.raises(TypeError, match="integer"):
        g.set_batch_num_nodes(torch.tensor([13.0]))
    with pytest.raises(ValueError, match="node types of '_N', got 'x'"):
        g.set_batch_num_nodes({"x": [13]})
    many = typed(0, 3, 4, 5)
    with pytest.raises(ValueError, match="dict by node type"):
        many.set_batch_num_nodes([7])
    with pytest.raises(ValueError, match="equally many graphs"):
        many.set_batch_num_nodes({"user": [3], "item": [2, 2]})
    many.set_batch_num_edges({"likes": [2, 3]})
    with pytest.raises(ValueError, match="not for"):
        many.batch_num_edges("near")


def test_unbatch_sees_edges_between_graphs():
    g = hf.graph(([0, 2, 1], [1, 3, 0]))
    with pytest.raises(ValueError, match=r"graph 0 of the batch: expected 2 edges .* size of 1"):
        hf.unbatch(g, [2, 2], [1, 2])
    with pytest.raises(ValueError, match="consecutive ids"):
        hf.unbatch(g, [2, 2], [2, 1])
    with pytest.raises(ValueError, match="lead between its own"):
        hf.unbatch(hf.graph(([0, 0], [1, 3])), [2, 2], [1, 1])
    with pytest.raises(ValueError, match="equally many graphs"):
        hf.unbatch(g, [2, 2], [3])
    with pytest.raises(ValueError, match="add up to the 4 nodes"):
        hf.unbatch(g, [2, 3], [2, 1])
    with pytest.raises(ValueError, match="node_split: expected a dict"):
        hf.unbatch(typed(0, 3, 4, 5), [7])
    with pytest.raises(ValueError, match="node_split: expected sizes for"):
        hf.unbatch(typed(0, 3, 4, 5), {"user": [3]})


def test_no_such_graph():
    made = hf.batch([plain(0, 3, 4), plain(1, 2, 1)])
    for gid in (2, -1):
        with pytest.raises(IndexError, match="0 <= gid < 2"):
            hf.slice_batch(made, gid)
    with pytest.raises(TypeError, match="gid"):
        hf.slice_batch(made, "0")


def test_what_is_refused():
    g = plain(0, 3, 4)
    block = hf.create_block(([0], [0]))
    for function in (hf.batch, hf.merge):
        with pytest.raises(ValueError, match="at least one graph"):
            function([])
        with pytest.raises(TypeError, match="list of graphs, got Graph"):
            function(g)
        with pytest.raises(TypeError, match=r"graphs\[1\]: expected a hopflow.Graph, got int"):
            function([g, 3])
        with pytest.raises(ValueError, match=r"graphs\[1\]: expected a graph, got a block"):
            function([g, block])
        with pytest.raises(ValueError, match=r"graphs\[1\]: expected ids of dtype torch.int64"):
            function([g, g.int()])
        with pytest.raises(ValueError, match=r"graphs\[1\]: expected the node types"):
            function([g, typed(0, 1, 1, 1)])
        other = hf.heterograph({("user", "likes", "item"): ([0], [0])})
        with pytest.raises(ValueError, match=r"graphs\[1\]: expected the edge types"):
            function([typed(0, 1, 1, 1), other])
    for refuses in (hf.unbatch, lambda b: hf.slice_batch(b, 0)):
        with pytest.raises(ValueError, match="got a block"):
            refuses(block)
    assert block.batch_size == 1
    assert block.batch_num_nodes().tolist() == [1]
    with pytest.raises(ValueError, match="got a block"):
        block.set_batch_num_nodes([1])


# --- merge


def test_merge_joins_by_id():
    first = hf.graph(([0, 1], [1, 0]), num_nodes=2)
    second = hf.graph(([3, 0], [1, 1]), num_nodes=5)
    first.ndata["x"], second.ndata["y"] = torch.tensor([1.0, 2.0]), torch.arange(5)
    first.edata["w"], second.edata["w"] = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    third = hf.graph(([], []), num_nodes=1)
    third.ndata["x"] = torch.tensor([7.0])
    third.edata["w"] = torch.zeros(0)
    made = hf.merge([first, second, third])
    assert made.num_nodes() == 5
    assert [end.tolist() for end in made.edges()] == [[0, 1, 3, 0], [1, 0, 1, 1]]
    assert made.edata["w"].tolist() == [1, 2, 3, 4]
    assert made.ndata["x"].tolist() == [7, 2, 0, 0, 0]
    assert made.ndata["y"].tolist() == [0, 1, 2, 3, 4]
    assert made.batch_size == 1
    with pytest.raises(ValueError, match="'w'"):
        hf.merge([first, hf.graph(([0], [0]))])
    second.ndata["x"] = torch.ones(5, 2)
    with pytest.raises(ValueError, match=r"graphs\[1\]: node column 'x'"):
        hf.merge([first, second])


def test_merge_of_several_types():
    made = hf.merge([typed(0, 3, 4, 5), typed(1, 1, 6, 2)])
    assert (made.num_nodes("user"), made.num_nodes("item")) == (3, 6)
    assert made.num_edges("likes") == made.num_edges("near") == 7
