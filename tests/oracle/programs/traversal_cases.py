"""Neighbourhoods, traversals, new orders and parts, as code that runs under DGL and under hopflow.

    # with DGL's interpreter
    python tests/oracle/programs/traversal_cases.py FILE.npz [FIRST [COUNT]]

records DGL's answers on random small graphs, each made from a number. They stay clear of where
hopflow differs on purpose:

- nodes given twice to start from: twice in DGL's first frontier; once here.
- a part that no node is in: DGL's process crashes; a graph without own nodes here.
- a part without edges, with ``reshuffle``: an error in DGL; a graph without edges here.
- int32 graphs in ``partition_graph_with_halo``: an error in DGL.
- ``reorder_graph``, and ``reshuffle`` with edge types: DGL sorts edges with an unstable sort; here
  ties keep their order.
- ``reorder_graph(store_ids=False)``: a column ``__orig__`` stays in DGL.
- the order of METIS itself, which is another partitioner's here.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
from typing import Any

import numpy as np
import torch

FIRST, COUNT = 0, 12  # what is recorded


def _flat(frontiers: Any) -> np.ndarray:
    """Frontiers one after the other, with -1 after each."""
    end = np.array([-1])
    return np.concatenate([np.empty(0, np.int64), *(x for f in frontiers for x in (f, end))])


def _edges(g: Any, etype: Any = None) -> list[Any]:
    return list(g.edges(form="all", etype=etype))


def _world(engine: Any, number: int) -> tuple[np.random.Generator, Any, Any]:
    """Random numbers, a graph with repeated edges and loops, and one without cycles."""
    rng = np.random.default_rng([number, 5])
    num_nodes = int(rng.integers(1, 10))
    num_edges = int(rng.integers(0, 26))
    src, dst = rng.integers(num_nodes, size=(2, num_edges))
    idtype = (torch.int64, torch.int32)[number % 2]

    def made(src: np.ndarray, dst: np.ndarray) -> Any:
        ends = torch.from_numpy(src), torch.from_numpy(dst)
        g = engine.graph(ends, num_nodes=num_nodes, idtype=idtype)
        columns = np.random.default_rng([number, 6])
        g.ndata["h"] = torch.from_numpy(columns.standard_normal((num_nodes, 2)))
        return g

    ranks = rng.permutation(num_nodes)
    falls = ranks[src] > ranks[dst]
    up, down = np.where(falls, dst, src), np.where(falls, src, dst)
    return rng, made(src, dst), made(up[up != down], down[up != down])


def _typed(engine: Any, rng: np.random.Generator) -> Any:
    counts = {"a": int(rng.integers(1, 7)), "b": int(rng.integers(1, 7))}

    def some(src: str, dst: str) -> tuple[torch.Tensor, torch.Tensor]:
        num_edges = int(rng.integers(0, 12))
        ends = (rng.integers(counts[t], size=num_edges) for t in (src, dst))
        return tuple(map(torch.from_numpy, ends))

    relations = [("a", "on", "a"), ("a", "to", "b"), ("b", "back", "a"), ("b", "too", "b")]
    return engine.heterograph({name: some(name[0], name[2]) for name in relations}, counts)


def _neighbourhoods(engine: Any, rng: np.random.Generator, g: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seeds = torch.from_numpy(rng.permutation(g.num_nodes())[: rng.integers(1, 4)]).to(g.idtype)
    typed = _typed(engine, rng)
    ntype = "ab"[rng.integers(2)]
    start = torch.from_numpy(rng.permutation(typed.num_nodes(ntype))[:2])
    for way in ("in", "out"):
        khop = getattr(engine, f"khop_{way}_subgraph")
        for k in range(4):
            name = f"khop {way}/{k}"
            part, new_ids = khop(g, seeds, k)
            found[f"{name}/new ids"] = new_ids
            found[f"{name}/nodes"] = part.ndata["_ID"]
            found[f"{name}/h"] = part.ndata["h"]
            found[f"{name}/edges"] = torch.stack([*_edges(part), part.edata["_ID"]])
            whole = khop(g, seeds, k, relabel_nodes=False, store_ids=k % 2 == 0)
            found[f"{name}/whole"] = torch.stack(_edges(whole))
            found[f"{name}/columns"] = np.array(sorted([*whole.ndata, *whole.edata]), dtype=str)
            part, new_ids = khop(typed, {ntype: start}, k)
            found[f"{name}/typed new ids"] = new_ids[ntype]
            for t in typed.ntypes:
                found[f"{name}/typed nodes {t}"] = part.nodes[t].data["_ID"]
            for etype in typed.etypes:
                ids = part.edges[etype].data["_ID"]
                found[f"{name}/typed edges {etype}"] = torch.stack([*_edges(part, etype), ids])
    return found


def _traversals(engine: Any, rng: np.random.Generator, g: Any, acyclic: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    seeds = torch.from_numpy(rng.permutation(g.num_nodes())[: rng.integers(1, 4)]).to(g.idtype)
    fn = engine.function
    for back in (False, True):
        found[f"bfs nodes/{back}"] = _flat(engine.bfs_nodes_generator(g, seeds, back))
        found[f"bfs edges/{back}"] = _flat(engine.bfs_edges_generator(g, seeds, back))
        found[f"topological/{back}"] = _flat(engine.topological_nodes_generator(acyclic, back))
        found[f"dfs edges/{back}"] = _flat(engine.dfs_edges_generator(g, seeds, back))
        for reverse_edge in (False, True):
            for nontree in (False, True):
                edges, labels = engine.dfs_labeled_edges_generator(
                    g, seeds, back, reverse_edge, nontree
                )
                name = f"dfs labelled/{back} {reverse_edge} {nontree}"
                found[f"{name}/edges"], found[f"{name}/labels"] = _flat(edges), _flat(labels)

        def passed(g: Any, go: Any) -> torch.Tensor:
            with g.local_scope():
                go(g, fn.copy_u("h", "m"), fn.sum("m", "h"))
                return g.ndata["h"]

        def halve(nodes: Any) -> dict[str, torch.Tensor]:
            return {"h": nodes.data["h"] / 2}

        ways = {
            "bfs": lambda g, m, r, back=back: engine.prop_nodes_bfs(g, seeds, m, r, back),
            "bfs, applied": lambda g, m, r, back=back: engine.prop_nodes_bfs(
                g, seeds, m, r, back, halve
            ),
            "dfs": lambda g, m, r, back=back: engine.prop_edges_dfs(g, seeds, m, r, back, True),
            "nodes": lambda g, m, r: g.prop_nodes([[0], seeds], m, r),
            "edges": lambda g, m, r: g.prop_edges(
                list(torch.arange(g.num_edges(), dtype=g.idtype).split(3)), m, r
            ),
        }
        for name, way in ways.items():
            found[f"passed/{name}/{back}"] = passed(g, way)
        found[f"passed/topo/{back}"] = passed(
            acyclic, lambda g, m, r, back=back: engine.prop_nodes_topo(g, m, r, back)
        )
    return found


def _orders(engine: Any, rng: np.random.Generator, g: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    config = {
        "nodes_perm": torch.from_numpy(rng.permutation(g.num_nodes())).to(g.idtype),
        "edges_perm": torch.from_numpy(rng.permutation(g.num_edges())).to(g.idtype),
    }
    for nodes in (None, "rcmk", "custom"):
        for edges in ("src", "dst", "custom"):
            made = engine.reorder_graph(g, nodes, edges, permute_config=config)
            name = f"reorder/{nodes} {edges}"
            found[f"{name}/nodes"], found[f"{name}/h"] = made.ndata["_ID"], made.ndata["h"]
            src, dst, _ = _edges(made)
            ids = made.edata["_ID"].long()
            if edges == "custom":
                found[f"{name}/edges"] = torch.stack([src.long(), dst.long(), ids])
                continue
            key = (src if edges == "src" else dst).long()
            by_id = ids.argsort()
            ties = by_id[key[by_id].argsort(stable=True)]
            found[f"{name}/keys"] = key
            found[f"{name}/edges"] = torch.stack([src[ties].long(), dst[ties].long(), ids[ties]])
    return found


def _part(name: str, one: Any, has_ties: bool) -> dict[str, Any]:
    src, dst, _ = _edges(one)
    found = {f"{name}/ndata {key}": column for key, column in one.ndata.items()}
    found |= {f"{name}/edata {key}": column for key, column in one.edata.items()}
    if not has_ties:
        return {**found, f"{name}/edges": torch.stack([src, dst])}
    by_id = one.edata["orig_id"].argsort()
    nodes = one.ndata["orig_id"]
    ends = [nodes[src], nodes[dst], one.edata["orig_id"], one.edata["inner_edge"].long()]
    columns = [one.ndata[key].long() for key in ("orig_id", "inner_node", "part_id")]
    own = one.ndata["inner_node"] > 0
    return {
        f"{name}/own nodes": torch.stack(columns)[:, own],
        f"{name}/nodes": torch.stack(columns)[:, nodes.argsort()],
        f"{name}/edges": torch.stack(ends)[:, by_id],
    }


def _parts(engine: Any, rng: np.random.Generator, g: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    g = engine.add_self_loop(g.long())  # no part is without edges
    num_nodes = g.num_nodes()
    part = torch.from_numpy(rng.integers(3, size=num_nodes))
    # No part below the last is without nodes.
    part = torch.unique(part, return_inverse=True)[1]
    for typed in (False, True):
        g = g.local_var()
        if typed:
            types = rng.integers(2, size=num_nodes), rng.integers(2, size=g.num_edges())
            g.ndata["_TYPE"], g.edata["_TYPE"] = map(torch.from_numpy, types)
        for hops in range(3):
            for reshuffle in (False, True):
                name = f"parts/{typed} {hops} {reshuffle}"
                with contextlib.redirect_stdout(io.StringIO()):
                    parts, nids, eids = engine.partition_graph_with_halo(
                        g, part, hops, reshuffle=reshuffle
                    )
                if reshuffle:
                    found[f"{name}/nids"] = nids
                    ties = typed and (part[g.edges()[1]] * 2 + g.edata["_TYPE"])[eids]
                    found[f"{name}/eids"] = ties if typed else eids
                for i, one in parts.items():
                    found.update(_part(f"{name}/{i}", one, typed and reshuffle))
    return found


def answers(engine: Any, first: int, count: int) -> dict[str, np.ndarray]:
    """All answers on some graphs."""
    found: dict[str, np.ndarray] = {}
    for number in range(first, first + count):
        rng, g, acyclic = _world(engine, number)
        made = {
            **_neighbourhoods(engine, rng, g),
            **_traversals(engine, rng, g, acyclic),
            **_orders(engine, rng, g),
            **_parts(engine, rng, g),
        }
        found.update({f"{number}/{name}": np.asarray(x) for name, x in made.items()})
    return found


def difference(ours: np.ndarray, theirs: np.ndarray) -> str:
    """What is wrong with an answer; "" if nothing."""
    if ours.shape != theirs.shape:
        return f"shape {list(ours.shape)}, DGL {list(theirs.shape)}: {ours}, DGL {theirs}"
    if ours.dtype.kind != theirs.dtype.kind or (
        ours.dtype.kind in "if" and ours.dtype != theirs.dtype
    ):
        return f"dtype {ours.dtype}, DGL {theirs.dtype}"
    if ours.dtype.kind == "f":
        return "" if np.allclose(ours, theirs, rtol=1e-9, atol=1e-12) else f"{ours}, DGL {theirs}"
    return "" if np.array_equal(ours, theirs) else f"{ours}, DGL {theirs}"


def pack(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Many small arrays as two: in a file each has its price."""
    parts = [[name, x.dtype.str, list(x.shape)] for name, x in found.items()]
    told = np.frombuffer(json.dumps(parts).encode(), np.uint8)
    data = np.frombuffer(b"".join(x.tobytes() for x in found.values()), np.uint8)
    return {"parts": told, "data": data}


def unpack(packed: Any) -> dict[str, np.ndarray]:
    """What :func:`pack` was given."""
    data, begin, found = packed["data"].tobytes(), 0, {}
    for name, dtype, shape in json.loads(packed["parts"].tobytes()):
        end = begin + math.prod(shape) * np.dtype(dtype).itemsize
        found[name] = np.frombuffer(data[begin:end], dtype).reshape(shape)
        begin = end
    return found


if __name__ == "__main__":
    import dgl

    given = [int(x) for x in sys.argv[2:]]
    first, count = (*given, *(FIRST, COUNT)[len(given) :])
    recorded = pack(answers(dgl, first, count))
    recorded["versions"] = np.array(f"dgl {dgl.__version__}, torch {torch.__version__}")
    np.savez_compressed(sys.argv[1], **recorded)
