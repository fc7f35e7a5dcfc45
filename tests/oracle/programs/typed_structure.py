"""What DGL and hopflow are both asked on graphs of several types: graphs made from graphs."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from compare_engine import Case, with_gradients
from torch import Tensor
from typed_worlds import IDS, Relation, Tensors, World, columns_of, described, text, typed_case

NAME_TWICE = "to_heterogeneous with a metagraph in which a name is there twice: DGL loses edges"
NO_EIDS = "remove_edges of no edges with store_ids: DGL stores none"
SEGFAULT = "relabelled subgraphs where no relation has one of the node types: DGL crashes"


def in_order(g: Any) -> Tensors:
    """A graph by its own numbers: every column and every edge in the order in which they stand.

    Counts and original ids are compared as numbers: README.md tells how wide they are.
    """
    found: Tensors = {"types": text([g.ntypes, g.canonical_etypes])}
    for t in sorted(g.ntypes):
        found[f"num_nodes {t}"] = text(g.num_nodes(t))
        found |= {f"{t} {k}": _widened(x) for k, x in g.nodes[t].data.items()}
    for r in sorted(g.canonical_etypes):
        found[f"{r} src"], found[f"{r} dst"] = g.edges(etype=r)
        found |= {f"{r} {k}": _widened(x) for k, x in g.edges[r].data.items()}
    return found


def _widened(column: Tensor) -> Tensor:
    return column if column.is_floating_point() else column.long()


# --- one type from several, and back ---


def to_homogeneous(lib: Any, world: World, store_type: bool, columns: bool) -> Tensors:
    """All nodes and edges as those of one type, and how many of each came."""
    g, _ = world.filled(lib)
    given = {"ndata": ["x", "y"], "edata": ["w"]} if columns else {}
    h, *counts = lib.to_homogeneous(g, store_type=store_type, return_count=True, **given)
    return in_order(h) | {"counts": text([[int(n) for n in count] for count in counts])}


def there_and_back(lib: Any, world: World, metagraph: bool) -> Tensors:
    """``to_heterogeneous`` of what ``to_homogeneous`` gave."""
    g, _ = world.filled(lib)
    h = lib.to_homogeneous(g, ndata=["x"], edata=["w"])
    given = {"metagraph": g.metagraph()} if metagraph else {}
    return in_order(lib.to_heterogeneous(h, g.ntypes, g.etypes, **given))


def to_heterogeneous(lib: Any, world: World) -> Tensors:
    """Nodes of several types in no order, whose relations follow from their ends."""
    stream = world.stream("to_heterogeneous")
    count = stream.number(2, 12)
    ends = stream.below(count, 2, stream.number(1, 25))
    h = lib.graph((world.ids(ends[0]), world.ids(ends[1])), num_nodes=count)
    h.ndata["kind"] = torch.from_numpy(stream.below(3, count))
    h.edata["sort"] = torch.from_numpy(stream.below(2, ends.shape[1]))
    h.ndata["x"], h.edata["w"] = (
        world.floats("n", count, (2,)),
        world.floats("e", ends.shape[1], ()),
    )
    names = {"ntype_field": "kind", "etype_field": "sort"}
    return in_order(lib.to_heterogeneous(h, ["user", "item", "tag"], ["likes", "has"], **names))


# --- parts ---


def type_subgraph(lib: Any, world: World, of: str) -> Tensors:
    """Some node types, or some relations."""
    g, _ = world.filled(lib)
    if of == "nodes":
        names = world.shuffled("types", world.num_nodes)
        part = lib.node_type_subgraph(g, names[: max(1, len(names) - 1)])
    else:
        relations = world.shuffled("relations", world.relations)
        part = lib.edge_type_subgraph(g, relations[: max(1, len(relations) // 2)])
    return in_order(part)


def subgraph(lib: Any, world: World, of: str, relabel: bool) -> Tensors:
    """What some nodes induce, some edges, the edges into some nodes or out of them."""
    g, _ = world.filled(lib)
    name = f"{of}_subgraph"
    given: Any = world.edge_picks(of) if of == "edge" else world.node_picks(of)
    part = getattr(lib, name)(g, given, relabel_nodes=relabel)
    found = described(part)
    if of == "node" and relabel:
        found |= {f"order {t}": part.nodes[t].data[IDS] for t in world.num_nodes}
    return found | {"columns": columns_of(part)}


# --- edges and nodes added and removed ---


def remove_edges(lib: Any, world: World, relation: Relation, store_ids: bool) -> Tensors:
    """Without some edges of a relation."""
    g, _ = world.filled(lib)
    eids = world.pick(f"remove {relation}", g.num_edges(relation), 1)
    return in_order(lib.remove_edges(g, eids, etype=relation, store_ids=store_ids))


def remove_nodes(lib: Any, world: World, ntype: str) -> Tensors:
    """Without some nodes of a type, and the edges they have."""
    g, _ = world.filled(lib)
    nids = world.pick(f"remove {ntype}", g.num_nodes(ntype), 1)
    part = lib.remove_nodes(g, nids, ntype=ntype, store_ids=True)
    return described(part) | {f"order {t}": part.nodes[t].data[IDS] for t in world.num_nodes}


def self_loops(lib: Any, world: World, relation: Relation, fill: Any) -> Tensors:
    """A loop more for every node of a relation's type; ``fill`` None removes them."""
    g, _ = world.filled(lib)
    if fill is None:
        return in_order(lib.remove_self_loop(g, etype=relation))
    return in_order(lib.add_self_loop(g, fill_data=fill, etype=relation))


