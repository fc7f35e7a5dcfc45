"""Where a graph lives and how its ids are stored: devices, page-locked memory, dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.frame import Frame, resident
from hopflow.structure.graph_base import GraphBase

if TYPE_CHECKING:
    from typing_extensions import Self


class Placement(GraphBase):
    """What moves a graph or converts its ids; a part of :class:`hopflow.Graph`."""

    def to(self, device: str | torch.device | int) -> Self:
        """The graph and its columns on a device; itself if it is there already."""
        device = torch.device(device)
        if device == self.device or (device.type == self.device.type and device.index is None):
            return self
        ops.require_fit(f"{type(self).__name__.lower()}.to", self._tensors(), device)

        def move(x: Tensor) -> Tensor:
            return x.to(device)

        # With its number, which "cuda" alone does not tell.
        there = self.some_array().new_empty(0).to(device).device
        made = self.with_frames(lambda edges: edges.map(move), lambda frame: frame.map(move, there))
        made._pins = ()
        if made._batch_num_nodes is not None:
            made._batch_num_nodes = {t: move(x) for t, x in made._batch_num_nodes.items()}
        if made._batch_num_edges is not None:
            made._batch_num_edges = {r: move(x) for r, x in made._batch_num_edges.items()}
        return made

    def some_array(self) -> Tensor:
        """One of the edges' arrays: it tells where they are."""
        return next(iter(self.relations.values()))._adjacency.indices

    def _tensors(self) -> list[Tensor]:
        """The edges' arrays and every column that is at hand, each once."""
        found: list[Tensor] = []
        frames: list[Frame] = []
        if self._relations is not None:
            frames += [*self._src_frames.values(), *self._dst_frames.values()]
        for one in self.relations.values():
            found += one._adjacency.arrays()
            frames += [one._src_frame, one._dst_frame, one._edge_frame]
        for frame in frames:
            for key in frame:
                if frame.is_read(key):
                    found += resident(frame.column(key))
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
        arrays = [x for one in self.relations.values() for x in one._adjacency.arrays()]
        return all(ops.is_pinned(x) for x in arrays if x.numel())

    def int(self) -> Self:
        """The graph with int32 ids; a ValueError if they cannot number its nodes and edges."""
        return self._as_idtype(torch.int32)

    def long(self) -> Self:
        """The graph with int64 ids."""
        return self._as_idtype(torch.int64)

    def astype(self, idtype: torch.dtype | None) -> Self:
        """The graph with ids of this dtype, as :meth:`int` and :meth:`long`; itself for None.

        References
        ----------
        https://www.dgl.ai/dgl_docs/api/python/dgl.DGLGraph.html
        """
        if idtype is None:
            return self
        if idtype not in (torch.int32, torch.int64):
            raise TypeError(f"idtype: expected torch.int32 or torch.int64, got {idtype}")
        return self._as_idtype(idtype)

    def record_stream(self, stream: torch.cuda.Stream) -> Self:
        """Keep the memory of the edges and columns from being reused before a stream is done.

        For a graph that is used on another stream than the one it was made on, and let go of. Of
        columns those that have been read.

        Parameters
        ----------
        stream : torch.cuda.Stream
            The stream that uses the graph.

        Returns
        -------
        Graph
            This one.

        Raises
        ------
        HopflowError
            The graph is not on a GPU.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.record_stream.html
        """
        if self.device.type != "cuda":
            raise ops.HopflowError(f"record_stream: the graph is on {self.device}, expected a GPU")
        for x in self._tensors():
            x.record_stream(stream)
        return self

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
        for one in self.relations.values():
            if one._adjacency.fitting(idtype) != idtype:
                raise ValueError(f"idtype: {one._adjacency.most()} nodes or edges do not fit int32")
        graph = self.with_frames(None, Frame.copy)
        graph._idtype = idtype
        for one in graph.relations.values():
            one._idtype = idtype
        return graph
