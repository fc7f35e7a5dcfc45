"""Bipartite blocks of a given size, as sampling makes them, for the operators on blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from hopbench.engines import dgl_like


@dataclass(frozen=True)
class Block:
    """``num_dst`` nodes with ``degree`` in-edges each, from three times as many sources."""

    num_dst: int
    degree: int
    width: int

    def __str__(self) -> str:
        return f"{self.num_dst}x{self.degree}x{self.width}"

    @property
    def num_src(self) -> int:
        """Number of source nodes."""
        return 3 * self.num_dst

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.num_dst * self.degree

    def indptr(self) -> torch.Tensor:
        """Where each destination's edges begin, int64."""
        return torch.arange(0, self.num_edges + 1, self.degree)

    def indices(self) -> torch.Tensor:
        """Sources of the edges, int64, uniform."""
        generator = torch.Generator().manual_seed(0)
        return torch.randint(self.num_src, (self.num_edges,), generator=generator)

    def sources(self) -> torch.Tensor:
        """Feature rows of the sources, float32."""
        generator = torch.Generator().manual_seed(1)
        return torch.randn(self.num_src, self.width, generator=generator)

    def make(self, engine: str) -> Any:
        """The block in hopflow or DGL."""
        # DGL's kernels that read edge features fail without ids of the edges.
        eids = torch.arange(self.num_edges) if engine == "dgl" else []
        csc = ("csc", (self.indptr(), self.indices(), eids))
        return dgl_like(engine).create_block(csc, self.num_src, self.num_dst)

    def work(self, size: int = 4, columns_out: int | None = None) -> dict[str, float]:
        """Bytes that reducing the sources' rows must move, if rows stay in cache and if not."""
        row = self.width * size
        return {
            "bytes_reuse": (self.num_src + self.num_dst) * row,
            "bytes_none": (self.num_edges + self.num_dst) * row,
            "edges": self.num_edges,
        }


BLOCKS = (Block(4_009, 4, 128), Block(27_500, 10, 100), Block(100_000, 5, 100))
