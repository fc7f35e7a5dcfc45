"""Layer-wise inference of several types: the rows of the whole graph at once, in bounded memory."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

import hopflow as hf
from hopflow.train import (
    GraphSAGE,
    TrainConfig,
    TypedModel,
    layerwise_inference,
    planned_nodes,
    typed_inference,
    typed_layerwise_inference,
)
from hopflow.train.typed_model import Sizes, types_by_layer

NODES = {"author": 60, "paper": 90, "topic": 25, "venue": 8}
RELATIONS = [
    ("author", "writes", "paper"),
    ("paper", "cites", "paper"),
    ("paper", "rev_writes", "author"),
    ("topic", "of", "paper"),
    ("venue", "hosts", "author"),
    ("paper", "in", "venue"),
]
MODELS = {
    "sage": {},
    "rgcn": {},
    "rgcn, bases": {"model": "rgcn", "bases": 2},
    "hgt": {"heads": 2},
}


@pytest.fixture
def graph() -> hf.Graph:
    """Duplicate edges, nodes without any, a type without features and one that nothing leads to."""
    generator = torch.Generator().manual_seed(3)
    edges = {}
    for number, relation in enumerate(RELATIONS):
        ends = (relation[0], relation[2])
        edges[relation] = tuple(
            torch.randint(NODES[ntype] * 4 // 5, (150 + 40 * number,), generator=generator)
            for ntype in ends
        )
    graph = hf.heterograph(edges, NODES)
    for ntype, width in (("paper", 7), ("topic", 3), ("venue", 5)):
        graph.nodes[ntype].data["feat"] = torch.randn(NODES[ntype], width, generator=generator)
    return graph


def made(name: str, graph: hf.Graph, *, layers: int = 3) -> TypedModel:
    options = {"model": name, "hidden": 8, "dropout": 0.4, "fanout": (5,) * layers}
    return TypedModel(
        TrainConfig(**{**options, **MODELS[name]}),  # type: ignore[arg-type]
        Sizes.of(graph, "paper", 4),
    )


def whole(graph: hf.Graph, model: TypedModel) -> torch.Tensor:
    """Logits from one block of the whole graph."""
    every = {ntype: graph.nodes(ntype) for ntype in graph.ntypes}
    block = hf.to_block(graph, every)
    model.eval()
    with torch.no_grad():
        inputs = model.encoder.inputs(block)
        logits = model([block] * len(model.layers), inputs)
    model.train()
    return logits


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("chunk_edges", "on_disk"), [(1, False), (60, True), (10**9, False)])
def test_equals_the_whole_graph_at_once(graph, name, chunk_edges, on_disk, tmp_path):
    model, finished = made(name, graph), []
    found = typed_layerwise_inference(
        list(model.layers), graph, model.encoder.all_rows(graph), targets=["paper"],
        chunk_edges=chunk_edges, scratch=tmp_path if on_disk else None, on_nodes=finished.append,
    )  # fmt: skip
    assert list(found) == ["paper"]
    torch.testing.assert_close(found["paper"], whole(graph, model), atol=1e-5, rtol=1e-4)
    assert all(layer.training for layer in model.layers)
    assert not list(tmp_path.iterdir())
    assert sum(finished) == planned_nodes(graph, 3, ["paper"])
    if chunk_edges == 1:
        assert set(finished) == {1}


def test_only_what_later_layers_read_is_computed(graph):
    plan = types_by_layer(RELATIONS, 3, ["paper"])
    assert plan == [
        ("author", "paper", "topic", "venue"),
        ("author", "paper", "topic", "venue"),
        ("author", "paper", "topic"),
        ("paper",),
    ]
    assert planned_nodes(graph, 3, ["paper"]) == 183 + 175 + 90
    model, seen = made("sage", graph), []

    def watched(layer, block, rows):
        seen.append({ntype for ntype in block.dsttypes if block.num_dst_nodes(ntype)})
        out = layer(block, rows)
        assert set(out) == seen[-1]
        return out

    model.eval()
    layers = [partial(watched, layer) for layer in model.layers]
    found = typed_layerwise_inference(
        layers, graph, model.encoder.all_rows(graph), targets=["paper"]
    )
    torch.testing.assert_close(found["paper"], whole(graph, model), atol=1e-5, rtol=1e-4)
    assert all(len(types) == 1 for types in seen)  # a type at a time
    assert [next(iter(types)) for types in seen] == [t for types in plan[1:] for t in types]


def test_any_layers_will_do(graph):
    """Here DGL's way to write them, which gives nothing for a type that no relation leads to."""
    widths = {"author": 4, "paper": 7, "topic": 3, "venue": 5}
    x = {ntype: torch.randn(NODES[ntype], width) for ntype, width in widths.items()}

    def convs(widths, out):
        return hf.nn.HeteroGraphConv(
            {
                relation[1]: hf.nn.SAGEConv((widths[relation[0]], widths[relation[2]]), out, "mean")
                for relation in RELATIONS
            },
            aggregate="sum",
        )

    first, second = convs(widths, 6), convs(dict.fromkeys(widths, 6), 2)
    with torch.no_grad():
        hidden = first(graph, x)
        assert set(hidden) == {"author", "paper", "venue"}
        expected = second(graph, hidden)
    found = typed_layerwise_inference([first, second], graph, x, chunk_edges=50)
    assert set(found) == {"author", "paper", "venue"}
    for ntype, rows in found.items():
        torch.testing.assert_close(rows, expected[ntype])


