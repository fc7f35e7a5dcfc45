"""Mean SpMM over sampled blocks, forward and backward, against torch.sparse.mm."""

import warnings

import torch
from measure import header, report

from hopflow import ops

SHAPES = ((4_009, 4, 128), (27_500, 10, 100), (100_000, 5, 100))


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
        y, upstream = x.clone().requires_grad_(), torch.randn(num_dst, width)

        def both(p: torch.Tensor = indptr, i: torch.Tensor = indices) -> None:
            y.grad = None
            ops.spmm(p, i, y, reduce="mean").backward(upstream)

        report(f"forward and backward {shape}", {"hopflow": both})


if __name__ == "__main__":
    main()
