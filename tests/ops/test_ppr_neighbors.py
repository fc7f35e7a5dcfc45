"""Nodes by personalised PageRank: bit for bit, against a dense solve, and what is read for it."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from helpers import IDS, THREADS, random_csc
from torch import Tensor

from hopflow import ops

pytestmark = pytest.mark.cpu_only


def csc_of(src: Any, dst: Any, num_nodes: int) -> tuple[Tensor, Tensor]:
    """In-edges of a graph of one type, from its edges."""
    src, dst = torch.as_tensor(src).long(), torch.as_tensor(dst).long()
    return ops.coo_to_csc(src, dst, num_nodes, num_nodes)[:2]


def some_weights(indptr: Tensor, seed: int = 3) -> ops.RowWeights:
    values = torch.rand(int(indptr[-1]), generator=torch.Generator().manual_seed(seed)) + 0.05
    return ops.row_weights(indptr, values)


def exact(
    indptr: Tensor, indices: Tensor, alpha: float, weights: Tensor | None = None,
    excluded: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """All PageRanks by a dense solve, [seed, node], and every node's degree, at least 1."""
    num_nodes = len(indptr) - 1
    values = torch.ones(len(indices)) if weights is None else weights.clone()
    values = values.double()
    is_there = torch.ones(len(indices), dtype=torch.bool)
    if excluded is not None:
        is_there[excluded.long()] = False
    rows = torch.arange(num_nodes).repeat_interleave(indptr.diff())[is_there]
    step = torch.zeros(num_nodes, num_nodes, dtype=torch.float64)
    step.index_put_((rows, indices.long()[is_there]), values[is_there], accumulate=True)
    degrees = torch.bincount(rows, minlength=num_nodes)
    none = degrees == 0
    step[none, none] = 1  # where a walk cannot go on it ends
    step /= step.sum(1, keepdim=True)
    eye = torch.eye(num_nodes, dtype=torch.float64)
    return alpha * torch.linalg.inv(eye - (1 - alpha) * step), degrees.clamp(min=1).double()


def dense(found: ops.PPRNeighbors, num_nodes: int) -> Tensor:
    """The scores found, [seed, node]."""
    scores = torch.zeros(len(found.counts), num_nodes + 1, dtype=torch.float64)
    scores.scatter_(1, found.neighbors.long() % (num_nodes + 1), found.scores)  # -1 is the last
    return scores[:, :-1]


