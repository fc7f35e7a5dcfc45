"""Integers beyond 64 bits are refused by name, in every operator that takes one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import hopflow as hf
from hopflow import ops

pytestmark = pytest.mark.cpu_only

INDPTR, INDICES = torch.tensor([0, 2, 3]), torch.tensor([0, 1, 0], dtype=torch.int32)
SEEDS, TIMES = torch.tensor([0, 1]), torch.arange(3)
WALK = ops.WalkEdges(INDPTR, INDICES, None, None)


def load(**options: Any) -> None:
    given = {
        "replace": False, "idtype": torch.int64, "batch_size": 2, "batches": [0], "seed": 0,
        "epoch": 0, "num_workers": 0, "capacity": 1, "cache": ops.ScratchCache(), "fanouts": [1],
    }  # fmt: skip
    given.update(options)
    fanouts = given.pop("fanouts")
    ops.BatchLoader(INDPTR, INDICES, SEEDS.int(), fanouts, **given).close()


CALLS: dict[str, tuple[str, Callable[[int], Any]]] = {
    "sample_neighbors": (
        "fanout", lambda n: ops.sample_neighbors(INDPTR, INDICES, SEEDS, n, key=1)
    ),
    "sample_weighted": ("fanout", lambda n: ops.sample_weighted(INDPTR, 3, SEEDS, n, key=1)),
    "sample_weighted edges": (
        "num_edges", lambda n: ops.sample_weighted(INDPTR, n, SEEDS, 1, key=1)
    ),
    "sample_labor": ("fanout", lambda n: ops.sample_labor(INDPTR, INDICES, SEEDS, n, key=1)),
    "sample_labor sources": (
        "num_src", lambda n: ops.sample_labor(INDPTR, INDICES, SEEDS, 1, key=1, num_src=n)
    ),
    "sample_labor steps": (
        "importance_sampling",
        lambda n: ops.sample_labor(INDPTR, INDICES, SEEDS, 1, key=1, importance_sampling=n),
    ),
    "sample_temporal": (
        "fanout", lambda n: ops.sample_temporal(INDPTR, TIMES, SEEDS, SEEDS, n, key=1)
    ),
    "sample_blocks": (
        "fanouts", lambda n: ops.sample_blocks(INDPTR, INDICES, SEEDS, [n], keys=[1])
    ),
    "node2vec_walk": ("num_steps", lambda n: ops.node2vec_walk(WALK, SEEDS, 1.0, 1.0, n, key=1)),
    "set_num_threads": ("num_threads", ops.set_num_threads),
    "set_pool_limit": ("num_bytes", ops.set_pool_limit),
    "BatchLoader fanouts": ("fanouts", lambda n: load(fanouts=[n])),
    "BatchLoader batch_size": ("batch_size", lambda n: load(batch_size=n)),
    "BatchLoader num_workers": ("num_workers", lambda n: load(num_workers=n)),
    "BatchLoader capacity": ("capacity", lambda n: load(capacity=n)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**200])
def test_numbers_beyond_64_bits(name, number):
    operand, call = CALLS[name]
    with pytest.raises(ValueError, match=rf"{operand}: expected .*, got {number}$"):
        call(number)


@pytest.mark.parametrize("name", CALLS)
def test_no_integers(name):
    operand, call = CALLS[name]
    for bad in ("2", 1.5, True, None) if "sources" not in name else ("2", 1.5, True):
        with pytest.raises(TypeError, match=f"{operand}: expected an int, got"):
            call(bad)


@pytest.mark.parametrize("name", ["set_num_threads", "BatchLoader num_workers"])
def test_threads_are_counted_in_32_bits(name):
    operand, call = CALLS[name]
    with pytest.raises(ValueError, match=f"{operand}: expected a number that int32 holds"):
        call(2**31)


BY_KEY: dict[str, Callable[[int], Any]] = {
    "sample_neighbors": lambda key: ops.sample_neighbors(INDPTR, INDICES, SEEDS, 1, key=key),
    "sample_weighted": lambda key: ops.sample_weighted(INDPTR, 3, SEEDS, 1, key=key),
    "sample_labor": lambda key: ops.sample_labor(INDPTR, INDICES, SEEDS, 1, key=key),
    "sample_temporal": lambda key: ops.sample_temporal(INDPTR, TIMES, SEEDS, TIMES[1:], 1, key=key),
    "sample_blocks": lambda key: ops.sample_blocks(INDPTR, INDICES, SEEDS, [1], keys=[key]),
    "sample_typed_blocks": lambda key: ops.sample_typed_blocks(
        [ops.Relation(INDPTR, INDICES, 0, 0)], [2], [SEEDS], [[1]], keys=[[key]]
    ),
    "random_walk": lambda key: ops.random_walk([WALK], [0, 0], SEEDS, key=key),
    "node2vec_walk": lambda key: ops.node2vec_walk(WALK, SEEDS, 1.0, 1.0, 3, key=key),
}


@pytest.mark.parametrize("name", BY_KEY)
def test_keys_may_be_of_any_size(name):
    """Of which 64 bits are taken: a key is no count."""
    draw = BY_KEY[name]
    for key in (5, 2**63, 2**64 - 1):
        assert_same(draw(key), draw(key + 2**64))


def assert_same(ours: Any, theirs: Any) -> None:
    if isinstance(ours, (tuple, list)):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


def test_seeds_may_be_of_any_size():
    """Of a loader up to 64 bits, and its state can be taken up again."""
    graph = hf.graph((torch.arange(9), torch.arange(1, 10)))
    sampler = hf.dataloading.NeighborSampler([2])
    for seed in (2**63, 2**64 - 1):
        loader = hf.dataloading.DataLoader(graph, torch.arange(10), sampler, seed=seed)
        state = loader.state_dict()
        loader.load_state_dict(state)
        assert len(list(loader)) == 10
    hf.seed(2**64 - 1)
    assert len(list(hf.dataloading.DataLoader(graph, torch.arange(10), sampler))) == 10
    assert ops.as_wide_int("seed", 2**64) == 2**64
    assert ops.as_wide_int("seed", np.uint64(2**64 - 1)) == 2**64 - 1
    assert ops.as_int("n", torch.tensor(3)) == 3
