"""What every graph holds: nodes and edges of each type, and their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame, Scheme
from hopflow.structure.ids import as_node_ids
from hopflow.structure.initializers import Initializer
from hopflow.structure.relations import OF_EDGES, OF_SEVERAL, Relations
from hopflow.structure.types import ALL, is_all, is_one
from hopflow.structure.views import EdgeView, NodeView, TypedColumns

if TYPE_CHECKING:
    from typing_extensions import Self

GraphT = TypeVar("GraphT", bound="GraphBase")


class GraphBase(Relations):
    """Edges and feature columns, without what is computed over them; a part of Graph.

    Parameters
    ----------
    adjacency : Adjacency
        The edges.
    idtype : torch.dtype
        int32 or int64: the dtype of ids handed out; int64 if int32 cannot number nodes and edges.
    """

    def __init__(self, adjacency: Adjacency, *, idtype: torch.dtype = torch.int64) -> None:
        self._adjacency = adjacency
        self._idtype = adjacency.fitting(idtype)
        self._src_frame = self._dst_frame = Frame(adjacency.num_dst, "node", self.device)
        self._edge_frame = Frame(adjacency.num_edges, "edge", self.device)

    # --- size ---

    def num_nodes(self, ntype: Any = None) -> int:
        """Number of nodes of a type, or of all."""
        if ntype is not None:
            return self.node_frame(ntype).num_rows
        if self._relations is None and self._src_frame is self._dst_frame:
            return self._adjacency.num_dst
        return sum(frame.num_rows for frame in self.node_frames().values())

    def num_edges(self, etype: Any = None) -> int:
        """Number of edges of a type, or of all."""
        if etype is None and self._relations is not None:
            return sum(one._adjacency.num_edges for one in self._relations.values())
        return self.relation(etype)._adjacency.num_edges

    def num_src_nodes(self, ntype: Any = None) -> int:
        """Number of nodes that may be sources, of a type or of all."""
        if ntype is None and self._relations is None:
            return self._adjacency.num_src
        return self._count(ntype, "src")

    def num_dst_nodes(self, ntype: Any = None) -> int:
        """Number of nodes that may be destinations, of a type or of all."""
        if ntype is None and self._relations is None:
            return self._adjacency.num_dst
        return self._count(ntype, "dst")

    def _count(self, ntype: Any, side: str) -> int:
        if ntype is not None:
            return self.node_frame(ntype, side).num_rows
        return sum(frame.num_rows for frame in self.node_frames(side).values())

    number_of_nodes = num_nodes
    number_of_edges = num_edges
    number_of_src_nodes = num_src_nodes
    number_of_dst_nodes = num_dst_nodes

    # --- structure ---

    @property
    def nodes(self) -> NodeView:
        """``nodes()`` are the ids of the nodes, ``nodes["user"].data`` the columns of a type."""
        return NodeView(self, "node")

    @property
    def srcnodes(self) -> NodeView:
        """As :attr:`nodes`, of the nodes that may be sources."""
        return NodeView(self, "src")

    @property
    def dstnodes(self) -> NodeView:
        """As :attr:`nodes`, of the nodes that may be destinations."""
        return NodeView(self, "dst")

    @property
    def edges(self) -> EdgeView:
        """``edges()`` is :meth:`all_edges`, ``edges["follows"].data`` the columns of a type."""
        return EdgeView(self, self.all_edges)

    def all_edges(self, form: str = "uv", order: str = "eid", etype: Any = None) -> Any:
        """Sources and destinations of the edges.

        Parameters
        ----------
        form : {"uv", "eid", "all"}
            What to return: (sources, destinations), edge ids, or all three.
        order : {"eid", "srcdst"}
            Sorted by edge id, or by source and then destination.
        etype : str or tuple, optional
            Which edges, where there are several types.

        Returns
        -------
        tuple of Tensor, or Tensor
            Each of shape [E] and dtype ``idtype``.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.all_edges.html
        """
        if form not in ("uv", "eid", "all"):
            raise ValueError(f'form: expected "uv", "eid" or "all", got {form!r}')
        if order not in ("eid", "srcdst"):
            raise ValueError(f'order: expected "eid" or "srcdst", got {order!r}')
        adjacency = self.relation(etype)._adjacency
        # Copies: what the user does with them must not change the graph.
        src, dst = (x.to(self._idtype, copy=True) for x in adjacency.coo())
        eids = self._arange(adjacency.num_edges)
        if order == "srcdst":
            by_dst = torch.argsort(dst, stable=True)
            eids = by_dst[torch.argsort(src[by_dst], stable=True)].to(self._idtype)
            src, dst = src[eids.long()], dst[eids.long()]
        if form == "eid":
            return eids
        return (src, dst) if form == "uv" else (src, dst, eids)

    def in_degrees(self, v: Any = ALL, etype: Any = None) -> Tensor | int:
        """Number of in-edges of each node in ``v`` (default: all), or an int for one node."""
        adjacency = self.relation(etype)._adjacency
        return self._degrees(adjacency.in_degrees, adjacency.num_dst, "v", v)

    def out_degrees(self, u: Any = ALL, etype: Any = None) -> Tensor | int:
        """Number of out-edges of each node in ``u`` (default: all), or an int for one node."""
        adjacency = self.relation(etype)._adjacency
        return self._degrees(adjacency.out_degrees, adjacency.num_src, "u", u)

    def _degrees(
        self, count: Callable[[Tensor | None], Tensor], num_nodes: int, name: str, nodes: Any
    ) -> Tensor | int:
        if is_all(nodes):
            return count(None).to(self._idtype)
        degrees = count(as_node_ids(name, nodes, num_nodes, device=self.device)).to(self._idtype)
        return int(degrees) if is_one(nodes) else degrees

    def _arange(self, n: int) -> Tensor:
        return torch.arange(n, dtype=self._idtype, device=self.device)

    # --- feature columns ---

    @property
    def ndata(self) -> MutableMapping[str, Any]:
        """Node columns, of several types dicts by type; on a block those of the destinations."""
        if self._relations is None and (self.is_block or self._src_frame is self._dst_frame):
            return self._dst_frame
        return _columns(self.node_frames(), "node")

    @property
    def srcdata(self) -> MutableMapping[str, Any]:
        """Columns of source nodes, of several types dicts by type; on most graphs ``ndata``."""
        if self._relations is None:
            return self._src_frame
        return _columns(self.node_frames("src"), "node")

    @property
    def dstdata(self) -> MutableMapping[str, Any]:
        """Columns of destination nodes, as :attr:`srcdata`."""
        if self._relations is None:
            return self._dst_frame
        return _columns(self.node_frames("dst"), "node")

    @property
    def edata(self) -> MutableMapping[str, Any]:
        """Edge columns, in the order of edge ids; of several types dicts by relation."""
        if self._relations is None:
            return self._edge_frame
        frames = {name: one._edge_frame for name, one in self._relations.items()}
        return _columns(frames, "edge")

    def node_attr_schemes(self, ntype: Any = None) -> dict[str, Scheme]:
        """Shape of a row and dtype of each node column, by name; nothing is read for it.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.node_attr_schemes.html
        """
        frame = self.node_frame(ntype)
        return {key: frame.scheme(key) for key in frame}

    def edge_attr_schemes(self, etype: Any = None) -> dict[str, Scheme]:
        """As :meth:`node_attr_schemes`, of edge columns.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.edge_attr_schemes.html
        """
        frame = self.relation(etype)._edge_frame
        return {key: frame.scheme(key) for key in frame}

    @contextmanager
    def local_scope(self) -> Iterator[None]:
        """Columns set or deleted inside are forgotten at the end, nodes and edges added or removed
        too; what is written into a column's memory is not."""
        outside = tuple(getattr(self, name) for name in OF_EDGES)
        if self._relations is not None:
            saved_types = {name: self.__dict__[name] for name in OF_SEVERAL}
            inside = self.with_frames(None, Frame.copy)
            try:
                self.__dict__.update({name: inside.__dict__[name] for name in OF_SEVERAL})
                yield
            finally:
                if self._relations is not inside._relations:
                    self._forget_computed()
                    self.__dict__.update(zip(OF_EDGES, outside))
                self.__dict__.update(saved_types)
            return
        adjacency = self._adjacency
        saved = self._src_frame, self._dst_frame, self._edge_frame
        try:
            self._src_frame = saved[0].copy()
            self._dst_frame = self._src_frame if saved[1] is saved[0] else saved[1].copy()
            self._edge_frame = saved[2].copy()
            yield
        finally:
            if self._adjacency is not adjacency:  # it was changed in place
                self._adjacency = adjacency
                self._forget_computed()
                self.__dict__.update(zip(OF_EDGES, outside))
            self._src_frame, self._dst_frame, self._edge_frame = saved

    def _forget_computed(self) -> None:
        """Drop what cached properties computed for other nodes and edges."""
        for name in [*self.__dict__]:
            if isinstance(getattr(type(self), name, None), cached_property):
                del self.__dict__[name]

    def local_var(self) -> Self:
        """A graph with the same edges and columns; columns set or deleted on one stay its own."""
        return self.with_frames(None, Frame.copy)

    def clone(self) -> Self:
        """:meth:`local_var`: as in DGL, the columns' memory is shared."""
        return self.local_var()

    # --- changes in place ---

    def alias(self) -> Self:
        """A graph with these very edges and columns, which keeps them when this one is changed in
        place. Until then, a column set on either is there on both."""
        graph = object.__new__(type(self))
        graph.__dict__.update(self.__dict__)
        return graph

    def become(self, made: Self) -> None:
        """Take over all that a graph is which was made of this one, of the same types.

        How a graph is changed in place: adjacencies and frames are replaced, never altered.
        Blocks, slices, copies and epochs that have the old ones keep them, and what is cached for
        the old edges is not found for the new ones.

        Raises
        ------
        ValueError
            This is one relation in the table of a graph of several, whose other relations have the
            same nodes.
        """
        if self._is_of_several:
            raise ValueError(
                "expected a graph by itself, got one relation of a graph of several types; change"
                " that graph and give the type"
            )
        gone = self.__dict__.keys() - made.__dict__.keys()  # what cached properties computed
        self.__dict__.update(made.__dict__)  # at once: other threads see the old or the new
        for name in gone:
            del self.__dict__[name]

    def set_n_initializer(
        self, initializer: Initializer, field: str | None = None, ntype: Any = None
    ) -> None:
        """Say what node columns get in rows that nobody has given: in those of nodes added, and of
        a new column in those of nodes for which it is not set. 0 unless this says otherwise.

        Parameters
        ----------
        initializer : callable
            ``initializer(shape, dtype, device, rows)`` gives a tensor of this shape and dtype for
            the nodes from ``rows.start`` to below ``rows.stop``.
        field : str, optional
            Of which column; by default of all that have no initialiser of their own.
        ntype : str, optional
            Of which nodes, where there are several types.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.set_n_initializer.html
        """
        self.node_frame(ntype).set_initializer(initializer, field)

    def set_e_initializer(
        self, initializer: Initializer, field: str | None = None, etype: Any = None
    ) -> None:
        """As :meth:`set_n_initializer`, for edge columns.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.set_e_initializer.html
        """
        self.relation(etype)._edge_frame.set_initializer(initializer, field)

    # --- graphs made of this one ---

    def with_frames(
        self, edges: Callable[[Adjacency], Adjacency] | None, change: Callable[[Frame], Frame]
    ) -> Self:
        """A copy with changed edges (None: the same) and frames; what is one frame stays one."""

        def copied(one: Self, src: Frame, dst: Frame) -> Self:
            graph = object.__new__(type(self))
            graph.__dict__.update(one.__dict__)
            graph._adjacency = one._adjacency if edges is None else edges(one._adjacency)
            graph._src_frame, graph._dst_frame = src, dst
            graph._edge_frame = change(one._edge_frame)
            return graph

        if self._relations is None:
            src = change(self._src_frame)
            is_same = self._dst_frame is self._src_frame
            made = copied(self, src, src if is_same else change(self._dst_frame))
            made.__dict__.pop("_is_of_several", None)
            return made
        graph = object.__new__(type(self))
        graph.__dict__.update(self.__dict__)
        sources = {name: change(frame) for name, frame in self._src_frames.items()}
        destinations = sources
        if self._dst_frames is not self._src_frames:
            destinations = {name: change(frame) for name, frame in self._dst_frames.items()}
        graph._src_frames, graph._dst_frames = sources, destinations
        graph._relations = {
            (src_type, name, dst_type): copied(one, sources[src_type], destinations[dst_type])
            for (src_type, name, dst_type), one in self._relations.items()
        }
        return graph

    def derived(
        self,
        adjacency: Adjacency,
        *,
        nodes: Frame | None = None,
        sources: Frame | None = None,
        edge_columns: Columns | None = None,
    ) -> Self:
        """A graph made of this one, with other edges; of this class, as :meth:`local_var` is.

        Attributes that a subclass has set come along; what a ``cached_property`` computed does not.

        Parameters
        ----------
        adjacency : Adjacency
            Its edges, of one relation as this graph's.
        nodes : Frame, optional
            Its node columns, one row for each of its nodes; by default this graph's. Where sources
            and destinations are of two types, those of the destinations.
        sources : Frame, optional
            Those of its sources, if they are of another type.
        edge_columns : dict or callable, optional
            Its edge columns, as :class:`Frame` takes them; none by default.
        """
        graph = self._shell(self)
        graph._adjacency = adjacency
        graph._idtype = adjacency.fitting(self._idtype)
        graph._dst_frame = self._dst_frame.copy() if nodes is None else nodes
        if self._src_frame is self._dst_frame:
            graph._src_frame = graph._dst_frame
        else:
            graph._src_frame = self._src_frame.copy() if sources is None else sources
        graph._edge_frame = Frame(
            adjacency.num_edges, self._edge_frame.what, graph.device, edge_columns
        )
        return graph


