"""Questions to a graph's structure: which edges, which neighbours, which types."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.graph_base import GraphBase
from hopflow.structure.ids import as_edge_ids, as_ids, as_node_ids
from hopflow.structure.types import CANONICAL, ETYPE, NTYPE, is_one, require_etype, require_ntype


class EdgeLookup(GraphBase):
    """What a graph tells about its edges and neighbours; a part of :class:`hopflow.Graph`.

    Edges are stored by destination, so in-edges cost O(their number). The first question about edge
    ids makes and keeps an inverse permutation, where edges were not given sorted by destination
    (4 or 8 bytes an edge); the first question about out-edges makes and keeps the edges by source
    (:meth:`Adjacency.transpose`).
    """

    # --- types: one of nodes and one of edges, by DGL's names ---

    @property
    def ntypes(self) -> list[str]:
        """Names of the node types: ``["_N"]``; on a block one for each side."""
        return [NTYPE, NTYPE] if self.is_block else [NTYPE]

    @property
    def etypes(self) -> list[str]:
        """Names of the edge types: ``["_E"]``."""
        return [ETYPE]

    @property
    def canonical_etypes(self) -> list[tuple[str, str, str]]:
        """Edge types with those of their ends: ``[("_N", "_E", "_N")]``."""
        return [CANONICAL]

    @property
    def srctypes(self) -> list[str]:
        """Names of the source node types: ``["_N"]``."""
        return [NTYPE]

    @property
    def dsttypes(self) -> list[str]:
        """Names of the destination node types: ``["_N"]``."""
        return [NTYPE]

    @property
    def is_homogeneous(self) -> bool:
        """Whether there is one type of nodes: True on a graph, False on a block, as in DGL."""
        return not self.is_block

    # --- nodes and edges ---

    def has_nodes(self, vid: Any, ntype: Any = None) -> Tensor | bool:
        """Whether each id is a node's, bool, shape [n], or a bool for a single id.

        On a block its destination nodes are meant, as with ``nodes()``.

        Raises
        ------
        IndexError
            A negative id.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.has_nodes.html
        """
        require_ntype(ntype)
        ids = as_ids("vid", vid)
        if (ids < 0).any():
            at = int((ids < 0).nonzero()[0])
            raise IndexError(f"vid[{at}] is {int(ids[at])}, expected ids of at least 0")
        found = (ids < self._adjacency.num_dst).to(self._adjacency.indices.device)
        return bool(found) if is_one(vid) else found

    def find_edges(self, eid: Any, etype: Any = None) -> tuple[Tensor, Tensor]:
        """Ends of edges.

        Parameters
        ----------
        eid : Tensor, numpy array, sequence of int, int or boolean mask
            Edge ids, shape [n].
        etype : optional
            There is one edge type.

        Returns
        -------
        tuple of Tensor
            Source and destination of each, shape [n], dtype ``idtype``.

        Raises
        ------
        IndexError
            An id is no edge's.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.find_edges.html
        """
        require_etype(etype)
        src, dst = self._adjacency.ends(self._edge_ids("eid", eid))
        return src.to(self._idtype), dst.to(self._idtype)

    def edge_ids(self, u: Any, v: Any, return_uv: bool = False, etype: Any = None) -> Any:
        """Ids of the edges between pairs of nodes.

        Work grows with the in-edges of the distinct nodes of ``v``, not with the graph.

        Parameters
        ----------
        u, v : Tensor, numpy array, sequence of int or int
            Sources and destinations, shape [n] each; a single one is paired with all of the other.
        return_uv : bool
            Return every edge of each pair, rather than one.
        etype : optional
            There is one edge type.

        Returns
        -------
        Tensor, int or tuple of Tensor
            The id of the edge of each pair, shape [n], and among parallel edges the lowest; an int
            for two ints. With ``return_uv``: sources, destinations and ids of all edges of the
            pairs, shape [m] each, pair by pair and by rising id.

        Raises
        ------
        ValueError
            A pair without an edge, unless ``return_uv``; numbers of ids that make no pairs.
        IndexError
            An id is no node's.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.edge_ids.html
        """
        require_etype(etype)
        src, dst = self._pairs(u, v)
        if not return_uv:
            found = self._edge_of_each(src, dst).to(self._idtype)
            return int(found) if is_one(u) and is_one(v) else found
        first, count, eids = self._edges_between(src, dst)
        ends = count.cumsum(0)
        total = int(ends[-1]) if ends.numel() else 0
        pair = torch.repeat_interleave(count, output_size=total)
        offset = torch.arange(total, device=pair.device) - (ends - count)[pair]
        found = eids[first[pair] + offset]
        return tuple(x.to(self._idtype) for x in (src[pair], dst[pair], found))

    def has_edges_between(self, u: Any, v: Any, etype: Any = None) -> Tensor | bool:
        """Whether there is an edge from ``u[i]`` to ``v[i]``, bool, shape [n].

        Parameters, errors and cost as those of :meth:`edge_ids`; a bool for two ints.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.has_edges_between.html
        """
        require_etype(etype)
        found = self._edges_between(*self._pairs(u, v))[1] > 0
        return bool(found) if is_one(u) and is_one(v) else found

    def in_edges(self, v: Any, form: str = "uv", etype: Any = None) -> Any:
        """In-edges of nodes, in the order of ``v``; those of a node given twice come twice.

        Parameters
        ----------
        v : Tensor, numpy array, sequence of int, int or boolean mask
            Destination nodes.
        form : {"uv", "eid", "all"}
            What to return: (sources, destinations), edge ids, or all three.
        etype : optional
            There is one edge type.

        Returns
        -------
        tuple of Tensor, or Tensor
            Each of shape [number of edges] and dtype ``idtype``.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.in_edges.html
        """
        require_etype(etype)
        _require_form(form)
        nodes = self._node_ids("v", v, self._adjacency.num_dst)
        indptr, src, eids = self._adjacency.in_edges(nodes)
        return self._as_form(form, src, _owners(nodes, indptr, eids), eids)

    def out_edges(self, u: Any, form: str = "uv", etype: Any = None) -> Any:
        """Out-edges of nodes; as :meth:`in_edges`, those of each node by rising edge id.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.out_edges.html
        """
        require_etype(etype)
        _require_form(form)
        nodes = self._node_ids("u", u, self._adjacency.num_src)
        indptr, dst, eids = self._adjacency.out_edges(nodes)
        return self._as_form(form, _owners(nodes, indptr, eids), dst, eids)

    def predecessors(self, v: Any, etype: Any = None) -> Tensor:
        """Sources of the in-edges of one node, shape [its in-degree]; parallel edges count each.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.predecessors.html
        """
        src: Tensor = self.in_edges(_one("v", v), etype=etype)[0]
        return src

    def successors(self, v: Any, etype: Any = None) -> Tensor:
        """Destinations of the out-edges of one node, shape [its out-degree].

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.successors.html
        """
        nodes = self._node_ids("v", _one("v", v), self._adjacency.num_src)
        require_etype(etype)
        return self._adjacency.out_edges(nodes)[1].to(self._idtype)

    # --- parts of the above ---

    def _node_ids(self, name: str, nodes: Any, num_nodes: int) -> Tensor:
        return as_node_ids(name, nodes, num_nodes, device=self._adjacency.indices.device)

    def _edge_ids(self, name: str, edges: Any) -> Tensor:
        """Edges given by ids or a mask; int64."""
        adjacency = self._adjacency
        return as_edge_ids(name, edges, adjacency.num_edges, device=adjacency.indices.device)

    def _as_form(self, form: str, src: Tensor, dst: Tensor, eids: Tensor) -> Any:
        wanted = {"uv": (src, dst), "eid": (eids,), "all": (src, dst, eids)}[form]
        result = tuple(x.to(self._idtype) for x in wanted)
        return result[0] if form == "eid" else result

    def _pairs(self, u: Any, v: Any, names: tuple[str, str] = ("u", "v")) -> tuple[Tensor, Tensor]:
        src = self._node_ids(names[0], u, self._adjacency.num_src)
        dst = self._node_ids(names[1], v, self._adjacency.num_dst)
        n, m = src.shape[0], dst.shape[0]
        if n != m and 1 not in (n, m):
            raise ValueError(
                f"{names[1]}: expected as many nodes as {names[0]}, {n}, or a single one, got {m}"
            )
        return (src.expand(m), dst) if n == 1 else (src, dst.expand(n))

    def _edge_of_each(self, src: Tensor, dst: Tensor) -> Tensor:
        """The lowest edge of each pair, int64; every pair must have one."""
        first, count, eids = self._edges_between(src, dst)
        if not bool(count.all()):
            at = int((count == 0).nonzero()[0])
            raise ValueError(f"there is no edge from {int(src[at])} to {int(dst[at])} (pair {at})")
        return eids[first]

    def _edges_between(self, src: Tensor, dst: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``(first, count, eids)``: the edges of pair i are ``eids[first[i]:first[i] + count[i]]``.

        They come by rising id.
        """
        nodes, dst_numbers = torch.unique(dst, return_inverse=True)
        wanted, src_numbers = torch.unique(src, return_inverse=True)
        indptr, found_src, eids = self._adjacency.in_edges(nodes)
        rows = ops.destinations(indptr, eids.shape[0], torch.int64)
        # Edges from other sources than those asked for are numbered after them and left out.
        _, _, numbers = ops.compact_ids(wanted, found_src.to(wanted.dtype))
        kept = (numbers < wanted.shape[0]).nonzero().squeeze(1)
        numbers, rows, eids = numbers[kept].long(), rows[kept], eids[kept].long()
        order = torch.argsort(eids)
        # Numbers, not ids: their product fits int64.
        keys = rows * wanted.shape[0] + numbers
        order = order[torch.argsort(keys[order], stable=True)]
        keys, asked = keys[order], dst_numbers * wanted.shape[0] + src_numbers
        first = torch.searchsorted(keys, asked)
        return first, torch.searchsorted(keys, asked, right=True) - first, eids[order]


def _require_form(form: str) -> None:
    if form not in ("uv", "eid", "all"):
        raise ValueError(f'form: expected "uv", "eid" or "all", got {form!r}')


def _owners(nodes: Tensor, indptr: Tensor, edges: Tensor) -> Tensor:
    """The node that each listed edge was asked for with."""
    return torch.repeat_interleave(nodes, indptr.diff(), output_size=edges.shape[0])


def _one(name: str, node: Any) -> Any:
    ids = as_ids(name, node)
    if ids.shape[0] != 1:
        raise ValueError(f"{name}: expected one node, got {ids.shape[0]}")
    return ids
