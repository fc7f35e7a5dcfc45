"""Types merged into one, and one type cut into several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import EID, ETYPE, NID, NTYPE, Columns, Frame, rows_of
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.relations import node_name
from hopflow.structure.types import CANONICAL, ONE_TYPE, Relation, Schema


# What these make may be trained on later, wherever it is made.
@torch.inference_mode(False)
def to_homogeneous(
    G: GraphT,
    ndata: Iterable[str] | None = None,
    edata: Iterable[str] | None = None,
    store_type: bool = True,
    return_count: bool = False,
) -> Any:
    """The graph with all node types merged into one, and all relations.

    Parameters
    ----------
    G : Graph
        A graph.
    ndata, edata : iterable of str, optional
        Columns to keep, which every type must have alike.
    store_type : bool
        Note the number of each node's and edge's type in ``ndata[hopflow.NTYPE]`` and
        ``edata[hopflow.ETYPE]``, int64.
    return_count : bool
        Return the numbers of nodes and of edges of each type as well.

    Returns
    -------
    Graph, or (Graph, list of int, list of int)
        Nodes come type by type and edges relation by relation, in the order of ``G.ntypes`` and
        ``G.canonical_etypes``; their ids in ``G`` are in ``ndata[hopflow.NID]`` and
        ``edata[hopflow.EID]``.

    Raises
    ------
    KeyError
        A column that a type lacks.
    ValueError
        A column of another shape or dtype in some type.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_homogeneous.html
    """
    g = require_graph(G)
    relations = list(g.schema.relations)
    offsets = _offsets(g, g.schema.ntypes)
    num_nodes = g.num_nodes()
    nodes = _merged_frame(list(g.node_frames().values()), "node", _names("ndata", ndata), NID, g)
    edges = _merged_frame(
        [g.relation(r).edge_frame for r in relations], "edge", _names("edata", edata), EID, g
    )
    if not store_type:
        del nodes[NTYPE], edges[ETYPE]
    src, dst = _merged_ends(g, relations, offsets, offsets)
    adjacency = Adjacency.from_coo(src, dst, num_nodes, num_nodes)
    made = type(g).of_types(
        ONE_TYPE,
        {CANONICAL[0]: nodes},
        {CANONICAL: (adjacency, edges.snapshot())},
        g.idtype,
        like=g,
    )
    if not return_count:
        return made
    counts = [frame.num_rows for frame in g.node_frames().values()]
    return made, counts, [g.num_edges(relation) for relation in relations]


@torch.inference_mode(False)
def merge_relations(g: GraphT, relations: Sequence[Relation]) -> GraphT:
    """The graph of several relations merged into one; ``graph["user", :, "item"]``.

    Types and ids as in :func:`to_homogeneous`, numbers of types being those of ``g``. Columns that
    every type has alike are kept.
    """
    src_types = [t for t in g.schema.srctypes if any(t == r[0] for r in relations)]
    dst_types = [t for t in g.schema.dsttypes if any(t == r[2] for r in relations)]
    sides = {"src": src_types, "dst": dst_types}
    frames: dict[str, Frame] = {}
    for side, types in sides.items():
        of_side = g.node_frames(side)
        names = _common([of_side[t] for t in types])
        frames[side] = _merged_frame([of_side[t] for t in types], "node", names, NID, g)
        every = g.schema.srctypes if side == "src" else g.schema.dsttypes
        numbers = torch.tensor([every.index(t) for t in types], device=g.device)
        frames[side][NTYPE] = numbers[frames[side][NTYPE]]
    edge_frames = [g.relation(r).edge_frame for r in relations]
    edges = _merged_frame(edge_frames, "edge", _common(edge_frames), EID, g)
    numbers = torch.tensor([g.schema.relations.index(r) for r in relations], device=g.device)
    edges[ETYPE] = numbers[edges[ETYPE]]
    offsets = {side: _offsets(g, types, side) for side, types in sides.items()}
    src, dst = _merged_ends(g, relations, offsets["src"], offsets["dst"])
    counts = [frames[side].num_rows for side in sides]
    adjacency = Adjacency.from_coo(src, dst, *counts)
    src_name, dst_name = "+".join(src_types), "+".join(dst_types)
    relation = (src_name, "+".join(dict.fromkeys(r[1] for r in relations)), dst_name)
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        relation: (adjacency, edges.snapshot())
    }
    if g.is_block:
        schema = Schema((src_name,), (relation,), dsttypes=(dst_name,))
        return type(g).of_types(
            schema, {src_name: frames["src"]}, parts, g.idtype,
            destinations={dst_name: frames["dst"]}, like=g,
        )  # fmt: skip
    schema = Schema(list(dict.fromkeys((src_name, dst_name))), (relation,))
    nodes = {src_name: frames["src"]}
    if src_types != dst_types:
        nodes[dst_name] = frames["dst"]
    return type(g).of_types(schema, nodes, parts, g.idtype, like=g)


@torch.inference_mode(False)
def to_heterogeneous(
    G: GraphT,
    ntypes: Sequence[str],
    etypes: Sequence[str],
    ntype_field: str = NTYPE,
    etype_field: str = ETYPE,
    metagraph: Any = None,
) -> GraphT:
    """Cut a graph of one type into several, by the type of each node and edge.

    Parameters
    ----------
    G : Graph
        A graph of one node type and one edge type.
    ntypes, etypes : sequence of str
        Names of the types, in the order of their numbers.
    ntype_field, etype_field : str
        Columns of these numbers, any integer dtype, shape [N] and [E].
    metagraph : networkx.MultiDiGraph, optional
        The relations, as ``graph.metagraph()`` gives them; edges of others are left out. By default
        those that edges have.

    Returns
    -------
    Graph
        Of each type the nodes in rising order of their ids in ``G``, and the edges likewise; these
        ids are in ``ndata[hopflow.NID]`` and ``edata[hopflow.EID]``.

    Raises
    ------
    KeyError
        A column of types that is not there.
    ValueError, IndexError
        No edges and no ``metagraph``, or a number without a name.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_heterogeneous.html
    """
    g = require_graph(G, one_type=True)
    ntypes, etypes = list(ntypes), list(etypes)
    if len(set(ntypes)) < len(ntypes):
        raise ValueError(f"ntypes: expected each name once, got {ntypes}")
    node_type = _type_numbers(g._dst_frame, ntype_field, len(ntypes), "ntypes")
    edge_type = _type_numbers(g._edge_frame, etype_field, len(etypes), "etypes")
    nodes_of = [(node_type == t).nonzero().squeeze(1) for t in range(len(ntypes))]
    local = torch.empty_like(node_type)
    for nodes in nodes_of:
        local[nodes] = torch.arange(nodes.shape[0], device=g.device)
    src, dst = (x.long() for x in g.adjacency.coo())
    # One number for (source type, edge type, destination type).
    kinds = (node_type[src] * len(etypes) + edge_type) * len(ntypes) + node_type[dst]
    # By number: a name may stand in `etypes` several times, between other types each time.
    found: dict[Relation, list[int]] = {}
    for kind in torch.unique(kinds).tolist():
        s, rest = divmod(kind, len(etypes) * len(ntypes))
        e, d = divmod(rest, len(ntypes))
        found.setdefault((ntypes[s], etypes[e], ntypes[d]), []).append(kind)
    relations = list(found)
    if metagraph is not None:
        relations = [(src, name, dst) for src, dst, name in metagraph.edges(keys=True)]
        for relation in relations:
            if {relation[0], relation[2]} - set(ntypes) or relation[1] not in etypes:
                raise ValueError(
                    f"metagraph: expected relations of {ntypes} and {etypes}, got {relation!r}"
                )
    if not relations:
        raise ValueError("G: expected edges, or a metagraph that says which relations there are")
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation in sorted(relations):
        s, d = ntypes.index(relation[0]), ntypes.index(relation[2])
        own = torch.tensor(found.get(relation, []), dtype=torch.int64, device=g.device)
        eids = torch.isin(kinds, own).nonzero().squeeze(1)
        adjacency = Adjacency.from_coo(
            local[src[eids]], local[dst[eids]], nodes_of[s].shape[0], nodes_of[d].shape[0]
        )
        columns = _but(g._edge_frame, etype_field, EID)
        parts[relation] = adjacency, rows_of(columns, eids, EID, g.idtype)
    frames = {
        ntype: Frame(
            nodes.shape[0],
            node_name(ntype),
            g.device,
            rows_of(_but(g._dst_frame, ntype_field, NID), nodes, NID, g.idtype),
        )
        for ntype, nodes in sorted(zip(ntypes, nodes_of))
    }
    return type(g).of_types(Schema(list(frames), list(parts)), frames, parts, g.idtype, like=g)


def _but(frame: Frame, *left_out: str) -> Any:
    return {key: column for key, column in frame.snapshot().items() if key not in left_out}


def _type_numbers(frame: Frame, field: str, count: int, names: str) -> Tensor:
    numbers = frame[field]
    if numbers.dim() != 1 or numbers.is_floating_point() or numbers.is_complex():
        raise ValueError(f"column {field!r}: expected the number of a type in each row")
    numbers = numbers.long()
    if numbers.numel():
        low, high = torch.aminmax(numbers)
        if int(low) < 0 or int(high) >= count:
            bad = int(low) if int(low) < 0 else int(high)
            raise IndexError(
                f"column {field!r}: there is {bad}, expected numbers below {count}, the length of"
                f" {names}"
            )
    return numbers


def _names(what: str, names: Iterable[str] | None) -> list[str]:
    if isinstance(names, str):
        raise TypeError(f"{what}: expected a list of column names, got {names!r}")
    return [] if names is None else list(names)


def _offsets(g: GraphT, types: Sequence[str], side: str = "node") -> dict[str, int]:
    """Where the nodes of each type begin when one type follows another."""
    offsets, count = {}, 0
    for ntype in types:
        offsets[ntype] = count
        count += g.node_frame(ntype, side).num_rows
    return offsets


def _merged_ends(
    g: GraphT, relations: Sequence[Relation], src: dict[str, int], dst: dict[str, int]
) -> tuple[Tensor, Tensor]:
    """Ends of all edges, relation by relation, numbered from the offsets of their types; int64."""
    sources, destinations = [], []
    for relation in relations:
        u, v = g.relation(relation).adjacency.coo()
        sources.append(u.long() + src[relation[0]])
        destinations.append(v.long() + dst[relation[2]])
    return torch.cat(sources), torch.cat(destinations)


def _merged_frame(
    parts: Sequence[Frame], what: str, names: Iterable[str], id_name: str, g: GraphT
) -> Frame:
    """Columns one part after another, with the id and the number of the part of each row."""
    counts = [part.num_rows for part in parts]
    frame = Frame(sum(counts), what, g.device)
    for name in names:
        frame[name] = _alike(name, [part[name] for part in parts])
    numbers = [
        torch.full((n,), i, dtype=torch.int64, device=g.device) for i, n in enumerate(counts)
    ]
    ids = [torch.arange(part.num_rows, dtype=g.idtype, device=g.device) for part in parts]
    frame[id_name] = torch.cat(ids)
    frame[NTYPE] = torch.cat(numbers)
    return frame


def _alike(name: str, columns: Sequence[Tensor]) -> Tensor:
    """Columns one after another; they must have one shape and dtype."""
    first = columns[0]
    for column in columns[1:]:
        if column.shape[1:] != first.shape[1:] or column.dtype != first.dtype:
            raise ValueError(
                f"column {name!r}: expected rows of one shape and dtype in every type, got"
                f" {list(first.shape[1:])} {first.dtype} and {list(column.shape[1:])}"
                f" {column.dtype}"
            )
    return torch.cat(list(columns))


def _common(parts: Sequence[Frame]) -> list[str]:
    """Names of the columns that all parts have alike."""

    def alike(name: str) -> bool:
        if not all(name in part for part in parts) or name in (NID, NTYPE):
            return False
        kinds = {(part[name].shape[1:], part[name].dtype) for part in parts}
        return len(kinds) == 1

    return [name for name in parts[0] if alike(name)]
