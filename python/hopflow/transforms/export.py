"""Graphs for other libraries: networkx, PyTorch Geometric.

Neither of them is needed to import hopflow, or by anything else in it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.frame import EID, NID
from hopflow.structure.graph_base import GraphBase, require_graph
from hopflow.structure.types import ONE_TYPE

# Columns that PyTorch Geometric calls otherwise.
PYG_NODE = {"feat": "x", "label": "y", NID: "n_id"}
PYG_EDGE = {"feat": "edge_attr", EID: "e_id"}


def require_library(name: str, package: str, what: str) -> Any:
    """A module of a library that is not needed otherwise; an ImportError says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {package}: pip install {package} ({error})", name=name
        ) from error


def attribute_names(what: str, names: Iterable[str] | None) -> list[str]:
    """Names as a list; a str by itself is a mistake."""
    if names is None:
        return []
    if isinstance(names, str):
        raise TypeError(f"{what}: expected a list of attribute names, got {names!r}")
    return list(names)


def metagraph(g: GraphBase) -> Any:
    """The graph's types as a networkx graph: node types are nodes, relations are edges.

    Returns
    -------
    networkx.MultiDiGraph
        The key of each edge is the relation's name.

    Raises
    ------
    ImportError
        networkx is not installed.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.DGLGraph.metagraph.html
    """
    nx = require_library("networkx", "networkx", "metagraph")
    made = nx.MultiDiGraph()
    for src, name, dst in g.schema.relations:
        made.add_edge(src, dst, name)
    made.add_nodes_from(dict.fromkeys(g.schema.ntypes))  # those without relations
    return made


def to_networkx(
    g: GraphBase,
    node_attrs: Iterable[str] | None = None,
    edge_attrs: Iterable[str] | None = None,
    ntype_attr: str = "ntype",
    etype_attr: str = "etype",
    eid_attr: str = "id",
) -> Any:
    """Make a networkx graph; each edge has its id as an attribute.

    Of several types the nodes are those of the first type, then those of the second, and so on in
    the order of ``g.ntypes``, edges likewise by ``g.canonical_etypes``; each says its type.

    Parameters
    ----------
    g : Graph
        A graph on the CPU.
    node_attrs, edge_attrs : iterable of str, optional
        Columns to keep: a row each, as a tensor. Nodes of a type without the column lack it.
    ntype_attr, etype_attr : str
        Attributes for a node's type and an edge's relation, where there are several.
    eid_attr : str
        Attribute for the id of an edge, counted through all relations.

    Returns
    -------
    networkx.MultiDiGraph
        With the nodes 0 to N - 1 and the edges in the order of their ids.

    Raises
    ------
    ImportError
        networkx is not installed.
    KeyError
        A column that is not there, of any type.
    ValueError
        The graph is on a GPU; or of several types, a column called as an attribute above.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_networkx.html
    """
    nx = require_library("networkx", "networkx", "to_networkx")
    g = require_graph(g)
    if g.device.type != "cpu":
        raise ValueError(f"g: expected a graph on the CPU, got one on {g.device}; use g.cpu()")
    node_names = attribute_names("node_attrs", node_attrs)
    edge_names = attribute_names("edge_attrs", edge_attrs)
    nodes, edges = g.node_frames(), {r: one.edge_frame for r, one in g.relations.items()}
    is_typed = len(nodes) > 1 or len(edges) > 1
    for what, names, frames in (
        ("node", node_names, nodes.values()), ("edge", edge_names, edges.values())
    ):  # fmt: skip
        for name in names:
            if not any(name in frame for frame in frames):
                raise KeyError(f"no {what} column {name!r}{' of any type' if is_typed else ''}")
    if is_typed:
        for what, names, own in (
            ("node", node_names, (ntype_attr,)), ("edge", edge_names, (etype_attr, eid_attr))
        ):  # fmt: skip
            for name in set(own) & set(names):
                raise ValueError(
                    f"{what}_attrs: {name!r} is the attribute of the type or id; give"
                    " ntype_attr=, etype_attr= or eid_attr= another name"
                )
    made = nx.MultiDiGraph()
    first: dict[str, int] = {}
    for ntype, frame in nodes.items():
        first[ntype] = made.number_of_nodes()
        kept = {name: frame[name] for name in node_names if name in frame}
        for i in range(frame.num_rows):
            attributes: dict[str, Any] = {ntype_attr: ntype} if is_typed else {}
            attributes.update({name: column[i] for name, column in kept.items()})
            # Set apart: a column may be called as an argument of add_node is.
            made.add_node(first[ntype] + i)
            made.nodes[first[ntype] + i].update(attributes)
    for relation, frame in edges.items():
        kept = {name: frame[name] for name in edge_names if name in frame}
        src, dst = (x.tolist() for x in g.edges(etype=relation))
        begin = made.number_of_edges()
        for i, (u, v) in enumerate(zip(src, dst)):
            attributes = {eid_attr: begin + i, **({etype_attr: relation} if is_typed else {})}
            attributes.update({name: column[i] for name, column in kept.items()})
            u, v = first[relation[0]] + u, first[relation[2]] + v
            made.edges[u, v, made.add_edge(u, v)].update(attributes)
    return made


