"""A graph as a sparse matrix: its adjacency and incidence matrices, for torch and scipy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from hopflow.structure.graph_base import GraphBase
from hopflow.structure.types import Relation
from hopflow.transforms.export import require_library

_CPU = torch.device("cpu")


def adj(g: GraphBase, etype: Any = None, eweight_name: str | None = None) -> Tensor:
    """The adjacency matrix: row ``u``, column ``v`` for each edge from ``u`` to ``v``.

    Parameters
    ----------
    g : Graph
        A graph or block.
    etype : str or tuple, optional
        Which edges, where there are several types.
    eweight_name : str, optional
        Edge column with the entries, [E] or [E, d]; by default they are 1.

    Returns
    -------
    Tensor
        Sparse COO, shape [sources, destinations] or [sources, destinations, d], where the graph is;
        float32, or a copy of the column, through which gradients flow. Entry ``e`` is edge ``e``:
        it is not coalesced, and parallel edges have an entry each, which torch's operations add up.
        DGL returns its ``dgl.sparse.SparseMatrix`` instead.

    Raises
    ------
    KeyError
        A column that is not there.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.adj.html
    """
    one = g.relation(etype)
    src, dst = one.adjacency.coo()
    if eweight_name is None:
        values = torch.ones(src.shape[0], dtype=torch.float32, device=g.device)
    else:
        # A write into a sparse tensor's entries would reach the column without its version telling
        # so, which what is kept of weights goes by.
        values = one.edge_frame[eweight_name].clone()
    return _coo(src, dst, values, one.adjacency.num_src, one.adjacency.num_dst)


def adj_external(
    g: GraphBase,
    transpose: bool = False,
    ctx: torch.device | str = _CPU,
    scipy_fmt: str | None = None,
    etype: Any = None,
) -> Any:
    """:func:`adj` with entries 1, as a tensor of torch or a matrix of scipy.

    Parameters
    ----------
    g : Graph
        A graph or block.
    transpose : bool
        Whether rows are destinations and columns sources.
    ctx : torch.device or str
        Where the tensor is to be; the CPU by default.
    scipy_fmt : {"coo", "csr"}, optional
        The form of a scipy matrix, whose entries are of the graph's ``idtype``.
    etype : str or tuple, optional
        Which edges, where there are several types.

    Returns
    -------
    Tensor or scipy.sparse.spmatrix
        A sparse COO tensor, float32; or a matrix on the CPU, in which parallel edges have an entry
        each.

    Raises
    ------
    ImportError
        scipy is asked for and not installed.
    ValueError
        Another form.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.adj_external.html
    """
    one = g.relation(etype)
    num_src, num_dst = one.adjacency.num_src, one.adjacency.num_dst
    shape = (num_dst, num_src) if transpose else (num_src, num_dst)
    if scipy_fmt is None:
        src, dst = (x.to(ctx) for x in one.adjacency.coo())
        rows, columns = (dst, src) if transpose else (src, dst)
        return _coo(rows, columns, torch.ones_like(rows, dtype=torch.float32), *shape)
    sparse = require_library("scipy.sparse", "scipy", "adj_external with scipy_fmt")
    if scipy_fmt not in ("coo", "csr"):
        raise ValueError(f'scipy_fmt: expected "coo" or "csr", got {scipy_fmt!r}')
    ones = torch.ones(one.num_edges(), dtype=g.idtype, device=_CPU).numpy()
    if scipy_fmt == "coo":
        ends = [x.to(_CPU, g.idtype).numpy() for x in one.adjacency.coo()]
        return sparse.coo_matrix((ones, tuple(ends[::-1] if transpose else ends)), shape=shape)
    indptr, indices, _ = adj_tensors(g, "csc" if transpose else "csr", etype)
    return sparse.csr_matrix((ones, indices.cpu().numpy(), indptr.cpu().numpy()), shape=shape)


def adj_tensors(g: GraphBase, fmt: str, etype: Any = None) -> tuple[Tensor, ...]:
    """The arrays of the adjacency matrix, with a row for each source.

    Parameters
    ----------
    g : Graph
        A graph or block.
    fmt : {"coo", "csr", "csc"}
        Which arrays.
    etype : str or tuple, optional
        Which edges, where there are several types.

    Returns
    -------
    tuple of Tensor
        Copies, dtype ``idtype``, where the graph is. For "coo" the source and destination of each
        edge, [E] each. For "csr" and "csc" ``(indptr, indices, edge ids)``: the destinations of
        each source, or the sources of each destination; within one by rising edge id.

    Raises
    ------
    ValueError
        Another form.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.adj_tensors.html
    """
    edges = g.relation(etype).adjacency
    if fmt == "coo":
        found: tuple[Tensor, ...] = edges.coo()
    elif fmt == "csr":
        every = torch.arange(edges.num_src, device=g.device)
        found = edges.out_edges(every)
    elif fmt == "csc":
        every = torch.arange(edges.num_dst, device=g.device)
        indptr, src, eids = edges.in_edges(every)
        # Arrays that users gave may list the edges of a row in another order.
        order = torch.argsort(eids)
        order = order[torch.argsort(torch.repeat_interleave(indptr.diff())[order], stable=True)]
        found = indptr, src[order], eids[order]
    else:
        raise ValueError(f'fmt: expected "coo", "csr" or "csc", got {fmt!r}')
    return tuple(x.to(g.idtype, copy=True) for x in found)


def inc(g: GraphBase, typestr: str, ctx: torch.device | str = _CPU, etype: Any = None) -> Tensor:
    """The incidence matrix: which nodes each edge enters or leaves.

    Parameters
    ----------
    g : Graph
        A graph.
    typestr : {"in", "out", "both"}
        With "in", 1 at ``[v, e]`` where ``v`` is the destination of edge ``e``; with "out" where it
        is the source; with "both", 1 for the destination and -1 for the source, and nothing for a
        self-loop.
    ctx : torch.device or str
        Where the matrix is to be; the CPU by default.
    etype : str or tuple, optional
        Which edges, where there are several types; for "both" between nodes of one type.

    Returns
    -------
    Tensor
        Sparse COO, float32, shape [nodes, E].

    Raises
    ------
    ValueError
        Another ``typestr``, or "both" where sources and destinations are nodes apart.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.inc.html
    """
    relation: Relation = g.schema.relation(etype)
    edges = g.relation(relation).adjacency
    src, dst = (x.to(ctx) for x in edges.coo())
    every = torch.arange(src.shape[0], device=src.device)
    ones = torch.ones_like(every, dtype=torch.float32)
    if typestr == "in":
        return _coo(dst, every, ones, edges.num_dst, src.shape[0])
    if typestr == "out":
        return _coo(src, every, ones, edges.num_src, src.shape[0])
    if typestr != "both":
        raise ValueError(f'typestr: expected "in", "out" or "both", got {typestr!r}')
    if g.is_block or relation[0] != relation[2]:
        raise ValueError(
            f'typestr: expected "in" or "out" for edges between nodes apart, those of {relation!r},'
            ' got "both"'
        )
    kept = (src != dst).nonzero().squeeze(1)
    ones = ones[kept]
    rows = torch.cat([src[kept], dst[kept]])
    return _coo(rows, every[kept].repeat(2), torch.cat([-ones, ones]), edges.num_dst, src.shape[0])


def _coo(rows: Tensor, columns: Tensor, values: Tensor, num_rows: int, num_columns: int) -> Tensor:
    indices = torch.stack([rows.long(), columns.long()])
    shape = (num_rows, num_columns, *values.shape[1:])
    # Not asked to check: ids of edges are known to be right.
    return torch.sparse_coo_tensor(indices, values, shape, check_invariants=False)
