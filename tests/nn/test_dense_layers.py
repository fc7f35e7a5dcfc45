"""Layers over dense adjacency matrices against those over graphs and against plain torch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.nn import DenseChebConv, DenseGraphConv, DenseSAGEConv, GraphConv, SAGEConv

SEEDS = [5, 190, 17, 3, 60]


def matrix(graph: hf.Graph) -> Tensor:
    """Counts of edges, a row a destination."""
    src, dst = (i.long() for i in graph.edges())
    adj = torch.zeros(graph.num_dst_nodes(), graph.num_src_nodes(), dtype=torch.int64)
    return adj.index_put((dst, src), torch.ones_like(src), accumulate=True)


@pytest.fixture
def block(small_graph: hf.Graph) -> hf.Graph:
    return hf.to_block(hf.in_subgraph(small_graph, SEEDS), SEEDS)


@pytest.mark.parametrize("norm", ["none", "both", "right"])
@pytest.mark.parametrize("out", [2, 7])
def test_graph_conv(small_graph: hf.Graph, block: hf.Graph, norm: str, out: int) -> None:
    layer = DenseGraphConv(5, out, norm, activation=torch.tanh)
    other = GraphConv(5, out, norm, activation=torch.tanh, allow_zero_in_degree=True)
    other.load_state_dict(layer.state_dict())
    for graph in (small_graph, block):
        x = graph.srcdata["feat"]
        got, want = layer(matrix(graph), x), other(graph, x)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
        deep = torch.stack([x, x + 1], 1)
        torch.testing.assert_close(layer(matrix(graph), deep)[:, 0], want, atol=1e-5, rtol=1e-4)


def test_sage_conv(small_graph: hf.Graph, block: hf.Graph) -> None:
    layer, other = DenseSAGEConv(5, 3, norm=torch.tanh), SAGEConv(5, 3, "gcn", norm=torch.tanh)
    state = layer.state_dict()
    other.load_state_dict({"fc_neigh.weight": state["fc.weight"], "bias": state["fc.bias"]})
    for graph in (small_graph, block):
        x = graph.srcdata["feat"]
        own = x[: graph.num_dst_nodes()]
        want = other(graph, (x, own))
        got = layer(matrix(graph), (x, own))
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)
    assert torch.equal(layer(matrix(small_graph), small_graph.ndata["feat"]), layer(
        matrix(small_graph), (small_graph.ndata["feat"],) * 2))  # fmt: skip


@pytest.mark.parametrize("lambda_max", [None, 1.4])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_cheb_conv(k: int, lambda_max: float | None) -> None:
    """Polynomials made as matrices, on a graph with directions and an isolated node."""
    torch.manual_seed(2)
    adj = (torch.rand(9, 9) < 0.4).double()
    adj[3], adj[:, 3] = 0, 0
    x = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    layer = DenseChebConv(5, 3, k).double()
    root = torch.diag(adj.sum(1).clamp(min=1) ** -0.5)
    laplacian = torch.eye(9, dtype=torch.float64) - root @ adj @ root
    largest = torch.linalg.eigvals(laplacian).real.max() if lambda_max is None else lambda_max
    scaled = 2 * laplacian / largest - torch.eye(9, dtype=torch.float64)
    terms = [torch.eye(9, dtype=torch.float64), scaled]
    while len(terms) < k:
        terms.append(2 * scaled @ terms[-1] - terms[-2])
    want = sum(t @ x @ w for t, w in zip(terms[:k], layer.W)) + layer.bias
    got = layer(adj, x, lambda_max)
    torch.testing.assert_close(got, want)
    leaves = [x, *layer.parameters()]
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), leaves) for y in (got, want))):
        torch.testing.assert_close(a, b)


def test_autocast(small_graph: hf.Graph) -> None:
    adj, x = matrix(small_graph), small_graph.ndata["feat"]
    for layer in (DenseGraphConv(5, 3), DenseSAGEConv(5, 3), DenseChebConv(5, 3, 3)):
        want = layer(adj, x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(layer(adj, x).float(), want, atol=0.05 * want.abs().max().item())


def test_wrong_inputs() -> None:
    adj, x = torch.ones(4, 4), torch.randn(4, 5)
    for layer in (DenseGraphConv(5, 3), DenseSAGEConv(5, 3), DenseChebConv(5, 3, 2)):
        for bad in (torch.ones(4, 3), torch.ones(4), torch.ones(4, 4, 1)):
            with pytest.raises(ValueError, match="a column for each source row"):
                layer(bad, x)
    with pytest.raises(ValueError, match="square"):
        DenseChebConv(5, 3, 2)(torch.ones(3, 4), x)
    with pytest.raises(ValueError, match="destination rows"):
        DenseSAGEConv(5, 3)(adj[:3], x)
    with pytest.raises(ValueError, match="norm"):
        DenseGraphConv(5, 3, "left")
    with pytest.raises(ValueError, match="k: expected"):
        DenseChebConv(5, 3, 0)


def test_parameters_are_dgls() -> None:
    made = {
        DenseGraphConv(5, 3): {"weight": (5, 3), "bias": (3,)},
        DenseSAGEConv(5, 3): {"fc.weight": (3, 5), "fc.bias": (3,)},
        DenseChebConv(5, 3, 2): {"W": (2, 5, 3), "bias": (3,)},
        DenseChebConv(5, 3, 2, bias=False): {"W": (2, 5, 3)},
    }
    for layer, shapes in made.items():
        assert {k: tuple(x.shape) for k, x in layer.state_dict().items()} == shapes
    assert DenseChebConv(200, 100, 3).W.std().item() == pytest.approx((4 / 300) ** 0.5, rel=0.05)
