"""Layer-neighbour sampling: bit for bit, with the right law, the same on any threads."""

from __future__ import annotations

import itertools

import pytest
import torch
from helpers import IDS, THREADS, is_emulated, random_csc
from torch import Tensor

from hopflow import ops

# Normal bound of a two-sided probability of 1e-6.
SIGMAS = 4.9
# Two seeds that share the sources 0 to 3; as in the recorded run of DGL.
SOURCES = [[8, 9, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7]]
WEIGHTS = [[1.0, 2, 3, 4, 5, 6], [1.0, 1, 2, 2, 3, 3, 4, 8]]
ALL_SOURCES, ALL_WEIGHTS = (list(itertools.chain(*rows)) for rows in (SOURCES, WEIGHTS))
# With weights or without, and steps of importance sampling, which CUDA does not have.
KINDS = [
    pytest.param(weighted, steps, marks=[pytest.mark.cpu_only] if steps else [])
    for weighted, steps in itertools.product([False, True], [0, 1, 3, -1])
]
STEPS = [0] if is_emulated() else [0, 2, -1]


def small(*, weighted: bool, copies: int = 1) -> tuple[Tensor, Tensor, ops.RowWeights | None]:
    """The two seeds, again and again with other nodes: independent of each other."""
    degrees = torch.tensor([len(row) for row in SOURCES]).repeat(copies)
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    one = torch.tensor(ALL_SOURCES)
    indices = (one + 10 * torch.arange(copies)[:, None]).flatten()
    weights = torch.tensor(ALL_WEIGHTS).repeat(copies)
    return indptr, indices, ops.row_weights(indptr, weights) if weighted else None


def sample_copies(
    fanout: int, weighted: bool, steps: int, copies: int, **options
) -> tuple[Tensor, Tensor]:
    """Whether each copy keeps each of the 14 edges, and the edges' weights (0: not kept)."""
    indptr, indices, weights = small(weighted=weighted, copies=copies)
    found = ops.sample_labor(
        indptr, indices, torch.arange(2 * copies), fanout, key=7, weights=weights,
        importance_sampling=steps, num_src=10 * copies, **options,
    )  # fmt: skip
    kept = torch.zeros(14 * copies, dtype=torch.bool)
    kept[found.positions.long()] = True
    values = torch.zeros(14 * copies, dtype=torch.float64)
    if found.weights is not None:
        values[found.positions.long()] = found.weights.double()
    return kept.view(copies, 14), values.view(copies, 14)


def chances_of(fanout: int, weighted: bool, steps: int) -> Tensor:
    """The exact probability of each of the 14 edges."""
    indptr, indices, weights = small(weighted=weighted)
    rows = ops.labor_chances(
        indptr, indices, torch.arange(2), fanout, weights=weights, importance_sampling=steps
    )
    return torch.tensor([p for row in rows for p in row.values()], dtype=torch.float64)


def assert_shares(counts: Tensor, chances: Tensor, trials: int) -> None:
    """How often something happened, within the normal bound; certain things always."""
    spread = (trials * chances * (1 - chances)).sqrt()
    off = (counts - trials * chances).abs()
    assert bool((off <= SIGMAS * spread + 1e-6).all()), (counts / trials, chances)


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("num_threads", THREADS)
def test_equals_the_reference(dtype, num_threads):
    before = ops.num_threads()
    generator = torch.Generator().manual_seed(1)
    ops.set_num_threads(num_threads)
    try:
        for case, (steps, fanout) in enumerate(itertools.product(STEPS, [-1, 0, 1, 4, 9])):
            csc = random_csc(40, 60, 700, seed=case, dtype=dtype, hub=90)
            seeds = torch.randint(60, (50,), generator=generator, dtype=dtype)
            weights = excluded = None
            if case % 2:
                values = torch.rand(csc.num_edges, generator=generator) + 0.01
                weights = ops.row_weights(
                    csc.indptr, values.to(torch.float64) if case % 4 == 3 else values
                )
            if case % 3 == 0:
                picked = torch.randint(csc.num_edges, (60,), generator=generator)
                excluded = torch.unique(picked).to(dtype)
            options = {
                "key": 2**64 - case, "second_key": case * 7, "share": [0.0, 0.3, 1.0][case % 3],
                "weights": weights, "importance_sampling": steps, "normalize": case % 4 > 1,
                "excluded": excluded, "num_src": 40,
            }  # fmt: skip
            found = ops.sample_labor(csc.indptr, csc.indices, seeds, fanout, **options)
            expected = ops.sample_labor_reference(csc.indptr, csc.indices, seeds, fanout, **options)
            for ours, theirs in zip(found, expected):
                assert (ours is None) == (theirs is None)
                if ours is not None:
                    assert ours.dtype == theirs.dtype
                    assert torch.equal(ours, theirs), (case, steps, fanout)
    finally:
        ops.set_num_threads(before)


