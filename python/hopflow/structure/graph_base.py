"""What every graph holds: edges, feature columns, and where they live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.ids import as_node_ids
from hopflow.structure.types import ALL, is_all, is_one

if TYPE_CHECKING:
    from typing_extensions import Self

GraphT = TypeVar("GraphT", bound="GraphBase")


class GraphBase:
    """Edges and feature columns, without what is computed over them; a part of Graph.

    Parameters
    ----------
    adjacency : Adjacency
        The edges.
    idtype : torch.dtype
        int32 or int64: the dtype of ids handed out; int64 if int32 cannot number nodes and edges.
    """

    is_block = False
    _pins: tuple[ops.Pin, ...] = ()  # keep page-locked memory locked

    def __init__(self, adjacency: Adjacency, *, idtype: torch.dtype = torch.int64) -> None:
        self._adjacency = adjacency
        self._idtype = adjacency.fitting(idtype)
        self._src_frame = self._dst_frame = Frame(adjacency.num_dst, "node", self.device)
        self._edge_frame = Frame(adjacency.num_edges, "edge", self.device)

    # --- size and kind ---

    @property
    def idtype(self) -> torch.dtype:
        """The dtype of ids handed out, int32 or int64."""
        return self._idtype

    @property
    def device(self) -> torch.device:
        """Where the edges and every column are."""
        return self._adjacency.indices.device

    @property
    def adjacency(self) -> Adjacency:
        """The edges in the form that :mod:`hopflow.ops` takes."""
        return self._adjacency

    def num_nodes(self) -> int:
        """Number of nodes."""
        return self._adjacency.num_dst

    def num_edges(self) -> int:
        """Number of edges."""
        return self._adjacency.num_edges

    def num_src_nodes(self) -> int:
        """Number of nodes that may be sources; on a graph, all of them."""
        return self._adjacency.num_src

    def num_dst_nodes(self) -> int:
        """Number of nodes that may be destinations; on a graph, all of them."""
        return self._adjacency.num_dst

    number_of_nodes = num_nodes
    number_of_edges = num_edges
    number_of_src_nodes = num_src_nodes
    number_of_dst_nodes = num_dst_nodes

    # --- structure ---

    def nodes(self) -> Tensor:
        """Ids of the nodes, shape [N]."""
        return self._arange(self.num_nodes())

    def srcnodes(self) -> Tensor:
        """Ids of the nodes that may be sources."""
        return self._arange(self.num_src_nodes())

    def dstnodes(self) -> Tensor:
        """Ids of the nodes that may be destinations."""
        return self._arange(self.num_dst_nodes())

    def edges(self, form: str = "uv", order: str = "eid") -> Any:
        """Sources and destinations of the edges.

        Parameters
        ----------
        form : {"uv", "eid", "all"}
            What to return: (sources, destinations), edge ids, or all three.
        order : {"eid", "srcdst"}
            Sorted by edge id, or by source and then destination.

        Returns
        -------
        tuple of Tensor, or Tensor
            Each of shape [E] and dtype ``idtype``.
        """
        if form not in ("uv", "eid", "all"):
            raise ValueError(f'form: expected "uv", "eid" or "all", got {form!r}')
        if order not in ("eid", "srcdst"):
            raise ValueError(f'order: expected "eid" or "srcdst", got {order!r}')
        # Copies: what the user does with them must not change the graph.
        src, dst = (x.to(self._idtype, copy=True) for x in self._adjacency.coo())
        eids = self._arange(self.num_edges())
        if order == "srcdst":
            by_dst = torch.argsort(dst, stable=True)
            eids = by_dst[torch.argsort(src[by_dst], stable=True)].to(self._idtype)
            src, dst = src[eids.long()], dst[eids.long()]
        if form == "eid":
            return eids
        return (src, dst) if form == "uv" else (src, dst, eids)

    def in_degrees(self, v: Any = ALL) -> Tensor | int:
        """Number of in-edges of each node in ``v`` (default: all), or an int for one node."""
        return self._degrees(self._adjacency.in_degrees, self.num_dst_nodes(), "v", v)

    def out_degrees(self, u: Any = ALL) -> Tensor | int:
        """Number of out-edges of each node in ``u`` (default: all), or an int for one node."""
        return self._degrees(self._adjacency.out_degrees, self.num_src_nodes(), "u", u)

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
    def ndata(self) -> Frame:
        """Node columns; on a block, those of the destination nodes."""
        return self._dst_frame

    @property
    def srcdata(self) -> Frame:
        """Columns of source nodes; on a graph the same as ``ndata``."""
        return self._src_frame

    @property
    def dstdata(self) -> Frame:
        """Columns of destination nodes; on a graph the same as ``ndata``."""
        return self._dst_frame

    @property
    def edata(self) -> Frame:
        """Edge columns, in the order of edge ids."""
        return self._edge_frame

    @contextmanager
    def local_scope(self) -> Iterator[None]:
        """Columns set or deleted inside are forgotten at the end; in-place changes are not."""
        saved = self._src_frame, self._dst_frame, self._edge_frame
        try:
            self._src_frame = saved[0].copy()
            self._dst_frame = self._src_frame if saved[1] is saved[0] else saved[1].copy()
            self._edge_frame = saved[2].copy()
            yield
        finally:
            self._src_frame, self._dst_frame, self._edge_frame = saved

    def local_var(self) -> Self:
        """A graph with the same edges and columns; columns set or deleted on one stay its own."""
        return self.with_frames(self._adjacency, Frame.copy)

    def clone(self) -> Self:
        """:meth:`local_var`: as in DGL, the columns' memory is shared."""
        return self.local_var()

    # --- where it lives ---

    def to(self, device: str | torch.device | int) -> Self:
        """The graph and its columns on a device; itself if it is there already."""
        device = torch.device(device)
        if device == self.device or (device.type == self.device.type and device.index is None):
            return self
        ops.require_fit(f"{type(self).__name__.lower()}.to", self._tensors(), device)

        def move(x: Tensor) -> Tensor:
            return x.to(device)

        moved = self._adjacency.map(move)
        there = self.with_frames(moved, lambda frame: frame.map(move, moved.indices.device))
        there._pins = ()
        return there

    def _tensors(self) -> list[Tensor]:
        """The edges' arrays and every column that is at hand, each once."""
        found = self._adjacency.arrays()
        for frame in (self._src_frame, self._dst_frame, self._edge_frame):
            found += [frame[key] for key in frame if frame.is_read(key)]
        return list({id(x): x for x in found}.values())

    def cpu(self) -> Self:
        """:meth:`to` the CPU."""
        return self.to("cpu")

    def pin_memory_(self) -> Self:
        """Page-lock the memory of the edges and columns where it is, for the GPU to read in place.

        Columns that are set later are not locked. Undone by :meth:`unpin_memory_`, or when the
        graph is freed.

        Raises
        ------
        HopflowError
            There is no CUDA device, the graph is not on the CPU, or the system does not lock so
            much memory.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.pin_memory_.html
        """
        if self.device.type != "cpu":
            raise ops.HopflowError(f"pin_memory_: the graph is on {self.device}, expected the CPU")
        if not ops.cuda_devices()[0]:
            raise ops.HopflowError(
                f"pin_memory_: no CUDA device ({ops.cuda_devices()[1]}); `hopflow doctor` says what"
                " is missing"
            )
        pins = [ops.pin_memory(x) for x in self._tensors()]
        self._pins = tuple(pin for pin in pins if pin is not None)
        return self

    def unpin_memory_(self) -> Self:
        """Undo :meth:`pin_memory_`; memory that another graph has locked too stays locked."""
        self._pins = ()
        return self

    def is_pinned(self) -> bool:
        """Whether the GPU can read the edges in place."""
        arrays = [x for x in self._adjacency.arrays() if x.numel()]
        return all(ops.is_pinned(x) for x in arrays)

    def int(self) -> Self:
        """The graph with int32 ids; a ValueError if they cannot number its nodes and edges."""
        return self._as_idtype(torch.int32)

    def long(self) -> Self:
        """The graph with int64 ids."""
        return self._as_idtype(torch.int64)

    def formats(self, formats: Any = None) -> Any:
        """Accepted for DGL's sake and without effect: hopflow makes the forms that it needs.

        Parameters
        ----------
        formats : str or list of str, optional
            Of "coo", "csr", "csc".

        Returns
        -------
        dict or Graph
            Without an argument, every form as created; else a graph as of :meth:`local_var`.

        Raises
        ------
        ValueError
            An unknown format.
        """
        if formats is None:
            return {"created": ["coo", "csr", "csc"], "not created": []}
        for name in [formats] if isinstance(formats, str) else formats:
            if name not in ("coo", "csr", "csc"):
                raise ValueError(f'formats: expected "coo", "csr" or "csc", got {name!r}')
        return self.local_var()

    def create_formats_(self) -> None:
        """Accepted for DGL's sake and without effect; see :meth:`formats`."""

    def _as_idtype(self, idtype: torch.dtype) -> Self:
        if idtype == self._idtype:
            return self
        if self._adjacency.fitting(idtype) != idtype:
            raise ValueError(f"idtype: {self._adjacency.most()} nodes or edges do not fit int32")
        graph = self.with_frames(self._adjacency, Frame.copy)
        graph._idtype = idtype
        return graph

    def with_frames(self, adjacency: Adjacency, change: Callable[[Frame], Frame]) -> Self:
        """A copy with other edges and changed frames; what is one frame stays one."""
        graph = object.__new__(type(self))
        graph.__dict__.update(self.__dict__)
        graph._adjacency = adjacency
        graph._src_frame = change(self._src_frame)
        same = self._dst_frame is self._src_frame
        graph._dst_frame = graph._src_frame if same else change(self._dst_frame)
        graph._edge_frame = change(self._edge_frame)
        return graph

    def derived(
        self,
        adjacency: Adjacency,
        *,
        nodes: Frame | None = None,
        edge_columns: Columns | None = None,
    ) -> Self:
        """A graph made of this one, with other edges; of this class, as :meth:`local_var` is.

        Attributes that a subclass has set come along; what a ``cached_property`` computed does not.

        Parameters
        ----------
        adjacency : Adjacency
            Its edges.
        nodes : Frame, optional
            Its node columns, one row for each of its nodes; by default this graph's.
        edge_columns : dict or callable, optional
            Its edge columns, as :class:`Frame` takes them; none by default.
        """
        graph = object.__new__(type(self))
        graph.__dict__.update(
            {
                name: value
                for name, value in self.__dict__.items()
                if not isinstance(getattr(type(self), name, None), cached_property)
            }
        )
        graph._pins = ()
        graph._adjacency = adjacency
        graph._idtype = adjacency.fitting(self._idtype)
        graph._src_frame = graph._dst_frame = self.ndata.copy() if nodes is None else nodes
        graph._edge_frame = Frame(adjacency.num_edges, "edge", graph.device, edge_columns)
        return graph


def require_graph(graph: GraphT) -> GraphT:
    """Raise a TypeError or ValueError unless ``graph`` is a graph, and no block."""
    if not isinstance(graph, GraphBase):
        raise TypeError(f"graph: expected a hopflow.Graph, got {type(graph).__name__}")
    if graph.is_block:
        raise ValueError("graph: expected a graph, got a block")
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
