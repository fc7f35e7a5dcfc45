"""What DGL and hopflow are both asked of graphs that change in place, and of graphs as matrices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import networkx as nx
import numpy as np
import scipy.sparse
import torch
from compare_engine import Case
from torch import Tensor
from typed_structure import in_order
from typed_worlds import Relation, Stream, Tensors, World, make_world, text, typed_case

STEPS = 8

RECORDED = (0, 5, 10, 17)
"""The worlds whose results ``in_place.npz`` holds."""


def counting(shape: tuple[int, ...], dtype: torch.dtype, ctx: torch.device, rows: slice) -> Tensor:
    """An initialiser that tells for which rows it was called."""
    ids = torch.arange(rows.start, rows.stop, device=ctx).add(100).to(dtype)
    return ids.view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()


def constant(shape: tuple[int, ...], dtype: torch.dtype, ctx: torch.device, rows: slice) -> Tensor:
    """Another one."""
    return torch.full(shape, 7, dtype=dtype, device=ctx)


def with_initializers(g: Any, world: World) -> None:
    """Give some types of nodes and edges initialisers, some columns those of their own."""
    stream = world.stream("initializers")
    targets = [(g.set_n_initializer, {"ntype": t}) for t in sorted(world.num_nodes)]
    targets += [(g.set_e_initializer, {"etype": r}) for r in world.relations]
    for set_initializer, of_type in targets:
        if stream.chance(0.5):
            set_initializer(counting, **of_type)
        if stream.chance(0.5):
            set_initializer(constant, field=("x", "w")["etype" in of_type], **of_type)


def new_rows(stream: Stream, columns: dict[str, Tensor], count: int, step: int) -> Any:
    """Columns for new rows: none, all that there are, or some of them and another one."""
    kind = stream.number(0, 4)
    if kind == 0:
        return None
    made = {}
    for name, column in sorted(columns.items()):
        if kind == 1 or stream.chance(0.5):
            values = stream.random(count, *column.shape[1:]) * 100
            made[name] = torch.from_numpy(values).to(column.dtype)
    if kind == 3 or not made:
        made[f"of step {step}"] = torch.from_numpy(stream.random(count, 2))
    return made


def add_some_nodes(g: Any, world: World, stream: Stream, step: int) -> None:
    """Nodes of a random type."""
    ntype = stream.shuffled(sorted(world.num_nodes))[0]
    count = stream.number(1, 4)
    g.add_nodes(count, new_rows(stream, dict(g.nodes[ntype].data), count, step), ntype=ntype)


def add_some_edges(g: Any, world: World, stream: Stream, step: int) -> None:
    """Edges of a random relation, now and then to nodes that are not there yet."""
    relation = stream.shuffled(world.relations)[0]
    count, more = stream.number(1, 5), 3 * stream.chance(0.4)
    u, v = (
        world.ids(stream.below(max(g.num_nodes(ntype), 1) + more, n))
        for ntype, n in ((relation[0], 1 if stream.chance(0.2) else count), (relation[2], count))
    )
    data = new_rows(stream, dict(g.edges[relation].data), count, step)
    g.add_edges(u, v, data, etype=relation)


def remove_some_edges(g: Any, world: World, stream: Stream, step: int) -> None:
    """Some edges of a random relation, one of them given twice."""
    relation = stream.shuffled(world.relations)[0]
    if not g.num_edges(relation):
        return
    gone = stream.below(g.num_edges(relation), stream.number(1, 4))
    g.remove_edges(world.ids([*gone, gone[0]]), etype=relation, store_ids=stream.chance(0.4))


def remove_some_nodes(g: Any, world: World, stream: Stream, step: int) -> None:
    """Some nodes of a random type."""
    ntype = stream.shuffled(sorted(world.num_nodes))[0]
    if g.num_nodes(ntype) < 2:
        return
    gone = stream.below(g.num_nodes(ntype) - 1, stream.number(1, 3))
    g.remove_nodes(world.ids(gone), ntype=ntype, store_ids=stream.chance(0.4))


GROW = (add_some_nodes, add_some_edges)
CHANGE = (add_some_nodes, add_some_edges, remove_some_edges, remove_some_nodes)


def steps(lib: Any, world: World, kinds: tuple[Any, ...], name: str) -> Tensors:
    """A graph after each of some random changes, as it stands."""
    g, _ = world.filled(lib)
    with_initializers(g, world)
    stream = world.stream("steps", name)
    found: Tensors = {}
    for step in range(STEPS):
        change = kinds[stream.number(0, len(kinds))]
        change(g, world, stream, step)
        found |= {f"{step} {change.__name__}, {key}": x for key, x in in_order(g).items()}
        found |= {f"{step} in-degrees {r}": g.in_degrees(etype=r) for r in world.relations}
        found |= {f"{step} out-degrees {r}": g.out_degrees(etype=r) for r in world.relations}
    return found


def functions(lib: Any, world: World) -> Tensors:
    """The functions, which leave the graph as it is."""
    g, _ = world.filled(lib)
    with_initializers(g, world)
    stream = world.stream("functions")
    relation = world.relations[0]
    more = [(n := max(g.num_nodes(t), 1), world.ids(stream.below(n + 2, 3)))[1]
            for t in (relation[0], relation[2])]  # fmt: skip
    ntype = sorted(world.num_nodes)[0]
    found = {f"edges {k}": x for k, x in in_order(
        lib.add_edges(g, *more, {"w": world.floats("new", 3, (2, 1))}, etype=relation)
    ).items()}  # fmt: skip
    found |= {f"nodes {k}": x for k, x in in_order(lib.add_nodes(g, 2, ntype=ntype)).items()}
    return found | {f"as it was {k}": x for k, x in in_order(g).items()}


def some_rows(lib: Any, world: World) -> Tensors:
    """A new column that some rows are given of."""
    g, _ = world.filled(lib)
    with_initializers(g, world)
    for ntype, nodes in world.node_picks("some rows").items():
        g.nodes[ntype].data["x"] = g.nodes[ntype].data["x"].detach()
        if len(nodes):
            g.apply_nodes(lambda b: {"z": b.data["x"][:, 0] * 2}, nodes, ntype=ntype)
    return in_order(g)


# --- as matrices, by predicates ---


def entries(name: str, matrix: Any) -> Tensors:
    """The entries of a matrix as they stand; DGL's, made dense, keeps one of those of a place."""
    if isinstance(matrix, Tensor):
        ends, values = matrix._indices(), matrix._values()
    else:
        ends, values = torch.stack([matrix.row, matrix.col]), matrix.val
    shape = torch.tensor(matrix.shape)
    # Ids of the matrix are int64 here, of the graph's width there.
    return {f"{name} at": ends.long(), f"{name} values": values, f"{name} shape": shape}


