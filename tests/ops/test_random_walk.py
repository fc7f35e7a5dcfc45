"""Random walks: bit for bit, by their law, and independent of threads."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import IDS, opcheck, random_csc
from scipy import stats
from torch import Tensor

from hopflow import ops

KEY = 0xDEADBEEFCAFEF00D


def out_edges(
    num_src: int, num_dst: int, num_edges: int, dtype: torch.dtype = torch.int32, *,
    weighted: bool = False, with_eids: bool = False, seed: int = 0, hub: int = 0,
) -> ops.WalkEdges:  # fmt: skip
    """Random out-edges with duplicates; three sources have none; destinations rise."""
    csc = random_csc(num_dst, num_src, num_edges, seed=seed, dtype=dtype, hub=hub)
    rows = [csc.indices[a:b].sort().values for a, b in zip(csc.indptr[:-1], csc.indptr[1:])]
    indices = torch.cat(rows)
    generator = torch.Generator().manual_seed(seed)
    weights, eids = None, None
    if weighted:
        values = torch.rand(len(indices), generator=generator) + 0.01
        weights = ops.row_weights(csc.indptr, values)
    if with_eids:
        eids = torch.randperm(len(indices), generator=generator).to(dtype)
    return ops.WalkEdges(csc.indptr, indices, eids, weights)


def same(ours: tuple[Tensor, Tensor | None], theirs: tuple[Tensor, Tensor | None]) -> bool:
    return all(a is b is None or torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("seed_dtype", IDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("return_eids", [False, True])
def test_equals_reference(dtype, seed_dtype, weighted, return_eids):
    other = torch.int32 if dtype == torch.int64 else torch.int64
    relations = [
        out_edges(25, 40, 300, dtype, weighted=weighted, with_eids=True, hub=90),
        out_edges(40, 25, 160, other, seed=1),
    ]
    seeds = torch.randint(25, (150,), generator=torch.Generator().manual_seed(2)).to(seed_dtype)
    path, restart = [0, 1, 0, 1, 0, 1, 0], [0.0, 0.3, 0.1, 0.1, 1e-9, 0.2, 0.0]
    options = {"key": KEY, "restart": restart, "return_eids": return_eids}
    ours = ops.random_walk(relations, path, seeds, **options)
    assert same(ours, ops.random_walk_reference(relations, path, seeds, **options))
    assert ours[0].dtype == seed_dtype
    assert (ours[0][:, -1] >= 0).any()
    assert (ours[0][:, -1] < 0).any()


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("p", "q"),
    [(1, 1), (0.2, 3), (5, 0.3), (1e-6, 2), (0.01, 0.02), (1e6, 1e6), (1e6, 1e-3), (1e300, 1e-300)],
)
def test_node2vec_equals_reference(p, q, weighted, dtype):
    edges = out_edges(30, 30, 200, dtype, weighted=weighted, with_eids=True, hub=60)
    seeds = torch.arange(30, dtype=dtype).repeat(4)
    options = {"key": KEY, "return_eids": True}
    if weighted:  # what is searched may be more than what is drawn
        more = out_edges(30, 30, 400, dtype, seed=5)
        options["all_edges"] = (more.indptr, more.indices)
    ours = ops.node2vec_walk(edges, seeds, p, q, 6, **options)
    assert same(ours, ops.node2vec_walk_reference(edges, seeds, p, q, 6, **options))
    assert (ours[0][:, -1] >= 0).any()


@pytest.mark.cpu_only
def test_same_for_any_number_of_threads():
    edges = out_edges(500, 500, 6_000, weighted=True)
    plain = ops.WalkEdges(edges.indptr, edges.indices)
    seeds = torch.arange(500).repeat(20)
    found, before = [], ops.num_threads()
    try:
        for threads in (1, 2, 3, 7):
            ops.set_num_threads(threads)
            walks = ops.random_walk([edges, plain], [0, 1, 0], seeds, key=1, restart=[0.1] * 3)[0]
            found.append((walks, ops.node2vec_walk(edges, seeds, 0.5, 2.0, 3, key=1)[0]))
    finally:
        ops.set_num_threads(before)
    assert all(same(one, found[0]) for one in found[1:])


def steps(traces: Tensor) -> Counter:
    """How often each step from a node to the next was taken."""
    pairs = torch.stack([traces[:, :-1].flatten(), traces[:, 1:].flatten()], 1)
    return Counter(map(tuple, pairs[(pairs >= 0).all(1)].tolist()))


def agree(counts: list[int], probabilities: list[float]) -> bool:
    """Whether counts are those of these probabilities; an impossible outcome must not occur."""
    assert sum(probabilities) == pytest.approx(1)
    kept = [(n, p) for n, p in zip(counts, probabilities, strict=True) if p > 0]
    if sum(n for n, _ in kept) != sum(counts):
        return False
    if len(kept) == 1:
        return True
    observed, share = zip(*kept)
    return stats.chisquare(observed, [sum(observed) * p for p in share]).pvalue > 1e-6


def test_steps_have_the_probabilities_of_the_weights():
    indptr = torch.tensor([0, 3, 5, 9, 9])
    indices = torch.tensor([1, 2, 2, 0, 2, 0, 1, 2, 3])  # two edges from 0 to 2
    values = torch.tensor([1.0, 2.0, 3.0, 1e-3, 1.0, 5.0, 0.5, 0.5, 4.0])
    edges = ops.WalkEdges(indptr, indices, None, ops.row_weights(indptr, values))
    seeds = torch.arange(3).repeat(10_000)
    traces, eids = ops.random_walk([edges], [0] * 4, seeds, key=3, return_eids=True)
    taken = torch.bincount(eids[eids >= 0], minlength=9)
    for node in range(3):
        low, high = indptr[node : node + 2].tolist()
        share = (values[low:high] / values[low:high].sum()).double()
        assert agree(taken[low:high].tolist(), (share / share.sum()).tolist())
    plain = ops.WalkEdges(indptr, indices)
    taken = ops.random_walk([plain], [0] * 4, seeds, key=4, return_eids=True)[1]
    taken = torch.bincount(taken[taken >= 0], minlength=9)
    for node in range(3):
        low, high = indptr[node : node + 2].tolist()
        assert agree(taken[low:high].tolist(), [1 / (high - low)] * (high - low))
    assert (traces[:, 1:][traces[:, :-1] == 3] == -1).all()  # node 3 is a dead end


def test_walks_end_with_the_probabilities_given():
    edges = ops.WalkEdges(torch.tensor([0, 1]), torch.tensor([0]))
    restart = [0.0, 0.25, 1.0, 0.5]
    traces, eids = ops.random_walk(
        [edges], [0] * 4, torch.zeros(40_000, dtype=torch.int64), key=9, restart=restart,
        return_eids=True,
    )  # fmt: skip
    lengths = (traces >= 0).sum(1)
    assert torch.equal((eids >= 0).sum(1), lengths - 1)
    assert agree(torch.bincount(lengths, minlength=6).tolist(), [0, 0, 0.25, 0.75, 0, 0])


def test_steps_and_walks_are_independent():
    edges = ops.WalkEdges(torch.arange(5) * 4, torch.arange(4).repeat(4))
    traces, _ = ops.random_walk([edges], [0] * 3, torch.zeros(40_000, dtype=torch.int64), key=12)
    of = traces[:, 1:]
    pairs = [(of[:, 0], of[:, 1]), (of[:, 1], of[:, 2]), (of[:-1, 0], of[1:, 0])]
    again = ops.random_walk([edges], [0] * 3, traces[:, 0], key=13)[0][:, 1:]
    pairs.append((of[:, 0], again[:, 0]))
    for a, b in pairs:
        assert agree(torch.bincount(a * 4 + b, minlength=16).tolist(), [1 / 16] * 16)


# A directed graph with parallel edges, a loop, edges one way and both ways, and a dead end. Row 0:
# back is common; row 4 leads back alone.
NODE2VEC = {
    0: [1, 1, 2, 3, 3, 4], 1: [0, 2, 2, 3, 5], 2: [0, 0, 1, 2, 3], 3: [1, 2, 4], 4: [0, 0], 5: [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("p", "q", "weighted"),
    [
        (1, 1, False), (0.1, 4, True), (4, 0.1, True), (0.05, 0.2, False), (50, 50, True),
        (1e4, 1e-3, False), (1e-3, 1e3, True),
    ],
)  # fmt: skip
def test_node2vec_has_its_law(p, q, weighted):
    indptr = torch.tensor([0, *(len(row) for row in NODE2VEC.values())]).cumsum(0)
    indices = torch.tensor([x for row in NODE2VEC.values() for x in row])
    values = torch.rand(len(indices), generator=torch.Generator().manual_seed(7)).double() + 0.05
    weights = ops.row_weights(indptr, values) if weighted else None
    values = values if weighted else torch.ones_like(values)
    edges = ops.WalkEdges(indptr, indices, None, weights)
    traces, eids = ops.node2vec_walk(
        edges, torch.arange(6).repeat(4_000), p, q, 4, key=21, return_eids=True
    )
    before, at, taken = traces[:, :-2].flatten(), traces[:, 1:-1].flatten(), eids[:, 1:].flatten()
    seen = 0
    for (t, v), _ in steps(traces[:, :-1]).items():
        low, high = indptr[v : v + 2].tolist()
        if low == high:
            continue
        here = taken[(before == t) & (at == v)]
        alpha = [
            1 / p if x == t else 1.0 if t in NODE2VEC[x] else 1 / q
            for x in indices[low:high].tolist()
        ]
        mass = [a * float(w) for a, w in zip(alpha, values[low:high])]
        counts = torch.bincount(here - low, minlength=high - low).tolist()
        # Outcomes so rare that a chi-square says nothing of them are bounded alone.
        share = [m / sum(mass) for m in mass]
        common = [i for i, s in enumerate(share) if s * len(here) >= 5]
        rare = [i for i in range(high - low) if i not in common]
        assert sum(counts[i] for i in rare) <= 40 + 2 * sum(share[i] for i in rare) * len(here)
        total = sum(share[i] for i in common)
        if len(common) > 1:
            assert agree([counts[i] for i in common], [share[i] / total for i in common])
            seen += 1
    assert seen >= 5
    first = eids[:, 0]
    for node in range(5):
        low, high = indptr[node : node + 2].tolist()
        counts = torch.bincount(first[traces[:, 0] == node] - low, minlength=high - low)
        share = values[low:high] / values[low:high].sum()
        assert agree(counts.tolist(), share.tolist())


def test_a_step_from_a_hub_does_not_read_its_row():
    """A law that is wrong about this would take minutes here: 2 000 walks of 200 000 edges each."""
    degree = 200_000
    indptr = torch.cat([torch.tensor([0, degree]), torch.arange(1, degree + 1) + degree])
    indices = torch.cat([torch.arange(1, degree + 1), torch.zeros(degree, dtype=torch.int64)])
    edges = ops.WalkEdges(indptr, indices.to(torch.int32))
    seeds = torch.arange(1, 2_001)
    traces, _ = ops.node2vec_walk(edges, seeds, 1e-4, 1.0, 2, key=5)
    went_back = float((traces[:, 2] == seeds).float().mean())
    share = 1e4 / (1e4 + degree - 1)
    assert abs(went_back - share) < 5 * (share * (1 - share) / 2_000) ** 0.5


@pytest.mark.parametrize("dtype", IDS)
def test_nothing_to_do(dtype):
    edges = out_edges(10, 10, 30, dtype)
    none = torch.empty(0, dtype=dtype)
    traces, eids = ops.random_walk([edges], [0, 0], none, key=0, return_eids=True)
    assert traces.shape == (0, 3)
    assert eids.shape == (0, 2)
    assert ops.node2vec_walk(edges, none, 1, 1, 2, key=0)[0].shape == (0, 3)
    seeds = torch.tensor([3, 1], dtype=dtype)
    assert ops.random_walk([edges], [], seeds, key=0)[0].tolist() == [[3], [1]]
    assert ops.node2vec_walk(edges, seeds, 1, 1, 0, key=0)[0].tolist() == [[3], [1]]
    bare = ops.WalkEdges(torch.zeros(5, dtype=torch.int64), none)
    traces, eids = ops.random_walk([bare], [0, 0], seeds, key=0, return_eids=True)
    assert traces.tolist() == [[3, -1, -1], [1, -1, -1]]
    assert eids.tolist() == [[-1, -1]] * 2
    assert ops.node2vec_walk(bare, seeds, 1, 1, 2, key=0)[0].tolist() == traces.tolist()


def test_opcheck():
    edges = out_edges(12, 12, 50, weighted=True, with_eids=True)
    seeds = torch.arange(12)
    arrays = [edges.indptr] * 2, [edges.indices] * 2, [None, edges.eids], [edges.weights.sums, None]
    opcheck(torch.ops.hopflow.random_walk.default, (*arrays, [0, 1], [0.1] * 2, seeds, -5, True))
    arrays = edges.indptr, edges.indices, edges.eids, edges.weights.sums
    opcheck(
        torch.ops.hopflow.node2vec_walk.default,
        (*arrays, edges.indptr, edges.indices, seeds, 0.5, 2.0, 3, 7, True),
    )


EDGES = ops.WalkEdges(torch.tensor([0, 2, 3, 3]), torch.tensor([1, 2, 0]))
SEEDS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("relations", "path", "seeds", "options", "error", "match"),
    [
        ([EDGES], [0], torch.tensor([0, 3]), {}, IndexError, r"seeds\[1\] is 3"),
        ([EDGES], [0], torch.tensor([-1]), {}, IndexError, r"seeds\[0\] is -1"),
        ([EDGES], [0, 1], SEEDS, {}, IndexError, r"path\[1\] is 1"),
        ([EDGES], [-1], SEEDS, {}, IndexError, r"path\[0\] is -1"),
        ([EDGES], [0.5], SEEDS, {}, TypeError, "path: expected an int"),
        ([EDGES], [0], SEEDS, {"restart": [0.1, 0.1]}, ValueError, "restart: expected one"),
        ([EDGES], [0], SEEDS, {"restart": [1.5]}, ValueError, r"restart\[0\] is 1.5"),
        ([EDGES], [0], SEEDS, {"restart": [float("nan")]}, ValueError, r"restart\[0\] is nan"),
        ([EDGES], [0], SEEDS.float(), {}, TypeError, "seeds: expected int32 or int64"),
        ([EDGES._replace(indices=torch.tensor([1, 2, 9]))], [0] * 3, SEEDS, {}, IndexError, "9"),
        ([EDGES._replace(indptr=torch.tensor([0, 2, 9, 9]))], [0], SEEDS, {}, ValueError, "indptr"),
        ([EDGES._replace(indptr=torch.tensor([0, 5, 3, 3]))], [0], SEEDS, {}, ValueError, "indptr"),
        ([EDGES._replace(eids=torch.tensor([0]))], [0], SEEDS, {}, ValueError, "eids: expected 3"),
        ([EDGES._replace(indptr=torch.tensor([0, 2]).int())], [0], SEEDS, {}, TypeError, "indptr"),
    ],
)  # fmt: skip
def test_bad_arguments(relations, path, seeds, options, error, match):
    with pytest.raises(error, match=match):
        ops.random_walk(relations, path, seeds, key=0, **options)


@pytest.mark.parametrize(
    ("edges", "seeds", "p", "q", "length", "error", "match"),
    [
        (EDGES, torch.tensor([3]), 1, 1, 2, IndexError, r"seeds\[0\] is 3"),
        (EDGES, SEEDS, 1, 1, -1, ValueError, "num_steps: expected at least 0"),
        (EDGES, SEEDS, 0, 1, 2, ValueError, "p: expected a positive"),
        (EDGES, SEEDS, 1, -2, 2, ValueError, "q: expected a positive"),
        (EDGES, SEEDS, float("nan"), 1, 2, ValueError, "p: expected a positive"),
        (EDGES, SEEDS, 1, float("inf"), 2, ValueError, "q: expected a positive"),
        (EDGES, SEEDS, 1e-310, 1, 2, ValueError, "p: expected a positive"),
        (EDGES._replace(indices=torch.tensor([1, 2, 9])), SEEDS, 1, 1, 3, IndexError, "9"),
        (EDGES._replace(indptr=torch.tensor([0, 5, 3, 3])), SEEDS, 1, 1, 2, ValueError, "indptr"),
    ],
)
def test_bad_node2vec_arguments(edges, seeds, p, q, length, error, match):
    with pytest.raises(error, match=match):
        ops.node2vec_walk(edges, seeds, p, q, length, key=0)