def to_pyg(g: GraphBase) -> Any:
    """Make a ``torch_geometric.data.Data``, or ``HeteroData`` of named types.

    The inverse of :func:`from_pyg`. ``ndata["feat"]`` is ``x``, ``ndata["label"]`` is ``y``, other
    node columns keep their names; ``edata["feat"]`` is ``edge_attr``, another edge column ``NAME``
    is ``edge_NAME``; of several types, in the store of each.

    Parameters
    ----------
    g : Graph
        A graph.

    Returns
    -------
    torch_geometric.data.Data or torch_geometric.data.HeteroData
        ``edge_index`` int64, in the order of edge ids, on the graph's device. ``Data`` of a graph
        without named types, as :func:`hopflow.graph` makes it.

    Raises
    ------
    ImportError
        torch_geometric is not installed.
    ValueError
        Two columns would be one attribute, or one would be taken for something else.

    References
    ----------
    https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.Data.html
    https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.HeteroData.html
    """
    pyg = require_library("torch_geometric.data", "torch_geometric", "to_pyg")
    g = require_graph(g)
    if g.schema != ONE_TYPE:
        return _to_hetero_data(g, pyg.HeteroData())
    taken = {"edge_index": "the edges", "num_nodes": "the number of nodes"}
    attributes = _pyg_attributes("node", g.ndata, PYG_NODE, "", taken)
    for key in attributes:
        if key.startswith("edge_") or key == "e_id":
            raise ValueError(f"{taken[key]} would be taken for one of edges; rename it")
    attributes.update(_pyg_attributes("edge", g.edata, PYG_EDGE, "edge_", taken))
    return pyg.Data(edge_index=_edge_index(g), num_nodes=g.num_nodes(), **attributes)


def _to_hetero_data(g: GraphBase, made: Any) -> Any:
    for ntype, frame in g.node_frames().items():
        taken = {"num_nodes": "the number of nodes"}
        store = made[ntype]
        store["num_nodes"] = frame.num_rows
        for key, column in _pyg_attributes(f"{ntype!r} node", frame, PYG_NODE, "", taken).items():
            store[key] = column
    for relation, one in g.relations.items():
        taken = {"edge_index": "the edges"}
        store = made[relation]
        store["edge_index"] = _edge_index(one)
        what = f"{relation!r} edge"
        for key, column in _pyg_attributes(what, one.edata, PYG_EDGE, "edge_", taken).items():
            store[key] = column
    return made


def _pyg_attributes(
    what: str,
    frame: Mapping[str, Tensor],
    names: dict[str, str],
    prefix: str,
    taken: dict[str, str],
) -> dict[str, Tensor]:
    """Columns by the names of their attributes; notes in `taken` which column has which."""
    attributes: dict[str, Tensor] = {}
    for name in frame:
        key = names.get(name, prefix + name)
        column = f"the {what} column {name!r}"
        if key in taken:
            raise ValueError(f"{column} and {taken[key]} would both be {key!r}; rename one")
        taken[key] = column
        attributes[key] = frame[name]
    return attributes


def _edge_index(g: GraphBase) -> Tensor:
    src, dst = g.edges()
    return torch.stack([src.long(), dst.long()])
