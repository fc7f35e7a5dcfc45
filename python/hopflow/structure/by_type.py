"""Nodes and edges as users give them for graphs of several types: dicts by type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hopflow.structure.graph_base import GraphBase
from hopflow.structure.ids import as_edge_ids, as_node_ids
from hopflow.structure.types import Relation, Schema, told


def nodes_by_type(
    g: GraphBase, name: str, value: Any, *, dtype: torch.dtype = torch.int64
) -> dict[str, Tensor]:
    """Ids of nodes by type, each list checked, on the graph's device.

    Parameters
    ----------
    g : Graph
        A graph.
    name : str
        The operand, for messages.
    value : mapping, Tensor, numpy array or sequence of int
        ``{ntype: ids or mask}``; ids alone where there is one type.
    dtype : torch.dtype
        Of the ids.

    Returns
    -------
    dict
        Of the types given, in the graph's order.

    Raises
    ------
    ValueError
        A type that is not there, or ids alone where there are several.
    IndexError, TypeError
        As :func:`hopflow.structure.ids.as_node_ids`.
    """
    if g.is_homogeneous and not isinstance(value, Mapping):  # spares small batches the loops
        ids = as_node_ids(name, value, g.num_nodes(), dtype=dtype, device=g.device)
        return {g.schema.ntypes[0]: ids}
    types = dict.fromkeys(g.schema.dsttypes if g.is_block else g.schema.ntypes)
    given = _by_type(name, value, list(types), "node", lambda key: key)
    return {
        ntype: as_node_ids(
            name if value is given[ntype] else f"{name}[{ntype!r}]", given[ntype],
            g.num_nodes(ntype), dtype=dtype, device=g.device,
        )
        for ntype in types
        if ntype in given
    }  # fmt: skip


def edges_by_type(g: GraphBase, name: str, value: Any) -> dict[Relation, Tensor]:
    """Ids of edges by relation, int64; as :func:`nodes_by_type`, a name will do for a relation."""
    relations, given = g.schema.relations, ids_by_relation(g.schema, name, value)
    return {
        relation: as_edge_ids(
            name if value is given[relation] else f"{name}[{relation!r}]", given[relation],
            g.num_edges(relation), device=g.device,
        )
        for relation in relations
        if relation in given
    }  # fmt: skip


def ids_by_relation(schema: Schema, name: str, value: Any) -> dict[Relation, Any]:
    """What is given for each relation, under its full name; the ids are not looked at."""
    return _by_type(name, value, list(schema.relations), "edge", schema.relation)


def _by_type(name: str, value: Any, types: list[Any], what: str, find: Any) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        if len(types) == 1:
            return {types[0]: value}
        raise ValueError(
            f"{name}: expected a dict by {what} type, of {told(types)}, got {type(value).__name__}"
        )
    given: dict[Any, Any] = {}
    for key, ids in value.items():
        try:
            found = find(key)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if found not in types:
            raise ValueError(f"{name}: expected {what} types of {told(types)}, got {key!r}")
        if found in given:
            raise ValueError(f"{name}: {found!r} is there twice")
        given[found] = ids
    return given
