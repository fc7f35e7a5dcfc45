"""Graphs and tensors to be written by DGL and read by hopflow.

    # with DGL's interpreter: records
    python tests/oracle/programs/file_cases.py FILE.npz
    # writes files of random graphs
    python tests/oracle/programs/file_cases.py --into FOLDER FIRST COUNT

Both engines make the same graphs from a number; what a file must hold is not recorded.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16,
    torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
]  # fmt: skip
FORMATS = ("coo", "csr", "csc", ["csr", "csc"], ["coo", "csr", "csc"])
Files = dict[str, tuple[list[Any], dict[str, torch.Tensor], Any]]


def _ints(rng: np.random.Generator, high: int, *shape: int) -> torch.Tensor:
    return torch.from_numpy(rng.integers(high, size=shape))


def _one(engine: Any, rng: np.random.Generator, idtype: torch.dtype) -> Any:
    num_nodes, num_edges = int(rng.integers(1, 7)), int(rng.integers(0, 12))
    ends = _ints(rng, num_nodes, num_edges), _ints(rng, num_nodes, num_edges)
    g = engine.graph(ends, num_nodes=num_nodes, idtype=idtype)
    g.ndata["h"] = torch.from_numpy(rng.standard_normal((num_nodes, 2, 3)))
    g.edata["w"] = torch.from_numpy(rng.standard_normal(num_edges)).float()
    return g


def _typed(engine: Any, rng: np.random.Generator, idtype: torch.dtype) -> Any:
    counts = {t: int(rng.integers(1, 5)) for t in ("author", "paper", "venue")}
    names = [("author", "writes", "paper"), ("author", "knows", "author"),
             ("paper", "cites", "paper"), ("paper", "at", "venue")]  # fmt: skip
    edges = {}
    for src, name, dst in names:
        count = int(rng.integers(0, 6))
        edges[src, name, dst] = _ints(rng, counts[src], count), _ints(rng, counts[dst], count)
    g = engine.heterograph(edges, counts, idtype)
    for ntype in ("paper", "author"):
        g.nodes[ntype].data["h"] = torch.from_numpy(rng.standard_normal((counts[ntype], 2)))
    g.edges["cites"].data["year"] = _ints(rng, 9, g.num_edges("cites"))
    return g


def files(engine: Any, number: int) -> Files:
    """``{name: (graphs, labels, formats)}``."""
    rng = np.random.default_rng([number, 9])
    idtype = (torch.int64, torch.int32)[number % 2]
    other = torch.int32 if idtype == torch.int64 else torch.int64
    found: Files = {}
    for formats in FORMATS:
        name = formats if isinstance(formats, str) else " ".join(formats)
        found[name] = [_one(engine, rng, idtype)], {}, formats
    found["typed"] = [_typed(engine, rng, idtype)], {}, None
    found["typed, csc"] = [_typed(engine, rng, other)], {"y": torch.arange(3)}, ["csc", "coo"]
    every = engine.graph((_ints(rng, 4, 5), _ints(rng, 4, 5)), num_nodes=4)
    for dtype in DTYPES:
        every.ndata[str(dtype)] = _ints(rng, 2, 4, 2).to(dtype)
    found["dtypes"] = [every], {}, None
    empty = engine.graph(([], []), num_nodes=int(rng.integers(3)), idtype=idtype)
    graphs = [
        _one(engine, rng, idtype),
        empty,
        _typed(engine, rng, idtype),
        _one(engine, rng, other),
    ]
    labels = {"é": _ints(rng, 7, 4), "wide": torch.zeros(0, 3), "scalar": torch.tensor(2.5)}
    found["several"] = graphs, labels, None
    # What ogb keeps as processed/dgl_data_processed.
    cited = engine.graph((_ints(rng, 6, 9), _ints(rng, 6, 9)), num_nodes=6)
    cited.ndata["feat"] = torch.from_numpy(rng.standard_normal((6, 4))).float()
    found["ogb"] = [cited], {"labels": _ints(rng, 3, 6, 1)}, None
    return found


def old_files(engine: Any, number: int) -> dict[str, tuple[list[Any], dict[str, torch.Tensor]]]:
    """As :func:`files`, in DGL's first format, which has graphs of one type and int64 ids."""
    rng = np.random.default_rng([number, 10])
    graphs = [_one(engine, rng, torch.int64) for _ in range(3)]
    for g in graphs:
        g.edata.pop("w")
        g.edata["z"] = _ints(rng, 5, g.num_edges())
    return {"version 1": (graphs, {"y": _ints(rng, 9, 3)})}


