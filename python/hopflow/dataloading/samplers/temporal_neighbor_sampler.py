"""A sampler for graphs in time: what a seed sees is never later than the seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.samplers.neighbor_sampler import checked_fanouts
from hopflow.dataloading.samplers.sampler import (
    Blocks,
    BlockSampler,
    MiniBatch,
    blocks_of,
    by_type,
    note_duplicates,
)
from hopflow.dataloading.samplers.temporal_edge_prediction import TemporalEdgePredictionSampler
from hopflow.graphs.block import Parent
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.temporal_neighbors import exact_times, times_of
from hopflow.sampling.temporal_pools import TemporalPools, edge_times, node_times, temporal_pools
from hopflow.structure.by_type import nodes_by_type
from hopflow.structure.frame import SEED_TIME
from hopflow.structure.ids import as_ids
from hopflow.structure.types import Relation


class TemporalNeighborSampler(BlockSampler):
    """Keep at most ``fanouts[l]`` in-edges of every node at layer ``l``, none later than the seed.

    A seed has a time. Over all hops no edge, and no node that an edge leads to, is later than the
    seed that it was found for: it is *eligible* if its time, and that of its source node where
    nodes have times, is not later than the seed's. The draw is among the eligible edges, so a node
    gets as many as the fanout says if it has as many that are early enough.

    Rows of blocks are pairs of a node and a time: a node that is reached from two seeds has a row
    for each of their times, and one row if these are the same. ``srcdata[hopflow.NID]`` are the
    nodes, ``srcdata["seed_time"]`` the times; likewise ``dstdata``.

    Parameters
    ----------
    fanouts : sequence of int or dict
        As in :class:`NeighborSampler`.
    edge_time : str, Tensor or dict, optional
        Edge column, or its name: the time of each edge, any integer or floating dtype. On a graph
        of several types a name, which every type of edges has, or ``{edge type: name, tensor or
        None}`` for every type; edges of None were always there.
    node_time : str, Tensor or dict, optional
        Node column, or its name, or by type: when each node came to be. One of ``edge_time`` and
        ``node_time`` is needed; all times are integers or all floats.
    input_time : str, Tensor or dict, optional
        Times of the seeds. Of node batches a node column, or its name: one time a node; by default
        ``node_time``. Under :func:`as_edge_prediction_sampler` an edge column: one time an edge; by
        default ``edge_time``. With ``input_nodes`` one time for each of those.
    input_nodes : Tensor, sequence of int or dict, optional
        Makes a table of seeds, with times in ``input_time``. The loader's indices are then rows of
        this table, ``torch.arange(len(input_nodes))``, and a node may be in it at many times. On a
        graph of several types ``{node type: ids}``, and indices ``{node type: rows}``.
    temporal_strategy : {"uniform", "last"}
        Whether eligible edges are drawn, or the latest ``fanout`` of them are kept. Of edges of one
        time those that come last among the node's in-edges are taken for the latest.
    strict : bool
        Only what is earlier than the seed is eligible; by default also what has the seed's time.
        With batches of edges this is what keeps a seed edge out of its own neighbourhood.
    prob, mask, replace
        As in :class:`NeighborSampler`, of the eligible edges; ``prob`` and ``replace`` only with
        "uniform".
    prefetch_node_feats, prefetch_labels, prefetch_edge_feats : sequence of str, optional
        As in :class:`BlockSampler`.

    Raises
    ------
    TypeError, ValueError
        Bad arguments. What a graph lacks is told where there is a graph.

    Notes
    -----
    The in-edges of each node are sorted by time with the first batch, O(E log E), and kept until a
    column changes (8 bytes an edge for the times, and a copy of the edges in this order); so the
    eligible ones are the first of them. Draws depend on (seed, epoch, batch, hop, node, time), not
    on threads or workers. Batches are made in Python's threads (docs/loader.md).
    :func:`audit_times` proves of a batch that nothing in it is too late.

    References
    ----------
    Rossi et al., "Temporal graph networks for deep learning on dynamic graphs", 2020 (latest and
    uniform neighbours); ``time_attr``, ``input_time`` and ``temporal_strategy`` of PyG's
    NeighborLoader; ``TemporalNeighborSampler`` of DGL's GraphBolt, which is strict and uniform.

    Examples
    --------
    >>> graph.edata["time"] = torch.arange(graph.num_edges())
    >>> sampler = TemporalNeighborSampler([10, 10], edge_time="time", strict=True)
    >>> sampler = as_edge_prediction_sampler(sampler)  # a seed edge's time is its own
    >>> for input_nodes, pair_graph, blocks in DataLoader(graph, edges, sampler, batch_size=512):
    ...     audit_times(blocks, edge_time="time", strict=True)
    """

    edge_prediction_sampler = TemporalEdgePredictionSampler

    def __init__(
        self,
        fanouts: Sequence[Any],
        edge_time: Any = None,
        node_time: Any = None,
        input_time: Any = None,
        *,
        input_nodes: Any = None,
        temporal_strategy: str = "uniform",
        strict: bool = False,
        prob: Any = None,
        mask: Any = None,
        replace: bool = False,
        prefetch_node_feats: Any = None,
        prefetch_labels: Any = None,
        prefetch_edge_feats: Any = None,
    ) -> None:
        super().__init__(prefetch_node_feats, prefetch_labels, prefetch_edge_feats)
        self.fanouts = checked_fanouts("fanouts", fanouts)
        if edge_time is None and node_time is None:
            raise ValueError("edge_time, node_time: expected one of them at least, got neither")
        if temporal_strategy not in ops.TEMPORAL_STRATEGIES:
            raise ValueError(
                f'temporal_strategy: expected "uniform" or "last", got {temporal_strategy!r}'
            )
        for name, value in (("prob", prob), ("replace", replace)):
            if temporal_strategy == "last" and (value is not None and value is not False):
                raise ValueError(f'{name}: expected none with temporal_strategy="last"')
        if prob is not None and mask is not None:
            raise ValueError("prob, mask: expected one of them at most, got both")
        if input_nodes is not None and (input_time is None or isinstance(input_time, str)):
            raise ValueError("input_time: expected one time for each of input_nodes")
        self.edge_time, self.node_time, self.input_time = edge_time, node_time, input_time
        self.temporal_strategy, self.strict = temporal_strategy, bool(strict)
        self.prob, self.mask, self.replace = prob, mask, bool(replace)
        self.input_nodes = input_nodes
        if input_nodes is not None:
            if isinstance(input_nodes, Mapping) != isinstance(input_time, Mapping):
                raise TypeError("input_nodes, input_time: expected both by type, or neither")
            self.input_nodes = _by_type("input_nodes", input_nodes, as_ids)
            self.input_time = _by_type("input_time", input_time, exact_times)
            # Rows of the table, not nodes.
            self.index_kind = None  # type: ignore[assignment, misc]

    def edges_of(self, g: Graph) -> TemporalPools:
        """The edges of a graph that are drawn, in the order of time.

        Raises
        ------
        KeyError
            A column that the graph lacks.
        TypeError, ValueError
            Not one time an edge or node, a time that is NaN, or bad weights.
        """
        _check_graph(g)
        return temporal_pools(g, self.edge_time, self.node_time, self.prob, self.mask)

    def sample(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """Sample one mini-batch.

        Parameters
        ----------
        g : Graph
            The graph.
        seed_nodes : Tensor, numpy array, sequence of int or dict
            Nodes whose output is wanted, by type where there are several types; with
            ``input_nodes`` rows of that table. Seeds of one node and time are merged in order of
            first appearance; ``blocks[-1].seed_inverse`` then leads from each given seed to its
            row.
        exclude_eids : Tensor, numpy array, sequence of int or dict, optional
            Ids of edges that must not be in any block.

        Returns
        -------
        input_nodes : Tensor or dict
            The node of each source row of the first block, dtype ``g.idtype``; a node may be there
            at several times.
        output_nodes : Tensor or dict
            The node of each distinct seed.
        blocks : list of Block
            From the input layer to the output layer.

        Raises
        ------
        IndexError, KeyError, TypeError, ValueError
            Seeds that are not the graph's, times that are missing or bad.
        """
        nodes, times = self.seeds_of(g, seed_nodes)
        return self.sample_at(g, nodes, times, exclude_eids)

    def sample_blocks(self, g: Graph, seed_nodes: Any, exclude_eids: Any = None) -> MiniBatch:
        """As :meth:`sample`, of which it is all but the columns to prefetch."""
        nodes, times = self.seeds_of(g, seed_nodes)
        return self._sampled(g, nodes, times, exclude_eids)

    def sample_at(
        self, g: Graph, seed_nodes: Any, seed_times: Any, exclude_eids: Any = None
    ) -> MiniBatch:
        """Sample one mini-batch of nodes at given times: as :meth:`sample`.

        Parameters
        ----------
        seed_nodes : Tensor, numpy array, sequence of int or dict
            Nodes, by type where there are several types.
        seed_times : Tensor, sequence of numbers or dict
            The time of each of them.
        """
        made = self._sampled(g, seed_nodes, seed_times, exclude_eids)
        self.prefetch(made[2])
        return made

    def seeds_of(self, g: Graph, indices: Any) -> tuple[Any, Any]:
        """The nodes that a batch's indices stand for, and their times."""
        _check_graph(g)
        if self.input_nodes is not None:
            return self._rows_of_table(indices, g.device)
        name = "node_time" if self.input_time is None else "input_time"
        value = getattr(self, name)
        if value is None:
            raise ValueError(
                "input_time: expected the times of seeds, one a node, as there is no node_time to"
                " take them from; got None"
            )
        columns = node_times(g, name, value)
        given = nodes_by_type(g, "seed_nodes", indices)
        times = {}
        for ntype, ids in given.items():
            column = columns[ntype]
            if column is None:
                raise ValueError(f"{name}: expected times of {ntype!r}, of which there are seeds")
            times[ntype] = ops.gather_rows(column, ids)
        if isinstance(indices, Mapping):
            return given, times
        return next(iter(given.values())), next(iter(times.values()))

    def edge_times_of(self, g: Graph, edges: Mapping[Relation, Tensor]) -> dict[Relation, Tensor]:
        """The time of each edge of a batch of edges."""
        _check_graph(g)
        if self.input_nodes is not None:
            raise ValueError("input_nodes: expected none for batches of edges")
        name = "edge_time" if self.input_time is None else "input_time"
        if getattr(self, name) is None:
            raise ValueError(
                "input_time: expected the times of edges, one an edge, as there is no edge_time to"
                " take them from; got None"
            )
        columns, times = edge_times(g, name, getattr(self, name)), {}
        for relation, eids in edges.items():
            column = columns[relation]
            if column is None:
                raise ValueError(
                    f"{name}: expected times of {relation!r}, of which there are seed edges"
                )
            times[relation] = ops.gather_rows(column, eids)
        return times

    def _rows_of_table(self, indices: Any, device: torch.device) -> tuple[Any, Any]:
        """What some rows of the table of seeds hold."""
        if isinstance(self.input_nodes, Mapping) != isinstance(indices, Mapping):
            raise TypeError("seed_nodes: expected rows by type if and only if input_nodes are so")
        if not isinstance(indices, Mapping):
            return _rows("", self.input_nodes, self.input_time, indices, device)
        nodes, times = {}, {}
        for ntype, rows in indices.items():
            if ntype not in self.input_nodes or ntype not in self.input_time:
                raise ValueError(f"input_nodes, input_time: expected such of {ntype!r}, got none")
            nodes[ntype], times[ntype] = _rows(
                f"[{ntype!r}]", self.input_nodes[ntype], self.input_time[ntype], rows, device
            )
        return nodes, times

    # Blocks may serve a backward pass later, wherever they are made.
    @torch.inference_mode(False)
    def _sampled(self, g: Graph, seed_nodes: Any, seed_times: Any, exclude_eids: Any) -> MiniBatch:
        edges = self.edges_of(g)
        excluded = edges.excluded("exclude_eids", exclude_eids)
        given = nodes_by_type(g, "seed_nodes", seed_nodes)
        is_by_type = isinstance(seed_nodes, Mapping)
        times = times_of(given, "seed times", seed_times, edges.dtype, is_by_type)
        none = torch.empty(0, dtype=torch.int64, device=g.device)
        fanouts, ntypes = edges.fanouts(self.fanouts), g.schema.ntypes
        sampled, row_times = edges.sample_timed_blocks(
            [given.get(ntype, none) for ntype in ntypes],
            [times.get(ntype, none.to(edges.dtype)) for ntype in ntypes], fanouts,
            keys=[rng.next_key(max(hop)) for hop in fanouts], strategy=self.temporal_strategy,
            strict=self.strict, replace=self.replace, idtype=g.idtype, excluded=excluded,
        )  # fmt: skip
        blocks = blocks_of(Parent.of(g), edges, sampled)
        _note_times(blocks, ntypes, row_times)
        note_duplicates(blocks, g.schema, sampled, is_by_type)
        outputs: Any = sampled.nodes[0].output_nodes
        if is_by_type:
            own = {t: nodes.output_nodes for t, nodes in zip(ntypes, sampled.nodes)}
            outputs = {ntype: own[ntype] for ntype in given}
        return by_type(g.schema, [nodes.input_nodes for nodes in sampled.nodes]), outputs, blocks

    def __repr__(self) -> str:
        told = ", ".join(
            f"{name}={value!r}" if isinstance(value, str) else f"{name}=…"
            for name in ("edge_time", "node_time", "input_time", "prob", "mask")
            if (value := getattr(self, name)) is not None
        )
        return (
            f"{type(self).__name__}({self.fanouts}, {told},"
            f" temporal_strategy={self.temporal_strategy!r}, strict={self.strict},"
            f" replace={self.replace})"
        )


