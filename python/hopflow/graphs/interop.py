"""Graphs from those of other libraries: scipy, networkx, PyTorch Geometric.

None of them is needed to import hopflow, or by anything else in it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hopflow.graphs.create import graph, heterograph
from hopflow.graphs.edge_arrays import Device
from hopflow.graphs.graph import Graph
from hopflow.transforms.export import PYG_EDGE, PYG_NODE, attribute_names, require_library

# --- scipy


def from_scipy(
    sp_mat: Any,
    eweight_name: str | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Graph:
    """Make a graph of a scipy sparse matrix: an edge from row to column for each stored entry.

    Parameters
    ----------
    sp_mat : scipy sparse matrix or array
        Square, in any format. Entries stored twice are two edges; edges are numbered in the order
        of storage: by rows for CSR, by columns for CSC.
    eweight_name : str, optional
        Edge column for the entries, shape [E], in the matrix's dtype.
    idtype : torch.dtype, optional
        int32 or int64; int64 by default.
    device : str or torch.device, optional
        The CPU by default.

    Raises
    ------
    TypeError
        Not a sparse matrix.
    ValueError
        Not a square one.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.from_scipy.html
    """
    if not hasattr(sp_mat, "tocoo") or not hasattr(sp_mat, "shape"):
        raise TypeError(f"sp_mat: expected a scipy sparse matrix, got {type(sp_mat).__name__}")
    if len(sp_mat.shape) != 2 or sp_mat.shape[0] != sp_mat.shape[1]:
        raise ValueError(
            f"sp_mat: expected a square matrix, got shape {tuple(map(int, sp_mat.shape))}"
        )
    coo = sp_mat.tocoo(copy=False)
    made = graph(coo, idtype=idtype, device=device)
    if eweight_name is not None:
        made.edata[eweight_name] = torch.from_numpy(np.array(coo.data)).to(made.device)
    return made


# --- networkx


def from_networkx(
    nx_graph: Any,
    node_attrs: Iterable[str] | None = None,
    edge_attrs: Iterable[str] | None = None,
    edge_id_attr_name: str | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Graph:
    """Make a graph of a networkx graph; its nodes are numbered in sorted order.

    Parameters
    ----------
    nx_graph : networkx.Graph, DiGraph, MultiGraph or MultiDiGraph
        An undirected graph gives both directions of every edge, a self-loop once.
    node_attrs, edge_attrs : iterable of str, optional
        Attributes to keep as columns; numbers, sequences, arrays or tensors of one shape each.
    edge_id_attr_name : str, optional
        Edge attribute that holds the ids 0 to E - 1; by default edges are numbered as networkx
        lists them.
    idtype : torch.dtype, optional
        int32 or int64; int64 by default.
    device : str or torch.device, optional
        The CPU by default.

    Raises
    ------
    ImportError
        networkx is not installed.
    TypeError
        No networkx graph, or nodes that cannot be sorted.
    ValueError
        Edge attributes asked of an undirected graph, an attribute that a node or edge lacks or that
        is no column of numbers, or edge ids that are not 0 to E - 1, each once.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.from_networkx.html
    """
    nx = require_library("networkx", "networkx", "from_networkx")
    if not isinstance(nx_graph, nx.Graph):
        raise TypeError(f"nx_graph: expected a networkx graph, got {type(nx_graph).__name__}")
    node_attrs = attribute_names("node_attrs", node_attrs)
    edge_attrs = attribute_names("edge_attrs", edge_attrs)
    if not nx_graph.is_directed():
        for name, value in (("edge_attrs", edge_attrs), ("edge_id_attr_name", edge_id_attr_name)):
            if value:
                raise ValueError(
                    f"{name}: expected None for an undirected graph, whose edges become two each,"
                    f" got {value!r}; use nx_graph.to_directed()"
                )
    try:
        nodes = sorted(nx_graph.nodes)
    except TypeError as error:
        raise TypeError(f"nx_graph: expected nodes that can be sorted ({error})") from None
    number = {node: i for i, node in enumerate(nodes)}
    # Always, though the numbers be the same: it settles the order in which edges are listed.
    relabeled = nx.relabel_nodes(nx_graph, number)
    directed = relabeled if relabeled.is_directed() else relabeled.to_directed(as_view=False)
    listed = list(directed.edges(data=True))
    if edge_id_attr_name is not None:
        listed = by_edge_id(listed, edge_id_attr_name)
    ends = np.asarray([edge[:2] for edge in listed], dtype=np.int64).reshape(-1, 2)
    made = graph(ends.T, num_nodes=len(nodes), idtype=idtype, device=device)
    for name in node_attrs:
        rows = [relabeled.nodes[i] for i in range(len(nodes))]
        made.ndata[name] = column_of("node", name, rows).to(made.device)
    for name in edge_attrs:
        made.edata[name] = column_of("edge", name, [edge[2] for edge in listed]).to(made.device)
    return made


def by_edge_id(listed: list[Any], name: str) -> list[Any]:
    """networkx's edges with their attributes, in the order of the ids that one of these holds."""
    placed: list[Any] = [None] * len(listed)
    for edge in listed:
        if name not in edge[2]:
            raise ValueError(f"edge {edge[:2]} has no attribute {name!r}, expected its id")
        at = edge[2][name]
        if not hasattr(at, "__index__") or isinstance(at, bool) or not 0 <= at < len(listed):
            raise ValueError(
                f"edge {edge[:2]}: expected {name!r} in 0 to {len(listed) - 1}, got {at!r}"
            )
        if placed[int(at)] is not None:
            raise ValueError(f"edge {edge[:2]}: another edge has the id {int(at)} too")
        placed[int(at)] = edge
    return placed


