"""Questions to a graph's structure: which edges, which neighbours, which types."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.ids import as_edge_ids, as_ids, as_node_ids
from hopflow.structure.placement import Placement
from hopflow.structure.types import Relation, is_one


class EdgeLookup(Placement):
    """What a graph tells about its edges and neighbours; a part of :class:`hopflow.Graph`.

    Edges are stored by destination, so in-edges cost O(their number). The first question about edge
    ids makes and keeps an inverse permutation, where edges were not given sorted by destination
    (4 or 8 bytes an edge); the first question about out-edges makes and keeps the edges by source
    (:meth:`Adjacency.transpose`).
    """

    # --- types ---

    @property
    def ntypes(self) -> list[str]:
        """Names of the node types; of a block those of its sources, then of its destinations."""
        return list(self._schema.ntypes)

    @property
    def etypes(self) -> list[str]:
        """Names of the edge types, one for each relation."""
        return [relation[1] for relation in self._schema.relations]

    @property
    def canonical_etypes(self) -> list[Relation]:
        """Relations: ``(source type, name, destination type)`` each."""
        return list(self._schema.relations)

    @property
    def srctypes(self) -> list[str]:
        """Names of the types that sources have; all, unless these and destinations' are apart."""
        return list(self._schema.srctypes)

    @property
    def dsttypes(self) -> list[str]:
        """Names of the types that destinations have; as :attr:`srctypes`."""
        return list(self._schema.dsttypes)

    @property
    def is_unibipartite(self) -> bool:
        """Whether no node type is both of sources and of destinations; True on a block."""
        return self._schema.srctypes != self._schema.dsttypes or self.is_block

    def to_canonical_etype(self, etype: Any) -> Relation:
        """The relation that a name stands for, ``(source type, name, destination type)``.

        Raises
        ------
        ValueError
            There is none of that name, or several.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.to_canonical_etype.html
        """
        return self._schema.relation(etype)

    def get_ntype_id(self, ntype: Any) -> int:
        """Number of a node type, as in ``to_homogeneous(g).ndata[dgl.NTYPE]``."""
        return self._schema.ntypes.index(self._schema.ntype(ntype))

    def get_ntype_id_from_src(self, ntype: Any) -> int:
        """Number of a node type among :attr:`srctypes`."""
        return self._schema.srctypes.index(self._schema.ntype(ntype, "src"))

    def get_ntype_id_from_dst(self, ntype: Any) -> int:
        """Number of a node type among :attr:`dsttypes`."""
        return self._schema.dsttypes.index(self._schema.ntype(ntype, "dst"))

    def get_etype_id(self, etype: Any = None) -> int:
        """Number of a relation, as in ``to_homogeneous(g).edata[dgl.ETYPE]``."""
        return self._schema.relations.index(self._schema.relation(etype))

    # --- nodes and edges ---

    @property
    def is_multigraph(self) -> bool:
        """Whether edges are parallel: two of one relation with the same source and destination.

        Sorts the edges, O(E log E), every time.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.is_multigraph.html
        """
        return any(_has_parallel(one._adjacency) for one in self.relations.values())

    def has_nodes(self, vid: Any, ntype: Any = None) -> Tensor | bool:
        """Whether each id is a node's, bool, shape [n], or a bool for a single id.

        On a block its destination nodes are meant, as with ``nodes()``; of several types ``ntype``
        says which.

        Raises
        ------
        IndexError
            A negative id.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.has_nodes.html
        """
        frame = self.node_frame(ntype)
        ids = as_ids("vid", vid)
        if (ids < 0).any():
            at = int((ids < 0).nonzero()[0])
            raise IndexError(f"vid[{at}] is {int(ids[at])}, expected ids of at least 0")
        found = (ids < frame.num_rows).to(self.device)
        return bool(found) if is_one(vid) else found

    def find_edges(self, eid: Any, etype: Any = None) -> tuple[Tensor, Tensor]:
        """Ends of edges.

        Parameters
        ----------
        eid : Tensor, numpy array, sequence of int, int or boolean mask
            Edge ids, shape [n].
        etype : str or tuple, optional
            Which edges, where there are several types.

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
        one = self.relation(etype)
        src, dst = one._adjacency.ends(one._edge_ids("eid", eid))
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
        etype : str or tuple, optional
            Which edges, where there are several types.

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
        one = self.relation(etype)
        src, dst = one._pairs(u, v)
        if not return_uv:
            found = one._edge_of_each(src, dst).to(self._idtype)
            return int(found) if is_one(u) and is_one(v) else found
        first, count, eids = one._edges_between(src, dst)
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
        one = self.relation(etype)
        found = one._edges_between(*one._pairs(u, v))[1] > 0
        return bool(found) if is_one(u) and is_one(v) else found

    def in_edges(self, v: Any, form: str = "uv", etype: Any = None) -> Any:
        """In-edges of nodes, in the order of ``v``; those of a node given twice come twice.

        Parameters
        ----------
        v : Tensor, numpy array, sequence of int, int or boolean mask
            Destination nodes.
        form : {"uv", "eid", "all"}
            What to return: (sources, destinations), edge ids, or all three.
        etype : str or tuple, optional
            Which edges, where there are several types.

        Returns
        -------
        tuple of Tensor, or Tensor
            Each of shape [number of edges] and dtype ``idtype``.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.in_edges.html
        """
        adjacency = self.relation(etype)._adjacency
        _require_form(form)
        nodes = self._node_ids("v", v, adjacency.num_dst)
        indptr, src, eids = adjacency.in_edges(nodes)
        return self._as_form(form, src, _owners(nodes, indptr, eids), eids)

    def out_edges(self, u: Any, form: str = "uv", etype: Any = None) -> Any:
        """Out-edges of nodes; as :meth:`in_edges`, those of each node by rising edge id.

        References
        ----------
        https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.out_edges.html
        """
        adjacency = self.relation(etype)._adjacency
        _require_form(form)
        nodes = self._node_ids("u", u, adjacency.num_src)
        indptr, dst, eids = adjacency.out_edges(nodes)
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
        adjacency = self.relation(etype)._adjacency
        nodes = self._node_ids("v", _one("v", v), adjacency.num_src)
        return adjacency.out_edges(nodes)[1].to(self._idtype)

    # --- parts of the above ---

    def _node_ids(self, name: str, nodes: Any, num_nodes: int) -> Tensor:
        return as_node_ids(name, nodes, num_nodes, device=self.device)

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


def _has_parallel(adjacency: Adjacency) -> bool:
    src, order = torch.sort(adjacency.indices, stable=True)
    dst = adjacency.destinations()[order]
    # Positions come by destination, row by row, so those of one source do too.
    return bool(((src[1:] == src[:-1]) & (dst[1:] == dst[:-1])).any())


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
