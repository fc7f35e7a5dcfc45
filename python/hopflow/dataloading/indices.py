"""What a loader's batches are made of: ids of nodes or edges, of one type or by type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import Tensor

from hopflow.dataloading.parts import GraphInParts
from hopflow.graphs.graph import Graph
from hopflow.structure.by_type import edges_by_type, nodes_by_type
from hopflow.structure.ids import as_mask, as_node_ids

_CPU = torch.device("cpu")


class Indices:
    """Ids in the order of the loader, of one type or of several, one type after the other.

    Parameters
    ----------
    by_type : mapping
        Ids of each type, on the CPU; copied.
    counts : sequence of int
        How many nodes or edges each type has.
    order : sequence
        The types in the order in which their ids come.
    is_by_type : bool
        Whether batches are dicts by type.

    Attributes
    ----------
    ids : Tensor
        Shape [S]; of several types int64, the id plus the counts of all types before its own.
    """

    def __init__(
        self,
        by_type: Mapping[Any, Tensor],
        counts: Sequence[int],
        order: Sequence[Any],
        is_by_type: bool,
    ) -> None:
        self.types, self.is_by_type = list(by_type), is_by_type
        self._order = list(order)
        self.dtype = next((ids.dtype for ids in by_type.values()), torch.int64)
        self._firsts = [sum(counts[:i]) for i in range(len(counts))]
        if is_by_type:
            firsts = dict(zip(self.types, self._firsts))
            parts = [by_type[name].long() + firsts[name] for name in order]
            self.ids = torch.cat(parts) if parts else torch.empty(0, dtype=torch.int64, device=_CPU)
        else:
            self.ids = next(iter(by_type.values())).clone()

    def __len__(self) -> int:
        return self.ids.shape[0]

    def given(self) -> Any:
        """The ids as they were given: a tensor, or a dict by type."""
        if not self.is_by_type:
            return self.ids
        found = self.split(self.ids)
        return {name: found.get(name, self.ids[:0].to(self.dtype)) for name in self._order}

    @cached_property
    def fingerprint(self) -> int:
        """A number that other ids, or another order of them, hardly have."""
        # Overflow wraps around.
        weights = torch.arange(len(self), device=_CPU) * 0x9E3779B97F4A7C1 + 1
        return int((self.ids.long() * weights).sum())

    def split(self, ids: Tensor) -> Any:
        """Some of :attr:`ids` as a batch: themselves, or a dict of the types that occur."""
        if not self.is_by_type:
            return ids
        firsts = torch.tensor(self._firsts, dtype=torch.int64, device=_CPU)
        kinds = torch.searchsorted(firsts, ids, right=True) - 1
        found = {}
        for number, (name, first) in enumerate(zip(self.types, self._firsts)):
            own = ids[kinds == number]
            if own.shape[0]:
                found[name] = (own - first).to(self.dtype)
        return found

    def by_number(self) -> list[Tensor]:
        """The ids of each type, in the order of :attr:`types`."""
        found = self.split(self.ids) if self.is_by_type else {self.types[0]: self.ids}
        return [found.get(name, self.ids[:0]) for name in self.types]

    @classmethod
    def of(cls, graph: Graph | GraphInParts, value: Any, kind: str | None) -> Indices:
        """What a user gave, checked as far as it is known what it is.

        Parameters
        ----------
        graph : Graph or GraphInParts
            The graph.
        value : Tensor, numpy array, sequence of int, boolean mask or dict
            Ids, or ``{type: ids}``.
        kind : {"node", "edge", None}
            What they are; None: only that they are not negative is known.

        Raises
        ------
        IndexError, TypeError, ValueError
            They are no such ids, or of types that the graph does not have.
        """
        if kind not in ("node", "edge", None):
            raise ValueError(f"index_kind: expected 'node', 'edge' or None, got {kind!r}")
        is_by_type = isinstance(value, Mapping)
        graph = cast(Graph, graph)  # of either kind: only its types and sizes are looked at
        if kind is None:
            most = torch.iinfo(graph.idtype).max
            given = value if is_by_type else {None: value}
            by_type = {}
            for name, ids in given.items():
                what = f"indices[{name!r}]" if is_by_type else "indices"
                of_type = name if name in graph.schema.ntypes else None
                count = graph.num_nodes(of_type) if as_mask(ids) is not None else most
                by_type[name] = as_node_ids(what, ids, count, dtype=graph.idtype, device=_CPU)
            # The largest id, not the largest possible: their sums must fit int64.
            counts = [int(ids.max()) + 1 if ids.numel() else 0 for ids in by_type.values()]
            return cls(by_type, counts, list(by_type), is_by_type)
        if kind == "edge":
            edges = edges_by_type(graph, "indices", value)
            named = {name: ids.to(_CPU, graph.idtype) for name, ids in edges.items()}
            order = map(graph.schema.relation, value) if is_by_type else named
            return cls(named, [graph.num_edges(name) for name in named], list(order), is_by_type)
        nodes = nodes_by_type(graph, "indices", value, dtype=graph.idtype)
        # Of every type, in the graph's order: their numbers are those that samplers count with.
        none = torch.empty(0, dtype=graph.idtype, device=_CPU)
        every = {name: nodes.get(name, none).to(_CPU) for name in graph.schema.ntypes}
        counts = [graph.num_nodes(name) for name in every]
        return cls(every, counts, list(value) if is_by_type else list(every), is_by_type)