def reverse(lib: Any, world: World, columns: bool) -> Tensors:
    """Every relation the other way round."""
    g, _ = world.filled(lib)
    return in_order(lib.reverse(g, copy_ndata=columns, copy_edata=columns))


def to_simple(lib: Any, world: World, form: str) -> Tensors:
    """Parallel edges as one, with their number, their columns or which became which."""
    g, _ = world.filled(lib)
    if form == "counts":
        return in_order(lib.to_simple(g, return_counts="n"))
    if form == "mapping":
        simple, mapping = lib.to_simple(g, return_counts=None, writeback_mapping=True)
        parts = mapping if isinstance(mapping, dict) else {"alone": mapping}
        return in_order(simple) | {f"mapping {r}": x for r, x in parts.items()}
    return in_order(lib.to_simple(g, copy_edata=True, aggregator=form))


def add_reverse_edges(lib: Any, world: World, exclude_self: bool) -> Tensors:
    """Every edge the other way as well, in relations of a type with itself."""
    g, _ = world.filled(lib)
    return in_order(
        lib.add_reverse_edges(g, copy_edata=True, ignore_bipartite=True, exclude_self=exclude_self)
    )


# --- blocks and sampling ---


def in_block(block: Any, ordered: bool = True) -> Tensors:
    """A block by original ids; its destinations in order, unless they are sources of another.

    For those are numbered otherwise: hopflow by first appearance, destination by destination.
    """
    found = described(block)
    for t in block.dsttypes:
        ids = block.dstnodes[t].data[IDS]
        found |= {f"order {t}": ids} if ordered else {}
        prefix = block.srcnodes[t].data[IDS][: len(ids)]
        found[f"prefix {t}"] = text(torch.equal(prefix, ids))
    found["sizes"] = text([
        {t: block.num_src_nodes(t) for t in block.srctypes},
        {t: block.num_dst_nodes(t) for t in block.dsttypes},
        [block.num_src_nodes(), block.num_dst_nodes(), block.num_edges()],
    ])  # fmt: skip
    return found


def to_block(lib: Any, world: World, given: str) -> Tensors:
    """The edges into some nodes as a block."""
    g, _ = world.filled(lib)
    nodes = world.node_picks("seeds")
    frontier = lib.in_subgraph(g, nodes)
    if given == "none":
        return in_block(lib.to_block(frontier))
    if given == "whole":
        return in_block(lib.to_block(g))
    return in_block(lib.to_block(frontier, nodes))


def passing_on_block(lib: Any, world: World, cross: str) -> Tensors:
    """All relations of a block at once; gradients reach the columns of the graph."""
    fn = importlib.import_module(f"{lib.__name__}.function")
    g, leaves = world.filled(lib)
    nodes = {t: world.pick(f"seeds {t}", n) for t, n in world.num_nodes.items()}
    block = lib.to_block(lib.in_subgraph(g, nodes), nodes)
    for t in block.srctypes:
        block.srcnodes[t].data["x"] = leaves[f"x {t}"][block.srcnodes[t].data[IDS].long()]
    for t in block.dsttypes:
        block.dstnodes[t].data["y"] = leaves[f"y {t}"][block.dstnodes[t].data[IDS].long()]
    message = fn.u_mul_e("x", "w", "m") if cross == "mean" else fn.u_add_v("x", "y", "m")
    passing = {r: (message, fn.sum("m", "out")) for r in block.canonical_etypes}
    block.multi_update_all(passing, cross)
    data = {t: block.dstnodes[t].data for t in block.dsttypes}
    found = {f"out {t}": x["out"] for t, x in data.items() if "out" in x}
    found["columns"] = text({t: sorted(x.keys()) for t, x in data.items()})
    return with_gradients(found, leaves)


