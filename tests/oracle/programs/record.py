"""Record what DGL computes on small inputs, for ``test_dgl_parity.py`` to compare with.

Run with an interpreter that has DGL; hopflow need not be there::

    python tests/oracle/programs/record.py tests/oracle/records/fixtures.npz

The file holds one flat array a dtype and an index of names, shapes and offsets, as JSON bytes, so
that a thousand small tensors cost little more than their numbers. Names are paths such as
``update_all/graph/u_mul_e/mean/out``; ``.../grad/u`` is the gradient that :func:`cotangent` sends
back to operand ``u``.
"""

from __future__ import annotations

import json
import math
import platform
import sys
from collections.abc import Mapping

import dgl
import dgl.function as fn
import dgl.nn.pytorch as dglnn
import numpy as np
import torch
from torch import Tensor

MESSAGES = ["copy_u", "copy_e"] + [
    f"{lhs}_{op}_{rhs}"
    for op in ("add", "sub", "mul", "div", "dot")
    for lhs in "uve"
    for rhs in "uve"
    if lhs != rhs
]
REDUCERS = ("sum", "mean", "max", "min")
WIDE = {"u": (3,), "v": (3,), "e": (3,)}
HEADS = {"u": (2, 3), "v": (1, 3), "e": (2, 1)}
DOT_HEADS = {"u": (2, 3), "v": (1, 3), "e": (2, 3)}
SCALARS = {"u": (), "v": (), "e": ()}

generator = torch.Generator().manual_seed(20240229)
recorded: dict[str, Tensor] = {}


def put(name: str, value: Tensor) -> None:
    """Record a tensor under a name of its own."""
    assert name not in recorded, name
    recorded[name] = value.detach().clone()


def put_all(prefix: str, values: Mapping[str, Tensor]) -> None:
    """Record several tensors below one name."""
    for name, value in values.items():
        put(f"{prefix}/{name}", value)


def features(rows: int, shape: tuple[int, ...]) -> Tensor:
    """Random numbers of both signs, away from 0 so that they can divide."""
    size = torch.rand((rows, *shape), generator=generator) + 0.5
    return size * (torch.randint(2, size.shape, generator=generator) * 2 - 1)


def cotangent(shape: torch.Size) -> Tensor:
    """The gradient sent back into a result: numbers that a test can make again."""
    return torch.cos(torch.arange(math.prod(shape), dtype=torch.float32)).view(shape)


def messy_edges(num_src: int, num_dst: int, count: int) -> tuple[Tensor, Tensor]:
    """Edges in no order, with duplicates; the last destination has no in-edge."""
    src = torch.randint(num_src, (count,), generator=generator)
    dst = torch.randint(num_dst - 1, (count,), generator=generator)
    src[-1], dst[-1] = src[0], dst[0]
    return src, dst


def graphs() -> dict[str, dgl.DGLGraph]:
    """A graph, a block and two graphs without edges, recorded by their edge lists."""
    src, dst = messy_edges(7, 7, 13)
    dst[3] = src[3] = 2
    made = {
        "graph": dgl.graph((src, dst), num_nodes=8),
        "block": dgl.create_block(messy_edges(7, 4, 9), num_src_nodes=7, num_dst_nodes=4),
        "no_edges": dgl.graph(([], []), num_nodes=3),
    }
    for name, graph in made.items():
        put(f"graphs/{name}/src", graph.edges()[0])
        put(f"graphs/{name}/dst", graph.edges()[1])
        sizes = [graph.num_src_nodes(), graph.num_dst_nodes()]
        put(f"graphs/{name}/sizes", torch.tensor(sizes))
    return made