def column_of(what: str, name: str, rows: Sequence[dict[str, Any]]) -> Tensor:
    """An attribute of every node or edge as a column."""
    for i, row in enumerate(rows):
        if name not in row:
            raise ValueError(f"{what} {i} has no attribute {name!r}")
    values = [row[name] for row in rows]
    try:
        if values and isinstance(values[0], Tensor):
            return torch.stack(values)
        if values and isinstance(values[0], (np.ndarray, np.generic)):
            return torch.from_numpy(np.stack(values))
        return torch.tensor(values, device="cpu")
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{what} attribute {name!r}: expected numbers, or arrays of one shape ({error})"
        ) from None


# --- PyTorch Geometric


def from_pyg(data: Any) -> Graph:
    """Make a graph of a ``torch_geometric.data.Data`` or ``HeteroData``.

    Edges keep their order and every tensor with one row a node or edge becomes a column: ``x`` is
    ``ndata["feat"]``, ``y`` is ``ndata["label"]``, ``edge_attr`` is ``edata["feat"]``, another
    ``edge_NAME`` is ``edata["NAME"]``; ``n_id`` and ``e_id`` are ``ndata[hopflow.NID]`` and
    ``edata[hopflow.EID]``; all others keep their names. Tensors are shared, not copied. Types of a
    ``HeteroData`` keep their names, and are in the order of them.

    Parameters
    ----------
    data : torch_geometric.data.Data or torch_geometric.data.HeteroData
        A graph with ``edge_index``; of several types, one a relation.

    Raises
    ------
    ImportError
        torch_geometric is not installed.
    TypeError
        Something else.
    ValueError
        There is no ``edge_index``, two attributes would be one column, or the number of nodes of a
        type cannot be told.

    Warns
    -----
    UserWarning
        Attributes that belong to the graph as a whole are left out.

    References
    ----------
    https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.Data.html
    https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.HeteroData.html
    """
    pyg = require_library("torch_geometric.data", "torch_geometric", "from_pyg")
    left_out: list[str] = []
    if isinstance(data, pyg.HeteroData):
        made = _from_hetero_data(data, left_out)
    elif isinstance(data, pyg.Data):
        made = _from_data(data, left_out)
    else:
        raise TypeError(
            f"data: expected a torch_geometric.data.Data or HeteroData, got {type(data).__name__}"
        )
    if left_out:
        warnings.warn(
            f"from_pyg leaves out what has no row for each node or edge: {', '.join(left_out)}",
            UserWarning,
            stacklevel=2,
        )
    return made


