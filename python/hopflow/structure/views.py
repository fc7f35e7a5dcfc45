"""What ``graph.nodes``, ``graph.edges``, ``graph.ndata`` and their kin are, by type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from hopflow.structure.frame import Frame, take_rows
from hopflow.structure.ids import as_node_ids
from hopflow.structure.row_view import write_rows
from hopflow.structure.types import told

if TYPE_CHECKING:
    from hopflow.structure.relations import Relations


class TypedColumns(MutableMapping[str, "dict[Any, Tensor]"]):
    """Columns of several types: ``ndata["h"]`` is ``{type: column}`` of those that have it.

    Parameters
    ----------
    frames : mapping
        The columns of each type.
    what : {"node", "edge"}
        For messages.
    """

    def __init__(self, frames: Mapping[Any, Frame], what: str) -> None:
        self._frames, self._what = frames, what

    def __getitem__(self, key: str) -> dict[Any, Tensor]:
        found = {name: frame[key] for name, frame in self._frames.items() if key in frame}
        if not found:
            raise KeyError(f"no {self._what} column {key!r} of any type; there is {told(self)}")
        return found

    def __setitem__(self, key: str, value: Mapping[Any, Tensor]) -> None:
        if not isinstance(value, Mapping):
            raise TypeError(
                f"{self._what} column {key!r}: expected a dict with a tensor for each"
                f" type, of {told(self._frames)}, got {type(value).__name__}"
            )
        named = {self._type(name): rows for name, rows in value.items()}
        if len(named) < len(value):
            raise ValueError(
                f"{self._what} column {key!r}: expected each type once, got {told(value)}"
            )
        for name, rows in named.items():
            self._frames[name].check(key, rows)
        for name, rows in named.items():
            self._frames[name][key] = rows

    def _type(self, name: Any) -> Any:
        if name in self._frames:
            return name
        # An edge type by its name alone, if it is the only one of it.
        close = [known for known in self._frames if isinstance(known, tuple) and known[1] == name]
        if len(close) == 1:
            return close[0]
        raise ValueError(f"{self._what} type: expected one of {told(self._frames)}, got {name!r}")

    def __delitem__(self, key: str) -> None:
        having = [frame for frame in self._frames.values() if key in frame]
        if not having:
            raise KeyError(f"no {self._what} column {key!r} of any type; there is {told(self)}")
        for frame in having:
            del frame[key]

    def __contains__(self, key: object) -> bool:
        return any(key in frame for frame in self._frames.values())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for frame in self._frames.values() for key in frame))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr({key: self[key] for key in self})


class RowColumns(MutableMapping[str, Tensor]):
    """Some rows of a frame's columns, to read and to write: what ``g.nodes[ids].data`` is.

    Parameters
    ----------
    frame : Frame
        All rows.
    ids : Tensor
        Which; in a new column the others are 0.
    """

    def __init__(self, frame: Frame, ids: Tensor) -> None:
        self._frame, self._ids = frame, ids

    def __getitem__(self, key: str) -> Tensor:
        return take_rows(key, self._frame.column(key), self._ids)

    def __setitem__(self, key: str, value: Tensor) -> None:
        write_rows(self._frame, self._ids, {key: value})

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"column {key!r}: expected all rows of it to delete it")

    def __iter__(self) -> Iterator[str]:
        return iter(self._frame)

    def __len__(self) -> int:
        return len(self._frame)

    def __repr__(self) -> str:
        return repr(dict(self))


class Space(NamedTuple):
    """What ``g.nodes["user"]`` and ``g.edges["follows"]`` are.

    Attributes
    ----------
    data : mapping
        The columns.
    """

    data: MutableMapping[str, Tensor]


class NodeView:
    """``g.nodes``: called it gives ids, indexed by type it gives columns.

    ``g.nodes("user")`` are the ids of the users, ``g.nodes["user"].data`` their columns;
    ``g.nodes[ids].data`` and ``g.nodes[ids, "user"].data`` are those of some nodes.

    Parameters
    ----------
    graph : Graph
        The graph.
    side : {"node", "src", "dst"}
        Of which nodes.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.nodes.html
    """

    def __init__(self, graph: Relations, side: str) -> None:
        self._graph, self._side = graph, side

    def __call__(self, ntype: Any = None) -> Tensor:
        graph = self._graph
        count = graph.node_frame(ntype, self._side).num_rows
        return torch.arange(count, dtype=graph.idtype, device=graph.device)

    def __getitem__(self, key: Any) -> Space:
        nodes, ntype = _split(key)
        frame = self._graph.node_frame(ntype, self._side)
        return _space(frame, nodes, "node", self._graph)


class EdgeView:
    """``g.edges``: called it gives ids, indexed by type it gives columns.

    Parameters
    ----------
    graph : Graph
        The graph.
    listed : callable
        What a call is: :meth:`hopflow.structure.graph_base.GraphBase.all_edges`.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.edges.html
    """

    def __init__(self, graph: Relations, listed: Callable[..., Any]) -> None:
        self._graph, self._listed = graph, listed

    def __call__(self, form: str = "uv", order: str = "eid", etype: Any = None) -> Any:
        return self._listed(form=form, order=order, etype=etype)

    def __getitem__(self, key: Any) -> Space:
        is_relation = isinstance(key, tuple) and all(isinstance(x, str) for x in key)
        edges, etype = (None, key) if is_relation else _split(key)
        frame = self._graph.relation(etype).edge_frame
        return _space(frame, edges, "edge", self._graph)


def _split(key: Any) -> tuple[Any, Any]:
    """``(ids or None for all, type or None for the only one)`` of what stands in brackets."""
    if isinstance(key, tuple) and len(key) == 2:
        ids, name = key
    elif key is None or isinstance(key, str):
        ids, name = None, key
    else:
        ids, name = key, None
    if isinstance(ids, slice):
        if ids != slice(None):
            raise ValueError(f'expected ids, or ":" for all of them, got {ids!r}')
        ids = None
    return ids, name


def _space(frame: Frame, ids: Any, what: str, graph: Relations) -> Space:
    if ids is None:
        return Space(frame)
    rows = as_node_ids("ids", ids, frame.num_rows, device=graph.device, what=what)
    return Space(RowColumns(frame, rows))
