"""Random subgraphs of the whole graph: GraphSAINT."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

import hopflow.ops as ops
from hopflow.dataloading.samplers.subgraph import SubgraphColumns, SubgraphSampler
from hopflow.graphs.graph import Graph
from hopflow.sampling import random as rng
from hopflow.sampling.negatives import random_nodes
from hopflow.sampling.random_walks import random_walk
from hopflow.structure.adjacency import Adjacency


class SAINTSampler(SubgraphSampler):
    """The subgraph of nodes drawn from the whole graph, one draw a batch.

    The loader's indices only say how many batches an epoch has: ``torch.arange(num_batches)``.

    Parameters
    ----------
    mode : {"node", "edge", "walk"}
        How nodes are drawn. "node": each draw takes a node with a probability proportional to its
        out-degree, or to 1 if it has no out-edge. "edge": each draw takes both ends of an edge
        ``(u, v)``, with a probability proportional to 1 / out-degree(u) + 1 / in-degree(v). "walk":
        all nodes that random walks from random roots visit.
    budget : int or (int, int)
        Draws, with replacement: nodes or edges; for "walk" ``(roots, steps of a walk)``. Nodes
        drawn twice are in the subgraph once.
    cache : bool
        Accepted for DGL's sake: what the draws need is kept as long as the graph's edges.
    prefetch_ndata, prefetch_edata : sequence of str, optional
        Columns of the subgraph to gather with the batch.
    output_device : str or torch.device, optional
        Only the graph's, checked with every batch; the DataLoader moves subgraphs.

    References
    ----------
    Zeng et al., "GraphSAINT", ICLR 2020;
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.SAINTSampler.html
    """

    def __init__(
        self,
        mode: str,
        budget: Any,
        cache: bool = True,
        prefetch_ndata: Any = None,
        prefetch_edata: Any = None,
        output_device: Any = None,
    ) -> None:
        if mode not in _DRAWS:
            raise ValueError(f"mode: expected one of {', '.join(_DRAWS)}, got {mode!r}")
        self.mode = mode
        self.budget: tuple[int, ...] = _budget(mode, budget)
        names = ("prefetch_ndata", "prefetch_edata")
        super().__init__(SubgraphColumns(prefetch_ndata, prefetch_edata, names), output_device)

    def sample(self, g: Graph, indices: Any) -> Graph:
        """Draw a subgraph.

        Parameters
        ----------
        g : Graph
            The graph, of one node type and one edge type.
        indices : Any
            Not looked at: the draws are the batch's own.

        Returns
        -------
        Graph
            Nodes in rising order, with ids in ``ndata[hopflow.NID]`` and ``edata[hopflow.EID]``,
            and the columns of ``g``.

        Raises
        ------
        TypeError, ValueError
            A graph of several types, or one without nodes (for "edge": without edges).
        KeyError
            A column to prefetch that the graph lacks.
        """
        g = self.checked(g)
        nodes = _distinct(_DRAWS[self.mode](g, *self.budget))
        return self.induced(g, nodes.to(g.device))

    def __repr__(self) -> str:
        budget = self.budget if len(self.budget) > 1 else self.budget[0]
        return f"{type(self).__name__}({self.mode!r}, {budget})"


def _budget(mode: str, budget: Any) -> tuple[int, ...]:
    wanted = ("roots", "steps") if mode == "walk" else ("draws",)
    given = tuple(budget) if isinstance(budget, (tuple, list)) else (budget,)
    if len(given) != len(wanted):
        raise ValueError(f"budget: expected {len(wanted)} numbers ({', '.join(wanted)}) for"
                         f" {mode!r}, got {budget!r}")  # fmt: skip
    found = tuple(ops.as_int(f"budget ({name})", x) for name, x in zip(wanted, given))
    for name, x in zip(wanted, found):
        if x < 1:
            raise ValueError(f"budget: expected at least one of {name}, got {x}")
    return found


def _distinct(drawn: Tensor) -> Tensor:
    """The nodes drawn, each once, in rising order."""
    if drawn.device.type == "cpu":
        # NumPy sorts integers several times faster than torch, which is most of the work.
        found: Tensor = torch.unique_consecutive(torch.from_numpy(np.sort(drawn.numpy())))
    else:
        found = torch.unique(drawn)
    return found


def _by_degree(g: Graph, budget: int) -> Tensor:
    """Nodes, each draw proportional to the out-degree."""
    if not g.num_nodes():
        raise ValueError("g: expected nodes to draw from, got a graph without")
    sums = _kept(g.adjacency, "degrees", _degree_sums)
    drawn = rng.generator().integers(int(sums[-1]), size=budget, dtype=np.int64)
    # In rising order: each search reads what the one before it read.
    return torch.searchsorted(sums, torch.from_numpy(np.sort(drawn)), right=True)


def _degree_sums(edges: Adjacency) -> Tensor:
    return edges.out_degrees().cpu().clamp(min=1).cumsum(0)


def _ends_of_edges(g: Graph, budget: int) -> Tensor:
    """Both ends of edges.

    Over all edges 1 / in-degree adds up to the number of nodes that have in-edges, and likewise for
    out-edges: so one of all these nodes is drawn, each alike, and then one of its edges.
    """
    edges = g.adjacency.full()
    if not edges.num_edges:
        raise ValueError("g: expected edges to draw from, got a graph without")
    have_in, have_out = _kept(g.adjacency, "ends", _nodes_with_edges)
    generator = rng.generator()
    numbers = generator.integers(len(have_in) + len(have_out), size=budget, dtype=np.int64)
    drawn = torch.from_numpy(np.sort(numbers))
    num_in = int((drawn < len(have_in)).sum())
    t_indptr, t_rows, _ = edges.transpose()
    ends = []
    for nodes, indptr, others in (
        (have_in[drawn[:num_in]], edges.indptr, edges.indices),
        (have_out[drawn[num_in:] - len(have_in)], t_indptr, t_rows),
    ):
        here = nodes.to(indptr.device)
        first, degree = indptr[here].cpu(), (indptr[here + 1] - indptr[here]).cpu()
        at = first + torch.from_numpy(generator.integers(degree.numpy(), dtype=np.int64))
        ends += [nodes, others[at.to(others.device)].long().cpu()]
    return torch.cat(ends)


def _nodes_with_edges(edges: Adjacency) -> tuple[Tensor, Tensor]:
    found = (edges.in_degrees(), edges.out_degrees())
    have_in, have_out = (x.cpu().nonzero().squeeze(1) for x in found)
    return have_in, have_out


def _visited(g: Graph, roots: int, steps: int) -> Tensor:
    """The nodes of random walks along out-edges."""
    traces, _ = random_walk(g, random_nodes(g, roots), length=steps)
    visited: Tensor = traces[traces >= 0]
    return visited


_DRAWS: dict[str, Callable[..., Tensor]] = {
    "node": _by_degree, "edge": _ends_of_edges, "walk": _visited,
}  # fmt: skip

# Made once for a graph's edges and kept as long as these.
_lock = threading.Lock()
_made: weakref.WeakKeyDictionary[Adjacency, dict[str, Any]] = weakref.WeakKeyDictionary()


@torch.inference_mode(False)
def _kept(edges: Adjacency, name: str, make: Callable[[Adjacency], Any]) -> Any:
    with _lock:
        of_edges = _made.setdefault(edges, {})
        if name not in of_edges:
            of_edges[name] = make(edges)
        return of_edges[name]
