"""hopflow computes what DGL computes: results recorded by ``record.py``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import hopflow as hf
import hopflow.function as fn
from hopflow.nn import SAGEConv
from hopflow.udf import EdgeBatch, NodeBatch

RECORD = Path(__file__).parent / "records" / "fixtures.npz"
MESSAGES = [name for name in fn.__all__ if "_" in name]
REDUCERS = ("sum", "mean", "max", "min", "edges")
STEPS = {
    "reverse": lambda g, r: hf.add_reverse_edges(g, copy_edata=True),
    "reverse_self": lambda g, r: hf.add_reverse_edges(g, exclude_self=False, copy_ndata=False),
    "add_loop": lambda g, r: hf.add_self_loop(g, fill_data=2.5),
    "remove_loop": lambda g, r: hf.remove_self_loop(g),
    "in_subgraph": lambda g, r: hf.in_subgraph(g, r["nodes"]),
    "block": lambda g, r: hf.to_block(hf.in_subgraph(g, r["nodes"]), r["nodes"]),
    "block_more": lambda g, r: hf.to_block(hf.in_subgraph(g, r["nodes"]), r["more_nodes"]),
}


class Recorded:
    """What was recorded, by path."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            flat = {name: torch.from_numpy(arrays[name]) for name in ("float32", "int64")}
            self.about: dict[str, Any] = json.loads(arrays["about"].tobytes())
        self.tensors = {
            name: flat[dtype][start : start + math.prod(shape)].view(shape)
            for name, (dtype, start, shape) in self.about["index"].items()
        }

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors under one name; empty where nothing was recorded."""
        start = prefix + "/"
        return {k[len(start) :]: x for k, x in self.tensors.items() if k.startswith(start)}


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    """The recorded results."""
    return Recorded(RECORD)


def cotangent(shape: torch.Size) -> Tensor:
    """The gradient that record.py sent back into a result of this shape."""
    return torch.cos(torch.arange(math.prod(shape), dtype=torch.float32)).view(shape)


def make(recorded: Recorded, name: str) -> hf.Graph:
    """A recorded graph or block, with ids of its own."""
    given = recorded.below(f"graphs/{name}")
    num_src, num_dst = given["sizes"].tolist()
    edges = (given["src"].clone(), given["dst"].clone())
    if name == "block":
        return hf.create_block(edges, num_src_nodes=num_src, num_dst_nodes=num_dst)
    return hf.graph(edges, num_nodes=num_dst)


def assert_near(what: str, got: Tensor, want: Tensor, tolerance: float) -> None:
    """Equal shapes and values within an absolute and relative tolerance."""
    assert got.shape == want.shape, f"{what}: shape {list(got.shape)}, DGL {list(want.shape)}"
    torch.testing.assert_close(
        got, want, rtol=tolerance, atol=tolerance, msg=lambda m: f"{what}: {m}"
    )


def test_record_names_its_versions(recorded: Recorded) -> None:
    assert recorded.about["dgl"].startswith("2.")
    assert recorded.about["torch"]
    assert RECORD.stat().st_size < 300_000


@pytest.mark.parametrize("reducer", REDUCERS)
@pytest.mark.parametrize(
    "case", ["graph/heads", "graph/dot_heads", "graph/scalars", "block/wide", "no_edges/wide"]
)
def test_messages(recorded: Recorded, case: str, reducer: str) -> None:
    """All 32 message functions, results and gradients."""
    given = recorded.below(f"messages/{case}")
    graph = make(recorded, case.split("/")[0])
    names = [name for name in MESSAGES if f"{name}/{reducer}/out" in given]
    assert len(names) == {"graph/heads": 26, "graph/dot_heads": 6}.get(case, 32)
    for name in names:
        what = f"{case}/{name}/{reducer}"
        leaves = {side: given[f"data/{side}"].clone().requires_grad_() for side in "uve"}
        columns = (name[-1],) if name.startswith("copy") else (name[0], name[-1])
        message = getattr(fn, name)(*columns, "m")
        with graph.local_scope():
            graph.srcdata["u"], graph.dstdata["v"] = leaves["u"], leaves["v"]
            graph.edata["e"] = leaves["e"]
            if reducer == "edges":
                graph.apply_edges(message)
                out = graph.edata["m"]
            else:
                graph.update_all(message, getattr(fn, reducer)("m", "out"))
                out = graph.dstdata["out"]
        assert_near(what, out, given[f"{name}/{reducer}/out"], 1e-5)
        if case.startswith("no_edges"):
            continue
        out.backward(cotangent(out.shape))
        for side in columns:
            got = leaves[side].grad
            assert got is not None
            assert_near(
                f"{what}, gradient of {side}", got, given[f"{name}/{reducer}/grad/{side}"], 2e-4
            )


@pytest.mark.parametrize("form", ["graph", "block", "pair"])
@pytest.mark.parametrize("aggregator", ["mean", "gcn", "pool"])
@pytest.mark.parametrize("widths", ["5-2", "2-5"])
@pytest.mark.parametrize("kind", ["bias", "weighted"])
def test_sage(recorded: Recorded, form: str, aggregator: str, widths: str, kind: str) -> None:
    """SAGEConv with DGL's own state dict: results and the gradients of everything."""
    given = recorded.below(f"sage/{form}/{aggregator}/{widths}/{kind}")
    graph = make(recorded, "graph" if form == "graph" else "block")
    in_feats, out_feats = map(int, widths.split("-"))
    feat = [given[f"feat/{i}"].clone().requires_grad_() for i in range(1 + (form == "pair"))]
    size = (in_feats, feat[1].shape[1]) if form == "pair" else in_feats
    layer = SAGEConv(size, out_feats, aggregator, bias=kind == "bias")
    state = {k[len("state/") :]: x for k, x in given.items() if k.startswith("state/")}
    layer.load_state_dict(state)
    assert list(layer.state_dict()) == list(state)
    weight = None if kind == "bias" else given["edge_weight"].clone().requires_grad_()
    out = layer(graph, tuple(feat) if form == "pair" else feat[0], edge_weight=weight)
    assert_near("result", out, given["out"], 1e-5)
    out.backward(cotangent(out.shape))
    for i, x in enumerate(feat):
        assert x.grad is not None
        assert_near(f"gradient of feat {i}", x.grad, given[f"feat_grad/{i}"], 2e-4)
    if weight is not None:
        assert weight.grad is not None
        assert_near("gradient of edge_weight", weight.grad, given["edge_weight_grad"], 2e-4)
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        assert_near(f"gradient of {name}", parameter.grad, given[f"state_grad/{name}"], 2e-4)


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("step", sorted(STEPS))
def test_structure(recorded: Recorded, step: str, idtype: torch.dtype) -> None:
    """Edges in DGL's order, and DGL's columns, exactly."""
    given = recorded.below(f"structure/{step}")
    made = STEPS[step](messy(recorded, idtype), recorded.below("structure"))
    src, dst = made.edges()
    assert src.dtype == dst.dtype == idtype
    assert src.tolist() == given["src"].tolist()
    assert dst.tolist() == given["dst"].tolist()
    for side in ("srcdata", "dstdata", "edata"):
        wanted = {k[len(side) + 1 :]: x for k, x in given.items() if k.startswith(side + "/")}
        got = getattr(made, side)
        assert sorted(got) == sorted(wanted), side
        for key, value in wanted.items():
            assert got[key].tolist() == value.tolist(), f"{side}[{key!r}]"


