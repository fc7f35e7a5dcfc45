"""Layers by relation and by node type."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from test_typed_linear import compiled_once
from torch import Tensor, nn

import hopflow as hf
from hopflow.nn import (
    EdgeWeightNorm,
    GATConv,
    GraphConv,
    HeteroEmbedding,
    HeteroGraphConv,
    HeteroLinear,
    SAGEConv,
)

COUNTS = {"game": 5, "maker": 3, "nobody": 0, "user": 8}
KNOWS = ("user", "knows", "user")
RELATIONS = [("maker", "makes", "game"), KNOWS, ("user", "plays", "game")]
EMPTY = [("user", "sees", "game"), ("nobody", "likes", "user")]
SEEDS = {"game": torch.tensor([3, 0]), "user": torch.tensor([7, 1, 2])}


def typed_graph(
    relations: list[tuple[str, str, str]] = RELATIONS, idtype: torch.dtype = torch.int64
) -> hf.Graph:
    generator = torch.Generator().manual_seed(4)
    edges = {}
    for source, name, destination in relations:
        count = 0 if (source, name, destination) in EMPTY else 12
        edges[source, name, destination] = tuple(
            torch.randint(max(COUNTS[t], 1), (count,), generator=generator)
            for t in (source, destination)
        )
    used = {t for source, _, destination in relations for t in (source, destination)}
    return hf.heterograph(edges, {t: COUNTS[t] for t in used}, idtype=idtype)


def typed_block(relations: list[tuple[str, str, str]] = RELATIONS) -> hf.Block:
    return hf.to_block(hf.in_subgraph(typed_graph(relations), SEEDS), SEEDS)


def features(graph: hf.Graph, width: int = 4) -> dict[str, Tensor]:
    return {t: torch.randn(graph.num_src_nodes(t), width) for t in graph.srctypes}


def sages(names: tuple[str, ...] = ("makes", "knows", "plays")) -> dict[Any, nn.Module]:
    return {name: SAGEConv(4, 3, "mean") for name in names}


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("aggregate", ["sum", "mean", "max", "min", "stack"])
def test_formula(aggregate: str, idtype: torch.dtype) -> None:
    graph, mods = typed_graph(idtype=idtype), sages()
    x = features(graph)
    out = HeteroGraphConv(mods, aggregate)(graph, x)
    of = {r: mods[r[1]](graph[r], (x[r[0]], x[r[2]])) for r in RELATIONS}
    both = torch.stack([of[RELATIONS[0]], of[RELATIONS[2]]])
    want = {
        "sum": both.sum(0), "mean": both.mean(0), "max": both.amax(0), "min": both.amin(0),
        "stack": both.transpose(0, 1),
    }  # fmt: skip
    assert sorted(out) == ["game", "user"]
    torch.testing.assert_close(out["game"], want[aggregate])
    of_user = of[KNOWS].unsqueeze(1) if aggregate == "stack" else of[KNOWS]
    torch.testing.assert_close(out["user"], of_user)


def test_own_aggregate() -> None:
    graph, seen = typed_graph(), []

    def combine(outs: list[Tensor], dsttype: str) -> Tensor:
        seen.append((len(outs), dsttype))
        return outs[-1]

    mods = sages()
    x = features(graph)
    out = HeteroGraphConv(mods, combine)(graph, x)
    assert sorted(seen) == [(1, "user"), (2, "game")]
    last = graph[RELATIONS[2]]
    torch.testing.assert_close(out["game"], mods["plays"](last, (x["user"], x["game"])))


def test_block_and_pair_agree_with_the_graph() -> None:
    graph, block = typed_graph(), typed_block()
    layer, x = HeteroGraphConv(sages()), features(graph)
    whole = layer(graph, x)
    sources = {t: x[t][block.srcnodes[t].data[hf.NID]] for t in block.srctypes}
    own = {t: x[t][ids] for t, ids in SEEDS.items()}
    for given in (sources, (sources, own)):
        out = layer(block, given)
        for t, ids in SEEDS.items():
            torch.testing.assert_close(out[t], whole[t][ids])
    for t, other in layer(graph, (x, x)).items():
        torch.testing.assert_close(other, whole[t])


def test_a_graph_of_one_relation() -> None:
    graph = hf.graph(([0, 1, 2], [1, 2, 0]))
    conv = SAGEConv(4, 3, "mean")
    x = torch.randn(3, 4)
    out = HeteroGraphConv({"_E": conv})(graph, {"_N": x})
    assert torch.equal(out["_N"], conv(graph, (x, x)))


def test_relations_without_edges_are_computed_and_types_without_nodes_too() -> None:
    """As in DGL's code, whose page says that they are left out: a layer may add own features."""
    graph = typed_graph([*RELATIONS, *EMPTY])
    mods = sages(("makes", "knows", "plays", "sees", "likes"))
    x = features(graph)
    out = HeteroGraphConv(mods)(graph, x)
    others = [mods[r[1]](graph[r], (x[r[0]], x[r[2]])) for r in RELATIONS if r[2] == "game"]
    torch.testing.assert_close(out["game"], sum(others) + mods["sees"].fc_self(x["game"]))
    sum(h.sum() for h in out.values()).backward()


