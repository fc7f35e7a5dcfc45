"""Sampling by weight and beside excluded edges: bit for bit, with the right law, on any threads."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from helpers import IDS, random_csc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from hopflow import ops

WEIGHTS = [1.0, 2.0, 3.0, 4.0, 10.0]


def copies_of(weights: list[float], copies: int) -> tuple[Tensor, ops.RowWeights]:
    """``copies`` nodes with in-edges of these weights each."""
    indptr = torch.arange(copies + 1) * len(weights)
    values = torch.tensor(weights, dtype=torch.float64).repeat(copies)
    return indptr, ops.row_weights(indptr, values)


def order_probabilities(weights: list[float], k: int) -> dict[tuple[int, ...], float]:
    """Exact probability of every sequence of k draws without replacement."""
    found = {}
    for order in permutations(range(len(weights)), k):
        chance, rest = 1.0, sum(weights)
        for edge in order:
            chance *= weights[edge] / rest
            rest -= weights[edge]
        found[order] = chance
    return found


def inclusion(weights: list[float], k: int) -> Tensor:
    """Exact probability that each edge is among k drawn without replacement."""
    chances = torch.zeros(len(weights), dtype=torch.float64)
    for order, chance in order_probabilities(weights, k).items():
        chances[list(order)] += chance
    return chances


def assert_counts(picks: Tensor, chances: Tensor, trials: int) -> None:
    """How often each edge was among the picks, within 4.5 standard deviations."""
    counts = torch.bincount(picks, minlength=len(chances)).double()
    spread = (trials * chances * (1 - chances)).sqrt()
    assert bool(((counts - trials * chances).abs() <= 4.5 * spread + 1e-9).all()), (
        counts / trials,
        chances,
    )


def weights_for(indptr: Tensor, kind: str, seed: int = 0) -> ops.RowWeights:
    """Weights of a kind: alike, of one scale, far apart, geometric."""
    generator = torch.Generator().manual_seed(seed)
    count = int(indptr[-1])
    values = torch.rand(count, generator=generator, dtype=torch.float64) + 1e-3
    if kind == "float32":
        values = values.float()
    elif kind == "one":
        values = torch.ones_like(values)
    elif kind == "heavy":
        values = values.reciprocal() ** 3
    elif kind == "apart":
        exponents = torch.randint(-30, 31, (count,), generator=generator).double()
        values = values * torch.tensor(10.0, dtype=torch.float64) ** exponents
    elif kind == "geometric":
        values = 2.0 ** -torch.arange(count, dtype=torch.float64).remainder(900)
    elif kind == "subnormal":
        values = torch.full_like(values, 5e-324)
    return ops.row_weights(indptr, values)


KINDS = ["float32", "one", "heavy", "apart", "geometric", "subnormal"]


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("kind", [None, *KINDS])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanout", [-1, 0, 1, 3, 40, 100])
def test_equals_reference(fanout: int, replace: bool, kind: str | None, dtype: torch.dtype) -> None:
    csc = random_csc(hub=120)
    weights = None if kind is None else weights_for(csc.indptr, kind)
    seeds = torch.tensor([0, 3, 24, 3, 7], dtype=dtype)
    for excluded in (None, torch.arange(0, csc.num_edges, 3), torch.arange(csc.num_edges - 5)):
        args = (csc.indptr, csc.num_edges, seeds, fanout)
        options = {"key": 2**64 - 5, "replace": replace, "weights": weights, "excluded": excluded}
        got = ops.sample_weighted(*args, **options)
        expected = ops.sample_weighted_reference(*args, **options)
        for a, b in zip(got, expected):
            assert torch.equal(a, b)


@settings(max_examples=80, deadline=None)
@given(
    exponents=st.lists(st.integers(-300, 300), min_size=1, max_size=60),
    fanout=st.integers(1, 60),
    key=st.integers(0, 2**64 - 1),
    replace=st.booleans(),
    barred=st.sets(st.integers(0, 59)),
)
def test_equals_reference_for_any_weights(
    exponents: list[int], fanout: int, key: int, replace: bool, barred: set[int]
) -> None:
    indptr = torch.tensor([0, len(exponents)])
    weights = ops.row_weights(
        indptr, torch.tensor([10.0**e for e in exponents], dtype=torch.float64)
    )
    excluded = torch.tensor(sorted(e for e in barred if e < len(exponents)), dtype=torch.int64)
    args = (indptr, len(exponents), torch.tensor([0]), fanout)
    options = {"key": key, "replace": replace, "weights": weights, "excluded": excluded}
    got = ops.sample_weighted(*args, **options)
    expected = ops.sample_weighted_reference(*args, **options)
    assert torch.equal(got[1], expected[1])
    picks = got[1].tolist()
    assert not set(picks) & set(excluded.tolist())
    if not replace:
        assert len(set(picks)) == len(picks) == min(fanout, len(exponents) - len(excluded))


# --- the law ---


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_inclusion_is_that_of_successive_draws(k: int) -> None:
    copies = 60_000
    indptr, weights = copies_of(WEIGHTS, copies)
    _, positions = ops.sample_weighted(
        indptr, 5 * copies, torch.arange(copies), k, key=11, weights=weights
    )
    assert_counts(positions % 5, inclusion(WEIGHTS, k), copies)


def test_every_order_of_draws_has_its_probability() -> None:
    copies = 60_000
    indptr, weights = copies_of(WEIGHTS, copies)
    _, positions = ops.sample_weighted(
        indptr, 5 * copies, torch.arange(copies), 3, key=5, weights=weights
    )
    code = (positions % 5).view(-1, 3) @ torch.tensor([25, 5, 1])
    chances = order_probabilities(WEIGHTS, 3)
    counts = torch.bincount(code, minlength=125)
    seen = [int(counts[a * 25 + b * 5 + c]) for a, b, c in chances]
    assert sum(seen) == copies
    assert stats.chisquare(seen, [copies * p for p in chances.values()]).pvalue > 1e-4


def test_draws_with_replacement_are_proportional_and_independent() -> None:
    copies = 60_000
    indptr, weights = copies_of(WEIGHTS, copies)
    _, positions = ops.sample_weighted(
        indptr, 5 * copies, torch.arange(copies), 2, key=7, replace=True, weights=weights
    )
    pair = (positions % 5).view(-1, 2) @ torch.tensor([5, 1])
    chance = torch.tensor(WEIGHTS, dtype=torch.float64) / sum(WEIGHTS)
    expected = (chance[:, None] * chance).flatten() * copies
    assert stats.chisquare(torch.bincount(pair, minlength=25), expected).pvalue > 1e-4


@pytest.mark.parametrize("replace", [False, True])
def test_excluded_edges_are_as_if_they_were_not_there(replace: bool) -> None:
    copies, k = 60_000, 2
    indptr, weights = copies_of([*WEIGHTS, 50.0, 0.5], copies)
    bars = torch.tensor([1, 5])  # one of them far heavier than the others together
    excluded = (torch.arange(copies)[:, None] * 7 + bars).flatten()
    _, positions = ops.sample_weighted(
        indptr, 7 * copies, torch.arange(copies), k, key=3, replace=replace, weights=weights,
        excluded=excluded,
    )  # fmt: skip
    left = [0, 2, 3, 4, 6]
    values = [1.0, 3.0, 4.0, 10.0, 0.5]
    rank = torch.full((7,), -1)
    rank[left] = torch.arange(5)
    picks = rank[positions % 7]
    assert int(picks.min()) >= 0
    if replace:
        chances = torch.tensor(values, dtype=torch.float64) / sum(values)
        counts = torch.bincount(picks, minlength=5)
        assert stats.chisquare(counts, chances * copies * k).pvalue > 1e-4
    else:
        assert_counts(picks, inclusion(values, k), copies)


@pytest.mark.parametrize("replace", [False, True])
def test_uniform_draws_beside_excluded_edges(replace: bool) -> None:
    copies, k = 40_000, 3
    indptr = torch.arange(copies + 1) * 9
    excluded = (torch.arange(copies)[:, None] * 9 + torch.tensor([0, 4, 8])).flatten()
    _, positions = ops.sample_weighted(
        indptr, 9 * copies, torch.arange(copies), k, key=3, replace=replace, excluded=excluded
    )
    counts = torch.bincount(positions % 9, minlength=9)
    assert counts[[0, 4, 8]].tolist() == [0, 0, 0]
    left = counts[[1, 2, 3, 5, 6, 7]].double()
    expected = copies * k / 6
    shrink = 1.0 if replace else (6 - k) / 5
    statistic = float((left - expected).square().sum() / expected) / shrink
    assert stats.chi2.sf(statistic, 5) > 1e-4


def test_a_hub_is_drawn_by_weight() -> None:
    degree, copies = 40_000, 3_000
    indptr = torch.tensor([0, degree])
    weights = ops.row_weights(indptr, torch.arange(1, degree + 1, dtype=torch.float32))
    picks = torch.cat(
        [
            ops.sample_weighted(indptr, degree, torch.tensor([0]), 10, key=key, weights=weights)[1]
            for key in range(copies)
        ]
    )
    # Ten of 40,000 are few: tenths of the hub are drawn as their mass, 1 : 3 : 5 : ...
    counts = torch.bincount(picks * 10 // degree, minlength=10)
    expected = torch.arange(1, 20, 2).double() / 100 * copies * 10
    assert stats.chisquare(counts, expected).pvalue > 1e-4


def test_weights_that_float64_cannot_add() -> None:
    """1e-30 is lost beside 1e30; once the large are gone, the small are drawn by weight."""
    copies = 30_000
    values = [1e30, 1e-30, 3e-30, 1e30, 6e-30]
    indptr, weights = copies_of(values, copies)
    _, positions = ops.sample_weighted(
        indptr, 5 * copies, torch.arange(copies), 3, key=1, weights=weights
    )
    picks = (positions % 5).view(-1, 3)
    assert bool((picks[:, :2].sort(1).values == torch.tensor([0, 3])).all())
    first = (picks[:, 0] == 0).sum()
    assert stats.binomtest(int(first), copies, 0.5).pvalue > 1e-4
    counts = [int((picks[:, 2] == edge).sum()) for edge in (1, 2, 4)]
    assert stats.chisquare(counts, [copies * p for p in (0.1, 0.3, 0.6)]).pvalue > 1e-4


def test_the_small_beside_one_large_are_not_bent_by_rounding() -> None:
    """Beside 2^52 sums round to whole numbers: 0.75 and 1.25 would be drawn alike."""
    copies = 20_000
    small = [0.75, 1.25] * 4
    indptr, weights = copies_of([2.0**52, *small], copies)
    _, positions = ops.sample_weighted(
        indptr, 9 * copies, torch.arange(copies), 2, key=2, weights=weights
    )
    second = (positions % 9).view(-1, 2)[:, 1]
    counts = torch.bincount(second, minlength=9)[1:]
    assert stats.chisquare(counts, [copies * w / 8 for w in small]).pvalue > 1e-4


def test_subnormal_weights_are_drawn_by_weight() -> None:
    copies = 20_000
    indptr, weights = copies_of([5e-324, 1e-323, 1.0], copies)
    excluded = torch.arange(copies) * 3 + 2
    _, positions = ops.sample_weighted(
        indptr, 3 * copies, torch.arange(copies), 1, key=2, weights=weights, excluded=excluded
    )
    ones = int((positions % 3 == 1).sum())
    assert stats.binomtest(ones, copies, 2 / 3).pvalue > 1e-4


# --- shape and order ---


def test_what_is_left_is_kept_in_the_graphs_order() -> None:
    indptr, weights = copies_of([5.0, 1.0, 9.0, 2.0], 1)
    for fanout in (-1, 3, 4):
        out, positions = ops.sample_weighted(
            indptr, 4, torch.tensor([0, 0]), fanout, key=1, weights=weights,
            excluded=torch.tensor([2]),
        )  # fmt: skip
        assert out.tolist() == [0, 3, 6]
        assert positions.tolist() == [0, 1, 3, 0, 1, 3]


def test_a_seed_with_nothing_left_gets_nothing() -> None:
    indptr = torch.tensor([0, 2, 2, 3])
    weights = ops.row_weights(indptr, torch.ones(3))
    for replace in (False, True):
        for w in (None, weights):
            out, positions = ops.sample_weighted(
                indptr, 3, torch.tensor([0, 1, 2]), 2, key=1, replace=replace, weights=w,
                excluded=torch.tensor([0, 1]),
            )  # fmt: skip
            assert out.tolist() == ([0, 0, 0, 2] if replace else [0, 0, 0, 1])
            assert set(positions.tolist()) == {2}


def test_without_excluded_edges_uniform_picks_are_sample_neighbors() -> None:
    csc = random_csc(500, 500, 6000, hub=2000)
    seeds = torch.randperm(500)
    for fanout in (1, 7, 60):
        for replace in (False, True):
            want = ops.sample_neighbors(
                csc.indptr, csc.indices, seeds, fanout, key=9, replace=replace
            )
            got = ops.sample_weighted(
                csc.indptr, csc.num_edges, seeds, fanout, key=9, replace=replace
            )
            assert torch.equal(got[0], want[0])
            assert torch.equal(got[1], want[2].long())


def test_same_for_any_number_of_threads() -> None:
    csc = random_csc(5000, 5000, 100_000, seed=3, hub=5000)
    seeds = torch.randint(5000, (4000,))
    excluded = torch.arange(0, csc.num_edges, 7)
    for kind in ("float32", "apart"):
        results = []
        for threads in (1, 2, 5):
            ops.set_num_threads(threads)
            weights = weights_for(csc.indptr, kind)
            sampled = ops.sample_weighted(
                csc.indptr, csc.num_edges, seeds, 7, key=1, weights=weights, excluded=excluded
            )
            results.append((weights.sums, *sampled))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_empty_seeds_and_graphs() -> None:
    weights = ops.row_weights(torch.tensor([0]), torch.empty(0))
    out, positions = ops.sample_weighted(
        torch.tensor([0]), 0, torch.empty(0, dtype=torch.int64), 3, key=0, weights=weights
    )
    assert (out.tolist(), positions.tolist()) == ([0], [])


# --- errors ---


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_weights_are_named(bad: float) -> None:
    with pytest.raises(ValueError, match=r"weights\[1\] is .*, expected a positive, finite"):
        ops.row_weights(torch.tensor([0, 3]), torch.tensor([1.0, bad, 1.0]))


def test_bad_operands_of_row_weights() -> None:
    indptr = torch.tensor([0, 1, 3])
    huge = torch.full((3,), 1.5e308, dtype=torch.float64)
    with pytest.raises(ValueError, match="row 1 have a sum beyond float64"):
        ops.row_weights(indptr, huge)
    with pytest.raises(TypeError, match="weights: expected float32 or float64, got int64"):
        ops.row_weights(indptr, torch.ones(3, dtype=torch.int64))
    with pytest.raises(ValueError, match="indptr"):
        ops.row_weights(indptr, torch.ones(4))
    with pytest.raises(ValueError, match="weights: expected 1 dimension"):
        ops.row_weights(indptr, torch.ones(3, 1))


@pytest.mark.parametrize(
    ("seeds", "fanout", "excluded", "error", "match"),
    [
        ([0, 9], 2, None, IndexError, r"seeds\[1\] is 9, but the graph has 3 nodes"),
        ([-1], 2, None, IndexError, r"seeds\[0\] is -1"),
        ([0], -2, None, ValueError, r"fanout: expected -1 \(all\) or a count >= 0, got -2"),
        ([0], 1.5, None, TypeError, "fanout: expected an int, got float"),
        ([0.0], 2, None, TypeError, "seeds: expected int32 or int64"),
        ([0], 2, [1, 0], ValueError, "excluded: expected strictly rising"),
        ([0], 2, [1, 1], ValueError, "excluded: expected strictly rising"),
        ([0], 2, [0.5], TypeError, "excluded: expected int32 or int64"),
    ],
)
def test_bad_arguments(seeds, fanout, excluded, error, match) -> None:
    indptr = torch.tensor([0, 2, 3, 3])
    barred = None if excluded is None else torch.tensor(excluded)
    with pytest.raises(error, match=match):
        ops.sample_weighted(indptr, 3, torch.tensor(seeds), fanout, key=0, excluded=barred)


@pytest.mark.parametrize("indptr", [[0, 5, 3, 3], [0, 2, 9, 9], [-4, 2, 3, 3]])
def test_bad_indptr_is_found_before_anything_is_read(indptr: list[int]) -> None:
    with pytest.raises(ValueError, match="indptr"):
        ops.sample_weighted(torch.tensor(indptr), 3, torch.tensor([0, 1, 2]), 2, key=0)


def test_weights_of_another_graph_are_refused() -> None:
    weights = ops.row_weights(torch.tensor([0, 2]), torch.ones(2))
    with pytest.raises(ValueError, match="sums: expected 3 elements, got 2"):
        ops.sample_weighted(torch.tensor([0, 3]), 3, torch.tensor([0]), 2, key=0, weights=weights)
