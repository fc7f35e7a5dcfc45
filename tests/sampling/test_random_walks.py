"""Random walks on graphs: DGL's arguments and results, metapaths, weights, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import IDS
from scipy import stats

import hopflow as hf
from hopflow import ops
from hopflow.sampling import node2vec_random_walk, pack_traces, random_walk
from hopflow.sampling.random import batch_stream


def follows(idtype: torch.dtype = torch.int64) -> hf.Graph:
    """Five nodes; 4 has no edge, and edges are not in the order of their ends."""
    return hf.graph(([0, 3, 1, 2, 1], [1, 0, 2, 0, 3]), num_nodes=5, idtype=idtype)


def shop(idtype: torch.dtype = torch.int64) -> hf.Graph:
    """Users who follow users and view items; item 3 has been seen by nobody."""
    return hf.heterograph(
        {
            ("user", "follows", "user"): ([0, 1, 1, 2, 3], [1, 2, 3, 0, 0]),
            ("user", "views", "item"): ([0, 0, 1, 2, 3, 3], [0, 1, 1, 2, 2, 1]),
            ("item", "seen", "user"): ([0, 1, 1, 2, 2, 1], [0, 0, 1, 2, 3, 3]),
        },
        {"user": 5, "item": 4},
        idtype=idtype,
    )


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("idtype", IDS)
def test_a_walk_follows_the_edges_that_it_names(idtype):
    g = follows(idtype)
    nodes = torch.arange(5).repeat(20)
    traces, eids, types = random_walk(g, nodes, length=6, return_eids=True)
    assert traces.dtype == eids.dtype == types.dtype == idtype
    assert traces.shape == (100, 7)
    assert types.tolist() == [0] * 7
    assert torch.equal(traces[:, 0].long(), nodes)
    is_step = traces[:, 1:] >= 0
    assert torch.equal(is_step, eids >= 0)
    src, dst = g.find_edges(eids[is_step])
    assert torch.equal(src, traces[:, :-1][is_step])
    assert torch.equal(dst, traces[:, 1:][is_step])
    assert (traces[nodes == 4, 1:] == -1).all()
    assert (traces[nodes != 4] >= 0).all()  # no other node is a dead end


@pytest.mark.parametrize("idtype", IDS)
def test_metapath(idtype):
    g = shop(idtype)
    metapath = ["follows", ("user", "views", "item"), "seen"] * 2
    nodes = torch.arange(5).repeat(10)
    traces, eids, types = random_walk(g, nodes, metapath=metapath, return_eids=True)
    assert types.tolist() == [g.ntypes.index(t) for t in ["user", "user", "item"] * 2 + ["user"]]
    assert traces.dtype == types.dtype == idtype
    for step, etype in enumerate(metapath):
        is_step = traces[:, step + 1] >= 0
        src, dst = g.find_edges(eids[is_step, step], etype=etype)
        assert torch.equal(src, traces[is_step, step])
        assert torch.equal(dst, traces[is_step, step + 1])
    assert (traces[nodes != 4] >= 0).all()
    assert (traces[nodes == 4, 1:] == -1).all()


def test_items_may_be_where_walks_begin():
    traces, types = random_walk(shop(), [3, 0], metapath=["seen"])
    assert traces.tolist() == [[3, -1], [0, 0]]
    assert types.tolist() == [0, 1]  # DGL, too, sorts the names of types


def test_weights_and_metapath_have_their_law():
    g = shop()
    g.edges["views"].data["w"] = torch.tensor([1.0, 3.0, 0.0, 1.0, 5.0, 2.0])
    traces, _ = random_walk(g, [0] * 20_000 + [3] * 20_000, metapath=["views", "seen"], prob="w")
    assert random_walk(g, [1], metapath=["views"], prob="w")[0].tolist() == [[1, -1]]  # weight 0
    first = torch.bincount(traces[:20_000, 1], minlength=4)
    # To user 0 from item 0 always, from item 1 in one of three: parallel types are uniform.
    assert stats.chisquare(first[:2].tolist(), [5_000, 15_000]).pvalue > 1e-6
    assert first[2:].sum() == 0
    last = torch.bincount(traces[20_000:, 2], minlength=5)
    through_1, through_2 = 2 / 7, 5 / 7
    expected = [through_1 / 3, through_1 / 3, through_2 / 2, through_1 / 3 + through_2 / 2]
    assert stats.chisquare(last[:4].tolist(), [20_000 * p for p in expected]).pvalue > 1e-6


@pytest.mark.parametrize("form", ["tensor", "list", "array", "number", "int"])
def test_restart(form):
    g = hf.graph(([0], [0]))
    given = {
        "tensor": torch.tensor([0.5, 0.5]), "list": [0.5, 0.5], "array": np.array([0.5, 0.5]),
        "number": 0.5, "int": 1,
    }[form]  # fmt: skip
    traces, _ = random_walk(g, [0] * 8_000, length=2, restart_prob=given)
    lengths = torch.bincount((traces >= 0).sum(1), minlength=4).tolist()
    if form == "int":
        assert lengths == [0, 8_000, 0, 0]
    else:
        assert lengths[0] == 0
        assert stats.chisquare(lengths[1:], [4_000, 2_000, 2_000]).pvalue > 1e-6


def test_restart_of_one_step():
    restart = torch.tensor([0.0, 1.0, 0.0])
    traces, _ = random_walk(shop(), [0, 1], metapath=["follows", "views", "seen"],
                            restart_prob=restart)  # fmt: skip
    assert (traces[:, :2] >= 0).all()
    assert (traces[:, 2:] == -1).all()


def test_a_mask_draws_some_edges():
    g = follows()
    g.edata["kept"] = torch.tensor([True, True, False, True, True])
    traces, eids, _ = random_walk(g, [1] * 50, length=3, prob="kept", return_eids=True)
    assert traces.tolist() == [[1, 3, 0, 1]] * 50
    assert eids.tolist() == [[4, 1, 0]] * 50
    with pytest.raises(KeyError, match="nothing"):
        random_walk(g, [1], length=3, prob="nothing")


def test_nodes_as_users_give_them():
    g = follows()
    mask = torch.tensor([True, False, True, False, False])
    for nodes in (torch.tensor([0, 2]), [0, 2], np.array([0, 2]), mask, range(0, 3, 2)):
        assert random_walk(g, nodes, length=1)[0].tolist() == [[0, 1], [2, 0]]
    assert random_walk(g, 2, length=1)[0].tolist() == [[2, 0]]
    traces, eids, types = random_walk(g, [], length=2, return_eids=True)
    assert (traces.shape, eids.shape, types.shape) == ((0, 3), (0, 2), (3,))
    assert random_walk(g, [4, 0], length=0)[0].tolist() == [[4], [0]]
    assert random_walk(g, [4, 0], metapath=[])[0].tolist() == [[4], [0]]
    assert random_walk(g, [0], metapath=["_E"], length=7)[0].tolist() == [[0, 1]]
    empty = hf.graph(([], []), num_nodes=2)
    assert random_walk(empty, [1, 0], length=2)[0].tolist() == [[1, -1, -1], [0, -1, -1]]
    assert node2vec_random_walk(empty, [1], 1, 1, 2).tolist() == [[1, -1, -1]]


def test_draws_are_those_of_the_batch():
    g = hf.rand_graph(50, 600) if hasattr(hf, "rand_graph") else hf.graph(
        (torch.randint(50, (600,)), torch.randint(50, (600,))), num_nodes=50
    )  # fmt: skip
    nodes = torch.arange(50)

    def drawn(*coordinates: int) -> list[torch.Tensor]:
        with batch_stream(*coordinates):
            once = random_walk(g, nodes, length=5)[0]
            return [once, random_walk(g, nodes, length=5)[0],
                    node2vec_random_walk(g, nodes, 0.5, 2, 5)]  # fmt: skip

    first, again, other = drawn(1, 2, 3), drawn(1, 2, 3), drawn(1, 2, 4)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    assert not any(torch.equal(a, b) for a, b in zip(first, other))
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(5)
    free = random_walk(g, nodes, length=5)[0]
    assert not torch.equal(free, random_walk(g, nodes, length=5)[0])
    torch.manual_seed(5)
    assert torch.equal(free, random_walk(g, nodes, length=5)[0])


def test_a_loader_draws_alike_with_and_without_workers():
    class Walks(hf.dataloading.Sampler):
        def sample(self, g, seeds, exclude_eids=None):
            return random_walk(g, seeds, length=4)[0]

    src, dst = torch.randint(40, (2, 300))
    g = hf.graph((src, dst), num_nodes=40)
    found = []
    for workers in (0, 2):
        torch.manual_seed(3)
        loader = hf.dataloading.DataLoader(
            g, torch.arange(40), Walks(), batch_size=16, shuffle=False, num_workers=workers
        )
        found.append([batch for _ in range(2) for batch in loader])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert not torch.equal(found[0][0], found[0][3])  # the next epoch's


def test_pack_traces():
    traces = torch.tensor([[0, 1, -1], [-1, -1, -1], [2, 3, 4], [5, -1, 3]])
    packed = pack_traces(traces, torch.tensor([0, 1, 0]))
    assert [x.tolist() for x in packed] == [
        [0, 1, 2, 3, 4, 5], [0, 1, 0, 1, 0, 0], [2, 0, 3, 1], [0, 2, 2, 5],
    ]  # fmt: skip
    packed = pack_traces(traces.int(), torch.tensor([0, 1, 0]).int())
    assert [x.dtype for x in packed] == [torch.int32] * 2 + [torch.int64] * 2
    none = pack_traces(traces[:0], torch.tensor([0, 1, 0]))
    assert [x.tolist() for x in none] == [[], [], [], []]
    with pytest.raises(ValueError, match="types: expected one for each of the 3 columns"):
        pack_traces(traces, torch.tensor([0, 1]))
    with pytest.raises(TypeError, match="traces: expected int32 or int64"):
        pack_traces(traces.float(), torch.tensor([0, 1, 0]))
    with pytest.raises(ValueError, match="traces: expected 2 dimensions"):
        pack_traces(traces[0], torch.tensor([0, 1, 0]))
    with pytest.raises(TypeError, match=r"types: expected a torch\.Tensor"):
        pack_traces(traces, [0, 1, 0])


@pytest.mark.parametrize("idtype", IDS)
def test_node2vec_follows_edges_and_has_dgls_direction(idtype):
    # From 0 to 1, then to 2 or 3. An edge leads from 3 to 0, none from 2 to 0: 2 is far.
    g = hf.graph(([0, 1, 1, 0, 3], [1, 2, 3, 2, 0]), idtype=idtype)
    g.edata["w"] = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    for prob in (None, "w"):  # an edge of weight 0 counts, but is never taken
        traces, eids = node2vec_random_walk(g, [0] * 4_000, 1.0, 0.25, 2, prob, return_eids=True)
        assert traces.dtype == eids.dtype == idtype
        assert prob is None or (traces[:, 1] == 1).all()
        third = traces[traces[:, 1] == 1, 2].long()
        counts = torch.bincount(third, minlength=4).tolist()
        assert counts[:2] == [0, 0]
        expected = [len(third) * 0.8, len(third) * 0.2]
        assert stats.chisquare(counts[2:], expected).pvalue > 1e-6
        is_step = eids >= 0
        assert torch.equal(g.find_edges(eids[is_step])[1], traces[:, 1:][is_step])


def test_rows_of_out_edges_rise():
    """What node2vec's searches rest on, also where edges come in another order or are masked."""
    src, dst = torch.randint(30, (2, 400))
    g = hf.graph((src, dst))
    g.edata["w"] = torch.rand(400).round()
    from hopflow.sampling.edge_pools import edge_pool

    for prob in (None, "w"):
        edges = edge_pool(g, "out", prob).adjacency
        row = ops.destinations(edges.indptr, edges.num_edges, torch.int64)
        assert bool((torch.diff(row * 30 + edges.indices) >= 0).all())


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({}, ValueError, "metapath, length: expected one of them"),
        ({"length": -1}, ValueError, "length: expected at least 0, got -1"),
        ({"length": 1.5}, TypeError, "length: expected an int"),
        ({"metapath": "_E"}, TypeError, "metapath: expected a list"),
        ({"metapath": ["likes"]}, ValueError, r"metapath\[0\]: etype: expected one of .*'likes'"),
        ({"length": 2, "restart_prob": [0.1]}, ValueError, "restart_prob: .*each of the 2 steps"),
        ({"length": 2, "restart_prob": 1.5}, ValueError, "restart_prob: expected a prob.*1.5"),
        ({"length": 0, "restart_prob": -1.0}, ValueError, "restart_prob: expected a probability"),
        ({"length": 2, "restart_prob": [0, -0.5]}, ValueError, r"restart_prob\[1\]: .*-0.5"),
        ({"length": 2, "restart_prob": "often"}, TypeError, "restart_prob: expected a number"),
        ({"length": 2, "restart_prob": True}, TypeError, "restart_prob: .* got bool"),
        ({"length": 2, "nodes": [0, 5]}, IndexError, r"nodes\[1\] is 5"),
        ({"length": 2, "nodes": [-1]}, IndexError, r"nodes\[0\] is -1"),
        ({"length": 2, "nodes": [0.5]}, TypeError, "nodes: expected integer ids"),
        ({"length": 2, "prob": "bad"}, ValueError, "prob: expected finite weights >= 0"),
    ],
)
def test_mistakes(arguments, error, match):
    g = follows()
    g.edata["bad"] = torch.tensor([1.0, -1.0, 1.0, 1.0, 1.0])
    with pytest.raises(error, match=match):
        random_walk(g, **{"nodes": [0], **arguments})


