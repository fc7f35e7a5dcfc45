"""The types of a graph: which relations join which nodes, and the edges and columns of each."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.types import ONE_TYPE, Relation, Schema

if TYPE_CHECKING:
    from typing_extensions import Self

    import hopflow.ops as ops

# What only a graph of one relation has, and what only one of several types has.
OF_ONE = ("_adjacency", "_src_frame", "_dst_frame", "_edge_frame")
OF_SEVERAL = ("_src_frames", "_dst_frames", "_relations")
# What goes with the edges beside these.
OF_EDGES = ("_idtype", "_pins", "_batch_num_nodes", "_batch_num_edges", "seed_inverse")


class Relations:
    """The relations of a graph by name; a part of :class:`hopflow.Graph`.

    A graph of one relation has an adjacency, the columns of its edges, and those of its sources and
    destinations, which are the same object where these are of one type. A graph of several types is
    a table of such graphs, one a relation, that share the columns of their nodes.
    """

    is_block = False
    _pins: tuple[ops.Pin, ...] = ()  # keep page-locked memory locked
    # Of a graph made of several: nodes and edges of each, int64 (structure/batch_sizes.py).
    _batch_num_nodes: dict[str, Tensor] | None = None
    _batch_num_edges: dict[Relation, Tensor] | None = None
    # Of a graph or block of a batch whose seeds held duplicates: the row of each given seed.
    seed_inverse: Tensor | dict[str, Tensor] | None = None
    _is_of_several = False  # whether this is in the table of a graph of several types
    _schema: Schema = ONE_TYPE
    _idtype: torch.dtype
    # OF_ONE
    _adjacency: Adjacency
    _src_frame: Frame
    _dst_frame: Frame
    _edge_frame: Frame
    # OF_SEVERAL
    _relations: dict[Relation, Self] | None = None
    _src_frames: dict[str, Frame]
    _dst_frames: dict[str, Frame]  # of a graph the same object as _src_frames

    @classmethod
    def of_types(
        cls,
        schema: Schema,
        nodes: Mapping[str, Frame],
        parts: Mapping[Relation, tuple[Adjacency, Columns | None]],
        idtype: torch.dtype = torch.int64,
        *,
        destinations: Mapping[str, Frame] | None = None,
        like: Relations | None = None,
    ) -> Self:
        """A graph of these types and relations.

        Parameters
        ----------
        schema : Schema
            Names of node types and relations; at least one relation.
        nodes : mapping
            Columns of the nodes of each type; of a block those of its source nodes.
        parts : mapping
            Edges and edge columns of each relation.
        idtype : torch.dtype
            As for the class.
        destinations : mapping, optional
            Of a block: columns of its destination nodes.
        like : GraphBase, optional
            A graph whose other attributes, such as those that a subclass has set, come along.
        """
        dst = nodes if destinations is None else destinations
        for adjacency, _ in parts.values():
            idtype = adjacency.fitting(idtype)
        made: dict[Relation, Self] = {}
        for relation in schema.relations:
            adjacency, columns = parts[relation]
            one = cls._shell(like)
            for name in OF_SEVERAL:
                one.__dict__.pop(name, None)
            one._adjacency, one._idtype = adjacency, idtype
            one._src_frame, one._dst_frame = nodes[relation[0]], dst[relation[2]]
            device = adjacency.indices.device
            one._edge_frame = Frame(adjacency.num_edges, edge_name(relation), device, columns)
            one._schema = _schema_of(relation, schema.is_block)
            made[relation] = one
        first = made[schema.relations[0]]
        if first._schema == schema:
            return first
        for one in made.values():
            one._is_of_several = True
        graph = cls._shell(like)
        graph._schema, graph._relations, graph._idtype = schema, made, idtype
        graph._src_frames = dict(nodes)
        graph._dst_frames = graph._src_frames if destinations is None else dict(dst)
        for name in OF_ONE:
            graph.__dict__.pop(name, None)
        return graph

    @classmethod
    def _shell(cls, like: Relations | None) -> Self:
        """An object of this class with what a subclass has set on another, and nothing else."""
        graph = object.__new__(cls)
        if like is not None:
            graph.__dict__.update(
                {
                    name: value
                    for name, value in like.__dict__.items()
                    if not isinstance(getattr(cls, name, None), cached_property)
                }
            )
        graph._pins = ()
        # Other nodes or edges: what becomes of the graphs of a batch is for the caller to say.
        graph._batch_num_nodes = graph._batch_num_edges = None
        graph.__dict__.pop("_is_of_several", None)
        if not cls.is_block:
            graph.__dict__.pop("seed_inverse", None)  # of other nodes
        return graph

    # --- types ---

    @property
    def schema(self) -> Schema:
        """The names of the node types and relations."""
        return self._schema

    @property
    def relations(self) -> dict[Relation, Self]:
        """The graph of each relation, which shares this one's columns."""
        if self._relations is None:
            return {self._schema.relations[0]: self}
        return self._relations

    def relation(self, etype: Any = None) -> Self:
        """The graph of one relation, which shares this one's columns; itself if it is all.

        Parameters
        ----------
        etype : str or tuple, optional
            Its name, or (source type, name, destination type); None: the only one.

        Raises
        ------
        ValueError
            There is none of that name, or several.
        """
        if self._relations is None:
            if etype is not None:
                self._schema.relation(etype)
            return self
        return self._relations[self._schema.relation(etype)]

    def slice(self, relation: Relation) -> Self:
        """The graph of one relation as :meth:`relation`, an object of its own like this one.

        What is set on it as an attribute or in a ``local_scope`` is not set here.
        """
        one, made = self.relation(relation), self._shell(self)
        for name in OF_SEVERAL:
            made.__dict__.pop(name, None)
        for name in (*OF_ONE, "_idtype"):
            setattr(made, name, getattr(one, name))
        made._schema = one._schema
        return made

    def node_frames(self, side: str = "node") -> dict[str, Frame]:
        """The columns of each node type; of a block, of its destinations unless it says "src".

        Parameters
        ----------
        side : {"node", "src", "dst"}
            Of which nodes: all, those that may be sources, or destinations.
        """
        names = {"src": self._schema.srctypes, "dst": self._schema.dsttypes}.get(side)
        if self._relations is not None:
            frames = self._src_frames if side == "src" else self._dst_frames
        else:
            src, _, dst = self._schema.relations[0]
            frames = {src: self._src_frame} if side == "src" or not self.is_block else {}
            frames = frames if side == "src" else {**frames, dst: self._dst_frame}
        return frames if names is None else {name: frames[name] for name in names}

    def node_frame(self, ntype: Any = None, side: str = "node") -> Frame:
        """The columns of one node type, as :meth:`node_frames`.

        Of a block, ``"SRC/user"`` and ``"DST/user"`` say which of its nodes, as in DGL.

        Raises
        ------
        ValueError
            There is no such type, or, for None, several.
        """
        if side == "node" and self.is_block:
            side, ntype = self._schema.side(ntype)
        if self._relations is None:
            if side == "src":
                self._schema.ntype(ntype, side)
                return self._src_frame
            if side == "dst" or self._src_frame is self._dst_frame:
                self._schema.ntype(ntype, side)
                return self._dst_frame
        return self.node_frames(side)[self._schema.ntype(ntype, side)]

    @property
    def edge_frame(self) -> Frame:
        """The edge columns of a graph of one relation."""
        return self.relation()._edge_frame

    # --- kind ---

    @property
    def is_homogeneous(self) -> bool:
        """Whether there is one type of nodes and one of edges; False on a block, as in DGL."""
        return len(self._schema.ntypes) == 1 and len(self._schema.relations) == 1

    @property
    def idtype(self) -> torch.dtype:
        """The dtype of ids handed out, int32 or int64."""
        return self._idtype

    @property
    def device(self) -> torch.device:
        """Where the edges and every column are."""
        if self._relations is None:
            return self._adjacency.indices.device
        return next(iter(self._relations.values()))._adjacency.indices.device

    @property
    def adjacency(self) -> Adjacency:
        """The edges in the form that :mod:`hopflow.ops` takes, of a graph of one relation.

        Raises
        ------
        ValueError
            There are several; ``graph[etype]`` is the graph of one.
        """
        return self._adjacency if self._relations is None else self.relation()._adjacency


@lru_cache(maxsize=4096)
def _schema_of(relation: Relation, is_block: bool) -> Schema:
    """The types of a graph of one relation."""
    src, _, dst = relation
    if is_block:
        return Schema((src,), (relation,), dsttypes=(dst,))
    return Schema(dict.fromkeys((src, dst)), (relation,))  # type: ignore[arg-type]


def edge_name(relation: Relation) -> str:
    """What messages call the edges of a relation."""
    return "edge" if relation == ONE_TYPE.relations[0] else f"{relation!r} edge"


def node_name(ntype: str, side: str = "") -> str:
    """What messages call the nodes of a type, or one side of a block's."""
    named = "" if ntype == ONE_TYPE.ntypes[0] else f"{ntype!r} "
    return f"{named}{side} node" if side else f"{named}node"
