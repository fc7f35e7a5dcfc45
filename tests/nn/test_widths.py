"""Rows of a wrong width: every layer names the operand, what it expects and what came."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import hopflow as hf
from hopflow import nn as hnn

NODES, EDGES = 6, 9
ENDS = (torch.tensor([0, 1, 2, 3, 4, 5, 0, 2, 4]), torch.tensor([1, 2, 3, 4, 5, 0, 3, 5, 1]))
GRAPH = hf.graph(ENDS, num_nodes=NODES)
TYPED = hf.heterograph({("a", "r", "a"): ENDS}, num_nodes_dict={"a": NODES})


class Case(NamedTuple):
    """A layer, what it is called with, and which operands have a width that it knows."""

    make: Callable[[], nn.Module]
    given: dict[str, Any]
    widths: tuple[str, ...]
    before: tuple[Any, ...] = (GRAPH,)
    broadcasts: tuple[str, ...] = ()


def nodes(width: int) -> Tensor:
    return torch.randn(NODES, width)


def edges(width: int) -> Tensor:
    return torch.randn(EDGES, width)


def pair(source: int, own: int) -> tuple[Tensor, Tensor]:
    return nodes(source), nodes(own)


def of_nodes(make: Callable[[], nn.Module], feat: Any = None, name: str = "feat") -> Case:
    return Case(make, {name: nodes(4) if feat is None else feat}, (name,))


def of_both(make: Callable[[], nn.Module], feat: str, edge_feat: str) -> Case:
    return Case(make, {feat: nodes(4), edge_feat: edges(3)}, (feat, edge_feat))


TYPES = {"ntype": torch.zeros(NODES).long(), "etype": torch.zeros(EDGES).long()}
TOWERS: Any = (4, 4, ["mean"], ["identity"], 1.0)

CASES: dict[str, Case] = {
    "ChebConv": of_nodes(lambda: hnn.ChebConv(4, 3, 2)),
    "CFConv": of_both(lambda: hnn.CFConv(4, 3, 5, 2), "node_feats", "edge_feats"),
    "DGNConv": of_both(lambda: hnn.DGNConv(*TOWERS, edge_feat_size=3), "node_feat", "edge_feat"),
    "DenseChebConv": Case(
        lambda: hnn.DenseChebConv(4, 3, 2), {"feat": nodes(4)}, ("feat",), (torch.ones(6, 6),)
    ),
    "DenseGraphConv": Case(
        lambda: hnn.DenseGraphConv(4, 3), {"feat": nodes(4)}, ("feat",), (torch.ones(6, 6),)
    ),
    "DenseGraphConv narrowing": Case(
        lambda: hnn.DenseGraphConv(4, 9), {"feat": nodes(4)}, ("feat",), (torch.ones(6, 6),)
    ),
    "DenseSAGEConv": Case(
        lambda: hnn.DenseSAGEConv(4, 3), {"feat": nodes(4)}, ("feat",), (torch.ones(6, 6),)
    ),
    "DotGatConv": of_nodes(lambda: hnn.DotGatConv(4, 3, 2)),
    "DotGatConv of a pair": of_nodes(lambda: hnn.DotGatConv((4, 5), 3, 2), pair(4, 5)),
    "EGATConv": of_both(lambda: hnn.EGATConv(4, 3, 2, 2, 2), "nfeats", "efeats"),
    "EGATConv of a pair": of_nodes(
        lambda: WithEdges(hnn.EGATConv((4, 5), 3, 2, 2, 2)), pair(4, 5), "nfeats"
    ),
    "EGNNConv": Case(
        lambda: hnn.EGNNConv(4, 3, 4, 3),
        {"node_feat": nodes(4), "coord_feat": nodes(3), "edge_feat": edges(3)},
        ("node_feat", "edge_feat"),
    ),
    "EdgeConv": of_nodes(lambda: hnn.EdgeConv(4, 3)),
    "EdgeGATConv": of_both(lambda: hnn.EdgeGATConv(4, 3, 2, 2), "feat", "edge_feat"),
    "EdgeGATConv of a pair": of_nodes(
        lambda: WithEdges(hnn.EdgeGATConv((4, 5), 3, 2, 2)), pair(4, 5)
    ),
    "EdgePredictor ele": Case(
        lambda: Twice(hnn.EdgePredictor("ele", 4, 3)), {"h_src": nodes(4)}, ("h_src",), ()
    ),
    "EdgePredictor cat": Case(
        lambda: Twice(hnn.EdgePredictor("cat", 4, 3)), {"h_src": nodes(4)}, ("h_src",), ()
    ),
    "GATConv": of_nodes(lambda: hnn.GATConv(4, 3, 2)),
    "GATConv residual": of_nodes(lambda: hnn.GATConv(4, 3, 2, residual=True)),
    "GATConv of a pair": of_nodes(lambda: hnn.GATConv((4, 5), 3, 2), pair(4, 5)),
    "GATv2Conv": of_nodes(lambda: hnn.GATv2Conv(4, 3, 2)),
    "GATv2Conv shared": of_nodes(lambda: hnn.GATv2Conv(4, 3, 2, share_weights=True)),
    "GATv2Conv of a pair": of_nodes(lambda: hnn.GATv2Conv((4, 5), 3, 2), pair(4, 5)),
    "GCN2Conv": Case(
        lambda: hnn.GCN2Conv(4, 1), {"feat": nodes(4), "feat_0": nodes(4)}, ("feat", "feat_0")
    ),
    "GINConv": of_nodes(lambda: hnn.GINConv(nn.Linear(4, 3))),
    "GINConv with an MLP": of_nodes(
        lambda: hnn.GINConv(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)))
    ),
    "GINEConv": Case(
        lambda: hnn.GINEConv(nn.Linear(4, 3)), {"node_feat": nodes(4), "edge_feat": edges(4)},
        ("node_feat", "edge_feat"), broadcasts=("node_feat", "edge_feat"),
    ),
    "GMMConv": of_both(lambda: hnn.GMMConv(4, 3, 3, 2), "feat", "pseudo"),
    "GMMConv of a pair": of_nodes(
        lambda: WithEdges(hnn.GMMConv((4, 5), 2, 3, 2, residual=True)), pair(4, 5)
    ),
    "GatedGCNConv": of_both(lambda: hnn.GatedGCNConv(4, 3, 5), "feat", "edge_feat"),
    "GatedGraphConv": of_nodes(lambda: hnn.GatedGraphConv(4, 5, 2, 1)),
    "GlobalAttentionPooling": of_nodes(lambda: hnn.GlobalAttentionPooling(nn.Linear(4, 1))),
    "GlobalAttentionPooling with feat_nn": of_nodes(
        lambda: hnn.GlobalAttentionPooling(nn.Linear(4, 1), nn.Linear(4, 2))
    ),
    "GraphConv": of_nodes(lambda: hnn.GraphConv(4, 3)),
    "HGTConv": Case(
        lambda: hnn.HGTConv(4, 2, 2, 1, 1), {"x": nodes(4), **TYPES}, ("x",)
    ),
    "HeteroGraphConv": Case(
        lambda: hnn.HeteroGraphConv({"r": hnn.SAGEConv(4, 3, "mean")}),
        {"inputs": {"a": nodes(4)}}, ("feat",), (TYPED,),
    ),
    "HeteroLinear": Case(
        lambda: hnn.HeteroLinear({"a": 4}, 3), {"feat": {"a": nodes(4)}}, ("feat",), ()
    ),
    "JumpingKnowledge lstm": Case(
        lambda: hnn.JumpingKnowledge("lstm", 4, 2), {"feat_list": [nodes(4), nodes(4)]},
        ("feat_list",), (),
    ),
    "NNConv": of_both(lambda: hnn.NNConv(4, 3, nn.Linear(3, 12)), "feat", "efeat"),
    "NNConv with an MLP": of_both(
        lambda: hnn.NNConv(4, 3, nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 12))),
        "feat", "efeat",
    ),
    "NNConv of a pair": of_nodes(
        lambda: WithEdges(hnn.NNConv((4, 5), 3, nn.Linear(3, 12), residual=True)), pair(4, 5)
    ),
    "PNAConv": of_both(lambda: hnn.PNAConv(*TOWERS, edge_feat_size=3), "node_feat", "edge_feat"),
    "RelGraphConv": Case(
        lambda: hnn.RelGraphConv(4, 3, 2), {"feat": nodes(4), "etypes": TYPES["etype"]}, ("feat",)
    ),
    **{
        f"SAGEConv {kind}": of_nodes(lambda kind=kind: hnn.SAGEConv(4, 3, kind))
        for kind in ("mean", "gcn", "pool", "lstm")
    },
    **{
        f"SAGEConv {kind} of a pair": of_nodes(
            lambda kind=kind, own=own: hnn.SAGEConv((4, own), 3, kind), pair(4, own)
        )
        for kind, own in (("mean", 5), ("pool", 5), ("lstm", 5), ("gcn", 4))
    },
    "SGConv": of_nodes(lambda: hnn.SGConv(4, 3)),
    "Set2Set": of_nodes(lambda: hnn.Set2Set(4, 1, 1)),
    "SetTransformerDecoder": of_nodes(lambda: hnn.SetTransformerDecoder(4, 2, 2, 4, 1, 1)),
    "SetTransformerEncoder": of_nodes(lambda: hnn.SetTransformerEncoder(4, 2, 2, 4)),
    "TAGConv": of_nodes(lambda: hnn.TAGConv(4, 3)),
    "TWIRLSConv": of_nodes(lambda: hnn.TWIRLSConv(4, 3, 5, prop_step=2)),
    "TransE": Case(
        lambda: Twice(hnn.TransE(2, 4), TYPES["ntype"]), {"h_head": nodes(4)}, ("h_head",), ()
    ),
    "TransR": Case(
        lambda: Twice(hnn.TransR(2, 3, 4), TYPES["ntype"]), {"h_head": nodes(4)}, ("h_head",), ()
    ),
    "TypedLinear": Case(
        lambda: hnn.TypedLinear(4, 3, 2), {"x": nodes(4), "x_type": TYPES["ntype"]}, ("x",), ()
    ),
    "WeightAndSum": of_nodes(lambda: hnn.WeightAndSum(4), name="feats"),
}  # fmt: skip


class WithEdges(nn.Module):
    """A layer of nodes and edges, given the edges' rows."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer, self.rows = layer, edges(3)

    def forward(self, graph: hf.Graph, **given: Any) -> Any:
        return self.layer(graph, *given.values(), self.rows)