def test_mistakes_where_there_are_types():
    g = shop()
    with pytest.raises(ValueError, match=r"metapath\[1\]: .* that leaves 'item'"):
        random_walk(g, [0], metapath=["views", "follows"])
    with pytest.raises(ValueError, match="metapath: expected the edge type of each step"):
        random_walk(g, [0], length=2)
    with pytest.raises(ValueError, match="metapath: expected at least one edge type"):
        random_walk(g, [0], metapath=[])
    with pytest.raises(IndexError, match=r"nodes\[0\] is 4, expected 0 <= id < 4"):
        random_walk(g, [4], metapath=["seen"])
    with pytest.raises(ValueError, match="expected one node type and one edge type"):
        node2vec_random_walk(g, [0], 1, 1, 2)
    with pytest.raises(TypeError, match=r"expected a hopflow\.Graph"):
        random_walk([0], [0], length=1)


@pytest.mark.parametrize(
    ("p", "q", "length", "error", "match"),
    [
        (0, 1, 2, ValueError, "p: expected a positive"),
        (1, -1, 2, ValueError, "q: expected a positive"),
        (float("nan"), 1, 2, ValueError, "p: expected a positive"),
        (1, float("inf"), 2, ValueError, "q: expected a positive"),
        (1, 1e-310, 2, ValueError, "q: expected a positive"),
        ([1], 1, 2, TypeError, "p: expected a number"),
        pytest.param(1, 10**400, 2, ValueError, "q: expected a number that float64", id="huge"),
        (1, 1, -2, ValueError, "walk_length: expected at least 0"),
    ],
)
def test_mistakes_of_node2vec(p, q, length, error, match):
    with pytest.raises(error, match=match):
        node2vec_random_walk(follows(), [0], p, q, length)
