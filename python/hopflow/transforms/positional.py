"""Positional encodings of nodes: eigenvectors of the Laplacian, singular vectors, random walks."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.ops.random_stream import next_key, uniform
from hopflow.structure.batch_sizes import node_sizes, offsets
from hopflow.structure.graph_base import GraphBase, GraphT, require_graph
from hopflow.transforms._matrices import edge_weight, ends_of, to_csr
from hopflow.transforms._spectrum import largest_eigenvalue, smallest_eigenpairs, top_singular
from hopflow.transforms.export import require_library
from hopflow.transforms.modules import BaseTransform

# Numbers in one block of landing probabilities.
_WALK_BLOCK = 1 << 24

# --- Laplacian


def lap_pe(
    g: GraphBase, k: int, padding: bool = False, return_eigval: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Eigenvectors of the normalised Laplacian with the smallest eigenvalues, but for the first.

    The Laplacian is ``I - D^-1/2 A D^-1/2`` with the in-degrees ``D``, a node without edges
    counting as of degree 1. Signs of eigenvectors are drawn anew in each call.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type that has the reverse of every edge.
    k : int
        How many eigenvectors.
    padding : bool
        Give 0 for eigenvectors, and NaN for eigenvalues, beyond the N - 1 that there are.
    return_eigval : bool
        Return the eigenvalues too.

    Returns
    -------
    Tensor, or (Tensor, Tensor)
        float32, shapes [N, k] and [k], on the graph's device; in the order of the eigenvalues.

    Raises
    ------
    ValueError
        ``k`` is not below N and there is no padding (DGL means to refuse it, and pads), ``k`` is
        below 1, or an edge lacks its reverse.
    HopflowError
        The eigenvectors of a graph of more than 1,024 nodes were not found.
    ImportError
        scipy is not installed.

    References
    ----------
    Dwivedi et al., "Benchmarking graph neural networks", https://arxiv.org/abs/2003.00982
    https://www.dgl.ai/dgl_docs/generated/dgl.lap_pe.html
    """
    g, k = require_graph(g, one_type=True), _how_many(k)
    count = g.num_nodes()
    if count <= k and not padding:
        raise ValueError(
            f"k: expected fewer eigenvectors than the {count} nodes, got {k}; padding=True fills up"
        )
    found = min(k, max(count - 1, 0))
    vectors, values = np.zeros((count, k)), np.full(k, np.nan)
    if found:
        matrix = _normalized(g, "lap_pe")
        _require_symmetric(matrix)
        of_zero = _of_components(g, matrix, found + 1)
        most, all_vectors = smallest_eigenpairs(matrix, found + 1, of_zero, "lap_pe")
        values[:found], vectors[:, :found] = most[1:], all_vectors[:, 1:]
    encoding = torch.from_numpy(vectors).to(g.device)
    encoding[:, :found] *= _signs(found, g.device)
    if not return_eigval:
        return encoding.float()
    return encoding.float(), torch.from_numpy(values).float().to(g.device)


laplacian_pe = lap_pe


def laplacian_lambda_max(g: GraphBase) -> list[float]:
    """The largest eigenvalue of the normalised Laplacian, as ``ChebConv`` asks for it.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type, with at least one node, or a batch of such
        graphs. Of one that lacks the reverse of an edge, whose eigenvalues may be complex, it is
        the real part of the one with the largest absolute value.

    Returns
    -------
    list of float
        A number for each graph of a batch; of a single graph one.

    Raises
    ------
    ValueError
        A graph without nodes, or a batch with an edge from one of its graphs to another.
    HopflowError
        It was not found.
    ImportError
        scipy is not installed.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.laplacian_lambda_max.html
    """
    g = require_graph(g, one_type=True)
    sizes = node_sizes(g)
    if bool((sizes == 0).any()):
        which = "" if sizes.shape[0] == 1 else f" in graph {int((sizes == 0).nonzero()[0])}"
        raise ValueError(f"g: expected at least one node, got none{which}")
    matrix = _normalized(g, "laplacian_lambda_max")
    # No edge leaves a graph of a batch: its rows have its columns alone.
    parts = [matrix[start:end, start:end] for start, end in pairwise(offsets(sizes).tolist())]
    if sum(part.nnz for part in parts) < matrix.nnz:
        raise ValueError(
            "g: expected a batch each of whose edges is of one of its graphs, got one that leads"
            " from one to another; set_batch_num_nodes says where they begin"
        )
    return [largest_eigenvalue(x, _is_symmetric(x), "laplacian_lambda_max") for x in parts]


