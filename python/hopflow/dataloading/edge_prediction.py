"""Batches of edges: for edge classification and link prediction."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.sampler import Sampler, column_names
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.ids import as_edge_ids, as_ids, as_node_ids
from hopflow.transforms.subgraph import part_of

NegativeSampler: TypeAlias = Callable[[Graph, Tensor], tuple[Tensor, Tensor]]
"""``negative_sampler(g, edges)``: sources and destinations of pairs to take for no edges."""


def find_exclude_eids(
    g: Graph,
    seed_edges: Any,
    exclude: Any,
    reverse_eids: Tensor | None = None,
    reverse_etypes: Any = None,
    output_device: Any = None,
) -> Tensor | None:
    """The edges that a batch of edges must not be predicted from.

    Parameters
    ----------
    g : Graph
        The graph.
    seed_edges : Tensor, numpy array or sequence of int
        The edges of the batch.
    exclude : {None, "self", "reverse_id"}, Tensor or callable
        None: nothing is excluded; "self": the edges themselves; "reverse_id": these and their
        reverse edges; a tensor: its edges, always; a function of the edges: what it returns.
    reverse_eids : Tensor, optional
        Shape [E]: the reverse edge of every edge, for "reverse_id"; -1 where there is none.
    reverse_etypes : None
        There is one type of edges.
    output_device : str or torch.device, optional
        Where the result goes; the graph's device by default.

    Returns
    -------
    Tensor or None
        Edge ids, dtype ``g.idtype``.

    Raises
    ------
    ValueError
        Another ``exclude``, or "reverse_id" without ``reverse_eids`` for every edge.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.find_exclude_eids.html
    """
    _check_exclude(exclude, reverse_eids, reverse_etypes)
    if exclude is None:
        return None
    edges = as_edge_ids("seed_edges", seed_edges, g.num_edges(), device=g.device)
    if callable(exclude):
        exclude = exclude(edges.to(g.idtype, copy=True))
        if exclude is None:
            return None
        found = as_ids("exclude(edges)", exclude)
    elif isinstance(exclude, Tensor):
        found = as_ids("exclude", exclude)
    elif exclude == "self":
        found = edges
    else:
        reverse = as_ids("reverse_eids", reverse_eids)
        if reverse.shape[0] != g.num_edges():
            raise ValueError(
                f"reverse_eids: expected one id for each of the {g.num_edges()} edges, got"
                f" {reverse.shape[0]}"
            )
        reverse = ops.gather_rows(reverse, edges.to(reverse.device)).to(edges)
        found = torch.cat([edges, reverse[reverse != -1]])
    return found.to(g.device if output_device is None else output_device, g.idtype)


def _check_exclude(exclude: Any, reverse_eids: Any, reverse_etypes: Any) -> None:
    """Raise unless :func:`find_exclude_eids` knows what is meant."""
    if reverse_etypes is not None:
        raise ValueError("reverse_etypes: expected None; hopflow's graphs have one type of edges")
    if exclude is None or callable(exclude) or isinstance(exclude, Tensor):
        return
    if not (isinstance(exclude, str) and exclude in ("self", "reverse_id")):
        raise ValueError(
            "exclude: expected None, 'self', 'reverse_id', edge ids or a function of the edges, got"
            f" {exclude!r}"
        )
    if exclude == "reverse_id" and reverse_eids is None:
        raise ValueError("reverse_eids: expected the reverse edge of every edge, got None")


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
        reverse_eids: Tensor | None = None,
        reverse_etypes: Any = None,
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
        self.negative_sampler = negative_sampler
        self.prefetch_labels = column_names("prefetch_labels", prefetch_labels)

    def sample(self, g: Graph, seed_edges: Any) -> Any:
        """Sample one mini-batch; :func:`as_edge_prediction_sampler` says what it is."""
        edges = as_edge_ids("seed_edges", seed_edges, g.num_edges(), device=g.device).clone()
        pairs = [*g.adjacency.ends(edges)]
        if self.negative_sampler is not None:
            pairs += self._negative_pairs(g, edges)
        nodes, _, local = ops.compact_ids(pairs[0][:0], torch.cat(pairs))
        ends = torch.split(local.long(), [x.shape[0] for x in pairs])
        positive = part_of(g, ends[0], ends[1], edges, nodes, True)
        for name in self.prefetch_labels:
            positive.edata[name]
        excluded = find_exclude_eids(g, edges, self.exclude, self.reverse_eids)
        more = (excluded,) if self._takes_exclude else ()
        input_nodes, _, blocks = self.sampler.sample(g, nodes.to(g.idtype), *more)
        if self.negative_sampler is None:
            return input_nodes, positive, blocks
        count = nodes.shape[0]
        negative = Graph(Adjacency.from_coo(ends[2], ends[3], count, count), idtype=g.idtype)
        negative._src_frame = negative._dst_frame = positive.ndata.copy()
        return input_nodes, positive, negative, blocks

    def _negative_pairs(self, g: Graph, edges: Tensor) -> list[Tensor]:
        assert self.negative_sampler is not None
        made = self.negative_sampler(g, edges.to(g.idtype, copy=True))
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise TypeError(
                "negative_sampler: expected it to return sources and destinations, got"
                f" {type(made).__name__}"
            )
        src, dst = (
            as_node_ids(f"negative {name}", x, g.num_nodes(), device=g.device)
            for name, x in zip(("sources", "destinations"), made)
        )
        if src.shape != dst.shape:
            raise ValueError(
                "negative_sampler: expected as many sources as destinations, got"
                f" {src.shape[0]} and {dst.shape[0]}"
            )
        return [src, dst]

    def __repr__(self) -> str:
        told = "" if self.negative_sampler is None else f", {self.negative_sampler!r}"
        return f"{type(self).__name__}({self.sampler!r}, exclude={self.exclude!r}{told})"


def as_edge_prediction_sampler(
    sampler: Any,
    exclude: Any = None,
    reverse_eids: Tensor | None = None,
    reverse_etypes: Any = None,
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
        Samples the neighbourhood of the edges' ends; usually a :class:`NeighborSampler`.
    exclude : {None, "self", "reverse_id"}, Tensor or callable
        Which edges must not be in the blocks, lest the model sees what it is to predict; as in
        :func:`find_exclude_eids`.
    reverse_eids : Tensor, optional
        Shape [E]: the reverse edge of every edge, -1 for none, for "reverse_id". After
        ``add_reverse_edges(g, exclude_self=False)`` of E edges, ``torch.arange(2 * E).roll(E)``.
    reverse_etypes : None
        There is one type of edges.
    negative_sampler : callable, optional
        ``negative_sampler(g, edges)`` returns sources and destinations of pairs to take for no
        edges; those of :mod:`hopflow.dataloading.negative_sampler`, for example. It runs in the
        loader's threads: one that draws from torch's global stream (``torch.randint``) makes
        batches depend on ``num_workers``, and on the moment; these do not.
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

    Raises
    ------
    TypeError, ValueError
        Bad arguments.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.as_edge_prediction_sampler.html
    """
    return EdgePredictionSampler(
        sampler, exclude, reverse_eids, reverse_etypes, negative_sampler, prefetch_labels
    )