def matrices(lib: Any, world: World) -> Tensors:
    """Every form of the adjacency matrix; rows of compressed ones in the order of edge ids."""
    g, _ = world.filled(lib)
    found: Tensors = {"is_multigraph": text(g.is_multigraph)}
    for r in world.relations:
        found |= entries(f"{r} adj", g.adj(etype=r))
        found |= entries(f"{r} adjacency_matrix", g.adjacency_matrix(etype=r))
        if len(world.relations) > 1:  # DGL's fails for one
            g.edges[r].data["v"] = g.edges[r].data["w"][:, 0, 0].detach()
            found |= entries(f"{r} weighted", g.adj(etype=r, eweight_name="v"))
        for transpose in (False, True):
            made = g.adj_external(transpose, etype=r)
            found[f"{r} external {transpose}"] = made.coalesce().to_dense()
            for form in ("coo", "csr"):
                matrix = g.adj_external(transpose, scipy_fmt=form, etype=r)
                found[f"{r} scipy {form} {transpose}"] = torch.from_numpy(matrix.toarray())
        found |= {f"{r} coo {i}": x for i, x in enumerate(g.adj_tensors("coo", etype=r))}
        for form in ("csr", "csc"):
            indptr, indices, eids = g.adj_tensors(form, etype=r)
            if len(eids) == 0:
                eids = torch.arange(len(indices), dtype=indices.dtype)
            rows = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff().long())
            order = eids.argsort()
            order = order[rows[order].argsort(stable=True)]
            found |= {f"{r} {form} indptr": indptr, f"{r} {form} indices": indices[order],
                      f"{r} {form} eids": eids[order]}  # fmt: skip
        for kind in ("in", "out", "both") if r[0] == r[2] else ("in", "out"):
            found[f"{r} inc {kind}"] = g.inc(kind, etype=r).to_dense()
    return found


def filters(lib: Any, world: World) -> Tensors:
    """Nodes and edges for which a function says True, among all and among some."""
    g, _ = world.filled(lib)
    found: Tensors = {}
    for t in sorted(world.num_nodes):
        if not g.num_nodes(t):
            continue
        for name, nodes in (("all", "__ALL__"), ("some", world.pick(f"f {t}", g.num_nodes(t), 1))):
            # Of all nodes DGL gives int64 whatever the graph's width.
            found[f"{t} {name}"] = g.filter_nodes(
                lambda b: b.data["x"][:, 0, 0] > 0, nodes, t
            ).long()
    for r in world.relations:
        if not g.num_edges(r):
            continue
        for name, edges in (("all", "__ALL__"), ("some", world.pick(f"f {r}", g.num_edges(r), 1))):
            found[f"{r} {name}"] = g.filter_edges(
                lambda b: b.data["w"][:, 0, 0] + b.src["x"][:, 0, 0] > b.dst["y"][:, 1, 0], edges, r
            ).long()
    return found