def _columns(frames: dict[Any, Frame], what: str) -> MutableMapping[str, Any]:
    """The only frame, or the columns of several types."""
    if len(frames) == 1:
        return next(iter(frames.values()))
    return TypedColumns(frames, what)


def require_graph(graph: GraphT, *, one_type: bool = False) -> GraphT:
    """Raise a TypeError or ValueError unless ``graph`` is a graph, and no block.

    With ``one_type`` it must have one node type and one edge type.
    """
    if not isinstance(graph, GraphBase):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if graph.is_block:
        raise ValueError("graph: expected a graph, got a block")
    if one_type and (len(graph.schema.ntypes) > 1 or len(graph.schema.relations) > 1):
        raise ValueError(
            f"graph: expected one node type and one edge type, got node types"
            f" {list(graph.schema.ntypes)} and {len(graph.schema.relations)} edge types;"
            " hopflow.to_homogeneous merges them, graph[etype] is one of them"
        )
    return graph


def require_here(graph: GraphBase, output_device: Any) -> None:
    """Raise for a device that is not the graph's: results are where the graph is."""
    if output_device is None:
        return
    wanted = torch.device(output_device)
    if wanted.type != graph.device.type or wanted.index not in (None, graph.device.index):
        raise ValueError(
            f"output_device: expected None or the graph's, {graph.device}, got {output_device!r};"
            " move the result"
        )