class Twice(nn.Module):
    """A score of pairs, whose ends are the same rows."""

    def __init__(self, layer: nn.Module, *more: Tensor) -> None:
        super().__init__()
        self.layer, self.more = layer, more

    def forward(self, **given: Any) -> Any:
        (rows,) = given.values()
        return self.layer(rows, rows, *self.more)


# Layers that take rows of any width, or whose operands have none.
ANY = {
    "AGNNConv", "APPNPConv", "AtomicConv", "AvgPooling", "DeepWalk", "EdgeWeightNorm",
    "GroupRevRes", "HeteroEmbedding", "LabelPropagation", "MaxPooling", "MetaPath2Vec",
    "Sequential", "SortPooling", "SumPooling", "TWIRLSUnfoldingAndAttention", "WeightBasis",
}  # fmt: skip


def wrong(value: Any) -> list[tuple[Any, int, list[int]]]:
    """What an operand is made of with one wrong width each; what is expected, and what comes."""
    if isinstance(value, dict):
        ((key, x),) = value.items()
        return [({key: bad}, width, shape) for bad, width, shape in wrong(x)]
    if isinstance(value, (tuple, list)):
        made = []
        for i, x in enumerate(value):
            for bad, width, shape in wrong(x):
                made.append((type(value)([*value[:i], bad, *value[i + 1 :]]), width, shape))
        return made
    rows, width = value.shape
    others = (width + 1, width - 1, 1, 2 * width)
    return [(torch.randn(rows, n), width, [rows, n]) for n in others]