@pytest.mark.cpu_only
@pytest.mark.parametrize(
    ("weighted", "steps", "share"), [(False, 0, 0.0), (False, 0, 0.4), (True, 2, 0.4)]
)
def test_same_bits_for_any_threads_and_instruction_set(weighted, steps, share):
    from hopflow import _native

    csc = random_csc(3000, 4000, 300_000, hub=5000)
    weights = None
    if weighted:
        generator = torch.Generator().manual_seed(0)
        weights = ops.row_weights(csc.indptr, torch.rand(csc.num_edges, generator=generator) + 0.1)
    found = []
    before = ops.num_threads()
    try:
        for isa, num_threads in itertools.product(["baseline", "avx2", "avx512"], [1, 2, 5]):
            _native.limit_isa(isa)
            ops.set_num_threads(num_threads)
            edges = ops.sample_labor(
                    csc.indptr,
                    csc.indices,
                    torch.arange(4000),
                    7,
                    key=3,
                    second_key=4,
                    share=share,
                    weights=weights,
                    importance_sampling=steps,
                    num_src=3000,
                )  # fmt: skip
            found.append(edges)
    finally:
        _native.limit_isa("avx512")
        ops.set_num_threads(before)
    for other in found[1:]:
        for ours, theirs in zip(found[0], other):
            assert (ours is None and theirs is None) or torch.equal(ours, theirs)


@pytest.mark.parametrize(("weighted", "steps"), KINDS)
def test_every_edge_is_kept_with_its_probability(weighted, steps):
    copies = 20_000
    kept, _ = sample_copies(3, weighted, steps, copies)
    chances = chances_of(3, weighted, steps)
    assert_shares(kept.sum(0).double(), chances, copies)
    if not weighted and steps == 0:
        assert torch.equal(chances, torch.tensor([3 / 6] * 6 + [3 / 8] * 8, dtype=torch.float64))
        numbers = kept[:, 6:].sum(1).double()  # of the second seed, 3 expected
        assert abs(float(numbers.mean()) - 3) < SIGMAS * (8 * 3 / 8 * 5 / 8 / copies) ** 0.5


@pytest.mark.parametrize(("weighted", "steps"), KINDS)
def test_seeds_share_the_numbers_of_their_sources(weighted, steps):
    copies = 20_000
    kept, _ = sample_copies(3, weighted, steps, copies)
    chances = chances_of(3, weighted, steps)
    for shared in range(4):  # edge 2 + shared of the first seed, edge 6 + shared of the second
        ours, theirs = 2 + shared, 6 + shared
        less, more = sorted((ours, theirs), key=lambda e: float(chances[e]))
        # Whoever asks for less takes it only where the other takes it too.
        assert not bool((kept[:, less] & ~kept[:, more]).any())
    # Of different sources they are independent: those of one seed, and across the seeds.
    pairs = list(itertools.combinations(range(14), 2))
    one = ALL_SOURCES
    apart = [(a, b) for a, b in pairs if one[a] != one[b]]
    first, second = torch.tensor(apart).T
    both = (kept[:, first] & kept[:, second]).sum(0).double()
    assert_shares(both, chances[first] * chances[second], copies)


@pytest.mark.parametrize(("weighted", "steps"), KINDS)
def test_scales_keep_the_variance_of_draws_without_replacement(weighted, steps):
    for fanout in (1, 2, 3, 5, 7):
        chances = chances_of(fanout, weighted, steps)
        begin = 0
        for row in WEIGHTS:
            degree = len(row)
            p = chances[begin : begin + degree]
            begin += degree
            if degree <= fanout:
                assert bool((p == 1).all())
                continue
            a = torch.tensor(row if weighted else [1.0] * degree, dtype=torch.float64)
            target = a.sum() ** 2 * (1 / fanout - 1 / degree) + (a * a).sum()
            torch.testing.assert_close((a * a / p).sum(), target, rtol=1e-12, atol=0)


@pytest.mark.parametrize("weighted", [False, True])
def test_importance_sampling_lowers_the_expected_number_of_sources(weighted):
    def expected(steps: int) -> float:
        chances = chances_of(3, weighted, steps)
        most: dict[int, float] = {}
        for source, p in zip(ALL_SOURCES, chances.tolist()):
            most[source] = max(most.get(source, 0.0), p)
        return sum(most.values())

    values = [expected(steps) for steps in (0, 1, 2, 5, 20)]
    assert values == sorted(values, reverse=True)
    assert values[0] > values[-1] + 0.1
    assert expected(-1) == pytest.approx(values[-1], rel=1e-3)


