"""Names of node and edge types, and what stands for all of them."""

from __future__ import annotations

ALL = "__ALL__"
"""Stands for every node or edge, as in DGL."""

NTYPE, ETYPE = "_N", "_E"
CANONICAL = (NTYPE, ETYPE, NTYPE)


def is_all(value: object) -> bool:
    """Whether an argument stands for every node or edge."""
    return isinstance(value, str) and value == ALL


def is_one(value: object) -> bool:
    """Whether an argument is a single id rather than several."""
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def require_etype(etype: object) -> None:
    """Raise unless an edge type is the one that there is, by any of its names."""
    if etype is not None and etype != ETYPE and etype != CANONICAL:
        raise ValueError(f"etype: expected None, {ETYPE!r} or {CANONICAL!r}, got {etype!r}")


def require_ntype(ntype: object) -> None:
    """Raise unless a node type is the one that there is."""
    if ntype is not None and ntype != NTYPE:
        raise ValueError(f"ntype: expected None or {NTYPE!r}, got {ntype!r}")
