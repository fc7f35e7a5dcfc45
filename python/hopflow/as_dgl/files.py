"""Graphs in files, for ``dgl.data.utils.save_graphs`` and ``load_graphs``.

A file is :data:`_MAGIC`, the length of a JSON header (8 bytes, little-endian), the header, and the
tensors' bytes, each at a multiple of 64 from the end of the header. The header holds ``graphs`` and
``labels``; a tensor in it is ``{"dtype", "shape", "offset"}``. Nothing in a file is ever executed.
The format is hopflow's own: DGL's files are not read, and DGL does not read these.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import torch
from torch import Tensor

from hopflow.graphs.create import graph, heterograph
from hopflow.graphs.graph import Graph
from hopflow.ops import as_int
from hopflow.structure.adjacency import Adjacency
from hopflow.structure.frame import Columns, Frame
from hopflow.structure.types import ONE_TYPE, Relation, Schema

_MAGIC = b"hopflow graphs 1\n"
_DGL_MAGIC = bytes.fromhex("3fa1b446f04f2edd")  # the first bytes of what DGL writes
_ALIGNMENT = 64
_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
        torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
    )
}  # fmt: skip

PathLike: TypeAlias = "str | os.PathLike[str]"


def save_graphs(
    filename: PathLike,
    g_list: Graph | Sequence[Graph],
    labels: Mapping[str, Tensor] | None = None,
    formats: Any = None,
) -> None:
    """Write graphs with all their columns, and tensors that belong to the file as a whole.

    The file appears whole or not at all; folders above it are made.

    Parameters
    ----------
    filename : str or path
        Any name.
    g_list : Graph or sequence of Graph
        What to write, from any device.
    labels : mapping of str to Tensor, optional
        Such as the labels of the nodes.
    formats : optional
        Accepted for DGL's sake and without effect.

    Raises
    ------
    TypeError
        Something else than graphs and tensors, or a dtype that a file cannot hold.
    ValueError
        A block.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.save_graphs.html
    """
    graphs = [g_list] if isinstance(g_list, Graph) else list(g_list)
    tensors = _Writer()
    header = {
        "byteorder": sys.byteorder,
        "graphs": [_describe(i, g, tensors) for i, g in enumerate(graphs)],
        "labels": {str(name): tensors.add(f"labels[{name!r}]", x) for name, x in
                   (labels or {}).items()},
    }  # fmt: skip
    path = Path(filename)
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps(header).encode()
    head += b" " * (-(len(_MAGIC) + 8 + len(head)) % _ALIGNMENT)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        # mkstemp's file is its owner's alone; this one is as open as any other.
        umask = os.umask(0)
        os.umask(umask)
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o666 & ~umask)
            file.write(_MAGIC + len(head).to_bytes(8, "little") + head)
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


def load_graphs(
    filename: PathLike, idx_list: Sequence[int] | None = None
) -> tuple[list[Graph], dict[str, Tensor]]:
    """Read what :func:`save_graphs` has written.

    Parameters
    ----------
    filename : str or path
        The file.
    idx_list : sequence of int, optional
        Which of its graphs to read; all by default.

    Returns
    -------
    graphs : list of Graph
        On the CPU.
    labels : dict of str to Tensor
        Those of the whole file; empty if it has none.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is another program's, such as the real DGL's, or damaged.
    IndexError
        There are fewer graphs in it.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.load_graphs.html
    """
    path = Path(filename)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if idx_list is not None:
        if not isinstance(idx_list, Iterable):
            raise TypeError(f"idx_list: expected a sequence of ints, got {type(idx_list).__name__}")
        idx_list = [as_int("idx_list", i) for i in idx_list]
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(_MAGIC))
        if start != _MAGIC:
            by = "by the real DGL" if start.startswith(_DGL_MAGIC) else "by another program"
            raise ValueError(
                f"{path}: written {by}, expected a file of hopflow's save_graphs; move it away, and"
                " data sets that keep their graphs in it will make it anew"
            )
        length = int.from_bytes(file.read(8), "little")
        base = len(_MAGIC) + 8 + length
        if base > size:
            raise _damaged(path, f"a header of {length} bytes does not fit its {size}")
        try:
            header = json.loads(file.read(length))
            if header["byteorder"] != sys.byteorder:
                raise ValueError(f"{header['byteorder']}-endian, this machine is not")
            reader = _Reader(file, base, size)
            entries = header["graphs"]
            wanted = range(len(entries)) if idx_list is None else idx_list
            for i in wanted:
                if not 0 <= i < len(entries):
                    raise IndexError(f"idx_list: {path} holds {len(entries)} graphs, got {i}")
            graphs = [_restore(entries[i], reader) for i in wanted]
            labels = {str(name): reader.read(entry) for name, entry in header["labels"].items()}
        except IndexError as error:
            if str(error).startswith("idx_list"):
                raise
            raise _damaged(path, str(error)) from error
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise _damaged(path, str(error)) from error
    return graphs, labels


def _damaged(path: Path, why: str) -> ValueError:
    return ValueError(f"{path}: damaged ({why}); remove it")


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
    # Edges are checked like any user's arrays: the file may have been changed.
    if "relations" not in entry:
        made = graph(_read_edges(entry, reader), num_nodes=entry["num_nodes"], idtype=idtype)
        _read_columns(made.node_frame(), entry["ndata"], reader)
        _read_columns(made.edge_frame, entry["edata"], reader)
        return made
    counts = {str(of_type["name"]): of_type["num_nodes"] for of_type in entry["ntypes"]}
    relations = {tuple(one["name"]): one for one in entry["relations"]}
    sorted_ = heterograph(
        {name: _read_edges(one, reader) for name, one in relations.items()}, counts, idtype
    )
    # In the order that they had.
    frames = {name: sorted_.node_frame(name) for name in counts}
    parts: dict[Relation, tuple[Adjacency, Columns | None]] = {
        name: (sorted_.relation(name).adjacency, None) for name in relations
    }
    made = Graph.of_types(Schema(list(counts), list(relations)), frames, parts, idtype)
    for of_type in entry["ntypes"]:
        _read_columns(made.node_frame(of_type["name"]), of_type["ndata"], reader)
    for name, one in relations.items():
        _read_columns(made.relation(name).edge_frame, one["edata"], reader)
    return made


def _read_edges(entry: Mapping[str, Any], reader: _Reader) -> Any:
    eids = None if entry["eids"] is None else reader.read(entry["eids"])
    return "csc", (reader.read(entry["indptr"]), reader.read(entry["indices"]), eids)


def _read_columns(frame: Frame, columns: Mapping[str, Any], reader: _Reader) -> None:
    for key, column in columns.items():
        frame[key] = reader.read(column)
