"""Batches of edges: for edge classification and link prediction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.samplers.sampler import Sampler, column_names, read_columns
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.by_type import edges_by_type, ids_by_relation
from hopflow.structure.frame import Columns
from hopflow.structure.ids import as_edge_ids, as_ids, as_node_ids, check_range
from hopflow.structure.types import Relation, told
from hopflow.transforms.subgraph import SomeEdges, parts_of

NegativeSampler: TypeAlias = Callable[[Graph, Any], Any]
"""``negative_sampler(g, edges)``: sources and destinations of pairs to take for no edges."""


def find_exclude_eids(
    g: Graph,
    seed_edges: Any,
    exclude: Any,
    reverse_eids: Any = None,
    reverse_etypes: Mapping[Any, Any] | None = None,
    output_device: Any = None,
) -> Any:
    """The edges that a batch of edges must not be predicted from.

    Parameters
    ----------
    g : Graph
        The graph.
    seed_edges : Tensor, numpy array, sequence of int or dict
        The edges of the batch, where there are several types a dict by type.
    exclude : {None, "self", "reverse_id", "reverse_types"}, Tensor, dict or callable
        None: nothing is excluded; "self": the edges themselves; "reverse_id": these and their
        reverse edges; "reverse_types": these and the edges of the reverse type with the same ids; a
        tensor or a dict of tensors by type: its edges, always; a function of the edges: what it
        returns.
    reverse_eids : Tensor or dict, optional
        For "reverse_id": the reverse edge of every edge, shape [E]; -1 where there is none. Where
        there are several types a dict by type, of those that have such.
    reverse_etypes : mapping, optional
        For "reverse_types": ``{type: its reverse type}``. Types without an entry have none. Edge
        ``i`` of one is the reverse of edge ``i`` of the other, so there are as many of both.
    output_device : str or torch.device, optional
        Where the result goes; the graph's device by default.

    Returns
    -------
    Tensor, dict or None
        Edge ids, dtype ``g.idtype``, where there are several types of edges by type.

    Raises
    ------
    ValueError
        Another ``exclude``, or one without what it needs for every edge.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.find_exclude_eids.html
    """
    _check_exclude(exclude, reverse_eids, reverse_etypes)
    if exclude is None:
        return None
    edges = edges_by_type(g, "seed_edges", seed_edges)
    found: dict[Relation, list[Tensor]] = {}
    if callable(exclude) or isinstance(exclude, (Tensor, Mapping)):
        name = "exclude"
        if callable(exclude):
            name, given = "exclude(edges)", {r: x.to(g.idtype, copy=True) for r, x in edges.items()}
            exclude = exclude(given if isinstance(seed_edges, Mapping) else _only(given))
            if exclude is None:
                return None
        if len(g.schema.relations) == 1 and not isinstance(exclude, Mapping):
            exclude = {g.schema.relations[0]: as_ids(name, exclude)}
        found = {r: [x] for r, x in edges_by_type(g, name, exclude).items()}
    else:
        for relation, eids in edges.items():
            found.setdefault(relation, []).append(eids)
            if exclude == "reverse_id":
                reverse = _reverse_of(g, relation, reverse_eids, eids)
                found[relation].append(reverse[reverse != -1])
        if exclude == "reverse_types":
            for relation, reverse_relation in _reverse_relations(g, reverse_etypes).items():
                if relation in edges:
                    ids = as_edge_ids(
                        f"seed_edges[{relation!r}]", edges[relation], g.num_edges(reverse_relation),
                        device=g.device,
                    )  # fmt: skip
                    found.setdefault(reverse_relation, []).append(ids)
    to = g.device if output_device is None else output_device
    merged = {relation: torch.cat(parts).to(to, g.idtype) for relation, parts in found.items()}
    if len(g.schema.relations) == 1 and not isinstance(seed_edges, Mapping):
        return _only(merged)
    return merged


def _only(found: Mapping[Any, Any]) -> Any:
    ((_, one),) = found.items()
    return one


def _reverse_of(g: Graph, relation: Relation, reverse_eids: Any, eids: Tensor) -> Tensor:
    """The reverse edge of each edge, int64; -1 for none."""
    name = "reverse_eids"
    if isinstance(reverse_eids, Mapping):
        by_relation = ids_by_relation(g.schema, name, reverse_eids)
        if relation not in by_relation:
            return eids[:0]
        name, reverse_eids = f"reverse_eids[{relation!r}]", by_relation[relation]
    elif len(g.schema.relations) > 1:
        raise ValueError(
            f"{name}: expected a dict by type, of {told(g.schema.relations)}, got"
            f" {type(reverse_eids).__name__}"
        )
    reverse = as_ids(name, reverse_eids)
    if reverse.shape[0] != g.num_edges(relation):
        raise ValueError(
            f"{name}: expected one id for each of the {g.num_edges(relation)} edges, got"
            f" {reverse.shape[0]}"
        )
    found = ops.gather_rows(reverse, eids.to(reverse.device)).to(eids)
    check_range(name, found[found != -1], g.num_edges(relation), what="edge")
    return found


def _reverse_relations(g: Graph, reverse_etypes: Any) -> dict[Relation, Relation]:
    try:
        found = {
            g.schema.relation(etype): g.schema.relation(reverse)
            for etype, reverse in reverse_etypes.items()
        }
    except ValueError as error:
        raise ValueError(f"reverse_etypes: {error}") from None
    for relation, reverse in found.items():
        # Edge i of one is the reverse of edge i of the other.
        if relation[::2] != reverse[2::-2] or g.num_edges(relation) != g.num_edges(reverse):
            raise ValueError(
                f"reverse_etypes: expected as many edges the other way round for {relation!r} with"
                f" {g.num_edges(relation)} edges, got {reverse!r} with {g.num_edges(reverse)}"
            )
    return found


def _check_exclude(exclude: Any, reverse_eids: Any, reverse_etypes: Any) -> None:
    """Raise unless :func:`find_exclude_eids` knows what is meant."""
    if not (reverse_etypes is None or isinstance(reverse_etypes, Mapping)):
        raise TypeError(
            "reverse_etypes: expected {edge type: its reverse type}, got"
            f" {type(reverse_etypes).__name__}"
        )
    if exclude is None or callable(exclude) or isinstance(exclude, (Tensor, Mapping)):
        return
    if not (isinstance(exclude, str) and exclude in ("self", "reverse_id", "reverse_types")):
        raise ValueError(
            "exclude: expected None, 'self', 'reverse_id', 'reverse_types', edge ids or a function"
            f" of the edges, got {exclude!r}"
        )
    if exclude == "reverse_id" and reverse_eids is None:
        raise ValueError("reverse_eids: expected the reverse edge of every edge, got None")
    if exclude == "reverse_types" and reverse_etypes is None:
        raise ValueError("reverse_etypes: expected the reverse of each edge type, got None")


def _takes_exclude(sample: Callable[..., Any]) -> bool:
    try:
        inspect.signature(sample).bind("graph", "seeds", "exclude_eids")
    except TypeError:
        return False
    except ValueError:  # written in C: it tells nothing
        return True
    return True


class EdgePredictionSampler(Sampler):
    """Batches of edges from a sampler of batches of nodes; see :func:`as_edge_prediction_sampler`.

    Parameters are those of the function.
    """

    index_kind = "edge"

    def __init__(
        self,
        sampler: Any,
        exclude: Any = None,
        reverse_eids: Any = None,
        reverse_etypes: Mapping[Any, Any] | None = None,
        negative_sampler: NegativeSampler | None = None,
        prefetch_labels: Sequence[str] | None = None,
    ) -> None:
        if not callable(getattr(sampler, "sample", None)):
            raise TypeError(
                "sampler: expected an object with sample(graph, seeds, exclude_eids), got"
                f" {type(sampler).__name__}"
            )
        self._takes_exclude = _takes_exclude(sampler.sample)
        if exclude is not None and not self._takes_exclude:
            raise TypeError(
                f"sampler: {type(sampler).__name__}.sample takes no edges to exclude; expected"
                " sample(graph, seeds, exclude_eids)"
            )
        _check_exclude(exclude, reverse_eids, reverse_etypes)
        if not (negative_sampler is None or callable(negative_sampler)):
            raise TypeError(
                "negative_sampler: expected a function of (graph, edges), got"
                f" {type(negative_sampler).__name__}"
            )
        self.sampler, self.exclude, self.reverse_eids = sampler, exclude, reverse_eids
        self.reverse_etypes = reverse_etypes
        self.negative_sampler = negative_sampler
        self.prefetch_labels = column_names("prefetch_labels", prefetch_labels)

    def sample(self, g: Graph, seed_edges: Any) -> Any:
        """Sample one mini-batch; :func:`as_edge_prediction_sampler` says what it is."""
        edges = {r: x.clone() for r, x in edges_by_type(g, "seed_edges", seed_edges).items()}
        none = torch.empty(0, dtype=torch.int64, device=g.device)
        nodes = dict.fromkeys(g.schema.ntypes, none)
        positive: dict[Relation, SomeEdges] = {}
        for relation, one in g.relations.items():
            eids = edges.get(relation, none)
            positive[relation] = (*_numbered(nodes, relation, one.adjacency.ends(eids)), eids)
        pairs = self._negative_pairs(g, edges, isinstance(seed_edges, Mapping))
        negative = {relation: _numbered(nodes, relation, ends) for relation, ends in pairs.items()}
        pair_graph = parts_of(g, positive, nodes, True)
        read_columns(
            pair_graph.edata, self.prefetch_labels, lambda e: pair_graph.relation(e).edge_frame
        )
        given = edges if isinstance(seed_edges, Mapping) else _only(edges)
        excluded = find_exclude_eids(g, given, self.exclude, self.reverse_eids, self.reverse_etypes)
        more = (excluded,) if self._takes_exclude else ()
        seeds: Any = {ntype: ids.to(g.idtype) for ntype, ids in nodes.items()}
        if len(nodes) == 1:
            seeds = _only(seeds)
        input_nodes, _, blocks = self.sampler.sample(g, seeds, *more)
        if self.negative_sampler is None:
            return input_nodes, pair_graph, blocks
        return input_nodes, pair_graph, pairs_between(pair_graph, negative), blocks

    def _negative_pairs(
        self, g: Graph, edges: Mapping[Relation, Tensor], is_by_type: bool
    ) -> dict[Relation, tuple[Tensor, Tensor]]:
        if self.negative_sampler is None:
            return {}
        copied: Any = {relation: eids.to(g.idtype, copy=True) for relation, eids in edges.items()}
        made: Any = self.negative_sampler(g, copied if is_by_type else _only(copied))
        if not isinstance(made, Mapping):
            if len(g.schema.relations) > 1:
                raise TypeError(
                    "negative_sampler: expected it to return {edge type: (sources, destinations)},"
                    f" got {type(made).__name__}"
                )
            made = {g.schema.relations[0]: made}
        pairs = {}
        for etype, ends in made.items():
            relation = g.schema.relation(etype)
            if relation in pairs:
                raise ValueError(f"negative_sampler: {relation!r} is there twice")
            pairs[relation] = _checked_pairs(g, relation, ends)
        return pairs

    def __repr__(self) -> str:
        told = "" if self.negative_sampler is None else f", {self.negative_sampler!r}"
        return f"{type(self).__name__}({self.sampler!r}, exclude={self.exclude!r}{told})"


def _checked_pairs(g: Graph, relation: Relation, ends: Any) -> tuple[Tensor, Tensor]:
    """What a negative sampler has returned for a relation; int64."""
    if not isinstance(ends, (tuple, list)) or len(ends) != 2:
        raise TypeError(
            "negative_sampler: expected it to return sources and destinations, got"
            f" {type(ends).__name__}"
        )
    where = "" if g.is_homogeneous else f" of {relation!r}"
    src, dst = (
        as_node_ids(f"negative {name}{where}", ids, g.num_nodes(ntype), device=g.device)
        for name, ids, ntype in zip(("sources", "destinations"), ends, relation[::2])
    )
    if src.shape != dst.shape:
        raise ValueError(
            "negative_sampler: expected as many sources as destinations, got"
            f" {src.shape[0]} and {dst.shape[0]}"
        )
    return src, dst


def _numbered(
    nodes: dict[str, Tensor], relation: Relation, ends: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Ends as numbers among the nodes of their types, to which new ones are added."""
    numbers = []
    for ntype, ids in zip(relation[::2], ends):
        nodes[ntype], _, local = ops.compact_ids(nodes[ntype], ids)
        numbers.append(local.long())
    return numbers[0], numbers[1]


