"""Ids grouped by the part that owns them, and rows put together again."""

import pytest
import torch
from helpers import IDS
from hypothesis import given, settings
from hypothesis import strategies as st

from hopflow import ops


def owners_of(num_nodes, num_parts, seed=0, dtype=torch.int64):
    """A random assignment: ``place`` and ``starts``."""
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randint(num_parts, (num_nodes,), generator=generator)
    order = torch.argsort(parts, stable=True)
    place = torch.empty(num_nodes, dtype=dtype)
    place[order] = torch.arange(num_nodes, dtype=dtype)
    counts = torch.bincount(parts, minlength=num_parts)
    return place, torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def cached_of(num_nodes, count, seed=1):
    cached = torch.full((num_nodes,), -1, dtype=torch.int32)
    kept = torch.randperm(num_nodes, generator=torch.Generator().manual_seed(seed))[:count]
    cached[kept] = torch.arange(count, dtype=torch.int32)
    return cached


def same(ours, theirs):
    for x, y in zip(ours, theirs, strict=True):
        assert x.dtype == y.dtype
        assert torch.equal(x, y)


@pytest.mark.parametrize("place_dtype", IDS)
@pytest.mark.parametrize("dtype", IDS)
@pytest.mark.parametrize("num_parts", [1, 2, 7])
@pytest.mark.parametrize("with_cache", [False, True])
def test_split_equals_reference(with_cache, num_parts, dtype, place_dtype):
    place, starts = owners_of(300, num_parts, dtype=place_dtype)
    cached = cached_of(300, 80) if with_cache else None
    ids = torch.randint(300, (5000,), dtype=dtype)
    split = ops.split_by_owner(ids, place, starts, cached)
    same(split, ops.split_by_owner_reference(ids, place, starts, cached))
    assert split.offsets[-1] == 5000


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_split_groups_every_id_once(data):
    num_nodes = data.draw(st.integers(1, 30))
    place, starts = owners_of(
        num_nodes, data.draw(st.integers(1, 40)), data.draw(st.integers(0, 9))
    )
    ids = torch.tensor(
        data.draw(st.lists(st.integers(0, num_nodes - 1), max_size=50)), dtype=torch.int64
    )
    cached = cached_of(num_nodes, data.draw(st.integers(0, num_nodes)))
    split = ops.split_by_owner(ids, place, starts, cached)
    same(split, ops.split_by_owner_reference(ids, place, starts, cached))
    assert sorted(split.slots.tolist()) == list(range(len(ids)))
    for p in range(len(starts) - 1):
        rows = split.rows[split.offsets[p] : split.offsets[p + 1]].long() + starts[p]
        mine = ids[(place[ids] >= starts[p]) & (place[ids] < starts[p + 1]) & (cached[ids] < 0)]
        assert torch.equal(rows, place[mine])


def test_split_of_nothing_and_of_empty_parts():
    place, starts = torch.arange(3), torch.tensor([0, 0, 3, 3])
    none = ops.split_by_owner(torch.empty(0, dtype=torch.int32), place, starts)
    assert none.offsets.tolist() == [0, 0, 0, 0]
    split = ops.split_by_owner(torch.tensor([2, 0]), place, starts)
    assert split.offsets.tolist() == [0, 0, 2, 2]
    assert split.rows.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"ids": torch.tensor([0, 9])}, IndexError, r"ids\[1\] is 9, expected 0 <= id < 9"),
        ({"ids": torch.tensor([-1])}, IndexError, r"ids\[0\] is -1"),
        ({"ids": torch.tensor([0.5])}, TypeError, "ids: expected int32 or int64"),
        ({"starts": torch.tensor([0, 4])}, ValueError, r"starts\[-1\]: expected"),
        ({"starts": torch.tensor([0, 9, 8, 9])}, ValueError, "starts falls from 9 to 8"),
        ({"starts": torch.tensor([0])}, ValueError, "starts"),
        ({"place": torch.full((9,), 9)}, ValueError, r"place\[0\] is 9, expected 0 <= place < 9"),
        ({"cached": torch.zeros(4, dtype=torch.int32)}, ValueError, "cached: expected 9"),
        ({"cached": torch.zeros(9, dtype=torch.int64)}, TypeError, "cached: expected int32"),
    ],
)
def test_split_refuses(change, error, match):
    place, starts = owners_of(9, 2)
    arguments = {"ids": torch.tensor([0, 8]), "place": place, "starts": starts, **change}
    with pytest.raises(error, match=match):
        ops.split_by_owner(**arguments)


@pytest.mark.parametrize("ids_dtype", IDS)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (128,), (4, 5), (0,)])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool]
)
def test_join_equals_reference(dtype, shape, ids_dtype):
    rows = [(torch.randn(count, *shape) * 10).to(dtype) for count in (40, 0, 7, 9)]
    pieces = [
        (rows[0], torch.randint(40, (25,), dtype=ids_dtype)),
        (rows[1], None),
        (rows[2], None),
        (rows[3], torch.empty(0, dtype=ids_dtype)),
    ]
    slots = torch.randint(32, (600,), dtype=torch.int32)
    assert torch.equal(ops.join_rows(pieces, slots), ops.join_rows_reference(pieces, slots))


def test_join_of_rows_that_lie_apart_and_in_parallel():
    wide = torch.randn(5000, 64)
    pieces = [(wide[:, 8:40], torch.randint(5000, (9000,))), (wide[:1000, 32:], None)]
    slots = torch.randint(10_000, (20_000,), dtype=torch.int32)
    torch.set_num_threads(4)
    assert torch.equal(ops.join_rows(pieces, slots), ops.join_rows_reference(pieces, slots))


def test_join_undoes_split():
    place, starts = owners_of(200, 3)
    x = torch.randn(200, 6)
    in_order = torch.empty_like(x)
    in_order[place] = x  # the rows of the parts, one part after the other
    cached = cached_of(200, 50)
    kept = torch.empty(50, 6)
    kept[cached[cached >= 0].long()] = x[cached >= 0]
    ids = torch.randint(200, (400,))
    split = ops.split_by_owner(ids, place, starts, cached)
    at = split.offsets.tolist()
    pieces = [
        (in_order[starts[p] : starts[p + 1]], split.rows[at[p] : at[p + 1]]) for p in range(3)
    ]
    pieces.append((kept, split.rows[at[3] : at[4]]))
    assert torch.equal(ops.join_rows(pieces, split.slots), x[ids])


@pytest.mark.parametrize(
    ("pieces", "slots", "error", "match"),
    [
        ([], [0], ValueError, "pieces: expected at least one"),
        ([(torch.zeros(2, 3), None)], [2], IndexError, r"slots\[0\] is 2"),
        ([(torch.zeros(2, 3), torch.tensor([2]))], [0], IndexError, r"ids\[0\] is 2"),
        ([(torch.zeros(2, 3), None), (torch.zeros(2, 4), None)], [0], ValueError, "pieces"),
        (
            [(torch.zeros(2, 3), None), (torch.zeros(2, 3).double(), None)],
            [0],
            ValueError,
            "pieces",
        ),
    ],
)
def test_join_refuses(pieces, slots, error, match):
    with pytest.raises(error, match=match):
        ops.join_rows(pieces, torch.tensor(slots, dtype=torch.int32))
