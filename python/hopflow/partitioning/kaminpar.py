"""KaMinPar, which reads graphs from files: the graph written, partitioned, the parts read back."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.storage.memory import available_memory
from hopflow.structure.graph_base import GraphBase

_CHUNK = 1 << 22  # edges written at a time
# Memory at the peak, measured on 12 million edges.
_EDGE_BYTES, _NODE_BYTES = 55, 100
# ParHIP's binary format, as KaMinPar reads it: bits of the version say what is *not* there or not
# 64 bits wide.
_NO_EDGE_WEIGHTS, _NARROW_IDS = 1, 8


def kaminpar_parts(
    graph: GraphBase,
    counts: Sequence[int],
    trained: Sequence[Tensor],
    num_parts: int,
    imbalance: float,
    seed: int,
) -> Tensor:
    """Parts of the nodes of all types together, which balance their weights alone.

    A node weighs as much as all its kind together over its number: types and training nodes count
    alike. One thread, so that a seed gives the same parts again.

    Raises
    ------
    ImportError
        KaMinPar is not installed.
    HopflowError
        There is not enough memory.
    """
    try:
        import kaminpar
    except ImportError:
        raise ImportError(
            "method 'kaminpar' needs KaMinPar: pip install 'hopflow[partition]'; 'stream' needs"
            " nothing"
        ) from None
    num_nodes = sum(counts)
    needed, free = _EDGE_BYTES * graph.num_edges() + _NODE_BYTES * num_nodes, available_memory()
    if free is not None and needed > free:
        raise ops.HopflowError(
            f"method 'kaminpar' needs about {needed / 1e9:.1f} GB for {graph.num_edges():,} edges,"
            f" of which {free / 1e9:.1f} GB are free; 'stream' reads the edges where they are"
        )
    if not num_nodes:
        return torch.empty(0, dtype=torch.int16)
    indptr, indices = _both_ways(graph, counts)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "graph.parhip"
        _write(file, indptr, indices, _weights(counts, trained))
        del indptr, indices
        loaded = kaminpar.load_graph(str(file), kaminpar.GraphFileFormat.PARHIP)
        kaminpar.reseed(seed % 2**31)
        solver = kaminpar.KaMinPar(1, kaminpar.default_context())
        found = solver.compute_partition(loaded, num_parts, max(imbalance, 1e-3))
    return torch.tensor(found, dtype=torch.int16)


def _weights(counts: Sequence[int], trained: Sequence[Tensor]) -> Tensor:
    """Whole numbers that make each type, and the training nodes of each, weigh about the same."""
    total = max(counts)
    found = []
    for count, mask in zip(counts, trained):
        weight = torch.full((count,), max(total // max(count, 1), 1))
        num_trained = int(mask.sum())
        if num_trained:
            weight[mask] += max(total // num_trained, 1)
        found.append(weight)
    return torch.cat(found)


def _both_ways(graph: GraphBase, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Every edge at both its ends, without self-loops: ``indptr``, and ``indices`` in int32 if they
    fit. Twice in the graph is twice here."""
    firsts = dict(zip(graph.schema.ntypes, [sum(counts[:t]) for t in range(len(counts))]))
    num_nodes = sum(counts)
    dtype = ops.id_dtype(num_nodes)
    ends: list[tuple[Tensor, Tensor]] = []
    for (src, _, dst), one in graph.relations.items():
        full = one.adjacency.full()
        u = full.indices.to(dtype) + firsts[src]
        v = full.destinations().to(dtype) + firsts[dst]
        keep = u != v
        if not bool(keep.all()):
            u, v = u[keep], v[keep]
        ends += [(u, v), (v, u)]
    none = torch.empty(0, dtype=dtype)
    sources = torch.cat([none, *(u for u, _ in ends)])
    targets = torch.cat([none, *(v for _, v in ends)])
    del ends
    indptr, indices, _ = ops.coo_to_csc(sources, targets, num_nodes, num_nodes)
    return indptr, indices


def _write(file: Path, indptr: Tensor, indices: Tensor, weights: Tensor) -> None:
    narrow = indices.dtype == torch.int32
    version = _NO_EDGE_WEIGHTS | (_NARROW_IDS if narrow else 0)
    num_nodes, num_edges = indptr.shape[0] - 1, indices.shape[0]
    with open(file, "wb") as out:
        np.array([version, num_nodes, num_edges], dtype=np.uint64).tofile(out)
        # Where the edges of each node are in the file.
        begin = 8 * (3 + num_nodes + 1)
        (indptr.numpy().astype(np.uint64) * (4 if narrow else 8) + np.uint64(begin)).tofile(out)
        for chunk in torch.split(indices, _CHUNK):
            chunk.numpy().astype(np.uint32 if narrow else np.uint64).tofile(out)
        weights.numpy().astype(np.int64).tofile(out)
