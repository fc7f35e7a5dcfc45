"""torch's own check of every operator: schema, shapes for compilers, autograd, AOT autograd."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
from helpers import opcheck, random_csc
from torch import Tensor

from hopflow import ops

CSC = random_csc(12, 9, 40)
T_INDPTR, T_ROWS, T_POSITIONS = TRANSPOSE = tuple(
    ops.transpose_csc(CSC.indptr, CSC.indices, CSC.num_src)
)
NONE = (None, None, None)
ROWS = {"u": CSC.num_src, "v": CSC.num_dst, "e": CSC.num_edges}


def rows(side: str, *shape: int, dtype: torch.dtype = torch.float32, grad: bool = True) -> Tensor:
    """Features of one side of the edges, away from 0."""
    generator = torch.Generator().manual_seed(1)
    values = torch.rand(ROWS[side], *shape, generator=generator) + 0.5
    return values.to(dtype).requires_grad_(grad)


def winners(width: int) -> Tensor:
    """An edge of each row, counted from its first, for every element; -1 without edges."""
    degrees = CSC.indptr.diff().int()
    return (degrees - 1).unsqueeze(1).expand(-1, width).contiguous()


def spmm() -> Iterator[tuple[Any, ...]]:
    edges = (CSC.indptr, CSC.indices)
    for reduce, transpose in product(("sum", "mean", "max", "min"), (NONE, TRANSPOSE)):
        yield rows("u", 2, 3), *edges, None, None, None, reduce, *transpose
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        yield rows("u", 1, 5, dtype=dtype), *edges, None, None, None, "mean", *NONE
    wide = rows("e", 2)
    yield rows("u", 2, 3), *edges, wide, CSC.eids, None, "mean", *NONE
    yield rows("u", 2, 3, grad=False), *edges, wide, None, rows("u", grad=False), "sum", *NONE
    yield rows("u", 1, 3), CSC.indptr, CSC.indices.long(), None, None, None, "sum", *NONE


def spmm_binary() -> Iterator[tuple[Any, ...]]:
    edges = (CSC.indptr, CSC.indices, CSC.eids)
    for op, reduce in product(("add", "sub", "mul", "div", "dot"), ("sum", "mean", "max")):
        yield op, rows("u", 2, 3), "u", rows("e", 2, 3), "e", *edges, reduce, *NONE
    yield "mul", rows("u", 2, 3), "u", rows("e", 2, 1), "e", *edges, "sum", *TRANSPOSE
    yield "mul", rows("v", 1, 3), "v", rows("u", 1, 3), "u", *edges, "min", *TRANSPOSE


def sddmm_binary() -> Iterator[tuple[Any, ...]]:
    edges = (CSC.indptr, CSC.indices, CSC.eids)
    for op in ("add", "sub", "mul", "div", "dot"):
        yield op, rows("u", 2, 3), "u", rows("v", 2, 3), "v", *edges, *NONE
    yield "mul", rows("e", 2, 1), "e", rows("u", 2, 3), "u", *edges, *TRANSPOSE


def sddmm_dot() -> Iterator[tuple[Any, ...]]:
    for eids, transpose in ((None, NONE), (CSC.eids, TRANSPOSE)):
        yield rows("u", 2, 3), rows("v", 2, 3), CSC.indptr, CSC.indices, eids, *transpose


def segment_reduce() -> Iterator[tuple[Any, ...]]:
    for reduce, eids in product(("sum", "mean", "max", "min"), (None, CSC.eids)):
        yield rows("e", 3), CSC.indptr, eids, reduce


def segment_reduce_backward() -> Iterator[tuple[Any, ...]]:
    for reduce, eids in product(("sum", "mean"), (None, CSC.eids)):
        yield rows("v", 3), None, CSC.indptr, eids, CSC.num_edges, reduce
    yield rows("v", 3), winners(3), CSC.indptr, CSC.eids, CSC.num_edges, "max"


def spmm_arg_backward() -> Iterator[tuple[Any, ...]]:
    yield rows("v", 3), winners(3), CSC.indptr, CSC.indices, CSC.num_src, *TRANSPOSE


def spmm_with_own() -> Iterator[tuple[Any, ...]]:
    for reduce in ("mean", "sum"):
        yield rows("u", 1, 3), CSC.indptr, CSC.indices, reduce


def reduce_integers() -> Iterator[tuple[Any, ...]]:
    edges = (CSC.indptr, CSC.indices, CSC.eids, CSC.num_edges)
    for dtype, reduce in product((torch.int8, torch.bool), ("sum", "mean", "max", "min")):
        x = torch.arange(CSC.num_src).view(-1, 1, 1).to(dtype)
        yield "copy", x, "u", None, "e", *edges, reduce
    u, e = (torch.arange(6 * n).view(n, 2, 3) for n in (CSC.num_src, CSC.num_edges))
    for op, reduce in product(("add", "sub", "mul", "dot"), ("sum", "max", None)):
        yield op, u, "u", e, "e", *edges, reduce


def inverse_degrees() -> Iterator[tuple[Any, ...]]:
    for dtype in (torch.float32, torch.float64):
        yield CSC.indptr, dtype


def transpose_csc() -> Iterator[tuple[Any, ...]]:
    for indices in (CSC.indices, CSC.indices.long()):
        yield CSC.indptr, indices, CSC.num_src


def gather_rows() -> Iterator[tuple[Any, ...]]:
    for ids in (CSC.indices, CSC.indices.long(), CSC.indices[:0]):
        yield rows("u", 2, 3), ids
    yield torch.arange(CSC.num_src), CSC.indices


def gather_decoded() -> Iterator[tuple[Any, ...]]:
    q, column = torch.arange(CSC.num_src * 3).view(-1, 3).to(torch.int8), torch.rand(3)
    for ids, dtype in product((CSC.indices, CSC.indices.long(), None), (torch.float32, torch.half)):
        yield q, ids, column, column, False, dtype
        yield ops.quantize_by_row(rows("u", 3)), ids, None, None, True, dtype
        yield rows("u", 2, 3), ids, None, None, False, dtype


def scatter_rows() -> Iterator[tuple[Any, ...]]:
    yield rows("e", 2, 3), CSC.indices, CSC.num_src


def edge_softmax() -> Iterator[tuple[Any, ...]]:
    for eids in (None, CSC.eids):
        yield rows("e", 3), CSC.indptr, eids


def edge_softmax_backward() -> Iterator[tuple[Any, ...]]:
    for eids in (None, CSC.eids):
        yield rows("e", 3), rows("e", 3), CSC.indptr, eids


def gatv2_scores() -> Iterator[tuple[Any, ...]]:
    attn = torch.rand(2, 3, requires_grad=True)
    for eids, transpose in ((None, NONE), (CSC.eids, TRANSPOSE)):
        ends = rows("u", 2, 3), rows("v", 2, 3)
        yield *ends, attn, 0.2, CSC.indptr, CSC.indices, eids, *transpose


def gatv2_scores_backward() -> Iterator[tuple[Any, ...]]:
    for with_attn in (False, True):
        ends = rows("u", 2, 3, grad=False), rows("v", 2, 3, grad=False)
        edges = CSC.indptr, CSC.indices, CSC.eids
        yield *ends, torch.rand(2, 3), 0.2, *edges, rows("e", 2, grad=False), with_attn


def segments() -> Iterator[tuple[Tensor, Tensor | None]]:
    """Bounds of segments, one of them empty, and places of their rows."""
    bounds = torch.tensor([0, 3, 3, 7, 9])
    for places in (None, torch.tensor([4, 8, 0, 1, 7, 6, 2, 3, 5])):
        yield bounds, places


def segment_mm() -> Iterator[tuple[Any, ...]]:
    for (bounds, places), heads in product(segments(), (1, 2)):
        x, weight = torch.rand(9, heads, 4), torch.rand(4, heads, 4, 3)
        yield x.requires_grad_(), weight.requires_grad_(), bounds, places


def segment_outer() -> Iterator[tuple[Any, ...]]:
    for (bounds, places), heads in product(segments(), (1, 2)):
        x, y = torch.rand(9, heads, 4), torch.rand(9, heads, 3)
        yield x.requires_grad_(), y.requires_grad_(), bounds, places


def ppr_neighbors() -> Iterator[tuple[Any, ...]]:
    square, seeds = random_csc(9, 9, 40), torch.tensor([3, 0, 8, 3])
    weights, excluded = torch.rand(40) + 0.1, torch.tensor([2, 7, 30])
    for indices, values, gone in product(
        (square.indices, square.indices.long()), (None, weights), (None, excluded)
    ):
        yield square.indptr, indices, values, gone, seeds, 4, 0.15, 1e-3


EXAMPLES = {
    make.__name__: make
    for make in (
        edge_softmax,
        edge_softmax_backward,
        gather_decoded,
        gather_rows,
        gatv2_scores,
        gatv2_scores_backward,
        inverse_degrees,
        ppr_neighbors,
        reduce_integers,
        scatter_rows,
        sddmm_binary,
        sddmm_dot,
        segment_mm,
        segment_outer,
        segment_reduce,
        segment_reduce_backward,
        spmm,
        spmm_arg_backward,
        spmm_binary,
        spmm_with_own,
        transpose_csc,
    )
}


def registered() -> set[str]:
    """Names of all operators that hopflow has registered with torch."""
    names: list[str] = torch._C._dispatch_get_all_op_names()
    return {name.split("::")[1] for name in names if name.startswith("hopflow::")}


# Checked beside what else is tested of them: tests/ops/test_random_walk.py.
ELSEWHERE = {"node2vec_walk", "random_walk"}


def test_every_operator_has_an_example() -> None:
    assert registered() == EXAMPLES.keys() | ELSEWHERE


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", EXAMPLES)
def test_opcheck(name: str) -> None:
    operator = getattr(torch.ops.hopflow, name).default
    examples = list(EXAMPLES[name]())
    assert examples
    for arguments in examples:
        opcheck(operator, arguments)
