"""Message passing as methods of a graph: over all edges, or over some of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.function import MessageFunction, ReduceFunction
from hopflow.messages import built_in, udf
from hopflow.messages.cross_reducers import (
    CrossReducer,
    Result,
    has_absent,
    merge,
    reducer_of_all,
    require_cross_reducer,
)
from hopflow.messages.udf import MessageUdf, NodeUdf, Passing
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.edge_lookup import EdgeLookup
from hopflow.structure.frame import Frame
from hopflow.structure.row_view import RowView, write_rows
from hopflow.structure.types import ALL, is_all


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
        etype : str or tuple, optional
            Which edges, where there are several types. Without it built-ins take all of them:
            :meth:`multi_update_all` with the reduce function's own name as cross reducer, which is
            "sum", "max" or "min" then.

        Raises
        ------
        KeyError
            A column that is not there.
        TypeError, ValueError
            No such function, feature shapes that do not go together, or a function that returns
            something else than a dict of tensors with one row an edge or node. No ``etype`` where
            it is needed.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.update_all.html
        """
        if etype is None and self._relations is not None and len(self._relations) > 1:
            across = reducer_of_all(self._schema, message_func, reduce_func)
            functions = dict.fromkeys(self._relations, (message_func, reduce_func))
            self.multi_update_all(functions, across, apply_node_func)
            return
        one = self.relation(etype)
        one._pass(one._all_edges(), message_func, reduce_func, apply_node_func)

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
        etype : str or tuple, optional
            Which edges, where there are several types. Without it a built-in takes all of them.

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
        takes_all = etype is None and is_all(edges) and isinstance(func, MessageFunction)
        tables = list(self.relations.values()) if takes_all else [self.relation(etype)]
        parts = [
            one._all_edges() if is_all(edges) else one._some_edges(one._edges(edges))
            for one in tables
        ]
        made = [udf.run_message(part, func) for part in parts]
        for one, part, columns in zip(tables, parts, made):  # all are made before any is written
            write_rows(one._edge_frame, part.eids, columns)

    def multi_update_all(
        self,
        etype_dict: Mapping[Any, Sequence[Any]],
        cross_reducer: CrossReducer,
        apply_node_func: NodeUdf | None = None,
    ) -> None:
        """:meth:`update_all` over several types of edges; a node's results are merged into one.

        Parameters
        ----------
        etype_dict : mapping
            ``{etype: (message_func, reduce_func)}`` or ``(message_func, reduce_func,
            apply_node_func)``, as :meth:`update_all` takes them.
        cross_reducer : {"sum", "min", "max", "mean", "stack"} or callable
            How columns of one name from several types of edges are merged. "stack" gives [num_dst,
            number of edge types, ...] in the order of ``canonical_etypes``, of one type too. A
            function gets a list of the columns, in the order of ``etype_dict``, and returns one; it
            is not called for a single column. Where a node has no in-edges of a
            type, "max" and "min" leave that type out if its reducer is the built-in ``fn.max`` or
            ``fn.min``; elsewhere it counts as 0.
        apply_node_func : callable, optional
            A function of all nodes of each type that got columns, called when these are written.

        Raises
        ------
        KeyError, TypeError, ValueError
            As :meth:`update_all`; columns that do not go together. Nothing has been written then.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.multi_update_all.html
        """
        require_cross_reducer(cross_reducer)
        if not isinstance(etype_dict, Mapping):
            raise TypeError(
                "etype_dict: expected {etype: (message_func, reduce_func)}, got"
                f" {type(etype_dict).__name__}"
            )
        given = {self._schema.relation(etype): _functions(f) for etype, f in etype_dict.items()}
        if len(given) < len(etype_dict):
            raise ValueError("etype_dict: expected each type of edges once, by one of its names")
        results: dict[str, list[Result]] = {}
        # A function may take its columns apart: they come as the user listed the relations.
        listed = given if callable(cross_reducer) else self._schema.relations
        for relation in listed:
            if relation not in given:
                continue
            one = self.relation(relation)
            functions = given[relation]
            made = one._made(one._all_edges(), *functions)
            absent = one._adjacency.in_degrees() == 0 if has_absent(functions[1]) else None
            results.setdefault(relation[2], []).append(Result(made, absent))
        merged = {ntype: merge(found, cross_reducer) for ntype, found in results.items()}
        for ntype, columns in merged.items():
            for name, column in columns.items():
                self.node_frame(ntype, "dst").check(name, column)
        for ntype, columns in merged.items():
            write_rows(self.node_frame(ntype, "dst"), None, columns)
            if apply_node_func is not None:
                self.apply_nodes(apply_node_func, ntype=ntype)

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
        one = self.relation(etype)
        eids = one._edges(edges)
        udf.require_functions(message_func, reduce_func, apply_node_func)
        if eids.shape[0]:
            one._pass(one._some_edges(eids), message_func, reduce_func, apply_node_func)

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
        one = self.relation(etype)
        nodes = one._node_ids("u", u, one._adjacency.num_src)
        nodes, _, _ = ops.compact_ids(nodes, nodes[:0])
        eids = one._adjacency.out_edges(nodes)[2].long()
        one.send_and_recv(eids, message_func, reduce_func, apply_node_func)

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
        one = self.relation(etype)
        nodes = torch.unique(one._node_ids("v", v, one._adjacency.num_dst))
        udf.require_functions(message_func, reduce_func, apply_node_func)
        if nodes.shape[0] == 0:
            return
        indptr, src, eids = one._adjacency.in_edges(nodes)
        part = Adjacency(indptr, src, None, one._adjacency.num_src, nodes.shape[0])
        passing = one._part(part, nodes, eids.long())
        one._pass(passing, message_func, reduce_func, apply_node_func)

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
        ntype : str, optional
            Which nodes, where there are several types.

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
        frame = self.node_frame(ntype)
        nodes = None if is_all(v) else self._node_ids("v", v, frame.num_rows)
        side, name = self._schema.side(ntype) if self.is_block else ("node", ntype)
        passing = self._without_edges(frame, nodes, self._schema.ntype(name, side))
        write_rows(frame, nodes, udf.run_apply(passing, func))

    # --- parts of the above ---

    def _pass(
        self,
        passing: Passing,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None,
    ) -> None:
        made = self._made(passing, message_func, reduce_func, apply_node_func)
        write_rows(self._dst_frame, passing.dst_ids, made)

    def _made(
        self,
        passing: Passing,
        message_func: MessageFunction | MessageUdf,
        reduce_func: ReduceFunction | NodeUdf,
        apply_node_func: NodeUdf | None,
    ) -> dict[str, Tensor]:
        """The columns that the destinations are to get."""
        if isinstance(message_func, MessageFunction) and isinstance(reduce_func, ReduceFunction):
            if apply_node_func is not None:
                udf.require_functions(message_func, reduce_func, apply_node_func)
            result = built_in.update_all(passing.adjacency, passing.data, message_func, reduce_func)
            made = {reduce_func.out_field: result}
        else:
            udf.require_functions(message_func, reduce_func, apply_node_func)
            messages = udf.run_message(passing, message_func)
            made = udf.run_reduce(passing, messages, reduce_func)
        if apply_node_func is not None:
            made = udf.run_apply(passing, apply_node_func, made)
        return made

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
        relation = self._schema.relations[0]
        return Passing(self._adjacency, *frames, None, None, self._idtype, relation)

    def _some_edges(self, eids: Tensor) -> Passing:
        """The edges listed, in this order, and their distinct destinations by rising id."""
        src, dst = self._adjacency.ends(eids)
        nodes, numbers = torch.unique(dst, return_inverse=True)
        part = Adjacency.from_coo(src, numbers, self._adjacency.num_src, nodes.shape[0])
        return self._part(part, nodes, eids)

    def _part(self, adjacency: Adjacency, nodes: Tensor, eids: Tensor) -> Passing:
        destinations, edges = RowView(self._dst_frame, nodes), RowView(self._edge_frame, eids)
        relation = self._schema.relations[0]
        return Passing(
            adjacency, self._src_frame, destinations, edges, nodes, eids, self._idtype, relation
        )

    def _without_edges(self, frame: Frame, nodes: Tensor | None, ntype: str) -> Passing:
        """Nodes by themselves, all of a frame or some; no messages pass."""
        num_nodes = frame.num_rows if nodes is None else nodes.shape[0]
        none = torch.empty(0, dtype=torch.int64, device=self.device)
        adjacency = Adjacency(none.new_zeros(num_nodes + 1), none, None, 0, num_nodes)
        columns = frame if nodes is None else RowView(frame, nodes)
        relation = (ntype, "", ntype)
        return Passing(adjacency, {}, columns, {}, nodes, None, self._idtype, relation)


def _functions(given: Any) -> tuple[Any, Any, Any]:
    """Message, reduce and perhaps apply function of one type of edges; all checked."""
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise TypeError(
            "etype_dict: expected (message_func, reduce_func) or (message_func, reduce_func,"
            f" apply_node_func) for each type of edges, got {given!r}"
        )
    functions = (*given, None)[:3]
    udf.require_functions(*functions)
    return functions
