"""Readouts against plain torch, graph by graph."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import IDS, THREADS
from torch import Tensor

import hopflow as hf
from hopflow.messages.readout import topk_rows

SIZES = [(4, 6), (0, 0), (3, 0), (1, 2), (5, 9), (0, 0)]
REDUCE = {
    "sum": lambda x: x.sum(0),
    "mean": lambda x: x.mean(0),
    "max": lambda x: x.max(0).values,
    "min": lambda x: x.min(0).values,
}


def batch(idtype: torch.dtype = torch.int64, dtype: torch.dtype = torch.float64) -> hf.Graph:
    """A batch of random graphs, some of them empty, the last too."""
    rng = torch.Generator().manual_seed(0)
    graphs = []
    for n, m in SIZES:
        ends = torch.randint(max(n, 1), (2, m), generator=rng)
        graphs.append(hf.graph((ends[0], ends[1]), num_nodes=n, idtype=idtype))
    made = hf.batch(graphs)
    for data, rows in ((made.ndata, made.num_nodes()), (made.edata, made.num_edges())):
        data["x"] = torch.randn(rows, 3, 2, generator=rng, dtype=dtype)
        data["w"] = torch.randn(rows, 3, 1, generator=rng, dtype=dtype)
        data["flat"] = torch.randn(rows, generator=rng, dtype=dtype)
        data["row"] = torch.randn(rows, 4, generator=rng, dtype=dtype)
    return made


def parts(made: hf.Graph, what: str, x: Tensor) -> list[Tensor]:
    """The rows of each graph."""
    sizes = made.batch_num_nodes() if what == "nodes" else made.batch_num_edges()
    return list(x.split(sizes.tolist()))


def columns(made: hf.Graph, what: str):
    return made.ndata if what == "nodes" else made.edata


def function(name: str, what: str):
    return getattr(hf, f"{name}_{what}")


WHAT = pytest.mark.parametrize("what", ["nodes", "edges"])


@WHAT
@pytest.mark.parametrize("idtype", IDS)
@pytest.mark.parametrize("op", REDUCE)
@pytest.mark.parametrize(("feat", "weight"), [("x", None), ("x", "w"), ("flat", None)])
def test_readout(what, idtype, op, feat, weight):
    made = batch(idtype)
    data = columns(made, what)
    x = data[feat] if weight is None else data[feat] * data[weight]
    want = torch.stack([REDUCE[op](p) if len(p) else p.new_zeros(p.shape[1:])
                        for p in parts(made, what, x)])  # fmt: skip
    got = function("readout", what)(made, feat, weight, op=op)
    assert got.dtype == x.dtype
    torch.testing.assert_close(got, want)
    if op != "min":
        torch.testing.assert_close(function(op, what)(made, feat, weight), want)


@pytest.mark.parametrize("op", REDUCE)
def test_gradients(op):
    made = batch()

    def run(x: Tensor, w: Tensor) -> Tensor:
        with made.local_scope():
            made.ndata["x"], made.ndata["w"] = x, w
            return hf.readout_nodes(made, "x", "w", op=op)

    leaves = [made.ndata[key].clone().requires_grad_() for key in ("x", "w")]
    assert torch.autograd.gradcheck(run, leaves)
    assert torch.autograd.gradgradcheck(run, leaves)


def test_softmax_and_broadcast_have_gradients():
    made = batch()

    def softmax(x: Tensor) -> Tensor:
        with made.local_scope():
            made.edata["x"] = x
            return hf.softmax_edges(made, "x")

    def broadcast(x: Tensor) -> Tensor:
        return hf.broadcast_edges(made, x)

    def topk(x: Tensor) -> Tensor:
        return topk_rows(made.batch_num_edges(), x, 3)[0]

    leaf = made.edata["row"].clone().requires_grad_()
    rows = torch.randn(made.batch_size, 2, dtype=torch.float64, requires_grad=True)
    for run, x in ((softmax, leaf), (broadcast, rows), (topk, leaf)):
        assert torch.autograd.gradcheck(run, [x])
        assert torch.autograd.gradgradcheck(run, [x])


@WHAT
@pytest.mark.parametrize("feat", ["x", "flat"])
def test_softmax(what, feat):
    made = batch()
    x = columns(made, what)[feat]
    want = torch.cat([torch.softmax(part, 0) for part in parts(made, what, x)])
    torch.testing.assert_close(function("softmax", what)(made, feat), want)


@WHAT
def test_broadcast(what):
    made = batch()
    rows = torch.randn(made.batch_size, 2, 3)
    got = function("broadcast", what)(made, rows)
    for i, part in enumerate(parts(made, what, got)):
        assert torch.equal(part, rows[i].expand_as(part))
    with pytest.raises(ValueError, match="one row for each of the 6 graphs, got shape"):
        function("broadcast", what)(made, rows[:5])
    with pytest.raises(TypeError, match="graph_feat"):
        function("broadcast", what)(made, [1])
    single = hf.graph(([0, 1], [1, 2]))
    one = function("broadcast", what)(single, torch.tensor([1.0, 2.0]))
    assert torch.equal(one, torch.tensor([[1.0, 2.0]]).expand(len(one), 2))
    assert torch.equal(function("broadcast", what)(single, torch.tensor([[1.0, 2.0]])), one)


@WHAT
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sortby", [None, 0, 2, -1, -4])
@pytest.mark.parametrize("k", [1, 3, 12])
def test_topk(what, descending, sortby, k):
    made = batch()
    x = columns(made, what)["row"]
    options = {"descending": descending, "sortby": sortby}
    values, index = function("topk", what)(made, "row", k, **options)
    assert values.shape == (made.batch_size, k, 4)
    assert index.shape == ((made.batch_size, k, 4) if sortby is None else (made.batch_size, k))
    for rows, got, at in zip(parts(made, what, x), values, index):
        there = min(k, len(rows))
        keys = rows if sortby is None else rows[:, sortby]
        order = keys.sort(0, descending=descending).indices[:there]
        assert torch.equal(at[:there], order)
        want = rows.gather(0, order) if sortby is None else rows[order]
        assert torch.equal(got[:there], want)
        assert not got[there:].any()
        assert (at[there:] >= len(rows)).all()


def test_topk_of_equal_rows_and_infinities():
    g = hf.batch([hf.graph(([], []), num_nodes=n) for n in (3, 1)])
    inf = math.inf
    g.ndata["x"] = torch.tensor([[1.0, inf], [1.0, 0.0], [1.0, 5.0], [2.0, -inf]])
    values, index = hf.topk_nodes(g, "x", 2, sortby=0)
    assert index[0].tolist() == [0, 1]
    assert values[0].tolist() == [[1, inf], [1, 0]]
    assert values[1].tolist() == [[2, -inf], [0, 0]]


def test_infinities_stay_and_integers_are_exact():
    g = hf.batch([hf.graph(([], []), num_nodes=n) for n in (2, 0)])
    g.ndata["x"] = torch.tensor([math.inf, 1.0])
    assert hf.max_nodes(g, "x").tolist() == [math.inf, 0]
    g.ndata["n"] = torch.tensor([2**53, 1])
    assert hf.sum_nodes(g, "n").tolist() == [2**53 + 1, 0]


def test_of_several_types():
    g = hf.heterograph({("a", "x", "b"): ([0, 1], [0, 0]), ("b", "y", "a"): ([0], [2])})
    made = hf.batch([g, g])
    made.nodes["a"].data["h"] = torch.arange(6.0).view(6, 1)
    made.edges["x"].data["h"] = torch.arange(4.0)
    assert hf.sum_nodes(made, "h", ntype="a").tolist() == [[3], [12]]
    assert hf.sum_edges(made, "h", etype="x").tolist() == [1, 5]
    assert hf.mean_edges(made, "h", etype=("a", "x", "b")).tolist() == [0.5, 2.5]
    for call in (lambda: hf.sum_nodes(made, "h"), lambda: hf.sum_edges(made, "h", etype="z")):
        with pytest.raises(ValueError, match="expected one of"):
            call()


def test_a_graph_of_its_own_is_a_batch_of_one():
    g = hf.graph(([0, 1, 1], [1, 2, 0]))
    g.ndata["x"], g.edata["x"] = torch.arange(3.0).view(3, 1), torch.arange(3.0)
    assert hf.sum_nodes(g, "x").tolist() == [[3]]
    assert hf.max_edges(g, "x").tolist() == [2]
    block = hf.create_block(([0, 2], [1, 0]))
    block.edata["x"] = torch.ones(2)
    block.dstdata["x"] = torch.ones(2)
    assert hf.sum_edges(block, "x").tolist() == [2]
    assert hf.sum_nodes(block, "x").tolist() == [2]


def test_what_is_refused():
    made = batch()
    with pytest.raises(KeyError, match="no node column 'y'"):
        hf.sum_nodes(made, "y")
    with pytest.raises(ValueError, match="op: expected sum, mean, max, min, got 'prod'"):
        hf.readout_nodes(made, "x", op="prod")
    # It would go along the wrong dimension.
    with pytest.raises(ValueError, match="weight: expected a column of 3 dimensions"):
        hf.sum_nodes(made, "x", "flat")
    for k, error in ((0, ValueError), ("1", TypeError)):
        with pytest.raises(error, match="k: expected"):
            hf.topk_nodes(made, "row", k)
    with pytest.raises(ValueError, match=r"shape \[rows, D\]"):
        hf.topk_nodes(made, "flat", 1)
    for sortby in (4, -5):
        with pytest.raises(IndexError, match="sortby: expected a column of 4"):
            hf.topk_nodes(made, "row", 1, sortby=sortby)


@pytest.mark.parametrize("threads", THREADS)
def test_one_answer_for_any_number_of_threads(threads):
    rng = torch.Generator().manual_seed(0)
    sizes = torch.randint(0, 90, (200,), generator=rng)
    g = hf.graph(([], []), num_nodes=int(sizes.sum()))
    g.set_batch_num_nodes(sizes)
    g.ndata["x"] = torch.randn(g.num_nodes(), 16, generator=rng)
    calls = (
        lambda: hf.sum_nodes(g, "x"),
        lambda: hf.softmax_nodes(g, "x"),
        lambda: hf.topk_nodes(g, "x", 5, sortby=3)[0],
    )
    used = hf.ops.num_threads()
    try:
        hf.ops.set_num_threads(1)
        want = [call() for call in calls]
        hf.ops.set_num_threads(threads)
        assert all(torch.equal(call(), x) for call, x in zip(calls, want))
    finally:
        hf.ops.set_num_threads(used)


def test_topk_of_rows_without_entries() -> None:
    values, index = topk_rows(torch.tensor([3, 0, 1]), torch.ones(4, 0), 2)
    assert values.shape == index.shape == (3, 2, 0)