def pairs_between(pair_graph: Graph, pairs: Mapping[Relation, tuple[Tensor, Tensor]]) -> Graph:
    """The graph of pairs of a pair graph's nodes, without edge columns."""
    frames = {ntype: frame.copy() for ntype, frame in pair_graph.node_frames().items()}
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {}
    for relation in pair_graph.schema.relations:
        none = torch.empty(0, dtype=torch.int64, device=pair_graph.device)
        src, dst = pairs.get(relation, (none, none))
        num_src, num_dst = frames[relation[0]].num_rows, frames[relation[2]].num_rows
        parts[relation] = Adjacency.from_coo(src, dst, num_src, num_dst), None
    return Graph.of_types(pair_graph.schema, frames, parts, pair_graph.idtype)


def as_edge_prediction_sampler(
    sampler: Any,
    exclude: Any = None,
    reverse_eids: Any = None,
    reverse_etypes: Mapping[Any, Any] | None = None,
    negative_sampler: NegativeSampler | None = None,
    prefetch_labels: Sequence[str] | None = None,
) -> EdgePredictionSampler:
    """Make a sampler of batches of edges out of one of batches of nodes.

    A ``DataLoader`` with it takes edge ids instead of node ids and yields
    ``(input_nodes, pair_graph, blocks)`` or, with a negative sampler,
    ``(input_nodes, pair_graph, negative_graph, blocks)``.

    Parameters
    ----------
    sampler : Sampler
        Samples the neighbourhood of the edges' ends; usually a :class:`NeighborSampler`. A
        :class:`TemporalNeighborSampler` sees them as they were at the edge's time:
        :class:`TemporalEdgePredictionSampler`.
    exclude : {None, "self", "reverse_id", "reverse_types"}, Tensor, dict or callable
        Which edges must not be in the blocks, lest the model sees what it is to predict; as in
        :func:`find_exclude_eids`.
    reverse_eids : Tensor or dict, optional
        Shape [E]: the reverse edge of every edge, -1 for none, for "reverse_id". After
        ``add_reverse_edges(g, exclude_self=False)`` of E edges, ``torch.arange(2 * E).roll(E)``.
    reverse_etypes : mapping, optional
        The reverse of each edge type, for "reverse_types".
    negative_sampler : callable, optional
        ``negative_sampler(g, edges)`` returns sources and destinations of pairs to take for no
        edges, given edges by type a dict of such by type; those of
        :mod:`hopflow.dataloading.negative_sampler`, for example. It runs in the loader's threads:
        one that draws from torch's global stream (``torch.randint``) makes batches depend on
        ``num_workers``, and on the moment; these do not.
    prefetch_labels : sequence of str, optional
        Edge columns of the pair graph to gather with the batch.

    Returns
    -------
    EdgePredictionSampler
        Of its batches,

        * the pair graph has the batch's edges, in their order, between the distinct ends of these
          and of the negative pairs. Its nodes are the destination nodes of the last block; their
          ids are in ``ndata[hopflow.NID]``, the edges' in ``edata[hopflow.EID]``;
        * the negative graph has the negative pairs, between the same nodes.

        On a graph of several types both have all its types; a loader's edges are given by type,
        ``{edge type: ids}``.

    Raises
    ------
    TypeError, ValueError
        Bad arguments.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.as_edge_prediction_sampler.html
    """
    made = getattr(sampler, "edge_prediction_sampler", EdgePredictionSampler)
    return cast(
        EdgePredictionSampler,
        made(sampler, exclude, reverse_eids, reverse_etypes, negative_sampler, prefetch_labels),
    )
