"""Rows that are learned for the nodes of a graph, trained a few at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.ops import HopflowError
from hopflow.structure.ids import as_ids


class NodeEmbedding:
    """A learned row for each node, of which a batch reads a few.

    No gradient of the size of the table is ever made: each call hands out rows as a leaf of their
    own, and an optimiser of :mod:`hopflow.optim` brings their gradients to the table::

        rows = hopflow.nn.NodeEmbedding(graph.num_nodes(), 64, "node", init)
        optimizer = hopflow.optim.SparseAdam([rows], lr=0.01)
        for input_nodes, output_nodes, blocks in loader:
            loss = ...model(blocks, rows(input_nodes))...
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    The table is one process's, on one device. Rows of a graph in parts, shared by several
    processes, are :class:`hopflow.distributed.NodeEmbedding`.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        Number of rows and their width.
    name : str
        What the table is called in an optimiser's ``state_dict``.
    init_func : callable, optional
        Given the table, a tensor of zeros, float32, it returns what to begin with, which may be
        the same tensor, filled; values of another tensor are copied. Zeros by default.
    device : device, optional
        Where the table is; in memory by default. Rows are handed out on any device.
    partition : None
        DGL shares a table out to several GPUs with it; refused here.

    Raises
    ------
    HopflowError
        In a process of several, where DGL would share the table.
    TypeError, ValueError
        Sizes, or a result of ``init_func``, that are not a table.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.nn.pytorch.sparse_emb.NodeEmbedding.html
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        name: str,
        init_func: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | str | None = None,
        partition: None = None,
    ) -> None:
        self._num_embeddings = ops.as_int("num_embeddings", num_embeddings)
        self._embedding_dim = ops.as_int("embedding_dim", embedding_dim)
        if self._num_embeddings < 0 or self._embedding_dim < 1:
            raise ValueError(
                "num_embeddings, embedding_dim: expected at least 0 rows of at least 1 number, got"
                f" {num_embeddings} and {embedding_dim}"
            )
        if partition is not None:
            raise ValueError("partition: expected None; a table is on one device")
        distributed = torch.distributed
        in_group = distributed.is_available() and distributed.is_initialized()
        if in_group and distributed.get_world_size() > 1:
            raise HopflowError(
                f"NodeEmbedding: expected one process, got one of {distributed.get_world_size()},"
                " each of which would train a table of its own; see"
                " hopflow.distributed.NodeEmbedding"
            )
        self._name = name
        shape = (self._num_embeddings, self._embedding_dim)
        # A table outlives the mode that it is made in: it is trained later.
        with torch.inference_mode(False), torch.no_grad():
            table = torch.zeros(shape, dtype=torch.float32, device=device or "cpu")
            made = table if init_func is None else init_func(table)
            if not isinstance(made, Tensor) or made.shape != shape:
                got = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
                raise ValueError(f"init_func: expected a table of shape {list(shape)}, got {got}")
            if made is not table:
                table.copy_(made)
        self._table = table
        self._optm_state: tuple[Tensor, ...] | None = None
        self._trace: list[tuple[Tensor, Tensor]] = []

    def __call__(self, node_ids: Tensor, device: torch.device | str = "cpu") -> Tensor:
        """Rows of some nodes.

        Parameters
        ----------
        node_ids : Tensor
            Which, int32 or int64, shape [S], on any device.
        device : device
            Where to have them.

        Returns
        -------
        Tensor
            Shape [S, embedding_dim]. With gradients on it is a leaf that the optimiser knows of.

        Raises
        ------
        IndexError
            A node that has no row.
        """
        ids = as_ids("node_ids", node_ids)
        rows = ops.gather_rows(self._table, ids.to(self._table.device)).to(device)
        if torch.is_grad_enabled():
            rows = rows.detach().requires_grad_()
            # A copy: gradients come later, whatever becomes of the caller's ids.
            self._trace.append((ids.clone(), rows))
        return rows

    @property
    def weight(self) -> Tensor:
        """The table, without a gradient, shape [num_embeddings, embedding_dim]."""
        return self._table

    @property
    def name(self) -> str:
        """What the table is called."""
        return self._name

    @property
    def num_embeddings(self) -> int:
        """Number of rows."""
        return self._num_embeddings

    @property
    def embedding_dim(self) -> int:
        """Width of a row."""
        return self._embedding_dim

    @property
    def rank(self) -> int:
        """-1: the table belongs to one process."""
        return -1

    @property
    def world_size(self) -> int:
        """0: the table belongs to one process."""
        return 0

    @property
    def trace(self) -> list[tuple[Tensor, Tensor]]:
        """Ids and rows that were handed out with gradients on."""
        return self._trace

    def reset_trace(self) -> None:
        """Forget what was handed out."""
        self._trace = []

    @property
    def optm_state(self) -> tuple[Tensor, ...] | None:
        """What the optimiser keeps for each row."""
        return self._optm_state

    def set_optm_state(self, state: tuple[Tensor, ...]) -> None:
        """Change what the optimiser keeps."""
        self._optm_state = state

    def all_set_embedding(self, values: Tensor) -> None:
        """Overwrite the table, with values of its shape, from any device."""
        if not isinstance(values, Tensor) or values.shape != self._table.shape:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ValueError(f"values: expected shape {list(self._table.shape)}, got {got}")
        self._table.copy_(values.detach())

    def all_get_embedding(self) -> Tensor:
        """The table."""
        return self._table

    def __repr__(self) -> str:
        return f"NodeEmbedding({self._num_embeddings}, {self._embedding_dim}, {self._name!r})"

    def __getstate__(self) -> dict[str, Any]:
        # Rows handed out belong to a pass that is under way.
        return {**vars(self), "_trace": []}
