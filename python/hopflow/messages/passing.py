"""Message passing as methods of a graph: over all edges, or over some of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.function import MessageFunction, ReduceFunction
from hopflow.messages import built_in, udf
from hopflow.messages.udf import MessageUdf, NodeUdf, Passing
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.edge_lookup import EdgeLookup
from hopflow.structure.row_view import RowView, write_rows
from hopflow.structure.types import ALL, is_all, require_etype, require_ntype


class MessagePassing(EdgeLookup):
    """Sends messages along edges and reduces them at nodes; a part of :class:`hopflow.Graph`.

    A message function is a built-in of :mod:`hopflow.function` or a Python function of an
    :class:`hopflow.udf.EdgeBatch`; a reduce function likewise, of a
    :class:`hopflow.udf.NodeBatch`.
    Two built-ins run as one fused kernel where there is one.
    """

    # --- over all edges ---

    def update_all(
        self,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None = None,
        etype: Any = None,
    ) -> None:
        """Send a message along every edge and reduce them at the destinations.

        Parameters
        ----------
        message_func : MessageFunction or callable
            A built-in of :mod:`hopflow.function`, such as ``fn.copy_u("h", "m")``, or a function
            that is called with every edge at once and returns a dict of messages, [E, ...] each.
        reduce_func : ReduceFunction or callable
            Such as ``fn.mean("m", "h_N")``; its column of ``dstdata`` is written. Or a function
            that is called for the destinations of each in-degree with their messages, [n, degree,
            ...] each in ``nodes.mailbox``, and returns a dict of columns. Its messages come by
            rising edge id. A destination without in-edges gets 0; if none has any, a Python
            function is not called and nothing is written.
        apply_node_func : callable, optional
            A function of all destinations, which have the reduced columns then; it returns a dict
            of columns, and those are written in place of the reduced ones.
        etype : optional
            There is one edge type.

        Raises
        ------
        KeyError
            A column that is not there.
        TypeError, ValueError
            No such function, feature shapes that do not go together, or a function that returns
            something else than a dict of tensors with one row an edge or node.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.update_all.html
        """
        require_etype(etype)
        self._pass(self._all_edges(), message_func, reduce_func, apply_node_func)

    def apply_edges(
        self, func: MessageFunction | MessageUdf, edges: Any = ALL, etype: Any = None
    ) -> None:
        """Compute edge columns from the columns of edges and their ends.

        Parameters
        ----------
        func : MessageFunction or callable
            A built-in of :mod:`hopflow.function`, such as ``fn.u_dot_v("h", "h", "score")``; its
            column of ``edata`` is written, in the order of edge ids. Or a function of the edges
            that returns a dict of columns.
        edges : optional
            Which edges: ids, a boolean mask, or a pair (sources, destinations); all by default.
            Other edges keep their values, and get 0 in a new column.
        etype : optional
            There is one edge type.

        Raises
        ------
        KeyError
            A column that is not there.
        IndexError
            An id that is not there.
        TypeError, ValueError
            As :meth:`update_all`; a pair of nodes without an edge; rows that do not go into a
            column that is there.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.apply_edges.html
        """
        require_etype(etype)
        passing = self._all_edges() if is_all(edges) else self._some_edges(self._edges(edges))
        write_rows(self._edge_frame, passing.eids, udf.run_message(passing, func))

    # --- over some edges ---

    def send_and_recv(
        self,
        edges: Any,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None = None,
        etype: Any = None,
    ) -> None:
        """:meth:`update_all` over some edges: only their destinations are written.

        Work grows with the edges given, but for the copy of each column that gets new rows.

        Parameters
        ----------
        edges : Tensor, numpy array, sequence of int, int, boolean mask or tuple
            Ids or a mask of the edges, or a pair (sources, destinations). An edge given twice sends
            twice; a reduce function gets messages in the order in which edges are given.
        message_func, reduce_func, apply_node_func, etype
            As in :meth:`update_all`. Without any edge, none is called.

        Raises
        ------
        KeyError, IndexError, TypeError, ValueError
            As :meth:`apply_edges`.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.send_and_recv.html
        """
        require_etype(etype)
        eids = self._edges(edges)
        _require_functions(message_func, reduce_func, apply_node_func)
        if eids.shape[0]:
            self._pass(self._some_edges(eids), message_func, reduce_func, apply_node_func)

    def push(
        self,
        u: Any,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None = None,
        etype: Any = None,
    ) -> None:
        """:meth:`send_and_recv` over the out-edges of nodes ``u``, in the order of ``u``.

        A node given twice counts once. Reads the edges by source, which are made once and kept.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.push.html
        """
        require_etype(etype)
        nodes = self._node_ids("u", u, self._adjacency.num_src)
        nodes, _, _ = ops.compact_ids(nodes, nodes[:0])
        eids = self._adjacency.out_edges(nodes)[2].long()
        self.send_and_recv(eids, message_func, reduce_func, apply_node_func)

    def pull(
        self,
        v: Any,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None = None,
        etype: Any = None,
    ) -> None:
        """:meth:`update_all` over the in-edges of nodes ``v``: only they are written.

        Work grows with their in-edges, but for the copy of each column that gets new rows.

        Parameters
        ----------
        v : Tensor, numpy array, sequence of int, int or boolean mask
            Destination nodes; one given twice counts once. One without in-edges gets 0, but if none
            has any and ``reduce_func`` is a Python function, nothing is reduced.
        message_func, reduce_func, apply_node_func, etype
            As in :meth:`update_all`.

        Raises
        ------
        KeyError, IndexError, TypeError, ValueError
            As :meth:`apply_edges`.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.pull.html
        """
        require_etype(etype)
        nodes = torch.unique(self._node_ids("v", v, self._adjacency.num_dst))
        _require_functions(message_func, reduce_func, apply_node_func)
        if nodes.shape[0] == 0:
            return
        indptr, src, eids = self._adjacency.in_edges(nodes)
        part = Adjacency(indptr, src, None, self._adjacency.num_src, nodes.shape[0])
        passing = self._part(part, nodes, eids.long())
        self._pass(passing, message_func, reduce_func, apply_node_func)

    # --- on nodes ---

    def apply_nodes(self, func: NodeUdf, v: Any = ALL, ntype: Any = None) -> None:
        """Compute node columns from node columns; on a block, of the destination nodes.

        Parameters
        ----------
        func : callable
            A function of the nodes, a :class:`hopflow.udf.NodeBatch`, that returns a dict of
            columns, one row a node.
        v : optional
            Which nodes: ids or a boolean mask; all by default. Other nodes keep their values, and
            get 0 in a new column. Of a node given twice the last row stays.
        ntype : optional
            There is one node type.

        Raises
        ------
        IndexError
            An id that is not there.
        TypeError, ValueError
            No function, or one that returns something else than such a dict.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.apply_nodes.html
        """
        require_ntype(ntype)
        nodes = None if is_all(v) else self._node_ids("v", v, self._adjacency.num_dst)
        passing = self._all_edges()
        if nodes is not None:
            no_edges = Adjacency(
                nodes.new_zeros(nodes.shape[0] + 1), nodes[:0], None, 0, nodes.shape[0]
            )
            passing = self._part(no_edges, nodes, nodes[:0])
        write_rows(self._dst_frame, nodes, udf.run_apply(passing, func))

    # --- parts of the above ---

    def _pass(
        self,
        passing: Passing,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None,
    ) -> None:
        if isinstance(message_func, MessageFunction) and isinstance(reduce_func, ReduceFunction):
            if apply_node_func is not None:
                _require_functions(message_func, reduce_func, apply_node_func)
            result = built_in.update_all(passing.adjacency, passing.data, message_func, reduce_func)
            made = {reduce_func.out_field: result}
        else:
            _require_functions(message_func, reduce_func, apply_node_func)
            messages = udf.run_message(passing, message_func)
            made = udf.run_reduce(passing, messages, reduce_func)
        if apply_node_func is not None:
            made = udf.run_apply(passing, apply_node_func, made)
        write_rows(self._dst_frame, passing.dst_ids, made)

    def _edges(self, edges: Any) -> Tensor:
        """Ids of edges given by ids, a mask or a pair of ends; int64."""
        if not isinstance(edges, tuple):
            return self._edge_ids("edges", edges)
        if len(edges) != 2:
            raise ValueError(
                f"edges: expected ids, a mask or a pair (sources, destinations), got a tuple of"
                f" {len(edges)}"
            )
        ends = self._pairs(*edges, names=("edges[0]", "edges[1]"))
        return self._edge_of_each(*ends)

    def _all_edges(self) -> Passing:
        frames = self._src_frame, self._dst_frame, self._edge_frame
        return Passing(self._adjacency, *frames, None, None, self._idtype)

    def _some_edges(self, eids: Tensor) -> Passing:
        """The edges listed, in this order, and their distinct destinations by rising id."""
        src, dst = self._adjacency.ends(eids)
        nodes, numbers = torch.unique(dst, return_inverse=True)
        part = Adjacency.from_coo(src, numbers, self._adjacency.num_src, nodes.shape[0])
        return self._part(part, nodes, eids)

    def _part(self, adjacency: Adjacency, nodes: Tensor, eids: Tensor) -> Passing:
        destinations, edges = RowView(self._dst_frame, nodes), RowView(self._edge_frame, eids)
        return Passing(adjacency, self._src_frame, destinations, edges, nodes, eids, self._idtype)


def _require_functions(message_func: object, reduce_func: object, apply: object) -> None:
    """Raise unless the functions of message passing can be called, before any is."""
    udf.require_function("message function", message_func, MessageFunction, 'copy_u("h", "m")')
    udf.require_function("reduce function", reduce_func, ReduceFunction, 'mean("m", "h")')
    if apply is not None:
        udf.require_function("apply_node_func", apply, None, "")