def same(a: ops.PPRNeighbors, b: ops.PPRNeighbors) -> bool:
    return all(torch.equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("seed_dtype", IDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("excluding", [False, True])
def test_equals_reference(dtype, seed_dtype, weighted, excluding):
    csc = random_csc(40, 40, 160, dtype=dtype, hub=30)
    seeds = torch.tensor([0, 5, 39, 17, 5, 0, 38], dtype=seed_dtype)
    options: dict[str, Any] = {}
    if weighted:
        options["weights"] = some_weights(csc.indptr)
    if excluding:
        first, last = csc.indptr[5], csc.indptr[7]  # all of 5 and 6, some of others
        options["excluded"] = torch.tensor([1, 4, *range(first, last), 150], dtype=seed_dtype)
    for epsilon, k in product((0.03, 1e-3, 1e-5), (3, 40)):
        ours = ops.ppr_neighbors(
            csc.indptr, csc.indices, seeds, k, alpha=0.2, epsilon=epsilon, **options
        )
        theirs = ops.ppr_neighbors_reference(
            csc.indptr, csc.indices, seeds, k, alpha=0.2, epsilon=epsilon, **options
        )
        assert same(ours, theirs)
        assert ours.neighbors.dtype == dtype
        assert ours.neighbors.shape == ours.scores.shape == (7, k)


@pytest.mark.parametrize("alpha", [0.05, 0.15, 0.6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("excluding", [False, True])
def test_scores_are_never_too_large_and_not_much_too_small(alpha, weighted, excluding):
    csc = random_csc(50, 50, 220, hub=40)
    weights = some_weights(csc.indptr) if weighted else None
    excluded = torch.arange(0, 260, 7) if excluding else None
    values = None if weights is None else weights.weights
    ranks, degrees = exact(csc.indptr, csc.indices, alpha, values, excluded)
    for epsilon in (0.1, 1e-2, 1e-3, 1e-4, 1e-6):
        found = ops.ppr_neighbors(
            csc.indptr, csc.indices, torch.arange(50), 50, alpha=alpha, epsilon=epsilon,
            weights=weights, excluded=excluded,
        )  # fmt: skip
        missing = ranks - dense(found, 50)
        assert missing.min() > -1e-12
        assert (missing <= epsilon * (degrees @ ranks) + 1e-12).all()
        # What is not in scores is in residuals, each below epsilon times a degree.
        assert (found.scores.sum(1) <= 1 + 1e-12).all()
        # Every node with a score was pushed, for its degree; all pushes cost 1 / (alpha epsilon).
        cost = ((dense(found, 50) > 0) * degrees).sum(1)
        assert (cost[epsilon * degrees <= 1] <= 1 / (alpha * epsilon)).all()
        if epsilon == 0.1:  # the hub is never pushed
            assert degrees[0] > 10
            assert (found.counts[0], found.scores[0, 0]) == (1, alpha)
        if epsilon == 1e-6:
            assert missing.max() < 1e-4


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_is_epsilon_a_degree_where_edges_go_both_ways(weighted):
    generator = torch.Generator().manual_seed(5)
    u, v = torch.randint(60, (2, 150), generator=generator)
    src, dst = torch.cat([u, v]), torch.cat([v, u])
    indptr, indices, eids = ops.coo_to_csc(src, dst, 60, 60)
    weights, bound_by = None, 1.0
    if weighted:
        both = (torch.rand(150, generator=generator) + 0.5).repeat(2)
        weights = ops.row_weights(indptr, both if eids is None else both[eids.long()])
        bound_by = 3.0  # weights are from 0.5 to 1.5: d(v) is up to 3 times d(t) / W(t) W(v)
    values = None if weights is None else weights.weights
    ranks, degrees = exact(indptr, indices, 0.15, values)
    assert (degrees > 0).all()
    for epsilon in (1e-2, 1e-3, 1e-4):
        found = ops.ppr_neighbors(
            indptr, indices, torch.arange(60), 60, epsilon=epsilon, weights=weights
        )
        missing = ranks - dense(found, 60)
        assert missing.min() > -1e-12
        assert (missing <= bound_by * epsilon * degrees + 1e-12).all()
        assert missing.max() > epsilon / 10  # it is used, not merely kept


def test_the_largest_come_first_and_k_only_cuts():
    csc = random_csc(300, 300, 3000)
    seeds = torch.arange(0, 300, 3)
    every = ops.ppr_neighbors(csc.indptr, csc.indices, seeds, 300)
    for k in (0, 1, 7, 60):
        some = ops.ppr_neighbors(csc.indptr, csc.indices, seeds, k)
        assert torch.equal(some.neighbors, every.neighbors[:, :k])
        assert torch.equal(some.scores, every.scores[:, :k])
        assert torch.equal(some.counts, every.counts.clamp(max=k))
    assert (every.scores[:, :-1] >= every.scores[:, 1:]).all()
    places = torch.arange(300)
    assert torch.equal(every.neighbors >= 0, places < every.counts.unsqueeze(1))
    assert torch.equal(every.scores > 0, places < every.counts.unsqueeze(1))
    more = ops.ppr_neighbors(csc.indptr, csc.indices, seeds, 10**15)
    assert same(more, every)


def test_columns_do_not_follow_a_huge_k_and_graph():
    num_nodes, seeds = 100_000, torch.arange(20)
    indptr = torch.arange(num_nodes + 1)
    indices = (torch.arange(num_nodes) + 1) % num_nodes  # a walk goes on and on
    options = {"alpha": 0.1, "epsilon": 0.001}
    found = ops.ppr_neighbors(indptr, indices, seeds, 2**62, **options)
    expected = ops.ppr_neighbors(indptr, indices, seeds, 500, **options)
    assert found.neighbors.shape[1] < 10_100
    assert 0 < int(found.counts.max()) < 500
    assert same(ops.PPRNeighbors(*(x[:, :500] for x in found[:2]), found.counts), expected)


def test_as_many_as_there_can_be_have_a_column():
    # Each leaf has the least that is pushed, all of which stays where it is.
    leaves = 9
    indptr = torch.tensor([0, leaves, *[leaves] * leaves])
    indices = torch.arange(1, leaves + 1)
    found = ops.ppr_neighbors(indptr, indices, torch.tensor([0]), 2**62, alpha=1e-6, epsilon=0.1)
    assert found.counts.tolist() == [leaves + 1]


def test_of_equal_scores_the_smallest_ids_are_kept():
    leaves = torch.tensor([9, 4, 7, 1, 3, 8])
    indptr, indices = csc_of(leaves, [5] * 6, 10)
    found = ops.ppr_neighbors(indptr, indices, torch.tensor([5]), 4, alpha=0.5, epsilon=1e-3)
    assert found.neighbors.tolist() == [[5, 1, 3, 4]]
    assert found.scores.tolist() == [[0.5] + [0.5 / 6] * 3]


def test_where_there_is_no_edge_a_walk_ends():
    indptr, indices = csc_of([1, 2, 4], [0, 1, 4], 5)  # 2 -> 1 -> 0; 3 alone; 4 to itself
    found = ops.ppr_neighbors(indptr, indices, torch.arange(5), 5, alpha=0.25, epsilon=1e-6)
    assert found.neighbors[0].tolist() == [2, 0, 1, -1, -1]
    assert found.scores[0, :3].tolist() == [0.5625, 0.25, 0.1875]
    assert found.counts.tolist() == [3, 2, 1, 1, 1]
    assert found.scores[2:4, 0].tolist() == [1.0, 1.0]
    assert 1 - 1e-6 <= float(found.scores[4, 0]) < 1


def test_parallel_edges_and_weights_say_where_walks_go():
    indptr, indices = csc_of([1, 1, 1, 2], [0, 0, 0, 0], 3)
    seeds = torch.tensor([0])
    found = ops.ppr_neighbors(indptr, indices, seeds, 3, alpha=0.2, epsilon=1e-6)
    assert found.neighbors.tolist() == [[1, 0, 2]]
    torch.testing.assert_close(found.scores, torch.tensor([[0.6, 0.2, 0.2]]).double())
    weights = ops.row_weights(indptr, torch.tensor([1.0, 1, 1, 5], dtype=torch.float64))
    found = ops.ppr_neighbors(
        indptr, indices, seeds, 3, alpha=0.2, epsilon=1e-6, weights=weights,
        excluded=torch.tensor([0]),
    )  # fmt: skip
    assert found.neighbors.tolist() == [[2, 1, 0]]
    expected = torch.tensor([[0.8 * 5 / 7, 0.8 * 2 / 7, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(found.scores, expected)


def test_a_seed_of_many_edges_and_options_at_their_ends():
    indptr, indices = csc_of(torch.arange(1, 1001), [0] * 1000, 1001)
    seeds = torch.tensor([0, 1])
    found = ops.ppr_neighbors(indptr, indices, seeds, 5, epsilon=1.01e-3)
    assert found.neighbors.tolist() == [[0, -1, -1, -1, -1], [1, -1, -1, -1, -1]]
    assert found.scores[:, 0].tolist() == [0.15, 1.0]
    # All of its thousand sources hold 0.85e-3 then, and none has in-edges.
    found = ops.ppr_neighbors(indptr, indices, seeds, 1001, epsilon=0.8e-3)
    assert found.counts.tolist() == [1001, 1]
    torch.testing.assert_close(found.scores[0].sum().item(), 1.0)
    found = ops.ppr_neighbors(indptr, indices, seeds, 5, alpha=1)
    assert found.counts.tolist() == [1, 1]
    assert found.scores[:, 0].tolist() == [1.0, 1.0]
    found = ops.ppr_neighbors(indptr, indices, seeds, 5, alpha=0.3, epsilon=7.0)
    assert found.scores[:, 0].tolist() == [0.3, 0.3]
    ring = csc_of([1, 2, 0], [0, 1, 2], 3)  # from which nothing gets out
    found = ops.ppr_neighbors(*ring, torch.tensor([0]), 3, alpha=1e-3, epsilon=1e-15)
    torch.testing.assert_close(found.scores.sum().item(), 1.0, rtol=0, atol=1e-11)


def test_only_what_walks_reach_is_read():
    """Rows of no CSC beyond a seed's reach go unnoticed: the work does not follow the graph."""
    src, dst = torch.tensor([1, 2, 0, 2, 5]), torch.tensor([0, 1, 2, 0, 4])
    indptr, indices = csc_of(src, dst, 6)
    expected = ops.ppr_neighbors(indptr, indices, torch.tensor([0]), 3)
    indptr[4:6], indices[-1] = 10**9, 10**6
    indptr[6] = -5
    assert same(ops.ppr_neighbors(indptr, indices, torch.tensor([0]), 3), expected)
    with pytest.raises(ValueError, match=r"indptr\[4:6\] is \[1000000000, 1000000000\]: no range"):
        ops.ppr_neighbors(indptr, indices, torch.tensor([4]), 3)


@pytest.mark.parametrize("num_threads", THREADS)
def test_same_bits_for_any_number_of_threads(num_threads):
    csc = random_csc(2000, 2000, 30_000, hub=500)
    seeds = torch.randint(2000, (90,), generator=torch.Generator().manual_seed(1))
    options = {"epsilon": 2e-5, "weights": some_weights(csc.indptr)}
    ops.set_num_threads(1)
    expected = ops.ppr_neighbors(csc.indptr, csc.indices, seeds, 50, **options)
    ops.set_num_threads(num_threads)
    assert same(ops.ppr_neighbors(csc.indptr, csc.indices, seeds, 50, **options), expected)
    # Each seed as if it were the only one: nothing is left of those before it.
    alone = ops.ppr_neighbors(csc.indptr, csc.indices, seeds[71:72], 50, **options)
    assert torch.equal(alone.neighbors[0], expected.neighbors[71])
    assert torch.equal(alone.scores[0], expected.scores[71])


def test_no_seeds_no_nodes_no_edges_and_gaps():
    none = torch.empty(0, dtype=torch.int64)
    empty = torch.zeros(1, dtype=torch.int64)
    assert ops.ppr_neighbors(empty, none, none, 4).neighbors.shape == (0, 0)
    bare = torch.zeros(5, dtype=torch.int64)
    assert ops.ppr_neighbors(bare, none.int(), none, 3).scores.shape == (0, 3)
    found = ops.ppr_neighbors(bare, none.int(), torch.tensor([2, 0]), 2)
    assert found.neighbors.tolist() == [[2, -1], [0, -1]]
    csc = random_csc(30, 30, 90, dtype=torch.int64)
    wide = torch.stack([csc.indices, csc.indices * 0 - 7], 1)[:, 0]
    seeds = torch.arange(30).repeat_interleave(2)[::2]
    expected = ops.ppr_neighbors(csc.indptr, csc.indices, torch.arange(30), 9)
    assert same(ops.ppr_neighbors(csc.indptr, wide, seeds, 9), expected)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"seeds": [0, 6]}, IndexError, r"seeds\[1\] is 6, expected 0 <= id < 6"),
        ({"seeds": [-1]}, IndexError, r"seeds\[0\] is -1"),
        ({"indices": [1, 9, 0]}, IndexError, "indices: an edge comes from 9, expected 0 <= id < 6"),
        ({"indices": [1, -2, 0]}, IndexError, "indices: an edge comes from -2"),
        ({"indptr": [0, 1, 9, 3, 3, 3, 3]}, ValueError, r"indptr\[1:3\] is \[1, 9\]: no range"),
        ({"k": -1}, ValueError, "k: expected at least 0, got -1"),
        ({"k": 2.5}, TypeError, "k: expected an int"),
        ({"alpha": 0}, ValueError, "alpha: expected a number from 1e-06 to 1, got 0"),
        ({"alpha": float("nan")}, ValueError, "alpha: expected a number from 1e-06 to 1, got nan"),
        ({"alpha": "much"}, TypeError, "alpha: expected a number, got str"),
        ({"alpha": True}, TypeError, "alpha: expected a number, got bool"),
        ({"epsilon": 10**400}, ValueError, "epsilon: expected a number that float64 holds"),
        ({"epsilon": 0.0}, ValueError, "epsilon: expected a finite number of at least 1e-15"),
        ({"epsilon": float("inf")}, ValueError, "epsilon: expected a finite number"),
        ({"excluded": [2, 1]}, ValueError, "excluded: expected strictly rising positions"),
        ({"excluded": [3]}, IndexError, "excluded: expected positions from 0 to 2"),
    ],
)
def test_errors(change, error, match):
    given: dict[str, Any] = {
        "indptr": [0, 1, 2, 3, 3, 3, 3], "indices": [1, 2, 0], "seeds": [0], "k": 3, **change
    }  # fmt: skip
    arrays = ("indptr", "indices", "seeds", "excluded")
    given = {name: torch.tensor(x) if name in arrays else x for name, x in given.items()}
    with pytest.raises(error, match=match):
        ops.ppr_neighbors(**given)


def test_errors_of_dtypes_and_weights():
    indptr, indices, seeds = torch.tensor([0, 1, 2]), torch.tensor([1, 0]), torch.tensor([0])
    with pytest.raises(TypeError, match="seeds: expected int32 or int64 ids, got float32"):
        ops.ppr_neighbors(indptr, indices, seeds.float(), 2)
    with pytest.raises(TypeError, match="indptr: expected int64, got int32"):
        ops.ppr_neighbors(indptr.int(), indices, seeds, 2)
    weights = ops.row_weights(torch.tensor([0, 3]), torch.ones(3))
    with pytest.raises(ValueError, match="weights: expected 2 elements, got 3"):
        ops.ppr_neighbors(indptr, indices, seeds, 2, weights=weights)
