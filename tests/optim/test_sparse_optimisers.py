"""NodeEmbedding and its optimisers against torch's dense ones, row by row."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import hopflow as hf
from hopflow.nn import NodeEmbedding
from hopflow.optim import SparseAdagrad, SparseAdam


def table(name: str = "rows", **options: Any) -> NodeEmbedding:
    def fill(x: Tensor) -> Tensor:
        return x.copy_(torch.arange(x.numel()).view_as(x).sin())

    return NodeEmbedding(6, 3, name, fill, **options)


def test_rows() -> None:
    rows = table()
    assert (rows.num_embeddings, rows.embedding_dim, rows.name) == (6, 3, "rows")
    for dtype in (torch.int32, torch.int64):
        ids = torch.tensor([4, 0, 4], dtype=dtype)
        with torch.no_grad():
            assert torch.equal(rows(ids), rows.weight[[4, 0, 4]])
        assert rows.trace == []
    x = rows(torch.tensor([4, 0, 4]))
    assert x.is_leaf
    assert x.requires_grad
    assert not rows.weight.requires_grad
    assert rows.trace[0][1] is x
    rows.reset_trace()
    assert rows.trace == []
    assert torch.equal(NodeEmbedding(2, 3, "zeros").weight, torch.zeros(2, 3))
    assert rows(torch.zeros(0, dtype=torch.int64)).shape == (0, 3)
    rows.all_set_embedding(torch.ones(6, 3))
    assert torch.equal(rows.all_get_embedding(), torch.ones(6, 3))
    for other in (copy.deepcopy(rows), pickle.loads(pickle.dumps(rows))):
        assert torch.equal(other.weight, rows.weight)
        assert other.trace == []


def test_wrong_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in (lambda: NodeEmbedding(-1, 3, "x"), lambda: NodeEmbedding(2, 0, "x"),
                lambda: NodeEmbedding(2, 3, "x", lambda x: x[:1]),
                lambda: NodeEmbedding(2, 3, "x", partition=1),
                lambda: table().all_set_embedding(torch.ones(5, 3))):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            bad()
    with pytest.raises(IndexError):
        table()(torch.tensor([6]))
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    with pytest.raises(hf.HopflowError, match=r"hopflow\.distributed\.NodeEmbedding"):
        table()


LOOKUPS = [[0, 3, 3], [1, 3], [0, 5, 5, 5], [3]]
MAKE = {
    "adagrad": (
        lambda t: SparseAdagrad([t], lr=0.1, eps=1e-10),
        lambda p: torch.optim.Adagrad([p], lr=0.1, eps=1e-10),
    ),
    "adam": (
        lambda t: SparseAdam([t], lr=0.1, betas=(0.8, 0.95)),
        lambda p: torch.optim.Adam([p], lr=0.1, betas=(0.8, 0.95)),
    ),
}


def loss_of(x: Tensor) -> Tensor:
    return (x * torch.linspace(0.5, 2, x.numel()).view_as(x)).square().sum()


@pytest.mark.parametrize("order", ["after forward", "before forward", "after step"])
@pytest.mark.parametrize("name", sorted(MAKE))
def test_each_row_follows_torchs_optimiser(name: str, order: str) -> None:
    """A row's steps are those of a dense optimiser of that row alone, with the mean gradient."""
    rows = table()
    optimizer = MAKE[name][0](rows)
    references = [torch.nn.Parameter(row.clone()) for row in rows.weight]
    dense = [MAKE[name][1](p) for p in references]
    for ids in LOOKUPS:
        if order == "before forward":
            optimizer.zero_grad()
        x = rows(torch.tensor(ids))
        if order == "after forward":
            optimizer.zero_grad()
        loss_of(x).backward()
        for i in sorted(set(ids)):
            grads = [x.grad[k] for k, other in enumerate(ids) if other == i]
            references[i].grad = torch.stack(grads).mean(0)
            dense[i].step()
        optimizer.step()
        if order == "after step":
            optimizer.zero_grad()
        torch.testing.assert_close(rows.weight, torch.stack(list(references)).detach())


