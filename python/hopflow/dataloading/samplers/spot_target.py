"""Which edges of a batch to leave out: those at nodes of low degree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

import hopflow.ops as ops
from hopflow.dataloading.samplers.edge_prediction import find_exclude_eids
from hopflow.graphs.graph import Graph
from hopflow.structure.graph_base import require_graph


class SpotTarget:
    """Leave a batch's edges out of its blocks where one end has a low degree, for link prediction.

    Predicting an edge from itself misleads nodes that have few others; of nodes with many it is one
    among many, and leaving it out changes the graph that is tested later. Give it as ``exclude`` to
    :func:`as_edge_prediction_sampler`.

    Parameters
    ----------
    g : Graph
        The graph, of one type of nodes and edges.
    exclude : {"self", "reverse_id", "reverse_types"} or callable
        As in :func:`find_exclude_eids`: what is left out for the edges that are found.
    degree_threshold : int
        Edges are left out whose source or destination has fewer in-edges.
    reverse_eids, reverse_etypes
        As in :func:`find_exclude_eids`.

    Raises
    ------
    TypeError, ValueError
        A graph of several types, or a threshold that is no number.

    References
    ----------
    Zhu, Zhou, Ioannidis, Qian, Ai, Song, Koutra, "Pitfalls in link prediction with graph neural
    networks", WSDM 2024; https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.SpotTarget.html
    """

    def __init__(
        self,
        g: Graph,
        exclude: Any,
        degree_threshold: int = 10,
        reverse_eids: Any = None,
        reverse_etypes: Mapping[Any, Any] | None = None,
    ) -> None:
        self.g = require_graph(g, one_type=True)
        self.exclude = exclude
        self.degree_threshold = ops.as_int("degree_threshold", degree_threshold)
        self.reverse_eids, self.reverse_etypes = reverse_eids, reverse_etypes

    def __call__(self, seed_edges: Any) -> Any:
        """The edges to leave out for a batch of edges, dtype ``g.idtype``.

        Parameters
        ----------
        seed_edges : Tensor, numpy array or sequence of int
            Edge ids.
        """
        src, dst = self.g.find_edges(seed_edges)
        ends = torch.as_tensor(self.g.in_degrees(src)), torch.as_tensor(self.g.in_degrees(dst))
        is_low = torch.minimum(*ends) < self.degree_threshold
        eids = torch.as_tensor(seed_edges, device=is_low.device)
        return find_exclude_eids(
            self.g, eids[is_low], self.exclude, self.reverse_eids, self.reverse_etypes
        )
