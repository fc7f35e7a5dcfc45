"""JumpingKnowledge, LabelPropagation, Sequential, WeightBasis and the scores of pairs."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import (
    EdgePredictor,
    GraphConv,
    JumpingKnowledge,
    LabelPropagation,
    SAGEConv,
    Sequential,
    TransE,
    TransR,
    WeightBasis,
)

SEEDS = [5, 190, 17, 3, 60]


def test_jumping_knowledge() -> None:
    xs = [torch.randn(7, 4, requires_grad=True) for _ in range(3)]
    assert torch.equal(JumpingKnowledge()(xs), torch.cat(xs, 1))
    assert torch.equal(JumpingKnowledge("max")(xs), torch.stack(xs).amax(0))
    layer = JumpingKnowledge("lstm", 4, 3)
    assert layer.lstm.hidden_size == 6
    stacked = torch.stack(xs, 1)
    weights = torch.softmax(layer.att(layer.lstm(stacked)[0])[..., 0], 1)
    want = sum(weights[:, i, None] * x for i, x in enumerate(xs))
    torch.testing.assert_close(layer(xs), want)
    before = layer.att.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(before, layer.att.weight)
    assert JumpingKnowledge("lstm", 4, 3)([torch.randn(0, 4)] * 3).shape == (0, 4)
    for bad in (lambda: JumpingKnowledge("mean"), lambda: JumpingKnowledge("lstm", 4),
                lambda: JumpingKnowledge()([])):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            bad()


def spread(layer: LabelPropagation, graph: hf.Graph, given: Tensor, known: Tensor) -> Tensor:
    """The formula with a dense matrix."""
    src, dst = (i.long() for i in graph.edges())
    adj = torch.zeros(graph.num_dst_nodes(), graph.num_src_nodes())
    adj.index_put_((dst, src), torch.ones(len(src)), accumulate=True)
    by_dst, by_src = adj.sum(1).clamp(min=1), adj.sum(0).clamp(min=1)
    if layer.norm_type == "sym":
        adj = by_dst[:, None] ** -0.5 * adj * by_src**-0.5
    else:
        adj = adj / by_dst[:, None]
    y, num_dst = given * known[:, None], graph.num_dst_nodes()
    first = y[:num_dst]
    for _ in range(layer.k):
        y = layer.alpha * adj @ y + (1 - layer.alpha) * first
        if layer.clamp:
            y = y.clamp(0, 1)
        if layer.normalize:
            y = y / y.abs().sum(1, keepdim=True).clamp(min=1e-12)
        if layer.reset:
            y = torch.where(known[:num_dst, None], given[:num_dst], y)
    return y[:num_dst]


@pytest.mark.parametrize("norm", ["sym", "row"])
@pytest.mark.parametrize(
    "options", [{}, {"clamp": False}, {"normalize": True}, {"reset": True}], ids=str
)
def test_label_propagation(small_graph: hf.Graph, norm: str, options: dict[str, bool]) -> None:
    labels, known = small_graph.ndata["label"], torch.rand(200) < 0.4
    one_hot = nn.functional.one_hot(labels, 4).float()
    for graph in (small_graph, small_graph.int()):
        layer = LabelPropagation(3, 0.7, norm, **options)
        want = spread(layer, graph, one_hot, known)
        for given in (labels, labels.view(-1, 1), labels.int(), one_hot, one_hot.double()):
            torch.testing.assert_close(layer(graph, given, known), want)
        torch.testing.assert_close(layer(graph, labels, known.nonzero()[:, 0]), want)
        everywhere = torch.ones(200, dtype=torch.bool)
        torch.testing.assert_close(layer(graph, labels), spread(layer, graph, one_hot, everywhere))
    block, one = hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS), LabelPropagation(
        1, 0.7, norm, **options)  # fmt: skip
    rows, mask = one_hot[block.srcdata[hf.NID]], known[block.srcdata[hf.NID]]
    torch.testing.assert_close(one(block, rows, mask), spread(one, block, rows, mask))
    with pytest.raises(ValueError, match="one step"):
        LabelPropagation(2, 0.5)(block, rows, mask)
    with pytest.raises(ValueError, match="200 rows"):
        one(small_graph, labels[:9])
    with pytest.raises(ValueError, match="norm_type"):
        LabelPropagation(1, 0.5, "col")


def test_label_propagation_reaches_the_unlabelled() -> None:
    """On two cliques with one known label each, every node learns its clique's."""
    pairs = [(a + c, b + c) for c in (0, 5) for a in range(5) for b in range(5) if a != b]
    graph = hf.graph(pairs, num_nodes=10)
    labels = torch.tensor([0] * 5 + [1] * 5)
    mask = torch.zeros(10, dtype=torch.bool)
    mask[[2, 7]] = True
    out = LabelPropagation(10, 0.5)(graph, labels * mask, mask)
    assert torch.equal(out.argmax(1), labels)


