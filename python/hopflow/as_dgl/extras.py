"""Names of ``dgl`` and ``dgl.base`` that only code written for DGL needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from hopflow.graphs.create import Device, graph
from hopflow.graphs.graph import Graph
from hopflow.ops import HopflowError


def heterograph(
    data_dict: Mapping[Any, Any],
    num_nodes_dict: Mapping[str, int] | None = None,
    idtype: torch.dtype | None = None,
    device: Device | None = None,
) -> Graph:
    """A graph of one node type and one edge type, given as DGL gives graphs of several.

    Parameters
    ----------
    data_dict : mapping
        ``{(node_type, edge_type, node_type): data}`` with one entry; ``data`` as in
        :func:`hopflow.graph`.
    num_nodes_dict : mapping, optional
        ``{node_type: number of nodes}``.
    idtype, device
        As in :func:`hopflow.graph`.

    Raises
    ------
    HopflowError
        Several types of nodes or edges.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.heterograph.html
    """
    if not isinstance(data_dict, Mapping):
        raise TypeError(f"heterograph: expected a dict, got {type(data_dict).__name__}")
    types = list(data_dict)
    if len(types) != 1:
        raise HopflowError(
            f"heterograph: expected one edge type, got {len(types)}; hopflow has no graphs of"
            " several types"
        )
    kind = types[0]
    if not isinstance(kind, tuple) or len(kind) != 3:
        raise ValueError(f"heterograph: expected (node type, edge type, node type), got {kind!r}")
    others = {kind[0], kind[2], *(num_nodes_dict or {})}
    if len(others) != 1:
        raise HopflowError(
            f"heterograph: expected one node type, got {', '.join(sorted(map(str, others)))};"
            " hopflow has no graphs of several types"
        )
    num_nodes = None if num_nodes_dict is None else num_nodes_dict.get(kind[0])
    return graph(data_dict[kind], num_nodes=num_nodes, idtype=idtype, device=device)
