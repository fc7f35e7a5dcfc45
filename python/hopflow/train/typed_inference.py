"""Exact rows for all nodes of several types, layer by layer over full neighbourhoods."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

import hopflow.ops as ops
from hopflow.dataloading import MultiLayerFullNeighborSampler
from hopflow.graphs.block import Block
from hopflow.graphs.graph import Graph
from hopflow.structure.frame import NID
from hopflow.structure.types import told
from hopflow.train.inference import DEFAULT_CHUNK_EDGES, chunks_of, rows_for, work_of
from hopflow.train.ranks import ALONE, Ranks
from hopflow.train.typed_model import types_by_layer

# Elements of the rows that a chunk brings: 0.5 GB in float32.
_CHUNK_ELEMENTS = 1 << 27

Layer: TypeAlias = Callable[[Block, dict[str, Tensor]], Mapping[str, Tensor]]
"""``layer(block, rows of its sources by type)`` is rows of its destinations by type."""


def typed_layerwise_inference(
    layers: Sequence[Layer],
    graph: Graph,
    x: Mapping[str, Tensor],
    *,
    targets: Sequence[str] | None = None,
    device: torch.device | str | None = None,
    chunk_edges: int = DEFAULT_CHUNK_EDGES,
    scratch: Path | None = None,
    on_nodes: Callable[[int], None] | None = None,
    ranks: Ranks = ALONE,
) -> dict[str, Tensor]:
    """Compute what a model gives for every node, one layer at a time, all node types.

    Any model will do whose layers can be called one by one: ``layer(block, rows)``, with the block
    of one hop and ``{ntype: rows}`` of its source nodes, ``[num_src_nodes(ntype), ...]``, returns
    ``{ntype: rows}`` of its destination nodes, activations and all. The destinations of a block
    given to it are of one type, and others have ``num_dst_nodes(ntype) == 0``: rows returned for
    them are ignored. A type that a layer returns no rows for has none for the layers after it.
    :class:`hopflow.nn.HeteroGraphConv` is such a layer.

    After each layer only the types are computed that the targets depend on: after the last the
    targets, before that these and what relations lead there from, and so on.

    Memory: what two layers give, an array [N, width] a type, and one chunk, whose input rows number
    at most ``chunk_edges`` and hold at most 0.5 GB (or are one node's in-neighbours, where these
    alone are more).

    Parameters
    ----------
    layers : sequence of callable
        From the input to the output. Those that are modules are in evaluation mode meanwhile.
    graph : Graph
        The graph, of one type or several, on the CPU.
    x : dict
        Input rows by type, shape [N, ...]; of a graph of one type ``{"_N": rows}``.
    targets : sequence of str, optional
        Types to compute rows for; by default all.
    device : str or torch.device, optional
        Where layers compute; the graph's by default.
    chunk_edges : int
        In-edges of the nodes computed at a time; fewer where rows are wide.
    scratch : Path, optional
        Folder that is there, for what layers give before the last, kept in files instead of in
        memory; they are removed at the end, and two runs may share the folder.
    on_nodes : callable, optional
        Called with the number of nodes just finished; :func:`planned_nodes` in all, if every layer
        gives rows for every type.
    ranks : Ranks
        As in :func:`layerwise_inference`.

    Returns
    -------
    dict
        Rows of the targets by type, float32 on the CPU; without those that the last layer gives no
        rows for.

    Raises
    ------
    ValueError
        Types that the graph does not have, or not one row a node.

    References
    ----------
    https://www.dgl.ai/dgl_docs/guide/minibatch-inference.html
    """
    targets = list(graph.ntypes if targets is None else targets)
    rows = _check(graph, x, targets, chunk_edges)
    sampler = MultiLayerFullNeighborSampler(1)
    device = graph.device if device is None else torch.device(device)
    plan = types_by_layer(graph.canonical_etypes, len(layers), targets)[1:]
    with torch.no_grad(), ExitStack() as stack:
        stack.enter_context(_evaluating(layers))
        if scratch is not None:
            if not scratch.is_dir():
                raise ValueError(f"scratch: expected a folder, {scratch} is none")
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=scratch)))
        for i, (layer, wanted) in enumerate(zip(layers, plan)):
            most = _chunk_size(rows, chunk_edges)
            made: dict[str, Tensor] = {}
            for number, ntype in enumerate(wanted):
                file = scratch / f"layer-{i}-{number}.f32" if scratch is not None else None
                out = None
                work = work_of(graph, ntype)
                begins = ranks.shares(work)
                own = begins[ranks.rank], begins[ranks.rank + 1]
                for nodes in chunks_of(work, most, *own):
                    _, _, (block,) = sampler.sample(graph, {ntype: nodes})
                    result = layer(block.to(device), _sources(block, rows, device)).get(ntype)
                    if result is None:
                        break  # nor will it for the other nodes
                    if out is None:
                        is_last = i + 1 == len(layers)
                        shape = (graph.num_nodes(ntype), *result.shape[1:])
                        made[ntype] = out = rows_for(shape, None if is_last else file)
                    out[nodes[0] : nodes[-1] + 1] = result.float().cpu()
                    if on_nodes is not None:
                        on_nodes(len(nodes))
                found: tuple[int, ...] = () if out is None else tuple(out.shape)
                if found := ranks.from_first(found):
                    if out is None:  # a rank without nodes
                        made[ntype] = out = rows_for(found, None)
                    ranks.share(out, begins)
            rows = made
    return {ntype: rows[ntype] for ntype in targets if ntype in rows}


def planned_nodes(graph: Graph, num_layers: int, targets: Sequence[str] | None = None) -> int:
    """Rows that :func:`typed_layerwise_inference` computes, those of every layer counted."""
    wanted = graph.ntypes if targets is None else targets
    plan = types_by_layer(graph.canonical_etypes, num_layers, wanted)[1:]
    return sum(graph.num_nodes(ntype) for types in plan for ntype in types)


def _check(
    graph: Graph, x: Mapping[str, Tensor], targets: Sequence[str], chunk_edges: int
) -> dict[str, Tensor]:
    for name, types in (("targets", targets), ("x", x)):
        for ntype in types:
            if ntype not in graph.ntypes:
                raise ValueError(
                    f"{name}: expected node types of {told(graph.ntypes)}, got {ntype!r}"
                )
    for ntype, rows in x.items():
        if rows.dim() == 0 or rows.shape[0] != graph.num_nodes(ntype):
            raise ValueError(
                f"x[{ntype!r}]: expected a row for each of the {graph.num_nodes(ntype)} nodes, got"
                f" shape {list(rows.shape)}"
            )
    if chunk_edges < 1:
        raise ValueError(f"chunk_edges: expected at least 1, got {chunk_edges}")
    return dict(x)


@contextmanager
def _evaluating(layers: Sequence[Layer]) -> Iterator[None]:
    """Modules in evaluation mode, and afterwards as they were."""
    modules = [layer for layer in layers if isinstance(layer, nn.Module)]
    modes = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes):
            module.train(mode)


def _chunk_size(rows: Mapping[str, Tensor], chunk_edges: int) -> int:
    """In-edges a chunk, each of which brings at most one row of any of these."""
    widest = max((x[:1].numel() for x in rows.values()), default=1)
    return min(chunk_edges, max(_CHUNK_ELEMENTS // max(widest, 1), 1))


def _sources(block: Block, rows: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Rows of a block's source nodes."""
    return {
        ntype: ops.gather_rows(x, block.srcnodes[ntype].data[NID]).to(device)
        for ntype, x in rows.items()
    }
