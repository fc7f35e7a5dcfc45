"""How likely each node is to be among those of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

import hopflow.ops as ops

_CHUNK = 1 << 22  # rows at a time


def expected_inclusion(
    relations: Sequence[ops.Relation],
    num_nodes: Sequence[int],
    seeds: Sequence[Tensor],
    rate: float,
    fanouts: Sequence[Sequence[int]],
    *,
    rows: Sequence[Tensor] | None = None,
    add: Callable[[Tensor], Tensor] | None = None,
) -> list[Tensor]:
    """How likely each node is to be among those of a batch, in all its hops.

    The nodes of a batch are taken to be drawn independently of one another: with ``p`` the
    probability that a node is reached, and ``k`` picks of its ``d`` in-edges, each of their sources
    is reached from it with probability ``p * min(1, k / d)``.

    Parameters
    ----------
    relations : sequence of Relation
        In-edges by relation: ``(indptr, indices, source type, destination type)``.
    num_nodes : sequence of int
        Nodes of each type.
    seeds : sequence of Tensor
        Of each type the nodes that batches begin with.
    rate : float
        The probability of each to be in a batch.
    fanouts : sequence
        From the seeds outwards, of each hop one for each relation.
    rows : sequence of Tensor, optional
        Of each type the nodes that the rows of relations are of; all of them by default.
    add : callable, optional
        Adds sums over the edges of this process to those of others.

    Returns
    -------
    list of Tensor
        Of each type float32, shape [N].

    References
    ----------
    Kaler et al., "Communication-efficient graph neural networks with probabilistic neighborhood
    expansion analysis and caching", MLSys 2023, section 3.
    """
    reached = []
    for count, own in zip(num_nodes, seeds):
        chance = torch.zeros(count, device="cpu")
        chance[own.long()] = min(rate, 1.0)
        reached.append(chance)
    for of_hop in fanouts:
        # Sums over in-edges of log(1 - chance).
        missed = [torch.zeros_like(chance) for chance in reached]
        for (indptr, indices, src, dst), fanout in zip(relations, of_hop):
            if fanout == 0:
                continue
            chance = reached[dst] if rows is None else reached[dst][rows[dst].long()]
            value = _log_missed(indptr, chance, fanout)
            del chance
            missed[src] += ops.add_to_sources(indptr, indices, value, num_nodes[src])
        for t, sums in enumerate(missed):
            sums = sums if add is None else add(sums)
            # 1 - (1 - chance) * exp(sum), without copies: there may be a hundred million nodes.
            reached[t] = reached[t].neg_().add_(1).mul_(sums.exp_()).neg_().add_(1)
    return reached


def _log_missed(indptr: Tensor, chances: Tensor, fanout: int) -> Tensor:
    """Of each row, the log of the probability that an in-edge of it is not drawn; a few at a time,
    for temporary arrays that do not grow with the graph."""
    value = torch.empty_like(chances)
    for begin in range(0, chances.shape[0], _CHUNK):
        chance = chances[begin : begin + _CHUNK]
        if fanout > 0:
            degrees = indptr[begin : begin + chance.shape[0] + 1].diff()
            chance = (fanout / degrees.clamp(min=1).float()).clamp_(max=1.0).mul_(chance)
        # Not log(0): what is sure to be reached stays so to seven digits.
        value[begin : begin + _CHUNK] = torch.log1p(-chance.clamp(max=1 - 1e-7))
    return value


def most_likely(chances: Tensor, count: int) -> Tensor:
    """At most so many of the nodes with the largest chances, none with 0; of equal ones the first.

    Returns
    -------
    Tensor
        int64, rising.
    """
    count = min(count, chances.shape[0])
    if count == 0:
        return torch.empty(0, dtype=torch.int64, device=chances.device)
    least = torch.kthvalue(chances, chances.shape[0] - count + 1).values.clamp(min=1e-30)
    above = (chances > least).nonzero().squeeze(1)
    equal = (chances == least).nonzero().squeeze(1)
    return torch.cat([above, equal[: count - above.shape[0]]]).sort().values
