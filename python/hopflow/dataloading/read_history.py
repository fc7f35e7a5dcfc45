"""Which columns and transposes the consumer read: what the next batches are to bring along."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Column, read
from hopflow.structure.stored_column import StoredColumn

# A column or a transpose goes on being prefetched if one of this many latest batches read it.
_MEMORY = 2

ColumnKey: TypeAlias = tuple[int, str, str]
"""(level, node type, name); level l: the nodes that l hops reach."""
HopKey: TypeAlias = tuple[int, int]
"""(hop, number of the relation); hop 0 is that of the seeds."""


def _state(x: Tensor | StoredColumn) -> tuple[object, ...]:
    """What a change of a column changes, as far as it can be seen; ``x.data = y`` leaves no trace
    in the version."""
    if isinstance(x, StoredColumn):
        return (x.version,)
    return x._version, x.data_ptr(), x.shape, x.stride(), x.dtype, x.requires_grad


@dataclass(frozen=True, eq=False)
class Prefetched:
    """A column as it was when its prefetch was asked for."""

    column: Tensor | StoredColumn
    state: tuple[object, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prefetched):
            return NotImplemented
        return self.column is other.column and self.state == other.state

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def of(cls, column: Column) -> Prefetched | None:
        """None for what only torch can gather, or whose changes cannot be seen."""
        if isinstance(column, StoredColumn):
            return cls(column, _state(column))
        tensor = read(column)
        plain = type(tensor) in (Tensor, torch.nn.Parameter) and not tensor.is_quantized
        if not plain or tensor.requires_grad or tensor.is_inference() or tensor.dim() == 0:
            return None
        if not tensor[:1].is_contiguous() or tensor.is_neg() or tensor.is_conj():
            return None
        return cls(tensor, _state(tensor))

    @property
    def source(self) -> ops.RowSource | None:
        """What the loader's threads gather its rows from; None on CUDA."""
        if self.column.device.type != "cpu":
            return None
        return self.column.source if isinstance(self.column, StoredColumn) else self.column

    def still_is(self, column: Column) -> bool:
        """Whether the rows gathered are those that would be gathered now."""
        now = column if isinstance(column, StoredColumn) else read(column)
        return now is self.column and _state(now) == self.state


class ReadHistory:
    """What the consumer reads of its batches, so that the next ones can bring it along.

    A module such as ``model(blocks, blocks[0].srcdata["feat"])`` reads the same columns of every
    batch. What one of the latest batches had read is gathered with the next ones.
    """

    def __init__(self) -> None:
        self._delivered = 0
        self._columns: dict[ColumnKey, int] = {}  # the batch that read it last
        self._changing: set[ColumnKey] = set()
        self._transposes: dict[HopKey, int] = {}
        self._latest: dict[HopKey, weakref.ref[Adjacency]] = {}

    def begin_epoch(self) -> None:
        """Columns that changed in the last epoch may be quiet in this one."""
        self._changing.clear()

    def deliver(self, blocks: list[Block]) -> None:
        """Count a batch; look whether the one before needed transposes."""
        for key, ref in self._latest.items():
            adjacency = ref()
            if adjacency is not None and adjacency.needs_transpose:
                self._transposes[key] = self._delivered
        self._delivered += 1
        self._latest = latest = {}
        for hop, block in enumerate(reversed(blocks)):
            if block._relations is None:  # spares small batches the loop
                latest[hop, 0] = weakref.ref(block._adjacency)
                continue
            for number, one in enumerate(block._relations.values()):
                latest[hop, number] = weakref.ref(one._adjacency)

    def note_read(self, key: ColumnKey) -> None:
        """The consumer read a column."""
        self._columns[key] = self._delivered

    def note_change(self, key: ColumnKey) -> None:
        """A column changed after it had been gathered: leave it to be gathered when it is read."""
        self._changing.add(key)

    def columns(self) -> list[ColumnKey]:
        """Columns worth bringing along."""
        return [
            key
            for key, batch in list(self._columns.items())
            if self._delivered - batch <= _MEMORY and key not in self._changing
        ]

    def transposes(self) -> list[HopKey]:
        """Hops and relations whose out-edges are worth bringing along."""
        return [
            key
            for key, batch in list(self._transposes.items())
            if self._delivered - batch <= _MEMORY
        ]


def explicit_columns(sampler: NeighborSampler, ntypes: Sequence[str]) -> list[ColumnKey]:
    """The node columns that a sampler is told to prefetch, from a graph of these types."""
    keys: list[ColumnKey] = []
    for level, names in (
        (len(sampler.fanouts), sampler.prefetch_node_feats), (0, sampler.prefetch_labels)
    ):  # fmt: skip
        if isinstance(names, dict):
            keys += [(level, ntype, name) for ntype, of_type in names.items() for name in of_type]
        else:
            keys += [(level, ntype, name) for ntype in ntypes for name in names]
    return keys


def wanted_columns(
    graph: Graph, keys: Sequence[ColumnKey], num_levels: int
) -> dict[ColumnKey, Prefetched]:
    """Those of the columns that can be gathered ahead, as they are now."""
    wanted: dict[ColumnKey, Prefetched] = {}
    if not keys:
        return wanted
    frames = graph.node_frames()
    for key in dict.fromkeys(keys):
        level, ntype, name = key
        if level <= num_levels and ntype in frames and name in frames[ntype]:
            column = Prefetched.of(frames[ntype].column(name))
            if column is not None:
                wanted[key] = column
    return wanted