def sample(lib: Any, world: World, fanout: str, edge_dir: str) -> Tensors:
    """Every neighbour: fanout -1, one larger than any degree, or one a relation, some of them 0."""
    g, _ = world.filled(lib)
    order = world.shuffled("fanouts", world.relations)
    fanouts = {
        "all": -1,
        "many": 1000,
        "by relation": {r: 0 if i % 2 else -1 for i, r in enumerate(order)},
    }
    nodes = world.node_picks("sampled")
    return described(g.sample_neighbors(nodes, fanouts[fanout], edge_dir=edge_dir))


def full_blocks(lib: Any, world: World) -> Tensors:
    """Two layers of all neighbours."""
    dataloading = importlib.import_module(f"{lib.__name__}.dataloading")
    g, _ = world.filled(lib)
    sampler = dataloading.MultiLayerFullNeighborSampler(2)
    inputs, outputs, blocks = sampler.sample(g, world.node_picks("batch"))
    found: Tensors = {}
    for name, ids in (("input", inputs), ("output", outputs)):
        parts = ids if isinstance(ids, dict) else {"alone": ids}
        found |= {f"{name} {t}": x.sort().values if name == "input" else x
                  for t, x in parts.items() if len(x)}  # fmt: skip
    for i, block in enumerate(blocks):
        found |= {f"{i} {k}": x for k, x in in_block(block, ordered=i == 1).items()}
    return found


def structure_cases(world: World) -> Iterator[Case]:
    """All of one world."""
    case = partial(typed_case, world)
    for store_type in (True, False):
        for columns in (True, False):
            name = f"{'types' if store_type else 'no types'}, columns {columns}"
            run = partial(to_homogeneous, store_type=store_type, columns=columns)
            yield case("to_homogeneous", name, run)
    for metagraph in (True, False):
        name = f"and back{', metagraph' if metagraph else ''}"
        known = NAME_TWICE if metagraph and world.has_name_twice else None
        run = partial(there_and_back, metagraph=metagraph)
        yield case("to_heterogeneous", name, run, known=known)
    yield case("to_heterogeneous", "mixed", to_heterogeneous)
    for of in ("nodes", "edges"):
        yield case("type subgraphs", of, partial(type_subgraph, of=of))
    for of in ("node", "edge", "in", "out"):
        for relabel in (True, False):
            name = f"{of}{', relabelled' if relabel else ''}"
            known = SEGFAULT if of != "node" and relabel and world.untouched else None
            run = partial(subgraph, of=of, relabel=relabel)
            yield case("subgraphs", name, run, known=known)
    for r in world.relations:
        for store_ids in (True, False):
            name = f"{r}{', ids' if store_ids else ''}"
            run = partial(remove_edges, relation=r, store_ids=store_ids)
            known = NO_EIDS if store_ids and not len(world.edges[r][0]) else None
            yield case("remove_edges", name, run, known=known)
        if r[0] == r[2]:
            for fill in (None, 2.5, "sum", "mean", "max"):
                name = f"{r} {'removed' if fill is None else fill}"
                run = partial(self_loops, relation=r, fill=fill)
                yield case("self-loops", name, run)
    for t in sorted(world.num_nodes):
        if world.num_nodes[t]:
            yield case("remove_nodes", t, partial(remove_nodes, ntype=t))
    for flag in (True, False):
        yield case("reverse", f"columns {flag}", partial(reverse, columns=flag))
        yield case(
            "add_reverse_edges", f"excluding {flag}", partial(add_reverse_edges, exclude_self=flag)
        )
    for form in ("counts", "mapping", "sum", "mean"):
        yield case("to_simple", form, partial(to_simple, form=form))
    for given in ("some", "none", "whole"):
        yield case("to_block", given, partial(to_block, given=given))
    for cross in ("mean", "sum", "max", "stack"):
        yield case("passing on blocks", cross, partial(passing_on_block, cross=cross))
    for fanout in ("all", "many", "by relation"):
        for edge_dir in ("in", "out"):
            run = partial(sample, fanout=fanout, edge_dir=edge_dir)
            yield case("sample_neighbors", f"{fanout}, {edge_dir}", run)
    yield case("full blocks", "two layers", full_blocks)