WRONG = [(name, operand) for name, case in CASES.items() for operand in case.widths]


class Products(TorchDispatchMode):
    """Sees to it that nothing is multiplied or sent along edges."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name()
        assert not re.search(r"::(addmm|mm|bmm|matmul|linear)$|^hopflow::(spmm|sddmm|seg)", name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("name", "operand"), WRONG)
def test_a_wrong_width_is_named(name: str, operand: str) -> None:
    case = CASES[name]
    layer = case.make()
    layer(*case.before, **case.given)
    key = operand if operand in case.given else "inputs"
    for bad, expected, shape in wrong(case.given[key]):
        if operand in case.broadcasts and shape[-1] == 1:
            continue
        with pytest.raises(ValueError, match=re.escape(str(shape))) as error, Products():
            layer(*case.before, **{**case.given, key: bad})
        assert operand in str(error.value)
        assert re.search(rf"\b{expected}\b", str(error.value).replace(str(shape), ""))


def test_every_layer_is_here() -> None:
    layers = {
        name for name in hnn.__all__
        if inspect.isclass(getattr(hnn, name)) and issubclass(getattr(hnn, name), nn.Module)
    }  # fmt: skip
    checked = {name.split()[0] for name in CASES}
    assert checked | ANY | {"NodeEmbedding"} >= layers
    assert not checked & ANY


@pytest.mark.parametrize("wide", ["edges", "nodes"])
@pytest.mark.parametrize("shape", [(4,), (2, 4)])
def test_a_number_a_row_broadcasts_with_wider_rows(wide: str, shape: tuple[int, ...]) -> None:
    # As in DGL 2.1: what the linear layer takes is what both make together.
    narrow = (*shape[:-1], 1)
    x = torch.randn(NODES, *(shape if wide == "nodes" else narrow))
    e = torch.randn(EDGES, *(shape if wide == "edges" else narrow))
    linear = nn.Linear(4, 3)
    into = torch.zeros(NODES, EDGES).index_put((ENDS[1], torch.arange(EDGES)), torch.ones(()))
    products, sums = x[ENDS[0]] * e, (x[ENDS[0]] + e).relu()
    for layer, operands, messages in (
        (hnn.GINConv(linear), {"feat": x, "edge_weight": e}, products),
        (hnn.GINEConv(linear), {"node_feat": x, "edge_feat": e}, sums),
    ):
        expected = linear(x + torch.einsum("ve,e...->v...", into, messages))
        torch.testing.assert_close(layer(GRAPH, **operands), expected)


def test_edges_of_more_dimensions_than_nodes_are_refused() -> None:
    # Of as many nodes as the edges' first dimension has, rows would go to other nodes.
    two = hf.graph(([0, 1], [1, 0]))
    x, e = torch.randn(2, 4), torch.randn(2, 2, 4)
    with pytest.raises(ValueError, match=r"edge_weight: expected shape \[2\], or"):
        hnn.GINConv(None)(two, x, edge_weight=e)
    with pytest.raises(ValueError, match=r"edge_feat: expected shape \[2\], or"):
        hnn.GINEConv(None)(two, x, e)