def messy(recorded: Recorded, idtype: torch.dtype = torch.int64) -> hf.Graph:
    """The recorded graph with the columns that record.py gave it."""
    given = recorded.below("graphs/graph")
    graph = hf.graph((given["src"].to(idtype), given["dst"].to(idtype)), num_nodes=8)
    graph.ndata["x"] = torch.arange(8).float()
    graph.edata["w"] = torch.arange(graph.num_edges()).float() + 100
    return graph


def test_default_destinations(recorded: Recorded) -> None:
    """The same destinations and edges; hopflow numbers new sources destination by destination,

    DGL edge by edge.
    """
    given = recorded.below("structure/block_default")
    graph = messy(recorded)
    block = hf.to_block(hf.in_subgraph(graph, recorded.below("structure")["nodes"]))
    assert block.dstdata[hf.NID].tolist() == given["dstdata/_ID"].tolist()
    src, dst = block.edges()
    assert dst.tolist() == given["dst"].tolist()
    assert block.srcdata[hf.NID][src].tolist() == given["srcdata/_ID"][given["src"]].tolist()
    assert block.srcdata["x"].tolist() == block.srcdata[hf.NID].tolist()
    assert block.edata["w"].tolist() == given["edata/w"].tolist()


def test_orders_and_degrees(recorded: Recorded) -> None:
    given, graph = recorded.below("structure"), messy(recorded)
    src, dst, eids = graph.edges("all", "srcdst")
    assert src.tolist() == given["srcdst/src"].tolist()
    assert dst.tolist() == given["srcdst/dst"].tolist()
    assert eids.tolist() == given["srcdst/eid"].tolist()
    assert graph.in_degrees().tolist() == given["in"].tolist()
    assert graph.out_degrees().tolist() == given["out"].tolist()


def test_reprs(recorded: Recorded) -> None:
    reprs, graph = recorded.about["reprs"], messy(recorded)
    nodes = recorded.below("structure")["nodes"]
    assert repr(graph) == reprs["graph"]
    assert repr(hf.graph(([0], [1]))) == reprs["bare"]
    assert repr(hf.to_block(hf.in_subgraph(graph, nodes), nodes)) == reprs["block"]


def message_udf(edges: EdgeBatch) -> dict[str, Tensor]:
    """As in record.py."""
    return {"m": edges.src["u"] * edges.data["e"] - edges.dst["v"]}