def test_one_type_is_as_ever(small_graph):
    model = GraphSAGE(5, 8, 3, num_layers=3, dropout=0.5).eval()
    x = small_graph.ndata["feat"]

    def layer(i, block, rows):
        return {"_N": model.layer(i, block, rows["_N"])}

    found = typed_layerwise_inference(
        [partial(layer, i) for i in range(3)], small_graph, {"_N": x}, chunk_edges=100
    )
    torch.testing.assert_close(found["_N"], layerwise_inference(model, small_graph, x))


def test_wide_rows_make_small_chunks(graph, monkeypatch):
    model, rows = made("sage", graph), []
    x = model.encoder.all_rows(graph)
    monkeypatch.setattr(typed_inference, "_CHUNK_ELEMENTS", 160)  # 20 rows of 8
    gather = typed_inference.ops.gather_rows
    monkeypatch.setattr(
        typed_inference.ops, "gather_rows", lambda x, ids: rows.append(len(ids)) or gather(x, ids)
    )
    typed_layerwise_inference(list(model.layers), graph, x, targets=["paper"])
    per_chunk = [sum(rows[i : i + 4]) for i in range(0, 4 * 20, 4)]
    degrees = sum(graph.in_degrees(etype=r) for r in RELATIONS if r[2] == "paper")
    assert max(per_chunk) <= max(20, int(degrees.max()) + 1)


def test_modules_come_back_as_they_were(graph):
    first, second = nn.Module(), nn.Module()
    second.eval()

    def fail(block, rows):
        assert not first.training
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        typed_layerwise_inference([fail, first, second], graph, {})
    assert first.training
    assert not second.training


def test_errors(graph, tmp_path):
    with pytest.raises(ValueError, match=r"targets: expected node types of 'author', .*, got 'x'"):
        typed_layerwise_inference([], graph, {}, targets=["x"])
    with pytest.raises(ValueError, match=r"x: expected node types of 'author', .*, got 'user'"):
        typed_layerwise_inference([], graph, {"user": torch.zeros(3, 1)})
    with pytest.raises(ValueError, match=r"x\['venue'\]: expected a row for each of the 8 nodes"):
        typed_layerwise_inference([], graph, {"venue": torch.zeros(3, 1)})
    with pytest.raises(ValueError, match="chunk_edges: expected at least 1, got 0"):
        typed_layerwise_inference([], graph, {}, chunk_edges=0)
    with pytest.raises(ValueError, match="scratch: expected a folder"):
        typed_layerwise_inference([], graph, {}, scratch=tmp_path / "none")