def _check_graph(g: Any) -> None:
    """Raise unless it is a graph that can be sampled in time."""
    if not isinstance(g, Graph) or g.is_block:
        what = "a graph in parts" if isinstance(g, GraphInParts) else type(g).__name__
        raise TypeError(f"g: expected a hopflow.Graph in one piece, got {what}")
    for ntype in g.schema.ntypes:
        if SEED_TIME in g.node_frame(ntype):
            raise ValueError(
                f"g: the node column {SEED_TIME!r} is what blocks keep the times of rows in;"
                " give the graph's own another name"
            )


def _by_type(name: str, value: Any, as_tensor: Callable[[str, Any], Tensor]) -> Any:
    """A table's column as a tensor, or by type."""
    if not isinstance(value, Mapping):
        return as_tensor(name, value)
    return {ntype: as_tensor(f"{name}[{ntype!r}]", column) for ntype, column in value.items()}


def _rows(
    where: str, input_nodes: Tensor, times: Tensor, rows: Any, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Some rows of a table of seeds; O(their number)."""
    nodes = as_ids(f"input_nodes{where}", input_nodes)
    if times.shape != nodes.shape:
        raise ValueError(
            f"input_time{where}: expected one time for each of {nodes.shape[0]} input_nodes, got"
            f" shape {list(times.shape)}"
        )
    at = as_ids("seed_nodes", rows)
    outside = (at < 0) | (at >= nodes.shape[0])
    if bool(outside.any()):
        row = int(at[int(outside.nonzero()[0])])
        raise IndexError(
            f"seed_nodes: expected rows of input_nodes{where}, 0 <= row < {nodes.shape[0]}, got"
            f" {row}"
        )
    return nodes[at.to(nodes.device)].to(device), times[at.to(times.device)].to(device)


def _note_times(blocks: Blocks, ntypes: Sequence[str], row_times: Sequence[Tensor]) -> None:
    """Give the nodes of blocks the times of their rows."""
    for block in blocks:
        for ntype, times in zip(ntypes, row_times):
            for side in ("src", "dst"):
                frame = block.node_frame(ntype, side=side)
                frame[SEED_TIME] = times[: frame.num_rows]
