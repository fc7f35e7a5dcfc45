"""What samplers and the loader need of a graph that no process holds as a whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.block import Parent
from hopflow.sampling.edge_pools import EdgePools
from hopflow.structure.frame import Take
from hopflow.structure.types import Schema

if TYPE_CHECKING:
    from hopflow.dataloading.epoch import Plan, RunningEpoch


class GraphInParts(ABC):
    """A graph of which this process holds a part: :class:`hopflow.distributed.PartitionedGraph`.

    Ids are those of the whole graph. Samplers ask the other parts, so every rank must call them,
    in the same order.

    Attributes
    ----------
    schema : Schema
        The types of the whole graph.
    idtype : torch.dtype
        Of the ids handed out.
    device : torch.device
        Where the part is: the CPU.
    """

    is_block = False
    schema: Schema
    idtype: torch.dtype
    device: torch.device

    @property
    def is_homogeneous(self) -> bool:
        """Whether there is one type of nodes and one of edges."""
        return len(self.schema.ntypes) == 1 and len(self.schema.relations) == 1

    @abstractmethod
    def num_nodes(self, ntype: Any = None) -> int:
        """Nodes of a type, or of all, in the whole graph."""

    @abstractmethod
    def num_edges(self, etype: Any = None) -> int:
        """Edges of a type, or of all, in the whole graph."""

    @abstractmethod
    def some_array(self) -> Tensor:
        """One of the part's arrays."""

    @abstractmethod
    def edge_pools(self, edge_dir: str, prob: Any, mask: Any) -> EdgePools:
        """The edges that a sampler may draw, wherever they are."""

    @abstractmethod
    def parent(self, edge_dir: str) -> Parent:
        """The columns that blocks have, which come with the batch."""

    @abstractmethod
    def bring(self, sampler: Any, sampled: ops.SampledTypedBlocks) -> Callable[[int, str], Take]:
        """Get the columns of a batch from their owners; what its blocks read them with."""

    @property
    @abstractmethod
    def partition_number(self) -> int:
        """A number that another partitioning of the graph hardly has."""

    @abstractmethod
    def gather(self, value: Any) -> list[Any]:
        """A value of every rank's; all ranks call this."""

    @abstractmethod
    def ranks(self) -> tuple[int, int]:
        """The number of this process, and how many hold parts."""

    @abstractmethod
    def by_part(self, seeds: Tensor, order: Tensor, batch_size: int) -> Tensor:
        """The epoch's order of seeds, changed so that a batch has seeds of one part.

        Parameters
        ----------
        seeds : Tensor
            As :attr:`Indices.ids`, shape [S].
        order : Tensor
            A permutation of them, int64, shape [S].
        batch_size : int
            Seeds a batch.
        """

    @abstractmethod
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
        """The iterator of an epoch; the arguments are those of the loader's other epochs."""
