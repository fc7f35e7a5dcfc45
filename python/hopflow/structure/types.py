"""Names of node types and relations, and what stands for all nodes or edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

ALL = "__ALL__"
"""Stands for every node or edge, as in DGL."""

Relation: TypeAlias = tuple[str, str, str]
"""``(source type, name, destination type)``: an edge type with the types of its ends."""

CANONICAL: Relation = ("_N", "_E", "_N")
"""What the types of a graph without named ones are called, as in DGL."""

# Before a type of a block's nodes: which side is meant, as in DGL.
SOURCE, DESTINATION = "SRC/", "DST/"


def is_all(value: object) -> bool:
    """Whether an argument stands for every node or edge."""
    return isinstance(value, str) and value == ALL


def is_one(value: object) -> bool:
    """Whether an argument is a single id rather than several."""
    return hasattr(value, "__index__") and getattr(value, "ndim", 0) == 0


def require_relation(value: object) -> Relation:
    """Return ``(source type, name, destination type)``, or raise a TypeError."""
    if isinstance(value, tuple) and len(value) == 3 and all(isinstance(x, str) for x in value):
        return value
    raise TypeError(
        f"relation: expected a tuple (source type, name, destination type) of str, got {value!r}"
    )


def told(names: Iterable[object]) -> str:
    """Names as messages list them."""
    return ", ".join(map(repr, names)) or "none"


class Schema:
    """The node types and relations of a graph, by name; never changed.

    Parameters
    ----------
    ntypes : sequence of str
        Node types, in the graph's order; of a block those of its sources.
    relations : sequence of tuple
        Relations, in the graph's order, each between two of ``ntypes``.
    dsttypes : sequence of str, optional
        Of a block: the types of its destination nodes, which are nodes of their own.

    Attributes
    ----------
    ntypes, srctypes, dsttypes : tuple of str
        Types of all nodes, of those that may be sources and of those that may be destinations. A
        graph in which no type is both has these apart (it is *uni-bipartite*); in other graphs
        all three are the same.
    """

    __slots__ = (
        "_blocks",
        "_by_name",
        "_known",
        "dsttypes",
        "is_block",
        "ntypes",
        "relations",
        "srctypes",
    )

    def __init__(
        self,
        ntypes: Sequence[str],
        relations: Sequence[Relation],
        *,
        dsttypes: Sequence[str] | None = None,
    ) -> None:
        self.relations = tuple(relations)
        self._blocks: Schema | None = None
        self.is_block = dsttypes is not None
        if dsttypes is not None:
            self.srctypes, self.dsttypes = tuple(ntypes), tuple(dsttypes)
            self.ntypes = self.srctypes + self.dsttypes
        else:
            self.ntypes = self.srctypes = self.dsttypes = tuple(ntypes)
            destinations = {relation[2] for relation in relations}
            if not destinations & {relation[0] for relation in relations}:
                # As in DGL, types without edges are among the sources.
                self.srctypes = tuple(t for t in ntypes if t not in destinations)
                self.dsttypes = tuple(t for t in ntypes if t in destinations)
        self._known = frozenset(self.relations)
        self._by_name: dict[str, list[Relation]] = {}
        for relation in self.relations:
            self._by_name.setdefault(relation[1], []).append(relation)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.is_block:
            return _block_schema, (self.srctypes, self.relations, self.dsttypes)
        return Schema, (self.ntypes, self.relations)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schema):
            return NotImplemented
        return self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.ntypes, self.relations, self.is_block))

    def relation(self, etype: Any = None) -> Relation:
        """The relation that a name, or a tuple of three, stands for; None: the only one.

        Raises
        ------
        ValueError
            There is none of that name, or several.
        """
        if etype is None:
            if len(self.relations) == 1:
                return self.relations[0]
            raise ValueError(f"etype: expected one of {told(self.relations)}, got None")
        if isinstance(etype, tuple):
            if etype in self._known:
                return etype
            raise ValueError(f"etype: expected one of {told(self.relations)}, got {etype!r}")
        found = self._by_name.get(etype, []) if isinstance(etype, str) else []
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"etype: {etype!r} may be any of {told(found)}; give the tuple")
        raise ValueError(f"etype: expected one of {told(self.relations)}, got {etype!r}")

    def select(self, key: Any) -> list[Relation]:
        """The relations that ``graph[key]`` means: a name, or three names or ``:``."""
        if not isinstance(key, tuple):
            key = (slice(None), key, slice(None))
        if len(key) != 3 or not all(isinstance(x, str) or x == slice(None) for x in key):
            given = key[1] if key[::2] == (slice(None), slice(None)) else key
            raise ValueError(
                "expected the name of an edge type, or (source type, name, destination type) with"
                f' ":" for any, got {given!r}'
            )
        return [
            relation
            for relation in self.relations
            if all(wanted in (slice(None), name) for wanted, name in zip(key, relation))
        ]

    def ntype(self, ntype: Any = None, side: str = "node") -> str:
        """A node type by its name; None: the only one.

        Parameters
        ----------
        ntype : str, optional
            Its name.
        side : {"node", "src", "dst"}
            Of which nodes: any, those that may be sources, or destinations.

        Raises
        ------
        ValueError
            There is no such type, or several.
        """
        known = {"node": self.ntypes, "src": self.srctypes, "dst": self.dsttypes}[side]
        if ntype is None and len(known) == 1:
            return known[0]
        if isinstance(ntype, str) and ntype in known:
            return ntype
        raise ValueError(f"ntype: expected one of {told(dict.fromkeys(known))}, got {ntype!r}")

    def of_blocks(self) -> Schema:
        """The types of a graph's blocks: every type of nodes is on both sides."""
        if self._blocks is None:
            is_plain = self == ONE_TYPE
            made = Schema(self.ntypes, self.relations, dsttypes=self.ntypes)
            self._blocks = ONE_TYPE_BLOCK if is_plain else made
        return self._blocks

    def metagraph(self) -> list[Relation]:
        """``(source type, destination type, name)`` of each relation, in networkx's order.

        Types come as relations name them first, and the edges of each by their other ends.
        """
        ends = dict.fromkeys(end for src, _, dst in self.relations for end in (src, dst))
        listed: list[Relation] = []
        for ntype in ends:
            of_type = [(dst, name) for src, name, dst in self.relations if src == ntype]
            for other in dict.fromkeys(dst for dst, _ in of_type):
                listed += [(ntype, other, name) for dst, name in of_type if dst == other]
        return listed

    def side(self, ntype: Any) -> tuple[str, Any]:
        """Which nodes of a block a type names: ``("src" or "dst", its name)``.

        ``"SRC/user"`` are sources, ``"DST/user"`` destinations, ``"user"`` destinations if any are.
        """
        if isinstance(ntype, str):
            for prefix, side in ((SOURCE, "src"), (DESTINATION, "dst")):
                if ntype.startswith(prefix):
                    return side, ntype[len(prefix) :]
            if ntype in self.srctypes and ntype not in self.dsttypes:
                return "src", ntype
        return "dst", ntype


def _block_schema(
    srctypes: Sequence[str], relations: Sequence[Relation], dsttypes: Sequence[str]
) -> Schema:
    return Schema(srctypes, relations, dsttypes=dsttypes)


ONE_TYPE = Schema(CANONICAL[:1], (CANONICAL,))
"""Of a graph without named types."""
ONE_TYPE_BLOCK = Schema(CANONICAL[:1], (CANONICAL,), dsttypes=CANONICAL[:1])
"""Of a block without named types."""