def test_which_relations_are_computed() -> None:
    graph, block = typed_graph(), typed_block()
    layer = HeteroGraphConv(sages())
    x, h = features(graph), features(block)
    assert layer(graph, {}) == {}
    assert list(layer(graph, {"maker": x["maker"], "game": x["game"]})) == ["game"]
    only = {"maker": x["maker"]}, {"game": x["game"]}
    assert list(layer(graph, only)) == ["game"]
    assert list(layer(block, {"user": h["user"]})) == ["user"]
    assert layer(block, ({}, {})) == {}


def test_triples_come_before_names() -> None:
    graph = typed_graph()
    of_all, of_one = SAGEConv(4, 3, "mean"), SAGEConv(4, 3, "mean")
    layer = HeteroGraphConv({"knows": of_all, KNOWS: of_one, **sages(("makes", "plays"))})
    assert f"mods.{KNOWS}.fc_neigh.weight" in layer.state_dict()
    x = features(graph)
    pair = (x["user"], x["user"])
    assert torch.equal(layer(graph, x)["user"], of_one(graph[KNOWS], pair))
    layer.mods[str(KNOWS)] = of_all
    assert torch.equal(layer(graph, x)["user"], of_all(graph[KNOWS], pair))


class Told(nn.Module):
    """Keeps what it is called with."""

    def forward(self, graph: hf.Graph, feat: Any, *args: Any, **kwargs: Any) -> Tensor:
        self.told = args, kwargs
        return feat[1]


def test_more_arguments() -> None:
    graph, told = typed_graph(), {name: Told() for name in ("makes", "knows", "plays")}
    layer, x = HeteroGraphConv(told), features(graph)
    layer(graph, x, {"makes": (1, 2), KNOWS: (3,)}, {"makes": {"a": 4}, "plays": {"b": 5}})
    assert [told[n].told for n in ("makes", "knows", "plays")] == [
        ((1, 2), {"a": 4}), ((3,), {}), ((), {"b": 5}),
    ]  # fmt: skip
    weights = {r: torch.rand(graph.num_edges(r)) for r in RELATIONS}
    mods = sages()
    out = HeteroGraphConv(mods)(graph, x, mod_kwargs={KNOWS: {"edge_weight": weights[KNOWS]}})
    want = mods["knows"](graph[KNOWS], (x["user"], x["user"]), edge_weight=weights[KNOWS])
    assert torch.equal(out["user"], want)


def test_layers_accept_nodes_without_in_edges() -> None:
    graph = typed_graph([*RELATIONS, EMPTY[0]])
    mods = {
        "makes": GraphConv(4, 6), "knows": GATConv(4, 3, 2),
        "plays": GATConv((4, 4), 3, 2), "sees": GraphConv(4, 6, norm="right"),
    }  # fmt: skip
    layer = HeteroGraphConv(mods, lambda outs, _: sum(out.flatten(1) for out in outs))
    out = layer(graph, features(graph))
    assert {t: h.shape for t, h in out.items()} == {"game": (5, 6), "user": (8, 6)}


