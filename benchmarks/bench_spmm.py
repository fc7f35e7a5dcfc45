"""Mean SpMM over sampled blocks, forward and backward, against torch.sparse.mm."""

import warnings
from functools import partial

import torch
from measure import header, report

from hopflow import ops

SHAPES = ((4_009, 4, 128), (27_500, 10, 100), (100_000, 5, 100))


def forward_and_backward(
    indptr: torch.Tensor, indices: torch.Tensor, x: torch.Tensor, upstream: torch.Tensor
) -> None:
    x = x.detach().requires_grad_()
    ops.spmm(indptr, indices, x, reduce="mean").backward(upstream)


def main() -> None:
    header()
    warnings.filterwarnings("ignore", message="Sparse")
    for num_dst, degree, width in SHAPES:
        num_src, num_edges = 3 * num_dst, num_dst * degree
        indptr = torch.arange(0, num_edges + 1, degree)
        indices = torch.randint(num_src, (num_edges,), dtype=torch.int32)
        x = torch.randn(num_src, width)
        shape = f"{num_dst} x {degree} x {width}"
        sparse = torch.sparse_csr_tensor(
            indptr, indices.long(), torch.full((num_edges,), 1 / degree), (num_dst, num_src)
        )
        report(
            f"forward {shape}",
            {
                "hopflow": lambda p=indptr, i=indices, x=x: ops.spmm(p, i, x, reduce="mean"),
                "torch.sparse.mm": lambda a=sparse, x=x: a @ x,
            },
        )
        half = x.bfloat16()
        report(
            f"forward {shape}",
            {
                "float32": lambda p=indptr, i=indices, x=x: ops.spmm(p, i, x, reduce="mean"),
                "bfloat16": lambda p=indptr, i=indices, x=half: ops.spmm(p, i, x, reduce="mean"),
                "max": lambda p=indptr, i=indices, x=x: ops.spmm(p, i, x, reduce="max"),
            },
        )
        upstream = torch.randn(num_dst, width)
        report(
            f"forward and backward {shape}",
            {"hopflow": partial(forward_and_backward, indptr, indices, x, upstream)},
        )


if __name__ == "__main__":
    main()