def _normalized(g: GraphBase, what: str) -> Any:
    """``D^-1/2 A D^-1/2`` as a scipy matrix."""
    sparse = require_library("scipy.sparse", "scipy", what)
    degrees = g.adjacency.in_degrees().cpu().numpy()
    norm = sparse.diags(np.maximum(degrees, 1).astype(np.float64) ** -0.5)
    return (norm @ to_csr(g, what) @ norm).tocsr()


def _of_components(g: GraphBase, matrix: Any, most: int) -> Any:
    """Eigenvectors of eigenvalue 0: one for each connected component that has edges.

    A component's holds the roots of its nodes' degrees. float64, shape [N, at most ``most``].
    """
    csgraph = require_library("scipy.sparse.csgraph", "scipy", "lap_pe")
    count, component = csgraph.connected_components(matrix, directed=False)
    root = np.sqrt(g.adjacency.in_degrees().cpu().numpy().astype(np.float64))
    norm = np.sqrt(np.bincount(component, weights=root**2, minlength=count))
    with_edges = np.nonzero(norm)[0][:most]
    column = np.full(count, -1)
    column[with_edges] = np.arange(len(with_edges))
    rows = np.nonzero(column[component] >= 0)[0]
    vectors = np.zeros((len(component), len(with_edges)))
    vectors[rows, column[component[rows]]] = root[rows] / norm[component[rows]]
    return vectors


def _is_symmetric(matrix: Any) -> bool:
    return abs(matrix - matrix.T).max() < 1e-12 if matrix.nnz else True


def _require_symmetric(matrix: Any) -> None:
    """Raise unless every edge has its reverse, as often as itself."""
    if _is_symmetric(matrix):
        return
    apart = (matrix - matrix.T).tocoo()
    at = int(np.argmax(apart.data))
    raise ValueError(
        "g: expected the reverse of every edge, and found"
        f" ({int(apart.row[at])}, {int(apart.col[at])}) more often than its reverse; use"
        " hopflow.to_bidirected"
    )


def _how_many(k: object) -> int:
    number = ops.as_int("k", k)
    if number < 1:
        raise ValueError(f"k: expected a positive number, got {number}")
    return number


def _signs(count: int, device: torch.device) -> Tensor:
    """1 or -1, float64, drawn."""
    return torch.where(uniform(next_key(), count, device) < 0.5, 1.0, -1.0).double()


# --- singular vectors


def svd_pe(g: GraphBase, k: int, padding: bool = False, random_flip: bool = True) -> Tensor:
    """Left and right singular vectors of the adjacency matrix with the largest singular values.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    k : int
        How many of either.
    padding : bool
        Give 0 beyond the N that there are.
    random_flip : bool
        Draw a sign for each node, as DGL does, and multiply its row with it.

    Returns
    -------
    Tensor
        float32, shape [N, 2k], on the graph's device: left vectors, right vectors, then the
        padding; each times the root of its singular value.

    Raises
    ------
    ValueError
        ``k`` is above N and there is no padding, or below 1.
    HopflowError
        The vectors of a graph of more than 1,024 nodes were not found.
    ImportError
        scipy is not installed.

    References
    ----------
    Hussain, Zaki, Subramanian, "Global self-attention as a replacement for graph convolution",
    https://arxiv.org/abs/2108.03348
    https://www.dgl.ai/dgl_docs/generated/dgl.svd_pe.html
    """
    g, k = require_graph(g, one_type=True), _how_many(k)
    count = g.num_nodes()
    if count < k and not padding:
        raise ValueError(
            f"k: expected no more singular values than the {count} nodes, got {k}; padding=True"
            " fills up"
        )
    found = min(count, k)
    encoding = np.zeros((count, 2 * k))
    if found:
        left, values, right = top_singular(to_csr(g, "svd_pe"), found, "svd_pe")
        root = np.sqrt(values)
        encoding[:, :found], encoding[:, found : 2 * found] = left * root, right * root
    made = torch.from_numpy(encoding).to(g.device)
    if random_flip:
        made = made * _signs(count, g.device).unsqueeze(1)
    return made.float()


# --- random walks