def schemes(lib: Any, world: World) -> Tensors:
    """What columns look like."""
    g, _ = world.filled(lib)
    nodes = {t: g.node_attr_schemes(t) for t in sorted(world.num_nodes)}
    edges = {r: g.edge_attr_schemes(r) for r in world.relations}
    return {
        str(name): text({key: [list(s.shape), str(s.dtype)] for key, s in sorted(of_type.items())})
        for name, of_type in [*nodes.items(), *edges.items()]
    }


def norms(lib: Any, world: World) -> Tensors:
    """One over in-degrees."""
    g = world.build(lib)
    transforms = __import__(f"{lib.__name__}.transforms", fromlist=["_"])
    function = getattr(transforms, "norm_by_dst", None)
    if function is None:
        from hopflow.transforms import norm_by_dst as function
    return {str(r): function(g, etype=r) for r in world.relations}


# --- graphs from others ---


def compacted(lib: Any, world: World, several: bool, keeps: bool, columns: bool) -> Tensors:
    """Without isolated nodes, of one graph or of two."""
    g, _ = world.filled(lib)
    graphs = [g]
    if several:
        first = world.relations[0]
        other = world.edges[first]
        graphs.append(lib.heterograph(
            {(first[0], "more", first[2]): tuple(world.ids(x[::-1][:2].copy()) for x in other)},
            num_nodes_dict=dict(world.num_nodes), idtype=getattr(torch, world.idtype),
        ))  # fmt: skip
    preserve = world.node_picks("preserve") if keeps else None
    made = lib.compact_graphs(
        graphs if several else g, preserve, copy_ndata=columns, copy_edata=columns
    )
    found: Tensors = {}
    for i, h in enumerate(made if several else [made]):
        found |= {f"{i} {key}": x for key, x in in_order(h).items()}
    return found


def from_block(lib: Any, world: World) -> Tensors:
    """A block as a graph."""
    g, _ = world.filled(lib)
    seeds = {t: g.nodes(t) for t in sorted(world.num_nodes)}
    block = lib.to_block(g, seeds)
    # Sources are numbered otherwise beyond the seeds, which are all nodes here.
    return in_order(lib.block_to_graph(block))


def from_scipy(lib: Any, world: World) -> Tensors:
    """A matrix as a graph between two types."""
    relation: Relation = world.relations[0]
    src, dst = world.edges[relation]
    shape = world.num_nodes[relation[0]] + 1, world.num_nodes[relation[2]] + 2
    matrix = scipy.sparse.coo_matrix((np.arange(len(src)) + 0.5, (src, dst)), shape=shape)
    found: Tensors = {}
    for name, m in (("coo", matrix), ("csr", matrix.tocsr()), ("csc", matrix.tocsc())):
        g = lib.bipartite_from_scipy(m, "z", "e", "a", eweight_name="w")
        found |= {f"{name} {key}": x for key, x in in_order(g).items()}
    return found


def from_networkx(lib: Any, world: World) -> Tensors:
    """Networkx's bipartite graphs."""
    relation: Relation = world.relations[0]
    src, dst = world.edges[relation]
    made = nx.MultiDiGraph()
    for i in range(world.num_nodes[relation[0]]):
        made.add_node(("u", i), bipartite=0, x=np.array([i, 1.5]))
    for i in range(world.num_nodes[relation[2]]):
        made.add_node(("v", i), bipartite=1, y=float(i))
    order = world.stream("networkx").order(len(src))
    for e, u, v in zip(order.tolist(), src.tolist(), dst.tolist()):
        made.add_edge(("u", u), ("v", v), id=e, w=np.array([e * 2.0]))
    g = lib.bipartite_from_networkx(
        made, "z", "e", "a", u_attrs=["x"], e_attrs=["w"], v_attrs=["y"], edge_id_attr_name="id"
    )
    return in_order(g)


def all_cases(numbers: Iterable[int], only: str = "") -> list[Case]:
    """Every case of some worlds whose path holds a text."""
    made: list[Case] = []
    for number in numbers:
        world = make_world(number)

        def case(group: str, name: str, run: Any, *given: Any, of: World = world) -> None:
            made.append(typed_case(of, group, name, lambda lib, w: run(lib, w, *given)))

        case("in place, growing", "steps", steps, GROW, "grow")
        if not world.untouched:  # DGL fails to take nodes or edges from the others
            case("in place, all", "steps", steps, CHANGE, "change")
            case("in place, all", "other steps", steps, CHANGE, "other")
        case("functions", "add_nodes, add_edges", functions)
        case("functions", "initialised rows", some_rows)
        case("matrices", "all", matrices)
        case("filters", "all", filters)
        case("schemes", "all", schemes)
        case("norm_by_dst", "all", norms)
        for several in (False, True):
            for keeps in (False, True):
                for columns in (False, True):
                    name = f"several={several}, preserve={keeps}, columns={columns}"
                    case("compact_graphs", name, compacted, several, keeps, columns)
        case("block_to_graph", "all", from_block)
        if len(world.edges[world.relations[0]][0]):
            case("bipartite", "scipy", from_scipy)
            case("bipartite", "networkx", from_networkx)
    return [case for case in made if only in case.path]