def tensors(number: int) -> dict[str, dict[str, torch.Tensor]]:
    """What files of tensors hold."""
    rng = np.random.default_rng([number, 11])
    return {
        "tensors": {"a": _ints(rng, 9, 3), "b": torch.from_numpy(rng.standard_normal((2, 0, 3)))},
        "no tensors": {},
    }


def write(number: int, folder: Path) -> None:
    """Write all of them, with DGL."""
    import dgl
    import dgl.data.graph_serialize as old
    from dgl.backend import zerocopy_to_dgl_ndarray as array

    for name, (graphs, labels, formats) in files(dgl, number).items():
        dgl.save_graphs(str(folder / f"{number} {name}"), graphs, labels, formats)
    for name, (graphs, labels) in old_files(dgl, number).items():
        data = []
        for g in graphs:
            ends = (x.tolist() for x in g.edges())
            index = dgl.graph_index.from_coo(g.num_nodes(), *ends, True)
            columns = ({k: array(x) for k, x in c.items()} for c in (g.ndata, g.edata))
            data.append(old._CAPI_MakeGraphData(index, *columns))
        labels = {key: array(x) for key, x in labels.items()}
        old._CAPI_SaveDGLGraphs_V0(str(folder / f"{number} {name}"), data, labels)
    for name, found in tensors(number).items():
        dgl.data.utils.save_tensors(str(folder / f"{number} {name}"), found)


def difference(ours: Any, made: Any) -> str:
    """How a graph that was read differs from the one that was written; "" if in nothing."""
    if ours.canonical_etypes != made.canonical_etypes or ours.ntypes != made.ntypes:
        return f"types {ours.ntypes} {ours.canonical_etypes}"
    if ours.idtype != made.idtype:
        return f"{ours.idtype}, not {made.idtype}"
    pairs = []
    for ntype in made.ntypes:
        if ours.num_nodes(ntype) != made.num_nodes(ntype):
            return f"{ours.num_nodes(ntype)} nodes {ntype}, not {made.num_nodes(ntype)}"
        pairs.append((ours.nodes[ntype].data, made.nodes[ntype].data))
    for etype in made.canonical_etypes:
        for x, y in zip(ours.all_edges("all", etype=etype), made.all_edges("all", etype=etype)):
            if not torch.equal(x, y):
                return f"edges {etype}: {x}, not {y}"
        pairs.append((ours.edges[etype].data, made.edges[etype].data))
    for x, y in pairs:
        what = columns_differ(dict(x), dict(y))
        if what:
            return what
    return ""


def columns_differ(ours: dict[str, torch.Tensor], made: dict[str, torch.Tensor]) -> str:
    """The same for named tensors; DGL writes bool as uint8."""
    if ours.keys() != made.keys():
        return f"columns {set(ours)}, not {set(made)}"
    for key, x in ours.items():
        y = made[key].to(torch.uint8) if made[key].dtype == torch.bool else made[key]
        if x.dtype != y.dtype or x.shape != y.shape or not torch.equal(x, y):
            return f"{key}: {x}, not {y}"
    return ""


def main() -> None:
    """Write files, or record them."""
    warnings.simplefilter("ignore")
    if sys.argv[1] == "--into":
        first, count = map(int, sys.argv[3:])
        for number in range(first, first + count):
            write(number, Path(sys.argv[2]))
        return
    import dgl

    recorded = {"versions": np.array(f"dgl {dgl.__version__}, torch {torch.__version__}")}
    with tempfile.TemporaryDirectory() as folder:
        write(0, Path(folder))
        for path in sorted(Path(folder).iterdir()):
            data = bytearray(path.read_bytes())
            if len(data) > 4096:  # DGL leaves the rest of its first page to chance
                data[32:4096] = bytes(4096 - 32)
            recorded[path.name[2:]] = np.frombuffer(bytes(data), np.uint8)
    np.savez_compressed(sys.argv[1], **recorded)


if __name__ == "__main__":
    main()
