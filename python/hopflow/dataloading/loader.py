"""The loader: shuffles seeds, cuts them into batches and samples these ahead of the consumer."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from hopflow import ops, rng
from hopflow.block import Block
from hopflow.dataloading.sampler import MiniBatch
from hopflow.graph import Graph
from hopflow.ids import as_int, as_node_ids

# Coordinates of the key that shuffles an epoch: no batch has this number.
_SHUFFLE = -1


class Sampler(Protocol):
    """What the loader needs of a sampler."""

    def sample(self, g: Graph, seed_nodes: Tensor) -> MiniBatch:
        """Sample one mini-batch."""


def _require_int(name: str, value: object, least: int) -> int:
    number = as_int(name, value)
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}")
    return number


class DataLoader:
    """Mini-batches of sampled blocks, in a fixed order whatever the number of workers.

    Iterating yields ``(input_nodes, output_nodes, blocks)``. Every ``for`` loop is an epoch with an
    order and samples of its own, both drawn from ``torch.manual_seed``'s generator: the ids of a
    batch depend on (seed, epoch, batch) alone, not on workers or threads.

    Parameters
    ----------
    graph : Graph
        The graph.
    indices : Tensor, numpy array, sequence of int or boolean mask
        The nodes to make batches of.
    graph_sampler : BlockSampler
        Usually a :class:`NeighborSampler`. Any object with ``sample(graph, seeds)`` will do.
    device : str or torch.device, optional
        Where blocks go; the graph's device by default.
    use_ddp, ddp_seed, use_prefetch_thread, use_alternate_streams, pin_prefetcher, use_uva, \
    gpu_cache
        DGL's options for CUDA and for distributed training. None, False and 0 are accepted;
        anything else is refused, because it is not supported yet.
    batch_size : int
        Seeds a batch.
    drop_last : bool
        Leave out a last batch that is not full.
    shuffle : bool
        Take the seeds in a new random order every epoch.
    num_workers : int
        Threads that prepare batches ahead of the consumer, one batch a thread; 0 prepares each
        batch in the calling thread, with all of OpenMP's threads.
    prefetch_factor : int
        Batches prepared ahead, for each worker.
    seed : int, optional
        Makes the loader independent of ``torch.manual_seed``: epoch ``e`` of two loaders with one
        seed is the same.

    Raises
    ------
    IndexError, TypeError, ValueError
        Bad arguments, when the loader is made. What a sampler raises surfaces in the consumer.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.DataLoader.html
    """

    def __init__(
        self,
        graph: Graph,
        indices: Any,
        graph_sampler: Sampler,
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
        num_workers: int = 0,
        prefetch_factor: int = 2,
        seed: int | None = None,
    ) -> None:
        if not isinstance(graph, Graph) or graph.is_block:
            raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
        if not callable(getattr(graph_sampler, "sample", None)):
            raise TypeError(
                "graph_sampler: expected an object with sample(graph, seeds), got"
                f" {type(graph_sampler).__name__}"
            )
        unsupported = {
            "use_ddp": use_ddp,
            "use_prefetch_thread": use_prefetch_thread,
            "use_alternate_streams": use_alternate_streams,
            "pin_prefetcher": pin_prefetcher,
            "use_uva": use_uva,
            "gpu_cache": gpu_cache,
        }
        for name, value in unsupported.items():
            if value:
                raise ValueError(
                    f"{name}: expected None or False, got {value!r}; not supported yet"
                )
        self.graph = graph
        self.indices = as_node_ids("indices", indices, graph.num_nodes(), dtype=graph.idtype)
        self.graph_sampler = graph_sampler
        self.device = graph.device if device is None else torch.device(device)
        self.batch_size = _require_int("batch_size", batch_size, 1)
        self.num_workers = _require_int("num_workers", num_workers, 0)
        self.prefetch_factor = _require_int("prefetch_factor", prefetch_factor, 1)
        self.drop_last, self.shuffle = bool(drop_last), bool(shuffle)
        self._fixed_seed = None if seed is None else _require_int("seed", seed, 0)
        self._num_epochs = 0
        # Where the epoch under way stands, or where the next one is to start.
        self._position: dict[str, int] | None = None
        self._resume = False
        # Weak: when the consumer leaves the loop, its threads end with the iterator.
        self._running: weakref.ref[_Epoch] | None = None

    def __len__(self) -> int:
        """Batches an epoch."""
        full, rest = divmod(self.indices.shape[0], self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[MiniBatch]:
        """Start an epoch. An epoch still under way is closed."""
        self.close()
        if not self._resume or self._position is None:
            self._position = self._next_epoch()
        self._resume = False
        epoch = _Epoch(self, self._position)
        self._running = weakref.ref(epoch)
        return epoch

    def _next_epoch(self) -> dict[str, int]:
        if self._fixed_seed is None:
            # A fresh seed each epoch, as torch's own loader draws one: seeding torch again before a
            # loop repeats that loop.
            return {"seed": rng.draw_seed(), "epoch": 0, "batch": 0}
        self._num_epochs += 1
        return {"seed": self._fixed_seed, "epoch": self._num_epochs - 1, "batch": 0}

    def close(self) -> None:
        """Stop the epoch under way and its workers; the loader can be iterated again."""
        epoch = None if self._running is None else self._running()
        if epoch is not None:
            epoch.close()
        self._running = None

    def state_dict(self) -> dict[str, int]:
        """Where the loader stands, for :meth:`load_state_dict`.

        Returns
        -------
        dict
            ``seed`` and ``epoch`` fix the order and samples of the epoch; ``batch`` is the number
            of batches yielded. Between epochs ``seed`` is -1. Without a ``seed`` of its
            own a loader draws the following epochs from torch's generator, whose state is the
            caller's to save.
        """
        position = self._position
        if position is None or position["batch"] >= len(self):
            position = {"seed": -1, "epoch": self._num_epochs, "batch": 0}
        return {**position, "num_seeds": self.indices.shape[0], "batch_size": self.batch_size}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Make the next epoch go on where ``state`` was taken.

        Raises
        ------
        ValueError
            The state is of a loader with other seeds or another batch size, or incomplete.
        """
        missing = {"seed", "epoch", "batch", "num_seeds", "batch_size"} - set(state)
        if missing:
            raise ValueError(f"state: no {', '.join(sorted(missing))}")
        ours = {"num_seeds": self.indices.shape[0], "batch_size": self.batch_size}
        for name, value in ours.items():
            if state[name] != value:
                raise ValueError(f"state: {name} is {state[name]}, this loader's is {value}")
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
            f"DataLoader({self.indices.shape[0]} seeds, batch_size={self.batch_size},"
            f" {len(self)} batches, {self.graph_sampler!r}, num_workers={self.num_workers})"
        )


