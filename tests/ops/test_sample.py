"""Neighbour sampling: bit for bit, uniform, and independent of threads."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import IDS, random_csc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hopflow import ops


def star(degree: int, dtype: torch.dtype = torch.int32) -> tuple[torch.Tensor, torch.Tensor]:
    """Many nodes with the in-neighbours 0 .. degree - 1 each: node v's are read through one row."""
    return torch.tensor([0, degree]), torch.arange(degree, dtype=dtype)


def repeated(degree: int, copies: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``copies`` nodes, each with in-neighbours 0 .. degree - 1."""
    indptr = torch.arange(copies + 1) * degree
    return indptr, torch.arange(degree, dtype=torch.int32).repeat(copies)


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("seed_dtype", IDS)
@pytest.mark.parametrize("with_eids", [False, True])
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanout", [-1, 0, 1, 3, 100])
def test_equals_reference(dtype, seed_dtype, with_eids, replace, fanout):
    csc = random_csc(dtype=dtype, hub=300)
    eids = csc.eids if with_eids else None
    seeds = torch.tensor([0, 3, 24, 3, 7], dtype=seed_dtype)
    args = (csc.indptr, csc.indices, seeds, fanout)
    options = {"key": 0xDEADBEEFCAFEF00D, "replace": replace, "eids": eids}
    result = ops.sample_neighbors(*args, **options)
    expected = ops.sample_neighbors_reference(*args, **options)
    for a, b in zip(result, expected, strict=False):
        assert torch.equal(a.long(), b.long())


@settings(max_examples=60, deadline=None)
@given(
    degree=st.integers(0, 400),
    fanout=st.integers(-1, 200),
    key=st.integers(0, 2**64 - 1),
    replace=st.booleans(),
)
def test_equals_reference_for_any_degree_and_key(degree, fanout, key, replace):
    indptr, indices = star(degree)
    args = (indptr, indices, torch.tensor([0]), fanout)
    result = ops.sample_neighbors(*args, key=key, replace=replace)
    expected = ops.sample_neighbors_reference(*args, key=key, replace=replace)
    for a, b in zip(result, expected, strict=False):
        assert torch.equal(a.long(), b.long())
    if not replace:
        picks = result[1].tolist()
        assert len(set(picks)) == len(picks)
        assert len(picks) == (degree if fanout < 0 else min(degree, fanout))


# Degrees and fanouts at which the CPU's kernel goes over from one way to find duplicates to
# another, and some where most draws are duplicates of earlier ones.
@pytest.mark.parametrize("fanout", [1, 10, 47, 48, 49, 60])
@pytest.mark.parametrize("degree", [61, 63, 64, 65, 66, 128, 511, 512, 513, 1025, 5000])
def test_equals_reference_at_every_kind_of_degree(degree, fanout):
    copies = 12
    indptr, indices = repeated(degree, copies)
    args = (indptr, indices, torch.arange(copies), fanout)
    result = ops.sample_neighbors(*args, key=degree)
    for a, b in zip(result, ops.sample_neighbors_reference(*args, key=degree), strict=True):
        assert torch.equal(a.long(), b.long())


# Enough draws that a sampler which never picks the last neighbour fails by a wide margin; the
# generator is fixed, so the outcome is too.
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize(("degree", "fanout"), [(2, 1), (7, 3), (40, 10)])
def test_every_neighbour_is_equally_likely(degree, fanout, replace):
    copies = 20_000
    indptr, indices = repeated(degree, copies)
    _, picks, _ = ops.sample_neighbors(
        indptr, indices, torch.arange(copies), fanout, key=ops.stream_key(1, 2, 3, 4),
        replace=replace,
    )  # fmt: skip
    counts = torch.bincount(picks.long(), minlength=degree).double()
    expected = copies * fanout / degree
    # Counts of draws without replacement vary less by the factor (degree - fanout) / (degree - 1).
    shrink = 1.0 if replace else (degree - fanout) / (degree - 1)
    statistic = float((counts - expected).square().sum() / expected) / shrink
    assert stats.chi2.sf(statistic, degree - 1) > 1e-4
    assert counts[-1] > 0.9 * expected


@pytest.mark.cpu_only
@pytest.mark.parametrize("replace", [False, True])
def test_hub_of_degree_40000_is_sampled_uniformly(replace):
    degree, fanout, copies = 40_000, 10, 20_000
    indptr, indices = star(degree)
    picks = torch.cat(
        [
            ops.sample_neighbors(
                indptr, indices, torch.tensor([0]), fanout, key=ops.stream_key(5, 0, i, 0),
                replace=replace,
            )[1]
            for i in range(copies)
        ]
    )  # fmt: skip
    counts = torch.bincount(picks.long() * 100 // degree, minlength=100).numpy()
    assert stats.chisquare(counts).pvalue > 1e-4
    assert int(picks.max()) > degree - 50


def test_every_subset_is_equally_likely():
    copies = 30_000
    indptr, indices = repeated(5, copies)
    _, picks, _ = ops.sample_neighbors(indptr, indices, torch.arange(copies), 2, key=99)
    subsets = Counter(tuple(sorted(pair)) for pair in picks.view(-1, 2).tolist())
    assert len(subsets) == 10
    assert stats.chisquare(list(subsets.values())).pvalue > 1e-4


def test_draws_of_neighbouring_keys_and_nodes_are_independent():
    copies = 30_000
    indptr, indices = repeated(4, copies)
    first, second = (
        ops.sample_neighbors(
            indptr, indices, torch.arange(copies), 1, key=ops.stream_key(0, 0, b, 0)
        )[1]
        for b in (0, 1)
    )
    pairs = torch.bincount(first.long() * 4 + second.long(), minlength=16).numpy()
    assert stats.chisquare(pairs).pvalue > 1e-4
    next_node = torch.bincount(first[:-1].long() * 4 + first[1:].long(), minlength=16).numpy()
    assert stats.chisquare(next_node).pvalue > 1e-4


def test_same_for_any_number_of_threads():
    csc = random_csc(5000, 5000, 100_000, seed=3, hub=5000)
    seeds = torch.randint(5000, (4000,))
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(ops.sample_neighbors(csc.indptr, csc.indices, seeds, 7, key=1))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=False))


def test_key_coordinates_all_count():
    keys = {ops.stream_key(*c) for c in [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0)]}
    keys |= {
        ops.stream_key(0, 0, 0, 1),
        ops.stream_key(-1, 0, 0, 0),
        ops.stream_key(2**64, 0, 1, 1),
    }
    assert len(keys) == 7


def test_empty_seeds_and_graphs():
    indptr, neighbors, eids = ops.sample_neighbors(
        torch.tensor([0]), torch.empty(0, dtype=torch.int32), torch.empty(0, dtype=torch.int64), 5,
        key=0,
    )  # fmt: skip
    assert indptr.tolist() == [0]
    assert neighbors.numel() == eids.numel() == 0


@pytest.mark.parametrize(
    ("seeds", "fanout", "error", "match"),
    [
        ([0, 9], 2, IndexError, r"seeds\[1\] is 9, but the graph has 3 nodes"),
        ([-1], 2, IndexError, r"seeds\[0\] is -1"),
        ([0], 2**40, ValueError, r"fanout: expected at most 2\^31 - 1"),
        ([0], -2, ValueError, r"fanout: expected -1 \(all\) or a count >= 0, got -2"),
        ([0.0], 2, TypeError, "seeds: expected int32 or int64"),
        ([True], 2, TypeError, "seeds: expected int32 or int64 ids, got bool"),
        ([[0]], 2, ValueError, "seeds: expected 1 dimension"),
    ],
)
def test_bad_arguments(seeds, fanout, error, match):
    indptr, indices = torch.tensor([0, 2, 3, 3]), torch.tensor([1, 2, 0])
    with pytest.raises(error, match=match):
        ops.sample_neighbors(indptr, indices, torch.tensor(seeds), fanout, key=0)


@pytest.mark.parametrize("indptr", [[0, 5, 3, 3], [0, 2, 9, 9], [-4, 2, 3, 3]])
def test_bad_indptr_is_found_before_anything_is_read(indptr):
    with pytest.raises(ValueError, match="indptr"):
        ops.sample_neighbors(
            torch.tensor(indptr), torch.tensor([1, 2, 0]), torch.tensor([0, 1, 2]), 2, key=0
        )


def test_fractional_fanout_is_refused():
    with pytest.raises(TypeError, match="fanout: expected an int, got float"):
        ops.sample_neighbors(torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([0]), 1.9, key=0)


# --- rows of a part draw as the nodes that they are ---


@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("fanout", [3, 60, -1])
def test_rows_of_a_part_draw_as_their_nodes(fanout, replace, dtype):
    degrees = torch.randint(150, (90,))
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)])
    indices = torch.randint(90, (int(indptr[-1]),), dtype=dtype)
    owned = torch.randperm(90)[:40].sort().values
    part = torch.cat([indices[indptr[v] : indptr[v + 1]] for v in owned])
    part_indptr = torch.cat([indptr[:1], degrees[owned].cumsum(0)])
    rows = torch.randint(40, (70,), dtype=dtype)
    nodes = owned[rows.long()].to(dtype)
    whole = ops.sample_neighbors(indptr, indices, nodes, fanout, key=7, replace=replace)
    options = {"key": 7, "replace": replace, "node_ids": nodes}
    ours = ops.sample_neighbors(part_indptr, part, rows, fanout, **options)
    assert torch.equal(ours[0], whole[0])
    assert torch.equal(ours[1], whole[1])
    theirs = ops.sample_neighbors_reference(part_indptr, part, rows, fanout, **options)
    assert torch.equal(ours[1], theirs[1])
    weights = torch.rand(indices.shape[0]) + 0.1
    of_part = torch.cat([weights[indptr[v] : indptr[v + 1]] for v in owned])
    drawn = ops.sample_weighted(
        indptr, indices.shape[0], nodes, fanout, key=7, replace=replace,
        weights=ops.row_weights(indptr, weights),
    )  # fmt: skip
    arguments = part_indptr, part.shape[0], rows, fanout
    options["weights"] = ops.row_weights(part_indptr, of_part)
    ours = ops.sample_weighted(*arguments, **options)
    assert torch.equal(part[ours[1]], indices[drawn[1]])
    assert torch.equal(ours[1], ops.sample_weighted_reference(*arguments, **options)[1])


def test_node_ids_are_checked():
    indptr, indices = torch.tensor([0, 1]), torch.tensor([0])
    with pytest.raises(ValueError, match="node_ids: expected 1"):
        ops.sample_neighbors(
            indptr, indices, torch.tensor([0]), 1, key=0, node_ids=torch.tensor([0, 1])
        )
    ids = torch.tensor([0], dtype=torch.int32)
    with pytest.raises(TypeError, match="node_ids: expected int64"):
        ops.sample_neighbors(indptr, indices, torch.tensor([0]), 1, key=0, node_ids=ids)
