"""u_dot_v over sampled blocks, against gathering both ends in torch."""

import torch
from measure import header, report

from hopflow import ops


def main() -> None:
    header()
    for num_dst, degree, width in ((4_009, 4, 128), (27_500, 10, 100)):
        num_src, num_edges = 3 * num_dst, num_dst * degree
        indptr = torch.arange(0, num_edges + 1, degree)
        indices = torch.randint(num_src, (num_edges,), dtype=torch.int32)
        u, v = torch.randn(num_src, width), torch.randn(num_dst, width)
        report(
            f"{num_dst} x {degree} x {width}",
            {
                "hopflow": lambda p=indptr, i=indices, u=u, v=v: ops.sddmm(p, i, u, v),
                "torch": lambda p=indptr, i=indices, u=u, v=v: ops.sddmm_reference(p, i, u, v),
            },
        )


if __name__ == "__main__":
    main()