def _from_data(data: Any, left_out: list[str]) -> Graph:
    made = graph(_edge_index(data, "data"), num_nodes=int(data.num_nodes))
    origin: dict[tuple[str, str], str] = {}
    for key in _keys(data):
        value = data[key]
        if key in ("edge_index", "num_nodes") or value is None:
            continue
        if not isinstance(value, Tensor) or not value.dim():
            left_out.append(key)
        elif _is_of_edges(data, key, made):
            _set_once(made.edata, ("edge", _edge_column(key)), key, value, origin)
        elif value.shape[0] == made.num_nodes():
            _set_once(made.ndata, ("node", _node_column(key)), key, value, origin)
        else:
            left_out.append(key)
    return made


def _from_hetero_data(data: Any, left_out: list[str]) -> Graph:
    edges = {
        relation: _edge_index(data[relation], f"data[{relation!r}]") for relation in data.edge_types
    }
    if not edges:
        raise ValueError("data: expected at least one edge type with edge_index, got none")
    counts: dict[str, int] = {}
    for ntype in dict.fromkeys([*data.node_types, *(t for s, _, d in edges for t in (s, d))]):
        count = data[ntype].num_nodes if ntype in data.node_types else None
        if count is None:
            ends = [x[0] for r, x in edges.items() if r[0] == ntype]
            ends += [x[1] for r, x in edges.items() if r[2] == ntype]
            if not ends:
                raise ValueError(f"data[{ntype!r}]: expected num_nodes, or a tensor with its rows")
            count = max((int(end.max()) + 1 for end in ends if len(end)), default=0)
        counts[ntype] = int(count)
    made = heterograph(edges, num_nodes_dict=counts)
    stores: list[tuple[Any, Any, int, Any]] = [
        (ntype, made.nodes[ntype].data, counts[ntype], _node_column) for ntype in data.node_types
    ]
    stores += [(r, made.edges[r].data, made.num_edges(r), _edge_column) for r in edges]
    for name, frame, rows, column in stores:
        origin: dict[tuple[str, str], str] = {}
        what = "node" if isinstance(name, str) else "edge"
        for key in _keys(data[name]):
            value = data[name][key]
            if key in ("edge_index", "num_nodes") or value is None:
                continue
            if isinstance(value, Tensor) and value.dim() and value.shape[0] == rows:
                _set_once(frame, (f"{name!r} {what}", column(key)), key, value, origin)
            else:
                left_out.append(f"{name!r} {key}")
    typed = [*data.node_stores, *data.edge_stores]
    for store in data.stores:
        if not any(store is one for one in typed):
            left_out.extend(_keys(store))
    return made


def _edge_index(store: Any, what: str) -> Tensor:
    # Neither Data nor its stores are dicts with a get() in every release.
    edge_index = store["edge_index"] if "edge_index" in _keys(store) else None
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or edge_index.shape[0] != 2:
        got = "none" if edge_index is None else f"{type(edge_index).__name__}"
        if isinstance(edge_index, Tensor):
            got = f"shape {list(edge_index.shape)}"
        raise ValueError(f"{what}: expected edge_index of shape [2, E], got {got}")
    return edge_index


def _keys(store: Any) -> list[str]:
    return sorted(store.keys() if callable(store.keys) else store.keys)


def _node_column(key: str) -> str:
    return {pyg_name: name for name, pyg_name in PYG_NODE.items()}.get(key, key)


def _edge_column(key: str) -> str:
    names = {pyg_name: name for name, pyg_name in PYG_EDGE.items()}
    return names.get(key, key.removeprefix("edge_"))


def _is_of_edges(data: Any, key: str, made: Graph) -> bool:
    if data[key].shape[0] != made.num_edges():
        return False
    # With as many edges as nodes only the name tells.
    return made.num_edges() != made.num_nodes() or key == "e_id" or "edge" in key


def _set_once(
    frame: Any, column: tuple[str, str], key: str, value: Tensor, origin: dict[tuple[str, str], str]
) -> None:
    if column in origin:
        raise ValueError(
            f"data: {origin[column]!r} and {key!r} would both be the {column[0]} column"
            f" {column[1]!r}; rename one"
        )
    origin[column] = key
    frame[column[1]] = value
