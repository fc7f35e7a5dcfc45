"""Pairs of nodes to take for no edges, in link prediction.

A negative sampler is called with a graph and the ids of a batch's edges, and returns sources and
destinations. Pairs of those below depend on (seed, epoch, batch) alone in a loader, as samples do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

import hopflow.ops as ops
from hopflow.graphs.graph import Graph
from hopflow.sampling.negatives import global_uniform_negative_sampling, random_nodes
from hopflow.structure.by_type import edges_by_type
from hopflow.structure.graph_base import require_graph
from hopflow.structure.types import Relation


class PerSourceUniform:
    """For each edge ``k`` pairs of its source and a node drawn from all, each as likely.

    Some of them may be edges of the graph.

    Parameters
    ----------
    k : int
        Pairs an edge, at least 1.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.negative_sampler.PerSourceUniform.html
    """

    def __init__(self, k: int) -> None:
        self.k = _positive("k", k)

    def __call__(self, g: Graph, eids: Any) -> Any:
        """Sources and destinations, dtype ``g.idtype``, shape [len(eids) * k]; those of an edge
        follow one another. Of edges by type, a dict of such by type."""

        def pairs(relation: Relation, edges: Tensor) -> tuple[Tensor, Tensor]:
            src = g.relation(relation).adjacency.ends(edges)[0].repeat_interleave(self.k)
            return src.to(g.idtype), random_nodes(g, src.shape[0], relation[2])

        return _by_type(g, eids, pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.k})"


Uniform = PerSourceUniform


class GlobalUniform:
    """For each edge ``k`` pairs drawn from all that are not edges.

    Parameters
    ----------
    k : int
        Pairs an edge, at least 1. In a small or dense graph there may be fewer.
    exclude_self_loops : bool
        Leave out pairs of a node and itself.
    replace : bool
        Whether a batch may have the same pair twice.

    References
    ----------
    https://www.dgl.ai/dgl_docs/generated/dgl.dataloading.negative_sampler.GlobalUniform.html
    """

    def __init__(self, k: int, exclude_self_loops: bool = True, replace: bool = False) -> None:
        self.k = _positive("k", k)
        self.exclude_self_loops, self.replace = bool(exclude_self_loops), bool(replace)

    def __call__(self, g: Graph, eids: Any) -> Any:
        """Sources and destinations, dtype ``g.idtype``, at most len(eids) * k of each. Of edges by
        type, a dict of such by type."""

        def pairs(relation: Relation, edges: Tensor) -> tuple[Tensor, Tensor]:
            return global_uniform_negative_sampling(
                g, edges.shape[0] * self.k, self.exclude_self_loops, self.replace, relation
            )

        return _by_type(g, eids, pairs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.k}, exclude_self_loops={self.exclude_self_loops},"
            f" replace={self.replace})"
        )


def _by_type(
    g: Graph, eids: Any, pairs: Callable[[Relation, Tensor], tuple[Tensor, Tensor]]
) -> Any:
    """``pairs`` for the edges of each type, if they are given by type."""
    g = require_graph(g)
    made = {relation: pairs(relation, x) for relation, x in edges_by_type(g, "eids", eids).items()}
    return made if isinstance(eids, Mapping) else next(iter(made.values()))


def _positive(name: str, value: Any) -> int:
    number = ops.as_int(name, value)
    if number < 1:
        raise ValueError(f"{name}: expected at least 1, got {number}")
    return number