def random_walk_pe(g: GraphBase, k: int, eweight_name: str | None = None) -> Tensor:
    """The probability that a random walk is back where it began after 1, 2, ..., k steps.

    A walk at a node takes each out-edge with equal probability, or in proportion to its weight; one
    at a node without out-edges ends. No matrix of N x N is made: time is O(k E N) and memory, for a
    block of starting nodes at a time, bounded.

    Parameters
    ----------
    g : Graph
        A graph of one node type and one edge type.
    k : int
        Number of steps.
    eweight_name : str, optional
        Edge column of weights, shape [E] or [E, 1].

    Returns
    -------
    Tensor
        float32, shape [N, k], on the graph's device.

    Raises
    ------
    ValueError
        ``k`` is below 1, or weights have another shape.
    KeyError, TypeError
        No such column, or none of floating point.

    References
    ----------
    Dwivedi et al., "Graph neural networks with learnable structural and positional
    representations", https://arxiv.org/abs/2110.07875
    https://www.dgl.ai/dgl_docs/generated/dgl.random_walk_pe.html
    """
    g, k = require_graph(g, one_type=True), _how_many(k)
    count, device = g.num_nodes(), g.device
    src, _ = ends_of(g)
    if eweight_name is None:
        weight = torch.ones(g.num_edges(), dtype=torch.float64, device=device)
    else:
        weight = edge_weight(g, eweight_name).detach().double()
    total = torch.zeros(count, dtype=torch.float64, device=device).index_add_(0, src, weight)
    step = weight / (total[src] + 1e-30)  # what DGL adds where weights may cancel
    full = g.adjacency.full()
    returned = torch.zeros(count, k, dtype=torch.float64, device=device)
    width = max(1, min(count, _WALK_BLOCK // max(count, 1)))
    for begin in range(0, count, width):
        starts = torch.arange(begin, min(begin + width, count), device=device)
        own = torch.arange(starts.shape[0], device=device)
        landed = torch.zeros(count, starts.shape[0], dtype=torch.float64, device=device)
        landed[starts, own] = 1.0
        for i in range(k):
            landed = ops.spmm(full.indptr, full.indices, landed, weight=step, eids=full.eids)
            returned[starts, i] = landed[starts, own]
    return returned.float()


# --- as objects


class LapPE(BaseTransform):
    """Add eigenvectors of the Laplacian as a node column: :func:`hopflow.lap_pe`.

    Parameters
    ----------
    k : int
        How many eigenvectors.
    feat_name : str
        Node column for them, float32, shape [N, k].
    eigval_name : str, optional
        Node column for the eigenvalues, the same in each row, float32, shape [N, k].
    padding : bool
        Fill up where there are fewer.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.LapPE.html
    """

    def __init__(
        self, k: int, feat_name: str = "PE", eigval_name: str | None = None, padding: bool = False
    ) -> None:
        self.k, self.feat_name = _how_many(k), feat_name
        self.eigval_name, self.padding = eigval_name, padding

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new columns.

        Raises
        ------
        ValueError, HopflowError, ImportError
            As :func:`hopflow.lap_pe`.
        """
        g = require_graph(g, one_type=True).local_var()
        encoding, values = lap_pe(g, self.k, self.padding, return_eigval=True)
        if self.eigval_name:
            g.ndata[self.eigval_name] = values.repeat(g.num_nodes(), 1)
        g.ndata[self.feat_name] = encoding
        return g


LaplacianPE = LapPE


class SVDPE(BaseTransform):
    """Add singular vectors of the adjacency matrix as a node column: :func:`hopflow.svd_pe`.

    Parameters
    ----------
    k : int
        How many of either.
    feat_name : str
        Node column for them, float32, shape [N, 2k].
    padding : bool
        Fill up where there are fewer.
    random_flip : bool
        Draw a sign for each node.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.SVDPE.html
    """

    def __init__(
        self, k: int, feat_name: str = "svd_pe", padding: bool = False, random_flip: bool = True
    ) -> None:
        self.k, self.feat_name = _how_many(k), feat_name
        self.padding, self.random_flip = padding, random_flip

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new column.

        Raises
        ------
        ValueError, HopflowError, ImportError
            As :func:`hopflow.svd_pe`.
        """
        g = require_graph(g, one_type=True).local_var()
        g.ndata[self.feat_name] = svd_pe(g, self.k, self.padding, self.random_flip)
        return g


class RandomWalkPE(BaseTransform):
    """Add the chances of a walk's return as a node column: :func:`hopflow.random_walk_pe`.

    Parameters
    ----------
    k : int
        Number of steps.
    feat_name : str
        Node column for them, float32, shape [N, k].
    eweight_name : str, optional
        Edge column of weights.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.transforms.RandomWalkPE.html
    """

    def __init__(self, k: int, feat_name: str = "PE", eweight_name: str | None = None) -> None:
        self.k, self.feat_name, self.eweight_name = _how_many(k), feat_name, eweight_name

    def __call__(self, g: GraphT) -> GraphT:
        """The graph with the new column.

        Raises
        ------
        ValueError, KeyError, TypeError
            As :func:`hopflow.random_walk_pe`.
        """
        g = require_graph(g, one_type=True).local_var()
        g.ndata[self.feat_name] = random_walk_pe(g, self.k, self.eweight_name)
        return g