@dataclass(frozen=True)
class _Plan:
    """All that fixes the batches of an epoch; worker threads hold this and nothing else."""

    graph: Graph
    sampler: Sampler
    device: torch.device
    indices: Tensor  # seeds, in the loader's order
    order: Tensor | None  # the epoch's permutation of them; None: as they come
    batch_size: int
    seed: int
    epoch: int

    def prepare(self, batch: int) -> MiniBatch:
        """Make one batch: a function of the plan and the batch's number."""
        rows = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
        seeds = self.indices[rows if self.order is None else self.order[rows]]
        with rng.batch_stream(self.seed, self.epoch, batch):
            input_nodes, output_nodes, blocks = self.sampler.sample(self.graph, seeds)
        if self.device == self.graph.device:
            return input_nodes, output_nodes, blocks
        moved = [cast(Block, block.to(self.device)) for block in blocks]
        return input_nodes.to(self.device), output_nodes.to(self.device), moved


class _Epoch(Iterator[MiniBatch]):
    """One pass over the seeds: yields batches in order, prepared here or by worker threads."""

    def __init__(self, loader: DataLoader, position: dict[str, int]) -> None:
        seed, epoch = position["seed"], position["epoch"]
        order = None
        if loader.shuffle:
            key = ops.stream_key(seed, epoch, _SHUFFLE, 0)
            generator = torch.Generator().manual_seed(key % 2**63)
            order = torch.randperm(loader.indices.shape[0], generator=generator)
        self._plan = _Plan(
            loader.graph, loader.graph_sampler, loader.device, loader.indices, order,
            loader.batch_size, seed, epoch,
        )  # fmt: skip
        self._position = position  # shared with the loader; "batch" counts what was yielded
        self._num_batches = len(loader)
        self._submitted = position["batch"]
        self._ahead = loader.num_workers * loader.prefetch_factor
        self._pending: deque[Future[MiniBatch]] = deque()
        self._is_closed = False
        self._pool: ThreadPoolExecutor | None = None
        if loader.num_workers > 0 and self._submitted < self._num_batches:
            self._pool = ThreadPoolExecutor(
                loader.num_workers,
                thread_name_prefix="hopflow-worker",
                # One batch a thread: the threads are the parallelism.
                initializer=ops.set_num_threads,
                initargs=(1,),
            )

    def __next__(self) -> MiniBatch:
        if self._is_closed or self._position["batch"] >= self._num_batches:
            self.close()
            raise StopIteration
        try:
            if self._pool is None:
                batch = self._plan.prepare(self._position["batch"])
            else:
                self._submit(self._pool)
                batch = self._pending.popleft().result()
        except BaseException:
            self.close()
            raise
        self._position["batch"] += 1
        if self._pool is not None:
            self._submit(self._pool)
        return batch

    def _submit(self, pool: ThreadPoolExecutor) -> None:
        while len(self._pending) < self._ahead and self._submitted < self._num_batches:
            self._pending.append(pool.submit(self._plan.prepare, self._submitted))
            self._submitted += 1

    def close(self) -> None:
        """Cancel what is not started, wait for what is, end the threads."""
        self._is_closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        self._pending.clear()

    def __del__(self) -> None:
        # The consumer left the loop early and let go of the iterator.
        if hasattr(self, "_pool"):
            self.close()
