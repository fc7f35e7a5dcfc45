"""Message, reduce and apply functions written in Python.

A message function gets an :class:`EdgeBatch` of every edge at once, an apply function a
:class:`NodeBatch` of every node. A reduce function is called once for each distinct number of
in-edges (a degree bucket): then the messages of its nodes fit one tensor, the *mailbox*, of shape
[nodes, degree, ...]. What they return is a dict of tensors with one row an edge or node; it is
checked before anything is written. Gradients flow through all of it.

References
----------
https://www.dgl.ai/dgl_docs/api/python/udf.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from hopflow.function import MessageFunction, ReduceFunction
from hopflow.messages import built_in
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.row_view import Columns, RowView, scheme
from hopflow.structure.types import CANONICAL, Relation


class Passing(NamedTuple):
    """Edges along which messages pass, and what is known of their ends.

    Attributes
    ----------
    adjacency : Adjacency
        The edges, numbered [0, E) and entering destinations numbered [0, R); sources have the
        graph's ids.
    sources, destinations, edges : mapping
        Columns with one row a source of the graph, a destination and an edge.
    dst_ids, eids : Tensor or None
        The graph's id of each destination and edge, int64; None where the numbers are the ids.
    idtype : torch.dtype
        Of the ids that functions see.
    relation : tuple of str
        The edges' type: (source type, name, destination type).
    """

    adjacency: Adjacency
    sources: Columns
    destinations: Columns
    edges: Columns
    dst_ids: Tensor | None
    eids: Tensor | None
    idtype: torch.dtype
    relation: Relation = CANONICAL

    @property
    def data(self) -> dict[str, Columns]:
        """The columns as :mod:`hopflow.messages.built_in` takes them."""
        return {"u": self.sources, "v": self.destinations, "e": self.edges}

    def nodes(self, rows: Tensor | None = None) -> Tensor:
        """Ids of the destinations, or of some of them."""
        if rows is None:
            rows = torch.arange(self.adjacency.num_dst, device=self.adjacency.indices.device)
        # Copies: what the user does with them must not change the graph.
        return (rows if self.dst_ids is None else self.dst_ids[rows]).to(self.idtype, copy=True)


class EdgeBatch:
    """The edges that a message function is called with.

    Parameters
    ----------
    passing : Passing
        The edges.

    Attributes
    ----------
    src, dst : mapping
        Columns of the source and the destination of each edge, [E, ...], gathered when read.
    data : mapping
        Columns of the edges, [E, ...].
    canonical_etype : tuple of str
        Their type: (source type, name, destination type).

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.udf.EdgeBatch.html
    """

    def __init__(self, passing: Passing) -> None:
        self._passing = passing
        self.canonical_etype: Relation = passing.relation
        self._src, self._dst = passing.adjacency.coo()
        self.src: Columns = RowView(passing.sources, self._src)
        self.dst: Columns = RowView(passing.destinations, self._dst)
        self.data: Columns = RowView(passing.edges, None)

    def edges(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sources, destinations and edge ids in the graph, each of shape [E]."""
        passing, count = self._passing, self.batch_size()
        eids = passing.eids
        if eids is None:
            eids = torch.arange(count, device=self._src.device)
        # Copies: what the user does with them must not change the graph.
        src = self._src.to(passing.idtype, copy=True)
        return src, passing.nodes(self._dst.long()), eids.to(passing.idtype, copy=True)

    def batch_size(self) -> int:
        """Number of edges."""
        return self._passing.adjacency.num_edges

    def __len__(self) -> int:
        return self.batch_size()


class NodeBatch:
    """The nodes that a reduce or apply function is called with.

    Parameters
    ----------
    ids : Tensor
        The nodes' ids.
    data : mapping
        Their columns.
    mailbox : mapping, optional
        Their messages.
    ntype : str
        Their type.

    Attributes
    ----------
    data : mapping
        Columns of the nodes, [n, ...], gathered when read.
    mailbox : mapping
        Messages that each node has received, [n, in-degree, ...]; empty in an apply function.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.udf.NodeBatch.html
    """

    def __init__(
        self, ids: Tensor, data: Columns, mailbox: Columns | None = None, ntype: str = CANONICAL[0]
    ) -> None:
        self._ids, self.data, self.ntype = ids, data, ntype
        self.mailbox: Columns = {} if mailbox is None else mailbox

    def nodes(self) -> Tensor:
        """Ids of the nodes in the graph, shape [n]."""
        return self._ids

    def batch_size(self) -> int:
        """Number of nodes."""
        return int(self._ids.shape[0])

    def __len__(self) -> int:
        return self.batch_size()


