"""What is in the files of the real DGL: ``save_graphs`` and ``save_tensors``.

All numbers are little-endian. A *list* is its length (uint64) and its items, a *text* a list of
bytes in UTF-8, a *tensor* is::

    u64 magic, u64 0, i32 device type (1, the CPU), i32 device, i32 dimensions
    u8 kind, u8 bits, u16 lanes (1)      kind: 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool
    i64 each size, i64 bytes, the bytes

and *named tensors* are a list of (text, tensor). A file of graphs begins with ``u64 magic, u64
version, u64 kind of graph``. Version 2 (kind 2), which DGL 2.1 writes, goes on with::

    u64 number of graphs; at byte 4096: u64 where the first graph begins, named tensors (labels)
    each graph:
        u64 magic, a metagraph, a list of relations, a list of i64 (nodes of each type)
        a list of named tensors (of each node type), the same of each relation
        a list of text (node types), the same of relations
    u64, a list of u64 (where each graph begins), u64 bytes of that list

    a metagraph: u64 magic, a compressed matrix of types and relations by source
    a relation: u64 magic, u64 which forms are there (bit 0 coo, 1 csr, 2 csc, bit 32 set), u64,
                and each form: a metagraph, then its matrix
    a compressed matrix: u64 magic, i64 columns, i64 rows, tensors indptr, indices, ids, u8
    a matrix by edges: u64 magic, i64 columns, i64 rows, tensors rows, columns, ids, u8, u8

where empty ids stand for 0, 1, 2, ...; rows are sources, but in a csc. Version 1 (of old, kind
1) has graphs of one type. At byte 4096::

    u64 number of graphs, lists of u64 where each begins, i64 nodes and i64 edges of each
    named tensors (labels)
    each graph: tensors indptr, indices, ids of its csc; named tensors of nodes, the same of edges

A file of tensors is ``u64 magic, u64 number, named tensors``. Nothing is executed, and a length
is believed only if the file is that long.
"""

from __future__ import annotations

import math
import os
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor

from hopflow.structure.types import Relation, told

T = TypeVar("T")
Columns: TypeAlias = dict[str, Tensor]

GRAPHS_MAGIC = (0xDD2E4FF046B4A13F).to_bytes(8, "little")
TENSORS_MAGIC = (0xDD5A9FBE3FA2443F).to_bytes(8, "little")
_TENSOR = 0xDD5E40F096B4A13F
_HETERO_GRAPH = 0xDD589FBE35224ABF
_META_GRAPH = 0xDD3C5FFE20046ABF
_RELATION = 0xDD2E60F0F6B4A127
_COO_MATRIX = 0xDD61FFD305DFF127
_CSR_MATRIX = 0xDD6CD31205DFF127

_HEADER_BYTES = 4096
_MOST_DIMENSIONS = 64
_DTYPES = {
    (0, 8): torch.int8, (0, 16): torch.int16, (0, 32): torch.int32, (0, 64): torch.int64,
    (1, 8): torch.uint8, (2, 16): torch.float16, (2, 32): torch.float32, (2, 64): torch.float64,
    (4, 16): torch.bfloat16, (5, 64): torch.complex64, (5, 128): torch.complex128,
    (6, 8): torch.bool,
}  # fmt: skip


class UnknownKind(Exception):
    """Something that DGL may have written, but whose layout is not known here."""


class EdgesInFile(NamedTuple):
    """Edges of one relation, as :func:`hopflow.graph` takes them: ``(form, arrays)``."""

    form: str
    arrays: tuple[Tensor, ...]


@dataclass
class GraphInFile:
    """One graph of a file, as it is there; ids are not checked.

    Attributes
    ----------
    num_nodes : dict
        Of each node type, in the graph's order.
    edges : dict
        Of each relation, in the graph's order.
    ndata, edata : dict
        Columns of each node type and of each relation.
    idtype : torch.dtype
        int32 or int64.
    """

    num_nodes: dict[str, int]
    edges: dict[Relation, EdgesInFile]
    idtype: torch.dtype
    ndata: dict[str, Columns] = field(default_factory=dict)
    edata: dict[Relation, Columns] = field(default_factory=dict)


