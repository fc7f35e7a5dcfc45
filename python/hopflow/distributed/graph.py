"""A graph in parts, as a rank sees it."""

from __future__ import annotations

import atexit
import numbers
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.epoch import Plan, RunningEpoch
from hopflow.dataloading.parts import GraphInParts
from hopflow.distributed.cache import CacheReport, RowCaches
from hopflow.distributed.columns import bring_columns
from hopflow.distributed.epoch import PartsEpoch
from hopflow.distributed.lane import Lane, Traffic, new_lane
from hopflow.distributed.part import Part, check_parts, order_by_part, ranks_of
from hopflow.distributed.pools import PartPools
from hopflow.distributed.watch import Watch
from hopflow.graphs.block import Parent
from hopflow.graphs.graph import Graph
from hopflow.sampling.edge_pools import EdgePools, edge_pools
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Take
from hopflow.structure.lazy_column import LazyColumn
from hopflow.structure.types import Schema

# Threads that exchange must be gone before torch takes its process groups down.
_open: weakref.WeakSet[PartitionedGraph] = weakref.WeakSet()


def _close_all() -> None:
    for graph in list(_open):
        graph.close()


class PartitionedGraph(GraphInParts):
    """A graph whose parts are on the ranks of torch.distributed; made by :func:`load`.

    Samplers and the DataLoader take it as they take a graph, with ``use_ddp=True``. Ids are those
    of the whole graph, and so are the batches, bit for bit. Columns come with the batches: those
    that the sampler is told to prefetch, or all. Every rank must make its loaders, begin and leave
    its loops, and call its samplers as the others do.

    Parameters
    ----------
    part : Part
        This rank's part. Part ``p`` is rank ``p``'s.
    topology : Graph, optional
        All edges, if this rank has them: then it samples by itself and only columns are exchanged.
    timeout : float
        Seconds after which a rank that does not answer is given up.

    Raises
    ------
    HopflowError
        No process group, or another number of ranks than of parts.
    ValueError
        Parts of several partitionings, or a part that is here twice; on every rank alike.

    References
    ----------
    Kaler et al., "Communication-efficient graph neural networks with probabilistic neighborhood
    expansion analysis and caching" (SALIENT++), MLSys 2023;
    https://www.dgl.ai/dgl_docs/guide/distributed.html
    """

    def __init__(self, part: Part, *, topology: Graph | None = None, timeout: float = 60.0) -> None:
        self.part, self.topology, self.timeout = part, topology, _as_limit(timeout)
        self.schema, self.idtype = part.schema, part.idtype
        self.device = torch.device("cpu")
        self._rank, self._num_ranks = ranks_of(part)
        name = check_parts(part, self._num_ranks, _next_name())
        numbers = {ntype: t for t, ntype in enumerate(self.schema.ntypes)}
        self._numbers = numbers
        # Of each relation: the part's edges by the part's rows and positions.
        self.adjacencies = [
            Adjacency(
                edges.indptr, edges.indices, None, part.num_nodes(numbers[src]),
                edges.indptr.shape[0] - 1,
            )
            for (src, _, _), edges in zip(self.schema.relations, part.edges)
        ]  # fmt: skip
        self._watch = Watch(self._rank, self._num_ranks, name)
        try:
            # What ranks agree on goes through a lane of its own, which no failed batch closes.
            self._control = self._new_lane()
        except BaseException:
            self._watch.close()
            raise
        self._lanes: list[Lane] = []
        self._local = threading.local()
        self._pools: dict[Any, PartPools] = {}
        self._lock = threading.Lock()
        self._closed = Traffic()  # of lanes that are gone
        self._begun: list[Callable[[], None]] = []
        self._threads: list[threading.Thread] = []
        self.caches = RowCaches()
        self.open_lanes(1)
        if not _open:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
        _open.add(self)

    # --- sizes, by the names that graphs have for them ---

    @property
    def ntypes(self) -> list[str]:
        """Names of the node types."""
        return list(self.schema.ntypes)

    @property
    def canonical_etypes(self) -> list[Any]:
        """The relations, as (source type, name, destination type)."""
        return list(self.schema.relations)

    def num_nodes(self, ntype: Any = None) -> int:
        if ntype is None:
            return sum(self.part.num_nodes(t) for t in self._numbers.values())
        return self.part.num_nodes(self.number_of_type(ntype))

    def num_edges(self, etype: Any = None) -> int:
        if etype is None:
            return sum(self.part.num_edges)
        return self.part.num_edges[self.schema.relations.index(self.schema.relation(etype))]

    def num_owned(self, ntype: Any = None) -> int:
        """Nodes of a type, or of all, that this rank owns."""
        if ntype is None:
            return sum(ids.shape[0] for ids in self.part.ids)
        return self.part.ids[self.number_of_type(ntype)].shape[0]

    def owned(self, ntype: Any = None) -> Tensor:
        """Ids of the nodes of a type that this rank owns, rising."""
        return self.part.ids[self.number_of_type(ntype)].to(self.idtype)

    def columns(self, ntype: Any = None) -> dict[str, Tensor]:
        """Node columns of a type, a row for each node that this rank owns."""
        return self.part.columns[self.number_of_type(ntype)]

    def get_idx_split(self) -> dict[str, Any]:
        """Ids of each split in the whole graph; dicts by type where there are several types."""
        return {
            name: dict(by_type) if len(self._numbers) > 1 else next(iter(by_type.values()))
            for name, by_type in self.part.splits.items()
        }

    @property
    def num_classes(self) -> int | None:
        """Classes of the labels."""
        return self.part.num_classes

    def ends(self) -> list[tuple[int, int]]:
        """Numbers of the source type and of the destination type of each relation."""
        return [(self._numbers[src], self._numbers[dst]) for src, _, dst in self.schema.relations]

    def number_of_type(self, ntype: Any) -> int:
        """The number of a node type; None will do where there is one."""
        if ntype is None and len(self._numbers) == 1:
            return 0
        if ntype not in self._numbers:
            raise ValueError(
                f"ntype: expected one of {', '.join(map(repr, self._numbers))}, got {ntype!r}"
            )
        return self._numbers[ntype]

    def some_array(self) -> Tensor:
        return self.part.place[0]

    @property
    def partition_number(self) -> int:
        return zlib.crc32(self.part.partition_id.encode()) + 1

    def gather(self, value: Any) -> list[Any]:
        return self._control.gather(value)

    def ranks(self) -> tuple[int, int]:
        return self._rank, self._num_ranks

    # --- what samplers ask for ---

    def edge_pools(self, edge_dir: str, prob: Any, mask: Any) -> EdgePools:
        if self.topology is not None and prob is None and mask is None:
            return edge_pools(self.topology, edge_dir)
        return self.part_pools(edge_dir, prob, mask)

    def part_pools(self, edge_dir: str = "in", prob: Any = None, mask: Any = None) -> PartPools:
        """The edges that are drawn by the owners of their destinations."""
        if edge_dir != "in":
            raise ValueError(
                "edge_dir: expected 'in' for a graph in parts, which hold in-edges, got"
                f" {edge_dir!r}"
            )
        for name, column in (("prob", prob), ("mask", mask)):
            if isinstance(column, Tensor):
                raise TypeError(
                    f"{name}: expected the name of an edge column for a graph in parts, got a"
                    " tensor"
                )
            if column is not None and not any(column in x for x in self.part.edge_columns):
                raise KeyError(f"{name}: no type of edges has a column {column!r}")
        with self._lock:
            if (prob, mask) not in self._pools:
                self._pools[prob, mask] = PartPools(self, prob, mask)
            return self._pools[prob, mask]

    def parent(self, edge_dir: str) -> Parent:
        def unread(name: str) -> LazyColumn:
            return LazyColumn(lambda: _refuse(name))

        schema = self.schema
        if edge_dir == "out":  # blocks are those of the reversed graph
            reverse = [(dst, name, src) for src, name, dst in schema.relations]
            schema = Schema(schema.ntypes, reverse)
        return Parent(
            schema.of_blocks(),
            self.idtype,
            [{name: unread(name) for name in columns} for columns in self.part.columns],
            [{} for _ in self.part.edge_columns],
            list(self.part.num_edges),
        )

    def bring(self, sampler: Any, sampled: ops.SampledTypedBlocks) -> Callable[[int, str], Take]:
        return bring_columns(self, self.lane(), sampler, sampled)

    # --- the loader ---

    def by_part(self, seeds: Tensor, order: Tensor, batch_size: int) -> Tensor:
        firsts = torch.tensor([self.part.num_nodes(t) for t in self._numbers.values()]).cumsum(0)
        owner = torch.empty(seeds.shape[0], dtype=torch.int64)
        kinds = torch.searchsorted(firsts, seeds.long(), right=True)
        for t, (place, starts) in enumerate(zip(self.part.place, self.part.starts)):
            own = kinds == t
            ids = seeds[own].long() - (int(firsts[t - 1]) if t else 0)
            owner[own] = torch.searchsorted(starts, place[ids].long(), right=True) - 1
        return order_by_part(owner[order], order, self.part.num_parts, batch_size)

    def epoch(
        self,
        plan: Plan,
        position: dict[str, int],
        *,
        num_workers: int,
        prefetch_factor: int,
        timeout: float,
        worker_init_fn: Callable[[int], Any] | None,
    ) -> RunningEpoch[Any]:
        return PartsEpoch(
            self, plan, position, num_workers=num_workers, prefetch_factor=prefetch_factor,
            timeout=timeout, worker_init_fn=worker_init_fn,
        )  # fmt: skip

    def open_lanes(self, count: int) -> None:
        """See to it that there are so many sound lanes; every rank calls this."""
        broken = [i for i, lane in enumerate(self._lanes) if lane.is_broken]
        broken = sorted({i for of_rank in self._control.gather(broken) for i in of_rank})
        if broken:
            self._watch.forget()
        for i in broken:
            self._closed += self._lanes[i].traffic
            self._lanes[i].close()
            self._lanes[i] = self._new_lane()
        while len(self._lanes) < count:
            self._lanes.append(self._new_lane())

    def _new_lane(self) -> Lane:
        # A key and counts by type: of nodes asked for, or of columns of seeds or all nodes, cached
        # or not; or edges by relation.
        width = max(1 + 4 * len(self._numbers), len(self.schema.relations))
        return new_lane(self._rank, self._num_ranks, self._watch, self.timeout, width)

    def lane(self, number: int | None = None) -> Lane:
        """The lane of this thread, or that of a number."""
        return self._lanes[getattr(self._local, "lane", 0) if number is None else number]

    @contextmanager
    def in_lane(self, number: int) -> Iterator[None]:
        """Let this thread's exchanges go through the lane of this number."""
        self._local.lane = number
        try:
            yield
        finally:
            del self._local.lane

    def begin(self, stop: Callable[[], None], threads: list[threading.Thread]) -> None:
        """Start the threads of an epoch; ``stop()`` ends what they wait for."""
        self._begun.append(stop)
        self._threads += threads
        for thread in threads:
            thread.start()

    def settle(self) -> None:
        """End epochs under way, whose threads finish what other ranks count on; wait for them."""
        for stop in self._begun:
            stop()
        for thread in self._threads:
            thread.join()
        self._begun, self._threads = [], []

    # --- rows of other parts that are kept here ---

    def cache_rows(
        self,
        sampler: Any,
        seeds: Any,
        *,
        size: Any = None,
        rows: int | None = None,
        batch_size: int = 1024,
        by_part: bool = False,
    ) -> CacheReport:
        """Keep copies of the rows of other parts that batches are most likely to want.

        Every rank calls this. What was kept before is let go. Reads all edges once for each hop.

        Parameters
        ----------
        sampler : NeighborSampler
            What makes the batches: its fanouts and the columns that it prefetches count.
        seeds : Tensor or dict
            As the loader's ``indices``, the same on every rank.
        size : int or str, optional
            Memory for the rows on this rank, such as ``"2GiB"`` or a number of bytes.
        rows : int, optional
            Instead of ``size``: how many rows.
        batch_size : int
            Seeds a batch.
        by_part : bool
            Whether batches have seeds of the rank's own part, as the loader's ``seeds_by_part``.

        Raises
        ------
        ValueError, TypeError
            Both of ``size`` and ``rows``, or neither, or what is no size.
        """
        self.open_lanes(1)
        return self.caches.build(
            self, sampler, seeds, size=size, rows=rows, batch_size=batch_size, by_part=by_part
        )

    def give_up(self, error: BaseException) -> None:
        """Fail the exchanges of this thread's lane: other ranks wait for what will not come."""
        lane = self.lane()
        if not lane.is_broken:
            self._watch.report(error)
            lane.is_broken = True
        lane.close()

    def traffic(self) -> Traffic:
        """What this rank sent, and where its rows came from, since the graph was loaded."""
        return sum((lane.traffic for lane in self._lanes), self._closed)

    def close(self) -> None:
        """End what is under way and give back the process groups; every rank calls this."""
        self.settle()  # threads of loops that were left are still in their lanes
        for lane in [*self._lanes, self._control]:
            lane.close()
        self._watch.close()
        _open.discard(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PartitionedGraph belongs to its rank; it cannot be copied or pickled")

    def __repr__(self) -> str:
        return (
            f"PartitionedGraph(part {self._rank} of {self._num_ranks}:"
            f" {self.num_owned():,} of {self.num_nodes():,} nodes, {self.num_edges():,} edges in"
            " all)"
        )


def _as_limit(timeout: object) -> float:
    """Seconds that a rank may take to answer."""
    is_number = isinstance(timeout, numbers.Real) and not isinstance(timeout, bool)
    if not is_number or not 0 < float(timeout) < 1e8:  # type: ignore[arg-type]
        raise ValueError(f"timeout: expected seconds > 0, got {timeout!r}")
    return float(timeout)  # type: ignore[arg-type]


def _refuse(name: str) -> NoReturn:
    raise KeyError(
        f"column {name!r} did not come with the batch: name it in the sampler's prefetch_node_feats"
        " or prefetch_labels (without any all columns come)"
    )


_names = 0


def _next_name() -> str:
    """A name that no other graph of this process has."""
    global _names
    _names += 1
    return f"graph-{_names}"
