"""Row gather, against torch.index_select."""

import torch
from measure import header, report

from hopflow import ops


def main() -> None:
    header()
    x = torch.randn(2_500_000, 100)
    for num_rows in (1_000, 13_500, 100_000, 600_000):
        ids = torch.randint(x.shape[0], (num_rows,))
        report(
            f"{num_rows} rows of 400 B",
            {
                "hopflow": lambda i=ids: ops.gather_rows(x, i),
                "torch.index_select": lambda i=ids: torch.index_select(x, 0, i),
            },
        )


if __name__ == "__main__":
    main()
