"""Graphs for other libraries: networkx, PyTorch Geometric.

Neither of them is needed to import hopflow, or by anything else in it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.frame import EID, NID
from hopflow.structure.graph_base import GraphBase, require_graph

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


def to_networkx(
    g: GraphBase,
    node_attrs: Iterable[str] | None = None,
    edge_attrs: Iterable[str] | None = None,
) -> Any:
    """Make a networkx graph; each edge has its id as the attribute ``"id"``.

    Parameters
    ----------
    g : Graph
        A graph on the CPU.
    node_attrs, edge_attrs : iterable of str, optional
        Columns to keep: a row each, as a tensor.

    Returns
    -------
    networkx.MultiDiGraph
        With the nodes 0 to N - 1 and the edges in the order of their ids.

    Raises
    ------
    ImportError
        networkx is not installed.
    KeyError
        A column that is not there.
    ValueError
        The graph is on a GPU.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.to_networkx.html
    """
    nx = require_library("networkx", "networkx", "to_networkx")
    g = require_graph(g)
    if g.device.type != "cpu":
        raise ValueError(f"g: expected a graph on the CPU, got one on {g.device}; use g.cpu()")
    nodes = {name: g.ndata[name] for name in attribute_names("node_attrs", node_attrs)}
    edges = {name: g.edata[name] for name in attribute_names("edge_attrs", edge_attrs)}
    made = nx.MultiDiGraph()
    for i in range(g.num_nodes()):
        made.add_node(i, **{name: column[i] for name, column in nodes.items()})
    src, dst = (x.tolist() for x in g.edges())
    for i, (u, v) in enumerate(zip(src, dst)):
        key = made.add_edge(u, v, id=i)
        # Set apart: a column may be called "key", as add_edge's own argument is.
        made.edges[u, v, key].update({name: column[i] for name, column in edges.items()})
    return made


def to_pyg(g: GraphBase) -> Any:
    """Make a ``torch_geometric.data.Data``; the inverse of :func:`from_pyg`.

    ``ndata["feat"]`` is ``x``, ``ndata["label"]`` is ``y``, other node columns keep their names;
    ``edata["feat"]`` is ``edge_attr``, another edge column ``NAME`` is ``edge_NAME``.

    Parameters
    ----------
    g : Graph
        A graph.

    Returns
    -------
    torch_geometric.data.Data
        ``edge_index`` int64, in the order of edge ids, on the graph's device.

    Raises
    ------
    ImportError
        torch_geometric is not installed.
    ValueError
        Two columns would be one attribute, or one would be taken for something else.

    References
    ----------
    https://pytorch-geometric.readthedocs.io/en/latest/generated/torch_geometric.data.Data.html
    """
    pyg = require_library("torch_geometric.data", "torch_geometric", "to_pyg")
    g = require_graph(g)
    attributes: dict[str, Tensor] = {}
    taken = {"edge_index": "the edges", "num_nodes": "the number of nodes"}
    for what, frame, names, prefix in (
        ("node", g.ndata, PYG_NODE, ""),
        ("edge", g.edata, PYG_EDGE, "edge_"),
    ):
        for name in frame:
            key = names.get(name, prefix + name)
            column = f"the {what} column {name!r}"
            if key in taken:
                raise ValueError(f"{column} and {taken[key]} would both be {key!r}; rename one")
            if what == "node" and (key.startswith("edge_") or key == "e_id"):
                raise ValueError(f"{column} would be taken for one of edges; rename it")
            taken[key] = column
            attributes[key] = frame[name]
    src, dst = g.edges()
    edge_index = torch.stack([src.long(), dst.long()])
    return pyg.Data(edge_index=edge_index, num_nodes=g.num_nodes(), **attributes)
