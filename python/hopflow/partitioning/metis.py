"""DGL's names for parts of a graph with few edges between them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.partitioning.assign import assign_parts
from hopflow.structure.graph_base import GraphBase, require_graph


def metis_partition_assignment(
    g: GraphBase,
    k: int,
    balance_ntypes: Any = None,
    balance_edges: bool = False,
    mode: str = "k-way",
    objtype: str = "cut",
) -> Tensor:
    """Choose one of ``k`` parts for every node, so that few edges are between parts.

    The partitioner is KaMinPar where it is installed (``pip install 'hopflow[partition]'``), else
    hopflow's streaming one (:func:`hopflow.partitioning.assign_parts`). METIS itself is not used:
    its balance, at most 5 % above the mean, is kept, its parts are not.

    Parameters
    ----------
    g : Graph
        A graph on the CPU of one node type and one edge type.
    k : int
        Parts, 1 to 32,767.
    balance_ntypes : Tensor, numpy array or sequence of int, optional
        A number for each node, shape [N], 0 or 1: nodes of each number are balanced by themselves.
    balance_edges : bool
        Only False: edges are not balanced.
    mode : {"k-way", "recursive"}
        Without effect.
    objtype : {"cut"}
        What is made small: the number of edges between parts.

    Returns
    -------
    Tensor
        The part of every node, int64, shape [N]. The same again for the same graph.

    Raises
    ------
    ValueError, TypeError
        Bad arguments, or a graph of several types.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.metis_partition_assignment.html
    """
    g = require_graph(g, one_type=True)
    if mode not in ("k-way", "recursive"):
        raise ValueError(f'mode: expected "k-way" or "recursive", got {mode!r}')
    if objtype != "cut":
        raise ValueError(f'objtype: expected "cut", the only one there is, got {objtype!r}')
    if balance_edges:
        raise ValueError("balance_edges: expected False; the partitioners balance nodes alone")
    kinds = None
    if balance_ntypes is not None:
        kinds = torch.as_tensor(balance_ntypes, device=g.device)
        if kinds.shape != (g.num_nodes(),):
            raise ValueError(
                f"balance_ntypes: expected one number for each of the {g.num_nodes()} nodes, got"
                f" shape {list(kinds.shape)}"
            )
        if not bool(((kinds == 0) | (kinds == 1)).all()):
            raise ValueError("balance_ntypes: expected 0 and 1 alone: two kinds of nodes")
        kinds = kinds.bool()
    parts = assign_parts(g, ops.as_int("k", k), train=kinds)
    return next(iter(parts.values())).long()