@pytest.mark.parametrize(("weighted", "steps"), KINDS[1:])
def test_weighted_sums_are_unbiased(weighted, steps):
    copies = 20_000
    _, values = sample_copies(3, weighted, steps, copies)
    x = torch.linspace(-1, 2, 14, dtype=torch.float64) ** 3
    a = torch.tensor(ALL_WEIGHTS if weighted else [1.0] * 14, dtype=torch.float64)
    chances = chances_of(3, weighted, steps)
    for row in (slice(0, 6), slice(6, 14)):
        estimates = (values * x)[:, row].sum(1)
        terms = (a * x)[row]
        spread = (terms**2 * (1 / chances[row] - 1)).sum().sqrt() / copies**0.5
        assert abs(float(estimates.mean() - terms.sum())) < SIGMAS * float(spread)
    # Scaled, they sum to the number of edges.
    kept, values = sample_copies(3, weighted, steps, 100, normalize=True)
    for row in (slice(0, 6), slice(6, 14)):
        torch.testing.assert_close(values[:, row].sum(1), kept[:, row].sum(1).double())


@pytest.mark.cpu_only
def test_a_second_key_takes_over_node_by_node():
    copies = 20_000
    first, _ = sample_copies(3, False, 0, copies)
    second, _ = sample_copies(3, False, 0, copies, second_key=8, share=1.0)
    indptr, indices, _ = small(weighted=False, copies=copies)
    alone = ops.sample_labor(indptr, indices, torch.arange(2 * copies), 3, key=8)
    assert torch.equal(second.flatten().nonzero().squeeze(1), alone.positions.long())
    before = None
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        kept, _ = sample_copies(3, False, 0, copies, second_key=8, share=share)
        assert_shares(kept.sum(0).double(), chances_of(3, False, 0), copies)
        # Decisions that differ from the first key's: of the nodes that changed, 2 p (1 - p).
        p = chances_of(3, False, 0)
        assert_shares((kept != first).sum(0).double(), share * 2 * p * (1 - p), copies)
        if before is not None:  # what has changed stays
            changed = (before != first) & (before == second)
            assert torch.equal(kept[changed], second[changed])
        before = kept


def test_edges_that_are_not_there():
    indptr, indices, weights = small(weighted=True)
    seeds = torch.arange(2)
    gone = torch.tensor([0, 1, 2, 8])
    for steps, given in itertools.product(STEPS, [None, weights]):
        found = [
            ops.sample_labor(
                indptr, indices, seeds, 3, key=key, excluded=gone, weights=given,
                importance_sampling=steps,
                num_src=10,
            ).positions.tolist()
            for key in range(300)
        ]  # fmt: skip
        # Three are left of the first seed's: it keeps them all.
        assert all(positions[:3] == [3, 4, 5] for positions in found)
        assert {p for positions in found for p in positions} == set(range(14)) - set(gone.tolist())
    everything = ops.sample_labor(indptr, indices, seeds, 3, key=0, excluded=torch.arange(14))
    assert everything.indptr.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", IDS)
def test_small_and_odd_inputs(dtype):
    indptr, indices, weights = small(weighted=True)
    none = ops.sample_labor(indptr, indices.to(dtype), torch.zeros(0, dtype=dtype), 2, key=1)
    assert none.indptr.tolist() == [0]
    assert none.neighbors.dtype == dtype
    nothing = ops.sample_labor(
        torch.zeros(4, dtype=torch.int64), indices[:0], seeds := torch.arange(3), 2, key=1
    )
    assert nothing.indptr.tolist() == [0, 0, 0, 0]
    weights_of_none = ops.row_weights(torch.zeros(4, dtype=torch.int64), weights.weights[:0])
    weighted = ops.sample_labor(
        torch.zeros(4, dtype=torch.int64), indices[:0], seeds, 2, key=1, weights=weights_of_none
    )
    assert weighted.weights is not None
    assert weighted.weights.dtype == weights.weights.dtype
    assert weighted.weights.shape == (0,)
    all_edges = ops.sample_labor(indptr, indices, seeds[:2], -1, key=1, weights=weights)
    assert torch.equal(all_edges.neighbors, indices)
    assert all_edges.weights is not None
    assert torch.equal(all_edges.weights, torch.tensor(ALL_WEIGHTS))
    assert ops.sample_labor(indptr, indices, seeds[:2], 0, key=1).indptr.tolist() == [0, 0, 0]
    twice = ops.sample_labor(indptr, indices, torch.tensor([1, 1, 0]), 3, key=1)
    once = ops.sample_labor(indptr, indices, torch.tensor([1, 0]), 3, key=1)
    count = int(once.indptr[1])
    assert torch.equal(twice.positions[:count], twice.positions[count : 2 * count])
    assert torch.equal(twice.positions[count:], once.positions)
    gaps = torch.stack([indices, indices], 1)[:, 0]
    assert not gaps.is_contiguous()
    spaced = ops.sample_labor(indptr, gaps, seeds[:2], 3, key=1)
    assert torch.equal(
        spaced.positions, ops.sample_labor(indptr, indices, seeds[:2], 3, key=1).positions
    )