class DglFile:
    """A file of graphs that DGL has written.

    Parameters
    ----------
    file : binary file
        Open for reading, from its beginning.

    Attributes
    ----------
    labels : dict of str to Tensor
        Tensors of the file as a whole.

    Raises
    ------
    ValueError
        It is damaged.
    UnknownKind
        It is of a version or kind that is not known here.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._stream = stream = _Stream(file)
        stream.expect(int.from_bytes(GRAPHS_MAGIC, "little"), "the file")
        self._version, kind = stream.u64(), stream.u64()
        if (self._version, kind) not in ((1, 1), (2, 2)):
            raise UnknownKind(f"version {self._version} of DGL's files, graphs of kind {kind}")
        if self._version == 2:
            count = stream.u64()
            stream.seek(_HEADER_BYTES)
            stream.u64()
            self.labels = _named_tensors(stream)
            self._begins = _begins(stream)
        else:
            stream.seek(_HEADER_BYTES)
            count = stream.u64()
            self._begins = stream.list_of(stream.u64, 8)
            self._num_nodes = stream.list_of(stream.i64, 8)
            if len(self._num_nodes) != count or len(stream.list_of(stream.i64, 8)) != count:
                raise ValueError(f"numbers of nodes or edges of other than {count} graphs")
            self.labels = _named_tensors(stream)
        if len(self._begins) != count:
            raise ValueError(f"{count} graphs, but places of {len(self._begins)}")

    def __len__(self) -> int:
        return len(self._begins)

    def graph(self, i: int) -> GraphInFile:
        """Graph ``i``."""
        self._stream.seek(self._begins[i])
        if self._version == 2:
            return _hetero_graph(self._stream)
        stream = self._stream
        csc = EdgesInFile("csc", tuple(stream.tensor() for _ in range(3)))
        _require_rows(csc.arrays[0], self._num_nodes[i])
        relation: Relation = ("_N", "_E", "_N")
        found = GraphInFile({"_N": self._num_nodes[i]}, {relation: csc}, _idtype([csc]))
        found.ndata["_N"] = _named_tensors(stream)
        found.edata[relation] = _named_tensors(stream)
        return found


def read_tensors(file: BinaryIO) -> Columns:
    """What is in a file that DGL's ``save_tensors`` has written.

    Raises
    ------
    ValueError, UnknownKind
        As for :class:`DglFile`.
    """
    stream = _Stream(file)
    stream.expect(int.from_bytes(TENSORS_MAGIC, "little"), "the file")
    count = stream.u64()
    found = _named_tensors(stream)
    if len(found) != count:
        raise ValueError(f"{count} tensors, but names of {len(found)}")
    return found


class _Stream:
    """Numbers, texts and tensors, one after the other."""

    def __init__(self, file: BinaryIO) -> None:
        if sys.byteorder != "little":
            raise UnknownKind("little-endian numbers, which this machine has not")
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def seek(self, place: int) -> None:
        if place > self.size:
            raise ValueError(f"something at byte {place}, the file has {self.size}")
        self._file.seek(place)

    def bytes_of(self, count: int) -> bytes:
        self._require(count)
        found = self._file.read(count)
        if len(found) != count:
            raise ValueError("the file has become shorter")
        return found

    def _require(self, count: int) -> None:
        if self._file.tell() + count > self.size:
            raise ValueError(
                f"{count} bytes at byte {self._file.tell()}, the file ends at {self.size}"
            )

    def u8(self) -> int:
        return self.bytes_of(1)[0]

    def u64(self) -> int:
        return int.from_bytes(self.bytes_of(8), "little")

    def i64(self) -> int:
        return int.from_bytes(self.bytes_of(8), "little", signed=True)

    def expect(self, magic: int, what: str) -> None:
        place = self._file.tell()
        found = self.u64()
        if found != magic:
            raise ValueError(f"no mark of {what} at byte {place}, but {found:#x}")

    def list_of(self, read: Callable[[], T], least: int) -> list[T]:
        """A list, of items that take ``least`` bytes or more each."""
        count = self.u64()
        self._require(count * least)
        return [read() for _ in range(count)]

    def text(self) -> str:
        return self.bytes_of(self.u64()).decode()

    def tensor(self) -> Tensor:
        self.expect(_TENSOR, "a tensor")
        _, device, _, num_dims = struct.unpack("<Qiii", self.bytes_of(20))
        kind, bits, lanes = struct.unpack("<BBH", self.bytes_of(4))
        dtype = _DTYPES.get((kind, bits))
        if device != 1 or not 0 <= num_dims <= _MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {num_dims} dimensions on device {device}")
        if dtype is None or lanes != 1:
            raise UnknownKind(f"a tensor of kind {kind} with {lanes} x {bits} bits")
        shape = [self.i64() for _ in range(num_dims)]
        if any(size < 0 for size in shape):
            raise ValueError(f"a tensor of shape {shape}")
        num_bytes = self.i64()
        if num_bytes != math.prod(shape) * bits // 8:
            raise ValueError(f"{num_bytes} bytes of a tensor of shape {shape}, {bits} bits each")
        self._require(num_bytes)  # before memory is asked for
        x = torch.empty(shape, dtype=dtype, device="cpu")
        into = x.reshape(-1).view(torch.uint8).numpy().data
        while into:
            got = self._file.readinto(into)  # type: ignore[attr-defined]
            if not got:
                raise ValueError("the file has become shorter")
            into = into[got:]
        return x


def _named_tensors(stream: _Stream) -> Columns:
    # A name of no letters and a tensor of no dimensions take 48 bytes.
    return dict(stream.list_of(lambda: (stream.text(), stream.tensor()), 48))


def _begins(stream: _Stream) -> list[int]:
    """Where the graphs of a file of version 2 begin."""
    end = stream.size - 8
    stream.seek(end)
    length = stream.u64()
    if length > end:
        raise ValueError(f"places of graphs in {length} bytes, the file has {stream.size}")
    stream.seek(end - length)
    return stream.list_of(stream.u64, 8)


def _hetero_graph(stream: _Stream) -> GraphInFile:
    stream.expect(_HETERO_GRAPH, "a graph")
    pairs = _meta_graph(stream)
    parts = stream.list_of(lambda: _relation(stream), 24)
    counts = stream.list_of(stream.i64, 8)
    ndata = stream.list_of(lambda: _named_tensors(stream), 8)
    edata = stream.list_of(lambda: _named_tensors(stream), 8)
    ntypes, etypes = (stream.list_of(stream.text, 8) for _ in range(2))
    if len({len(counts), len(ndata), len(ntypes)}) != 1:
        raise ValueError(f"{len(ntypes)} node types, numbers of {len(counts)}")
    if len({len(parts), len(pairs), len(edata), len(etypes)}) != 1:
        raise ValueError(f"{len(etypes)} edge types, edges of {len(parts)}")
    if not all(0 <= t < len(ntypes) for pair in pairs for t in pair):
        raise ValueError(f"edge types between {pairs}, there are {len(ntypes)} node types")
    if len(set(ntypes)) < len(ntypes):
        raise UnknownKind(f"a block or other graph whose node types are {told(ntypes)}")
    relations = [(ntypes[src], name, ntypes[dst]) for (src, dst), name in zip(pairs, etypes)]
    if len(set(relations)) < len(relations) or not relations:
        raise UnknownKind(f"a graph whose relations are {told(relations)}")
    num_nodes = dict(zip(ntypes, counts))
    for relation, (_, shape) in zip(relations, parts):
        if shape != (num_nodes[relation[0]], num_nodes[relation[2]]):
            raise ValueError(f"edges {relation} between {shape} nodes, there are {num_nodes}")
    edges = [found for found, _ in parts]
    return GraphInFile(
        num_nodes, dict(zip(relations, edges)), _idtype(edges),
        dict(zip(ntypes, ndata)), dict(zip(relations, edata)),
    )  # fmt: skip


def _meta_graph(stream: _Stream) -> list[tuple[int, int]]:
    """Numbers of the node types that each relation joins."""
    stream.expect(_META_GRAPH, "a metagraph")
    _, (indptr, indices, eids) = _matrix(stream, _CSR_MATRIX, 1)
    count = indices.shape[0]
    if indptr.numel() == 0 or int(indptr[0]) != 0 or int(indptr[-1]) != count:
        raise ValueError(f"a metagraph of {count} relations, indptr {indptr.tolist()}")
    lengths = indptr.diff()
    if bool((lengths < 0).any()):
        raise ValueError(f"a metagraph of indptr {indptr.tolist()}")
    sources = torch.arange(len(lengths), device="cpu").repeat_interleave(lengths)
    order = eids.tolist() if eids.numel() else list(range(count))
    if sorted(order) != list(range(count)):
        raise ValueError(f"a metagraph of {count} relations, numbered {order}")
    found = dict(zip(order, zip(sources.tolist(), indices.tolist())))
    return [found[i] for i in range(count)]


def _relation(stream: _Stream) -> tuple[EdgesInFile, tuple[int, int]]:
    """The edges of a relation, and numbers of nodes at their ends."""
    stream.expect(_RELATION, "a relation")
    forms, _ = stream.u64(), stream.u64()
    if forms >> 32 != 1 or not 0 < forms & 0xFFFFFFFF < 8:
        raise UnknownKind(f"a relation of the forms {forms:#x}")
    found: tuple[EdgesInFile, tuple[int, int]] | None = None
    for bit, form in enumerate(("coo", "csr", "csc")):
        if not forms >> bit & 1:
            continue
        _meta_graph(stream)
        magic, flags = (_COO_MATRIX, 2) if form == "coo" else (_CSR_MATRIX, 1)
        (rows, columns), arrays = _matrix(stream, magic, flags)
        shape = (columns, rows) if form == "csc" else (rows, columns)
        if form == "coo":
            arrays = _by_id(*arrays)
        found = EdgesInFile(form, arrays), shape  # the last one is the cheapest to take
    assert found is not None
    return found


def _by_id(src: Tensor, dst: Tensor, eids: Tensor) -> tuple[Tensor, ...]:
    """Ends of edges in the order of their ids."""
    if eids.numel() == 0:
        return src, dst
    count = src.shape[0]
    if eids.shape != src.shape or dst.shape != src.shape:
        raise ValueError(f"{count} edges, ids of {eids.shape[0]}")
    if not torch.equal(eids.sort().values, torch.arange(count, dtype=eids.dtype, device="cpu")):
        raise ValueError(f"ids of {count} edges that are not 0 to {count - 1}, each once")
    by_id = eids.long().argsort()
    return src[by_id], dst[by_id]


def _matrix(
    stream: _Stream, magic: int, num_flags: int
) -> tuple[tuple[int, int], tuple[Tensor, ...]]:
    """``((rows, columns), arrays)``."""
    stream.expect(magic, "a matrix")
    columns, rows = stream.i64(), stream.i64()
    arrays = tuple(stream.tensor() for _ in range(3))
    if any(x.dim() != 1 or x.dtype not in (torch.int32, torch.int64) for x in arrays):
        raise ValueError(f"a matrix of arrays {[(x.dtype, list(x.shape)) for x in arrays]}")
    for _ in range(num_flags):
        stream.u8()
    if magic == _CSR_MATRIX:
        _require_rows(arrays[0], rows)
    return (rows, columns), arrays


def _require_rows(indptr: Tensor, rows: int) -> None:
    if indptr.dim() != 1 or indptr.shape[0] != rows + 1:
        raise ValueError(f"a matrix of {rows} rows, indptr of shape {list(indptr.shape)}")


def _idtype(edges: Sequence[EdgesInFile]) -> torch.dtype:
    return edges[0].arrays[0].dtype