MessageUdf: TypeAlias = Callable[[EdgeBatch], Mapping[str, Tensor]]
NodeUdf: TypeAlias = Callable[[NodeBatch], Mapping[str, Tensor]]


def require_function(what: str, function: object, builtin: type | None, example: str) -> None:
    """Raise unless a function is a built-in of the right kind or a Python function.

    Parameters
    ----------
    what : str
        Its role, for messages.
    function : object
        What was given.
    builtin : type or None
        The kind of built-in that it may be.
    example : str
        One of them.
    """
    if builtin is not None and isinstance(function, builtin):
        return
    wanted = "a Python function" if builtin is None else f"a built-in such as {example}, or a"
    wanted += "" if builtin is None else " Python function"
    if isinstance(function, (MessageFunction, ReduceFunction)):
        kind = "message" if isinstance(function, MessageFunction) else "reduce"
        raise TypeError(f"{what}: expected {wanted}, got a {kind} function of hopflow.function")
    if not callable(function):
        raise TypeError(f"{what}: expected {wanted}, got {type(function).__name__}")
    if getattr(function, "__module__", None) == MessageFunction.__module__:
        raise TypeError(
            f"{what}: expected {wanted}, got {_name(function)} itself; call it with names of"
            f" columns, as in {example}"
        )


def require_functions(message_func: object, reduce_func: object, apply: object) -> None:
    """Raise unless the functions of message passing can be called, before any is."""
    require_function("message function", message_func, MessageFunction, 'copy_u("h", "m")')
    require_function("reduce function", reduce_func, ReduceFunction, 'mean("m", "h")')
    if apply is not None:
        require_function("apply_node_func", apply, None, "")


def run_message(passing: Passing, function: MessageFunction | MessageUdf) -> dict[str, Tensor]:
    """The messages of every edge, [E, ...] each, by name."""
    require_function("message function", function, MessageFunction, 'copy_u("h", "m")')
    if isinstance(function, MessageFunction):
        result = built_in.apply_edges(passing.adjacency, passing.data, function)
        return {function.out_field: result}
    batch = EdgeBatch(passing)
    return checked("message", function, function(batch), len(batch), "edge", passing.adjacency)


def run_apply(
    passing: Passing, function: NodeUdf, made: Columns | None = None
) -> dict[str, Tensor]:
    """What an apply function makes of the destinations, which have the columns ``made`` already."""
    require_function("apply_node_func", function, None, "")
    columns = RowView(passing.destinations, None, made)
    batch = NodeBatch(passing.nodes(), columns, ntype=passing.relation[2])
    return checked("apply", function, function(batch), len(batch), "node", passing.adjacency)


def run_reduce(
    passing: Passing, messages: Columns, function: ReduceFunction | NodeUdf
) -> dict[str, Tensor]:
    """Destination columns, [R, ...] each; 0 where there are no in-edges.

    A Python function is never called for destinations without in-edges, so without any edge there
    are no columns.
    """
    require_function("reduce function", function, ReduceFunction, 'mean("m", "h")')
    if isinstance(function, ReduceFunction):
        name = function.msg_field
        if name not in messages:
            raise ValueError(
                f"the reduce function reads message {name!r}, but the message function writes"
                f" {', '.join(map(repr, messages)) or 'none'}"
            )
        copy = MessageFunction("copy", "e", name, None, None, name)
        column = built_in.update_all(
            passing.adjacency, {**passing.data, "e": messages}, copy, function
        )
        return {function.out_field: column}
    rows: list[Tensor] = []
    results: list[dict[str, Tensor]] = []
    for nodes, edges in _buckets(passing.adjacency):
        count, degree = edges.shape
        data, mailbox = RowView(passing.destinations, nodes), Mailbox(messages, edges)
        batch = NodeBatch(passing.nodes(nodes), data, mailbox, passing.relation[2])
        what = f"node of in-degree {degree}"
        result = checked("reduce", function, function(batch), count, what, passing.adjacency)
        _require_alike(function, degree, result, results[0] if results else result)
        rows.append(nodes)
        results.append(result)
    if not results:
        return {}
    where, num_dst = torch.cat(rows), passing.adjacency.num_dst
    merged = {}
    for name in results[0]:
        values = torch.cat([result[name] for result in results])
        zeros = values.new_zeros((num_dst, *values.shape[1:]))
        merged[name] = zeros.index_copy(0, where, values)
    return merged