def test_parallel_edges_are_kept_together():
    indptr, indices = torch.tensor([0, 6]), torch.tensor([4, 4, 4, 1, 2, 3])
    for key in range(200):
        found = ops.sample_labor(
            indptr, indices, torch.zeros(1, dtype=torch.int64), 2, key=key, num_src=5
        )
        assert len(set(found.positions.tolist()) & {0, 1, 2}) in (0, 3)


def test_weights_far_apart():
    indptr = torch.tensor([0, 4])
    weights = ops.row_weights(
        indptr, torch.tensor([1e300, 1e-300, 1.0, 1e300], dtype=torch.float64)
    )
    (chances,) = ops.labor_chances(indptr, torch.arange(4), torch.tensor([0]), 2, weights=weights)
    assert chances[0] == chances[3] > 0.5
    for steps in STEPS:
        found = ops.sample_labor(
            indptr, torch.arange(4), torch.zeros(1, dtype=torch.int64), 2, key=5, weights=weights,
            importance_sampling=steps, num_src=4,
        )  # fmt: skip
        assert set(found.positions.tolist()) <= {0, 3}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seeds": torch.tensor([0, 2])}, IndexError, r"seeds\[1\] is 2, but the graph has 2"),
        ({"seeds": torch.tensor([-1])}, IndexError, r"seeds\[0\] is -1"),
        ({"seeds": torch.tensor([0.5])}, TypeError, "seeds"),
        ({"fanout": -2}, ValueError, "fanout"),
        ({"fanout": 1.5}, TypeError, "fanout"),
        ({"importance_sampling": -2}, ValueError, "importance_sampling: expected -1 or more"),
        ({"share": 1.5}, ValueError, "share: expected a number from 0 to 1, got 1.5"),
        ({"share": float("nan")}, ValueError, "share: expected a number from 0 to 1, got nan"),
        ({"excluded": torch.tensor([3, 3])}, ValueError, "excluded: expected strictly rising"),
        ({"excluded": torch.tensor([3, 14])}, IndexError, "excluded: expected positions from 0"),
        ({"indptr": torch.tensor([0, 9, 20])}, ValueError, "no range of the 14 edges"),
        ({"indptr": torch.tensor([0, 6, 14], dtype=torch.int32)}, TypeError, "indptr"),
        pytest.param(
            {"num_src": 5, "importance_sampling": 1}, ValueError, "there are 5 source nodes",
            marks=pytest.mark.cpu_only,
        ),
    ],
)  # fmt: skip
def test_mistakes(change, error, message):
    indptr, indices, _ = small(weighted=False)
    operands = {"indptr": indptr, "indices": indices, "seeds": torch.arange(2), "fanout": 3}
    options = {"num_src": 10}
    for name, value in change.items():
        (operands if name in operands else options)[name] = value
    with pytest.raises(error, match=message):
        ops.sample_labor(*operands.values(), key=1, **options)


@pytest.mark.parametrize("steps", [0, pytest.param(1, marks=pytest.mark.cpu_only)])
@pytest.mark.parametrize("unit", [5e-324, 1e-310, 1.0, 1e304])
def test_scaled_weights_of_any_size_are_finite(unit, steps):
    """Of denormal weights the inverse of the sum is infinite, of huge ones over p the sum."""
    generator = torch.Generator().manual_seed(3)
    raw = torch.randint(1, 9, (30_000,), generator=generator).double() * unit
    raw[::1000] = unit / 1e18 if unit >= 1 else unit
    indptr, indices = torch.arange(0, 30_001, 3000), torch.arange(30_000)
    for fanout in (3, 1000, 3000):
        options = {
            "key": 5, "weights": ops.row_weights(indptr, raw), "importance_sampling": steps,
            "normalize": True, "num_src": 30_000,
        }  # fmt: skip
        seeds = torch.arange(10)
        found = ops.sample_labor(indptr, indices, seeds, fanout, **options)
        counts = found.indptr.diff()
        assert found.weights.isfinite().all()
        owner = torch.repeat_interleave(torch.arange(10), counts)
        sums = torch.zeros(10, dtype=torch.float64).index_add(0, owner, found.weights)
        torch.testing.assert_close(sums, counts.double())
