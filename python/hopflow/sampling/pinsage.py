"""Neighbours by importance: the nodes that random walks from a node visit most, as in PinSAGE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.sampling.random_walks import metapath_of, random_walk
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, Frame
from hopflow.structure.graph_base import GraphT, require_graph
from hopflow.structure.ids import as_node_ids
from hopflow.structure.relations import node_name
from hopflow.structure.types import CANONICAL, Schema, told


class RandomWalkNeighborSampler(Generic[GraphT]):
    """Finds, for nodes of one type, the nodes of that type that random walks from them visit most.

    A walk goes along a metapath that leads from the type back to it, up to ``num_traversals`` times
    over, and may end after each time. Where it stands after a time is a visit.

    Parameters
    ----------
    G : Graph
        A graph.
    num_traversals : int
        The most times that a walk goes along the metapath.
    termination_prob : float
        Probability that a walk ends after a time.
    num_random_walks : int
        Walks from each node.
    num_neighbors : int
        The most nodes kept for each node.
    metapath : sequence of str or tuple, optional
        Edge types; in a graph of one type by default its edges, one step.
    weight_column : str
        Edge column of the result, for the numbers of visits.

    Raises
    ------
    TypeError, ValueError
        A metapath that is none or does not lead back, a negative number, or no probability.

    References
    ----------
    Ying et al., "Graph convolutional neural networks for web-scale recommender systems", KDD 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.RandomWalkNeighborSampler.html
    """

    def __init__(
        self,
        G: GraphT,
        num_traversals: int,
        termination_prob: float,
        num_random_walks: int,
        num_neighbors: int,
        metapath: Sequence[Any] | None = None,
        weight_column: str = "weights",
    ) -> None:
        self.G = require_graph(G)
        path = metapath_of(G, metapath, None if metapath is not None else 1)
        if not path:
            raise ValueError("metapath: expected at least one edge type, got none")
        self.ntype = path[0][0]
        if path[-1][2] != self.ntype:
            raise ValueError(
                f"metapath: expected one that leads back to {self.ntype!r}, got one to"
                f" {path[-1][2]!r}"
            )
        self.num_traversals = _at_least_0("num_traversals", num_traversals)
        self.num_random_walks = _at_least_0("num_random_walks", num_random_walks)
        self.num_neighbors = _at_least_0("num_neighbors", num_neighbors)
        end = ops.as_float("termination_prob", termination_prob)
        if not 0 <= end <= 1:
            raise ValueError(f"termination_prob: expected a probability, got {termination_prob!r}")
        self.weight_column = weight_column
        self.metapath, self.metapath_hops = path, len(path)
        self.full_metapath = path * self.num_traversals
        # Before the first step of each time but the first.
        self.restart_prob = torch.zeros(len(self.full_metapath), device="cpu")
        self.restart_prob[self.metapath_hops :: self.metapath_hops] = end

    def __call__(self, seed_nodes: Any) -> GraphT:
        """The graph of these nodes' most visited nodes.

        Parameters
        ----------
        seed_nodes : Tensor, numpy array, sequence of int or boolean mask
            Nodes of the type ``ntype``; duplicates count once.

        Returns
        -------
        Graph
            All nodes of ``ntype``, without columns, and of one edge type ``"_E"``. Each given node
            has in-edges from the ``num_neighbors`` nodes visited most, the most visited first, of
            those with as many visits the smallest ids first and kept; their numbers are in
            ``edata[weight_column]``, dtype ``G.idtype``. It may be among them itself. A walk that
            ends for lack of an edge visits nothing from there on.
        """
        g = self.G
        num_nodes = g.num_nodes(self.ntype)
        ids = as_node_ids("seed_nodes", seed_nodes, num_nodes, dtype=g.idtype, device=g.device)
        seeds, _, _ = ops.compact_ids(ids, ids[:0])
        if self.full_metapath:
            traces, _ = random_walk(
                g, seeds.repeat_interleave(self.num_random_walks), metapath=self.full_metapath,
                restart_prob=self.restart_prob,
            )  # fmt: skip
            visits = traces[:, self.metapath_hops :: self.metapath_hops]
        else:
            visits = seeds.new_empty(seeds.shape[0] * self.num_random_walks, 0)
        visits = visits.reshape(seeds.shape[0], self.num_random_walks * self.num_traversals)
        indptr, neighbors, counts = most_visited(visits, self.num_neighbors)
        adjacency = Adjacency(indptr, neighbors, None, num_nodes, num_nodes, rows=seeds)
        relation = (self.ntype, CANONICAL[1], self.ntype)
        nodes = {self.ntype: Frame(num_nodes, node_name(self.ntype), g.device)}
        columns: dict[str, Column] = {self.weight_column: counts}
        return type(g).of_types(
            Schema((self.ntype,), (relation,)), nodes, {relation: (adjacency, columns)}, g.idtype
        )


class PinSAGESampler(RandomWalkNeighborSampler[GraphT]):
    """:class:`RandomWalkNeighborSampler` on a graph of two node types with edges both ways.

    Its metapath goes from ``ntype`` to ``other_type`` and back.

    Parameters
    ----------
    G : Graph
        A graph; the first edge type from ``ntype`` to ``other_type``, and the first back, count.
    ntype, other_type : str
        The type whose nodes are given and found, and the one between.
    num_traversals, termination_prob, num_random_walks, num_neighbors, weight_column
        As in :class:`RandomWalkNeighborSampler`.

    Raises
    ------
    ValueError
        No edge type that leads there, or none that leads back; and as for the base class.

    References
    ----------
    Ying et al., "Graph convolutional neural networks for web-scale recommender systems", KDD 2018;
    https://www.dgl.ai/dgl_docs/generated/dgl.sampling.PinSAGESampler.html
    """

    def __init__(
        self,
        G: GraphT,
        ntype: str,
        other_type: str,
        num_traversals: int,
        termination_prob: float,
        num_random_walks: int,
        num_neighbors: int,
        weight_column: str = "weights",
    ) -> None:
        relations = require_graph(G).schema.relations
        metapath = []
        for src, dst in ((ntype, other_type), (other_type, ntype)):
            found = [relation for relation in relations if relation[::2] == (src, dst)]
            if not found:
                raise ValueError(
                    f"ntype, other_type: expected edges from {src!r} to {dst!r}, there are only"
                    f" {told(relations)}"
                )
            metapath.append(found[0])
        super().__init__(
            G, num_traversals, termination_prob, num_random_walks, num_neighbors, metapath,
            weight_column,
        )  # fmt: skip


def _at_least_0(name: str, value: Any) -> int:
    number = ops.as_int(name, value)
    if number < 0:
        raise ValueError(f"{name}: expected at least 0, got {number}")
    return number


def most_visited(visits: Tensor, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ids that each row of ``visits`` has most often, and how often.

    Parameters
    ----------
    visits : Tensor
        Ids, shape [R, V]; -1 is none.
    most : int
        Ids kept of each row, at most.

    Returns
    -------
    indptr : Tensor
        int64, shape [R + 1].
    ids, counts : Tensor
        Of row ``r`` at ``indptr[r]:indptr[r + 1]``: the most frequent first, of those alike the
        smallest id first; dtype of ``visits``.
    """
    num_rows, width = visits.shape
    indptr = torch.zeros(num_rows + 1, dtype=torch.int64, device=visits.device)
    if width == 0 or num_rows == 0:
        return indptr, visits.new_empty(0), visits.new_empty(0)
    in_order = _in_order(visits)
    # Runs of equal ids: where they begin, and how far the next one, or the next row, is.
    begins = torch.ones_like(in_order, dtype=torch.bool)
    torch.ne(in_order[:, 1:], in_order[:, :-1], out=begins[:, 1:])
    begins = begins.reshape(-1)
    at = begins.nonzero().squeeze(1)
    counts = torch.diff(at, append=at.new_tensor([num_rows * width]))
    in_order = in_order.reshape(-1)
    if bool((in_order[::width] < 0).any()):  # runs of what is none come first
        is_id = in_order[at] >= 0
        at, counts = at[is_id], counts[is_id]
    # By row, then by falling count, then by place in the row, where ids rise: one number says all,
    # and is below 2^63 for any tensor that there is memory for.
    rows = torch.div(at, width, rounding_mode="floor")
    keys = _in_order((rows * (width + 1) + width - counts) * width + at - rows * width)
    of_row = torch.bincount(rows, minlength=num_rows)
    first = of_row.cumsum(0) - of_row
    rank = torch.arange(keys.shape[0], device=keys.device) - first[rows]  # rows are in order
    keys, rows = keys[rank < most], rows[rank < most]
    counts = width - torch.div(keys, width, rounding_mode="floor") + rows * (width + 1)
    torch.cumsum(of_row.clamp(max=most), 0, out=indptr[1:])
    return indptr, in_order[rows * width + keys % width], counts.to(visits.dtype)


def _in_order(x: Tensor) -> Tensor:
    """The numbers of a tensor's last dimension, in rising order."""
    if x.device.type != "cpu":
        return x.sort(-1).values
    # Ten times as fast as torch, which sorts their places too.
    return torch.from_numpy(np.sort(x.numpy(), axis=-1))
