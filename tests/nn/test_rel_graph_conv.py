"""RelGraphConv against its formula, both ways that it can be computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest
import torch
from helpers import FORMS, graph_form
from test_typed_linear import LINEARS, compiled_once, matrices
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import RelGraphConv, TypedLinear
from hopflow.nn.hetero._by_type import in_edges_by_type

RELS = 6
WIDTHS = [(4, 6), (6, 4), (64, 2)]


def relations(graph: hf.Graph) -> Tensor:
    """One of five for each edge; no edge has relation 2."""
    generator = torch.Generator().manual_seed(2)
    return torch.tensor([0, 1, 3, 4, 5])[
        torch.randint(5, (graph.num_edges(),), generator=generator)
    ]


def formula(
    layer: RelGraphConv, graph: hf.Graph, x: Tensor, own: Tensor, types: Tensor, norm: Tensor
) -> Tensor:
    src, dst = (ends.long() for ends in graph.edges())
    messages = torch.einsum("ei,eio->eo", x[src], matrices(layer.linear_r)[types]) * norm
    out = torch.zeros(len(own), messages.shape[1], dtype=x.dtype).index_add(0, dst, messages)
    if layer.layer_norm:
        out = layer.layer_norm_weight(out)
    if layer.bias:
        out = out + layer.h_bias
    return out + own @ layer.loop_weight if layer.self_loop else out


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", LINEARS)
def test_formula(kind: str, width: tuple[int, int], form: str, idtype: torch.dtype) -> None:
    graph = graph_form(form, idtype)
    layer = RelGraphConv(*width, RELS, *LINEARS[kind], layer_norm=form == "block").double()
    if layer.bias:
        nn.init.normal_(layer.h_bias)
    x = torch.randn(graph.num_src_nodes(), width[0], dtype=torch.float64)
    own, types = torch.randn_like(x[: graph.num_dst_nodes()]), relations(graph)
    norm = torch.rand(graph.num_edges(), 1, dtype=torch.float64)
    ones = torch.ones_like(norm)
    for feat, mine in ((x, x[: len(own)]), ((x, own), own)):
        want = formula(layer, graph, x, mine, types, ones)
        torch.testing.assert_close(layer(graph, feat, types), want)
        torch.testing.assert_close(layer(graph, feat, types.to(idtype), presorted=True), want)
        want = formula(layer, graph, x, mine, types, norm)
        for given in (norm, norm.squeeze(1)):
            torch.testing.assert_close(layer(graph, feat, types, given), want)
    assert {*graph.edata, *graph.srcdata} <= {hf.EID}


@pytest.mark.parametrize("form", ["graph", "block", "shuffled", "no_edges"])
def test_both_ways_agree(form: str) -> None:
    """Results and gradients, for a layer that would take either."""
    graph, layer = graph_form(form), RelGraphConv(5, 3, RELS).double()
    types = relations(graph)
    x = torch.randn(graph.num_src_nodes(), 5, dtype=torch.float64, requires_grad=True)
    norm = torch.rand(graph.num_edges(), dtype=torch.float64, requires_grad=True)
    outs = (
        layer._aggregate_first(graph, x, norm, in_edges_by_type(graph, types, RELS)),
        layer._transform_first(graph, x, norm, *layer._by_source(graph, types)),
    )
    torch.testing.assert_close(*outs)
    leaves = [x, norm, layer.linear_r.W]
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), leaves) for out in outs))


def test_the_cheaper_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for name in ("_aggregate_first", "_transform_first"):
        way = getattr(RelGraphConv, name)
        monkeypatch.setattr(
            RelGraphConv, name, lambda *a, way=way, name=name: taken.append(name) or way(*a)
        )
    hub = torch.arange(1, 500)
    to_hub = hf.graph((hub, torch.zeros_like(hub)), num_nodes=500)
    types = torch.zeros(499, dtype=torch.int64)
    for graph, width in ((to_hub, (64, 2)), (to_hub.reverse(), (64, 2)), (to_hub, (2, 64))):
        RelGraphConv(*width, 2)(graph, torch.randn(500, width[0]), types)
    # One product for all that reaches the hub, or for all that leaves it.
    assert taken == ["_aggregate_first", "_transform_first", "_aggregate_first"]


def test_nothing_of_every_edge_is_written() -> None:
    """A pass over many edges of few pairs allocates less than one row for each of them."""
    count, width = 40_000, 32
    graph = hf.graph((torch.randint(50, (count,)), torch.randint(50, (count,))), num_nodes=50)
    layer, types = RelGraphConv(width, width, 2), torch.randint(2, (count,))
    rows: list[int] = []
    layer.linear_r.register_forward_pre_hook(lambda _, given: rows.append(given[0].shape[0]))
    layer(graph, torch.randn(50, width), types)
    edges = in_edges_by_type(graph, types, 2)
    assert edges.pairs.num_pairs <= 100
    assert rows <= [100]


@pytest.mark.parametrize("width", [(3, 2), (2, 3), (1, 1), (9, 1)])
@pytest.mark.parametrize("kind", ["plain", "basis"])
def test_gradients(kind: str, width: tuple[int, int]) -> None:
    graph = hf.graph(([0, 1, 2, 2, 0, 0], [1, 1, 0, 2, 1, 3]), num_nodes=5)
    layer = RelGraphConv(*width, RELS, *LINEARS[kind]).double()
    types = torch.tensor([0, 3, 0, 1, 3, 5])
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, norm: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters))
        return torch.func.functional_call(layer, given, (graph, x, types, norm))

    x = torch.randn(5, width[0], dtype=torch.float64, requires_grad=True)
    norm = torch.rand(6, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, norm, *layer.parameters()))


def test_counts_of_edges() -> None:
    graph, layer = graph_form("graph"), RelGraphConv(4, 3, 3)
    x = torch.randn(graph.num_nodes(), 4)
    types = torch.tensor([0] * 12 + [2] * 18)
    assert torch.equal(layer(graph, x, [12, 0, 18]), layer(graph, x, types))
    for wrong in ([12, 18], [12, 1, 18], [31, -1, 0], types.tolist()):
        with pytest.raises(ValueError, match="etypes: expected a tensor of types, or how many of"):
            layer(graph, x, wrong)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("width", [(5, 9), (9, 2)])
def test_other_floats_and_autocast(width: tuple[int, int], dtype: torch.dtype) -> None:
    graph, layer = graph_form("graph"), RelGraphConv(*width, RELS, layer_norm=True)
    x, types = torch.randn(graph.num_nodes(), width[0]), relations(graph)
    norm = torch.rand(graph.num_edges(), 1)
    want = layer(graph, x, types, norm)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(graph, x, types, norm.requires_grad_())
    torch.testing.assert_close(mixed.float(), want, rtol=0.1, atol=0.1)
    mixed.float().sum().backward()
    assert norm.grad is not None
    assert all(p.grad is not None for p in layer.parameters())
    out = layer.to(dtype)(graph, x.to(dtype), types, norm.detach().to(dtype))
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), want, rtol=0.1, atol=0.1)


def test_backward_is_deterministic(small_graph: hf.Graph) -> None:
    types, x = relations(small_graph), small_graph.ndata["feat"].clone().requires_grad_()
    for layer in (RelGraphConv(5, 8, RELS), RelGraphConv(5, 1, RELS)):

        def gradients(layer: RelGraphConv = layer) -> list[Tensor]:
            out = layer(small_graph, x, types, small_graph.edata["weight"])
            return list(torch.autograd.grad(out.square().sum(), [x, *layer.parameters()]))

        first = gradients()
        assert all(torch.equal(a, b) for a, b in zip(first, gradients()))


def test_options_and_repr(small_graph: hf.Graph) -> None:
    x, types = small_graph.ndata["feat"], relations(small_graph)
    bare = RelGraphConv(5, 3, RELS, bias=False, self_loop=False)
    assert list(bare.state_dict()) == ["linear_r.W"]
    assert not bare(small_graph, x, types)[180:].any()
    layer = RelGraphConv(5, 3, RELS, activation=torch.relu, dropout=0.5)
    assert not torch.equal(layer(small_graph, x, types), layer(small_graph, x, types))
    layer.eval()
    assert (layer(small_graph, x, types) >= 0).all()
    assert RelGraphConv(6, 3, 3, "basis").linear_r.num_bases == 3
    assert "linear_r" in repr(layer)
    before = {k: p.clone() for k, p in layer.state_dict().items()}
    nn.init.ones_(layer.h_bias)
    layer.reset_parameters()
    assert not layer.h_bias.any()
    for name in ("linear_r.W", "loop_weight"):
        assert not torch.equal(before[name], layer.state_dict()[name])


class Doubled(TypedLinear):
    """A layer that is not linear."""

    def forward(self, x: Tensor, x_type: Tensor, sorted_by_type: bool = False) -> Tensor:
        return super().forward(x, x_type, sorted_by_type).relu()


def test_what_stands_in_for_the_linear_layer_gets_messages(small_graph: hf.Graph) -> None:
    x, types = small_graph.ndata["feat"], relations(small_graph)
    layer = RelGraphConv(5, 8, RELS, self_loop=False)
    layer.linear_r = Doubled(5, 8, RELS)
    src, dst = small_graph.edges()
    want = torch.zeros(200, 8).index_add(0, dst, layer.linear_r(x[src], types))
    torch.testing.assert_close(layer(small_graph, x, types), want)


def test_training_after_inference_mode() -> None:
    graph = graph_form("graph")
    types, x = relations(graph), torch.randn(graph.num_nodes(), 4, requires_grad=True)
    for layer in (RelGraphConv(4, 6, RELS), RelGraphConv(4, 1, RELS)):
        with torch.inference_mode():
            layer(graph, x, types)
        layer(graph, x, types).sum().backward()


def test_errors() -> None:
    graph, layer = graph_form("graph"), RelGraphConv(4, 3, RELS)
    x, types = torch.randn(graph.num_nodes(), 4), relations(graph)
    bad = types.clone()
    bad[[5, 9]] = torch.tensor([RELS, -1])
    with pytest.raises(IndexError, match=r"etypes\[5\]: expected a type from 0 to 5, got 6"):
        layer(graph, x, bad)
    for given, error, match in (
        ((x[1:], types), ValueError, "feat of sources: expected 11 rows"),
        ((x[:, 1:], types), ValueError, "feat of sources: expected 4 features"),
        (((x, x[:, 1:]), types), ValueError, "feat of destinations: expected 4 features"),
        ((x.unsqueeze(1), types), ValueError, r"feat of sources: expected shape \[N, 4\]"),
        ((x, types[1:]), ValueError, "etypes: expected one type for each of the 30 rows"),
        ((x, types.float()), TypeError, "etypes: expected integers"),
        ((x, types, torch.ones(30, 2)), ValueError, "norm: expected one number for each"),
        ((x, types, torch.ones(29)), ValueError, "norm: expected one number for each"),
    ):
        with pytest.raises(error, match=match):
            layer(graph, *given)


def blocks(counts: Sequence[int] = (31, 20, 52)) -> Iterator[tuple[hf.Block, int]]:
    """Blocks of several sizes, with their numbers of source nodes."""
    for count in counts:
        ends = torch.randint(count, (4 * count,)), torch.randint(count // 2, (4 * count,))
        yield hf.create_block(ends, num_src_nodes=count, num_dst_nodes=count // 2), count


@pytest.mark.slow
@pytest.mark.cpu_only
@pytest.mark.parametrize("width", [(4, 6), (6, 2)])
def test_compiled(width: tuple[int, int]) -> None:
    calls = [
        (block, torch.randn(n, width[0]), relations(block), torch.rand(block.num_edges(), 1))
        for block, n in blocks()
    ]
    compiled_once(RelGraphConv(*width, RELS, "basis", 2, layer_norm=True), calls)


@pytest.mark.parametrize("width", [(4, 6), (6, 2)])
def test_func(width: tuple[int, int]) -> None:
    graph, layer = graph_form("graph"), RelGraphConv(*width, RELS).double()
    x = torch.randn(3, graph.num_nodes(), width[0], dtype=torch.float64)
    with_transforms(layer, graph, x, relations(graph))


def with_transforms(layer: nn.Module, graph: hf.Graph, xs: Tensor, *types: Tensor) -> None:
    """torch.func over a layer: batches, gradients, forward mode and an ensemble."""
    parameters = {k: p.detach() for k, p in layer.named_parameters()}

    def call(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (graph, x, *types))

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return call(parameters, x).square().sum()

    found = torch.vmap(torch.func.grad(loss), (None, 0))(parameters, xs)
    for i, x in enumerate(xs):
        layer.zero_grad()
        layer(graph, x, *types).square().sum().backward()
        want = {k: p.grad for k, p in layer.named_parameters()}
        torch.testing.assert_close({k: x[i] for k, x in found.items()}, want)
    models = {k: torch.stack([p, p * 1.5]) for k, p in parameters.items()}
    want = torch.stack([call({k: p[i] for k, p in models.items()}, xs[0]) for i in range(2)])
    torch.testing.assert_close(torch.vmap(call, (0, None))(models, xs[0]), want)
    tangent = torch.randn_like(xs[0])
    gradient = partial(torch.func.grad(loss, 1), parameters)
    pushed = torch.func.jvp(gradient, (xs[0],), (tangent,))[1]
    torch.testing.assert_close(pushed, torch.func.vjp(gradient, xs[0])[1](tangent)[0])
