"""Building a graph: the counting sort, against a stable torch.sort, and the transpose."""

import torch
from measure import header, report

from hopflow import ops


def main() -> None:
    header()
    for num_nodes, num_edges in ((169_343, 2_332_486), (1_000_000, 20_000_000)):
        src = torch.randint(num_nodes, (num_edges,))
        dst = torch.randint(num_nodes, (num_edges,))
        report(
            f"{num_edges} edges",
            {
                "hopflow": lambda s=src, d=dst, n=num_nodes: ops.coo_to_csc(s, d, n, n),
                "torch": lambda s=src, d=dst, n=num_nodes: ops.coo_to_csc_reference(s, d, n, n),
            },
            repeats=3,
        )
        indptr, indices, _ = ops.coo_to_csc(src, dst, num_nodes, num_nodes)
        report(
            f"transpose of {num_edges} edges",
            {"hopflow": lambda p=indptr, i=indices, n=num_nodes: ops.transpose_csc(p, i, n)},
            repeats=3,
        )


if __name__ == "__main__":
    main()