class Mailbox(Mapping[str, Tensor]):
    """The messages of nodes with as many in-edges each, [n, degree, ...], gathered when read.

    Parameters
    ----------
    messages : mapping
        One row an edge.
    edges : Tensor
        The edges of each node, shape [n, degree].
    """

    __slots__ = ("_edges", "_rows")

    def __init__(self, messages: Columns, edges: Tensor) -> None:
        self._rows, self._edges = RowView(messages, edges.reshape(-1)), edges

    def __getitem__(self, key: str) -> Tensor:
        try:
            rows = self._rows[key]
        except KeyError:
            known = ", ".join(map(repr, self._rows)) or "none"
            raise KeyError(f"no message {key!r}; there is {known}") from None
        return rows.view(*self._edges.shape, *rows.shape[1:])

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows


def _buckets(adjacency: Adjacency) -> Iterator[tuple[Tensor, Tensor]]:
    """Destinations by rising in-degree, and their edges [n, degree] by rising number; int64."""
    adjacency = adjacency.full()
    degrees = adjacency.indptr.diff()
    order = torch.argsort(degrees, stable=True)
    distinct, counts = torch.unique_consecutive(degrees[order], return_counts=True)
    groups = torch.split(order, counts.tolist())
    for degree, nodes in zip(distinct.tolist(), groups, strict=True):
        if degree == 0:
            continue
        offsets = torch.arange(degree, device=nodes.device)
        edges = adjacency.indptr[nodes].unsqueeze(1) + offsets
        if adjacency.eids is not None:
            edges = adjacency.eids[edges].long().sort(dim=1).values
        yield nodes, edges


def checked(
    role: str, function: object, result: object, rows: int, what: str, adjacency: Adjacency
) -> dict[str, Tensor]:
    """What a Python function has returned, if it is columns of ``rows`` rows on the device.

    Parameters
    ----------
    role : str
        "message", "reduce" or "apply".
    function : callable
        Named by messages.
    result : object
        What it has returned.
    rows : int
        Rows that each column must have, one for each ``what``.
    adjacency : Adjacency
        Its device is that of the columns.

    Raises
    ------
    TypeError, ValueError
        Something else was returned.
    """
    where = f"{role} function {_name(function)}"
    if not isinstance(result, Mapping):
        raise TypeError(f"{where}: expected a dict of tensors, got {type(result).__name__}")
    columns: dict[str, Tensor] = {}
    for key, value in result.items():
        if not isinstance(key, str):
            raise TypeError(f"{where}: expected names of columns, got {type(key).__name__}")
        if not isinstance(value, Tensor):
            raise TypeError(f"{where}: {key!r}: expected a tensor, got {type(value).__name__}")
        if value.layout != torch.strided:
            raise TypeError(f"{where}: {key!r}: expected a dense tensor, got a sparse one")
        if value.dim() == 0 or value.shape[0] != rows:
            raise ValueError(
                f"{where}: {key!r}: expected {rows} rows, one for each {what}, got shape"
                f" {list(value.shape)}"
            )
        device = adjacency.indices.device
        if value.device != device:
            raise ValueError(
                f"{where}: {key!r} is on {value.device}, the graph on {device}; expected one device"
            )
        columns[key] = value
    return columns


def _require_alike(function: object, degree: int, got: Columns, first: Columns) -> None:
    """Raise unless a reduce function returned for one degree what it did for the first."""
    where = f"reduce function {_name(function)}: at in-degree {degree}"
    if got.keys() != first.keys():
        raise ValueError(f"{where}: expected columns {sorted(first)}, got {sorted(got)}")
    for name, value in got.items():
        if value.shape[1:] != first[name].shape[1:] or value.dtype != first[name].dtype:
            raise ValueError(
                f"{where}: {name!r}: expected rows as at other degrees,"
                f" {scheme(first[name])}, got {scheme(value)}"
            )


def _name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)