def test_gradients() -> None:
    graph = typed_graph()
    layer, x = HeteroGraphConv(sages(), "max").double(), features(graph)
    names = [name for name, _ in layer.named_parameters()]
    types = list(x)

    def run(*given: Tensor) -> Tensor:
        parameters = dict(zip(names, given[len(types) :]))
        inputs = dict(zip(types, given))
        out = torch.func.functional_call(layer, parameters, (graph, inputs))
        return torch.cat(list(out.values()))

    leaves = [h.double().requires_grad_() for h in x.values()]
    assert torch.autograd.gradcheck(run, (*leaves, *layer.parameters()))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_floats_and_autocast(dtype: torch.dtype) -> None:
    graph, layer = typed_graph(), HeteroGraphConv(sages())
    x = features(graph)
    want = layer(graph, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer(graph, x)
    out = layer.to(dtype)(graph, {t: h.to(dtype) for t, h in x.items()})
    for t, h in want.items():
        assert out[t].dtype == dtype
        for other in (mixed[t], out[t]):
            torch.testing.assert_close(other.float(), h, rtol=0.1, atol=0.1)


@pytest.mark.cpu_only
def test_compiled() -> None:
    blocks = [typed_block(), typed_block()]
    compiled_once(HeteroGraphConv(sages()), [(b, features(b)) for b in blocks])


def test_errors() -> None:
    graph, x = typed_graph(), features(typed_graph())
    layer = HeteroGraphConv(sages(("makes", "knows")))
    with pytest.raises(KeyError, match=r"no layer for relation .*'plays'.* those of makes, knows"):
        layer(graph, x)
    with pytest.raises(KeyError, match=r"no features of 'game', .*'plays'.* those of user"):
        HeteroGraphConv(sages())(graph, {"user": x["user"]})
    with pytest.raises(hf.HopflowError, match="aggregate: expected one of sum, mean, max, min, st"):
        HeteroGraphConv(sages(), "median")
    with pytest.raises(TypeError, match="inputs: expected a dict of features by node type"):
        layer(graph, x["user"])
    with pytest.raises(ValueError, match="inputs: expected features of sources and destinations"):
        layer(graph, (x, x, x))
    for name in ("a.b", "type"):
        with pytest.raises(KeyError, match=f"mods: torch cannot call a module '{name}'"):
            HeteroGraphConv({name: EdgeWeightNorm()})
    with pytest.raises(ValueError, match="mods: expected different keys"):
        HeteroGraphConv({KNOWS: EdgeWeightNorm(), str(KNOWS): EdgeWeightNorm()})
    with pytest.raises(ValueError, match="feat of sources: expected 8 rows"):
        HeteroGraphConv(sages())(graph, {**x, "user": x["user"][1:]})


@pytest.mark.parametrize("aggregate", ["sum", "mean", "max", "min", "stack"])
def test_copies(aggregate: str) -> None:
    graph, layer = typed_graph(), HeteroGraphConv(sages(), aggregate)
    x = features(graph)
    for made in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(made(graph, x)["game"], layer(graph, x)["game"])


# --- one layer for each type


def test_hetero_linear() -> None:
    layer = HeteroLinear({"user": 4, KNOWS: 2}, 3)
    assert list(layer.state_dict()) == [
        f"linears.{key}.{part}" for key in ("user", KNOWS) for part in ("weight", "bias")
    ]
    x = {KNOWS: torch.randn(5, 2), "user": torch.randn(0, 4)}
    out = layer(x)
    assert list(out) == [KNOWS, "user"]
    assert torch.equal(out[KNOWS], layer.linears[str(KNOWS)](x[KNOWS]))
    assert out["user"].shape == (0, 3)
    assert layer({}) == {}
    assert not any("bias" in k for k in HeteroLinear({"user": 4}, 3, bias=False).state_dict())
    before = layer.linears["user"].weight.clone()
    layer.reset_parameters()
    assert not torch.equal(before, layer.linears["user"].weight)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(x)[KNOWS].dtype == torch.bfloat16
    with pytest.raises(KeyError, match=r"feat: 'game' is none of its keys, which are user, \('u"):
        layer({"game": x[KNOWS]})
    compiled_once(layer, [({KNOWS: torch.randn(n, 2), "user": torch.randn(n + 1, 4)},)
                          for n in (5, 9)])  # fmt: skip


def test_hetero_embedding() -> None:
    layer = HeteroEmbedding({"user": 4, KNOWS: 2}, 3)
    assert list(layer.state_dict()) == ["embeds.user.weight", f"embeds.{KNOWS}.weight"]
    assert layer.raw_keys == {"user": "user", str(KNOWS): KNOWS}
    weight = layer.weight
    assert list(weight) == ["user", KNOWS]
    assert weight[KNOWS] is layer.embeds[str(KNOWS)].weight
    for dtype in (torch.int32, torch.int64):
        ids = {KNOWS: torch.tensor([1, 0, 1], dtype=dtype)}
        assert torch.equal(layer(ids)[KNOWS], weight[KNOWS][[1, 0, 1]])
    layer.reset_parameters()
    assert weight["user"].abs().max() <= (6 / 7) ** 0.5
    layer({"user": torch.tensor([0, 0])})["user"].sum().backward()
    assert weight["user"].grad[:, 0].tolist() == [2, 0, 0, 0]
    assert weight[KNOWS].grad is None
    with pytest.raises(KeyError, match="input_ids: 'game' is none of its keys, which are user"):
        layer({"game": torch.tensor([0])})
    with pytest.raises(IndexError):
        layer({"user": torch.tensor([4])})
