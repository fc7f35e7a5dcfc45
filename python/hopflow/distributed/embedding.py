"""Rows that are learned for nodes, each kept and trained by the rank that owns the node."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.distributed.columns import fetch_in_chunks, fetch_rows
from hopflow.distributed.graph import PartitionedGraph
from hopflow.distributed.lane import tag_of

_CHUNK = 1 << 16  # nodes whose first rows are drawn at a time


class NodeEmbedding(nn.Module):
    """A learned row for each node of a type of a graph in parts.

    :attr:`weight` holds the rows of the nodes that this rank owns. Give it to an optimiser of
    torch's that takes sparse gradients; every rank steps on its own rows and keeps their state::

        rows = hopflow.distributed.NodeEmbedding(graph, 64)
        optimizer = torch.optim.SparseAdam(rows.parameters(), lr=0.01)
        ...
        x = rows(blocks[0].srcdata[hopflow.NID])   # every rank, also with no node
        (loss * blocks[-1].loss_weight).backward()
        rows.collect()                             # gradients to the owners
        optimizer.step()
        optimizer.zero_grad()

    As with DistributedDataParallel a gradient is the mean over ranks. It does not go into the
    wrapped model: its rows differ from rank to rank.

    Parameters
    ----------
    graph : PartitionedGraph
        The graph.
    dim : int
        Width of a row.
    ntype : str, optional
        Whose nodes, where there are several types.
    init : callable, optional
        ``init(rows)`` fills a tensor [.., dim] in place; uniform in ±1/sqrt(dim) by default. It
        draws from a generator that is seeded with ``seed`` for every 65,536 nodes, so that rows do
        not depend on the partitioning.
    seed : int
        Of the first rows.

    References
    ----------
    https://www.dgl.ai/dgl_docs/api/python/dgl.distributed.html#distributed-embedding
    """

    def __init__(
        self,
        graph: PartitionedGraph,
        dim: int,
        ntype: Any = None,
        *,
        init: Callable[[Tensor], Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._graph, self.dim = graph, ops.as_int("dim", dim)
        if self.dim < 1:
            raise ValueError(f"dim: expected at least 1, got {dim}")
        self._type = graph.number_of_type(ntype)
        bound = 1 / math.sqrt(self.dim)
        fill = init or (lambda rows: rows.uniform_(-bound, bound))
        ids = graph.part.ids[self._type].long()
        weight = torch.empty(ids.shape[0], self.dim)
        with torch.random.fork_rng([]), torch.no_grad():
            for begin in range(0, graph.part.num_nodes(self._type), _CHUNK):
                first, last = torch.searchsorted(
                    ids, torch.tensor([begin, begin + _CHUNK])
                ).tolist()
                if first == last:
                    continue
                # The CPU's generator alone: torch.manual_seed would seed GPUs as well.
                number = (ops.as_wide_int("seed", seed) * 0x9E3779B1 + begin // _CHUNK) % 2**63
                torch.random.default_generator.manual_seed(number)  # type: ignore[attr-defined]
                rows = torch.empty(_CHUNK, self.dim)
                fill(rows)
                weight[first:last] = rows[ids[first:last] - begin]
        self.weight = nn.Parameter(weight)
        # Rows handed out since the last collect(), whose gradients are wanted.
        self._out: list[tuple[Tensor, Tensor]] = []

    def forward(self, ids: Tensor) -> Tensor:
        """Rows of some nodes, [S, dim]; every rank calls this, in step with the others.

        Parameters
        ----------
        ids : Tensor
            Nodes of the whole graph, shape [S]; may be none.
        """
        graph = self._graph
        column = {"weight": self.weight.detach()}
        rows = fetch_rows(graph, graph.lane(), ids.cpu(), self._type, column)["weight"]
        if torch.is_grad_enabled() and self.weight.requires_grad and self.training:
            rows.requires_grad_()
            self._out.append((ids.cpu(), rows))
        return rows

    def rows_of(self, ids: Tensor) -> Tensor:
        """Rows of many nodes, without gradients and in bounded buffers; every rank calls this."""
        graph = self._graph
        column = {"weight": self.weight.detach()}
        return fetch_in_chunks(graph, graph.lane(), ids.cpu(), self._type, column)["weight"]

    def collect(self) -> None:
        """Bring gradients to the ranks that own the rows: the mean over ranks, sparse.

        Every rank calls this after its backward pass. Rows of a batch whose gradient is zero
        throughout (padding, with a ``loss_weight`` of 0) count as not used.
        """
        graph, lane = self._graph, self._graph.lane()
        part, type_ = graph.part, self._type
        used = [(ids, x.grad) for ids, x in self._out if x.grad is not None and bool(x.grad.any())]
        self._out = []
        dtype, width = self.weight.dtype, self.dim
        ids = torch.cat(
            [torch.empty(0, dtype=graph.idtype), *(i.to(graph.idtype) for i, _ in used)]
        )
        grads = torch.cat([torch.empty(0, width, dtype=dtype), *(grad for _, grad in used)])
        split = ops.split_by_owner(ids, part.place[type_], part.starts[type_])
        by_owner = torch.empty_like(grads)
        by_owner[split.slots.long()] = grads
        counts = split.offsets.diff()
        asked = lane.header(tag_of("gradients", type_, width), counts[:, None])[:, 0].tolist()
        sent = counts.tolist()
        waits = [
            lane.exchange(x, sent, asked, kind)
            for x, kind in ((split.rows, "ids"), (by_owner, "rows"))
        ]
        rows, values = (wait.wait() for wait in waits)
        grad = torch.sparse_coo_tensor(
            rows.long()[None], values / lane.num_ranks, self.weight.shape, check_invariants=False
        )
        self.weight.grad = grad if self.weight.grad is None else self.weight.grad + grad

    def extra_repr(self) -> str:
        total = self._graph.part.num_nodes(self._type)
        return f"{self.weight.shape[0]} of {total} rows, dim={self.dim}"