def operands(graph: dgl.DGLGraph, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """A column for the sources, the destinations and the edges."""
    rows = {"u": graph.num_src_nodes(), "v": graph.num_dst_nodes(), "e": graph.num_edges()}
    return {side: features(rows[side], shapes[side]) for side in "uve"}


def message_function(name: str):
    """The built-in: columns are called after their side, the message ``m``."""
    if name.startswith("copy"):
        return getattr(fn, name)(name[-1], "m")
    return getattr(fn, name)(name[0], name[-1], "m")


def record_messages(
    prefix: str, graph: dgl.DGLGraph, data: Mapping[str, Tensor], messages: list[str]
) -> None:
    """Every message with every reducer and on the edges, with its gradients."""
    graph_name = prefix.split("/")[0]
    put_all(f"messages/{prefix}/data", data)
    for name in messages:
        used = [name[-1]] if name.startswith("copy") else [name[0], name[-1]]
        for reducer in (*REDUCERS, "edges"):
            leaves = {side: x.clone().requires_grad_() for side, x in data.items()}
            with graph.local_scope():
                graph.srcdata["u"], graph.dstdata["v"] = leaves["u"], leaves["v"]
                graph.edata["e"] = leaves["e"]
                if reducer == "edges":
                    graph.apply_edges(message_function(name))
                    out = graph.edata["m"]
                else:
                    graph.update_all(message_function(name), getattr(fn, reducer)("m", "out"))
                    out = graph.dstdata["out"]
            path = f"messages/{prefix}/{name}/{reducer}"
            put(f"{path}/out", out)
            if graph_name != "no_edges":
                out.backward(cotangent(out.shape))
                put_all(f"{path}/grad", {side: leaves[side].grad for side in used})


def record_sage(graph: dgl.DGLGraph, block: dgl.DGLGraph) -> None:
    """SAGEConv on a graph, a block and a pair, wider and narrower than its input."""
    edges, nodes = (graph.num_edges(), block.num_edges()), graph.num_nodes()
    for aggregator in ("mean", "gcn", "pool"):
        for in_feats, out_feats in ((5, 2), (2, 5)):
            for plain in (True, False):
                for form in ("graph", "block", "pair"):
                    target = graph if form == "graph" else block
                    other = in_feats if aggregator == "gcn" else 3
                    width = (in_feats, other) if form == "pair" else in_feats
                    layer = dglnn.SAGEConv(width, out_feats, aggregator, bias=plain)
                    for parameter in layer.parameters():
                        parameter.data = 0.5 * features(1, parameter.shape)[0]
                    rows = nodes if form == "graph" else block.num_src_nodes()
                    feat = [features(rows, (in_feats,)).requires_grad_()]
                    if form == "pair":
                        own = features(block.num_dst_nodes(), (other,))
                        feat.append(own.requires_grad_())
                    weight = None
                    if not plain:
                        count = edges[0] if form == "graph" else edges[1]
                        weight = features(count, (1,)).requires_grad_()
                    given = tuple(feat) if form == "pair" else feat[0]
                    out = layer(target, given, edge_weight=weight)
                    out.backward(cotangent(out.shape))
                    bias = "bias" if plain else "weighted"
                    path = f"sage/{form}/{aggregator}/{in_feats}-{out_feats}/{bias}"
                    put_all(f"{path}/state", layer.state_dict())
                    put_all(f"{path}/feat", {str(i): x for i, x in enumerate(feat)})
                    put_all(f"{path}/feat_grad", {str(i): x.grad for i, x in enumerate(feat)})
                    if weight is not None:
                        put(f"{path}/edge_weight", weight)
                        put(f"{path}/edge_weight_grad", weight.grad)
                    grads = {k: p.grad for k, p in layer.named_parameters()}
                    put_all(f"{path}/state_grad", grads)
                    put(f"{path}/out", out)


def put_graph(path: str, graph: dgl.DGLGraph) -> None:
    """Edges by id and every column of a graph or block."""
    src, dst = graph.edges()
    put_all(path, {"src": src, "dst": dst})
    put_all(f"{path}/srcdata", graph.srcdata)
    put_all(f"{path}/dstdata", graph.dstdata)
    put_all(f"{path}/edata", graph.edata)


def record_structure(graph: dgl.DGLGraph) -> dict[str, str]:
    """Transforms, blocks, degrees and orders of a graph with self-loops and duplicate edges."""
    with graph.local_scope():
        graph.ndata["x"] = torch.arange(graph.num_nodes()).float()
        graph.edata["w"] = torch.arange(graph.num_edges()).float() + 100
        src, dst, eid = graph.edges("all", "srcdst")
        put_all("structure/srcdst", {"src": src, "dst": dst, "eid": eid})
        put_all("structure", {"in": graph.in_degrees(), "out": graph.out_degrees()})
        put_graph("structure/reverse", dgl.add_reverse_edges(graph, copy_edata=True))
        both = dgl.add_reverse_edges(graph, exclude_self=False, copy_ndata=False)
        put_graph("structure/reverse_self", both)
        put_graph("structure/add_loop", dgl.add_self_loop(graph, fill_data=2.5))
        put_graph("structure/remove_loop", dgl.remove_self_loop(graph))
        nodes = torch.tensor([5, 2, 7, 0])
        put("structure/nodes", nodes)
        frontier = dgl.in_subgraph(graph, nodes)
        put_graph("structure/in_subgraph", frontier)
        put_graph("structure/block", dgl.to_block(frontier, nodes))
        put_graph("structure/block_default", dgl.to_block(frontier))
        more = torch.tensor([6, 0, 7, 2, 5])
        put("structure/more_nodes", more)
        put_graph("structure/block_more", dgl.to_block(frontier, more))
        return {
            "graph": repr(graph),
            "bare": repr(dgl.graph(([0], [1]))),
            "block": repr(dgl.to_block(frontier, nodes)),
        }


def message_udf(edges):
    """A message in Python that reads all that an edge has."""
    return {"m": edges.src["u"] * edges.data["e"] - edges.dst["v"]}


def reduce_udf(nodes):
    """A reducer in Python that depends on the order of the messages."""
    box = nodes.mailbox["m"]
    place = torch.arange(1, box.shape[1] + 1, dtype=box.dtype).view(1, -1, 1)
    return {"out": (box * place).sum(1) + nodes.data["v"]}


def apply_udf(nodes):
    """A function of the nodes that keeps what was reduced."""
    return {"out": nodes.data["out"] + 1, "more": nodes.data["v"] * 2}


PASSES = {
    "update_all": lambda g, *f: g.update_all(*f),
    "send_and_recv": lambda g, *f: g.send_and_recv([5, 2, 7, 0], *f),
    "pair": lambda g, *f: g.send_and_recv(g.find_edges([1, 3]), *f),
    "push": lambda g, *f: g.push([4, 0, 1], *f),
    "pull": lambda g, *f: g.pull([3, 0, 2], *f),
}
PAIRS = {
    "python": (message_udf, reduce_udf),
    "python_sum": (message_udf, fn.sum("m", "out")),
    "mul_python": (fn.u_mul_e("u", "e", "m"), reduce_udf),
    "mul_mean": (fn.u_mul_e("u", "e", "m"), fn.mean("m", "out")),
    "add_max": (fn.u_add_v("u", "v", "m"), fn.max("m", "out")),
}


def record_passes(name: str, graph: dgl.DGLGraph) -> None:
    """Python functions, and passing over some edges, into a new column and one that is there."""
    data = operands(graph, WIDE)
    put_all(f"passes/{name}/data", data)
    # On a block DGL looks for a destination's columns among the sources' in all but update_all.
    for what in PASSES if name == "graph" else ("update_all",):
        run = PASSES[what]
        for pair, functions in PAIRS.items():
            for form in ("new", "old", "apply"):
                if pair == "add_max" and (what == "pull" or form == "apply"):
                    continue  # -inf where there are no in-edges
                leaves = {side: x.clone().requires_grad_() for side, x in data.items()}
                with graph.local_scope():
                    graph.srcdata["u"], graph.dstdata["v"] = leaves["u"], leaves["v"]
                    graph.edata["e"] = leaves["e"]
                    if form == "old":
                        graph.dstdata["out"] = -torch.ones(graph.num_dst_nodes(), 3)
                    run(graph, *functions, *([apply_udf] if form == "apply" else []))
                    got = {k: graph.dstdata[k] for k in ("out", "more") if k in graph.dstdata}
                path = f"passes/{name}/{what}/{pair}/{form}"
                put_all(path, got)
                total = sum((x * cotangent(x.shape)).sum() for x in got.values())
                total.backward()
                grads = {side: x.grad for side, x in leaves.items() if x.grad is not None}
                put_all(f"{path}/grad", grads)
    for what, function in (("python", message_udf), ("dot", fn.u_dot_v("u", "v", "m"))):
        with graph.local_scope():
            graph.srcdata["u"], graph.dstdata["v"] = data["u"], data["v"]
            graph.edata["e"] = data["e"]
            graph.apply_edges(function, edges=[6, 1, 2])
            put(f"passes/{name}/apply_edges/{what}", graph.edata["m"])


def record_queries(name: str, graph: dgl.DGLGraph) -> None:
    """What the graph tells about its edges."""
    u = torch.arange(graph.num_src_nodes()).repeat_interleave(graph.num_dst_nodes())
    v = torch.arange(graph.num_dst_nodes()).repeat(graph.num_src_nodes())
    nodes, eids = torch.tensor([2, 0, 2, 3]), torch.tensor([4, 4, 0])
    between = graph.has_edges_between(u, v)
    answers = {
        "find_edges": torch.stack(graph.find_edges(eids)),
        "between": between.long(),
        "first": graph.edge_ids(u[between], v[between]),
        "all": torch.stack(graph.edge_ids(u, v, return_uv=True)),
        "in_edges": torch.stack(graph.in_edges(nodes, "all")),
        "out_edges": torch.stack(graph.out_edges(nodes, "all")),
        "predecessors": graph.predecessors(2),
        "successors": graph.successors(2),
    }
    put_all(f"queries/{name}", answers)


def save(path: str, reprs: Mapping[str, str]) -> None:
    """Write everything recorded, with the versions it came from."""
    index, flat, offsets = {}, {"float32": [], "int64": []}, {"float32": 0, "int64": 0}
    for name, value in recorded.items():
        dtype = str(value.dtype).replace("torch.", "")
        index[name] = [dtype, offsets[dtype], list(value.shape)]
        flat[dtype].append(value.reshape(-1).numpy())
        offsets[dtype] += value.numel()
    about = {
        "dgl": dgl.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "reprs": reprs,
        "index": index,
    }
    arrays = {dtype: np.concatenate(parts) for dtype, parts in flat.items()}
    about_bytes = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    np.savez_compressed(path, about=about_bytes, **arrays)


def main() -> None:
    """Record everything into the file that the command line names."""
    made = graphs()
    dots = [name for name in MESSAGES if "_dot_" in name]
    others = [name for name in MESSAGES if "_dot_" not in name]
    graph, block, no_edges = made["graph"], made["block"], made["no_edges"]
    record_messages("graph/heads", graph, operands(graph, HEADS), others)
    record_messages("graph/dot_heads", graph, operands(graph, DOT_HEADS), dots)
    record_messages("graph/scalars", graph, operands(graph, SCALARS), MESSAGES)
    record_messages("block/wide", block, operands(block, WIDE), MESSAGES)
    record_messages("no_edges/wide", no_edges, operands(no_edges, WIDE), MESSAGES)
    record_sage(graph, block)
    reprs = record_structure(graph)
    for name in ("graph", "block"):
        record_passes(name, made[name])
        record_queries(name, made[name])
    save(sys.argv[1], reprs)


if __name__ == "__main__":
    main()
