"""Building a graph from an edge list, and grouping its edges by source instead of destination."""

from __future__ import annotations

import numpy as np
import torch
from hopbench import Case, Entry, Task, timed
from hopbench.workloads import SHAPES, Workloads


def edges(workloads: Workloads) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The edges of the arxiv-shaped graph in random order, int64, and its number of nodes."""
    indptr, indices = workloads.graph("arxiv")
    num_nodes = len(indptr) - 1
    dst = np.repeat(np.arange(num_nodes), np.diff(indptr))
    order = np.random.default_rng(0).permutation(len(indices))
    return (
        torch.from_numpy(indices[order].astype(np.int64)), torch.from_numpy(dst[order]), num_nodes
    )  # fmt: skip


def hopflow_build(workloads: Workloads) -> Task:
    """hopflow.ops.coo_to_csc."""
    from hopflow import ops

    src, dst, num_nodes = edges(workloads)
    return timed(lambda: ops.coo_to_csc(src, dst, num_nodes, num_nodes))


def dgl_build(workloads: Workloads) -> Task:
    """A DGL graph of the edge list, and the CSC that it makes of it."""
    import dgl

    src, dst, num_nodes = edges(workloads)
    return timed(lambda: dgl.graph((src, dst), num_nodes=num_nodes).adj_tensors("csc"))


def torch_build(workloads: Workloads) -> Task:
    """Plain torch: a stable sort of the destinations."""
    src, dst, num_nodes = edges(workloads)

    def run() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        eids = torch.sort(dst, stable=True).indices
        return torch.bincount(dst, minlength=num_nodes).cumsum(0), src[eids], eids

    return timed(run)


def _csc(workloads: Workloads) -> tuple[torch.Tensor, torch.Tensor]:
    indptr, indices = workloads.graph("arxiv")
    return torch.from_numpy(indptr), torch.from_numpy(indices)


def hopflow_transpose(workloads: Workloads) -> Task:
    """hopflow.ops.transpose_csc."""
    from hopflow import ops

    indptr, indices = _csc(workloads)
    return timed(lambda: ops.transpose_csc(indptr, indices, len(indptr) - 1))


def dgl_transpose(workloads: Workloads) -> Task:
    """The CSR that DGL makes of a graph given in CSC."""
    import dgl

    indptr, indices = _csc(workloads)
    indices = indices.long()
    empty: list[int] = []
    return timed(lambda: dgl.graph(("csc", (indptr, indices, empty))).adj_tensors("csr"))


def torch_transpose(workloads: Workloads) -> Task:
    """torch's conversion of a sparse matrix from rows to columns."""
    indptr, indices = _csc(workloads)
    size = len(indptr) - 1
    values = torch.arange(len(indices), dtype=torch.float64)  # the positions, which the others give
    matrix = torch.sparse_csr_tensor(indptr, indices.long(), values, (size, size))
    return timed(matrix.to_sparse_csc)


EDGES = f"{SHAPES['arxiv'].num_edges:,} edges"
CASES = [
    Case(
        name="csc.build",
        what=f"Grouping {EDGES} by destination, their order kept",
        entries=[
            Entry("hopflow", hopflow_build),
            Entry("dgl", dgl_build),
            Entry("torch", torch_build),
        ],
        workloads=["arxiv"],
    ),
    Case(
        name="csc.transpose",
        what=f"Grouping {EDGES} by source, given by destination",
        entries=[
            Entry("hopflow", hopflow_transpose),
            Entry("dgl", dgl_transpose),
            Entry("torch", torch_transpose),
        ],
        workloads=["arxiv"],
    ),
]

if __name__ == "__main__":
    from hopbench.alone import main

    main(__file__)
