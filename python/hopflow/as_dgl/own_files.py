"""Files of graphs in hopflow's own format.

A file is :data:`MAGIC`, the length of a JSON header (8 bytes, little-endian), the header, and the
tensors' bytes, each at a multiple of 64 from the end of the header. The header holds ``graphs`` and
``labels``; a tensor in it is ``{"dtype", "shape", "offset"}``. Nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import torch
from torch import Tensor

from hopflow.graphs.create import graph, heterograph
from hopflow.graphs.graph import Graph
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.types import ONE_TYPE, Relation, Schema

MAGIC = b"hopflow graphs 1\n"
_ALIGNMENT = 64
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip

PathLike: TypeAlias = "str | os.PathLike[str]"


def write_file(
    filename: PathLike, graphs: Sequence[Graph], labels: Mapping[str, tuple[str, Tensor]]
) -> None:
    """Write graphs, and tensors by name, each with what messages call it."""
    tensors = _Writer()
    header = {
        "byteorder": sys.byteorder,
        "graphs": [_describe(i, g, tensors) for i, g in enumerate(graphs)],
        "labels": {name: tensors.add(what, x) for name, (what, x) in labels.items()},
    }
    path = Path(filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps(header).encode()
    head += b" " * (-(len(MAGIC) + 8 + len(head)) % _ALIGNMENT)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        # mkstemp's file is its owner's alone; this one is as open as any other.
        umask = os.umask(0)
        os.umask(umask)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~umask)
            file.write(MAGIC + len(head).to_bytes(8, "little") + head)
            tensors.write(file)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)
        raise


def _describe(i: int, g: Graph, tensors: _Writer) -> dict[str, Any]:
    if not isinstance(g, Graph):
        raise TypeError(f"g_list[{i}]: expected a hopflow.Graph, got {type(g).__name__}")
    if g.is_block:
        raise ValueError(f"g_list[{i}]: expected a graph, got a block")
    what = f"g_list[{i}]"
    idtype = {"idtype": str(g.idtype).removeprefix("torch.")}
    if g.schema == ONE_TYPE:
        nodes = _columns(f"{what}.ndata", g.node_frame(), tensors)
        edges = _edges(what, g, tensors)
        return {"num_nodes": g.num_nodes(), **idtype, "ndata": nodes, **edges}
    return {
        **idtype,
        "ntypes": [
            {"name": name, "num_nodes": frame.num_rows,
             "ndata": _columns(f"{what}.nodes[{name!r}].data", frame, tensors)}
            for name, frame in g.node_frames().items()
        ],
        "relations": [
            {"name": list(name), **_edges(f"{what}[{name!r}]", one, tensors)}
            for name, one in g.relations.items()
        ],
    }  # fmt: skip


def _columns(what: str, frame: Frame, tensors: _Writer) -> dict[str, Any]:
    return {key: tensors.add(f"{what}[{key!r}]", frame[key]) for key in frame}


def _edges(what: str, g: Graph, tensors: _Writer) -> dict[str, Any]:
    """The edges of one relation, and their columns."""
    adjacency = g.adjacency.full()
    eids = adjacency.eids
    return {
        "indptr": tensors.add(what, adjacency.indptr),
        "indices": tensors.add(what, adjacency.indices),
        "eids": None if eids is None else tensors.add(what, eids),
        "edata": _columns(f"{what}.edata", g.edge_frame, tensors),
    }


class _Writer:
    """Tensors on their way to a file, each with its place in it."""

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._end = 0

    def add(self, what: str, x: Tensor) -> dict[str, Any]:
        """Take a tensor; returns what the header says of it."""
        if not isinstance(x, Tensor):
            raise TypeError(f"{what}: expected a torch.Tensor, got {type(x).__name__}")
        dtype = str(x.dtype).removeprefix("torch.")
        if dtype not in _DTYPES or x.layout != torch.strided:
            raise TypeError(f"{what}: expected a dense tensor of {', '.join(_DTYPES)}, got {dtype}")
        entry = {"dtype": dtype, "shape": list(x.shape), "offset": self._end}
        self._end += -(-x.numel() * x.element_size() // _ALIGNMENT) * _ALIGNMENT
        self._tensors.append(x)
        return entry

    def write(self, file: BinaryIO) -> None:
        """Write all of them; a copy of one at a time is made where it is needed."""
        for x in self._tensors:
            flat = x.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            file.write(flat.view(torch.uint8).numpy().data)
            file.write(b"\0" * (-flat.numel() * flat.element_size() % _ALIGNMENT))


class OwnFile:
    """A file that :func:`write_file` has written.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Raises
    ------
    ValueError, TypeError, KeyError, IndexError, AttributeError
        It is damaged, here or when something of it is read.
    """

    def __init__(self, file: BinaryIO) -> None:
        size = os.fstat(file.fileno()).st_size
        file.seek(len(MAGIC))
        length = int.from_bytes(file.read(8), "little")
        base = len(MAGIC) + 8 + length
        if base > size:
            raise ValueError(f"a header of {length} bytes does not fit its {size}")
        self._header = json.loads(file.read(length))
        if self._header["byteorder"] != sys.byteorder:
            raise ValueError(f"{self._header['byteorder']}-endian, this machine is not")
        self._reader = _Reader(file, base, size)

    def __len__(self) -> int:
        return len(self._header["graphs"])

    def graph(self, i: int) -> Graph:
        """Graph ``i``."""
        return _restore(self._header["graphs"][i], self._reader)

    def labels(self) -> dict[str, Tensor]:
        """Tensors of the file as a whole."""
        entries = self._header["labels"]
        return {str(name): self._reader.read(entry) for name, entry in entries.items()}


class _Reader:
    """Tensors of one file."""

    def __init__(self, file: BinaryIO, base: int, size: int) -> None:
        self._file, self._base, self._size = file, base, size

    def read(self, entry: Mapping[str, Any]) -> Tensor:
        """The tensor that the header describes so."""
        dtype, shape, offset = _DTYPES[entry["dtype"]], entry["shape"], entry["offset"]
        for value in (*shape, offset):
            if type(value) is not int or value < 0:
                raise ValueError(f"a size or place of {value!r}")
        count = math.prod(shape)
        num_bytes = count * torch.empty((), dtype=dtype, device="cpu").element_size()
        # Before memory is asked for.
        if self._base + offset + num_bytes > self._size:
            raise ValueError(f"expected {num_bytes} bytes of a tensor, the file ends before")
        x = torch.empty(count, dtype=dtype, device="cpu")
        into = x.view(torch.uint8).numpy().data
        self._file.seek(self._base + offset)
        while into:
            got = self._file.readinto(into)  # type: ignore[attr-defined]
            if not got:
                raise ValueError("the file has become shorter")
            into = into[got:]
        return x.reshape(shape)


def _restore(entry: Mapping[str, Any], reader: _Reader) -> Graph:
    idtype = _DTYPES[entry["idtype"]]
    if "relations" not in entry:
        made = graph(_read_edges(entry, reader), num_nodes=entry["num_nodes"], idtype=idtype)
        _read_columns(made.node_frame(), entry["ndata"], reader)
        _read_columns(made.edge_frame, entry["edata"], reader)
        return made
    counts = {str(of_type["name"]): of_type["num_nodes"] for of_type in entry["ntypes"]}
    relations = {tuple(one["name"]): one for one in entry["relations"]}
    made = assembled(
        counts, {name: _read_edges(one, reader) for name, one in relations.items()}, idtype
    )
    for of_type in entry["ntypes"]:
        _read_columns(made.node_frame(of_type["name"]), of_type["ndata"], reader)
    for name, one in relations.items():
        _read_columns(made.relation(name).edge_frame, one["edata"], reader)
    return made


def assembled(
    counts: Mapping[str, int], edges: Mapping[Relation, Any], idtype: torch.dtype
) -> Graph:
    """A graph of several types, in this order. Edges are checked like any user's arrays: the file
    may have been changed."""
    sorted_ = heterograph(dict(edges), dict(counts), idtype)
    frames = {name: sorted_.node_frame(name) for name in counts}
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        name: (sorted_.relation(name).adjacency, None) for name in edges
    }
    return Graph.of_types(Schema(list(counts), list(edges)), frames, parts, idtype)


def _read_edges(entry: Mapping[str, Any], reader: _Reader) -> Any:
    eids = None if entry["eids"] is None else reader.read(entry["eids"])
    return "csc", (reader.read(entry["indptr"]), reader.read(entry["indices"]), eids)


def _read_columns(frame: Frame, columns: Mapping[str, Any], reader: _Reader) -> None:
    for key, column in columns.items():
        frame[key] = reader.read(column)
