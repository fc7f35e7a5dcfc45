"""HGTConv against its formula, written out edge by edge and head by head."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import FORMS, graph_form
from test_rel_graph_conv import blocks, with_transforms
from test_typed_linear import compiled_once
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import HGTConv

NTYPES, ETYPES = 4, 6


def types(graph: hf.Graph, *, rising: bool = False) -> tuple[Tensor, Tensor]:
    """Of nodes and edges; nobody has node type 1 or edge type 2."""
    generator = torch.Generator().manual_seed(2)
    made = []
    for count, kinds in ((graph.num_src_nodes(), [0, 2, 3]), (graph.num_edges(), [0, 1, 3, 4, 5])):
        of = torch.tensor(kinds)[torch.randint(len(kinds), (count,), generator=generator)]
        made.append(of.sort().values if rising else of)
    return made[0], made[1]


def formula(layer: HGTConv, graph: hf.Graph, x: Tensor, ntype: Tensor, etype: Tensor) -> Tensor:
    src, dst = (ends.long() for ends in graph.edges())
    num_dst, heads = graph.num_dst_nodes(), []
    own, own_type = x[:num_dst], ntype[:num_dst]

    def linear(name: str, x: Tensor, types: Tensor) -> Tensor:
        return torch.einsum("ni,nio->no", x, getattr(layer, name).W[types])

    k, v = (
        linear(f"linear_{n}", x, ntype).view(len(x), layer.num_heads, layer.head_size) for n in "kv"
    )
    q = linear("linear_q", own, own_type).view(num_dst, *k.shape[1:])
    for i in range(layer.num_heads):
        att, msg = layer.relation_att[i].W[etype], layer.relation_msg[i].W[etype]
        score = torch.einsum("ei,eio,eo->e", k[src, i], att, q[dst, i])
        weight = (score * layer.relation_pri[i][etype] / layer.sqrt_d).exp()
        total = torch.zeros(num_dst, dtype=x.dtype).index_add(0, dst, weight)
        message = torch.einsum("ei,eio->eo", v[src, i], msg) * (weight / total[dst])[:, None]
        out = torch.zeros(num_dst, layer.head_size, dtype=x.dtype).index_add(0, dst, message)
        heads.append(out)
    h = linear("linear_a", torch.cat(heads, 1), own_type)
    gate = torch.sigmoid(layer.skip[own_type])[:, None]
    h = h * gate + (own @ layer.residual_w if hasattr(layer, "residual_w") else own) * (1 - gate)
    return layer.norm(h) if layer.use_norm else h


def made(in_size: int, head_size: int = 3, num_heads: int = 2, **options: bool) -> HGTConv:
    layer = HGTConv(in_size, head_size, num_heads, NTYPES, ETYPES, **options).double().eval()
    for p in (layer.skip, *layer.relation_pri):
        nn.init.normal_(p)
    return layer


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("in_size", [4, 6])
def test_formula(in_size: int, form: str, idtype: torch.dtype) -> None:
    graph, layer = graph_form(form, idtype), made(in_size, use_norm=in_size == 4)
    x = torch.randn(graph.num_src_nodes(), in_size, dtype=torch.float64)
    for rising in (False, True):
        ntype, etype = types(graph, rising=rising)
        want = formula(layer, graph, x, ntype, etype)
        found = layer(graph, x, ntype, etype)
        torch.testing.assert_close(found, want)
        narrow = ntype.to(idtype), etype.to(idtype)
        assert torch.equal(layer(graph, x, *narrow, presorted=rising), found)
    assert {*graph.edata, *graph.srcdata} <= {hf.EID}


@pytest.mark.parametrize("sizes", [(3, 2, 2), (4, 2, 2), (1, 1, 1)])
def test_gradients(sizes: tuple[int, int, int]) -> None:
    graph = hf.graph(([0, 1, 2, 2, 0, 0], [1, 1, 0, 2, 1, 3]), num_nodes=5)
    layer = made(*sizes)
    ntype, etype = torch.tensor([3, 0, 3, 2, 0]), torch.tensor([0, 3, 0, 1, 3, 5])
    names = [name for name, _ in layer.named_parameters()]

    def run(x: Tensor, *parameters: Tensor) -> Tensor:
        given = dict(zip(names, parameters))
        return torch.func.functional_call(layer, given, (graph, x, ntype, etype))

    x = torch.randn(5, sizes[0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("form", ["graph", "block", "no_edges"])
def test_layers_with_hooks_are_called(form: str) -> None:
    graph, layer = graph_form(form), made(4)
    x, given = torch.randn(graph.num_src_nodes(), 4, dtype=torch.float64), types(graph)
    want = layer(graph, x.requires_grad_(), *given)
    expected = torch.autograd.grad(want.square().sum(), [x, *layer.parameters()])
    for name in ("linear_k", "linear_a", "relation_att", "relation_msg"):
        seen: list[str] = []
        inner = getattr(layer, name)
        inner = inner[1] if isinstance(inner, nn.ModuleList) else inner
        handle = inner.register_forward_hook(lambda *_, name=name, seen=seen: seen.append(name))
        out = layer(graph, x, *given)
        handle.remove()
        assert seen == [name]
        torch.testing.assert_close(out, want)
        found = torch.autograd.grad(out.square().sum(), [x, *layer.parameters()])
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("in_size", [5, 6])
def test_other_floats_and_autocast(in_size: int, dtype: torch.dtype) -> None:
    graph, layer = graph_form("graph"), made(in_size, use_norm=True).float()
    x, given = torch.randn(graph.num_nodes(), in_size), types(graph)
    want = layer(graph, x, *given)
    for narrow in (x, x.bfloat16()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = layer(graph, narrow, *given)
        torch.testing.assert_close(mixed.float(), want, rtol=0.15, atol=0.15)
    mixed.float().square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    out = layer.to(dtype)(graph, x.to(dtype), *given)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), want, rtol=0.15, atol=0.15)


def test_large_scores_do_not_overflow() -> None:
    graph, layer = graph_form("graph"), made(4)
    x, given = torch.randn(graph.num_nodes(), 4, dtype=torch.float64), types(graph)
    assert layer(graph, 1e4 * x, *given).isfinite().all()


def test_backward_is_deterministic_and_unused_types_get_nothing(small_graph: hf.Graph) -> None:
    layer, given = made(5).float(), types(small_graph)
    x = small_graph.ndata["feat"].clone().requires_grad_()

    def gradients() -> dict[str, Tensor]:
        loss = layer(small_graph, x, *given).square().sum()
        names = ["x", *(name for name, _ in layer.named_parameters())]
        return dict(zip(names, torch.autograd.grad(loss, [x, *layer.parameters()])))

    first = gradients()
    assert all(torch.equal(grad, first[name]) for name, grad in gradients().items())
    for name in ("linear_k.W", "linear_a.W", "skip"):
        assert not first[name][1].any()
    for name in ("relation_att.0.W", "relation_msg.1.W", "relation_pri.0"):
        assert not first[name][2].any()


@pytest.mark.slow
@pytest.mark.cpu_only
def test_compiled() -> None:
    calls = [(block, torch.randn(n, 5), *types(block)) for block, n in blocks()]
    compiled_once(made(5, use_norm=True).float(), calls)


def test_func() -> None:
    graph = graph_form("graph")
    x = torch.randn(3, graph.num_nodes(), 4, dtype=torch.float64)
    with_transforms(made(4), graph, x, *types(graph))


def test_parameters_and_options(small_graph: hf.Graph) -> None:
    shapes = {k: tuple(p.shape) for k, p in HGTConv(4, 3, 2, 2, 5).state_dict().items()}
    heads = [f"{name}.{i}" for name in ("relation_att", "relation_msg") for i in (0, 1)]
    assert shapes == {
        "skip": (2,), "residual_w": (4, 6),
        **{f"linear_{n}.W": (2, 4, 6) for n in "kqv"}, "linear_a.W": (2, 6, 6),
        "relation_pri.0": (5,), "relation_pri.1": (5,), **{f"{n}.W": (5, 3, 3) for n in heads},
    }  # fmt: skip
    assert "residual_w" not in HGTConv(6, 3, 2, 2, 5).state_dict()
    assert [*HGTConv(6, 3, 2, 2, 5, use_norm=True).state_dict()][-2:] == [
        "norm.weight",
        "norm.bias",
    ]
    layer, given = made(5).float().train(), types(small_graph)
    x = small_graph.ndata["feat"]
    assert not torch.equal(layer(small_graph, x, *given), layer(small_graph, x, *given))
    assert "linear_k" in repr(layer)
    before = copy.deepcopy(layer.state_dict())
    layer.reset_parameters()
    assert layer.skip.eq(1).all()
    assert layer.relation_pri[1].eq(1).all()
    for name in ("linear_q.W", "relation_msg.1.W", "residual_w"):
        assert not torch.equal(before[name], layer.state_dict()[name])


def test_training_after_inference_mode() -> None:
    graph, layer = graph_form("graph"), made(4)
    x, given = torch.randn(graph.num_nodes(), 4, dtype=torch.float64), types(graph)
    with torch.inference_mode():
        layer(graph, x, *given)
    layer(graph, x.requires_grad_(), *given).sum().backward()


def test_errors() -> None:
    graph, layer = graph_form("block"), HGTConv(4, 3, 2, NTYPES, ETYPES)
    x, (ntype, etype) = torch.randn(9, 4), types(graph)
    bad_node, bad_edge = ntype.clone(), etype.clone()
    bad_node[8], bad_edge[3] = NTYPES, -2
    for given, error, match in (
        ((x[1:], ntype, etype), ValueError, "x: expected 9 rows"),
        ((x[:, 1:], ntype, etype), ValueError, "x: expected 4 features"),
        ((x.unsqueeze(1), ntype, etype), ValueError, r"x: expected shape \[N, 4\]"),
        ((x, ntype[:7], etype), ValueError, "ntype: expected one type for each of the 9 rows"),
        ((x, ntype, etype[1:]), ValueError, "etype: expected one type for each of the 30 rows"),
        ((x, bad_node, etype), IndexError, r"ntype\[8\]: expected a type from 0 to 3, got 4"),
        ((x, ntype, bad_edge), IndexError, r"etype\[3\]: expected a type from 0 to 5, got -2"),
        ((x, ntype, etype.tolist()), TypeError, "etype: expected a tensor of integers, got list"),
    ):
        with pytest.raises(error, match=match):
            layer(graph, *given)
