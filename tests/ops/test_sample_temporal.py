"""Sampling in time: bit for bit, never late, with the right law, on any number of threads."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, permutations
from typing import Any

import pytest
import torch
from helpers import IDS, THREADS, random_csc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from hopflow import ops

DTYPES = [torch.int64, torch.float64]


def timed_csc(
    dtype: torch.dtype = torch.int64, seed: int = 0, **options: Any
) -> tuple[Tensor, Tensor]:
    """The in-edges of a random graph with a hub: ``indptr`` and times in order, with many ties."""
    csc = random_csc(hub=120, seed=seed, **options)
    generator = torch.Generator().manual_seed(seed)
    times = torch.randint(-9, 10, (csc.num_edges,), generator=generator)
    times = times if dtype == torch.int64 else times / 4
    return csc.indptr, ops.sort_row_times(csc.indptr, times).times.to(dtype)


def repeated(times: list[int], copies: int) -> tuple[Tensor, Tensor]:
    """``copies`` nodes with in-edges of these times each, which rise."""
    return torch.arange(copies + 1) * len(times), torch.tensor(times).repeat(copies)


def both(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """What the operator gives, which is what its reference gives."""
    got = ops.sample_temporal(*args, **options)
    expected = ops.sample_temporal_reference(*args, **options)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.dtype == torch.int64
        assert torch.equal(ours, theirs)
    return got


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("fanout", [-1, 0, 1, 3, 40, 100])
def test_equals_reference(fanout: int, strict: bool, dtype: torch.dtype, ids: torch.dtype) -> None:
    indptr, times = timed_csc(dtype)
    seeds = torch.tensor([0, 3, 24, 3, 3, 7, 0, 0], dtype=ids)
    seed_times = torch.tensor([2, 9, 0, 9, 1, -9, 20, -20]).to(dtype)
    weights = ops.row_weights(indptr, torch.rand(len(times)) + 0.1)
    for excluded in (None, torch.arange(0, len(times), 3), torch.arange(len(times) - 5)):
        for extra in (
            {}, {"replace": True}, {"strategy": "last"}, {"weights": weights},
            {"weights": weights, "replace": True},
        ):  # fmt: skip
            both(
                indptr, times, seeds, seed_times, fanout, key=2**64 - 5, strict=strict,
                excluded=excluded, **extra,
            )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(
    times=st.lists(st.integers(-5, 5), max_size=90),
    time=st.integers(-6, 6),
    fanout=st.integers(-1, 70),
    key=st.integers(0, 2**64 - 1),
    strict=st.booleans(),
    replace=st.booleans(),
    barred=st.sets(st.integers(0, 89)),
)
def test_what_is_kept_is_early_and_distinct(
    times: list[int],
    time: int,
    fanout: int,
    key: int,
    strict: bool,
    replace: bool,
    barred: set[int],
) -> None:
    indptr = torch.tensor([0, len(times)])
    at = torch.tensor(sorted(times), dtype=torch.int64)
    excluded = torch.tensor(sorted(e for e in barred if e < len(times)), dtype=torch.int64)
    seeds, when = torch.tensor([0]), torch.tensor([time])
    options = {"key": key, "strict": strict, "excluded": excluded}
    _, positions = both(indptr, at, seeds, when, fanout, replace=replace, **options)
    allowed = [
        e for e in range(len(times))
        if (at[e] < time if strict else at[e] <= time) and e not in barred
    ]  # fmt: skip
    assert set(positions.tolist()) <= set(allowed)
    if replace and fanout >= 0:
        assert len(positions) == (fanout if allowed else 0)
    else:
        count = len(allowed) if fanout < 0 else min(fanout, len(allowed))
        assert len(set(positions.tolist())) == len(positions) == count
    _, last = both(indptr, at, seeds, when, fanout, strategy="last", **options)
    wanted = allowed if fanout < 0 else allowed[max(0, len(allowed) - fanout) :]
    assert last.tolist() == wanted


def test_the_latest_of_one_time_are_the_last_in_the_row() -> None:
    indptr = torch.tensor([0, 6])
    order = ops.sort_row_times(indptr, torch.tensor([5, 3, 5, 9, 3, 5]))
    assert order.order.tolist() == [1, 4, 0, 2, 5, 3]
    _, positions = both(
        indptr, order.times, torch.tensor([0]), torch.tensor([5]), 2, key=0, strategy="last"
    )
    assert order.order[positions].tolist() == [2, 5]


# --- the law ---


def test_every_subset_of_the_eligible_is_equally_likely() -> None:
    copies = 40_000
    indptr, times = repeated([1, 2, 3, 3, 3, 7, 8], copies)
    seeds = torch.arange(copies)
    _, positions = ops.sample_temporal(indptr, times, seeds, torch.full((copies,), 3), 2, key=99)
    subsets = Counter(tuple(sorted(pair)) for pair in (positions % 7).view(-1, 2).tolist())
    assert set(subsets) == set(combinations(range(5), 2))
    assert stats.chisquare(list(subsets.values())).pvalue > 1e-6


def test_draws_with_replacement_are_uniform_and_independent() -> None:
    copies = 40_000
    indptr, times = repeated([1, 2, 3, 5, 8], copies)
    _, positions = ops.sample_temporal(
        indptr, times, torch.arange(copies), torch.full((copies,), 5), 2, key=9, strict=True,
        replace=True,
    )  # fmt: skip
    pairs = (positions % 5).view(-1, 2)
    assert int(pairs.max()) == 2
    counts = torch.bincount(pairs[:, 0] * 3 + pairs[:, 1], minlength=9)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_weighted_draws_are_by_weight_among_the_eligible() -> None:
    copies, values = 40_000, [1.0, 3.0, 6.0, 50.0]
    indptr, times = repeated([1, 2, 2, 3], copies)
    weights = ops.row_weights(indptr, torch.tensor(values).repeat(copies))
    _, positions = ops.sample_temporal(
        indptr, times, torch.arange(copies), torch.full((copies,), 2), 2, key=5, weights=weights
    )
    picks = (positions % 4).view(-1, 2)
    chances = {
        (a, b): values[a] / 10 * values[b] / (10 - values[a]) for a, b in permutations(range(3), 2)
    }
    seen = [int(((picks[:, 0] == a) & (picks[:, 1] == b)).sum()) for a, b in chances]
    assert sum(seen) == copies
    assert stats.chisquare(seen, [copies * p for p in chances.values()]).pvalue > 1e-6


def test_draws_of_one_node_at_two_times_are_independent() -> None:
    copies = 40_000
    indptr, times = repeated([0, 0, 0, 0], copies)
    seeds = torch.arange(copies)
    one, other = (
        ops.sample_temporal(indptr, times, seeds, torch.full((copies,), t), 1, key=3)[1] % 4
        for t in (1, 2)
    )
    assert stats.chisquare(torch.bincount(one * 4 + other, minlength=16)).pvalue > 1e-6
    _, again = ops.sample_temporal(indptr, times, seeds, torch.full((copies,), 1), 1, key=3)
    assert torch.equal(again % 4, one)


# --- threads, dtypes, nothing at all ---


@pytest.mark.parametrize("threads", THREADS)
def test_same_for_any_number_of_threads(threads: int) -> None:
    csc = random_csc(5000, 5000, 100_000, seed=3, hub=5000)
    generator = torch.Generator().manual_seed(1)
    given_times = torch.randint(1000, (csc.num_edges,), generator=generator)
    rows = ops.sort_row_times(csc.indptr, given_times)
    seeds = torch.randint(5000, (8000,), generator=generator)
    at = torch.randint(1000, (8000,), generator=generator)
    excluded = torch.arange(0, csc.num_edges, 7)
    results = []
    for count in (1, threads):
        ops.set_num_threads(count)
        results.append(
            [
                *ops.sample_temporal(csc.indptr, rows.times, seeds, at, 7, key=1),
                *ops.sample_temporal(
                    csc.indptr, rows.times, seeds, at, 7, key=1, excluded=excluded
                ),
            ]
        )
    assert all(torch.equal(a, b) for a, b in zip(*results))


def test_without_times_to_tell_apart_every_edge_is_eligible() -> None:
    csc = random_csc(hub=60)
    seeds = torch.arange(csc.num_dst)
    times = torch.zeros(csc.num_edges, dtype=torch.int64)
    indptr, positions = ops.sample_temporal(
        csc.indptr, times, seeds, torch.zeros_like(seeds), -1, key=1
    )
    assert torch.equal(indptr, csc.indptr)
    assert torch.equal(positions, torch.arange(csc.num_edges))
    indptr, positions = ops.sample_temporal(
        csc.indptr, times, seeds, torch.zeros_like(seeds), -1, key=1, strict=True
    )
    assert int(indptr[-1]) == len(positions) == 0


def test_no_seeds_no_edges_no_nodes() -> None:
    none, no_times = torch.empty(0, dtype=torch.int64), torch.empty(0)
    for indptr in (torch.zeros(1, dtype=torch.int64), torch.zeros(4, dtype=torch.int64)):
        rows = ops.sort_row_times(indptr, no_times)
        out, positions = both(indptr, rows.times, none, no_times, 3, key=0)
        assert (out.tolist(), positions.tolist()) == ([0], [])
    out, positions = both(indptr, rows.times, torch.tensor([2]), torch.tensor([1.0]), 3, key=0)
    assert (out.tolist(), positions.tolist()) == ([0, 0], [])


@pytest.mark.parametrize(
    "dtype", [torch.int8, torch.int32, torch.float16, torch.float32, torch.bfloat16]
)
def test_narrow_times_are_widened_exactly(dtype: torch.dtype) -> None:
    values = torch.tensor([3, -2, 3, 1]).to(dtype)
    rows = ops.sort_row_times(torch.tensor([0, 4]), values)
    assert rows.order.tolist() == [1, 3, 0, 2]
    assert rows.times.dtype == (torch.float64 if values.is_floating_point() else torch.int64)


def test_infinite_and_extreme_times() -> None:
    big = 2**63 - 1
    times = torch.tensor([-big - 1, 0, big])
    seeds = torch.zeros(3, dtype=torch.int64)
    out, _ = both(
        torch.tensor([0, 3]), times, seeds, torch.tensor([-big - 1, big - 1, big]), 9, key=1
    )
    assert out.diff().tolist() == [1, 2, 3]
    inf = float("inf")
    floats = torch.tensor([-inf, 0.0, inf], dtype=torch.float64)
    at = torch.tensor([-0.0, -inf, inf], dtype=torch.float64)
    out, _ = both(torch.tensor([0, 3]), floats, seeds, at, 9, key=1)
    assert out.diff().tolist() == [2, 1, 3]


# --- errors ---


def test_errors_name_the_operand() -> None:
    indptr, times = torch.tensor([0, 2, 3]), torch.tensor([1, 2, 3])
    seeds, at = torch.tensor([0, 1]), torch.tensor([5, 5])

    def sample(**changed: Any) -> None:
        call = {
            "indptr": indptr, "times": times, "seeds": seeds, "seed_times": at, "fanout": 2,
            "key": 0,
        }  # fmt: skip
        ops.sample_temporal(**{**call, **changed})

    sample()
    weights = ops.row_weights(indptr, torch.ones(3))
    last, outside = {"strategy": "last"}, torch.tensor([0, 2])
    fewer = ops.row_weights(torch.tensor([0, 2]), torch.ones(2))
    for kind, message, changed in [
        (IndexError, r"seeds\[1\] is 2, but the graph has 2 nodes", {"seeds": outside}),
        (IndexError, r"seeds\[0\] is -1", {"seeds": torch.tensor([-1, 0])}),
        (ValueError, "fanout", {"fanout": -2}),
        (ValueError, "seed_times: expected 2 elements, got 1", {"seed_times": at[:1]}),
        (TypeError, "seed_times: expected int64 as times are, got", {"seed_times": at / 2}),
        (TypeError, "times: expected int64 or float64, got int32", {"times": times.int()}),
        (ValueError, "strategy: expected .* got 'first'", {"strategy": "first"}),
        (ValueError, "weights: expected none with strategy", {**last, "weights": weights}),
        (ValueError, "replace: expected none with strategy", {**last, "replace": True}),
        (ValueError, "excluded: expected strictly rising", {"excluded": torch.tensor([1, 1])}),
        (IndexError, "excluded: expected positions from 0", {"excluded": torch.tensor([3])}),
        (ValueError, "no range of the 3 edges", {"indptr": torch.tensor([0, 4, 3])}),
        (ValueError, "weights: expected one for each of 3 edges, got 2", {"weights": fewer}),
    ]:
        with pytest.raises(kind, match=message):
            sample(**changed)
    with pytest.raises(ValueError, match=r"times\[1\] is NaN"):
        ops.sort_row_times(indptr, torch.tensor([1.0, float("nan"), 2.0]))
    with pytest.raises(TypeError, match="times: expected times as integers or floats"):
        ops.sort_row_times(indptr, torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="indptr"):
        ops.sort_row_times(indptr, torch.tensor([1, 2]))
