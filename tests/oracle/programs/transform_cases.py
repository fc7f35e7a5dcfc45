"""What DGL and hopflow are both asked of ``dgl.transforms``, on random graphs of a few nodes.

Every function takes the package, ``dgl`` or ``hopflow``, and a :class:`~typed_worlds.World`; what
it returns is compared, name by name. Edges are put in one order, eigenvectors are compared up to
their signs and only where their eigenvalues stand apart, and random transforms by what is certain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from compare_engine import Case, with_gradients
from torch import Tensor
from typed_worlds import Tensors, World, make_world, text, typed_case

RECORDED = (9, 18)
"""The worlds whose results ``transforms.npz`` holds, of either width of ids."""

# Eigenvalues closer than this may have any eigenvectors of the space that they share.
APART = 1e-3


def all_cases(numbers: Iterable[int], only: str = "") -> list[Case]:
    """Every case of some worlds whose path holds a text."""
    found: list[Case] = []
    for world in map(make_world, numbers):
        found += transform_cases(world)
    return [case for case in found if only in case.path]


def one_type(
    lib: Any, world: World, *, both: bool = False, simple: bool = False, ring: bool = False
) -> Any:
    """A graph of one type; with the reverse of every edge, without parallel ones, without a node
    that none enters."""
    stream = world.stream("one type", str((both, simple, ring)))
    count = stream.number(4, 12)
    src, dst = stream.below(count, 2, stream.number(1, 3 * count))
    if ring:
        nodes = np.arange(count)
        src, dst = np.concatenate([src, nodes]), np.concatenate([dst, (nodes + 1) % count])
    if both:
        src, dst = np.concatenate([src, dst]), np.concatenate([dst, src])
    if simple:
        src, dst = np.divmod(np.unique(src * count + dst), count)
    order = stream.order(len(src))
    src, dst = src[order], dst[order]
    g = lib.graph((world.ids(src), world.ids(dst)), num_nodes=count)
    g.ndata["x"] = world.floats("x", count, (3,))
    # The same both ways.
    low, high = np.minimum(src, dst), np.maximum(src, dst)
    all_weights = world.floats("w", count * count, ()).abs()
    g.edata["w"] = all_weights[torch.from_numpy(low * count + high)]
    return g


def edges_in_order(g: Any, etype: Any = None, *columns: str) -> Tensors:
    """The edges by source, then destination, then columns, and their columns."""
    src, dst = (x.long() for x in g.edges(etype=etype))
    data = g.edges[etype].data if etype is not None else g.edata
    keys = [data[name] for name in columns]
    order = np.lexsort([x.detach().numpy() for x in (*reversed(keys), dst, src)])
    order = torch.from_numpy(order)
    found = {"src": src[order], "dst": dst[order], "types": text(g.canonical_etypes)}
    found |= {name: data[name][order] for name in columns}
    found["nodes"] = text({t: g.num_nodes(t) for t in g.ntypes})
    found["idtype"] = text(str(g.idtype))
    return found


def node_columns(g: Any) -> Tensors:
    """Every node column of every type."""
    return {f"{t} {k}": x for t in sorted(g.ntypes) for k, x in g.nodes[t].data.items()}


# --- walks and line graphs ---


def khop(lib: Any, world: World, k: int) -> Tensors:
    g = one_type(lib, world)
    walks = lib.khop_graph(g, k)
    bare = lib.khop_graph(g, k, copy_ndata=False)
    made = {"adj": lib.khop_adj(g, k), "bare": text(sorted(bare.ndata.keys()))}
    as_object = edges_in_order(lib.transforms.KHopGraph(k)(g))
    made |= {f"object {name}": x for name, x in as_object.items()}
    return made | edges_in_order(walks) | node_columns(walks)


def line(lib: Any, world: World, backtracking: bool, shared: bool) -> Tensors:
    g = one_type(lib, world)
    made = lib.line_graph(g, backtracking, shared)
    found = edges_in_order(made) | node_columns(made)
    method = edges_in_order(g.line_graph(backtracking, shared))
    as_object = lib.transforms.LineGraph(backtracking)(g)
    found |= {f"method {k}": x for k, x in method.items()}
    return found | {f"object {k}": x for k, x in node_columns(as_object).items()}


def levi(lib: Any, world: World) -> Tensors:
    made = lib.transforms.ToLevi()(one_type(lib, world, ring=True))
    found = node_columns(made)
    for relation in made.canonical_etypes:
        found |= {f"{relation} {k}": x for k, x in edges_in_order(made, relation).items()}
    return found


def metapath(world: World, most: int = 3) -> list[Any]:
    """Relations that can be walked one after another."""
    stream = world.stream("metapath")
    path = [stream.shuffled(world.relations)[0]]
    while len(path) < most:
        further = [r for r in world.relations if r[0] == path[-1][2]]
        if not further:
            break
        path.append(stream.shuffled(further)[0])
    return path


def reachable(lib: Any, world: World) -> Tensors:
    g, _ = world.filled(lib)
    made = lib.metapath_reachable_graph(g, metapath(world))
    return edges_in_order(made) | node_columns(made)


def add_metapaths(lib: Any, world: World, keep: bool) -> Tensors:
    g, _ = world.filled(lib)
    path = metapath(world)
    paths = {"long": path, "short": path[:1]}
    made = lib.transforms.AddMetaPaths(paths, keep_orig_edges=keep)(g)
    found = node_columns(made)
    for relation in made.canonical_etypes:
        columns = sorted(made.edges[relation].data.keys())
        found |= {f"{relation} {k}": x for k, x in edges_in_order(made, relation).items()}
        found |= {f"{relation} has": text(columns)}
    return found


# --- positional encodings ---


def apart_only(values: Tensor, vectors: Tensor, least: float) -> Tensors:
    """Absolute values of the vectors whose values no other comes near, nor the one left out."""
    around = torch.cat([torch.tensor([least]), values.double(), torch.tensor([9e9])]).double()
    gaps = around.diff().abs().nan_to_num(nan=9e9)
    distinct = (gaps[:-1] > APART) & (gaps[1:] > APART)
    return {"which": distinct.long(), "vectors": vectors[:, distinct].abs()}


def laplacian(lib: Any, world: World, padding: int) -> Tensors:
    g = one_type(lib, world, both=True, ring=True)
    k = g.num_nodes() - 1 + padding
    vectors, values = lib.lap_pe(g, k, padding=bool(padding), return_eigval=True)
    found = {"values": values, "shape": text(list(vectors.shape))}
    found |= apart_only(values, vectors, 0.0)
    made = lib.transforms.LapPE(k, "pe", "value", bool(padding))(g)
    found["column of values"] = made.ndata["value"]
    found["column"] = apart_only(values, made.ndata["pe"], 0.0)["vectors"]
    plain = lib.lap_pe(g, k, padding=bool(padding))
    return found | {"alone": apart_only(values, plain, 0.0)["vectors"]}


def lambda_max(lib: Any, world: World, both: bool) -> Tensors:
    g = one_type(lib, world, both=both, ring=True)
    # Eigenvalues of a matrix that is not symmetric may be as blurred as the root of a rounding.
    dtype = torch.float64 if both else torch.float32
    return {"most": torch.tensor(lib.laplacian_lambda_max(g), dtype=dtype)}


def random_walk(lib: Any, world: World, weighted: bool) -> Tensors:
    g = one_type(lib, world, simple=weighted)
    name = "w" if weighted else None
    made = lib.transforms.RandomWalkPE(5, "pe", name)(g)
    return {"pe": lib.random_walk_pe(g, 6, name), "column": made.ndata["pe"]}


def singular(lib: Any, world: World, padding: int) -> Tensors:
    g = one_type(lib, world)
    count = g.num_nodes()
    k = count + padding
    made = lib.svd_pe(g, k, padding=bool(padding), random_flip=False)
    left, right = made[:, :count].double(), made[:, count : 2 * count].double()
    values = left.square().sum(0)
    found = {
        "shape": text(list(made.shape)),
        "values": values.float(),
        "rest": made[:, 2 * count :],
    }
    found["product"] = (left @ right.T).float()
    found |= apart_only(-values, left.float(), -9e9)
    flipped = lib.transforms.SVDPE(k, "pe", bool(padding), random_flip=True)(g).ndata["pe"]
    return found | {"flipped": apart_only(-values, flipped[:, :count], -9e9)["vectors"]}


# --- distances ---


def distances(lib: Any, world: World) -> Tensors:
    g = one_type(lib, world)
    dist, paths = lib.shortest_dist(g, return_paths=True)
    src, dst = (x.long() for x in g.edges())
    is_path = True
    for i in range(g.num_nodes()):
        for j in range(g.num_nodes()):
            edges = paths[i, j][paths[i, j] >= 0]
            nodes = [i, *dst[edges].tolist()]
            is_path &= src[edges].tolist() == nodes[:-1] and nodes[-1] in (i, j)
    root = world.stream("root").number(0, g.num_nodes())
    of_root, of_root_paths = lib.shortest_dist(g, root, return_paths=True)
    return {
        "dist": dist, "lengths": (paths >= 0).sum(-1), "longest": text(paths.shape[-1]),
        "is_path": text(is_path), "root": of_root, "root alone": lib.shortest_dist(g, root),
        "root lengths": (of_root_paths >= 0).sum(-1), "root longest": text(of_root_paths.shape[-1]),
    }  # fmt: skip


def labelled(lib: Any, world: World) -> Tensors:
    g = one_type(lib, world)
    src, dst = world.stream("link").order(g.num_nodes())[:2].tolist()
    return {"labels": lib.double_radius_node_labeling(g, src, dst)}


# --- homophily ---

MEASURES = ("node_homophily", "edge_homophily", "linkx_homophily", "adjusted_homophily",
            "edge_label_informativeness", "node_label_informativeness")  # fmt: skip


def homophily(lib: Any, world: World, name: str) -> Tensors:
    # A ring, so that every class has edges: elsewhere DGL gives NaN.
    g = one_type(lib, world, ring=name.endswith("informativeness"))
    stream = world.stream("classes")
    y = stream.order(g.num_nodes()) % stream.number(2, 4)
    # DGL computes them in float32.
    return {"measure": torch.tensor(getattr(lib, name)(g, torch.from_numpy(y)))}


# --- products and sums ---


def bipartite(lib: Any, world: World, what: str, ends: tuple[str, str]) -> tuple[Any, Tensor]:
    counts = {"a": 4, "b": 5, "c": 3}
    stream = world.stream(what)
    src_count, dst_count = counts[ends[0]], counts[ends[1]]
    pairs = np.unique(stream.below(src_count * dst_count, stream.number(2, 14)))
    src, dst = np.divmod(stream.shuffled(pairs), dst_count)
    data = {(ends[0], "to", ends[1]): (world.ids(src), world.ids(dst))}
    g = lib.heterograph(
        data,
        {t: counts[t] for t in ends},
        idtype=getattr(torch, world.idtype),
    )
    weight = world.floats(what, len(src), ()).requires_grad_()
    g.edata["w"] = weight
    return g, weight


def adj_product(lib: Any, world: World, back: bool) -> Tensors:
    first, w_first = bipartite(lib, world, "first", ("a", "b"))
    second, w_second = bipartite(lib, world, "second", ("b", "a" if back else "c"))
    made = lib.adj_product_graph(first, second, "w", etype="twice")
    found = edges_in_order(made, None, "w")
    return with_gradients(found, {"first": w_first, "second": w_second})


def adj_sum(lib: Any, world: World, back: bool) -> Tensors:
    ends = ("a", "a") if back else ("a", "b")
    parts = [bipartite(lib, world, what, ends) for what in ("first", "second", "third")]
    made = lib.adj_sum_graph([g for g, _ in parts], "w")
    found = edges_in_order(made, None, "w")
    return with_gradients(found, {str(i): w for i, (_, w) in enumerate(parts)})


# --- weights, diffusion ---


def gcn_norm(lib: Any, world: World, weighted: bool) -> Tensors:
    g = world.build(lib)
    for relation in world.relations if weighted else []:
        rows = g.num_edges(relation)
        g.edges[relation].data["w"] = world.floats(f"{relation}", rows, ()).abs()
    made = lib.transforms.GCNNorm()(g)
    return {str(r): made.edges[r].data["w"] for r in world.relations if "w" in made.edges[r].data}


def norm_by_dst(lib: Any, world: World) -> Tensors:
    g = world.build(lib)
    return {str(r): lib.transforms.norm_by_dst(g, r) for r in world.relations}


def diffusion(lib: Any, world: World, name: str, both: bool, weighted: bool, how: str) -> Tensors:
    g = one_type(lib, world, both=both, simple=True)
    if weighted:
        g.edata["w"] = g.edata["w"].float() / 6
    else:
        g.edata.pop("w")
    first = {"PPR": 0.3, "HeatKernel": 0.7, "GDC": [0.5, 0.3, 0.2]}[name]
    given: dict[str, Any] = {"all": {"avg_degree": 99}, "eps": {"eps": 0.03}, "some": {}}[how]
    if how == "some":
        given = {"avg_degree": 2}
    made = getattr(lib.transforms, name)(first, "w", **given)(g)
    found = edges_in_order(made, None, "w") | node_columns(made)
    if how == "eps" and not weighted:  # ties may fall on either side
        return {"nodes": found["nodes"]}
    if how == "some":
        above = found["w"] > found["w"].min() + 1e-4
        return {name: found[name][above] for name in ("src", "dst", "w")}
    return found


def sign(lib: Any, world: World, op: str, weighted: bool) -> Tensors:
    # With weights "rw" is 0 / 0 in DGL where no edge enters a node.
    g = one_type(lib, world, ring=weighted and op == "rw")
    g.ndata["feat"] = g.ndata["x"]
    name = "w" if weighted else None
    # Without weights DGL's are float32.
    if op in ("gcn", "ppr") and not weighted:
        g.ndata["feat"] = g.ndata["feat"].float()
    made = lib.transforms.SIGNDiffusion(3, eweight_name=name, diffuse_op=op, alpha=0.3)(g)
    return {f"{i}": made.ndata[f"out_feat_{i}"] for i in (1, 2, 3)}


def row_normalizer(lib: Any, world: World, subtract: bool) -> Tensors:
    g, _ = world.filled(lib)
    with torch.no_grad():
        for t in g.ntypes:
            g.nodes[t].data["x"] = g.nodes[t].data["x"].detach().clone()
        for r in g.canonical_etypes:
            g.edges[r].data["e"] = g.edges[r].data["e"].detach().clone()
    made = lib.transforms.RowFeatNormalizer(subtract, ["x"], ["e"])(g)
    found = {t: made.nodes[t].data["x"] for t in made.ntypes}
    return found | {str(r): made.edges[r].data["e"] for r in made.canonical_etypes}


# --- random changes: what is certain of them ---


def dropped(lib: Any, world: World, name: str, p: float) -> Tensors:
    g, _ = world.filled(lib)
    made = getattr(lib.transforms, name)(p)(g)
    found = node_columns(made)
    for relation in made.canonical_etypes:
        found |= {f"{relation} {k}": x for k, x in edges_in_order(made, relation).items()}
        found |= {f"{relation} {k}": x for k, x in made.edges[relation].data.items()}
    return found


def added(lib: Any, world: World, ratio: float) -> Tensors:
    g, _ = world.filled(lib)
    made = lib.transforms.AddEdge(ratio)(g)
    found: Tensors = {}
    for relation in made.canonical_etypes:
        old = g.num_edges(relation)
        src, dst = made.edges(etype=relation)
        found |= {f"{relation} src": src[:old], f"{relation} dst": dst[:old]}
        found |= {f"{relation} {k}": x for k, x in made.edges[relation].data.items()}
    return found


def masked(lib: Any, world: World, p: float) -> Tensors:
    g, _ = world.filled(lib)
    for t in g.ntypes:
        g.nodes[t].data["x"] = g.nodes[t].data["x"].detach().clone()
    made = lib.transforms.FeatMask(p, ["x"])(g)
    return {t: made.nodes[t].data["x"] for t in made.ntypes}


def shuffled(lib: Any, world: World) -> Tensors:
    g, _ = world.filled(lib)
    made = lib.transforms.NodeShuffle()(g)
    return {k: x.flatten(1).sort(0).values for k, x in node_columns(made).items()}


def transform_cases(world: World) -> Iterator[Case]:
    """Every case of one world."""

    def case(group: str, name: str, run: Callable[..., Tensors], *given: Any) -> Case:
        def bound(lib: Any, world: World) -> Tensors:
            return run(lib, world, *given)

        return typed_case(world, group, name, bound)

    for k in (0, 1, 2, 3):
        yield case("khop", f"{k}", khop, k)
    for backtracking in (True, False):
        for shared in (True, False):
            name = f"{backtracking}, {shared}"
            yield case("line_graph", name, line, backtracking, shared)
    yield case("ToLevi", "", levi)
    yield case("metapaths", "reachable", reachable)
    for keep in (True, False):
        yield case("metapaths", f"keep {keep}", add_metapaths, keep)
    for padding in (0, 1, 3):
        yield case("lap_pe", f"{padding}", laplacian, padding)
        yield case("svd_pe", f"{padding}", singular, padding)
    for flag in (True, False):
        yield case("laplacian_lambda_max", f"both {flag}", lambda_max, flag)
        yield case("random_walk_pe", f"weights {flag}", random_walk, flag)
        yield case("products", f"product {flag}", adj_product, flag)
        yield case("products", f"sum {flag}", adj_sum, flag)
        yield case("GCNNorm", f"weights {flag}", gcn_norm, flag)
        yield case("RowFeatNormalizer", f"{flag}", row_normalizer, flag)
        for op in ("raw", "rw", "gcn", "ppr"):
            yield case("SIGNDiffusion", f"{op}, weights {flag}", sign, op, flag)
        for name in ("PPR", "HeatKernel", "GDC"):
            for weighted in (True, False):
                for how in ("all", "eps", "some"):
                    told = f"both {flag}, weights {weighted}, {how}"
                    yield case(name, told, diffusion, name, flag, weighted, how)
    yield case("norm_by_dst", "", norm_by_dst)
    yield case("shortest_dist", "", distances)
    yield case("double_radius_node_labeling", "", labelled)
    for name in MEASURES:
        yield case("homophily", name, homophily, name)
    for p in (0.0, 1.0):
        yield case("random", f"DropNode {p}", dropped, "DropNode", p)
        yield case("random", f"DropEdge {p}", dropped, "DropEdge", p)
        yield case("random", f"FeatMask {p}", masked, p)
    for ratio in (0.0, 0.4, 1.5):
        yield case("random", f"AddEdge {ratio}", added, ratio)
    yield case("random", "NodeShuffle", shuffled)