def reduce_udf(nodes: NodeBatch) -> dict[str, Tensor]:
    """As in record.py."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=box.dtype).view(1, -1, 1)
    return {"out": (box * place).sum(1) + nodes.data["v"]}


def apply_udf(nodes: NodeBatch) -> dict[str, Tensor]:
    """As in record.py."""
    return {"out": nodes.data["out"] + 1, "more": nodes.data["v"] * 2}


PASSES: dict[str, Callable[..., None]] = {
    "update_all": lambda g, *f: g.update_all(*f),
    "send_and_recv": lambda g, *f: g.send_and_recv([5, 2, 7, 0], *f),
    "pair": lambda g, *f: g.send_and_recv(g.find_edges([1, 3]), *f),
    "push": lambda g, *f: g.push([4, 0, 1], *f),
    "pull": lambda g, *f: g.pull([3, 0, 2], *f),
}
PAIRS: dict[str, tuple[Any, Any]] = {
    "python": (message_udf, reduce_udf),
    "python_sum": (message_udf, fn.sum("m", "out")),
    "mul_python": (fn.u_mul_e("u", "e", "m"), reduce_udf),
    "mul_mean": (fn.u_mul_e("u", "e", "m"), fn.mean("m", "out")),
    "add_max": (fn.u_add_v("u", "v", "m"), fn.max("m", "out")),
}


def set_operands(graph: hf.Graph, data: dict[str, Tensor]) -> None:
    """Columns named after their sides."""
    graph.srcdata["u"], graph.dstdata["v"], graph.edata["e"] = data["u"], data["v"], data["e"]


@pytest.mark.parametrize("form", ["new", "old", "apply"])
@pytest.mark.parametrize("pair", sorted(PAIRS))
@pytest.mark.parametrize(
    ("name", "what"), [*(("graph", what) for what in PASSES), ("block", "update_all")]
)
def test_passes(recorded: Recorded, name: str, what: str, pair: str, form: str) -> None:
    """Python functions, and passing over some edges: columns and gradients."""
    graph = make(recorded, name)
    data = recorded.below(f"passes/{name}/data")
    given = recorded.below(f"passes/{name}/{what}/{pair}/{form}")
    if pair == "add_max" and (what == "pull" or form == "apply"):
        assert not given
        pytest.skip("DGL gives -inf to nodes without in-edges")
    leaves = {side: x.clone().requires_grad_() for side, x in data.items()}
    set_operands(graph, leaves)
    if form == "old":
        graph.dstdata["out"] = -torch.ones(graph.num_dst_nodes(), 3)
    PASSES[what](graph, *PAIRS[pair], *([apply_udf] if form == "apply" else []))
    got = {key: graph.dstdata[key] for key in ("out", "more") if key in graph.dstdata}
    assert set(got) == {key for key in given if "/" not in key}
    for key, value in got.items():
        assert_near(key, value, given[key], 1e-5)
    total = torch.stack([(x * cotangent(x.shape)).sum() for x in got.values()]).sum()
    total.backward()
    for side, leaf in leaves.items():
        wanted = given.get(f"grad/{side}", torch.zeros_like(leaf))
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        assert_near(f"gradient of {side}", grad, wanted, 2e-4)


@pytest.mark.parametrize("name", ["graph", "block"])
def test_apply_edges_to_some(recorded: Recorded, name: str) -> None:
    graph = make(recorded, name)
    given = recorded.below(f"passes/{name}")
    set_operands(graph, recorded.below(f"passes/{name}/data"))
    for what, function in (("python", message_udf), ("dot", fn.u_dot_v("u", "v", "m"))):
        with graph.local_scope():
            graph.apply_edges(function, edges=[6, 1, 2])
            assert_near(what, graph.edata["m"], given[f"apply_edges/{what}"], 1e-5)


@pytest.mark.parametrize("idtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("name", ["graph", "block"])
def test_queries(recorded: Recorded, name: str, idtype: torch.dtype) -> None:
    """Ends, ids and neighbours of edges, in DGL's order."""
    graph = make(recorded, name)
    graph = graph.int() if idtype == torch.int32 else graph
    given = recorded.below(f"queries/{name}")
    u = torch.arange(graph.num_src_nodes()).repeat_interleave(graph.num_dst_nodes())
    v = torch.arange(graph.num_dst_nodes()).repeat(graph.num_src_nodes())
    nodes, eids = torch.tensor([2, 0, 2, 3]), torch.tensor([4, 4, 0])
    between = given["between"].bool()
    answers = {
        "find_edges": torch.stack(graph.find_edges(eids)),
        "between": torch.as_tensor(graph.has_edges_between(u, v)).to(idtype),
        "first": graph.edge_ids(u[between], v[between]),
        "all": torch.stack(graph.edge_ids(u, v, return_uv=True)),
        "in_edges": torch.stack(graph.in_edges(nodes, "all")),
        "out_edges": torch.stack(graph.out_edges(nodes, "all")),
        "predecessors": graph.predecessors(2),
        "successors": graph.successors(2),
    }
    assert answers.keys() == given.keys()
    for key, value in answers.items():
        assert value.dtype == idtype, key
        assert value.tolist() == given[key].tolist(), key