def test_gradients_add_up_until_zero_grad() -> None:
    """Lookups of several batches, and those that are never used, or used later."""
    rows, once = table(), table()
    optimizer, other = SparseAdagrad([rows], lr=0.1), SparseAdagrad([once], lr=0.1)
    for ids in ([0, 3], [3, 4]):
        loss_of(rows(torch.tensor(ids))).backward()
    rows(torch.tensor([1]))  # without a backward pass
    optimizer.step()
    x = once(torch.tensor([0, 3, 3, 4]))
    (loss_of(x[:2]) + loss_of(x[2:])).backward()
    other.step()
    assert torch.equal(rows.weight, once.weight)
    assert len(rows.trace) == 3
    optimizer.zero_grad()
    assert rows.trace == []
    before = rows.weight.clone()
    optimizer.step()
    assert torch.equal(before, rows.weight)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_state_moves(dtype: torch.dtype) -> None:
    def run(optimizer: Any, rows: NodeEmbedding, lookups: list[list[int]]) -> None:
        for ids in lookups:
            optimizer.zero_grad()
            loss_of(rows(torch.tensor(ids, dtype=torch.int32))).backward()
            optimizer.step()

    rows = table()
    optimizer = SparseAdam([rows], lr=0.1, betas=(0.8, 0.95), dtype=dtype)
    run(optimizer, rows, LOOKUPS[:2])
    assert rows.optm_state[0].tolist() == [1, 1, 0, 2, 0, 0]
    assert [x.dtype for x in rows.optm_state] == [torch.int32, dtype, dtype]
    kept = copy.deepcopy(optimizer.state_dict())
    assert kept["param_groups"] == [{"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-8}]
    other = table()
    other.all_set_embedding(rows.weight)
    resumed = SparseAdam([other], lr=9.0, dtype=dtype)
    resumed.load_state_dict(kept)
    for pair in ((optimizer, rows), (resumed, other)):
        run(*pair, LOOKUPS[2:])
    assert torch.equal(rows.weight, other.weight)
    kept["state"]["rows"] = tuple(x[:2] for x in kept["state"]["rows"])
    with pytest.raises(ValueError, match="expected state of shapes"):
        resumed.load_state_dict(kept)


def test_wrong_optimisers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SparseAdam([], lr=0.1)
    with pytest.raises(TypeError, match=r"params\[0\]"):
        SparseAdam([torch.ones(3)], lr=0.1)
    with pytest.raises(ValueError, match="different names"):
        SparseAdagrad([table(), table()], lr=0.1)
    with pytest.raises(ValueError, match="dtype"):
        SparseAdam([table()], lr=0.1, dtype=torch.float64)


def test_steps_do_not_depend_on_threads() -> None:
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        rows = NodeEmbedding(50, 8, "rows")
        optimizer = SparseAdam([rows], lr=0.1)
        ids = torch.randint(50, (4000,), generator=torch.Generator().manual_seed(1))
        (
            rows(ids) * torch.randn(4000, 8, generator=torch.Generator().manual_seed(2))
        ).sum().backward()
        optimizer.step()
        found.append(rows.weight)
    assert torch.equal(*found)


def test_rows_learn() -> None:
    """Two columns that tell nodes apart by their label, learned from nothing."""
    rows = table()
    optimizer = SparseAdam([rows], lr=0.05)
    ids, labels = torch.arange(6), torch.tensor([0, 1, 2, 0, 1, 2])
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(rows(ids), labels).backward()
        optimizer.step()
    with torch.no_grad():
        assert torch.equal(rows(ids).argmax(1), labels)


def test_any_values_make_a_table_of_its_own() -> None:
    """Whatever dtype and memory ``init_func`` gives, and whatever mode the table is made in."""
    given = torch.arange(12.0).view(4, 3)
    kinds = [given, given.half(), given.double(), given.long(), given[:1].expand(4, 3)]
    for values in kinds:
        before = values.clone()
        with torch.inference_mode():
            rows = NodeEmbedding(4, 3, "rows", lambda _, x=values: x)
        assert rows.weight.dtype == torch.float32
        for kind in (SparseAdagrad, SparseAdam):
            optimizer = kind([rows], lr=0.5)
            rows(torch.tensor([1])).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        assert torch.equal(values, before)
        torch.testing.assert_close(rows.weight[1], before[1].float() - 1)
        assert torch.equal(rows.weight[2:], before[2:].float())


def test_ids_may_be_written_into_after_a_lookup() -> None:
    rows = NodeEmbedding(6, 3, "rows")
    optimizer, ids = SparseAdagrad([rows], lr=0.5), torch.tensor([1, 2])
    x = rows(ids)
    ids.fill_(5)
    x.sum().backward()
    optimizer.step()
    assert rows.weight[:, 0].tolist() == [0, -0.5, -0.5, 0, 0, 0]


@pytest.mark.parametrize("way", ["deepcopy", "pickle", "reset_trace"])
def test_a_lookup_counts_whatever_became_of_those_before(way: str) -> None:
    optimizer: Any = SparseAdagrad([NodeEmbedding(6, 3, "rows")], lr=0.5)
    (rows,) = optimizer._params
    rows(torch.tensor([1])).sum().backward()
    optimizer.step()
    if way == "reset_trace":
        rows.reset_trace()
    else:
        optimizer = (
            copy.deepcopy(optimizer) if way == "deepcopy" else pickle.loads(pickle.dumps(optimizer))
        )
        (rows,) = optimizer._params
    x = rows(torch.tensor([2]))
    optimizer.zero_grad()  # between the forward and the backward pass
    x.sum().backward()
    optimizer.step()
    assert rows.weight[:, 0].tolist() == [0, -0.5, -0.5, 0, 0, 0]
