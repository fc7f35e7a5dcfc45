"""torch.func through layers, and what graphs keep meanwhile."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, hessian, jacrev, jvp, vjp, vmap

import hopflow as hf
from hopflow import function as fn
from hopflow.nn import GATConv, GATv2Conv, GINConv, GraphConv, SAGEConv

pytestmark = pytest.mark.filterwarnings("error:.*the batching rule for hopflow:UserWarning")

SIZE = 3


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


class Own(torch.nn.Module):
    """Message passing as users write it."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(3 * width, out)

    def forward(self, graph: hf.Graph, x: Tensor) -> Tensor:
        with graph.local_scope():
            graph.ndata["h"] = x
            graph.apply_edges(fn.u_dot_v("h", "h", "score"))
            graph.edata["score"] = graph.edata["score"].sigmoid()
            graph.update_all(fn.copy_u("h", "m"), fn.mean("m", "mean"))
            graph.update_all(fn.u_mul_e("h", "score", "m"), fn.sum("m", "sum"))
            graph.update_all(fn.copy_u("h", "m"), fn.max("m", "max"))
            return self.linear(torch.cat([graph.ndata[n] for n in ("mean", "sum", "max")], 1))


LAYERS: dict[str, Callable[[int, int], torch.nn.Module]] = {
    **{f"sage {a}": partial(SAGEConv, aggregator_type=a) for a in ("mean", "pool", "gcn")},
    "graph": GraphConv,
    "gin": lambda i, o: GINConv(torch.nn.Linear(i, o), "sum", learn_eps=True),
    "gat": lambda i, o: GATConv(i, o, 2, residual=True),
    "gatv2": lambda i, o: GATv2Conv(i, o, 2),
    "own": Own,
}


def small_graph() -> hf.Graph:
    generator = torch.Generator().manual_seed(5)
    src, dst = (torch.randint(9, (30,), generator=generator) for _ in range(2))
    return hf.add_self_loop(hf.graph((src, dst), num_nodes=9))


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    torch.manual_seed(0)
    graph, layer = small_graph(), LAYERS[name](4, 2).double()
    parameters = {k: p.detach() for k, p in layer.named_parameters()}
    xs = torch.randn(SIZE, 9, 4, dtype=torch.float64)

    def call(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, parameters, (graph, x))

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return call(parameters, x).square().sum()

    found = vmap(grad(loss), (None, 0))(parameters, xs)
    for i, x in enumerate(xs):
        layer.zero_grad()
        layer(graph, x).square().sum().backward()
        same({k: g[i] for k, g in found.items()}, {k: p.grad for k, p in layer.named_parameters()})
    same(vmap(call, (None, 0))(parameters, xs), torch.stack([layer(graph, x) for x in xs]))
    # Ensembles: one of everything for each model.
    models = {k: torch.stack([p, p * 1.5]) for k, p in parameters.items()}
    of_each = [call({k: p[i] for k, p in models.items()}, xs[0]) for i in range(2)]
    same(vmap(call, (0, None))(models, xs[0]), torch.stack(of_each))
    # Forward mode against the whole Jacobian, and forward over reverse against reverse twice.
    tangent = torch.randn_like(xs[0])
    jacobian = jacrev(call, 1)(parameters, xs[0])
    pushed = jvp(lambda x: call(parameters, x), (xs[0],), (tangent,))[1]
    same(pushed, torch.einsum("...nd,nd->...", jacobian, tangent))
    gradient = partial(grad(loss, 1), parameters)
    expected = vjp(gradient, xs[0])[1](tangent)[0]  # the Hessian is symmetric
    same(jvp(gradient, (xs[0],), (tangent,))[1], expected)


# --- what is kept while a transform is under way


def test_what_a_graph_keeps_outlives_a_transform() -> None:
    generator = torch.Generator().manual_seed(0)
    graph = hf.graph((torch.randint(20, (60,), generator=generator),) * 2, num_nodes=20)
    graph.ndata["feat"] = torch.randn(20, 3, generator=generator)
    layer = SAGEConv(3, 2, "mean")

    def loss(block: hf.Graph, scale: Tensor) -> Tensor:
        return (layer(block, block.srcdata["feat"] * scale) * scale).sum()

    def of(g: hf.Graph) -> list[hf.Graph]:
        parts = hf.sample_neighbors(g, [1, 2, 3], 2), hf.to_block(hf.in_subgraph(g, [1, 2, 3]))
        return [hf.graph(g.edges(), num_nodes=20), *parts]

    scale = torch.tensor(2.0)
    for number in range(3):
        for transform in (
            lambda f: grad(f)(scale),
            lambda f: jvp(f, (scale,), (scale,)),
            lambda f: vmap(f)(torch.ones(3)),
            lambda f: hessian(f)(scale),
        ):
            made = of(graph)[number]
            if not made.is_block:
                made.ndata["feat"] = graph.ndata["feat"]
            made.edge_ids(*[end[:1] for end in made.edges()])
            transform(partial(loss, made))
            made.find_edges([0])
            again = pickle.loads(pickle.dumps(made))
            x = again.srcdata["feat"].clone().requires_grad_()
            (layer(again, x).sum()).backward()
            assert x.grad is not None
            for kept in again.adjacency.transpose():
                assert not torch._C._functorch.is_functorch_wrapped_tensor(kept)
