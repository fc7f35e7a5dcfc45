"""The loader: shuffles seeds, cuts them into batches and samples these ahead of the consumer."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any, NoReturn, cast

import torch

import hopflow.ops as ops
from hopflow.dataloading.adopted_graph import AdoptedGraph
from hopflow.dataloading.epoch import AnySampler, Epoch, Plan, RunningEpoch, list_of
from hopflow.dataloading.indices import Indices
from hopflow.dataloading.kept_rows import (
    KeptRows,
    busiest_column,
    keep_expected_rows,
    larger_cache,
)
from hopflow.dataloading.native import NativeEpoch, is_plain
from hopflow.dataloading.on_device import DeviceEpoch
from hopflow.dataloading.options import (
    as_device,
    as_timeout,
    pins_batches,
    refuse_device_options,
    refuse_for_parts,
    refuse_replacements,
    refuse_unknown,
    require_bool,
    require_context,
    require_generator,
    require_init_fn,
    require_int,
    require_pin_device,
    require_sampler,
)
from hopflow.dataloading.parts import GraphInParts
from hopflow.dataloading.read_history import ReadHistory
from hopflow.dataloading.report import LoaderReport, LoaderTimes
from hopflow.dataloading.samplers.neighbor_sampler import NeighborSampler
from hopflow.dataloading.samplers.sampler import Sampler
from hopflow.dataloading.state import checked_state
from hopflow.dataloading.turns import Turns, agreed, gathered, this_rank
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng

# Coordinates of the key that shuffles an epoch: no batch has this number.
_SHUFFLE = -1
# What a loader has for itself, made anew in a copy: epochs and their threads, what it keeps for its
# graph and what the loop was seen to read.
_NOT_COPIED = ("_adopted", "_pins_batches", "_reads", "_running", "_times")


class DataLoader:
    """Mini-batches of sampled blocks, in a fixed order whatever the number of workers.

    Iterating yields ``(input_nodes, output_nodes, blocks)``. Every ``for`` loop is an epoch with an
    order and samples of its own, both drawn from ``torch.manual_seed``'s generator: the ids of a
    batch depend on (seed, epoch, batch) alone, not on workers or threads.

    An epoch is one over the edges that the graph has when it begins, whatever is added to the graph
    or removed from it meanwhile; the next epoch finds the graph as it is then. Columns that are set
    on the graph are those of the batches from then on, until it is changed in place.

    A loader can be pickled and copied. The copy stands where the loader stands, with a generator of
    its own if there is one, and yields what the loader would yield from its next epoch on; epochs
    under way stay with the loader.

    Parameters
    ----------
    graph : Graph
        The graph.
    indices : Tensor, numpy array, sequence of int, boolean mask or dict
        The nodes to make batches of; with :func:`as_edge_prediction_sampler` the edges. Where there
        are several types ``{type: ids}``: a batch has ``batch_size`` of all types together, and
        its seeds and output nodes are dicts of the types that are among them.
    graph_sampler : Sampler
        Usually a :class:`NeighborSampler`. Any object with ``sample(graph, seeds)`` will do; what
        it returns is what the loader yields, moved to ``device``.
    device : str or torch.device, optional
        Where blocks go; the graph's device by default.
    use_ddp : bool
        Share the batches out among the ranks of torch.distributed, which all hold the same graph
        and give the same options; ``batch_size`` is a rank's. Of the batches that one process
        would yield rank ``r`` of ``P`` takes ``r``, ``r + P`` and so on, bit for bit. All ranks
        yield equally many: what fills up the last round repeats first batches, and its graphs say
        ``is_padding``. DDP's average over ranks of each rank's mean loss times
        ``blocks[-1].loss_weight`` is the mean over all ranks' seeds. The process group must be
        there when the loop begins, and every rank must begin it. Seeds of epochs are rank 0's.
    ddp_seed : int
        DGL's name for ``seed`` where ``use_ddp`` is true; 0 for none.
    use_prefetch_thread, use_alternate_streams, pin_prefetcher
        DGL's ways to overlap copies with training. On CUDA hopflow always does; there they are
        accepted and without effect.
    use_uva : bool
        The graph stays in host memory, which is page-locked in place for as long as the loader
        lives, and the GPU samples it and gathers its columns from there.
    gpu_cache : dict, optional
        ``{"node": {name: rows}}``: keep so many rows of a node column on the GPU, those of the
        nodes with the most out-edges. With ``use_uva``; :meth:`cache_hit_rates` tells what it
        brings.
    batch_size : int
        Seeds a batch.
    drop_last : bool
        Leave out a last batch that is not full; with ``use_ddp`` also full ones that would not go
        round all ranks.
    shuffle : bool
        Take the seeds in a new random order every epoch.
    num_workers : int
        Threads that prepare batches ahead of the consumer, one batch a thread; 0 prepares each
        batch in the calling thread, with all of OpenMP's threads. The threads of a built-in sampler
        are native and never hold Python's lock; they also gather the columns that the latest
        batches had read (docs/loader.md). Any other sampler, and one that draws by weight, runs in
        Python's threads.
    pin_memory : bool
        Page-lock the tensors of batches that stay on the CPU: ids, edges and node columns of
        blocks, all tensors and graphs of what other samplers return. Needs CUDA; without, there is
        a warning and no effect. Batches on CUDA are staged in page-locked memory anyhow.
    timeout : float
        Seconds to wait for a batch of the workers, 0 for any time. Where the GPU samples nobody
        waits for workers, and it is without effect.
    worker_init_fn : callable, optional
        ``worker_init_fn(number)`` is called once in each Python thread that prepares batches, in
        every epoch, before its first. Native threads run no Python and do not call it. Threads
        share the process: what it seeds is everybody's, and no sampler of hopflow's needs it.
    generator : torch.Generator, optional
        Where the seeds of epochs are drawn, one draw an epoch, instead of torch's own generator;
        on the CPU. Not together with ``seed``.
    prefetch_factor : int
        Batches prepared ahead, for each worker; 2 for None.
    persistent_workers, multiprocessing_context, pin_memory_device, in_order
        Accepted for torch's sake and without effect: workers are threads of this process that cost
        nothing to start, and batches always come in order.
    collate_fn, sampler, batch_sampler
        torch's, and None: the sampler returns the batch, and ``indices``, ``shuffle`` and
        ``batch_size`` say what goes into it.
    seeds_by_part : bool
        For a graph in parts: a batch has seeds of one part, that of the rank that makes it, as far
        as parts have full batches; so most of its rows are at hand. The batches are still those of
        one process with the same option, which depend on the partitioning.
    seed : int, optional
        Makes the loader independent of ``torch.manual_seed``: epoch ``e`` of two loaders with one
        seed is the same.

    Raises
    ------
    IndexError, TypeError, ValueError
        Bad arguments, when the loader is made. What a sampler raises surfaces in the consumer.
    RuntimeError
        In the loop: a batch took longer than ``timeout``.
    HopflowError, ValueError
        In the loop, with ``use_ddp``: no process group, or ranks with other seeds or options.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.DataLoader.html
    """

    def __init__(
        self,
        graph: Graph,
        indices: Any,
        graph_sampler: AnySampler,
        device: str | torch.device | None = None,
        use_ddp: bool = False,
        ddp_seed: int = 0,
        batch_size: int = 1,
        drop_last: bool = False,
        shuffle: bool = False,
        use_prefetch_thread: bool | None = None,
        use_alternate_streams: bool | None = None,
        pin_prefetcher: bool | None = None,
        use_uva: bool = False,
        gpu_cache: dict[str, Any] | None = None,
        *,
        sampler: None = None,
        batch_sampler: None = None,
        num_workers: int = 0,
        collate_fn: None = None,
        pin_memory: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: torch.Generator | None = None,
        prefetch_factor: int | None = 2,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
        seeds_by_part: bool = False,
        **unknown: NoReturn,
    ) -> None:
        if unknown:
            refuse_unknown(unknown, inspect.signature(DataLoader).parameters)
        if not isinstance(graph, (Graph, GraphInParts)) or graph.is_block:
            raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
        require_sampler(graph_sampler, Sampler)
        self.device = as_device(graph, device)
        on_device = ops.on_cuda(graph.some_array()) or self.device.type == "cuda"
        if not on_device:
            refuse_device_options(
                use_prefetch_thread=use_prefetch_thread,
                use_alternate_streams=use_alternate_streams,
                pin_prefetcher=pin_prefetcher,
                use_uva=use_uva,
                gpu_cache=gpu_cache,
            )
        use_uva = use_uva is not None and require_bool("use_uva", use_uva)
        if use_uva and graph.device.type != "cpu":
            raise ValueError(f"use_uva: expected a graph on the CPU, got one on {graph.device}")
        if isinstance(graph, GraphInParts):
            refuse_for_parts(graph, graph_sampler, use_ddp, use_uva)
        for name, value in (("use_uva", use_uva), ("gpu_cache", gpu_cache)):
            if value and not graph.is_homogeneous:
                raise ValueError(
                    f"{name}: expected none for a graph of several types, which the GPU does not"
                    f" sample from host memory yet, got {value!r}"
                )
        self._samples_on_device = use_uva or ops.on_cuda(graph.some_array())
        if gpu_cache and not self._samples_on_device:
            raise ValueError("gpu_cache: expected use_uva=True, so that the GPU gathers the rows")
        self.graph = graph
        self.graph_sampler = graph_sampler
        # A copy: what becomes of the caller's tensor must not change the batches.
        self.indices = indices
        self.batch_size = require_int("batch_size", batch_size, 1)
        self.num_workers = require_int("num_workers", num_workers, 0, 4096)
        factor = 2 if prefetch_factor is None else prefetch_factor
        self.prefetch_factor = require_int("prefetch_factor", factor, 1)
        self.drop_last = require_bool("drop_last", drop_last)
        self.shuffle = shuffle is not None and require_bool("shuffle", shuffle)
        self.use_ddp = use_ddp is not None and require_bool("use_ddp", use_ddp)
        ddp_seed = require_int("ddp_seed", ddp_seed, 0, 2**64 - 1)
        if self.use_ddp and ddp_seed and seed is None and generator is None:
            seed = ddp_seed
        self._fixed_seed = None if seed is None else require_int("seed", seed, 0, 2**64 - 1)
        refuse_replacements(collate_fn=collate_fn, sampler=sampler, batch_sampler=batch_sampler)
        self.collate_fn = self.sampler = self.batch_sampler = None
        self.pin_memory = require_bool("pin_memory", pin_memory)
        self.seeds_by_part = require_bool("seeds_by_part", seeds_by_part)
        if self.seeds_by_part and not isinstance(graph, GraphInParts):
            raise ValueError("seeds_by_part: expected False for a graph that is not in parts")
        self.pin_memory_device = require_pin_device(pin_memory_device)
        self.timeout = as_timeout(timeout, self.num_workers)
        self.worker_init_fn = require_init_fn(worker_init_fn)
        self.multiprocessing_context = require_context(multiprocessing_context)
        self.generator = require_generator(generator)
        if generator is not None and seed is not None:
            raise ValueError("generator, seed: expected one of them at most, got both")
        self.persistent_workers = require_bool("persistent_workers", persistent_workers)
        self.in_order = require_bool("in_order", in_order)
        self._num_epochs = 0
        # Where the latest epoch stands, or where the next one is to start.
        self._position: dict[str, int] | None = None
        self._end = 0  # batches of that epoch
        self._resume = False
        self._use_uva, self._gpu_cache = use_uva, gpu_cache or {}
        self._begin()

    def _begin(self) -> None:
        """Make what a loader has for itself (``_NOT_COPIED``)."""
        # Weak: when the consumer leaves a loop, its threads end with the iterator.
        self._running: weakref.WeakSet[RunningEpoch[Any]] = weakref.WeakSet()
        self._times = LoaderTimes()
        self._reads = ReadHistory()
        self._pins_batches = pins_batches(self.pin_memory, self.device)
        self._adopt()

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in _NOT_COPIED}
        # An epoch under way counts its batches in the loader's own.
        state["_position"] = None if self._position is None else dict(self._position)
        # torch could not pickle generators before 2.6.
        state["generator"] = None if self.generator is None else self.generator.get_state()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if state["generator"] is not None:
            self.generator = torch.Generator()
            self.generator.set_state(state["generator"])
        self._begin()

    @property
    def indices(self) -> Any:
        """What batches are made of: ids, or a dict of ids by type."""
        return self._indices.given()

    @indices.setter
    def indices(self, value: Any) -> None:
        kind = getattr(self.graph_sampler, "index_kind", None)
        self._indices = Indices.of(self.graph, value, kind)

    @property
    def dataset(self) -> Any:
        """:attr:`indices`, by torch's name."""
        return self.indices

    def _adopt(self) -> None:
        """Prepare for batches of the graph; another one may be put in the old one's place."""
        self._adopted = AdoptedGraph(
            self.graph, self.device, use_uva=self._use_uva, gpu_cache=self._gpu_cache
        )

    def __len__(self) -> int:
        """Batches an epoch; with ``use_ddp`` those of one rank."""
        return len(self._turns())

    def _turns(self, first: int = 0) -> Turns:
        """The batches that are left of an epoch, and which of them are this process's."""
        full, rest = divmod(len(self._indices), self.batch_size)
        rank, num_ranks = this_rank() if self.use_ddp else (0, 1)
        if self.drop_last:
            # Those left that go round all ranks; a resumed epoch may have begun with other ranks.
            left = max(full - first, 0)
            return Turns(first, first + left - left % num_ranks, rank, num_ranks)
        return Turns(first, full + (rest > 0), rank, num_ranks)

    def __iter__(self) -> Iterator[Any]:
        """Start an epoch. Several may be under way; ``state_dict`` tells of the latest."""
        if not self._resume or self._position is None:
            self._position = self._next_epoch()
        if self.use_ddp:
            this_rank()
            gather = self.graph.gather if isinstance(self.graph, GraphInParts) else gathered
            ours, leads = self._shared_by_ranks(), dict(self._position)
            self._position = agreed("use_ddp", ours, leads, gather)
        self._resume = False
        turns = self._turns(self._position["batch"])
        self._end = turns.num_batches
        if not self._adopted.is_still(self.graph):
            self.indices = self.indices  # they are numbered by the graph's sizes
            self._adopt()
        # Its edges are replaced, where it is changed in place: the epoch keeps those of now.
        graph = self.graph.alias() if isinstance(self.graph, Graph) else self.graph
        self._reads.begin_epoch()
        epoch: RunningEpoch[Any]
        order = None
        if self.shuffle:
            key = ops.stream_key(self._position["seed"], self._position["epoch"], _SHUFFLE, 0)
            generator = torch.Generator().manual_seed(key % 2**63)
            order = torch.randperm(len(self._indices), generator=generator, device="cpu")
        if self.seeds_by_part and isinstance(self.graph, GraphInParts):
            order = torch.arange(len(self._indices)) if order is None else order
            order = self.graph.by_part(self._indices.ids, order, self.batch_size)
        plan = Plan(
            graph=graph,
            sampler=self.graph_sampler,
            device=self.device,
            indices=self._indices,
            order=order,
            batch_size=min(self.batch_size, max(1, len(self._indices))),
            seed=self._position["seed"],
            epoch=self._position["epoch"],
            turns=turns,
            pin_memory=self._pins_batches,
        )
        self._times = plan.times
        if isinstance(self.graph, GraphInParts):
            epoch = self.graph.epoch(
                plan, self._position, num_workers=self.num_workers,
                prefetch_factor=self.prefetch_factor, timeout=self.timeout,
                worker_init_fn=self.worker_init_fn,
            )  # fmt: skip
            self._running.add(epoch)
            return epoch
        edges = None
        if is_plain(plan):
            sampler = cast(NeighborSampler, self.graph_sampler)
            edges = self._adopted.edges_for(sampler, graph)
        # The kernel that samples all hops on a GPU knows one relation; others go one by one.
        if edges is not None and (edges.is_one_type or not self._samples_on_device):
            if self._samples_on_device:
                epoch = DeviceEpoch(
                    plan, self._position, edges, reads=self._reads, caches=self._adopted.caches
                )
            else:
                epoch = NativeEpoch(
                    plan, self._position, edges, num_workers=self.num_workers,
                    prefetch_factor=self.prefetch_factor, timeout=self.timeout,
                    reads=self._reads, cache=self._adopted.scratch,
                )  # fmt: skip
        else:
            epoch = Epoch(
                plan, self._position, num_workers=self.num_workers,
                prefetch_factor=self.prefetch_factor, timeout=self.timeout,
                worker_init_fn=self.worker_init_fn,
            )  # fmt: skip
        self._running.add(epoch)
        return epoch

    def _next_epoch(self) -> dict[str, int]:
        if self._fixed_seed is None:
            # A fresh seed each epoch, as torch's own loader draws one: seeding torch again before a
            # loop repeats that loop.
            return {"seed": rng.draw_seed(self.generator), "epoch": 0, "batch": 0}
        self._num_epochs += 1
        return {"seed": self._fixed_seed, "epoch": self._num_epochs - 1, "batch": 0}

    def _shared_by_ranks(self) -> dict[str, Any]:
        """What must be the same on every rank for their batches to be those of one process."""
        position, sampler = self._position, self.graph_sampler
        assert position is not None
        return {
            **self._identity(),
            "num_nodes": self.graph.num_nodes(),
            "num_edges": self.graph.num_edges(),
            "graph_sampler": repr(sampler) if type(sampler) is NeighborSampler else "",
            "seed": self._fixed_seed,
            "epoch": position["epoch"],
            "batch": position["batch"],
            "resumed": self._resume,
            **self._threads_of_ranks(),
        }

    def _threads_of_ranks(self) -> dict[str, int]:
        """Threads that exchange with those of other ranks, and how far ahead."""
        if not isinstance(self.graph, GraphInParts):
            return {}
        return {"num_workers": self.num_workers, "prefetch_factor": self.prefetch_factor}

    def close(self) -> None:
        """Stop every epoch under way and its workers; the loader can be iterated again."""
        for epoch in list_of(self._running):
            epoch.close()

    def _rewind(self) -> None:
        """Begin with a whole epoch, where :meth:`load_state_dict` has left off in one."""
        self._resume, self._position = False, None

    def report(self) -> LoaderReport:
        """Where the time of the latest epoch went: waiting, sampling, gathering, reading, copying;
        ``print`` shows it by batch, with a sentence of advice."""
        report = self._times.report(self.num_workers)
        misses = report.misses_for_half
        if misses is None or isinstance(self.graph, GraphInParts):
            return report
        found = busiest_column(self.graph)
        if found is None:
            return report
        key, column = found
        larger = larger_cache(
            self.graph, key, column, self._indices, self.graph_sampler, self.batch_size, misses
        )
        return replace(report, cache_is_filling=column.is_filling, larger_cache=larger)

    def cache_hit_rates(self) -> dict[str, float]:
        """Of each column in ``gpu_cache``, the share of rows read that were found there."""
        return self._adopted.caches.hit_rates()

    def keep_expected_rows(self, *, fill: bool = True) -> dict[tuple[str, str], KeptRows]:
        """Fill the caches of columns on disk with the rows that this loader's batches are most
        likely to want, which they keep from then on; see
        :func:`~hopflow.dataloading.keep_expected_rows`."""
        if isinstance(self.graph, GraphInParts):
            raise TypeError("graph: expected a graph in one piece; one in parts has cache_rows()")
        return keep_expected_rows(
            self.graph, self._indices.given(), cast(NeighborSampler, self.graph_sampler),
            batch_size=self.batch_size, fill=fill,
        )  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """Where the loader stands, for :meth:`load_state_dict`.

        Returns
        -------
        dict
            ``seed`` and ``epoch`` fix the order and samples of the epoch; ``batch`` is the number
            of batches yielded, by all ranks with ``use_ddp``: the state is the same on each, and a
            loader with another number of ranks may take it up. Between epochs ``seed`` is -1. A
            loader with a ``generator`` adds the state of that. One with neither this nor a ``seed``
            of its own draws the following epochs from torch's generator, whose state is the
            caller's to save.
        """
        position = self._position
        if position is None or position["batch"] >= self._end:
            position = {"seed": -1, "epoch": self._num_epochs, "batch": 0}
        state: dict[str, Any] = {**position, **self._identity()}
        if self.generator is not None:
            state["generator"] = self.generator.get_state()
        return state

    def _identity(self) -> dict[str, int]:
        """What a state must share with the loader that takes it up."""
        return {
            "num_seeds": len(self._indices),
            "fingerprint": self._indices.fingerprint,
            "batch_size": self.batch_size,
            "shuffle": int(self.shuffle),
            "drop_last": int(self.drop_last),
            **self._order_by_part(),
        }

    def _order_by_part(self) -> dict[str, int]:
        """Which partitioning the order of seeds depends on, if it does."""
        if not self.seeds_by_part:
            return {}
        assert isinstance(self.graph, GraphInParts)
        return {"seeds_by_part": self.graph.partition_number}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Make the next epoch go on where ``state`` was taken.

        Raises
        ------
        ValueError
            The state is of a loader with other seeds or options, or incomplete.
        TypeError
            A value in it is no int, or the generator's state no tensor.
        """
        if state.get("seeds_by_part", 0) != self._order_by_part().get("seeds_by_part", 0):
            raise ValueError("state: it is of seeds by another partitioning, or by none")
        full, rest = divmod(len(self._indices), self.batch_size)
        most = full + (rest > 0 and not self.drop_last)
        state = checked_state(state, self._identity(), most, self.generator)
        self._end = most
        self.close()
        is_midway = state["seed"] >= 0
        # Epochs are counted for a loader with a seed of its own alone.
        if self._fixed_seed is not None:
            self._num_epochs = state["epoch"] + is_midway
        self._resume = is_midway
        self._position = {key: state[key] for key in ("seed", "epoch", "batch")}
        if not is_midway:
            self._position = None

    def __repr__(self) -> str:
        return (
            f"DataLoader({len(self._indices)} seeds, batch_size={self.batch_size},"
            f" {len(self)} batches, {self.graph_sampler!r}, num_workers={self.num_workers})"
        )
