"""Exact predictions for every node: layer by layer over full neighbourhoods."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hopflow.dataloading import MultiLayerFullNeighborSampler
from hopflow.graphs.graph import Graph
from hopflow.structure.frame import take_rows
from hopflow.structure.stored_column import StoredColumn
from hopflow.train.models.layered import LayeredModel
from hopflow.train.ranks import ALONE, Ranks

# In-edges a chunk, each of which brings at most one row ...
DEFAULT_CHUNK_EDGES = 1 << 20
# ... and elements of these rows: 2^27 are 0.5 GB in float32. Wide features get smaller chunks.
_CHUNK_ELEMENTS = 1 << 27


def layerwise_inference(
    model: LayeredModel,
    graph: Graph,
    x: Tensor | StoredColumn,
    *,
    chunk_edges: int = DEFAULT_CHUNK_EDGES,
    scratch: Path | None = None,
    on_nodes: Callable[[int], None] | None = None,
    ranks: Ranks = ALONE,
) -> Tensor:
    """Compute the outputs of every node, layer by layer, so no neighbourhood is expanded twice.

    Memory: the outputs of two layers, [N, width] each, and one chunk, whose input rows number at
    most ``chunk_edges`` and hold at most 0.5 GB (or are one node's in-neighbours, where these alone
    are more).

    Parameters
    ----------
    model : LayeredModel
        The trained model; its mode is restored afterwards.
    graph : Graph
        The graph, with N nodes.
    x : Tensor or StoredColumn
        Input features, shape [N, in_feats].
    chunk_edges : int
        In-edges of the nodes computed at a time; fewer where rows are wide.
    scratch : Path, optional
        Folder that is there, for the outputs of hidden layers, kept in files instead of in memory;
        the files are removed at the end, and two runs may share the folder.
    on_nodes : callable, optional
        Called with the number of nodes just finished, N times the number of layers in all.
    ranks : Ranks
        Among which each layer's nodes are shared out; all of them call this and get all outputs.
        Not together with ``scratch``.

    Returns
    -------
    Tensor
        Outputs, shape [N, widths[-1]].

    Raises
    ------
    ValueError
        ``x`` is not [N, in_feats].

    References
    ----------
    https://www.dgl.ai/dgl_docs/guide/minibatch-inference.html
    """
    if len(x.shape) != 2 or tuple(x.shape) != (graph.num_nodes(), model.widths[0]):
        raise ValueError(
            f"x: expected shape [{graph.num_nodes()}, {model.widths[0]}] (nodes, features of the"
            f" model), got {list(x.shape)}"
        )
    if chunk_edges < 1:
        raise ValueError(f"chunk_edges: expected at least 1, got {chunk_edges}")
    sampler = MultiLayerFullNeighborSampler(1)
    device = next(model.parameters()).device
    rows_in: Tensor | StoredColumn = x
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), ExitStack() as stack:
            if scratch is not None:
                if not scratch.is_dir():
                    raise ValueError(f"scratch: expected a folder, {scratch} is none")
                scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
            for i, width in enumerate(model.widths[1:]):
                is_last = i + 2 == len(model.widths)
                file = None if scratch is None or is_last else scratch / f"layer-{i}.f32"
                out = rows_for((graph.num_nodes(), width), file)
                fit = max(_CHUNK_ELEMENTS // max(model.widths[i], 1), 1)
                work = work_of(graph)
                begins = ranks.shares(work)
                own = begins[ranks.rank], begins[ranks.rank + 1]
                for nodes in chunks_of(work, min(chunk_edges, fit), *own):
                    src_ids, _, (block,) = sampler.sample(graph, nodes)
                    rows = take_rows("x", rows_in, src_ids).to(device)
                    result = model.layer(i, block.to(device), rows)
                    out[nodes[0] : nodes[-1] + 1] = result.float().cpu()
                    if on_nodes is not None:
                        on_nodes(len(nodes))
                ranks.share(out, begins)
                rows_in = out
    finally:
        model.train(was_training)
    return out


def rows_for(shape: tuple[int, ...], file: Path | None) -> Tensor:
    """Room for float32 rows, in memory or in a new file."""
    if file is None or 0 in shape:
        return torch.empty(shape)
    return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=shape))


def work_of(graph: Graph, ntype: str | None = None) -> Tensor:
    """In-edges plus nodes of a type before each node, and of all at the end; shape [N + 1]."""
    work = torch.arange(graph.num_nodes(ntype) + 1)
    for relation, one in graph.relations.items():
        if ntype is None or relation[2] == ntype:
            work = work + one.adjacency.full().indptr
    return work


def chunks_of(work: Tensor, most: int, begin: int, last: int) -> Iterator[Tensor]:
    """Ranges of the nodes from ``begin`` to ``last`` with at most so much work, of a node each at
    least."""
    while begin < last:
        end = int(torch.searchsorted(work, work[begin] + most, right=True)) - 1
        end = min(max(end, begin + 1), last)
        yield torch.arange(begin, end)
        begin = end