def test_sequential(small_graph: hf.Graph) -> None:
    a, b = SAGEConv(5, 4, "mean"), GraphConv(4, 3, allow_zero_in_degree=True)
    x = small_graph.ndata["feat"]
    net = Sequential(a, b)
    assert torch.equal(net(small_graph, x), b(small_graph, a(small_graph, x)))
    loader = hf.dataloading.DataLoader(
        small_graph, torch.arange(20), hf.dataloading.NeighborSampler([3, 3]), batch_size=20
    )
    _, _, blocks = next(iter(loader))
    want = b(blocks[1], a(blocks[0], blocks[0].srcdata["feat"]))
    for given in (blocks, tuple(blocks)):
        assert torch.equal(net(given, blocks[0].srcdata["feat"]), want)

    class Both(nn.Module):
        def forward(self, g: hf.Graph, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
            return x + 1, e * 2

    x1, e1 = Sequential(Both(), Both())(small_graph, x, torch.ones(3))
    assert torch.equal(x1, x + 1 + 1)
    assert e1.tolist() == [4.0] * 3
    assert all(k.startswith("one.") for k in Sequential(OrderedDict(one=a)).state_dict())
    assert isinstance(net[1], GraphConv)
    with pytest.raises(ValueError, match="each of the 2 layers, got 1"):
        net([small_graph], x)
    for bad in (x, [x, x]):
        with pytest.raises(TypeError, match=r"hopflow\.Graph"):
            net(bad, x)


def test_weight_basis() -> None:
    layer = WeightBasis((4, 3), 2, 5)
    want = sum(layer.w_comp[:, b, None, None] * layer.weight[b] for b in range(2))
    torch.testing.assert_close(layer(), want)
    assert {k: tuple(x.shape) for k, x in layer.state_dict().items()} == {
        "weight": (2, 4, 3), "w_comp": (5, 2),
    }  # fmt: skip
    with pytest.warns(UserWarning, match="more weights than the 2 bases"):
        WeightBasis((4, 3), 2, 2)


def test_edge_predictor() -> None:
    a, b = torch.randn(2, 7, 4)
    wanted = {
        "dot": (a * b).sum(1, keepdim=True), "ele": a * b, "cat": torch.cat([a, b], 1),
        "cos": (a * b).sum(1, keepdim=True) / (a.norm(dim=1) * b.norm(dim=1))[:, None],
    }  # fmt: skip
    for op, want in wanted.items():
        torch.testing.assert_close(EdgePredictor(op)(a, b), want)
        layer = EdgePredictor(op, 4, 3, bias=True)
        torch.testing.assert_close(layer(a, b), layer.linear(want))
        layer.reset_parameters()
        assert EdgePredictor(op)(a[:0], b[:0]).shape == (0, want.shape[1])
    assert list(EdgePredictor("cat", 4, 3).state_dict()) == ["linear.weight"]
    with pytest.raises(ValueError, match="op"):
        EdgePredictor("sum")
    with pytest.raises(ValueError, match="one shape"):
        EdgePredictor("dot")(a, b[:3])


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_translations(p: int, dtype: torch.dtype) -> None:
    head, tail = torch.randn(2, 9, 4, dtype=torch.float64).unbind(0)
    head.requires_grad_()
    rels = torch.tensor([2, 0, 2, 1, 2, 0, 0, 2, 2], dtype=dtype)
    e, r = TransE(5, 4, p).double(), TransR(5, 3, 4, p).double()
    want = -(head + e.rel_emb.weight[rels.long()] - tail).norm(p, 1)
    torch.testing.assert_close(e(head, tail, rels), want)
    matrices = r.rel_project.weight.view(5, 4, 3)[rels.long()]
    moved = [torch.einsum("ei,eio->eo", x, matrices) for x in (head, tail)]
    want = -(moved[0] + r.rel_emb.weight[rels.long()] - moved[1]).norm(p, 1)
    leaves, seen = [head, *r.parameters()], []
    wanted = torch.autograd.grad(want.sum(), leaves)
    for hooked in (False, True):
        if hooked:
            r.rel_project.register_forward_hook(lambda m, given, out: seen.append(1))
        got = r(head, tail, rels)
        torch.testing.assert_close(got, want)
        for a, b in zip(torch.autograd.grad(got.sum(), leaves), wanted):
            torch.testing.assert_close(a, b)
    assert seen == [1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loose = TransR(5, 3, 4, p)(head.float(), tail.float().bfloat16(), rels)
    assert torch.isfinite(loose).all()
    assert r(head[:0], tail[:0], rels[:0]).shape == (0,)
    for layer in (e, TransR(5, 3, 4).double()):
        with pytest.raises(IndexError):
            layer(head, tail, rels + 3)
        with pytest.raises(ValueError, match="9 triples"):
            layer(head, tail, rels[:3])
        with pytest.raises(ValueError, match="one shape"):
            layer(head, tail[:3], rels)
    assert {k: tuple(x.shape) for k, x in r.state_dict().items()} == {
        "rel_emb.weight": (5, 3), "rel_project.weight": (5, 12),
    }  # fmt: skip
